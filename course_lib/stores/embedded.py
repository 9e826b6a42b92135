"""A store in one folder, or in memory: SQLite keeps everything, a scan of the vectors makes search fast.

Ids, metadata, vectors and thumbnails are written in one transaction, in write-ahead mode: what a method has
returned from is on disk, other processes see it with their next call, and readers never wait for a writer.
The scan is derived, and made again whenever it is missing, damaged or outgrown.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from . import sqlite
from .fresh import FreshScan, as_matrix
from .protocol import (
    Hit,
    Item,
    Space,
    Where,
    canonical,
    checked_items,
    checked_metadata,
    checked_top_k,
    checked_vectors,
    checked_where,
    missing,
    repeated,
    unbound,
)


class EmbeddedStore:
    """A `VectorStore` in `folder`, made if it is not there; in memory without one. Safe to share between
    threads, and a folder between processes of one computer."""

    def __init__(self, folder: str | os.PathLike | None = None):
        self.folder = None if folder is None else Path(folder).expanduser()
        self._lock = threading.RLock()
        self._space: Space | None = None
        self._scan: FreshScan | None = None
        with sqlite.plainly(self.folder):
            self._db = sqlite.connect(self.folder)

    # Reading

    @property
    def space(self) -> Space | None:
        if self._space is None:
            with self._transaction():
                row = self._db.execute("SELECT value FROM meta WHERE key = 'space'").fetchone()
            if row:
                stored = json.loads(row[0])
                self._space = Space(**{**stored, "probe": tuple(stored["probe"])})
        return self._space

    def __len__(self) -> int:
        with self._transaction():
            return self._db.execute("SELECT count(*) FROM items").fetchone()[0]

    def __contains__(self, id: object) -> bool:
        with self._transaction():
            return isinstance(id, str) and self._seq(id) is not None

    def existing(self, ids: Collection[str]) -> set[str]:
        with self._transaction():
            return set(self._seqs(ids))

    def get(self, ids: Sequence[str]) -> list[Item | None]:
        with self._transaction():
            return [self._item(id) for id in ids]

    def sample(self, count: int) -> np.ndarray:
        return next((vectors for _, vectors in self.batches(count)), np.empty((0, self._dim()), np.float32))

    def batches(self, size: int = 1000) -> Iterator[tuple[list[str], np.ndarray]]:
        seq = 0
        while True:
            with self._transaction():
                rows = self._db.execute(
                    "SELECT seq, id, vector FROM items JOIN vectors USING (seq) WHERE seq > ? ORDER BY seq "
                    "LIMIT ?",
                    (seq, size),
                ).fetchall()
            if not rows:
                return
            seq = rows[-1][0]
            yield [row[1] for row in rows], as_matrix((row[2] for row in rows), len(rows))

    def search(self, queries: np.ndarray, top_k: int, where: Where | None = None) -> list[list[Hit]]:
        top_k, where = checked_top_k(top_k), checked_where(where)
        space = self.space
        if space is None or not len(queries):
            return [[] for _ in queries]
        queries = checked_vectors(queries, space.dim)
        with self._transaction():
            scan = self._fresh()
            found = scan.index.search(queries, top_k, self._allowed(where) if where else None)
            seqs = [scan.numbers[at].tolist() for at, _ in found]
            rows = self._rows({seq for some in seqs for seq in some})
        return [
            [
                Hit(*rows[seq][:1], score, *rows[seq][1:])
                for seq, score in zip(some, scores.tolist(), strict=True)
            ]
            for some, (_, scores) in zip(seqs, found, strict=True)
        ]

    def optimize(self) -> str:
        """Bring the scan up to date now, instead of at the next search; says which scan was chosen."""
        with self._transaction():
            return self._fresh().index.kind

    def close(self) -> None:
        with self._lock:
            self._db.close()
            self._scan = None

    def _fresh(self) -> FreshScan:
        if self._scan is None:
            self._scan = FreshScan(self._db, self.folder, self._dim())
        self._scan.update()
        return self._scan

    def _seq(self, id: str) -> int | None:
        row = self._db.execute("SELECT seq FROM items WHERE id = ?", (id,)).fetchone()
        return row and row[0]

    def _seqs(self, ids: Collection[str]) -> dict[str, int]:
        wanted = json.dumps([id for id in ids if isinstance(id, str)])
        return dict(
            self._db.execute(
                "SELECT id, seq FROM items WHERE id IN (SELECT value FROM json_each(?))", (wanted,)
            )
        )

    def _item(self, id: str) -> Item | None:
        row = self._db.execute(
            "SELECT vector, metadata, jpeg FROM items JOIN vectors USING (seq) "
            "LEFT JOIN thumbnails USING (seq) WHERE id = ?",
            (id,),
        ).fetchone()
        return row and Item(id, np.frombuffer(row[0], np.float32), json.loads(row[1]), row[2])

    def _rows(self, seqs: set[int]) -> dict[int, tuple[str, dict[str, Any], bytes | None]]:
        """Id, metadata and thumbnail of each row, read in one go."""
        rows = self._db.execute(
            "SELECT seq, id, metadata, jpeg FROM items LEFT JOIN thumbnails USING (seq) "
            "WHERE seq IN (SELECT value FROM json_each(?))",
            (json.dumps(list(seqs)),),
        )
        return {seq: (id, json.loads(metadata), jpeg) for seq, id, metadata, jpeg in rows}

    def _allowed(self, where: dict[str, list[str]]) -> np.ndarray:
        one = "SELECT seq FROM facts WHERE key = ? AND value IN (SELECT value FROM json_each(?))"
        rows = self._db.execute(
            " INTERSECT ".join([one] * len(where)),
            [part for key, values in where.items() for part in (key, json.dumps(values))],
        )
        seqs = np.fromiter((row[0] for row in rows), np.int64)
        allowed = np.zeros(len(self._scan.index), bool)
        allowed[self._scan.positions(seqs)] = True
        return allowed

    # Writing

    def bind(self, space: Space) -> None:
        if self.space is None:
            with self._transaction(write=True):
                # Another process may have been first: then its space stands, and ours is compared below.
                self._db.execute("INSERT OR IGNORE INTO meta VALUES ('space', ?)", (json.dumps(vars(space)),))
        self.space.check(space)

    def add(self, items: Sequence[Item], *, replace: bool = False) -> None:
        items = checked_items(items, self._dim())
        new = {item.id: item for item in items}
        with self._transaction(write=True):
            there = self._seqs(new)
            if not replace and (there or len(new) < len(items)):
                counts = Counter(item.id for item in items)
                raise repeated(next(id for id, count in counts.items() if count > 1 or id in there))
            for seq in there.values():
                self._delete(seq)
            self._insert(list(new.values()))

    def set_metadata(self, id: str, metadata: dict[str, Any]) -> None:
        metadata = checked_metadata(metadata)
        with self._transaction(write=True):
            if (seq := self._seq(id)) is None:
                raise missing(id)
            self._forget_facts(seq)
            self._db.execute("UPDATE items SET metadata = ? WHERE seq = ?", (_json(metadata), seq))
            self._db.executemany("INSERT INTO facts VALUES (?, ?, ?)", _facts(metadata, seq))

    def remove(self, ids: Sequence[str]) -> None:
        with self._transaction(write=True):
            for id in dict.fromkeys(ids):
                if (seq := self._seq(id)) is None:
                    raise missing(id)
                self._delete(seq)

    def _dim(self) -> int:
        if self.space is None:
            raise unbound()
        return self.space.dim

    def _insert(self, items: list[Item]) -> None:
        (last,) = self._db.execute(
            "SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'items'"
        ).fetchone()
        new, many = list(enumerate(items, last + 1)), self._db.executemany
        many(
            "INSERT INTO items VALUES (?, ?, ?)", ((seq, item.id, _json(item.metadata)) for seq, item in new)
        )
        many("INSERT INTO vectors VALUES (?, ?)", ((seq, item.vector.tobytes()) for seq, item in new))
        thumbnails = ((seq, item.thumbnail) for seq, item in new if item.thumbnail is not None)
        many("INSERT INTO thumbnails VALUES (?, ?)", thumbnails)
        many(
            "INSERT INTO facts VALUES (?, ?, ?)",
            (fact for seq, item in new for fact in _facts(item.metadata, seq)),
        )

    def _forget_facts(self, seq: int) -> None:
        (text,) = self._db.execute("SELECT metadata FROM items WHERE seq = ?", (seq,)).fetchone()
        self._db.executemany(
            "DELETE FROM facts WHERE key = ? AND value = ? AND seq = ?",
            [(key, canonical(value), seq) for key, value in json.loads(text).items()],
        )

    def _delete(self, seq: int) -> None:
        self._forget_facts(seq)
        for table in ("items", "vectors", "thumbnails"):
            self._db.execute(f"DELETE FROM {table} WHERE seq = ?", (seq,))
        self._db.execute("INSERT INTO removed (seq) VALUES (?)", (seq,))

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Iterator[None]:
        """What happens inside sees one state of the database, and is written whole or not at all."""
        with self._lock, sqlite.plainly(self.folder):
            if self._db.in_transaction:  # one method inside another
                yield
                return
            self._db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _facts(metadata: dict[str, Any], seq: int) -> Iterator[tuple[str, str, int]]:
    """What a filter can ask for."""
    for key, value in metadata.items():
        if (text := canonical(value)) is not None:
            yield key, text, seq


def _json(metadata: dict[str, Any]) -> str:
    return json.dumps(metadata, ensure_ascii=False)
