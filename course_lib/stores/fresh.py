"""Keeps a scan in step with its database, reading only what is new, and makes it anew when it is outgrown."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import snapshot
from .scan import BLOCK, INDEX_FROM, ScanIndex, faiss
from .snapshot import Mark


class FreshScan:
    """The scan of a database, for one connection. `numbers` is the seq of each of its rows, ascending."""

    def __init__(self, db: sqlite3.Connection, folder: Path | None, dim: int):
        self.db, self.folder, self.dim = db, folder, dim
        (self.store,) = db.execute("SELECT value FROM meta WHERE key = 'store'").fetchone()
        self.index: ScanIndex | None = None
        self.numbers = np.empty(0, np.int64)
        self.mark = Mark(self.store, 0, 0)
        self._seen: Any = None

    def update(self) -> ScanIndex:
        """The scan of what the current transaction sees."""
        seen = (self.db.execute("PRAGMA data_version").fetchone()[0], self.db.total_changes)
        if self.index is None or seen != self._seen:
            try:
                self._catch_up(Mark(self.store, *self._ends()))
            except BaseException:
                self.index = None  # half brought up to date: begin anew next time
                raise
            self._seen = seen
        return self.index

    def positions(self, seqs: np.ndarray) -> np.ndarray:
        """Where in the scan these rows are; those it does not have are left out."""
        at = np.searchsorted(self.numbers, seqs)
        known = at < len(self.numbers)
        at, seqs = at[known], seqs[known]
        return at[self.numbers[at] == seqs]

    def _catch_up(self, end: Mark) -> None:
        if self.index is None:
            self.index, self.numbers, self.mark = self._first()
        if end.seq - self.mark.seq >= max(INDEX_FROM, len(self.index)):
            self._rebuild()  # most of it is new: read it once, and not into memory
        else:
            fresh = [self.numbers]
            for numbers, rows in self._vectors(self.mark.seq):
                self.index.append(rows)
                fresh.append(numbers)
            self.numbers = np.concatenate(fresh)
            left = self.db.execute("SELECT seq FROM removed WHERE number > ?", (self.mark.removal,))
            self.index.forget(self.positions(np.fromiter((seq for (seq,) in left), np.int64)))
            outgrown = len(self.index) >= max(INDEX_FROM, 2 * self.index.trained_on)
            if outgrown or self.index.dead > max(1000, len(self.index) // 4):
                self._rebuild()
        self.mark = end

    def _first(self) -> tuple[ScanIndex, np.ndarray, Mark]:
        found = self.folder and snapshot.load(self.folder, self.store, self.dim)
        return found or (ScanIndex(self.dim), np.empty(0, np.int64), Mark(self.store, 0, 0))

    def _ends(self) -> tuple[int, int]:
        """The last seq and the last removal that were ever written."""
        ends = dict(self.db.execute("SELECT name, seq FROM sqlite_sequence"))
        return ends.get("items", 0), ends.get("removed", 0)

    def _vectors(self, after: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Numbers and rows `(n, d)` of the vectors behind a number, a block at a time."""
        cursor = self.db.execute("SELECT seq, vector FROM vectors WHERE seq > ? ORDER BY seq", (after,))
        while block := cursor.fetchmany(BLOCK):
            numbers, vectors = zip(*block, strict=True)
            yield np.array(numbers, np.int64), as_matrix(vectors, len(block))

    def _rebuild(self) -> None:
        """Read all vectors anew and train the scan on them; as a snapshot where that is worth it."""
        (count,) = self.db.execute("SELECT count(*) FROM items").fetchone()
        if self.folder is not None and count >= INDEX_FROM and faiss() is not None:
            try:
                self.index, self.numbers = self._rebuilt_on_disk(count)
                return
            except OSError:
                pass  # the disk is full, or not ours to write on: memory will do
        index, numbers = ScanIndex(self.dim), [np.empty(0, np.int64)]
        for some, rows in self._vectors():
            index.append(rows)
            numbers.append(some)
        index.train()
        self.index, self.numbers = index, np.concatenate(numbers)

    def _rebuilt_on_disk(self, count: int) -> tuple[ScanIndex, np.ndarray]:
        temporary, numbers = snapshot.begin(self.folder, count, self.dim), np.empty(count, np.int64)

        def vectors() -> Iterator[bytes]:
            stored = self.db.execute("SELECT seq, vector FROM vectors ORDER BY seq")
            for i, (numbers[i], vector) in enumerate(stored):
                yield vector

        try:
            index = ScanIndex(self.dim, snapshot.write_rows(temporary, vectors(), count, self.dim))
            index.train()
            snapshot.finish(temporary, index, numbers, Mark(self.store, *self._ends()))
        except BaseException:
            snapshot.discard(temporary)
            raise
        return index, numbers


def as_matrix(blobs: Iterable[bytes], count: int) -> np.ndarray:
    """Vectors as the database holds them, as rows `(count, d)`."""
    return np.frombuffer(b"".join(blobs), np.float32).reshape(count, -1)
