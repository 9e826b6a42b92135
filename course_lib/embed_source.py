"""What is to be embedded, cut into chunks: a folder of pictures, or Parquet with pictures in it or paths to them."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from . import bulk
from .errors import CourseError
from .images import ImageSource
from .settings import say
from .stores.protocol import canonical

ROWS = 64  # of a Parquet file in memory at once


@dataclass(frozen=True)
class Chunk:
    """Pictures that are embedded together, and done again together where a worker dies: `pairs` of id and path, or
    row group `group` of the Parquet `file`. `count` of them."""

    count: int
    pairs: tuple[tuple[str, str], ...] = ()
    file: str = ""
    group: int = 0

    @property
    def key(self) -> str:
        """A name, the same for the same chunk."""
        return blake2b(self.to_json().encode(errors="surrogatepass"), digest_size=12).hexdigest()

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Chunk:
        fields = json.loads(text)
        return cls(**fields | {"pairs": tuple(map(tuple, fields["pairs"]))})

    def pictures(self) -> Iterator[tuple[str, ImageSource, dict[str, Any]]]:
        """Id, picture (not yet opened) and metadata of each."""
        if not self.file:
            yield from ((image_id, path, {}) for image_id, path in self.pairs)
            return
        number = 0
        for batch in parquet().ParquetFile(self.file).iter_batches(ROWS, row_groups=[self.group]):
            for row in batch.to_pylist():
                image_id = row.pop("id", None)
                if image_id is None:
                    image_id = f"{Path(self.file).stem}/{self.group}/{number}"
                number += 1
                picture = _picture(row.pop("image", None), row.pop("path", None), Path(self.file).parent)
                facts = {name: value for name, value in row.items() if canonical(value) is not None}
                yield str(image_id), picture, facts


def chunks_of(source: str | os.PathLike, size: int, done: Collection[str]) -> list[Chunk]:
    """The chunks of a source: of `size` pictures, or a row group each.

    A folder's are made of the pictures whose ids are not in `done`; the id is the path within the folder. Parquet
    holds columns `image` (a file's bytes, or as Hugging Face's datasets have it) or `path`, perhaps `id`; what else is
    text, number or boolean becomes metadata.
    """
    place = Path(source).expanduser()
    if place.suffix == ".parquet" or (place.is_dir() and any(place.glob("*.parquet"))):
        return _parquet_chunks(place)
    files = bulk.in_folder(place, "**/*")
    pairs = [(image_id, str(path.resolve())) for image_id, path in files.items() if image_id not in done]
    return [
        Chunk(len(some), pairs=tuple(some))
        for some in (pairs[start : start + size] for start in range(0, len(pairs), size))
    ]


def _parquet_chunks(place: Path) -> list[Chunk]:
    chunks = []
    for file in [place] if place.suffix == ".parquet" else sorted(place.glob("*.parquet")):
        try:
            opened = parquet().ParquetFile(file)
        except (OSError, ValueError) as error:  # pyarrow's own are of these
            raise CourseError(
                say(
                    zh=f"读不了 {file}（{str(error)[:100]}），请检查路径和文件。",
                    en=f"{file} cannot be read ({str(error)[:100]}), please check the path and the file.",
                )
            ) from error
        if not {"image", "path"} & set(opened.schema_arrow.names):
            raise CourseError(
                say(
                    zh=f"{file} 里既没有 image 列也没有 path 列，请把图片或路径放在这样的一列里。",
                    en=f"{file} has neither a column image nor a column path, please name the column of the pictures so.",
                )
            )
        sizes = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
        chunks += [Chunk(rows, file=str(file.resolve()), group=group) for group, rows in enumerate(sizes)]
    return chunks


def _picture(image: Any, path: str | None, folder: Path) -> ImageSource:
    if isinstance(image, dict):  # as the datasets library stores pictures
        image, path = image.get("bytes"), image.get("path") or path
    return image if image is not None else str(folder / path) if path is not None else b""


def parquet() -> Any:
    """The module `pyarrow.parquet`."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise CourseError(
            say(
                zh="批量嵌入用 Parquet 文件保存向量，请运行 pip install pyarrow。",
                en="Bulk embedding keeps its vectors in Parquet, please run pip install pyarrow.",
            )
        ) from error
    return pyarrow.parquet
