"""Exactly the frames that were asked for, by decoding no more than they need.

A frame refers to others, so that decoding begins at a keyframe and goes forward. What comes out is known by
its presentation time, never by counting from where a seek was meant to land.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from .video_index import LOGGING, UNREADABLE, FrameIndex

# Decoders that can leave out, without any effect on the others, frames that none refers to.
_SKIPPING = {"h264"}
_FAR = 8  # packets: a seek that saves fewer costs more than it saves


class Decoder:
    """A cursor in one video stream that moves forward while that is cheaper and seeks where it is not.

    Attributes:
        damaged: number of packets that could not be decoded, and of frames that came out marked as damaged.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        index: FrameIndex,
        open_again: Callable[[], tuple[InputContainer, VideoStream]],
    ):
        self.container, self.stream, self.index, self._open = container, stream, index, open_again
        self.damaged = 0
        self._places = np.argsort(index.packet_pts, kind="stable")
        self._sorted_pts = index.packet_pts[self._places]
        self._entries = np.unique(index.start)
        self._can_skip = index.timed and stream.codec_context.name in _SKIPPING
        self._skipped = np.zeros(len(index), bool)
        self.rewind()

    def rewind(self) -> None:
        """Forget the position; whoever moves the container must call this."""
        self._packets: Iterator[Packet] | None = None
        self._ready: deque[tuple[int, av.VideoFrame]] = deque()
        self._begun = 0  # place of the first packet that the decoder was given
        self._fed = -1  # place of the last packet that the decoder was given
        self._last = -1  # the last frame that was returned or passed over
        self._count = 0

    def fetch(self, i: int, wanted: np.ndarray | None = None) -> av.VideoFrame | None:
        """Frame `i`, or None if it cannot be decoded.

        `wanted` (n,) bool: the frames that will be asked for after this one; the others need not be decoded.
        """
        goal = int(self.index.start[i])
        if not self._is_ahead(i):
            self._seek(i, goal)
        frame = self._forward(i, wanted)
        if frame is None and self._begun == goal > 0:
            # A "keyframe" from which a decoder recovers only by and by (periodic intra refresh): one further
            # back. What is still missing then is damaged.
            self._seek(i, int(self._entries[np.searchsorted(self._entries, goal) - 1]))
            frame = self._forward(i, wanted)
        return frame

    def _forward(self, i: int, wanted: np.ndarray | None) -> av.VideoFrame | None:
        """Decode up to frame `i`; None if what comes out does not include it."""
        while True:
            while self._ready:
                j, frame = self._ready[0]
                if j > i:  # it should have come before
                    return None
                self._ready.popleft()
                self._last = j
                if j == i:
                    return frame
            if (
                self._packets is not None
                and self._fed >= self.index.place[i]
                and self._is_last_of_group(i, wanted)
            ):
                # or the decoder would keep the frame back until it has decoded some behind it
                self._drain(None)
                self._packets = None  # it has to begin anew, at the next frame's keyframe
            elif not self._feed(i, wanted):
                return None

    def _is_last_of_group(self, i: int, wanted: np.ndarray | None) -> bool:
        """Whether nothing is wanted any more that could be had by going on from frame `i`: a seek comes next, or the end."""
        if wanted is None or not self.index.timed:
            return False
        rest = wanted[i + 1 :]
        later = int(rest.argmax()) if len(rest) else 0  # the first that is True
        return not rest[later : later + 1].any() or int(self.index.start[i + 1 + later]) > self._fed + _FAR

    def _is_ahead(self, i: int) -> bool:
        """Whether going on from here gives frame `i`, at no greater cost than a seek."""
        if self._packets is None or i <= self._last or self._skipped[i]:
            return False
        return not self.index.timed or self.index.start[i] <= self._fed + _FAR

    def _seek(self, i: int, goal: int) -> None:
        """Go to the packet at place `goal`, or to one before it, on the way to frame `i`."""
        index = self.index
        self.rewind()
        self._skipped[:] = False
        # Containers look a time up in tables of presentation or of decoding times. Both are tried; where one
        # leads is seen from the packet there, and if all else fails the beginning is always right.
        for time in (int(index.packet_pts[goal]), int(index.packet_dts[goal])) if goal else ():
            try:
                self.container.seek(time, stream=self.stream, backward=True)
                self._packets = self.container.demux(self.stream)
                first = next(self._packets)
            except (*UNREADABLE, StopIteration):
                continue
            place = self._place_of(first)
            if 0 <= place <= goal:
                self._begun = place
                self._decode(first, place, i, None)
                return
        beginning = min(int(index.packet_dts[0]), int(index.packet_pts.min()))
        try:
            self.container.seek(beginning, stream=self.stream, backward=True)
        except av.error.FFmpegError:  # a damaged file, or a format, that cannot go back
            with LOGGING:
                self.container.close()
            self.container, self.stream = self._open()
            self._mode = "DEFAULT"
        self._packets = self.container.demux(self.stream)

    def _feed(self, i: int, wanted: np.ndarray | None) -> bool:
        """Give the decoder one packet more; False at the end of the file."""
        if self._packets is None:
            return False
        try:
            packet = next(self._packets)
        except StopIteration:
            return False
        except UNREADABLE:  # the file breaks off
            self._packets = iter(())
            self._drain(None)
            return bool(self._ready)
        if not packet.size:
            self._drain(packet)
            return True
        self._decode(packet, self._place_of(packet) if self.index.timed else self._fed + 1, i, wanted)
        return True

    def _decode(self, packet: Packet, place: int, i: int, wanted: np.ndarray | None) -> None:
        if self._can_skip:
            j = self.index.frame_of(packet.pts)
            skip = j < 0 or (j < i if wanted is None else not wanted[j])
            if skip and j >= 0:
                self._skipped[j] = True
            context, mode = self.stream.codec_context, "NONREF" if skip else "DEFAULT"
            if mode != self._mode:
                context.skip_frame = self._mode = mode
        self._fed = max(self._fed, place)
        self._drain(packet)

    _mode = "DEFAULT"

    def _drain(self, packet: Packet | None) -> None:
        try:
            frames = self.stream.codec_context.decode(packet)
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            self.damaged += 1
            return
        for frame in frames:
            if self.index.timed:
                j = self.index.frame_of(frame.pts)
            else:
                j, self._count = self._count, self._count + 1
            if frame.is_corrupt:
                self.damaged += 1
            if 0 <= j < len(self.index):
                self._ready.append((j, frame))

    def _place_of(self, packet: Packet) -> int:
        """The packet's place in the file, or -1 if it is none that the index knows."""
        if packet.pts is None or not packet.size:
            return -1
        k = int(np.searchsorted(self._sorted_pts, packet.pts))
        return int(self._places[k]) if k < len(self._places) and self._sorted_pts[k] == packet.pts else -1
