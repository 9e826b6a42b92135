"""CLIPService: the chapter's calls, what they return, and each mistake of its listing once, by its row.

The rows number what the listing in section 二 gets wrong; lesson 02 shows it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import small_checkpoints
import torch
from PIL import Image

from course_lib import preprocessing, registry, settings
from course_lib.clip import Classification, CLIPService
from course_lib.errors import CourseWarning, ImageError, SettingsError, TextError
from course_lib.texts import tokenize

ROOT = Path(__file__).resolve().parents[1]
RNG = np.random.default_rng(1)
PICTURES = [Image.fromarray(RNG.integers(0, 256, (30 + i, 50 - i, 3), dtype=np.uint8)) for i in range(7)]
LABELS = ["cat", "dog", "car"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return small_checkpoints.make("clip", tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def siglip(tmp_path_factory) -> CLIPService:
    return CLIPService(small_checkpoints.make("siglip2", tmp_path_factory.mktemp("siglip2")), device="cpu")


@pytest.fixture
def service(folder) -> CLIPService:
    return CLIPService(folder, device="cpu")


@pytest.fixture(scope="module")
def mini() -> CLIPService:
    return CLIPService("mini-clip", device="cpu")


@pytest.fixture(autouse=True)
def _english(monkeypatch):
    monkeypatch.setattr(settings, "_chosen", "en")


# What the chapter's listing gets wrong


def test_row_1_features_are_read_from_either_major_of_transformers(service, monkeypatch):
    vectors = torch.tensor([[3.0, 4.0]])
    monkeypatch.setattr(service, "dim", 2)
    for output in (vectors, SimpleNamespace(pooler_output=vectors)):  # 4.x, 5.x
        monkeypatch.setattr(service.model, "get_image_features", lambda output=output, **inputs: output)
        np.testing.assert_allclose(service.encode_image(PICTURES[0]), [[0.6, 0.8]], rtol=1e-6)


def test_row_2_chinese_labels_for_an_english_model_bring_a_warning(service, monkeypatch):
    monkeypatch.setattr(service, "name", "openai/clip-vit-base-patch32")
    with pytest.warns(CourseWarning, match="chinese-clip"):
        service.zero_shot_classify(PICTURES[0], ["猫", "狗"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", CourseWarning)
        service.zero_shot_classify(PICTURES[0], LABELS)
        monkeypatch.setattr(service, "name", registry.models(task="clip", language="zh")[0].id)
        service.zero_shot_classify(PICTURES[0], ["猫", "狗"])


def test_row_3_one_label_keeps_its_dimension(service):
    assert service.similarity(PICTURES[0], ["cat"]).shape == (1,)
    assert service.similarity(PICTURES[0], "cat").shape == (1,)
    assert service.similarity(PICTURES[:1], ["cat"]).shape == (1, 1)
    assert service.similarity(PICTURES, ["cat"]).shape == (7, 1)
    assert service.zero_shot_classify(PICTURES[0], ["cat"]) == {"cat": 1.0}


def test_row_4_the_scale_is_the_models_own_and_not_100(service):
    cosines = service.similarity(PICTURES, LABELS)
    expected = torch.softmax(torch.from_numpy(cosines * np.exp(3.0)), dim=-1)
    np.testing.assert_allclose(service.probabilities(PICTURES, LABELS), expected, rtol=1e-4)
    hundred = torch.softmax(torch.from_numpy(cosines * 100), dim=-1)
    assert np.abs(service.probabilities(PICTURES, LABELS) - hundred.numpy()).max() > 0.05


def test_row_5_a_template_is_used_repeats_are_refused_and_none_is_an_answer(service):
    with_template = service.zero_shot_classify(PICTURES[0], LABELS, template="a photo of a {}")
    sentences = ["a photo of a cat", "a photo of a dog", "a photo of a car"]
    np.testing.assert_allclose(
        list(with_template.values()), service.probabilities(PICTURES[0], sentences), rtol=1e-5
    )
    with pytest.raises(TextError, match="'dog' appears more than once"):
        service.zero_shot_classify(PICTURES[0], ["cat", "dog", "dog"])
    # The picture is more like the reference than like any label; without it a softmax crowns one of them.
    best = max(small_checkpoints.SENTENCES, key=lambda text: service.similarity(PICTURES[0], text)[0])
    others = [text for text in small_checkpoints.SENTENCES if text != best]
    assert service.zero_shot_classify(PICTURES[0], others).label in others
    assert service.zero_shot_classify(PICTURES[0], others, none_of_these=best).label is None


def test_row_6_a_long_text_is_cut_with_a_warning_and_keeps_its_end_token(service):
    with pytest.warns(CourseWarning, match=r"limit of 77 tokens, its last 425 were cut"):
        features = service.encode_text(" ".join(["cat"] * 500))
    # 75 and the two special tokens: as many as there is room
    expected = service.encode_text(" ".join(["cat"] * 75))
    np.testing.assert_allclose(features, expected, atol=1e-6)


def test_row_6_texts_are_cut_alike_in_several_threads(service):
    """Whether to cut is a state of the tokenizer that they share."""
    texts, failed, interval = [" ".join(["cat"] * 200)] * 8, [], sys.getswitchinterval()

    def work():
        try:
            for _ in range(30):
                assert tokenize(service.tokenizer, texts, 77)["input_ids"].shape == (8, 77)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    sys.setswitchinterval(1e-5)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CourseWarning)
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failed


def test_row_7_importing_loads_no_model_and_speaks_to_nobody():
    code = (
        "import socket\ndef refuse(*_): raise SystemExit('the network was used')\nsocket.socket.connect = "
        "refuse\nimport course_lib.clip, course_lib.loading\nprint(len(course_lib.loading._in_use), "
        "'transformers' in __import__('sys').modules)"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT)
    assert output.strip() == "0 False"


def test_row_8_many_pictures_go_through_in_batches(folder, monkeypatch):
    service = CLIPService(folder, device="cpu", batch_size=3)
    sizes = []
    forward = service.model.get_image_features

    def counted(pixel_values):
        sizes.append(len(pixel_values))
        return forward(pixel_values=pixel_values)

    monkeypatch.setattr(service.model, "get_image_features", counted)
    service.encode_image(PICTURES)
    assert sizes == [3, 3, 1]


# What the calls take and return


def test_the_chapters_calls_work_with_its_names_and_order(folder):
    service = CLIPService(str(folder))
    image = PICTURES[0]
    labels = ["猫", "狗", "汽车", "飞机", "风景"]
    result = service.zero_shot_classify(image, labels)
    assert isinstance(result, dict)
    assert list(result) == labels
    assert all(type(probability) is float for probability in result.values())
    assert sum(result.values()) == pytest.approx(1)
    for label, prob in sorted(result.items(), key=lambda x: x[1], reverse=True):
        assert f"{label}: {prob:.1%}".endswith("%")
    assert service.encode_image(image).shape == (1, 24)
    assert service.encode_text("一只猫").shape == (1, 24)
    assert service.encode_text(labels).shape == (5, 24)
    assert service.similarity(image, labels).shape == (5,)
    calls = {
        "encode_image": {"image": image}, "encode_text": {"text": "cat"},
        "similarity": {"image": image, "texts": labels},
        "zero_shot_classify": {"image": image, "labels": labels},
    }  # fmt: skip
    for name, arguments in calls.items():
        getattr(service, name)(**arguments)
    assert CLIPService(model_name=str(folder)).name == str(folder)


@pytest.mark.parametrize("size", [(300, 3), (3, 300), (641, 2)])
def test_of_a_thin_picture_only_what_the_crop_keeps_is_resized(service, size, monkeypatch):
    # No black and no white: Pillow cuts off what overshoots between its two passes, in whichever order it takes them.
    image = Image.fromarray(np.random.default_rng(0).integers(80, 170, (size[1], size[0], 3), dtype=np.uint8))
    prepare, resize, made = service.preprocessor.prepare, Image.Image.resize, []
    whole = prepare(image)
    monkeypatch.setattr(preprocessing, "LARGEST", 0)
    monkeypatch.setattr(
        Image.Image, "resize", lambda self, size, *a, **o: made.append(size) or resize(self, size, *a, **o)
    )
    few = prepare(image)
    crop = service.preprocessor.crop
    assert made == [(crop["width"], crop["height"])] and few.shape == whole.shape
    assert np.abs(few.astype(int) - whole).max() <= 1
    assert prepare(Image.new("RGB", (3_000_000, 1), "red"))[0, 0].tolist() == [255, 0, 0]


def test_pictures_come_as_lists_paths_arrays_iterators(service, tmp_path):
    expected = service.encode_image(PICTURES)
    paths = []
    for index, picture in enumerate(PICTURES):
        paths.append(tmp_path / f"{index}.png")
        picture.save(paths[-1])
    for many in (
        paths,
        [str(path) for path in paths],
        tuple(PICTURES),
        (picture for picture in PICTURES),
        [np.asarray(picture) for picture in PICTURES],
        [path.read_bytes() for path in paths],
    ):
        np.testing.assert_allclose(service.encode_image(many), expected, atol=1e-6)
    stack = np.stack([np.asarray(PICTURES[0]), np.asarray(PICTURES[0])])
    np.testing.assert_allclose(service.encode_image(stack), expected[[0, 0]], atol=1e-6)
    tensor = torch.from_numpy(stack).permute(0, 3, 1, 2)
    np.testing.assert_allclose(service.encode_image(tensor), expected[[0, 0]], atol=1e-6)


def test_results_keep_their_order_over_many_batches(folder):
    one_by_one = CLIPService(folder, device="cpu", batch_size=1)
    pictures = PICTURES * 6
    np.testing.assert_allclose(
        CLIPService(folder, device="cpu", batch_size=4).encode_image(pictures),
        np.concatenate([one_by_one.encode_image(picture) for picture in pictures]),
        atol=1e-5,
    )


def test_no_picture_and_no_text_give_no_features(service):
    assert service.encode_image([]).shape == (0, 24)
    assert service.encode_text([]).shape == (0, 24)
    assert service.similarity([], LABELS).shape == (0, 3)
    assert service.zero_shot_classify([], LABELS) == []


def test_an_unreadable_picture_among_many_is_named(service):
    with pytest.raises(ImageError, match=r"no file gone\.png"):
        service.encode_image([*PICTURES, "gone.png"])


def test_many_pictures_give_a_list_of_results(service):
    results = service.zero_shot_classify(PICTURES, LABELS)
    assert [type(result) for result in results] == [Classification] * len(PICTURES)
    for result, picture in zip(results, PICTURES, strict=True):
        alone = service.zero_shot_classify(picture, LABELS)
        assert result == pytest.approx(alone, abs=1e-5)
        assert result.label == alone.label == max(result, key=result.get)
        cosines = service.similarity(picture, LABELS)
        assert list(result.similarities.values()) == pytest.approx(cosines.tolist(), abs=1e-5)


def test_several_templates_average_their_features(service):
    templates = ["a photo of a {}", "a red {}", "{}"]
    features = np.stack(
        [service.encode_text([t.replace("{}", label) for label in LABELS]) for t in templates]
    )
    mean = features.mean(axis=0)
    mean /= np.linalg.norm(mean, axis=-1, keepdims=True)
    result = service.zero_shot_classify(PICTURES[0], LABELS, template=templates)
    expected = (service.encode_image(PICTURES[0]) @ mean.T)[0]
    assert list(result.similarities.values()) == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_label_with_braces_is_put_in_as_it_is(service):
    labels = ["{cat}", "{}", "{0}"]
    assert list(service.zero_shot_classify(PICTURES[0], labels, template="a {} here")) == labels


def test_none_of_these_takes_its_share_of_the_probability(service):
    result = service.zero_shot_classify(PICTURES[0], LABELS, none_of_these=["a landscape", "the sky"])
    assert sum(result.values()) + result.none == pytest.approx(1)
    expected = service.probabilities(PICTURES[0], [*LABELS, "a landscape", "the sky"])
    assert list(result.values()) == pytest.approx(expected[:3].tolist(), abs=1e-6)
    assert result.none == pytest.approx(float(expected[3:].sum()), abs=1e-6)
    assert (result.label is None) == (result.none > max(result.values()))
    assert service.zero_shot_classify(PICTURES[0], LABELS).none == 0


def test_min_similarity_abstains_below_its_cosine(service):
    best = max(service.similarity(PICTURES[0], LABELS))
    answered = service.zero_shot_classify(PICTURES[0], LABELS, min_similarity=best - 0.01)
    assert answered.label is not None
    abstained = service.zero_shot_classify(PICTURES[0], LABELS, min_similarity=best + 0.01)
    assert abstained.label is None
    assert dict(abstained) == dict(answered)


def test_siglip_judges_each_label_by_itself(siglip):
    alone = siglip.zero_shot_classify(PICTURES[0], ["cat"])
    among = siglip.zero_shot_classify(PICTURES[0], LABELS, none_of_these=["a landscape", "the sky"])
    assert alone["cat"] == pytest.approx(among["cat"], abs=1e-6)
    assert 0 < alone["cat"] < 1
    assert among.none == pytest.approx(
        siglip.probabilities(PICTURES[0], ["a landscape", "the sky"]).max(), abs=1e-6
    )


# Loading


def test_services_on_one_model_share_it_and_a_retrained_folder_is_another(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    first, second = CLIPService(copy, device="cpu"), CLIPService(copy, device="cpu", batch_size=2)
    assert first.model is second.model
    assert first.model is not CLIPService(folder, device="cpu").model
    os.utime(copy / "model.safetensors", ns=(1, 1))
    assert CLIPService(copy, device="cpu").model is not first.model


def test_services_made_at_once_in_several_threads_load_once(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    services = []
    threads = [
        threading.Thread(target=lambda: services.append(CLIPService(copy, device="cpu"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(service.model) for service in services}) == 1


def test_loading_is_silent(folder, tmp_path, capfd):
    CLIPService(shutil.copytree(folder, tmp_path / "copy"), device="cpu").encode_image(PICTURES)
    assert capfd.readouterr() == ("", "")


def test_the_model_and_the_device_follow_the_settings(folder, monkeypatch):
    monkeypatch.setenv("COURSE_CLIP_MODEL", str(folder))
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    service = CLIPService()
    assert (service.name, service.device) == (str(folder), "cpu")
    assert repr(service) == f"CLIPService({str(folder)!r}, family='clip', device='cpu')"
    monkeypatch.setenv("COURSE_DEVICE", "auto")
    assert CLIPService().device in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "nonsense"])
def test_a_device_that_is_not_there_is_refused(folder, device):
    with pytest.raises(SettingsError, match="COURSE_DEVICE"):
        CLIPService(folder, device=device)


# The miniature


CHAPTERS_LABELS = {
    "zh": ["猫", "狗", "汽车", "飞机", "风景"],
    "en": ["cat", "dog", "car", "airplane", "landscape"],
}


def test_without_settings_the_service_is_the_miniature(mini, monkeypatch):
    for name in ("COURSE_CLIP_MODEL", "COURSE_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    service = CLIPService()
    assert service.name == "mini-clip"
    assert service.model is mini.model or service.device != "cpu"


@pytest.mark.parametrize("language", ["zh", "en"])
def test_row_2_the_miniature_knows_the_chapters_labels_in_both_languages(mini, language):
    from little_world import draw
    from little_world.scenes import landscape, single

    rng = np.random.default_rng(2026)
    kinds = ["cat", "dog", "car", "airplane", None]
    truths = [index for index in range(5) for _ in range(8)]
    pictures = [draw(single(rng, kind=kinds[i]) if kinds[i] else landscape(rng)) for i in truths]
    labels = CHAPTERS_LABELS[language]
    results = mini.zero_shot_classify(pictures, labels)
    right = np.mean([result.label == labels[truth] for result, truth in zip(results, truths, strict=True)])
    assert right >= 0.95
