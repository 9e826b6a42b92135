"""A CLIP small enough to be trained while you watch: lesson 02's two minutes on two CPU cores.

The recipe of mini-clip (`clip.py`) cut down to close-ups: one thing fills the picture, and the caption tells its
colour and kind alone. A batch holds each (kind, colour) pair once, so no caption of a batch is true of another's
picture, and the plain contrastive loss needs no mask.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizerFast

from ..captions import Plan, caption
from ..drawing import draw
from ..scenes import HELD_OUT, Scene, single
from .clip import CLIPImageProcessor, config, image_processor
from .data import TRAIN, scene_rng
from .loop import Recipe, learning_rate

KINDS = ("cat", "dog", "fish", "car", "airplane", "house")
COLORS = ("red", "yellow", "green", "blue", "purple", "black")
PAIRS = tuple((kind, color) for kind in KINDS for color in COLORS if (kind, color) not in HELD_OUT)
IMAGE_SIZE, PATCH = 48, 8
RECIPE = Recipe(steps=1500, batch_size=len(PAIRS), learning_rate=1e-3, warmup=40)
SECONDS = 110.0  # what the training may take, unless COURSE_LIVE_SECONDS says otherwise

_STREAM = 1000  # close-ups are seeded apart from the scenes of `data.py`


def closeup(pair: tuple[str, str], number: int, stream: int = TRAIN) -> Scene:
    """Close-up `number` of a (kind, colour) pair: always the same one for a stream, never in two streams."""
    kind, color = pair
    rng = scene_rng(stream + _STREAM, number * len(PAIRS) + PAIRS.index(pair))
    scene = single(rng, kind=kind, color=color)
    x, y = (0.5 + float(shift) for shift in rng.uniform(-0.08, 0.08, 2))
    thing = replace(scene.things[0], x=x, y=y, size=float(rng.uniform(0.3, 0.38)))
    return Scene((thing,), scene.background, scene.time, seed=scene.seed)


def captions(lang: str) -> list[str]:
    """One caption for each of `PAIRS`: 图中有一只红色的猫 / a picture of a red cat."""
    plan = Plan(color=True, place=False, size=False, relation=False, background=False, time=False)
    return [caption(closeup(pair, 0), lang, plan=plan) for pair in PAIRS]


def tiny_clip(tokenizer: CLIPTokenizerFast, seed: int = 0) -> CLIPModel:
    """A `CLIPModel` with random weights, a quarter of mini-clip's size: 36 patches, 3 layers; text, 2 layers."""
    small: CLIPConfig = config(tokenizer)
    small.vision_config.update(dict(image_size=IMAGE_SIZE, patch_size=PATCH, hidden_size=128, intermediate_size=384,
                                    num_hidden_layers=3, num_attention_heads=4))  # fmt: skip
    small.text_config.update(
        dict(hidden_size=96, intermediate_size=192, num_hidden_layers=2, num_attention_heads=3)
    )
    small.projection_dim = 64
    torch.manual_seed(seed)
    # on a CPU faster than SDPA at this size
    return CLIPModel._from_config(small, attn_implementation="eager")


def tiny_processor() -> CLIPImageProcessor:
    """mini-clip's preprocessing at the tiny model's size."""
    return image_processor(IMAGE_SIZE)


class Closeups:
    """`variants` close-ups of each pair, drawn once. `pixels` is uint8 `(variants, pairs, side, side, 3)`."""

    def __init__(self, variants: int, stream: int = TRAIN):
        pictures = [[draw(closeup(pair, v, stream), IMAGE_SIZE) for pair in PAIRS] for v in range(variants)]
        self.pixels = np.stack([[np.asarray(picture) for picture in row] for row in pictures])
        processor = tiny_processor()
        self._mean, self._std = (
            torch.tensor(v).view(3, 1, 1) for v in (processor.image_mean, processor.image_std)
        )

    def batch(self, step: int) -> torch.Tensor:
        """The pictures of a step, `(pairs, 3, side, side)` in the order of `PAIRS`, ready for the model."""
        variants, pairs = self.pixels.shape[:2]
        chosen = np.random.default_rng([RECIPE.seed, step]).integers(variants, size=pairs)
        pixels = torch.from_numpy(self.pixels[chosen, np.arange(pairs)])
        return (pixels.permute(0, 3, 1, 2).float() / 255 - self._mean) / self._std


def paced(optimizer: torch.optim.Optimizer, recipe: Recipe = RECIPE) -> Iterator[tuple[int, float]]:
    """Steps of a training run, as (step, share of the run that is over), with the learning rate set for each.

    The run ends after `recipe.steps`, or when COURSE_LIVE_SECONDS (default `SECONDS`) are up. Either way the learning
    rate goes down its whole curve, so a slow machine gets a shorter training rather than a broken-off one. Meanwhile
    torch computes in one thread: a model this small gains little from a second one, and threads that wait for each
    other on a busy machine are several times slower.
    """
    seconds = float(os.environ.get("COURSE_LIVE_SECONDS") or SECONDS)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start = time.monotonic()
    try:
        for step in range(recipe.steps):
            over = max(step / recipe.steps, (time.monotonic() - start) / seconds)
            if over >= 1:
                return
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, int(over * recipe.steps))
            yield step, over
    finally:
        torch.set_num_threads(threads)
