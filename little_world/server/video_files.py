"""A clip's frames as the files that the video protocol hands out: MP4, a thumbnail, a sheet of all frames."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from course_lib.video_writing import write_video

_QUALITY = 14  # small clips that one looks at closely: H.264's usual 23 would blur them
_COLUMNS, _SHEET_SIDE = 4, 256  # pixels of a frame's longer side


def mp4(frames: np.ndarray, rate: float) -> bytes:
    """H.264, as a browser plays it."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = write_video(Path(folder) / "video.mp4", list(frames), rate, quality=_QUALITY, repeatable=True)
        return path.read_bytes()


def thumbnail(frames: np.ndarray) -> bytes:
    """The middle frame as WebP, as OpenAI's."""
    return _encoded(Image.fromarray(frames[len(frames) // 2]), "WEBP")


def spritesheet(frames: np.ndarray) -> bytes:
    """All frames in rows of four as JPEG."""
    pictures = [Image.fromarray(frame) for frame in frames]
    for picture in pictures:
        picture.thumbnail((_SHEET_SIDE, _SHEET_SIDE))
    width, height = pictures[0].size
    columns = min(_COLUMNS, len(pictures))
    sheet = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % columns * width, i // columns * height))
    return _encoded(sheet, "JPEG")


def _encoded(picture: Image.Image, form: str) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, form, quality=90)
    return buffer.getvalue()
