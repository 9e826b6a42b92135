"""Calling a learner's function safely: it may raise, loop for ever, print without end.

Whatever it does, the notebook lives on. The function runs in a thread of its own with a time limit; what it
prints is kept up to a length and the rest is dropped. Nothing here judges what it returns.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import io
import linecache
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ..settings import say

TIME_LIMIT = 30.0  # seconds a call may take; the exercises' solutions take less than one
KEPT = 10_000  # characters of output that are kept
MOST = 10_000  # items that are read of an iterator
# What a NotImplementedError says where a step is not written: nothing, or what the exercises' empty cells
# make it say. With any other text it is a library's.
UNWRITTEN = ("", "this step is not written yet", "这一步还没有写")
STOP_TRIES = 40  # how often a function whose time is up is told to end, every 50 ms


class _TimeUp(BaseException):
    """Raised inside a learner's function whose time is up; no `except Exception` of theirs catches it."""


@dataclass(frozen=True)
class Outcome:
    """What became of a call: its value, or a sentence that says why there is none."""

    value: Any = None
    problem: str = ""
    printed: str = ""


def call(
    function: Callable, *arguments: Any, hints: dict[str, str] | None = None, whole: bool = False
) -> Outcome:
    """Call `function(*arguments)` within `TIME_LIMIT` seconds.

    `hints` maps patterns to sentences: where the error's text matches one, that sentence says what the likely
    mistake was. `whole` makes a list of a returned iterator (a generator, a map): to read it runs the
    learner's code, within the same limits.
    """
    if not callable(function):
        return Outcome(
            problem=say(
                zh=f"这里需要函数本身，而不是 {type(function).__name__}，请写函数名，后面不加括号。",
                en=f"The function itself is needed here, not a {type(function).__name__}: "
                "write its name without parentheses.",
            )
        )
    found: dict[str, Any] = {}
    printed = _Bounded()
    torch = sys.modules.get("torch")
    gradients = torch is not None and torch.is_grad_enabled()

    def run() -> None:
        try:
            if torch is not None:  # a thread begins with gradients on, whatever an earlier cell has set
                torch.set_grad_enabled(gradients)
            value = function(*arguments)
            if whole and isinstance(value, Iterator):
                value = list(islice(value, MOST))
            found["value"] = value
        except BaseException as error:  # SystemExit too: a learner's exit() must not end the check
            found["error"] = error

    thread = threading.Thread(target=run, daemon=True, name="learner")
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        thread.start()
        end = time.monotonic() + TIME_LIMIT
        try:
            while thread.is_alive() and time.monotonic() < end:
                thread.join(0.1)  # on Windows nothing interrupts a wait before it ends
        finally:  # also when the learner interrupts the kernel
            stopped = _stop(thread)
    if not stopped or isinstance(found.get("error"), _TimeUp):
        problem = say(
            zh=f"函数运行了 {TIME_LIMIT:g} 秒还没有结束，已被中止，请检查循环是否会停下来。",
            en=f"The function was still running after {TIME_LIMIT:g} seconds and was stopped: "
            "see whether each loop comes to an end.",
        )
        if not stopped:
            problem += say(
                zh="它没能停下，请重启内核。", en=" It could not be stopped, please restart the kernel."
            )
    elif "error" in found:
        problem = _explain(found["error"], function, hints)
    else:
        problem = ""
    return Outcome(found.get("value"), problem, printed.getvalue())


@contextlib.contextmanager
def another_process(function: Callable) -> Iterator[None]:
    """Let `hash()` give the learner's cells other numbers, as it does for texts in every new process."""
    world = getattr(function, "__globals__", {})
    own = "hash" in world
    if not own:
        world["hash"] = lambda value: builtins.hash((value, "another process"))
    try:
        yield
    finally:
        if not own:
            world.pop("hash", None)


def _stop(thread: threading.Thread) -> bool:
    """Raise `_TimeUp` in the thread until it ends. False where that does not reach it (waiting in C code)."""
    for _ in range(STOP_TRIES):  # again and again: a bare `except:` inside a loop swallows some
        if not thread.is_alive():
            return True
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_TimeUp))
        thread.join(0.05)
    return not thread.is_alive()


def is_unwritten(error: BaseException) -> bool:
    """Whether this is the error of a step that a learner has not written yet."""
    return isinstance(error, NotImplementedError) and str(error) in UNWRITTEN


def in_a_line(error: BaseException) -> str:
    """An error's sort and text, without line breaks."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def hinted(text: str, hints: dict[str, str] | None) -> str:
    """The sentence of the first pattern that `text` matches; "" where none does."""
    return next((sentence for pattern, sentence in (hints or {}).items() if re.search(pattern, text)), "")


def _explain(error: BaseException, function: Callable, hints: dict[str, str] | None) -> str:
    if is_unwritten(error):
        return say(
            zh="这一步还没有写，请在上面的单元格里补全代码，运行它，再运行检查。",
            en="This step is not written yet: complete the cell above, run it, then run the check again.",
        )
    text, where = in_a_line(error), _place(error, function)
    return hinted(text, hints) or say(
        zh=f"函数运行时出错：{text[:300]}{where}",
        en=f"The function raised {text[:300]}{where}",
    )


def _place(error: BaseException, function: Callable) -> str:
    """The learner's own line that failed, not the library's line deep below it."""
    filename = getattr(getattr(function, "__code__", None), "co_filename", None)
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == filename
    ]
    if not lines:
        return ""
    source = linecache.getline(filename, lines[-1]).strip()
    return say(zh=f"（第 {lines[-1]} 行：{source}）", en=f" (line {lines[-1]}: {source})")


class _Bounded(io.TextIOBase):
    """A text stream that keeps the first `KEPT` characters and forgets the others."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._room = KEPT

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self._room > 0:
            self._kept.append(text[: self._room])
            self._room -= len(text)
        return len(text)

    def getvalue(self) -> str:
        return "".join(self._kept)
