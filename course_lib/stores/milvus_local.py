"""A Milvus server for trying out, on this computer: the real one, from the `milvus` package (Linux, macOS).

    with LocalMilvus() as server:
        engine = ImageSearchEngine(clip, store=f"{server.address}/pictures")

It has no password and listens on every network interface, as this version of Milvus does: on a network that you
do not trust, do not leave it running. Its log and its data are in a folder that goes with it.
"""

from __future__ import annotations

import atexit
import lzma
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..settings import say
from .protocol import StoreError

PATIENCE = 120  # seconds until it has to have started; half a minute is common on a busy computer
# Its shell ends it when this process is gone, however it went: then the pipe it reads from is closed.
WATCHED = """
exec 3<&0
"$0" run standalone & server=$!
(read -r line <&3; kill -9 $server) & watcher=$!
wait $server
kill $watcher
"""


class LocalMilvus:
    """Runs from construction until `stop`, or the end of a `with`; at the latest ends with the process.

    `address` is what a store's name begins with. `settings` are Milvus's own, {"proxy.timeTickInterval": 10}.
    The first server on a computer unpacks its programs (240 MB) into the user's cache.
    """

    def __init__(self, settings: dict[str, Any] | None = None):
        if (reason := unavailable()) is not None:
            raise StoreError(reason)
        self._settings = settings or {}
        self._folder = Path(tempfile.mkdtemp(prefix="milvus-"))
        self._process: subprocess.Popen | None = None
        self._ports: dict[str, int] = {}
        atexit.register(self.stop)
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    @property
    def address(self) -> str:
        return f"milvus+http://127.0.0.1:{self._ports['proxy_port']}"

    def __enter__(self) -> LocalMilvus:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, again after `kill`: on the same port, with what it held."""
        from milvus import MilvusServerConfig

        config = MilvusServerConfig(data_dir=str(self._folder))
        config.resolve_storage()
        names = [name for name in config.configurable_items if name.endswith("_port")]
        self._ports = self._ports or _free_ports([*names, "metrics", "etcd", "etcd_peer"])
        for name in names:
            config.set(name, self._ports[name])
        parts = ("proxy", "rootCoord", "queryCoord", "queryNode", "indexNode", "dataCoord", "dataNode")
        for name, value in ({f"{part}.ip": "127.0.0.1" for part in parts} | self._settings).items():
            config.set(name, value)
        config.write_config()
        etcd = self._folder / "configs" / "etcd.yaml"
        client, peer = (f"http://127.0.0.1:{self._ports[name]}" for name in ("etcd", "etcd_peer"))
        etcd.write_text(
            f"listen-client-urls: {client}\nadvertise-client-urls: {client}\nlisten-peer-urls: {peer}\n"
            f"initial-advertise-peer-urls: {peer}\ninitial-cluster: default={peer}\n"
        )
        programs = _programs()
        environment = os.environ | {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._ports["metrics"]),
            "ETCD_CONFIG_PATH": str(etcd),
            "MILVUS_RUN_DIR": str(self._folder / "run"),
            "LD_LIBRARY_PATH" if sys.platform == "linux" else "DYLD_LIBRARY_PATH": str(programs),
        }
        with (self._folder / "logs" / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", WATCHED, str(programs / "milvus")],
                cwd=self._folder, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log,
            )  # fmt: skip
        self._wait()

    def kill(self) -> None:
        """End it at once, as a power cut would; `start` brings it back."""
        if self._process is not None:
            self._process.communicate()  # closes the pipe
            self._process = None

    def stop(self) -> None:
        """End it and forget what it held."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.stop)

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self._process.poll() is None:
            with suppress(OSError):  # an answer of 400 and above, too
                with urllib.request.urlopen(f"http://127.0.0.1:{self._ports['metrics']}/healthz", timeout=5):
                    return
            time.sleep(0.1)
        lines = (self._folder / "logs" / "output.log").read_text(errors="replace").splitlines()
        raise StoreError(
            say(
                zh=f"Milvus 没有启动成功（{' '.join(lines[-1:])[:200]}），请重试，或查看它的日志。",
                en=f"Milvus did not start ({' '.join(lines[-1:])[:200]}), please try again, or look at its log.",
            )
        )


def unavailable() -> str | None:
    """Why no server can be started here, in a sentence; None where one can."""
    if find_spec("milvus") is not None and find_spec("pymilvus") is not None:
        return None
    return say(
        zh="没有安装 Milvus 服务器；Linux（x86-64）和 macOS（Apple 芯片）上可以运行 pip install pymilvus milvus==2.3.5。",
        en="No Milvus server is installed; on Linux (x86-64) and macOS (Apple silicon), "
        "pip install pymilvus milvus==2.3.5 brings one.",
    )


def _programs() -> Path:
    """The server's programs, unpacked once for all."""
    from milvus import __version__

    packed = Path(find_spec("milvus").submodule_search_locations[0], "data", "bin")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "multimodal-course")
    place = cache / f"milvus-{__version__}"
    if not place.exists():
        cache.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=cache))
        for file in packed.glob("*.lzma"):
            target = temporary / file.stem
            with lzma.open(file) as source, target.open("wb") as unpacked:
                shutil.copyfileobj(source, unpacked, 1 << 20)
            target.chmod(0o755)
        with suppress(OSError):  # another process was quicker
            temporary.rename(place)
        shutil.rmtree(temporary, ignore_errors=True)
    return place


def _free_ports(names: list[str]) -> dict[str, int]:
    with ExitStack() as stack:  # all at once, or one would be given out twice
        sockets = [stack.enter_context(socket.socket()) for _ in names]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}
