"""The stock webuiapi client, unmodified, against the local server, with HTTP Basic auth."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import small_checkpoints
import webuiapi
from PIL import Image

from little_world.server import LocalServer

USER, PASSWORD = "painter", "a password: with a colon"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = small_checkpoints.make_stable_diffusion(tmp_path_factory.mktemp("models") / "tiny")
    with LocalServer(sd_model=folder, api_auth=f"{USER}:{PASSWORD},other:one") as server:
        yield server.wait()


@pytest.fixture(scope="module")
def api(server):
    port = int(server.url.rsplit(":", 1)[1])
    return webuiapi.WebUIApi(port=port, username=USER, password=PASSWORD)


SMALL = {"width": 64, "height": 64, "steps": 4}


@pytest.fixture(scope="module")
def picture(api) -> Image.Image:
    return api.txt2img(prompt="a red car", negative_prompt="a cat, red", seed=7, **SMALL).image


def mask(*box: int) -> Image.Image:
    found = Image.new("L", (64, 64))
    found.paste(255, box)
    return found


def difference(a: Image.Image, b: Image.Image) -> np.ndarray:
    return np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max(axis=2)


def test_txt2img_with_the_clients_defaults(api):
    result = api.txt2img(width=64, height=64)  # of the size alone not: 512 x 512 is much for a test
    assert result.image.size == (64, 64)
    assert result.info["steps"] == 20
    assert result.info["sampler_name"] == "Euler a"
    assert 0 <= result.info["seed"] < 2**32


def test_txt2img_repeats_by_seed(api, picture):
    again = api.txt2img(prompt="a red car", negative_prompt="a cat, red", seed=7, **SMALL)
    assert not difference(picture, again.image).any()
    zero = [api.txt2img(prompt="a red car", seed=0, **SMALL) for _ in range(2)]
    assert [result.info["seed"] for result in zero] == [0, 0]  # 0 is a seed like any other
    assert not difference(zero[0].image, zero[1].image).any()
    free = {api.txt2img(prompt="a red car", seed=-1, **SMALL).info["seed"] for _ in range(3)}
    assert len(free) == 3
    assert difference(picture, zero[0].image).mean() > 5


def test_several_pictures_have_seeds_in_a_row(api, picture):
    result = api.txt2img(
        prompt="a red car", negative_prompt="a cat, red", seed=6, batch_size=2, n_iter=2, **SMALL
    )
    assert len(result.images) == 4
    assert result.info["all_seeds"] == [6, 7, 8, 9]
    assert len(result.info["infotexts"]) == 4
    assert result.info["index_of_first_image"] == 0
    assert difference(result.images[1], picture).max() <= 1
    for image, text in zip(result.images, result.info["infotexts"], strict=True):
        assert image.info["parameters"] == text


def test_the_answer_has_every_key(api):
    result = api.txt2img(prompt="a red car", seed=3, **SMALL)
    assert set(result.info) >= {
        "prompt", "all_prompts", "negative_prompt", "all_negative_prompts", "seed", "all_seeds", "subseed",
        "all_subseeds", "subseed_strength", "width", "height", "sampler_name", "cfg_scale", "steps", "batch_size",
        "restore_faces", "face_restoration_model", "sd_model_name", "sd_model_hash", "sd_vae_name", "sd_vae_hash",
        "seed_resize_from_w", "seed_resize_from_h", "denoising_strength", "extra_generation_params",
        "index_of_first_image", "infotexts", "styles", "job_timestamp", "clip_skip",
        "is_using_inpainting_conditioning", "version",
    }  # fmt: skip
    assert result.parameters["cfg_scale"] == 7.0
    assert result.parameters["hr_upscaler"] == "Latent"  # the request as it came, with what has no effect
    assert api.txt2img(send_images=False, **SMALL).images == []


def test_png_info_reads_what_was_written(api, picture):
    found = api.png_info(picture).json
    assert found["info"] == found["items"]["parameters"] == picture.info["parameters"]
    wanted = {"Prompt": "a red car", "Negative prompt": "a cat, red", "Steps": "4", "Seed": "7", "Sampler": "Euler a",
              "CFG scale": "7.0", "Size-1": "64", "Size-2": "64", "Model": "tiny"}  # fmt: skip
    assert found["parameters"].items() >= wanted.items()
    assert api.png_info(Image.new("RGB", (8, 8))).info == ""


def test_img2img(api, picture):
    result = api.img2img(images=[picture], prompt="a cat", seed=1, denoising_strength=0.5, **SMALL)
    assert result.image.size == (64, 64)
    assert "Denoising strength: 0.5" in result.image.info["parameters"]
    assert result.parameters["init_images"] is None
    kept = api.img2img(images=[picture], include_init_images=True, **SMALL)
    assert len(kept.parameters["init_images"]) == 1
    two = api.img2img(images=[picture, picture.rotate(90)], batch_size=2, seed=1, **SMALL)
    assert len(two.images) == 2
    assert difference(*two.images).any()
    for mode in range(4):
        resized = api.img2img(images=[picture], resize_mode=mode, width=128, height=64, steps=2)
        assert resized.image.size == (128, 64)


@pytest.mark.parametrize("fill", range(4))
@pytest.mark.parametrize("only_masked", [True, False])
def test_inpainting_leaves_the_rest_as_it_was(api, picture, fill, only_masked):
    where = mask(16, 20, 40, 44)
    options = {"mask_image": where, "mask_blur": 0, "inpainting_fill": fill, "inpaint_full_res": only_masked}
    result = api.img2img(images=[picture], prompt="a cat", seed=1, **options, **SMALL)
    changed = difference(result.image, picture)
    inside = np.asarray(where) == 255
    assert not changed[~inside].any()
    assert changed[inside].mean() > 5
    inverted = api.img2img(images=[picture], prompt="a cat", inpainting_mask_invert=1, **options, **SMALL)
    changed = difference(inverted.image, picture)
    assert not changed[inside].any()
    assert changed[~inside].mean() > 5


def test_an_rgba_mask_means_its_alpha_and_blur_is_a_soft_edge(api, picture):
    where = mask(16, 16, 48, 48)
    layer = Image.new("RGBA", (64, 64), "white")
    layer.putalpha(where)
    options = {"images": [picture], "seed": 1, "inpaint_full_res": False, **SMALL}
    plain, alpha = (api.img2img(mask_image=m, mask_blur=0, **options).image for m in (where, layer))
    assert not difference(plain, alpha).any()
    blurred = difference(api.img2img(mask_image=where, mask_blur=4, **options).image, picture)
    assert blurred[np.asarray(where) == 0].any()
    assert not blurred[:4].any()


def test_only_masked_gives_the_pictures_own_size_back(api, picture):
    large = picture.resize((200, 120))
    where = Image.new("L", (200, 120))
    where.paste(255, (90, 40, 120, 70))
    result = api.img2img(images=[large], mask_image=where, mask_blur=0, inpaint_full_res_padding=8, **SMALL)
    assert result.image.size == (200, 120)
    assert not difference(result.image, large)[np.asarray(where) == 0].any()


def test_what_is_there(api, server):
    assert api.util_get_model_names() == [api.util_get_current_model()]
    (model,) = api.get_sd_models()
    assert model["model_name"] == "tiny"
    assert model["title"] == f"tiny [{model['sha256'][:10]}]"
    assert {"Euler", "Euler a", "DDIM", "DPM++ 2M"} <= set(api.util_get_sampler_names())
    assert {"automatic", "karras"} <= set(api.util_get_scheduler_names())
    assert api.get_scripts() == {"txt2img": [], "img2img": []}
    assert api.util_set_model("tiny") is None  # with difflib, and a POST of the options
    assert api.set_options({"sd_model_checkpoint": model["title"]}) is None
    assert "not found" in api.set_options({"sd_model_checkpoint": "v1-5"})["detail"]
    for ask in (api.get_upscalers, api.get_sd_vae, api.get_loras, api.get_prompt_styles, api.get_face_restorers,
                api.get_hypernetworks, api.get_realesrgan_models, api.get_latent_upscale_modes):  # fmt: skip
        assert ask() == []
    assert api.get_embeddings() == {"loaded": {}, "skipped": {}}
    assert set(api.get_memory()) == {"ram", "cuda"}
    assert PASSWORD not in str(api.get_cmd_flags())
    assert api.refresh_checkpoints() is None
    assert api.interrupt() == {}
    assert api.skip() is None


def test_every_sampler_it_lists_paints(api):
    for name in api.util_get_sampler_names():
        for scheduler in api.util_get_scheduler_names():
            result = api.txt2img(sampler_name=name, scheduler=scheduler, seed=1, **SMALL)
            assert f"Sampler: {name}, " in result.info["infotexts"][0]
    old = api.txt2img(sampler_name="DPM++ 2M Karras", seed=1, **SMALL)
    new = api.txt2img(sampler_name="DPM++ 2M", scheduler="Karras", seed=1, **SMALL)
    assert not difference(old.image, new.image).any()


def test_progress_and_interrupt(api, server):
    assert api.get_progress()["progress"] == 0
    api.util_wait_for_ready()
    gate = threading.Event()
    calls = []

    def held(*_):
        calls.append(1)
        if len(calls) > 3:
            assert gate.wait(60)

    hook = server.app.state.painting._pipe("text").unet.register_forward_pre_hook(held)
    results = []
    thread = threading.Thread(
        target=lambda: results.append(
            api.txt2img(prompt="a cat", seed=1, n_iter=3, width=64, height=64, steps=60)
        )
    )
    thread.start()
    try:
        while len(calls) < 4:
            time.sleep(0.01)
        # another session: the first one waits for its answer
        other = webuiapi.WebUIApi(port=int(server.url.rsplit(":", 1)[1]), username=USER, password=PASSWORD)
        found = other.get_progress()
        assert found["state"]["sampling_step"] == 3
        assert found["state"]["sampling_steps"] == 60
        assert (found["state"]["job_no"], found["state"]["job_count"]) == (0, 3)
        assert found["progress"] == pytest.approx(3 / 60 / 3, abs=0.001)
        assert found["eta_relative"] > 0
        assert found["current_image"]
        assert other.custom_get("progress?skip_current_image=true", baseurl=True)["current_image"] is None
        other.interrupt()
        assert other.get_progress()["state"]["interrupted"]
    finally:
        gate.set()
        thread.join(60)
        hook.remove()
    (result,) = results
    assert len(calls) == 4
    assert len(result.images) == 1  # as far as it had come; the other two rounds were left out
    assert result.info["all_seeds"] == [1, 2, 3]
    assert api.get_progress()["progress"] == 0


def test_skip_ends_one_round(api, server):
    gate, calls = threading.Event(), []

    def held(*_):
        calls.append(1)
        if len(calls) == 3:
            assert gate.wait(60)

    hook = server.app.state.painting._pipe("text").unet.register_forward_pre_hook(held)
    results = []
    thread = threading.Thread(
        target=lambda: results.append(api.txt2img(seed=1, n_iter=2, width=64, height=64, steps=10))
    )
    thread.start()
    try:
        while len(calls) < 3:
            time.sleep(0.01)
        other = webuiapi.WebUIApi(port=int(server.url.rsplit(":", 1)[1]), username=USER, password=PASSWORD)
        other.skip()
        assert other.get_progress()["state"]["skipped"]
    finally:
        gate.set()
        thread.join(60)
        hook.remove()
    assert len(results[0].images) == 2
    assert len(calls) == 3 + 10


def test_interrogate(api):
    import little_world
    from little_world.scenes import single

    scene = single(np.random.default_rng(3), kind="cat", color="red", background="snow", time="day")
    caption = api.interrogate(little_world.draw(scene)).info
    assert "cat" in caption or "猫" in caption
    assert "red" in caption or "红" in caption
    assert "snow" in caption or "雪" in caption


def test_without_the_password_nothing_is_answered(server):
    port = int(server.url.rsplit(":", 1)[1])
    nobody = webuiapi.WebUIApi(port=port)
    with pytest.raises(RuntimeError) as caught:
        nobody.txt2img(**SMALL)
    assert caught.value.args[0] == 401
    stranger = webuiapi.WebUIApi(port=port, username=USER, password="guess")
    with pytest.raises(RuntimeError) as caught:
        stranger.txt2img(**SMALL)
    assert caught.value.args[0] == 401
    assert webuiapi.WebUIApi(port=port, username="other", password="one").get_samplers()[0]["name"]
