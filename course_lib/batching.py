"""One call for many items, several at a time, where one failure does not take the others with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tqdm.auto import tqdm

Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """What became of one item: its `value`, or the `error` it ended in."""

    item: Any
    value: Value | None = None
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        return self.error is None

    def result(self) -> Value:
        """The value; raises the error where there is one."""
        if self.error is not None:
            raise self.error
        return self.value


def quiet(progress: bool) -> bool:
    """Whether a progress bar stays away: not wanted, or switched off by TQDM_DISABLE, which a notebook's bar does not
    heed by itself."""
    return not progress or os.environ.get("TQDM_DISABLE", "0") not in ("", "0")


def _waited(future: Future[Outcome[Value]]) -> Outcome[Value]:
    """The future's result. On Windows nothing interrupts a wait before it ends, so that short ones are made of it."""
    while not future.done():
        wait([future], timeout=0.2)
    return future.result()


def batch(
    call: Callable[[Item], Value], items: Iterable[Item], *, max_workers: int = 8, progress: bool = True
) -> list[Outcome[Value]]:
    """`call(item)` for each item in up to `max_workers` threads: outcomes in the items' order.

    Meant for calls that wait for a service, `batch(analyzer.describe, images)`. An error stays with its item;
    interrupting (Ctrl-C, a notebook's stop button) drops what has not begun.
    """
    items = list(items)
    with tqdm(total=len(items), disable=quiet(progress), delay=2, leave=False) as bar:

        def run(item: Item) -> Outcome[Value]:
            try:
                outcome = Outcome(item, call(item))
            except Exception as error:
                outcome = Outcome(item, error=error)
            bar.update()
            return outcome

        pool = ThreadPoolExecutor(max_workers=max_workers)
        try:
            return [_waited(future) for future in [pool.submit(run, item) for item in items]]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            pool.shutdown(wait=False)
