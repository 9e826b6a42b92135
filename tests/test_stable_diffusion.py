"""Text to image as the chapter calls it, and what its listing gets wrong (rows 19 to 25) done right.

The servers are stand-ins for A1111, Forge, SD.Next and stable-diffusion.cpp (`painting_servers`). Batches are in
test_stable_diffusion_batch.py, other painters in test_stable_diffusion_apis.py, faults in
test_stable_diffusion_faults.py.
"""

from __future__ import annotations

import inspect
import json
import pickle
import threading
import time
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from painting_servers import DIALECTS, WebUI, colour, opened, png
from PIL import Image

import course_lib
from course_lib import registry, settings
from course_lib.errors import CourseWarning, ImageError, ServiceError, SettingsError, TextError
from course_lib.painting import watching
from course_lib.painting.masks import pad
from course_lib.painting.picture import Picture, compose, read_picture, seed_in
from course_lib.stable_diffusion import StableDiffusionService, batch_generate, image_service

RED = Image.new("RGB", (128, 96), (200, 30, 30))
MASK = Image.new("L", RED.size, 0)
MASK.paste(255, (32, 24, 96, 72))


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    """A reader's own settings are not the tests'."""
    for name in ("COURSE_SD_URL", "COURSE_SD_AUTH", "COURSE_SD_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(settings, "_dotenv", dict)


@pytest.fixture
def server():
    with WebUI() as running:
        yield running


@pytest.fixture
def service(server):
    return StableDiffusionService(server.url)


@pytest.fixture(params=sorted(DIALECTS))
def any_server(request):
    with WebUI(request.param) as running:
        yield running


@pytest.fixture(params=["zh", "en"])
def either_language(request, monkeypatch):
    monkeypatch.setattr(settings, "_chosen", request.param)
    return request.param


# ------------------------------------------------------------------------------------- the chapter's names


def test_the_chapters_names_and_argument_order():
    def order(function):
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return [p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds]

    assert order(StableDiffusionService) == ["api_url", "api_key"]
    assert order(StableDiffusionService.text_to_image) == [
        "self", "prompt", "negative_prompt", "width", "height", "steps", "guidance_scale", "seed",
    ]  # fmt: skip
    assert order(StableDiffusionService.image_to_image) == ["self", "init_image", "prompt", "strength"]
    assert order(StableDiffusionService.inpaint) == ["self", "init_image", "mask_image", "prompt"]
    assert order(batch_generate) == ["service", "prompts", "output_dir"]
    assert course_lib.StableDiffusionService is StableDiffusionService
    assert course_lib.batch_generate is batch_generate


def test_a_call_as_in_the_chapter(service, server):
    picture = service.text_to_image("a red cat", "blurry", 128, 96, 20, 6.5, 7)
    sent = server.asked()
    assert {k: sent[k] for k in ("prompt", "negative_prompt", "width", "height", "steps", "cfg_scale", "seed")} == {
        "prompt": "a red cat", "negative_prompt": "blurry", "width": 128, "height": 96, "steps": 20,
        "cfg_scale": 6.5, "seed": 7,
    }  # fmt: skip
    assert isinstance(picture, Image.Image) and picture.size == (128, 96) and picture.mode == "RGB"
    assert picture.getpixel((5, 5)) == colour("a red cat", 7)


@pytest.mark.parametrize("address", ["{}/", "{}/docs", "{}/sdapi/v1", " {}/sdapi/v1/ "])
def test_an_address_may_be_pasted_with_more_than_the_root(server, address):
    service = StableDiffusionService(address.format(server.url))
    assert service.api_url == server.url and service.text_to_image("x", width=64, height=64)


# ------------------------------------------------------------------------------------------ the corrections


def test_corrections_19_guidance_scale_goes_out_as_cfg_scale(service, server):
    """Under its own name A1111 ignores it, and paints with 7.0."""
    picture = service.text_to_image("x", guidance_scale=2.5, width=64, height=64)
    assert "guidance_scale" not in server.asked() and server.painted[-1]["cfg_scale"] == 2.5
    assert picture.parameters["guidance_scale"] == 2.5


@pytest.mark.parametrize("call", ["image_to_image", "inpaint"])
def test_corrections_20_strength_goes_out_as_denoising_strength(service, server, call):
    """Under its own name A1111 ignores it, and repaints with 0.75."""
    pictures = (RED, MASK) if call == "inpaint" else (RED,)
    picture = getattr(service, call)(*pictures, "x", strength=0.3)
    assert "strength" not in server.asked() and server.painted[-1]["denoising_strength"] == 0.3
    assert picture.parameters["strength"] == 0.3


@pytest.mark.parametrize("call", ["image_to_image", "inpaint"])
def test_corrections_21_size_and_steps_are_sent(service, server, call):
    """Without them A1111 squashes the picture to 512 x 512 and takes 50 steps."""
    pictures = (RED, MASK) if call == "inpaint" else (RED,)
    picture = getattr(service, call)(*pictures, "x")
    used = server.painted[-1]
    assert (used["width"], used["height"], used["steps"]) == (128, 96, 30) and picture.size == RED.size
    assert np.array_equal(opened(used["init_images"][0]), RED)


def test_corrections_22_inpainting_says_everything_and_checks_the_mask(service, server):
    """Left out, inpaint_full_res is true at A1111 and false at SD.Next, and the fill differs too."""
    service.inpaint(RED, MASK, "x")
    sent = server.asked()
    assert {name: sent[name] for name in sent if "inpaint" in name or name in ("mask_blur", "resize_mode")} == {
        "inpainting_fill": 1, "inpaint_full_res": False, "inpaint_full_res_padding": 32,
        "inpainting_mask_invert": 0, "mask_blur": 4, "resize_mode": 0,
    }  # fmt: skip
    assert np.array_equal(opened(sent["mask"]).convert("L"), MASK)
    service.inpaint(RED, MASK, "x", fill="latent noise", only_masked=True, mask_blur=0)
    sent = server.asked()
    assert (sent["inpainting_fill"], sent["inpaint_full_res"], sent["mask_blur"]) == (2, True, 0)
    with pytest.raises(ImageError):
        service.inpaint(RED, MASK.resize((64, 64)), "x")


def test_corrections_23_seed_0_is_a_seed_and_none_is_any(any_server):
    """`if seed > 0` makes 0 random without a word."""
    service = StableDiffusionService(any_server.url)
    zero = service.text_to_image("x", seed=0, width=64, height=64)
    assert any_server.asked()["seed"] == 0 and zero.seed == 0 and zero.getpixel((0, 0)) == colour("x", 0)
    for seed in (None, -1):
        first, second = (service.text_to_image("x", seed=seed, width=64, height=64) for _ in range(2))
        assert first.seed != second.seed
        assert service.text_to_image("x", seed=first.seed, width=64, height=64).tobytes() == first.tobytes()


def test_corrections_24_basic_authentication_and_no_bearer_key(either_language):
    """A1111 answers a bearer key with 401."""
    with WebUI(auth="reader:open sesame") as server:
        assert StableDiffusionService(server.url, "reader:open sesame").text_to_image(
            "x", width=64, height=64
        )
        for wrong in (None, "reader:wrong"):
            with pytest.raises(ServiceError) as caught:
                StableDiffusionService(server.url, wrong).text_to_image("x", width=64, height=64)
            assert caught.value.kind == "authentication" and "Basic" in str(caught.value)
        assert not any(
            headers.get("authorization", "").startswith("Bearer") for _, _, headers, _ in server.requests
        )
    with pytest.raises(SettingsError, match="Bearer|bearer"):
        StableDiffusionService("http://localhost:7860", "sk-a-key-without-a-user")


def test_corrections_25_all_pictures_come_back_with_their_true_seeds(any_server):
    service = StableDiffusionService(any_server.url)
    pictures = service.text_to_image("x", seed=40, width=64, height=64, count=3)
    assert [picture.seed for picture in pictures] == [40, 41, 42]
    assert [picture.getpixel((0, 0)) for picture in pictures] == [colour("x", seed) for seed in (40, 41, 42)]
    assert len(service.text_to_image("x", width=64, height=64, count=1)) == 1


def test_corrections_25_the_seed_that_was_really_used_wins(service, server):
    server.change = {"seed": 99}
    with pytest.warns(CourseWarning, match="seed"):
        assert service.text_to_image("x", seed=5, width=64, height=64).seed == 99
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert service.text_to_image("x", width=64, height=64).seed == 99  # nobody asked for another


# ------------------------------------------------------------------------------- four servers, one interface


def test_each_server_paints_repaints_and_inpaints(any_server):
    service = StableDiffusionService(any_server.url)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        painted = service.text_to_image("a cat", "blurry", 128, 96, 20, 3.0, 7)
        repainted = service.image_to_image(painted, "a dog", 0.5, seed=7)
        inpainted = service.inpaint(painted, MASK, "a bird", seed=7)
    for picture, prompt in ((painted, "a cat"), (repainted, "a dog"), (inpainted, "a bird")):
        assert picture.size == (128, 96) and (picture.seed, picture.prompt) == (7, prompt)
        assert picture.infotext.startswith(prompt) and seed_in(picture.infotext) == 7
    assert painted.parameters["steps"] == 20 and repainted.parameters["strength"] == 0.5
    outside = np.asarray(MASK) == 0
    assert np.array_equal(np.asarray(inpainted)[outside], np.asarray(painted)[outside])
    assert inpainted.getpixel((64, 48)) == colour("a bird", 7)


@pytest.mark.parametrize(
    "info", ["", None, "{}", "not json", "[1]", 5, '{"all_seeds": "no", "infotexts": [3]}', {}]
)
def test_an_info_that_says_nothing_is_tolerated(info):
    def odd(server):
        picture = {"images": [png(Image.new("RGB", (64, 64)))]}
        return 200, picture if info is None else {**picture, "parameters": None, "info": info}

    with WebUI() as server:
        server.faults[0] = odd
        picture = StableDiffusionService(server.url).text_to_image("x", seed=3, width=64, height=64)
    assert picture.seed == 3 and picture.parameters["prompt"] == "x"


def test_a_grid_before_the_pictures_is_left_out(service, server):
    def with_grid(server):
        info = {"index_of_first_image": 1, "all_seeds": [1, 2]}
        grid, one, two = (png(Image.new("RGB", (side, 64))) for side in (128, 64, 64))
        return 200, {"images": [grid, one, two], "info": json.dumps(info), "parameters": {}}

    server.faults[0] = with_grid
    pictures = service.text_to_image("x", width=64, height=64, count=2)
    assert [picture.size for picture in pictures] == [(64, 64)] * 2 and [p.seed for p in pictures] == [1, 2]


def test_interrupt_and_progress_are_tolerant(any_server):
    service = StableDiffusionService(any_server.url)
    service.interrupt()
    assert service.progress() == (None if any_server.dialect == "sdcpp" else 0.0)
    assert service.samplers() == ["Euler"] and service.models() == ["tiny [abc]"]
    assert any_server.interrupted.is_set() == (any_server.dialect != "sdcpp")


# -------------------------------------------------------------------------------- what was done otherwise


@pytest.mark.parametrize(
    ("change", "named"),
    [({"cfg_scale": 7.0}, "cfg_scale"), ({"steps": 4}, "steps"), ({"width": 72}, "width")],
    ids=lambda value: "" if isinstance(value, dict) else value,
)
def test_a_parameter_that_was_changed_is_warned_of(service, server, change, named, either_language):
    server.change = change
    with pytest.warns(CourseWarning, match=named) as caught:
        service.text_to_image("x", guidance_scale=2, width=64, height=64)
    assert caught[0].filename == __file__ and "\n" not in str(caught[0].message)


@pytest.mark.parametrize("name", ["tiny", "tiny [abc]", "folder/tiny.safetensors [0123456789]", "Tiny.ckpt"])
def test_a_checkpoint_has_many_names(server, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error", CourseWarning)
        StableDiffusionService(server.url, model=name).text_to_image("x", width=64, height=64)


def test_a_checkpoint_that_the_server_does_not_have_is_warned_of(server, either_language):
    """A1111 paints with the one that is loaded, and says nothing."""
    with pytest.warns(CourseWarning, match="v1-5.*tiny"):
        StableDiffusionService(server.url, model="v1-5").text_to_image("x", width=64, height=64)


def test_a_field_that_is_ignored_is_warned_of(service, server):
    """The trap of the chapter: a name that is nearly right changes nothing, and nobody says so."""
    with pytest.warns(CourseWarning, match="guidence_scale"):
        service.text_to_image("x", guidence_scale=3, width=64, height=64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        service.text_to_image("x", tiling=True, width=64, height=64)
    assert server.asked()["tiling"] is True


@pytest.mark.parametrize(("theirs", "ours"), [("cfg_scale", "guidance_scale"), ("batch_size", "count")])
def test_a_field_that_has_an_argument_is_refused(service, server, theirs, ours):
    with pytest.raises(SettingsError, match=ours):
        service.text_to_image("x", **{theirs: 2})
    assert not server.requests


# -------------------------------------------------------------------------------------------- bad arguments

BAD = {
    "strength 0": lambda s: s.image_to_image(RED, "x", 0),
    "strength 1.5": lambda s: s.image_to_image(RED, "x", 1.5),
    "strength negative": lambda s: s.image_to_image(RED, "x", -0.5),
    "strength nan": lambda s: s.image_to_image(RED, "x", float("nan")),
    "strength a word": lambda s: s.inpaint(RED, MASK, "x", strength="much"),
    "less than one step": lambda s: s.image_to_image(RED, "x", 0.04, steps=20),
    "width 0": lambda s: s.text_to_image("x", width=0),
    "width 7": lambda s: s.text_to_image("x", width=7, height=64),
    "width 100000": lambda s: s.text_to_image("x", width=100_000, height=64),
    "width 100": lambda s: s.text_to_image("x", width=100, height=64),
    "width a float": lambda s: s.text_to_image("x", width=64.5, height=64),
    "width a bool": lambda s: s.text_to_image("x", width=True),
    "empty prompt": lambda s: s.text_to_image(""),
    "blank prompt": lambda s: s.image_to_image(RED, "  \n"),
    "no prompt": lambda s: s.text_to_image(None),
    "5,000 words": lambda s: s.text_to_image("cat " * 5000),
    "5,000 negative words": lambda s: s.text_to_image("x", "dog " * 5000),
    "steps 0": lambda s: s.text_to_image("x", steps=0),
    "guidance nan": lambda s: s.text_to_image("x", guidance_scale=float("nan")),
    "seed -2": lambda s: s.text_to_image("x", seed=-2),
    "seed 2**32": lambda s: s.text_to_image("x", seed=2**32),
    "seed a float": lambda s: s.text_to_image("x", seed=1.0),
    "count 0": lambda s: s.text_to_image("x", count=0),
    "mask of another size": lambda s: s.inpaint(RED, MASK.resize((64, 48)), "x"),
    "mask all black": lambda s: s.inpaint(RED, Image.new("L", RED.size, 0), "x"),
    "mask all white": lambda s: s.inpaint(RED, Image.new("RGB", RED.size, "white"), "x"),
    "mask with alpha": lambda s: s.inpaint(RED, Image.new("RGBA", RED.size, (255, 255, 255, 0)), "x"),
    "mask no picture": lambda s: s.inpaint(RED, 5, "x"),
    "no such file": lambda s: s.image_to_image("nowhere.png", "x"),
    "a tiny picture": lambda s: s.image_to_image(Image.new("RGB", (8, 8)), "x"),
    "a huge picture": lambda s: s.image_to_image(Image.new("RGB", (4000, 64)), "x"),
    "fill": lambda s: s.inpaint(RED, MASK, "x", fill="magic"),
}  # fmt: skip


@pytest.mark.parametrize("call", BAD.values(), ids=BAD)
def test_a_bad_argument_is_one_sentence_before_anything_is_sent(service, server, call, either_language):
    with pytest.raises((SettingsError, TextError, ImageError)) as caught:
        call(service)
    said = str(caught.value)
    assert "\n" not in said and 10 < len(said) < 250 and not server.requests
    assert any("\u4e00" <= letter <= "\u9fff" for letter in said) == (either_language == "zh")


def test_strength_1_is_taken_and_its_effect_told(service, server):
    with pytest.warns(CourseWarning, match="1"):
        service.image_to_image(RED, "x", 1)
    assert server.painted[-1]["denoising_strength"] == 1


@pytest.mark.parametrize(
    "mask",
    [
        np.asarray(MASK) > 0,
        np.asarray(MASK),
        MASK.convert("1"),
        MASK.convert("RGB"),
        MASK.convert("RGBA"),
    ],
    ids=["bool array", "grey array", "1", "RGB", "RGBA, opaque"],
)
def test_masks_of_every_kind_mean_the_same(service, server, mask):
    service.inpaint(RED, mask, "x")
    assert np.array_equal(opened(server.asked()["mask"]).convert("L"), MASK)


@pytest.mark.parametrize(
    "address", ["localhost:7860", "ftp://host", "http://", "http://a:b@host", "http://host:x"]
)
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(SettingsError, match="api_url"):
        StableDiffusionService(address)


# --------------------------------------------------------------------------------------- sizes off the grid


@given(width=st.integers(64, 200), height=st.integers(64, 200))
def test_a_padded_picture_fits_the_grid_and_begins_with_the_picture(width, height):
    pixels = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    padded = np.asarray(pad(Image.fromarray(pixels)))
    assert padded.shape[0] % 8 == padded.shape[1] % 8 == 0 and np.array_equal(padded[:height, :width], pixels)
    assert padded.shape[0] - height < 8 and padded.shape[1] - width < 8


def test_a_picture_off_the_grid_keeps_its_size_and_its_pixels(service, server):
    pixels = np.random.default_rng(1).integers(0, 256, (75, 101, 3), dtype=np.uint8)
    mask = np.zeros((75, 101), np.uint8)
    mask[20:40, 30:60] = 255
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = service.inpaint(Image.fromarray(pixels), mask, "x", seed=1)
    assert (server.asked()["width"], server.asked()["height"]) == (104, 80) and picture.size == (101, 75)
    assert np.array_equal(np.asarray(picture)[mask == 0], pixels[mask == 0])


def test_a_size_can_be_asked_for(service, server):
    assert service.image_to_image(RED, "x", width=64, height=64).size == (64, 64)
    assert opened(server.asked()["init_images"][0]).size == (64, 64)


# ------------------------------------------------------------------------------------ the picture and its file


def test_a_picture_keeps_its_parameters_in_its_file(service, tmp_path):
    picture = service.text_to_image("一只红色的猫", seed=0, width=64, height=64, steps=20)
    picture.save(tmp_path / "a.png")
    again = read_picture(tmp_path / "a.png")
    assert again.parameters == picture.parameters and again.seed == 0 and again.prompt == "一只红色的猫"
    assert np.array_equal(again, picture)
    assert Image.open(tmp_path / "a.png").text["parameters"].startswith("一只红色的猫\nSteps: 20")
    picture.save(tmp_path / "a.jpg")
    assert read_picture(tmp_path / "a.jpg").parameters == {}


def test_a_picture_is_a_pil_image_that_shows_itself(service):
    picture = service.text_to_image("x", seed=3, width=64, height=64)
    assert picture._repr_png_().startswith(b"\x89PNG") and "seed=3" in repr(picture)
    assert isinstance(picture.copy(), Picture) and picture.copy().seed == 3
    assert type(picture.resize((32, 32))) is Image.Image  # no longer what was painted
    again = pickle.loads(pickle.dumps(picture))
    assert again.seed == 3 and again.infotext == picture.infotext and np.array_equal(again, picture)
    other = picture.copy()
    other.paste("black", (0, 0, 64, 64))
    assert picture.getpixel((0, 0)) == colour("x", 3)
    assert np.asarray(picture).shape == (64, 64, 3)


@given(st.text(max_size=60), st.integers(0, 2**32 - 1))
def test_an_infotext_tells_the_seed_whatever_the_prompt_says(prompt, seed):
    assert seed_in(compose({"prompt": prompt, "seed": seed, "steps": 3})) == seed
    assert seed_in(compose({"prompt": f"{prompt}\nSeed: 5", "seed": seed})) == seed


# ----------------------------------------------------------------------------------------------- settings


def test_nothing_set_means_the_courses_own_server_and_its_size(monkeypatch):
    with WebUI() as server:
        monkeypatch.setattr(settings, "local_server", lambda *_: server.url + "/")
        service = StableDiffusionService()
        assert not server.requests  # it starts at the first request
        assert service.text_to_image("x").size == (128, 128)
        assert "override_settings" not in server.asked()


def test_the_settings_give_address_key_and_model(monkeypatch):
    with WebUI(auth="reader:from the settings") as server:
        monkeypatch.setenv("COURSE_SD_URL", server.url)
        monkeypatch.setenv("COURSE_SD_AUTH", "reader:from the settings")
        monkeypatch.setenv("COURSE_SD_MODEL", "tiny [abc]")
        StableDiffusionService().text_to_image("x", width=64, height=64)
        assert server.asked()["override_settings"] == {"sd_model_checkpoint": "tiny [abc]"}
        with WebUI() as other:
            StableDiffusionService(other.url).text_to_image("x", width=64, height=64)
            assert "authorization" not in other.requests[0][2]  # it is another server's


def test_a_server_of_which_nothing_is_known_paints_the_chapters_size(service, server):
    service.text_to_image("x", steps=1)
    assert (server.asked()["width"], server.asked()["height"]) == (1024, 1024)


def test_the_size_is_the_models_own_where_it_is_known(service, server, monkeypatch):
    assert registry.native_size("mini-sd") == 128 and registry.native_size("nobody/nothing") is None
    known = [model for model in registry.models(task="diffusion") if model.size]
    assert len(known) >= 5 and {model.size for model in known} <= {512, 1024}
    assert registry.models(task="diffusion", language="zh")
    monkeypatch.setenv("COURSE_SD_MODEL", known[0].id)
    StableDiffusionService(server.url).text_to_image("x", steps=1)
    assert server.asked()["width"] == known[0].size


def test_painters_by_name(either_language):
    assert isinstance(image_service("stable-diffusion", "http://localhost:7860"), StableDiffusionService)
    with pytest.raises(SettingsError, match="API"):
        image_service("midjourney")
    with pytest.raises(SettingsError, match="firefly"):
        image_service("dall-e-9")


# ------------------------------------------------------------------------------------ progress and Ctrl-C


def test_a_bar_follows_the_servers_progress(monkeypatch):
    seen = []

    class Bar:
        n = 0

        def __init__(self, total, disable, **options):
            seen.append(("total", total, disable))

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            pass

        def update(self, steps):
            self.n += steps
            seen.append(("at", self.n))

    monkeypatch.setattr(watching, "tqdm", Bar)
    monkeypatch.setattr(watching, "_EVERY", 0.02)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    with WebUI(seconds=1.0) as server:
        StableDiffusionService(server.url).text_to_image("x", steps=20, width=64, height=64)
        steps = [step for kind, step, *_ in seen if kind == "at"]
        assert ("total", 20, False) in seen and any(0 < step < 20 for step in steps)
        assert steps[-1] == 20  # else a notebook leaves it standing, in red
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with WebUI(seconds=0.3) as server:
        StableDiffusionService(server.url).text_to_image("x", width=64, height=64)
        assert ("total", 30, True) in seen
        assert not [path for _, path, _, _ in server.requests if "progress" in path]


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_ctrl_c_stops_the_server_and_goes_on(dialect):
    import _thread

    with WebUI(dialect, seconds=20) as server:
        timer = threading.Timer(0.3, _thread.interrupt_main)
        timer.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            StableDiffusionService(server.url).text_to_image("x", width=64, height=64)
        assert time.monotonic() - began < 15
        timer.join()
        assert any("interrupt" in path for _, path, _, _ in server.requests)
        assert len(server.painted) == 1  # and nothing was sent again


def test_in_other_threads_there_is_no_bar_and_no_second_thread(service):
    found = []
    thread = threading.Thread(target=lambda: found.append(service.text_to_image("x", width=64, height=64)))
    thread.start()
    thread.join()
    assert isinstance(found[0], Picture)
