"""Where one shot ends and the next begins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 64  # pixels of the longer side at which frames are compared


@dataclass(frozen=True)
class Shot:
    """Frames `first` to `last`, both included, shown from second `start` until second `end`."""

    first: int
    last: int
    start: float
    end: float

    @property
    def num_frames(self) -> int:
        return self.last - self.first + 1


class Unlikeness:
    """How unlike each small RGB picture is to the one before it, in 0..1; 0 for the first.

    The measure is the Bhattacharyya distance of colour histograms (HSV) taken in each cell of a 3 x 3 grid, the
    middle one of the nine: what moves changes few cells, a cut most.
    """

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def __call__(self, picture: np.ndarray) -> float:
        before, self._before = self._before, _histograms(picture)
        return 0.0 if before is None else float(np.median(_distance(before, self._before)))


def differences(frames: Iterable[np.ndarray]) -> np.ndarray:
    """The `Unlikeness` of each frame to the one before it, `(n,)`."""
    unlike = Unlikeness()
    return np.array([unlike(frame) for frame in frames])


def cuts(difference: Sequence[float], threshold: float) -> list[int]:
    """The frames that begin a new shot: unlike the one before, and by far more than is usual around them."""
    difference, found = np.asarray(difference), []
    for i in np.flatnonzero(difference > threshold):
        around = np.concatenate([difference[max(0, i - 4) : i], difference[i + 1 : i + 5]])
        if not len(around) or difference[i] > 3 * np.median(around):
            found.append(int(i))
    return found


def _histograms(frame: np.ndarray) -> np.ndarray:
    """(9, bins): each cell's histogram over hue, saturation and brightness, summing to 1."""
    hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
    rows = np.array_split(hsv, 3, axis=0)
    cells = [cell for row in rows for cell in np.array_split(row, 3, axis=1)]
    bins, ranges = [8, 4, 4], [0, 180, 0, 256, 0, 256]
    made = [cv2.calcHist([np.ascontiguousarray(cell)], [0, 1, 2], None, bins, ranges) for cell in cells]
    counts = np.stack(made).reshape(len(cells), -1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sqrt(np.clip(1 - np.sqrt(a * b).sum(axis=1), 0, 1))
