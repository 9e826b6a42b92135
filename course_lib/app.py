"""The whole application of section 六: search pictures by words or by a picture, click one, and ask about it.

    from course_lib.app import search_app
    search_app("my_pictures")                     in a notebook
    python -m course_lib.app my_pictures          as a web page, for people without Jupyter

The page is the same widgets, served by Voila (`course_lib.app_page`). What happens on a click is `app_session`'s and
`app_core`'s affair; here it is only shown.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from ipywidgets import HTML, Button, FileUpload, HBox, Image, IntProgress, Text, ToggleButtons, VBox

from . import settings
from .app_parts import LARGE, Card, jpeg, note_html, refused_html, tally_html, turns_html
from .app_session import SHOWN, AppSession, open_folder
from .app_style import CSS
from .bulk import AddReport
from .errors import CourseError
from .images import open_image, resize, to_data_uri
from .settings import say
from .widgets import WithStill, uploaded_files

MOST_FILES = 200  # in one upload

SUGGESTIONS = {
    "zh": ("图中有什么？", "这是什么地方？", "这是什么时候？"),
    "en": ("What is in the picture?", "What place is this?", "What time is it?"),
}


def search_app(source: str | os.PathLike | AppSession) -> SearchApp:
    """The app over a folder of pictures, or over a session (`app_session.Session`, or a learner's own)."""
    if not isinstance(source, (str, os.PathLike)):
        return SearchApp(source)
    session, steps = open_folder(source)
    app = SearchApp(session)
    app.fill(steps)
    return app


class SearchApp(WithStill, VBox):
    """See `search_app`. Every widget that a user touches is an attribute, and does what its click would do."""

    def __init__(self, session: AppSession):
        self.session = session
        self._said: list[Callable[[], None]] = []  # what sets a text, again when the language changes
        self._asked_all: tuple[str, list[tuple[str, int]]] = ("", [])
        self._report = AddReport()
        self._build()
        super().__init__(
            [
                HTML(f"<style>{CSS}</style>"),
                self._head(),
                self._search_row(),
                self.note,
                self._main(),
                self._foot(),
            ]
        )
        self.add_class("ml-app")
        self.show()

    # What is on the page

    def _build(self) -> None:
        self.language = ToggleButtons(
            options=[("中文", "zh"), ("English", "en")],
            value=settings.language(),
            style={"button_width": "auto"},
        )
        self.words, self.query_picture = Text(), _upload("image", multiple=False)
        self.go, self.add = Button(icon="search", button_style="primary"), _upload("plus", multiple=True)
        self.note, self.tally, self.report = HTML(), HTML(), HTML()
        self.progress = IntProgress(layout={"display": "none", "width": "auto"})
        self.cards = [Card(self.click) for _ in range(SHOWN)]
        self.large, self.facts, self.turns = Image(format="jpeg"), HTML(), HTML()
        self.question, self.send = Text(), Button(button_style="primary")
        self.alike = Button(icon="clone")
        self.suggestions = [Button() for _ in SUGGESTIONS["en"]]
        self.question_for_all, self.send_all = Text(), Button()

        self.language.observe(lambda change: self.speak(change["new"]), "value")
        _on_enter(self.words, self.go)
        _on_enter(self.question, self.send)
        _on_enter(self.question_for_all, self.send_all)
        self.go.on_click(lambda _: self.search())
        self.send.on_click(lambda _: self.ask(self.question.value))
        self.send_all.on_click(lambda _: self.ask_all(self.question_for_all.value))
        self.alike.on_click(lambda _: self.search_alike())
        for button in self.suggestions:
            button.on_click(lambda clicked: self.ask(clicked.description))
        self.query_picture.observe(lambda change: change["new"] and self.search_by_upload(), "value")
        self.add.observe(lambda change: change["new"] and self.add_uploads(), "value")

    def _head(self) -> HBox:
        title = HTML()
        self._says(
            title, "value", lambda: f"<h1>{say(zh='找图问图', en='Find and ask')}</h1><p>{self._size()}</p>"
        )
        self.language.add_class("ml-lang")
        return _classed(HBox([title, self.language]), "ml-head")

    def _search_row(self) -> HBox:
        self._says(
            self.words,
            "placeholder",
            lambda: say(
                zh="想找什么？例如：沙漠里的红色汽车",
                en="What are you looking for? A red car in the desert, say",
            ),
        )
        self._says(self.go, "description", lambda: say(zh="搜索", en="Search"))
        self._says(self.query_picture, "tooltip", lambda: say(zh="以图搜图", en="By a picture"))
        self.note.add_class("ml-note")
        return _classed(HBox([self.words, self.go, self.query_picture]), "ml-row")

    def _main(self) -> HBox:
        self._says(self.question, "placeholder", lambda: say(zh="问问这张图", en="Ask about this picture"))
        self._says(self.send, "description", lambda: say(zh="提问", en="Ask"))
        self._says(self.alike, "description", lambda: say(zh="找相似的", en="Find similar"))
        for number, button in enumerate(self.suggestions):
            self._says(button, "description", lambda n=number: SUGGESTIONS[settings.language()][n])
        self._says(
            self.question_for_all,
            "placeholder",
            lambda: say(zh="把一个问题问遍上面每一张", en="Ask all of these one question"),
        )
        self._says(self.send_all, "description", lambda: say(zh="都问一遍", en="Ask them all"))
        grid = _classed(VBox(self.cards), "ml-grid")
        everybody = _classed(HBox([self.question_for_all, self.send_all]), "ml-row")
        left = _classed(VBox([grid, everybody, self.tally]), "ml-left")
        self.detail = _classed(
            VBox([
                _classed(VBox([self.large]), "ml-big"), self.facts,
                _classed(HBox([self.question, self.send]), "ml-row"),
                _classed(HBox([*self.suggestions, self.alike]), "ml-hints"), self.turns,
            ]), "ml-right",
        )  # fmt: skip
        return _classed(HBox([left, self.detail]), "ml-main")

    def _foot(self) -> VBox:
        text = _classed(HTML(), "ml-soft")
        self._says(
            text,
            "value",
            lambda: say(
                zh="加上你自己的图片，它们只留在这台机器上。",
                en="Add pictures of your own, they stay on this machine.",
            ),
        )
        self._says(self.add, "tooltip", lambda: say(zh="添加图片", en="Add pictures"))
        self.report.add_class("ml-note")
        return _classed(
            VBox([_classed(HBox([self.add, text]), "ml-row"), self.progress, self.report]), "ml-foot"
        )

    # What a user can do

    def search(self) -> None:
        """The words that were typed; without any, everything."""
        self._searched(self.words.value, None)

    def search_by_upload(self) -> None:
        """An uploaded picture, together with the words if there are some."""
        (_, content), *_ = uploaded_files(self.query_picture.value)
        _clear(self.query_picture)
        try:
            picture = open_image(content)
        except CourseError as error:
            self._tell(str(error), "bad")
            return
        self._searched(self.words.value, picture)

    def search_alike(self) -> None:
        """Pictures like the chosen one."""
        if self.session.chosen is not None:
            self._searched("", self._picture(self.session.chosen))

    def click(self, picture_id: str) -> None:
        """Choose a picture, to look at it and to ask."""
        self.session.choose(picture_id)
        self.show()

    def ask(self, question: str) -> None:
        """Ask about the chosen picture."""
        if not question.strip():
            return
        with self._busy(say(zh="正在看图……", en="Looking at the picture ...")):
            self.question.value = ""
            self.session.ask(question)
        self.show()

    def ask_all(self, question: str) -> None:
        """Ask every picture that is shown."""
        if not question.strip():
            return
        with self._busy(say(zh="正在逐张提问……", en="Asking one after the other ...")):
            self._asked_all = question.strip(), self.session.ask_all(question)
        self.show()

    def add_uploads(self) -> None:
        """Take the uploaded files in, with a bar that shows how far it is."""
        files = uploaded_files(self.add.value)
        files, late = files[:MOST_FILES], files[MOST_FILES:]
        _clear(self.add)
        self.progress.max, self.progress.value, self.progress.layout.display = len(files), 0, None
        try:
            with self._busy(say(zh="正在添加……", en="Adding ...")):
                refused = self.session.add(files, self._progressed)
        finally:  # also where a learner's session raises
            self.progress.layout.display = "none"
        taken = len(files) - len(refused)
        said = say(zh=f"添加了 {taken} 张。", en=f"{taken} added.")
        if late:
            name = say(
                zh=f"从 {late[0][0]} 起的 {len(late)} 个文件", en=f"{len(late)} files, {late[0][0]} the first"
            )
            why = say(
                zh=f"一次最多添加 {MOST_FILES} 个，请再选一次。",
                en=f"at most {MOST_FILES} are added in one go, please choose these again.",
            )
            refused = [*refused, (name, why)]
        self.report.value = note_html(said if taken else "") + refused_html(refused)
        self.show()

    def speak(self, lang: str) -> None:
        """Switch the page's language; what was asked and found stays."""
        settings.set_language(lang)
        self.session.note = self.report.value = ""
        self.show()

    def fill(self, steps: Iterator[tuple[AddReport, int]]) -> None:
        """Take a folder's pictures in, step by step, with a bar. In a notebook and on a page clicks are heard between
        two steps; elsewhere this returns when all are in."""

        async def run() -> None:
            try:
                for report, total in steps:
                    self._filled(report, total)
                    await asyncio.sleep(0.01)
                self._full()
            except Exception as error:  # raised in a task, which nobody awaits, it would never be seen
                self.progress.layout.display = "none"
                text = str(error) if isinstance(error, CourseError) else f"{type(error).__name__}: {error}"
                self._tell(
                    say(zh=f"没能收完图片。{text}", en=f"Not all pictures were taken in. {text}"), "bad"
                )
                raise

        self._tell(say(zh="正在收下图片……", en="Taking pictures in ..."), "busy")
        try:
            self._filling = asyncio.get_running_loop().create_task(run())
        except RuntimeError:
            asyncio.run(run())

    # How it is shown

    def show(self) -> None:
        """Draw the session as it stands."""
        for tell in self._said:
            tell()
        session, shown = self.session, list(self.session.results)[: len(self.cards)]
        for card, (picture_id, score) in zip(self.cards, shown):
            known = session.engine.get(picture_id)
            card.show(picture_id, self._name(known), score, known.thumbnail)
            card.mark(picture_id == session.chosen)
        for card in self.cards[len(shown) :]:
            card.hide()
        self.tally.value = tally_html(*self._asked_all)
        self.detail.layout.display = "none" if session.chosen is None else None
        gone = "" if session.chosen is None else self._show_detail(session.chosen)
        self._tell(session.note or gone, "bad")

    def still(self) -> str:
        shown = list(self.session.results)[:8]
        cells = "".join(self._still_cell(picture_id, score) for picture_id, score in shown)
        chosen = turns_html(self.session.turns.get(self.session.chosen, []))
        return f'<div style="display:flex;flex-wrap:wrap;gap:10px">{cells}</div>{chosen}'

    def _still_cell(self, picture_id: str, score: float | None) -> str:
        known = self.session.engine.get(picture_id)
        said = escape(self._name(known)) if score is None else f"{score:.2f} {escape(self._name(known))}"
        image = (
            ""
            if known.thumbnail is None
            else f'<img width="96" src="{to_data_uri(resize(known.thumbnail, 96), "JPEG")}">'
        )
        return f'<div style="width:96px;font-size:12px;overflow:hidden">{image}<div>{said}</div></div>'

    def _show_detail(self, picture_id: str) -> str:
        """Show the picture large; where its file has gone its thumbnail, and why is returned."""
        known, size, why = self.session.engine.get(picture_id), "", ""
        try:
            picture = open_image(self._picture(picture_id))
            size = f"{picture.width} × {picture.height}"
        except CourseError as error:
            picture, why = known.thumbnail, str(error)
        self.large.value = b"" if picture is None else jpeg(picture, LARGE)
        self.facts.value = f'<div class="ml-name"><b>{escape(self._name(known))}</b> <span class="ml-soft">{size}</span></div>'
        self.turns.value = turns_html(self.session.turns.get(picture_id, []))
        return why

    def _searched(self, words: str, picture: Any) -> None:
        with self._busy(say(zh="正在搜索……", en="Searching ...")):
            self._asked_all = "", []
            self.session.search(words, picture)
        self.show()

    def _filled(self, report: AddReport, total: int) -> None:
        """Show how far a folder is, and what is there so far if nothing was asked for meanwhile."""
        self._report = report
        done = len(report.added) + len(report.failed)
        self.progress.max, self.progress.value, self.progress.layout.display = total, done, None
        if self._untouched() and len(self.session.results) < len(self.cards):
            self.session.search()
            self.show()
        self._tell(
            say(zh=f"正在收下图片 {done} / {total}……", en=f"Taking pictures in, {done} of {total} ..."),
            "busy",
        )

    def _full(self) -> None:
        """All of a folder is in."""
        self.progress.layout.display = "none"
        if self._untouched():
            self.session.search()
        self.show()
        if failed := self._report.failed:
            self.report.value = refused_html([(name, str(error)) for name, error in failed.items()])

    def _untouched(self) -> bool:
        """Whether nothing was searched for, nor chosen, so far."""
        return self.session.chosen is None and all(score is None for _, score in self.session.results)

    def _progressed(self, done: int, total: int) -> None:
        self.progress.value = done
        self._tell(say(zh=f"正在添加 {done} / {total}……", en=f"Adding {done} of {total} ..."), "busy")

    @contextmanager
    def _busy(self, text: str) -> Iterator[None]:
        """Say what is going on, until the next `show`, and take no clicks meanwhile."""
        controls = [self.go, self.send, self.send_all, self.alike, *self.suggestions]
        self._tell(text, "busy")
        for control in controls:
            control.disabled = True
        try:
            yield
        except BaseException:
            self._tell("")
            raise
        finally:
            for control in controls:
                control.disabled = False

    def _tell(self, text: str, kind: str = "") -> None:
        self.note.value = note_html(text, kind)

    def _says(self, widget: Any, trait: str, text: Callable[[], str]) -> None:
        self._said.append(lambda: setattr(widget, trait, text()))

    def _size(self) -> str:
        count = len(self.session.engine)
        name = escape(str(getattr(self.session.engine.clip_service, "name", "CLIP")))
        return say(zh=f"{count} 张图片，由 {name} 检索", en=f"{count} pictures, searched by {name}")

    def _name(self, known: Any) -> str:
        return str(known.metadata.get("name", known.id))

    def _picture(self, picture_id: str) -> Any:
        own = self.session.pictures.get(picture_id)
        return self.session.engine.get(picture_id).thumbnail if own is None else own


def _upload(icon: str, *, multiple: bool) -> FileUpload:
    # Its description ends in a count of files; `app_style` shows the tooltip in its place.
    return FileUpload(accept="image/*", multiple=multiple, icon=icon, description="")


def _clear(upload: FileUpload) -> None:
    """Forget the files, so that the same one can be chosen again. (ipywidgets 7 keeps a dictionary.)"""
    upload.value = () if isinstance(upload.value, tuple) else {}


def _on_enter(box: Text, button: Button) -> None:
    # The Enter key; `on_submit` says the same, with a warning in ipywidgets 8.
    box.on_msg(
        lambda _, content, __: content.get("event") == "submit" and not button.disabled and button.click()
    )


def _classed(box: Any, name: str) -> Any:
    box.add_class(name)
    return box


if __name__ == "__main__":
    from .app_page import main

    main()
