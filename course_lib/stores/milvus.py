"""A store on a Milvus server, or a cluster of them: "milvus+http://host:19530/collection".

A collection is a store, a row an item under its id, and the vector space stands in the collection's description.
Filters ask for numbers made from key and value: no text of the user's becomes part of an expression but ids, quoted.
"""

from __future__ import annotations

import json
import threading
import time
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from ..settings import say
from .milvus_client import TIMEOUT, NotLoaded, bad_address, connect, parsed, plainly
from .protocol import (
    Hit,
    Item,
    Space,
    StoreError,
    TooLarge,
    Where,
    canonical,
    checked_items,
    checked_metadata,
    checked_top_k,
    checked_vectors,
    checked_where,
    closed,
    is_clean,
    missing,
    repeated,
    unbound,
)

AT_ONCE = 1000  # rows of a request or an answer: at 10 KB each far from the 64 MB that Milvus allows
MAX_TEXT, MAX_LIST, MAX_RESULTS = 65_535, 4096, 16_384  # bytes, entries, rows: Milvus's limits
CONSISTENCY = ("Strong", "Session", "Bounded", "Eventually")

# How vectors are indexed, and how much of the index is searched for `k` results. FLAT reads every vector. The others
# read less and miss some, and serve what they have not indexed yet by something coarser.
INDEXES: dict[str, tuple[dict[str, Any], Any]] = {
    "FLAT": ({}, lambda k: {}),
    "HNSW": ({"M": 16, "efConstruction": 200}, lambda k: {"ef": max(256, 4 * k)}),
    "SCANN": ({"nlist": 1024}, lambda k: {"nprobe": 256, "reorder_k": max(1000, 20 * k)}),
}


class MilvusStore:
    """A `VectorStore` in a collection of Milvus (2.3 or later), which `bind` makes if it is not there.

    `consistency` is Milvus's level. With "Strong" every read sees all that was written before it, by anyone, and
    waits a moment for that (a fifth of a second as servers are usually set); "Session" waits for this store's own
    writes alone; "Bounded" and "Eventually" answer at once, with what was there a few seconds ago.
    `index`, one of `INDEXES`, counts when the collection is made. Both may stand in the address instead:
    "milvus+http://host:19530/pictures?consistency=Bounded&index=HNSW". Where the server wants to know who is asking,
    the setting MILVUS_TOKEN ("user:password", or a key) says so.

    Milvus has no transactions. A write of up to 1000 items is one request, done whole or not at all; a longer one is
    several. Two writers who add the same id at the same moment are not told: the later one's item stays.
    """

    def __init__(self, address: str, *, consistency: str = "Strong", index: str = "FLAT"):
        self.address = address
        url, self.collection, options = parsed(address)
        options = {"consistency": consistency, "index": index} | options
        self._consistency, self._index = options.pop("consistency"), options.pop("index")
        if options or self._consistency not in CONSISTENCY or self._index not in INDEXES:
            raise bad_address(address)
        self._space: Space | None = None
        self._lock, self._last = threading.Lock(), 0
        self._connection = connect(url)

    # Reading

    @property
    def space(self) -> Space | None:
        if self._space is None:
            with plainly(self.address):
                if not self._client.has_collection(self.collection, timeout=TIMEOUT):
                    return None
                description = self._client.describe_collection(self.collection, timeout=TIMEOUT)[
                    "description"
                ]
                space, self._index = _described_by(description, self.collection)
                self._client.load_collection(self.collection, timeout=TIMEOUT)
                self._space = space
        return self._space

    def __len__(self) -> int:
        rows = self._query("", ["count(*)"])
        return rows[0]["count(*)"] if rows else 0

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and bool(self.existing([id]))

    def existing(self, ids: Collection[str]) -> set[str]:
        return {row["id"] for row in self._rows(ids, ["id"])}

    def get(self, ids: Sequence[str]) -> list[Item | None]:
        found = {row["id"]: row for row in self._rows(ids, ["id", "metadata", "thumbnail", "vector"])}
        return [_item(found[id]) if id in found else None for id in ids]

    def search(self, queries: np.ndarray, top_k: int, where: Where | None = None) -> list[list[Hit]]:
        top_k, where = checked_top_k(top_k), checked_where(where)
        if self.space is None or not len(queries) or [] in where.values():
            return [[] for _ in queries]
        queries = checked_vectors(queries, self.space.dim)
        if top_k > MAX_RESULTS:  # it may be only a way to say "all"
            top_k = min(top_k, len(self))
        found, step = [], max(1, AT_ONCE // top_k)
        for start in range(0, len(queries), step):
            found += self._read(
                "search",
                data=queries[start : start + step].tolist(),
                anns_field="vector",
                filter=_expression(where),
                limit=top_k,
                output_fields=["metadata", "thumbnail"],
                search_params={"metric_type": "IP", "params": INDEXES[self._index][1](top_k)},
            )
        return [
            [Hit(hit["id"], float(hit["distance"]), *_details(hit["entity"])) for hit in hits]
            for hits in found
        ]

    def sample(self, count: int) -> np.ndarray:
        rows = self._query("", ["vector"], limit=min(count, AT_ONCE))
        return np.array([row["vector"] for row in rows], np.float32).reshape(len(rows), self._dim())

    def batches(self, size: int = 1000) -> Iterator[tuple[list[str], np.ndarray]]:
        """All ids with their vectors `(n, d)`, in the order they were added, as far as the clocks of several
        computers agree. The ids are held in memory meanwhile."""
        order, last = [], ""
        while True:
            rows = self._query(f"id > {_quoted(last)}", ["id", "seq"], limit=MAX_RESULTS)  # by id, the lowest
            order += [(row["seq"], row["id"]) for row in rows]
            if len(rows) < MAX_RESULTS:
                break
            last = max(row["id"] for row in rows)
        ids = [id for _, id in sorted(order)]
        for start in range(0, len(ids), size):
            found = {
                row["id"]: row["vector"] for row in self._rows(ids[start : start + size], ["id", "vector"])
            }
            some = [id for id in ids[start : start + size] if id in found]
            if some:
                yield some, np.array([found[id] for id in some], np.float32)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # Writing

    def bind(self, space: Space) -> None:
        if self.space is None:
            try:
                self._create(space)
            except StoreError:
                if self.space is None:  # or else another process was first
                    raise
        self.space.check(space)

    def add(self, items: Sequence[Item], *, replace: bool = False) -> None:
        items = checked_items(items, self._dim())
        new = {item.id: item for item in items}
        there = set() if replace else self.existing(new)
        if there or (not replace and len(new) < len(items)):
            counts = Counter(item.id for item in items)
            raise repeated(next(id for id, count in counts.items() if count > 1 or id in there))
        # numbers that ascend, in microseconds, so that those of other writers fall in between
        with self._lock:
            first = max(self._last + 1, time.time_ns() // 1000)
            self._last = first + len(new)
        rows = [_row(seq, item) for seq, item in enumerate(new.values(), first)]
        self._upsert(rows)

    def set_metadata(self, id: str, metadata: dict[str, Any]) -> None:
        metadata = checked_metadata(metadata)
        rows = self._rows([id], ["seq", "id", "metadata", "thumbnail", "vector"])
        if not rows:
            raise missing(id)
        old = _item(rows[0])
        self._upsert([_row(rows[0]["seq"], Item(id, old.vector, metadata, old.thumbnail))])

    def remove(self, ids: Sequence[str]) -> None:
        ids = list(dict.fromkeys(ids))
        there = self.existing(ids)
        for id in ids:
            if id not in there:
                raise missing(id)
        for start in range(0, len(ids), AT_ONCE):
            with plainly(self.address):
                self._client.delete(
                    self.collection, filter=f"id in {_quoted(ids[start : start + AT_ONCE])}", timeout=TIMEOUT
                )

    # Inside

    @property
    def _client(self) -> Any:
        if self._connection is None:
            raise closed()
        return self._connection

    def _create(self, space: Space) -> None:
        from pymilvus import DataType

        with plainly(self.address):
            schema = self._client.create_schema(
                auto_id=False,
                enable_dynamic_field=False,
                description=json.dumps({"space": vars(space), "index": self._index}),
            )
            schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=MAX_TEXT)
            schema.add_field("seq", DataType.INT64)
            schema.add_field("metadata", DataType.VARCHAR, max_length=MAX_TEXT)
            schema.add_field("facts", DataType.ARRAY, element_type=DataType.INT64, max_capacity=MAX_LIST)
            schema.add_field("thumbnail", DataType.VARCHAR, max_length=MAX_TEXT)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=space.dim)
            indexes = self._client.prepare_index_params()
            indexes.add_index(
                "vector", index_type=self._index, metric_type="IP", params=INDEXES[self._index][0]
            )
            self._client.create_collection(
                self.collection,
                schema=schema,
                index_params=indexes,
                consistency_level=self._consistency,
                timeout=TIMEOUT,
            )

    def _dim(self) -> int:
        if self.space is None:
            raise unbound()
        return self.space.dim

    def _rows(self, ids: Collection[str], fields: list[str]) -> list[dict[str, Any]]:
        asked = [id for id in dict.fromkeys(ids) if isinstance(id, str) and id and is_clean(id)]
        return [
            row
            for start in range(0, len(asked), AT_ONCE)
            for row in self._query(f"id in {_quoted(asked[start : start + AT_ONCE])}", fields)
        ]

    def _query(self, expression: str, fields: list[str], **options: Any) -> list[dict[str, Any]]:
        if self.space is None:
            return []
        return self._read("query", filter=expression, output_fields=fields, **options)

    def _read(self, method: str, **request: Any) -> list[Any]:
        request |= {"consistency_level": self._consistency, "timeout": TIMEOUT}
        try:
            with plainly(self.address):
                return getattr(self._client, method)(self.collection, **request)
        except NotLoaded:
            with plainly(self.address):
                self._client.load_collection(self.collection, timeout=TIMEOUT)
                return getattr(self._client, method)(self.collection, **request)

    def _upsert(self, rows: list[dict[str, Any]]) -> None:
        for start in range(0, len(rows), AT_ONCE):
            with plainly(self.address):
                self._client.upsert(self.collection, rows[start : start + AT_ONCE], timeout=TIMEOUT)


def _described_by(description: str, collection: str) -> tuple[Space, str]:
    """The space and the kind of index that `bind` wrote down."""
    try:
        stored = json.loads(description)
        return Space(**stored["space"] | {"probe": tuple(stored["space"]["probe"])}), stored["index"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            say(
                zh=f"Milvus 的集合 {collection} 不是本课程建立的，请换一个名字。",
                en=f"Milvus's collection {collection} was not made by the course, please use another name.",
            )
        ) from error


def _row(seq: int, item: Item) -> dict[str, Any]:
    row = {
        "id": item.id,
        "seq": seq,
        "metadata": json.dumps(item.metadata, ensure_ascii=False),
        "facts": [
            _fact(key, text) for key, value in item.metadata.items() if (text := canonical(value)) is not None
        ],
        "thumbnail": b64encode(item.thumbnail or b"").decode(),
        "vector": item.vector,
    }
    too_long = [name for name in ("id", "metadata", "thumbnail") if len(row[name].encode()) > MAX_TEXT]
    if too_long or len(row["facts"]) > MAX_LIST:
        raise TooLarge(
            say(
                zh=f"Milvus 存不下 {item.id[:80]!r} 的{'、'.join(too_long) or '元数据'}："
                f"每项最多 {MAX_TEXT} 字节，元数据最多 {MAX_LIST} 个键，请缩短。",
                en=f"Milvus cannot hold the {', '.join(too_long) or 'metadata'} of {item.id[:80]!r}: at most "
                f"{MAX_TEXT} bytes each, and {MAX_LIST} keys of metadata, please shorten it.",
            )
        )
    return row


def _item(row: dict[str, Any]) -> Item:
    return Item(row["id"], np.array(row["vector"], np.float32), *_details(row))


def _details(row: dict[str, Any]) -> tuple[dict[str, Any], bytes | None]:
    return json.loads(row["metadata"]), b64decode(row["thumbnail"]) or None


def _fact(key: str, text: str) -> int:
    """A number for a key with a value, the same everywhere: what a filter looks for."""
    digest = blake2b(json.dumps([key, text]).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _expression(where: dict[str, list[str]]) -> str:
    return " and ".join(
        f"array_contains_any(facts, {[_fact(key, text) for text in values]})" for key, values in where.items()
    )


def _quoted(value: str | list[str]) -> str:
    """Text as Milvus's expressions write it, which is as JSON does."""
    return json.dumps(value, ensure_ascii=False)
