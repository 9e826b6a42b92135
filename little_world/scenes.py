"""What can be in a picture of Little World: kinds, colours, places, backgrounds, and scenes drawn at random.

A `Scene` is the ground truth. Everything else (the picture, the captions, the questions) follows from it,
so each claim about a picture can be checked instead of believed. All coordinates are fractions of the
picture's side, x to the right and y down.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
BACKGROUNDS = ("meadow", "beach", "city", "snow", "desert", "forest", "room")
TIMES = ("day", "dusk", "night")
PLACES = ("left", "right", "top", "bottom", "center")
RELATIONS = ("left_of", "above")
SIZES = ("small", "large")

ANIMALS = ("cat", "dog", "rabbit", "bird", "fish", "duck", "butterfly", "turtle")
VEHICLES = ("car", "bus", "airplane", "sailboat", "train", "rocket", "balloon")
PLANTS = ("tree", "flower", "mushroom", "cactus")
THINGS = ("house", "umbrella", "ball", "cup", "clock")
KINDS = ANIMALS + VEHICLES + PLANTS + THINGS
UNCOLORED = ("tree", "cactus")  # these only come in their natural colour
COLORED = tuple(kind for kind in KINDS if kind not in UNCOLORED)

# Pairs that no training picture contains. A model has seen cats and has seen purple, but never a purple cat:
# lessons use these to ask what composes. Each colour and each kind still occurs often in other pairs.
HELD_OUT = frozenset({
    ("cat", "purple"), ("dog", "blue"), ("rabbit", "green"), ("bird", "black"), ("fish", "white"),
    ("duck", "red"), ("turtle", "orange"), ("car", "yellow"), ("airplane", "red"), ("train", "purple"),
    ("rocket", "green"), ("house", "black"), ("umbrella", "white"), ("cup", "orange"), ("ball", "blue"),
    ("flower", "yellow"),
})  # fmt: skip

_PLACE_CENTERS = {
    "left": (0.26, 0.52), "right": (0.74, 0.52), "top": (0.50, 0.27), "bottom": (0.50, 0.74), "center": (0.50, 0.52),
}  # fmt: skip
_HALF_SIZE = {"small": (0.14, 0.165), "large": (0.205, 0.24)}


@dataclass(frozen=True)
class Thing:
    """One object. `x`, `y` is its centre and `size` half its side, in fractions of the picture's side."""

    kind: str
    color: str | None
    x: float
    y: float
    size: float
    mirror: bool = False
    pose: int = 0  # seeds the small variations: two cats are never the same pixels

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) in fractions of the picture's side."""
        s = self.size
        return (self.x - s, self.y - s, self.x + s, self.y + s)


@dataclass(frozen=True)
class Group:
    """Things that a caption names together: `count` things of one kind and colour."""

    kind: str
    color: str | None
    count: int


@dataclass(frozen=True)
class Scene:
    """Ground truth of one picture.

    `place` is set for a single thing, `relation` for two different ones (the first is left of, or above, the
    second), `size` for a single thing. A scene without things is a landscape.
    """

    things: tuple[Thing, ...]
    background: str
    time: str
    place: str | None = None
    relation: str | None = None
    size: str | None = None
    seed: int = 0  # seeds the background's details
    groups: tuple[Group, ...] = field(init=False)

    def __post_init__(self) -> None:
        counts: dict[tuple[str, str | None], int] = {}
        for thing in self.things:
            counts[thing.kind, thing.color] = counts.get((thing.kind, thing.color), 0) + 1
        object.__setattr__(self, "groups", tuple(Group(k, c, n) for (k, c), n in counts.items()))

    @property
    def is_landscape(self) -> bool:
        return not self.things

    @property
    def meaning(self) -> tuple:
        """What a full caption tells: scenes that differ in it can be told apart by their captions."""
        groups = (
            self.groups
            if self.relation
            else tuple(sorted(self.groups, key=lambda g: (g.kind, g.color or "")))
        )
        return (groups, self.background, self.time, self.place, self.relation, self.size)

    def facts(self) -> frozenset[tuple[str, ...]]:
        """Everything true of the scene that a caption can say, as comparable tuples.

        A caption that says the facts `said` is true of a scene exactly if `said <= scene.facts()`.
        """
        found: set[tuple[str, ...]] = {("background", self.background), ("time", self.time)}
        if self.is_landscape:
            found.add(("landscape",))
        for g in self.groups:
            found.update(group_facts(g.kind, g.color, g.count))
            found.update(group_facts(g.kind, None, g.count) if g.color else ())
        if self.place and self.groups:
            found.add(("place", self.groups[0].kind, self.place))
        if self.size and self.groups:
            found.add(("size", self.groups[0].kind, self.size))
        if self.relation:
            first, second = self.groups
            found.add(("relation", self.relation, first.kind, second.kind))
        return frozenset(found)

    def to_dict(self) -> dict[str, Any]:
        record = asdict(self)
        record.pop("groups")
        record["things"] = [{**asdict(t), "box": [round(v, 4) for v in t.box]} for t in self.things]
        return record

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Scene:
        things = tuple(Thing(**{k: v for k, v in t.items() if k != "box"}) for t in record["things"])
        return cls(**{**record, "things": things})


def group_facts(kind: str, color: str | None, count: int) -> set[tuple[str, ...]]:
    """The facts that naming a group ("two red cats") states."""
    return {("group", kind, color or "", str(count))}


# ---------------------------------------------------------------------------------------------- random scenes


def allowed_pairs(*, held_out: bool = False) -> list[tuple[str, str | None]]:
    """(kind, colour) pairs of the training world, or with `held_out` the ones kept from it."""
    if held_out:
        return sorted(HELD_OUT)
    pairs: list[tuple[str, str | None]] = [(k, c) for k in COLORED for c in COLORS if (k, c) not in HELD_OUT]
    return pairs + [(k, None) for k in UNCOLORED]


def _pick(rng: np.random.Generator, options):
    return options[int(rng.integers(len(options)))]


def _kind_and_color(rng, kind=None, color=None, *, pairs=None) -> tuple[str, str | None]:
    """A pair at random: kinds are equally likely whatever the number of their colours."""
    options = [p for p in pairs or allowed_pairs() if kind in (None, p[0]) and color in (None, p[1])]
    if not options:
        return kind or _pick(rng, COLORED), color  # the caller asked for a pair outside: their wish
    chosen = _pick(rng, sorted({k for k, _ in options}))
    return chosen, _pick(rng, [c for k, c in options if k == chosen])


def _thing(rng, kind, color, x, y, size) -> Thing:
    margin = size + 0.015
    x, y = (float(min(max(v, margin), 1 - margin)) for v in (x, y))
    return Thing(kind, color, round(x, 4), round(y, 4), round(float(size), 4),
                 bool(rng.integers(2)), int(rng.integers(1 << 30)))  # fmt: skip


def _setting(rng, background, time) -> dict[str, Any]:
    return {
        "background": background or _pick(rng, BACKGROUNDS),
        "time": time or _pick(rng, TIMES),
        "seed": int(rng.integers(1 << 30)),
    }


def landscape(rng: np.random.Generator, *, background=None, time=None) -> Scene:
    """A scene without things."""
    return Scene((), **_setting(rng, background, time))


def single(
    rng, *, kind=None, color=None, place=None, size=None, background=None, time=None, pairs=None
) -> Scene:
    """One thing; whatever is not given is drawn at random."""
    kind, color = _kind_and_color(rng, kind, color, pairs=pairs)
    place, size = place or _pick(rng, PLACES), size or _pick(rng, SIZES)
    cx, cy = _PLACE_CENTERS[place]
    jitter = rng.uniform(-0.045, 0.045, 2)
    thing = _thing(rng, kind, color, cx + jitter[0], cy + jitter[1], rng.uniform(*_HALF_SIZE[size]))
    return Scene((thing,), place=place, size=size, **_setting(rng, background, time))


def several(rng, *, count=None, kind=None, color=None, background=None, time=None, pairs=None) -> Scene:
    """Two to four things of one kind and colour."""
    kind, color = _kind_and_color(rng, kind, color, pairs=pairs)
    count = count or int(rng.integers(2, 5))
    spots = _scatter(rng, count)
    return Scene(tuple(_thing(rng, kind, color, *spot) for spot in spots), **_setting(rng, background, time))


def pair(rng, *, relation=None, first=None, second=None, background=None, time=None, pairs=None) -> Scene:
    """Two things of different kinds, the first left of or above the second. `first`, `second`: (kind, colour)."""
    if first and second and first[0] == second[0]:
        raise ValueError(f"first and second are both a {first[0]}: two different kinds are wanted")
    if not (first and second):
        _want_two_kinds(pairs)
    first = first or _kind_and_color(rng, pairs=pairs)
    while second is None or second[0] == first[0]:
        second = _kind_and_color(rng, pairs=pairs)
    relation = relation or _pick(rng, RELATIONS)
    sizes = rng.uniform(0.15, 0.2, 2)
    low, high = rng.uniform(0.2, 0.27), rng.uniform(0.73, 0.8)
    across = rng.uniform(0.4, 0.62, 2)  # a little off a line, never enough to confuse the two relations
    spots = [(low, across[0]), (high, across[1])]
    if relation == "above":
        spots = [(b, a) for a, b in spots]
    things = tuple(_thing(rng, *what, *spot, s) for what, spot, s in zip((first, second), spots, sizes))
    return Scene(things, relation=relation, **_setting(rng, background, time))


def mixed(rng, *, background=None, time=None, pairs=None) -> Scene:
    """Three or four things in two groups of different kinds, scattered."""
    _want_two_kinds(pairs)
    first = _kind_and_color(rng, pairs=pairs)
    second = first
    while second[0] == first[0]:
        second = _kind_and_color(rng, pairs=pairs)
    count = int(rng.integers(3, 5))
    of_first = int(rng.integers(1, count))
    spots = _scatter(rng, count)
    whats = [first] * of_first + [second] * (count - of_first)
    return Scene(tuple(_thing(rng, *w, *s) for w, s in zip(whats, spots)), **_setting(rng, background, time))


def _has_two_kinds(pairs) -> bool:
    return len({kind for kind, _ in pairs}) > 1


def _want_two_kinds(pairs) -> None:
    if pairs is not None and not _has_two_kinds(pairs):
        raise ValueError("pairs hold one kind only: two different kinds are wanted")


def _scatter(rng, count: int) -> list[tuple[float, float, float]]:
    """`count` spots (x, y, size) that do not overlap: rejection sampling, seeded, so always the same for a seed."""
    while True:
        spots: list[tuple[float, float, float]] = []
        for _ in range(60):
            size = rng.uniform(0.135, 0.185 if count < 4 else 0.165)
            x, y = rng.uniform(size + 0.02, 0.98 - size), rng.uniform(size + 0.06, 0.98 - size)
            if all(max(abs(x - a), abs(y - b)) > size + s + 0.01 for a, b, s in spots):
                spots.append((x, y, size))
                if len(spots) == count:
                    return spots


_MAKERS = (single, several, pair, mixed, landscape)
_WEIGHTS = (0.46, 0.22, 0.2, 0.07, 0.05)


def random_scene(rng: np.random.Generator, *, pairs: list[tuple[str, str | None]] | None = None) -> Scene:
    """A scene as the training world has them: mostly one thing, often several, sometimes none.

    `pairs` restricts the (kind, colour) pairs; by default all but the held-out ones. With one kind there are no scenes of two.
    """
    weights = np.array(_WEIGHTS)
    if pairs is not None and not _has_two_kinds(pairs):
        weights[[_MAKERS.index(pair), _MAKERS.index(mixed)]] = 0
        weights /= weights.sum()
    maker = _MAKERS[int(rng.choice(len(_MAKERS), p=weights))]
    return maker(rng) if maker is landscape else maker(rng, pairs=pairs)


def vary(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with one fact changed and everything else told of it the same, drawn afresh.

    What can change: the place or size of a single thing, how many alike there are, a kind, a colour, the background,
    the hour. The order of two things is left alone.
    """
    setting = {"background": scene.background, "time": scene.time}
    changes = ["background", "time"]
    if scene.things:
        first = scene.groups[0]
        changes += ["kind"] + ["color"] * (first.color is not None)
        changes += (
            ["place", "place", "size", "count"]
            if scene.place
            else ["count", "count"]
            if len(scene.groups) == 1
            else []
        )
    change = _pick(rng, changes)
    if change == "background":
        setting["background"] = _pick(rng, [b for b in BACKGROUNDS if b != scene.background])
    elif change == "time":
        setting["time"] = _pick(rng, [t for t in TIMES if t != scene.time])
    if not scene.things:
        return landscape(rng, **setting)
    kind, color, count = first.kind, first.color, first.count
    taken = {g.kind for g in scene.groups}
    if change == "kind":
        kind, color = _pick(
            rng, [(k, c) for k, c in allowed_pairs() if k not in taken and color in (c, None)]
        )
    elif change == "color":
        color = _pick(rng, [c for k, c in allowed_pairs() if k == kind and c != color])
    elif change == "count":
        count = _pick(rng, [n for n in (1, 2, 3, 4) if n != count])
    chosen = [(kind, color)]
    if len(scene.groups) > 1 and not scene.relation:  # mixtures keep their spots
        things = tuple(
            replace(t, kind=kind, color=color) if t.kind == first.kind else t for t in scene.things
        )
        return Scene(
            tuple(replace(t, pose=int(rng.integers(1 << 30))) for t in things),
            seed=int(rng.integers(1 << 30)),
            **setting,
        )
    if scene.relation:
        second = scene.groups[1]
        return pair(
            rng, relation=scene.relation, first=chosen[0], second=(second.kind, second.color), **setting
        )
    if count > 1:
        return several(rng, count=count, kind=kind, color=color, pairs=chosen, **setting)
    place = _pick(rng, [p for p in PLACES if p != scene.place]) if change == "place" else scene.place
    size = _pick(rng, [z for z in SIZES if z != scene.size]) if change == "size" else scene.size
    return single(rng, kind=kind, color=color, place=place, size=size, pairs=chosen, **setting)


def distinct_scenes(rng: np.random.Generator, count: int, make=random_scene) -> list[Scene]:
    """`count` scenes of which no two have the same meaning."""
    found: dict[tuple, Scene] = {}
    for _ in range(100 * count):
        scene = make(rng)
        found.setdefault(scene.meaning, scene)
        if len(found) == count:
            return list(found.values())
    raise ValueError(f"There are fewer than {count} different scenes of this sort.")
