"""Vector shapes as numpy points: what the stickers of Little World are cut from.

A shape is a colour and an outline in the sticker's own coordinates, about -1..1, x to the right and y down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Shape:
    """A filled outline, or with `width` an open line of that thickness with round ends."""

    color: Color
    points: np.ndarray  # (n, 2) float
    width: float = 0.0


def ellipse(
    color: Color, cx: float, cy: float, rx: float, ry: float | None = None, turn: float = 0.0
) -> Shape:
    """An ellipse about (cx, cy), turned by `turn` degrees clockwise."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    points = np.stack([rx * np.cos(angle), (rx if ry is None else ry) * np.sin(angle)], axis=1)
    return Shape(color, rotate(points, turn) + (cx, cy))


def polygon(color: Color, *points: tuple[float, float]) -> Shape:
    return Shape(color, np.array(points, dtype=float))


def rounded(color: Color, left: float, top: float, right: float, bottom: float, radius: float) -> Shape:
    """A rectangle with round corners."""
    corners = [(right - radius, bottom - radius), (left + radius, bottom - radius),
               (left + radius, top + radius), (right - radius, top + radius)]  # fmt: skip
    arcs = []
    for i, corner in enumerate(corners):
        angle = np.linspace(i * np.pi / 2, (i + 1) * np.pi / 2, 8)
        arcs.append(np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius + corner)
    return Shape(color, np.concatenate(arcs))


def blob(color: Color, *points: tuple[float, float]) -> Shape:
    """A smooth closed curve through the points."""
    return Shape(color, smooth(np.array(points, dtype=float), closed=True))


def line(color: Color, width: float, *points: tuple[float, float]) -> Shape:
    """A smooth open line through the points."""
    return Shape(color, smooth(np.array(points, dtype=float), closed=False), width)


def arc(color: Color, cx: float, cy: float, rx: float, ry: float, start: float, stop: float) -> Shape:
    """A filled slice of an ellipse between two angles in degrees (0 to the right, clockwise), cut straight."""
    angle = np.radians(np.linspace(start, stop, 30))
    return Shape(color, np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], axis=1))


def smooth(points: np.ndarray, *, closed: bool, steps: int = 8) -> np.ndarray:
    """Catmull-Rom spline through the points."""
    if len(points) < 3:
        return points
    if closed:
        p0, p1, p2, p3 = (np.roll(points, shift, axis=0) for shift in (1, 0, -1, -2))
    else:
        padded = np.concatenate([points[:1], points, points[-1:]])
        p0, p1, p2, p3 = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (p[:, None, :] for p in (p0, p1, p2, p3))
    curve = 0.5 * (
        2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])


def rotate(points: np.ndarray, degrees: float) -> np.ndarray:
    """Points turned about the origin, clockwise on the screen."""
    a = np.radians(degrees)
    return points @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])


def mix(a: Color, b: Color, share: float) -> Color:
    """`share` of b in a."""
    return tuple(int(round(x + (y - x) * share)) for x, y in zip(a, b))  # type: ignore[return-value]
