"""Sounds as vectors in CLIP's space, so that a text can be compared with what is heard as with what is seen.

The towers of text and picture stay as they are, and a third one learns to meet the texts (locked-text tuning as in
Zhai et al. 2022; sound and text as in CLAP, Elizalde et al. 2023).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn.functional import normalize

from . import loading
from .errors import VideoError
from .settings import say
from .texts import Texts, some_texts
from .video_sound import Sound, resample

if TYPE_CHECKING:
    from .clip import CLIPService

RATE = 16_000  # samples a second that the tower hears
# samples of a spectrum, from one to the next; mel bands from 50 Hz to 8 kHz
WINDOW, HOP, BANDS = (1024, 512, 64)
FRAMES = 64  # spectra that are heard in one go: 2.05 s
_SILENCE = 1e-6  # power of a band that counts as nothing


class SoundNetwork(nn.Module):
    """Log-mel spectrograms `(b, t, bands)` to vectors `(b, dim)` of length 1: four convolutions, each halving both axes."""

    def __init__(self, dim: int, widths: tuple[int, ...]):
        super().__init__()
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.ReLU())
                for a, b in zip((1, *widths), widths)
            )
        )
        self.project = nn.Linear(widths[-1], dim)
        self.logit_scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, spectrograms: torch.Tensor) -> torch.Tensor:
        return normalize(self.project(self.layers(spectrograms[:, None]).mean(dim=(2, 3))), dim=-1)


class SoundEncoder:
    """mini-sound beside the CLIP model whose texts it was trained with."""

    def __init__(self, service: CLIPService, model_name: str = "mini-sound"):
        config, weights = loading.read_weights(model_name)
        loading.check_same_model(model_name, config["clip"], service.name)
        self.name, self.service = model_name, service
        self.confidence: dict[str, list[float]] = config["confidence"]
        self.network = SoundNetwork(config["dim"], tuple(config["widths"]))
        floats = {
            name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()
        }
        self.network.load_state_dict(floats)
        self.network.eval()

    @torch.inference_mode()
    def encode_sound(self, sound: Sound) -> np.ndarray:
        """Sound features, float32 `(n, d)` of length 1, one for each window of two seconds, half a window apart."""
        return self.network(torch.from_numpy(spectrograms(sound))).numpy()

    def similarity(self, sound: Sound, texts: Texts) -> np.ndarray:
        """Cosine similarity of each window with each text, float32 `(n, n_texts)`."""
        return self.encode_sound(sound) @ self.service.encode_text(some_texts(texts)).T


def spectrograms(sound: Sound) -> np.ndarray:
    """Log-mel spectrograms of windows half a window apart, `(n, FRAMES, BANDS)` float32 around 0 to 1.

    A sound that is shorter than a window is repeated until it fills one.
    """
    samples, rate = np.asarray(sound[0], np.float32), sound[1]
    if samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all():
        raise VideoError(
            say(
                zh="声音必须是一维的、非空的采样数组，例如 video.audio()。",
                en="A sound must be a one-dimensional array of samples that is not empty, for instance video.audio().",
            )
        )
    if rate != RATE:
        samples = resample(samples, rate, RATE, max(1, round(len(samples) / rate * RATE)))
    window = FRAMES * HOP
    count = max(1, 1 + (len(samples) - window) // (window // 2))
    starts = np.linspace(0, max(0, len(samples) - window), count).round().astype(int)
    return np.stack([log_mel(np.resize(samples[start : start + window], window)) for start in starts])


def log_mel(samples: np.ndarray) -> np.ndarray:
    """The log-mel spectrogram of samples at `RATE`, `(t, BANDS)` float32: a spectrum every `HOP` samples."""
    padded = np.pad(samples, (WINDOW // 2, WINDOW // 2 - HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW + 1)[:-1])) ** 2
    return ((np.log10(np.maximum(power @ _mel_filters(), _SILENCE)) + 3) / 2).astype(np.float32)


@lru_cache(maxsize=1)
def _mel_filters() -> np.ndarray:
    from transformers.audio_utils import mel_filter_bank

    return mel_filter_bank(WINDOW // 2 + 1, BANDS, 50, RATE // 2, RATE, norm="slaney", mel_scale="slaney")
