"""X-CLIP (Ni et al. 2022): whole clips and texts as vectors in one space, the order of frames taken into account.

Three parts are added to CLIP. Inside the vision tower frames pass messages to each other; a small transformer with
positions over the frames makes one vector of them; and every text is adapted to the clip that it is compared with.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import normalize

from . import loading
from .clip import Classification, pooled
from .errors import VideoError
from .images import ImageSource, is_many
from .preprocessing import Preprocessor
from .settings import say
from .texts import Texts, as_labels, fill, some_texts, tokenize, warn_of_language

Frames = Sequence[ImageSource] | np.ndarray  # of one clip, in their order


class Watched(NamedTuple):
    """What X-CLIP keeps of n clips: `features` (n, d) float32 of length 1, and `patches` (n, p, d), the mean over
    the frames of what is seen in each place, which adapts the texts."""

    features: np.ndarray
    patches: np.ndarray


class XCLIPService:
    """Compares clips with texts. `model_name` is a folder or a hub id (`registry.models(task="video")` has some).

    A clip is a list of pictures, or a `(t, H, W, 3)` array, of any length: the model takes exactly `num_frames` of
    them, and is given that many, evenly spread. `batch_size` counts clips.
    """

    def __init__(self, model_name: str | os.PathLike, *, device: str | None = None, batch_size: int = 4):
        self.name = str(model_name)
        self.device = loading.pick_device(device)
        self.batch_size = batch_size
        self._loaded = loading.load(self.name, families=("xclip",), device=self.device)
        self.model, self.tokenizer = self._loaded.model, self._loaded.tokenizer
        self.preprocessor = Preprocessor(self._loaded.image_processor)
        config = self.model.config
        self.num_frames: int = config.vision_config.num_frames
        self.dim: int = config.projection_dim
        self.logit_scale = self.model.logit_scale.exp().item()
        self.max_tokens = min(self.tokenizer.model_max_length, config.text_config.max_position_embeddings)

    def __repr__(self) -> str:
        return f"XCLIPService({self.name!r}, num_frames={self.num_frames}, device={self.device!r})"

    def encode_video(self, clips: Frames | Iterable[Frames]) -> np.ndarray:
        """Clip features, float32 `(n, d)`, L2-normalised, of one clip or many."""
        return self.watch(clips).features

    @torch.inference_mode()
    def watch(self, clips: Frames | Iterable[Frames]) -> Watched:
        """What is kept of one clip or many, to be compared with any number of texts; see `similarity`."""
        clips = _as_clips(clips)
        prepared = [[self.preprocessor.prepare(frame) for frame in self._evenly(clip)] for clip in clips]
        seen = [
            self._watch(prepared[i : i + self.batch_size]) for i in range(0, len(prepared), self.batch_size)
        ]
        return Watched(*(torch.cat(parts).cpu().numpy() for parts in zip(*seen)))

    @torch.inference_mode()
    def similarity(self, clips: Watched | Frames | Iterable[Frames], texts: Texts) -> np.ndarray:
        """Cosine similarity of each clip with each text as adapted to it, float32 `(n_clips, n_texts)`.

        That is the model's `logits_per_video` over its `logit_scale`; the plain vectors' product is another number.
        """
        watched = clips if isinstance(clips, Watched) else self.watch(clips)
        texts = some_texts(texts)
        warn_of_language(self.name, texts)
        inputs = tokenize(self.tokenizer, texts, self.max_tokens).to(self.device)
        plain = pooled(self.model.get_text_features(**inputs))  # (texts, d)
        found = []
        for feature, patches in zip(torch.from_numpy(watched.features), torch.from_numpy(watched.patches)):
            adapted = plain + self.model.prompts_generator(plain[None], patches[None].to(self.device))[0]
            found.append(normalize(adapted, dim=-1).cpu() @ feature)
        return torch.stack(found).numpy()

    def zero_shot_classify(
        self, clip: Watched | Frames, labels: Iterable[str], *, template: str = "{}"
    ) -> Classification:
        """Which of the labels fits one clip, each put into the template's sentence."""
        labels = as_labels(labels)
        cosines = self.similarity(clip, fill(template, labels))[0]
        shares = torch.from_numpy(cosines * np.float32(self.logit_scale)).softmax(dim=0)
        return Classification(
            dict(zip(labels, shares.tolist(), strict=True)), dict(zip(labels, cosines.tolist(), strict=True)),
            none=0.0, abstain=False,
        )  # fmt: skip

    def _evenly(self, clip: Frames) -> list[ImageSource]:
        """As many frames as the model takes, evenly spread; of a short clip some come more than once."""
        ids = np.linspace(0, len(clip) - 1, self.num_frames).round().astype(int)
        return [clip[i] for i in ids]

    def _watch(self, clips: list[list]) -> tuple[torch.Tensor, torch.Tensor]:
        """The model's forward pass up to where the texts come in."""
        model, n = self.model, len(clips)
        # The tower takes the frames of all clips in a row: (n * num_frames, 3, H, W).
        inputs = self.preprocessor.batch([frame for clip in clips for frame in clip], self.device)
        pixels = inputs["pixel_values"].flatten(end_dim=-4)
        seen = model.vision_model(pixel_values=pixels)
        frames = model.visual_projection(seen.pooler_output).view(n, self.num_frames, -1)
        patches = (
            model.prompts_visual_layernorm(seen.last_hidden_state[:, 1:]) @ model.prompts_visual_projection
        )
        patches = patches.view(n, self.num_frames, *patches.shape[1:]).mean(dim=1)
        return normalize(model.mit(frames).pooler_output, dim=-1), patches


def _as_clips(clips: Frames | Iterable[Frames]) -> list[Frames]:
    """One clip or many as a list. Raises `VideoError` for a clip without a frame."""
    if isinstance(clips, np.ndarray):
        found = [clips] if clips.ndim == 4 else list(clips)
    else:
        found = list(clips) if is_many(clips) else []
        if found and not is_many(found[0]):
            found = [found]
    if not found or not all(len(clip) for clip in found):
        raise VideoError(
            say(
                zh="这里需要一段或几段视频帧，请传入帧的列表，例如 [frame.image for frame in video.sample(8)]。",
                en="The frames of a clip are needed here, please pass a list of them, for instance "
                "[frame.image for frame in video.sample(8)].",
            )
        )
    return found
