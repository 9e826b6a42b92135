"""What every test runs under: one thread, no network but loopback, and the same examples each time.

It stands at the root because pytest hears the hooks of a conftest.py only for what lies below it, notebooks too.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # the tests run from a checkout that is not installed, too

# Before any library reads them. A test worker has a core to itself, and no model hub is asked for anything.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["COURSE_PROGRESS"] = "off"  # a test is nobody's progress

# A shell's background job ignores Ctrl-C, and so would the tests that press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.default_int_handler)

import hypothesis  # noqa: E402
from nbval.plugin import IPyNbCell  # noqa: E402

from tools import kernels  # noqa: E402

hypothesis.settings.register_profile("course", deadline=None, derandomize=True)
hypothesis.settings.load_profile("course")


# Test files of a minute and more. With the notebooks they come first, so that no core waits for one of them in the end.
LONGEST = {f"test_{name}.py" for name in ("classroom", "milvus", "build", "embed_ray", "training_sd", "walk")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first. And stderr is not stored in notebooks (see `kernels.tidy_outputs`), so nbval is not to miss it there."""
    items.sort(key=lambda item: not isinstance(item, IPyNbCell) and item.path.name not in LONGEST)
    for notebook in {id(item.parent): item.parent for item in items if isinstance(item, IPyNbCell)}.values():
        notebook.skip_compare += ("stderr",)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """nbval starts a kernel while it sets up a notebook's first cell: give it the build's surroundings."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in kernels.headless_env().items():
            patch.setenv(name, value)
        patch.setenv("COURSE_LANG", item.path.parent.name)
        # what it learns is not compared, and test_live_training looks at it
        patch.setenv("COURSE_LIVE_SECONDS", "8")
        return (yield)


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for the network fails at once instead of depending on it."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            if host != "localhost" and not ipaddress.ip_address(host.split("%")[0]).is_loopback:
                raise ConnectionRefusedError(f"a test may speak to loopback only, not to {host}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
