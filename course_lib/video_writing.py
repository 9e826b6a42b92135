"""Pictures and sound into an MP4 that browsers play: H.264 in yuv420p, AAC, the index at the front."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from .errors import VideoError
from .images import ImageSource, open_image
from .output import plainly
from .settings import say
from .video_sound import Sound


def write_video(
    path: str | os.PathLike,
    frames: Iterable[ImageSource],
    fps: float,
    *,
    ticks: Sequence[int] | None = None,
    sound: Sound | None = None,
    rotation: int = 0,
    quality: int = 23,
    repeatable: bool = False,
) -> Path:
    """Write RGB pictures of one size as an MP4, whole or not at all; returns its path.

    Browsers play only even widths and heights: an odd one grows by a pixel, which repeats the picture's edge.
    `ticks`: when each frame appears, in units of `1 / fps` seconds, for a variable frame rate. `sound`
    (samples, rate) is mono in -1..1 and begins with the pictures. `rotation`: the file says to turn the
    stored pictures counter-clockwise by 90, 180 or 270 degrees. `quality` is H.264's CRF: the lower, the
    better and the larger. `repeatable`: the same pictures give the same bytes, on any number of cores: one thread encodes,
    since what x264 makes depends on how many share the work. (On small pictures x264's macroblock
    tree reads memory that nobody wrote, and decides by it; it is left out then, which costs a few bytes.)
    Raises `OutputError` for a folder that does not take the file.
    """
    path = Path(path).expanduser()
    unfinished = path.with_name(path.name + ".part")
    rate = Fraction(fps).limit_denominator(1001)
    try:
        with plainly(path.parent):  # FFmpeg would say it in its own words, and late
            unfinished.touch()
        # The absolute path, or FFmpeg takes what precedes a colon for a protocol.
        with av.open(
            os.path.abspath(unfinished), "w", format="mp4", options={"movflags": "+faststart"}
        ) as file:
            options = {"crf": str(quality), "preset": "slow"} | (
                {"x264-params": "mbtree=0"} if repeatable else {}
            )
            video = file.add_stream("libx264", rate=rate, options=options)
            if repeatable:
                video.codec_context.thread_count = 1
            voice = file.add_stream("aac", rate=sound.rate, layout="mono") if sound else None
            if rotation % 360:
                video.set_display_rotation(rotation)
            count = 0
            for count, picture in enumerate(frames, start=1):
                pixels = np.asarray(open_image(picture))
                if pixels.shape[0] % 2 or pixels.shape[1] % 2:
                    pixels = np.pad(
                        pixels, [(0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)], mode="edge"
                    )
                if count == 1:
                    video.height, video.width = pixels.shape[:2]
                    video.pix_fmt = "yuv420p"
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
        with plainly(path.parent):
            os.replace(unfinished, path)
    finally:
        with suppress(OSError):  # a file stands where the folder should
            unfinished.unlink()
    return path
