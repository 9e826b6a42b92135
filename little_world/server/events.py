"""From the worker's thread into the app's event loop: what a job emits, and that its client has gone."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request

from .errors import ApiError, internal_error
from .worker import Cancelled


class Events:
    """`async with Events(request) as events`: give `events.emit` to a job, then ask `next` for what it
    said."""

    def __init__(self, request: Request):
        self._request, self._loop, self._queue = request, asyncio.get_running_loop(), asyncio.Queue()

    def emit(self, event: Any) -> None:
        """Called in any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._queue.put_nowait, event)

    async def next(self) -> Any:
        """The next event. Raises `ApiError` for a failure, a server that closes, and a client that went
        away."""
        event = await self._queue.get()
        if isinstance(event, Cancelled):
            raise ApiError(503, "The server is closing.", code="server_closing")
        if isinstance(event, Exception):
            raise event if isinstance(event, ApiError) else internal_error() from event
        return event

    async def _watch(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._queue.put_nowait(ApiError(499, "The client has gone."))

    async def __aenter__(self) -> Events:
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watching.cancel()
