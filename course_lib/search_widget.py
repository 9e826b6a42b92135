"""Search a collection and ask about what is found: the parts of section 六 in one panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, Button, FileUpload, HBox, Layout, Text, ToggleButtons, VBox

from .errors import CourseError
from .images import ImageSource, open_image
from .search_results import Results
from .settings import say
from .widgets import WithStill, in_red, uploaded_file

if TYPE_CHECKING:
    from .search import ImageSearchEngine
    from .vqa import VisualQA

SHOWN = 8  # pictures in the panel
ALL = 0  # in place of an id, which is a text


def search_panel(
    engine: ImageSearchEngine,
    *,
    vqa: VisualQA | None = None,
    query: str = "",
    question: str = "",
    chat: bool = False,
    images: Mapping[str, ImageSource] | Callable[[str], ImageSource] | None = None,
) -> SearchPanel:
    """Search by words or by an uploaded picture, choose a result, and ask about it, or about the whole collection.

    `vqa` answers, without it one with the engine's own CLIP. `query` is searched for, and `question` asked, at once;
    `chat` says by whom. `images` gives a picture by its id; of those that it lacks the engine's thumbnails are asked
    about.
    """
    if vqa is None:
        from .vqa import VisualQA

        vqa = VisualQA(clip_service=engine.clip_service)
    return SearchPanel(engine, vqa, query, question, chat, images)


class SearchPanel(WithStill, VBox):
    """See `search_panel`. `results` are those shown, `answer` the last answer, or the error in its place."""

    def __init__(self, engine, vqa, query: str, question: str, chat: bool, images):
        self._engine, self._vqa, self._images = engine, vqa, images
        self.results, self.answer = Results(), None
        wide = Layout(width="auto", flex="1 1 auto")
        self.query = Text(query, placeholder=say(zh="用一句话找图", en="Search by a sentence"), layout=wide)
        self.find = Button(description=say(zh="搜索", en="Search"), layout=Layout(width="6em"))
        self.upload = FileUpload(
            accept="image/*", multiple=False, description=say(zh="以图搜图", en="By picture")
        )
        self.question = Text(question, placeholder=say(zh="问点什么", en="Ask something"), layout=wide)
        self.ask = Button(description=say(zh="提问", en="Ask"), layout=Layout(width="6em"))
        self.who = ToggleButtons(
            options=[("CLIP", False), (say(zh="看图对话", en="vision chat"), True)],
            value=chat,
            style={"button_width": "auto"},
        )
        self.about = ToggleButtons(style={"button_width": "auto"})
        self._gallery, self._answered = HTML(), HTML()

        self.find.on_click(lambda _: self._search(self._by_words))
        self.upload.observe(self._uploaded, "value")
        self.ask.on_click(lambda _: self._ask())
        for box, button in ((self.query, self.find), (self.question, self.ask)):
            box.on_msg(
                lambda _, content, __, button=button: content.get("event") == "submit" and button.click()
            )
        super().__init__(
            [
                HBox([self.query, self.find, self.upload]),
                self._gallery,
                HBox([self.about, self.who], layout=Layout(flex_flow="row wrap", grid_gap="12px")),
                HBox([self.question, self.ask]),
                self._answered,
            ],
            layout=Layout(max_width="58em"),
        )
        self._count = 0
        self._search(self._by_words)
        if question:
            self.ask.click()

    def still(self) -> str:
        asked = f"<div><b>{escape(self.question.value)}</b></div>" if self.question.value else ""
        return f"<div>{self._gallery.value}{asked}{self._answered.value}</div>"

    def _by_words(self) -> Results:
        text = self.query.value.strip()
        return self._engine.search_by_text(text, top_k=SHOWN) if text else Results()

    def _search(self, find: Callable[[], Results]) -> None:
        try:
            self.results = find()
            self._gallery.value = self.results._repr_html_() if self.results else ""
            self._count = len(self._engine)
        except CourseError as error:
            self.results, self._gallery.value = Results(), in_red(error)
        choices = [(str(number), result.id) for number, result in enumerate(self.results, 1)]
        everything = say(zh=f"全部 {self._count} 张", en=f"all {self._count} pictures")
        self.about.options = [*choices, (everything, ALL)]
        self.about.index = 0

    def _uploaded(self, change: Any) -> None:
        if change["new"]:
            file = uploaded_file(change["new"])
            self._search(lambda: self._engine.search_by_image(open_image(file), top_k=SHOWN))

    def _ask(self) -> None:
        """What the button does: ask about the chosen picture, or about all, and show the answer with its evidence."""
        if not (question := self.question.value.strip()):
            return
        self.ask.disabled = True
        try:
            chat, chosen = self.who.value, self.about.value
            if chosen is ALL:
                self.answer = self._vqa.answer_collection(
                    self._engine, question, use_gpt4v=chat, images=self._images
                )
            else:
                self.answer = self._vqa.answer(self._picture(chosen), question, chat)
            self._answered.value = self._shown()
        except CourseError as error:
            self.answer, self._answered.value = error, in_red(error)
        finally:
            self.ask.disabled = False

    def _picture(self, image_id: str) -> ImageSource:
        if callable(self._images):
            return self._images(image_id)
        own = (self._images or {}).get(image_id)
        return self._engine.get(image_id).thumbnail if own is None else own

    def _shown(self) -> str:
        sure = "" if self.answer.confidence is None else f" · {self.answer.confidence:.0%}"
        why = f'<div style="opacity: .7">{escape(self.answer.reason)}</div>' if self.answer.reason else ""
        evidence = self.answer.evidence._repr_html_() if self.answer.evidence else ""
        said = f'<div style="font-size: 1.2em; padding: 6px 0"><b>{escape(self.answer)}</b>{sure}</div>'
        return f"{said}{why if self.answer.reason not in self.answer else ''}{evidence}"
