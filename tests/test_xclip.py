"""X-CLIP through our class: the model's own numbers, its number of frames, the order of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_checkpoints
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

import course_lib
from course_lib.errors import ModelError, TextError, VideoError
from course_lib.settings import set_language
from course_lib.xclip import XCLIPService

TEXTS = ["a red car", "a cat", "a photo of two dogs on the grass"]


@pytest.fixture(autouse=True)
def english():
    set_language("en")
    yield
    set_language(None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return small_checkpoints.make_xclip(tmp_path_factory.mktemp("xclip"))


@pytest.fixture(scope="module")
def service(folder) -> XCLIPService:
    return XCLIPService(folder, device="cpu")


def clip(seed: int, count: int = 8) -> list[Image.Image]:
    """Frames of their own size with structure at several scales."""
    rng = np.random.default_rng(seed)
    coarse = (rng.integers(0, 256, (4, 5, 3), dtype=np.uint8) for _ in range(count))
    return [Image.fromarray(c).resize((50 + seed, 40), Image.Resampling.BILINEAR) for c in coarse]


def forward(folder: Path, clips: list[list], texts: list[str]):
    """The model on the processor's output, as the transformers documentation does it."""
    processor = AutoImageProcessor.from_pretrained(folder, use_fast=False)
    pixels = torch.cat(
        [processor(frames, return_tensors="pt")["pixel_values"].flatten(end_dim=-4)[None] for frames in clips]
    )
    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        return AutoModel.from_pretrained(folder).eval()(pixel_values=pixels, **tokens)


def test_similarities_are_the_models_own(folder, service):
    clips = [clip(1), clip(2), clip(3)]
    expected = forward(folder, clips, TEXTS)
    logits = service.similarity(clips, TEXTS) * service.logit_scale
    np.testing.assert_allclose(logits, expected.logits_per_video.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(service.encode_video(clips), expected.video_embeds.numpy(), rtol=0, atol=1e-5)


def test_texts_are_adapted_to_the_clip(folder, service):
    """The product of the plain vectors is another number: the trap of ranking by `get_text_features`."""
    tokens = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        text = service.model.get_text_features(**tokens)
    text = torch.nn.functional.normalize(getattr(text, "pooler_output", text), dim=-1).numpy()
    plain = service.encode_video(clip(1)) @ text.T
    assert np.abs(plain - service.similarity(clip(1), TEXTS)).max() > 0.01


@pytest.mark.parametrize("count", [1, 3, 7, 9, 40])
def test_a_clip_of_any_length_is_given_as_the_number_of_frames_that_the_model_takes(folder, service, count):
    frames = clip(4, count)
    with pytest.raises((RuntimeError, ValueError)):
        forward(folder, [frames], TEXTS)  # the trap is there
    evenly = [frames[round(i * (count - 1) / 7)] for i in range(8)]
    np.testing.assert_allclose(service.encode_video(frames), service.encode_video(evenly), atol=1e-6)


def test_one_clip_and_many_as_lists_and_as_arrays(service):
    arrays = [np.stack([np.asarray(frame) for frame in clip(5)])] * 2
    one = service.encode_video(arrays[0])
    assert one.shape == (1, 24) and one.dtype == np.float32
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    for many in (arrays, np.stack(arrays), [clip(5), clip(5)]):
        np.testing.assert_allclose(service.encode_video(many), np.repeat(one, 2, axis=0), atol=1e-5)
    small = XCLIPService(service.name, device="cpu", batch_size=1)
    np.testing.assert_allclose(
        small.encode_video([clip(5), clip(6)]), service.encode_video([clip(5), clip(6)]), atol=1e-5
    )


def test_a_clip_played_backwards_is_another_clip(service):
    forwards, backwards = service.encode_video([clip(7), clip(7)[::-1]])
    assert np.abs(forwards - backwards).max() > 1e-3  # a thousand times the rounding


def test_labels_are_ranked_for_a_clip(service):
    result = service.zero_shot_classify(clip(8), TEXTS)
    assert list(result) == TEXTS and sum(result.values()) == pytest.approx(1, abs=1e-5)
    assert result.label == max(result.similarities, key=result.similarities.get)
    assert result.similarities == pytest.approx(
        dict(zip(TEXTS, service.similarity(clip(8), TEXTS)[0].tolist()))
    )


def test_what_cannot_be_is_one_sentence(service, tmp_path):
    for nothing in ([], [[]], np.zeros((0, 8, 8, 3), np.uint8), "clip.mp4"):
        with pytest.raises(VideoError, match="frames of a clip"):
            service.encode_video(nothing)
    with pytest.raises(TextError):
        service.similarity(clip(1), [])
    with pytest.raises(ModelError, match="not one of xclip"):
        XCLIPService(small_checkpoints.make("clip", tmp_path / "clip"))


def test_it_is_among_the_courses_names():
    assert course_lib.XCLIPService is XCLIPService
