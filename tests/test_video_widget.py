"""The widget to go through a video: what a text does, what the slider does, and what is seen without a kernel."""

from __future__ import annotations

import pytest
import video_files

from course_lib import CLIPService, VideoAnalyzer, images
from course_lib.settings import set_language
from course_lib.video_widget import scrubber
from little_world import load_clips

DUCK = next(c for c in load_clips() if c.path.stem == "13_duck_heard_late")


@pytest.fixture(autouse=True)
def english():
    set_language("en")
    yield
    set_language(None)


@pytest.fixture(scope="module")
def analyzer() -> VideoAnalyzer:
    return VideoAnalyzer(CLIPService("mini-clip"))


def test_a_text_shows_when(analyzer):
    widget = scrubber(DUCK.path, "a picture of a yellow duck", analyzer=analyzer)
    assert widget.moment.overlap(2.5, 5.0) > 0.7 and f"{widget.moment.start:.2f}" in widget._drawing.value
    assert widget._drawing.value.count("<line") == 3  # two cuts and the cursor
    widget.text.value = "a picture of a cactus"
    assert widget.moment.overlap(5.0, 7.0) > 0.9
    widget.text.value = " "
    assert widget.moment is None and "polyline" not in widget._drawing.value


def test_the_slider_shows_the_picture_of_its_second(analyzer):
    widget = scrubber(DUCK.path, analyzer=analyzer, at=6.0)
    assert widget.second == 6.0
    first = widget._picture.value
    widget.slider.value = 0
    assert widget.second == 0 and widget._picture.value != first and "0.00 s" in widget._drawing.value
    assert images.open_image(widget._picture.value).size == (128, 128)
    widget.slider.value = widget.slider.max
    assert widget.second == pytest.approx(7.0, abs=0.2)


def test_without_a_kernel_the_picture_and_the_curve_are_seen(analyzer):
    bundle = scrubber(DUCK.path, "a duck", analyzer=analyzer, at=4.0)._repr_mimebundle_()
    assert bundle["text/plain"] == "Scrubber" and bundle["text/html"].count("<img") == 2
    assert scrubber(DUCK.path, analyzer=analyzer).still().count("<img") == 1


def test_a_text_that_cannot_be_used_gets_a_sentence(analyzer, monkeypatch):
    widget = scrubber(DUCK.path, analyzer=analyzer)
    widget.text.value = "\ud800"
    assert "broken characters" in widget._note.value
    widget.text.value = "a duck"
    assert widget._note.value == "" and widget.moment


def test_a_video_of_a_single_frame_can_be_shown(analyzer, tmp_path):
    widget = scrubber(video_files.write(tmp_path / "one.mp4", [0]), "a cat", analyzer=analyzer)
    widget.slider.value = widget.slider.max
    assert widget.second == 0 and widget.still()
