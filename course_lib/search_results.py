"""What a search finds: a list of results that draws itself as a gallery in a notebook."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from typing import Any

from PIL import Image

from .images import open_image
from .settings import say
from .stores import Hit

SHOWN = 24  # pictures in a gallery, and lines in a printed list


class Result(dict):
    """One picture found, under the chapter's keys: `id`, `similarity` and `metadata`.

    The same as attributes; `score` is the similarity, and `thumbnail` a small PIL image, or None.
    """

    def __init__(self, hit: Hit):
        super().__init__(id=hit.id, similarity=hit.score, metadata=hit.metadata)
        self._jpeg = hit.thumbnail

    id = property(lambda self: self["id"])
    score = property(lambda self: self["similarity"])
    similarity = score
    metadata = property(lambda self: self["metadata"])

    @property
    def thumbnail(self) -> Image.Image | None:
        return None if self._jpeg is None else open_image(self._jpeg)

    def _repr_html_(self) -> str:
        return Results([self])._repr_html_()


class Results(list[Result]):
    """The results of one query, best first. `query` says what was asked, for the heading."""

    def __init__(self, results: Iterable[Result] = (), *, query: str = ""):
        super().__init__(results)
        self.query = query

    @property
    def ids(self) -> list[str]:
        return [result.id for result in self]

    def __repr__(self) -> str:
        lines = [f"{result.score:.3f}  {result.id}  {_line(result.metadata)}".rstrip() for result in self]
        return "\n".join([self._heading(), *lines[:SHOWN], *(["..."] if len(lines) > SHOWN else [])])

    def _repr_html_(self) -> str:
        cells = "".join(map(_cell, self[:SHOWN]))
        row = f'<div style="display:flex;flex-wrap:wrap;gap:10px;margin-top:6px">{cells}</div>'
        return f'<div style="font-size:13px"><b>{escape(self._heading())}</b>{row if cells else ""}</div>'

    def _heading(self) -> str:
        count = len(self)
        found = say(
            zh=f"{count} 个结果" if count else "没有结果",
            en=f"{count} result{'s' * (count != 1)}" if count else "No results",
        )
        return f"{self.query}: {found}" if self.query else found


def _cell(result: Result) -> str:
    if result._jpeg is None:
        picture = '<div style="width:112px;height:112px;background:#8883;border-radius:6px"></div>'
    else:
        data = base64.b64encode(result._jpeg).decode("ascii")
        picture = (
            f'<img src="data:image/jpeg;base64,{data}" alt="{escape(result.id)}" '
            'style="width:112px;height:112px;object-fit:contain;border-radius:6px">'
        )
    name, facts = escape(result.id), escape(_line(result.metadata))
    cut = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap"
    return (
        f'<div style="width:112px" title="{name} {facts}">{picture}<div style="{cut}">'
        f'<b>{result.score:.3f}</b> {name}</div><div style="{cut};opacity:.7">{facts}</div></div>'
    )


def _line(metadata: dict[str, Any]) -> str:
    text = ", ".join(f"{key}: {value}" for key, value in metadata.items())
    return text if len(text) <= 80 else text[:79] + "…"
