"""Text to image against a server that misbehaves: repeated where that is safe, else one clear error, no key in it.

The raw faults of HTTP come from `fault_server`, those of a painting server from `painting_servers`.
"""

from __future__ import annotations

import base64
import gc
import json
import logging
import traceback
import warnings

import fault_server as faults
import pytest
from fault_server import FaultServer, body
from painting_servers import Firefly, WebUI, broken, half_a_picture, no_base64, no_picture, png
from PIL import Image

from course_lib import settings
from course_lib.errors import AnswerError, CourseError, ServiceError, SettingsError
from course_lib.painting import transport
from course_lib.painting.firefly import FireflyService
from course_lib.painting.openai_images import OpenAIImagesService
from course_lib.stable_diffusion import StableDiffusionService

CANARY = "canary-0123456789"
PAIR, KEY = f"reader:{CANARY}", f"sk-{CANARY}"
PAINTED = body(json.dumps({"images": [png(Image.new("RGB", (64, 64)))], "parameters": {}, "info": ""}))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No settings of a reader's, and no waiting between attempts, but where the server asks for it."""
    for name in ("COURSE_SD_URL", "COURSE_SD_AUTH", "COURSE_SD_MODEL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(settings, "_dotenv", dict)
    monkeypatch.setattr(transport.random, "uniform", lambda low, high: 0.01)


@pytest.fixture(params=["zh", "en"])
def either_language(request, monkeypatch):
    monkeypatch.setattr(settings, "_chosen", request.param)


def paint(root: str, *, retries: int = 1, timeout: float = 20):
    service = StableDiffusionService(root, PAIR, retries=retries, timeout=timeout)
    return service.text_to_image("x", width=64, height=64)


def failure(*replies, **options) -> tuple[CourseError, FaultServer]:
    """The error that these replies end in: one sentence, no chain behind it, no key in it."""
    with FaultServer(*replies) as server, pytest.raises(CourseError) as caught:
        paint(server.root, **options)
    check(caught.value)
    return caught.value, server


def check(error: CourseError, *secrets: str) -> None:
    assert "\n" not in str(error) and len(str(error)) < 600
    assert error.__cause__ is None and error.__context__ is None
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    shown += repr(vars(error))
    for secret in (CANARY, base64.b64encode(PAIR.encode()).decode(), *secrets):
        assert secret not in shown


# ------------------------------------------------------------------------- what may be repeated, and what not


@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_a_passing_fault_is_mended_with_the_same_seed(code):
    with FaultServer(body("{}", status=code), PAINTED) as server:
        picture = paint(server.root)
        first, second = (request.json for request in server.requests)
    assert first == second and picture.seed == first["seed"] >= 0


def test_a_broken_connection_is_repeated_as_the_seed_makes_it_the_same_picture():
    with FaultServer(faults.reset_in_body, PAINTED) as server:
        paint(server.root)
        assert len(server.requests) == 2 and server.requests[0].body == server.requests[1].body


@pytest.mark.parametrize(
    "reply", [faults.never, body("{}", status=504), body("{}", status=408)], ids=["silence", "504", "408"]
)
def test_what_ran_out_of_time_is_not_repeated(reply):
    """The server is probably still painting the first."""
    error, server = failure(reply, timeout=0.3, retries=3)
    assert isinstance(error, ServiceError) and error.kind == "timeout" and len(server.requests) == 1


@pytest.mark.parametrize("retries", [0, 2])
def test_a_lasting_fault_is_tried_as_often_as_asked(retries):
    error, server = failure(
        body('{"error": "OutOfMemoryError", "errors": "CUDA"}', status=500), retries=retries
    )
    assert len(server.requests) == 1 + retries
    assert (error.kind, error.status) == ("server", 500) and "OutOfMemoryError: CUDA" in str(error)


def test_retry_after_is_heeded_up_to_a_minute(monkeypatch):
    waited = []
    monkeypatch.setattr(transport.threading.Event, "wait", _noting(transport.threading.Event.wait, waited))
    with FaultServer(body("{}", status=429, retry_after="7"), PAINTED) as server:
        paint(server.root)
    assert 7.0 in waited
    error, server = failure(body("{}", status=429, retry_after="3600"), retries=3)
    assert error.kind == "rate_limit" and len(server.requests) == 1


def _noting(wait, waited):
    def noting(event, timeout=None):
        waited.append(timeout)
        return wait(event, 0 if timeout == 7.0 else timeout)

    return noting


def test_nobody_listens(either_language):
    with pytest.raises(ServiceError) as caught:
        paint(f"http://127.0.0.1:{faults.closed_port()}")
    assert caught.value.kind == "connection" and "--api" in str(caught.value)


# ---------------------------------------------------------------------------------------- one clear error


@pytest.mark.parametrize(
    ("status", "said", "kind", "words"),
    [
        (401, {"detail": "Not authenticated"}, "authentication", "Basic"),
        (404, {"detail": "Not Found"}, "not_found", "--api"),
        (404, {"detail": "Sampler not found"}, "bad_request", "Sampler not found"),
        (400, {"error": "HTTPException", "detail": "bad", "body": "", "message": ""}, "bad_request", "bad"),
        (
            422,
            {"detail": [{"loc": ["body", "steps"], "msg": "not an int"}]},
            "bad_request",
            "body.steps not an int",
        ),
        (413, {}, "too_large", "413"),
        (
            500,
            {"error": "RuntimeError", "detail": "", "body": "", "errors": "NaN"},
            "server",
            "RuntimeError: NaN",
        ),
        (302, {}, "not_found", "302"),
        (500, "<html>nginx</html>", "server", "500"),
    ],
)
def test_a_status_has_its_kind_of_error_and_its_words(status, said, kind, words, either_language):
    text = said if isinstance(said, str) else json.dumps(said)
    error, server = failure(body(text, status=status), retries=0)
    assert isinstance(error, ServiceError) and (error.kind, error.status) == (kind, status)
    assert words in str(error) and "<html>" not in str(error) and error.raw == text
    assert server.requests[0].path == "/sdapi/v1/txt2img"


@pytest.mark.parametrize(
    "text",
    ["", "no json", "[]", "3", "{}", '{"images": []}', '{"images": null}', '{"images": [5]}', '{"images": "abc"}',
     "[" * 100_000, '{"detail": "ok"}'],
)  # fmt: skip
def test_an_answer_without_pictures_is_an_error(text, either_language):
    error, _ = failure(body(text), retries=2)
    assert isinstance(error, AnswerError)


@pytest.mark.parametrize("fault", [no_base64, no_picture, half_a_picture])
def test_a_picture_that_is_none_is_an_error(fault, either_language):
    with WebUI() as server:
        server.faults[0] = fault
        with pytest.raises(AnswerError) as caught:
            paint(server.url)
    check(caught.value)


def test_an_answer_without_end_is_read_up_to_the_limit(monkeypatch):
    monkeypatch.setattr(transport, "MAX_ANSWER", 1024**2)
    error, server = failure(faults.endless)
    assert isinstance(error, AnswerError) and server.sent < 20 * 1024**2 and len(server.requests) == 1


def test_an_answer_a_byte_at_a_time_ends_with_the_time():
    error, _ = failure(faults.dripping, timeout=0.5)
    assert error.kind == "timeout"


def test_a_redirect_takes_the_password_nowhere():
    with FaultServer(PAINTED) as elsewhere:
        failure(body("", status=307, location=f"{elsewhere.root}/sdapi/v1/txt2img"))
        assert not elsewhere.requests


# ---------------------------------------------------------------------------------------------------- keys


def test_a_key_shows_nowhere(caplog, capfd):
    caplog.set_level(logging.DEBUG)
    basic = base64.b64encode(PAIR.encode()).decode()
    for reply in (
        body(f"you said {PAIR} {basic}", status=401),
        body(f"<p>{CANARY}</p>", status=500),
        faults.never,
    ):
        error, _ = failure(reply, timeout=0.3)
        assert CANARY not in error.raw
    failure(body(CANARY))
    with FaultServer(PAINTED) as server:
        service = StableDiffusionService(server.root, PAIR)
        service.text_to_image("x", width=64, height=64)
        assert server.requests[0].headers["authorization"] == f"Basic {basic}"
    shown = [
        repr(service),
        str(service.server),
        repr(service.server.transport),
        str(vars(service.server)),
        caplog.text,
        *capfd.readouterr(),
    ]
    assert [text for text in shown if CANARY in text or basic in text] == []


def test_a_bearer_key_is_refused_without_showing_it():
    with pytest.raises(SettingsError) as caught:
        StableDiffusionService("http://127.0.0.1:9", CANARY)
    check(caught.value)


def test_fireflys_secret_and_token_show_nowhere(caplog, capfd, monkeypatch):
    caplog.set_level(logging.DEBUG)
    with Firefly() as server:
        addresses = {"base_url": server.url, "token_url": f"{server.url}/ims/token/v3", "retries": 0}
        service = FireflyService("nobody", f"{server.SECRET}-x", **addresses)
        with pytest.raises(CourseError) as caught:
            service.text_to_image("x")
        check(caught.value, server.SECRET)
        service = FireflyService(server.CLIENT, server.SECRET, **addresses)
        server.failure = {"error_code": "broken", "message": f"token {server.TOKEN}"}
        server.status_host = f"{server.url}/nowhere"
        with pytest.raises(CourseError) as caught:
            service.text_to_image("x")
        check(caught.value, server.SECRET, server.TOKEN)
    shown = [repr(service), str(vars(service)), caplog.text, *capfd.readouterr()]
    assert [text for text in shown if server.SECRET in text or server.TOKEN in text] == []


def test_openais_key_shows_nowhere(caplog, capfd):
    caplog.set_level(logging.DEBUG)
    said = (
        body(f'{{"error": {{"message": "{KEY}"}}}}', status=401),
        body(KEY, status=500),
        body(KEY),
        faults.never,
    )
    for reply in said:
        with FaultServer(reply) as server, pytest.raises(CourseError) as caught:
            service = OpenAIImagesService(KEY, base_url=server.url, retries=0, timeout=0.5)
            service.text_to_image("x")
        check(caught.value)
    shown = [repr(service), str(vars(service)), caplog.text, *capfd.readouterr()]
    assert [text for text in shown if CANARY in text] == []


def test_nothing_is_left_open():
    gc.collect()  # what other tests left behind is not this one's
    with WebUI() as server, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        paint(server.url)
        server.faults[1] = broken
        with pytest.raises(ServiceError):
            paint(server.url, retries=0)
        gc.collect()
    assert [one for one in caught if one.category is ResourceWarning] == []


def test_connections_are_kept_for_the_next_picture():
    with FaultServer(PAINTED) as server:
        service = StableDiffusionService(server.root, progress=False)
        for _ in range(3):
            service.text_to_image("x", width=64, height=64)
        assert server.connections == 1 and len(server.requests) == 3
