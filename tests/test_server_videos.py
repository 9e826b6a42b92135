"""The video protocol: the stock `openai` SDK, by hand, and what it does with bad input."""

from __future__ import annotations

import base64
import json
import threading
import time
import warnings
from io import BytesIO

import numpy as np
import openai
import pytest
import requests
import small_checkpoints
from diffusers import WanPipeline
from PIL import Image

from course_lib import VideoProcessor
from little_world.server import LocalServer, animation, videos_api
from little_world.server.animation import Animation
from little_world.server.errors import ApiError
from little_world.server.shelf import Shelf

KEY = "sk-a-key-for-the-tests"
ABOUT = {
    "num_frames": 6,
    "frame_rate": 5,
    "num_inference_steps": 2,
    "guidance_scale": 4.0,
    "first_frame": True,
}
PICTURE = Image.effect_noise((80, 64), 80).convert("RGB")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    base = small_checkpoints.make_stable_diffusion(folder / "tiny")
    return base, small_checkpoints.make_motion_adapter(folder / "moving", base, about=ABOUT)


@pytest.fixture(scope="module")
def server(folders):
    base, adapter = folders
    with LocalServer(sd_model=base, video_model=adapter, api_key=KEY, blocklist=["forbidden"]) as server:
        yield server.wait()


@pytest.fixture
def client(server):
    with (
        openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0) as client,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", DeprecationWarning)
        yield client


@pytest.fixture
def call(server):
    """Requests by hand: `call("POST", "/v1/videos", json=...)`."""
    headers = {"Authorization": f"Bearer {KEY}"}
    return lambda method, path, **more: requests.request(
        method, server.url + path, headers={**headers, **more.pop("headers", {})}, timeout=60, **more
    )


@pytest.fixture
def held(server):
    """While it is held, no clip gets beyond its first step; `release` lets them go on."""
    gate, entered = threading.Event(), threading.Event()

    def wait(*_):
        entered.set()
        gate.wait(30)

    hook = server.app.state.animation.pipe.unet.register_forward_pre_hook(wait)
    yield gate, entered
    gate.set()
    hook.remove()


def png(picture: Image.Image = PICTURE) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def wait_for(call, number: str, *statuses: str) -> dict:
    for _ in range(600):
        video = call("GET", f"/v1/videos/{number}").json()
        if video["status"] in statuses:
            return video
        time.sleep(0.05)
    raise AssertionError(video)


def frames_of(data: bytes) -> np.ndarray:
    with VideoProcessor(data) as video:
        return np.stack([frame.image for frame in video.frames()])


# ----------------------------------------------------------------------------------------------- the SDK


def test_the_stock_sdk_creates_polls_and_downloads(client):
    video = client.videos.create(
        model="moving", prompt="a red car moves to the right", seconds="1", size="64x64"
    )
    assert (video.object, video.seconds, video.size) == ("video", "1", "64x64")
    assert video.status in ("queued", "in_progress")
    video = client.videos.poll(video.id)
    assert (video.status, video.progress, video.error) == ("completed", 100, None)
    assert video.completed_at >= video.created_at
    assert video.expires_at > video.completed_at
    assert (video.model, video.prompt) == ("moving", "a red car moves to the right")
    data = client.videos.download_content(video.id).read()
    with VideoProcessor(data) as clip:
        assert (clip.total_frames, round(clip.duration, 3)) == (5, 1.0)
        assert clip.read_frame(0).image.shape == (64, 64, 3)
    assert data == client.videos.download_content(video.id, variant="video").read()  # as often as one likes
    with Image.open(
        BytesIO(client.videos.download_content(video.id, variant="thumbnail").read())
    ) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("WEBP", (64, 64))
    with Image.open(BytesIO(client.videos.download_content(video.id, variant="spritesheet").read())) as sheet:
        assert (sheet.format, sheet.size) == ("JPEG", (4 * 64, 2 * 64))


def test_the_sdk_says_that_openai_itself_has_ended_it(server):
    client = openai.OpenAI(base_url=server.url + "/v1", api_key=KEY)
    with pytest.warns(DeprecationWarning, match="2026"):
        client.videos.create(prompt="a cat")


def test_create_and_poll_with_a_first_frame(client):
    plain = client.videos.create_and_poll(prompt="a cat", extra_body={"seed": 3}, poll_interval_ms=20)
    begun = client.videos.create_and_poll(
        prompt="a cat", extra_body={"seed": 3}, input_reference=("first.png", png()), poll_interval_ms=20
    )
    assert plain.status == begun.status == "completed"
    assert (begun.seconds, begun.size) == ("1.2", "64x64")  # the model's own
    first, other = (frames_of(client.videos.download_content(v.id).read()) for v in (begun, plain))
    assert len(first) == len(other) == 6
    assert np.abs(first[0].astype(int) - other[0]).mean() > 2


def test_a_first_frame_may_come_as_an_object_or_as_a_file(call):
    uri = "data:image/png;base64," + base64.b64encode(png()).decode()
    asked = {"prompt": "a cat", "seed": 1}
    answers = [
        call("POST", "/v1/videos", json={**asked, "input_reference": {"image_url": uri}}),
        call("POST", "/v1/videos", data={**asked, "input_reference[image_url]": uri}),
        call("POST", "/v1/videos", data=asked, files={"input_reference": ("a.png", png())}),
    ]
    made = [wait_for(call, answer.json()["id"], "completed", "failed")["id"] for answer in answers]
    assert len({call("GET", f"/v1/videos/{number}/content").content for number in made}) == 1


def test_list_and_delete(client):
    made = [client.videos.create_and_poll(prompt=f"cat {i}", poll_interval_ms=20).id for i in range(3)]
    # it turns the pages by itself
    assert [video.id for video in client.videos.list(limit=2)][:3] == made[::-1]
    oldest_first = [video.id for video in client.videos.list(limit=2, order="asc")]
    assert [number for number in oldest_first if number in made] == made
    deleted = client.videos.delete(made[1])
    assert (deleted.id, deleted.deleted, deleted.object) == (made[1], True, "video.deleted")
    assert made[1] not in [video.id for video in client.videos.list()]
    with pytest.raises(openai.NotFoundError, match="not found"):
        client.videos.retrieve(made[1])
    with pytest.raises(openai.NotFoundError):
        client.videos.delete(made[1])


def test_the_model_is_listed(client):
    assert {"tiny", "moving"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("moving").id == "moving"
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.videos.create(model="sora-2", prompt="a cat")


# ------------------------------------------------------------------------------------------------ by hand


def test_json_and_form_say_the_same_and_a_seed_decides(call):
    asked = {"prompt": "a dog", "seed": 7, "num_inference_steps": 3, "guidance_scale": 2.5, "negative_prompt": "red",
             "num_frames": 4, "fps": 4}  # fmt: skip
    answers = [
        call("POST", "/v1/videos", json=asked).json(),
        call("POST", "/v1/videos", data=asked).json(),
        call("POST", "/v1/videos", files={name: (None, str(value)) for name, value in asked.items()}).json(),
        call("POST", "/v1/videos", json={**asked, "seed": 8}).json(),
        call("POST", "/v1/videos", json={**asked, "negative_prompt": "blue"}).json(),
    ]
    made = [wait_for(call, answer["id"], "completed", "failed") for answer in answers]
    wanted = {
        "seed": 7,
        "num_frames": 4,
        "fps": 4,
        "num_inference_steps": 3,
        "guidance_scale": 2.5,
        "seconds": "1",
    }
    assert {name: made[0][name] for name in wanted} == wanted
    files = [call("GET", f"/v1/videos/{video['id']}/content").content for video in made]
    assert files[0] == files[1] == files[2]
    assert len(set(files)) == 3


def test_a_video_waits_begins_and_is_polled_without_effect(call, held):
    gate, entered = held
    first, second = (call("POST", "/v1/videos", json={"prompt": "a cat"}).json() for _ in range(2))
    assert entered.wait(30)
    assert wait_for(call, first["id"], "in_progress")["progress"] < 100
    answers = [call("GET", f"/v1/videos/{second['id']}") for _ in range(3)]
    assert [answer.json() for answer in answers] == [second] * 3
    assert (second["status"], second["progress"], second["completed_at"]) == ("queued", 0, None)
    assert answers[0].headers["openai-poll-after-ms"] == str(videos_api.POLL_MS)
    early = call("GET", f"/v1/videos/{second['id']}/content")
    assert (early.status_code, early.json()["error"]["code"]) == (404, "video_not_ready")
    gate.set()
    for number in (first["id"], second["id"]):
        done = wait_for(call, number, "completed")
        assert done["progress"] == 100
        again = call("GET", f"/v1/videos/{number}")
        assert again.json() == done
        assert "openai-poll-after-ms" not in again.headers


def test_more_than_there_are_places_for(call, held, server):
    places = server.app.state.animation.places
    accepted = [
        call("POST", "/v1/videos", json={"prompt": "a cat"}).json()["id"] for _ in range(places.bound)
    ]
    refused = call("POST", "/v1/videos", json={"prompt": "a cat"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(refused.headers["retry-after"]) >= 1
    for number in accepted:
        assert call("DELETE", f"/v1/videos/{number}").json()["deleted"]
    held[0].set()
    for _ in range(400):
        if not places.taken:
            break
        time.sleep(0.05)
    assert places.taken == 0  # what was deleted is not made any more


def test_a_clip_that_fails_says_so(call, server, monkeypatch):
    def broken(*_):
        raise RuntimeError("a secret of the machine")

    monkeypatch.setattr(server.app.state.animation.pipe.vae, "decode", broken)
    number = call("POST", "/v1/videos", json={"prompt": "a cat"}).json()["id"]
    video = wait_for(call, number, "completed", "failed")
    assert (video["status"], video["completed_at"]) == ("failed", None)
    assert video["error"]["code"] == "internal_error"
    assert "secret" not in json.dumps(video)
    assert call("GET", f"/v1/videos/{number}/content").status_code == 404
    assert call("DELETE", f"/v1/videos/{number}").status_code == 200


BAD = {
    "no prompt": ({}, "prompt", "missing_required_parameter"),
    "an empty prompt": ({"prompt": ""}, "prompt", "invalid_value"),
    "a prompt that is no text": ({"prompt": ["a cat"]}, "prompt", "invalid_value"),
    "seconds as a number": ({"prompt": "a", "seconds": 1}, "seconds", "invalid_value"),
    "seconds in words": ({"prompt": "a", "seconds": "two"}, "seconds", "invalid_value"),
    "too long": ({"prompt": "a", "seconds": "12"}, "seconds", "invalid_value"),
    "no time at all": ({"prompt": "a", "seconds": "0"}, "seconds", "invalid_value"),
    "too many frames": ({"prompt": "a", "num_frames": 13}, "num_frames", "invalid_value"),
    "a size that is none": ({"prompt": "a", "size": "big"}, "size", "invalid_value"),
    "a size off the grid": ({"prompt": "a", "size": "100x64"}, "size", "invalid_value"),
    "an absurd size": ({"prompt": "a", "size": "99999x99999"}, "size", "invalid_value"),
    "a mistyped name": ({"prompt": "a", "step": 3}, "step", "unknown_parameter"),
    "a negative seed": ({"prompt": "a", "seed": -1}, "seed", "invalid_value"),
    "no steps": ({"prompt": "a", "num_inference_steps": 0}, "num_inference_steps", "invalid_value"),
    "guidance that is no number": ({"prompt": "a", "guidance_scale": "NaN"}, "guidance_scale", "invalid_value"),
    "a filtered word": ({"prompt": "forbidden"}, "prompt", "content_filter"),
    "an address": ({"prompt": "a", "input_reference": {"image_url": "https://example.org/a.png"}}, "input_reference",
                   "invalid_image_url"),
    "a file by its number": ({"prompt": "a", "input_reference": {"file_id": "file_1"}}, "input_reference.image_url",
                             "missing_required_parameter"),
    "a path": ({"prompt": "a", "input_reference": {"image_url": "/etc/passwd"}}, "input_reference",
               "invalid_image_url"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_requests(call, case):
    asked, param, code = BAD[case]
    answer = call("POST", "/v1/videos", json=asked)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")


def test_bad_bodies_and_files(call, server):
    kinds = {"content-type": "application/json"}
    for body in (b"", b"{", b"[1]", b"null", b'"a"', b"\xff"):
        assert call("POST", "/v1/videos", data=body, headers=kinds).status_code == 400, body
    form = {"prompt": (None, "a cat")}
    for name, value in (("no picture", b"text"), ("cut off", png()[:60]), ("empty", b"")):
        answer = call("POST", "/v1/videos", files={**form, "input_reference": ("a.png", value)})
        assert answer.status_code == 400, name
        assert answer.json()["error"]["param"] == "input_reference"
    assert call("POST", "/v1/videos", files={"prompt": ("a.txt", b"a cat")}).status_code == 400
    kinds = {"content-type": "application/x-www-form-urlencoded"}
    assert call("POST", "/v1/videos", data="prompt=a&prompt=b", headers=kinds).status_code == 400
    assert requests.post(f"{server.url}/v1/videos", json={"prompt": "a"}, timeout=10).status_code == 401
    for path in (
        "/v1/videos/video_nowhere",
        "/v1/videos/video_nowhere/content",
        "/v1/videos?after=video_nowhere",
    ):
        assert call("GET", path).status_code == 404, path
    number = call("POST", "/v1/videos", json={"prompt": "a cat"}).json()["id"]
    assert call("GET", f"/v1/videos/{number}/content?variant=gif").status_code == 400
    for query in ("limit=0", "limit=1000", "order=up"):
        assert call("GET", f"/v1/videos?{query}").status_code == 400


# --------------------------------------------------------------------------------------------- other models


def test_a_model_that_is_not_there_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("little_world.paths.MODELS", tmp_path)
    with LocalServer(lazy=True) as server:
        answer = requests.post(f"{server.url}/v1/videos", json={"prompt": "a cat"}, timeout=30)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_loaded")
        assert requests.get(f"{server.url}/v1/videos", timeout=30).json()["data"] == []


# ------------------------------------------------------------------------------------------------- the shelf


class FakeEngine:
    """Finishes a clip when it is told to."""

    def __init__(self):
        from little_world.server.worker import Places

        self.name, self.places, self.emits = "fake", Places(3), []

    def submit(self, work, emit):
        self.emits.append(emit)


def order(shelf, side=16):
    return shelf.order(Animation("a", "", 0, side, side, 2, 5, 1, 1.0))


def finish(shelf, number=-1, side=16):
    shelf.engine.emits[number](np.random.default_rng(0).integers(0, 255, (2, side, side, 3), dtype=np.uint8))


def test_the_shelf_keeps_so_many_so_much_and_so_long():
    now = [1000.0]
    shelf = Shelf(FakeEngine(), keep=2, keep_seconds=60, clock=lambda: now[0])
    videos = []
    for _ in range(4):
        videos.append(order(shelf))
        finish(shelf)
    assert [video.id for video in shelf.page(None, 9, "asc")[0]] == [video.id for video in videos[2:]]
    waiting = order(shelf)
    now[0] += 61
    # what is not done does not age
    assert [video.id for video in shelf.page(None, 9, "asc")[0]] == [waiting.id]
    with pytest.raises(ApiError, match="not found"):
        shelf.get(videos[3].id)
    finish(shelf)
    assert shelf.get(waiting.id).status == "completed"

    small = Shelf(FakeEngine(), keep_bytes=1)
    for _ in range(3):
        last = order(small)
        finish(small)
    # the newest stays, whatever its size
    assert [video.id for video in small.page(None, 9, "asc")[0]] == [last.id]


def test_the_shelf_takes_and_gives_back_places():
    shelf = Shelf(FakeEngine())
    first, *_ = (order(shelf) for _ in range(3))
    with pytest.raises(ApiError) as refused:
        order(shelf)
    assert refused.value.status == 429
    shelf.engine.emits[0](RuntimeError("no"))
    assert (first.status, first.error.code) == ("failed", "internal_error")
    assert shelf.engine.places.taken == 2
    assert order(shelf).status == "queued"


def test_a_wan_is_played_as_fast_as_its_authors_play_it():
    parts = dict.fromkeys(("tokenizer", "text_encoder", "vae", "scheduler", "transformer"))
    rates = [animation._from_call(WanPipeline(**parts, expand_timesteps=each)).rate for each in (False, True)]
    assert rates == [16, 24]  # 2.1 and 2.2's large one; 2.2's 5B
