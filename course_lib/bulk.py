"""Many pictures on their way to a model: read ahead in threads, and the ones that cannot be read reported."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePath
from typing import Any

from PIL import Image
from tqdm.auto import tqdm

from .batching import quiet
from .errors import CourseError, ImageError, warn
from .images import FORMATS, ImageSource, open_image
from .settings import say
from .stores import StoreError

THUMBNAIL = 128  # pixels on the longer side
MAX_PIXELS = 100_000_000  # in one batch, and in what is read ahead of it: decoded pictures wait for the model
TOGETHER = 8  # pictures for a thread at once: handing over a small one takes half as long as preparing it

Ready = tuple[str, Image.Image, bytes]  # id, picture, thumbnail


@dataclass
class AddReport:
    """What became of a bulk addition: ids that were added, that were there already, and that failed, with
    the error."""

    added: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, CourseError] = field(default_factory=dict)

    def __repr__(self) -> str:
        head = say(zh="新增 {} 张，跳过 {} 张，失败 {} 张", en="{} added, {} skipped, {} failed")
        lines = [f"  {image_id}: {error}" for image_id, error in list(self.failed.items())[:10]]
        more = ["  ..."] if len(self.failed) > 10 else []
        return "\n".join([head.format(len(self.added), len(self.skipped), len(self.failed)), *lines, *more])


def with_ids(images: Mapping[str, ImageSource] | Iterable[Any]) -> list[tuple[str, ImageSource]]:
    """Pairs (id, picture) of a dictionary, of file paths (their own ids), or of pairs."""
    if isinstance(images, Mapping):
        return list(images.items())
    pairs = []
    for entry in [images] if isinstance(images, (str, os.PathLike)) else images:
        if isinstance(entry, (str, os.PathLike)):
            pairs.append((entry if isinstance(entry, str) else PurePath(entry).as_posix(), entry))
        elif isinstance(entry, tuple) and len(entry) == 2:
            pairs.append(entry)
        else:
            raise StoreError(
                say(
                    zh="每张图片都要有编号，请传入 {编号: 图片} 字典、文件路径，或 (编号, 图片)。",
                    en="Every picture needs an id, please pass a dictionary {id: picture}, file paths, or "
                    "pairs (id, picture).",
                )
            )
    return pairs


def in_folder(folder: str | os.PathLike, pattern: str) -> dict[str, Path]:
    """The picture files in a folder by their path within it; hidden ones are passed over."""
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ImageError(
            say(
                zh=f"找不到文件夹 {root}，请检查路径，当前目录是 {os.getcwd()}。",
                en=f"There is no folder {root}, please check the path, the working directory is "
                f"{os.getcwd()}.",
            )
        )
    suffixes = {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}
    try:
        places = sorted(root.glob(pattern))
    except (ValueError, NotImplementedError) as error:  # an empty pattern, or an absolute one
        raise ImageError(
            say(
                zh=f"pattern 应写成文件夹内的样式，例如 **/*.jpg，不能是 {pattern!r}。",
                en=f"pattern must be one within the folder, such as **/*.jpg, not {pattern!r}.",
            )
        ) from error
    files = {path.relative_to(root): path for path in places if path.is_file()}
    files = {
        name: path for name, path in files.items() if not any(part.startswith(".") for part in name.parts)
    }
    pictures = {name.as_posix(): path for name, path in files.items() if path.suffix.lower() in suffixes}
    if files and not pictures:
        warn(
            say(
                zh=f"{root} 里的 {len(files)} 个文件都不是能读的图片格式，请先转成 JPEG 或 PNG（例如 iPhone 的 HEIC）。",
                en=f"None of the {len(files)} files in {root} is of a format that can be read, please convert them to JPEG "
                "or PNG first (HEIC of an iPhone, for one).",
            )
        )
    return pictures


def read_ahead(
    pairs: Iterable[tuple[str, ImageSource]], failed: dict[str, CourseError], *, batch_size: int
) -> Iterator[list[Ready]]:
    """Batches of pictures with their thumbnails, the next being read meanwhile; errors go to `failed`."""
    groups, ahead = _groups(pairs), deque[tuple[Future, int]]()
    workers = min(8, os.cpu_count() or 1)
    batch: list[Ready] = []
    pixels, coming, more = 0, 0, True
    with ThreadPoolExecutor(max_workers=workers) as pool:
        while more or ahead:
            while more and len(ahead) < 2 * workers and coming < MAX_PIXELS:
                if (group := next(groups, None)) is None:
                    more = False
                else:
                    size = sum(_pixels(source) for _, source in group)
                    ahead.append((pool.submit(_prepared, group), size))
                    coming += size
            if not ahead:
                break
            future, size = ahead.popleft()
            coming -= size
            for image_id, ready in future.result():
                if isinstance(ready, CourseError):
                    failed[image_id] = ready
                    continue
                image, thumbnail = ready
                batch.append((image_id, image, thumbnail))
                pixels += image.width * image.height
                if len(batch) >= batch_size or pixels >= MAX_PIXELS:
                    yield batch
                    batch, pixels = [], 0
        if batch:
            yield batch


def _groups(pairs: Iterable[tuple[str, ImageSource]]) -> Iterator[list[tuple[str, ImageSource]]]:
    """The pairs in their order: pictures that are in memory already several at a time, each file by itself."""
    group: list[tuple[str, ImageSource]] = []
    for pair in pairs:
        group.append(pair)
        is_open = isinstance(pair[1], Image.Image)
        if not is_open or len(group) == TOGETHER:
            yield group
            group = []
    if group:
        yield group


def _pixels(source: ImageSource) -> int:
    """How many pixels decoding a file will put into memory, by its header; 0 where it does not say."""
    if isinstance(source, bytes):
        source = BytesIO(source)
    elif not isinstance(source, (str, os.PathLike)):
        return 0  # in memory already, as a rule
    try:
        with Image.open(source, formats=FORMATS) as image:
            return image.width * image.height
    except Exception:  # `prepare` will say what is wrong with it
        return 0


def _prepared(
    group: list[tuple[str, ImageSource]],
) -> list[tuple[str, tuple[Image.Image, bytes] | CourseError]]:
    """Each picture's id with what `prepare` makes of it, or why it cannot be read."""
    ready: list[tuple[str, tuple[Image.Image, bytes] | CourseError]] = []
    for image_id, source in group:
        try:
            ready.append((image_id, prepare(source)))
        except CourseError as error:
            ready.append((image_id, error))
    return ready


class Behind:
    """Does one thing at a time in a thread of its own while the caller goes on. What one of them raises, the
    next call raises, or the end of the `with` block, which waits for the last."""

    def __enter__(self) -> Behind:
        self._pool, self._last = ThreadPoolExecutor(max_workers=1), None
        return self

    def submit(self, work: Callable[..., None], *arguments: Any) -> None:
        self._wait()
        self._last = self._pool.submit(work, *arguments)

    def __exit__(self, *_: object) -> None:
        with self._pool:
            self._wait()

    def _wait(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            last.result()


def progress_bar(total: int, shown: bool) -> tqdm:
    """A bar for work that takes longer than two seconds; TQDM_DISABLE hides it as well."""
    return tqdm(total=total, disable=quiet(shown), delay=2, leave=False)


def prepare(source: ImageSource) -> tuple[Image.Image, bytes]:
    """A picture, opened, and its thumbnail as JPEG."""
    image = open_image(source)
    small, buffer = image, BytesIO()
    if (scale := max(image.size) / THUMBNAIL) > 1:
        size = max(1, round(image.width / scale)), max(1, round(image.height / scale))
        # several times faster than without
        small = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)
    small.save(buffer, "JPEG", quality=80)
    return image, buffer.getvalue()
