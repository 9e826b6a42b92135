"""Text to video and image to video (chapter, section 五) over the video API that OpenAI made and others keep.

Without further settings a miniature makes the clip, on the course's own server: AnimateDiff's motion modules in the
miniature that paints. An address puts any server that speaks `/v1/videos` in its place, such as vLLM-Omni or SGLang in
front of Wan, LTX or CogVideoX.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import settings
from .errors import SettingsError, warn
from .generated_video import GeneratedVideo
from .images import ImageSource, encode, open_image
from .painting import parameters as check
from .painting.watching import watched
from .providers import check_key
from .settings import say
from .video_jobs import VideoJobs

__all__ = ["GeneratedVideo", "VideoGenerator"]

MOST_CHARACTERS = 4000
MOST_SECONDS, MOST_FRAMES = 120.0, 1000

# Names of the protocol that are arguments here.
_MEANT = {
    "num_inference_steps": "steps",
    "num_frames": "frames",
    "size": "width, height",
    "input_reference": "image_to_video",
}


@dataclass(frozen=True)
class _Clip:
    """What both calls take beside the prompt, as it was given."""

    negative_prompt: str
    seconds: float | None
    frames: int | None
    width: int | None
    height: int | None
    steps: int | None
    guidance_scale: float | None
    seed: int | None
    fields: Mapping[str, Any]

    def request(self) -> dict[str, Any]:
        """As the protocol names it, checked; only what was given."""
        for name in self.fields:
            if name in _MEANT:
                ours = _MEANT[name]
                raise SettingsError(
                    say(
                        zh=f"这里请用 {ours}，而不是 {name}。",
                        en=f"Please use {ours} in place of {name} here.",
                    )
                )
        if self.seconds is not None and self.frames is not None:
            raise SettingsError(
                say(zh="seconds 和 frames 只能给一个。", en="Please give either seconds or frames, not both.")
            )
        found: dict[str, Any] = {}
        if negative := check.check_length(self.negative_prompt, MOST_CHARACTERS):
            found["negative_prompt"] = negative
        if self.seconds is not None:
            found["seconds"] = f"{check.check_number('seconds', self.seconds, 0.1, MOST_SECONDS):g}"
        if self.frames is not None:
            found["num_frames"] = check.check_whole("frames", self.frames, 1, MOST_FRAMES)
        if self.width is not None or self.height is not None:
            width, height = self.width, self.height
            sides = check.check_size(height if width is None else width, width if height is None else height)
            found["size"] = "{}x{}".format(*sides)
        if self.steps is not None:
            found["num_inference_steps"] = check.check_steps(self.steps)
        if self.guidance_scale is not None:
            found["guidance_scale"] = check.check_guidance(self.guidance_scale)
        if (seed := check.check_seed(self.seed)) is not None:
            found["seed"] = seed
        return found | dict(self.fields)


class VideoGenerator:
    """Makes clips through a server with OpenAI's video API.

    `api_url` is the server's root ("http://localhost:8091"), `api_key` what it asks for. Without them
    COURSE_VIDEO_URL and COURSE_VIDEO_API_KEY, else the course's own server. `timeout` in seconds is for a whole
    clip, `retries` how often a request is repeated that did not arrive. Safe to use from several threads.

    Raises `ServiceError` where the server fails, `RefusalError` where its filter declines, `AnswerError` for an
    answer that is no video, and `SettingsError`, `TextError` and `ImageError` for arguments that make no sense,
    before anything is sent.
    """

    def __init__(
        self,
        api_url: str | None = None,
        api_key: str | None = None,
        *,
        model: str | None = None,
        timeout: float = 900.0,
        retries: int = 2,
        progress: bool = True,
    ):
        key = check_key(api_key)
        del api_key  # some tools print a traceback with its variables
        chosen = settings.resolve("COURSE_VIDEO_MODEL", model)
        self.jobs = VideoJobs(api_url, key, model=chosen.value, timeout=timeout, retries=retries)
        self.api_url = self.jobs.url
        self.model = chosen.value if chosen.source != "default" or self.api_url is None else None
        self.show_progress = progress

    def __str__(self) -> str:
        return f"{self.model} @ {self.jobs}" if self.model else str(self.jobs)

    def __repr__(self) -> str:
        return f"VideoGenerator({self.api_url or 'local'!r}, model={self.model!r})"

    def text_to_video(
        self,
        prompt: str,
        negative_prompt: str = "",
        *,
        seconds: float | None = None,
        frames: int | None = None,
        width: int | None = None,
        height: int | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
        progress: bool | None = None,
        **fields: Any,
    ) -> GeneratedVideo:
        """A clip of the prompt.

        What is not given is the model's own: its length, its size, its steps. Give `seconds` or `frames`, and both of
        `width` and `height` or one for a square. The same `seed` makes the same clip; None or -1 is any. `fields` are
        more of the server's own; OpenAI's protocol itself knows `seconds` and the size alone, the others are those of
        vLLM-Omni and SGLang.
        """
        clip = _Clip(negative_prompt, seconds, frames, width, height, steps, guidance_scale, seed, fields)
        return self._make(prompt, clip, None, progress)

    def image_to_video(
        self,
        image: ImageSource,
        prompt: str,
        negative_prompt: str = "",
        *,
        seconds: float | None = None,
        frames: int | None = None,
        width: int | None = None,
        height: int | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
        progress: bool | None = None,
        **fields: Any,
    ) -> GeneratedVideo:
        """A clip that begins with the picture and goes on as the prompt says.

        How exactly, depends on the model. mini-motion learnt to go on from a first frame, which is the picture as its
        autoencoder sees it, cropped to the clip's size. Another AnimateDiff adapter, which did not, paints over the
        picture, repeated: the clip then only resembles it. The other arguments are those of `text_to_video`.
        """
        clip = _Clip(negative_prompt, seconds, frames, width, height, steps, guidance_scale, seed, fields)
        return self._make(prompt, clip, encode(open_image(image)), progress)

    def fetch(self, video_id: str, *, progress: bool | None = None) -> GeneratedVideo:
        """A clip that was asked for before, by its number; waits for one that is still being made."""
        return self._watch(lambda stop: video_id, {}, progress, keep=True)

    def videos(self) -> list[dict[str, Any]]:
        """The clips that the server keeps, the newest first, as it describes them."""
        return self.jobs.list()

    def delete(self, video_id: str) -> None:
        """Delete a clip on the server."""
        self.jobs.delete(video_id)

    def _make(self, prompt: str, clip: _Clip, picture: bytes | None, progress: bool | None) -> GeneratedVideo:
        request = {"prompt": check.check_prompt(prompt, MOST_CHARACTERS), **clip.request()}
        if self.model:
            request["model"] = self.model
        return self._watch(lambda stop: self.jobs.create(request, picture, stop)["id"], request, progress)

    def _watch(
        self,
        order: Callable[[threading.Event], str],
        request: dict[str, Any],
        progress: bool | None,
        *,
        keep: bool = False,
    ) -> GeneratedVideo:
        """Order, wait and fetch, with a bar. Ctrl-C deletes what was ordered here (unless `keep`), which stops it."""
        known: dict[str, Any] = {"share": None, "id": None}

        def call(stop: threading.Event) -> GeneratedVideo:
            known["id"] = order(stop)
            video = self.jobs.wait(known["id"], stop, lambda share: known.update(share=share))
            return self._read(video, self.jobs.content(known["id"], stop), request)

        return watched(
            call,
            total=100,
            progress=lambda: known["share"] or 0.0,
            interrupt=lambda: None if keep else self.jobs.abandon(known["id"]),
            show=self.show_progress if progress is None else progress,
        )

    def _read(self, video: Mapping[str, Any], data: bytes, request: Mapping[str, Any]) -> GeneratedVideo:
        """What came, with what the server says of it; a warning where that is not what was asked for."""
        said = {
            name: value for name, value in video.items() if value is not None and name not in _NOT_PARAMETERS
        }
        for name in sorted(said.keys() & request.keys()):
            if not _alike(said[name], request[name]):
                warn(
                    say(
                        zh=f"{self.jobs} 没有照办：要的 {name} 是 {request[name]}，实际是 {said[name]}。",
                        en=f"{self.jobs} did otherwise: {name} {request[name]} was asked for, {said[name]} came.",
                    )
                )
        return GeneratedVideo(data, {**request, **said})


_NOT_PARAMETERS = ("object", "status", "progress", "error", "expires_at", "completed_at", "created_at")


def _alike(one: Any, other: Any) -> bool:
    try:
        return abs(float(one) - float(other)) < 1e-6
    except (TypeError, ValueError):
        return str(one) == str(other)
