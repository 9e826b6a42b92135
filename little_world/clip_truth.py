"""What is true of a clip, frame by frame and shot by shot."""

from __future__ import annotations

from typing import Any

from .clip_sound import is_heard
from .clips import Clip


def truth(clip: Clip) -> dict[str, Any]:
    """What is true of each frame and of each shot, ready for JSON.

    frames: `time` in seconds, `shot`, `sound` on or off, and the `things` on screen: actor, box (left, top,
    right, bottom in fractions, cut off at the picture's edge), motion, color. shots: first and last frame,
    start and end, background, time of day, actors, events with their second in the clip.
    """
    frames = []
    for tick in clip.ticks:
        t = tick / clip.fps
        s, local = clip.at(t)
        frames.append(
            {"time": round(t, 4), "shot": s, "sound": is_heard(clip, t), "things": _things(clip, s, local)}
        )
    shots = []
    for s, shot in enumerate(clip.shots):
        inside = [i for i, frame in enumerate(frames) if frame["shot"] == s]
        start, end = (round(cut, 4) for cut in clip.cuts[s : s + 2])
        events = [
            {"actor": a, "sort": actor.event.sort, "time": round(start + actor.event.at, 4)}
            for a, actor in enumerate(shot.actors)
            if actor.event
        ]
        actors = [{"kind": a.kind, "color": a.color, "motion": a.motion, "side": a.side} for a in shot.actors]
        shots.append(
            {
                "first": inside[0],
                "last": inside[-1],
                "start": start,
                "end": end,
                "background": shot.background,
                "time": shot.time,
                "events": events,
                "actors": actors,
            }
        )
    return {"seconds": round(clip.seconds, 4), "frames": frames, "shots": shots}


def spans_of(clip: Clip, record: dict[str, Any]) -> dict[tuple[str, str | None], list[tuple[float, float]]]:
    """When each thing is on screen: (kind, colour) to spans of seconds, from the record that `truth` makes."""
    found: dict[tuple[str, str | None], list[tuple[float, float]]] = {}
    frames = record["frames"]
    ends = [*(frame["time"] for frame in frames[1:]), record["seconds"]]
    for frame, end in zip(frames, ends, strict=True):
        actors = clip.shots[frame["shot"]].actors
        for key in {(actors[thing["actor"]].kind, thing["color"]) for thing in frame["things"]}:
            spans = found.setdefault(key, [])
            if spans and spans[-1][1] == frame["time"]:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((frame["time"], end))
    return found


def _things(clip: Clip, s: int, local: float) -> list[dict[str, Any]]:
    """The things of shot `s` that are in the picture at second `local` of it."""
    shot, found = clip.shots[s], []
    for a, actor in enumerate(shot.actors):
        thing = actor.thing(local, shot.seconds)
        box = [round(min(max(v, 0.0), 1.0), 3) for v in thing.box] if thing else [0.0] * 4
        if thing and box[0] < box[2] and box[1] < box[3]:
            motion = actor.motion_at(local)
            found.append({"actor": a, "box": box, "motion": motion, "color": thing.color})
    return found
