"""A server with AUTOMATIC1111's API: where it is, how one gets in, and its routes other than painting."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from typing import Any

from pydantic import SecretStr

from .. import settings
from ..errors import AnswerError, CourseError, SettingsError
from ..replies import redact
from ..settings import say
from .failures import Words
from .transport import Transport, basic_auth, check_address

_PASTED = ("/docs", "/sdapi/v1")  # what an address is often copied with

# Names from the protocol and from diffusers that are arguments here.
_MEANT = {
    "cfg_scale": "guidance_scale",
    "denoising_strength": "strength",
    "sampler_name": "sampler",
    "batch_size": "count",
    "n_iter": "count",
    "init_images": "init_image",
    "mask": "mask_image",
    "num_inference_steps": "steps",
    "num_images_per_prompt": "count",
}


class WebUI:
    """The server at `api_url` (else COURSE_SD_URL, else the course's own); `pair` is "user:password" or "".

    `url` is None for the course's own, which starts at the first request, to paint with `model`.
    """

    def __init__(
        self,
        api_url: str | None,
        pair: SecretStr,
        *,
        model: str | None = None,
        timeout: float,
        retries: int,
    ):
        setting = settings.resolve("COURSE_SD_URL").value
        setting = check_address(setting, _PASTED) if setting else None
        self.url = check_address(api_url, _PASTED) if api_url else setting
        # COURSE_SD_AUTH goes to the address it was set for, and to no other.
        same = setting is not None and self.url == setting
        if same and not pair.get_secret_value():
            pair = SecretStr(settings.resolve("COURSE_SD_AUTH").value or "")
        _check_pair(pair)
        known = bool(pair.get_secret_value())
        self.transport = Transport(
            Words(str(self), start=_START, key=_KEY),
            lambda: self.url or settings.local_server(model).rstrip("/"),
            auth=basic_auth(pair) if known else None,
            secrets=(pair,) if known else (),
            timeout=timeout,
            retries=retries,
        )

    def __str__(self) -> str:
        return self.url or say(zh="课程自带的服务", en="the course's own server")

    def paint(self, route: str, request: dict[str, Any], stop: threading.Event) -> Any:
        """The answer to a painting request. Its seed is in it, so that a repetition paints the same."""
        return self.transport.json("POST", f"/sdapi/v1/{route}", request, repeatable=True, stop=stop)

    def progress(self) -> float | None:
        """The share of the present job that is done, None where the server does not tell."""
        path = "/sdapi/v1/progress?skip_current_image=true"
        try:
            share = self.transport.json("GET", path, timeout=5, retries=0).get("progress")
        except (CourseError, AttributeError):  # stable-diffusion.cpp has no such route
            return None
        return float(share) if isinstance(share, (int, float)) else None

    def interrupt(self) -> None:
        """Stop what the server is painting. One that cannot, or is gone, is left alone."""
        try:
            self.transport.request("POST", "/sdapi/v1/interrupt", timeout=5, retries=0)
        except CourseError:
            pass

    def names(self, route: str, key: str) -> list[str]:
        """What a list of samplers, of models and the like holds under a key."""
        entries = self.transport.json("GET", f"/sdapi/v1/{route}", timeout=30, repeatable=True)
        entries = entries if isinstance(entries, list) else []
        return [str(entry[key]) for entry in entries if isinstance(entry, dict) and key in entry]

    def redact(self, error: AnswerError) -> None:
        """Take what a server quoted of the password out of an error."""
        error.raw = redact(error.raw, self.transport.secrets)


_START = (
    "请检查 api_url，并确认服务已启动，且带有 --api 参数",
    "please check api_url, and that the server is running and was started with --api",
)
_KEY = (
    '请用 api_key="用户名:密码"，或设置 COURSE_SD_AUTH（HTTP Basic，与服务的 --api-auth 一致）',
    'please pass api_key="user:password" or set COURSE_SD_AUTH (HTTP Basic, as in the server\'s --api-auth)',
)


def _check_pair(pair: SecretStr) -> None:
    """`SettingsError` for what is no "user:password". Its text is in no variable, for the tools' sake."""
    if pair.get_secret_value() and not re.fullmatch(r"[^:\r\n]+:[^\r\n]+", pair.get_secret_value()):
        raise SettingsError(
            say(
                zh="api_key 应当是“用户名:密码”：AUTOMATIC1111 用的是 HTTP Basic，不是 Bearer 密钥。",
                en="api_key must be “user:password”: AUTOMATIC1111 wants HTTP Basic and no bearer key.",
            )
        )


def check_fields(fields: Iterable[str]) -> None:
    """`SettingsError` for a field of the protocol that is an argument here."""
    for name in fields:
        if name in _MEANT:
            raise SettingsError(
                say(
                    zh=f"这里请用 {_MEANT[name]}，而不是 {name}。",
                    en=f"Please use {_MEANT[name]} in place of {name} here.",
                )
            )
