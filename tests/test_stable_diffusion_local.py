"""StableDiffusionService against the course's own server: a real pipeline behind the real protocol.

The pipeline is a tiny one with random weights (`small_checkpoints`), so the pictures are noise; what counts is that
both sides mean the same by every field.
"""

from __future__ import annotations

import threading
import time
import warnings

import numpy as np
import pytest
import small_checkpoints

from course_lib import settings
from course_lib.errors import CourseWarning, ServiceError
from course_lib.painting.picture import read_picture
from course_lib.stable_diffusion import StableDiffusionService, batch_generate, image_service

pytest.importorskip("little_world.server.sdapi")

from little_world.server import LocalServer  # noqa: E402

PAIR = "reader:open sesame"
SIDE = {"width": 64, "height": 64}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_checkpoints.make_stable_diffusion(tmp_path_factory.mktemp("models") / "tiny-sd")


@pytest.fixture(scope="module")
def server(folder):
    with LocalServer(sd_model=folder, api_auth=PAIR) as running:
        yield running


@pytest.fixture
def service(server, monkeypatch):
    for name in ("COURSE_SD_URL", "COURSE_SD_AUTH", "COURSE_SD_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(settings, "_dotenv", dict)
    return StableDiffusionService(server.url, PAIR)


@pytest.fixture
def strict():
    """No warning: nothing that was asked for may have been done otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", CourseWarning)
        yield


def test_the_same_seed_is_the_same_picture(service, strict, tmp_path):
    first = service.text_to_image("一只红色的猫", "a dog", **SIDE, steps=3, guidance_scale=2.0, seed=0)
    assert first.size == (64, 64) and first.seed == 0
    assert (first.parameters["steps"], first.parameters["guidance_scale"]) == (3, 2.0)
    again = service.text_to_image("一只红色的猫", "a dog", **SIDE, steps=3, guidance_scale=2.0, seed=0)
    other = service.text_to_image("一只红色的猫", "a dog", **SIDE, steps=3, guidance_scale=2.0)
    assert np.array_equal(first, again) and not np.array_equal(first, other) and other.seed > 0
    first.save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").parameters == first.parameters


def test_guidance_and_strength_arrive(service, strict):
    """Sent under the chapter's names both would be ignored, and these pictures the same."""
    weak, strong = (service.text_to_image("x", **SIDE, steps=3, guidance_scale=g, seed=1) for g in (1, 12))
    assert not np.array_equal(weak, strong)
    little, much = (service.image_to_image(weak, "y", s, steps=10, seed=1) for s in (0.1, 0.9))

    def distance(picture):
        return np.abs(np.asarray(picture, float) - np.asarray(weak, float)).mean()

    assert distance(little) < distance(much)


def test_several_pictures_of_a_call_have_the_seeds_that_follow(service, strict):
    pictures = service.text_to_image("x", **SIDE, steps=2, seed=7, count=2)
    assert [picture.seed for picture in pictures] == [7, 8]
    alone = np.asarray(service.text_to_image("x", **SIDE, steps=2, seed=8), int)
    near, far = (np.abs(np.asarray(picture, int) - alone).mean() for picture in reversed(pictures))
    assert near < 1 < far  # two at once are rounded otherwise than one alone


def test_outside_the_mask_every_pixel_stays_even_off_the_grid(service, strict):
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    mask = np.zeros((70, 90), bool)
    mask[20:40, 30:60] = True
    picture = np.asarray(service.inpaint(pixels, mask, "x", steps=3, mask_blur=0, seed=2))
    assert picture.shape == pixels.shape and np.array_equal(picture[~mask], pixels[~mask])
    assert not np.array_equal(picture[mask], pixels[mask])


def test_a_misspelt_field_is_warned_of(service):
    with pytest.warns(CourseWarning, match="guidence_scale"):
        service.text_to_image("x", **SIDE, steps=1, guidence_scale=3)


def test_only_the_reader_gets_in(server, service):
    assert service.models() and "Euler" in service.samplers()
    with pytest.raises(ServiceError) as caught:
        StableDiffusionService(server.url).text_to_image("x", **SIDE, steps=1)
    assert caught.value.kind == "authentication"


def test_ctrl_c_stops_the_painting(service):
    import _thread

    service.text_to_image("x", **SIDE, steps=1)  # loaded
    timer = threading.Timer(0.5, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        service.text_to_image("x", width=256, height=256, steps=150)
    timer.join()
    deadline = time.monotonic() + 60
    while service.progress():  # 0.0 once nothing is being painted
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_batch_goes_through_and_a_second_one_paints_nothing(service, strict, tmp_path):
    first = batch_generate(service, ["a", "b", "c", "d", "e"], tmp_path, **SIDE, steps=2)
    assert len(first.paths) == 5
    before = {path: path.stat().st_mtime_ns for path in first.paths}
    assert (
        batch_generate(service, ["a", "b", "c", "d", "e"], tmp_path, **SIDE, steps=2).entries == first.entries
    )
    assert {path: path.stat().st_mtime_ns for path in first.paths} == before


def test_the_same_server_by_openais_images_api(server, folder, strict, monkeypatch):
    monkeypatch.setattr(settings, "local_server", lambda *_: server.url)
    monkeypatch.setenv("COURSE_SD_MODEL", str(folder))
    painter = image_service("openai", provider="local")
    picture = painter.text_to_image("a cat", **SIDE)
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    edited = np.asarray(painter.inpaint(picture, mask, "a dog"))
    assert np.array_equal(edited[~mask], np.asarray(picture)[~mask]) and not np.array_equal(edited, picture)
