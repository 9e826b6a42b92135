"""Clips of Little World: a script says what happens, and everything else (pictures, sound, captions) follows.

A clip is a row of shots. In a shot things stand or move in one place; an event may break what they do. The
script is the ground truth: where each thing is at any moment is a function of it. `python -m
little_world.clips` makes the clips in `data/world/clips` anew.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from .scenes import BACKGROUNDS, COLORS, TIMES, Scene, Thing, allowed_pairs

MOTIONS = ("right", "left", "up", "down", "bounce", "circle", "enter", "leave", "still")
EVENTS = ("stop", "turn", "vanish", "appear", "color")
SIDES = ("left", "right")

_FLIES = ("bird", "butterfly", "airplane", "rocket", "balloon")
# The height of a path's middle line; what is not here stays near the ground.
_HEIGHT = {**dict.fromkeys(_FLIES, 0.34), "sailboat": 0.6, "fish": 0.6, "duck": 0.62}
_GROUND = 0.68
_MARGIN = 0.05  # between a thing at rest and the picture's edge
# The motions in which an event is to be seen; any, for the others.
_MOTIONS_WITH = {"stop": MOTIONS[:6], "turn": ("right", "left", "up", "down", "circle")}
PERIOD = {"bounce": 0.8, "circle": 1.6}  # seconds of one round
# Stickers that look to the right.
_LOOKS_AHEAD = {"dog", "bird", "fish", "duck", "turtle", "car", "bus", "airplane", "sailboat", "train"}


@dataclass(frozen=True)
class Event:
    """What breaks the pattern, at second `at` of its shot.

    "stop": it stays where it is; "turn": it goes back the way it came; "vanish": it is gone; "appear": it was
    not there before; "color": it turns `color`.
    """

    sort: str
    at: float
    color: str | None = None


@dataclass(frozen=True)
class Actor:
    """A thing and what it does. `side`: where it comes in ("enter") or goes out ("leave").

    `size` is half its side and `lane` the height of its path (the middle of it), in fractions of the picture.
    """

    kind: str
    color: str | None
    motion: str = "still"
    size: float = 0.17
    lane: float = _GROUND
    x: float = 0.5
    side: str = "left"
    mirror: bool = False
    pose: int = 0
    event: Event | None = None

    def center(self, t: float, seconds: float) -> tuple[float, float]:
        """Where its centre is at second `t` of a shot of `seconds`, in fractions of the picture's side."""
        if self.event and self.event.sort == "stop":
            t = min(t, self.event.at)
        if self.event and self.event.sort == "turn" and t > self.event.at:
            t = max(2 * self.event.at - t, 0.0)
        low, high, out = _MARGIN + self.size, 1 - _MARGIN - self.size, -1.2 * self.size
        share = _ease(t / seconds)
        if self.motion in ("right", "left"):
            x = low + (high - low) * share
            return (x if self.motion == "right" else 1 - x), self.lane
        if self.motion in ("up", "down"):
            y = high - (high - low) * share
            return self.x, (y if self.motion == "up" else 1 - y)
        if self.motion == "enter":
            x = out + (0.5 - out) * share
            return (x if self.side == "left" else 1 - x), self.lane
        if self.motion == "leave":
            x = 0.5 + (1 - out - 0.5) * share
            return (x if self.side == "right" else 1 - x), self.lane
        if self.motion == "bounce":
            phase = t / PERIOD["bounce"] % 1
            top = max(low, self.lane - 0.38)
            return self.x, self.lane - (self.lane - top) * 4 * phase * (1 - phase)
        if self.motion == "circle":
            angle = 2 * np.pi * t / PERIOD["circle"] - np.pi / 2
            return 0.5 + 0.24 * float(np.cos(angle)), 0.52 + 0.2 * float(np.sin(angle))
        return self.x, self.lane

    def motion_at(self, t: float) -> str:
        """What it does at second `t` of its shot: the script's motion, or what an event made of it."""
        if self.event and t > self.event.at:
            if self.event.sort == "stop":
                return "still"
            if self.event.sort == "turn":
                back = {"right": "left", "left": "right", "up": "down", "down": "up", "enter": "leave"}
                return back.get(self.motion, self.motion)
        return self.motion

    def color_at(self, t: float) -> str | None:
        """Its colour at second `t` of its shot."""
        changed = self.event and self.event.sort == "color" and t > self.event.at
        return self.event.color if changed else self.color

    def thing(self, t: float, seconds: float) -> Thing | None:
        """The thing as it is at second `t`, or None while it does not exist."""
        sort, at = (self.event.sort, self.event.at) if self.event else ("", 0.0)
        if (sort == "vanish" and t > at) or (sort == "appear" and t <= at):
            return None
        x, y = self.center(t, seconds)
        mirror = self.mirror
        if sort == "turn" and t > at and self.kind in _LOOKS_AHEAD and self.motion in ("right", "left"):
            mirror = not mirror
        return Thing(self.kind, self.color_at(t), x, y, self.size, mirror, self.pose)


@dataclass(frozen=True)
class Shot:
    """One take: `seconds` in one place at one hour. `sound` False mutes it, whatever is to be seen."""

    seconds: float
    background: str
    time: str
    actors: tuple[Actor, ...] = ()
    seed: int = 0
    sound: bool = True

    def scene(self, t: float) -> Scene:
        """What is to be seen at second `t` of the shot."""
        things = (actor.thing(t, self.seconds) for actor in self.actors)
        return Scene(tuple(x for x in things if x), self.background, self.time, seed=self.seed)


@dataclass(frozen=True)
class Clip:
    """Shots cut together. `drops` seeds which frames a camera lost (a variable frame rate); `rotation`: the
    file stores its pictures turned clockwise by so many degrees and says to turn them back."""

    shots: tuple[Shot, ...]
    fps: int = 12
    drops: int | None = None
    rotation: int = 0
    sound: bool = True

    @property
    def seconds(self) -> float:
        return sum(shot.seconds for shot in self.shots)

    @property
    def cuts(self) -> tuple[float, ...]:
        """The seconds at which each shot begins, the first at 0, and that at which the last is over."""
        return tuple(np.cumsum([0.0, *(shot.seconds for shot in self.shots)]).round(6).tolist())

    @property
    def ticks(self) -> tuple[int, ...]:
        """When each frame appears, in units of `1 / fps` seconds."""
        count = round(self.seconds * self.fps)
        if self.drops is None:
            return tuple(range(count))
        rng = np.random.default_rng(self.drops)
        kept = rng.random(count) < np.repeat(rng.uniform(0.25, 1, -(-count // 8)), 8)[:count]
        kept[[0, count - 1]] = True
        return tuple(np.flatnonzero(kept).tolist())

    def at(self, t: float) -> tuple[int, float]:
        """The shot on screen at second `t`, and the second of that shot."""
        i = int(np.searchsorted(self.cuts, t + 1e-9, side="right")) - 1
        i = min(max(i, 0), len(self.shots) - 1)
        return i, t - self.cuts[i]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Clip:
        def actor(r):
            return Actor(**{**r, "event": Event(**r["event"]) if r["event"] else None})

        shots = (Shot(**{**s, "actors": tuple(map(actor, s["actors"]))}) for s in record["shots"])
        return cls(**{**record, "shots": tuple(shots)})


def _ease(share: float) -> float:
    """A steady pace with a soft start and a soft end."""
    s, soft = min(max(share, 0.0), 1.0), 0.12
    top = 1 / (1 - soft)
    if s < soft:
        return top * s * s / (2 * soft)
    return top * (s - soft / 2) if s <= 1 - soft else 1 - top * (1 - s) ** 2 / (2 * soft)


# -------------------------------------------------------------------------------- random clips


def random_actor(
    rng: np.random.Generator,
    seconds: float,
    *,
    kind: str | None = None,
    color: str | None = None,
    motion: str | None = None,
    event: str | None = None,
    facing: bool = True,
    pairs: list[tuple[str, str | None]] | None = None,
) -> Actor:
    """An actor at random; what is given is kept. See `random_clip`."""
    options = [p for p in pairs or allowed_pairs() if kind in (None, p[0]) and color in (None, p[1])]
    if kind is None:
        kinds = sorted({k for k, _ in options})
        kind = kinds[rng.integers(len(kinds))]
    colors = [c for k, c in options if k == kind] or [color]
    motions = _MOTIONS_WITH.get(event or "", MOTIONS)
    motion = motion or motions[rng.integers(len(motions))]
    side = SIDES[rng.integers(2)]
    size = round(float(rng.uniform(0.14, 0.2)), 4)
    goes_left = motion == "left" or (motion, side) in (("enter", "right"), ("leave", "left"))
    lane = _HEIGHT.get(kind, _GROUND) + float(rng.uniform(-0.06, 0.06))
    mirror = goes_left if facing and kind in _LOOKS_AHEAD else bool(rng.integers(2))
    actor = Actor(
        kind, colors[rng.integers(len(colors))], motion, size, round(min(lane, 1 - _MARGIN - size), 4),
        round(float(rng.uniform(0.3, 0.7)), 4), side, mirror, int(rng.integers(1 << 30)),
    )  # fmt: skip
    return actor if event is None else replace(actor, event=random_event(rng, actor, event, seconds))


def random_event(rng: np.random.Generator, actor: Actor, sort: str, seconds: float) -> Event:
    """An event of that sort in the middle part of a shot of `seconds`."""
    others = [c for c in COLORS if c != actor.color]
    at = round(float(rng.uniform(0.4, 0.65)) * seconds, 4)
    if sort == "stop" and actor.motion == "bounce":  # on the ground
        at = round(max(1, round(at / PERIOD["bounce"])) * PERIOD["bounce"], 4)
    return Event(sort, at, others[rng.integers(len(others))] if sort == "color" else None)


def random_shot(
    rng: np.random.Generator,
    *,
    seconds: float = 2.0,
    actors: int = 1,
    background: str | None = None,
    time: str | None = None,
    sound: bool = True,
    **actor: Any,
) -> Shot:
    """A shot at random with `actors` things that move in lanes of their own; see `random_clip`."""
    background = background or BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    time = time or TIMES[rng.integers(len(TIMES))]
    cast = [random_actor(rng, seconds, **actor) for _ in range(actors)]
    if actors == 2:  # one above the other, so that they never hide each other
        cast = [replace(a, size=min(a.size, 0.15), lane=lane) for a, lane in zip(cast, (0.3, 0.74))]
    return Shot(seconds, background, time, tuple(cast), int(rng.integers(1 << 30)), sound)


def random_clip(
    rng: np.random.Generator, *, shots: int = 1, fps: int = 12, sound: bool = True, **shot: Any
) -> Clip:
    """A clip at random, always the same for a generator in the same state.

    What is given is kept: `seconds` a shot, `actors` (0, 1 or 2), `background`, `time`; for each actor
    `kind`, `color`, `motion` (one of MOTIONS), `event` (one of EVENTS, else none), `pairs` of kind and colour
    to choose from (by default those of the training world). `facing=False`: which way a thing looks says
    nothing about where it goes.
    """
    made: list[Shot] = []
    while len(made) < shots:
        new = random_shot(rng, sound=sound, **shot)
        last = made[-1] if made else None
        same_look = last and (last.background, last.time) == (new.background, new.time)
        if not same_look or shot.get("background"):  # a cut is to another place or another hour
            made.append(new)
    return Clip(tuple(made), fps, sound=sound)


if __name__ == "__main__":
    from .clip_gallery import build
    from .paths import WORLD

    print(f"{build(WORLD)} clips in {WORLD.name}/clips")
