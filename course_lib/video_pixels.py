"""From a decoded frame to RGB pixels the right way up."""

from __future__ import annotations

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter

from .errors import VideoError
from .images import MAX_PIXELS
from .settings import say


class PixelReader:
    """Turns decoded frames into `(H, W, 3)` uint8 RGB, by the frame's own colour matrix and range.

    With `side`, the pictures are shrunk so that the longer side has that many pixels.
    """

    def __init__(self, side: int | None = None):
        self.side = side
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        width, height = frame.width, frame.height
        if width * height > MAX_PIXELS:
            raise VideoError(
                say(
                    zh=f"画面是 {width}×{height}，超过 {MAX_PIXELS / 1e6:.0f} 百万像素，请先缩小视频。",
                    en=f"A picture of {width} x {height} has more than {MAX_PIXELS / 1e6:.0f} megapixels, "
                    "please make the video smaller first.",
                )
            )
        if self.side and self.side < max(width, height):
            scale = self.side / max(width, height)
            width, height = max(1, round(width * scale)), max(1, round(height * scale))
        rgb = self._reformatter.reformat(
            frame, width, height, "rgb24", interpolation="AREA" if width < frame.width else "BILINEAR",
            src_color_range=frame.color_range,
        )  # fmt: skip
        return orient(rgb.to_ndarray(), _display_matrix(frame))


def orient(pixels: np.ndarray, matrix: tuple[int, ...] | None) -> np.ndarray:
    """The picture turned and mirrored as the display matrix says (libavutil/display.h); None: as it is.

    The matrix sends a stored point (x, y) to (a x + c y, b x + d y); only quarter turns and mirrors occur.
    """
    if matrix is None:
        return pixels
    a, b, _, c, d, *_ = matrix
    if abs(a) < abs(b):
        pixels, x, y = pixels.swapaxes(0, 1), c, b
    else:
        x, y = a, d
    return np.ascontiguousarray(pixels[:: -1 if y < 0 else 1, :: -1 if x < 0 else 1])


def _display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    data = frame.side_data.get(Type.DISPLAYMATRIX)
    return None if data is None else tuple(np.frombuffer(bytes(data), np.int32).tolist())
