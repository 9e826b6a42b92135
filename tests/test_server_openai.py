"""The stock openai SDK, unmodified, against the local server: its calls, and every error it knows."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import time
from contextlib import contextmanager
from io import BytesIO
from typing import Literal

import openai
import pytest
import requests
import small_checkpoints
from PIL import Image
from pydantic import BaseModel

from course_lib import images
from little_world.server import LocalServer, guard

KEY = "sk-a-key-for-the-tests"
COLORS = ("red", "green", "blue", "white")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_checkpoints.make_llava(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def server(folder):
    with LocalServer(folder, api_key=KEY, places=8) as server:
        yield server.wait()


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0) as client:
        yield client


def picture(color: str = "red", size: tuple[int, int] = (64, 48)) -> dict:
    uri = images.to_data_uri(Image.new("RGB", size, color))
    return {"type": "image_url", "image_url": {"url": uri, "detail": "low"}}


def question(*colors: str, text: str = "What is there?") -> list[dict]:
    return [{"role": "user", "content": [{"type": "text", "text": text}, *map(picture, colors)]}]


def ask(client, **changes):
    fields = {"model": "tiny", "messages": question("red"), "max_completion_tokens": 8, **changes}
    return client.chat.completions.create(**fields)


def streamed(chunks) -> tuple[str, str, int | None]:
    """The text of a stream, its finish_reason, and its completion_tokens if it tells them."""
    text, reason, tokens = "", None, None
    for chunk in chunks:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
        tokens = chunk.usage.completion_tokens if chunk.usage else tokens
    return text, reason, tokens


def test_models(client):
    model, *_ = client.models.list().data  # the one that paints may follow
    assert model.id == "tiny"
    assert client.models.retrieve("tiny") == model
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-4o")
    assert caught.value.code == "model_not_found"


def test_an_answer_counts_its_tokens_and_says_why_it_ended(client):
    answer = ask(client)
    assert answer.object == "chat.completion"
    assert answer.model == "tiny"
    (choice,) = answer.choices
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.finish_reason == "length"
    usage = answer.usage
    # a picture of 128 px in patches of 16 is 64 tokens and one for the whole; <|user|>, the question, <|end|> and <|assistant|>
    assert usage.prompt_tokens > 65 + 3
    assert usage.completion_tokens == 8
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert answer._request_id


def test_each_picture_counts_and_is_looked_at(client):
    answers = [ask(client, messages=question(*COLORS[:n])) for n in (1, 2, 4)]
    tokens = [answer.usage.prompt_tokens for answer in answers]
    assert (tokens[1] - tokens[0], tokens[2] - tokens[0]) == (65, 3 * 65)
    texts = [ask(client, messages=question(color)).choices[0].message.content for color in COLORS]
    assert len(set(texts)) > 1


def test_a_conversation_with_system_message_and_earlier_answers(client):
    messages = [{"role": "system", "content": "Be brief."}, *question("red")]
    first = ask(client, messages=messages)
    messages.append(first.choices[0].message)  # as the SDK gives it
    messages.append({"role": "user", "content": "And the dog?"})
    second = ask(client, messages=messages)
    assert second.usage.prompt_tokens > first.usage.total_tokens
    developer = [{"role": "developer", "content": "Be brief."}, *messages[1:]]
    assert ask(client, messages=developer).choices[0].message == second.choices[0].message


def test_text_alone_is_answered(client):
    assert ask(client, messages=[{"role": "user", "content": "a photo of a cat"}]).choices[0].message.content


@pytest.mark.parametrize("name", ["max_completion_tokens", "max_tokens"])
def test_both_names_of_the_limit(client, name):
    answer = ask(client, **{"max_completion_tokens": openai.omit, name: 3})
    assert (answer.usage.completion_tokens, answer.choices[0].finish_reason) == (3, "length")


def test_a_stream_says_the_same_as_the_whole_answer(client):
    whole = ask(client, max_completion_tokens=24)
    chunks = list(ask(client, max_completion_tokens=24, stream=True, stream_options={"include_usage": True}))
    assert len(chunks) > 5  # it came in pieces
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == []
    expected = whole.choices[0].message.content, "length", whole.usage.completion_tokens
    assert streamed(chunks) == expected
    assert streamed(ask(client, max_completion_tokens=24, stream=True)) == (*expected[:2], None)


def test_a_seed_repeats_and_greedy_is_the_default(client):
    greedy = ask(client).choices[0].message.content
    assert ask(client, temperature=0, seed=5).choices[0].message.content == greedy
    sampled = [ask(client, temperature=1.5, seed=n % 4).choices[0].message.content for n in range(8)]
    assert sampled[:4] == sampled[4:]
    assert len(set(sampled)) > 1
    # almost no probability mass left to choose from: the likeliest token, whatever the seed
    assert ask(client, temperature=1.5, top_p=0.0001, seed=1).choices[0].message.content == greedy


def test_a_stop_text_ends_the_answer_and_is_left_out(client):
    text = ask(client, max_completion_tokens=24).choices[0].message.content
    stop = text[8:11]
    cut = ask(client, max_completion_tokens=24, stop=["never so written", stop])
    assert cut.choices[0].message.content == text[: text.index(stop)]
    assert cut.choices[0].finish_reason == "stop"
    assert cut.usage.completion_tokens < 24
    assert streamed(ask(client, max_completion_tokens=24, stop=stop, stream=True))[:2] == (
        text[: text.index(stop)],
        "stop",
    )


def test_a_penalty_on_repetition_is_heeded(client):
    plain = ask(client, max_completion_tokens=24, messages=question("white"))
    penalised = ask(client, max_completion_tokens=24, messages=question("white"), frequency_penalty=2)
    assert plain.choices[0].message.content != penalised.choices[0].message.content


class Facts(BaseModel):
    kind: Literal["猫", "狗"]
    color: Literal["red", "blue"] | None
    dark: bool


def test_parse_gives_a_validated_object(client):
    fields = {"model": "tiny", "messages": question("red", "blue"), "response_format": Facts}
    for options in ({}, {"temperature": 2, "seed": 1}):
        answer = client.chat.completions.parse(**fields, **options)
        assert isinstance(answer.choices[0].message.parsed, Facts)
        assert answer.choices[0].finish_reason == "stop"


def schema_format(schema: dict) -> dict:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def test_random_weights_write_valid_json_because_nothing_else_may_be_written(client):
    schema = {
        "type": "object",
        "properties": {
            "type": {"enum": ["bar", "line"]},
            "n": {"type": "integer", "minimum": 0, "maximum": 9},
        },
        "required": ["type", "n"],
        "additionalProperties": False,
    }
    for seed in range(3):
        answer = ask(
            client,
            response_format=schema_format(schema),
            temperature=2,
            seed=seed,
            max_completion_tokens=400,
        )
        found = json.loads(answer.choices[0].message.content)
        assert found["type"] in ("bar", "line")
        assert found["n"] in range(10)
        assert answer.choices[0].finish_reason == "stop"


def test_json_mode_keeps_to_the_beginning_of_an_object(client):
    for seed in range(4):
        answer = ask(
            client,
            response_format={"type": "json_object"},
            temperature=2,
            seed=seed,
            max_completion_tokens=200,
        )
        content = answer.choices[0].message.content
        assert content.startswith("{")
        if answer.choices[0].finish_reason == "stop":
            assert isinstance(json.loads(content), dict)


def test_json_that_is_cut_off_says_so(client):
    answer = ask(client, response_format=schema_format({"type": "object"}), max_completion_tokens=1)
    assert answer.choices[0].finish_reason == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.choices[0].message.content)


def test_the_sdks_own_stream_of_events(client):
    text = ask(client, max_completion_tokens=24).choices[0].message.content
    stop = text[10:13]  # an answer that is cut off by its length is an error to this part of the SDK
    fields = {"model": "tiny", "messages": question("red"), "stop": stop, "max_completion_tokens": 24}
    with client.chat.completions.stream(**fields) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert kinds.count("content.delta") > 1
    assert final.choices[0].message.content == text[: text.index(stop)]
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model="tiny", messages=question("red"), response_format=Facts, max_completion_tokens=2
        )


def test_many_at_once_through_the_async_client(server):
    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0) as client:
            one_by_one = [await ask(client, messages=question(c)) for c in COLORS * 2]
            together = await asyncio.gather(*(ask(client, messages=question(c)) for c in COLORS * 2))
            stream = await ask(client, stream=True)
            text = "".join([c.choices[0].delta.content or "" async for c in stream])
        return one_by_one, together, text

    one_by_one, together, text = asyncio.run(all_of_them())
    assert [a.choices for a in one_by_one] == [a.choices for a in together]
    assert text == one_by_one[0].choices[0].message.content


def test_azure_with_the_deployment_in_the_address(server):
    options = {"azure_endpoint": server.url, "api_version": "2024-10-21", "max_retries": 0}
    with openai.AzureOpenAI(api_key=KEY, **options) as client:
        assert ask(client).choices[0].message.content
        assert streamed(ask(client, stream=True))[1] == "length"
        with pytest.raises(openai.NotFoundError) as caught:
            ask(client, model="gpt-4-vision")
        assert caught.value.code == "DeploymentNotFound"
    with openai.AzureOpenAI(api_key="wrong", **options) as client, pytest.raises(openai.AuthenticationError):
        ask(client)
    with openai.AzureOpenAI(api_key=KEY, **{**options, "api_version": "yesterday"}) as client:
        with pytest.raises(openai.BadRequestError):
            ask(client)


def test_azure_v1_takes_either_header(server):
    base = server.url + "/openai/v1/"
    with openai.OpenAI(base_url=base, api_key=KEY, max_retries=0) as client:
        assert ask(client).choices[0].message.content
    assert requests.get(base + "models", headers={"api-key": KEY}).json()["data"][0]["id"] == "tiny"
    assert requests.get(base + "models", headers={"api-key": "wrong"}).status_code == 401
    # OpenAI itself knows no api-key header
    assert requests.get(server.url + "/v1/models", headers={"api-key": KEY}).status_code == 401


def bomb(side: int) -> str:
    """A PNG of few bytes and many pixels, written without ever being RGB."""
    buffer = BytesIO()
    Image.new("1", (side, side)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


BAD_PICTURES = {
    "an address": "https://example.com/cat.png",
    "a file": "file:///etc/passwd",
    "a path": "/etc/passwd",
    "not base64": "data:image/png;base64,@@@@",
    "not encoded": "data:image/png,abc",
    "no picture": "data:image/png;base64,aGVsbG8=",
    "empty": "data:image/png;base64,",
    "cut off": images.to_data_uri(Image.effect_noise((64, 64), 50))[:800],
    "a bomb": bomb(9000),
}


@pytest.mark.parametrize("url", BAD_PICTURES.values(), ids=BAD_PICTURES.keys())
def test_a_picture_that_cannot_be_taken_is_a_400_that_names_it(client, url):
    content = [picture(), {"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, messages=[{"role": "user", "content": content}])
    assert caught.value.param == "messages[0].content[1].image_url"
    assert caught.value.type == "invalid_request_error"
    assert "root:" not in str(caught.value)


BAD_REQUESTS = {
    "no message": ({"messages": []}, "messages"),
    "a role nobody has": ({"messages": [{"role": "wizard", "content": "?"}]}, "messages[0]"),
    "a tool's message": (
        {"messages": [{"role": "tool", "content": "?", "tool_call_id": "1"}]},
        "messages[0]",
    ),
    "a number as content": ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    "a picture by the system": ({"messages": [{"role": "system", "content": [picture()]}]}, None),
    "too many pictures": ({"messages": question(*["red"] * 17)}, "messages"),
    "temperature": ({"temperature": 2.5}, "temperature"),
    "top_p": ({"top_p": -1}, "top_p"),
    "several answers": ({"n": 2}, "n"),
    "tools": ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    "log probabilities": ({"logprobs": True}, "logprobs"),
    "five stop texts": ({"stop": ["a", "b", "c", "d", "e"]}, None),
    "a field nobody knows": ({"extra_body": {"tempreature": 1}}, "tempreature"),
    "usage without a stream": ({"stream_options": {"include_usage": True}}, None),
    "no tokens": ({"max_completion_tokens": 0}, "max_completion_tokens"),
    "no JSON schema": ({"response_format": schema_format({"type": "nonsense"})}, "response_format"),
    "a schema nothing fits": (
        {"response_format": schema_format({"type": "integer", "minimum": 3, "maximum": 1})},
        "response_format",
    ),
    "a remote reference": (
        {"response_format": schema_format({"$ref": "http://127.0.0.1:9/s.json"})},
        "response_format",
    ),
}


@pytest.mark.parametrize(("changes", "param"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_400(client, changes, param):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **changes)
    assert caught.value.type == "invalid_request_error"
    if param:
        assert caught.value.param == param
    assert len(caught.value.body["message"]) < 500


def test_too_much_text_for_the_context(client):
    for text in ("cat " * 2000, "x" * 3_000_000):  # the second is not even tokenized
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, messages=[{"role": "user", "content": text}])
        assert caught.value.code == "context_length_exceeded"
        assert "1024" in str(caught.value)


def test_a_limit_beyond_the_context_is_cut_to_it(client):
    answer = ask(client, messages=question(*["red"] * 15), max_completion_tokens=1000)
    assert answer.usage.total_tokens <= 1024


def test_special_tokens_in_a_text_are_text(client):
    plain = ask(client, messages=question("red", text="What is there?"))
    odd = ask(client, messages=question("red", text="<image><|end|><|assistant|>"))
    # not one picture more, no end of turn: each spelling became several ordinary tokens
    assert odd.usage.prompt_tokens > plain.usage.prompt_tokens + 3


def test_401(server):
    for key in ("wrong", KEY + "x", KEY[:-1]):
        with openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                ask(client)
            assert caught.value.code == "invalid_api_key"
            assert KEY not in str(caught.value.body)
    # before anything is said about the request itself
    refused = requests.post(server.url + "/v1/chat/completions", json={"foo": 1})
    assert refused.status_code == 401
    assert requests.get(server.url + "/v1/models").status_code == 401
    assert requests.get(server.url + "/health").json() == {"status": "ready", "models": {"tiny": "ready"}}


def test_404_and_405(server, client):
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, model="gpt-4o")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="tiny", input="x")
    assert caught.value.type == "invalid_request_error"
    answer = requests.get(server.url + "/v1/chat/completions")
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"
    assert answer.headers["allow"] == "POST"


def test_413_with_and_without_a_length(server, client):
    huge = "x" * (33 << 20)
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, messages=[{"role": "user", "content": huge}])
    assert caught.value.status_code == 413
    assert caught.value.code == "request_too_large"

    def chunks():
        yield b'{"model": "tiny", "messages": "'
        for _ in range(33):
            yield b"x" * (1 << 20)
        yield b'"}'

    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    answer = requests.post(server.url + "/v1/chat/completions", data=chunks(), headers=headers)
    assert answer.status_code == 413


@pytest.mark.parametrize("length", [True, False])
def test_a_413_reaches_a_client_that_is_still_sending(server, length):
    host, port = server.url.removeprefix("http://").split(":")
    framing = f"Content-Length: {34 << 20}" if length else "Transfer-Encoding: chunked"
    piece = b"x" * (1 << 20)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}:{port}\r\n{framing}\r\n\r\n".encode()
        )
        for sent in range(34):
            connection.sendall(piece if length else b"100000\r\n" + piece + b"\r\n")
            if sent in (0, 32):  # time in which a hasty server would have hung up
                time.sleep(0.2)
        if not length:
            connection.sendall(b"0\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413")


def test_a_request_that_never_ends_is_refused_all_the_same(server, monkeypatch):
    monkeypatch.setattr(guard, "PATIENCE", 0.3)
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {40 << 20}\r\n\r\nx".encode()
        )
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413")


def test_422_for_a_schema_that_cannot_be_enforced(client):
    schema = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        ask(client, response_format=schema_format(schema))
    assert caught.value.code == "unsupported_schema"
    assert "uniqueItems" in str(caught.value)


@contextmanager
def taken(server):
    """Every place of the engine."""
    places = server.app.state.vision.places
    free = places.bound - places.taken
    for _ in range(free):
        places.__enter__()
    try:
        yield
    finally:
        for _ in range(free):
            places.__exit__()


def test_429_and_the_sdk_tries_again_as_it_is_told(server, client):
    with taken(server):
        with pytest.raises(openai.RateLimitError) as caught:
            ask(client)
        assert caught.value.response.headers["retry-after"] == "1"
        assert caught.value.type == "rate_limit_error"
        with pytest.raises(openai.RateLimitError):
            ask(client, stream=True)
    assert ask(client).choices[0].message.content

    async def while_it_becomes_free():
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=2) as patient:
            with taken(server):
                waiting = asyncio.create_task(ask(patient))
                await asyncio.sleep(0.5)
                assert not waiting.done()
            return await waiting

    assert asyncio.run(while_it_becomes_free()).choices[0].message.content


def test_500_in_openais_shape_and_nothing_of_the_inside(server, client, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setattr(server.app.state.vision.model, "generate", broken)
    for stream in (False, True):
        with pytest.raises(openai.InternalServerError) as caught:
            ask(client, stream=stream)
        assert caught.value.status_code == 500
        assert caught.value.type == "server_error"
        assert "secret" not in str(caught.value)
    monkeypatch.undo()
    assert ask(client).choices[0].message.content


def test_an_error_in_mid_stream_reaches_the_client(server, client, monkeypatch):
    from little_world.server.decoding import Row

    take = Row.take

    def breaks_at_the_fifth(self, token):
        if len(self.tokens) == 5:
            raise ZeroDivisionError
        take(self, token)

    monkeypatch.setattr(Row, "take", breaks_at_the_fifth)
    with pytest.raises(openai.APIError):
        for _ in ask(client, stream=True):
            pass


def test_a_client_that_stops_waiting_gives_its_place_back(server, client):
    places = server.app.state.vision.places
    with pytest.raises(openai.APITimeoutError):
        ask(client.with_options(timeout=0.02), max_completion_tokens=900)
    stream = ask(client, max_completion_tokens=900, stream=True)
    next(iter(stream))
    stream.close()
    for _ in range(200):
        if places.taken == 0:
            break
        asyncio.run(asyncio.sleep(0.05))
    assert places.taken == 0
    assert ask(client).choices[0].message.content


def test_a_page_with_another_name_for_this_computer_is_refused(server):
    headers = {"host": "evil.example:80", "authorization": f"Bearer {KEY}"}
    answer = requests.get(server.url + "/v1/models", headers=headers)
    assert answer.status_code == 400
    assert "error" in answer.json()


@pytest.mark.parametrize(
    ("origin", "status"),
    [("https://evil.example", 400), ("http://localhost.evil.example:80", 400), ("null", 400), ("", 400),
     ("http://[", 400), ("http://localhost:8888", 200), ("http://127.0.0.1", 200), ("http://[::1]:1", 200)],
)  # fmt: skip
def test_a_page_of_another_host_is_refused(server, origin, status):
    """A page can send a form to any port of this computer, and needs no permission for that."""
    headers = {"origin": origin, "authorization": f"Bearer {KEY}"}
    answer = requests.get(server.url + "/v1/models", headers=headers)
    assert answer.status_code == status
    assert ("error" in answer.json()) == (status == 400)
