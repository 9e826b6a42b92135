"""AUTOMATIC1111's protocol on the wire: its defaults, what it ignores, what it refuses and how it says so."""

from __future__ import annotations

import base64
import json
import threading
import time
from io import BytesIO

import pytest
import requests
import small_checkpoints
from PIL import Image

from course_lib import images
from little_world.server import LocalServer
from little_world.server.sd_protocol import ImageToImage, TextToImage

SMALL = {"width": 64, "height": 64, "steps": 4, "seed": 1}
PICTURE = Image.effect_noise((64, 64), 80).convert("RGB")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = small_checkpoints.make_stable_diffusion(tmp_path_factory.mktemp("models") / "tiny")
    with LocalServer(sd_model=folder, places=4) as server:
        yield server.wait()


@pytest.fixture
def post(server):
    with requests.Session() as session:
        yield lambda route, **body: session.post(f"{server.url}/sdapi/v1/{route}", json=body, timeout=120)


def info(answer) -> dict:
    assert answer.status_code == 200, answer.text
    return json.loads(answer.json()["info"])


def picture(answer) -> bytes:
    assert answer.status_code == 200, answer.text
    return Image.open(BytesIO(base64.b64decode(answer.json()["images"][0]))).tobytes()


def test_the_defaults_are_a1111s():
    asked = TextToImage()
    assert (asked.steps, asked.cfg_scale, asked.width, asked.height, asked.seed) == (50, 7.0, 512, 512, -1)
    assert (asked.sampler_name, asked.sampler_index, asked.batch_size, asked.n_iter) == (None, "Euler", 1, 1)
    over = ImageToImage()
    assert (over.denoising_strength, over.resize_mode, over.inpainting_fill) == (0.75, 0, 0)
    assert (over.inpaint_full_res, over.blur, over.inpaint_full_res_padding) == (True, (4, 4), 0)
    assert ImageToImage(mask_blur=0).blur == (0, 0)
    assert ImageToImage(mask_blur_x=1).blur == (1, 4)


def test_the_chapters_field_names_are_ignored_without_a_word(post):
    """The trap the lesson shows: HTTP 200, and neither `guidance_scale` nor `strength` has any effect."""
    plain = post("txt2img", prompt="a red car", **SMALL)
    misnamed = post("txt2img", prompt="a red car", guidance_scale=1.0, num_inference_steps=1, **SMALL)
    assert picture(misnamed) == picture(plain)
    assert info(misnamed)["cfg_scale"] == 7.0
    assert "guidance_scale" not in misnamed.json()["parameters"]
    assert picture(post("txt2img", prompt="a red car", cfg_scale=1.0, **SMALL)) != picture(plain)
    encoded = images.to_base64(PICTURE)
    plain = post("img2img", init_images=[encoded], **SMALL)
    misnamed = post("img2img", init_images=[encoded], strength=0.3, **SMALL)
    assert picture(misnamed) == picture(plain)
    assert info(misnamed)["denoising_strength"] == 0.75
    assert picture(post("img2img", init_images=[encoded], denoising_strength=0.3, **SMALL)) != picture(plain)


def test_null_is_the_default_and_numbers_may_be_text(post):
    answer = post("txt2img", prompt=None, sampler_name=None, scheduler=None, cfg_scale="5", **SMALL)
    assert info(answer)["sampler_name"] == "Euler"
    assert info(answer)["cfg_scale"] == 5.0


def test_the_three_ways_to_send_a_picture(post):
    raw = images.to_base64(PICTURE)
    broken = "\n".join(raw[i : i + 76] for i in range(0, len(raw), 76))
    found = {
        picture(post("img2img", init_images=[text], **SMALL))
        for text in (raw, images.to_data_uri(PICTURE), broken)
    }
    assert len(found) == 1


REFUSED = {
    "steps is no number": (422, "txt2img", {"steps": "abc"}, None),
    "width 0": (422, "txt2img", {"width": 0}, None),
    "width 7": (422, "txt2img", {"width": 7}, None),
    "width 100000": (422, "txt2img", {"width": 100_000}, None),
    "no steps": (422, "txt2img", {"steps": 0}, None),
    "5,000 words": (422, "txt2img", {"prompt": "a very beautiful cat " * 1250}, None),
    "too many pictures": (422, "txt2img", {"batch_size": 8, "n_iter": 8}, None),
    "too many pixels": (422, "txt2img", {"batch_size": 4, "width": 2048, "height": 1024}, "too many"),
    "a seed beyond all": (422, "txt2img", {"seed": 10**30}, None),
    "a script": (422, "txt2img", {"script_name": "x/y plot"}, "Script 'x/y plot' not found"),
    "an extension": (422, "txt2img", {"alwayson_scripts": {"controlnet": {}}}, "controlnet not found"),
    "the second pass": (422, "txt2img", {"enable_hr": True}, "enable_hr"),
    "a variation": (422, "txt2img", {"subseed_strength": 0.5}, "subseed_strength"),
    "faces": (422, "txt2img", {"restore_faces": True}, "restore_faces"),
    "no such sampler": (400, "txt2img", {"sampler_name": "DPM fantasy"}, "Sampler not found"),
    "no picture": (404, "img2img", {}, "Init image not found"),
    "an empty list": (404, "img2img", {"init_images": []}, "Init image not found"),
    "bad base64": (500, "img2img", {"init_images": ["@@@"]}, "Invalid encoded image"),
    "no picture in it": (500, "img2img", {"init_images": ["aGVsbG8="]}, "Invalid encoded image"),
    "cut off": (500, "img2img", {"init_images": [images.to_base64(PICTURE)[:2000]]}, "Invalid encoded image"),
    "an address": (500, "img2img", {"init_images": ["http://127.0.0.1/a.png"]}, "Requests not allowed"),
    "a path": (500, "img2img", {"init_images": ["/etc/hostname"]}, "Invalid encoded image"),
    "a bad mask": (500, "img2img", {"init_images": [images.to_base64(PICTURE)], "mask": "aGVsbG8="}, "Invalid encoded"),
    "strength 1.5": (422, "img2img", {"init_images": [images.to_base64(PICTURE)], "denoising_strength": 1.5}, None),
    "negative strength": (422, "img2img", {"init_images": [images.to_base64(PICTURE)], "denoising_strength": -1}, None),
    "strength 0": (422, "img2img", {"init_images": [images.to_base64(PICTURE)], "denoising_strength": 0}, "not one step"),
    "less than a step": (422, "img2img", {"init_images": [images.to_base64(PICTURE)], "denoising_strength": 0.2},
                         "not one step"),
    "more pictures than asked for": (422, "img2img", {"init_images": [images.to_base64(PICTURE)] * 3}, "bad number"),
    "nothing to look at": (404, "interrogate", {}, "Image not found"),
    "another interrogator": (404, "interrogate", {"image": images.to_base64(PICTURE), "model": "x"}, "Model not found"),
    "another checkpoint": (404, "options", {"sd_model_checkpoint": "v1-5"}, "not found"),
    "png-info of nothing": (422, "png-info", {}, None),
    "png-info of text": (500, "png-info", {"image": "aGVsbG8="}, "Invalid encoded image"),
}  # fmt: skip


@pytest.mark.parametrize(("status", "route", "body", "said"), REFUSED.values(), ids=REFUSED)
def test_refused(post, status, route, body, said):
    answer = post(route, **{**(SMALL if "img" in route else {}), **body})
    assert answer.status_code == status, answer.text
    found = answer.json()
    if said is None:  # FastAPI's own 422
        assert set(found) == {"detail"}
        assert {"type", "loc", "msg"} <= set(found["detail"][0])
    else:
        assert said in str(found["detail"])
    assert len(answer.text) < 1500


@pytest.mark.parametrize("strength", [0.25, 1, 1.0])
def test_strengths_that_can_be(post, strength):
    assert info(
        post("img2img", init_images=[images.to_base64(PICTURE)], denoising_strength=strength, **SMALL)
    )


MASKS = {
    "another size": Image.new("L", (30, 90), 255),
    "white": Image.new("L", (64, 64), 255),
    "black": Image.new("L", (64, 64), 0),
    "RGBA": Image.new("RGBA", (64, 64), (255, 255, 255, 255)),
    "one bit": Image.new("1", (64, 64), 1),
    "a palette": Image.new("P", (64, 64), 3),
}


@pytest.mark.parametrize("only_masked", [True, False])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_any_mask_is_understood(post, mask, only_masked):
    buffer = BytesIO()
    mask.save(buffer, "PNG")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    answer = post(
        "img2img",
        init_images=[images.to_base64(PICTURE)],
        mask=encoded,
        mask_blur=0,
        inpaint_full_res=only_masked,
        **SMALL,
    )
    found = picture(answer)
    if mask is MASKS["black"]:
        # nothing is repainted; looking closer at nothing, A1111 paints over all of it, and here it says so
        assert (found == PICTURE.tobytes()) is not only_masked
        assert ("Mask" in info(answer)["extra_generation_params"]) is only_masked


def test_a_prompt_that_is_too_long_says_how_much_of_it_is_lost(post):
    found = info(post("txt2img", prompt="cat " * 100, **SMALL))
    assert found["extra_generation_params"] == {"Prompt cut by": "25 tokens"}
    assert "Prompt cut by: 25 tokens" in found["infotexts"][0]
    assert info(post("txt2img", prompt="", **SMALL))["extra_generation_params"] == {}


def test_chinese_prompts_survive_everything(post):
    answer = post("txt2img", prompt="一只红色的猫，在草地上", **SMALL)
    assert info(answer)["prompt"] == "一只红色的猫，在草地上"
    found = post("png-info", image=answer.json()["images"][0]).json()
    assert found["parameters"]["Prompt"] == "一只红色的猫，在草地上"


def test_when_every_place_is_taken(server, post):
    places = server.app.state.painting.places
    for _ in range(4):
        places.__enter__()
    try:
        answer = post("txt2img", **SMALL)
    finally:
        for _ in range(4):
            places.__exit__()
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert set(answer.json()) == {"error", "detail", "body", "errors"}
    assert info(post("txt2img", **SMALL))


def test_a_client_that_goes_away_gives_its_place_back(server, post):
    with pytest.raises(requests.Timeout):
        requests.post(
            f"{server.url}/sdapi/v1/txt2img", json={**SMALL, "steps": 150, "n_iter": 16}, timeout=0.3
        )
    deadline = time.monotonic() + 60
    while server.app.state.painting.places.taken and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.app.state.painting.places.taken == 0
    assert info(post("txt2img", **SMALL))


def test_several_clients_at_once_get_their_own_pictures(post, server):
    alone = {seed: picture(post("txt2img", **{**SMALL, "seed": seed})) for seed in range(4)}
    found = {}

    def ask(seed: int) -> None:
        body = {**SMALL, "seed": seed}
        found[seed] = picture(requests.post(f"{server.url}/sdapi/v1/txt2img", json=body, timeout=120))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone


def test_what_nobody_foresaw_is_a_500_without_the_inside(server, post, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setattr(server.app.state.painting._pipe("text").vae, "decode", broken)
    answer = post("txt2img", **SMALL)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    monkeypatch.undo()
    assert info(post("txt2img", **SMALL))


def test_models_load_when_they_are_wanted(server, tmp_path, monkeypatch):
    """The chat model was not asked for, so it is neither loaded nor looked for."""
    assert server.app.state.vision.state == "idle"
    assert requests.get(server.url + "/health", timeout=5).json()["models"] == {"tiny": "ready"}
    monkeypatch.setattr("little_world.paths.MODELS", tmp_path)
    with LocalServer() as empty:
        assert requests.get(empty.url + "/health", timeout=5).json() == {"status": "ready", "models": {}}
        assert requests.get(empty.url + "/sdapi/v1/sd-models", timeout=5).json() == []
        assert requests.get(empty.url + "/v1/models", timeout=5).json()["data"] == []
        assert requests.get(empty.url + "/sdapi/v1/progress", timeout=5).json()["progress"] == 0
        answer = requests.post(empty.url + "/sdapi/v1/txt2img", json=SMALL, timeout=30)
        assert answer.status_code == 503
        assert "mini-sd" in answer.json()["detail"]
        answer = requests.post(empty.url + "/v1/images/generations", json={"prompt": "a cat"}, timeout=30)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "model_not_loaded"


def test_an_address_that_is_not_there(server):
    assert requests.get(server.url + "/sdapi/v1/nothing", timeout=5).status_code == 404
    assert requests.get(server.url + "/sdapi/v1/txt2img", timeout=5).status_code == 405


def test_another_host_and_too_large_a_body_in_the_protocols_shape(server):
    for headers in ({"host": "evil.example:80"}, {"origin": "http://evil.example"}):
        answer = requests.post(server.url + "/sdapi/v1/interrupt", headers=headers, timeout=5)
        assert answer.status_code == 400
        assert set(answer.json()) == {"error", "detail", "body", "errors"}
    answer = requests.post(server.url + "/sdapi/v1/txt2img", data=b"x" * (33 << 20), timeout=30)
    assert answer.status_code == 413
    assert "detail" in answer.json()
