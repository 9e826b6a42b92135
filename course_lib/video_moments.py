"""From a similarity over time to the spans of time in which it is high."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Moment(NamedTuple):
    """From second `start` until second `end`, with the mean similarity in between as its `score`."""

    start: float
    end: float
    score: float

    def overlap(self, start: float, end: float) -> float:
        """Intersection over union (IoU) with another span: 1 for the same, 0 for one that does not touch it."""
        both = min(self.end, end) - max(self.start, start)
        return max(0.0, both) / (max(self.end, end) - min(self.start, start))


def moments(
    times: np.ndarray, curve: np.ndarray, cuts: Sequence[float], duration: float, step: float
) -> list[Moment]:
    """The spans between the steps of a similarity curve, best first; together they cover the video.

    `times` and `curve` (n,); `cuts` are the seconds at which shots begin, and a span that begins close to one begins
    there; `step` is how far the similarity has to rise or fall for a second to count.
    """
    per_second = len(times) / max(duration, 1e-9)
    firsts = pieces(curve, step**2 * max(1.0, per_second / 2))
    cuts = np.asarray(cuts, float)
    edges = [0.0]
    for i in firsts[1:]:
        between = cuts[(cuts > times[i - 1]) & (cuts <= times[i])]
        edges.append(float(between[0]) if len(between) else float((times[i - 1] + times[i]) / 2))
    edges.append(duration)
    found = [
        Moment(edges[k], edges[k + 1], float(curve[first:last].mean()))
        for k, (first, last) in enumerate(zip(firsts, [*firsts[1:], len(curve)]))
    ]
    return sorted(found, key=lambda moment: moment.score, reverse=True)


def pieces(curve: np.ndarray, penalty: float) -> list[int]:
    """Where the pieces of the best piecewise constant curve begin, the first at 0.

    Optimal partitioning (Jackson et al. 2005): the sum of squared errors plus `penalty` for every piece is the least
    that can be had. Quadratic in the length: an hour at four values a second takes a second.
    """
    n = len(curve)
    sums = np.concatenate([[0.0], np.cumsum(curve, dtype=float)])
    squares = np.concatenate([[0.0], np.cumsum(np.square(curve, dtype=float))])
    best, begin = np.zeros(n + 1), np.zeros(n + 1, int)
    best[0] = -penalty
    for end in range(1, n + 1):
        first = np.arange(end)
        error = squares[end] - squares[:end] - (sums[end] - sums[:end]) ** 2 / (end - first)
        total = best[:end] + error + penalty
        begin[end] = total.argmin()
        best[end] = total[begin[end]]
    found, end = [], n
    while end > 0:
        end = int(begin[end])
        found.append(end)
    return found[::-1]
