"""The sound of a video as samples on the video's own clock."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from .video_index import UNREADABLE

MOST_RATE = 768_000  # Hz
_RUN_UP = 0.2  # seconds decoded before the wanted ones: codecs need some past to be right
_JITTER = 0.01  # seconds: times in Matroska are rounded, only larger gaps are gaps


class Sound(NamedTuple):
    """`samples` (n,) float32 in -1..1, `rate` of them a second."""

    samples: np.ndarray
    rate: int


def read_sound(
    container: InputContainer, start: float, end: float, zero: Fraction, rate: int | None
) -> tuple[Sound, int]:
    """The first sound track from `start` to `end` in seconds, mixed to one channel; silence where it is not.

    `zero` is the second of the container's clock at which the presentation begins. Returns the sound and how
    many packets could not be decoded. Moves the container.
    """
    stream = container.streams.audio[0]
    source_rate = stream.codec_context.sample_rate
    samples = np.zeros(round((end - start) * source_rate), np.float32)
    to_mono = AudioResampler(format="flt", layout="mono", rate=source_rate)
    first = zero + Fraction(start).limit_denominator(10**9)
    expected, damaged = None, 0
    run_up = int(max(first - Fraction(_RUN_UP), 0) / stream.time_base)
    try:
        container.seek(run_up, stream=stream, backward=True)
    except av.error.FFmpegError:  # a damaged file that cannot be sought in: what follows is silence
        damaged += 1
    for packet in _packets(container, stream):
        try:
            frames = packet.decode()
        except av.error.EOFError:
            break
        except av.error.FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            position = round(float(frame.pts * frame.time_base - first) * source_rate)
            if expected is not None and abs(position - expected) < _JITTER * source_rate:
                position = expected
            for mono in to_mono.resample(frame):
                piece = mono.to_ndarray()[0]
                low, high = max(position, 0), min(position + len(piece), len(samples))
                if low < high:
                    samples[low:high] = piece[low - position : high - position]
                position += len(piece)
            expected = position
        if expected is not None and expected >= len(samples):
            break
    if rate and rate != source_rate:
        samples = resample(samples, source_rate, rate, round((end - start) * rate))
    return Sound(samples, rate or source_rate), damaged


def _packets(container: InputContainer, stream: AudioStream) -> Iterator[Packet]:
    try:
        yield from container.demux(stream)
    except UNREADABLE:  # the file breaks off
        return


def resample(samples: np.ndarray, rate: int, new_rate: int, length: int) -> np.ndarray:
    """Mono float32 samples at another rate by FFmpeg's resampler (band-limited), `length` of them."""
    resampler = AudioResampler(format="flt", layout="mono", rate=new_rate)
    frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts = rate, 0
    pieces = [f.to_ndarray()[0] for f in (*resampler.resample(frame), *resampler.resample(None))]
    made = np.concatenate(pieces)[:length] if pieces else np.zeros(0, np.float32)
    return np.pad(made, (0, length - len(made)))
