"""A run that is killed in the middle of writing a file, as `kill -9` or a power cut would do it.

Python tells an audit hook (PEP 578) of every file that is opened, renamed or removed. While a kill is
planned, the hook leaves half a picture where the file would be and raises `Killed` in its place, and again
for whatever the run would still do to its files: a dead process writes nothing, and tidies nothing up.
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
# what a run may keep beside its pictures
_NOTES = (".json", ".jsonl", ".csv", ".txt", ".log", ".db", ".lock")


class Killed(BaseException):
    """The run is over; no `except Exception` stops this, as none would stop a kill."""


class Kill:
    """A kill at the moment when picture file number `number` comes into being in `folder`: opened there for
    writing, or written elsewhere and moved there whole. `gone` is set from then on."""

    def __init__(self, folder: Path, number: int, half: bytes):
        self.folder, self.half = str(folder.resolve()), half
        self.gone = threading.Event()
        self._left = number
        self._lock = threading.Lock()

    @property
    def fired(self) -> bool:
        return self.gone.is_set()

    def concerns(self, path: str | bytes | os.PathLike) -> bool:
        """Whether this is a place for pictures, be there one or not."""
        name = os.path.abspath(os.fsdecode(path))
        inside = os.path.realpath(os.path.dirname(name)).startswith(self.folder)
        return inside and not name.endswith(_NOTES)

    def begins(self, path: str | bytes | os.PathLike) -> None:
        """A picture file is about to be opened for writing; that of the kill stays half written."""
        if self._is_due():
            with open(path, "wb") as file:
                file.write(self.half)
        self.ends_the_dead()

    def arrives(self) -> None:
        """A picture file is about to be moved into the folder; that of the kill stays outside."""
        self._is_due()
        self.ends_the_dead()

    def ends_the_dead(self) -> None:
        if self.fired:
            raise Killed

    def _is_due(self) -> bool:
        """Count one more file: whether it is the one at which the run is killed."""
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self.gone.set()
            return self._left == 0


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
    if kill is None or getattr(_inside, "hook", False):
        return
    if event == "open" and _writes(*arguments[1:]) or event == "os.remove":
        path, source = arguments[0], None
    elif event == "os.rename":  # os.replace says so, too
        source, path = arguments[:2]
    else:
        return
    if not isinstance(path, (str, bytes, os.PathLike)):
        return  # a file's number
    _inside.hook = True  # what follows opens files itself
    try:
        if not kill.concerns(path):
            return
        if event == "open":
            kill.begins(path)
        elif source is not None and not kill.concerns(source):
            kill.arrives()
        else:
            kill.ends_the_dead()
    finally:
        _inside.hook = False


def _writes(mode: Any, flags: int) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wxa+")
    return bool(flags and flags & _WRITING)
