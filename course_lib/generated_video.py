"""A clip that a model made: its frames, the MP4 they came in, and how it was made. A notebook plays it."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from .errors import VideoError
from .images import ImageSource
from .output import write_whole
from .settings import say
from .video import VideoProcessor
from .video_sheets import sheet
from .video_writing import write_video

_SHOWN = 192  # pixels: a smaller clip is shown at this height


class GeneratedVideo:
    """A clip: `data` is its MP4, `frames` `(n, h, w, 3)` uint8 RGB as they come out of it, `parameters` how it was
    made.

    Attributes: `fps`, `seconds`, `size` (width, height), and of the parameters `prompt`, `seed` and `id`, the number by
    which its service knows it; None where that is not known. Raises `VideoError` for data that are no video.
    """

    def __init__(self, data: bytes, parameters: Mapping[str, Any] | None = None):
        self.data, self.parameters = data, dict(parameters or {})
        with VideoProcessor(data) as video:
            self._count, self.seconds, self.fps = len(video), video.duration, video.fps
            first = video.read_frame(0).image
        self.size = (first.shape[1], first.shape[0])

    @classmethod
    def from_frames(
        cls, frames: Iterable[ImageSource], fps: float, parameters: Mapping[str, Any] | None = None
    ) -> GeneratedVideo:
        """A clip of pictures of one size, `fps` a second: what a pipeline of diffusers returns, for instance."""
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            path = write_video(Path(folder) / "video.mp4", frames, fps, quality=14, repeatable=True)
            return cls(path.read_bytes(), parameters)

    @cached_property
    def frames(self) -> np.ndarray:
        with VideoProcessor(self.data) as video:
            return np.stack([frame.image for frame in video.frames()])

    @property
    def prompt(self) -> str | None:
        return self.parameters.get("prompt")

    @property
    def seed(self) -> int | None:
        return self.parameters.get("seed")

    @property
    def id(self) -> str | None:
        return self.parameters.get("id")

    @property
    def pictures(self) -> list[Image.Image]:
        """The frames as PIL images."""
        return [Image.fromarray(frame) for frame in self.frames]

    def save(self, path: str | os.PathLike) -> Path:
        """Write the MP4, whole or not at all; returns its path. Raises `OutputError` where that cannot be done."""
        path = Path(path).expanduser()
        if path.suffix.lower() != ".mp4":
            raise VideoError(
                say(
                    zh=f"文件名要以 .mp4 结尾，不能是 {path.name}。",
                    en=f"The file's name must end in .mp4, unlike {path.name}.",
                )
            )
        write_whole(path, lambda file: file.write(self.data))
        return path

    def contact_sheet(self, columns: int | None = None, side: int = 128) -> Image.Image:
        """All frames as one picture, by default in one row, each with its second."""
        times = [i / self.fps for i in range(self._count)]
        return sheet(list(self.frames), times, columns or self._count, side)

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        width, height = self.size
        prompt = self.prompt or ""
        said = f" {prompt if len(prompt) <= 40 else prompt[:40] + '…'!r}" if prompt else ""
        seed = "" if self.seed is None else f" seed={self.seed}"
        return f"<GeneratedVideo {width}x{height}, {self._count} frames, {self.seconds:g} s{seed}{said}>"

    def _repr_html_(self) -> str:
        width, height = self.size
        scale = max(1.0, _SHOWN / height)
        source = "data:video/mp4;base64," + base64.b64encode(self.data).decode("ascii")
        return (
            f'<video controls autoplay loop muted playsinline width="{round(width * scale)}" '
            f'height="{round(height * scale)}" title="{html.escape(self.prompt or "")}" src="{source}">'
            + say(zh="这个浏览器不能播放视频。", en="This browser plays no video.")
            + "</video>"
        )
