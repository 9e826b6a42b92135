"""A run that is killed in the middle of writing a file, as `kill -9` or a power cut would do it.

Python tells an audit hook (PEP 578) of every file that is opened. While a kill is planned, the hook leaves half a
picture where the file would be and raises `Killed` in its place, and again for whatever is written afterwards.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR
_NOTES = (
    ".json",
    ".jsonl",
    ".csv",
    ".txt",
    ".log",
    ".db",
    ".lock",
)  # what a run may keep beside its pictures


class Killed(BaseException):
    """The run is over; no `except Exception` stops this, as none would stop a kill."""


class Kill:
    """A kill at the moment when the picture file number `number` is opened for writing in `folder`."""

    def __init__(self, folder: Path, number: int, half: bytes):
        self.folder, self.half = str(folder.resolve()), half
        self.fired = False
        self._left = number
        self._lock = threading.Lock()

    def opened(self, path: str) -> None:
        with self._lock:
            self._left -= 1
            first, self.fired = self._left == 0, self.fired or self._left <= 0
        if first:
            with open(path, "wb") as file:
                file.write(self.half)
        if self.fired:
            raise Killed


_planned: Kill | None = None
_hooked = False
_inside = threading.local()


@contextmanager
def killed_while_writing(folder: Path, number: int, half: bytes) -> Iterator[Kill]:
    """Within this, the run is killed while it writes its picture file `number`, of which `half` is left."""
    global _planned, _hooked
    if not _hooked:
        sys.addaudithook(_hook)  # for the rest of the process: a hook cannot be taken away
        _hooked = True
    _planned = Kill(folder, number, half)
    try:
        yield _planned
    finally:
        _planned = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    kill = _planned
    if kill is None or event != "open" or getattr(_inside, "hook", False):
        return
    path, mode, flags = arguments
    writes = (
        any(letter in mode for letter in "wxa+")
        if isinstance(mode, str)
        else bool(flags and flags & _WRITING)
    )
    if not writes or not isinstance(path, (str, bytes)):
        return
    _inside.hook = True  # what follows opens files itself
    try:
        name = os.path.abspath(os.fsdecode(path))
        inside = os.path.realpath(os.path.dirname(name)).startswith(kill.folder)
        if inside and not name.endswith(_NOTES):
            kill.opened(name)
    finally:
        _inside.hook = False
