"""Conversations for mini-vlm: pictures of scenes, signs and charts, each with several questions and true answers.

One picture is looked at once and asked eight things: the picture's tokens are the costly part of a sample, so
several turns on one picture teach several times as much in the same time.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from tqdm.auto import tqdm

from ..charts import draw_chart, random_chart
from ..dialogue import Turn, chart_turns, document_turns, outside_turns, scene_turns, several_turns
from ..documents import draw_document, random_document
from ..scenes import Scene
from .data import TRAIN, cache_folder, scene_rng, training_pixels, training_scene

DOCUMENTS, CHARTS = TRAIN + 10, TRAIN + 20  # streams of seeds
TEST_DOCUMENTS, TEST_CHARTS = TRAIN + 11, TRAIN + 21
TURNS = 8
# What is not named here is asked once as often as it could be; a turn that is answered by finding a named thing in the
# picture comes up more often, for that is what is learned last.
OFTEN = {"exists": 2, "count": 2, "color": 2, "what": 3, "absent": 4, "order": 6, "compare": 2, "describe": 3,
         "read": 2, "chart json": 3}  # fmt: skip
CHARTED = 0.16 / 0.74  # share of charts among conversations about a scene or a chart


@dataclass(frozen=True)
class Conversation:
    pixels: list[np.ndarray]  # each (128, 128, 3) uint8
    turns: list[Turn]
    scenes: list[Scene] = field(default_factory=list)  # what the pictures show, if it is scenes


def _document_pixels(index: int) -> np.ndarray:
    return np.asarray(draw_document(random_document(scene_rng(DOCUMENTS, index))))


def _chart_pixels(index: int) -> np.ndarray:
    return np.asarray(draw_chart(random_chart(scene_rng(CHARTS, index))))


def _drawn(name: str, make, count: int) -> np.ndarray:
    """Pictures 0..count-1 of a maker, drawn once and memory-mapped; another way of drawing is another file."""
    first = hashlib.sha256(b"".join(make(index).tobytes() for index in range(32))).hexdigest()[:12]
    path = cache_folder() / f"{name}-{first}-128px-{count}.npy"
    if not path.exists():
        temporary = path.with_suffix(".part")
        pixels = np.lib.format.open_memmap(temporary, "w+", np.uint8, (count, 128, 128, 3))
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            for i, picture in enumerate(
                tqdm(pool.map(make, range(count), chunksize=64), total=count, desc=name, mininterval=10)
            ):
                pixels[i] = picture
        pixels.flush()
        del pixels
        os.replace(temporary, path)
    return np.load(path, mmap_mode="r")


class Drawn:
    """The training pictures, by sort: picture i shows `training_scene(i)`, or the document or chart of that seed."""

    def __init__(self, scenes: int, documents: int, charts: int):
        self.pixels = {
            "scene": training_pixels(scenes, 128),
            "document": _drawn("documents", _document_pixels, documents),
            "chart": _drawn("charts", _chart_pixels, charts),
        }


class Conversations:
    """Conversation i of a training run, always the same for an i; the shares, and `often`, are those of a `vlm_tower.Stage`."""

    def __init__(
        self,
        drawn: Drawn,
        *,
        pairs: float = 0.0,
        crowds: float = 0.0,
        several: float = 0.14,
        documents: float = 0.26,
        often: tuple[tuple[str, float], ...] = (),
    ):
        self.share, self.several, self.written, self.crowded = pairs, several, documents, crowds
        self.often = OFTEN | dict(often)
        self.pixels = drawn.pixels
        self.scenes, self.documents, self.charts = (
            len(drawn.pixels[sort]) for sort in ("scene", "document", "chart")
        )
        self.alike: dict[tuple, list[int]] = {}  # scenes that share a kind, or a place: for fair comparisons
        for i in range(min(self.scenes, 8_000)):
            scene = training_scene(i)
            for key in (("place", scene.background, scene.time), *(("kind", g.kind) for g in scene.groups)):
                self.alike.setdefault(key, []).append(i)

    @cached_property
    def pairs(self) -> list[int]:
        """The scenes with two kinds of things."""
        return [i for i in range(self.scenes) if len(training_scene(i).groups) == 2]

    @cached_property
    def crowds(self) -> list[int]:
        """Those of them with more than two things."""
        return [i for i in self.pairs if len(training_scene(i).things) > 2]

    def _scene(self, rng: np.random.Generator) -> int:
        """A scene's number; scenes of the sorts that are hard to tell come up more often."""
        drawn = rng.random()
        if drawn < self.crowded:
            return int(rng.choice(self.crowds))
        return int(
            rng.integers(self.scenes) if drawn >= self.crowded + self.share else rng.choice(self.pairs)
        )

    def __getitem__(self, index: int) -> Conversation:
        rng = np.random.default_rng([77, index])
        scenes: list[Scene] = []
        one = {
            "scene": (1 - self.written) * (1 - CHARTED),
            "document": self.written,
            "chart": (1 - self.written) * CHARTED,
        }
        sort = "several" if rng.random() < self.several else rng.choice(list(one), p=list(one.values()))
        langs = [("zh", "en")[int(v)] for v in rng.integers(2, size=2)]
        if sort == "document":
            i = int(rng.integers(self.documents))
            document = random_document(scene_rng(DOCUMENTS, i))
            pixels, pool = (
                [self.pixels["document"][i]],
                [t for lang in langs for t in document_turns(document, lang, rng)],
            )
        elif sort == "chart":
            i = int(rng.integers(self.charts))
            chart = random_chart(scene_rng(CHARTS, i))
            pixels, pool = (
                [self.pixels["chart"][i]],
                [t for lang in langs for t in chart_turns(chart, lang, rng)],
            )
        elif sort == "several":
            chosen = self._some(rng)
            scenes = [training_scene(i) for i in chosen]
            pixels, pool = (
                [self.pixels["scene"][i] for i in chosen],
                [t for lang in langs for t in several_turns(scenes, lang, rng)],
            )
        else:
            i = self._scene(rng)
            scenes = [training_scene(i)]
            pixels, pool = (
                [self.pixels["scene"][i]],
                [t for lang in langs for t in scene_turns(scenes[0], lang, rng)],
            )
        unknown = outside_turns(langs[0], rng) if rng.random() < 0.35 else []
        often = np.array([self.often.get(t.sort, 1) for t in pool], float)
        chosen = rng.choice(
            len(pool), min(len(pool), TURNS - len(unknown)), replace=False, p=often / often.sum()
        )
        turns = [pool[i] for i in chosen] + unknown
        return Conversation(pixels, [turns[i] for i in rng.permutation(len(turns))], scenes)

    def _some(self, rng: np.random.Generator) -> list[int]:
        """Two scenes, often with something in common, or three."""
        first = int(rng.integers(min(self.scenes, 8_000)))
        if rng.random() < 0.25:
            return [first, *map(int, rng.integers(self.scenes, size=2))]
        scene: Scene = training_scene(first)
        keys = [("place", scene.background, scene.time), *(("kind", g.kind) for g in scene.groups), None]
        key = keys[int(rng.integers(len(keys)))]
        other = int(rng.choice(self.alike[key])) if key else int(rng.integers(self.scenes))
        return [first, other] if rng.random() < 0.5 else [other, first]
