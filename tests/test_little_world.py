"""Little World is what it says it is: pictures, captions and questions follow from the ground truth, always."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from little_world import HELD_OUT, KINDS, Scene, load_charts, load_documents, load_gallery
from little_world import gallery as gallery_module
from little_world.captions import FULL, Plan, caption, questions, random_plan
from little_world.charts import TRENDS, TYPES, draw_chart
from little_world.documents import draw_document
from little_world.drawing import draw
from little_world.paths import WORLD
from little_world.scenes import (
    BACKGROUNDS,
    COLORED,
    COLORS,
    TIMES,
    UNCOLORED,
    Thing,
    allowed_pairs,
    distinct_scenes,
    mixed,
    pair,
    random_scene,
    several,
    single,
)
from little_world.stickers import STICKERS
from little_world.words import KIND

scenes = st.integers(0, 10**6).map(lambda seed: random_scene(np.random.default_rng(seed)))
plans = st.integers(0, 10**6).map(lambda seed: random_plan(np.random.default_rng(seed)))
languages = st.sampled_from(["zh", "en"])


def test_the_world_is_as_rich_as_promised():
    assert len(KINDS) >= 24 and {"cat", "dog", "car", "airplane"} <= set(KINDS)
    assert len(COLORS) == 8 and len(BACKGROUNDS) >= 6 and TIMES == ("day", "dusk", "night")
    assert set(STICKERS) == set(KINDS) == set(KIND)


@settings(max_examples=30, deadline=None)
@given(scenes)
def test_a_scene_gives_the_same_picture_every_time(scene):
    first, second = (
        np.asarray(draw(scene)),
        np.asarray(draw(Scene.from_dict(json.loads(json.dumps(scene.to_dict()))))),
    )
    assert first.shape == (128, 128, 3) and np.array_equal(first, second)


@settings(max_examples=200, deadline=None)
@given(scenes)
def test_training_scenes_hold_no_held_out_pair_and_no_overlap(scene):
    assert not {(t.kind, t.color) for t in scene.things} & HELD_OUT
    for i, a in enumerate(scene.things):
        left, top, right, bottom = a.box
        assert 0 <= left and 0 <= top and right <= 1 and bottom <= 1
        for b in scene.things[i + 1 :]:
            assert max(abs(a.x - b.x), abs(a.y - b.y)) > max(a.size, b.size)


def test_held_out_pairs_leave_every_kind_and_color_in_training():
    pairs = allowed_pairs()
    assert {k for k, _ in pairs} == set(KINDS) and {c for _, c in pairs} == {*COLORS, None}
    for kind in COLORED:
        assert sum(k == kind for k, _ in pairs) >= 7


@pytest.mark.parametrize("kind", KINDS)
def test_a_thing_is_drawn_inside_its_box(kind):
    for pose in range(4):
        thing = Thing(kind, None if kind in UNCOLORED else "purple", 0.5, 0.5, 0.2, bool(pose % 2), pose)
        scene = Scene((thing,), "meadow", "day", place="center", size="large")
        changed = (
            np.abs(
                np.asarray(draw(scene), int)
                - np.asarray(draw(replace(scene, things=(), place=None, size=None)), int)
            ).sum(2)
            > 60
        )
        rows, columns = np.nonzero(changed.any(1))[0], np.nonzero(changed.any(0))[0]
        left, top, right, bottom = (v * 128 for v in thing.box)
        assert (
            columns[0] >= left - 3
            and columns[-1] <= right + 3
            and rows[0] >= top - 3
            and rows[-1] <= bottom + 3
        )
        assert (columns[-1] - columns[0]) > 0.5 * (right - left) or (rows[-1] - rows[0]) > 0.5 * (
            bottom - top
        )


def test_two_cats_are_never_the_same_pixels():
    def cat(pose):
        return np.asarray(draw(Scene((Thing("cat", "red", 0.5, 0.5, 0.3, False, pose),), "room", "day")))

    assert len({cat(pose).tobytes() for pose in range(12)}) == 12


@settings(max_examples=200, deadline=None)
@given(scenes, plans, languages, st.integers(0, 1000))
def test_a_caption_says_only_what_is_true(scene, plan, lang, seed):
    assert plan.said(scene) <= scene.facts()
    text = caption(scene, lang, plan=plan, rng=np.random.default_rng(seed))
    assert text == text.strip() and "  " not in text and "None" not in text
    for g in scene.groups:
        zh, measure, one, many = KIND[g.kind]
        assert (zh if lang == "zh" else one if g.count == 1 else many) in text
        if lang == "zh" and re.search(f"[一两三四].?{zh}", text):
            assert measure in text


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), languages)
def test_scenes_that_differ_in_meaning_have_different_captions(seed, lang):
    found = distinct_scenes(np.random.default_rng(seed), 40)
    assert len({caption(s, lang, plan=FULL) for s in found}) == 40


def test_chinese_measure_words():
    rng = np.random.default_rng(0)
    terse = Plan(place=False, size=False, background=False, time=False)
    for kind, phrase in (("cat", "两只红色的猫"), ("car", "两辆红色的汽车"), ("fish", "两条红色的鱼"), ("airplane", "两架红色的飞机"),
                         ("flower", "两朵红色的花"), ("umbrella", "两把红色的雨伞")):  # fmt: skip
        scene = several(rng, kind=kind, color="red", count=2, pairs=[(kind, "red")])
        assert phrase in caption(scene, "zh", plan=terse)


@pytest.mark.parametrize(
    ("noun", "phrase"), [("umbrella", "an orange umbrella"), ("airplane", "a white airplane")]
)
def test_english_articles(noun, phrase):
    color = phrase.split()[1]
    scene = single(np.random.default_rng(1), kind=noun, color=color, pairs=[(noun, color)])
    assert phrase in caption(scene, "en", plan=Plan(size=False))


def test_relations_are_what_the_coordinates_say():
    for seed in range(60):
        scene = pair(np.random.default_rng(seed), relation=("left_of", "above")[seed % 2])
        a, b = scene.things
        assert (b.x - a.x > abs(b.y - a.y)) if scene.relation == "left_of" else (b.y - a.y > abs(b.x - a.x))


@settings(max_examples=100, deadline=None)
@given(scenes, st.integers(0, 1000))
def test_questions_have_true_answers_in_both_languages(scene, seed):
    zh, en = (questions(scene, lang, np.random.default_rng(seed)) for lang in ("zh", "en"))
    assert [q.sort for q in zh] == [q.sort for q in en]
    for lang, asked in (("zh", zh), ("en", en)):
        for g in scene.groups:
            name = KIND[g.kind][0] if lang == "zh" else KIND[g.kind][3]
            assert str(g.count) in [q.answer for q in asked if q.sort == "count" and name in q.text]
        assert sum(q.answer in ("否", "no") for q in asked if q.sort == "exists") >= 1


def test_one_kind_is_enough_for_scenes_that_want_no_two():
    cats = [("cat", "red"), ("cat", "blue")]
    drawn = [random_scene(np.random.default_rng(seed), pairs=cats) for seed in range(40)]
    assert {thing.kind for scene in drawn for thing in scene.things} == {"cat"}
    assert {0, 1, 3} <= {len(scene.things) for scene in drawn}
    for maker in (pair, mixed):
        with pytest.raises(ValueError, match="two different kinds"):
            maker(np.random.default_rng(0), pairs=cats)
    with pytest.raises(ValueError, match="two different kinds"):
        pair(np.random.default_rng(0), first=("cat", "red"), second=("cat", "blue"))


def test_the_gallery_is_what_its_seed_makes(tmp_path):
    count = gallery_module.build(tmp_path)
    for name in ("captions.jsonl", "documents.jsonl", "charts.jsonl"):
        assert (tmp_path / name).read_text("utf-8") == (WORLD / name).read_text("utf-8")
    assert count == sum(len(some) for some in (load_gallery(), load_documents(), load_charts()))
    for example in load_gallery()[::20]:
        assert np.array_equal(np.asarray(example.image), np.asarray(draw(example.scene)))
    for load, paint in ((load_documents, draw_document), (load_charts, draw_chart)):
        for sheet in load()[::10]:
            assert np.array_equal(np.asarray(sheet.image), np.asarray(paint(sheet.truth)))


def test_the_gallery_has_signs_and_charts_of_every_sort():
    documents, charts = load_documents(), load_charts()
    assert len(documents) + len(charts) == 120
    assert {(d.truth.lang, d.truth.style) for d in documents} == {
        (lang, style) for lang in ("zh", "en") for style in ("sign", "notice")
    }
    assert {c.truth.type for c in charts} == set(TYPES) and {c.truth.trend for c in charts} == {*TRENDS, ""}
    assert {s.truth.lang for s in load_charts("zh")} == {"zh"} and len(load_documents("en")) == 36


def test_the_gallery_covers_the_world():
    examples = load_gallery()
    assert {t.kind for e in examples for t in e.scene.things} == set(KINDS)
    assert {t.color for e in examples for t in e.scene.things} == {*COLORS, None}
    assert {(e.scene.background, e.scene.time) for e in examples} == {
        (b, t) for b in BACKGROUNDS for t in TIMES
    }
    assert {(t.kind, t.color) for e in load_gallery("held_out") for t in e.scene.things} == HELD_OUT
    assert len({e.id for e in examples}) == len(examples)
    size = sum(f.stat().st_size for f in WORLD.rglob("*") if f.is_file())
    assert size < 6e6
