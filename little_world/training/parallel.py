"""One run on several cores: processes of one thread each that share a batch and average their gradients.

A small model's layers are too short for threads: they spend their time waiting for one another. Processes wait once a step.
(This is data parallelism as in PyTorch's DistributedDataParallel, with memory that forked processes share in place of a network.)
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from typing import TypeVar

import torch

PATIENCE = 1800  # seconds that a process waits for the others: the first one has looks to take
_rank, _world = 0, 1  # which of how many this process is
T = TypeVar("T", bound=Sequence)


def share(items: T) -> T:
    """This process's part of a batch: every so-manieth item."""
    return items[_rank::_world]


def is_first() -> bool:
    """Whether this process is the one that logs, looks and saves."""
    return _rank == 0


def start_processes(asked: int | None, device: str) -> int:
    """How many processes to train with, each on one thread; one where there is an accelerator, or no fork."""
    count = (
        1
        if device != "cpu" or not sys.platform.startswith("linux")
        else asked or len(os.sched_getaffinity(0))
    )
    if count > 1:
        torch.set_num_threads(1)
    return count


class Team:
    """The processes of one run: what stands under `with Team(model, 2) as team:` is done by this one and by a new one.

    Each begins with a copy of everything as it stands; the new one ends with the block. One thread a process.
    """

    def __init__(self, model: torch.nn.Module, size: int):
        self.size, self._others = size, []
        self._learning = [p for p in model.parameters() if p.requires_grad]

    def __enter__(self) -> Team:
        global _rank, _world
        if self.size == 1:
            return self
        count = sum(p.numel() for p in self._learning)
        self._gradients = torch.zeros(self.size, count).share_memory_()
        self._all_there = multiprocessing.get_context("fork").Barrier(self.size, timeout=PATIENCE)
        _world = self.size
        for rank in range(1, self.size):
            parent, child = os.getpid(), os.fork()
            if child == 0:
                _rank = rank
                threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
                return self
            self._others.append(child)
        return self

    def __exit__(self, kind, error, trace) -> None:
        global _world
        if not is_first():
            if error:
                traceback.print_exception(kind, error, trace)
                self._all_there.abort()
            os._exit(bool(error))  # whatever called us is the first process's to go on with
        _world = 1
        for child in self._others:
            if error:
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def average_gradients(self) -> None:
        """Each process's gradients become the mean of all."""
        if self.size == 1:
            return
        mine = [p.grad if p.grad is not None else torch.zeros_like(p) for p in self._learning]
        torch.cat([g.reshape(-1) for g in mine], out=self._gradients[_rank])
        self._all_there.wait()
        mean = self._gradients.mean(dim=0)
        self._all_there.wait()  # nobody writes the next ones before all have read these
        for p, part in zip(self._learning, mean.split([p.numel() for p in self._learning])):
            p.grad = part.view_as(p)


def _end_with(parent: int) -> None:
    """No process outlives the first one, however that ended."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
