"""Clips of Little World: the script, its ground truth, pictures, sound and captions agree with each other."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest

from course_lib.video import VideoProcessor
from little_world import HELD_OUT, clip_gallery, draw, draw_clip, load_clips, random_clip
from little_world.clip_captions import clip_caption
from little_world.clip_drawing import draw_moment
from little_world.clip_sound import RATE, SOUND_OF, SOUNDS, sound_of, sound_track
from little_world.clip_truth import truth
from little_world.clips import EVENTS, MOTIONS, Actor, Clip, Event, Shot
from little_world.paths import WORLD
from little_world.scenes import BACKGROUNDS, KINDS, Scene

CLIPS = load_clips()
each_clip = pytest.mark.parametrize("example", CLIPS, ids=lambda example: example.path.stem)


# -------------------------------------------------------------------------------- the gallery


def test_the_gallery_is_small_and_has_what_lessons_need():
    assert len(CLIPS) == 16
    size = sum(example.path.stat().st_size for example in CLIPS) + (WORLD / "clips.jsonl").stat().st_size
    assert size <= 1.5e6
    motions = {actor.motion for example in CLIPS for shot in example.clip.shots for actor in shot.actors}
    assert motions == set(MOTIONS)
    assert {"motion", "event", "shots", "sound", "variable_rate", "rotated"} == {c.part for c in CLIPS}
    assert load_clips("rotated") == [c for c in CLIPS if c.part == "rotated"]


def test_building_again_gives_the_same_truth_and_the_same_pictures(tmp_path):
    """Encoders differ from version to version: the pictures are compared, not the bytes."""
    assert clip_gallery.build(tmp_path) == 16
    assert (tmp_path / "clips.jsonl").read_bytes() == (WORLD / "clips.jsonl").read_bytes()
    for example in CLIPS[::5]:
        again = tmp_path / example.path.relative_to(WORLD)
        with VideoProcessor(again) as new, VideoProcessor(example.path) as old:
            assert np.array_equal(new.timestamps, old.timestamps)
            for a, b in zip(new.sample(5), old.sample(5)):
                assert np.abs(a.image.astype(int) - b.image).mean() < 4


@each_clip
def test_the_file_is_what_the_truth_says(example):
    frames = example.truth["frames"]
    with VideoProcessor(example.path) as video:
        assert video.timestamps == pytest.approx([frame["time"] for frame in frames], abs=1e-3)
        assert video.duration == pytest.approx(example.truth["seconds"], abs=1e-3)
        assert video.is_variable == (example.part == "variable_rate")
        assert video.has_audio == example.clip.sound
        drawn = draw_clip(example.clip)
        for frame in video.sample(6):
            assert frame.image.shape == (128, 128, 3)  # upright, also where it is stored turned
            assert np.abs(frame.image.astype(int) - drawn[frame.frame_id]).mean() < 5


@each_clip
def test_the_truth_is_the_scripts(example):
    record = json.loads(json.dumps(example.clip.to_dict()))
    assert Clip.from_dict(record) == example.clip
    assert json.loads(json.dumps(truth(example.clip))) == example.truth
    shots, frames = example.truth["shots"], example.truth["frames"]
    assert shots[0]["first"] == 0 and shots[-1]["last"] == len(frames) - 1
    assert all(b["first"] == a["last"] + 1 and b["start"] == a["end"] for a, b in itertools.pairwise(shots))
    for s, shot in enumerate(shots):
        assert {frame["shot"] for frame in frames[shot["first"] : shot["last"] + 1]} == {s}


@each_clip
def test_sound_is_heard_where_the_truth_says_so(example):
    if not example.clip.sound:
        assert not any(frame["sound"] for frame in example.truth["frames"])
        return
    window = 0.6  # a call comes at least so often, a bounce each 0.8 s
    with VideoProcessor(example.path) as video:
        samples, rate = video.audio()
    for start in np.arange(0, example.clip.seconds - window, 0.25):
        inside = [
            f["sound"] for f in example.truth["frames"] if start - 0.1 <= f["time"] <= start + window + 0.1
        ]
        piece = samples[round(start * rate) : round((start + window) * rate)]
        if inside and not any(inside):
            assert np.abs(piece).max() < 0.03
        if inside and all(inside) and "thump" not in sum(example.sounds, []):
            assert np.sqrt(np.mean(piece**2)) > 0.003


def test_one_clip_has_sound_only_in_a_part():
    (example,) = load_clips("sound")
    heard = [frame["sound"] for frame in example.truth["frames"]]
    assert not heard[0] and any(heard) and not heard[-1]


# -------------------------------------------------------------------------------- the pictures


def test_a_moment_looks_like_the_picture_of_its_scene():
    rng = np.random.default_rng(3)
    for _ in range(6):
        scene = random_clip(rng).shots[0].scene(1.0)
        difference = np.abs(draw_moment(scene).astype(int) - np.asarray(draw(scene)))
        assert difference.mean() < 1


@pytest.mark.parametrize("motion", MOTIONS)
def test_what_changes_is_inside_the_box(motion):
    """Outside the box of the truth nothing but the soft shadow differs from the empty place."""
    rng = np.random.default_rng(5)
    for _ in range(3):
        clip = random_clip(rng, motion=motion, seconds=1.5)
        shot, frames = clip.shots[0], truth(clip)["frames"]
        empty = draw_moment(Scene((), shot.background, shot.time, seed=shot.seed)).astype(int)
        for picture, frame in zip(draw_clip(clip)[::4], frames[::4]):
            changed = np.abs(picture - empty).max(axis=2) > 60
            if not frame["things"]:
                assert not changed.any()
                continue
            left, top, right, bottom = (round(v * 128) for v in frame["things"][0]["box"])
            changed[max(0, top - 2) : bottom + 3, max(0, left - 2) : right + 3] = False
            assert not changed.any()


def centers(clip: Clip) -> np.ndarray:
    """(n, 2): the middle of the first thing's box in each frame that shows it."""
    boxes = np.array([frame["things"][0]["box"] for frame in truth(clip)["frames"] if frame["things"]])
    return (boxes[:, :2] + boxes[:, 2:]) / 2


@pytest.mark.parametrize("kind", ["car", "cat", "ball", "tree"])
def test_motions_go_where_they_say(kind):
    def path(motion, **given):
        return centers(random_clip(np.random.default_rng(8), kind=kind, motion=motion, seconds=3.2, **given))

    for motion, axis, sign in (("right", 0, 1), ("left", 0, -1), ("down", 1, 1), ("up", 1, -1)):
        course = path(motion)
        assert (np.diff(course[:, axis]) * sign >= 0).all() and abs(np.ptp(course[:, axis])) > 0.4
        assert np.ptp(course[:, 1 - axis]) < 1e-9
    assert np.ptp(path("still"), axis=0).max() < 1e-9
    bounce = path("bounce")
    assert np.ptp(bounce[:, 0]) < 1e-9
    turns = np.diff(np.sign(np.diff(bounce[:, 1])))
    assert (turns > 0).sum() >= 3  # it comes up again and again
    circle = path("circle")
    assert np.ptp(circle[:, 0]) > 0.4 and np.ptp(circle[:, 1]) > 0.3
    assert np.abs(circle[0] - circle[19]).max() < 0.06  # round in 1.6 s at 12 frames a second


def test_who_enters_was_not_there_and_who_leaves_is_gone():
    rng = np.random.default_rng(2)
    for _ in range(8):
        enter, leave = (truth(random_clip(rng, motion=m))["frames"] for m in ("enter", "leave"))
        assert not enter[0]["things"] and enter[-1]["things"]
        assert leave[0]["things"] and leave[-1]["shot"] == 0
        last = leave[-1]["things"]
        assert not last or last[0]["box"][2] - last[0]["box"][0] < 0.1


@pytest.mark.parametrize("sort", EVENTS)
def test_an_event_breaks_the_pattern_when_the_truth_says(sort):
    rng = np.random.default_rng(6)
    for _ in range(6):
        clip = random_clip(rng, event=sort, seconds=4.0, kind="ball" if sort == "color" else None)
        record = truth(clip)
        (event,) = record["shots"][0]["events"]
        assert event["sort"] == sort and 0 < event["time"] < clip.seconds
        before = [f for f in record["frames"] if f["time"] <= event["time"]]
        after = [f for f in record["frames"] if f["time"] > event["time"] + 1e-6]
        if sort == "vanish":
            assert not any(f["things"] for f in after)
        elif sort == "appear":
            assert not any(f["things"] for f in before)
        elif sort == "color":
            assert {t["color"] for f in before for t in f["things"]} != {
                t["color"] for f in after for t in f["things"]
            }
        elif sort == "stop":
            assert {t["motion"] for f in after for t in f["things"]} == {"still"}
            assert len({tuple(t["box"]) for f in after for t in f["things"]}) == 1
        else:
            assert any(
                len({tuple(t["box"]) for f in part for t in f["things"]}) > 3 for part in (before, after)
            )


def test_facing_can_be_kept_from_telling_the_direction():
    """With facing=False a car that goes right looks either way; by default it looks where it goes."""

    def looks(**given):
        rng = np.random.default_rng(1)
        return {
            random_clip(rng, kind="car", motion="right", **given).shots[0].actors[0].mirror for _ in range(20)
        }

    assert looks() == {False}
    assert looks(facing=False) == {False, True}


# -------------------------------------------------------------------------------- at random


def test_random_clips_follow_from_the_seed():
    assert random_clip(np.random.default_rng(4), shots=3) == random_clip(np.random.default_rng(4), shots=3)
    assert random_clip(np.random.default_rng(4)) != random_clip(np.random.default_rng(5))


def test_random_clips_cover_the_world_but_not_the_held_out_pairs():
    rng = np.random.default_rng(0)
    actors = [random_clip(rng).shots[0].actors[0] for _ in range(600)]
    assert {actor.motion for actor in actors} == set(MOTIONS)
    assert {actor.kind for actor in actors} == set(KINDS)
    assert not {(actor.kind, actor.color) for actor in actors} & HELD_OUT


def test_what_is_given_is_kept():
    rng = np.random.default_rng(0)
    clip = random_clip(
        rng, shots=2, seconds=1.5, fps=8, actors=2, kind="cat", color="red", motion="up", time="night"
    )
    assert len(draw_clip(clip, 64)) == 24
    for shot in clip.shots:
        assert (shot.seconds, shot.time, len(shot.actors)) == (1.5, "night", 2)
        assert {(a.kind, a.color, a.motion) for a in shot.actors} == {("cat", "red", "up")}


def test_a_variable_rate_drops_frames_and_keeps_the_time():
    clip = random_clip(np.random.default_rng(0), seconds=4.0, fps=24)
    dropped = Clip(clip.shots, 24, drops=3)
    assert set(dropped.ticks) < set(clip.ticks)
    assert (dropped.ticks[0], dropped.ticks[-1]) == (0, 95)
    assert len(set(np.diff(dropped.ticks))) > 1


# -------------------------------------------------------------------------------- sound


def test_every_sound_sounds_and_differs_from_the_others():
    kinds = {name: kind for kind, name in SOUND_OF.items()} | {"thump": "cup"}
    spectra = {}
    for name in SOUNDS:
        actor = Actor(kinds.get(name, "tree"), None, "bounce" if name == "thump" else "still")
        shot = Shot(2.0, "beach" if name == "waves" else "meadow", "day", (actor,))
        samples = sound_track(Clip((shot,)))
        assert samples.shape == (2 * RATE,) and samples.dtype == np.float32
        assert 0.01 < np.sqrt(np.mean(samples**2)) and np.abs(samples).max() <= 1
        spectrum = np.abs(np.fft.rfft(samples)).reshape(-1)[:RATE].reshape(100, -1).sum(axis=1)
        spectra[name] = spectrum / np.linalg.norm(spectrum)
        if name not in ("thump", "waves"):
            assert sound_of(actor) == name
    closest = max(float(spectra[a] @ spectra[b]) for a, b in itertools.combinations(SOUNDS, 2))
    assert closest < 0.99


def test_what_is_out_of_the_picture_is_not_heard():
    shot = Shot(2.0, "city", "day", (Actor("car", "red", "leave", side="right"),))
    samples = sound_track(Clip((shot,)))
    assert np.sqrt(np.mean(samples[:RATE] ** 2)) > 20 * np.sqrt(np.mean(samples[-RATE // 20 :] ** 2))


# -------------------------------------------------------------------------------- captions


def test_captions_as_the_grammar_has_them():
    car = Clip((Shot(3.0, "city", "day", (Actor("car", "red", "right"),)),))
    assert clip_caption(car, "zh") == "白天，一辆红色的汽车从左向右开过城市"
    assert clip_caption(car, "en") == "a red car drives from left to right through the city by day"
    ball = Actor("ball", "green", "bounce", event=Event("stop", 1.6))
    two = Clip((Shot(3.0, "room", "night", (ball, Actor("cat", "white", "enter", side="right"))),))
    assert (
        clip_caption(two, "zh")
        == "夜晚，一个绿色的皮球在房间里上下弹跳，然后突然停下，同时一只白色的猫从右边走进画面"
    )
    assert clip_caption(two, "en") == (
        "a green ball bounces up and down in a room at night and suddenly stops "
        "while a white cat walks into the picture from the right"
    )


def test_captions_tell_clips_apart_that_differ_in_what_they_tell():
    made: dict[str, tuple] = {}
    for kind, motion, background in itertools.product(KINDS, MOTIONS, BACKGROUNDS):
        for side in ("left", "right") if motion in ("enter", "leave") else ("left",):
            clip = Clip((Shot(2.0, background, "day", (Actor(kind, None, motion, side=side),)),))
            for lang in ("zh", "en"):
                text = clip_caption(clip, lang)
                assert text not in made
                made[text] = (kind, motion, background, side)
                assert not re.search(r"[{}]|  |None", text)
                assert bool(re.search("[\u4e00-\u9fff]", text)) == (lang == "zh")
