"""Anti-aliased flat painting with OpenCV: twice the size with sub-pixel outlines, then averaged down."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from .shapes import Color, Shape

_OVER = 2  # supersampling: with cv2's own anti-aliased edges this is already smooth
_BITS = 4  # fractional bits of cv2's fixed-point coordinates


class Canvas:
    """A square picture; all coordinates are fractions of its side."""

    def __init__(self, size: int):
        self.size = size
        self.side = size * _OVER
        self.pixels = np.zeros((self.side, self.side, 3), np.uint8)  # RGB

    def gradient(self, top: Color, bottom_color: Color, *, bottom: float) -> None:
        """Colour from `top` at the upper edge to `bottom_color` at height `bottom` and below."""
        t = np.clip(np.arange(self.side) / (bottom * self.side), 0, 1)[:, None]
        rows = (1 - t) * np.array(top) + t * np.array(bottom_color)
        self.pixels[:] = rows[:, None].astype(np.uint8)

    def window(
        self, time: str, left: float, top: float, right: float, bottom: float, sky: tuple[Color, Color]
    ) -> None:
        """A rectangle of sky."""
        l, t, r, b = (round(v * self.side) for v in (left, top, right, bottom))
        share = np.linspace(0, 1, b - t)[:, None, None]
        self.pixels[t:b, l:r] = ((1 - share) * np.array(sky[0]) + share * np.array(sky[1])).astype(np.uint8)

    def draw(self, *shapes: Shape) -> None:
        for shape in shapes:
            self._draw(self.pixels, shape.points * self.side, shape.width * self.side, shape.color)

    @staticmethod
    def _draw(target: np.ndarray, points: np.ndarray, width: float, color) -> None:
        fixed = np.round(points * (1 << _BITS)).astype(np.int32)[None]
        if width:
            cv2.polylines(target, fixed, False, color, max(1, round(width)), cv2.LINE_AA, _BITS)
        else:
            cv2.fillPoly(target, fixed, color, cv2.LINE_AA, _BITS)

    def stick(
        self, shapes: list[Shape], x: float, y: float, size: float, *, mirror: bool = False, dim: float = 0.0
    ) -> None:
        """Put a sticker with a white rim and a soft shadow; its coordinates -1..1 become (x, y) +- size.

        `dim` darkens it towards night blue: 0 is daylight.
        """
        flip = np.array([-1.0 if mirror else 1.0, 1.0])
        placed = [(s.points * flip * size + (x, y), s.width * size, s.color) for s in shapes]
        reach = size * 1.25 + 0.03
        l, t = (max(0, int((v - reach) * self.side)) for v in (x, y))
        r, b = (min(self.side, int((v + reach) * self.side)) for v in (x, y))
        origin = np.array([l, t])
        mask = np.zeros((b - t, r - l), np.uint8)
        for points, width, _ in placed:
            self._draw(mask, points * self.side - origin, width * self.side, 255)
        rim = max(1, round(0.011 * self.side))
        rim_mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1)))
        shadow = cv2.GaussianBlur(rim_mask, (0, 0), 0.012 * self.side)
        shadow = np.roll(shadow, max(1, round(0.012 * self.side)), axis=0)
        patch = self.pixels[t:b, l:r]
        night = np.array((24, 30, 84), np.float32)
        body = patch.astype(np.float32) * (1 - 0.42 / 255 * shadow[..., None])
        edge = (1 - dim) * np.array((255, 255, 255), np.float32) + dim * night
        share = rim_mask[..., None] / np.float32(255)
        patch[:] = (body * (1 - share) + edge * share).astype(np.uint8)
        for points, width, color in placed:
            tone = tuple(int((1 - dim) * c + dim * n) for c, n in zip(color, night))
            self._draw(self.pixels, points * self.side, width * self.side, tone)

    def image(self) -> Image.Image:
        """The picture, `size` x `size` RGB."""
        return Image.fromarray(cv2.resize(self.pixels, (self.size, self.size), interpolation=cv2.INTER_AREA))
