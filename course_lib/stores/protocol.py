"""What every vector store does, whatever it is built on, and the checks they share."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from ..errors import CourseError
from ..settings import say

Scalar = str | int | float | bool
Where = Mapping[str, Scalar | Collection[Scalar]]

SAME_SPACE = 0.999  # cosine of two probes: above it lie other hardware and rounding, below it other weights


class StoreError(CourseError):
    """A store that cannot be used, or does not hold what was asked for."""


class TooLarge(StoreError):
    """An item that is more than this store can hold."""


@dataclass(frozen=True)
class Space:
    """The vector space a store's vectors live in: vectors of another model cannot be compared with them.

    `probe` is the model's vector of a fixed picture. It tells two models apart where their names do not, and
    finds them the same where only the names differ.
    """

    model: str
    dim: int
    preprocessing: str = ""
    probe: tuple[float, ...] = field(default=(), repr=False)

    def same(self, other: Space) -> bool:
        if self.dim != other.dim:
            return False
        if not (self.probe and other.probe):
            return self.model == other.model
        return float(np.dot(self.probe, other.probe)) >= SAME_SPACE

    def check(self, other: Space) -> None:
        """Raise `StoreError` unless `other` makes vectors of this space."""
        if self.same(other):
            return
        mine, theirs = f"{self.model} ({self.dim})", f"{other.model} ({other.dim})"
        if mine == theirs:
            changed = self.preprocessing != other.preprocessing
            raise StoreError(
                say(
                    zh=f"这个索引由另一个版本的 {self.model} 建成（{'预处理' if changed else '权重'}不同），"
                    "请用当初的模型打开，或换个地方新建。",
                    en=f"This index was made with another version of {self.model} (other "
                    f"{'preprocessing' if changed else 'weights'}), please open it with that one, or build a "
                    "new index elsewhere.",
                )
            )
        raise StoreError(
            say(
                zh=f"这个索引由模型 {mine} 建成，不能与 {theirs} 的向量比较，请用原来的模型打开，"
                "或换个地方新建。",
                en=f"This index was made with the model {mine}, whose vectors cannot be compared with those "
                f"of {theirs}, please open it with that model, or build a new index elsewhere.",
            )
        )


@dataclass(frozen=True, eq=False)
class Item:
    """A picture in a store: `vector` float32 `(d,)` of length 1, `metadata` a JSON object, `thumbnail` a
    small JPEG or None."""

    id: str
    vector: np.ndarray
    metadata: dict[str, Any] = field(default_factory=dict)
    thumbnail: bytes | None = None


@dataclass(frozen=True)
class Hit:
    """One result of a search; `score` is the cosine."""

    id: str
    score: float
    metadata: dict[str, Any]
    thumbnail: bytes | None = None


class VectorStore(Protocol):
    """Vectors by id, with metadata, searched by cosine. All writes are all or nothing, and are there for
    every later call, of this process or another, once the method has returned."""

    @property
    def space(self) -> Space | None:
        """The space of the vectors; None before the first `bind`."""

    def bind(self, space: Space) -> None:
        """Remember the space, or check it against the one remembered. `StoreError` if it is another."""

    def add(self, items: Sequence[Item], *, replace: bool = False) -> None:
        """Add new items. `StoreError` for an id that is there already, unless `replace`."""

    def set_metadata(self, id: str, metadata: dict[str, Any]) -> None:
        """Replace an item's metadata. `StoreError` where there is no such id."""

    def remove(self, ids: Sequence[str]) -> None:
        """Remove items. `StoreError` where one of them is not there, and then all stay."""

    def existing(self, ids: Collection[str]) -> set[str]:
        """Those of the ids that are there."""

    def get(self, ids: Sequence[str]) -> list[Item | None]:
        """The items of these ids, in their order, None for what is not there."""

    def search(self, queries: np.ndarray, top_k: int, where: Where | None = None) -> list[list[Hit]]:
        """For each query `(n, d)` the `top_k` items of highest cosine, best first, fewer where the store or
        the filter leaves fewer.

        `where` maps metadata keys to a value (equality) or to several (one of them); all keys must match.
        An item without the key never matches. True is not 1, but 1.0 is.
        """

    def sample(self, count: int) -> np.ndarray:
        """Some `count` of the vectors, or all where there are fewer, float32 `(n, d)`."""

    def batches(self, size: int = 1000) -> Iterator[tuple[list[str], np.ndarray]]:
        """All ids with their vectors `(n, d)`, `size` at a time, in the order they were added."""

    def __len__(self) -> int: ...

    def __contains__(self, id: object) -> bool: ...

    def close(self) -> None: ...


def checked_items(items: Sequence[Item], dim: int) -> list[Item]:
    """The items as they will come back: vectors float32 and of length 1, metadata through JSON."""
    for item in items:
        if not isinstance(item.id, str) or not item.id or not is_clean(item.id):
            raise StoreError(
                say(
                    zh=f"编号必须是非空的字符串，不能是 {item.id!r}。",
                    en=f"An id must be a string that is not empty, not {item.id!r}.",
                )
            )
    if len({np.shape(item.vector) for item in items}) == 1:  # all at once: several times faster
        vectors = checked_vectors([item.vector for item in items], dim)
    else:
        vectors = [checked_vectors(item.vector, dim)[0] for item in items]
    return [
        Item(item.id, vector, checked_metadata(item.metadata), item.thumbnail)
        for item, vector in zip(items, vectors, strict=True)
    ]


def checked_vectors(vectors: ArrayLike, dim: int) -> np.ndarray:
    """Vectors `(n, d)` as float32 of length 1. `StoreError` for NaN, zero, or another dimension."""
    vectors = np.atleast_2d(np.asarray(vectors, np.float32))
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise StoreError(
            say(
                zh=f"向量有 {vectors.shape[-1]} 维，而这个索引是 {dim} 维，请用建索引时的模型。",
                en=f"The vector has {vectors.shape[-1]} dimensions and this index {dim}, please use the "
                "model the index was made with.",
            )
        )
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    normalised = np.abs(lengths - 1) < 1e-5
    if normalised.all():
        return vectors
    if not (np.isfinite(lengths).all() and lengths.all()):
        raise StoreError(
            say(
                zh="向量里有 NaN、无穷大，或全是零，请检查模型的输出。",
                en="The vector holds NaN or infinity, or is all zero, please check the model's output.",
            )
        )
    lengths[normalised] = 1  # what is normalised already keeps its bits
    return vectors / lengths[:, None]


def checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Metadata as JSON gives it back (a tuple becomes a list). `StoreError` for what JSON cannot hold."""
    if not metadata and isinstance(metadata, Mapping | None):
        return {}
    try:
        text = json.dumps(metadata, allow_nan=False, ensure_ascii=False)
        text.encode()  # half of a surrogate pair is no text
        found = json.loads(text)
        if isinstance(found, dict) and all(isinstance(key, str) for key in metadata):
            return found
        reason = ""
    except (TypeError, ValueError, RecursionError) as error:
        reason = str(error)[:80]
    raise StoreError(
        say(
            zh=f"元数据必须是能写成 JSON 的字典，键为字符串{f'（{reason}）' if reason else ''}，"
            "请改用字符串、数字、布尔值或列表。",
            en=f"Metadata must be a dictionary that JSON can hold, its keys strings"
            f"{f' ({reason})' if reason else ''}, please use strings, numbers, booleans or lists.",
        )
    )


def checked_where(where: Where | None) -> dict[str, list[str]]:
    """A filter in normal form: for each key the values allowed, as `canonical` writes them."""
    if where is not None and not isinstance(where, Mapping):
        raise StoreError(
            say(
                zh='where 必须是字典，例如 {"类别": "自然"}。',
                en='where must be a dictionary, such as {"category": "nature"}.',
            )
        )
    normal = {}
    for key, wanted in (where or {}).items():
        several = isinstance(wanted, Collection) and not isinstance(wanted, (str, bytes, Mapping))
        values = [canonical(value) for value in (wanted if several else [wanted])]
        if not isinstance(key, str) or None in values:
            raise StoreError(
                say(
                    zh=f"where 里的 {key!r} 只能等于字符串、数字或布尔值，或是它们的列表。",
                    en=f"In where, {key!r} can equal a string, a number or a boolean, or be one of a list of "
                    "them.",
                )
            )
        normal[key] = sorted(set(values))
    return normal


def canonical(value: Any) -> str | None:
    """A scalar as text, equal for equal values of one kind ("1" for 1 and 1.0, "true" for True), or None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, (str, int, float)) and value == value:
        return json.dumps(value)
    return None


def checked_top_k(top_k: int) -> int:
    if isinstance(top_k, (int, np.integer)) and not isinstance(top_k, bool) and top_k >= 1:
        return int(top_k)
    raise StoreError(
        say(
            zh=f"top_k 必须是不小于 1 的整数，不能是 {top_k!r}。",
            en=f"top_k must be a whole number of at least 1, not {top_k!r}.",
        )
    )


def missing(id: Any) -> StoreError:
    return StoreError(
        say(
            zh=f"索引里没有编号 {id!r}，请检查拼写。",
            en=f"The index holds no {id!r}, please check the spelling.",
        )
    )


def repeated(id: str) -> StoreError:
    return StoreError(
        say(
            zh=f"编号 {id!r} 已经在索引里，请换一个编号，或用 update 更新它。",
            en=f"The id {id!r} is in the index already, please choose another, or change it with update.",
        )
    )


def unbound() -> StoreError:
    return StoreError(
        say(
            zh="索引还不知道向量来自哪个模型，请先调用 bind。",
            en="The index does not know yet which model its vectors come from, please call bind.",
        )
    )


def closed() -> StoreError:
    return StoreError(
        say(zh="这个索引已经关闭，请重新打开。", en="This index has been closed, please open it again.")
    )


def is_clean(text: str) -> bool:
    """No half of a surrogate pair, which no database takes, and no NUL, which ends a string in some."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
