"""Bar, line and pie charts with the data that they show: title, categories, values, trend."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from .documents import typeface
from .shapes import Color

TYPES = ("bar", "line", "pie")
TRENDS = ("rising", "falling", "flat", "fluctuating")  # a pie has none: ""
TITLES = {
    "en": (
        "Sales",
        "Rain",
        "Visitors",
        "Profit",
        "Users",
        "Price",
        "Heat",
        "Energy",
        "Books",
        "Trips",
        "Cats",
        "Votes",
    ),
    "zh": ("销量", "降雨", "游客", "利润", "用户", "价格", "气温", "能源", "图书", "出行", "宠物", "票数"),
}
_CATEGORIES = (("A", "B", "C", "D", "E"), ("Q1", "Q2", "Q3", "Q4"), ("1", "2", "3", "4", "5"))
_TONES: tuple[Color, ...] = ((66, 120, 190), (226, 116, 88), (84, 150, 112), (232, 182, 70), (140, 106, 178))
INK, GRID = (46, 48, 66), (216, 218, 226)


@dataclass(frozen=True)
class Chart:
    """`values` are whole numbers from 1 to 9; a pie's are its shares before scaling."""

    type: str
    title: str
    lang: str
    categories: tuple[str, ...]
    values: tuple[int, ...]
    trend: str
    tone: int = 0
    seed: int = 0

    @property
    def highest(self) -> str:
        return self.categories[int(np.argmax(self.values))]

    @property
    def lowest(self) -> str:
        return self.categories[int(np.argmin(self.values))]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "highest": self.highest, "lowest": self.lowest}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Chart:
        """The chart that `to_dict` wrote."""
        known = {k: v for k, v in record.items() if k not in ("highest", "lowest")}
        return cls(**{**known, "categories": tuple(record["categories"]), "values": tuple(record["values"])})


def random_chart(
    rng: np.random.Generator, *, type: str | None = None, trend: str | None = None, lang: str | None = None
) -> Chart:
    """A chart at random whose highest and lowest value are each reached once, except where it is flat."""
    type = type or TYPES[int(rng.integers(3))]
    lang = lang or ("zh", "en")[int(rng.integers(2))]
    title = TITLES[lang][int(rng.integers(len(TITLES[lang])))]
    if rng.random() < 0.4:
        title += f" {rng.integers(2015, 2027)}"
    names = _CATEGORIES[int(rng.integers(len(_CATEGORIES)))]
    count = int(rng.integers(3, len(names) + 1))
    trend = "" if type == "pie" else trend or TRENDS[int(rng.integers(4))]
    return Chart(type, title, lang, names[:count], tuple(int(v) for v in _values(rng, count, trend)), trend,
                 int(rng.integers(len(_TONES))), int(rng.integers(1 << 30)))  # fmt: skip


def _values(rng: np.random.Generator, count: int, trend: str) -> np.ndarray:
    if trend == "flat":
        return np.full(count, rng.integers(3, 9))
    while True:
        values = np.sort(rng.choice(np.arange(1, 10), count, replace=False))
        if trend == "rising":
            return values
        if trend == "falling":
            return values[::-1]
        rng.shuffle(values)
        steps = np.sign(np.diff(values))
        if trend == "" or (steps.max() > 0 > steps.min()):  # goes up and down: neither rising nor falling
            return values


def draw_chart(chart: Chart, size: int = 128) -> Image.Image:
    """The chart's picture, `size` x `size` RGB."""
    side = size * 2
    image = Image.new("RGB", (side, side), (255, 255, 252))
    pen = ImageDraw.Draw(image)
    unit = side / 128
    chinese = chart.lang == "zh"
    pen.text((side / 2, 11 * unit), chart.title, font=typeface("bold", round(14 * unit), chinese), fill=INK, anchor="mm",
             stroke_width=1 if chinese else 0, stroke_fill=INK)  # fmt: skip
    tones = _TONES[chart.tone :] + _TONES[: chart.tone]
    if chart.type == "pie":
        _pie(pen, chart, unit, tones)
    else:
        # a step of the scale in pixels
        left, right, bottom, step = (16 * unit, 122 * unit, 112 * unit, 9.4 * unit)
        for level in range(0, 10, 3):
            y = bottom - level * step
            pen.line((left, y, right, y), fill=INK if level == 0 else GRID, width=round(unit))
            pen.text(
                (left - 3 * unit, y),
                str(level),
                font=typeface("sans", round(8 * unit), False),
                fill=INK,
                anchor="rm",
            )
        width = (right - left) / len(chart.values)
        spots = [(left + (i + 0.5) * width, bottom - v * step) for i, v in enumerate(chart.values)]
        for (x, y), name in zip(spots, chart.categories):
            pen.text(
                (x, bottom + 7.5 * unit),
                name,
                font=typeface("sans", round(10 * unit), False),
                fill=INK,
                anchor="mm",
            )
            if chart.type == "bar":
                pen.rounded_rectangle(
                    (x - width * 0.32, y, x + width * 0.32, bottom), round(1.5 * unit), fill=tones[0]
                )
        if chart.type == "line":
            pen.line(spots, fill=tones[0], width=round(2.6 * unit), joint="curve")
            for x, y in spots:
                pen.ellipse(
                    (x - 3.4 * unit, y - 3.4 * unit, x + 3.4 * unit, y + 3.4 * unit),
                    fill=tones[0],
                    outline=(255, 255, 255),
                    width=round(unit),
                )
    return image.resize((size, size), Image.Resampling.LANCZOS)


def _pie(pen: ImageDraw.ImageDraw, chart: Chart, unit: float, tones: tuple[Color, ...]) -> None:
    total, start = sum(chart.values), -90.0
    box = tuple(v * unit for v in (18, 25, 110, 117))
    for i, (value, name) in enumerate(zip(chart.values, chart.categories)):
        sweep = 360 * value / total
        pen.pieslice(
            box, start, start + sweep, fill=tones[i], outline=(255, 255, 252), width=round(1.5 * unit)
        )
        middle = np.radians(start + sweep / 2)
        reach = 31 * unit
        pen.text((64 * unit + reach * np.cos(middle), 71 * unit + reach * np.sin(middle)), name,
                 font=typeface("bold", round(11 * unit), False), fill=(255, 255, 255), anchor="mm",
                 stroke_width=round(0.8 * unit), stroke_fill=INK)  # fmt: skip
        start += sweep
