"""A video as vectors over time: what every method of `VideoAnalyzer` looks at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from .errors import VideoError
from .settings import say
from .texts import Texts, some_texts
from .video import VideoFrame, VideoProcessor
from .video_shots import Shot

if TYPE_CHECKING:
    from .clip import CLIPService
    from .xclip import Watched, XCLIPService


@dataclass(frozen=True, eq=False)
class Timeline:
    """At second `times[i]` the video looks like `features[i]`.

    `times` (n,) in seconds, `features` (n, d) of length 1. With X-CLIP each stands for a window of frames around that
    second. `shots` are those of the whole video, `duration` its length, `fps` how often it was looked at.
    """

    times: np.ndarray
    features: np.ndarray
    shots: list[Shot]
    duration: float
    fps: float
    service: CLIPService | XCLIPService | None = field(repr=False)
    watched: Watched | None = field(default=None, repr=False)

    @classmethod
    def of_one_shot(cls, features: np.ndarray, fps: float, service: CLIPService | None = None) -> Timeline:
        """Vectors (n, d) of frames, `fps` a second, that are at hand already."""
        n = len(features)
        shot = Shot(0, n - 1, 0.0, n / fps)
        return cls(np.arange(n) / fps, features, [shot], n / fps, fps, service)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def nbytes(self) -> int:
        """Memory of its vectors."""
        return self.features.nbytes + (0 if self.watched is None else self.watched.patches.nbytes)

    def similarity(self, texts: Texts) -> np.ndarray:
        """Cosine similarity over time, float32 `(n,)` with one text, `(n, n_texts)` with a list of them."""
        if self.watched is not None:
            found = self.service.similarity(self.watched, some_texts(texts))
        else:
            found = self.features @ self.service.encode_text(some_texts(texts)).T
        return found[:, 0] if isinstance(texts, str) else found

    def span(self, start: float | None, end: float | None) -> tuple[float, float]:
        """A span of seconds, by default the whole. Raises `VideoError` for one that the video does not have."""
        first, last = start or 0.0, self.duration if end is None else min(end, self.duration)
        if not 0 <= first < last:
            raise VideoError(
                say(
                    zh=f"没有从 {start or 0} 秒到 {end} 秒这一段，视频长 {self.duration:.3f} 秒。",
                    en=f"There is no span from second {start or 0} to second {end}, the video lasts {self.duration:.3f} s.",
                )
            )
        return first, last

    def inside(self, start: float, end: float) -> np.ndarray:
        """The numbers (m,) of the vectors from second `start` until second `end`; at least that of the nearest one."""
        found = np.flatnonzero((self.times >= start - 1e-6) & (self.times < end - 1e-6))
        return found if len(found) else np.abs(self.times - (start + end) / 2).argmin(keepdims=True)


def build_timeline(service: CLIPService | XCLIPService, video: VideoProcessor, fps: float) -> Timeline:
    """Look at a video `fps` times a second, in one pass, and with no more than a batch of frames in memory."""
    scan = video.scan(fps=fps)
    if is_clip(service):
        times, features = encode_frames(service, scan)
        # Where a video is slower than `fps` a frame comes again: the clock goes on.
        times, watched = np.maximum(times, np.arange(len(times)) / fps), None
    else:
        times, watched = _watch_windows(service, scan)
        features = np.empty((0, service.dim), np.float32) if watched is None else watched.features
    return Timeline(times, features, scan.shots, video.duration, fps, service, watched)


def is_clip(service: CLIPService | XCLIPService) -> bool:
    """Whether the service looks at single pictures (CLIP) and not at clips of several frames (X-CLIP)."""
    return not hasattr(service, "encode_video")


def encode_frames(
    service: CLIPService | XCLIPService, frames: Iterable[VideoFrame]
) -> tuple[np.ndarray, np.ndarray]:
    """(times (n,), features (n, d)) of frames that may come one by one; a batch of them is in memory at a time.

    X-CLIP takes so many at once, and its vector of those stands for each of them.
    """
    size = service.batch_size if is_clip(service) else service.num_frames
    times: list[float] = []
    features = [np.empty((0, service.dim), np.float32)]
    for batch in batches(frames, size):
        pictures = [frame.image for frame in batch]
        times += [frame.timestamp for frame in batch]
        if is_clip(service):
            features.append(service.encode_image(pictures, progress=False))
        else:
            features.append(np.repeat(service.encode_video(pictures), len(batch), axis=0))
    return np.array(times), np.concatenate(features)


def batches(items: Iterable, size: int) -> Iterator[list]:
    """Lists of `size` items as they come; the last may be shorter."""
    items = iter(items)
    while some := list(islice(items, size)):
        yield some


def _watch_windows(service: XCLIPService, frames: Iterable[VideoFrame]) -> tuple[np.ndarray, Watched | None]:
    times, seen = [], []
    for some in batches(_windows(frames, service.num_frames), service.batch_size):
        times += [window[len(window) // 2].timestamp for window in some]
        seen.append(service.watch([[frame.image for frame in window] for window in some]))
    return np.array(times), type(seen[0])(*map(np.concatenate, zip(*seen))) if seen else None


def _windows(frames: Iterable[VideoFrame], size: int) -> Iterator[list[VideoFrame]]:
    """Overlapping windows of `size` frames, each half a window after the one before; the last may be shorter."""
    window: list[VideoFrame] = []
    step = max(1, size // 2)
    is_new = False  # whether the window holds frames that none before it had
    for some in batches(frames, step):
        window, is_new = (window + some)[-size:], True
        if len(window) == size:
            yield window
            is_new = False
    if is_new:
        yield window
