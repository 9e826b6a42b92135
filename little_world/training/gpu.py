"""What keeps a GPU busy with a small model: batches made by processes, and the work of a step recorded and replayed.

The kernels of a miniature are shorter than what Python takes to start them, and its batches take a processor longer to
make than a GPU to learn from.
"""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from .loop import autocast

Logged = dict[str, Tensor]


def stepwise(
    model: torch.nn.Module, loss: Callable[[Any], tuple[Tensor, Logged]], batches: Any, device: str
) -> Callable[[int], tuple[Tensor, Logged]]:
    """The loss of a step for `loop.fit`: `loss` of that step's batch, a named tuple of tensors, with what to log.

    On a GPU batches come from processes of their own, and `loss`, whose weights are those of `model`, is recorded: batches
    must have one shape, and nothing may need a number from the GPU. COURSE_CUDA_GRAPHS=0 leaves out the recording.
    """
    if device == "cpu":
        return lambda step: loss(batches[step])

    def moved(batch: Any) -> tuple[Tensor, ...]:
        return tuple(part.to(device, non_blocking=True) for part in batch)

    first, coming = batches[0], InProcesses(batches)
    of_tensors: torch.nn.Module = _OfTensors(model, loss, type(first))
    if os.environ.get("COURSE_CUDA_GRAPHS", "1") != "0":
        torch.backends.cudnn.benchmark = (
            True  # shapes are always the same: try once which algorithms are fastest
        )
        with autocast(device):
            of_tensors = torch.cuda.make_graphed_callables(of_tensors, moved(first), allow_unused_input=True)
    return lambda step: of_tensors(*moved(coming[step]))


class _OfTensors(torch.nn.Module):
    """A loss of batches as a module of their tensors, which is what CUDA graphs are made of."""

    def __init__(self, model: torch.nn.Module, loss: Callable[[Any], tuple[Tensor, Logged]], batch: type):
        super().__init__()
        self.model, self.loss, self.batch = model, loss, batch

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Logged]:
        return self.loss(self.batch(*tensors))


class InProcesses:
    """`batches`, made by processes of their own some steps ahead, in memory that a GPU can fetch from."""

    def __init__(self, batches: Any, processes: int | None = None):
        self._batches, self._processes = batches, processes or max(1, (os.cpu_count() or 1) - 2)
        self._next, self._coming = -1, iter(())

    def __getitem__(self, step: int) -> Any:
        if step != self._next:
            batches = DataLoader(self._batches, batch_size=None, sampler=itertools.count(step), num_workers=self._processes,
                                 prefetch_factor=8, pin_memory=torch.cuda.is_available())  # fmt: skip
            # What an earlier stage recorded must not be freed by a process that was forked: it would end with a CUDA error.
            gc.collect()
            gc.freeze()
            self._coming = iter(batches)
            gc.unfreeze()
        self._next = step + 1
        return next(self._coming)
