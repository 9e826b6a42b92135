"""What mini-sd paints of what it is asked for: prompts of held-out scenes, pictures judged by mini-clip."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from PIL import Image

from .. import words
from ..captions import FULL, caption
from ..cards import megabytes
from ..drawing import contact_sheet, draw
from ..scenes import COLORED, COLORS, HELD_OUT, KINDS, Scene, several, single
from .data import TEST, scene_rng
from .evaluate_clip import markdown as as_table
from .evaluate_clip import phrase
from .judge import Judge
from .sd_data import as_tensor

TARGETS = {"kind": 0.90, "color": 0.85, "background": 0.95, "kind after the autoencoder alone": 0.97}
GUIDANCE, STEPS = 5.0, 20
GUIDANCES = (1.0, 3.0, 5.0, 7.5)


# ------------------------------------------------------------------------------------------------- generating


def paint(
    pipe: StableDiffusionPipeline,
    prompts: list[str],
    *,
    seed: int = 0,
    negative: list[str] | None = None,
    guidance: float = GUIDANCE,
    batch: int = 24,
) -> list[Image.Image]:
    """A picture a prompt, 128 x 128 in 20 steps; picture i is painted from seed + i."""
    images: list[Image.Image] = []
    for i in range(0, len(prompts), batch):
        some = prompts[i : i + batch]
        generators = [torch.Generator().manual_seed(seed + i + j) for j in range(len(some))]
        images += pipe(
            some,
            negative_prompt=negative[i : i + batch] if negative else None,
            generator=generators,
            num_inference_steps=STEPS,
            guidance_scale=guidance,
            height=128,
            width=128,
        ).images
    return images


def held_out_scenes(n: int, offset: int = 0) -> list[Scene]:
    """Scenes of one thing, every kind equally often, from the stream that nothing is trained on."""
    return [single(scene_rng(TEST, 200_000_000 + offset + i), kind=KINDS[i % len(KINDS)]) for i in range(n)]


def prompts_for(scenes: list[Scene], lang: str) -> list[str]:
    """Captions that say everything, in any of the phrasings."""
    return [caption(s, lang, plan=FULL, rng=scene_rng(TEST, 210_000_000 + i)) for i, s in enumerate(scenes)]


def save_picture(image: Image.Image, path: Path, **options: Any) -> None:
    temporary = path.with_suffix(".part")
    image.save(temporary, path.suffix[1:].upper(), optimize=True, **options)
    os.replace(temporary, path)


def glance(pipe: StableDiffusionPipeline, judge: Judge, sheet: Path, n: int = 48) -> dict[str, float]:
    """A look during training: `n` pictures of fixed prompts and seeds in both languages, judged, kept as a sheet."""
    images: list[Image.Image] = []
    found: dict[str, float] = {}
    for offset, lang in enumerate(("zh", "en")):
        scenes = held_out_scenes(n // 2, offset * 1000)
        images += (painted := paint(pipe, prompts_for(scenes, lang)))
        for fact, share in judge.shares(painted, scenes, lang, ("kind", "color", "background")).items():
            found[fact] = found.get(fact, 0.0) + share / 2
    save_picture(contact_sheet(images, 8), sheet)
    return {fact: round(share, 3) for fact, share in found.items()}


# --------------------------------------------------------------------------------------------- the autoencoder


@torch.no_grad()
def reconstructed(vae: AutoencoderKL, images: list[Image.Image], batch: int = 24) -> list[Image.Image]:
    """The pictures after encoding and decoding."""
    found: list[Image.Image] = []
    for i in range(0, len(images), batch):
        wanted = as_tensor(np.stack([np.asarray(im) for im in images[i : i + batch]])).to(vae.device)
        made = vae.decode(vae.encode(wanted).latent_dist.mean).sample
        pixels = ((made + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        found += [Image.fromarray(p) for p in pixels]
    return found


def psnr(made: list[Image.Image], wanted: list[Image.Image]) -> float:
    """Mean peak signal-to-noise ratio in dB."""
    errors = [np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2) for a, b in zip(made, wanted)]
    return float(np.mean([10 * np.log10(255**2 / max(e, 1e-9)) for e in errors]))


def look_at_vae(vae: AutoencoderKL, judge: Judge, sheet: Path, n: int = 96) -> dict[str, float]:
    """A look during training: quality on held-out scenes, and a sheet of originals above what came back."""
    scenes = held_out_scenes(n)
    drawn = [draw(s) for s in scenes]
    made = reconstructed(vae, drawn)
    save_picture(
        contact_sheet([im for i in range(0, 24, 8) for row in (drawn, made) for im in row[i : i + 8]], 8),
        sheet,
    )
    shares = judge.shares(made, scenes, "en", ("kind", "color"))
    return {"psnr": round(psnr(made, drawn), 2), **{fact: round(share, 3) for fact, share in shares.items()}}


# ------------------------------------------------------------------------------------------------- the table


def measure(pipe: StableDiffusionPipeline, judge: Judge, lang: str, n: int = 240) -> dict[str, float]:
    """All rows of the card's table for one language, each from at least `n` pictures."""
    scenes = held_out_scenes(n)
    prompts, drawn = prompts_for(scenes, lang), [draw(s) for s in scenes]
    by_guidance = {g: judge.shares(paint(pipe, prompts, guidance=g), scenes, lang) for g in GUIDANCES}
    found = dict(by_guidance[GUIDANCE])

    groups = [several(scene_rng(TEST, 220_000_000 + i), count=2 + i % 3) if i % 4 else
              single(scene_rng(TEST, 220_000_000 + i), size="small") for i in range(n)]  # fmt: skip
    found["count"] = judge.shares(
        paint(pipe, prompts_for(groups, lang), seed=10_000), groups, lang, ("count",)
    )["count"]

    pairs = sorted(HELD_OUT)
    rare = [single(scene_rng(TEST, 230_000_000 + i), pairs=[p], kind=p[0], color=p[1])
            for i, p in enumerate(pairs[i % len(pairs)] for i in range(n))]  # fmt: skip
    painted = judge.shares(paint(pipe, prompts_for(rare, lang), seed=20_000), rare, lang, ("kind", "color"))
    ceiling = judge.shares([draw(s) for s in rare], rare, lang, ("kind", "color"))
    for fact in ("kind", "color"):
        found[f"{fact}, pairs of color and kind never seen"] = painted[fact]
        found[f"{fact}, such pairs as the world draws them"] = ceiling[fact]

    for guidance, shares in by_guidance.items():
        for fact in ("kind", "color", "background"):
            found[f"{fact}, guidance {guidance:g}"] = shares[fact]

    asked = [(COLORED[i % len(COLORED)], COLORS[i % len(COLORS)]) for i in range(n)]
    plain = [phrase(lang, kind) for kind, _ in asked]
    unwanted = [words.COLOR[lang][color] for _, color in asked]
    choices = [[phrase(lang, kind, c) for c in COLORS] for kind, _ in asked]
    for name, negative in (
        ("color left open: any one color shows", None),
        ("the same with that color as the negative prompt", unwanted),
    ):
        shown = judge.answers(judge.embed(paint(pipe, plain, seed=30_000, negative=negative)), choices)
        found[name] = float(np.mean(shown == np.array([COLORS.index(color) for _, color in asked])))

    made = reconstructed(pipe.vae, drawn)
    for fact, share in judge.shares(made, scenes, lang, ("kind", "color")).items():
        found[f"{fact} after the autoencoder alone"] = share
    for fact, share in judge.shares(drawn, scenes, lang).items():
        found[f"{fact}, the same scenes as the world draws them"] = share
    return found


def table(folder: Path, n: int = 240) -> dict:
    """What is measured of the stored model: `rows` {row: {"zh": share, "en": share}} and single `numbers`."""
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    judge = Judge()
    by_language = {lang: measure(pipe, judge, lang, n) for lang in ("zh", "en")}
    drawn = [draw(s) for s in held_out_scenes(n)]
    prompt = prompts_for(held_out_scenes(1), "en")
    first = paint(pipe, prompt)[0]
    seconds = []
    for _ in range(3):  # the quickest: the others tell of what else the machine did
        start = time.perf_counter()
        again = paint(pipe, prompt)[0]
        seconds.append(time.perf_counter() - start)
    numbers = {
        "autoencoder PSNR in dB": round(psnr(reconstructed(pipe.vae, drawn), drawn), 2),
        "seconds for one picture": round(min(seconds), 2),
        "threads": torch.get_num_threads(),
        "same seed, same picture": first.tobytes() == again.tobytes(),
        "pictures a row": n,
    }
    return {
        "rows": {row: {lang: by_language[lang][row] for lang in by_language} for row in by_language["zh"]},
        "numbers": numbers,
    }


def markdown(rows: dict[str, dict[str, float]]) -> str:
    return as_table(rows, TARGETS)


def samples(pipe: StableDiffusionPipeline, path: Path) -> None:
    """A sheet of 24 pictures, every kind once, prompts in both languages by turns."""
    scenes = held_out_scenes(len(KINDS), 5000)
    both = list(zip(prompts_for(scenes, "zh"), prompts_for(scenes, "en")))
    prompts = [texts[i % 2] for i, texts in enumerate(both)]
    sheet = contact_sheet(paint(pipe, prompts, seed=40_000), 8)
    save_picture(sheet.quantize(255), path)  # flat pictures: a third of the bytes


def write_card(folder: Path, measured: dict, *, setup, seconds: dict[str, float], trained_on: str) -> None:
    """README.md (the model card), metrics.json and samples.png, from what was measured."""
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    samples(pipe, folder / "samples.png")
    parts = {"UNet": pipe.unet, "autoencoder": pipe.vae, "text encoder": pipe.text_encoder}
    sizes = ", ".join(
        f"{name} {sum(p.numel() for p in part.parameters()) / 1e6:.1f} M" for name, part in parts.items()
    )
    numbers = measured["numbers"]
    record = {
        **measured,
        "seconds": {part: round(s) for part, s in seconds.items()},
        "autoencoder": [asdict(stage) for stage in setup.vae_stages],
        "decoder": asdict(setup.decoder_stage),
        "stages": [asdict(stage) for stage in setup.stages],
        "latents": setup.latents,
    }
    same = "yes" if numbers["same seed, same picture"] else "no"
    times = ", ".join(f"{part} {s / 60:.1f}" for part, s in seconds.items())
    steps = ", ".join(f"{stage.steps:,}" for stage in setup.stages)
    (folder / "metrics.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    (folder / "README.md").write_text(
        f"""---
license: apache-2.0
language: [zh, en]
library_name: diffusers
pipeline_tag: text-to-image
---
# mini-sd

A bilingual Stable Diffusion for Little World, trained from scratch by this project: a `StableDiffusionPipeline`,
{megabytes(folder):.1f} MB in half precision (parameters: {sizes}). It paints 128 x 128 pictures
of the drawn world of this course and knows nothing else. There is no safety checker: it has seen nothing to be kept back.

![samples](samples.png)

{markdown(measured["rows"])}

Each row is the share of {numbers["pictures a row"]} pictures in which mini-clip, zero-shot, recognises what was asked for:
{STEPS} steps of DDIM, guidance {GUIDANCE:g} where none is named, captions of held-out scenes as prompts. The last rows tell how
often the judge itself is right about such scenes as the world draws them. How: `little_world/training/evaluate_sd.py`.

- One picture of 128 x 128 in {STEPS} steps: {numbers["seconds for one picture"]:.2f} s (CPU threads: {numbers["threads"]}).
- Same seed, same picture: {same}.
- The autoencoder alone: {numbers["autoencoder PSNR in dB"]:.1f} dB PSNR on held-out scenes.
- Trained in {sum(seconds.values()) / 60:.0f} minutes on {trained_on}: {times}.
  {len(setup.stages)} stages of {steps} batches of {setup.stages[0].batch_size}: `python -m little_world.training.sd`
- This table again: `python -m little_world.training.sd --evaluate`
""",
        encoding="utf-8",
    )
