"""From a wrong measurement or a wrong sheet to the likely mistake (see `mistakes_calls`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageChops

from ...settings import say

TOLERANCE = 0.075  # two of 27 pictures that CLIP may see otherwise


def hints() -> dict[str, str]:
    return {
        r"NoneType": say(
            zh="没画成的图片是 None：先挑出画成了的，没画成的算错。",
            en="A picture that was not painted is None: pick out those that were, the others count as wrong.",
        ),
    }


def shares(found: Any, choices: Mapping[str, Any]) -> str:
    """Why what was returned is not a share for each fact and for all."""
    if not isinstance(found, Mapping):
        return say(
            zh=f"返回的是 {type(found).__name__}，应为字典：每个事实的名字对应一个比例。",
            en=f"A {type(found).__name__} is returned: return a dictionary with a share for each fact's name.",
        )
    if missing := [name for name in (*choices, "all") if name not in found]:
        return say(
            zh=f"字典里缺少 {'、'.join(missing)}；all 是所有事实都对的图片所占的比例。",
            en=f"The dictionary lacks {', '.join(missing)}; all is the share of pictures in which every fact is right.",
        )
    try:
        values = [float(found[name]) for name in (*choices, "all")]
    except (TypeError, ValueError):
        return say(
            zh="每一项应是一个数：对的张数除以总张数，而不是列表。",
            en="Each entry should be one number, right ones divided by all, not a list.",
        )
    if any(value > 1 for value in values):
        return say(
            zh="有的比例大于 1：请除以图片的张数（不是百分数，也不是张数）。",
            en="A share is above 1: divide by the number of pictures; neither per cent nor a count.",
        )
    return ""


def share(fact: str, found: Mapping[str, float], right: Mapping[str, np.ndarray], there: np.ndarray) -> str:
    """Why the share of a fact is not what was painted; `right` `(n,)` of each fact, `there` which were painted."""
    value = found[fact]

    def near(other: float) -> bool:
        return abs(value - other) <= 0.02

    survivors = {name: float(row[there].mean()) for name, row in right.items()}
    if all(abs(found[name] - survivors[name]) <= TOLERANCE for name in right):
        return say(
            zh="没画成的图片没有算进去：只量画成的，失败越多成绩越好看。分母应是全部订单。",
            en="Pictures that were not painted are left out: measuring survivors alone, the more fails the better it "
            "looks. Divide by all orders.",
        )
    singles = [row for name, row in right.items() if name != "all"]
    if fact == "all" and near(float(np.prod([found[name] for name in right if name != "all"]))):
        return say(
            zh="all 不是各比例的乘积：错误常常凑在同一张图上，请逐张看是否全对，再求平均。",
            en="all is not the product of the shares, as mistakes come together: see for each picture whether all is "
            "right, then take the mean.",
        )
    if fact == "all" and near(float(np.mean([np.mean(row) for row in singles]))):
        return say(
            zh="all 不是各比例的平均：一张图要每个事实都对，才算全对。",
            en="all is not the mean of the shares: a picture counts where every one of its facts is right.",
        )
    if value >= 0.99:
        return say(
            zh="量出来全对，其实有的画的是别的：不要拿订单和订单比，要让 CLIP 在所有候选词里选。",
            en="Everything is found right, and some pictures show something else: compare no order with itself, let "
            "CLIP choose among all the words.",
        )
    if value <= 0.4:
        return say(
            zh="几乎全错：请检查图片、订单和候选词有没有错位；候选提示词只换这一个事实，template.format(**(facts | {fact: word}))。",
            en="Nearly all is wrong: see that pictures, orders and words stay in step; a candidate prompt differs in "
            "this one fact, template.format(**(facts | {fact: word})).",
        )
    return say(
        zh=f"{fact} 量得不准：候选提示词只换这一个事实，其余照订单写；与图片余弦最大的词就是 CLIP 的回答。",
        en=f"{fact} is measured badly: let candidate prompts differ in this one fact and keep the order's others; the "
        "word of the largest cosine is CLIP's answer.",
    )


def layout(sheet: np.ndarray, colors: Sequence[tuple[int, int, int] | None], columns: int) -> str:
    """Why the pictures, plain colours here, do not stand on the sheet `(H, W, 3)` as they should."""
    boxes = []
    for color in colors:
        if color is None:
            boxes.append(None)
            continue
        near = (np.abs(sheet.astype(int) - color).max(axis=-1) <= 12).nonzero()
        if len(near[0]) < 200:
            return say(
                zh="总览图上少了图片：每张都要贴上去，并且看得清（至少十几个像素宽）。",
                en="Pictures are missing on the sheet: paste each, large enough to be seen.",
            )
        boxes.append((near[0].min(), near[1].min(), near[0].max(), near[1].max()))
    tops = sorted({box[0] for box in boxes if box})
    lefts = sorted({box[1] for box in boxes if box})
    if len(tops) != -(-len(colors) // columns) or len(lefts) > columns:
        return say(
            zh=f"{len(colors)} 张图每行 {columns} 张，应有 {-(-len(colors) // columns)} 行，现在是 {len(tops)} 行："
            "行号是 i // columns，列号是 i % columns。",
            en=f"{len(colors)} pictures, {columns} a row, make {-(-len(colors) // columns)} rows and not {len(tops)}: "
            "the row is i // columns, the column i % columns.",
        )
    # the first row, whose third is missing, reaches to the last column
    wide = (lefts[-1] - lefts[0]) / (columns - 1)
    for i, box in enumerate(boxes):
        if box is None:
            continue
        if tops.index(box[0]) != i // columns or abs(box[1] - lefts[0] - i % columns * wide) > 2:
            return say(
                zh=f"第 {i + 1} 张不在它的位置上：没画成的要空出位置，不能让后面的往前挪。",
                en=f"Number {i + 1} is not in its place: a missing picture keeps its place empty, the later ones do "
                "not move up.",
            )
    return ""


def labels(sheet: Image.Image, turned: Image.Image, bare: Image.Image) -> str:
    """Why labels are not seen: the sheet, with two Chinese labels exchanged, and with none."""

    def same(a: Image.Image, b: Image.Image) -> bool:
        return (
            a.size == b.size and ImageChops.difference(a.convert("RGB"), b.convert("RGB")).getbbox() is None
        )

    if same(sheet, bare):
        return say(
            zh="总览图上看不到标签：用 ImageDraw 的 text 写在每张图下面。",
            en="There is no label on the sheet: write it under each picture with ImageDraw's text.",
        )
    if same(sheet, turned):
        return say(
            zh="汉字标签看上去都一样，字体里没有汉字，画出来是方框：请用 course_lib.plots.font(12)。",
            en="Chinese labels all look alike: the font has no such characters and draws boxes, use "
            "course_lib.plots.font(12).",
        )
    return ""
