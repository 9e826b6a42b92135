"""The state of the search-and-ask app, and what each thing a user can do makes of it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Protocol

from . import app_core, bulk
from .app_core import Found, Reply
from .bulk import AddReport
from .errors import CourseError, CourseWarning
from .images import ImageSource
from .settings import say

if TYPE_CHECKING:
    from .search import ImageSearchEngine
    from .vqa import VisualQA

SHOWN = 18  # pictures in the gallery
STEP = 16  # pictures taken from a folder before the page is listened to again

Progress = Callable[[int, int], None]


class AppSession(Protocol):
    """What the app needs to know of a session. `Session` is one; exercise 3 lets a learner write another."""

    engine: ImageSearchEngine
    pictures: dict[str, Any]
    results: Found
    chosen: str | None
    turns: dict[str, list[tuple[str, Reply]]]
    note: str

    def search(self, words: str = "", picture: Any = None) -> None: ...
    def choose(self, picture_id: str) -> None: ...
    def ask(self, question: str) -> None: ...
    def ask_all(self, question: str) -> list[tuple[str, int]]: ...
    def add(self, files: Sequence[tuple[str, bytes]], progress: Progress) -> list[tuple[str, str]]: ...


class Session:
    """Searching, choosing, asking and adding, one after the other, as a user does.

    `pictures` maps the ids of the engine to the pictures themselves (files, PIL images), for a chat sees more in them
    than in the engine's thumbnails. `results` is what the gallery shows, `chosen` the picture that is asked about,
    `turns` the questions and replies of each picture. What goes wrong is one sentence in `note`, and the session goes
    on; a method's next call clears it.
    """

    def __init__(
        self, engine: ImageSearchEngine, vqa: VisualQA, pictures: Mapping[str, ImageSource] | None = None
    ):
        self.engine, self.vqa = engine, vqa
        self.pictures: dict[str, Any] = dict(pictures or {})
        self.results: Found = []
        self.chosen: str | None = None
        self.turns: dict[str, list[tuple[str, Reply]]] = {}
        self.note = ""
        self.search()

    @contextmanager
    def _noting(self) -> Any:
        """A learner's or a service's error becomes the note; an error of the program does not."""
        self.note = ""
        try:
            yield
        except CourseError as error:
            self.note = str(error)

    def search(self, words: str = "", picture: ImageSource | None = None) -> None:
        """Show what fits the words, the picture, or both; without either the first pictures there are."""
        with self._noting():
            found = app_core.find(self.engine, words, picture, top_k=SHOWN)
            if not words.strip() and picture is None:
                found = [(picture_id, None) for picture_id, _ in zip(self.engine, range(SHOWN))]
            self.results, self.chosen = found, None
            if not len(self.engine):
                self.note = say(
                    zh="图库还是空的，请先添加图片。", en="The gallery is empty, please add pictures first."
                )

    def choose(self, picture_id: str) -> None:
        """Make a picture of the engine the one that is asked about."""
        with self._noting():
            self.engine.get(picture_id)  # `StoreError` where it is not there
            self.chosen = picture_id

    def ask(self, question: str) -> None:
        """Ask about the chosen picture, and keep question and reply with it."""
        with self._noting():
            if self.chosen is None:
                self.note = say(zh="请先点一张图片，再提问。", en="Please click a picture first, then ask.")
                return
            reply = app_core.ask(self.vqa, self._picture(self.chosen), question)
            self.turns.setdefault(self.chosen, []).append((question.strip(), reply))

    def ask_all(self, question: str) -> list[tuple[str, int]]:
        """Ask every picture that is shown: what was said how often. Each picture keeps its own reply, too."""
        counts: list[tuple[str, int]] = []
        with self._noting():
            shown = {picture_id: self._picture(picture_id) for picture_id, _ in self.results}
            replies, counts, failed = app_core.ask_all(
                lambda p, q: app_core.ask(self.vqa, p, q), shown, question
            )
            for picture_id, reply in replies.items():
                self.turns.setdefault(picture_id, []).append((question.strip(), reply))
            self.note = next(iter(failed.values()), "")
        return counts

    def add(self, files: Sequence[tuple[str, bytes]], progress: Progress) -> list[tuple[str, str]]:
        """Take uploaded files in and show them: `(name, why)` of those that were refused."""
        refused: list[tuple[str, str]] = []
        with self._noting():
            added, refused = app_core.add(self.engine, files, progress)
            self.pictures |= added
            if added:
                self.results, self.chosen = [(picture_id, None) for picture_id in added], None
        return refused

    def _picture(self, picture_id: str) -> Any:
        """The picture itself, or where only the engine knows it its thumbnail."""
        own = self.pictures.get(picture_id)
        return self.engine.get(picture_id).thumbnail if own is None else own


def open_folder(folder: str | os.PathLike) -> tuple[Session, Iterator[tuple[AddReport, int]]]:
    """A session over the pictures in a folder and below, still empty, and the steps that fill it.

    Each step takes in some pictures, and yields a report on those so far with the number there is in all, so that a
    page can show progress and listen between two. Raises `ImageError` where there is no such folder.
    """
    from .search import ImageSearchEngine
    from .vqa import VisualQA

    files = bulk.in_folder(folder, "**/*")
    engine = ImageSearchEngine()
    session = Session(engine, VisualQA(clip_service=engine.clip_service))
    return session, _filled(session, files)


def _filled(session: Session, files: Mapping[str, Path]) -> Iterator[tuple[AddReport, int]]:
    report, names = AddReport(), list(files)
    for start in range(0, len(names), STEP):
        some = {name: files[name] for name in names[start : start + STEP]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CourseWarning)  # what was left out is in the report
            step = session.engine.add_images(
                some, metadata=lambda name: {"name": PurePath(name).name}, progress=False
            )
        report.added += step.added
        report.failed |= step.failed
        session.pictures |= {name: files[name] for name in step.added}
        yield report, len(names)
