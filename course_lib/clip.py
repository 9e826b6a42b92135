"""CLIP and its relatives: pictures and texts as vectors in one space (chapter, section 二).

One class serves CLIP (Radford et al. 2021), Chinese-CLIP, AltCLIP, MetaCLIP 2, SigLIP and SigLIP 2. They
share the two towers and the cosine; scale, bias, padding and activation differ, and are read from the
model.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize
from tqdm.auto import tqdm

from . import loading, settings
from .batching import quiet
from .images import ImageSource, is_many
from .preprocessing import Preprocessor
from .texts import Texts, as_labels, as_texts, fill, some_texts, tokenize, warn_of_language

SOFTMAX = ("clip", "chinese_clip", "altclip", "metaclip_2")  # the texts compete, probabilities add up to 1
SIGMOID = ("siglip", "siglip2")  # each text by itself: does it fit this picture? (Zhai et al. 2023)

Images = ImageSource | Iterable[ImageSource]


class Classification(dict):
    """Label to probability, in the order the labels were given, with the verdict beside it.

    `label` is the answer, or None where the service abstained. `similarities` maps each label to its
    cosine. `none` is the probability that no label fits, 0 unless `none_of_these` was given.
    """

    def __init__(self, probabilities: dict, similarities: dict, *, none: float, abstain: bool):
        super().__init__(probabilities)
        self.similarities, self.none = similarities, none
        best = max(self, key=self.get)
        self.label: str | None = None if abstain or none > self[best] else best


class CLIPService:
    """Encodes pictures and texts, compares them, and classifies without training.

    `model_name` is a folder, a hub id (`course_lib.registry` has some) or "mini-clip"; without it the
    settings decide. Features are float32 of length 1: their dot product is the cosine. Services on one
    model share it.
    """

    def __init__(
        self, model_name: str | os.PathLike | None = None, *, device: str | None = None, batch_size: int = 16
    ):
        self.name = settings.resolve("COURSE_CLIP_MODEL", model_name).value
        self.device = loading.pick_device(device)
        self.batch_size = batch_size
        self._loaded = loading.load(self.name, families=SOFTMAX + SIGMOID, device=self.device)
        self.model, self.tokenizer = self._loaded.model, self._loaded.tokenizer
        self.preprocessor = Preprocessor(self._loaded.image_processor)
        self.family = self.model.config.model_type
        self.logit_scale = self.model.logit_scale.exp().item()  # the learned temperature, not a constant 100
        self.logit_bias = self.model.logit_bias.item() if self.family in SIGMOID else 0.0
        self.max_tokens = _max_tokens(self.model.config, self.tokenizer)
        config = self.model.config
        self.dim = getattr(config, "projection_dim", None) or config.vision_config.hidden_size

    def __repr__(self) -> str:
        return f"CLIPService({self.name!r}, family={self.family!r}, device={self.device!r})"

    def encode_image(self, image: Images, *, progress: bool = True) -> np.ndarray:
        """Image features, float32 `(n, d)`, L2-normalised, of one picture or many.

        A picture is anything `open_image` takes; many are a list, an iterator or an `(n, H, W, 3)` array.
        Threads read ahead while the model computes. Raises `ImageError` for a picture that cannot be read.
        """
        images = list(image) if is_many(image) else [image]
        batches = _read_ahead(self.preprocessor.prepare, images, self.batch_size)
        return self._encode(self._image_features, batches, len(images), progress)

    def encode_text(self, text: Texts, *, progress: bool = True) -> np.ndarray:
        """Text features, float32 `(n, d)`, L2-normalised, of one text or many.

        A text longer than the model reads is cut, with a `CourseWarning` saying by how many tokens. Raises
        `TextError` for an empty text, or what is no text.
        """
        texts = as_texts(text)
        warn_of_language(self.name, texts)
        batches = (texts[start : start + self.batch_size] for start in range(0, len(texts), self.batch_size))
        return self._encode(self._text_features, batches, len(texts), progress)

    def similarity(self, image: Images, texts: Texts) -> np.ndarray:
        """Cosine similarity in [-1, 1], float32 `(n_images, n_texts)`; `(n_texts,)` for a single picture.

        Raises `ImageError` for an unreadable picture, `TextError` for no text.
        """
        similarities = self.encode_image(image) @ self.encode_text(some_texts(texts)).T
        return similarities if is_many(image) else similarities[0]

    def logits(self, image: Images, texts: Texts) -> np.ndarray:
        """The model's `logits_per_image`, shaped like `similarity`: cosine x scale, + bias for SigLIP."""
        return self._scaled(self.similarity(image, texts))

    def probabilities(self, image: Images, texts: Texts) -> np.ndarray:
        """Probabilities, shaped like `similarity`: softmax over the texts, or a sigmoid each for SigLIP."""
        return self.to_probabilities(self.similarity(image, texts))

    def to_probabilities(self, similarities: np.ndarray) -> np.ndarray:
        """The same from cosines, `(n_texts,)` or `(n_images, n_texts)`, of vectors that are already there."""
        logits = torch.from_numpy(self._scaled(similarities))
        return (logits.softmax(dim=-1) if self.family in SOFTMAX else logits.sigmoid()).numpy()

    def zero_shot_classify(
        self,
        image: Images,
        labels: Iterable[str],
        *,
        template: Texts | None = None,
        none_of_these: Texts | None = None,
        min_similarity: float | None = None,
    ) -> Classification | list[Classification]:
        """Zero-shot classification (Radford et al. 2021, section 3.1), a list of results for many pictures.

        `template` puts each label into a sentence at its `{}`; over several templates the features are
        averaged, as in the paper. A softmax crowns one of the labels even when none is right. Two ways to
        abstain, which leave `label` None: `none_of_these`, texts for anything else, compete with the labels
        and win; or the best cosine is below `min_similarity`. Raises `TextError` for no, empty or repeated
        labels.
        """
        labels = as_labels(labels)
        text_features = self._label_features(labels, template)
        if none_of_these is not None:
            text_features = np.concatenate([text_features, self.encode_text(some_texts(none_of_these))])
        similarities = self.encode_image(image) @ text_features.T
        probabilities = self.to_probabilities(similarities)
        n, softmax, results = len(labels), self.family in SOFTMAX, []
        for cosine, probability in zip(similarities, probabilities, strict=True):
            rest = probability[n:]
            results.append(
                Classification(
                    dict(zip(labels, probability[:n].tolist(), strict=True)),
                    dict(zip(labels, cosine[:n].tolist(), strict=True)),
                    none=float(rest.sum() if softmax else rest.max(initial=0)),
                    abstain=min_similarity is not None and cosine[:n].max() < min_similarity,
                )
            )
        return results if is_many(image) else results[0]

    def _label_features(self, labels: list[str], template: Texts | None) -> np.ndarray:
        templates = ["{}"] if template is None else some_texts(template)
        prompts = [prompt for template in templates for prompt in fill(template, labels)]
        features = self.encode_text(prompts).reshape(len(templates), len(labels), self.dim).mean(axis=0)
        return features / np.linalg.norm(features, axis=-1, keepdims=True)

    def _scaled(self, similarities: np.ndarray) -> np.ndarray:
        return similarities * np.float32(self.logit_scale) + np.float32(self.logit_bias)

    @torch.inference_mode()
    def _encode(self, features: Callable, batches: Iterable[list], total: int, progress: bool) -> np.ndarray:
        encoded = [np.empty((0, self.dim), np.float32)]
        # The bar appears after two seconds, so that short work stays silent.
        with tqdm(total=total, disable=quiet(progress), delay=2, leave=False) as bar:
            for batch in batches:
                encoded.append(normalize(features(batch), dim=-1).cpu().numpy())
                bar.update(len(batch))
        return np.concatenate(encoded)

    def _image_features(self, batch: list) -> torch.Tensor:
        return pooled(self.model.get_image_features(**self.preprocessor.batch(batch, self.device)))

    def _text_features(self, texts: list[str]) -> torch.Tensor:
        if self.family in SIGMOID:
            # Lower case, as in training: SigLIP 2's tokenizer leaves that to its caller.
            texts = [text.lower() for text in texts]
        # SigLIP attends to its padding, so it must see as much of it as in training.
        padding = "max_length" if self.family in SIGMOID else True
        inputs = tokenize(self.tokenizer, texts, self.max_tokens, padding=padding)
        return pooled(self.model.get_text_features(**inputs.to(self.device)))


def pooled(output: Any) -> torch.Tensor:
    """The projected vectors: `pooler_output` since transformers 5, the output itself before."""
    return getattr(output, "pooler_output", output)


def _max_tokens(config: Any, tokenizer: Any) -> int:
    text = config.text_config
    # RoBERTa, AltCLIP's text tower, counts positions from behind its padding index.
    first = text.pad_token_id + 1 if config.model_type == "altclip" else 0
    return min(tokenizer.model_max_length, text.max_position_embeddings - first)


def _read_ahead(prepare: Callable, items: list, batch_size: int) -> Iterator[list]:
    """`prepare` every item in threads, and yield batches while the next two are being prepared."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        batches: deque[list] = deque()
        for start in range(0, len(items), batch_size):
            batches.append([pool.submit(prepare, item) for item in items[start : start + batch_size]])
            if len(batches) > 2:
                yield [future.result() for future in batches.popleft()]
        for batch in batches:
            yield [future.result() for future in batch]
