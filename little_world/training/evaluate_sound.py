"""How good mini-sound is: sounds named by texts it was not trained on, alone and together with the picture, in noise."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from course_lib.clip import CLIPService
from course_lib.hearing import RATE, SoundEncoder
from course_lib.video_fusion import log_probabilities
from course_lib.video_sound import Sound

from ..cards import megabytes
from ..clip_drawing import draw_moment
from ..clip_sound import SOUND_OF
from ..clips import Clip
from .evaluate_clip import phrase
from .sound import SECONDS, SOUNDING, TEST, clip_of, noisy, tracks

CALIBRATION = 913  # a stream of its own
COUNT = 300  # clips of a stream, of which two thirds show what makes a sound
# (grain of the picture, sound above noise in dB)
CONDITIONS = {"clean": (0.0, 40.0), "grainy picture": (0.3, 40.0), "noisy sound": (0.0, -22.0),
              "both somewhat spoilt": (0.2, -18.0)}  # fmt: skip


def grainy(picture: np.ndarray, grain: float, rng: np.random.Generator) -> np.ndarray:
    """The picture with noise of that standard deviation, where 1 is the way from black to white."""
    spoilt = picture + rng.standard_normal(picture.shape) * grain * 255
    return spoilt.clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=2)
def _pictures(stream: int) -> tuple[list[Clip], np.ndarray]:
    """The clips of a stream that have a sounding thing, and two pictures of each, (n, 2, H, W, 3)."""
    clips = [clip_of(i, stream) for i in range(COUNT) if i % 3]
    moments = (0.3 * SECONDS, 0.7 * SECONDS)
    return clips, np.stack([[draw_moment(clip.shots[0].scene(t)) for t in moments] for clip in clips])


def cosines(
    service: CLIPService, ears: SoundEncoder, stream: int, grain: np.ndarray, decibels: np.ndarray, lang: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What pictures and sounds of a stream say about each sounding kind, (n, kinds) each, and the truth (n,)."""
    clips, pictures = _pictures(stream)
    rng = np.random.default_rng(stream)
    sounds = tracks(COUNT, stream)[[i for i in range(COUNT) if i % 3]]
    texts = service.encode_text([phrase(lang, kind) for kind in SOUNDING], progress=False)
    spoilt = [grainy(picture, g, rng) for two, g in zip(pictures, grain) for picture in two]
    seen = service.encode_image(spoilt, progress=False).reshape(len(clips), 2, -1) @ texts.T
    heard = [ears.encode_sound(Sound(noisy(s, d, rng), RATE)) @ texts.T for s, d in zip(sounds, decibels)]
    truth = np.array([SOUNDING.index(clip.shots[0].actors[0].kind) for clip in clips])
    return seen.mean(axis=1), np.stack([h.mean(axis=0) for h in heard]), truth


def calibrate(folder: Path) -> dict[str, list[float]]:
    """How far picture and sound are to be trusted: (a, b) of `log_probabilities`, from examples spoilt at random."""
    service = CLIPService("mini-clip")
    ears, n = SoundEncoder(service, str(folder)), COUNT - COUNT // 3
    rng = np.random.default_rng(CALIBRATION)
    grain, decibels = rng.uniform(0, 0.6, n) * (rng.random(n) < 0.75), rng.uniform(-32, 30, n)
    seen, heard, truth = cosines(service, ears, CALIBRATION, grain, decibels, "en")
    return {"picture": fit_confidence(seen, truth), "sound": fit_confidence(heard, truth)}


def fit_confidence(found: np.ndarray, truth: np.ndarray) -> list[float]:
    """The (a, b) under which the truth is most likely."""
    values, best = (
        torch.from_numpy(found.astype(np.float32)),
        torch.from_numpy(found.max(axis=1).astype(np.float32)),
    )
    ab = torch.tensor([2.0, 1.0], requires_grad=True)
    optimizer = torch.optim.LBFGS([ab], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        scale = torch.exp(ab[0] + ab[1] * best)
        value = torch.nn.functional.cross_entropy(values * scale[:, None], torch.from_numpy(truth))
        value.backward()
        return value

    optimizer.step(closure)
    return [round(v, 3) for v in ab.detach().tolist()]


def table(folder: Path) -> dict[str, dict[str, float]]:
    """The measured rows: {row: {column: share}}."""
    service = CLIPService("mini-clip")
    ears, n = SoundEncoder(service, str(folder)), COUNT - COUNT // 3
    rows: dict[str, dict[str, float]] = {}
    for lang in ("zh", "en"):
        for name, (grain, decibels) in CONDITIONS.items():
            seen, heard, truth = cosines(service, ears, TEST, np.full(n, grain), np.full(n, decibels), lang)
            if name == "clean":
                same = np.array([[SOUND_OF[a] == SOUND_OF[b] for a in SOUNDING] for b in SOUNDING])
                rows[f"{lang}: which sound, of {len(set(SOUND_OF.values()))}"] = {
                    "sound": float(same[heard.argmax(axis=1), truth].mean())
                }
            said = {"picture": log_probabilities(seen, ears.confidence["picture"]),
                    "sound": log_probabilities(heard, ears.confidence["sound"])}  # fmt: skip
            said["both"] = said["picture"] + said["sound"]
            rows[f"{lang}: which kind, of {len(SOUNDING)}, {name}"] = {
                who: float((logits.argmax(axis=1) == truth).mean()) for who, logits in said.items()
            }
    return rows


def markdown(rows: dict[str, dict[str, float]]) -> str:
    """The measured rows as a table in Markdown."""
    columns = ("picture", "sound", "both")
    lines = [f"| measured on held-out clips | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    for row, shares in rows.items():
        cells = (f"{shares[name]:.1%}" if name in shares else "" for name in columns)
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_card(
    folder: Path, rows: dict[str, dict[str, float]], *, seconds: float, recipe, clips: int
) -> None:
    """README.md (the model card) and metrics.json, from what was measured."""
    metrics = {"rows": rows, "seconds": round(seconds), "clips": clips, "recipe": recipe.__dict__}
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    told = "; ".join(
        f"{name}, grain {grain} and sound {db:+.0f} dB" for name, (grain, db) in CONDITIONS.items()
    )
    (folder / "README.md").write_text(
        f"""---
license: apache-2.0
language: [zh, en]
library_name: pytorch
pipeline_tag: zero-shot-audio-classification
base_model: mini-clip
---
# mini-sound

A third tower for mini-clip, {megabytes(folder):.1f} MB: log-mel spectrograms of two seconds to vectors that can be compared with mini-clip's
texts, in Chinese and in English (`course_lib.hearing.SoundNetwork`, used by `VideoAnalyzer.fuse`). mini-clip itself stays
as it is. It knows the synthesised sounds of Little World and nothing else.

{markdown(rows)}

The kinds are asked for by texts ("a picture of a car"); a car and a bus sound alike, so that no ear can tell all ten apart.
Picture and sound are multiplied as probabilities, each calibrated on examples that were spoilt at random.
Spoilt by: {told}. Grain is the standard deviation of the noise on a picture, 1 being the way from black
to white; 0 dB is noise as loud as a usual sound.
How each row is measured: `little_world/training/evaluate_sound.py`.

- Trained on {clips:,} sounds and the captions of their pictures, {recipe.steps:,} batches of {recipe.batch_size}, {seconds / 60:.0f} minutes
  on one busy CPU core: `python -m little_world.training.sound`
- This table again: `python -m little_world.training.sound --evaluate`
""",
        encoding="utf-8",
    )
