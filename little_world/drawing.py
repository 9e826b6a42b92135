"""From a scene to its picture: deterministic, flat, anti-aliased, at any size."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .backgrounds import PAINTERS
from .canvas import Canvas
from .scenes import Scene
from .stickers import STICKERS, coat

_DIM = {"day": 0.0, "dusk": 0.03, "night": 0.09}  # how much the hour dims the stickers; colours stay readable


def draw(scene: Scene, size: int = 128) -> Image.Image:
    """The scene's picture, `size` x `size` RGB. The same scene gives the same pixels, always."""
    canvas = Canvas(size)
    PAINTERS[scene.background](canvas, scene.time, np.random.default_rng(scene.seed))
    for thing in scene.things:
        shapes = STICKERS[thing.kind](coat(thing.color), np.random.default_rng(thing.pose))
        # A sticker's drawing reaches a little over its -1..1; the box of a thing is to hold its rim too.
        canvas.stick(shapes, thing.x, thing.y, thing.size * 0.94, mirror=thing.mirror, dim=_DIM[scene.time])
    return canvas.image()


def contact_sheet(images: list[Image.Image], columns: int, gap: int = 4) -> Image.Image:
    """Pictures of one size in rows on white."""
    width, height = images[0].size
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), "white")
    for i, image in enumerate(images):
        sheet.paste(image, (gap + i % columns * (width + gap), gap + i // columns * (height + gap)))
    return sheet
