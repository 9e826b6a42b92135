"""Training mini-action and mini-sound, in miniature and end to end, and what their stored weights are worth."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from course_lib import CLIPService, VideoAnalyzer
from course_lib.hearing import SoundEncoder
from course_lib.video_actions import ActionModel, ActionNetwork, local_distances, peaks
from little_world import load_clips
from little_world.clips import EVENTS, MOTIONS
from little_world.paths import MODELS
from little_world.training import action, evaluate_action, evaluate_sound, sound
from little_world.training.action import BACKWARDS, FPS, Batches, Course, vary

CLIPS = {example.path.stem: example for example in load_clips()}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("COURSE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def analyzer() -> VideoAnalyzer:
    return VideoAnalyzer(CLIPService("mini-clip"))


# ------------------------------------------------------------------------------------------- the whole way


def test_mini_action_is_trained_stored_and_read_again(cache):
    recipe = replace(action.RECIPE, steps=2, batch_size=4)
    action.train(cache / "model", recipe, clips=18, test_clips=20)
    model = ActionModel(CLIPService("mini-clip"), str(cache / "model"))
    assert model.actions == MOTIONS and model.event_sorts == EVENTS and model.fps == FPS
    metrics = json.loads((cache / "model" / "metrics.json").read_text())
    assert metrics["clips"] == 18 and set(metrics["rows"]["action"]) >= {"mini-action", "mean of frames"}
    card = (cache / "model" / "README.md").read_text(encoding="utf-8")
    assert "| action |" in card and "--evaluate" in card
    assert {path.suffix for path in (cache / "model").iterdir()} == {".json", ".safetensors", ".md"}


def test_mini_sound_is_trained_stored_and_read_again(cache, monkeypatch):
    monkeypatch.setattr(evaluate_sound, "COUNT", 12)
    sound.train(cache / "ears", replace(sound.RECIPE, steps=2, batch_size=8), clips=12)
    ears = SoundEncoder(CLIPService("mini-clip"), str(cache / "ears"))
    assert set(ears.confidence) == {"picture", "sound"}
    rows = json.loads((cache / "ears" / "metrics.json").read_text())["rows"]
    assert any("clean" in row for row in rows) and "| both |" in (cache / "ears" / "README.md").read_text(
        encoding="utf-8"
    )


# ------------------------------------------------------------------------------------------------ its data


def course(motion: str = "right", event: str | None = None, count: int = 17, at: float = 0.5) -> Course:
    """Moment i looks like the number i."""
    features = np.arange(count, dtype=np.float32)[:, None] * np.ones((1, 4), np.float32)
    return Course(features, motion, event, at)


def test_a_clip_played_backwards_does_the_opposite():
    shown = []  # which moment is to be seen when the event happens
    for seed in range(40):
        varied = vary(course("enter", count=17), np.random.default_rng(seed))
        assert varied.motion == ("enter" if varied.features[0, 0] < varied.features[-1, 0] else "leave")
        event = vary(course("still", "vanish"), np.random.default_rng(seed))
        forwards = event.features[0, 0] < event.features[-1, 0]
        assert event.event == ("vanish" if forwards else "appear")
        values = event.features[:, 0]
        if (
            np.abs(np.diff(values)) > 0.5
        ).all():  # no frame is held: half a second is at moment 4, at any pace
            shown.append(np.interp(event.at * FPS, np.arange(len(values)), values))
    assert len(shown) > 5 and shown == pytest.approx([4] * len(shown), abs=0.7)
    for sort in ("stop", "turn"):
        assert all(vary(course("up", sort), np.random.default_rng(s)).motion == "up" for s in range(20))
    assert all(BACKWARDS[BACKWARDS[motion]] == motion for motion in MOTIONS)


def test_where_nothing_happens_something_is_made_to_stop_or_to_turn_back():
    made = [vary(course("right", count=25), np.random.default_rng(seed)) for seed in range(120)]
    assert {varied.event for varied in made} == {None, "stop", "turn"}
    for varied in made:
        values, seconds = varied.features[:, 0], np.arange(len(varied.features)) / FPS
        if varied.event is None:
            assert varied.motion == ("right" if values[0] < values[-1] else "left")
            continue
        before, after = values[seconds <= varied.at - 0.2], values[seconds >= varied.at + 0.2]
        assert varied.motion == "right" and (np.diff(before) > -0.1).all()
        if varied.event == "stop":
            assert np.ptp(after) < 0.1
        else:
            assert (np.diff(after) < 0.1).all() and np.ptp(after) > 1


def test_a_batch_follows_from_its_step_alone():
    some = [course("still"), course("up", "stop", 25, 1.5), course("bounce", "color", 30, 2.0)]
    batches = Batches(some, replace(action.RECIPE, batch_size=6))
    for a, b in zip(batches[3], batches[3]):
        assert torch.equal(a, b)
    features, mask, actions, weight, events = batches[3]
    assert events.shape == (*mask.shape, len(EVENTS)) and not events[~mask].any()
    assert (events.amax(dim=(1, 2)) > 0.8).tolist() == [MOTIONS[a] != "still" for a in actions]


def test_a_streams_clips_are_the_same_for_everybody_and_nobody_looks_where_it_goes():
    assert action.clip_of(5) == action.clip_of(5) and action.clip_of(5) != action.clip_of(5, action.TEST)
    rights = [action.clip_of(i).shots[0].actors[0] for i in range(0, 18 * 30, 18)]
    assert {a.motion for a in rights} == {"right"}
    assert {a.mirror for a in rights} == {True, False}


# --------------------------------------------------------------------------------------------- its network


def test_distances_around_a_moment_stay_within_the_sequence():
    x = torch.randn(2, 9, 4)
    lengths = torch.tensor([9, 5])
    found = local_distances(x, lengths, reach=2)
    assert found.shape == (2, 9, 10)
    alone = local_distances(x[1:, :5], lengths[1:], reach=2)
    assert torch.allclose(found[1, :5], alone[0])
    still = torch.ones(1, 6, 4, requires_grad=True)
    none = local_distances(still, torch.tensor([6]), reach=2)
    assert not none.any()
    none.sum().backward()  # where nothing moves, as in a held frame, a root's slope would be infinite
    assert still.grad.isfinite().all()


def test_a_sequence_in_a_batch_is_read_as_if_alone():
    torch.manual_seed(0)
    network = ActionNetwork(4, 16, 2, look=3, actions=3, events=2).eval()
    x = torch.randn(2, 9, 4)
    mask = torch.arange(9) < torch.tensor([[9], [5]])
    with torch.inference_mode():
        actions, events = network(x, mask)
        alone_actions, alone_events = network(x[1:, :5])
    assert torch.allclose(actions[1], alone_actions[0], atol=1e-5)
    assert torch.allclose(events[1, :5], alone_events[0], atol=1e-5)


def test_close_peaks_are_one():
    curve = np.array([0.1, 0.8, 0.9, 0.7, 0.1, 0.1, 0.1, 0.6, 0.2])
    assert peaks(curve, 0.5) == [2, 7] and peaks(curve, 0.95) == []


# ------------------------------------------------------------------------------------- the stored weights


def test_mini_action_tells_what_a_mean_of_frames_cannot(analyzer, cache):
    """On clips of its own test stream: left and right look alike on average, and mini-action tells them apart."""
    pairs = [
        i for i in range(0, 18 * 9, 2) if MOTIONS[i // 2 % len(MOTIONS)] in ("right", "left", "up", "down")
    ]
    clips = [action.clip_of(i, action.TEST) for i in pairs[:24]]
    right = 0
    for clip in clips:
        features = analyzer.clip_service.encode_image(list(action.draw_frames(clip)), progress=False)
        motion = clip.shots[0].actors[0].motion
        forwards, backwards = (Course(x, motion, None, 0.0) for x in (features, features[::-1].copy()))
        said = evaluate_action.answers(analyzer.actions, [forwards, backwards])
        right += (MOTIONS[said[0]] == motion) + (MOTIONS[said[1]] == BACKWARDS[motion])
    # both have the same mean: who knows only that gets half of them right
    assert right / (2 * len(clips)) >= 0.9


def test_the_card_says_what_was_measured():
    rows = json.loads((MODELS / "mini-action" / "metrics.json").read_text())["rows"]
    assert rows["action"]["mini-action"] > rows["action"]["mean of frames"] + 0.4
    assert rows["right or left"]["mean of frames"] < 0.7 < 0.9 < rows["right or left"]["mini-action"]
    card = (MODELS / "mini-action" / "README.md").read_text(encoding="utf-8")
    assert evaluate_action.markdown(rows) in card


def test_most_of_the_gallerys_motions_are_named(analyzer):
    """Of nine clips by chance it would be one. What it gets wrong: a red car, which goes left for it whatever it
    does, and the clock, which goes down."""
    examples = [example for example in CLIPS.values() if example.part in ("motion", "rotated")]
    results = [analyzer.classify_action(example.path) for example in examples]
    truth = [example.truth["shots"][0]["actors"][0]["motion"] for example in examples]
    assert sum(result.label == motion for result, motion in zip(results, truth, strict=True)) >= 7
    assert all(sum(result.values()) == pytest.approx(1) for result in results)


def test_a_shot_of_many_and_a_choice_of_actions(analyzer):
    example = CLIPS["11_three_shots"]
    for shot in example.truth["shots"]:
        result = analyzer.classify_action(example.path, start=shot["start"], end=shot["end"])
        assert result.label == shot["actors"][0]["motion"]
    two = analyzer.classify_action(CLIPS["01_car_left"].path, ["right", "left"])
    assert list(two) == ["right", "left"] and two.label == "left" and sum(two.values()) == pytest.approx(1)


def test_most_of_the_gallerys_events_are_found_and_little_else(analyzer):
    found = wrong = 0
    for example in CLIPS.values():
        truth = {(e["sort"], e["time"]) for shot in example.truth["shots"] for e in shot["events"]}
        for event in analyzer.detect_events(example.path):
            hits = {t for t in truth if t[0] == event.sort and abs(t[1] - event.time) <= 0.25}
            found, wrong, truth = found + bool(hits), wrong + (not hits), truth - hits
            assert 0.5 <= event.probability <= 1
    # of three, in 26 shots: its card's recall is 99 %; what is wrong are turns of a red car, whose left and right look alike
    assert found == 3 and wrong <= 3
