"""Videos that were asked for: made one after the other, kept in memory for a while, fetched as often as one likes."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from . import video_files
from .animation import Animation, AnimationEngine
from .errors import ApiError, full, internal_error
from .worker import Cancelled, Full, Job

log = logging.getLogger(__name__)

KEEP = 64  # finished videos
KEEP_BYTES = 256 << 20
KEEP_SECONDS = 3600

Status = Literal["queued", "in_progress", "completed", "failed"]


@dataclass(eq=False)
class Video:
    """An order for a clip and what became of it. `files` holds the variants once it is completed."""

    id: str
    model: str
    work: Animation
    created_at: int
    completed_at: int | None = None
    error: ApiError | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    job: Job | None = None

    @property
    def done(self) -> bool:
        return self.completed_at is not None

    @property
    def status(self) -> Status:
        if self.done:
            return "failed" if self.error else "completed"
        return "in_progress" if self.work.begun else "queued"

    @property
    def progress(self) -> int:
        """Per cent. 100 means that it can be fetched, so that a clip which is still being written has 99."""
        return 100 if self.status == "completed" else min(99, int(100 * self.work.share))

    @property
    def size(self) -> int:
        return sum(map(len, self.files.values()))


class Shelf:
    """`order` makes a video, `get`, `page` and `remove` speak of those that are there.

    An order holds one of the engine's places until it is done, whether anybody still asks for it or not. Of the
    finished ones the oldest go where there are more than `keep`, or `keep_bytes`, and each after `keep_seconds`.
    """

    def __init__(
        self,
        engine: AnimationEngine,
        *,
        keep: int = KEEP,
        keep_bytes: int = KEEP_BYTES,
        keep_seconds: float = KEEP_SECONDS,
        clock: Callable[[], float] = time.time,
    ):
        self.engine, self.keep, self.keep_bytes, self.keep_seconds = engine, keep, keep_bytes, keep_seconds
        self._clock, self._lock = clock, threading.Lock()
        self._videos: dict[str, Video] = {}  # in the order in which they were asked for

    def order(self, work: Animation) -> Video:
        """Put a clip in line. Raises `ApiError` 429 where every place is taken."""
        try:
            self.engine.places.take()
        except Full:
            raise full(self.engine.places) from None
        video = Video(f"video_{secrets.token_hex(12)}", self.engine.name, work, int(self._clock()))
        with self._lock:
            self._videos[video.id] = video
        video.job = self.engine.submit(work, lambda event: self._finish(video, event))
        return video

    def _finish(self, video: Video, event: Any) -> None:
        """Called once, in the engine's thread, with the frames or what went wrong."""
        try:
            if isinstance(event, np.ndarray):
                files = {
                    "video": video_files.mp4(event, video.work.rate),
                    "thumbnail": video_files.thumbnail(event),
                    "spritesheet": video_files.spritesheet(event),
                }
                with self._lock:
                    video.files = files
            elif isinstance(event, Cancelled):
                video.error = ApiError(503, "The video was not made: it was deleted, or the server is closing.",
                                       code="cancelled")  # fmt: skip
            else:
                video.error = event if isinstance(event, ApiError) else internal_error()
        except Exception:
            log.exception("a clip could not be written")
            video.error = internal_error()
        video.work.picture = None
        video.completed_at = int(self._clock())
        self.engine.places.give()
        self._tidy()

    def _tidy(self) -> None:
        with self._lock:
            finished = [video for video in self._videos.values() if video.done]
            left, size = len(finished), sum(video.size for video in finished)
            for video in finished:
                old = self.expires_at(video) <= self._clock()
                if old or left > self.keep or (size > self.keep_bytes and left > 1):
                    del self._videos[video.id]
                    left, size = left - 1, size - video.size

    def expires_at(self, video: Video) -> int | None:
        return None if video.completed_at is None else int(video.completed_at + self.keep_seconds)

    def get(self, number: str) -> Video:
        """The video of an id. Raises `ApiError` 404."""
        self._tidy()
        video = self._videos.get(number)
        if video is None:
            said = number.encode("utf-8", "replace").decode("utf-8")[:80]
            raise ApiError(
                404, f"Video with id '{said}' not found.", param="video_id", code="video_not_found"
            )
        return video

    def page(self, after: str | None, limit: int, order: Literal["asc", "desc"]) -> tuple[list[Video], bool]:
        """At most `limit` videos after the one of that id, newest first or oldest first, and whether more follow."""
        self._tidy()
        with self._lock:
            videos = list(self._videos.values())
        if order == "desc":
            videos.reverse()
        if after is not None:
            wanted = self.get(after)
            videos = videos[videos.index(wanted) + 1 :]
        return videos[:limit], len(videos) > limit

    def remove(self, number: str) -> None:
        """Forget a video; one that is being made is stopped."""
        video = self.get(number)
        with self._lock:
            self._videos.pop(number, None)
        if video.job is not None:
            video.job.cancelled.set()
