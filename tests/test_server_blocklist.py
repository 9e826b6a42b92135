"""The content filter: a caught question is a 400, a caught answer has no text, and `course_lib` calls both a refusal."""

from __future__ import annotations

import openai
import pytest
import small_checkpoints
from PIL import Image

from course_lib import RefusalError
from course_lib.chat.client import VisionClient
from little_world.server import LocalServer
from little_world.server.blocklist import Blocklist
from little_world.server.errors import ApiError

# What the constrained decoder can say at all, so that a random model says it.
FORBIDDEN, ALLOWED = (
    {"type": "json_schema", "json_schema": {"name": "said", "schema": {"enum": [word]}}}
    for word in ("forbidden", "allowed")
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = small_checkpoints.make_llava(tmp_path_factory.mktemp("models") / "tiny")
    with LocalServer(folder, blocklist=["Forbidden", "禁止", " "]) as server:
        yield server.wait()


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="-", max_retries=0) as client:
        yield client


def ask(client, text="What is there?", **fields):
    messages = [{"role": "user", "content": text}]
    return client.chat.completions.create(model="tiny", messages=messages, max_completion_tokens=40, **fields)


@pytest.mark.parametrize("text", ["Is this FORBIDDEN?", "这是禁止的吗？"])
def test_a_caught_question_is_a_400(client, text):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, text)
    assert caught.value.code == "content_filter"


def test_a_caught_answer_comes_without_its_text(client):
    choice = ask(client, response_format=FORBIDDEN).choices[0]
    assert choice.finish_reason == "content_filter" and choice.message.content is None


def test_a_caught_stream_has_sent_nothing(client):
    chunks = list(ask(client, response_format=FORBIDDEN, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == ""
    assert chunks[-1].choices[0].finish_reason == "content_filter"


def test_what_is_allowed_comes_through_whole_and_streamed(client):
    assert ask(client, response_format=ALLOWED).choices[0].message.content == '"allowed"'
    chunks = list(ask(client, response_format=ALLOWED, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == '"allowed"'


def test_the_course_calls_it_a_refusal(server):
    vision = VisionClient(base_url=f"{server.url}/v1", model="tiny")
    with pytest.raises(RefusalError):
        vision.ask(Image.new("RGB", (8, 8)), "Is this forbidden?")


@pytest.mark.parametrize(
    ("text", "caught"), [("a Cat!", True), ("a category", False), ("大猫在睡", True), ("", False)]
)
def test_latin_terms_are_words_and_chinese_ones_need_no_bounds(text, caught):
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
    blocklist = Blocklist(["cat", "猫"])
    if caught:
        with pytest.raises(ApiError):
            blocklist.check(messages)
    else:
        blocklist.check(messages)
