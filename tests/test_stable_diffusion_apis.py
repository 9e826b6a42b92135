"""The models of section 4.1 behind the same three calls: OpenAI's images API, and Adobe Firefly's.

OpenAI's is met by its own SDK on loopback. Firefly's contract is tested against `painting_servers.Firefly`, a
stand-in written from Adobe's documentation; nothing here has spoken to Adobe.
"""

from __future__ import annotations

import json
import re
import threading
import warnings
from io import BytesIO

import fault_server as faults
import numpy as np
import pytest
from fault_server import FaultServer, body
from painting_servers import Firefly, colour, png
from PIL import Image

from course_lib import registry, settings
from course_lib.errors import (
    AnswerError,
    CourseWarning,
    ImageError,
    RefusalError,
    ServiceError,
    SettingsError,
    TextError,
)
from course_lib.painting import firefly
from course_lib.painting.firefly import FireflyService
from course_lib.painting.openai_images import OpenAIImagesService
from course_lib.stable_diffusion import image_service

RED = Image.new("RGB", (128, 96), (200, 30, 30))
MASK = Image.new("L", RED.size, 0)
MASK.paste(255, (32, 24, 96, 72))


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in (
        "OPENAI_API_KEY",
        "COURSE_VLM_API_KEY",
        "FIREFLY_SERVICES_CLIENT_ID",
        "FIREFLY_SERVICES_CLIENT_SECRET",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(settings, "_dotenv", dict)
    monkeypatch.setattr(firefly, "POLL_SECONDS", 0.01)


def generated(*sizes):
    data = [{"b64_json": png(Image.new("RGB", size, "blue"))} for size in sizes]
    return body(json.dumps({"created": 1, "data": data}))


def parts(request) -> dict[str, bytes]:
    """The parts of a multipart request by name."""
    boundary = re.search("boundary=(.+)", request.headers["content-type"])[1].encode()
    found = {}
    for piece in request.body.split(b"--" + boundary)[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        found[re.search(rb'name="([^"]+)"', head)[1].decode()] = content.removesuffix(b"\r\n")
    return found


# -------------------------------------------------------------------------------------------------- OpenAI


@pytest.fixture
def openai_server():
    with FaultServer(generated((128, 96))) as running:
        yield running


def test_openai_paints_from_text(openai_server):
    service = OpenAIImagesService("sk-1", base_url=openai_server.url)
    picture = service.text_to_image("a cat", width=128, height=96)
    request = openai_server.requests[0]
    assert request.path == "/v1/images/generations" and request.headers["authorization"] == "Bearer sk-1"
    assert request.json == {
        "prompt": "a cat", "n": 1, "size": "128x96", "model": registry.image_model("openai"),
    }  # fmt: skip
    assert picture.size == (128, 96) and picture.prompt == "a cat" and picture.seed is None


def test_openai_edits_a_picture(openai_server):
    service = OpenAIImagesService("sk-1", base_url=openai_server.url)
    assert service.image_to_image(RED, "a dog").size == RED.size
    request = openai_server.requests[0]
    sent = parts(request)
    assert request.path == "/v1/images/edits" and sent["prompt"] == b"a dog" and sent["size"] == b"128x96"
    assert np.array_equal(Image.open(BytesIO(sent["image"])), RED)


def test_openais_mask_is_transparent_where_ours_is_white(openai_server):
    """A1111 repaints white, OpenAI edits what is transparent: the opposite is painted by whoever mixes them up."""
    OpenAIImagesService("sk-1", base_url=openai_server.url).inpaint(RED, MASK, "a bird")
    sent = Image.open(BytesIO(parts(openai_server.requests[0])["mask"]))
    assert sent.mode == "RGBA" and sent.size == RED.size
    assert np.array_equal(np.asarray(sent)[..., 3] == 0, np.asarray(MASK) == 255)


def test_openai_has_no_seed_and_says_so(openai_server):
    service = OpenAIImagesService("sk-1", base_url=openai_server.url)
    with pytest.warns(
        CourseWarning, match="negative_prompt, steps, guidance_scale, seed|negative_prompt、steps"
    ) as caught:
        service.text_to_image("x", "blurry", steps=20, guidance_scale=3, seed=0)
    assert caught[0].filename == __file__
    with pytest.warns(CourseWarning, match="strength"):
        service.inpaint(RED, MASK, "x", strength=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        service.image_to_image(RED, "x")


def test_openai_gives_several_pictures_and_warns_of_another_size():
    with FaultServer(generated((64, 64), (64, 64))) as server:
        service = OpenAIImagesService("sk-1", base_url=server.url)
        with pytest.warns(CourseWarning, match="64x64"):
            assert len(service.text_to_image("x", width=128, height=96, count=2)) == 2
        assert server.requests[0].json["n"] == 2


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (body('{"error": {"message": "no", "code": "moderation_blocked"}}', status=400), RefusalError),
        (body('{"error": {"message": "no such size", "code": "invalid"}}', status=400), ServiceError),
        (body("{}"), AnswerError),
        (body('{"data": [{"url": "https://example.org/a.png"}]}'), AnswerError),
        (body('{"data": [{"b64_json": "***"}]}'), AnswerError),
        (body("no json"), AnswerError),
    ],
)
def test_openais_failures(reply, error):
    with FaultServer(reply) as server, pytest.raises(error) as caught:
        OpenAIImagesService("sk-1", base_url=server.url).text_to_image("x")
    assert caught.value.__context__ is None and len(server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "times"), [(faults.reset_in_body, 1), (body("{}", status=500), 1), (body("{}", status=429), 2)]
)
def test_what_is_paid_for_is_not_asked_for_twice(reply, times):
    with FaultServer(reply) as server, pytest.raises(ServiceError):
        OpenAIImagesService("sk-1", base_url=server.url, retries=1).text_to_image("x")
    assert len(server.requests) == times


def test_openai_wants_a_key_and_the_local_server_none(monkeypatch, openai_server):
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        image_service("openai")
    monkeypatch.setattr(settings, "local_server", lambda *_: openai_server.root)
    assert image_service("openai", provider="local").text_to_image("x")
    assert openai_server.requests[0].json["model"] == "mini-sd"


@pytest.mark.parametrize("call", [
    lambda s: s.text_to_image(""), lambda s: s.inpaint(RED, MASK.resize((64, 64)), "x"),
    lambda s: s.image_to_image(RED, "x", 0), lambda s: s.text_to_image("x", width=7),
    lambda s: s.text_to_image("cat " * 9000),
])  # fmt: skip
def test_openais_bad_arguments_cost_nothing(openai_server, call):
    with pytest.raises((TextError, ImageError, SettingsError)):
        call(OpenAIImagesService("sk-1", base_url=openai_server.url))
    assert not openai_server.requests


# ------------------------------------------------------------------------------------------------- Firefly


@pytest.fixture
def adobe():
    with Firefly() as running:
        yield running


@pytest.fixture
def service(adobe):
    return FireflyService(
        adobe.CLIENT, adobe.SECRET, base_url=adobe.url, token_url=f"{adobe.url}/ims/token/v3", retries=0
    )


def test_firefly_paints_from_text(adobe, service):
    picture = service.text_to_image("a cat", "blurry", 256, 128, seed=0)
    job = adobe.jobs["urn:ff:jobs:0"]
    assert job["body"] == {
        "prompt": "a cat", "negativePrompt": "blurry", "numVariations": 1, "seeds": [0],
        "size": {"width": 256, "height": 128},
    }  # fmt: skip
    assert job["headers"]["x-model-version"] == registry.image_model("firefly") and job["polls"] == 2
    assert picture.size == (256, 128) and picture.seed == 0 and picture.getpixel((0, 0)) == colour("a cat", 0)


def test_firefly_is_asked_for_one_token_and_gives_several_pictures(adobe, service):
    pictures = service.text_to_image("x", width=64, height=64, seed=5, count=3)
    assert [picture.seed for picture in pictures] == [5, 6, 7]
    assert service.text_to_image("x", width=64, height=64).seed == 100  # its own choice, told by the API
    tokens = [body for _, path, _, body in adobe.requests if "token" in path]
    assert len(tokens) == 1 and b"grant_type=client_credentials" in tokens[0]
    with pytest.raises(SettingsError):
        service.text_to_image("x", count=5)


def test_firefly_takes_the_structure_of_a_picture(adobe, service):
    with pytest.warns(CourseWarning, match="steps"):
        service.image_to_image(RED, "a dog", 0.25, steps=20)
    structure = adobe.jobs["urn:ff:jobs:0"]["body"]["structure"]
    assert structure == {"strength": 75, "imageReference": {"source": {"uploadId": "upload-0"}}}
    assert np.array_equal(adobe.uploads["upload-0"], RED)


def test_firefly_fills_the_white_of_a_mask(adobe, service):
    assert service.inpaint(RED, MASK, "a bird").size == RED.size
    sent = adobe.jobs["urn:ff:jobs:0"]["body"]
    image, mask = (adobe.uploads[sent[name]["source"]["uploadId"]] for name in ("image", "mask"))
    assert np.array_equal(image, RED) and np.array_equal(mask.convert("L"), MASK)


def test_fireflys_failures(adobe, service):
    adobe.failure = {"error_code": "prompt_unsafe", "message": "One or more policies"}
    with pytest.raises(RefusalError, match="policies"):
        service.text_to_image("x")
    adobe.failure = {"error_code": "timeout", "message": "took too long"}
    with pytest.raises(AnswerError, match="took too long"):
        service.text_to_image("x")
    with pytest.raises(ServiceError) as caught:
        FireflyService(
            "nobody", "wrong", base_url=adobe.url, token_url=f"{adobe.url}/ims/token/v3"
        ).text_to_image("x")
    assert "invalid_client" in str(caught.value)
    with pytest.raises(TextError):
        service.text_to_image("cat " * 300)


def test_fireflys_token_goes_to_adobe_alone(adobe, service):
    with Firefly() as other:
        adobe.status_host = other.url
        with pytest.raises(ServiceError):
            service.text_to_image("x")
        assert not other.requests
    assert service._trusted("https://firefly-epo1.adobe.io/v3/status/1")
    for address in ("https://adobe.io.example.org/x", "http://firefly.adobe.io/x", None, "", 5):
        with pytest.raises(ServiceError):
            service._trusted(address)


def test_a_firefly_job_is_given_up_on_and_cancelled(service, adobe):
    import _thread

    adobe.polls = 10_000
    service.timeout = 0.3
    with pytest.raises(ServiceError) as caught:
        service.text_to_image("x")
    assert caught.value.kind == "timeout"
    service.timeout = 20
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        service.text_to_image("x")
    timer.join()
    assert adobe.cancelled == ["urn:ff:jobs:1"]


def test_firefly_wants_credentials():
    with pytest.raises(SettingsError, match="FIREFLY_SERVICES_CLIENT_ID"):
        image_service("firefly")
