"""Drawings of how parts hang together: boxes in columns, joined from left to right."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path

from .plots import COLORS, GROUND, INK, MUTED, figure


def columns(
    boxes: Mapping[str, Mapping[str, str]],
    links: Sequence[tuple[str, str]],
    *,
    absent: Collection[str] = (),
    width: float = 8.6,
    row_height: float = 0.72,
) -> Figure:
    """Boxes `{column title: {name: what stands under it}}`, each column centred, and links between names.

    A name in `absent` is drawn dashed and pale: a part that is not there yet.
    """
    rows = max(map(len, boxes.values()))
    made, axes = figure(width, rows * row_height + 0.35)
    axis = axes[0, 0]
    axis.axis("off")
    places: dict[str, tuple[float, float]] = {}
    for x, (title, column) in enumerate(boxes.items()):
        axis.text(x, -0.72, title, ha="center", va="center", fontsize=10, color=INK)
        for i, (name, under) in enumerate(column.items()):
            places[name] = (x, i + (rows - len(column)) / 2)
            _box(axis, *places[name], name, under, COLORS[x % len(COLORS)], name in absent)
    for a, b in links:
        _link(axis, places[a], places[b], pale=a in absent or b in absent)
    axis.set_xlim(-0.45, len(boxes) - 0.55)
    axis.set_ylim(rows - 0.5, -0.95)
    return made


_HALF_WIDTH, _HALF_HEIGHT = 0.41, 0.34


def _box(axis, x: float, y: float, name: str, under: str, color: str, pale: bool) -> None:
    corner = (x - _HALF_WIDTH, y - _HALF_HEIGHT)
    size = (2 * _HALF_WIDTH, 2 * _HALF_HEIGHT)
    style = {"boxstyle": "round,pad=0,rounding_size=0.06", "mutation_aspect": 2.4, "zorder": 2}
    # hides the links
    axis.add_patch(FancyBboxPatch(corner, *size, **style, facecolor=GROUND, edgecolor="none"))
    axis.add_patch(
        FancyBboxPatch(
            corner, *size, **style, linewidth=1.4, linestyle="--" if pale else "-",
            facecolor="none" if pale else (color, 0.14), edgecolor=MUTED if pale else color,
        )
    )  # fmt: skip
    ink = MUTED if pale else INK
    lift = 0.13 if under else 0.0
    axis.text(x, y - lift, name, ha="center", va="center", fontsize=9, color=ink, zorder=3)
    axis.text(x, y + 0.15, under, ha="center", va="center", fontsize=7.5, color=ink, zorder=3)


def _link(axis, a: tuple[float, float], b: tuple[float, float], *, pale: bool) -> None:
    start, end = (a[0] + _HALF_WIDTH, a[1]), (b[0] - _HALF_WIDTH, b[1])
    middle = (start[0] + end[0]) / 2
    path = Path([start, (middle, start[1]), (middle, end[1]), end], [Path.MOVETO, *[Path.CURVE4] * 3])
    axis.add_patch(
        PathPatch(
            path, facecolor="none", edgecolor=MUTED, linewidth=1.4, linestyle="--" if pale else "-", zorder=1
        )
    )
