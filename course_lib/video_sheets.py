"""Several frames as one picture: a sheet with their times, and a thumbnail."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from . import images

_GAP, _LINE = 4, 16  # pixels between pictures, and under each for its time


def sheet(pictures: Sequence[np.ndarray], seconds: Sequence[float], columns: int, side: int) -> Image.Image:
    """Pictures of one size in rows, each with its second under it; `side` is a picture's longer side."""
    columns = max(1, min(columns, len(pictures)))
    width, height = images.resize(pictures[0], side).size
    rows = -(-len(pictures) // columns)
    size = (columns * (width + _GAP) + _GAP, rows * (height + _LINE + _GAP) + _GAP)
    made = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(made), ImageFont.load_default(11)
    for i, (picture, second) in enumerate(zip(pictures, seconds, strict=True)):
        x, y = _GAP + i % columns * (width + _GAP), _GAP + i // columns * (height + _LINE + _GAP)
        made.paste(images.resize(picture, (width, height)), (x, y))
        pen.text((x + 1, y + height + 1), f"{second:.2f} s", "black", font)
    return made


def most_telling(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """The picture with the most contrast: not a black beginning, nor a fade."""
    return max(pictures, key=lambda picture: float(picture[::4, ::4].std()))
