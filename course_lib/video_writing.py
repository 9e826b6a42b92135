"""Pictures and sound into an MP4 that browsers play: H.264 in yuv420p, AAC, the index at the front."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from .errors import VideoError
from .images import ImageSource, open_image
from .settings import say
from .video_sound import Sound

_TURNS = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}  # a, b, c, d of a display matrix


def write_video(
    path: str | os.PathLike,
    frames: Iterable[ImageSource],
    fps: float,
    *,
    ticks: Sequence[int] | None = None,
    sound: Sound | None = None,
    rotation: int = 0,
    quality: int = 23,
) -> Path:
    """Write RGB pictures of one size as an MP4, whole or not at all; returns its path.

    `ticks`: when each frame appears, in units of `1 / fps` seconds, for a variable frame rate. `sound` (samples,
    rate) is mono in -1..1 and begins with the pictures. `rotation`: the file says to turn the stored pictures
    counter-clockwise by 90, 180 or 270 degrees. `quality` is H.264's CRF: the lower, the better and the larger.
    """
    path = Path(path)
    unfinished = path.with_name(path.name + ".part")
    rate = Fraction(fps).limit_denominator(1001)
    try:
        with av.open(str(unfinished), "w", format="mp4", options={"movflags": "+faststart"}) as file:
            video = file.add_stream("libx264", rate=rate, options={"crf": str(quality), "preset": "slow"})
            voice = file.add_stream("aac", rate=sound.rate, layout="mono") if sound else None
            count = 0
            for count, picture in enumerate(frames, start=1):
                pixels = np.asarray(open_image(picture))
                if count == 1:
                    video.height, video.width = pixels.shape[:2]
                    video.pix_fmt = "yuv420p" if not (video.width % 2 or video.height % 2) else "yuv444p"
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                frame.pts, frame.time_base = ticks[count - 1] if ticks else count - 1, 1 / rate
                file.mux(video.encode(frame))
            if not count:
                raise VideoError(
                    say(
                        zh="没有帧可写，请至少给一帧画面。",
                        en="There are no frames to write, please give at least one.",
                    )
                )
            file.mux(video.encode(None))
            if voice:
                samples = np.ascontiguousarray(sound.samples, np.float32)[None]
                for start in range(0, samples.shape[1], 1024):
                    piece = av.AudioFrame.from_ndarray(samples[:, start : start + 1024], "fltp", "mono")
                    piece.sample_rate, piece.pts = sound.rate, start
                    piece.time_base = Fraction(1, sound.rate)
                    file.mux(voice.encode(piece))
                file.mux(voice.encode(None))
        if rotation % 360:
            unfinished.write_bytes(turned(unfinished.read_bytes(), rotation % 360))
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def turned(data: bytes, degrees: int) -> bytes:
    """The MP4 with a display matrix in its first track's header (ISO/IEC 14496-12, 8.3.2)."""
    a, b, c, d = _TURNS[degrees]
    matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    at = data.index(b"tkhd") + 44  # what stands before the matrix in version 0 of the box
    return data[:at] + matrix + data[at + 36 :]
