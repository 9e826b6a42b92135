"""HTTP to a service that paints: bounded in bytes and time, and repeated only where that is safe.

A request that paints may have been carried out although no answer came. What may be repeated:

- nothing arrived (refused, no such host), or the server turned it away at the door (429, 503): always;
- it failed inside (500, 502), or the connection broke: where `repeatable`, that is on a server of one's own
  and with the seed in the request, so that the same picture comes again; never where each picture is paid;
- the time ran out (408, 504 too): never, as the first request is probably still being worked on.

No exception of requests is kept as a cause: it holds the request, and its headers the password.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from pydantic import SecretBytes, SecretStr
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth

from ..addresses import is_address, on_this_machine
from ..errors import AnswerError, ServiceError, SettingsError
from ..replies import MAX_RAW, redact
from ..settings import say
from .failures import Words, from_status

MAX_ANSWER = 128 * 1024**2  # bytes: sixteen large pictures in base64
MAX_WAIT = 60.0  # seconds that a service may ask us to wait before the next attempt
CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class Failed:
    """One attempt that failed: the error, whether to try again, and how long the service asks to wait."""

    error: ServiceError | AnswerError
    again: bool = False
    wait: float = 0.0


@dataclass(eq=False)
class Transport:
    """Requests to one service. `root` is called at the first request, as the course's own server starts then.

    `words` says how the service is called and what to do about its errors. Safe to use from several threads:
    they share a pool of connections, which is closed with the transport.
    """

    words: Words
    root: Callable[[], str]
    auth: AuthBase | None = None
    secrets: tuple[SecretStr, ...] = ()
    timeout: float = 600.0
    retries: int = 2
    _sessions: dict[int, requests.Session] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def json(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """The JSON value in the answer to a request. Raises `AnswerError` for what is none, with its text."""
        content = self.request(method, path, body, **options)
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raw = redact(content.decode("utf-8", errors="replace"), self.secrets)[:MAX_RAW]
        del content  # some tools print a traceback with its variables
        raise AnswerError(self.words.not_the_protocol(), raw=raw)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        repeatable: bool = False,
        timeout: float | None = None,
        retries: int | None = None,
        headers: Mapping[str, str] | None = None,
        stop: threading.Event | None = None,
    ) -> bytes:
        """The body of a 2xx answer; `path` is below the root, or a whole address. `body` is JSON, or bytes.

        `timeout` in seconds is for each attempt as a whole. Raises `ServiceError`.
        """
        retries = self.retries if retries is None else retries
        stop = stop or threading.Event()
        for attempt in range(retries + 1):
            outcome = self._attempt(method, path, body, timeout or self.timeout, headers, repeatable)
            if not isinstance(outcome, Failed):
                return outcome
            pause = outcome.wait or min(8.0, 0.5 * 2**attempt) * random.uniform(0.75, 1.0)
            if attempt == retries or not outcome.again or pause > MAX_WAIT or stop.wait(pause):
                break
        raise outcome.error  # outside any except clause, so that no chain leads to the request

    def _attempt(
        self,
        method: str,
        path: str,
        body: Any,
        timeout: float,
        headers: Mapping[str, str] | None,
        repeatable: bool,
    ) -> bytes | Failed:
        url = path if path.startswith(("http://", "https://")) else self.root() + path
        deadline = time.monotonic() + timeout
        kind = "data" if isinstance(body, (bytes, SecretBytes)) else "json"
        try:
            with self._session(url).request(
                method,
                url,
                **{kind: body.get_secret_value() if isinstance(body, SecretBytes) else body},
                headers=dict(headers or {}),
                auth=self.auth,
                timeout=(min(CONNECT_SECONDS, timeout), timeout),
                stream=True,
                allow_redirects=False,  # a password is meant for one host
            ) as response:
                content = _read(response, deadline)
                status, wait = response.status_code, response.headers.get("Retry-After", "")
        except Exception as error:
            if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in _LIBRARIES:
                raise
            return self._broken(error, repeatable)
        if content is None:
            return Failed(self._too_long())
        if 200 <= status < 300:
            return content
        text = redact(content.decode("utf-8", errors="replace"), self.secrets)
        again = status in (429, 503) or (repeatable and status in (500, 502))
        return Failed(from_status(self.words, status, text), again, _seconds(wait))

    def _session(self, url: str) -> requests.Session:
        """The process's session: a forked one must not write to its parent's sockets."""
        with self._lock:
            session = self._sessions.get(os.getpid())
            if session is None:
                session = self._sessions[os.getpid()] = requests.Session()
                session.trust_env = not on_this_machine(url)  # no proxy for a server on this machine
                # nothing is shared but sockets
                session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
                for scheme in ("http://", "https://"):
                    session.mount(scheme, HTTPAdapter(pool_maxsize=64))
                weakref.finalize(self, session.close)
            return session

    def _broken(self, error: Exception, repeatable: bool) -> Failed:
        """An attempt without an answer. Whether anything arrived, only the innermost reason tells."""
        reason = getattr(error.args[0] if error.args else None, "reason", None) or error
        name = type(reason).__name__
        if name in ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError"):
            return Failed(self.words.unreachable(), again=True)
        if (
            "Timeout" in name
            or isinstance(error, (TimeoutError, requests.Timeout))
            or "timed out" in str(error)
        ):
            return Failed(self.words.too_slow())
        return Failed(self.words.unreachable(), again=repeatable)

    def _too_long(self) -> AnswerError:
        return AnswerError(
            say(
                zh=f"{self.words.name} 的回答超过 {MAX_ANSWER // 1024**2} MB，不再读取，请一次少画几张。",
                en=f"The answer of {self.words.name} is longer than {MAX_ANSWER // 1024**2} MB and was not "
                "read further, please check the address, or paint fewer pictures at once.",
            )
        )


_LIBRARIES = ("requests", "urllib3", "http", "ssl", "socket")


def _read(response: requests.Response, deadline: float) -> bytes | None:
    """The body, None where it is longer than MAX_ANSWER. requests' own timeout is for each read alone."""
    raw = response.raw
    # urllib3 before 2.3 has no read1, and waits for a whole piece
    read = getattr(raw, "read1", None) or raw.read
    pieces, length = [], 0
    while piece := read(1 << 16, decode_content=True):
        pieces.append(piece)
        length += len(piece)
        if length > MAX_ANSWER:
            return None
        if time.monotonic() > deadline:
            raise TimeoutError("the answer takes too long")
    return b"".join(pieces)


def basic_auth(pair: SecretStr) -> AuthBase:
    """HTTP Basic from "user:password", in UTF-8."""
    user, _, password = pair.get_secret_value().partition(":")
    return HTTPBasicAuth(user.encode(), password.encode())


class Headers(AuthBase):
    """Adds headers that hold a secret, without keeping it where a traceback would show it."""

    def __init__(self, make: Callable[[], Mapping[str, SecretStr]]):
        self._make = make

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        for name, secret in self._make().items():
            request.headers[name] = secret.get_secret_value()
        return request


def check_address(url: str, suffixes: tuple[str, ...] = ()) -> str:
    """An http(s) address without what is often pasted along (`suffixes`). Raises `SettingsError`."""
    url = url.strip().rstrip("/")
    for suffix in suffixes:
        url = url.removesuffix(suffix).rstrip("/")
    if not is_address(url):
        raise SettingsError(
            say(
                zh="api_url 必须形如 http://主机:7860，其中不能含用户名或密码（密码请用 api_key 传入）。",
                en="api_url must look like http://host:7860, without a user name or password in it (those go "
                "into api_key).",
            )
        )
    return url


def _seconds(retry_after: str) -> float:
    """Retry-After in seconds; a date, which nearly nobody sends, counts as nothing said."""
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        return 0.0
