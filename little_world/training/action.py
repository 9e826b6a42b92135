"""mini-action: what moves how and where a pattern breaks, read from mini-clip's vectors of the frames in their order.

python -m little_world.training.action             train (the model card says how long): clips are drawn and embedded once
python -m little_world.training.action --evaluate  reprint the model card's table from the stored weights
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tqdm.auto import tqdm

from course_lib.clip import CLIPService
from course_lib.video_actions import LONGEST, ActionNetwork

from ..clip_drawing import draw_frames
from ..clips import EVENTS, MOTIONS, Clip, random_clip
from .data import cache_folder
from .loop import Recipe, checkpoints, destination, fit, replace_folder

FPS = 8  # vectors a second
TRAIN, TEST, RECOLORED = 903, 902, 904  # streams of seeds; in the last one everything changes colour
CLIPS, TEST_CLIPS = 6000, 1200
RECIPE = Recipe(steps=4000, batch_size=64, learning_rate=3e-3, warmup=50, weight_decay=0.05, ema=0.998)
SIZES = {"width": 96, "reach": 8, "look": 32}
TURNING = ("right", "left", "up", "down", "circle")  # the motions in which something can turn back
# What each motion is when the clip is played backwards.
BACKWARDS = {**{m: m for m in MOTIONS}, "right": "left", "left": "right", "up": "down", "down": "up",
             "enter": "leave", "leave": "enter"}  # fmt: skip


@dataclass(frozen=True)
class Course:
    """A clip as it is learned from: the vectors of its moments `(t, d)`, its motion, and its event with its second."""

    features: np.ndarray
    motion: str
    event: str | None
    at: float


def clip_of(index: int, stream: int = TRAIN) -> Clip:
    """Clip `index` of a stream: every other one has an event, and nobody looks where it goes."""
    rng = np.random.default_rng([stream, index])
    seconds = round(float(rng.uniform(1.25, 4.5)) * FPS) / FPS
    event = "color" if stream == RECOLORED else EVENTS[index // 2 % len(EVENTS)] if index % 2 else None
    motion = None if event else MOTIONS[index // 2 % len(MOTIONS)]
    given = {
        "seconds": seconds,
        "fps": FPS,
        "motion": motion,
        "event": event,
        "facing": False,
        "sound": False,
    }
    clip = random_clip(rng, **given)
    while event == "color" and clip.shots[0].actors[0].color is None:  # a tree stays as it is
        clip = random_clip(rng, **given)
    return clip


def courses(count: int, stream: int = TRAIN) -> list[Course]:
    """Clips 0..count-1 of a stream, drawn and embedded once and kept in the cache."""
    service = CLIPService("mini-clip")
    weights = Path(service._loaded.model.name_or_path, "model.safetensors")
    clips = [clip_of(i, stream) for i in range(count)]
    # vectors of other clips are not taken for theirs
    scripts = hashlib.sha256(repr(clips).encode()).hexdigest()[:12]
    path = cache_folder() / f"clips-{stream}-{count}-{scripts}-{weights.stat().st_size}.npz"
    if not path.exists():
        found = []
        for clip in tqdm(clips, desc="embedding clips", mininterval=10):
            found.append(service.encode_image(list(draw_frames(clip)), progress=False).astype(np.float16))
        temporary = path.with_suffix(".part.npz")
        np.savez(temporary, features=np.concatenate(found), lengths=[len(f) for f in found])
        os.replace(temporary, path)
    with np.load(path) as stored:
        features = np.split(stored["features"].astype(np.float32), np.cumsum(stored["lengths"])[:-1])
    actors = [clip.shots[0].actors[0] for clip in clips]
    return [
        Course(f, a.motion, a.event.sort if a.event else None, a.event.at if a.event else 0.0)
        for f, a in zip(features, actors, strict=True)
    ]


class Batches:
    """The batch of a step, always the same for a step: clips faster and slower, with lost frames, and backwards."""

    def __init__(self, found: list[Course], recipe: Recipe):
        self.courses, self.recipe = found, recipe

    def __getitem__(self, step: int) -> tuple[torch.Tensor, ...]:
        """features (b, t, d), mask (b, t), action (b,) and its weight (b,), events (b, t, E) in 0..1."""
        rng = np.random.default_rng([self.recipe.seed, step])
        chosen = rng.integers(len(self.courses), size=self.recipe.batch_size)
        samples = [vary(self.courses[i], rng) for i in chosen]
        longest = max(len(course.features) for course in samples)
        features = torch.zeros(len(samples), longest, samples[0].features.shape[1])
        mask = torch.zeros(len(samples), longest, dtype=torch.bool)
        events = torch.zeros(len(samples), longest, len(EVENTS))
        for row, course in enumerate(samples):
            n = len(course.features)
            features[row, :n], mask[row, :n] = torch.from_numpy(course.features), True
            if course.event:  # high at the first moment that shows it, and falling off within two
                distance = np.arange(n) - (course.at * FPS + 0.5)
                events[row, :n, EVENTS.index(course.event)] = torch.from_numpy(
                    np.exp(-0.5 * distance**2)
                ).float()
        actions = torch.tensor([MOTIONS.index(course.motion) for course in samples])
        # After a stop or a turn it no longer does what the script says: that counts less.
        weight = torch.tensor([1.0 if course.event in (None, "color") else 0.3 for course in samples])
        return features, mask, actions, weight, events


def vary(course: Course, rng: np.random.Generator) -> Course:
    """The same at another pace, with frames that are held because others were lost, and half of the time backwards.

    Where nothing happens something may be made to: what stops or turns back at a moment looks as before from then on.
    """
    n = len(course.features)
    if course.event is None and course.motion in TURNING and n > 8 and rng.random() < 0.4:
        sort, moments = ("stop", "turn", "turn")[rng.integers(3)], np.arange(n)
        twice = int(rng.integers(6, 2 * n - 7))  # in halves of a moment, for a turn may lie between two
        at, after = (
            (twice // 2, twice // 2) if sort == "stop" else (twice / 2, np.maximum(twice - moments, 0))
        )
        course = replace(
            course, features=course.features[np.minimum(moments, after)], event=sort, at=at / FPS
        )
    count = int(np.clip(round(n / rng.uniform(0.8, 1.25)), 4, LONGEST))
    ids = np.linspace(0, n - 1, count)
    if rng.random() < 0.3:
        kept = rng.random(count) < rng.uniform(0.4, 1)
        kept[[0, -1]] = True
        ids = ids[np.maximum.accumulate(np.where(kept, np.arange(count), 0))]
    at = course.at * FPS / (n - 1) * (count - 1) / FPS
    features = course.features[ids.round().astype(int)]
    features = features + rng.normal(0, 0.004, features.shape).astype(np.float32)
    varied = replace(course, features=features, at=at)
    # Backwards a stop would be a start, which is no event here, and a path with a turn is the same path.
    if course.event in ("stop", "turn") or rng.random() < 0.5:
        return varied
    event = {"vanish": "appear", "appear": "vanish"}.get(course.event or "", course.event)
    return replace(varied, features=features[::-1].copy(), motion=BACKWARDS[course.motion], event=event,
                   at=(count - 1) / FPS - at)  # fmt: skip


def network(found: list[Course]) -> ActionNetwork:
    """An untrained network that knows how CLIP's vectors are spread."""
    features = np.concatenate([course.features for course in found])
    made = ActionNetwork(features.shape[1], **SIZES, actions=len(MOTIONS), events=len(EVENTS))
    made.mean.copy_(torch.from_numpy(features.mean(axis=0)))
    made.spread.copy_(torch.tensor(features.std(axis=0).mean()))
    return made


def loss(model: ActionNetwork, batch: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, dict[str, float]]:
    """Cross-entropy of the action, and binary cross-entropy of each sort of event at each moment."""
    features, mask, actions, weight, events = batch
    action, event = model(features, mask)
    per_clip = torch.nn.functional.cross_entropy(action, actions, reduction="none")
    about_actions = (per_clip * weight).sum() / weight.sum()
    per_moment = torch.nn.functional.binary_cross_entropy_with_logits(
        event, events, reduction="none", pos_weight=torch.tensor(1.5)
    ).sum(dim=-1)
    about_events = per_moment[mask].mean()
    right = (action.argmax(dim=1) == actions).float().mean()
    return about_actions + 2 * about_events, {
        "action": float(right),
        "event loss": float(about_events.detach()),
    }


def train(folder: Path, recipe: Recipe = RECIPE, clips: int = CLIPS, test_clips: int = TEST_CLIPS) -> None:
    """Train (or go on training) and write the finished network to `folder` in half precision."""
    from .evaluate_action import table, write_card

    torch.manual_seed(recipe.seed)
    found = courses(clips) + courses(clips // 3, RECOLORED)
    model, batches = network(found), Batches(found, recipe)
    checkpoint = checkpoints(folder) / "checkpoint.pt"
    seconds = fit(model, lambda step: loss(model, batches[step]), recipe, checkpoint)

    def write(temporary: Path) -> None:
        config = {
            "clip": "mini-clip",
            "fps": FPS,
            "dim": model.mean.numel(),
            **SIZES,
            "actions": MOTIONS,
            "events": EVENTS,
        }
        (temporary / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        weights = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
        save_file(weights, temporary / "model.safetensors", metadata={"format": "pt"})

    replace_folder(folder, write)
    write_card(folder, table(folder, found, test_clips), seconds=seconds, recipe=recipe, clips=clips)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--evaluate", action="store_true", help="measure the stored network and print its card's table"
    )
    parser.add_argument(
        "--folder", type=Path, help="where the finished network goes, if not to the course's own"
    )
    parser.add_argument(
        "--steps", type=int, default=RECIPE.steps, help="fewer, to try the code; stays in the cache"
    )
    parser.add_argument("--clips", type=int, default=CLIPS, help="fewer, to try the code")
    args = parser.parse_args()
    folder = destination("mini-action", args.folder, (args.steps, args.clips) != (RECIPE.steps, CLIPS))
    if args.evaluate:
        from .evaluate_action import markdown, table

        print(markdown(table(folder, courses(args.clips))))
    else:
        train(folder, replace(RECIPE, steps=args.steps), args.clips)


if __name__ == "__main__":
    main()
