"""A quick encoder for tests of search, and a program that adds pictures until it is stopped.

A picture's vector is its pixels, shrunk to 4 x 4; a text's comes from its letters. It has what the engine
asks of a CLIP service, and no model to load.

    python pixel_encoder.py FOLDER START COUNT    prints "ready", then the id of each picture when it is added
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from course_lib.images import open_image  # noqa: E402


class PixelEncoder:
    name = "pixels"
    batch_size = 8

    def __init__(self, dim: int = 48, seed: int = 0):
        self.dim = dim
        self._mix = np.linalg.qr(np.random.default_rng(seed).standard_normal((48, 48)))[0][:, :dim]

    def encode_image(self, images, *, progress: bool = True) -> np.ndarray:
        images = images if isinstance(images, list) else [images]
        small = [np.asarray(open_image(image).resize((4, 4)), float).ravel() for image in images]
        return self._unit(np.array(small) - 100.5)

    def encode_text(self, text, *, progress: bool = True) -> np.ndarray:
        texts = [text] if isinstance(text, str) else text
        seeds = [zlib.crc32(text.encode()) for text in texts]
        return self._unit(np.array([np.random.default_rng(seed).standard_normal(48) for seed in seeds]))

    def _unit(self, rows: np.ndarray) -> np.ndarray:
        rows = (rows.reshape(-1, 48) @ self._mix).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def picture(number: int) -> Image.Image:
    """The same picture for the same number, another for every other."""
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((48, 36), Image.Resampling.NEAREST)


def metadata(number: int) -> dict:
    return {"number": number, "even": number % 2 == 0, "text": "x" * (number % 300)}


def main(folder: str, start: int, count: int) -> None:
    from course_lib.search import ImageSearchEngine

    engine = ImageSearchEngine(PixelEncoder(), store=folder)
    print("ready", flush=True)
    for number in range(start, start + count):
        engine.add_image(f"p{number}", picture(number), metadata(number))
        print(f"p{number}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
