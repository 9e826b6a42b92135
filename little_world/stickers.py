"""The 24 kinds of Little World, each a small function that cuts a sticker from shapes.

A function gets the paint (main colour, shade, light) and a random generator for its small variations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .shapes import Color, Shape, arc, blob, ellipse, line, mix, polygon, rotate, rounded

PAINT: dict[str, Color] = {
    "red": (226, 58, 58), "orange": (247, 142, 38), "yellow": (252, 212, 50), "green": (66, 170, 80),
    "blue": (52, 118, 224), "purple": (146, 82, 200), "white": (246, 246, 242), "black": (50, 50, 58),
}  # fmt: skip
INK: Color = (52, 48, 62)  # eyes, outlines
CREAM: Color = (255, 244, 224)
PINK: Color = (255, 158, 166)
GLASS: Color = (196, 230, 248)
STEEL: Color = (168, 176, 188)
WOOD: Color = (164, 112, 70)
LEAF: Color = (84, 160, 76)
WHITE: Color = (255, 255, 255)
TIRE: Color = (62, 62, 72)
GOLD: Color = (255, 200, 66)


@dataclass(frozen=True)
class Coat:
    """A colour with its shade (for depth) and light (for bellies and highlights), and ink that shows on it."""

    main: Color
    shade: Color
    light: Color
    ink: Color


def coat(color: str | None) -> Coat:
    main = PAINT[color or "green"]
    if color == "black":
        return Coat(main, (30, 30, 38), (104, 104, 118), (252, 250, 240))
    if color == "white":
        return Coat(main, (206, 208, 216), (255, 255, 255), INK)
    return Coat(main, mix(main, (40, 20, 60), 0.26), mix(main, WHITE, 0.5), INK)


def _eye(x: float, y: float, r: float = 0.085) -> list[Shape]:
    return [
        ellipse(WHITE, x, y, r * 1.35),
        ellipse(INK, x, y, r),
        ellipse(WHITE, x - r * 0.35, y - r * 0.4, r * 0.36),
    ]


def _wheel(x: float, y: float, r: float) -> list[Shape]:
    return [ellipse(TIRE, x, y, r), ellipse(STEEL, x, y, r * 0.5), ellipse(TIRE, x, y, r * 0.16)]


def cat(c: Coat, r: np.random.Generator) -> list[Shape]:
    lift, lean = r.uniform(-0.25, 0.1), r.uniform(-0.05, 0.05)
    shapes = [line(c.shade, 0.2, (0.35, 0.8), (0.78, 0.72), (0.86, 0.3 + lift), (0.7, 0.1 + lift))]
    shapes += [blob(c.main, (-0.42, 0.92), (-0.5, 0.5), (-0.25, 0.0), (0.25, 0.0), (0.5, 0.5), (0.42, 0.92))]
    shapes += [blob(c.light, (-0.2, 0.9), (-0.22, 0.5), (0.0, 0.25), (0.22, 0.5), (0.2, 0.9))]
    shapes += [ellipse(c.main, x, 0.88, 0.16, 0.1) for x in (-0.22, 0.22)]
    for s in (-1, 1):
        shapes += [
            polygon(c.main, (s * 0.16 + lean, -0.62), (s * 0.56 + lean, -1.0), (s * 0.62 + lean, -0.3))
        ]
        shapes += [polygon(PINK, (s * 0.3 + lean, -0.64), (s * 0.5 + lean, -0.84), (s * 0.53 + lean, -0.5))]
    shapes += [ellipse(c.main, lean, -0.3, 0.62, 0.48)]
    shapes += [line(c.shade, 0.06, (lean + x, -0.74), (lean + x * 0.9, -0.58)) for x in (-0.14, 0.0, 0.14)]
    for s in (-1, 1):
        shapes += _eye(lean + s * 0.26, -0.34)
        shapes += [line(c.ink, 0.03, (lean + s * 0.3, -0.12), (lean + s * 0.66, -0.2)),
                   line(c.ink, 0.03, (lean + s * 0.3, -0.07), (lean + s * 0.66, -0.02))]  # fmt: skip
    shapes += [ellipse(c.light, lean, -0.1, 0.2, 0.13)]
    return shapes + [polygon(PINK, (lean - 0.08, -0.17), (lean + 0.08, -0.17), (lean, -0.08))]


def dog(c: Coat, r: np.random.Generator) -> list[Shape]:
    wag, nod = r.uniform(-0.15, 0.15), r.uniform(-0.04, 0.04)
    shapes = [line(c.shade, 0.16, (-0.55, 0.45), (-0.85, 0.25), (-0.88 + wag, -0.08))]
    shapes += [rounded(c.shade, x, 0.4, x + 0.2, 0.96, 0.09) for x in (-0.48, 0.2)]
    shapes += [
        blob(
            c.main, (-0.68, 0.5), (-0.55, 0.16), (0.1, 0.1), (0.5, 0.2), (0.5, 0.6), (0.0, 0.7), (-0.5, 0.72)
        )
    ]
    shapes += [rounded(c.main, x, 0.45, x + 0.2, 0.98, 0.09) for x in (-0.66, 0.36)]
    shapes += [ellipse(c.main, 0.36, -0.28 + nod, 0.46, 0.44)]
    shapes += [ellipse(c.light, 0.66, -0.1 + nod, 0.3, 0.22), ellipse(INK, 0.88, -0.2 + nod, 0.11, 0.085)]
    shapes += [blob(PINK, (0.56, 0.06 + nod), (0.74, 0.06 + nod), (0.72, 0.28 + nod), (0.6, 0.28 + nod))]
    shapes += [blob(c.shade, (0.08, -0.62 + nod), (-0.12, -0.5 + nod), (-0.2, 0.0 + nod), (-0.02, 0.14 + nod),
                    (0.12, -0.1 + nod), (0.22, -0.5 + nod))]  # fmt: skip
    shapes += _eye(0.42, -0.4 + nod, 0.08)
    band = PAINT["red"] if c.main != PAINT["red"] else GOLD
    return shapes + [line(band, 0.13, (0.04, 0.18), (0.3, 0.26), (0.54, 0.2)), ellipse(GOLD, 0.3, 0.36, 0.09)]


def rabbit(c: Coat, r: np.random.Generator) -> list[Shape]:
    bend = r.uniform(-0.12, 0.2)
    shapes = [ellipse(WHITE if c.main != PAINT["white"] else c.shade, 0.56, 0.66, 0.2)]
    shapes += [ellipse(c.main, 0, 0.54, 0.56, 0.44), ellipse(c.light, 0, 0.6, 0.3, 0.32)]
    shapes += [ellipse(c.shade, s * 0.3, 0.92, 0.26, 0.09) for s in (-1, 1)]
    for s in (-1, 1):
        tip = s * 0.36 + (bend if s > 0 else 0)
        shapes += [blob(c.main, (s * 0.1, -0.35), (s * 0.12, -0.75), (tip, -1.02), (s * 0.44 + bend * 0.4, -0.7),
                        (s * 0.36, -0.3))]  # fmt: skip
        shapes += [
            blob(
                PINK,
                (s * 0.18, -0.4),
                (s * 0.2, -0.7),
                (tip * 0.92, -0.88),
                (s * 0.34, -0.66),
                (s * 0.3, -0.36),
            )
        ]
    shapes += [ellipse(c.main, 0, -0.06, 0.48, 0.42)]
    for s in (-1, 1):
        shapes += _eye(s * 0.2, -0.12, 0.08) + [ellipse(PINK, s * 0.32, 0.08, 0.09, 0.06)]
    shapes += [ellipse(c.light, 0, 0.08, 0.16, 0.1), polygon(PINK, (-0.07, 0.0), (0.07, 0.0), (0, 0.08))]
    return shapes + [rounded(WHITE, -0.075, 0.15, 0.075, 0.27, 0.03), line(INK, 0.02, (0, 0.16), (0, 0.26))]


def bird(c: Coat, r: np.random.Generator) -> list[Shape]:
    flap = r.uniform(-0.18, 0.22)
    shapes = [line(GOLD, 0.07, (x, 0.55), (x + 0.02, 0.86), (x + 0.16, 0.92)) for x in (-0.08, 0.16)]
    shapes += [polygon(c.shade, (-0.45, 0.1), (-1.0, -0.2), (-0.98, 0.06), (-0.86, 0.3), (-0.4, 0.4))]
    shapes += [ellipse(c.main, 0.02, 0.12, 0.62, 0.52), ellipse(c.main, 0.4, -0.4, 0.4, 0.38)]
    shapes += [blob(c.light, (-0.2, 0.56), (0.2, 0.1), (0.56, 0.1), (0.46, 0.46), (0.1, 0.62))]
    shapes += [polygon(GOLD, (0.72, -0.52), (1.04, -0.36), (0.74, -0.24))]
    shapes += [
        blob(c.shade, (-0.02, -0.08), (-0.4, -0.1 + flap), (-0.72, 0.12 + flap), (-0.36, 0.34), (0.06, 0.28))
    ]
    shapes += [line(c.shade, 0.07, (0.36, -0.76), (0.3, -0.94), (0.2, -0.98))]
    return shapes + _eye(0.5, -0.46, 0.085)


def fish(c: Coat, r: np.random.Generator) -> list[Shape]:
    sway = r.uniform(-0.12, 0.12)
    shapes = [blob(c.shade, (-0.5, 0.0), (-0.95, -0.46 + sway), (-0.82, 0.0 + sway), (-0.95, 0.46 + sway))]
    shapes += [blob(c.shade, (-0.2, -0.4), (0.0, -0.76), (0.36, -0.6), (0.4, -0.34)),
               blob(c.shade, (-0.1, 0.4), (0.04, 0.7), (0.28, 0.4))]  # fmt: skip
    shapes += [blob(c.main, (-0.66, 0.0), (-0.3, -0.4), (0.3, -0.48), (0.8, -0.22), (0.96, 0.03), (0.8, 0.26),
                    (0.3, 0.48), (-0.3, 0.38))]  # fmt: skip
    shapes += [
        line(c.light, 0.11, (x, -0.36 + abs(x) * 0.1), (x + 0.1, 0.0), (x, 0.36 - abs(x) * 0.1))
        for x in (-0.28, 0.02)
    ]
    shapes += [line(c.shade, 0.06, (0.4, -0.28), (0.5, 0.02), (0.4, 0.28))]
    return shapes + _eye(0.66, -0.1, 0.09) + [line(c.ink, 0.045, (0.93, 0.1), (0.84, 0.14), (0.76, 0.12))]


def duck(c: Coat, r: np.random.Generator) -> list[Shape]:
    nod = r.uniform(-0.06, 0.06)
    bill = (255, 150, 40) if c.main != PAINT["orange"] else GOLD
    shapes = [blob(c.main, (-1.0, 0.02), (-0.7, 0.3), (-0.2, 0.22), (0.2, 0.1), (0.62, 0.2), (0.7, 0.56), (0.36, 0.84),
                   (-0.4, 0.84), (-0.8, 0.56))]  # fmt: skip
    shapes += [blob(c.main, (0.16, 0.4), (0.18, -0.1), (0.3, -0.4), (0.62, -0.2), (0.66, 0.3))]
    shapes += [ellipse(c.main, 0.4 + nod, -0.44, 0.36, 0.34)]
    shapes += [blob(bill, (0.68 + nod, -0.46), (0.86 + nod, -0.44), (1.04 + nod, -0.36), (0.92 + nod, -0.24),
                    (0.68 + nod, -0.28)), line(mix(bill, INK, 0.35), 0.035, (0.72 + nod, -0.34), (0.96 + nod, -0.35))]  # fmt: skip
    shapes += [blob(c.shade, (-0.62, 0.36), (-0.2, 0.3), (0.3, 0.38), (0.1, 0.62), (-0.3, 0.66))]
    shapes += [line(c.light, 0.06, (-0.4, 0.44), (-0.1, 0.46), (0.1, 0.44))]
    return shapes + _eye(0.48 + nod, -0.52, 0.08)


def butterfly(c: Coat, r: np.random.Generator) -> list[Shape]:
    open_ = r.uniform(0.78, 1.0)
    shapes: list[Shape] = []
    for s in (-1, 1):
        w = s * open_
        shapes += [
            blob(
                c.main,
                (0.04 * s, -0.1),
                (w * 0.5, -0.82),
                (w * 0.96, -0.72),
                (w * 0.92, -0.2),
                (w * 0.4, 0.08),
            )
        ]
        shapes += [
            blob(c.shade, (0.04 * s, 0.0), (w * 0.6, 0.06), (w * 0.76, 0.44), (w * 0.5, 0.8), (w * 0.16, 0.5))
        ]
        shapes += [
            ellipse(c.light, w * 0.62, -0.5, 0.18 * open_, 0.18),
            ellipse(c.light, w * 0.46, 0.4, 0.13 * open_, 0.14),
        ]
        shapes += [
            line(INK, 0.045, (0.02 * s, -0.5), (0.12 * s, -0.82), (0.28 * s, -0.94)),
            ellipse(INK, 0.28 * s, -0.94, 0.06),
        ]
    return shapes + [ellipse((92, 70, 60), 0, 0.06, 0.09, 0.56), ellipse((92, 70, 60), 0, -0.5, 0.13)]


def turtle(c: Coat, r: np.random.Generator) -> list[Shape]:
    skin, out = (150, 196, 104), r.uniform(-0.06, 0.06)
    shapes = [polygon(skin, (-0.8, 0.36), (-1.02, 0.52), (-0.7, 0.54))]
    shapes += [rounded(skin, x, 0.3, x + 0.26, 0.74, 0.1) for x in (-0.6, 0.22)]
    shapes += [line(skin, 0.26, (0.4, 0.36), (0.7 + out, 0.1)), ellipse(skin, 0.78 + out, -0.02, 0.25, 0.22)]
    shapes += [arc(c.main, 0, 0.4, 0.8, 0.92, 180, 360), rounded(c.shade, -0.84, 0.34, 0.76, 0.5, 0.08)]
    shapes += [
        polygon(
            c.shade, *[(0.0 + 0.24 * np.cos(a), -0.06 + 0.24 * np.sin(a)) for a in np.arange(6) * np.pi / 3]
        )
    ]
    shapes += [line(c.shade, 0.06, a, b) for a, b in (
        ((0.12, -0.27), (0.24, -0.44)), ((-0.12, -0.27), (-0.24, -0.44)), ((0.24, -0.06), (0.66, 0.02)),
        ((-0.24, -0.06), (-0.66, 0.02)), ((0.12, 0.15), (0.2, 0.34)), ((-0.12, 0.15), (-0.2, 0.34)))]  # fmt: skip
    shapes += [ellipse(c.light, -0.3, -0.24, 0.1, 0.06, -30)]
    return shapes + _eye(0.84 + out, -0.08, 0.065) + [line(INK, 0.035, (0.98 + out, 0.06), (0.86 + out, 0.1))]


def car(c: Coat, r: np.random.Generator) -> list[Shape]:
    roof = r.uniform(-0.06, 0.06)
    shapes = [
        blob(
            c.main,
            (-0.56, 0.06),
            (-0.38, -0.42 + roof),
            (-0.1, -0.52 + roof),
            (0.26, -0.48 + roof),
            (0.6, 0.06),
        )
    ]
    shapes += [polygon(GLASS, (-0.4, 0.0), (-0.28, -0.34 + roof), (0.0, -0.4 + roof), (0.0, 0.0)),
               polygon(GLASS, (0.08, 0.0), (0.08, -0.4 + roof), (0.26, -0.36 + roof), (0.46, 0.0))]  # fmt: skip
    shapes += [rounded(c.main, -0.98, -0.06, 0.98, 0.46, 0.2), rounded(c.shade, -0.96, 0.26, 0.96, 0.46, 0.1)]
    shapes += [
        ellipse(GOLD, 0.88, 0.1, 0.09, 0.1),
        ellipse((236, 70, 60) if c.main != PAINT["red"] else GOLD, -0.9, 0.1, 0.07, 0.09),
    ]
    shapes += [line(c.shade, 0.04, (0.04, 0.0), (0.04, 0.26)), line(c.light, 0.06, (-0.2, 0.1), (-0.06, 0.1))]
    return shapes + _wheel(-0.54, 0.46, 0.25) + _wheel(0.54, 0.46, 0.25)


def bus(c: Coat, r: np.random.Generator) -> list[Shape]:
    panes = int(r.integers(3, 5))
    shapes = [rounded(c.main, -1.0, -0.66, 1.0, 0.56, 0.16), rounded(c.shade, -0.98, 0.28, 0.98, 0.56, 0.1)]
    shapes += [rounded(c.light, -0.86, -0.62, 0.86, -0.52, 0.05)]
    width = 1.3 / panes
    shapes += [
        rounded(GLASS, -0.88 + i * width, -0.42, -0.88 + (i + 1) * width - 0.1, 0.04, 0.06)
        for i in range(panes)
    ]
    shapes += [rounded(GLASS, 0.5, -0.42, 0.9, 0.44, 0.06), line(c.shade, 0.05, (0.7, -0.4), (0.7, 0.44))]
    shapes += [ellipse(GOLD, 0.94, 0.38, 0.06, 0.08), line(c.light, 0.07, (-0.86, 0.18), (0.36, 0.18))]
    return shapes + _wheel(-0.56, 0.56, 0.23) + _wheel(0.46, 0.56, 0.23)


def airplane(c: Coat, r: np.random.Generator) -> list[Shape]:
    tilt = r.uniform(-7, 7)
    shapes = [polygon(c.shade, (-0.1, -0.06), (-0.3, -0.58), (-0.14, -0.58), (0.3, -0.06))]
    shapes += [polygon(c.shade, (-0.72, -0.1), (-1.0, -0.64), (-0.78, -0.64), (-0.42, -0.12))]
    shapes += [blob(c.main, (-0.98, -0.16), (-0.4, -0.24), (0.5, -0.26), (0.9, -0.1), (1.02, 0.06), (0.84, 0.2),
                    (0.3, 0.26), (-0.5, 0.2), (-0.9, 0.02))]  # fmt: skip
    shapes += [blob(GLASS, (0.66, -0.16), (0.84, -0.1), (0.92, 0.0), (0.68, 0.0))]
    shapes += [ellipse(GLASS, x, -0.05, 0.065) for x in (-0.42, -0.2, 0.02, 0.24, 0.46)]
    shapes += [polygon(c.light, (-0.2, 0.1), (0.28, 0.1), (-0.2, 0.74), (-0.46, 0.74))]
    shapes += [polygon(c.light, (-0.88, 0.0), (-0.62, 0.0), (-0.84, 0.26), (-1.0, 0.26))]
    return [Shape(s.color, rotate(s.points, tilt), s.width) for s in shapes]


def sailboat(c: Coat, r: np.random.Generator) -> list[Shape]:
    wind = r.uniform(0.0, 0.14)
    shapes = [line(WOOD, 0.09, (-0.02, 0.5), (-0.02, -0.98))]
    shapes += [
        blob(c.main, (0.06, -0.86), (0.42 + wind, -0.3), (0.74 + wind, 0.28), (0.4, 0.32), (0.06, 0.28))
    ]
    shapes += [
        blob(c.light, (-0.1, -0.76), (-0.34 + wind, -0.2), (-0.66 + wind, 0.24), (-0.36, 0.28), (-0.1, 0.26))
    ]
    shapes += [
        polygon(c.main if c.main != PAINT["white"] else c.shade, (0.0, -0.98), (0.26, -0.9), (0.0, -0.82))
    ]
    shapes += [
        blob(
            WOOD,
            (-0.96, 0.44),
            (-0.5, 0.44),
            (0.5, 0.44),
            (0.98, 0.4),
            (0.74, 0.82),
            (0.4, 0.94),
            (-0.4, 0.94),
            (-0.76, 0.8),
        )
    ]
    return shapes + [line(CREAM, 0.08, (-0.78, 0.58), (0.0, 0.6), (0.8, 0.56))]


def train(c: Coat, r: np.random.Generator) -> list[Shape]:
    puff = r.uniform(-0.08, 0.08)
    shapes = [
        ellipse((226, 228, 234), 0.42 + puff, -0.86, 0.16, 0.13),
        ellipse((238, 240, 244), 0.2 + puff, -0.92, 0.12, 0.1),
    ]
    shapes += [
        polygon(c.shade, (0.4, -0.2), (0.36, -0.66), (0.76, -0.66), (0.7, -0.2)),
        rounded(c.main, 0.3, -0.74, 0.82, -0.6, 0.05),
    ]
    shapes += [rounded(c.main, -0.3, -0.28, 0.92, 0.4, 0.24), line(c.light, 0.07, (0.1, -0.14), (0.7, -0.14))]
    shapes += [
        rounded(c.main, -0.94, -0.66, -0.16, 0.44, 0.06),
        rounded(c.shade, -1.0, -0.8, -0.1, -0.6, 0.07),
    ]
    shapes += [
        rounded(GLASS, -0.78, -0.46, -0.32, -0.08, 0.05),
        rounded(c.shade, 0.02, -0.42, 0.22, -0.22, 0.06),
    ]
    shapes += [
        polygon(STEEL, (0.8, 0.4), (1.02, 0.76), (0.66, 0.76)),
        rounded(c.shade, -0.96, 0.32, 0.9, 0.48, 0.05),
        ellipse(GOLD, 0.92, -0.06, 0.1),
    ]
    shapes += _wheel(-0.6, 0.56, 0.28)
    for x in (0.08, 0.54):
        shapes += _wheel(x, 0.62, 0.21)
    return shapes + [line(STEEL, 0.07, (-0.6, 0.58), (0.54, 0.62))]


def rocket(c: Coat, r: np.random.Generator) -> list[Shape]:
    flame, tilt = r.uniform(0.0, 0.14), r.uniform(-12, 12)
    shapes = [blob((255, 122, 40), (-0.2, 0.6), (0.2, 0.6), (0.14, 0.82), (0.0, 0.92 + flame), (-0.14, 0.82))]
    shapes += [blob(GOLD, (-0.1, 0.6), (0.1, 0.6), (0.0, 0.82 + flame))]
    for s in (-1, 1):
        shapes += [blob(c.shade, (s * 0.24, 0.16), (s * 0.58, 0.42), (s * 0.6, 0.74), (s * 0.24, 0.56))]
    shapes += [
        blob(
            c.main,
            (0.0, -1.02),
            (0.3, -0.54),
            (0.36, 0.06),
            (0.24, 0.6),
            (-0.24, 0.6),
            (-0.36, 0.06),
            (-0.3, -0.54),
        )
    ]
    shapes += [
        blob(c.shade, (0.0, -1.0), (0.2, -0.74), (0.29, -0.5), (0.0, -0.46), (-0.29, -0.5), (-0.2, -0.74))
    ]
    shapes += [ellipse(STEEL, 0, -0.16, 0.2), ellipse(GLASS, 0, -0.16, 0.14)]
    shapes += [
        line(c.light, 0.08, (-0.24, 0.34), (0.0, 0.37), (0.24, 0.34)),
        rounded(c.shade, -0.05, 0.3, 0.05, 0.72, 0.04),
    ]
    return [Shape(s.color, rotate(s.points, tilt), s.width) for s in shapes]


def balloon(c: Coat, r: np.random.Generator) -> list[Shape]:
    swing = r.uniform(-0.06, 0.06)
    shapes = [line(WOOD, 0.035, (s * 0.36, 0.24), (s * 0.16 + swing, 0.66)) for s in (-1, 1)]
    shapes += [blob(c.main, (0, -1.0), (0.5, -0.86), (0.72, -0.4), (0.56, 0.04), (0.22, 0.36), (-0.22, 0.36), (-0.56, 0.04),
                    (-0.72, -0.4), (-0.5, -0.86))]  # fmt: skip
    for s in (-1, 1):
        shapes += [blob(c.light, (s * 0.12, -0.98), (s * 0.4, -0.78), (s * 0.48, -0.36), (s * 0.36, 0.06), (s * 0.14, 0.34),
                        (s * 0.2, -0.1), (s * 0.22, -0.5))]  # fmt: skip
    shapes += [
        rounded(c.shade, -0.24, 0.28, 0.24, 0.4, 0.05),
        rounded(WOOD, swing - 0.22, 0.64, swing + 0.22, 0.98, 0.06),
    ]
    return shapes + [
        line(mix(WOOD, INK, 0.4), 0.04, (swing - 0.2, y), (swing + 0.2, y)) for y in (0.76, 0.87)
    ]


def tree(c: Coat, r: np.random.Generator) -> list[Shape]:
    green, deep, pale = (92, 176, 78), (64, 142, 66), (142, 208, 110)
    bump = r.uniform(-0.07, 0.07, 4)
    shapes = [
        polygon(WOOD, (-0.14, 0.1), (0.14, 0.1), (0.2, 0.98), (-0.2, 0.98)),
        line(WOOD, 0.1, (0.0, 0.36), (0.3, 0.1)),
    ]
    shapes += [ellipse(deep, -0.4, 0.0 + bump[0], 0.42, 0.38), ellipse(deep, 0.42, 0.0 + bump[1], 0.42, 0.38)]
    shapes += [
        ellipse(green, 0.0, -0.42 + bump[2], 0.58, 0.54),
        ellipse(green, -0.34, -0.18, 0.4, 0.36),
        ellipse(green, 0.34, -0.2, 0.42, 0.36),
    ]
    shapes += [ellipse(pale, -0.2, -0.62 + bump[3], 0.16, 0.1, -25), ellipse(pale, 0.3, -0.34, 0.1, 0.07)]
    return shapes + [ellipse(deep, x, y, 0.05) for x, y in ((0.06, -0.28), (-0.32, -0.1), (0.2, 0.02))]


def flower(c: Coat, r: np.random.Generator) -> list[Shape]:
    turn, petals = r.uniform(0, 60), int(r.integers(6, 9))
    shapes = [line(LEAF, 0.09, (0.0, 0.0), (0.05, 0.5), (0.0, 0.98))]
    shapes += [
        blob(LEAF, (0.03, 0.84), (0.3, 0.5), (0.62, 0.46), (0.46, 0.76)),
        blob(LEAF, (0.0, 0.72), (-0.26, 0.4), (-0.56, 0.38), (-0.4, 0.64)),
    ]
    for i in range(petals):
        a = np.radians(turn + 360 * i / petals)
        shapes += [
            ellipse(
                c.main if i % 2 else mix(c.main, c.light, 0.3),
                0.38 * np.cos(a),
                -0.4 + 0.38 * np.sin(a),
                0.3,
                0.19,
                np.degrees(a),
            )
        ]
    heart = GOLD if c.main not in (PAINT["yellow"], PAINT["orange"]) else (150, 92, 50)
    return shapes + [ellipse(heart, 0, -0.4, 0.23), ellipse(mix(heart, WHITE, 0.4), -0.06, -0.46, 0.08)]


def mushroom(c: Coat, r: np.random.Generator) -> list[Shape]:
    fat = r.uniform(-0.05, 0.06)
    dots = WHITE if c.main != PAINT["white"] else (222, 120, 110)
    shapes = [
        blob(CREAM, (-0.22 - fat, 0.1), (0.22 + fat, 0.1), (0.3 + fat, 0.86), (0.0, 0.98), (-0.3 - fat, 0.86))
    ]
    shapes += [ellipse(mix(CREAM, INK, 0.22), 0, 0.14, 0.5, 0.1)]
    shapes += [
        blob(
            c.main,
            (-0.96, 0.1),
            (-0.84, -0.44),
            (-0.4, -0.88),
            (0.0, -0.96),
            (0.4, -0.88),
            (0.84, -0.44),
            (0.96, 0.1),
            (0.5, 0.2),
            (0.0, 0.12),
            (-0.5, 0.2),
        )
    ]
    shapes += [
        ellipse(dots, x, y, s, s * 0.82)
        for x, y, s in (
            (-0.46, -0.28, 0.17),
            (0.08, -0.56, 0.2),
            (0.5, -0.2, 0.15),
            (0.02, -0.08, 0.1),
            (-0.74, 0.0, 0.08),
        )
    ]
    return (
        shapes
        + [ellipse(INK, s * 0.1, 0.46, 0.045, 0.07) for s in (-1, 1)]
        + [line(INK, 0.035, (-0.07, 0.62), (0, 0.66), (0.07, 0.62))]
    )


def cactus(c: Coat, r: np.random.Generator) -> list[Shape]:
    green, deep, arm = (74, 160, 96), (50, 122, 76), r.uniform(-0.1, 0.1)
    shapes = [
        line(green, 0.24, (-0.2, 0.22), (-0.6, 0.14), (-0.62, -0.3 + arm)),
        line(green, 0.22, (0.2, 0.02), (0.58, -0.04), (0.6, -0.44 - arm)),
    ]
    shapes += [rounded(green, -0.3, -0.86, 0.3, 0.6, 0.29)]
    shapes += [line(deep, 0.045, (x, -0.6 + abs(x)), (x, 0.5)) for x in (-0.14, 0.0, 0.14)]
    shapes += [
        ellipse(PINK, 0.02 + 0.1 * np.cos(a), -0.88 + 0.09 * np.sin(a), 0.08)
        for a in np.arange(5) * 2 * np.pi / 5
    ]
    shapes += [ellipse(GOLD, 0.02, -0.88, 0.06)]
    pot = (206, 112, 72)
    return shapes + [
        polygon(pot, (-0.44, 0.56), (0.44, 0.56), (0.32, 0.98), (-0.32, 0.98)),
        rounded(mix(pot, WHITE, 0.2), -0.5, 0.44, 0.5, 0.62, 0.06),
    ]


def house(c: Coat, r: np.random.Generator) -> list[Shape]:
    side = float(r.choice([-1, 1]))
    roof = (120, 84, 76) if c.main != PAINT["black"] else (176, 176, 186)
    shapes = [
        polygon(
            (142, 120, 112),
            (side * 0.36, -0.94),
            (side * 0.6, -0.94),
            (side * 0.6, -0.3),
            (side * 0.36, -0.3),
        )
    ]
    shapes += [
        rounded(c.main, -0.76, -0.22, 0.76, 0.94, 0.04),
        polygon(roof, (-1.0, -0.1), (0.0, -0.92), (1.0, -0.1)),
    ]
    shapes += [polygon(mix(roof, WHITE, 0.25), (-1.0, -0.1), (-0.94, -0.16), (0.94, -0.16), (1.0, -0.1))]
    shapes += [
        rounded(WOOD, side * 0.36 - 0.19, 0.3, side * 0.36 + 0.19, 0.94, 0.06),
        ellipse(GOLD, side * 0.36 + 0.1, 0.64, 0.045),
    ]
    x = -side * 0.34
    shapes += [
        rounded(CREAM, x - 0.26, 0.1, x + 0.26, 0.6, 0.04),
        rounded(GLASS, x - 0.2, 0.16, x + 0.2, 0.54, 0.02),
    ]
    shapes += [line(CREAM, 0.05, (x, 0.14), (x, 0.56)), line(CREAM, 0.05, (x - 0.22, 0.35), (x + 0.22, 0.35))]
    return shapes + [ellipse(GLASS, 0, -0.44, 0.15)]


def umbrella(c: Coat, r: np.random.Generator) -> list[Shape]:
    tilt = r.uniform(-14, 14)
    shapes = [
        line(WOOD, 0.085, (0, -0.9), (0, 0.0), (0, 0.74)),
        line(WOOD, 0.085, (0, 0.72), (0.03, 0.9), (0.16, 0.94), (0.27, 0.86), (0.28, 0.74)),
    ]
    shapes += [arc(c.main, 0, 0.06, 0.98, 0.9, 180, 360)]
    shapes += [blob(c.shade, (-0.34, 0.02), (-0.24, -0.5), (0, -0.84), (0.24, -0.5), (0.34, 0.02))]
    edges = (-0.98, -0.66, -0.33, 0.0, 0.33, 0.66, 0.98)
    colors = (c.main, c.main, c.shade, c.shade, c.main, c.main)
    shapes += [
        arc(col, (a + b) / 2, 0.05, (b - a) / 2, 0.13, 0, 180) for a, b, col in zip(edges, edges[1:], colors)
    ]
    shapes += [
        line(c.light, 0.06, (-0.76, -0.2), (-0.62, -0.46), (-0.44, -0.62)),
        line(WOOD, 0.07, (0, -0.84), (0, -0.98)),
    ]
    return [Shape(s.color, rotate(s.points, tilt), s.width) for s in shapes]


def ball(c: Coat, r: np.random.Generator) -> list[Shape]:
    turn = r.uniform(0, 180)
    shapes = [ellipse(c.main, 0, 0, 0.86)]
    band = WHITE if c.main != PAINT["white"] else (198, 204, 216)
    stripe = [blob(band, (-0.2, -0.835), (0.2, -0.835), (0.32, 0.0), (0.2, 0.835), (-0.2, 0.835), (-0.32, 0.0)),
              blob(c.shade, (0.52, -0.68), (0.84, -0.2), (0.84, 0.2), (0.52, 0.68), (0.64, 0.0))]  # fmt: skip
    shapes += [Shape(s.color, rotate(s.points, turn), s.width) for s in stripe]
    return shapes + [ellipse(c.light, -0.4, -0.46, 0.2, 0.12, -45)]


def cup(c: Coat, r: np.random.Generator) -> list[Shape]:
    steam = r.uniform(-0.08, 0.08)
    shapes = [
        line(
            (222, 228, 236),
            0.09,
            (x + steam, -0.5),
            (x + 0.08, -0.66),
            (x - 0.06 + steam, -0.82),
            (x + 0.04, -0.98),
        )
        for x in (-0.32, 0.12)
    ]
    shapes += [line(c.shade, 0.17, (0.5, -0.12), (0.86, -0.1), (0.9, 0.28), (0.46, 0.48))]
    shapes += [
        blob(
            c.main,
            (-0.66, -0.3),
            (-0.1, -0.36),
            (0.46, -0.3),
            (0.5, 0.1),
            (0.34, 0.8),
            (0.2, 0.9),
            (-0.4, 0.9),
            (-0.54, 0.8),
            (-0.7, 0.1),
        )
    ]
    shapes += [ellipse(c.light, -0.1, -0.3, 0.58, 0.14), ellipse((112, 70, 46), -0.1, -0.28, 0.48, 0.09)]
    heart = CREAM if c.main != PAINT["white"] else PINK
    shapes += [ellipse(heart, x, 0.26, 0.13) for x in (-0.21, 0.01)] + [
        polygon(heart, (-0.33, 0.31), (0.13, 0.31), (-0.1, 0.58))
    ]
    return shapes


def clock(c: Coat, r: np.random.Generator) -> list[Shape]:
    hour, minute = r.uniform(0, 360), r.uniform(0, 360)
    shapes = [line(c.shade, 0.14, (s * 0.4, 0.7), (s * 0.56, 0.94)) for s in (-1, 1)]
    for s in (-1, 1):
        shapes += [ellipse(c.main, s * 0.46, -0.66, 0.27, 0.2, s * 38), ellipse(GOLD, s * 0.56, -0.86, 0.06)]
    shapes += [line(STEEL, 0.08, (0, -0.6), (0, -0.94)), rounded(STEEL, -0.14, -1.0, 0.14, -0.88, 0.05)]
    shapes += [
        ellipse(c.main, 0, 0.1, 0.78),
        ellipse(c.shade, 0, 0.1, 0.62),
        ellipse((255, 253, 244), 0, 0.1, 0.57),
    ]
    shapes += [
        ellipse(INK, 0.46 * np.cos(a), 0.1 + 0.46 * np.sin(a), 0.045) for a in np.arange(12) * np.pi / 6
    ]
    for angle, reach, width in ((hour, 0.26, 0.085), (minute, 0.38, 0.06)):
        a = np.radians(angle)
        shapes += [line(INK, width, (0, 0.1), (reach * np.cos(a), 0.1 + reach * np.sin(a)))]
    return shapes + [ellipse((226, 70, 60), 0, 0.1, 0.06)]


Sticker = Callable[[Coat, np.random.Generator], list[Shape]]
STICKERS: dict[str, Sticker] = {
    f.__name__: f
    for f in (cat, dog, rabbit, bird, fish, duck, butterfly, turtle, car, bus, airplane, sailboat, train, rocket,
              balloon, tree, flower, mushroom, cactus, house, umbrella, ball, cup, clock)
}  # fmt: skip
