"""A chat service that misbehaves on order: sockets on loopback, no framework that would mend what is broken.

    with FaultServer(status(500), completion("a cat")) as server:
        ...  # the first request gets a 500, every later one the completion

A reply is a function of (connection, server). `server.requests` holds what was asked, `server.sent` how many
bytes were written.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Request:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


class FaultServer:
    """Replies in turn, the last one for ever; each connection has a thread."""

    def __init__(self, *replies: Callable):
        self.replies, self.requests = replies, []
        self.connections = self.sent = self.most_at_once = self._at_once = 0
        self.stopping = threading.Event()
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> FaultServer:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopping.set()
        self._listener.close()
        for connection in self._open:  # else a kept connection would answer for the port's next owner
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed already

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while (request := _read_request(connection)) is not None:
                    with self._lock:
                        number = len(self.requests)
                        self.requests.append(request)
                        self._at_once += 1
                        self.most_at_once = max(self.most_at_once, self._at_once)
                    reply = self.replies[min(number, len(self.replies) - 1)]
                    try:
                        reply(connection, self)
                    finally:
                        with self._lock:
                            self._at_once -= 1
                    if not getattr(reply, "keeps_alive", False):
                        return
            except OSError:
                return  # the client hung up

    def send(self, connection: socket.socket, data: bytes) -> None:
        connection.sendall(data)
        self.sent += len(data)


def _read_request(connection: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    method, path, _ = first.split(" ", 2)
    return Request(method, path, headers, body)


def _head(status: int, headers: dict[str, Any]) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


# ----------------------------------------------------------------------------------------------- replies


def body(data: bytes | str, *, status: int = 200, kind: str = "application/json", **headers: Any) -> Callable:
    """A whole and well-formed HTTP response, whatever it says; underscores in header names become dashes."""
    data = data.encode() if isinstance(data, str) else data
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def reply(connection: socket.socket, server: FaultServer) -> None:
        server.send(
            connection, _head(status, {"Content-Type": kind, "Content-Length": len(data), **named}) + data
        )

    reply.keeps_alive = True
    return reply


def answer(message: dict[str, Any], finish_reason: str | None = "stop", **more: Any) -> Callable:
    """A chat completion with this message."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return body(json.dumps({"id": "1", "object": "chat.completion", "choices": [choice], **more}))


def completion(text: str | None, finish_reason: str | None = "stop") -> Callable:
    """A chat completion with this text, and a count of tokens."""
    return answer({"content": text}, finish_reason, usage={"prompt_tokens": 70, "completion_tokens": 3})


def status(code: int, message: str = "no", *, error_code: str | None = None, **headers: Any) -> Callable:
    """An error in OpenAI's form."""
    error = {"message": message, "type": "error", "param": None, "code": error_code}
    return body(json.dumps({"error": error}), status=code, **headers)


def slowly(reply: Callable, seconds: float) -> Callable:
    """The reply, after a while."""

    def later(connection: socket.socket, server: FaultServer) -> None:
        server.stopping.wait(seconds)
        reply(connection, server)

    later.keeps_alive = True
    return later


def never(connection: socket.socket, server: FaultServer) -> None:
    """No answer at all, with the connection left open."""
    server.stopping.wait(60)


def dripping(connection: socket.socket, server: FaultServer) -> None:
    """An answer without end, a byte at a time: no single read ever waits long."""
    server.send(connection, _head(200, {"Content-Type": "application/json", "Content-Length": 10_000}))
    while not server.stopping.is_set():
        server.send(connection, b" ")
        time.sleep(0.02)


def reset_in_body(connection: socket.socket, server: FaultServer) -> None:
    """Half a body, and then a TCP reset."""
    server.send(
        connection, _head(200, {"Content-Type": "application/json", "Content-Length": 500}) + b'{"choices"'
    )
    time.sleep(0.05)  # so that the half is read before the reset drops it
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def endless(connection: socket.socket, server: FaultServer, *, size: int = 50 * 1024**2) -> None:
    """50 MB of JSON string."""
    server.send(connection, _head(200, {"Content-Type": "application/json", "Content-Length": size}) + b'"')
    while server.sent < size:
        server.send(connection, b"a" * 65536)


def events(*data: Any, then: str = "done", kind: str = "text/event-stream") -> Callable:
    """Server-sent events; `then` is "done", "close" (no [DONE]), "reset" or "never"."""

    def reply(connection: socket.socket, server: FaultServer) -> None:
        server.send(connection, _head(200, {"Content-Type": kind, "Connection": "close"}))
        for one in data:
            text = one if isinstance(one, str) else json.dumps(one)
            server.send(connection, f"data: {text}\n\n".encode())
        if then == "done":
            server.send(connection, b"data: [DONE]\n\n")
        elif then == "reset":
            time.sleep(0.05)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif then == "never":
            server.stopping.wait(60)

    return reply


def piece(text: str | None, finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    """One chunk of a streamed answer."""
    return {
        "id": "1",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": text, **delta}, "finish_reason": finish_reason}],
    }


def endless_event(connection: socket.socket, server: FaultServer) -> None:
    """A stream whose first event never ends."""
    head = _head(200, {"Content-Type": "text/event-stream", "Connection": "close"})
    server.send(connection, head + b"data: ")
    while server.sent < 50 * 1024**2:
        server.send(connection, b"a" * 65536)


def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
