"""What every engine has in common: a model folder, loaded once, in the background, when it is first
wanted."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch

from course_lib import loading, settings
from course_lib.errors import ModelError
from course_lib.settings import say

from .errors import ApiError
from .worker import Job, Places, Worker

log = logging.getLogger(__name__)

SMALL = 50_000_000  # parameters


class Engine:
    """A model and the thread that works with it. Subclasses give `default`, `_open`, `_forget` and `_check`.

    `model` is a folder or a miniature's name, `run` what the worker does with at most `max_batch` jobs.
    Nothing is loaded before `begin` or `wait`. A model that is named must be there, `ModelError` says so at
    once; the default one, and with `lazy` any, may be missing until somebody asks it something.
    """

    default: str

    def __init__(
        self,
        model: str | os.PathLike | None,
        run: Callable[[list[Job]], None],
        *,
        max_batch: int,
        places: int,
        lazy: bool = False,
    ):
        self.asked_as = self.default if model is None else os.fspath(model)
        self.source = os.path.expanduser(settings.locate(self.asked_as))
        if model is not None and not lazy:
            self.check()
        self.name = Path(self.source).resolve().name
        self.worker = Worker(run, max_batch=max_batch, name=f"work of {self.name}")
        self.places = Places(places)
        self.created = int(time.time())
        self.loaded, self.failure = threading.Event(), None
        self._begun, self._lock = False, threading.Lock()
        self._forget()

    def answers_to(self, name: str) -> bool:
        return name in (self.name, self.asked_as)

    @property
    def state(self) -> Literal["idle", "loading", "failed", "ready"]:
        """ "idle" until somebody wants the model."""
        if not self._begun:
            return "idle"
        return "loading" if not self.loaded.is_set() else "failed" if self.failure else "ready"

    @property
    def there(self) -> bool:
        """Whether the model's folder exists, or it came from elsewhere."""
        return os.path.isdir(self.source) or self.state == "ready"

    def check(self) -> None:
        """Raises `ModelError` where there is no folder of that name, or no such model in it."""
        if not os.path.isdir(self.source):
            miniature = self.source != os.path.expanduser(self.asked_as)
            raise ModelError(
                say(
                    zh=f"找不到模型文件夹 {self.asked_as}，"
                    + ("请重新获取本课程。" if miniature else "请检查路径。"),
                    en=f"There is no model folder {self.asked_as}, please "
                    + ("get the course again." if miniature else "check the path."),
                )
            )
        self._check()

    def begin(self) -> None:
        """Load in the background, if that has not begun."""
        with self._lock:
            if not self._begun:
                self._begun = True
                threading.Thread(target=self._load, name=f"loading {self.name}", daemon=True).start()

    def wait(self) -> None:
        """Until the model is loaded; raises `ApiError` 503 where it cannot be, or the engine is closed."""
        if not self.worker.closing.is_set():
            self.begin()
            self.loaded.wait()
        if self.worker.closing.is_set():
            raise ApiError(503, "The server is closing.", code="server_closing")
        if self.failure:
            raise ApiError(503, str(self.failure), code="model_not_loaded")

    def close(self) -> None:
        """End what is being worked on, and let go of the weights."""
        self.worker.close()
        if self._begun:
            self.loaded.wait(10)
        self._forget()  # FastAPI's caches keep the app, and with it the engine, for good

    def _load(self) -> None:
        try:
            self.check()
            with loading.one_at_a_time:
                self._open()
        except ModelError as error:
            self.failure = error
        except Exception as error:
            log.exception("%s cannot be loaded", self.source)
            reason = loading.reason(error)
            self.failure = ModelError(
                say(
                    zh=f"无法加载 {self.name}（{reason}），请重新下载或重新训练。",
                    en=f"{self.name} cannot be loaded ({reason}), please download or train it again.",
                )
            )
        finally:
            self.loaded.set()

    def _check(self) -> None:
        """Raises `ModelError` where the folder, which exists, is no such model's."""
        loading.check_folder(self.source)

    def _open(self) -> None:
        raise NotImplementedError

    def _forget(self) -> None:
        raise NotImplementedError


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Torch's threads for the calculations of this thread.

    A step of a small model gains little from a second one, and on a busy machine threads that wait for each
    other made it twenty times slower.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
