"""Searching by reading everything, but few bytes of it: a compressed scan, then exact scores for the best.

A scan's time is the time to read the vectors. So it reads a code of 4 bits for every 4 numbers (or 2, or each)
(product quantization, Jégou et al. 2011; scanned in registers, André et al. 2015, as faiss does it), keeps
the `depth` best, and computes those exactly. No graph: graphs are faster still, but take minutes to build,
and lose almost everything on data they do not suit.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import Any

import numpy as np

INDEX_FROM = 20_000  # below, numpy reads everything in about a millisecond
MIN_RECALL = 0.999
# See ScanIndex._ranked. The most underrated of all rows behind a scan's last candidate stood at 1 to 3 standard deviations
# for half of the queries, at 4 to 4.8 for one in a thousand (CLIP-like and isotropic, 30k and 100k rows, 64 and 512 numbers).
SURE = 5.0
SELDOM = 0.1  # of the queries may want a deeper scan: with the next code more are answered by the first, and sooner
# codes, and their bytes for each number of a vector
KINDS = {"pq4": 1 / 8, "pq2": 1 / 4, "pq1": 1 / 2, "sq8": 1.0}
DEPTHS = (250, 1000, 4000)
BLOCK = 16_384  # rows at a time, so that scores and copies stay small
TRAINING = 1024
FORETOLD = 8192  # rows on which a code is tried before all are put into it; of many, one in fifty
CHECKED = (
    100  # queries of each sort on which a scan has to prove itself: of their 1000 neighbours it may miss one
)

Found = tuple[np.ndarray, np.ndarray]  # positions int64 and scores float32, best first


@lru_cache(maxsize=1)
def faiss() -> Any:
    """The faiss module, or None where it is not installed, or not safe.

    On macOS the pip builds of faiss and torch each bring an LLVM OpenMP of their own, and a process that
    loads both can crash (faiss-wheels issue 73); conda's share one.
    """
    if sys.platform == "darwin" and not os.path.isdir(os.path.join(sys.prefix, "conda-meta")):
        return None
    try:
        import faiss
    except ImportError:
        return None
    return faiss


class ScanIndex:
    """The `k` rows of highest dot product with a query, among rows `(n, d)` float32 in `base` and after it.

    Until `train`, and where no code reaches `MIN_RECALL`, every row is computed exactly.
    """

    def __init__(self, dim: int, base: np.ndarray | None = None):
        self.dim = dim
        # of a mapped file, too
        self.base = np.empty((0, dim), np.float32) if base is None else np.asarray(base)
        self._tail, self._in_tail = np.empty((0, dim), np.float32), 0
        self.alive = np.ones(len(self.base), bool)
        self.dead = 0
        self.codes: Any = None
        self.kind, self.depth, self.recall = "exact", 0, 1.0
        self.trained_on = 0

    def __len__(self) -> int:
        return len(self.base) + self._in_tail

    def append(self, rows: np.ndarray) -> None:
        if self._in_tail + len(rows) > len(self._tail):
            grown = np.empty((max(1024, (self._in_tail + len(rows)) * 3 // 2), self.dim), np.float32)
            grown[: self._in_tail] = self._tail[: self._in_tail]
            self._tail = grown
        self._tail[self._in_tail : self._in_tail + len(rows)] = rows
        self._in_tail += len(rows)
        self.alive = np.concatenate([self.alive, np.ones(len(rows), bool)])
        if self.codes is not None and len(rows):
            self.codes.add(rows)

    def forget(self, positions: np.ndarray) -> None:
        """Rows never to be found again."""
        self.dead += int(np.count_nonzero(self.alive[positions]))
        self.alive[positions] = False

    def take(self, positions: np.ndarray) -> np.ndarray:
        """The rows at these positions, `(len(positions), d)`."""
        if not self._in_tail:
            return self.base[positions]
        if not len(self.base):
            return self._tail[positions]
        rows = np.empty((len(positions), self.dim), np.float32)
        late = positions >= len(self.base)
        rows[~late] = self.base[positions[~late]]
        rows[late] = self._tail[positions[late] - len(self.base)]
        return rows

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> list[Found]:
        """For each query `(m, d)` the best `k` among the rows that `allowed` `(n,)` bool leaves, or fewer."""
        if allowed is None:
            allowed, count = self.alive, len(self) - self.dead
        else:
            allowed = allowed & self.alive
            count = int(np.count_nonzero(allowed))
        n, k = len(self), min(k, count)
        found: list[Found | None] = [None] * len(queries)
        pending = np.arange(len(queries))
        coded = self.codes is not None and n // 50 < count  # the few that a filter leaves are computed
        depth = -(-max(self.depth, 20 * k) * n // count) if coded else n
        while coded and len(pending) and 4 * depth <= n:
            pending = self._scan(queries, pending, depth, k, None if count == n else allowed, found)
            depth *= 4
        if len(pending):
            for i, exact in zip(pending, self._exact(queries[pending], k, allowed, count), strict=True):
                found[i] = exact
        return found

    def _scan(self, queries, pending, depth: int, k: int, allowed, found: list) -> np.ndarray:
        """Fill in `found` by codes and re-ranking; returns which queries want a deeper scan."""
        deeper = []
        # A second thread gains nothing on one query, and loses much beside a busy neighbour.
        faiss().omp_set_num_threads(1 if len(pending) < 8 else _threads())
        for start in range(0, len(pending), 64):
            some = pending[start : start + 64]
            for i, rough, candidates in zip(some, *self.codes.search(queries[some], depth), strict=True):
                floor = rough[-1]
                if allowed is not None:
                    kept = allowed[candidates]
                    rough, candidates = rough[kept], candidates[kept]
                found[i] = self._ranked(queries[i], k, candidates, rough, floor)
                if found[i] is None:
                    deeper.append(i)
        return np.array(deeper, int)

    def _ranked(self, query, k: int, candidates, rough, floor: float) -> Found | None:
        """The best `k` of the candidates by their exact scores, where none behind them can be better; else None.

        `rough` are the code's scores, descending; behind the last they are `floor` at most. How far the code errs is seen
        on the candidates: one behind would have to be underrated by `SURE` standard deviations. A quarter often suffices.
        """
        for stop in (len(candidates) // 4, len(candidates)):
            if stop >= max(k, 50):
                scores = self.take(candidates[:stop]) @ query
                errors = scores - rough[:stop]
                best = _best(scores, k)
                behind = rough[stop] if stop < len(candidates) else floor
                if scores[best[-1]] >= behind + errors.mean() + SURE * errors.std() - 1e-6:
                    return candidates[best], scores[best]
        return None

    def _exact(self, queries: np.ndarray, k: int, allowed: np.ndarray, count: int) -> list[Found]:
        if not k:
            return [(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries)
        best: list[Found] = [(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries)
        # what a row has to exceed to be among a query's best
        floors = np.full(len(queries), -np.inf, np.float32)
        few = count < len(self)
        chosen = np.flatnonzero(allowed) if few else None
        # One query reads the rows where they lie; for several, blocks keep the scores small.
        step = BLOCK if few or len(queries) > 1 else max(len(self), 1)
        for start in range(0, count, step):
            if few:
                positions = chosen[start : start + step]
                parts = [(positions, self.take(positions))]
            else:
                parts = self._parts(start, min(start + step, count))
            for positions, rows in parts:
                scores = queries @ rows.T if len(queries) > 1 else (rows @ queries[0])[None]
                for i, row in enumerate(scores):
                    # behind the first block nearly none: no need to sort the rest
                    at = np.flatnonzero(row > floors[i])
                    at = at[_best(row[at], k)]
                    both = [
                        np.concatenate(pair) for pair in zip(best[i], (positions[at], row[at]), strict=True)
                    ]
                    order = _best(both[1], k)
                    best[i] = both[0][order], both[1][order]
                    if len(order) == k:
                        floors[i] = best[i][1][-1]
        return best

    def _parts(self, start: int, stop: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows start..stop as views, where `take` would copy."""
        split = len(self.base)
        spans = ((start, min(stop, split), self.base, 0), (max(start, split), stop, self._tail, split))
        return [(np.arange(a, b), rows[a - off : b - off]) for a, b, rows, off in spans if a < b]

    def train(self) -> None:
        """Choose the fastest code that finds `MIN_RECALL` of the true neighbours in these very rows."""
        self.codes, self.kind, self.depth, self.recall, self.trained_on = None, "exact", 0, 1.0, len(self)
        if faiss() is None or len(self) - self.dead < INDEX_FROM:
            return
        rng = np.random.default_rng(0)
        living = np.flatnonzero(self.alive)
        sample = self.take(np.sort(rng.choice(living, TRAINING, replace=False)))
        queries = _queries_like(sample, rng)
        truth = [scores[-1] for _, scores in self.search(queries, 10)]
        foretold = min(max(FORETOLD, len(living) // 50), len(living))
        few = self.take(np.sort(rng.choice(living, foretold, replace=False)))
        made: dict[str, Any] = {}
        whole: set[str] = set()
        for kind, self.depth in self._by_cost():
            if kind not in made:
                made[kind] = _trained(kind, sample, few)
            if (codes := made[kind]) is None:
                continue
            if kind not in whole:
                if not self._is_hopeful(codes, few, queries, truth):
                    continue
                self._fill(codes)
                whole.add(kind)
            self.codes = codes
            answered, recall = self._tried(queries, truth)
            if recall >= MIN_RECALL and answered >= 1 - SELDOM:
                self.kind, self.recall = kind, recall
                return
        self.codes, self.depth = None, 0

    def _by_cost(self) -> list[tuple[str, int]]:
        """Codes and depths, by the bytes that a query reads: every code, then the candidates' vectors, which lie scattered
        and so count twice."""
        depths = [depth for depth in DEPTHS if 16 * depth <= len(self) or depth == DEPTHS[0]]
        cost = lambda way: len(self) * KINDS[way[0]] + 2 * 4 * way[1]  # by number of a vector
        return sorted(((kind, depth) for kind in KINDS for depth in depths), key=cost)

    def _is_hopeful(self, codes: Any, few: np.ndarray, queries: np.ndarray, truth: list[float]) -> bool:
        """Whether a scan of all rows in this code may answer enough queries, foretold from the `few` that it holds: to put
        all in takes longer than all the rest. See `_ranked` for what is asked here of each query."""
        depth = max(1, round(self.depth * len(few) / (len(self) - self.dead)))
        rough, at = codes.search(queries, min(max(depth, 50), len(few)))
        errors = np.stack([few[rows] @ query for rows, query in zip(at, queries, strict=True)]) - rough
        needed = rough[:, depth - 1] + errors.mean(axis=1) + SURE * errors.std(axis=1)
        return bool(np.mean(np.array(truth) >= needed) >= 1 - SELDOM)

    def _fill(self, codes: Any) -> None:
        """All rows in a trained code, and nothing else."""
        codes.reset()
        for start in range(0, len(self), BLOCK):
            for _, rows in self._parts(start, min(start + BLOCK, len(self))):
                codes.add(np.ascontiguousarray(rows))

    def _tried(self, queries: np.ndarray, truth: list[float]) -> tuple[float, float]:
        """Of pictures and of the like of texts, whichever does worse: the share that one scan answers, and its recall.

        `truth` is the score of each query's tenth neighbour.
        """
        found: list[Found | None] = [None] * len(queries)
        self._scan(queries, np.arange(len(queries)), self.depth, 10, self.alive if self.dead else None, found)
        worst = 1.0, 1.0
        for sort in (slice(CHECKED), slice(CHECKED, None)):
            pairs = zip(found[sort], truth[sort], strict=True)
            hits = [
                np.count_nonzero(best[1] >= least - 1e-6) / 10 for best, least in pairs if best is not None
            ]
            worst = min(worst[0], len(hits) / CHECKED), min(worst[1], float(np.mean(hits)) if hits else 0.0)
        return worst


def _codes(kind: str, dim: int) -> Any:
    """An empty, untrained code of dot products: 4 bits for 4, 2 or 1 numbers, or 8 bits for each."""
    lib = faiss()
    if kind == "sq8":
        return lib.IndexScalarQuantizer(dim, lib.ScalarQuantizer.QT_8bit, lib.METRIC_INNER_PRODUCT)
    width = int(kind[2:])
    if dim % width:
        return None
    codes = lib.IndexPQFastScan(dim, dim // width, 4, lib.METRIC_INNER_PRODUCT)
    # Of faiss's 25 rounds of k-means: the others make the error of a score a fiftieth smaller, a tenth at one number a code.
    codes.pq.cp.niter = 10 if kind == "pq1" else 6
    return codes


def _trained(kind: str, sample: np.ndarray, few: np.ndarray) -> Any:
    """A code trained on a sample that holds a few rows; None where it does not suit the dimension."""
    if (codes := _codes(kind, sample.shape[1])) is not None:
        codes.train(sample)
        if kind != "sq8":
            codes.pq.sync_transposed_centroids()  # the same codes, a quarter sooner
        codes.add(few)
    return codes


def _queries_like(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Queries to try a code on: pictures (rows themselves), and the like of texts: in another cone, their
    meaning a small part of them. Errors weigh more in the second."""
    pictures = rows[rng.choice(len(rows), CHECKED, replace=False)]
    meaning = _unit(rows[rng.choice(len(rows), CHECKED, replace=False)] - rows.mean(axis=0))
    gap, noise = (
        _unit(rng.standard_normal((1, rows.shape[1]))),
        _unit(rng.standard_normal(rows[:CHECKED].shape)),
    )
    return np.concatenate([pictures, _unit(0.4 * meaning + 0.7 * gap + 0.65 * noise)])


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-12)).astype(np.float32)


def _best(scores: np.ndarray, k: int) -> np.ndarray:
    """Where the `k` highest scores are, best first; equal ones in their order."""
    if k < len(scores):
        at = np.argpartition(scores, len(scores) - k)[len(scores) - k :]
        at.sort()
    else:
        at = np.arange(len(scores))
    return at[np.argsort(-scores[at], kind="stable")]


@lru_cache(maxsize=1)
def _threads() -> int:
    return faiss().omp_get_max_threads()
