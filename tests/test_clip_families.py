"""Each family through one class: equal to the model's own forward pass on the processor's own output.

The checkpoints are small and random, but of the real architecture, laid out as the published ones are, and
loaded by `from_pretrained`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import small_checkpoints
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoProcessor

from course_lib.clip import SIGMOID, CLIPService

TEXTS = [text.lower() for text in small_checkpoints.SENTENCES]


def picture(index: int) -> Image.Image:
    """A picture of its own size, wide or high, with structure at several scales."""
    rng = np.random.default_rng(index)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return coarse.resize((40 + 13 * index, 90 - 9 * index), Image.Resampling.BILINEAR)


PICTURES = [picture(index) for index in range(5)]


@dataclass
class Family:
    name: str
    folder: Any
    service: CLIPService
    model: Any
    processor: Any

    def forward(self, images, texts):
        """The model on the processor's output, as the transformers documentation does it."""
        padding = {"padding": "max_length", "max_length": 64} if self.sigmoid else {"padding": True}
        inputs = self.processor(text=texts, images=images, return_tensors="pt", **padding)
        with torch.no_grad():
            return self.model(**inputs)

    @property
    def sigmoid(self) -> bool:
        return self.service.family in SIGMOID


@pytest.fixture(scope="module", params=small_checkpoints.FAMILIES)
def family(request, tmp_path_factory) -> Family:
    folder = small_checkpoints.make(request.param, tmp_path_factory.mktemp(request.param))
    processor = AutoProcessor.from_pretrained(folder)
    # The Pillow backend, also where torchvision is installed: the service always uses it.
    processor.image_processor = AutoImageProcessor.from_pretrained(folder, use_fast=False)
    model = AutoModel.from_pretrained(folder).eval()
    return Family(request.param, folder, CLIPService(folder, device="cpu"), model, processor)


def test_logits_equal_the_models_own(family):
    expected = family.forward(PICTURES, TEXTS).logits_per_image.numpy()
    np.testing.assert_allclose(family.service.logits(PICTURES, TEXTS), expected, rtol=1e-5, atol=1e-5)


def test_features_equal_the_models_own(family):
    output = family.forward(PICTURES, TEXTS)
    np.testing.assert_allclose(family.service.encode_image(PICTURES), output.image_embeds, rtol=0, atol=1e-6)
    np.testing.assert_allclose(family.service.encode_text(TEXTS), output.text_embeds, rtol=0, atol=1e-6)


def test_probabilities_are_the_models_activation(family):
    logits = family.forward(PICTURES, TEXTS).logits_per_image
    expected = logits.sigmoid() if family.sigmoid else logits.softmax(dim=-1)
    found = family.service.probabilities(PICTURES, TEXTS)
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-5)
    assert np.allclose(found.sum(axis=-1), 1, atol=1e-5) is not family.sigmoid


def test_features_are_unit_float32_and_both_towers_look_at_their_input(family):
    for features in (family.service.encode_image(PICTURES), family.service.encode_text(TEXTS)):
        assert features.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(features, axis=-1), 1, atol=1e-5)
        cosines = features @ features.T
        assert cosines[~np.eye(len(features), dtype=bool)].max() < 0.9999  # no two inputs alike


def test_a_batch_gives_what_each_gives_alone(family):
    service = family.service
    np.testing.assert_allclose(
        service.encode_image(PICTURES),
        np.concatenate([service.encode_image(image) for image in PICTURES]),
        atol=1e-5,
    )
    np.testing.assert_allclose(
        service.encode_text(TEXTS), np.concatenate([service.encode_text(text) for text in TEXTS]), atol=1e-5
    )


def test_pixels_equal_the_processors(family):
    preprocessor = family.service.preprocessor
    assert preprocessor.fast is (family.name != "siglip2_naflex")
    sizes = [(50, 50), (33, 80), (80, 33), (32, 32), (7, 400), (400, 7), (500, 375)]
    for size in sizes:
        image = PICTURES[0].resize(size)
        expected = family.processor.image_processor(images=[image], return_tensors="pt")
        found = preprocessor.batch([preprocessor.prepare(image)], "cpu")
        assert set(found) == set(expected)
        for name in found:
            np.testing.assert_allclose(
                found[name], expected[name], rtol=0, atol=1e-6, err_msg=f"{name} {size}"
            )


def test_scale_and_bias_are_read_from_the_model(family):
    assert family.service.logit_scale == pytest.approx(np.exp(3.0), rel=1e-6)
    assert family.service.logit_bias == (-4.0 if family.sigmoid else 0.0)


def test_a_text_at_the_limit_is_read_whole_and_beyond_it_cut(family):
    service = family.service
    letters = next(n for n in range(1, 200) if _tokens(service, n + 1) > service.max_tokens)
    assert _tokens(service, letters) <= service.max_tokens
    with pytest.warns(UserWarning, match=str(_tokens(service, letters + 3) - service.max_tokens)):
        cut = service.encode_text(_words(letters + 3))
    assert cut.shape == (1, service.encode_text("a cat").shape[1])
    # Within the limit every word counts.
    whole = service.encode_text([_words(letters), _words(letters - 1)])
    assert whole[0] @ whole[1] < 0.99999


def _words(count: int) -> str:
    return " ".join(["a"] * count)


def _tokens(service: CLIPService, count: int) -> int:
    return len(service.tokenizer(_words(count))["input_ids"])


@pytest.mark.parametrize("family", ["siglip", "siglip2", "siglip2_naflex"], indirect=True)
def test_siglip_is_padded_as_it_was_trained_and_reads_lower_case(family):
    service = family.service
    short = service.tokenizer(TEXTS[:1], return_tensors="pt")
    with torch.no_grad():
        output = service.model.get_text_features(**short)
        unpadded = torch.nn.functional.normalize(getattr(output, "pooler_output", output), dim=-1).numpy()
    assert (
        unpadded @ service.encode_text(TEXTS[0]).T
    ).item() < 0.999  # the trap: another padding, another vector
    np.testing.assert_array_equal(
        service.encode_text("A Photo of a CAT"), service.encode_text("a photo of a cat")
    )


def test_half_precision_weights_are_computed_in_float32(family, tmp_path):
    folder = tmp_path / "half"
    family.model.half().save_pretrained(folder)
    family.model.float()
    for file in family.folder.iterdir():
        if not (folder / file.name).exists():
            (folder / file.name).write_bytes(file.read_bytes())
    service = CLIPService(folder, device="cpu")
    assert next(service.model.parameters()).dtype == torch.float32
    found = service.similarity(PICTURES, TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, family.service.similarity(PICTURES, TEXTS), atol=0.01)
