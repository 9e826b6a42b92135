"""One answer from what is seen and what is heard (late fusion), each counting as much as it is sure of itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from .clip import Classification, CLIPService
from .errors import ImageError
from .hearing import SoundEncoder
from .images import ImageSource
from .settings import say
from .texts import as_labels, fill
from .video_sound import Sound


class Fusion(NamedTuple):
    """What the picture says by itself, what the sound says by itself, and what they say together."""

    picture: Classification
    sound: Classification
    both: Classification


def fuse(
    service: CLIPService,
    ears: SoundEncoder,
    frames: Sequence[ImageSource],
    sound: Sound,
    labels: Iterable[str],
    template: str = "{}",
) -> Fusion:
    """Which label fits frames (at least one) and the sound that goes with them.

    A product of experts (Hinton 2002): given the answer, what is seen and what is heard are taken to be independent,
    so that probabilities are multiplied. See `log_probabilities` for how sure each of them is.
    """
    labels, frames = as_labels(labels), list(frames)
    if not frames:
        raise ImageError(
            say(zh="没有图片：请至少给出一帧画面。", en="There is no picture: give at least one frame.")
        )
    texts = service.encode_text(fill(template, labels))
    seen = (service.encode_image(frames, progress=False) @ texts.T).mean(axis=0)
    heard = (ears.encode_sound(sound) @ texts.T).mean(axis=0)
    by_picture = log_probabilities(seen, ears.confidence["picture"])
    by_sound = log_probabilities(heard, ears.confidence["sound"])
    return Fusion(
        _classification(labels, by_picture, seen),
        _classification(labels, by_sound, heard),
        _classification(labels, by_picture + by_sound, seen + heard),
    )


def log_probabilities(cosines: np.ndarray, confidence: Sequence[float]) -> np.ndarray:
    """Calibrated log-probabilities of cosines `(..., n_labels)`: scaled, and then a softmax.

    The scale is `exp(a + b * best cosine)`, `confidence` = (a, b): noise moves a picture or a sound away from every
    text, so that a low best cosine tells that it is not to be trusted. a and b are fitted on spoilt examples.
    """
    a, b = confidence
    logits = cosines * np.exp(a + b * cosines.max(axis=-1, keepdims=True))
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def _classification(labels: list[str], log_shares: np.ndarray, cosines: np.ndarray) -> Classification:
    shares = np.exp(log_shares - log_shares.max())
    shares /= shares.sum()
    return Classification(
        dict(zip(labels, shares.tolist(), strict=True)), dict(zip(labels, cosines.tolist(), strict=True)),
        none=0.0, abstain=False,
    )  # fmt: skip
