"""From a clip's script to its pictures: places and stickers are drawn once, then put together."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np

from .backgrounds import PAINTERS
from .canvas import Canvas
from .clips import Clip
from .drawing import _DIM
from .scenes import Scene, Thing
from .stickers import STICKERS, coat


def draw_clip(clip: Clip, size: int = 128) -> np.ndarray:
    """All frames, `(n, size, size, 3)` uint8 RGB."""
    return np.stack(list(draw_frames(clip, size)))


def draw_frames(clip: Clip, size: int = 128) -> Iterator[np.ndarray]:
    """The frames one by one, `(size, size, 3)` uint8 RGB."""
    for tick in clip.ticks:
        shot, local = clip.at(tick / clip.fps)
        yield draw_moment(clip.shots[shot].scene(local), size)


def draw_moment(scene: Scene, size: int = 128) -> np.ndarray:
    """One picture of a moving world: as `drawing.draw` makes it, but things may stand between two pixels."""
    picture = _ground(scene.background, scene.time, scene.seed, size).copy()
    for thing in scene.things:
        look = (thing.kind, thing.color, thing.size, thing.mirror, thing.pose)
        _put(picture, *_sprite(*look, scene.time, size), thing, size)
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


@lru_cache(maxsize=16)
def _ground(background: str, time: str, seed: int, size: int) -> np.ndarray:
    canvas = Canvas(size)
    PAINTERS[background](canvas, time, np.random.default_rng(seed))
    return np.asarray(canvas.image()).astype(np.float32)


@lru_cache(maxsize=64)
def _sprite(
    kind: str, color: str | None, half: float, mirror: bool, pose: int, time: str, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """A sticker with rim and shadow as (paint, cover): a picture under it becomes `(1 - cover) * it + paint`.

    Both follow from how the sticker looks on black and on white. They are twice as large as in the picture.
    """
    shapes = STICKERS[kind](coat(color), np.random.default_rng(pose))
    looks = []
    for ground in (0, 255):
        canvas = Canvas(size)
        canvas.pixels[:] = ground
        canvas.stick(shapes, 0.5, 0.5, half * 0.94, mirror=mirror, dim=_DIM[time])
        looks.append(canvas.pixels.astype(np.float32))
    on_black, on_white = looks
    cover = 1 - (on_white - on_black) / 255
    cover[np.abs(cover) < 0.012] = 0  # rounding, where nothing is
    used = np.flatnonzero(cover.max(axis=(1, 2)))
    across = np.flatnonzero(cover.max(axis=(0, 2)))
    middle = canvas.side // 2  # the same reach on all sides, so that the centre stays the centre
    reach = int(max(middle - used[0], used[-1] + 1 - middle, middle - across[0], across[-1] + 1 - middle)) + 2
    cut = slice(middle - reach, middle + reach)
    return on_black[cut, cut], cover[cut, cut]


def _put(picture: np.ndarray, paint: np.ndarray, cover: np.ndarray, thing: Thing, size: int) -> None:
    """Halve the sprite with its centre exactly at the thing's, and lay it over the picture."""
    reach = paint.shape[0] / 4 + 1  # of the halved sprite, in pixels
    x, y = thing.x * size, thing.y * size
    left, top = (max(0, int(np.floor(v - reach))) for v in (x, y))
    right, bottom = (min(size, int(np.ceil(v + reach))) for v in (x, y))
    if left >= right or top >= bottom:
        return
    middle = (paint.shape[0] - 1) / 2
    # Pixel (u, v) of the patch shows the sprite's point twice as far from its centre.
    # The blur takes each pixel together with the one after it, half a pixel on.
    shift_x, shift_y = (2 * (edge + 0.5 - at) + middle - 0.5 for edge, at in ((left, x), (top, y)))
    matrix = np.array([[2, 0, shift_x], [0, 2, shift_y]], np.float32)

    def halved(layer: np.ndarray) -> np.ndarray:
        blurred = cv2.blur(layer, (2, 2), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(blurred, matrix, (right - left, bottom - top), flags=flags)

    patch = picture[top:bottom, left:right]
    patch *= 1 - halved(cover)
    patch += halved(paint)
