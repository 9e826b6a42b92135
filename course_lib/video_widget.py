"""A video under a slider, with how well a text fits it over time: type, drag, and see when."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from ipywidgets import HTML, HBox, Image, IntSlider, Layout, Text, VBox

from . import plots
from .errors import CourseError
from .images import encode, resize, to_data_uri
from .settings import say
from .video import VideoProcessor
from .video_moments import Moment
from .widgets import RED, WithStill, figure_png, in_red

if TYPE_CHECKING:
    from .video_analysis import VideoAnalyzer
    from .video_source import VideoSource

_MOST = 240  # pictures behind the slider
_SIDE = 224  # pixels of a picture's longer side
_WIDTH, _HEIGHT = 560, 120  # of the drawing
_LINE, _BEST, _CURSOR = "#4c8fd0", "#2e9e6b", RED  # readable on white and on black


def scrubber(
    video: VideoSource, text: str = "", *, analyzer: VideoAnalyzer | None = None, at: float = 0.0
) -> Scrubber:
    """A video to go through by hand, under the similarity of `text`, which can be edited, with every moment of it.

    `at` is the second that is shown first.
    """
    if analyzer is None:
        from .video_analysis import VideoAnalyzer

        analyzer = VideoAnalyzer()
    return Scrubber(video, text, analyzer, at)


class Scrubber(WithStill, VBox):
    """See `scrubber`. `slider.value` is the number of the picture, `moment` the best span for the text or None."""

    def __init__(self, video: VideoSource, text: str, analyzer: VideoAnalyzer, at: float):
        self._video, self._analyzer = video, analyzer
        with VideoProcessor(video) as opened:
            self._fps = min(8.0, _MOST / max(opened.duration, 1e-9))
            self._files = [
                encode(resize(f.image, _SIDE), "JPEG", quality=85) for f in opened.frames(fps=self._fps)
            ]
            self._duration = opened.duration
        self._curve: tuple[np.ndarray, np.ndarray] | None = None
        self._shots: list[float] = []
        self.moment: Moment | None = None
        first = min(len(self._files) - 1, max(0, round(at * self._fps)))
        wide = Layout(width="auto")
        self._picture = Image(format="jpeg", layout=Layout(width=f"{_SIDE}px", object_fit="contain"))
        self.slider = IntSlider(
            value=first,
            min=0,
            max=max(1, len(self._files) - 1),
            readout=False,
            layout=Layout(width=f"{_WIDTH}px"),
        )
        self.text = Text(
            text, placeholder=say(zh="找什么？", en="Look for what?"), continuous_update=False, layout=wide
        )
        self._drawing, self._note = HTML(), HTML()
        self.slider.observe(lambda _: self._show(), "value")
        self.text.observe(lambda _: self._search(), "value")
        right = VBox([self.text, self._drawing, self.slider, self._note], layout=Layout(min_width="16em"))
        super().__init__([HBox([self._picture, right], layout=Layout(flex_flow="row wrap", grid_gap="16px"))])
        self._search()

    @property
    def second(self) -> float:
        """The second that is shown."""
        return min(self.slider.value, len(self._files) - 1) / self._fps

    def still(self) -> str:
        picture = f'<img width="160" src="{to_data_uri(self._files[self._number], format="JPEG")}">'
        if self._curve is None:
            return picture
        spans = [self.moment[:2]] if self.moment else []
        times, values = self._curve
        drawn = plots.over_time(
            times,
            {"": values},
            cuts=self._shots[1:],
            spans=spans,
            at=self.second,
            title=self.text.value,
            width=6.0,
        )
        return f'<div>{picture}<img src="{to_data_uri(figure_png(drawn))}"></div>'

    @property
    def _number(self) -> int:
        return min(self.slider.value, len(self._files) - 1)

    def _search(self) -> None:
        """What a new text does: its curve and its best moment, or a sentence where it cannot be used."""
        self._curve = self.moment = None
        self._note.value = ""
        if self.text.value.strip():
            try:
                timeline = self._analyzer.timeline(self._video)
                self._curve = timeline.times, timeline.similarity(self.text.value)
                self._shots = [shot.start for shot in timeline.shots]
                self.moment = self._analyzer.search_moments(self._video, self.text.value, top_k=1)[0]
            except CourseError as error:
                self._note.value = in_red(error)
        self._show()

    def _show(self) -> None:
        self._picture.value = self._files[self._number]
        self._drawing.value = self._draw()

    def _draw(self) -> str:
        """The curve as SVG, which is drawn faster than any figure: dragging should not wait for one."""
        x = lambda second: _WIDTH * second / self._duration  # noqa: E731
        parts = [
            f'<rect x="0" y="0" width="{_WIDTH}" height="{_HEIGHT}" fill="currentColor" opacity="0.05"/>'
        ]
        if self.moment:
            left, right = x(self.moment.start), x(self.moment.end)
            parts.append(
                f'<rect x="{left:.1f}" y="0" width="{right - left:.1f}" height="{_HEIGHT}" fill="{_BEST}" opacity="0.25"/>'
            )
        for start in self._shots[1:]:
            parts.append(
                f'<line x1="{x(start):.1f}" y1="0" x2="{x(start):.1f}" y2="{_HEIGHT}" stroke="currentColor" '
                'opacity="0.4" stroke-dasharray="3 3"/>'
            )
        if self._curve is not None:
            times, values = self._curve
            low, high = min(0.0, float(values.min())), max(float(values.max()), 1e-6)
            y = lambda value: _HEIGHT - 6 - (_HEIGHT - 14) * (value - low) / (high - low)  # noqa: E731
            points = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in zip(times, values))
            parts.append(f'<polyline points="{points}" fill="none" stroke="{_LINE}" stroke-width="2"/>')
            parts.append(f'<text x="4" y="12" font-size="11" fill="currentColor">{high:.2f}</text>')
        cursor = x(self.second)
        parts.append(
            f'<line x1="{cursor:.1f}" y1="0" x2="{cursor:.1f}" y2="{_HEIGHT}" stroke="{_CURSOR}" stroke-width="2"/>'
        )
        for second in range(0, math.floor(self._duration) + 1, max(1, math.ceil(self._duration / 10))):
            parts.append(
                f'<text x="{x(second):.1f}" y="{_HEIGHT + 13}" font-size="11" fill="currentColor">{second}</text>'
            )
        told = f"{self.second:.2f} s"
        if self.moment:
            told += f" · {self.moment.start:.2f}–{self.moment.end:.2f} s: {self.moment.score:.2f}"
        drawing = f'<svg width="100%" style="max-width: {_WIDTH}px" viewBox="0 0 {_WIDTH} {_HEIGHT + 16}">{"".join(parts)}</svg>'
        return f'{drawing}<div style="font-size: 12px">{told}</div>'
