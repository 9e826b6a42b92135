"""A studio: a small server in AUTOMATIC1111's shape that paints at once, and writes down what it was sent.

What it paints is a plain colour that follows from prompt and seed, so that a check can tell whose picture it is.
Like the real server it ignores a field that it does not know, and like a real one it can fail, be slow, or go away.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests
from PIL import Image

from ...addresses import past_proxies
from ...errors import CourseError
from ...images import from_base64, to_base64
from .killing import Killed

DRAWN = 2_718_281  # the seed that the studio draws where a request leaves it the choice
PATIENCE = 2.0  # seconds that a request waits for company, and a slow one for the next of the others
LINGER = 0.3  # seconds that the first ones stay together, to see whether more come than should
DEFAULTS = {
    "prompt": "",
    "negative_prompt": "",
    "seed": -1,
    "steps": 50,
    "cfg_scale": 7.0,
    "width": 512,
    "height": 512,
}


def colour(prompt: str, seed: int) -> tuple[int, int, int]:
    """What a prompt and a seed look like here."""
    return tuple(hashlib.sha256(f"{prompt}|{seed}".encode()).digest()[:3])


def shows(picture: Image.Image, prompt: str, seed: int) -> bool:
    """Whether a picture is the one of this prompt and seed, whole."""
    try:
        found = picture.convert("RGB").getcolors(1)
    except (OSError, SyntaxError):  # Pillow's errors for a damaged file
        return False
    return found is not None and found[0][1] == colour(prompt, seed)


@dataclass(frozen=True)
class Received:
    """A request as it came over the wire; `payload` is None where the body was not a JSON object."""

    method: str
    path: str
    payload: dict[str, Any] | None


class Studio:
    """`with Studio() as studio:` serves on a free port of this machine; `url` is its root address.

    `company` makes the first requests wait until that many are there; `slow` is a prompt that waits until all of
    `expected` were received, or nobody comes any more; `broken` maps a prompt to the HTTP status it always
    ends in, the prompts of `once` fail the first time; at the request number `dies_at` the server is gone,
    until `start` is called again.
    """

    def __init__(self, *, company: int = 1, slow: str = "", expected: int = 0, broken: Mapping[str, int] | None = None,
                 once: Iterable[str] = (), dies_at: int = 0):  # fmt: skip
        self.company, self.slow, self.expected = company, slow, expected
        self.broken, self.once, self.dies_at = dict(broken or {}), set(once), dies_at
        self.received: list[Received] = []
        self.inside = self.most = 0
        self.over = False  # the check has ended, whatever still runs
        self.held_up = False  # a slow request waited in vain for the others
        self._changed = threading.Condition()
        self._patience, self._linger = PATIENCE, LINGER
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def painting(self) -> list[Received]:
        """The requests that asked for a picture."""
        return [one for one in self.received if one.method == "POST" and one.path.endswith("2img")]

    def asked(self) -> Counter:
        """How often each (prompt, seed) was asked for."""
        return Counter(
            (p.get("prompt"), p.get("seed")) for one in self.painting if (p := one.payload) is not None
        )

    def __enter__(self) -> Studio:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        self.stop()

    def start(self) -> None:
        """Serve; after `stop` on the same port again."""
        past_proxies()
        self._server = _Server(("127.0.0.1", self._port), _Handler)
        self._server.studio = self
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True, name="studio").start()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def paint(self, order: Mapping[str, Any]) -> Image.Image:
        """Ask this studio for an order's picture, as the answer to step 1 does. Raises what `requests` raises, and
        `Killed` in a run that goes on when its check has ended: its threads would go on for ever."""
        if self.over:
            raise Killed
        payload = {"prompt": order["prompt"], "seed": order["seed"], "width": 8, "height": 8}
        with requests.Session() as session:
            session.trust_env = False  # a proxy knows nothing of this machine
            answer = session.post(f"{self.url}/sdapi/v1/txt2img", json=payload, timeout=10)
        answer.raise_for_status()
        return from_base64(answer.json()["images"][0])

    # Inside: what a request meets, in its own thread

    def answer(self, received: Received) -> tuple[int, Any] | None:
        """HTTP status and body; None where the server goes away instead."""
        with self._changed:
            self.received.append(received)
            number = len(self.painting)
            self.inside += 1
            self.most = max(self.most, self.inside)
            self._changed.notify_all()
        try:
            return self._paint(received, number)
        except (TypeError, ValueError) as error:  # a value of another sort than its field's
            return 422, {"detail": [{"type": "type_error", "loc": ["body"], "msg": str(error)}]}
        finally:
            with self._changed:
                self.inside -= 1

    def _paint(self, received: Received, number: int) -> tuple[int, Any] | None:
        route, asked = received.path.removeprefix("/sdapi/v1/"), received.payload
        if received.method != "POST" or route not in ("txt2img", "img2img"):
            return 404, {"detail": "Not Found"}
        if asked is None:
            return 422, {
                "detail": [{"type": "model_attributes_type", "loc": ["body"], "msg": "not a JSON object"}]
            }
        if self.dies_at and number == self.dies_at:
            self.dies_at = 0
            self.stop()
            return None
        prompt = str(asked.get("prompt"))
        self._wait(prompt)
        status = self.broken.get(prompt)
        if prompt in self.once:
            self.once.discard(prompt)
            status = 500
        if status:
            return status, {
                "error": "OutOfMemoryError",
                "detail": "",
                "body": "",
                "errors": "CUDA out of memory",
            }
        if route == "img2img" and not _pictures(asked.get("init_images")):
            return 404, {"detail": "Init image not found"}
        known = DEFAULTS | ({"denoising_strength": 0.75} if route == "img2img" else {})
        used = known | {name: value for name, value in asked.items() if name in known}
        seed = used["seed"] if isinstance(used["seed"], int) and used["seed"] >= 0 else DRAWN
        image = Image.new("RGB", (int(used["width"]), int(used["height"])), colour(used["prompt"], seed))
        count = asked.get("batch_size", 1)
        info = used | {"seed": seed, "all_seeds": [seed + i for i in range(count)], "index_of_first_image": 0}
        return 200, {"images": [to_base64(image)] * count, "parameters": used, "info": json.dumps(info)}

    def _wait(self, prompt: str) -> None:
        with self._changed:
            if self.company > 1:
                if not self._changed.wait_for(lambda: self.most >= self.company, self._patience):
                    self._patience = 0  # nobody comes: the next ones need not wait as well
                self._changed.wait_for(lambda: self.most > self.company, self._linger)
                self._linger = 0.02
            if self.slow and prompt == self.slow:
                # As long as others keep coming nobody is held up, however slow the machine is.
                while not self.held_up and (seen := len(self.painting)) < self.expected:
                    self.held_up = not self._changed.wait_for(lambda: len(self.painting) > seen, PATIENCE)


def _pictures(encoded: Any) -> bool:
    try:
        return bool(encoded) and isinstance(encoded, list) and all(from_base64(one) for one in encoded)
    except (CourseError, AttributeError):
        return False


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    studio: Studio

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # the client hung up


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        payload = None
        with suppress(ValueError):
            payload = json.loads(body)
        path = self.path.partition("?")[0]
        received = Received(self.command, path, payload if isinstance(payload, dict) else None)
        answered = self.server.studio.answer(received)
        if answered is None:
            return  # closed without a word
        content = json.dumps(answered[1]).encode()
        self.send_response(answered[0])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST

    def log_message(self, format: str, *arguments: Any) -> None:
        pass
