"""Captions and questions from one grammar in two languages, true of the scene by construction.

A `Plan` decides *what* is said (so that it can be checked against the scene's facts), a phrasing decides how.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import words
from .scenes import COLORS, KINDS, Scene, group_facts

LANDSCAPE = {"zh": "风景", "en": "landscape"}


@dataclass(frozen=True)
class Plan:
    """Which of a scene's facts a caption tells. Kinds and counts are always told."""

    color: bool = True
    place: bool = True
    size: bool = True
    relation: bool = True
    background: bool = True
    time: bool = True

    def said(self, scene: Scene) -> frozenset[tuple[str, ...]]:
        """The facts that a caption of this plan states about the scene; a subset of `scene.facts()`."""
        found: set[tuple[str, ...]] = set()
        if self.background:
            found.add(("background", scene.background))
        if self.time:
            found.add(("time", scene.time))
        if scene.is_landscape:
            found.add(("landscape",))
        for g in scene.groups:
            found |= group_facts(g.kind, g.color if self.color else None, g.count)
        if self.place and scene.place:
            found.add(("place", scene.things[0].kind, scene.place))
        if self.size and scene.size:
            found.add(("size", scene.things[0].kind, scene.size))
        if self.relation and scene.relation:
            found.add(("relation", scene.relation, scene.groups[0].kind, scene.groups[1].kind))
        return frozenset(found)


FULL = Plan()


def random_plan(rng: np.random.Generator, terse: float = 0.2, focus: float = 0.0) -> Plan:
    """Mostly rich, sometimes terse: how people caption pictures, and how they search for them.

    `terse` is the share of captions that tell nothing but kinds, counts and perhaps colours, `focus` the share
    that tell one thing more: the place, the size, the background or the hour.
    """
    chance = rng.random()
    if chance < terse + focus:
        told = [False] * 4 if chance < terse else list(np.eye(4, dtype=bool)[rng.integers(4)])
        place, size, background, time = map(bool, told)
        return Plan(bool(rng.random() < 0.5), place, size, False, background, time)
    keep = rng.random(6) < (0.85, 0.65, 0.4, 0.9, 0.7, 0.55)
    return Plan(*map(bool, keep))


def caption(scene: Scene, lang: str, *, plan: Plan = FULL, rng: np.random.Generator | None = None) -> str:
    """One sentence about the scene in `lang` (zh or en). Without `rng` always the first phrasing."""
    choices = _zh(scene, plan) if lang == "zh" else _en(scene, plan)
    return choices[0 if rng is None else int(rng.integers(len(choices)))]


def _groups(scene: Scene, plan: Plan, lang: str, *, digit: bool = True) -> list[str]:
    size = scene.size if plan.size else None
    return [words.group_phrase(g.kind, g.color if plan.color else None, g.count, lang, size=size, digit=digit)
            for g in scene.groups]  # fmt: skip


def _en(scene: Scene, plan: Plan) -> list[str]:
    where = words.BACKGROUND["en"][scene.background] if plan.background else ""
    when = words.TIME["en"][scene.time] if plan.time else ""
    join = lambda *parts: " ".join(p for p in parts if p)  # noqa: E731
    if scene.is_landscape:
        return [join("a landscape", where, when), join("a picture of a landscape", where, when),
                join("an empty landscape", where, when, "with nothing in it"), join("just a landscape", where, when)]  # fmt: skip
    groups = _groups(scene, plan, "en")
    if plan.relation and scene.relation:
        a, b = groups
        the_a, the_b = _groups(scene, plan, "en", digit=False)
        word, inverse = {"left_of": ("to the left of", "to the right of"), "above": ("above", "below")}[
            scene.relation
        ]
        return [join(a, word, b, where, when), join("a picture of", a, word, b, where, when),
                join(b, inverse, a, where, when), join(the_a, "is", word, the_b, where, when),
                join(the_b, "is", inverse, the_a, where, when)]  # fmt: skip
    what = " and ".join(groups)
    place = words.PLACE["en"][scene.place] if plan.place and scene.place else ""
    verb = "is" if scene.groups[0].count == 1 else "are"
    options = [join("a picture of", what, place, where, when), join(what, place, where, when),
               join("a photo of", what, place, where, when), join("there", verb, what, place, where, when),
               join(when, "there", verb, what, place, where)]  # fmt: skip
    if place:
        options += [join(place, "there", verb, what, where, when), join(what, where, when, place)]
    return options


def _zh(scene: Scene, plan: Plan) -> list[str]:
    where = words.BACKGROUND["zh"][scene.background] if plan.background else ""
    when = words.TIME["zh"][scene.time] if plan.time else ""
    noun = words.BACKGROUND_NOUN["zh"][scene.background] if plan.background else ""
    setting = (when + "的" if when and where else when) + where
    if scene.is_landscape:
        scenery = (when + "的" if when else "") + noun
        return [
            f"一张{scenery}{'的' if noun else ''}风景图",
            f"{setting}什么也没有，只有风景",
            f"{scenery}风景",
            f"{setting}的风景" if setting else "风景图片",
        ]
    tail = f"，背景是{when + '的' if when else ''}{noun}" if noun else f"，时间是{when}" if when else ""
    groups = _groups(scene, plan, "zh")
    if plan.relation and scene.relation:
        a, b = groups
        short_a, short_b = _groups(scene, plan, "zh", digit=False)
        word, inverse = {"left_of": ("左边", "右边"), "above": ("上方", "下方")}[scene.relation]
        comma = setting + "，" if setting else ""
        return [f"图中{short_a}在{short_b}的{word}{tail}", f"{comma}{word}是{a}，{inverse}是{b}",
                f"{comma}{short_b}在{short_a}的{inverse}", f"{comma}{short_b}的{word}有{a}",
                f"{comma}{inverse}是{b}，{word}是{a}"]  # fmt: skip
    what = "和".join(groups)
    place = words.PLACE["zh"][scene.place] if plan.place and scene.place else ""
    options = [f"图中{place}有{what}{tail}", f"一张画着{what}的图片{'，在' + place if place else ''}{tail}",
               f"{setting}{'，' if setting and place else ''}{place}有{what}",
               f"{setting}的{what}{'，在' + place if place else ''}" if setting else f"画面{place or '里'}有{what}"]  # fmt: skip
    if place:
        options += [f"{what}在画面{place}{tail}", f"画面{place}是{what}{tail}"]
    elif where:
        options += [f"{when + '，' if when else ''}{what}在{where}"]
    return options


# --------------------------------------------------------------------------------------------------- questions


@dataclass(frozen=True)
class Question:
    """A question with its ground truth. `sort`: exists, count, color, what, where, background, time."""

    sort: str
    text: str
    answer: str


_YES, _NO = {"zh": "是", "en": "yes"}, {"zh": "否", "en": "no"}


def questions(scene: Scene, lang: str, rng: np.random.Generator | None = None) -> list[Question]:
    """What can be asked of the scene, with the true answers, in `lang`.

    With `rng` the absent things that are asked after are drawn at random; without it they are the first absent ones.
    """
    zh = lang == "zh"
    name = lambda kind, n=1: words.kind_name(kind, lang, n)  # noqa: E731
    measure = lambda kind: words.KIND[kind][1]  # noqa: E731
    present = {g.kind: g for g in scene.groups}
    absent = [k for k in KINDS if k not in present]
    other = absent[0 if rng is None else int(rng.integers(len(absent)))]
    found: list[Question] = []
    for kind in (*present, other):
        text = f"图中有{name(kind)}吗？" if zh else f"Is there {words.article(name(kind))}?"
        found.append(Question("exists", text, (_YES if kind in present else _NO)[lang]))
        text = f"图中有几{measure(kind)}{name(kind)}？" if zh else f"How many {name(kind, 2)} are there?"
        count = present[kind].count if kind in present else 0
        found.append(Question("count", text, str(count)))
    for g in scene.groups:
        if g.color:
            text = (
                f"{name(g.kind)}是什么颜色的？"
                if zh
                else f"What color {'is' if g.count == 1 else 'are'} the {name(g.kind, g.count)}?"
            )
            found.append(Question("color", text, words.COLOR[lang][g.color]))
            wrong = [c for c in COLORS if c != g.color]
            asked = wrong[0 if rng is None else int(rng.integers(len(wrong)))]
            for color in (g.color, asked):
                said = words.COLOR[lang][color]
                text = (
                    f"{name(g.kind)}是{said}的吗？"
                    if zh
                    else f"{'Is' if g.count == 1 else 'Are'} the {name(g.kind, g.count)} {said}?"
                )
                found.append(Question("exists", text, (_YES if color == g.color else _NO)[lang]))
    if scene.place:
        kind, place = scene.groups[0].kind, words.PLACE[lang][scene.place]
        found.append(
            Question(
                "where", f"{name(kind)}在画面的什么位置？" if zh else f"Where is the {name(kind)}?", place
            )
        )
        found.append(Question("what", "图中有什么？" if zh else "What is in the picture?", name(kind)))
    if scene.relation:
        first, second = (g.kind for g in scene.groups)
        near, far = ("left", "right") if scene.relation == "left_of" else ("top", "bottom")
        for kind, place in ((first, near), (second, far)):
            said = words.PLACE[lang][place]
            found.append(Question("what", f"画面{said}是什么？" if zh else f"What is {said}?", name(kind)))
            found.append(
                Question(
                    "where", f"{name(kind)}在画面的什么位置？" if zh else f"Where is the {name(kind)}?", said
                )
            )
    if scene.is_landscape:
        found.append(Question("what", "图中有什么？" if zh else "What is in the picture?", LANDSCAPE[lang]))
    found.append(
        Question(
            "background",
            "这是什么地方？" if zh else "What place is this?",
            words.BACKGROUND_NOUN[lang][scene.background],
        )
    )
    found.append(
        Question("time", "这是什么时候？" if zh else "What time is it?", words.TIME_NOUN[lang][scene.time])
    )
    return found


def labels(sort: str, lang: str) -> dict[str, str]:
    """Labels of one sort (kind, color, background, time, place) as noun phrases: {name in code: word in `lang`}."""
    if sort == "kind":
        return {k: words.kind_name(k, lang) for k in KINDS}
    table = {
        "color": words.COLOR,
        "background": words.BACKGROUND_NOUN,
        "time": words.TIME_NOUN,
        "place": words.PLACE,
    }
    return dict(table[sort][lang])
