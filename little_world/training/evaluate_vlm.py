"""What mini-vlm answers rightly, measured on pictures that it was not trained on, answer by answer, exactly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..cards import megabytes
from ..charts import TRENDS, TYPES, draw_chart, random_chart
from ..dialogue import (
    CHART,
    DESCRIBE,
    READ,
    Turn,
    chart_record,
    describe,
    document_turns,
    outside_turns,
    scene_turns,
    several_turns,
)
from ..documents import draw_document, random_document
from ..drawing import draw
from ..scenes import Scene, mixed, pair, several, single
from .data import TEST, scene_rng
from .vlm_data import TURNS

TARGETS = {"questions on scenes": 0.95, "description exactly right": 0.90, "signs read exactly": 0.90, "chart JSON valid": 1.0,
           "chart type": 0.99, "chart trend": 0.95, "chart title": 0.90, "says it does not know": 0.90}  # fmt: skip
QUESTIONS = (
    "exists",
    "count",
    "color",
    "what",
    "where",
    "compare",
    "order",
    "background",
    "time",
    "reason",
    "absent",
)


@torch.no_grad()
def answer(
    model,
    processor,
    asked: list[tuple[list[Image.Image], str]],
    *,
    batch: int = 32,
    max_new_tokens: int = 120,
) -> list[str]:
    """Greedy answers to (pictures, question) pairs, in order. Questions of one length are batched together."""
    answers = [""] * len(asked)
    order = sorted(range(len(asked)), key=lambda i: (len(asked[i][0]), len(asked[i][1])))
    for start in range(0, len(order), batch):
        some = order[start : start + batch]
        texts = [
            processor.apply_chat_template(
                [{"role": "user", "content": [*({"type": "image"} for _ in asked[i][0]), {"type": "text", "text": asked[i][1]}]}],
                add_generation_prompt=True, tokenize=False)
            for i in some
        ]  # fmt: skip
        inputs = processor(
            images=[im for i in some for im in asked[i][0]], text=texts, padding=True, return_tensors="pt"
        ).to(model.device)
        inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
        output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        for i, text in zip(
            some, processor.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        ):
            answers[i] = text.strip()
    return answers


def _scene(index: int) -> Scene:
    """A held-out scene; a quarter each of one thing, several alike, a pair, and mixtures."""
    rng = scene_rng(TEST, 50_000_000 + index)
    return (single, several, pair, single)[index % 4](rng) if index % 12 else mixed(rng)


def _scene_questions(n: int, lang: str) -> list[tuple[list[Scene], Turn]]:
    """`n` questions, each sort of QUESTIONS equally often."""
    found: list[tuple[list[Scene], Turn]] = []
    index = 0
    while len(found) < n:
        wanted = QUESTIONS[len(found) % len(QUESTIONS)]
        rng = scene_rng(TEST, 60_000_000 + index)
        scenes = [_scene(index), _scene(index + 7)] if wanted == "compare" else [_scene(index)]
        turns = several_turns(scenes, lang, rng) if wanted == "compare" else scene_turns(scenes[0], lang, rng)
        fitting = [t for t in turns if t.sort == wanted]
        index += 1
        if fitting:
            found.append((scenes, fitting[int(rng.integers(len(fitting)))]))
    return found


def quick_look(model, processor, n: int = 96) -> dict[str, float]:
    """A glance during training."""
    asked = _scene_questions(n, "zh")[: n // 2] + _scene_questions(n, "en")[: n // 2]
    got = answer(
        model, processor, [([draw(s) for s in scenes], t.question) for scenes, t in asked], max_new_tokens=40
    )
    documents = [random_document(scene_rng(TEST, 70_000_000 + i)) for i in range(24)]
    read = answer(
        model, processor, [([draw_document(d)], READ[d.lang][0]) for d in documents], max_new_tokens=30
    )
    scenes = [_scene(i) for i in range(24)]
    told = answer(model, processor, [([draw(s)], DESCRIBE["en"][0]) for s in scenes], max_new_tokens=60)
    return {"questions": round(float(np.mean([a == t.answer for a, (_, t) in zip(got, asked)])), 3),
            "signs": round(float(np.mean([a == d.text for a, d in zip(read, documents)])), 3),
            "described": round(float(np.mean([a == describe(s, "en") for a, s in zip(told, scenes)])), 3)}  # fmt: skip


def by_sort(model, processor, lang: str, n: int = 440) -> dict[str, float]:
    """The share of short questions answered rightly, of all and of each sort of `QUESTIONS`."""
    asked = _scene_questions(n, lang)
    got = answer(
        model, processor, [([draw(s) for s in scenes], t.question) for scenes, t in asked], max_new_tokens=60
    )
    right = np.array([a == t.answer for a, (_, t) in zip(got, asked)])
    sorts = np.array([t.sort for _, t in asked])
    return {
        "questions on scenes": float(right.mean()),
        **{f"- {sort}": float(right[sorts == sort].mean()) for sort in QUESTIONS},
    }


def measure(model, processor, lang: str, n: int = 440) -> dict[str, float]:
    """All rows of the card's table for one language."""
    found = by_sort(model, processor, lang, n)

    scenes = [_scene(10_000 + i) for i in range(200)]
    told = answer(model, processor, [([draw(s)], DESCRIBE[lang][0]) for s in scenes], max_new_tokens=80)
    found["description exactly right"] = float(
        np.mean([a == describe(s, lang) for a, s in zip(told, scenes)])
    )

    documents = [random_document(scene_rng(TEST, 80_000_000 + i), lang=lang) for i in range(200)]
    read = answer(
        model, processor, [([draw_document(d)], READ[lang][0]) for d in documents], max_new_tokens=40
    )
    found["signs read exactly"] = float(np.mean([a == d.text for a, d in zip(read, documents)]))

    charts = [
        random_chart(scene_rng(TEST, 90_000_000 + i), type=TYPES[i % 3], trend=TRENDS[i % 4], lang=lang)
        for i in range(200)
    ]
    said = answer(model, processor, [([draw_chart(c)], CHART[lang][0]) for c in charts], max_new_tokens=140)
    records = [_parse(s) for s in said]
    truth = [chart_record(c, lang) for c in charts]
    found["chart JSON valid"] = float(np.mean([r is not None for r in records]))
    for key in ("type", "trend", "title", "key_insights", "data_summary"):
        found[f"chart {key}"] = float(
            np.mean([r is not None and r.get(key) == t[key] for r, t in zip(records, truth)])
        )

    outside = [outside_turns(lang, scene_rng(TEST, 95_000_000 + i), test=True)[0] for i in range(100)]
    got = answer(
        model,
        processor,
        [([draw(_scene(20_000 + i))], t.question) for i, t in enumerate(outside)],
        max_new_tokens=20,
    )
    found["says it does not know"] = float(np.mean([a == t.answer for a, t in zip(got, outside)]))

    turns = [
        document_turns(d, lang, scene_rng(TEST, 97_000_000 + i))[1] for i, d in enumerate(documents[:60])
    ]
    got = answer(
        model,
        processor,
        [([draw_document(d)], t.question) for d, t in zip(documents, turns)],
        max_new_tokens=60,
    )
    found["sign described exactly"] = float(np.mean([a == t.answer for a, t in zip(got, turns)]))
    groups = [[_scene(30_000 + 3 * i + j) for j in range(2 + i % 2)] for i in range(60)]
    stories = [several_turns(g, lang, scene_rng(TEST, 98_000_000 + i))[0] for i, g in enumerate(groups)]
    got = answer(
        model,
        processor,
        [([draw(s) for s in g], t.question) for g, t in zip(groups, stories)],
        max_new_tokens=120,
    )
    found["story of 2 or 3 pictures exactly right"] = float(
        np.mean([a == t.answer for a, t in zip(got, stories)])
    )
    return found


def _parse(text: str) -> dict | None:
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return (
        record
        if isinstance(record, dict)
        and {"title", "type", "trend", "key_insights", "data_summary"} <= set(record)
        else None
    )


def table(folder: Path) -> dict[str, dict[str, float]]:
    """The measured rows of the stored model: {row: {"zh": share, "en": share}}."""
    from transformers import LlavaForConditionalGeneration, LlavaProcessor

    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = LlavaProcessor.from_pretrained(folder)
    by_language = {lang: measure(model, processor, lang) for lang in ("zh", "en")}
    return {row: {lang: by_language[lang][row] for lang in by_language} for row in by_language["zh"]}


def markdown(rows: dict[str, dict[str, float]]) -> str:
    from .evaluate_clip import markdown as as_table

    return as_table(rows, TARGETS)


def write_card(
    folder: Path, rows: dict[str, dict[str, float]], *, seconds: float, stages, reading, trained_on: str
) -> None:
    """README.md (the model card) and metrics.json, from what was measured."""
    (folder / "metrics.json").write_text(
        json.dumps(
            {"rows": rows, "seconds": round(seconds), "stages": [stage.__dict__ for stage in stages]},
            indent=1,
        )
    )
    (folder / "README.md").write_text(
        f"""---
license: apache-2.0
language: [zh, en]
library_name: transformers
pipeline_tag: image-text-to-text
---
# mini-vlm

A bilingual vision-language model for Little World, trained from scratch by this project:
`LlavaForConditionalGeneration` and `LlavaProcessor` with a chat template, {megabytes(folder):.1f} MB in half precision. It answers
questions about drawn scenes, signs and charts, one picture or several; it knows nothing else and says so.

{markdown(rows)}

Every answer is compared with the ground truth letter by letter, decoded greedily. How each row is measured:
`little_world/training/evaluate_vlm.py`. "Says it does not know" asks about what is not in the world, in wordings that
training never showed.

- Its vision tower, mini-clip's, first learned to name what is in a picture: {sum(s.steps for s in reading):,} batches of {reading[0].batch_size}
  pictures (`little_world/training/vlm_tower.py`). Then the whole was trained in {len(stages)} stages, with {", ".join(f"{stage.steps:,}" for stage in stages)} batches of {stages[0].batch_size}
  conversations of up to {TURNS} questions; {seconds / 60:.0f} minutes on {trained_on} in all: `python -m little_world.training.vlm`
- This table again: `python -m little_world.training.vlm --evaluate`
""",
        encoding="utf-8",
    )
