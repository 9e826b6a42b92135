"""The figures of the lessons: pictures in rows, scores beside a picture, a similarity matrix.

Each function returns a matplotlib `Figure`, which a notebook shows when it stands last in a cell. The ground is
opaque and light, so that a figure reads in a dark theme too, and Chinese never shows as boxes: the characters
come from a font of the course's own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager, mlab
from matplotlib.figure import Figure
from PIL import ImageFont

from .errors import TextError
from .images import open_image
from .settings import say

FONT = Path(__file__).parent / "fonts" / "CourseSansSC-Regular.otf"
INK, MUTED, GROUND = "#2b2d42", "#8d93a8", "#fdfcfa"
COLORS = (
    "#3a6ea5",
    "#e07a5f",
    "#5b9279",
    "#e6b84c",
    "#8b6bb1",
    "#4aa3b5",
)  # told apart by colour-blind readers too


@lru_cache(maxsize=1)
def use_style() -> None:
    """The course's look for all of matplotlib, Chinese font included. Called by every function here."""
    font_manager.fontManager.addfont(str(FONT))
    plt.rcParams.update({
        "font.family": ["DejaVu Sans", font_manager.FontProperties(fname=FONT).get_name()], "font.size": 10,
        "axes.unicode_minus": False, "figure.facecolor": GROUND, "axes.facecolor": GROUND, "savefig.facecolor": GROUND,
        "figure.dpi": 96, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED, "xtick.color": INK,
        "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11,
        "axes.prop_cycle": plt.cycler(color=COLORS), "legend.frameon": False, "figure.constrained_layout.use": True,
    })  # fmt: skip


def font(size: int) -> ImageFont.FreeTypeFont:
    """The course's font for drawing on PIL pictures."""
    return ImageFont.truetype(str(FONT), size)


def figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **options
) -> tuple[Figure, np.ndarray]:
    """A figure in the course's style and its axes `(rows, columns)`; sizes in inches."""
    use_style()
    made, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, **options)
    plt.close(made)  # or a notebook would show it twice
    return made, axes


def gallery(images: Sequence, titles: Sequence[str] | None = None, *, columns: int = 6, size: float = 1.5,
            title_colors: Sequence[str] | None = None) -> Figure:  # fmt: skip
    """Pictures in rows, each with its title under the rows' upper edge. `size` is a picture's side in inches."""
    count = len(images)
    if not count:  # a search that found nothing
        return _note(say(zh="没有图片", en="No pictures"), columns * size)
    columns = min(columns, count)
    rows = -(-count // columns)
    made, axes = figure(columns * size, rows * (size + (0.26 if titles is not None else 0.04)), rows, columns)
    for i, axis in enumerate(axes.flat):
        axis.axis("off")
        if i < count:
            axis.imshow(open_image(images[i]))
            if titles is not None:
                axis.set_title(
                    titles[i], fontsize=9, pad=3, color=title_colors[i] if title_colors is not None else INK
                )
    return made


def _note(text: str, width: float) -> Figure:
    """A figure with nothing to show but a few words."""
    made, axes = figure(width, 0.5)
    axes[0, 0].axis("off")
    axes[0, 0].text(0.5, 0.5, text, ha="center", va="center", color=MUTED)
    return made


def scores(
    image, result: dict[str, float], *, truth: str | None = None, percent: bool = True, width: float = 6.4
) -> Figure:
    """A picture beside its labels' scores as bars, best first; the true label's bar is green."""
    if not result:
        raise TextError(
            say(
                zh="没有分数可画，请至少给一个标签。",
                en="There are no scores to draw, please give at least one label.",
            )
        )
    ranked = sorted(result.items(), key=lambda item: item[1], reverse=True)
    made, axes = figure(
        width, max(1.9, 0.3 * len(ranked) + 0.5), 1, 2, gridspec_kw={"width_ratios": [1, 1.7]}
    )
    picture, bars = axes[0]
    picture.imshow(open_image(image))
    picture.axis("off")
    names = [name for name, _ in ranked]
    values = [value for _, value in ranked]
    shades = [
        COLORS[2] if name == truth else COLORS[0] if truth is None or i else COLORS[1]
        for i, name in enumerate(names)
    ]
    bars.barh(names, values, color=shades, height=0.7)
    bars.invert_yaxis()
    bars.spines[["bottom", "left"]].set_visible(False)
    bars.tick_params(length=0, labelbottom=False)
    for i, value in enumerate(values):
        bars.text(max(value, 0), i, f" {value:.1%}" if percent else f" {value:.2f}", va="center", fontsize=9)
    bars.set_xlim(min(0.0, *values), max(values) * 1.22 + 1e-6)
    return made


def similarity(matrix: np.ndarray, texts: Sequence[str], images: Sequence | None = None, *, title: str = "",
               cell: float = 0.62, digits: int = 2, limits: tuple[float, float] | None = None) -> Figure:  # fmt: skip
    """A `(n_images, n_texts)` matrix with its values, pictures along the rows and texts along the columns."""
    matrix = np.asarray(matrix)
    rows, columns = matrix.shape
    longest = max(map(len, texts), default=1)
    made, axes = figure(columns * cell + 1.6, rows * cell + 0.9 + min(longest, 24) * 0.055)
    axis = axes[0, 0]
    low, high = limits or (float(matrix.min()), float(matrix.max()))
    axis.imshow(matrix, cmap="YlGnBu", vmin=low, vmax=high, aspect="equal")
    for i in range(rows):
        for j in range(columns):
            dark = (matrix[i, j] - low) > 0.6 * (high - low)
            axis.text(
                j,
                i,
                f"{matrix[i, j]:.{digits}f}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else INK,
            )
    axis.set_xticks(range(columns), texts, rotation=40, ha="left", rotation_mode="anchor", fontsize=9)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    if images is None:
        axis.set_yticks(range(rows), range(rows))
    else:
        axis.set_yticks([])
        for i, image in enumerate(images):
            corner = axis.inset_axes((-1.05 / columns, 1 - (i + 0.96) / rows, 0.92 / columns, 0.92 / rows))
            corner.imshow(open_image(image))
            corner.axis("off")
    if title:
        axis.set_xlabel(title, fontsize=10, labelpad=8)
    return made


def bars(values: dict[str, float] | dict[str, dict[str, float]], *, title: str = "", percent: bool = True, digits: int = 2,
         width: float = 7.0, height: float = 3.0) -> Figure:  # fmt: skip
    """Upright bars; {label: value}, or {group: {label: value}} for groups side by side with a legend."""
    grouped = values if isinstance(next(iter(values.values())), dict) else {"": values}
    labels = list(next(iter(grouped.values())))
    made, axes = figure(width, height)
    axis, share = axes[0, 0], 0.8 / len(grouped)
    for g, (group, row) in enumerate(grouped.items()):
        x = np.arange(len(labels)) + (g - (len(grouped) - 1) / 2) * share
        drawn = axis.bar(
            x, [row[k] for k in labels], share * 0.92, label=group, color=COLORS[g % len(COLORS)]
        )
        axis.bar_label(
            drawn,
            [f"{row[k]:.0%}" if percent else f"{row[k]:.{digits}f}" for k in labels],
            fontsize=8,
            padding=2,
        )
    axis.set_xticks(range(len(labels)), labels)
    axis.tick_params(length=0)
    axis.set_title(title, loc="left")
    axis.margins(y=0.14)
    axis.spines["left"].set_visible(False)
    axis.set_yticks([])
    if len(grouped) > 1:
        axis.legend(ncols=len(grouped), loc="upper right", bbox_to_anchor=(1, 1.16), fontsize=9)
    return made


def curves(x: Sequence[float], lines: dict[str, Sequence[float]], *, xlabel: str = "", ylabel: str = "", title: str = "",
           percent: bool = False, width: float = 6.4, height: float = 3.0) -> Figure:  # fmt: skip
    """Lines over x, each named at its end."""
    made, axes = figure(width, height)
    axis = axes[0, 0]
    for name, values in lines.items():
        axis.plot(x, values, marker="o" if len(x) <= 30 else None, markersize=4, linewidth=2, label=name)
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    axis.set_title(title, loc="left")
    axis.grid(axis="y", color=MUTED, alpha=0.25)
    if percent:
        axis.yaxis.set_major_formatter("{x:.0%}")
    if len(lines) > 1:
        axis.legend(fontsize=9)
    return made


def heatmap(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], *, title: str = "", width: float = 6.4,
            row_height: float = 0.5) -> Figure:  # fmt: skip
    """Shares in 0..1 as a table `(rows, columns)`, the higher the darker."""
    made, axes = figure(width, len(rows) * row_height + (0.75 if title else 0.45))
    axis = axes[0, 0]
    axis.imshow(values, cmap="YlGnBu", vmin=0, vmax=1.15, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        axis.text(j, i, f"{value:.0%}", ha="center", va="center", color="white" if value > 0.6 else INK)
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xticks(np.arange(len(columns) - 1) + 0.5, minor=True)
    axis.set_yticks(np.arange(len(rows) - 1) + 0.5, minor=True)
    axis.grid(which="minor", color=GROUND, linewidth=3)
    axis.tick_params(which="minor", length=0)
    axis.set_title(title, loc="left")
    return made


def tokens(rows: dict[str, Sequence[tuple[str, int]]], *, width: float = 7.0) -> Figure:
    """Texts as the tokens a model reads: {text: [(piece, id), ...]}, a box for each, its id underneath."""
    made, axes = figure(width, 0.78 * len(rows))
    axis = axes[0, 0]
    axis.axis("off")
    cells = lambda piece: sum(2.0 if ord(c) > 0x2E7F else 1.15 for c in piece)  # noqa: E731
    right = 0.0
    for r, pieces in enumerate(rows.values()):
        x = 0.0
        for i, (piece, number) in enumerate(pieces):
            wide = max(cells(piece), 1.15 * len(str(number))) + 1.2
            axis.add_patch(
                plt.Rectangle((x, r - 0.34), wide, 0.68, color=COLORS[i % len(COLORS)], alpha=0.18, lw=0)
            )
            axis.text(x + wide / 2, r - 0.1, piece, ha="center", va="center", fontsize=12)
            axis.text(x + wide / 2, r + 0.2, number, ha="center", va="center", fontsize=8, color=MUTED)
            x += wide + 0.35
        right = max(right, x)
    axis.set_xlim(0, right)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    return made


def pixels(
    image, left: int, top: int, side: int = 8, *, titles: Sequence[str] = ("", "", ""), width: float = 8.0
) -> Figure:
    """A picture with a square marked, the square enlarged, and the numbers of its red channel."""
    image = np.asarray(open_image(image))
    patch = image[top : top + side, left : left + side]
    made, axes = figure(width, width / 3 + 0.2, 1, 3)
    for axis, shown, title in zip(axes[0], (image, patch, patch), titles):
        axis.imshow(shown, alpha=0.35 if axis is axes[0, 2] else 1)
        axis.set_title(title, fontsize=10)
        axis.tick_params(length=0, labelsize=8)
        axis.spines[:].set_visible(False)
    axes[0, 0].add_patch(plt.Rectangle((left - 0.5, top - 0.5), side, side, fill=False, color="white", lw=3))
    axes[0, 0].add_patch(
        plt.Rectangle((left - 0.5, top - 0.5), side, side, fill=False, color=COLORS[1], lw=1.5)
    )
    for axis in axes[0, 1:]:
        axis.set_xticks(range(side), range(left, left + side))
        axis.set_yticks(range(side), range(top, top + side))
    for (i, j), value in np.ndenumerate(patch[..., 0]):
        axes[0, 2].text(j, i, value, ha="center", va="center", fontsize=8)
    return made


def sound(
    samples: np.ndarray, rate: int, *, titles: Sequence[str] = ("", ""), xlabel: str = "s", width: float = 7.0
) -> Figure:
    """A waveform `(n,)` in -1..1, and under it its spectrogram, in kHz over the same seconds."""
    made, axes = figure(width, 3.4, 2, 1, sharex=True, gridspec_kw={"height_ratios": [1, 1.6]})
    (wave,), (spectrum,) = axes
    wave.plot(np.arange(len(samples)) / rate, samples, linewidth=0.6)
    wave.set_ylim(-1, 1)
    wave.set_xlim(0, len(samples) / rate)
    power, frequencies, times = mlab.specgram(samples, NFFT=512, Fs=rate, noverlap=384)
    decibels = 10 * np.log10(power + 1e-12)
    spectrum.pcolormesh(
        times, frequencies / 1e3, decibels, cmap="magma", vmin=decibels.max() - 70, rasterized=True
    )
    spectrum.set_ylabel("kHz")
    spectrum.set_xlabel(xlabel)
    for axis, title in zip((wave, spectrum), titles):
        axis.set_title(title, loc="left", fontsize=10)
    return made


def over_time(times: Sequence[float], lines: dict[str, Sequence[float]], *, cuts: Sequence[float] = (),
              spans: Sequence[tuple[float, float]] = (), at: float | None = None, title: str = "",
              xlabel: str | None = None, width: float = 8.0, height: float = 2.2) -> Figure:  # fmt: skip
    """Lines over seconds (the axis says so): `cuts` are dashed upright lines, `spans` shaded, `at` marked; more than one line has a legend."""
    made, axes = figure(width, height)
    axis = axes[0, 0]
    for name, values in lines.items():
        axis.plot(times, values, linewidth=1.8, label=name)
    for start, end in spans:
        axis.axvspan(start, end, color=COLORS[2], alpha=0.22, linewidth=0)
    for cut in cuts:
        axis.axvline(cut, color=MUTED, linestyle="--", linewidth=1)
    if at is not None:
        axis.axvline(at, color=COLORS[1], linewidth=2)
    axis.margins(x=0.01)
    axis.set_xlabel(say(zh="秒", en="s") if xlabel is None else xlabel)
    axis.set_title(title, loc="left")
    if len(lines) > 1:
        axis.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return made


def timeline(
    events: Sequence[tuple[str, str, str | None, str]],
    *,
    now: str,
    services: Collection[str] = (),
    width: float = 8.0,
) -> Figure:
    """What was there from when to when: [(name, begin, end, note), ...], months as "2021-01".

    An end of None: still there at `now`; an end equal to the beginning: announced, but never there; an end after
    `now`: there, and to be ended. Of those still there the `services` have another colour.
    """
    year = lambda month: int(month[:4]) + (int(month[5:7]) - 1) / 12  # noqa: E731
    made, axes = figure(width, 0.34 * len(events) + 0.5)
    axis = axes[0, 0]
    for i, (name, begin, end, note) in enumerate(events):
        there = end is None or end > now
        left, right = year(begin), year(min(end or now, now))
        color = MUTED if not there else COLORS[3 if name in services else 2]
        if begin == end:
            axis.plot(
                left, i, "o", markersize=9, markerfacecolor=GROUND, markeredgecolor=MUTED, markeredgewidth=2
            )
        else:
            axis.barh(i, right - left, left=left, height=0.55, color=color, alpha=0.9 if there else 0.45)
        axis.text(left - 0.12, i, name, ha="right", va="center", fontsize=9)
        axis.text(right + 0.12, i, note, va="center", fontsize=8.5, color=INK if there else MUTED)
    first = min(year(begin) for _, begin, _, _ in events)
    axis.set_xlim(first - 0.25, year(now) + 0.25)
    axis.set_ylim(len(events) - 0.4, -0.6)
    axis.set_xticks(range(int(first), int(year(now)) + 1))
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    return made
