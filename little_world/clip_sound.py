"""The sound of a clip, synthesised from what is to be seen: an engine is heard while its car is on screen.

Nothing is sampled. Each sound is a few lines of arithmetic; how loud it is follows from how much of its thing
is in the picture.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .clips import PERIOD, Actor, Clip, Shot

RATE = 16_000
SOUND_OF = {
    "car": "engine",
    "bus": "engine",
    "train": "chuff",
    "airplane": "propeller",
    "rocket": "roar",
    "dog": "bark",
    "cat": "meow",
    "duck": "quack",
    "bird": "chirp",
    "clock": "bell",
}
SOUND_OF_PLACE = {"beach": "waves"}

Synth = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def sound_of(actor: Actor) -> str | None:
    """The name of the sound that a thing makes by what it is and does, or None."""
    return SOUND_OF.get(actor.kind) or ("thump" if actor.motion == "bounce" else None)


def sounds_of(shot: Shot) -> list[str]:
    """The names of what can be heard in a shot."""
    found = [sound_of(actor) for actor in shot.actors] + [SOUND_OF_PLACE.get(shot.background)]
    return sorted({name for name in found if name}) if shot.sound else []


def sound_track(clip: Clip) -> np.ndarray:
    """The clip's sound, `(n,)` float32 in -1..1 at `RATE`; silence where nothing can be heard."""
    samples = np.zeros(round(clip.seconds * RATE), np.float32)
    for i, shot in enumerate(clip.shots):
        start = round(clip.cuts[i] * RATE)
        if clip.sound and shot.sound:
            piece = _shot_sound(shot)[: len(samples) - start]
            samples[start : start + len(piece)] = piece
    return samples


def is_heard(clip: Clip, t: float) -> bool:
    """Whether anything makes a sound at second `t` of the clip."""
    i, local = clip.at(t)
    shot = clip.shots[i]
    if not (clip.sound and shot.sound):
        return False
    if shot.background in SOUND_OF_PLACE:
        return True
    return any(sound_of(actor) and _loudness(actor, local, shot.seconds) > 0.02 for actor in shot.actors)


def _shot_sound(shot: Shot) -> np.ndarray:
    t = np.arange(round(shot.seconds * RATE)) / RATE
    mixed = np.zeros(len(t))
    knots = np.linspace(0, shot.seconds, max(2, round(shot.seconds * 50)))
    for actor in shot.actors:
        if name := sound_of(actor):
            loudness = [_loudness(actor, float(k), shot.seconds) for k in knots]
            mixed += np.interp(t, knots, loudness) * _SYNTHS[name](t, np.random.default_rng(actor.pose))
    if place := SOUND_OF_PLACE.get(shot.background):
        mixed += 0.5 * _SYNTHS[place](t, np.random.default_rng(shot.seed))
    fade = np.clip(np.minimum(t, shot.seconds - t) / 0.015, 0, 1)  # no clicks at the cuts
    return (np.tanh(mixed * 0.6) * fade).astype(np.float32)


def _loudness(actor: Actor, t: float, seconds: float) -> float:
    """The part of a thing's box that is in the picture, 0..1; 0 for what bounced and bounces no more."""
    thing = actor.thing(t, seconds)
    if thing is None or (sound_of(actor) == "thump" and actor.motion_at(t) != "bounce"):
        return 0.0
    left, top, right, bottom = thing.box
    seen = max(0.0, min(right, 1) - max(left, 0)) * max(0.0, min(bottom, 1) - max(top, 0))
    return seen / (4 * thing.size**2)


# ---------------------------------------------------------------------------------------------- the sounds


def _noise(t: np.ndarray, rng: np.random.Generator, cutoff: float) -> np.ndarray:
    """Noise below `cutoff` Hz, with a root mean square of 1."""
    spectrum = np.fft.rfft(rng.standard_normal(len(t)))
    frequency = np.fft.rfftfreq(len(t), 1 / RATE)
    made = np.fft.irfft(spectrum / (1 + (frequency / cutoff) ** 2), len(t))
    return made / (made.std() + 1e-9)


def _tone(phase: np.ndarray, harmonics: int, slope: float = 1.0) -> np.ndarray:
    """Harmonics of a phase in turns, the k-th weaker by k to the power of `slope`."""
    return sum(np.sin(2 * np.pi * k * phase) / k**slope for k in range(1, harmonics + 1))


def _calls(
    t: np.ndarray, every: float, lasts: float, pitch: Callable, harmonics: int, slope: float
) -> np.ndarray:
    """A call of `lasts` seconds each `every` seconds; `pitch` in Hz is a function of its course 0..1."""
    course = np.clip((t % every) / lasts, 0, 1)
    phase = np.cumsum(pitch(course)) / RATE
    return _tone(phase, harmonics, slope) * np.sin(np.pi * course) ** 0.7 * (course < 1)


def _engine(t, rng):
    hum = rng.uniform(68, 92)
    return 0.5 * _tone(t * hum + 0.05 * np.sin(2 * np.pi * 9 * t), 8) + 0.15 * _noise(t, rng, 500)


def _chuff(t, rng):
    return _noise(t, rng, 1200) * np.exp(-((t * rng.uniform(3.2, 4.2)) % 1) * 5) * 0.9


def _propeller(t, rng):
    return 0.45 * _tone(t * rng.uniform(100, 130), 10, 0.8) * (1 + 0.5 * np.sin(2 * np.pi * 21 * t))


def _roar(t, rng):
    return 0.6 * _noise(t, rng, 220) + 0.15 * _noise(t, rng, 2500)


def _bark(t, rng):
    top = rng.uniform(480, 620)
    return 0.9 * _calls(t, 0.55, 0.16, lambda c: top * (1 - 0.45 * c), 6, 0.7)


def _meow(t, rng):
    top = rng.uniform(620, 760)
    return 0.7 * _calls(t, 1.1, 0.75, lambda c: top * (0.75 + 0.35 * np.sin(np.pi * c**0.7)), 5, 1.0)


def _quack(t, rng):
    top = rng.uniform(260, 320)
    return 0.5 * _calls(t, 0.42, 0.2, lambda c: top * (1 - 0.15 * c), 14, 0.35)


def _chirp(t, rng):
    top = rng.uniform(3200, 4200)
    return 0.6 * _calls(t, 0.3, 0.12, lambda c: top * (0.8 + 0.35 * c), 1, 1.0)


def _bell(t, rng):
    high = rng.uniform(1700, 2100)
    ring = np.sin(2 * np.pi * high * t) + 0.6 * np.sin(2 * np.pi * high * 1.51 * t)
    return 0.5 * ring * np.exp(-((t * 16) % 1) * 2.5)


def _thump(t, rng):
    since = t % PERIOD["bounce"]
    return 1.2 * np.sin(2 * np.pi * 110 * since) * np.exp(-since * 22)


def _waves(t, rng):
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * (t / 3.1 + rng.uniform()))
    return 0.5 * _noise(t, rng, 900) * swell


_SYNTHS: dict[str, Synth] = {
    "engine": _engine,
    "chuff": _chuff,
    "propeller": _propeller,
    "roar": _roar,
    "bark": _bark,
    "meow": _meow,
    "quack": _quack,
    "chirp": _chirp,
    "bell": _bell,
    "thump": _thump,
    "waves": _waves,
}
SOUNDS = tuple(_SYNTHS)
