"""Which frames are meant: numbers, seconds, spans and rates that a learner gives, as frame numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .errors import SettingsError, VideoError
from .limits import check_number, check_whole
from .settings import say
from .video_index import FrameIndex

MOST_FRAMES = 10_000_000  # days of film
LEAST_FPS, MOST_FPS = 0.0001, 10_000


class Selection:
    """Turns what is asked of a video into frame numbers, and refuses what it does not have.

    `name` is what messages call the video.
    """

    def __init__(self, index: FrameIndex, name: str):
        self.index, self.name = index, name

    def number(self, frame_id: object) -> int:
        """A frame's number, checked."""
        try:
            i = operator.index(frame_id)  # type: ignore[arg-type]
        except TypeError:
            i = -1
        last = len(self.index) - 1
        if not 0 <= i <= last:
            raise VideoError(
                say(
                    zh=f"{self.name} 没有第 {frame_id} 帧，帧号是 0 到 {last} 的整数。",
                    en=f"{self.name} has no frame {frame_id}, frames are numbered 0 to {last}.",
                )
            )
        return i

    def at(self, timestamp: object) -> int:
        """The frame on screen at that second."""
        try:
            second = float(timestamp)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise VideoError(
                say(
                    zh=f"时间 {timestamp!r} 不是数字，请用秒数。",
                    en=f"The time {timestamp!r} is not a number, please give seconds.",
                )
            ) from None
        end = max(self.index.end, np.nextafter(self.index.times[-1], np.inf))
        if not 0 <= second < end:
            raise VideoError(
                say(
                    zh=f"{self.name} 没有第 {timestamp} 秒，它的时长是 {self.index.end:.3f} 秒。",
                    en=f"{self.name} has no second {timestamp}, it lasts {self.index.end:.3f} s.",
                )
            )
        return self.index.at(second)

    def span(self, start: float | None, end: float | None) -> tuple[int, int]:
        """The frames (first, one past the last) on screen from second `start` until second `end`."""
        for name, second in (("start", start), ("end", end)):
            if second is not None:
                checked(check_number, name, second, -math.inf, math.inf)
        first = 0 if start is None else self.at(start)
        if end is None:
            return first, len(self.index)
        if not end > (start or 0.0):
            raise VideoError(
                say(
                    zh=f"终点 {end} 秒必须在起点 {start or 0} 秒之后。",
                    en=f"The end, second {end}, must come after the start, second {start or 0}.",
                )
            )
        return first, max(first + 1, int(np.searchsorted(self.index.times, end - 1e-9, side="left")))

    def even(self, count: int, start: float | None, end: float | None, *, exact: bool = True) -> list[int]:
        """`count` different frames spread evenly over the time of a span, its first and last among them.

        If not `exact`, the codec's keyframe that is nearest to such a place stands for it, where one lies within a third
        of the distance between two places.
        """
        count = checked(check_whole, "num_frames", count, 1, MOST_FRAMES)
        first, stop = self.span(start, end)
        count = min(count, stop - first)
        times = self.index.times[first:stop]
        places = np.linspace(times[0], times[-1], count)
        ids = np.array([self.index.at(t) for t in places])
        alone = self.index.standing_alone
        alone = alone[(alone >= first) & (alone < stop)]
        if not exact and len(alone) and count > 1:
            gaps = np.abs(self.index.times[alone] - places[:, None])
            nearest = gaps.argmin(axis=1)
            is_near = gaps[np.arange(count), nearest] < (places[1] - places[0]) / 3
            ids = np.where(is_near, alone[nearest], ids)
        # A frame that is shown for long would be taken twice: move on to the nearest that are free.
        steps = np.arange(count)
        ids = np.maximum.accumulate(ids - steps) + steps
        return np.minimum(ids, stop - count + steps).tolist()

    def course(
        self, start: float | None, end: float | None, every: int | None, fps: float | None
    ) -> range | list[int]:
        """The frames of a span in order: all, each so-manieth, or as many a second as `fps` says."""
        first, stop = self.span(start, end)
        if every is not None and fps is not None:
            raise VideoError(
                say(zh="every 和 fps 只能给一个。", en="Please give either every or fps, not both.")
            )
        if every is not None:
            every = checked(check_whole, "every", every, 1, MOST_FRAMES)
        if fps is not None:
            fps = checked(check_number, "fps", fps, LEAST_FPS, MOST_FPS)
        if fps is None:
            return range(first, stop, every or 1)
        begin, finish = start or 0.0, self.index.end if end is None else min(end, self.index.end)
        moments = begin + np.arange(max(1, int(np.ceil((finish - begin) * fps - 1e-6)))) / fps
        return [self.index.at(moment) for moment in moments]


def checked(check: Callable, name: str, value: Any, least: float, most: float) -> Any:
    """`check_whole` or `check_number`, as the `VideoError` that every other wrong question to a video gets."""
    try:
        return check(name, value, least, most)
    except SettingsError as error:
        raise VideoError(str(error)) from None
