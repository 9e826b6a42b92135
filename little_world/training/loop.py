"""One training loop for every miniature: warm-up and cosine, bf16 where it helps, checkpoints, resume."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..paths import MODELS
from .data import cache_folder
from .parallel import Team, is_first


@dataclass(frozen=True)
class Recipe:
    """What a run is: everything that changes its result."""

    steps: int
    batch_size: int
    learning_rate: float
    warmup: int = 200
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float = 1.0
    ema: float = 0.0  # decay of the averaged weights, 0 for none
    seed: int = 0
    horizon: int | None = None  # where the cosine ends, if not at `steps`


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the peak."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    t = (step - recipe.warmup) / max(1, (recipe.horizon or recipe.steps) - recipe.warmup)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, t))))


def destination(name: str, given: Path | None, trial: bool) -> Path:
    """The folder of the finished model: `given`, or the course's own; a trial's, which is good for nothing, in the cache."""
    return given or (cache_folder() / "trials" / f"{name}-trial" if trial else MODELS / name)


def checkpoints(folder: Path) -> Path:
    """Where the checkpoints of the model for `folder` are: another folder is another training."""
    return cache_folder() / folder.resolve().name


def replace_folder(folder: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a folder, which takes the place of `folder` when it is whole."""
    temporary = folder.with_name(folder.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    write(temporary)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def finished(checkpoint: Path, recipe: Recipe) -> bool:
    """Whether the run of that checkpoint has come to its end."""
    return (
        checkpoint.exists()
        and torch.load(checkpoint, map_location="cpu", weights_only=True)["step"] >= recipe.steps
    )


def autocast(device: str):
    """bfloat16 autocast where it pays: on GPUs, and on CPUs that compute with it (AVX-512 BF16, AMX)."""
    wanted = os.environ.get("COURSE_AUTOCAST", "1") != "0" and (device != "cpu" or bfloat16_pays())
    # What is recorded (`gpu.stepwise`) may keep nothing from one step for the next.
    return (
        torch.autocast(device, torch.bfloat16, cache_enabled=device == "cpu")
        if wanted
        else contextlib.nullcontext()
    )


def name_of(device: str) -> str:
    """What a model card calls the machine that a model was trained on."""
    return (
        f"{os.cpu_count()} CPU cores"
        if device == "cpu"
        else f"one GPU ({torch.cuda.get_device_name(device)})"
    )


@functools.cache
def bfloat16_pays() -> bool:
    """Whether this CPU multiplies in bfloat16 faster than in float32: measured, in some milliseconds.

    With AVX2 alone, as in most laptops, PyTorch's bfloat16 is many times slower than its float32.
    """

    def seconds(dtype: torch.dtype) -> float:
        a = torch.ones(256, 256, dtype=dtype)
        spent = []
        for _ in range(6):
            start = time.perf_counter()
            a @ a
            spent.append(time.perf_counter() - start)
        return min(spent)

    return seconds(torch.bfloat16) < seconds(torch.float32)


class Ahead:
    """`batches`, each of them made in a thread while the model is busy with the one before."""

    def __init__(self, batches):
        self._batches, self._pool = batches, ThreadPoolExecutor(max_workers=1)
        self._next: tuple[int, Future] | None = None

    def __getitem__(self, step: int):
        known = self._next is not None and self._next[0] == step
        batch = self._next[1] if known else self._pool.submit(self._batches.__getitem__, step)
        self._next = step + 1, self._pool.submit(self._batches.__getitem__, step + 1)
        return batch.result()


def fit(
    model: torch.nn.Module,
    loss: Callable[[int], tuple[torch.Tensor, dict[str, float]]],
    recipe: Recipe,
    checkpoint: Path,
    *,
    device: str = "cpu",
    look: Callable[[int, torch.nn.Module], None] | None = None,
    look_every: int = 500,
    save_every: float = 120.0,
    processes: int = 1,
) -> float:
    """Train until `recipe.steps`; returns the seconds spent, earlier runs counted in.

    `loss(step)` draws the batch of that step and returns its loss and what else to log; a batch must follow from
    the step alone, so that a resumed run goes on as if it had never stopped. What is logged may be tensors: they are read
    now and then only, since a GPU would have to be waited for. `look` is called now and then with
    the (averaged) weights. The checkpoint is written to a temporary file and renamed: a kill loses two minutes.
    With several `processes` each computes a part of the batch (`parallel.share`), and only the first logs, looks and saves.
    """
    decay = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    other = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [{"params": decay, "weight_decay": recipe.weight_decay}, {"params": other, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, fused=True)
    averaged = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.ema)) if recipe.ema else None  # fmt: skip
    first, spent = 0, 0.0
    kept = repr(replace(recipe, steps=0))  # a longer run may go on
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        if state.get("recipe", kept) != kept:
            raise SystemExit(f"{checkpoint} is of another recipe: remove it, or train into another folder.")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if averaged is not None:
            averaged.load_state_dict(state["averaged"])
        first, spent = state["step"], state["seconds"]
        done = f" of {recipe.steps}: finished earlier, remove {checkpoint} to train anew"
        print(f"resuming at step {first}{done if first >= recipe.steps else ''}", flush=True)

    def save(step: int) -> None:
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "recipe": kept,
            "step": step,
            "seconds": spent + time.time() - start,
        }
        if averaged is not None:
            state["averaged"] = averaged.state_dict()
        temporary = checkpoint.with_suffix(".part")
        torch.save(state, temporary)
        os.replace(temporary, checkpoint)

    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    start = last_save = last_log = time.time()
    model.train()
    logged: dict[str, float | torch.Tensor] = {}
    autocast(device)  # measured before there are several processes, which would measure one another
    with Team(model, processes if first < recipe.steps else 1) as team:
        for step in range(first, recipe.steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, step)
            with autocast(device):
                value, extra = loss(step)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            team.average_gradients()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()
            if not is_first():
                continue
            if averaged is not None:
                averaged.update_parameters(model)
            for name, number in {"loss": value, **extra}.items():
                number = number.detach() if isinstance(number, torch.Tensor) else number
                logged[name] = 0.95 * logged.get(name, number) + 0.05 * number
            now = time.time()
            if (step + 1) % 50 == 0:
                pace = 50 * recipe.batch_size / max(now - last_log, 1e-9)
                last_log = now
                record = {"step": step + 1, "seconds": round(spent + now - start), "samples/s": round(pace),
                          **{k: round(float(v), 4) for k, v in logged.items()}}  # fmt: skip
                print(json.dumps(record), flush=True)
            if now - last_save > save_every or step + 1 == recipe.steps:
                save(step + 1)
                last_save = time.time()
            if look and ((step + 1) % look_every == 0 or step + 1 == recipe.steps):
                shown = averaged.module if averaged is not None else model
                shown.eval()
                with torch.no_grad():
                    look(step + 1, shown)
                shown.train()
    if averaged is not None:
        model.load_state_dict(averaged.module.state_dict())
    return spent + time.time() - start
