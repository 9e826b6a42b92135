"""The fixed gallery in `data/world`: scenes with bilingual captions and questions, signs, notices and charts, all
with their ground truth.

`python -m little_world.gallery` makes it anew, byte for byte: everything follows from one seed.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from .captions import FULL, caption, questions
from .charts import TRENDS, TYPES, Chart, draw_chart, random_chart
from .documents import Document, draw_document, random_document
from .paths import WORLD
from .scenes import (
    BACKGROUNDS,
    COLORED,
    COLORS,
    HELD_OUT,
    KINDS,
    PLACES,
    TIMES,
    Scene,
    distinct_scenes,
    landscape,
    mixed,
    pair,
    several,
    single,
)

SEED = 28


@dataclass(frozen=True)
class Example:
    """One picture of the gallery. `part`: single, several, pair, mixed, landscape or held_out."""

    id: str
    part: str
    scene: Scene
    captions: dict[str, str]
    questions: dict[str, list[dict[str, str]]]
    path: Path

    @cached_property
    def image(self) -> Image.Image:
        """The picture, 128 x 128 RGB."""
        return Image.open(self.path).convert("RGB")

    @property
    def kind(self) -> str | None:
        """The kind of its things if they are of one kind, else None."""
        kinds = {t.kind for t in self.scene.things}
        return kinds.pop() if len(kinds) == 1 else None

    @property
    def color(self) -> str | None:
        """The colour of its things if they are of one colour, else None."""
        colors = {t.color for t in self.scene.things}
        return colors.pop() if len(colors) == 1 else None


@dataclass(frozen=True)
class Sheet:
    """A sign, notice or chart of the gallery; `truth` is what is written or plotted there."""

    id: str
    truth: Document | Chart
    path: Path

    @cached_property
    def image(self) -> Image.Image:
        """The picture, 128 x 128 RGB."""
        return Image.open(self.path).convert("RGB")


def _load_sheets(name: str, sort: type, lang: str | None) -> list[Sheet]:
    with open(WORLD / f"{name}.jsonl", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return [
        Sheet(r["id"], sort.from_dict(r["truth"]), WORLD / r["file"])
        for r in records
        if lang in (None, r["truth"]["lang"])
    ]


def load_documents(lang: str | None = None) -> list[Sheet]:
    """The gallery's signs and notices, of both languages or of one."""
    return _load_sheets("documents", Document, lang)


def load_charts(lang: str | None = None) -> list[Sheet]:
    """The gallery's charts, of both languages or of one."""
    return _load_sheets("charts", Chart, lang)


def load_gallery(part: str | None = None) -> list[Example]:
    """The gallery's pictures in order, or those of one part. Pictures are opened when they are looked at."""
    examples = []
    with open(WORLD / "captions.jsonl", encoding="utf-8") as lines:
        for line in lines:
            r = json.loads(line)
            if part in (None, r["part"]):
                examples.append(Example(r["id"], r["part"], Scene.from_dict(r["scene"]), r["captions"], r["questions"],
                                        WORLD / r["file"]))  # fmt: skip
    return examples


def _scenes(rng: np.random.Generator) -> list[tuple[str, Scene]]:
    """About 240 scenes in which each kind, colour, place, background and time occurs evenly."""
    found: list[tuple[str, Scene]] = []
    deck = lambda options, n: [options[i % len(options)] for i in rng.permutation(n)]  # noqa: E731
    n = 96  # four of each kind
    kinds = deck(KINDS, n)
    settings = lambda n: zip(deck(BACKGROUNDS, n), deck(TIMES, n))  # noqa: E731
    for kind, place, (background, time), color in zip(kinds, deck(PLACES, n), settings(n), deck(COLORS, n)):
        allowed = kind in COLORED and (kind, color) not in HELD_OUT
        found.append(("single", single(rng, kind=kind, color=color if allowed else None, place=place,
                                       background=background, time=time)))  # fmt: skip
    for kind, count, (background, time) in zip(deck(KINDS, 48), deck((2, 3, 4), 48), settings(48)):
        found.append(("several", several(rng, kind=kind, count=count, background=background, time=time)))
    for relation, (background, time) in zip(deck(("left_of", "above"), 48), settings(48)):
        found.append(("pair", pair(rng, relation=relation, background=background, time=time)))
    found += [("mixed", s) for s in distinct_scenes(rng, 16, mixed)]
    found += [
        ("landscape", landscape(rng, background=b, time=t))
        for b in BACKGROUNDS
        for t in TIMES[: 2 + (b != "room")]
    ]
    for kind, color in sorted(HELD_OUT):
        found.append(("held_out", single(rng, kind=kind, color=color, pairs=[(kind, color)], size="large")))
    return found


def _sheets(rng: np.random.Generator) -> dict[str, list]:
    """72 signs and notices and 48 charts, half in either language, every sort of chart and trend equally often."""
    sides = ("zh", "en")
    documents = [
        random_document(rng, lang=sides[i % 2], style=("sign", "sign", "notice")[i // 2 % 3])
        for i in range(72)
    ]
    charts = [
        random_chart(rng, lang=sides[i % 2], type=TYPES[i // 2 % 3], trend=TRENDS[i // 6 % 4])
        for i in range(48)
    ]
    return {"documents": documents, "charts": charts}


def _save(image: Image.Image, path: Path) -> None:
    temporary = path.with_suffix(".part")
    image.save(temporary, format="PNG", optimize=True)
    os.replace(temporary, path)


def _write(records: list[dict], path: Path) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(
        "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8", newline="\n"
    )
    os.replace(temporary, path)


def build(folder: Path = WORLD) -> int:
    """Draw the gallery into `folder`; returns the number of pictures."""
    from .drawing import draw

    rng = np.random.default_rng(SEED)
    (folder / "scenes").mkdir(parents=True, exist_ok=True)
    records = []
    for i, (part, scene) in enumerate(_scenes(rng)):
        name = f"scenes/{i:03d}_{part}.png"
        _save(draw(scene), folder / name)
        records.append({
            "id": f"{i:03d}", "part": part, "file": name, "seed": SEED, "scene": scene.to_dict(),
            "captions": {lang: caption(scene, lang, plan=FULL) for lang in ("zh", "en")},
            "questions": {lang: [q.__dict__ for q in questions(scene, lang, np.random.default_rng(i))] for lang in ("zh", "en")},
        })  # fmt: skip
    _write(records, folder / "captions.jsonl")
    count = len(records)
    for sort, sheets in _sheets(np.random.default_rng(SEED + 1)).items():
        (folder / sort).mkdir(exist_ok=True)
        records = []
        for i, truth in enumerate(sheets):
            name = f"{sort}/{i:03d}_{getattr(truth, 'style', None) or truth.type}_{truth.lang}.png"
            _save(draw_document(truth) if sort == "documents" else draw_chart(truth), folder / name)
            records.append({"id": f"{i:03d}", "file": name, "truth": truth.to_dict()})
        _write(records, folder / f"{sort}.jsonl")
        count += len(records)
    return count


if __name__ == "__main__":
    print(f"{build()} pictures in {WORLD.name}/")
