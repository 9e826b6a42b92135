"""Signs and short notices with their exact text: something to read, in 128 x 128 pixels.

Latin letters come in the typefaces that matplotlib ships, Chinese in the course's own font, thin and bold.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .backgrounds import PAINTERS
from .canvas import Canvas
from .scenes import BACKGROUNDS, TIMES
from .shapes import Color

WORDS = {
    "en": ("open", "closed", "exit", "stop", "sale", "cafe", "hotel", "taxi", "menu", "park", "school", "books", "tea",
           "milk", "bread", "fruit", "music", "museum", "police", "bank", "beach", "garden", "toys", "fish", "shoes",
           "post", "danger", "quiet", "slow", "push", "pull", "ticket", "water", "coffee", "cinema", "library"),
    "zh": ("营业中", "休息", "出口", "入口", "停车场", "图书馆", "超市", "医院", "学校", "书店", "咖啡", "茶馆", "面包",
           "水果", "音乐", "博物馆", "银行", "公园", "花园", "玩具", "鱼市", "鞋店", "邮局", "危险", "安静", "慢行",
           "推", "拉", "售票处", "电影院", "饭店", "小心地滑", "禁止吸烟", "洗手间", "牛奶", "欢迎光临"),
}  # fmt: skip
TYPEFACES = ("sans", "bold", "serif", "mono")
_FILES = {
    "sans": "DejaVuSans.ttf",
    "bold": "DejaVuSans-Bold.ttf",
    "serif": "DejaVuSerif.ttf",
    "mono": "DejaVuSansMono.ttf",
}
_BOARDS: tuple[tuple[Color, Color], ...] = (  # (board, letters)
    ((255, 253, 246), (40, 42, 60)), ((36, 96, 168), (255, 255, 255)), ((204, 52, 52), (255, 255, 255)),
    ((44, 128, 84), (255, 255, 255)), ((255, 214, 70), (40, 36, 30)), ((150, 102, 64), (255, 244, 220)),
    ((44, 46, 60), (255, 224, 120)), ((236, 240, 248), (150, 40, 90)),
)  # fmt: skip


@dataclass(frozen=True)
class Document:
    """A sign (one or two lines on a board in a scene) or a notice (up to three lines on paper)."""

    lines: tuple[str, ...]
    lang: str
    style: str  # "sign" or "notice"
    typeface: str = "sans"
    angle: float = 0.0  # degrees
    colors: int = 0  # which of the boards
    seed: int = 0

    @property
    def text(self) -> str:
        """What is written there, line by line."""
        return "\n".join(self.lines)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "text": self.text}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Document:
        """The document that `to_dict` wrote."""
        known = {k: v for k, v in record.items() if k != "text"}
        return cls(**{**known, "lines": tuple(record["lines"])})


def _number(rng: np.random.Generator) -> str:
    """A price, a time, a room or a bus number."""
    form = int(rng.integers(4))
    if form == 0:
        return f"¥{rng.integers(1, 100)}"
    if form == 1:
        return f"{rng.integers(6, 23)}:{rng.integers(0, 6)}0"
    return str(rng.integers(1, 10 ** int(rng.integers(1, 4 if form == 2 else 5))))


def random_document(
    rng: np.random.Generator, *, lang: str | None = None, style: str | None = None
) -> Document:
    """A document at random: words, numbers, or both."""
    lang = lang or ("zh", "en")[int(rng.integers(2))]
    style = style or ("sign", "notice")[int(rng.random() < 0.35)]
    upper = rng.random() < 0.7

    def word() -> str:
        chosen = WORDS[lang][int(rng.integers(len(WORDS[lang])))]
        return chosen if lang == "zh" else chosen.upper() if upper else chosen.capitalize()

    count = int(rng.integers(1, 3)) if style == "sign" else int(rng.integers(2, 4))
    lines = tuple(_number(rng) if rng.random() < 0.4 else word() for _ in range(count))
    return Document(lines, lang, style, TYPEFACES[int(rng.integers(4))], round(float(rng.uniform(-6, 6)), 2),
                    int(rng.integers(len(_BOARDS))) if style == "sign" else 0, int(rng.integers(1 << 30)))  # fmt: skip


@lru_cache(maxsize=256)
def typeface(name: str, size: int, chinese: bool) -> ImageFont.FreeTypeFont:
    """The font of a typeface at a size in pixels; Chinese has one face."""
    if chinese:
        import course_lib  # only for the font's place; nothing of the library is used

        return ImageFont.truetype(
            str(Path(course_lib.__file__).parent / "fonts" / "CourseSansSC-Regular.otf"), size
        )
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / _FILES[name]), size)


def _chinese(text: str) -> bool:
    return any(ord(c) > 0x2E80 for c in text)


def draw_document(document: Document, size: int = 128) -> Image.Image:
    """The document's picture, `size` x `size` RGB; the same document gives the same pixels with the same Pillow."""
    over = 2
    side = size * over
    rng = np.random.default_rng(document.seed)
    board, ink = _BOARDS[document.colors]
    sheet = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    pen = ImageDraw.Draw(sheet)
    if document.style == "sign":
        canvas = Canvas(side // over)
        PAINTERS[BACKGROUNDS[int(rng.integers(len(BACKGROUNDS) - 1))]](
            canvas, TIMES[int(rng.integers(2))], rng
        )
        ground = canvas.image().resize((side, side), Image.Resampling.BILINEAR)
        half = 0.17 + 0.1 * len(document.lines)
        left, top, right, bottom = (round(v * side) for v in (0.07, 0.5 - half, 0.93, 0.5 + half))
        pen.rectangle((side * 0.47, bottom - 4, side * 0.53, side * 0.99), fill=(122, 104, 92, 255))
        pen.rounded_rectangle(
            (left, top, right, bottom),
            round(0.05 * side),
            fill=board + (255,),
            outline=ink + (255,),
            width=round(0.014 * side),
        )
    else:
        desk = [(206, 178, 142), (186, 200, 214), (214, 198, 206)][int(rng.integers(3))]
        ground = Image.new("RGB", (side, side), desk)
        left, top, right, bottom = (round(v * side) for v in (0.08, 0.08, 0.92, 0.92))
        pen.rectangle((left + 5, top + 6, right + 5, bottom + 6), fill=(60, 50, 60, 90))
        pen.rectangle((left, top, right, bottom), fill=(255, 253, 246, 255))
    room = (bottom - top) * 0.84 / len(document.lines)
    for i, text in enumerate(document.lines):
        chinese = _chinese(text)
        points = round(min(room * 0.8, 0.26 * side * float(rng.uniform(0.8, 1.0))))
        while (
            points > 18
            and pen.textlength(text, font=typeface(document.typeface, points, chinese))
            > (right - left) * 0.86
        ):
            points -= 1
        middle = top + (bottom - top) * 0.08 + room * (i + 0.5)
        pen.text(((left + right) / 2, middle), text, font=typeface(document.typeface, points, chinese), fill=ink + (255,), anchor="mm",
                 stroke_width=1 if chinese and document.typeface == "bold" else 0, stroke_fill=ink + (255,))  # fmt: skip
    sheet = sheet.rotate(document.angle, Image.Resampling.BICUBIC)
    ground.paste(sheet, mask=sheet)
    return ground.resize((size, size), Image.Resampling.LANCZOS)
