"""A server with OpenAI's video API: where it is, how one gets in, and the life of a video there.

`POST /v1/videos` orders one, `GET /v1/videos/{id}` tells how far it is, `GET .../content` fetches it. OpenAI's own
service of this shape ended on 2026-09-24; vLLM-Omni, SGLang and the course's server speak it. Always sent as a form,
which all of them take, and some alone.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from typing import Any

import requests
from pydantic import SecretStr

from . import settings
from .errors import AnswerError, CourseError, RefusalError, ServiceError
from .painting.failures import FILTERED, Words
from .painting.transport import Headers, Transport, check_address
from .providers import check_key
from .replies import MAX_RAW, redact
from .settings import say, spaced

_PASTED = ("/docs", "/v1/videos", "/videos", "/v1")  # what an address is often copied with
_DONE, _FAILED = ("completed", "succeeded"), ("failed", "cancelled", "canceled", "expired")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0  # seconds between two looks
_NUMBER = re.compile(r"[\w.:-]{1,200}")


class VideoJobs:
    """The server at `api_url` (else COURSE_VIDEO_URL, else the course's own), and its videos by their numbers.

    `url` is None for the course's own, which starts at the first request and makes videos with `model`.
    """

    def __init__(
        self,
        api_url: str | None,
        key: SecretStr | None,
        *,
        model: str | None = None,
        timeout: float,
        retries: int,
    ):
        setting = settings.resolve("COURSE_VIDEO_URL").value
        setting = check_address(setting, _PASTED) if setting else None
        self.url = check_address(api_url, _PASTED) if api_url else setting
        # COURSE_VIDEO_API_KEY goes to the address it was set for, and to no other.
        if key is None and setting is not None and self.url == setting:
            key = check_key(settings.resolve("COURSE_VIDEO_API_KEY").value)
        self.timeout = timeout
        bearer = SecretStr(f"Bearer {key.get_secret_value()}") if key else None
        self.transport = Transport(
            Words(str(self), start=_START, key=_KEY),
            lambda: self.url or settings.local_server(video_model=model).rstrip("/"),
            auth=Headers(lambda: {"Authorization": bearer}) if bearer else None,
            secrets=(key,) if key else (),
            timeout=600.0,  # of one request: an order may wait until the model is loaded
            retries=retries,
        )

    def __str__(self) -> str:
        return self.url or say(zh="课程自带的服务", en="the course's own server")

    def create(
        self, fields: Mapping[str, Any], picture: bytes | None = None, stop: threading.Event | None = None
    ) -> dict[str, Any]:
        """Order a video; `picture` (PNG) is what it begins with. Returns how the server describes it.

        Never sent twice but where nothing arrived or the server turned it away: an order may be paid for.
        """
        form: dict[str, tuple] = {name: (None, str(value)) for name, value in fields.items()}
        if picture is not None:
            form["input_reference"] = ("first_frame.png", picture, "image/png")
        made = requests.Request("POST", "http://localhost", files=form).prepare()  # for its body alone
        kind = {"Content-Type": made.headers["Content-Type"]}
        return self._video("POST", "/v1/videos", made.body, headers=kind, stop=stop)

    def get(self, number: str, stop: threading.Event | None = None) -> dict[str, Any]:
        """How far a video is."""
        return self._video("GET", self._path(number), repeatable=True, timeout=60, stop=stop)

    def wait(self, number: str, stop: threading.Event, on_progress: Any = None) -> dict[str, Any]:
        """Ask until the video is made. Raises `ServiceError` for one that fails, or takes longer than `timeout`."""
        deadline, pause = time.monotonic() + self.timeout, _FIRST_PAUSE
        while True:
            video = self.get(number, stop)
            status = video.get("status")
            if status in _DONE:
                return video
            if status in _FAILED:
                self._fail(video)
            progress = video.get("progress")
            if on_progress is not None and isinstance(progress, (int, float)):
                on_progress(progress / 100)
            if stop.wait(pause):
                raise self.transport.words.too_slow()
            if time.monotonic() > deadline:
                raise ServiceError(
                    say(
                        zh=f"{spaced(self)}在 {self.timeout:g} 秒内没有做完，之后可以用 fetch({number!r}) 取回，"
                        "或加大 timeout。",
                        en=f"{self} did not finish within {self.timeout:g} s, please get it later by "
                        f"fetch({number!r}), or raise timeout.",
                    ),
                    kind="timeout",
                )
            pause = min(_LONGEST_PAUSE, pause * 1.2)

    def content(self, number: str, stop: threading.Event | None = None) -> bytes:
        """The MP4 of a video that is made."""
        return self.transport.request("GET", f"{self._path(number)}/content", repeatable=True, stop=stop)

    def list(self) -> list[dict[str, Any]]:
        """The videos that the server keeps, the newest first."""
        found = self.transport.json("GET", "/v1/videos?limit=100", repeatable=True, timeout=60)
        videos = found.get("data") if isinstance(found, dict) else None
        if not isinstance(videos, list):
            raise self._not_the_protocol(found)
        return [video for video in videos if isinstance(video, dict)]

    def delete(self, number: str) -> None:
        """Delete a video; one that is being made is stopped, where the server can."""
        self.transport.request("DELETE", self._path(number), timeout=30, repeatable=True)

    def abandon(self, number: str | None) -> None:
        """The same for one that nobody waits for any more, whatever comes of it."""
        if number is not None:
            try:
                self.transport.request("DELETE", self._path(number), timeout=5, retries=0)
            except CourseError:
                pass

    def _path(self, number: str) -> str:
        if not isinstance(number, str) or not _NUMBER.fullmatch(number):
            raise AnswerError(
                say(
                    zh=f"{str(number)[:40]!r} 不像是视频的编号，编号形如 video_123。",
                    en=f"{str(number)[:40]!r} is no video's number, which looks like video_123.",
                )
            )
        return f"/v1/videos/{number}"

    def _video(self, method: str, path: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        found = self.transport.json(method, path, *arguments, **options)
        if (
            isinstance(found, dict)
            and isinstance(found.get("id"), str)
            and isinstance(found.get("status"), str)
        ):
            return found
        raise self._not_the_protocol(found)

    def _not_the_protocol(self, found: Any) -> AnswerError:
        raw = redact(str(found), self.transport.secrets)[:MAX_RAW]
        return AnswerError(self.transport.words.not_the_protocol(), raw=raw)

    def _fail(self, video: Mapping[str, Any]) -> None:
        error = video.get("error") if isinstance(video.get("error"), dict) else {}
        said = redact(str(error.get("message") or video["status"]), self.transport.secrets)[:200]
        raw = redact(str(video), self.transport.secrets)[:MAX_RAW]
        if any(code in raw for code in FILTERED):
            raise RefusalError(
                say(
                    zh=f"{spaced(self)}的内容过滤拒绝了这个请求（{said}），请换一种描述。",
                    en=f"The content filter of {self} turned the request down ({said}), please describe "
                    "something else.",
                ),
                raw=raw,
            )
        raise ServiceError(
            say(
                zh=f"{spaced(self)}没有做出视频：{said}，请再试一次，或换一种描述。",
                en=f"{self} did not make the video: {said}, please try again, or with another description.",
            ),
            kind="server",
            raw=raw,
        )


_START = (
    "请检查 api_url，并确认服务已启动，且支持 /v1/videos",
    "please check api_url, and that the server is running and has /v1/videos",
)
_KEY = (
    "请用 api_key 传入密钥，或设置 COURSE_VIDEO_API_KEY",
    "please pass its key as api_key, or set COURSE_VIDEO_API_KEY",
)
