"""What keeps a GPU busy, as far as a machine without one can tell: the same batches and losses by another way."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from little_world.training import gpu

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="batches come from forked processes"
)


class Batch(NamedTuple):
    rows: torch.Tensor
    wanted: torch.Tensor


class Batches:
    def __getitem__(self, step: int) -> Batch:
        rows = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        return Batch(rows, rows.sum(dim=1, keepdim=True))


def squared(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    error = (model(batch.rows) - batch.wanted).square().mean()
    return error, {"error": error.detach()}


def test_batches_from_processes_come_in_order_and_from_any_step_on():
    coming = gpu.InProcesses(Batches(), processes=2)
    for step in (0, 1, 2, 3, 10, 11, 5):
        batch = coming[step]
        assert isinstance(batch, Batch) and all(map(torch.equal, batch, Batches()[step])), step


class Recorded:
    """As what a GPU has recorded: it may be freed by its own process alone. It holds itself, so only `gc` frees it."""

    def __init__(self, freed: Path):
        self.itself, self.freed = self, freed

    def __del__(self):
        with self.freed.open("a") as file:
            file.write(f"{os.getpid()}\n")


class Collecting(Batches):
    def __getitem__(self, step: int) -> Batch:
        gc.collect()
        return super().__getitem__(step)


def test_what_was_recorded_before_is_freed_by_no_other_process(tmp_path):
    freed = tmp_path / "freed"
    kept = [Recorded(freed)]
    gc.disable()
    try:
        Recorded(freed)
        coming = gpu.InProcesses(Collecting(), processes=1)
        coming[0], coming[1]
    finally:
        gc.enable()
    assert freed.read_text().split() == [str(os.getpid())]
    assert gc.get_freeze_count() == 0
    kept.clear()
    gc.collect()
    assert freed.read_text().split() == [str(os.getpid())] * 2


def test_a_step_loses_the_same_on_either_way(monkeypatch):
    monkeypatch.setenv("COURSE_CUDA_GRAPHS", "0")
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    plain, moved = (
        gpu.stepwise(model, lambda b: squared(model, b), Batches(), device) for device in ("cpu", "cpu:0")
    )
    for step in (0, 1, 2):
        (a, shown), (b, again) = plain(step), moved(step)
        assert torch.equal(a, b) and torch.equal(shown["error"], again["error"])
    b.backward()
    assert model.weight.grad is not None


def test_what_is_recorded_holds_the_models_weights_and_takes_a_batchs_tensors(monkeypatch):
    seen = []
    monkeypatch.setattr(gpu, "autocast", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(
        torch.cuda, "make_graphed_callables", lambda *args, **how: seen.append(args) or args[0]
    )
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    model = torch.nn.Linear(4, 1)
    gpu.stepwise(model, lambda batch: squared(model, batch), Batches(), "cpu:0")
    ((module, sample),) = seen
    assert {*module.parameters()} == {*model.parameters()}
    loss, shown = module(*sample)
    assert (
        torch.equal(loss, squared(model, Batches()[0])[0])
        and loss.requires_grad
        and not shown["error"].requires_grad
    )
