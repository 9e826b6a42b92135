"""A bounded line of jobs, and the one thread that does them in batches.

A place is taken when a request comes in and given back when its last event is out, so that the bound covers
what is being prepared, what waits and what runs. Whoever finds no place is told so at once.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger(__name__)


class Full(Exception):
    """Every place is taken."""


class Cancelled(Exception):
    """Whoever asked has gone, or the server is closing."""


@dataclass(eq=False)
class Job:
    """A piece of work. `emit` is called in the worker's thread with each event; `finish` with the last one.

    Jobs with equal `key` can share a batch.
    """

    work: Any
    key: Hashable
    emit: Callable[[Any], None]
    cancelled: threading.Event = field(default_factory=threading.Event)
    begun: bool = False  # an event is out: the job cannot be done again
    done: bool = False

    def event(self, event: Any) -> None:
        self.begun = True
        self.emit(event)

    def finish(self, event: Any) -> None:
        """The last event: a result or an exception. Only the first call counts."""
        if not self.done:
            self.done = True
            self.emit(event)


class Places:
    """A counter with a bound: `with places:` holds one, or raises `Full`, and so does `take` until `give`."""

    def __init__(self, bound: int):
        self.bound, self.taken, self._lock = bound, 0, threading.Lock()

    def take(self) -> None:
        with self._lock:
            if self.taken >= self.bound:
                raise Full
            self.taken += 1

    def give(self) -> None:
        with self._lock:
            self.taken -= 1

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *_: object) -> None:
        self.give()


class Worker:
    """Runs `run(jobs)` over batches of at most `max_batch` jobs of one key, first come, first served.

    An exception in a batch fails only its jobs; where none of them has begun to answer, each is tried once
    more alone, so that one that cannot be done does not take its neighbours along.
    """

    def __init__(self, run: Callable[[list[Job]], None], *, max_batch: int, name: str):
        self.run, self.max_batch = run, max_batch
        self.closing = threading.Event()
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        with self._changed:
            if self.closing.is_set():
                job.finish(Cancelled())
                return
            self._waiting.append(job)
            self._changed.notify()

    def close(self, timeout: float = 10) -> None:
        """Tell everyone who waits, and end the thread."""
        with self._changed:
            self.closing.set()
            left = list(self._waiting)
            self._waiting.clear()
            self._changed.notify()
        for job in left:
            job.finish(Cancelled())
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self.closing.is_set())
                if self.closing.is_set():
                    return
                batch = self._take()
            self._do(batch)

    def _take(self) -> list[Job]:
        """The first in line, and those behind it that fit into its batch; the rest keep their order."""
        batch: list[Job] = []
        rest: deque[Job] = deque()
        for job in self._waiting:
            if job.cancelled.is_set():
                job.finish(Cancelled())
            elif len(batch) < self.max_batch and (not batch or job.key == batch[0].key):
                batch.append(job)
            else:
                rest.append(job)
        self._waiting = rest
        return batch

    def _do(self, batch: list[Job]) -> None:
        if not batch:
            return
        try:
            self.run(batch)
        except Exception as error:
            log.exception("a batch of %d failed", len(batch))
            again = [job for job in batch if not (job.done or job.begun or job.cancelled.is_set())]
            if len(batch) > 1:
                for job in again:
                    self._do([job])
            for job in batch:
                job.finish(error)
        for job in batch:
            job.finish(Cancelled())
