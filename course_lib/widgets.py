"""The course's interactive cells: a quiz that answers at once, a playground for zero-shot classification,
and pictures behind a slider.

Each widget carries a still picture of itself in its first state: where nothing is interactive (on GitHub, in
a notebook run headless) that is what a reader sees.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from ipywidgets import (
    HTML,
    Button,
    Dropdown,
    FileUpload,
    HBox,
    Image,
    Label,
    Layout,
    SelectionSlider,
    Text,
    VBox,
)

from .errors import CourseError
from .images import ImageSource, open_image, thumbnail, to_data_uri
from .images import encode as encode_image_file
from .settings import say
from .texts import fill

if TYPE_CHECKING:
    from .clip import CLIPService

_GREEN, RED, _BLUE = "#2e9e6b", "#d9534f", "#4c8fd0"  # readable on white and on black
_LETTERS = "ABCDEFGH"
_SEPARATORS = re.compile(r"[,，、;；\n]+")


class WithStill:
    """Adds a still HTML version to a widget's output, for readers without a running kernel."""

    def still(self) -> str:
        raise NotImplementedError

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        # Of ipywidgets 8; version 7 (Colab) shows itself through another method, without a still version.
        data = super()._repr_mimebundle_(**options)
        return data | {"text/plain": type(self).__name__, "text/html": self.still()}


# ------------------------------------------------------------------------------------------------- quiz


def quiz(question: str, options: Mapping[str, str], answer: str) -> Quiz:
    """A multiple-choice question that answers at once.

    `options` maps each option to what is said when it is chosen (why it is right, or which mistake it is);
    `answer` is the letter of the right one, "A" for the first. Texts may hold simple HTML, and `code` in backticks.
    """
    return Quiz(_code(question), {_code(option): _code(why) for option, why in options.items()}, answer)


class Quiz(WithStill, VBox):
    """See `quiz`. `chosen` holds the letters chosen so far."""

    def __init__(self, question: str, options: Mapping[str, str], answer: str):
        self._options = dict(zip(_LETTERS, options.items()))
        if answer not in self._options:
            raise ValueError(f"answer is {answer!r}, but the options are {', '.join(self._options)}")
        self.question, self.answer, self.chosen = question, answer, []
        self._buttons = {
            letter: Button(description=letter, layout=Layout(width="2.6em", min_width="2.6em", padding="0"))
            for letter in self._options
        }
        self._said = HTML()
        rows = []
        for letter, button in self._buttons.items():
            button.on_click(lambda _, letter=letter: self.choose(letter))
            text = HTML(f'<div style="line-height: 1.5; padding: 4px 6px">{self._options[letter][0]}</div>')
            rows.append(HBox([button, text], layout=Layout(align_items="flex-start")))
        super().__init__(
            [HTML(_bold(question)), *rows, self._said], layout=Layout(max_width="52em", padding="4px 0")
        )

    def choose(self, letter: str) -> None:
        """What clicking an option does: colour its letter and say why it is right or wrong."""
        self.chosen.append(letter)
        right = letter == self.answer
        self._buttons[letter].button_style = "success" if right else "danger"
        word = say(zh="正确。", en="Right.") if right else say(zh="不对。", en="Not quite.")
        self._said.value = _said(letter, word, self._options[letter][1], _GREEN if right else RED)

    def still(self) -> str:
        # Letters as text: JupyterLab strips the type of an <ol>, and its numbers would not fit the answer's letter.
        options = "".join(f"<div>{letter}. {option}</div>" for letter, (option, _) in self._options.items())
        why = self._options[self.answer][1]
        return (
            f'{_bold(self.question)}<div style="margin: 6px 0 6px 1.5em">{options}</div>'
            f"<details><summary>{say(zh='答案', en='Answer')}</summary>{self.answer}. {why}</details>"
        )


def _code(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text)


def _bold(text: str) -> str:
    return f'<div style="font-weight: 600; line-height: 1.5">{text}</div>'


def _said(letter: str, word: str, why: str, color: str) -> str:
    return (
        f'<div style="border-left: 4px solid {color}; padding: 4px 10px; line-height: 1.5">'
        f'<b style="color: {color}">{letter} · {word}</b> {why}</div>'
    )


def in_red(error: CourseError) -> str:
    """An error's sentence as HTML."""
    return f'<div style="color: {RED}">{escape(str(error))}</div>'


def uploaded_files(files: Any) -> list[tuple[str, bytes]]:
    """Name and content of each file in the value of a FileUpload: a tuple of files in ipywidgets 8, {name: file} in
    7."""
    found = files if isinstance(files, (tuple, list)) else files.values()
    return [(file.get("name") or file["metadata"]["name"], bytes(file["content"])) for file in found]


def uploaded_file(files: Any) -> BytesIO:
    """The first file in the value of a FileUpload."""
    name, content = uploaded_files(files)[0]
    stream = BytesIO(content)
    stream.name = name  # so that an error can name the file
    return stream


# ------------------------------------------------------------------------------------------- playground


def clip_playground(
    service: CLIPService,
    labels: Sequence[str],
    *,
    compose: Callable[..., ImageSource] | None = None,
    choices: Mapping[str, Mapping[str, Any]] | None = None,
    names: Mapping[str, str] | None = None,
    template: str = "{}",
    image: ImageSource | None = None,
) -> ClipPlayground:
    """Compose or upload a picture, type labels and a template, and watch the probabilities change.

    `compose(seed=..., **choice)` makes a picture; `choices` maps each of its arguments to a menu
    `{what is shown: value}`, and `names` says what stands above it. Without `compose` the first picture is
    `image`.
    """
    return ClipPlayground(service, labels, compose, choices or {}, names or {}, template, image)


class ClipPlayground(WithStill, VBox):
    """See `clip_playground`. Only what changed is encoded again: the picture, or a label that is new."""

    def __init__(self, service, labels, compose, choices, names, template, image):
        self._service, self._compose, self._seed = service, compose, 0
        self._text_features: dict[str, np.ndarray] = {}
        self._image_features: np.ndarray | None = None
        wide = Layout(width="auto")
        self.menus = {
            name: Dropdown(options=list(menu.items()), layout=Layout(width="9.5em"))
            for name, menu in choices.items()
        }
        self.labels = Text(say(zh="、", en=", ").join(labels), layout=wide)
        self.template = Text(template, layout=wide)
        self.upload = FileUpload(
            accept="image/*", multiple=False, description=say(zh="上传图片", en="Upload")
        )
        self.another = Button(description=say(zh="再画一张", en="Draw another"), icon="refresh")
        self._picture = Image(
            format="png", layout=Layout(width="224px", height="224px", object_fit="contain")
        )
        self._bars, self._note = HTML(layout=wide), HTML()

        for menu in self.menus.values():
            menu.observe(lambda _: self._redraw(), "value")
        for box in (self.labels, self.template):
            box.observe(lambda _: self._update(), "value")
        self.another.on_click(lambda _: self._redraw(another=True))
        self.upload.observe(self._uploaded, "value")

        self._show(compose(seed=0, **self._chosen()) if compose else image)
        menus = [VBox([Label(names.get(name, name)), menu]) for name, menu in self.menus.items()]
        buttons = [self.another, self.upload] if compose else [self.upload]
        prompt = VBox([
            Label(say(zh="标签（用逗号或顿号隔开）", en="Labels, separated by commas")), self.labels,
            Label(say(zh="模板（{} 处填入标签）", en="Template ({} is where the label goes)")), self.template,
            self._note, self._bars,
        ], layout=Layout(flex="1 1 20em", min_width="16em"))  # fmt: skip
        left = VBox([self._picture, HBox(buttons, layout=Layout(flex_flow="row wrap"))])
        rows = [HBox(menus, layout=Layout(flex_flow="row wrap"))] if menus else []
        rows += [HBox([left, prompt], layout=Layout(flex_flow="row wrap", grid_gap="16px"))]
        super().__init__(rows, layout=Layout(max_width="52em"))

    def probabilities(self) -> dict[str, tuple[float, float]]:
        """Label to (probability, cosine) as picture and texts stand; {} while there is no label."""
        labels = list(dict.fromkeys(filter(None, map(str.strip, _SEPARATORS.split(self.labels.value)))))
        if not labels or self._image_features is None:
            return {}
        prompts = fill(self.template.value, labels)
        if new := [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._text_features]:
            self._text_features.update(zip(new, self._service.encode_text(new, progress=False)))
        cosines = np.stack([self._text_features[prompt] for prompt in prompts]) @ self._image_features
        shares = self._service.to_probabilities(cosines)
        return {label: (float(p), float(c)) for label, p, c in zip(labels, shares, cosines)}

    def still(self) -> str:
        picture = f'<img width="128" height="128" src="{self._still_picture}">' if self._still_picture else ""
        return f"<div>{picture}{self._bars.value}</div>"

    def _chosen(self) -> dict[str, Any]:
        return {name: menu.value for name, menu in self.menus.items()}

    def _redraw(self, *, another: bool = False) -> None:
        self._seed += another
        self._guarded(lambda: self._show(self._compose(seed=self._seed, **self._chosen())))

    def _uploaded(self, change: Any) -> None:
        if change["new"]:
            file = uploaded_file(change["new"])
            self._guarded(lambda: self._show(file))

    def _show(self, image: ImageSource | None) -> None:
        self._still_picture = ""
        if image is not None:
            image = open_image(image)
            small = thumbnail(image, 224)
            self._picture.value = encode_image_file(small)
            self._still_picture = to_data_uri(thumbnail(image, 128))
            self._image_features = self._service.encode_image(image, progress=False)[0]
        self._update()

    def _update(self) -> None:
        self._guarded(lambda: setattr(self._bars, "value", _bars(self.probabilities())))

    def _guarded(self, action: Callable[[], None]) -> None:
        """A learner's half-typed template or broken file gets its sentence, and the playground goes on."""
        try:
            action()
            self._note.value = ""
        except CourseError as error:
            self._note.value = in_red(error)


_CELL = "text-align: right; padding: 2px 8px; border: 0"


def _bars(result: Mapping[str, tuple[float, float]]) -> str:
    """Bars as HTML, which is drawn faster than any figure: a keystroke should not wait for one."""
    best = max((p for p, _ in result.values()), default=0.0)
    rows = "".join(
        f'<tr><td style="{_CELL}; white-space: nowrap; overflow: hidden; '
        f'text-overflow: ellipsis">{escape(label)}</td>'
        f'<td style="border: 0; padding: 2px 0"><div style="height: 14px; border-radius: 3px; '
        f'width: {100 * p:.1f}%; min-width: 2px; background: {_GREEN if p == best else _BLUE}"></div></td>'
        f'<td style="{_CELL}">{p:.1%}</td><td style="{_CELL}; opacity: 0.7">{c:+.2f}</td></tr>'
        for label, (p, c) in result.items()
    )
    head = "".join(
        f'<th style="{_CELL}; font-weight: 400; opacity: 0.7; width: {width}%">{text}</th>'
        for text, width in (
            ("", 30),
            ("", 38),
            (say(zh="概率", en="probability"), 18),
            (say(zh="余弦", en="cosine"), 14),
        )
    )
    style = "width: 100%; border-collapse: collapse; table-layout: fixed"
    return f'<table style="{style}"><tr>{head}</tr>{rows}</table>' if rows else ""


# ----------------------------------------------------------------------------------------------- slides


def slides(
    pictures: Sequence[Any], *, name: str = "", labels: Sequence[str] | None = None, start: int = 0
) -> Slides:
    """Pictures, or figures, made beforehand behind a slider: drag, and see what changes.

    `name` stands before the slider, `labels` say what each position is (else its number), `start` is first.
    """
    return Slides(pictures, name, labels or [str(i) for i in range(len(pictures))], start)


class Slides(WithStill, VBox):
    """See `slides`. `slider.index` is the position."""

    def __init__(self, pictures: Sequence[Any], name: str, labels: Sequence[str], start: int):
        self._files = [_png(picture) for picture in pictures]
        self._picture = Image(value=self._files[start], format="png", layout=Layout(max_width="100%"))
        self.slider = SelectionSlider(
            options=list(labels),
            index=start,
            description=name,
            continuous_update=True,
            style={"description_width": "initial"},
            layout=Layout(width="26em"),
        )
        self.slider.observe(self._turn, "index")
        super().__init__([self.slider, self._picture])

    def still(self) -> str:
        encoded = base64.b64encode(self._picture.value).decode()
        return f'<img style="max-width: 100%" src="data:image/png;base64,{encoded}">'

    def _turn(self, change: Any) -> None:
        self._picture.value = self._files[change["new"]]


def _png(picture: Any) -> bytes:
    return figure_png(picture) if hasattr(picture, "savefig") else encode_image_file(open_image(picture))


def figure_png(figure: Any) -> bytes:
    """A matplotlib figure as a PNG file's bytes."""
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
