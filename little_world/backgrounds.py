"""The seven places of Little World, by day, at dusk and at night."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .canvas import Canvas
from .shapes import Color, arc, blob, ellipse, line, mix, polygon, rounded

SKY: dict[str, tuple[Color, Color]] = {  # (at the top, at the horizon)
    "day": ((126, 200, 248), (222, 243, 255)),
    "dusk": ((118, 84, 158), (255, 184, 128)),
    "night": ((20, 26, 66), (58, 70, 130)),
}
_LIGHT: dict[str, tuple[float, float, float]] = {  # how much red, green and blue light falls on the ground
    "day": (1.0, 1.0, 1.0),
    "dusk": (0.98, 0.76, 0.74),
    "night": (0.47, 0.54, 0.74),
}
_HAZE: dict[str, tuple[Color, float]] = {  # the air's own colour and its share
    "day": ((255, 255, 255), 0.0),
    "dusk": ((196, 110, 130), 0.14),
    "night": ((26, 32, 92), 0.22),
}


def lit(color: Color, time: str) -> Color:
    """How a colour of the ground looks at that time of day."""
    red, green, blue = (int(c * share) for c, share in zip(color, _LIGHT[time]))
    return mix((red, green, blue), *_HAZE[time])


def sky(canvas: Canvas, time: str, rng: np.random.Generator, *, clouds: bool = True) -> None:
    """Sky with sun and clouds, a low sun, or moon and stars."""
    canvas.gradient(*SKY[time], bottom=0.72)
    side = float(rng.choice([0.14, 0.86]))
    if time == "day":
        canvas.draw(ellipse((255, 244, 190), side, 0.13, 0.095), ellipse((255, 220, 92), side, 0.13, 0.07))
    elif time == "dusk":
        canvas.draw(ellipse((255, 204, 140), side, 0.5, 0.14), ellipse((255, 226, 150), side, 0.5, 0.1))
    else:
        for x, y, r in zip(rng.uniform(0, 1, 34), rng.uniform(0, 0.55, 34), rng.uniform(0.003, 0.0075, 34)):
            canvas.draw(ellipse((255, 250, 214), x, y, r))
        canvas.draw(
            ellipse((255, 246, 200), side, 0.13, 0.075),
            ellipse(mix(*SKY["night"], 0.15), side + 0.032, 0.112, 0.062),
        )
    if clouds and time != "night":
        tone = (255, 255, 255) if time == "day" else (246, 170, 160)
        for x in rng.uniform(0.05, 0.95, 2):
            y, s = rng.uniform(0.08, 0.26), rng.uniform(0.03, 0.05)
            canvas.draw(ellipse(tone, x - s * 1.3, y, s * 1.2, s * 0.7), ellipse(tone, x, y - s * 0.4, s * 1.2, s),
                        ellipse(tone, x + s * 1.4, y, s * 1.2, s * 0.65))  # fmt: skip


def hill(color: Color, top: float, swell: float, phase: float):
    """Ground up to the lower edge, under a soft wave."""
    x = np.linspace(-0.05, 1.05, 30)
    y = top + swell * np.sin(x * 5 + phase) + swell * 0.5 * np.sin(x * 9 + phase * 2)
    return polygon(color, (-0.05, 1.05), *zip(x, y), (1.05, 1.05))


def meadow(canvas: Canvas, time: str, rng: np.random.Generator) -> None:
    sky(canvas, time, rng)
    phase = rng.uniform(0, 6)
    canvas.draw(hill(lit((160, 214, 130), time), 0.5, 0.03, phase), hill(lit((128, 198, 98), time), 0.62, 0.025, phase + 2),
                hill(lit((104, 180, 82), time), 0.8, 0.02, phase + 4))  # fmt: skip
    for x, y in zip(rng.uniform(0, 1, 16), rng.uniform(0.66, 0.98, 16)):
        tint = [(255, 255, 255), (255, 226, 110), (255, 176, 196)][int(rng.integers(3))]
        canvas.draw(ellipse(lit(tint, time), x, y, 0.011), ellipse(lit((250, 190, 60), time), x, y, 0.004))
    blade = lit((80, 152, 66), time)
    for x, y in zip(rng.uniform(0, 1, 14), rng.uniform(0.64, 0.98, 14)):
        canvas.draw(
            line(blade, 0.006, (x, y), (x - 0.012, y - 0.026)),
            line(blade, 0.006, (x, y), (x + 0.012, y - 0.026)),
        )


def beach(canvas: Canvas, time: str, rng: np.random.Generator) -> None:
    sky(canvas, time, rng)
    canvas.draw(polygon(lit((64, 164, 212), time), (0, 0.46), (1, 0.46), (1, 0.72), (0, 0.72)))
    canvas.draw(polygon(lit((106, 196, 222), time), (0, 0.57), (1, 0.57), (1, 0.76), (0, 0.76)))
    for x, y in zip(rng.uniform(0.02, 0.9, 9), rng.uniform(0.49, 0.64, 9)):
        canvas.draw(line(lit((212, 240, 248), time), 0.008, (x, y), (x + 0.03, y - 0.01), (x + 0.07, y)))
    phase = rng.uniform(0, 6)
    canvas.draw(
        hill(lit((240, 250, 250), time), 0.685, 0.012, phase),
        hill(lit((250, 224, 166), time), 0.7, 0.012, phase),
    )
    for x, y in zip(rng.uniform(0, 1, 22), rng.uniform(0.75, 0.99, 22)):
        canvas.draw(ellipse(lit((222, 186, 122), time), x, y, 0.005))
    x, y = rng.uniform(0.1, 0.9), rng.uniform(0.86, 0.95)
    star = [
        (x + r * np.cos(a), y + r * np.sin(a)) for a, r in zip(np.arange(10) * np.pi / 5, [0.035, 0.015] * 5)
    ]
    canvas.draw(blob(lit((244, 128, 98), time), *star))


def city(canvas: Canvas, time: str, rng: np.random.Generator) -> None:
    sky(canvas, time, rng, clouds=False)
    pane = {"day": (214, 234, 246), "dusk": (255, 214, 140), "night": (255, 222, 120)}[time]
    for row, (tone, low) in enumerate((((176, 190, 214), 0.2), ((142, 154, 188), 0.36))):
        x = -0.03
        while x < 1:
            width, top = rng.uniform(0.12, 0.2), low + rng.uniform(0, 0.2)
            wall = lit(mix(tone, (226, 150, 130), float(rng.uniform(0, 0.4))), time)
            canvas.draw(polygon(wall, (x, top), (x + width, top), (x + width, 0.8), (x, 0.8)))
            for i in range(3):
                for y in np.arange(top + 0.04, 0.7, 0.075):
                    if row and rng.random() < (0.85 if time == "day" else 0.6):
                        left = x + width * (0.16 + 0.27 * i)
                        canvas.draw(
                            polygon(
                                pane,
                                (left, y),
                                (left + width * 0.15, y),
                                (left + width * 0.15, y + 0.035),
                                (left, y + 0.035),
                            )
                        )
            x += width + rng.uniform(0.0, 0.025)
    canvas.draw(polygon(lit((200, 202, 208), time), (0, 0.75), (1, 0.75), (1, 0.81), (0, 0.81)))
    canvas.draw(polygon(lit((104, 108, 122), time), (0, 0.8), (1, 0.8), (1, 1), (0, 1)))
    start = rng.uniform(-0.15, 0)
    for i in range(6):
        canvas.draw(
            line(lit((250, 240, 200), time), 0.014, (start + i * 0.22, 0.9), (start + i * 0.22 + 0.1, 0.9))
        )


def _pine(
    canvas: Canvas, x: float, foot: float, height: float, color: Color, cap: Color | None = None
) -> None:
    canvas.draw(line((104, 78, 62), height * 0.09, (x, foot), (x, foot - height * 0.2)))
    for i in range(3):
        y, w = foot - height * (0.14 + 0.26 * i), height * (0.3 - 0.07 * i)
        canvas.draw(polygon(color, (x - w, y), (x, y - height * 0.4), (x + w, y)))
        if cap:
            canvas.draw(
                polygon(
                    cap,
                    (x - w * 0.45, y - height * 0.22),
                    (x, y - height * 0.4),
                    (x + w * 0.45, y - height * 0.22),
                )
            )


def snow(canvas: Canvas, time: str, rng: np.random.Generator) -> None:
    sky(canvas, time, rng, clouds=False)
    phase = rng.uniform(0, 6)
    for x in (rng.uniform(0.1, 0.4), rng.uniform(0.6, 0.9)):
        y, w = rng.uniform(0.24, 0.32), rng.uniform(0.3, 0.4)
        canvas.draw(polygon(lit((172, 190, 218), time), (x - w, 0.7), (x, y), (x + w, 0.7)))
        canvas.draw(polygon(lit((250, 252, 255), time), (x - w * 0.32, y + 0.13), (x, y), (x + w * 0.32, y + 0.13),
                            (x + w * 0.12, y + 0.1), (x, y + 0.15), (x - w * 0.14, y + 0.1)))  # fmt: skip
    canvas.draw(hill(lit((222, 234, 248), time), 0.58, 0.025, phase))
    for x in rng.uniform(0.03, 0.97, 5):
        _pine(canvas, x, 0.66, rng.uniform(0.13, 0.19), lit((74, 122, 108), time), lit((250, 252, 255), time))
    canvas.draw(
        hill(lit((242, 248, 255), time), 0.7, 0.02, phase + 2),
        hill(lit((228, 238, 252), time), 0.88, 0.015, phase + 4),
    )
    for x, y, r in zip(rng.uniform(0, 1, 40), rng.uniform(0, 1, 40), rng.uniform(0.005, 0.01, 40)):
        canvas.draw(ellipse(mix((255, 255, 255), SKY[time][0], 0.12), x, y, r))


def desert(canvas: Canvas, time: str, rng: np.random.Generator) -> None:
    sky(canvas, time, rng, clouds=False)
    phase, x = rng.uniform(0, 6), rng.uniform(0.1, 0.55)
    rock = lit((206, 122, 84), time)
    canvas.draw(polygon(rock, (x - 0.05, 0.7), (x, 0.36), (x + 0.2, 0.36), (x + 0.26, 0.7)),
                polygon(mix(rock, (60, 30, 40), 0.2), (x + 0.2, 0.36), (x + 0.26, 0.7), (x + 0.15, 0.7)),
                polygon(rock, (x + 0.3, 0.7), (x + 0.34, 0.46), (x + 0.44, 0.46), (x + 0.5, 0.7)))  # fmt: skip
    canvas.draw(hill(lit((240, 184, 112), time), 0.57, 0.03, phase), hill(lit((232, 166, 92), time), 0.7, 0.035, phase + 2.5),
                hill(lit((222, 150, 78), time), 0.86, 0.02, phase + 4.5))  # fmt: skip
    ripple = lit((204, 132, 66), time)
    for x, y in zip(rng.uniform(0.0, 0.85, 8), rng.uniform(0.74, 0.97, 8)):
        canvas.draw(line(ripple, 0.007, (x, y), (x + 0.05, y - 0.012), (x + 0.11, y)))


def forest(canvas: Canvas, time: str, rng: np.random.Generator) -> None:
    sky(canvas, time, rng, clouds=False)
    canvas.draw(hill(lit((88, 146, 118), time), 0.3, 0.03, rng.uniform(0, 6)))
    for tone, foot, count, low, high in (
        ((70, 128, 100), 0.62, 8, 0.34, 0.46),
        ((48, 104, 78), 0.74, 6, 0.42, 0.58),
    ):
        for x in np.linspace(0.0, 1.0, count) + rng.uniform(-0.05, 0.05, count):
            _pine(canvas, float(x), foot, rng.uniform(low, high), lit(tone, time))
    canvas.draw(
        hill(lit((76, 122, 70), time), 0.7, 0.015, rng.uniform(0, 6)),
        hill(lit((64, 106, 62), time), 0.86, 0.015, rng.uniform(0, 6)),
    )
    for x, y in zip(rng.uniform(0, 1, 12), rng.uniform(0.76, 0.98, 12)):
        fern = lit((104, 156, 84), time)
        for dx in (-0.022, 0.0, 0.022):
            canvas.draw(line(fern, 0.008, (x, y), (x + dx, y - 0.032)))


def room(canvas: Canvas, time: str, rng: np.random.Generator) -> None:
    wall = [(250, 226, 196), (206, 226, 220), (232, 214, 232), (246, 214, 204)][int(rng.integers(4))]
    dim = {"day": 0.0, "dusk": 0.12, "night": 0.34}[time]
    shade = lambda color: mix(color, (40, 34, 70), dim)  # noqa: E731 - lamp light: dimmer, not blue
    canvas.draw(polygon(shade(wall), (0, 0), (1, 0), (1, 1), (0, 1)))
    for x in np.arange(0.06, 1, 0.125):
        canvas.draw(line(shade(mix(wall, (255, 255, 255), 0.35)), 0.012, (x, 0), (x, 0.72)))
    left = float(rng.choice([0.07, 0.57]))
    frame = shade((255, 250, 240))
    canvas.draw(rounded(frame, left, 0.08, left + 0.36, 0.48, 0.02))
    canvas.window(time, left + 0.025, 0.105, left + 0.335, 0.455, SKY[time])
    if time == "day":
        canvas.draw(ellipse((255, 226, 110), left + 0.26, 0.18, 0.04))
    elif time == "dusk":
        canvas.draw(arc((255, 232, 160), left + 0.18, 0.455, 0.07, 0.07, 180, 360))
    else:
        canvas.draw(ellipse((255, 246, 200), left + 0.26, 0.18, 0.035))
        for x, y in zip(rng.uniform(left + 0.04, left + 0.2, 6), rng.uniform(0.13, 0.42, 6)):
            canvas.draw(ellipse((255, 250, 214), x, y, 0.006))
    canvas.draw(
        line(frame, 0.02, (left + 0.18, 0.1), (left + 0.18, 0.46)),
        line(frame, 0.02, (left + 0.03, 0.28), (left + 0.33, 0.28)),
    )
    x = 0.72 if left < 0.5 else 0.16
    canvas.draw(
        rounded(shade((172, 120, 80)), x, 0.16, x + 0.18, 0.36, 0.01),
        rounded(shade((244, 240, 226)), x + 0.018, 0.178, x + 0.162, 0.342, 0.005),
    )
    canvas.draw(
        polygon(
            shade((126, 168, 128)),
            (x + 0.018, 0.342),
            (x + 0.07, 0.25),
            (x + 0.11, 0.3),
            (x + 0.13, 0.27),
            (x + 0.162, 0.342),
        )
    )
    floor = shade((196, 142, 98))
    canvas.draw(
        polygon(floor, (0, 0.74), (1, 0.74), (1, 1), (0, 1)),
        polygon(shade((255, 248, 236)), (0, 0.72), (1, 0.72), (1, 0.75), (0, 0.75)),
    )
    for y in (0.82, 0.91):
        canvas.draw(line(shade((172, 120, 80)), 0.007, (0, y), (1, y)))
    rug = [(196, 104, 110), (110, 138, 186), (126, 160, 120)][int(rng.integers(3))]
    canvas.draw(
        ellipse(shade(rug), 0.5, 0.89, 0.32, 0.075),
        ellipse(shade(mix(rug, (255, 255, 255), 0.35)), 0.5, 0.89, 0.24, 0.05),
    )


Painter = Callable[[Canvas, str, np.random.Generator], None]
PAINTERS: dict[str, Painter] = {f.__name__: f for f in (meadow, beach, city, snow, desert, forest, room)}
