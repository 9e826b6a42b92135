"""The connection to an endpoint: one client of the openai SDK, kept alive, with limits on what it reads."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import openai

from .. import settings
from ..errors import ServiceError, SettingsError
from ..providers import Endpoint
from ..settings import say
from .answers import MAX_ANSWER
from .structured import LEVELS

_OTHER = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
# How services say that they do not know a field; "at most 4096" is no such complaint.
_UNKNOWN = ("unsupported", "not supported", "unrecognized", "unknown", "unexpected", "extra", "instead")


@dataclass
class Connection:
    """The SDK's client of one endpoint, and what was learnt of its dialect."""

    sdk: openai.OpenAI
    max_tokens_field: str
    structured: str

    def __post_init__(self) -> None:
        self.first_field = self.max_tokens_field

    def adapt(self, error: ServiceError, field: str, level: str | None) -> bool:
        """Whether a request refused as `error` is worth sending again, its dialect changed."""
        if error.kind != "bad_request":
            return False
        said = error.raw.lower()
        if field in said and any(word in said for word in _UNKNOWN):
            # OpenAI's newer models reject max_tokens, older servers max_completion_tokens. One that rejects
            # the other name too is left with its first.
            swapped = field == self.first_field
            self.max_tokens_field = _OTHER[field] if swapped else self.first_field
            return swapped
        if level not in (None, "text") and ("response_format" in said or "json_schema" in said):
            self.structured = LEVELS[LEVELS.index(level) + 1]
            return True
        return False


_connections: dict[tuple, Connection] = {}
_lock = threading.Lock()


@atexit.register
def _close_all() -> None:
    for connection in _connections.values():
        connection.sdk.close()


def connect(endpoint: Endpoint) -> Connection:
    """The one connection of an endpoint, made at first need."""
    base_url = endpoint.base_url or settings.local_server().rstrip("/") + "/v1"
    key = endpoint.api_key.get_secret_value() if endpoint.api_key else "none"  # never another provider's key
    # A forked process must not write to its parent's sockets.
    identity = (os.getpid(), endpoint.provider.name, base_url, key, endpoint.model, endpoint.api_version)
    with _lock:
        if identity not in _connections:
            http = Bounded.to(endpoint)
            options = {
                "api_key": key,
                "http_client": http,
                "default_headers": {"Accept-Encoding": "identity"},
            }
            field = endpoint.provider.max_tokens_field
            if endpoint.api_version:
                sdk = openai.AzureOpenAI(
                    azure_endpoint=base_url,
                    azure_deployment=endpoint.model,
                    api_version=endpoint.api_version,
                    **options,
                )
                field = "max_tokens" if endpoint.api_version < "2024-09" else field
            else:
                sdk = openai.OpenAI(base_url=base_url, **options)
            _connections[identity] = Connection(sdk, field, endpoint.provider.structured)
        return _connections[identity]


class Bounded(openai.DefaultHttpxClient):
    """The SDK's HTTP client, reading no more than `max_bytes`, and a whole answer within its timeout.

    httpx's own timeout is for each read, so that a server could go on for ever, a byte at a time.
    """

    max_bytes = MAX_ANSWER

    @classmethod
    def to(cls, endpoint: Endpoint) -> Bounded:
        """A client for one endpoint. Raises `SettingsError` where the proxy in the environment cannot be used."""
        try:
            # No redirects: a key is meant for one host. No proxy for a server on this machine.
            return cls(follow_redirects=False, trust_env=not endpoint.on_this_machine)
        except (ImportError, ValueError):  # httpx knows no socks://, and wants a package more for socks5://
            raise SettingsError(  # without httpx's words: an address may hold a password
                say(
                    zh="用不了环境变量里的 SOCKS 代理，请把 ALL_PROXY、HTTPS_PROXY 改成 http:// 开头的地址，"
                    "或用 pip 安装 httpx[socks]。",
                    en="The SOCKS proxy in the environment cannot be used, please let ALL_PROXY and HTTPS_PROXY "
                    "begin with http://, or pip install httpx[socks].",
                )
            ) from None

    def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
        seconds = request.extensions.get("timeout", {}).get("read")
        deadline = None if seconds is None else time.monotonic() + seconds
        response = super().send(request, stream=True, **options)
        streamed = stream and response.is_success
        response.iter_bytes = _at_most(response.iter_bytes, self.max_bytes, None if streamed else deadline)
        if not stream:
            try:
                response.read()
            finally:
                response.close()
        return response


def _at_most(
    iter_bytes: Callable[..., Iterator[bytes]], max_bytes: int, deadline: float | None
) -> Callable[..., Iterator[bytes]]:
    def bounded(*arguments: Any, **options: Any) -> Iterator[bytes]:
        count = 0
        for chunk in iter_bytes(*arguments, **options):
            yield chunk
            count += len(chunk)
            if count > max_bytes:
                return
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError("the answer takes too long")

    return bounded
