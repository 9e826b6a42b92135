"""Step 5 of exercise 2: what came out, measured by CLIP, and seen on one sheet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np
from PIL import Image

from ...settings import say
from ..step import Step, check
from . import mistakes_measured as mistakes
from .bench import Bench

COLUMNS = 4


class MeasuredChecks(Bench):
    """The check of step 5."""

    @check(zh="第 5 步：量一量，看一看", en="Step 5: measure it, look at it")
    def measure(self, step: Step, measure: Callable, sheet: Callable) -> None:
        """`measure(clip, pictures, orders, template, choices) -> {fact: share, "all": share}`, and
        `sheet(pictures, labels, columns) -> picture`. A picture that was not painted is None."""
        choices = {fact: list(words.values()) for fact, words in self.choices.items()}
        orders, painted, right = self._album(choices)
        found = step.call(
            measure, self.clip, list(painted), orders, self.template, choices, hints=mistakes.hints()
        )
        wrong = mistakes.shares(found, choices)
        step.require(
            not wrong,
            say(
                zh="每个事实一个比例，再加上全对的比例",
                en="a share for each fact, and one for all of them right",
            ),
            wrong,
        )
        truth = {fact: float(np.mean(row)) for fact, row in right.items()}
        there = np.array([picture is not None for picture in painted])
        for fact, share in truth.items():
            step.require(
                abs(float(found[fact]) - share) <= mistakes.TOLERANCE,
                say(
                    zh=f"{fact}：画对的占 {share:.0%}，量出 {float(found[fact]):.0%}",
                    en=f"{fact}: {share:.0%} were painted right, {float(found[fact]):.0%} was measured",
                ),
                mistakes.share(fact, {name: float(found[name]) for name in truth}, right, there),
            )
        self._sheet(step, sheet)

    def _album(self, choices: Mapping[str, list[str]]) -> tuple[list[dict], list[Any], dict[str, np.ndarray]]:
        """Orders, pictures of which some show something else than was ordered and some are missing, and for each fact
        which are right."""
        codes = {fact: list(words) for fact, words in self.choices.items()}
        orders, painted = [], []
        right: dict[str, list[bool]] = {fact: [] for fact in choices}
        # Mistakes come together, as they do: whose background is wrong has the wrong colour, too, and the wrong kind.
        wrong_every = dict(zip(choices, (3, 6, 9)))
        for i, places in enumerate(product(*(range(3) for _ in choices))):
            facts = {fact: choices[fact][at] for fact, at in zip(choices, places)}
            orders.append(
                {"prompt": self.template.format(**facts), "seed": i, "facts": facts, "name": f"{i:02d}.png"}
            )
            shown = dict(zip(choices, places))
            for fact, every in wrong_every.items():
                if i % every == 0:
                    shown[fact] = (shown[fact] + 1) % 3
            missing = i % 9 in (4, 7)
            painted.append(
                None
                if missing
                else self.picture((28_000, 65, i), **{fact: codes[fact][at] for fact, at in shown.items()})
            )
            for fact, at in zip(choices, places):
                right[fact].append(not missing and shown[fact] == at)
        rows = {fact: np.array(row) for fact, row in right.items()}
        return orders, painted, rows | {"all": np.logical_and.reduce(list(rows.values()))}

    def _sheet(self, step: Step, function: Callable) -> None:
        palette = [
            (230, 25, 75),
            (60, 180, 75),
            (0, 130, 200),
            (245, 130, 48),
            (145, 30, 180),
            (70, 240, 240),
        ]
        pictures: list[Image.Image | None] = [Image.new("RGB", (64, 64), color) for color in palette]
        pictures.insert(2, None)
        labels = ["红色的猫", "绿色的鸟", "a dog", "蓝色的兔子", "", "red cat, seed 7", "白色的猫"]
        found = step.call(function, list(pictures), list(labels), COLUMNS, hints=mistakes.hints())
        step.require(
            isinstance(found, Image.Image),
            say(zh="总览图是一张 PIL 图片", en="the contact sheet is a PIL picture"),
            say(
                zh=f"返回的是 {type(found).__name__}，请返回 PIL 图片。",
                en=f"A {type(found).__name__} is returned: return a PIL picture.",
            ),
        )
        colors = [None if picture is None else picture.getpixel((0, 0)) for picture in pictures]
        wrong = mistakes.layout(np.asarray(found.convert("RGB")), colors, COLUMNS)
        step.require(
            not wrong,
            say(
                zh=f"每行 {COLUMNS} 张，按顺序排列，缺的那张空着",
                en=f"{COLUMNS} a row, in their order, the missing one's place left empty",
            ),
            wrong,
        )
        turned = [labels[1], labels[0], *labels[2:]]
        other = step.call(function, list(pictures), turned, COLUMNS)
        bare = step.call(function, list(pictures), [""] * len(labels), COLUMNS)
        wrong = mistakes.labels(found, other, bare)
        step.require(
            not wrong,
            say(zh="每张图的标签都在，汉字不是方框", en="labels are there, and Chinese ones are no boxes"),
            wrong,
        )
