"""The server inside this process, a notebook's kernel for instance: a thread, a free port, and an end."""

from __future__ import annotations

import atexit
import os
import socket
import threading
import time
from typing import Any

import uvicorn

from course_lib.addresses import past_proxies
from course_lib.errors import SettingsError
from course_lib.settings import resolve, say

from .app import create_app
from .engine import Engine
from .guard import is_loopback


class LocalServer:
    """Serves from construction until `close`, or the end of a `with`; at the latest ends with the process.

    `url` is the root, `f"{url}/v1"` what an OpenAI client takes as its base_url. `port` 0 is any free one.
    A host that other computers can reach must be allowed by `allow_remote`. What else there is goes to
    `create_app`. Models that are named load in the background, the others at the first request that wants
    them; it waits for that.
    """

    def __init__(
        self,
        vision_model: str | os.PathLike | None = None,
        *,
        sd_model: str | os.PathLike | None = None,
        video_model: str | os.PathLike | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = None,
        allow_remote: bool = False,
        **options: Any,
    ):
        local_only = is_loopback(host)
        if not (local_only or allow_remote):
            raise SettingsError(
                say(
                    zh=f"{host} 会让其他电脑也能访问，若确要如此请加上 allow_remote，否则请用 127.0.0.1。",
                    en=f"Other computers could reach {host}, please use 127.0.0.1, or allow_remote "
                    "if that is meant.",
                )
            )
        if local_only:
            past_proxies()
        self._socket = _bind(host, port)
        host, port = self._socket.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        try:
            given = {"vision_model": vision_model, "sd_model": sd_model, "video_model": video_model}
            models = {name: model if model is None else os.fspath(model) for name, model in given.items()}
            self.app = create_app(**models, api_key=api_key, local_only=local_only, **options)
        except BaseException:
            self._socket.close()
            raise
        config = uvicorn.Config(  # without a log configuration: uvicorn stays silent, even in a notebook
            self.app, log_config=None, log_level="critical", access_log=False, timeout_graceful_shutdown=2
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name=self.url, daemon=True
        )
        self._thread.start()
        atexit.register(self.close)
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)

    @property
    def model(self) -> str:
        """The name that chat requests give as `model`."""
        return self.app.state.vision.name

    @property
    def sd_model(self) -> str:
        """The name of the model that paints."""
        return self.app.state.painting.name

    @property
    def video_model(self) -> str:
        """The name of the model that makes videos."""
        return self.app.state.animation.name

    @property
    def running(self) -> bool:
        return self._thread.is_alive() and not self._server.should_exit

    def wait(self) -> LocalServer:
        """Until the models that were named are loaded, or the chat model where none was. Raises
        `ModelError`."""
        for engine in self.wanted:
            engine.begin()
            while not engine.loaded.wait(0.2):  # on Windows nothing interrupts a wait before it ends
                pass
            if engine.failure:
                raise engine.failure
        return self

    def close(self) -> None:
        """Answer nothing more and free the port."""
        atexit.unregister(self.close)
        for engine in self._engines:
            engine.close()
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()

    @property
    def wanted(self) -> list[Engine]:
        """The engines that `wait` waits for."""
        return [engine for engine in self._engines if engine.state != "idle"] or [self.app.state.vision]

    @property
    def _engines(self) -> tuple[Engine, ...]:
        return self.app.state.vision, self.app.state.painting, self.app.state.animation

    def __enter__(self) -> LocalServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LocalServer({self.url})"


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":  # elsewhere the option would let two servers share the port
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host.strip("[]"), port))
    except (OSError, OverflowError) as error:
        sock.close()
        raise SettingsError(
            say(
                zh=f"无法使用 {host} 的端口 {port}（{error}），请换一个端口，0 表示任选空闲端口。",
                en=f"Port {port} of {host} cannot be used ({error}), please take another, 0 is any free one.",
            )
        ) from error
    return sock


# By process, as a forked child has no thread that would answer, and by the models that paint and make videos.
_shared: dict[tuple[int, str | None, str | None], LocalServer] = {}
_lock = threading.Lock()


def shared_server(sd_model: str | None = None, video_model: str | None = None) -> LocalServer:
    """The process's own server, started when first asked for: with the models that the settings name for it, else
    the miniatures. Another `sd_model` or `video_model` has a server of its own.

    A model is loaded when it is first used, so that a lesson which only paints does not load the one that
    chats.
    """
    sd_model = _ours("COURSE_SD_MODEL", "COURSE_SD_URL", sd_model)
    video_model = _ours("COURSE_VIDEO_MODEL", "COURSE_VIDEO_URL", video_model)
    place = os.getpid(), sd_model, video_model
    with _lock:
        if place not in _shared or not _shared[place].running:
            chats = resolve("COURSE_VLM_PROVIDER").value == "local"
            model = _ours("COURSE_VLM_MODEL", "COURSE_VLM_BASE_URL") if chats else None
            _shared[place] = LocalServer(model, sd_model=sd_model, video_model=video_model, lazy=True)
        return _shared[place]


def _ours(name: str, address: str, given: str | None = None) -> str | None:
    """A model's name from an argument, else from its setting; None where the setting's model is another service's,
    whose address is set as well."""
    return given or (None if resolve(address).value else resolve(name).value)
