"""One pass over a video for two things at once: some of its frames, and its shots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .errors import VideoError
from .settings import say
from .video_pixels import PixelReader
from .video_shots import SIDE, Shot, Unlikeness, cuts

if TYPE_CHECKING:
    from .video import VideoFrame, VideoProcessor


class Scan:
    """Iterate over it for the frames `ids` (ascending) of a video; when it is over, `shots` are known.

    Every frame is decoded once, forward, and none is kept. Made by `VideoProcessor.scan`.
    """

    def __init__(self, video: VideoProcessor, ids: Sequence[int], threshold: float):
        self._video, self._ids, self._threshold = video, ids, threshold
        self._shots: list[Shot] | None = None

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def shots(self) -> list[Shot]:
        """The shots between hard cuts; at least one."""
        if self._shots is None:
            raise VideoError(
                say(
                    zh="镜头要等整段视频读完才知道，请先遍历所有帧。",
                    en="The shots are known when the whole video has been read, please go through all frames first.",
                )
            )
        return self._shots

    def __iter__(self) -> Iterator[VideoFrame]:
        video, small, unlike = self._video, PixelReader(SIDE), Unlikeness()
        known, seen, unlikenesses, next_id = video._damage, [], [], 0
        for i in range(video.total_frames):
            decoded = video._decode(i)
            if decoded is not None:
                seen.append(i)
                unlikenesses.append(unlike(small(decoded)))
            if next_id < len(self._ids) and self._ids[next_id] == i:
                frame = None if decoded is None else video._frame(i, decoded)
                # a slow video's frame comes again
                while next_id < len(self._ids) and self._ids[next_id] == i:
                    next_id += 1
                    if frame is not None:
                        yield frame
        video._tell_damage(video.total_frames - len(seen), known)
        first = [0, *(seen[cut] for cut in cuts(unlikenesses, self._threshold))]
        last = [i - 1 for i in first[1:]] + [video.total_frames - 1]
        times = [*video.timestamps.tolist(), video.duration]
        self._shots = [Shot(a, b, times[a], times[b + 1]) for a, b in zip(first, last)]
