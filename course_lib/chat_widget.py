"""A chat about a picture: choose or upload one, ask, and watch the answer come."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, Button, FileUpload, HBox, Image, Layout, Text, ToggleButtons, VBox

from .errors import CourseError, ImageError
from .images import ImageSource, encode, is_many, open_image, thumbnail, to_data_uri
from .settings import say
from .widgets import RED, WithStill, in_red, uploaded_file

if TYPE_CHECKING:
    from .gpt4v import ImageAnalyzer


def chat(
    image: ImageSource | Iterable[ImageSource],
    *,
    analyzer: ImageAnalyzer | None = None,
    question: str | None = None,
    remember: bool = False,
) -> Chat:
    """A chat about one of the given pictures, or one that is uploaded.

    `analyzer` says who answers, without it the settings. `question` is asked at once. With `remember`, each
    question is sent with those before it about the same picture: for models that were trained on
    conversations, which mini-vlm was not.
    """
    if analyzer is None:
        from .gpt4v import ImageAnalyzer

        analyzer = ImageAnalyzer()
    return Chat(image, analyzer, question, remember)


class Chat(WithStill, VBox):
    """See `chat`. `turns` holds (picture, question, answer or error) as they were shown."""

    def __init__(self, image, analyzer: ImageAnalyzer, question: str | None, remember: bool):
        self._analyzer, self._remember = analyzer, remember
        self._pictures = [open_image(one) for one in (image if is_many(image) else [image])]
        if not self._pictures:
            raise ImageError(
                say(
                    zh="没有可聊的图片，请至少给一张。",
                    en="There is no picture to chat about, please give at least one.",
                )
            )
        self.turns: list[tuple[Any, str, str | CourseError]] = []
        self._history: list[tuple[str, str]] = []
        wide = Layout(width="auto", flex="1 1 auto")
        self._shown = Image(format="png", layout=Layout(width="224px", height="224px", object_fit="contain"))
        self.choice = ToggleButtons(
            options=[(str(number), number - 1) for number in range(1, len(self._pictures) + 1)],
            style={"button_width": "2.4em"},
            layout=Layout(display="flex" if len(self._pictures) > 1 else "none", max_width="224px"),
        )
        self.upload = FileUpload(
            accept="image/*", multiple=False, description=say(zh="上传图片", en="Upload")
        )
        self.question = Text(
            placeholder=say(zh="问点什么，按回车发送", en="Ask something, Enter sends it"), layout=wide
        )
        self.send = Button(description=say(zh="提问", en="Ask"), layout=Layout(width="5em"))
        self._said, self._note = HTML(layout=Layout(width="auto")), HTML()

        self.choice.observe(lambda change: self._show(self._pictures[change["new"]]), "value")
        self.upload.observe(self._uploaded, "value")
        self.send.on_click(lambda _: self.ask(self.question.value))
        # The Enter key; `on_submit` says the same, with a warning in ipywidgets 8.
        self.question.on_msg(lambda _, content, __: content.get("event") == "submit" and self.send.click())

        self._show(self._pictures[0])
        left = VBox([self._shown, self.choice, self.upload])
        right = VBox(
            [HBox([self.question, self.send]), self._note, self._said],
            layout=Layout(flex="1 1 20em", min_width="16em"),
        )
        super().__init__(
            [HBox([left, right], layout=Layout(flex_flow="row wrap", grid_gap="16px"))],
            layout=Layout(max_width="52em"),
        )
        if question:
            self.ask(question)

    def ask(self, question: str) -> None:
        """What the button does: ask about the picture that is shown, and write the answer down as it
        comes."""
        question = question.strip()
        if not question:
            return
        self.question.value = ""
        self.question.disabled = self.send.disabled = True
        self.turns.append((self._picture, question, ""))
        try:
            history = self._history if self._remember else ()
            stream = self._analyzer.ask(self._picture, question, stream=True, history=history)
            for _ in stream:
                self._answer(stream.text)
            self._answer(stream.text)
            self._history.append((question, stream.text))
        except CourseError as error:
            self._answer(error)
        finally:
            self.question.disabled = self.send.disabled = False

    def still(self) -> str:
        picture = f'<img width="128" height="128" src="{to_data_uri(thumbnail(self._picture, 128))}">'
        return f"<div>{picture}{self._said.value}</div>"

    def _answer(self, answer: str | CourseError) -> None:
        self.turns[-1] = (*self.turns[-1][:2], answer)
        self._said.value = "".join(_turn(*turn) for turn in reversed(self.turns))  # the newest on top

    def _show(self, picture: Any) -> None:
        self._picture, self._history = picture, []
        self._shown.value = encode(thumbnail(picture, 224))
        self._note.value = ""

    def _uploaded(self, change: Any) -> None:
        if not change["new"]:
            return
        try:
            self._show(open_image(uploaded_file(change["new"])))
        except CourseError as error:
            self._note.value = in_red(error)


def _turn(picture: Any, question: str, answer: str | CourseError) -> str:
    """One question with its answer as HTML. What a model says is shown, never run."""
    said = escape(str(answer)).replace("\n", "<br>") or "…"
    color = f"; color: {RED}" if isinstance(answer, CourseError) else ""
    small = (
        f'<img width="36" height="36" style="margin-right: 8px" src="{to_data_uri(thumbnail(picture, 36))}">'
    )
    return (
        f'<div style="display: flex; align-items: flex-start; line-height: 1.5; padding: 4px 0">{small}'
        f'<div><div style="font-weight: 600">{escape(question)}</div><div style="padding: 0{color}">{said}</div>'
        "</div></div>"
    )
