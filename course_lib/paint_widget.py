"""A playground for a painter: change prompt, guidance, steps, seed or strength, paint again, and compare.

Every picture that was made stays in `made`, with its parameters.
"""

from __future__ import annotations

import warnings
from html import escape
from typing import TYPE_CHECKING, Any

from ipywidgets import (
    HTML,
    BoundedIntText,
    Button,
    Checkbox,
    FileUpload,
    FloatSlider,
    HBox,
    Image,
    IntSlider,
    Layout,
    Text,
    VBox,
)

from .errors import CourseError, CourseWarning
from .images import ImageSource, encode, open_image, thumbnail, to_data_uri
from .painting.parameters import LARGEST_SEED
from .settings import say
from .widgets import RED, WithStill, uploaded_file

if TYPE_CHECKING:
    from .painting.picture import Picture
    from .stable_diffusion import StableDiffusionService

_SHOWN = 224  # pixels a side


def paint_playground(
    service: StableDiffusionService,
    prompt: str,
    *,
    start: ImageSource | None = None,
    steps: int = 20,
    guidance_scale: float = 7.5,
    seed: int = 0,
    **options: Any,
) -> PaintPlayground:
    """Paint from a prompt, or over a picture: `start`, one that was uploaded, or one just painted.

    The other arguments are where the controls stand at first; `options` go to every call. The first picture
    is painted at once.
    """
    return PaintPlayground(service, prompt, start, steps, guidance_scale, seed, options)


class PaintPlayground(WithStill, VBox):
    """See `paint_playground`. `made` holds the pictures, the newest last."""

    def __init__(self, service, prompt, start, steps, guidance_scale, seed, options):
        self._service, self._options = service, options
        self.made: list[Picture] = []
        label = {"description_width": "8em"}
        wide = Layout(width="auto")
        self.prompt = Text(prompt, description=say(zh="提示词", en="prompt"), style=label, layout=wide)
        self.negative = Text(description=say(zh="负面提示词", en="negative"), style=label, layout=wide)
        self.guidance = FloatSlider(
            guidance_scale, min=1, max=15, step=0.5, description="guidance_scale", style=label, layout=wide
        )
        self.steps = IntSlider(steps, min=1, max=50, description="steps", style=label, layout=wide)
        self.seed = BoundedIntText(
            seed, min=0, max=LARGEST_SEED, description="seed", style=label, layout=Layout(width="16em")
        )
        self.next_seed = Button(description="+1", layout=Layout(width="3.2em"))
        self.over = Checkbox(
            False, description=say(zh="在左图上重绘", en="paint over the left picture"), indent=False
        )
        self.strength = FloatSlider(
            0.6, min=0.05, max=1, step=0.05, description="strength", style=label, layout=wide
        )
        self.paint_button = Button(description=say(zh="画", en="Paint"), button_style="primary")
        self.keep = Button(description=say(zh="放到左边", en="Keep on the left"), icon="arrow-left")
        self.upload = FileUpload(
            accept="image/*", multiple=False, description=say(zh="上传图片", en="Upload")
        )
        side = Layout(width=f"{_SHOWN}px", height=f"{_SHOWN}px", object_fit="contain")
        self._left, self._right = Image(format="png", layout=side), Image(format="png", layout=side)
        self._note = HTML(layout=wide)

        self.next_seed.on_click(lambda _: setattr(self.seed, "value", self.seed.value + 1))
        self.paint_button.on_click(lambda _: self.paint())
        self.keep.on_click(lambda _: self.made and self._begin_with(self.made[-1]))
        self.upload.observe(self._uploaded, "value")
        self.over.observe(lambda _: self._allow(), "value")

        self._start = None
        if start is not None:
            self._begin_with(start)
        self._allow()
        pictures = HBox(
            [VBox([self._left, self.upload]), VBox([self._right, HBox([self.paint_button, self.keep])])],
            layout=Layout(flex_flow="row wrap", grid_gap="16px"),
        )
        controls = [
            self.prompt,
            self.negative,
            self.guidance,
            self.steps,
            HBox([self.seed, self.next_seed]),
            self.over,
            self.strength,
        ]
        super().__init__([*controls, pictures, self._note], layout=Layout(max_width="52em"))
        self.paint()

    def paint(self) -> None:
        """What the button does: paint as the controls stand, and show what came, or why nothing did."""
        self.paint_button.disabled = True
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", CourseWarning)
                picture = self._painted()
        except CourseError as error:
            self._say(str(error), color=RED)
        else:
            self.made.append(picture)
            self._right.value = encode(thumbnail(picture, _SHOWN))
            self._say(*(str(one.message) for one in caught if issubclass(one.category, CourseWarning)))
        finally:
            self.paint_button.disabled = False

    def still(self) -> str:
        if not self.made:
            return f"<div>{self._note.value}</div>"
        source = to_data_uri(thumbnail(self.made[-1], _SHOWN), "JPEG")
        picture = f'<img width="{_SHOWN}" height="{_SHOWN}" src="{source}">'
        settings = (
            f"seed {self.made[-1].seed}, steps {self.steps.value}, guidance_scale {self.guidance.value:g}"
        )
        return f"<div>{picture}<div>{escape(self.prompt.value)}</div><div>{settings}</div></div>"

    def _painted(self) -> Picture:
        common = {
            "negative_prompt": self.negative.value,
            "steps": self.steps.value,
            "guidance_scale": self.guidance.value,
            "seed": self.seed.value,
            "progress": False,
            **self._options,
        }
        if self.over.value and self._start is not None:
            return self._service.image_to_image(self._start, self.prompt.value, self.strength.value, **common)
        return self._service.text_to_image(self.prompt.value, **common)

    def _begin_with(self, picture: ImageSource) -> None:
        self._start = open_image(picture)
        self._left.value = encode(thumbnail(self._start, _SHOWN))
        self._allow()

    def _uploaded(self, change: Any) -> None:
        if change["new"]:
            try:
                self._begin_with(uploaded_file(change["new"]))
                self._say()
            except CourseError as error:
                self._say(str(error), color=RED)

    def _allow(self) -> None:
        """Strength means something only over a picture, and that only where there is one."""
        self.over.disabled = self._start is None
        self.strength.disabled = self._start is None or not self.over.value

    def _say(self, *sentences: str, color: str = "inherit") -> None:
        self._note.value = "".join(
            f'<div style="line-height: 1.5; color: {color}">{escape(sentence)}</div>'
            for sentence in sentences
        )
