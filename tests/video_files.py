"""Small videos with each frame's number painted into it, so that a picture itself says which frame it is."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 8  # numbers up to 255


def paint(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """(height, width, 3): the number in black and white bits along the top, a moving ramp below, and a red
    corner at the bottom left, a blue one at the bottom right."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    picture = np.stack([(x * 2 + number * 5) % 256, (y * 3 + number * 3) % 256, x + y], axis=-1).astype(
        np.uint8
    )
    cell = width // BITS
    for bit in range(BITS):
        picture[: height // 3, bit * cell : (bit + 1) * cell] = 255 * (number >> bit & 1)
    picture[-height // 4 :, : width // 4] = (230, 20, 20)
    picture[-height // 4 :, -width // 4 :] = (20, 20, 230)
    return picture


def number(picture: np.ndarray) -> int:
    """The number painted into a picture; -1 if it is not upright or not RGB."""
    height, width = picture.shape[:2]
    left = picture[-height // 8, width // 8].astype(int)
    right = picture[-height // 8, -width // 8].astype(int)
    if not (left[0] - left[2] > 60 and right[2] - right[0] > 60):
        return -1
    cell = width // BITS
    middle = picture[height // 6, cell // 2 : BITS * cell : cell].astype(int).mean(axis=-1)
    return int(sum(1 << bit for bit in range(BITS) if middle[bit] > 127))


@contextmanager
def usual_priority() -> Iterator[None]:
    """Leave the thread scheduled as it was.

    For root SVT-AV1 makes the thread that opens it a real-time one, and whatever that starts later is real-time as well:
    tests that came after it starved everything else on their core, without end.
    """
    if not hasattr(os, "sched_setscheduler"):  # Linux has it
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def write(
    path: Path,
    times: list[int],
    *,
    time_base: Fraction = Fraction(1, 1000),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    options: dict[str, str] | None = None,
    rotation: int = 0,
    container: dict[str, str] | None = None,
) -> Path:
    """A video of `len(times)` frames with those presentation times, in ticks of `time_base`.

    With `rotation` the pictures are stored turned clockwise by so many degrees, and the file's display matrix
    says to turn them back.
    """
    with usual_priority(), av.open(str(path), "w", options=container or {}) as file:
        gap = times[1] - times[0] if len(times) > 1 else 40
        rate = Fraction(1) / (time_base * gap)
        stream = file.add_stream(codec, rate=rate.limit_denominator(1000), options=options or {})
        turns = rotation // 90 % 4
        stream.width, stream.height = size if turns % 2 == 0 else size[::-1]
        stream.pix_fmt = pix_fmt
        if turns:
            stream.set_display_rotation(rotation)
        stream.codec_context.time_base = time_base
        for i, time in enumerate(times):
            picture = np.ascontiguousarray(np.rot90(paint(i, *size), -turns))
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time, time_base
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def cut_by_edit_list(data: bytes, media_time: int, duration: int | None = None) -> bytes:
    """An MP4 whose edit list begins the presentation at `media_time`, in ticks of the track's clock."""
    at = data.index(b"elst") + 4
    assert data[at] == 0 and struct.unpack(">I", data[at + 4 : at + 8]) == (1,)
    length = data[at + 8 : at + 12] if duration is None else struct.pack(">I", duration)
    return data[: at + 8] + length + struct.pack(">i", media_time) + data[at + 16 :]


def edit_list_begins(data: bytes) -> int:
    """Where an MP4's only edit begins, in ticks of the track's clock."""
    at = data.index(b"elst") + 4
    return struct.unpack(">i", data[at + 12 : at + 16])[0]
