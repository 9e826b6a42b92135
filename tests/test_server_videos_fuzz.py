"""Whatever is sent to the video routes, they answer, in OpenAI's shape, and never with a 500."""

from __future__ import annotations

import json

import pytest
import requests
import schemathesis
import small_checkpoints
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_server_fuzz import CHECKS, JSON, VIDEOS, assert_refused_or_answered

from little_world.server import LocalServer

ABOUT = {"num_frames": 2, "frame_rate": 5, "num_inference_steps": 1, "guidance_scale": 1.0}
ASKED = {"prompt": "a cat", "num_inference_steps": 1, "num_frames": 2, "size": "64x64"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    base = small_checkpoints.make_stable_diffusion(folder / "tiny")
    adapter = small_checkpoints.make_motion_adapter(folder / "moving", base, about=ABOUT)
    with LocalServer(sd_model=base, video_model=adapter) as server:
        yield server.wait()


@pytest.mark.parametrize("mode", schemathesis.GenerationMode, ids=lambda mode: mode.name.lower())
def test_the_server_keeps_to_its_own_description(server, mode):
    found = schemathesis.openapi.from_url(server.url + "/openapi.json").get_all_operations()
    operations = [
        operation for operation in (result.ok() for result in found) if VIDEOS.match(operation.path)
    ]
    assert len(operations) == 5
    if mode == schemathesis.GenerationMode.NEGATIVE:  # nothing can be wrong about a path
        operations = [operation for operation in operations if operation.body or operation.query]
        assert len(operations) == 3

    def check(case):
        if isinstance(case.body, dict):
            case.body.pop("model", None)
            case.body.update(
                ASKED if mode == schemathesis.GenerationMode.POSITIVE else {"num_inference_steps": 1}
            )
        case.validate_response(case.call(), checks=CHECKS)

    for operation in operations:
        cases = operation.as_strategy(generation_mode=mode)
        limits = settings(max_examples=12, suppress_health_check=list(HealthCheck))
        limits(given(case=cases)(check))()


FIELDS = [
    *ASKED, "model", "seconds", "input_reference", "seed", "guidance_scale", "negative_prompt", "fps", "nobody_knows",
]  # fmt: skip


@given(field=st.sampled_from(FIELDS), value=JSON)
@settings(max_examples=40)
def test_any_value_in_any_field(server, field, value):
    body = json.dumps({**ASKED, field: value}).encode("utf-8", "surrogatepass")
    headers = {"content-type": "application/json"}
    assert_refused_or_answered(
        requests.post(f"{server.url}/v1/videos", data=body, headers=headers, timeout=120)
    )
