"""mini-clip as a judge of pictures that others painted: is what was asked for recognised, zero-shot?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

from .. import words
from ..paths import MODELS
from ..scenes import BACKGROUNDS, COLORS, KINDS, PLACES, TIMES, Scene
from .evaluate_clip import embed_texts, phrase, unit

FACTS = ("kind", "color", "background", "time", "place")

# A question about a picture: the sentences to choose from, and which of them is true of the scene.
Question = tuple[list[str], int]


def question(fact: str, scene: Scene, lang: str) -> Question:
    """What mini-clip is asked about a picture of `scene`; but for the kind itself, the kind is given.

    Phrases as in evaluate_clip.py.
    """
    group = scene.groups[0]
    what = words.group_phrase(group.kind, None, 1, lang)
    if fact == "kind":
        return [phrase(lang, k) for k in KINDS], KINDS.index(group.kind)
    if fact == "color":
        return [phrase(lang, group.kind, c) for c in COLORS], COLORS.index(group.color)
    if fact == "count":
        return [phrase(lang, group.kind, None, n) for n in (1, 2, 3, 4)], group.count - 1
    options, table, true = {
        "background": (BACKGROUNDS, words.BACKGROUND, scene.background),
        "time": (TIMES, words.TIME, scene.time),
        "place": (PLACES, words.PLACE, scene.place),
    }[fact]
    sentence = {
        "en": "a picture of {what} {said}",
        "zh": "图中{said}有{what}" if fact == "place" else "{said}有{what}",
    }[lang]
    return [sentence.format(what=what, said=table[lang][option]) for option in options], options.index(true)


class Judge:
    """mini-clip, asked which of several sentences fits a picture best."""

    def __init__(self, folder: Path = MODELS / "mini-clip"):
        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = CLIPProcessor.from_pretrained(folder)

    @torch.no_grad()
    def embed(self, images: list[Image.Image], batch: int = 64) -> np.ndarray:
        found = []
        for i in range(0, len(images), batch):
            inputs = self.processor(images=images[i : i + batch], return_tensors="pt")
            found.append(self.model.get_image_features(**inputs))
        return unit(found)

    @torch.no_grad()
    def answers(self, vectors: np.ndarray, choices: list[list[str]]) -> np.ndarray:
        """Index of the nearest of its own choices for each picture's vector, `(n,)`."""
        unique = sorted({text for some in choices for text in some})
        texts = dict(zip(unique, embed_texts(self.model, self.processor, unique)))
        return np.array(
            [int(np.argmax(np.stack([texts[t] for t in some]) @ v)) for v, some in zip(vectors, choices)]
        )

    def shares(
        self, images: list[Image.Image], scenes: list[Scene], lang: str, facts=FACTS
    ) -> dict[str, float]:
        """Share of pictures in which each fact of the scene is recognised; colours only of what has one."""
        vectors, found = self.embed(images), {}
        for fact in facts:
            known = [i for i, s in enumerate(scenes) if fact != "color" or s.groups[0].color]
            choices, true = zip(*(question(fact, scenes[i], lang) for i in known))
            found[fact] = float(np.mean(self.answers(vectors[known], list(choices)) == np.array(true)))
        return found
