"""A stand-in for servers with OpenAI's video API that are not the course's own: answers by a script."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]


class VideoServer:
    """Answers with `answer(method, path, form)`: (status, JSON or bytes, headers). `asked` keeps what came."""

    def __init__(self, answer: Callable[[str, str, dict[str, Any]], Answer]):
        self.asked: list[tuple[str, str, dict[str, Any], dict[str, str]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                form = _form(self.headers.get("content-type", ""), body)
                server.asked.append((self.command, self.path, form, dict(self.headers)))
                status, content, *more = answer(self.command, self.path, form)
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in (more[0] if more else {}).items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = _handle

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def _form(kind: str, body: bytes) -> dict[str, Any]:
    """The fields of a multipart form; files as bytes."""
    if not kind.startswith("multipart/form-data"):
        return {}
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    found: dict[str, Any] = {}
    for part in message.iter_parts():
        value = part.get_payload(decode=True)
        is_file = part.get_filename() is not None
        found[part.get_param("name", header="content-disposition")] = value if is_file else value.decode()
    return found
