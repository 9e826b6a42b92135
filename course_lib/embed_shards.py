"""Embeddings on their way to a store: Parquet shards, each the work of one chunk, whole or not there.

A row is `id`, `ok`, `error`, `vector`, `thumbnail`, `metadata` (JSON). The vector space stands in the file's schema.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from . import bulk
from .embed_source import Chunk, parquet
from .errors import CourseError
from .images import ImageSource
from .settings import say
from .stores import Item, Space, StoreError, VectorStore
from .stores.protocol import TooLarge, checked_items

LOADED_AT_ONCE = 500  # items in a transaction of the store


@dataclass
class Shard:
    """What became of a chunk: `good` embeddings are in the file; `failed` maps the other ids to the reason."""

    path: Path
    good: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def embed_chunk(chunk: Chunk, service: Any, folder: Path, space: Space, *, thumbnails: bool = True) -> Shard:
    """Embed a chunk's pictures and write its shard. A picture that fails is a row that says why."""
    failed: dict[str, CourseError] = {}
    facts: dict[str, dict[str, Any]] = {}
    items: list[Item] = []

    def pictures() -> Iterator[tuple[str, ImageSource]]:
        for image_id, picture, metadata in chunk.pictures():
            facts[image_id] = metadata
            yield image_id, picture

    size = 4 * getattr(service, "batch_size", 16)
    for batch in bulk.read_ahead(pictures(), failed, batch_size=size):
        vectors = service.encode_image([image for _, image, _ in batch], progress=False)
        for (image_id, _, thumbnail), vector in zip(batch, vectors, strict=True):
            try:
                item = Item(image_id, vector, facts[image_id], thumbnail if thumbnails else None)
                items += checked_items([item], space.dim)
            except StoreError as error:
                failed[image_id] = error
    shard = Shard(
        shard_of(chunk, folder), len(items), {image_id: str(error) for image_id, error in failed.items()}
    )
    _write(shard, items, space)
    return shard


def shard_of(chunk: Chunk, folder: Path) -> Path:
    return folder / f"{chunk.key}.parquet"


def _write(shard: Shard, items: list[Item], space: Space) -> None:
    import pyarrow as pa

    bad = len(shard.failed)
    columns = {
        "id": pa.array(
            [item.id for item in items] + [_as_utf8(image_id) for image_id in shard.failed], pa.string()
        ),
        "ok": pa.array([True] * len(items) + [False] * bad),
        "error": pa.array(
            [None] * len(items) + [_as_utf8(why) for why in shard.failed.values()], pa.string()
        ),
        "vector": pa.array([item.vector for item in items] + [None] * bad, pa.list_(pa.float32())),
        "thumbnail": pa.array([item.thumbnail for item in items] + [None] * bad, pa.binary()),
        "metadata": pa.array([json.dumps(item.metadata) for item in items] + [None] * bad, pa.string()),
    }
    table = pa.table(columns).replace_schema_metadata({"space": json.dumps(vars(space))})
    temporary = shard.path.with_name(f".tmp-{uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            parquet().write_table(table, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, shard.path)
    finally:
        temporary.unlink(missing_ok=True)


def _as_utf8(text: object) -> str:
    """An id, or a reason that quotes it, as Parquet can hold it: Linux allows file names that are no UTF-8."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def finished(folder: Path, *, retry_failed: bool) -> tuple[set[str], set[Path]]:
    """The ids that need no embedding any more, and the shards that are complete. Raises `CourseError` where another
    Parquet lies there."""
    ids, shards = set(), set()
    for path in sorted(folder.glob("*.parquet")):
        try:
            ours = b"space" in (parquet().read_schema(path).metadata or {})
            table = parquet().read_table(path, columns=["id", "ok"]) if ours else None
        except (OSError, ValueError):
            os.replace(path, path.with_suffix(".damaged"))  # its chunk is done again
            continue
        if table is None:
            raise CourseError(
                say(
                    zh=f"{folder} 里的 {path.name} 不是分片，请用 shards 另选一个文件夹。",
                    en=f"{path.name} in {folder} is no shard, please name another folder with shards.",
                )
            )
        good = table.filter(table["ok"]) if retry_failed else table
        ids.update(good["id"].to_pylist())
        if len(good) == len(table):
            shards.add(path)
    return ids, shards


def load(path: Path, store: VectorStore) -> tuple[int, dict[str, str]]:
    """Put what a shard holds and a store has not into that; how many those were, and which it turned down, why."""
    file = parquet().ParquetFile(path)
    space = Space(**json.loads(file.schema_arrow.metadata[b"space"]))
    store.bind(space)
    added, rejected = 0, {}
    for batch in file.iter_batches(LOADED_AT_ONCE):
        batch = batch.filter(batch["ok"])
        vectors = batch["vector"].flatten().to_numpy().reshape(-1, space.dim)
        there = store.existing(batch["id"].to_pylist())
        items = {
            row["id"]: Item(row["id"], vector, json.loads(row["metadata"]), row["thumbnail"])
            for row, vector in zip(
                batch.select(["id", "metadata", "thumbnail"]).to_pylist(), vectors, strict=True
            )
            if row["id"] not in there
        }
        refused = _add(store, list(items.values()))
        rejected |= refused
        added += len(items) - len(refused)
    return added, rejected


def _add(store: VectorStore, items: list[Item]) -> dict[str, str]:
    """Add items; those that are too large for the store, with the reason."""
    try:
        store.add(items, replace=True)  # another process may have been quicker
        return {}
    except TooLarge as error:
        if len(items) == 1:
            return {items[0].id: str(error)}
        return {id: reason for item in items for id, reason in _add(store, [item]).items()}
