"""Pictures that a learner has not seen, drawn while a check runs, with their truth known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...clip import CLIPService
from ...images import resize

SEED = 28_000  # the notebook itself draws with small seeds


class Unseen:
    """What the checks of exercise 1 stand on: the model, a source of new pictures, words for what they show.

    `picture(seed, kind=..., color=..., background=...)` draws a new picture: one thing, or a landscape without
    `kind`; what is not given is at random, and `seed` is anything `numpy.random.default_rng` takes. `names`
    maps kinds, and None for a landscape, to words in the learner's language.
    """

    def __init__(self, clip: CLIPService, picture: Callable[..., Any], names: Mapping[str | None, str]):
        self.clip, self.picture, self.names = clip, picture, dict(names)
        self.kinds = [kind for kind in self.names if kind is not None]
        self._known: dict[tuple, np.ndarray] = {}

    def draw(self, part: int, wanted: Sequence[Mapping[str, str | None]]) -> list:
        """A new picture for each set of facts; `part` keeps the pictures of different checks apart."""
        return [self.picture((SEED, part, i), **facts) for i, facts in enumerate(wanted)]

    def features(
        self, part: int, wanted: Sequence[Mapping[str, str | None]], size: int | None = None
    ) -> np.ndarray:
        """Features `(n, d)` of these pictures, scaled to `size` pixels if it is given; drawn once, however often a check runs."""
        key = part, size, tuple(tuple(sorted(facts.items())) for facts in wanted)
        if key not in self._known:
            pictures = self.draw(part, wanted)
            self._known[key] = self.image_features([resize(p, size) for p in pictures] if size else pictures)
            self._known[key].flags.writeable = False
        return self._known[key]

    def image_features(self, pictures: list) -> np.ndarray:
        """`(n, d)`, rows of length 1. No progress bar: nbgrader gives no points where stderr is not empty."""
        return self.clip.encode_image(pictures, progress=False)

    def text_features(self, texts: list[str]) -> np.ndarray:
        """`(m, d)`, rows of length 1."""
        return self.clip.encode_text(texts, progress=False)
