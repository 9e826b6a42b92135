"""Training data: scenes drawn by the hundred thousand, with captions and what they say.

Scene i of a stream is always the same, whichever process draws it. Pixels are kept in a memory-mapped
file in the cache folder, so a second run, or a resumed one, does not draw them again.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from ..captions import caption, random_plan
from ..drawing import draw
from ..scenes import COLORS, KINDS, PLACES, Scene, allowed_pairs, random_scene, several, single, vary

TRAIN, TEST = 1, 2  # streams: their seeds never meet
FAMILIES = 3  # a stream of families: a scene, then the same scene with one fact changed, and again
CONTRASTS = 4  # families that differ in the one thing asked for: in place, in number, in kind, or in anything
FAMILY = 4  # scenes in a family
CELLS = 8  # a picture's cells along a side: mini-vlm's patches, and the lower level of mini-sd's UNet


def cache_folder() -> Path:
    """Where drawn training data and checkpoints are kept between runs: COURSE_CACHE, else in the user's cache."""
    folder = (
        os.environ.get("COURSE_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "multimodal-course"
    )
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


def scene_rng(stream: int, index: int) -> np.random.Generator:
    return np.random.default_rng([stream, index])


def training_scene(index: int, stream: int = TRAIN) -> Scene:
    """Scene `index` of a stream."""
    if stream not in (FAMILIES, CONTRASTS):
        return random_scene(scene_rng(stream, index))
    family, member = divmod(index, FAMILY)
    rng, own = scene_rng(stream, family), scene_rng(stream + 50, index)
    if stream == FAMILIES or family % 4 == 3:
        scene = random_scene(rng)
        return vary(scene, own) if member else scene
    return _contrast(("place", "count", "kind")[family % 4], member, rng, own)


def _contrast(fact: str, member: int, rng: np.random.Generator, own: np.random.Generator) -> Scene:
    """Member `member` of the family that `rng` draws; its members share all but one fact and `own` draws the rest."""
    first = single(rng)
    thing = first.groups[0]
    fixed = {"kind": thing.kind, "color": thing.color, "background": first.background, "time": first.time}
    if fact == "place":  # left and right, which are learned last, are always there
        others = [p for p in PLACES if p not in ("left", "right")]
        places = ["left", "right", *(others[i] for i in rng.permutation(len(others)))]
        return single(own, place=places[member], size=first.size, **fixed)
    if fact == "count":
        return several(own, count=member + 1, **fixed) if member else single(own, size="small", **fixed)
    pairs = [(k, c) for k, c in allowed_pairs() if thing.color is None or c in (thing.color, None)]
    kind, color = pairs[rng.permutation(len(pairs))[member]]
    return single(own, place=first.place, size=first.size, **{**fixed, "kind": kind, "color": color})


def _pixels(index: int, size: int, stream: int) -> np.ndarray:
    image = draw(training_scene(index, stream), 128)
    return np.asarray(image if size == 128 else image.resize((size, size), Image.Resampling.BICUBIC))


@lru_cache
def _world_hash(stream: int) -> str:
    """Changes when the world's drawing changes, so that stale pictures are never trained on."""
    pixels = b"".join(_pixels(index, 64, stream).tobytes() for index in range(64))
    return hashlib.sha256(pixels).hexdigest()[:12]


def training_pixels(count: int, size: int, stream: int = TRAIN, workers: int | None = None) -> np.ndarray:
    """Pictures of scenes 0..count-1 of a stream as uint8 `(count, size, size, 3)`, drawn once and then memory-mapped."""
    path = cache_folder() / f"scenes-{_world_hash(stream)}-{stream}-{size}px-{count}.npy"
    if not path.exists():
        temporary = path.with_suffix(".part")
        pixels = np.lib.format.open_memmap(temporary, "w+", np.uint8, (count, size, size, 3))
        with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
            drawn = pool.map(partial(_pixels, size=size, stream=stream), range(count), chunksize=256)
            for i, picture in enumerate(tqdm(drawn, total=count, desc=f"drawing {size} px", mininterval=10)):
                pixels[i] = picture
        pixels.flush()
        del pixels
        os.replace(temporary, path)
    return np.load(path, mmap_mode="r")


@dataclass(frozen=True)
class Caption:
    text: str
    said: frozenset[tuple[str, ...]]


def training_captions(index: int, stream: int = TRAIN, per_language: int = 4) -> list[Caption]:
    """Captions of scene `index` of a stream, half Chinese and half English, each with the facts it states.

    In the plain stream every other one is terse. A rich caption can be matched by its background, hour and place
    alone; a terse one only by the kinds, which are the hardest to see and else learned last. In families it is the
    other facts that matter, and a third of the captions tell just one of them.
    """
    scene, rng = training_scene(index, stream), scene_rng(stream + 100, index)
    found = []
    for i, lang in enumerate(("zh", "en") * per_language):
        plan = (
            random_plan(rng, terse=0.1, focus=0.35)
            if stream in (FAMILIES, CONTRASTS)
            else random_plan(rng, terse=1.0 if i // 2 % 2 else 0.1)
        )
        found.append(Caption(caption(scene, lang, plan=plan, rng=rng), plan.said(scene)))
    return found


def _captions_and_facts(index: int, stream: int) -> tuple[list[Caption], frozenset]:
    return training_captions(index, stream), training_scene(index, stream).facts()


def captions_and_facts(
    count: int, stream: int = TRAIN, workers: int | None = None
) -> tuple[list[list[Caption]], list[frozenset]]:
    """Captions and facts of scenes 0..count-1 of a stream."""
    work = partial(_captions_and_facts, stream=stream)
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        both = list(
            tqdm(pool.map(work, range(count), chunksize=512), total=count, desc="captions", mininterval=10)
        )
    return [c for c, _ in both], [f for _, f in both]


def scene_cells(scene: Scene) -> np.ndarray:
    """What is in each cell of a picture, `(2, 8, 8)`: the kind's number, 0 for none, and the color's likewise."""
    cells = np.zeros((2, CELLS, CELLS), np.int64)
    middles = (np.arange(CELLS) + 0.5) / CELLS
    for thing in scene.things:
        left, top, right, bottom = thing.box
        rows, columns = (middles > top) & (middles < bottom), (middles > left) & (middles < right)
        color = 1 + COLORS.index(thing.color) if thing.color else 0
        cells[:, np.outer(rows, columns)] = [[1 + KINDS.index(thing.kind)], [color]]
    return cells
