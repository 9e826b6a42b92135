"""How alike two videos are when the order of what happens counts."""

from __future__ import annotations

import numpy as np

_STILL = 0.02  # how far the vectors of a picture that stands still move about, by noise and compression alone


def ordered_similarity(a: np.ndarray, b: np.ndarray) -> float:
    """How alike two videos look, times how alike their courses are, from frame vectors (n, d) and (m, d).

    The cosine of their means says what is seen. In the rest, how each frame differs from its video's mean, lies what
    happens: the best alignment of the two courses that keeps both in order has a correlation r in [-1, 1], which
    counts as (1 + r) / 2. A video with itself gives exactly 1, at another pace close to 1, and backwards far less.
    """
    return float(
        cosines(a.mean(axis=0)[None], b.mean(axis=0)[None])[0, 0] * (1 + course_correlation(a, b)) / 2
    )


def course_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """The correlation of two courses along their best alignment, in [-1, 1]; 1 where neither of them changes."""
    a, b = (np.asarray(x, float) - np.mean(x, axis=0, dtype=float) for x in (a, b))
    pairs = alignment(((a[:, None] - b[None]) ** 2).sum(axis=-1))
    a, b = a[pairs[:, 0]], b[pairs[:, 1]]
    noise = len(pairs) * _STILL**2
    return float(((a * b).sum() + noise) / (np.sqrt((a * a).sum() * (b * b).sum()) + noise))


def alignment(cost: np.ndarray) -> np.ndarray:
    """The pairs (i, j) of the cheapest way through a table of costs (n, m), from (0, 0) to the end, never back.

    Dynamic time warping (Sakoe and Chiba 1978): the same course at another pace fits as well.
    """
    n, m = cost.shape
    total = np.full((n + 1, m + 1), np.inf)
    total[0, 0] = 0
    for i in range(n):
        for j in range(m):
            total[i + 1, j + 1] = cost[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    i, j, pairs = n, m, []
    while i:
        pairs.append((i - 1, j - 1))
        i, j = min(((i - 1, j - 1), (i - 1, j), (i, j - 1)), key=lambda before: total[before])
    return np.array(pairs[::-1])


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines (n, m) of the rows of (n, d) and (m, d) in float64, exactly 1 for rows that are the same."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    product = np.einsum("nd,md->nm", a, b)
    lengths = np.sqrt(np.einsum("nd,nd->n", a, a)[:, None] * np.einsum("md,md->m", b, b))
    found = np.clip(product / lengths, -1, 1)
    return np.where(found > 1 - 1e-12, 1.0, found)  # sums are rounded, and not alike on every processor
