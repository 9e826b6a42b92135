"""The playground for painters: what its controls send, what it shows, and what it says when something is wrong."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from painting_servers import WebUI, broken, colour
from PIL import Image

from course_lib.images import encode
from course_lib.paint_widget import paint_playground
from course_lib.stable_diffusion import StableDiffusionService

RED = Image.new("RGB", (64, 64), "red")
SIZE = {"width": 64, "height": 64}


@pytest.fixture
def server():
    with WebUI() as running:
        yield running


@pytest.fixture
def widget(server):
    service = StableDiffusionService(server.url, retries=0)
    return paint_playground(service, "a cat", steps=5, guidance_scale=3, seed=0, **SIZE)


def shown(widget) -> tuple[int, int, int]:
    return Image.open(BytesIO(widget._right.value)).getpixel((100, 100))


def test_it_paints_at_once_and_carries_a_picture_for_readers_without_a_kernel(widget, server):
    assert shown(widget) == colour("a cat", 0) and widget.made[0].seed == 0
    asked = server.painted[0]
    assert (asked["steps"], asked["cfg_scale"], asked["width"], asked["seed"]) == (5, 3.0, 64, 0)
    still = widget._repr_mimebundle_()["text/html"]
    assert "data:image/jpeg" in still and "a cat" in still and "seed 0" in still


def test_each_control_reaches_the_server(widget, server):
    widget.prompt.value, widget.negative.value = "a <dog>", "a cat"
    widget.guidance.value, widget.steps.value = 9, 12
    widget.next_seed.click()
    widget.paint_button.click()
    asked = server.painted[-1]
    assert (asked["prompt"], asked["negative_prompt"], asked["seed"]) == ("a <dog>", "a cat", 1)
    assert (asked["cfg_scale"], asked["steps"]) == (9.0, 12)
    assert shown(widget) == colour("a <dog>", 1) and "<dog>" not in widget.still()
    assert len(widget.made) == 2 and not widget.paint_button.disabled


def test_strength_counts_once_there_is_a_picture_to_paint_over(widget, server):
    assert widget.over.disabled and widget.strength.disabled
    widget.keep.click()
    assert not widget.over.disabled and widget.strength.disabled
    widget.over.value = True
    assert not widget.strength.disabled
    widget.strength.value = 0.3
    widget.paint_button.click()
    assert server.painted[-1]["denoising_strength"] == 0.3 and "init_images" in server.asked()
    widget.over.value = False
    widget.paint_button.click()
    assert server.requests[-1][1].endswith("txt2img")


def test_a_picture_can_be_given_or_uploaded(server):
    widget = paint_playground(StableDiffusionService(server.url), "x", start=np.asarray(RED), **SIZE)
    assert not widget.over.disabled
    blue = {"name": "b.png", "content": encode(Image.new("RGB", (64, 64), "blue"))}
    widget._uploaded({"new": (blue,)})
    assert widget._start.getpixel((0, 0)) == (0, 0, 255)
    widget._uploaded({"new": ({"name": "b.png", "content": b"no picture"},)})
    assert "b.png" in widget._note.value and widget._start.getpixel((0, 0)) == (0, 0, 255)


def test_what_goes_wrong_is_one_sentence_and_the_playground_goes_on(widget, server):
    server.faults |= {number: broken for number in (1, 2, 3)}
    widget.paint_button.click()
    assert "OutOfMemoryError" in widget._note.value and len(widget.made) == 1
    server.faults.clear()
    widget.prompt.value = ""
    widget.paint_button.click()
    assert widget._note.value and len(widget.made) == 1
    widget.prompt.value = "a cat"
    widget.paint_button.click()
    assert not widget._note.value and len(widget.made) == 2


def test_a_warning_is_shown_too(widget, server):
    server.change = {"cfg_scale": 1.5}
    widget.paint_button.click()
    assert "1.5" in widget._note.value and len(widget.made) == 2


def test_without_a_server_it_says_so():
    with WebUI() as gone:
        service = StableDiffusionService(gone.url, retries=0)
    widget = paint_playground(service, "x", **SIZE)
    assert not widget.made and gone.url in widget.still()
