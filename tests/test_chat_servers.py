"""Vision chat against two real servers: the course's own, and `transformers serve`, which no one here wrote.

Both serve one LLaVA folder and decode greedily, so the same question must bring the same words: mini-vlm
where it has been trained, else a tiny checkpoint of its architecture with random weights, whose answers run
on until they are cut off.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

import pytest
import small_checkpoints
from fault_server import FaultServer, body
from PIL import Image

from course_lib import settings
from course_lib.batching import batch
from course_lib.errors import AnswerError, CutOffError, ServiceError
from course_lib.gpt4v import ChartAnalysis, ImageAnalyzer, call_gpt4v, call_gpt4v_with_url
from little_world import load_gallery
from little_world.paths import MODELS
from little_world.server import LocalServer, local

KEY = "sk-a-key-for-the-tests"
RED, BLUE = (Image.new("RGB", (128, 128), color) for color in ("red", "blue"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    if (MODELS / "mini-vlm" / "config.json").is_file():
        return MODELS / "mini-vlm"
    return small_checkpoints.make_llava(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def own(folder):
    with LocalServer(folder) as server:
        yield server.wait()


@pytest.fixture(scope="module")
def peer(folder, tmp_path_factory):
    """`transformers serve` on loopback, ended by its id: (base_url, the name it wants the model called)."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(folder)]
    command += ["--device", "cpu", "--dtype", "float32"]  # as our server computes
    log = tmp_path_factory.mktemp("peer") / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1", str(folder)
    finally:
        process.terminate()
        process.wait(timeout=30)


def said(call: Callable[[], object]) -> str:
    """What the model said, whether it came to an end or was cut off; half a character at the end is left
    out."""
    try:
        answer = call()
        text = answer if isinstance(answer, str) else "".join(answer)
    except CutOffError as error:
        text = error.raw
    return text.rstrip("\N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_both_servers_say_the_same(own, peer, folder, lang):
    scenes = [example.image for example in load_gallery()[:3]]
    options = {"lang": lang, "max_tokens": 24}
    ours = ImageAnalyzer(base_url=f"{own.url}/v1", model=own.model, **options)
    theirs = ImageAnalyzer(base_url=peer[0], model=peer[1], **options)
    compared = 0
    asked = {"zh": "图中有几样东西？", "en": "How many things are there?"}[lang]
    for ask in (
        lambda analyzer: analyzer.describe(scenes[0]),
        lambda analyzer: analyzer.describe(scenes[0], stream=True),
        lambda analyzer: analyzer.extract_text(scenes[1]),
        lambda analyzer: analyzer.ask(scenes[2], asked),
        lambda analyzer: analyzer.compare(scenes[:2]),
        lambda analyzer: analyzer.narrate(scenes, stream=True),
    ):
        first, second = said(lambda: ask(ours)), said(lambda: ask(theirs))  # noqa: B023 - called at once
        # Random weights write half characters, which a server may hold back where it is cut off.
        end = None if folder.name == "mini-vlm" else min(len(first), len(second))
        assert first[:end] == second[:end]
        compared += len(first)
    assert compared > 40


def test_the_peer_ignores_response_format_and_what_comes_is_checked(peer):
    """It logs a warning, and answers as it likes: only what validates gets through."""
    analyzer = ImageAnalyzer(base_url=peer[0], model=peer[1], lang="en", max_tokens=40)
    try:
        assert isinstance(analyzer.analyze_chart(RED), ChartAnalysis)
    except AnswerError as error:
        assert error.raw


def test_the_peers_own_form_of_error_is_understood(peer):
    with pytest.raises(ServiceError) as caught:
        call_gpt4v(RED, "?", base_url=peer[0], model="another-model")
    assert caught.value.kind == "bad_request" and '"detail"' in caught.value.raw


def test_without_an_address_the_process_own_server_answers(own, monkeypatch):
    for name in settings.KNOWN:
        monkeypatch.delenv(name, raising=False)
    # as if it had been started already
    monkeypatch.setattr(local, "_shared", {(os.getpid(), "mini-sd", "mini-motion"): own})
    options = {} if own.model == "mini-vlm" else {"model": own.model}
    assert said(lambda: call_gpt4v(RED, "What is there?", max_tokens=20, **options))
    assert settings.local_server() == own.url


def test_a_streamed_answer_is_the_whole_one(own):
    options = {"base_url": f"{own.url}/v1", "model": own.model, "max_tokens": 20}
    whole = said(lambda: call_gpt4v([RED, BLUE], "Compare", **options))
    assert said(lambda: call_gpt4v([RED, BLUE], "Compare", stream=True, **options)) == whole


def test_many_questions_at_once_get_their_own_answers(own):
    analyzer = ImageAnalyzer(base_url=f"{own.url}/v1", model=own.model, max_tokens=8, retries=5)
    pictures = [RED, BLUE] * 3
    outcomes = batch(lambda picture: said(lambda: analyzer.describe(picture)), pictures)
    assert [outcome.value for outcome in outcomes] == [outcomes[0].value, outcomes[1].value] * 3


def test_a_picture_on_the_web_is_fetched_for_the_own_server(own, monkeypatch):
    buffer = BytesIO()
    BLUE.save(buffer, "PNG")
    options = {"base_url": f"{own.url}/v1", "model": own.model, "max_tokens": 8}
    with FaultServer(body(buffer.getvalue(), kind="image/png")) as web:
        url = f"{web.root}/blue.png"
        fetched = said(lambda: call_gpt4v_with_url(url, "?", trusted_hosts=("127.0.0.1",), **options))
    assert fetched == said(lambda: call_gpt4v(BLUE, "?", **options))


def test_the_own_servers_errors(own, folder):
    base_url = f"{own.url}/v1"
    with pytest.raises(ServiceError) as caught:
        call_gpt4v(RED, "?", base_url=base_url, model="another-model")
    assert caught.value.kind == "not_found"
    with pytest.raises(CutOffError):
        call_gpt4v(RED, "Describe this picture.", max_tokens=1, base_url=base_url, model=own.model)
    with LocalServer(folder, api_key=KEY) as locked:
        for wrong in (None, "sk-another-key-entirely"):
            with pytest.raises(ServiceError) as caught:
                call_gpt4v(RED, "?", wrong, base_url=f"{locked.url}/v1", model=locked.model)
            assert caught.value.kind == "authentication" and "another-key" not in str(caught.value)


def test_azure_old_and_new(folder):
    with LocalServer(folder, api_key=KEY) as server:
        old = f"{server.url}/openai/deployments/{server.model}/chat/completions?api-version=2024-02-01"
        new, question = {"base_url": server.url, "model": server.model}, "What is there?"
        first = said(lambda: call_gpt4v(RED, question, KEY, 20, provider="azure", base_url=old))
        assert first == said(lambda: call_gpt4v(RED, question, KEY, 20, provider="azure", **new)) != ""
