"""Training on several processes: the same weights as one process finds, and nobody left behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from threading import BrokenBarrierError

import psutil
import pytest
import torch

from little_world.training import parallel
from little_world.training.loop import Recipe, fit

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="processes are forked on Linux alone"
)


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    monkeypatch.setenv("COURSE_AUTOCAST", "0")


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


@pytest.fixture(autouse=True)
def nobody_left_behind() -> Iterator[None]:
    before = children()  # of other tests: a server that is kept running
    yield
    assert children() <= before


class Batches:
    """Eight rows a step, shared out."""

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(step)
        rows = torch.randn(8, 4, generator=generator)
        return parallel.share(rows), parallel.share(rows @ torch.tensor([1.0, -2.0, 3.0, 0.5]))


def train(folder, processes: int, fail_at: int | None = None, **recipe) -> torch.nn.Module:
    torch.manual_seed(0)
    model, batches = torch.nn.Linear(4, 1), Batches()

    def loss(step: int):
        if step == fail_at and (processes == 1 or not parallel.is_first()):
            raise ZeroDivisionError("as asked")
        rows, wanted = batches[step]
        return (model(rows)[:, 0] - wanted).square().mean(), {"rows": float(len(rows))}

    fit(model, loss, Recipe(**{"steps": 60, "batch_size": 8, "learning_rate": 0.05, "warmup": 5} | recipe),
        folder / f"{processes}.pt", processes=processes)  # fmt: skip
    return model


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_two_processes_find_the_weights_that_one_finds(tmp_path, ema, capfd):
    one, two = train(tmp_path, 1, ema=ema), train(tmp_path, 2, ema=ema)
    for a, b in zip(one.parameters(), two.parameters()):
        assert torch.allclose(a, b, atol=1e-5)
    assert parallel.is_first() and parallel.share([1, 2, 3]) == [1, 2, 3]
    said = capfd.readouterr().out
    assert said.count('"step": 50') == 2  # once a run: only the first process logs
    assert '"rows": 8.0' in said and '"rows": 4.0' in said


def test_it_goes_on_from_a_checkpoint(tmp_path):
    whole = train(tmp_path, 2)
    (tmp_path / "2.pt").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("little_world.training.loop.learning_rate", lambda recipe, step: 0.05)
        flat = train(tmp_path, 1)
        (tmp_path / "1.pt").unlink()
        train(tmp_path, 2, steps=30)
        again = train(tmp_path, 2)
    assert torch.allclose(again.weight, flat.weight, atol=1e-5)
    assert not torch.allclose(whole.weight, flat.weight, atol=1e-5)


def test_a_process_that_fails_ends_the_run(tmp_path, capfd):
    with pytest.raises(BrokenBarrierError):
        train(tmp_path, 2, fail_at=10)
    assert "as asked" in capfd.readouterr().err
    assert parallel.is_first() and parallel.share([1, 2]) == [1, 2]
