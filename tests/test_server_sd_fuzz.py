"""Whatever is sent to the image routes, they answer in the shape of their protocol, and with one sort of 500
alone."""

from __future__ import annotations

import json

import pytest
import requests
import schemathesis
import small_checkpoints
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis.specs.openapi import checks as openapi_checks
from test_server_fuzz import IMAGES, JSON

from course_lib import images
from little_world.server import LocalServer

PICTURE = images.to_base64(Image.effect_noise((64, 64), 80).convert("RGB"))
FOUNDATION = {"prompt": "a cat", "width": 64, "height": 64, "steps": 1, "seed": 1}
KNOWN_500 = {"Invalid encoded image", "Requests not allowed"}  # as the real one has them


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = small_checkpoints.make_stable_diffusion(tmp_path_factory.mktemp("models") / "tiny")
    with LocalServer(sd_model=folder) as server:
        yield server.wait()


@pytest.fixture(scope="module")
def session():
    with requests.Session() as session:
        yield session


CHECKS = [
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]


def assert_refused_or_answered(response) -> None:
    if response.status_code >= 500:
        assert response.json()["detail"] in KNOWN_500, response.text
    if response.status_code >= 400:
        assert "Traceback" not in response.text
        assert {"detail", "error"} & set(response.json())


def small(body):
    """The same request at a size that does not take minutes; what is odd about it stays."""
    if isinstance(body, dict):
        for name, most in (
            ("width", 64),
            ("height", 64),
            ("steps", 1),
            ("batch_size", 1),
            ("n_iter", 1),
            ("n", 1),
        ):
            if isinstance(body.get(name), int) and body[name] > most or name in ("width", "height", "steps"):
                body[name] = most
        body.pop("size", None)
    return body


@pytest.mark.parametrize("mode", schemathesis.GenerationMode, ids=lambda mode: mode.name.lower())
def test_the_server_keeps_to_its_own_description(server, mode):
    found = schemathesis.openapi.from_url(server.url + "/openapi.json").get_all_operations()
    operations = [
        operation for operation in (result.ok() for result in found) if IMAGES.match(operation.path)
    ]
    assert len(operations) > 20
    if mode == schemathesis.GenerationMode.NEGATIVE:
        operations = [operation for operation in operations if operation.body]
        assert len(operations) == 7

    def check(case):
        case.body = small(case.body)
        response = case.call()
        assert_refused_or_answered(response)
        case.validate_response(response, checks=CHECKS)

    for operation in operations:
        cases = operation.as_strategy(generation_mode=mode)
        examples = 15 if operation.body else 2
        limits = settings(max_examples=examples, suppress_health_check=list(HealthCheck))
        limits(given(case=cases)(check))()


FIELDS = [
    *FOUNDATION, "negative_prompt", "cfg_scale", "sampler_name", "scheduler", "eta", "override_settings", "script_args",
    "alwayson_scripts", "init_images", "mask", "mask_blur", "denoising_strength", "inpainting_fill", "resize_mode",
    "inpaint_full_res", "inpaint_full_res_padding", "nobody_knows",
]  # fmt: skip


@given(field=st.sampled_from(FIELDS), value=JSON, over=st.booleans())
@settings(max_examples=60)
def test_any_value_in_any_field(server, session, field, value, over):
    body = {
        **FOUNDATION,
        "denoising_strength": 1,
        **({"init_images": [PICTURE], "mask": PICTURE} if over else {}),
    }
    data = json.dumps({**body, field: value}).encode("utf-8", "surrogatepass")
    route = "img2img" if over else "txt2img"
    headers = {"content-type": "application/json"}
    assert_refused_or_answered(
        session.post(f"{server.url}/sdapi/v1/{route}", data=data, headers=headers, timeout=120)
    )


@given(data=st.data())
@settings(max_examples=40)
def test_any_damage_to_a_picture(server, session, data):
    place, length = data.draw(st.integers(0, len(PICTURE) - 1)), data.draw(st.integers(0, 40))
    damaged = PICTURE[:place] + data.draw(st.text(max_size=5)) + PICTURE[place + length :]
    body = {**FOUNDATION, "denoising_strength": 1, "init_images": [damaged]}
    encoded = json.dumps(body).encode("utf-8", "surrogatepass")
    headers = {"content-type": "application/json"}
    for route in ("img2img", "png-info"):
        if route == "png-info":
            encoded = json.dumps({"image": damaged}).encode("utf-8", "surrogatepass")
        assert_refused_or_answered(
            session.post(f"{server.url}/sdapi/v1/{route}", data=encoded, headers=headers, timeout=120)
        )


@given(prompt=st.text(max_size=100), negative=st.text(max_size=100))
@settings(max_examples=30)
def test_any_prompt_is_painted_and_read_back(server, session, prompt, negative):
    body = {**FOUNDATION, "prompt": prompt, "negative_prompt": negative}
    response = session.post(f"{server.url}/sdapi/v1/txt2img", json=body, timeout=120)
    assert response.status_code == 200, response.text
    found = session.post(
        f"{server.url}/sdapi/v1/png-info", json={"image": response.json()["images"][0]}, timeout=60
    )
    assert found.status_code == 200, found.text
    assert found.json()["info"] == json.loads(response.json()["info"])["infotexts"][0]


HOSTILE = {
    "deeply nested": b'{"script_args": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "rather deeply nested": b'{"script_args": ' + b"[" * 100 + b"]" * 100 + b"}",
    "not a number": b'{"override_settings": {"a": NaN}, "cfg_scale": NaN}',
    "half a character": b'{"prompt": "\\ud800", "override_settings": {"\\ud800": "\\ud800"}, "steps": "\\ud800"}',
    "a huge number": b'{"seed": ' + b"9" * 5000 + b"}",
    "not UTF-8": b'{"prompt": "\xff"}',
    "no object": b"[1, 2]",
    "empty": b"",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bodies(server, session, body):
    headers = {"content-type": "application/json"}
    for route in ("txt2img", "img2img", "options", "interrogate", "png-info"):
        response = session.post(f"{server.url}/sdapi/v1/{route}", data=body, headers=headers, timeout=60)
        assert 400 <= response.status_code < 500 or (route == "options" and response.status_code == 200), (
            response.text
        )
        assert_refused_or_answered(response)


def test_a_form_that_is_none(server, session):
    for body in (b"", b"--x\r\n", b"hello"):
        headers = {"content-type": "multipart/form-data; boundary=x"}
        response = session.post(f"{server.url}/v1/images/edits", data=body, headers=headers, timeout=60)
        assert 400 <= response.status_code < 500
        assert response.json()["error"]["message"]
