"""How the clips of mini-motion move: held-out captions as prompts, followed by `tracking.Tracker`, seen by mini-clip."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AnimateDiffPipeline, StableDiffusionPipeline
from PIL import Image

from ..cards import megabytes
from ..clip_captions import shot_caption
from ..clip_drawing import draw_clip
from ..clips import Clip
from ..drawing import contact_sheet
from ..first_frame import from_first_frame
from .data import TEST, scene_rng
from .evaluate_clip import markdown as as_table
from .evaluate_sd import save_picture
from .judge import Judge
from .motion_data import FRAMES, RATE, motion_caption, motion_clip
from .motion_model import GUIDANCE, STEPS, build_mover, load, recipe_record
from .motion_model import pipeline as moving_pipeline
from .tracking import ALIKE, MOTIONS, STAYS, Tracker, centers, motion_of

DIRECTIONS = MOTIONS[:4]
ALL = "all seven motions"
DIRECTION = "direction (right, left, up, down)"
TARGETS = {DIRECTION: 0.80}
GUIDANCES = (1.0, 3.0, 7.5)


# ------------------------------------------------------------------------------------------------- generating


@torch.no_grad()
def animate(
    pipe: AnimateDiffPipeline,
    prompts: list[str],
    *,
    seed: int = 0,
    guidance: float = GUIDANCE,
    first: list[Image.Image] | None = None,
    batch: int = 7,
) -> np.ndarray:
    """A clip a prompt, `(n, frames, 128, 128, 3)` uint8; clip i is made from seed + i, and its first frame if given."""
    found = []
    for i in range(0, len(prompts), batch):
        some = prompts[i : i + batch]
        generators = [torch.Generator().manual_seed(seed + i + j) for j in range(len(some))]
        more = from_first_frame(pipe, first[i : i + batch], FRAMES, generators) if first else {}
        frames = pipe(
            some,
            num_frames=FRAMES,
            height=128,
            width=128,
            num_inference_steps=STEPS,
            guidance_scale=guidance,
            generator=generators,
            output_type="np",
            **more,
        ).frames
        found.append((np.asarray(frames) * 255).round().astype(np.uint8))
    return np.concatenate(found)


def held_out_clips(n: int, offset: int = 0) -> list[Clip]:
    """Clips of the stream that nothing is trained on, every motion equally often."""
    return [motion_clip(400_000_000 + offset + i, TEST) for i in range(n)]


def prompts_for(clips: list[Clip], lang: str) -> list[str]:
    """Every other one says everything, as `clip_captions` does, the others are in freer words."""
    rngs = [scene_rng(TEST, 410_000_000 + i) for i in range(len(clips))]
    return [
        shot_caption(clip.shots[0], lang) if i % 2 else motion_caption(clip, lang, rng)
        for i, (clip, rng) in enumerate(zip(clips, rngs))
    ]


# -------------------------------------------------------------------------------------------------- judging


@dataclass
class Seen:
    """What clips show: the motion of each (see `motion_of`), the thing's path, and which patches it covers."""

    motions: list[str | None]
    tracks: np.ndarray
    occupancy: np.ndarray


def look_at(tracker: Tracker, made: np.ndarray) -> Seen:
    covered = tracker.occupancy(made.reshape(-1, *made.shape[2:]))
    tracks = centers(covered).reshape(len(made), -1, 2)
    covered = covered.reshape(len(made), -1, *covered.shape[1:])
    return Seen([motion_of(track, RATE) for track in tracks], tracks, covered)


def right_motion(seen: Seen, clips: list[Clip]) -> dict[str, float]:
    """Share of clips that move as asked: in one of four directions, in any way, and for each motion."""
    asked = np.array([clip.shots[0].actors[0].motion for clip in clips])
    right = np.array([found == wanted for found, wanted in zip(seen.motions, asked)])
    rows = {DIRECTION: np.isin(asked, DIRECTIONS), ALL: np.full(len(asked), True)}
    rows |= {motion: asked == motion for motion in MOTIONS}
    return {row: float(right[which].mean()) for row, which in rows.items() if which.any()}


def flicker(made: np.ndarray, seen: Seen) -> float:
    """Mean change from frame to frame, of 255, where no thing is: 0 for a background that stands still."""
    step = np.abs(np.diff(made.astype(np.float32), axis=1)).mean(axis=-1)  # (n, frames - 1, h, w)
    side = made.shape[2] // seen.occupancy.shape[-1]
    thing = np.maximum(seen.occupancy[:, 1:], seen.occupancy[:, :-1]) > 0.15
    empty = ~thing.repeat(side, axis=2).repeat(side, axis=3)
    return float(step[empty].mean()) if empty.any() else float("nan")


class Glance:
    """A look during training: `n` clips of fixed prompts and seeds in both languages, judged, kept as a sheet."""

    def __init__(self, n: int):
        self.tracker, self.clips = Tracker(), held_out_clips(n, 1000)
        texts = [prompts_for(self.clips, lang) for lang in ("zh", "en")]
        self.prompts = [texts[i % 2][i] for i in range(n)]

    def __call__(self, pipe: AnimateDiffPipeline, sheet: Path) -> dict[str, float]:
        made = animate(pipe, self.prompts)
        seen = look_at(self.tracker, made)
        save_picture(frames_sheet(made), sheet)
        shares = right_motion(seen, self.clips)
        return {row: round(shares[row], 3) for row in (DIRECTION, ALL)} | {
            "flicker": round(flicker(made, seen), 2)
        }


def frames_sheet(made: np.ndarray) -> Image.Image:
    """A row a clip."""
    return contact_sheet([Image.fromarray(frame) for clip in made for frame in clip], made.shape[1])


def save_moving(made: np.ndarray, path: Path) -> None:
    """The clips beside each other as an animated GIF, which a browser plays in a README, too."""
    moments = [
        contact_sheet([Image.fromarray(frame) for frame in frames], len(made))
        for frames in made.swapaxes(0, 1)
    ]
    # the same in all
    colors = Image.fromarray(np.concatenate([np.asarray(moment) for moment in moments])).quantize(128)
    pages = [moment.quantize(palette=colors, dither=Image.Dither.NONE) for moment in moments]
    save_picture(pages[0], path, save_all=True, append_images=pages[1:], duration=1000 // RATE, loop=0)


# ------------------------------------------------------------------------------------------------- the table


def measure(
    pipe: AnimateDiffPipeline, still: AnimateDiffPipeline, judges: tuple[Tracker, Judge], lang: str, n: int
) -> dict[str, float]:
    """All rows of the card's table for one language, from `n` clips, some from a third of that.

    `still` is mini-sd as it is, with motion modules that do nothing.
    """
    tracker, judge = judges
    clips = held_out_clips(n)
    prompts, drawn = prompts_for(clips, lang), np.stack([draw_clip(clip) for clip in clips])
    made = animate(pipe, prompts)
    seen, truth = look_at(tracker, made), look_at(tracker, drawn)
    found = right_motion(seen, clips)

    told = slice(1, None, 2)  # the clips whose prompts say everything
    scenes = [clip.shots[0].scene(k / RATE) for clip in clips[told] for k in range(FRAMES)]
    pictures = lambda some: [Image.fromarray(frame) for clip in some[told] for frame in clip]  # noqa: E731
    shares = partial(judge.shares, scenes=scenes, lang=lang, facts=("kind", "color", "background"))
    for fact, share in shares(pictures(made)).items():
        found[f"{fact}, in each frame"] = share

    some = clips[: max(len(MOTIONS), n // 3)]
    few = prompts[: len(some)]
    going_on = animate(
        pipe, few, seed=10_000, first=[Image.fromarray(clip[0]) for clip in drawn[: len(some)]]
    )
    found["direction, from a first frame"] = right_motion(look_at(tracker, going_on), some)[DIRECTION]
    for guidance in GUIDANCES:
        shares_of = right_motion(look_at(tracker, animate(pipe, few, guidance=guidance)), some)
        found[f"direction, guidance {guidance:g}"] = shares_of[DIRECTION]
    apart = animate(still, few)
    found["direction, without motion modules"] = right_motion(look_at(tracker, apart), some)[DIRECTION]
    found["direction, the same clips as the world draws them"] = right_motion(truth, clips)[DIRECTION]
    found[f"{ALL}, the same clips as the world draws them"] = right_motion(truth, clips)[ALL]
    for fact, share in shares(pictures(drawn)).items():
        found[f"{fact}, as the world draws them"] = share
    found["flicker"], found["flicker, drawn"] = flicker(made, seen), flicker(drawn, truth)
    found["flicker, without motion modules"] = flicker(apart, look_at(tracker, apart))
    return found


def table(folder: Path, base_folder: Path, n: int = 105) -> dict:
    """What is measured of the stored adapter: `rows` {row: {"zh": share, "en": share}} and single `numbers`."""
    pipe = load(folder, base_folder)
    base = StableDiffusionPipeline.from_pretrained(base_folder)
    heads = pipe.unet.config.motion_num_attention_heads
    still = moving_pipeline(base, build_mover(heads, base).eval())
    judges = Tracker(), Judge()
    by_language = {lang: measure(pipe, still, judges, lang, n) for lang in ("zh", "en")}
    prompt = prompts_for(held_out_clips(1), "en")
    first = animate(pipe, prompt)
    start = time.perf_counter()
    again = animate(pipe, prompt)
    flickers = [row for row in by_language["zh"] if row.startswith("flicker")]
    numbers = {
        "seconds for one clip": round(time.perf_counter() - start, 2),
        "threads": torch.get_num_threads(),
        "same seed, same clip": bool((first == again).all()),
        "clips a row": n,
        **{
            row: round(float(np.mean([rows.pop(row) for rows in by_language.values()])), 2)
            for row in flickers
        },
    }
    return {
        "rows": {row: {lang: by_language[lang][row] for lang in by_language} for row in by_language["zh"]},
        "numbers": numbers,
    }


def markdown(rows: dict[str, dict[str, float]]) -> str:
    return as_table(rows, TARGETS)


def write_card(
    folder: Path, measured: dict, base_folder: Path, *, setup, seconds: dict[str, float], trained_on: str
) -> None:
    """README.md (the model card), metrics.json and samples.png and .gif, from what was measured."""
    clips = held_out_clips(len(MOTIONS), 7000)
    texts = [prompts_for(clips, lang) for lang in ("zh", "en")]
    prompts = [texts[i % 2][i] for i in range(len(clips))]
    made = animate(load(folder, base_folder), prompts, seed=40_000)
    save_moving(made, folder / "samples.gif")
    sheet = frames_sheet(made)
    save_picture(
        sheet.resize((sheet.width * 3 // 4, sheet.height * 3 // 4)).quantize(255), folder / "samples.png"
    )
    numbers = measured["numbers"]
    record = {**measured, "seconds": {part: round(s) for part, s in seconds.items()}, **recipe_record(setup)}
    clips_a_row, same = numbers["clips a row"], "yes" if numbers["same seed, same clip"] else "no"
    said = "\n".join(f"{i}. {prompt}" for i, prompt in enumerate(prompts, 1))
    each, few = clips_a_row // len(MOTIONS), max(len(MOTIONS), clips_a_row // 3) // len(MOTIONS)
    times = ", ".join(f"{part} {s:.0f} s" for part, s in seconds.items())
    steps = " and ".join(f"{stage.steps:,}" for stage in setup.stages)
    (folder / "metrics.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    (folder / "README.md").write_text(
        f"""---
license: apache-2.0
language: [zh, en]
library_name: diffusers
pipeline_tag: text-to-video
base_model: mini-sd
---
# mini-motion

A motion adapter (AnimateDiff) for mini-sd, trained from scratch by this project: a `MotionAdapter` and a text encoder
that knows words for motion, {megabytes(folder):.1f} MB in half precision. With mini-sd it makes clips of {FRAMES} frames, {RATE} a second,
of 128 x 128 pixels: one thing in Little World that moves. It knows nothing else.

```python
from diffusers import AnimateDiffPipeline, MotionAdapter
from transformers import CLIPTextModel

adapter = MotionAdapter.from_pretrained("data/models/mini-motion")
text_encoder = CLIPTextModel.from_pretrained("data/models/mini-motion", subfolder="text_encoder")
pipe = AnimateDiffPipeline.from_pretrained("data/models/mini-sd", motion_adapter=adapter, text_encoder=text_encoder)
settings = {{"num_frames": {FRAMES}, "num_inference_steps": {STEPS}, "guidance_scale": {GUIDANCE:g}}}
pipe("a red car moves to the right", **settings).frames[0]
```

![the clips, moving](samples.gif)

![the same clips, a row each](samples.png)

{said}

{markdown(measured["rows"])}

Of {clips_a_row} clips in each language, {each} for each motion: a row of directions is a share of {4 * each} (of
{4 * few} where a guidance is named, for a first frame, and without motion modules), a row of one motion of {each}, a row of
what frames show of the {clips_a_row // 2 * FRAMES} frames of the {clips_a_row // 2} clips whose prompts say everything. Made in {STEPS} steps of DDIM with guidance
{GUIDANCE:g}. A motion is right if the thing's path, followed by a linear probe on mini-clip's patches, correlates best with that of
the motion asked for, and at least by {ALIKE}; it stands still if it strays less than {STAYS:.0%} of the side from its middle.
What a frame shows is what mini-clip recognises, zero-shot. Rows about clips "as the world draws them" tell how often the
judges themselves are right. How: `little_world/training/evaluate_motion.py`, `tracking.py`.

- Change from frame to frame where no thing is, of 255: {numbers["flicker"]}; without motion modules
  {numbers["flicker, without motion modules"]}; as drawn {numbers["flicker, drawn"]}.
- One clip in {STEPS} steps: {numbers["seconds for one clip"]:.2f} s (CPU threads: {numbers["threads"]}).
- Same seed, same clip: {same}.
- From a first frame: the frame stands in the latents without noise at every step (`little_world/first_frame.py`).
- Trained in {sum(seconds.values()) / 60:.0f} minutes on {trained_on}: {times}.
  Stages of {steps} batches of {setup.stages[-1].batch_size} clips, out of {setup.clips:,}: `python -m little_world.training.motion`
- This table again: `python -m little_world.training.motion --evaluate`
""",
        encoding="utf-8",
    )
