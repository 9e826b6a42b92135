"""The server as a learner has it: in a notebook's event loop, as a command, and never for other computers."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import openai
import pytest
import requests
import small_checkpoints

from course_lib.errors import ModelError, SettingsError
from little_world import server as package
from little_world.server import LocalServer, local
from little_world.server.__main__ import main
from little_world.server.guard import is_loopback

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_checkpoints.make_llava(tmp_path_factory.mktemp("models") / "tiny")


def ask(server) -> int:
    """The number of tokens of an answer."""
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as client:
        messages = [{"role": "user", "content": "a cat"}]
        answer = client.chat.completions.create(model=server.model, messages=messages, max_tokens=3)
        return answer.usage.completion_tokens


def test_it_starts_inside_a_running_event_loop_and_says_nothing(folder, capfd):
    async def cell() -> str:  # as Jupyter runs one
        with LocalServer(folder) as server:
            return await asyncio.to_thread(ask, server)

    assert asyncio.run(cell())
    out, err = capfd.readouterr()
    assert out == ""
    assert "INFO" not in err
    assert "Traceback" not in err


def test_what_the_libraries_report_while_they_are_imported_is_not_shown():
    code = "import course_lib; from diffusers import AutoPipelineForText2Image; from little_world.server import LocalServer"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr == ""
    )


def test_closing_frees_the_port_and_ends_the_threads(folder):
    before = set(threading.enumerate())
    with LocalServer(folder) as server:
        server.wait()
        url, port = server.url, int(server.url.rsplit(":", 1)[1])
    server.close()  # once more does no harm
    with pytest.raises(requests.ConnectionError):
        requests.get(url + "/health", timeout=5)
    assert set(threading.enumerate()) <= before
    with LocalServer(folder, port=port) as again:
        assert again.url == url
        assert ask(again)


def test_the_weights_go_with_the_server(folder):
    import weakref

    server = LocalServer(folder).wait()
    model = weakref.ref(server.app.state.vision.model)
    server.close()
    del server
    gc.collect()
    assert model() is None


def test_a_request_waits_for_the_model(folder, monkeypatch):
    from little_world.server.vision import VisionEngine

    gate, load = threading.Event(), VisionEngine._load

    def late(self):
        gate.wait(30)
        load(self)

    monkeypatch.setattr(VisionEngine, "_load", late)
    with LocalServer(folder) as server:
        health = requests.get(server.url + "/health", timeout=5)
        assert (health.status_code, health.json()["status"]) == (503, "loading")
        threading.Timer(0.3, gate.set).start()
        assert ask(server)
        assert requests.get(server.url + "/health", timeout=5).status_code == 200


def test_waiting_can_be_stopped_on_windows_where_nothing_interrupts_a_wait(folder, monkeypatch):
    from little_world.server.vision import VisionEngine

    load, waits = VisionEngine._load, []
    monkeypatch.setattr(VisionEngine, "_load", lambda self: time.sleep(0.5) or load(self))
    with LocalServer(folder) as server:
        loaded = server.app.state.vision.loaded
        wait = loaded.wait
        monkeypatch.setattr(loaded, "wait", lambda timeout=None: waits.append(timeout) or wait(timeout))
        assert server.wait().wait() is server
        assert None not in waits and 2 < len(waits) < 300


def test_a_model_that_cannot_be_loaded_is_a_503_that_says_why(tmp_path):
    folder = small_checkpoints.make("clip", tmp_path / "clip")
    with LocalServer(folder) as server:
        with pytest.raises(openai.InternalServerError) as caught:
            ask(server)
        assert caught.value.status_code == 503
        assert caught.value.code == "model_not_loaded"
        with pytest.raises(ModelError):
            server.wait()


def test_other_computers_are_kept_out_unless_allowed(folder):
    for host in ("0.0.0.0", "::", "192.168.0.7", "example.com"):
        with pytest.raises(SettingsError, match="allow_remote"):
            LocalServer(folder, host=host)
    with LocalServer(folder, host="0.0.0.0", allow_remote=True) as server:
        port = server.url.rsplit(":", 1)[1]
        headers = {"host": f"a-laptop:{port}", "origin": f"http://a-laptop:{port}"}
        answer = requests.get(f"http://127.0.0.1:{port}/v1/models", headers=headers, timeout=5)
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("host", "local_only"),
    [("127.0.0.1", True), ("localhost", True), ("LOCALHOST", True), ("[::1]", True), ("127.8.8.8", True),
     ("10.0.0.1", False), ("localhost.evil.example", False), ("127.0.0.1.nip.io", False), ("", False)],
)  # fmt: skip
def test_what_counts_as_this_computer(host, local_only):
    assert is_loopback(host) is local_only


def test_a_port_in_use_or_impossible_is_one_sentence(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for port in (taken.getsockname()[1], 70_000, -1):
            with pytest.raises(SettingsError, match=str(port)):
                LocalServer(folder, port=port)


def test_there_is_one_shared_server_in_a_process(folder, monkeypatch):
    monkeypatch.setenv("COURSE_VLM_MODEL", str(folder))  # what the learner has set is what is served
    monkeypatch.setattr(local, "_shared", {})
    found = []
    threads = [threading.Thread(target=lambda: found.append(package.shared_server())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert ask(found[0])
    found[0].close()
    assert package.shared_server() is not found[0]  # a closed one is replaced
    package.shared_server().close()


def test_a_process_with_a_server_ends_by_itself(folder):
    """Even in the middle of an answer, and quietly."""
    code = (
        "import sys, threading, time, requests\nfrom little_world.server import LocalServer\nserver = "
        f"LocalServer({str(folder)!r}).wait()\nbody = {{'model': 'tiny', 'messages': [{{'role': 'user', "
        "'content': 'x'}], 'max_tokens': 900}\nurl = server.url + '/v1/chat/completions'\n"
        "threading.Thread(target=requests.post, args=(url,), kwargs={'json': body}, daemon=True).start()\n"
        "time.sleep(0.3)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr


def test_importing_the_package_is_light():
    code = (
        "import sys, little_world.server; "
        "print([name for name in ('torch', 'transformers', 'fastapi', 'uvicorn') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.skipif(os.name == "nt", reason="Ctrl+C is sent to a process as a POSIX signal")
def test_the_command_serves_until_ctrl_c(folder):
    command = [sys.executable, "-m", "little_world.server", "--port", "0", "--vision-model", str(folder)]
    environment = {**os.environ, "COURSE_LANG": "en", "LITTLE_WORLD_API_KEY": "canary-7"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        line = process.stdout.readline()
        url = re.search(r"base_url=(\S+)", line)[1]
        assert requests.get(url + "/models", timeout=10).status_code == 401
        headers = {"authorization": "Bearer canary-7"}
        assert requests.get(url + "/models", headers=headers, timeout=10).status_code == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert "canary" not in line + out + err


@pytest.mark.parametrize(
    "arguments",
    [["--vision-model", "/nowhere/at/all"], ["--host", "0.0.0.0"], ["--port", "70000"]],
    ids=["model", "host", "port"],
)
def test_the_command_says_what_is_wrong_in_one_sentence(arguments, folder):
    with pytest.raises(SystemExit) as caught:
        main(["--vision-model", str(folder), *arguments])
    message = str(caught.value.code)
    assert "\n" not in message
    assert message.endswith((".", "。"))


def test_no_proxy_stands_before_it(folder, monkeypatch):
    """With a proxy in the environment `requests` would ask it for 127.0.0.1, too."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "intranet.example")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # where nobody listens
    with LocalServer(folder) as server:
        assert requests.get(f"{server.url}/v1/models", timeout=30).ok
        assert urllib.request.urlopen(f"{server.url}/v1/models", timeout=30).status == 200
    assert "intranet.example" in os.environ["NO_PROXY"].split(",")
    with pytest.raises(requests.exceptions.ProxyError):  # others are still behind it
        requests.get("http://other.example", timeout=30)
