"""Which frames a video has and when each is shown: read once from the packets, without decoding.

A frame rate times a number is a guess that only a constant rate makes true. The container stores the
presentation time of every frame, in the order of decoding; sorted by time, these are the frames.
"""

from __future__ import annotations

import re
import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import av
import av.logging
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

ASSUMED_RATE = Fraction(25)  # frames a second, for a file that says nothing about time
# What reading packets can end with: FFmpeg's errors, and PyAV's when a damaged file grows streams on the way.
UNREADABLE = (av.error.FFmpegError, IndexError)
# FFmpeg logs for all threads alike, and its decoding threads take Python's lock to do it: where that is on, in one thread,
# another must not close a decoder, which waits for those threads and keeps the lock.
LOGGING = threading.RLock()
_SLACK = 1e-9  # seconds: what arithmetic in floating point may lose on the way to a frame's time


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """The frames that are shown, in the order of showing: frame i has `pts[i]`, in ticks of `time_base`.

    A packet's place is its position in the file's order of decoding. To decode frame i a decoder has to
    begin at the packet at place `start[i]`, a keyframe, and go on at least to place `place[i]`.
    """

    pts: np.ndarray  # (n,) int64, increasing
    place: np.ndarray  # (n,) int64
    start: np.ndarray  # (n,) int64
    last_ticks: int  # how long the last frame is shown
    time_base: Fraction
    zero: Fraction  # seconds on the container's clock at which the file's presentation begins
    packet_pts: np.ndarray  # (m,) int64: every packet by place, those that are not shown too
    packet_dts: np.ndarray  # (m,) int64
    timed: bool = True  # False: the file has no time for each frame, they are told apart by counting
    is_guessed: bool = False  # not even a rate is known
    is_damaged: bool = False  # the container broke off, or parts of it could not be read
    promised_end: float | None = None  # the second at which the pictures end by the file's own header

    def __len__(self) -> int:
        return len(self.pts)

    @cached_property
    def times(self) -> np.ndarray:
        """(n,) float64, the second at which each frame appears."""
        return self._seconds(self.pts)

    @cached_property
    def end(self) -> float:
        """The second at which the last frame is over."""
        return float(self._seconds(self.pts[-1:] + self.last_ticks)[0])

    @cached_property
    def standing_alone(self) -> np.ndarray:
        """The frames that are decoded without any other: the codec's keyframes (I-frames)."""
        return np.flatnonzero(self.place == self.start)

    @property
    def mean_rate(self) -> float:
        """Frames a second on average; 0.0 if a single frame does not say how long it is shown."""
        shown = float((int(self.pts[-1]) + self.last_ticks - int(self.pts[0])) * self.time_base)
        return len(self) / shown if shown > 0 else 0.0

    @property
    def is_variable(self) -> bool:
        """Whether frames are shown for different times, rounding to the container's clock aside."""
        gaps = np.diff(self.pts)
        return len(gaps) > 1 and int(gaps.max() - gaps.min()) * self.time_base > Fraction(2, 1000)

    def at(self, timestamp: float) -> int:
        """The frame that is on screen at that second; before the first frame appears, the first."""
        return max(0, int(np.searchsorted(self.times, timestamp + _SLACK, side="right")) - 1)

    def frame_of(self, pts: int | None) -> int:
        """The frame with that presentation time, or -1: not one that is shown."""
        if pts is None:
            return -1
        i = int(np.searchsorted(self.pts, pts))
        return i if i < len(self.pts) and self.pts[i] == pts else -1

    def _seconds(self, pts: np.ndarray) -> np.ndarray:
        # one division of two exact integers, so that the frame at 7/30 s appears at exactly 7 / 30
        numerator, denominator = self.time_base.numerator, self.time_base.denominator
        shift = self.zero * denominator
        return (pts * numerator * shift.denominator - shift.numerator) / (denominator * shift.denominator)


def build_index(container: InputContainer, stream: VideoStream) -> FrameIndex | None:
    """Demux the file once; None if it has no frame. Leaves the container at its end."""
    pts, dts, keys, shown = array("q"), array("q"), array("b"), array("b")
    last_duration, timed = 0, not _lacks_times(container, stream)
    has_hidden_frames = stream.codec_context.name.startswith(("vp8", "libvpx"))
    latest, damaged = None, False
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            timed = timed and packet.pts is not None
            time = packet.pts if packet.pts is not None else packet.dts or 0
            if latest is None or time >= latest:
                latest, last_duration = time, packet.duration or last_duration
            pts.append(time)
            dts.append(packet.dts if packet.dts is not None else time)
            keys.append(packet.is_keyframe)
            shown.append(not packet.is_discard and not (has_hidden_frames and _is_hidden_vp8(packet)))
    except UNREADABLE:
        damaged = True  # the file breaks off: what came before is what there is
    if not any(shown):
        return None
    index = _from_packets(container, stream, *map(np.array, (pts, dts, keys, shown)), last_duration, timed)
    return replace(index, is_damaged=damaged)


def _from_packets(container, stream, pts, dts, keys, shown, last_duration: int, timed: bool) -> FrameIndex:
    shown = shown.astype(bool)
    # A file that says of most frames that they are shown for no time at all does not say when they are shown.
    timed = timed and len(np.unique(pts[shown])) > 0.9 * shown.sum()
    if not timed:  # pictures at a constant rate, in the order in which the decoder gives them out
        ticks = round(1 / ((stream.average_rate or ASSUMED_RATE) * stream.time_base)) or 1
        pts, keys, last_duration = np.arange(len(pts)) * ticks, np.arange(len(pts)) == 0, ticks
    first_shown, place = np.unique(pts[shown], return_index=True)
    place = np.flatnonzero(shown)[place]
    # Where to begin: the last keyframe before the frame in the file that is not shown after it. A picture
    # that leads an open group is stored after the keyframe, shown before it, and needs the group before too.
    entries = np.flatnonzero(keys)
    entries = entries if len(entries) and entries[0] == 0 else np.concatenate([[0], entries])
    which = np.searchsorted(entries, place, side="right") - 1
    while (late := (pts[entries[which]] > first_shown) & (which > 0)).any():
        which[late] -= 1
    gaps = np.diff(first_shown)
    if len(gaps) and last_duration <= 0:
        last_duration = int(np.median(gaps))
    if last_duration <= 0 and stream.guessed_rate:
        last_duration = round(1 / (stream.guessed_rate * stream.time_base))
    starts = [int(first_shown[0]) * stream.time_base]
    for audio in container.streams.audio[:1]:
        if audio.start_time is not None and audio.start_time >= 0:  # below 0 an encoder's run-up, never heard
            starts.append(audio.start_time * audio.time_base)
    return FrameIndex(
        pts=first_shown, place=place, start=entries[which], last_ticks=int(last_duration),
        time_base=stream.time_base, zero=min(starts), packet_pts=pts, packet_dts=dts, timed=timed,
        is_guessed=not timed and not stream.average_rate,
        promised_end=_promised_end(container, stream, float(min(starts))),
    )  # fmt: skip


def _promised_end(container: InputContainer, stream: VideoStream, zero: float) -> float | None:
    if stream.duration:
        return (
            float((stream.start_time or 0) * stream.time_base)
            - zero
            + float(stream.duration * stream.time_base)
        )
    # Matroska, of each track: "00:01:02.345000000"
    written = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", stream.metadata.get("DURATION", ""))
    if written is None:
        return None
    return int(written[1]) * 3600 + int(written[2]) * 60 + float(written[3]) - zero


@contextmanager
def ffmpeg_errors() -> Iterator[list[tuple[int, str, str]]]:
    """The errors (level, who, what) that FFmpeg only logs: parts of a container that it had to pass over.

    Opening a file already reads some way into it, so that is watched as well. PyAV keeps back a message that repeats the
    one before, be it of another file, and must not.
    """
    with LOGGING:
        level, skip = av.logging.get_level(), av.logging.get_skip_repeated()
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)
        try:
            with av.logging.Capture() as errors:
                yield errors
        finally:
            av.logging.set_level(level)
            av.logging.set_skip_repeated(skip)


def _lacks_times(container: InputContainer, stream: VideoStream) -> bool:
    """Whether the format stores no time for each frame, so that FFmpeg has to guess."""
    name = container.format.name
    return name in ("mpeg", "ogg") or (name == "avi" and bool(stream.codec_context.has_b_frames))


def _is_hidden_vp8(packet: Packet) -> bool:
    """Whether a VP8 packet holds a picture that others refer to but nobody sees (RFC 6386, 9.1)."""
    return not bytes(memoryview(packet)[:1])[0] & 0x10
