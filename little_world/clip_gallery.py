"""The clips in `data/world/clips` with their ground truth in `clips.jsonl`: written, and loaded again."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.video_sound import Sound
from course_lib.video_writing import write_video

from .clip_captions import clip_caption, shot_caption
from .clip_drawing import draw_frames
from .clip_sound import RATE, sound_track, sounds_of
from .clip_truth import truth
from .clips import Actor, Clip, Event, Shot, random_actor, random_shot
from .paths import WORLD

SEED = 29


@dataclass(frozen=True)
class ClipExample:
    """A clip of the gallery. `truth` (see `clip_truth`) tells what is on screen in each frame and each shot.

    `part`: motion, event, shots, sound, variable_rate, rotated or silent, by what it is there for.
    """

    id: str
    part: str
    clip: Clip
    captions: dict[str, str]
    shot_captions: list[dict[str, str]]
    sounds: list[list[str]]
    truth: dict[str, Any]
    path: Path


def load_clips(part: str | None = None) -> list[ClipExample]:
    """The gallery's clips in order, or those of one part."""
    examples = []
    with open(WORLD / "clips.jsonl", encoding="utf-8") as lines:
        for line in lines:
            r = json.loads(line)
            if part in (None, r["part"]):
                told = (r["captions"], r["shot_captions"], r["sounds"], r["truth"], WORLD / r["file"])
                examples.append(ClipExample(r["id"], r["part"], Clip.from_dict(r["script"]), *told))
    return examples


def write_clip(clip: Clip, path: Path, size: int = 128) -> Path:
    """The clip as an MP4 of `size` x `size` pixels, with its sound if it has any."""
    turns = clip.rotation // 90 % 4
    frames = (np.ascontiguousarray(np.rot90(frame, -turns)) for frame in draw_frames(clip, size))
    sound = Sound(sound_track(clip), RATE) if clip.sound else None
    return write_video(path, frames, clip.fps, ticks=clip.ticks, sound=sound, rotation=clip.rotation)


def _scripts(rng: np.random.Generator) -> list[tuple[str, str, Clip]]:
    """(part, name, clip) of the sixteen."""

    def actor(kind: str, color: str | None, motion: str, event: Event | None = None, **given: Any) -> Actor:
        made = random_actor(rng, 3.0, kind=kind, color=color, motion=motion, pairs=[(kind, color)])
        return Actor(**{**made.__dict__, "event": event, **given})

    def shot(seconds: float, background: str, time: str, *actors: Actor, sound: bool = True) -> Shot:
        return Shot(seconds, background, time, actors, int(rng.integers(1 << 30)), sound)

    def clip(*shots: Shot, **given: Any) -> Clip:
        return Clip(shots, fps=24, **given)

    car = actor("car", "red", "right", lane=0.76)
    back = Actor(**{**car.__dict__, "motion": "left", "mirror": True})
    stop, turn, recolor = Event("stop", 4.0), Event("turn", 2.6), Event("color", 2.2, "orange")
    six = zip(
        (1.5, 1, 1.25, 2, 0.75, 1.5),
        ("meadow", "room", "desert", "snow", "city", "beach"),
        ("day", "night", "dusk", "day", "night", "dusk"),
        strict=True,
    )
    return [
        ("motion", "car_right", clip(shot(3, "city", "day", car))),
        ("motion", "car_left", clip(shot(3, "city", "day", back))),
        ("motion", "balloon_up", clip(
            shot(3, "meadow", "dusk", actor("balloon", "orange", "up")), sound=False)),
        ("motion", "airplane_down", clip(shot(3, "desert", "day", actor("airplane", "white", "down")))),
        ("motion", "ball_bounce", clip(shot(4, "room", "day", actor("ball", "green", "bounce", lane=0.72)))),
        ("motion", "bird_circle", clip(shot(4, "forest", "day", actor("bird", "yellow", "circle")))),
        ("motion", "dog_enter", clip(
            shot(3, "snow", "day", actor("dog", "black", "enter", side="left", mirror=False)))),
        ("motion", "bus_leave", clip(
            shot(3, "city", "night", actor("bus", "yellow", "leave", side="right", mirror=False)))),
        ("event", "ball_stop", clip(
            shot(6, "meadow", "day", actor("ball", "red", "bounce", stop, lane=0.72)))),
        ("event", "train_turn", clip(
            shot(5, "snow", "dusk", actor("train", "blue", "right", turn, lane=0.7)))),
        ("event", "cat_color", clip(shot(4, "room", "night", actor("cat", "white", "still", recolor)))),
        ("shots", "three_shots", clip(
            shot(2, "beach", "day", actor("sailboat", "red", "right", lane=0.56)),
            shot(2.5, "forest", "night", actor("rabbit", "white", "bounce")),
            shot(2, "city", "dusk", actor("bus", "green", "left")))),
        ("shots", "six_shots", clip(*(random_shot(rng, seconds=s, background=b, time=t) for s, b, t in six))),
        ("sound", "duck_heard_late", clip(
            shot(2.5, "meadow", "day", actor("flower", "purple", "still"), sound=False),
            shot(2.5, "meadow", "dusk", actor("duck", "yellow", "enter", side="right", mirror=True)),
            shot(2, "desert", "night", actor("cactus", None, "still"), sound=False))),
        ("variable_rate", "rocket_variable_rate", clip(
            shot(3, "desert", "night", actor("rocket", "white", "up")),
            shot(3, "snow", "day", actor("car", "blue", "left", lane=0.76)), drops=5)),
        ("rotated", "clock_rotated", clip(
            shot(3, "room", "day", actor("clock", "red", "right", lane=0.6)), rotation=90)),
    ]  # fmt: skip


def build(folder: Path = WORLD) -> int:
    """Write the clips and their ground truth into `folder`; returns the number of clips."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    records = []
    for i, (part, name, clip) in enumerate(_scripts(np.random.default_rng(SEED))):
        file = f"clips/{i:02d}_{name}.mp4"
        write_clip(clip, folder / file)
        records.append({
            "id": f"{i:02d}", "part": part, "file": file, "seed": SEED, "script": clip.to_dict(),
            "captions": {lang: clip_caption(clip, lang) for lang in ("zh", "en")},
            "shot_captions": [{lang: shot_caption(s, lang) for lang in ("zh", "en")} for s in clip.shots],
            "sounds": [sounds_of(s) if clip.sound else [] for s in clip.shots], "truth": truth(clip),
        })  # fmt: skip
    temporary = folder / "clips.jsonl.part"
    temporary.write_text(
        "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8", newline="\n"
    )
    os.replace(temporary, folder / "clips.jsonl")
    return len(records)
