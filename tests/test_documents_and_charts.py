"""Signs, charts and the talk about them: the ground truth is what is drawn, and the answers follow from it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from course_lib import plots
from little_world import words
from little_world.charts import TITLES, TRENDS, TYPES, draw_chart, random_chart
from little_world.dialogue import (
    DESCRIBE,
    ELSEWHERE,
    OUTSIDE,
    READ,
    UNKNOWN,
    UNSEEN,
    chart_record,
    chart_turns,
    describe,
    document_turns,
    outside_turns,
    scene_turns,
    several_turns,
)
from little_world.documents import WORDS, draw_document, random_document
from little_world.scenes import KINDS, random_scene

seeds = st.integers(0, 10**6)
languages = st.sampled_from(["zh", "en"])


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_documents_and_charts_are_drawn_the_same_every_time(seed):
    for make, draw in ((random_document, draw_document), (random_chart, draw_chart)):
        first, second = (np.asarray(draw(make(np.random.default_rng(seed)))) for _ in range(2))
        assert first.shape == (128, 128, 3) and np.array_equal(first, second)


def test_no_letter_is_an_empty_box():
    """Every Chinese character that is drawn is in the course's own font: its picture is not that of a missing one."""
    font = ImageFont.truetype(str(plots.FONT), 40)
    missing = bytes(font.getmask("\U0001f9ff"))
    for text in {c for some in (WORDS["zh"], TITLES["zh"]) for word in some for c in word} | {"¥"}:
        assert bytes(font.getmask(text)) != missing, text


def test_the_font_has_every_chinese_character_of_the_course():
    """Any of them may stand in a figure; `python tools/make_font.py` adds what is missing."""
    root = Path(plots.__file__).parents[1]
    files = [
        file
        for folder in ("lessons", "course_lib", "little_world")
        for file in root.glob(f"{folder}/**/*.py")
    ]
    used = {c for file in files for c in file.read_text("utf-8") if "\u4e00" <= c <= "\u9fff"}
    font = ImageFont.truetype(str(plots.FONT), 24)
    missing = bytes(font.getmask("\U0001f9ff"))
    assert not [c for c in sorted(used) if bytes(font.getmask(c)) == missing]


@settings(max_examples=200, deadline=None)
@given(seeds)
def test_a_chart_has_the_trend_it_says(seed):
    chart = random_chart(np.random.default_rng(seed))
    steps = np.diff(chart.values)
    assert 3 <= len(chart.values) == len(chart.categories) and all(1 <= v <= 9 for v in chart.values)
    if chart.type == "pie":
        assert chart.trend == ""
        return
    right = {"rising": (steps > 0).all(), "falling": (steps < 0).all(), "flat": (steps == 0).all(),
             "fluctuating": (steps > 0).any() and (steps < 0).any()}  # fmt: skip
    assert [name for name, holds in right.items() if holds] == [chart.trend]
    if chart.trend != "flat":
        assert chart.values.count(max(chart.values)) == chart.values.count(min(chart.values)) == 1


@pytest.mark.parametrize("type", TYPES)
def test_a_higher_value_is_drawn_higher(type):
    """The data can be read back from the pixels: a bar's height, a line's point, a pie's share."""
    chart = next(
        c
        for s in range(999)
        if (c := random_chart(np.random.default_rng(s), type=type, trend="rising")).tone == 0
    )
    pixels = np.asarray(draw_chart(chart), int)
    saturated = pixels.max(2) - pixels.min(2) > 50
    if type == "pie":
        tones = [
            np.abs(pixels - np.array(tone)).sum(2) < 40
            for tone in ((66, 120, 190), (226, 116, 88), (84, 150, 112))
        ]
        areas = [t.sum() for t in tones]
        order = np.argsort(chart.values[:3])
        assert [areas[i] for i in order] == sorted(areas)
    else:
        left, width = 16, 106 / len(chart.values)
        tops = [
            np.nonzero(saturated[:112, int(left + (i + 0.5) * width)])[0].min()
            for i in range(len(chart.values))
        ]
        assert tops == sorted(tops, reverse=True) and tops[0] - tops[-1] > 9


@settings(max_examples=60, deadline=None)
@given(seeds, languages)
def test_answers_follow_from_the_truth(seed, lang):
    rng = np.random.default_rng(seed)
    scene, other = random_scene(rng), random_scene(rng)
    document, chart = random_document(rng), random_chart(rng)
    turns = {t.question: t.answer for t in scene_turns(scene, lang, np.random.default_rng(seed))}
    total = "图中一共有几样东西？" if lang == "zh" else "How many things are there altogether?"
    assert turns[total] == str(len(scene.things))
    assert describe(scene, lang) in {t.answer for t in scene_turns(scene, lang, rng)}
    assert document.text in {t.answer for t in document_turns(document, lang, rng)}
    records = [json.loads(t.answer) for t in chart_turns(chart, lang, rng) if t.sort == "chart json"]
    assert records == [chart_record(chart, lang)] and records[0]["title"] == chart.title
    pair = {t.question: t.answer for t in several_turns([scene, other], lang, rng)}
    question, yes, no = (
        ("两张图是同一个地方吗？", "是", "否")
        if lang == "zh"
        else ("Do both pictures show the same place?", "yes", "no")
    )
    assert pair[question] == (yes if scene.background == other.background else no)
    assert len(several_turns([scene, other, scene], lang, rng)) >= 3


@settings(max_examples=60, deadline=None)
@given(seeds, languages)
def test_both_languages_ask_the_same(seed, lang):
    scene = random_scene(np.random.default_rng(seed))
    sorts = [[t.sort for t in scene_turns(scene, name, np.random.default_rng(seed))] for name in ("zh", "en")]
    assert sorts[0] == sorts[1]


def test_unknown_questions_kept_from_training_are_never_shown_in_it():
    rng = np.random.default_rng(0)
    for lang in ("zh", "en"):
        shown = {outside_turns(lang, rng)[0].question for _ in range(3000)}
        kept = {outside_turns(lang, rng, test=True)[0].question for _ in range(500)}
        assert shown.isdisjoint(kept) and len(kept) >= 9
        assert outside_turns(lang, rng)[0].answer == UNKNOWN[lang]
        assert len(OUTSIDE["zh"]) == len(OUTSIDE["en"]) and len(UNSEEN["zh"]) == len(UNSEEN["en"])
        known = {words.kind_name(kind, lang) for kind in KINDS}
        assert known.isdisjoint(ELSEWHERE[lang]) and len(set(ELSEWHERE[lang])) == len(ELSEWHERE[lang])
        assert len(set(DESCRIBE[lang])) == len(DESCRIBE[lang]) and len(set(READ[lang])) == len(READ[lang])


def test_every_trend_and_kind_is_asked_about():
    assert {random_chart(np.random.default_rng(i)).trend for i in range(200)} == {*TRENDS, ""}
    asked = " ".join(
        t.question
        for i in range(300)
        for t in scene_turns(random_scene(np.random.default_rng(i)), "en", np.random.default_rng(i))
    )
    assert all(kind in asked for kind in KINDS if kind not in ("balloon", "clock"))
