"""What AUTOMATIC1111 does around a mask: where to paint, what stands there before, and pasting the rest back.

A mask is white where the picture is to be painted over. Diffusion works in latents, so that all of a picture
comes back slightly changed; pasting the original over it again is what leaves the pixels outside the mask as
they were.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageFilter, ImageOps

Box = tuple[int, int, int, int]  # left, upper, right, lower


@dataclass(frozen=True)
class Area:
    """What goes to the model: `picture` (RGB) and `mask` (L, black or white), both of the size that is
    painted."""

    picture: Image.Image
    mask: Image.Image
    original: Image.Image
    overlay: Image.Image  # how much of what was painted is seen, of the original's size
    box: Box  # where in the original it was

    def paste(self, painted: Image.Image) -> Image.Image:
        """The original with what was painted under the mask, everything else as it was to the bit."""
        left, upper, right, lower = self.box
        whole = self.original.copy()
        whole.paste(painted.resize((right - left, lower - upper), Image.Resampling.LANCZOS), (left, upper))
        return Image.composite(whole, self.original, self.overlay)


def binary(mask: Image.Image) -> Image.Image:
    """A mask in black and white: of a picture that has transparency its alpha channel, of another its
    brightness."""
    if mask.mode in ("RGBA", "LA", "PA") or "transparency" in mask.info:
        alpha = mask.convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            return alpha.point(lambda value: 255 * (value > 128))
    return mask.convert("L").point(lambda value: 255 * (value > 128))


def is_black(mask: Image.Image) -> bool:
    return mask.getbbox() is None


def resize(picture: Image.Image, size: tuple[int, int], mode: int) -> Image.Image:
    """A1111's `resize_mode`: 0 stretches, 1 crops, 2 fills the margins with the colours of the edge."""
    if picture.size == size:
        return picture
    if mode == 1:
        return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    if mode == 2:
        inner = ImageOps.contain(picture, size, Image.Resampling.LANCZOS)
        left, upper = (size[0] - inner.width) // 2, (size[1] - inner.height) // 2
        right, lower = size[0] - inner.width - left, size[1] - inner.height - upper
        filled = cv2.copyMakeBorder(np.asarray(inner), upper, lower, left, right, cv2.BORDER_REPLICATE)
        return Image.fromarray(filled)
    return picture.resize(size, Image.Resampling.LANCZOS)


def prepare(
    picture: Image.Image,
    mask: Image.Image,
    size: tuple[int, int],
    *,
    block: int,
    blur: tuple[float, float] = (0, 0),
    only_masked: bool = False,
    padding: int = 0,
    resize_mode: int = 0,
    fill: bool = False,
) -> Area:
    """The area to paint, `size` pixels wide and high.

    `mask` (L) is stretched to the picture. `only_masked` takes the surroundings of the mask, `padding` pixels
    around it, and the result has the original's size; without it the whole picture is brought to `size`.
    `fill` puts the colours from around the mask under it. `block` is the side of a latent in pixels.
    """
    mask = resize(mask, picture.size, 0) if only_masked else resize(mask, size, resize_mode)
    mask = mask.filter(ImageFilter.GaussianBlur(blur)) if any(blur) else mask
    if only_masked:
        original, overlay = picture, mask
        box = _surroundings(mask, padding, size)
        picture, mask = picture.crop(box).resize(size, Image.Resampling.LANCZOS), mask.crop(box).resize(size)
    else:
        original = picture = resize(picture, size, resize_mode)
        overlay = mask.point(lambda value: min(255, 2 * value))
        box = (0, 0, *size)
    mask = _in_blocks(mask, block)
    return Area(_filled(picture, mask) if fill else picture, mask, original, overlay, box)


def _surroundings(mask: Image.Image, padding: int, size: tuple[int, int]) -> Box:
    """The box around the mask's white, with a margin, widened to the proportions of `size` where there is
    room."""
    left, upper, right, lower = mask.getbbox() or (0, 0, *mask.size)
    spans = []
    for low, high, limit in ((left, right, mask.width), (upper, lower, mask.height)):
        spans.append((max(0, low - padding), min(limit, high + padding), limit))
    (width, height), ratio = ((high - low for low, high, _ in spans), size[0] / size[1])
    wanted = (max(width, round(height * ratio)), max(height, round(width / ratio)))
    (left, right), (upper, lower) = (_widen(*span, to) for span, to in zip(spans, wanted, strict=True))
    return left, upper, right, lower


def _widen(low: int, high: int, limit: int, length: int) -> tuple[int, int]:
    length = min(length, limit)
    low = min(max(0, low - (length - (high - low)) // 2), limit - length)
    return low, low + length


def _in_blocks(mask: Image.Image, block: int) -> Image.Image:
    """White wherever a latent's block is touched, so that a thin stroke is painted as well."""
    white = np.asarray(mask) >= 128
    rows, columns = white.shape[0] // block, white.shape[1] // block
    touched = white[: rows * block, : columns * block].reshape(rows, block, columns, block).any((1, 3))
    return Image.fromarray(np.repeat(np.repeat(touched, block, 0), block, 1).astype(np.uint8) * 255)


def _filled(picture: Image.Image, mask: Image.Image) -> Image.Image:
    pixels, white = np.asarray(picture), np.asarray(mask)
    if white.min() == 255:  # there is nothing around it
        return Image.new("RGB", picture.size, tuple(round(value) for value in pixels.mean((0, 1))))
    return Image.fromarray(cv2.inpaint(pixels, white, 3, cv2.INPAINT_TELEA))
