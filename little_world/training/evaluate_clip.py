"""What mini-clip can and cannot do, measured on scenes that it was not trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from .. import words
from ..captions import FULL, caption
from ..cards import megabytes
from ..drawing import draw
from ..scenes import (
    BACKGROUNDS,
    COLORED,
    COLORS,
    HELD_OUT,
    KINDS,
    PLACES,
    Scene,
    distinct_scenes,
    pair,
    several,
    single,
)
from .data import TEST, scene_rng

TARGETS = {
    "kind": 0.99,
    "color": 0.97,
    "count": 0.95,
    "place": 0.95,
    "background": 0.99,
    "retrieval R@1": 0.90,
}
_TEMPLATE = {"zh": "图中有{}", "en": "a picture of {}"}


def embed_images(model, processor, scenes: list[Scene], batch: int = 128) -> np.ndarray:
    """Unit vectors `(n, d)` of the drawn scenes."""
    found = []
    for i in range(0, len(scenes), batch):
        inputs = processor(images=[draw(s) for s in scenes[i : i + batch]], return_tensors="pt").to(
            model.device
        )
        found.append(model.get_image_features(**inputs))
    return unit(found)


def embed_texts(model, processor, texts: list[str], batch: int = 256) -> np.ndarray:
    """Unit vectors `(n, d)` of texts."""
    found = []
    for i in range(0, len(texts), batch):
        inputs = processor(text=texts[i : i + batch], padding=True, truncation=True, return_tensors="pt").to(
            model.device
        )
        found.append(model.get_text_features(**inputs))
    return unit(found)


def unit(outputs: list) -> np.ndarray:
    """What `get_image_features` or `get_text_features` returned, batch by batch, as unit vectors `(n, d)`."""
    vectors = torch.cat(
        [getattr(o, "pooler_output", o) for o in outputs]
    ).float()  # transformers 5 wraps the tensor
    return torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy()


def _accuracy(model, processor, scenes: list[Scene], choices: list[list[str]], truth: list[int]) -> float:
    """Share of scenes whose true text is the nearest of its own choices."""
    images = embed_images(model, processor, scenes)
    unique = sorted({t for some in choices for t in some})
    texts = dict(zip(unique, embed_texts(model, processor, unique)))
    hits = [
        int(np.argmax(np.stack([texts[t] for t in some]) @ image)) == right
        for image, some, right in zip(images, choices, truth)
    ]
    return float(np.mean(hits))


def phrase(lang: str, kind: str, color: str | None = None, count: int = 1) -> str:
    """The sentence that stands for a label when mini-clip is asked."""
    return _TEMPLATE[lang].format(words.group_phrase(kind, color, count, lang))


@torch.no_grad()
def zero_shot_kind(model, processor, lang: str, per_kind: int = 40) -> float:
    """Zero-shot accuracy over the 24 kinds, one thing of any size and place in each scene."""
    scenes = [single(scene_rng(TEST, i), kind=kind) for i, kind in enumerate(KINDS * per_kind)]
    labels = [phrase(lang, k) for k in KINDS]
    return _accuracy(
        model, processor, scenes, [labels] * len(scenes), [KINDS.index(s.things[0].kind) for s in scenes]
    )


@torch.no_grad()
def measure(model, processor, lang: str, n: int = 1000) -> dict[str, float]:
    """All rows of the card's table for one language."""
    rng = lambda offset, i: scene_rng(TEST, 1_000_000 * offset + i)  # noqa: E731
    found = {"kind": zero_shot_kind(model, processor, lang)}

    scenes = [single(rng(1, i), kind=COLORED[i % len(COLORED)]) for i in range(n)]
    found["color"] = _accuracy(model, processor, scenes, [[phrase(lang, s.things[0].kind, c) for c in COLORS] for s in scenes],
                               [COLORS.index(s.things[0].color) for s in scenes])  # fmt: skip

    scenes = [
        several(rng(2, i), count=i % 4 + 1) if i % 4 else single(rng(2, i), size="small") for i in range(n)
    ]
    found["count"] = _accuracy(model, processor, scenes, [[phrase(lang, s.things[0].kind, None, c) for c in (1, 2, 3, 4)] for s in scenes],
                               [len(s.things) - 1 for s in scenes])  # fmt: skip

    scenes = [single(rng(3, i), place=PLACES[i % 5]) for i in range(n)]
    sentence = {"zh": "图中{place}有{what}", "en": "a picture of {what} {place}"}[lang]
    found["place"] = _accuracy(
        model, processor, scenes,
        [[sentence.format(what=words.group_phrase(s.things[0].kind, None, 1, lang), place=words.PLACE[lang][p]) for p in PLACES] for s in scenes],
        [PLACES.index(s.place) for s in scenes])  # fmt: skip

    scenes = [single(rng(4, i), background=BACKGROUNDS[i % 7]) for i in range(n)]
    sentence = {"zh": "{place}有{what}", "en": "a picture of {what} {place}"}[lang]
    found["background"] = _accuracy(
        model, processor, scenes,
        [[sentence.format(what=words.group_phrase(s.things[0].kind, None, 1, lang), place=words.BACKGROUND[lang][b]) for b in BACKGROUNDS] for s in scenes],
        [BACKGROUNDS.index(s.background) for s in scenes])  # fmt: skip

    hits = []
    for round_ in range(5):
        scenes = distinct_scenes(rng(5, round_), 200)
        images = embed_images(model, processor, scenes)
        texts = embed_texts(model, processor, [caption(s, lang, plan=FULL) for s in scenes])
        hits.append(np.mean((texts @ images.T).argmax(1) == np.arange(200)))
    found["retrieval R@1"] = float(np.mean(hits))

    scenes = [pair(rng(6, i), relation=("left_of", "above")[i % 2]) for i in range(n)]
    swapped = [Scene((s.things[1], s.things[0]), s.background, s.time, relation=s.relation) for s in scenes]
    found["relation (which of two orders)"] = _accuracy(
        model, processor, scenes, [[caption(a, lang), caption(b, lang)] for a, b in zip(scenes, swapped)], [0] * n)  # fmt: skip

    labels = {(k, c): phrase(lang, k, c) for k in COLORED for c in COLORS}
    keys = list(labels)
    seen = [single(rng(7, i), kind=COLORED[i % len(COLORED)]) for i in range(n)]
    unseen = [
        single(rng(8, i), pairs=[p], kind=p[0], color=p[1]) for i, p in enumerate(sorted(HELD_OUT) * 30)
    ]
    for name, scenes in (
        ("color and kind, pairs seen in training", seen),
        ("color and kind, pairs never seen", unseen),
    ):
        found[name] = _accuracy(model, processor, scenes, [list(labels.values())] * len(scenes),
                                [keys.index((s.things[0].kind, s.things[0].color)) for s in scenes])  # fmt: skip
    return found


def table(folder: Path) -> dict[str, dict[str, float]]:
    """The measured rows of the stored model: {row: {"zh": share, "en": share}}."""
    from transformers import CLIPModel, CLIPProcessor

    model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    processor = CLIPProcessor.from_pretrained(folder)
    by_language = {lang: measure(model, processor, lang) for lang in ("zh", "en")}
    return {row: {lang: by_language[lang][row] for lang in by_language} for row in by_language["zh"]}


def markdown(rows: dict[str, dict[str, float]], targets: dict[str, float] = TARGETS) -> str:
    """The measured rows as a table in Markdown, beside their targets."""
    lines = ["| measured on held-out scenes | 中文 | English | target |", "|---|---|---|---|"]
    for row, shares in rows.items():
        target = f"{targets[row]:.0%}" if row in targets else "-"
        lines.append(f"| {row} | {shares['zh']:.1%} | {shares['en']:.1%} | {target} |")
    return "\n".join(lines)


def write_card(
    folder: Path, rows: dict[str, dict[str, float]], *, seconds: float, stages, scenes: int, trained_on: str
) -> None:
    """README.md (the model card) and metrics.json, from what was measured."""
    (folder / "metrics.json").write_text(
        json.dumps(
            {
                "rows": rows,
                "seconds": round(seconds),
                "scenes": scenes,
                "stages": [stage.__dict__ for stage in stages],
            },
            indent=1,
        )
    )
    (folder / "README.md").write_text(
        f"""---
license: apache-2.0
language: [zh, en]
library_name: transformers
pipeline_tag: zero-shot-image-classification
---
# mini-clip

A bilingual CLIP for Little World, trained from scratch by this project: `CLIPModel` and `CLIPProcessor`, {megabytes(folder):.1f} MB in
half precision. It knows the drawn world of this course and nothing else: a photograph is foreign to it.

{markdown(rows)}

How each row is measured: `little_world/training/evaluate_clip.py`. Each is zero-shot with a sentence as the label
("{_TEMPLATE["zh"].format("一只猫")}", "{_TEMPLATE["en"].format("a cat")}"); colour, count, place and background are asked with the kind
given; retrieval finds the picture of a full caption among 200 that differ in meaning (mean of five rounds).

- Trained in {len(stages)} stages, each on {scenes:,} scenes of one of {len({stage.stream for stage in stages})} streams: {", then ".join(f"{stage.steps:,} batches of {stage.batch_size}" for stage in stages)}.
  {seconds / 60:.0f} minutes on {trained_on}: `python -m little_world.training.clip`
- This table again: `python -m little_world.training.clip --evaluate`
""",
        encoding="utf-8",
    )
