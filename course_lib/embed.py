"""Embed very many pictures: to Parquet shards, and from there into a search index.

    python -m course_lib.embed FOLDER_OR_PARQUET --store ./my_index
    python -m course_lib.embed photos.parquet --store milvus+http://host:19530/photos --ray --workers 8

Below 10,000 pictures this process does the work, above it Ray (`--ray` and `--no-ray` decide otherwise); with
RAY_ADDRESS, a cluster. It may be stopped, or killed, at any moment: started again, it goes on where it was. A picture
that cannot be read does not stop it; the reason stands in the shards, beside the vectors of the others.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from . import bulk, embed_ray
from .embed_shards import embed_chunk, finished, load, shard_of
from .embed_source import chunks_of, parquet
from .errors import CourseError, warn
from .limits import check_whole
from .search import space_of
from .settings import say
from .stores import VectorStore, open_store

RAY_FROM = 10_000  # pictures; below, Ray's start costs more than it saves
CHUNK = 512  # pictures that a killed worker has to do again


@dataclass
class EmbedReport:
    """What became of a run: `embedded` in it, `skipped` because an earlier one did, `added` to the store, and `failed`:
    id to reason, for the pictures that could not be read and those that the store could not hold."""

    embedded: int = 0
    skipped: int = 0
    added: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        head = say(
            zh=f"新嵌入 {self.embedded} 张，早已嵌入 {self.skipped} 张，写入索引 {self.added} 张，失败 {len(self.failed)} 张",
            en=f"{self.embedded} embedded, {self.skipped} were already, {self.added} added to the index, "
            f"{len(self.failed)} failed",
        )
        lines = [f"  {image_id}: {reason}" for image_id, reason in list(self.failed.items())[:10]]
        return "\n".join([head, *lines, *(["  ..."] if len(self.failed) > 10 else [])])


def embed(
    source: str | os.PathLike,
    store: str | os.PathLike | VectorStore,
    *,
    model: str | None = None,
    shards: str | os.PathLike | None = None,
    ray: bool | None = None,
    workers: int | None = None,
    chunk: int = CHUNK,
    thumbnails: bool = True,
    retry_failed: bool = False,
    progress: bool = True,
) -> EmbedReport:
    """Embed the pictures of a folder, or of Parquet (`embed_source.chunks_of`), and add them to a store.

    `shards` is the folder of the Parquet shards: by default "embeddings" in the store's folder, or
    "COLLECTION-embeddings" here. `ray` None lets the number of pictures decide, `workers` are Ray's. `retry_failed` tries
    again what failed in an earlier run. Raises `CourseError` where the whole cannot go on; what is done is kept.
    """
    from .clip import CLIPService

    parquet()
    check_whole("chunk", chunk, 1, sys.maxsize)
    service = CLIPService(model)
    space = space_of(service)
    index = open_store(store)
    with nullcontext() if index is store else closing(index):  # Windows removes no folder that is open
        index.bind(space)  # a store of another model is refused now, not after hours
        folder = _shards_of(index) if shards is None else Path(shards).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        ids, complete = finished(folder, retry_failed=retry_failed)
        report = EmbedReport(skipped=len(ids))
        for path in sorted(folder.glob("*.parquet")):  # what an earlier run embedded, and did not get to add
            _add(path, index, report)
        work = [some for some in chunks_of(source, chunk, ids) if shard_of(some, folder) not in complete]
        count = sum(some.count for some in work)
        if count and (ray or (ray is None and count >= RAY_FROM and _has_ray())):
            results = embed_ray.run(work, service.name, folder, space, thumbnails=thumbnails, workers=workers)
        else:
            results = (embed_chunk(some, service, folder, space, thumbnails=thumbnails) for some in work)
        with bulk.progress_bar(count, progress) as bar:
            for shard in results:
                report.embedded += shard.good
                report.failed |= shard.failed
                _add(shard.path, index, report)
                bar.update(shard.good + len(shard.failed))
    return report


def _add(path: Path, index: VectorStore, report: EmbedReport) -> None:
    added, rejected = load(path, index)
    report.added += added
    report.failed |= rejected


def _shards_of(index: VectorStore) -> Path:
    if getattr(index, "folder", None) is not None:
        return index.folder / "embeddings"
    if hasattr(index, "collection"):
        return Path(f"{index.collection}-embeddings")
    raise CourseError(
        say(
            zh="请用 shards 指定保存 Parquet 分片的文件夹。",
            en="Please name a folder for the Parquet shards with shards.",
        )
    )


def _has_ray() -> bool:
    if find_spec("ray") is None:
        warn(
            say(
                zh="没有安装 Ray，全部由本进程完成；pip install 'ray[data]' 之后可以用上所有的核。",
                en="Ray is not installed, so this process does all of it; pip install 'ray[data]' brings the other cores in.",
            )
        )
        return False
    return True


def main(arguments: list[str] | None = None) -> int:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.embed", description=__doc__, formatter_class=form
    )
    parser.add_argument("source", help="a folder of pictures, a Parquet file, or a folder of these")
    parser.add_argument("--store", required=True, help="a folder, or milvus+http://host:19530/collection")
    parser.add_argument(
        "--shards", help="folder of the Parquet shards (on a cluster: one that all computers see)"
    )
    parser.add_argument("--model", help="the CLIP model (default: as the course's settings say)")
    parser.add_argument(
        "--ray", action=argparse.BooleanOptionalAction, help="work on Ray (default: above 10,000 pictures)"
    )
    parser.add_argument("--workers", type=int, help="Ray's workers (default: all cores or GPUs but one core)")
    parser.add_argument("--chunk", type=int, default=CHUNK, help=f"pictures in a shard (default {CHUNK})")
    parser.add_argument(
        "--no-thumbnails", dest="thumbnails", action="store_false", help="keep no small pictures"
    )
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed in an earlier run")
    options = vars(parser.parse_args(arguments))
    try:
        print(repr(embed(options.pop("source"), options.pop("store"), **options)))
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
