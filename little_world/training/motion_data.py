"""Training data of mini-motion: short clips in which one thing moves, as latents, and captions that say how.

A clip lasts as long as a circle takes: that is two bounces, and once across the picture.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL
from transformers import CLIPTokenizerFast

from .. import words
from ..clip_captions import shot_caption
from ..clip_drawing import draw_moment
from ..clips import PERIOD, Clip, random_clip
from .data import scene_cells, scene_rng
from .loop import Recipe
from .parallel import share
from .sd_data import UNPROMPTED, Latents, latents
from .tracking import MOTIONS

FRAMES, RATE = 8, 5  # a clip's frames, and how many of them a second has
SECONDS = FRAMES / RATE
assert SECONDS == PERIOD["circle"] == 2 * PERIOD["bounce"]
CLIPS = 6  # a stream of clips: its "scene" i is frame i % FRAMES of clip i // FRAMES

# What people say, beside the verbs of `clip_captions`.
PHRASES = {
    "en": {
        "right": ("moves to the right", "moves from left to right", "goes right"),
        "left": ("moves to the left", "moves from right to left", "goes left"),
        "up": ("moves up", "moves upwards", "rises"),
        "down": ("moves down", "moves downwards", "sinks"),
        "bounce": ("bounces", "bounces up and down", "jumps up and down"),
        "circle": ("moves in a circle", "goes round in a circle", "circles"),
        "still": ("stands still", "does not move", "stays where it is"),
    },
    "zh": {
        "right": ("向右移动", "从左向右移动", "往右走"),
        "left": ("向左移动", "从右向左移动", "往左走"),
        "up": ("向上移动", "从下向上移动", "往上升"),
        "down": ("向下移动", "从上向下移动", "往下降"),
        "bounce": ("上下弹跳", "一直在弹跳", "跳上跳下"),
        "circle": ("绕圈移动", "绕着圈走", "转圈"),
        "still": ("一动不动", "静止不动", "停在原地"),
    },
}


@lru_cache(maxsize=None)
def motion_clip(index: int, stream: int = CLIPS) -> Clip:
    """Clip `index` of a stream: one thing, and every motion equally often. A thing that can looks where it goes."""
    motion = MOTIONS[index % len(MOTIONS)]
    return random_clip(scene_rng(stream, index), fps=RATE, seconds=SECONDS, motion=motion, sound=False)


def motion_caption(clip: Clip, lang: str, rng: np.random.Generator) -> str:
    """A sentence that says what moves how, in many phrasings; mostly also where, and at what time of day."""
    (shot,) = clip.shots
    if rng.random() < 0.4:
        return shot_caption(shot, lang)
    (actor,) = shot.actors
    what = words.group_phrase(actor.kind, actor.color if rng.random() < 0.85 else None, 1, lang)
    phrases = PHRASES[lang][actor.motion]
    does = phrases[int(rng.integers(len(phrases)))]
    where = words.BACKGROUND[lang][shot.background] if rng.random() < 0.65 else ""
    when = words.TIME[lang][shot.time] if rng.random() < 0.5 else ""
    if lang == "en":
        return " ".join(part for part in (what, does, where, when) if part)
    setting = (when + "的" if when and where else when) + where
    return f"{setting}{'，' if setting else ''}{what}{does}"


def draw_clip_frame(index: int, stream: int) -> np.ndarray:
    """Frame `index % FRAMES` of clip `index // FRAMES`, `(128, 128, 3)` uint8."""
    return draw_moment(_moment(index, stream), 128)


def _moment(index: int, stream: int = CLIPS):
    clip, frame = divmod(index, FRAMES)
    return motion_clip(clip, stream).shots[0].scene(frame / RATE)


def clip_latents(vae: AutoencoderKL, count: int, workers: int | None = None) -> Latents:
    """Latents of all frames of the first `count` clips, made once and kept."""
    return latents(vae, CLIPS, count * FRAMES, workers, drawn=draw_clip_frame)


# ---------------------------------------------------------------------------------------------------- batches


class CaptionBatch(NamedTuple):
    input_ids: torch.Tensor  # (n, tokens)
    motions: torch.Tensor  # (n,): which of MOTIONS each caption tells of


class CaptionBatches:
    """The batch of a step of teaching words, always the same for a step."""

    def __init__(self, clips: int, tokenizer: CLIPTokenizerFast, recipe: Recipe):
        self.clips, self.tokenizer, self.recipe = clips, tokenizer, recipe

    def __getitem__(self, step: int) -> CaptionBatch:
        rng = np.random.default_rng([self.recipe.seed, step])
        chosen = rng.integers(self.clips, size=self.recipe.batch_size)
        texts = [_any_caption(int(i), rng) for i in chosen]
        ids = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return CaptionBatch(ids, torch.from_numpy(chosen % len(MOTIONS)))


def _any_caption(index: int, rng: np.random.Generator) -> str:
    return motion_caption(motion_clip(index), ("zh", "en")[int(rng.integers(2))], rng)


class ClipBatch(NamedTuple):
    latents: torch.Tensor  # (n, c, frames, h, w), scaled to unit variance
    noise: torch.Tensor  # (n, c, frames, h, w)
    timesteps: torch.Tensor  # (n,)
    input_ids: torch.Tensor  # (n, tokens)
    cells: torch.Tensor  # (n, frames, 2, 8, 8): kind and color in each cell of each frame, see `scene_cells`
    motions: torch.Tensor  # (n,): which of MOTIONS each clip shows
    given: torch.Tensor  # (n,) bool: the first frame is known and only the others are to be made


class ClipBatches:
    """The batch of a step of a stage (`motion_model.Stage`), always the same for a step: clips with fresh captions.

    Frames come as the means of their latents: noise of each frame's own would flicker.
    """

    def __init__(self, known: Latents, scale: float, tokenizer: CLIPTokenizerFast, timesteps: int, stage):
        self.known, self.scale, self.tokenizer, self.timesteps, self.stage = (
            known,
            scale,
            tokenizer,
            timesteps,
            stage,
        )

    def __getitem__(self, step: int) -> ClipBatch:
        n, rng = self.stage.batch_size, np.random.default_rng([self.stage.seed, step])
        chosen = rng.integers(len(self.known) // FRAMES, size=n)
        frames = [range(i * FRAMES, (i + 1) * FRAMES) for i in chosen]
        texts = ["" if rng.random() < UNPROMPTED else _any_caption(int(i), rng) for i in chosen]
        ids = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        clips = np.stack([np.stack([self.known[k][0] for k in some], axis=1) for some in frames])
        clips = torch.from_numpy(clips).float() * self.scale
        generator = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
        times = (torch.arange(n) + torch.rand((), generator=generator)) / n  # spread evenly, as in `sd_data`
        # More of them late: where a thing goes is decided while there is almost nothing but noise.
        times = (times[torch.randperm(n, generator=generator)].sqrt() * self.timesteps).long()
        noise = torch.randn(clips.shape, generator=generator)
        cells = torch.from_numpy(np.stack([[scene_cells(_moment(k)) for k in some] for some in frames]))
        motions = torch.from_numpy(chosen % len(MOTIONS))
        given = torch.rand(n, generator=generator) < self.stage.given
        return ClipBatch(*map(share, (clips, noise, times, ids, cells, motions, given)))
