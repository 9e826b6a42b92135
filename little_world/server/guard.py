"""What a request must pass before FastAPI reads it: the host it is meant for, and a bound on its size."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from .errors import ApiError

App = Callable[[dict, Callable, Callable], Awaitable[None]]
PATIENCE = 5.0  # seconds that a refused request may go on arriving


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware: refuses a body above `max_body` bytes (413), and numbers every response.

    With `local_only`, a request must name a loopback host: a web page that points its own name at 127.0.0.1
    (DNS rebinding) reaches the port, but carries its own name in `Host`. Nor may it come from another host's page: any
    page can send a form here, and browsers say in `Origin` whose it is. Programs send none.
    """

    def __init__(self, app: App, *, max_body: int, local_only: bool):
        self.app, self.max_body, self.local_only = app, max_body, local_only

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request_id = f"req_{uuid.uuid4().hex}".encode()
        started = False

        async def numbered(message: dict) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", request_id)]}
            await send(message)

        headers = {name.lower(): value for name, value in scope["headers"]}
        refusal = self._refusal(headers)
        if refusal:
            if b"expect" not in headers:  # who asks before sending has sent nothing
                await self._let_arrive(receive)
            return await refusal.response(scope["path"])(scope, receive, numbered)
        received = 0

        async def bounded() -> dict[str, Any]:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_body:  # no Content-Length, or a false one
                raise _TooLarge
            return message

        try:
            await self.app(scope, bounded, numbered)
        except _TooLarge:
            if not started:
                await self._let_arrive(receive)
                await self._too_large().response(scope["path"])(scope, receive, numbered)

    async def _let_arrive(self, receive: Callable) -> None:
        """Read and drop what is still being sent of a refused request, so much and so long at most.

        A connection closed on data in flight is reset, and the answer is lost on its way (RFC 9112, section 9.6).
        """

        async def drop() -> None:
            left = 2 * self.max_body
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body"):
                    return

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(drop(), PATIENCE)

    def _refusal(self, headers: dict[bytes, bytes]) -> ApiError | None:
        host = headers.get(b"host", b"").decode("latin-1")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if self.local_only and not is_loopback(name):
            return ApiError(400, "This server answers on this computer only, as localhost or 127.0.0.1.")
        if self.local_only and b"origin" in headers and not _is_ours(headers[b"origin"].decode("latin-1")):
            return ApiError(
                400, "This server answers no pages of other hosts, please ask it from this computer."
            )
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.max_body:
            return self._too_large()
        return None

    def _too_large(self) -> ApiError:
        message = f"The request is larger than {self.max_body >> 20} MiB, please send smaller pictures."
        return ApiError(413, message, code="request_too_large", headers={"connection": "close"})


def _is_ours(origin: str) -> bool:
    """Whether a page is of this computer; "null", a page that is of nowhere, is not."""
    try:
        return is_loopback(urlsplit(origin).hostname or "")
    except ValueError:
        return False


class _TooLarge(BaseException):
    """Passes through whatever reads the body: no handler for `Exception` is to take it for its own."""
