"""Search in a collection of pictures, by words, by picture, or by both (chapter, section 六, 6.1).

Pictures are embedded once, and kept in a store (`course_lib.stores`): in memory, or in a folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from . import bulk, duplicates
from .bulk import AddReport
from .errors import warn
from .images import ImageSource, is_many, open_image
from .search_results import Result, Results
from .settings import say
from .stores import Hit, Item, Space, StoreError, VectorStore, open_store
from .stores.protocol import Where, checked_items, checked_top_k, checked_where, missing, repeated
from .texts import Texts, as_texts

if TYPE_CHECKING:
    from .clip import CLIPService  # any object with its encode_image and encode_text will do

COMMIT = 256  # pictures in a transaction, the most that a killed run does again
SAMPLE = 1000  # stored vectors from which the spread of scores is estimated

Metadata = Mapping[str, Any]


@dataclass(frozen=True)
class StoredImage:
    """What the engine knows of a picture: vector float32 `(d,)`, metadata, a small PIL image or None."""

    id: str
    metadata: dict[str, Any]
    vector: np.ndarray = field(repr=False)
    thumbnail: Image.Image | None = field(repr=False)


class ImageSearchEngine:
    """Pictures by id, found by words or by likeness.

    `store` is None (in memory), a folder such as "./my_index" (made if it is not there, shared between
    processes), a collection on a Milvus server, "milvus+http://host:19530/my_index", or a `VectorStore`. A store
    remembers the model it was filled with, and refuses another.

    A score is a cosine. Scores of different kinds are not comparable: CLIP's texts lie apart from its
    pictures (the modality gap, Liang et al. 2022), so that 0.3 is high between words and a picture, and low
    between two pictures. Compare scores of one kind of query only, and choose a threshold for each.
    """

    def __init__(
        self,
        clip_service: CLIPService | None = None,
        *,
        store: str | os.PathLike | VectorStore | None = None,
    ):
        if clip_service is None:
            from .clip import CLIPService

            clip_service = CLIPService()
        self.clip_service = clip_service
        self.store = open_store(store)
        self._space: Space | None = None
        self._sample: tuple[int, np.ndarray] | None = None
        if self.store.space is not None:
            self._bind()

    def __repr__(self) -> str:
        name = getattr(self.clip_service, "name", type(self.clip_service).__name__)
        place = getattr(self.store, "folder", None) or getattr(self.store, "address", None)
        place = place or say(zh="内存", en="memory")
        return say(
            zh=f"ImageSearchEngine（{len(self)} 张图片，{name}，{place}）",
            en=f"ImageSearchEngine({len(self)} pictures, {name}, {place})",
        )

    def __len__(self) -> int:
        return len(self.store)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self.store

    def __iter__(self) -> Iterator[str]:
        for ids, _ in self.store.batches():
            yield from ids

    def __enter__(self) -> ImageSearchEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.store.close()

    # Filling

    def add_image(self, image_id: str, image: ImageSource, metadata: Metadata | None = None) -> None:
        """Add one picture, which is there for every later call, of other processes too, on return.

        `image` is anything `open_image` takes; `metadata` a dictionary that JSON can hold. Raises
        `StoreError` for an id that is there already, `ImageError` for a picture that cannot be read.
        """
        if image_id in self.store:
            raise repeated(image_id)  # before the model spends time on it
        self.store.add([self._embedded(image_id, image, metadata)])

    def add_images(
        self,
        images: Mapping[str, ImageSource] | Iterable[Any],
        *,
        metadata: Mapping[str, Metadata] | Callable[[str], Metadata | None] | None = None,
        on_existing: str = "skip",
        progress: bool = True,
    ) -> AddReport:
        """Add many pictures, embedded in batches; the ones that cannot be read are reported and left out.

        `images` maps ids to pictures, or is an iterable of file paths (their own ids) or of pairs (id,
        picture). `metadata` maps ids to dictionaries, or makes one from an id. `on_existing` is "skip" or
        "replace". Written every few hundred pictures: a run that was interrupted, or killed, goes on where
        it was when it is started again.
        """
        if on_existing not in ("skip", "replace"):
            raise StoreError(
                say(
                    zh=f"on_existing 只能是 skip 或 replace，不能是 {on_existing!r}。",
                    en=f"on_existing must be skip or replace, not {on_existing!r}.",
                )
            )
        pairs, report, seen = bulk.with_ids(images), AddReport(), set()
        replace = on_existing == "replace"
        describe = metadata if callable(metadata) else (metadata or {}).get
        bar = bulk.progress_bar(len(pairs), progress)

        def wanted() -> Iterator[tuple[str, ImageSource]]:
            for start in range(0, len(pairs), COMMIT):
                some = pairs[start : start + COMMIT]
                there = set() if replace else self.store.existing([image_id for image_id, _ in some])
                for image_id, image in some:
                    bar.update()
                    if image_id in seen or image_id in there:
                        report.skipped.append(image_id)
                    else:
                        seen.add(image_id)
                        yield image_id, image

        waiting: list[Item] = []
        size = 4 * getattr(self.clip_service, "batch_size", 16)  # a call of the service costs a little, too
        with bulk.Behind() as writer:  # the disk works while the model does
            try:
                for batch in bulk.read_ahead(wanted(), report.failed, batch_size=size):
                    self._bind()
                    vectors = self._encode([image for _, image, _ in batch])
                    waiting += [
                        Item(image_id, vector, describe(image_id) or {}, thumbnail)
                        for (image_id, _, thumbnail), vector in zip(batch, vectors, strict=True)
                    ]
                    if len(waiting) >= COMMIT:
                        items, waiting = waiting, []
                        writer.submit(self._write, items, report, replace)
            finally:  # interrupted or not: what is embedded is kept
                bar.close()
                writer.submit(self._write, waiting, report, replace)
        if report.failed:
            first, error = next(iter(report.failed.items()))
            warn(
                say(
                    zh=f"有 {len(report.failed)} 张图片未能加入，第一张是 {first}：{error}",
                    en=f"{len(report.failed)} pictures were left out, the first is {first}: {error}",
                )
            )
        return report

    def add_folder(self, folder: str | os.PathLike, *, pattern: str = "**/*", **options: Any) -> AddReport:
        """`add_images` for the picture files in a folder and below; an id is the path within the folder.

        `pattern` chooses among them ("cats/*.jpg"); `options` as in `add_images`.
        """
        return self.add_images(bulk.in_folder(folder, pattern), **options)

    def update(
        self, image_id: str, image: ImageSource | None = None, metadata: Metadata | None = None
    ) -> None:
        """Give an id another picture, another metadata (the whole of it), or both."""
        if (old := self.store.get([image_id])[0]) is None:
            raise missing(image_id)
        if image is not None:
            item = self._embedded(image_id, image, old.metadata if metadata is None else metadata)
            self.store.add([item], replace=True)
        elif metadata is not None:
            self.store.set_metadata(image_id, metadata)

    def remove(self, image_id: str | Iterable[str]) -> None:
        """Remove one picture, or several. `StoreError` where one is not there; then none is removed."""
        self.store.remove([image_id] if isinstance(image_id, str) else list(image_id))

    def get(self, image_id: str) -> StoredImage:
        """What is known of a picture. `StoreError` where there is none of that id."""
        if (item := self.store.get([image_id])[0]) is None:
            raise missing(image_id)
        thumbnail = None if item.thumbnail is None else open_image(item.thumbnail)
        return StoredImage(item.id, item.metadata, item.vector, thumbnail)

    # Searching

    def search_by_text(
        self, query: Texts, top_k: int = 5, *, where: Where | None = None
    ) -> Results | list[Results]:
        """The pictures that fit the words best; a list of results for several queries in one call.

        `where` keeps those whose metadata match, {"category": "nature", "year": [2023, 2024]}: a value must
        be equal, a list must hold it, and every key must match. The scores are text-to-image cosines, not
        comparable with those of `search_by_image`.
        """
        queries = as_texts(query)
        found = self._search(self.clip_service.encode_text, queries, queries, top_k, where)
        return found[0] if isinstance(query, str) else found

    def search_by_image(
        self, query_image: ImageSource | Iterable[ImageSource], top_k: int = 5, *, where: Where | None = None
    ) -> Results | list[Results]:
        """The pictures most like one; a list of results for several. `where` as in `search_by_text`.

        The scores are image-to-image cosines, not comparable with those of `search_by_text`.
        """
        many = is_many(query_image)
        images = list(query_image) if many else [query_image]
        found = self._search(self._encode, images, [""] * len(images), top_k, where)
        return found if many else found[0]

    def search(
        self,
        *,
        text: str | None = None,
        image: ImageSource | None = None,
        weight: float = 0.5,
        top_k: int = 5,
        where: Where | None = None,
    ) -> Results:
        """The pictures that are like `image` *and* fit `text` ("this one, but at night").

        `weight` is the share of the words, from 0 to 1. Because scores with a text spread less than scores
        with a picture, each is first divided by its standard deviation over the stored vectors; the two add
        up to one query. Its scores compare with no other query's.
        """
        if text is None and image is None:
            raise StoreError(
                say(zh="请给出 text、image，或两者都给。", en="Please give a text, an image, or both.")
            )
        if image is None:
            return self.search_by_text(text, top_k, where=where)
        if text is None:
            return self.search_by_image(image, top_k, where=where)
        if not 0 <= weight <= 1:
            raise StoreError(
                say(
                    zh=f"weight 必须在 0 到 1 之间，不能是 {weight!r}。",
                    en=f"weight must lie between 0 and 1, not {weight!r}.",
                )
            )

        def mixed(texts: list[str]) -> np.ndarray:
            parts = np.concatenate([self.clip_service.encode_text(texts), self._encode([image])])
            spread = np.maximum((self._stored() @ parts.T).std(axis=0), 1e-6)
            query = (np.array([weight, 1 - weight]) / spread) @ parts
            return (query / np.linalg.norm(query))[None]

        label = say(zh=f"图片 + {text}", en=f"picture + {text}")
        return self._search(mixed, as_texts(text), [label], top_k, where)[0]

    def find_duplicates(self, threshold: float = 0.97) -> list[Results]:
        """Groups of pictures that are nearly the same, the largest first, with their similarity to the
        group's first.

        Two pictures are linked where their cosine is at least `threshold`, and a group is what hangs
        together. What counts as the same depends on the model: look at the groups, and move the threshold.
        """
        if not -1 <= threshold <= 1:
            raise StoreError(
                say(
                    zh=f"threshold 是余弦相似度，必须在 -1 到 1 之间，不能是 {threshold!r}。",
                    en=f"threshold is a cosine and must lie between -1 and 1, not {threshold!r}.",
                )
            )
        return [self._group(ids) for ids in duplicates.groups(self.store, threshold)]

    # Inside

    def _search(
        self, encoder: Callable, queries: list, labels: list[str], top_k: int, where
    ) -> list[Results]:
        top_k, _ = checked_top_k(top_k), checked_where(where)  # before the model spends time on them
        hits: list[list[Hit]] = [[] for _ in queries]
        if queries and len(self):
            hits = self.store.search(encoder(queries), top_k, where)
        return [Results(map(Result, found), query=label) for found, label in zip(hits, labels, strict=True)]

    def _group(self, ids: list[str]) -> Results:
        items = [item for item in self.store.get(ids) if item is not None]
        return Results(
            Result(Hit(item.id, float(item.vector @ items[0].vector), item.metadata, item.thumbnail))
            for item in items
        )

    def _stored(self) -> np.ndarray:
        """Some stored vectors; anew when the store has doubled."""
        count = len(self)
        if self._sample is None or not self._sample[0] <= count < 2 * self._sample[0]:
            self._sample = count, self.store.sample(SAMPLE)
        return self._sample[1]

    def _encode(self, images: list) -> np.ndarray:
        return self.clip_service.encode_image(images, progress=False)

    def _embedded(self, image_id: str, image: ImageSource, metadata: Metadata | None) -> Item:
        self._bind()
        opened, thumbnail = bulk.prepare(image)
        return Item(image_id, self._encode([opened])[0], metadata or {}, thumbnail)

    def _write(self, items: list[Item], report: AddReport, replace: bool) -> None:
        if not items:
            return
        try:
            self.store.add(items, replace=replace)
        except StoreError:
            if len(good := self._acceptable(items, report, replace)) == len(items):
                raise  # it was not for one of the pictures
            self.store.add(items := good, replace=replace)
        report.added += [item.id for item in items]

    def _acceptable(self, items: list[Item], report: AddReport, replace: bool) -> list[Item]:
        """The items that a store can take; of the others the report says why."""
        good, there = [], set() if replace else self.store.existing([item.id for item in items])
        for item in items:
            if item.id in there:  # it was not when the picture was read: another process was quicker
                report.skipped.append(item.id)
                continue
            try:
                checked_items([item], self._bind().dim)
                good.append(item)
            except StoreError as error:
                report.failed[item.id] = error
        return good

    def _bind(self) -> Space:
        """The service's space, which the store remembers, or is checked against."""
        if self._space is None:
            space = space_of(self.clip_service)
            self.store.bind(space)
            self._space = space
        return self._space


def space_of(service: Any) -> Space:
    """The vector space of a CLIP service, found by its name and by embedding a fixed picture."""
    # Detail at every scale, and wider than high, so that another size, crop or filter shows in the vector.
    y, x = np.mgrid[0:96, 0:144] / 96.0
    waves = [np.sin(2 * np.pi * (f * x * (c + 1) + f * y * y)) for c, f in enumerate((1.5, 3.0, 6.0))]
    probe = Image.fromarray(np.uint8(127.5 + 127 * np.stack(waves, axis=-1)))
    vector = np.asarray(service.encode_image([probe], progress=False), np.float32).reshape(-1)
    processor = getattr(getattr(service, "preprocessor", None), "processor", None)
    steps = {
        key: value
        for key in ("size", "crop_size", "resample", "image_mean", "image_std")
        if (value := getattr(processor, key, None)) is not None
    }
    return Space(
        getattr(service, "name", type(service).__name__),
        len(vector),
        json.dumps(steps, default=str, sort_keys=True),
        tuple(vector.tolist()),
    )
