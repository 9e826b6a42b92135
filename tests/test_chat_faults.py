"""Vision chat against a service that misbehaves: retried, or one clear error in bounded time, the raw text
kept.

Each fault comes from `fault_server`. A wrong dictionary, or half an answer taken for a whole one, must never
come.
"""

from __future__ import annotations

import json
import logging
import traceback

import fault_server as faults
import pytest
from fault_server import FaultServer, body, completion, events, piece, status
from PIL import Image

from course_lib import settings
from course_lib.chat.connections import MAX_ANSWER
from course_lib.errors import AnswerError, CourseError, CutOffError, RefusalError, ServiceError, SettingsError
from course_lib.gpt4v import ChartAnalysis, ImageAnalyzer, call_gpt4v

PICTURE = Image.new("RGB", (64, 48), "red")
CANARY = "sk-canary-0123456789"
CHART = {
    "title": "Sales",
    "type": "bar chart",
    "trend": "rising",
    "key_insights": ["May"],
    "data_summary": "5",
}


@pytest.fixture(params=["zh", "en"])
def either_language(request, monkeypatch):
    monkeypatch.setattr(settings, "_chosen", request.param)


@pytest.fixture(autouse=True)
def quick_backoff(monkeypatch):
    """The SDK waits half a second and more between attempts; Retry-After is left as it is."""
    from openai import _base_client

    monkeypatch.setattr(_base_client, "INITIAL_RETRY_DELAY", 0.01)


def ask(server: FaultServer, *, stream: bool = False, retries: int = 1, timeout: float = 20, **options):
    found = call_gpt4v(
        PICTURE,
        "What is it?",
        CANARY,
        base_url=server.url,
        model="m",
        retries=retries,
        timeout=timeout,
        stream=stream,
        **options,
    )
    return "".join(found) if stream else found


def failure(*replies, stream: bool = False, **options) -> tuple[CourseError, FaultServer]:
    """The error that these replies end in: one sentence, no chain behind it, no key in it."""
    with FaultServer(*replies) as server, pytest.raises(CourseError) as caught:
        ask(server, stream=stream, **options)
    error = caught.value
    assert "\n" not in str(error) and len(str(error)) < 600
    assert error.__cause__ is None and error.__context__ is None
    shown = traceback.TracebackException.from_exception(error, capture_locals=True).format()
    assert CANARY not in "".join(shown) + repr(vars(error))
    return error, server


# ----------------------------------------------------------------------------------- mended by trying again


PASSING = {code: status(code) for code in (408, 429, 500, 503)}


@pytest.mark.parametrize(
    "fault", [*PASSING.values(), faults.reset_in_body], ids=[*PASSING, "reset in the body"]
)
def test_a_passing_fault_is_tried_again(fault):
    with FaultServer(fault, completion("a cat")) as server:
        assert ask(server) == "a cat"
        assert len(server.requests) == 2
        assert server.requests[0].body == server.requests[1].body


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_before_a_stream_begins_a_passing_fault_is_tried_again(fault):
    with FaultServer(fault, events(piece("a cat", "stop"))) as server:
        assert ask(server, stream=True) == "a cat" and len(server.requests) == 2


def test_retry_after_is_heeded(monkeypatch):
    from openai import _base_client

    slept = []
    monkeypatch.setattr(_base_client.time, "sleep", slept.append)
    with FaultServer(status(429, retry_after="7"), completion("a cat")) as server:
        assert ask(server) == "a cat"
    assert slept == [7.0]


@pytest.mark.parametrize("retries", [0, 2])
def test_a_lasting_fault_is_tried_as_often_as_asked(retries):
    error, server = failure(status(500, "overloaded"), retries=retries)
    assert len(server.requests) == 1 + retries
    assert (error.kind, error.status) == ("server", 500) and "overloaded" in error.raw


# ------------------------------------------------------------------------------------------- one clear error


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (status(400, "bad picture"), "bad_request"),
        (status(401, "no such key"), "authentication"),
        (status(403, "not allowed"), "authentication"),
        (status(404, "no such model"), "not_found"),
        (status(413, "too much"), "too_large"),
        (status(422, "odd"), "bad_request"),
        (status(429, "slow down"), "rate_limit"),
        (status(429, "pay", error_code="insufficient_quota"), "rate_limit"),
        (status(500, "broken"), "server"),
        (status(302, "over there", location="http://127.0.0.1:9/elsewhere"), "not_found"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_status_has_its_kind_of_error_and_keeps_what_was_said(reply, kind, stream, either_language):
    error, server = failure(reply, stream=stream, retries=0)
    assert isinstance(error, ServiceError) and error.kind == kind
    said = json.loads(error.raw)["error"]["message"]
    assert said in str(error) and str(error.status) in str(error)
    assert server.requests[0].path == "/v1/chat/completions"


def test_corrections_14_the_services_own_words_reach_the_reader():
    """`raise_for_status` alone drops error.message; FastAPI's `detail` counts too, HTML does not."""
    error, _ = failure(body('{"detail": "unknown field"}', status=422))
    assert "unknown field" in str(error)
    error, _ = failure(body("<html><b>nginx</b></html>", status=404, kind="text/html"))
    assert "<" not in str(error) and error.raw == "<html><b>nginx</b></html>"


def test_nobody_listens(either_language):
    with pytest.raises(ServiceError) as caught:
        call_gpt4v(PICTURE, "?", base_url=f"http://127.0.0.1:{faults.closed_port()}/v1", model="m", retries=1)
    assert caught.value.kind == "connection"


def test_corrections_13_a_service_that_never_answers_is_given_up_on():
    """`requests.post` without a timeout waits for ever."""
    error, server = failure(faults.never, timeout=0.3)
    assert error.kind == "timeout" and len(server.requests) == 2


def test_an_answer_that_drips_for_ever_is_given_up_on_too():
    error, _ = failure(faults.dripping, timeout=0.5)
    assert error.kind == "timeout"


def test_a_connection_that_keeps_breaking():
    error, server = failure(faults.reset_in_body)
    assert error.kind == "connection" and len(server.requests) == 2


def test_50_megabytes_are_not_read():
    error, server = failure(faults.endless)
    assert isinstance(error, AnswerError) and server.sent < 4 * MAX_ANSWER and len(error.raw) < MAX_ANSWER


@pytest.mark.parametrize(
    "said",
    [
        "<html>Welcome to nginx</html>",
        '{"choices": [{"index": 0, "mess',
        '{"choices": []}',
        "{}",
        "[]",
        "null",
        "3",
        "",
        '{"choices": "none"}',
        '{"choices": [{"message": {"content": 7}}]}',
        '{"choices": [{"message": {"content": ["a cat"]}}]}',
        '{"choices": [{"message": "a cat"}]}',
        '{"choices": [{"message": {"content": "a cat"}, "finish_reason": 3}]}',
        '{"error": {"message": "in a 200"}}',
        "\x00\x01",
        '{"choices": ' + "[" * 5000,
    ],
)
def test_a_body_that_is_no_chat_completion_is_an_error_with_its_text(said):
    error, server = failure(body(said))
    assert isinstance(error, AnswerError) and error.raw == said
    assert len(server.requests) == 1  # asking again would not help


def test_corrections_15_content_null_with_a_refusal():
    error, _ = failure(faults.answer({"content": None, "refusal": "I will not identify people"}))
    assert isinstance(error, RefusalError) and error.raw == "I will not identify people"
    assert error.raw in str(error)


def test_content_null_without_a_reason():
    error, _ = failure(completion(None))
    assert type(error) is AnswerError and '"content": null' in error.raw


@pytest.mark.parametrize("code", ["content_filter", "data_inspection_failed", "1301"])
def test_a_filter_before_the_model_is_a_refusal_too(code):
    error, _ = failure(status(400, "flagged", error_code=code))
    assert isinstance(error, RefusalError) and "flagged" in error.raw
    error, _ = failure(completion("The man is", "content_filter"))
    assert isinstance(error, RefusalError) and error.raw == "The man is"


def test_corrections_12_a_cut_off_answer_is_no_answer():
    error, _ = failure(completion("The picture shows a", "length"))
    assert isinstance(error, CutOffError) and error.raw == "The picture shows a"
    assert "max_tokens" in str(error)


# ------------------------------------------------------------------------------------------------ streams


def test_a_stream_comes_in_pieces():
    pieces = [piece("", role="assistant"), piece("a "), piece("cat"), piece(None, "stop"), {"choices": []}]
    with FaultServer(events(*pieces)) as server:
        stream = call_gpt4v(PICTURE, "?", base_url=server.url, model="m", stream=True)
        assert list(stream) == ["a ", "cat"] and stream.text == "a cat"
        assert list(stream) == []


@pytest.mark.parametrize(
    ("reply", "kind", "raw"),
    [
        (events(piece("half"), then="reset"), ServiceError, "half"),
        (events(piece("half"), then="never"), ServiceError, "half"),
        (events(piece("half"), then="close"), CutOffError, "half"),
        (events(piece("half")), CutOffError, "half"),
        (events(piece("half"), piece(None, "length")), CutOffError, "half"),
        (events(piece("half"), piece(None, "content_filter")), RefusalError, "half"),
        (
            events(piece(None, refusal="I will "), piece(None, "stop", refusal="not")),
            RefusalError,
            "I will not",
        ),
        (events(piece("half"), {"error": {"message": f"broke {CANARY}"}}), ServiceError, "half"),
        (events(piece("half"), '{"choices": [{'), AnswerError, "half"),
        (events(piece("half"), {"choices": 3}), AnswerError, "half"),
        (events(piece("half"), {"choices": [{"delta": {"content": 3}}]}), AnswerError, "half"),
        (events(piece("half"), {"choices": [{}]}), AnswerError, "half"),
        (events(piece("half"), "3"), AnswerError, "half"),
        (events(then="close"), AnswerError, ""),
        (body("<html>nginx</html>", kind="text/html"), AnswerError, ""),
        (body(json.dumps({"choices": []})), AnswerError, ""),
        (faults.endless_event, AnswerError, ""),
    ],
)
def test_a_stream_that_goes_wrong_is_an_error_with_the_text_so_far(reply, kind, raw):
    error, server = failure(reply, stream=True, timeout=0.5)
    assert isinstance(error, kind) and error.raw == raw
    assert server.sent < 4 * MAX_ANSWER


def test_a_stream_can_be_left_early():
    with FaultServer(events(piece("a"), *[piece("b")] * 50, then="never")) as server:
        stream = call_gpt4v(PICTURE, "?", base_url=server.url, model="m", stream=True)
        assert next(stream) == "a"
        stream.close()


# ----------------------------------------------------------------------------------------------- JSON answers


def analyse(text: str):
    with FaultServer(completion(text)) as server:
        return ImageAnalyzer(base_url=server.url, model="m", lang="en").analyze_chart(PICTURE)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(CHART),
        f"```json\n{json.dumps(CHART, indent=2)}\n```",
        f"Here you are: {json.dumps(CHART)} I hope {{this}} helps!",
    ],
    ids=["bare", "fences", "prose"],
)
def test_corrections_16_one_object_is_found_in_prose_and_fences(text):
    found = analyse(text)
    assert isinstance(found, ChartAnalysis) and found.model_dump() == CHART and found["trend"] == "rising"


@pytest.mark.parametrize(
    "text",
    [
        "The chart rises.",
        json.dumps(CHART)[:-10],
        f"{json.dumps(CHART)} or {json.dumps({**CHART, 'trend': 'falling'})}",
        f'{json.dumps(CHART)} {{"a": 1}}',
        json.dumps({**CHART, "key_insights": "May"}),
        json.dumps({**CHART, "title": 5}),
        json.dumps({**CHART, "extra": 1}),
        json.dumps({key: value for key, value in CHART.items() if key != "trend"}),
        json.dumps([CHART, CHART]),
        '{"chart": ' + json.dumps(CHART),
        '{"chart": ' + json.dumps(CHART) + "}",
        json.dumps(CHART)[:-1] + ', "trend": "falling"}',
        "{" * 50_000,
        '{"a":' * 5_000,
        "",
    ],
)
def test_corrections_16_an_answer_that_is_not_one_valid_object_is_an_error_with_its_text(text):
    """The greedy `{.*}` crashes on two objects, and hands back a cut-off one as if all were well."""
    with pytest.raises(AnswerError) as caught:
        analyse(text)
    assert caught.value.raw == text and len(str(caught.value)) < 600


def test_a_cut_off_object_is_a_cut_off():
    with FaultServer(completion(json.dumps(CHART)[:-10], "length")) as server, pytest.raises(CutOffError):
        ImageAnalyzer(base_url=server.url, model="m").analyze_chart(PICTURE)


# ------------------------------------------------------------------------------------------------------ keys


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_key_shows_nowhere(stream, caplog, capfd, monkeypatch):
    monkeypatch.setenv("COURSE_VLM_API_KEY", CANARY)
    caplog.set_level(logging.DEBUG)
    for reply in (status(401, f"Incorrect key {CANARY}"), body(f"<p>{CANARY}</p>", status=500), faults.never):
        failure(reply, stream=stream, timeout=0.2, retries=1)
    failure(body(f"{CANARY}"), retries=0)
    with FaultServer(completion(f"your key is {CANARY}")) as server:
        analyzer = ImageAnalyzer(CANARY, base_url=server.url, model="m")
        said = analyzer.describe(PICTURE)
        assert server.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    shown = [
        repr(analyzer),
        repr(analyzer.client),
        repr(analyzer.client.endpoint),
        str(analyzer.client.endpoint),
    ]
    shown += [said, caplog.text, *capfd.readouterr(), str(settings.describe())]
    assert [text for text in shown if CANARY in text] == []


def test_a_placeholder_for_a_key_may_be_a_word_of_the_answer():
    with FaultServer(completion("I am served by ollama")) as server:
        options = {"provider": "ollama", "base_url": server.url, "model": "m"}
        assert call_gpt4v(PICTURE, "?", "ollama", **options) == "I am served by ollama"


@pytest.mark.parametrize("key", ["sk-钥匙-canary", "sk-canary\nX-Evil: 1", "sk canary"])
def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(key):
    """The library that would find out later prints the header."""
    with pytest.raises(SettingsError) as caught:
        call_gpt4v(PICTURE, "?", key, base_url="http://127.0.0.1:9/v1", model="m")
    assert "canary" not in str(caught.value)
