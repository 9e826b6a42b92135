"""Where a thing is, frame after frame, and what one calls such a motion: the judge of clips that others made.

mini-clip sees a picture as 8 x 8 patches. A linear probe on what it makes of them, fitted on the gallery's scenes,
tells which of them a thing covers; the middle of those is where it is. Nothing here knows a model that paints.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPImageProcessor, CLIPVisionModel

from course_lib import loading

from ..clips import Actor
from ..gallery import load_gallery
from ..paths import MODELS
from .data import CELLS, scene_cells

MOTIONS = ("right", "left", "up", "down", "bounce", "circle", "still")

_COVERED = 0.3  # a patch whose probe says less is background
_SEEN = 0.35  # the sum of what is beyond that: where it is less, nothing is there
_RIDGE = 10.0
STAYS = 0.03  # of the picture's side: who strays less from the middle of its path stands still
ALIKE = 0.75  # correlation with the ideal path


class Tracker:
    """`track` gives positions, `occupancy` what they are made of."""

    def __init__(self, folder: Path = MODELS / "mini-clip"):
        with loading.quiet(bars=False):  # else it would list the text tower's weights as unexpected
            self.model = CLIPVisionModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = CLIPImageProcessor.from_pretrained(folder)
        examples = load_gallery()
        seen = self._patches([example.image for example in examples])
        covered = np.stack([scene_cells(example.scene)[0] > 0 for example in examples]).reshape(-1)
        normal = seen.T @ seen + _RIDGE * np.eye(seen.shape[1])
        self.probe = np.linalg.solve(normal, seen.T @ covered)

    @torch.no_grad()
    def _patches(self, pictures: list[Image.Image], batch: int = 64) -> np.ndarray:
        """What mini-clip makes of each patch, and a 1: `(n * 64, d + 1)`."""
        found = []
        for i in range(0, len(pictures), batch):
            inputs = self.processor(images=pictures[i : i + batch], return_tensors="pt")
            found.append(self.model(**inputs).last_hidden_state[:, 1:].flatten(0, 1).double().numpy())
        return np.pad(np.concatenate(found), ((0, 0), (0, 1)), constant_values=1.0)

    def occupancy(self, frames) -> np.ndarray:
        """How much of each patch a thing covers, `(n, 8, 8)`, about 0 to 1. `frames`: pictures, or arrays of them."""
        pictures = [f if isinstance(f, Image.Image) else Image.fromarray(f) for f in frames]
        return (self._patches(pictures) @ self.probe).reshape(-1, CELLS, CELLS)

    def track(self, frames) -> np.ndarray:
        """The thing's centre in each frame, see `centers`."""
        return centers(self.occupancy(frames))


def centers(occupancy: np.ndarray) -> np.ndarray:
    """The middle of what is covered, `(n, 2)`: x and y in fractions of the side, NaN where nothing is seen."""
    weight = np.clip(occupancy - _COVERED, 0, None)
    total = weight.sum(axis=(1, 2))
    middle = (np.arange(CELLS) + 0.5) / CELLS
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.stack([weight.sum(1) @ middle, weight.sum(2) @ middle], axis=1) / total[:, None]
    found[total < _SEEN] = np.nan
    return found


@lru_cache(maxsize=32)
def _ideal(motion: str, frames: int, rate: float) -> np.ndarray:
    """The path of a motion, `(frames, 2)`, around its own middle and of length 1."""
    actor, seconds = Actor("ball", "red", motion), frames / rate
    path = np.array([actor.center(k / rate, seconds) for k in range(frames)])
    path -= path.mean(axis=0)
    return path / np.linalg.norm(path)


def motion_of(track: np.ndarray, rate: float) -> str | None:
    """The motion (one of MOTIONS) that a track of `rate` positions a second shows; None for no such motion.

    It stands still where it hardly leaves its middle; else it is the motion whose ideal path, wherever and however
    large, correlates best. None also where it is seen in less than three of four frames.
    """
    seen = ~np.isnan(track).any(axis=1)
    if seen.mean() < 0.75:
        return None
    path = track[seen] - track[seen].mean(axis=0)
    spread = float(np.sqrt(np.square(path).sum(axis=1).mean()))
    if spread < STAYS:
        return "still"
    alike = {}
    for motion in MOTIONS[:-1]:
        ideal = _ideal(motion, len(track), rate)[seen]
        ideal = ideal - ideal.mean(axis=0)
        alike[motion] = float((path * ideal).sum() / (np.linalg.norm(path) * np.linalg.norm(ideal)))
    best = max(alike, key=alike.get)
    return best if alike[best] >= ALIKE else None
