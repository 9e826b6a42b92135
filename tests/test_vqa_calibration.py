"""Confidence: the fit, the measures of it, its file, and that one model's calibration is not used for another."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import small_checkpoints

from course_lib import settings
from course_lib.clip import CLIPService
from course_lib.errors import CourseWarning, ImageError, ModelError, OutputError, SettingsError, TextError
from course_lib.settings import locate
from course_lib.vqa import VisualQA
from course_lib.vqa_calibration import (
    FILE,
    Calibration,
    beside,
    calibration_error,
    fit,
    load,
    log_odds,
    reliability,
    risk_coverage,
)
from little_world import draw, words
from little_world.scenes import single
from little_world.training import vqa as world


@pytest.fixture(autouse=True)
def _english(monkeypatch):
    monkeypatch.setattr(settings, "_chosen", "en")


@pytest.fixture(scope="module")
def mini() -> CLIPService:
    return CLIPService("mini-clip", device="cpu")


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> CLIPService:
    return CLIPService(small_checkpoints.make("clip", tmp_path_factory.mktemp("clip")), device="cpu")


# ------------------------------------------------------------------------------------------------ arithmetic


def test_the_fit_finds_the_weights_that_made_the_data():
    rng = np.random.default_rng(0)
    spread = np.array([1, 5, 0.2])
    x = rng.normal(size=(20_000, 3)) * spread
    true = np.array([1.5, -0.3, 2.0])
    right = rng.random(20_000) < 1 / (1 + np.exp(-(x @ true - 0.7)))
    *slopes, constant = fit(x, right.astype(float))
    # A slope is known as well as its feature varies: the standard error of slope x spread is 0.02 here.
    assert slopes * spread == pytest.approx(true * spread, abs=0.06) and constant == pytest.approx(
        -0.7, abs=0.06
    )


def test_a_feature_that_never_varies_gets_no_slope_and_separable_data_stay_finite():
    x = np.column_stack([np.linspace(-1, 1, 100), np.ones(100), np.zeros(100)])
    weights = fit(x, (x[:, 0] > 0).astype(float))
    assert np.isfinite(weights).all() and weights[1] == weights[2] == 0 and weights[0] > 1


def test_reliability_says_how_often_a_stated_confidence_holds():
    confidence, right = [0.2] * 10 + [0.8] * 10, [1, 1] + [0] * 8 + [1] * 8 + [0] * 2
    assert reliability(confidence, right, bins=2) == [
        (pytest.approx(0.2), 0.2, 10),
        (pytest.approx(0.8), 0.8, 10),
    ]
    assert calibration_error(confidence, right, bins=2) == pytest.approx(0)
    assert calibration_error([0.9] * 10, [1] * 5 + [0] * 5, bins=1) == pytest.approx(0.4)


def test_risk_and_coverage_by_hand():
    coverage, risk = risk_coverage([0.9, 0.5, 0.7, 0.6], [True, False, True, False])
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1] and risk == pytest.approx([0, 0, 1 / 3, 0.5])


def test_equally_sure_answers_have_no_order_among_them():
    """Else the order in which questions happen to be asked would draw the curve."""
    for right in ([True, True, False], [False, True, True]):
        coverage, risk = risk_coverage([0.5, 0.9, 0.5], right)
        assert coverage == pytest.approx([1 / 3, 2 / 3, 1]) and risk == pytest.approx([0, 1 / 4, 1 / 3])
    assert [measure.tolist() for measure in risk_coverage([], [])] == [[], []]


def test_the_surest_answers_of_a_softmax_keep_their_order_and_certainty_stays_finite(mini):
    odds = log_odds(np.array([0, 1e-9, 0.5, 1 - 1e-9, 1]))
    assert np.isfinite(odds).all() and (np.diff(odds) > 0).all() and odds[2] == 0
    assert np.isfinite(log_odds(np.float32([0, 1]))).all()
    stored = load(f"{locate('mini-clip')}/{FILE}")
    softmax = Calibration(candidates=stored.candidates, fingerprint=stored.fingerprint)
    bare = VisualQA(clip_service=mini, calibration=softmax)
    pictures = [draw(single(np.random.default_rng(seed), kind="cat", color="red")) for seed in range(12)]
    said = [bare.answer(each, "What color is the cat?", use_gpt4v=False).confidence for each in pictures]
    assert len(set(said)) == 12 and max(said) < 1


# -------------------------------------------------------------------------------------------------- the file


def test_the_stored_calibration_is_small_belongs_to_mini_clip_and_tells_how_it_was_made(mini):
    path = f"{locate('mini-clip')}/{FILE}"
    stored = load(path)
    assert stored.fits(mini) and stored.closed and len(json.dumps(stored.made)) > 100
    with open(path, encoding="utf-8") as file:
        assert len(file.read()) < 20_000
    assert "training" in stored.made["fitted on"] and "test stream" in stored.made["measured on"]
    assert (
        stored.made["by"] == "python -m little_world.training.vqa"
        and min(stored.made["examples"].values()) > 500
    )
    assert dict(stored.candidates) == world.candidates()
    assert VisualQA(clip_service=mini).calibration == stored


def test_what_the_file_says_of_itself_is_measured_again(mini):
    stored = load(f"{locate('mini-clip')}/{FILE}")
    table = world.measured(mini, stored, 150)["all scenes"]
    for sort, row in stored.measured["all scenes"].items():
        assert table[sort]["accuracy"] == pytest.approx(row["accuracy"], abs=0.08), sort
        assert row["accuracy when sure"] is None or row["accuracy when sure"] >= 0.94, sort
        assert row["calibration error"] <= 0.05, sort


def test_a_calibration_survives_its_file(tmp_path, mini):
    stored = load(f"{locate('mini-clip')}/{FILE}")
    stored.save(tmp_path / "again.json")
    assert load(tmp_path / "again.json") == stored and [p.name for p in tmp_path.iterdir()] == ["again.json"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", "no json", '{"weights": {"exists": [1]}, "fingerprint": []}', '{"weights": 3, "fingerprint": []}',
     '{"weights": {"exists": [1, 2, 3, NaN]}, "fingerprint": []}', '{"weights": {}, "fingerprint": [], "surprise": 1}'],
)  # fmt: skip
def test_a_file_that_is_none_gets_a_sentence(tmp_path, text, mini):
    path = tmp_path / FILE
    path.write_text(text)
    with pytest.raises(ModelError, match="is no calibration, please"):
        load(path)
    with pytest.raises(ModelError):
        VisualQA(clip_service=mini, calibration=path).calibration  # noqa: B018
    with pytest.raises(ModelError):
        load(tmp_path / "missing.json")


def test_a_folder_that_is_not_there_gets_a_sentence_and_the_home_folder_may_be_a_tilde(
    tmp_path, mini, monkeypatch
):
    calibration = load(f"{locate('mini-clip')}/{FILE}")
    with pytest.raises(OutputError, match="please use another folder"):
        calibration.save(tmp_path / "nowhere" / FILE)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    calibration.save(f"~/{FILE}")
    assert [file.name for file in tmp_path.iterdir()] == [FILE] and load(f"~/{FILE}") == load(tmp_path / FILE)
    monkeypatch.setattr(mini, "name", "~")
    assert beside(mini) == calibration


# --------------------------------------------------------------------------------- one model's, not another's


def test_another_models_calibration_is_refused_where_it_is_given_and_passed_over_where_it_lies(
    other, mini, tmp_path
):
    stored = load(f"{locate('mini-clip')}/{FILE}")
    with pytest.raises(SettingsError, match="another model"):
        VisualQA(clip_service=other, calibration=stored).calibration  # noqa: B018
    folder = shutil.copytree(other.name, tmp_path / "clip")
    shutil.copy(f"{locate('mini-clip')}/{FILE}", folder)
    copied = CLIPService(folder, device="cpu")
    with pytest.warns(CourseWarning, match="calibrate again"):
        assert beside(copied) is None
    assert beside(other) is None
    moved = CLIPService(shutil.copytree(locate("mini-clip"), tmp_path / "moved"), device="cpu")
    assert beside(moved) == stored  # the same weights under another name


# ------------------------------------------------------------------------------------------- one's own pictures


def test_a_calibration_is_fitted_on_ones_own_pictures_and_used_from_then_on(other, tmp_path):
    """Of a model that knows nothing, it learns just that: the answers are no better than chance, and not believed."""
    rng = np.random.default_rng(1)
    examples = []
    for index in range(60):
        scene = single(rng, kind=("cat", "dog")[index % 2], color=("red", "white")[index // 2 % 2])
        picture, thing = draw(scene), scene.things[0]
        examples += [
            {"image": picture, "question": f"What color is the {thing.kind}?", "answer": thing.color},
            {"image": picture, "question": "Is there a cat?", "answer": ("no", "yes")[thing.kind == "cat"]},
            {"image": picture, "question": "What is this?", "answer": thing.kind},
            {"image": picture, "question": "Why?", "answer": "because"},
        ]
    qa = VisualQA(
        clip_service=other, candidates={"thing": ["cat", "dog"], "color": ["red", "white", "blue", "green"]}
    )
    before = [qa.answer(e["image"], e["question"], use_gpt4v=False) for e in examples[:40]]
    found = qa.calibrate(examples)
    assert (
        qa.calibration is found
        and found.fits(other)
        and set(found.made["examples"]) == {"color", "exists", "thing"}
    )
    after = [qa.answer(e["image"], e["question"], use_gpt4v=False) for e in examples[:40]]
    assert sum(a.answered for a in after) < sum(a.answered for a in before)
    found.save(tmp_path / "mine.json")
    again = VisualQA(clip_service=other, calibration=tmp_path / "mine.json")
    assert again.answer(examples[0]["image"], "What is this?", use_gpt4v=False) == after[2]


def test_too_little_to_calibrate_on_gets_a_sentence(mini):
    picture = draw(single(np.random.default_rng(0), kind="cat"))
    qa = VisualQA(clip_service=mini)
    for examples in ([], [{"image": picture, "question": "Is there a cat?", "answer": "yes"}] * 50):
        with pytest.raises(TextError, match="nothing to calibrate on"):
            qa.calibrate(examples)
    with pytest.raises(ImageError):
        qa.calibrate([{"image": b"broken", "question": "Is there a cat?", "answer": "yes"}])
    with pytest.raises(TextError):
        qa.calibrate([{"image": picture, "answer": "yes"}])


def test_without_a_calibration_the_confidence_is_the_models_own(mini):
    bare = VisualQA(
        clip_service=mini,
        calibration=Calibration(fingerprint=load(f"{locate('mini-clip')}/{FILE}").fingerprint),
    )
    picture = draw(
        single(
            np.random.default_rng(0),
            kind="cat",
            color="white",
            place="center",
            size="large",
            time="day",
            background="snow",
        )
    )
    said = bare.answer(picture, "Is it day or night?", use_gpt4v=False)
    cosines = mini.similarity(picture, ["a picture by day", "a picture at night"])
    assert said == "day" and said.confidence == pytest.approx(
        float(mini.to_probabilities(cosines).max()), abs=1e-4
    )


def test_an_open_vocabulary_answers_what_a_closed_one_refuses(mini):
    stored = load(f"{locate('mini-clip')}/{FILE}")
    picture = draw(single(np.random.default_rng(0), kind="cat"))
    assert VisualQA(clip_service=mini).answer(picture, "Is there a giraffe?", use_gpt4v=False).reason
    opened = VisualQA(clip_service=mini, calibration=replace(stored, closed=False), min_confidence=0)
    assert opened.answer(picture, "Is there a giraffe?", use_gpt4v=False) in ("yes", "no")
    assert all(len(words.KIND[kind]) == 4 for kind in words.KIND)
