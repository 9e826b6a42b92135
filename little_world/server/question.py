"""A request made ready for the model, and several of them as one batch."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch

from .decoding import Sampling


@dataclass(frozen=True, eq=False)
class Question:
    """The model's inputs for one request (tensors of a batch of one), and how it is to be answered."""

    inputs: dict[str, torch.Tensor]
    limit: int
    sampling: Sampling
    stops: list[str]
    matcher: Any  # llguidance.LLMatcher, or None for free text

    @property
    def tokens(self) -> int:
        return self.inputs["input_ids"].shape[1]

    @property
    def key(self) -> Hashable:
        """Equal for questions that fit into one batch: the tensors of their pictures can be put in a row."""
        others = ((name, tuple(value.shape[1:])) for name, value in self.inputs.items())
        return tuple(sorted(entry for entry in others if not self.per_token(entry[0])))

    def per_token(self, name: str) -> bool:
        """Whether a tensor has a value for each token, as the ids, the attention mask and token types do."""
        return self.inputs[name].shape == self.inputs["input_ids"].shape


def collate(questions: list[Question], *, pad: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Texts padded on the left, so that every answer begins at the same step; pictures in a row."""
    length = max(question.tokens for question in questions)
    batch = {}
    for name in questions[0].inputs:
        values = [question.inputs[name] for question in questions]
        if questions[0].per_token(name):
            fill = pad if name == "input_ids" else 0
            values = [
                torch.nn.functional.pad(value, (length - value.shape[1], 0), value=fill) for value in values
            ]
        batch[name] = torch.cat(values).to(device)
    return batch
