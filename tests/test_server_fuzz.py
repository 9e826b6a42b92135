"""Whatever is sent to the server, it answers, in OpenAI's shape, and never with a 500."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest
import requests
import schemathesis
import small_checkpoints
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from schemathesis.specs.openapi import checks as openapi_checks

from course_lib import images
from little_world.server import LocalServer
from little_world.server.errors import ErrorResponse

IMAGES = re.compile("/sdapi/|/v1/images/")  # test_server_sd_fuzz.py looks at these
VIDEOS = re.compile("/v1/videos")  # and test_server_videos_fuzz.py at these
PICTURE = images.to_data_uri(Image.new("RGB", (20, 20), "red"), "JPEG")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = small_checkpoints.make_llava(tmp_path_factory.mktemp("models") / "tiny")
    with LocalServer(folder, default_limit=2) as server:
        yield server.wait()


@pytest.fixture(scope="module")
def session():
    with requests.Session() as session:
        yield session


CHECKS = [
    schemathesis.checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]


@pytest.mark.parametrize("mode", schemathesis.GenerationMode, ids=lambda mode: mode.name.lower())
def test_the_server_keeps_to_its_own_description(server, mode):
    """Requests that fit the OpenAPI description, and that do not; the answers fit it either way."""
    found = schemathesis.openapi.from_url(server.url + "/openapi.json").get_all_operations()
    operations = [result.ok() for result in found]
    operations = [o for o in operations if not (IMAGES.match(o.path) or VIDEOS.match(o.path))]
    assert len(operations) == 8
    if mode == schemathesis.GenerationMode.NEGATIVE:
        operations = [operation for operation in operations if operation.body]
        assert len(operations) == 3  # nothing can be wrong about a GET without parameters

    def check(case):
        if isinstance(case.body, dict):
            if "model" in case.body:
                case.body["model"] = "tiny"  # nothing else gets past the name
            case.body.pop("max_tokens", None)
            case.body["max_completion_tokens"] = 2  # long answers of random weights only take time
        response = case.call()
        assert response.status_code < 500, response.text
        case.validate_response(response, checks=CHECKS)

    for operation in operations:
        cases = operation.as_strategy(generation_mode=mode)
        limits = settings(max_examples=25, suppress_health_check=list(HealthCheck))
        limits(given(case=cases)(check))()


def post(server, session, body: bytes, path: str = "/v1/chat/completions"):
    headers = {"content-type": "application/json"}
    return session.post(server.url + path, data=body, headers=headers, timeout=60)


def assert_refused_or_answered(response) -> None:
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        error = ErrorResponse.model_validate(response.json()).error
        assert error.message
        assert "Traceback" not in error.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
BODY = {"model": "tiny", "messages": [{"role": "user", "content": "a cat"}], "max_tokens": 1}


@given(key=st.sampled_from([*BODY, "response_format", "stop", "stream", "n", "seed", "user"]), value=JSON)
@settings(max_examples=60)
def test_any_value_in_any_field(server, session, key, value):
    body = json.dumps({**BODY, key: value}).encode("utf-8", "surrogatepass")
    assert_refused_or_answered(post(server, session, body))


@given(body=st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=40)
def test_any_body(server, session, body):
    response = post(server, session, body)
    assert response.status_code == 400
    assert_refused_or_answered(response)


@given(
    schema=JSON | st.dictionaries(st.sampled_from(["type", "properties", "pattern", "$ref", "enum"]), JSON)
)
@settings(max_examples=60)
def test_any_json_schema(server, session, schema):
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    body = json.dumps({**BODY, "response_format": form}).encode("utf-8", "surrogatepass")
    assert_refused_or_answered(post(server, session, body))


@given(st.data())
@settings(max_examples=60)
def test_any_damage_to_a_picture(server, session, data):
    place = data.draw(st.integers(0, len(PICTURE) - 1))
    length = data.draw(st.integers(0, 40))
    url = PICTURE[:place] + data.draw(st.text(max_size=5)) + PICTURE[place + length :]
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    body = json.dumps({**BODY, "messages": [message]}).encode("utf-8", "surrogatepass")
    assert_refused_or_answered(post(server, session, body))


@given(text=st.text(max_size=200))
@settings(max_examples=40)
def test_any_text_is_answered(server, session, text):
    body = {**BODY, "messages": [{"role": "user", "content": text}]}
    response = post(server, session, json.dumps(body).encode())
    assert response.status_code == 200, response.text


@given(path=st.text(min_size=1, max_size=30))
@settings(max_examples=30)
def test_any_address(server, session, path):
    response = session.get(f"{server.url}/{quote(path, safe='/')}", allow_redirects=False, timeout=60)
    try:
        ErrorResponse.model_validate(response.json())
    except ValidationError:
        assert response.status_code == 200  # it hit a real page


HOSTILE = {
    "deeply nested": b'{"model": "tiny", "messages": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a huge number": b'{"model": "tiny", "messages": [], "seed": ' + b"9" * 5000 + b"}",
    "not a number": json.dumps({**BODY, "temperature": float("nan")}).encode(),
    "half a character": b'{"model": "\\ud800", "messages": [{"role": "user", "content": "\\ud800"}]}',
    "not UTF-8": b'{"model": "tiny\xff"}',
    "empty": b"",
    "a deep schema": json.dumps(
        {
            **BODY,
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "a",
                    "schema": json.loads('{"items":' * 200 + "{}" + "}" * 200),
                },
            },
        }
    ).encode(),
    "an expensive pattern": json.dumps(
        {
            **BODY,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": {"type": "string", "pattern": "((a*)*)*b{9999}"}},
            },
        }
    ).encode(),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bodies(server, session, body):
    assert_refused_or_answered(post(server, session, body))
    assert session.get(server.url + "/health", timeout=60).json()["status"] == "ready"
