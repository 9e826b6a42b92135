"""A picture's tokens come to lie near the words for what they show, so that a named thing can be looked for.

"Is there a cat?" is answered by comparing a word with what each place of the picture holds. Conversations alone teach that
slowly: a description can be told without it. So the projector's output for each patch, which stands where a word's embedding
would stand, is drawn towards the embeddings of the words for the kind and the color that its cell shows. (CLIP's contrast of
pictures with words, Radford et al. 2021, here of cells with words; the world knows what is in each cell.)
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

from .. import words
from ..scenes import COLORS, KINDS

SCALE, NONE = 20.0, 5.0  # of the cosines, and what a cell that holds nothing scores: a cosine of a quarter


def forms(tokenizer: PreTrainedTokenizerFast) -> list[tuple[int, list[list[int]]]]:
    """(fact, token ids of each name) for every form of the words; fact 0 is the kind, 1 the color, as in `scene_cells`."""
    texts = [(0, [words.kind_name(k, "zh") for k in KINDS]),
             (0, [" " + words.kind_name(k, "en") for k in KINDS]),
             (0, [" " + words.kind_name(k, "en", 2) for k in KINDS]),
             (1, [words.COLOR["zh"][c] for c in COLORS]),
             (1, [" " + words.COLOR["en"][c] for c in COLORS])]  # fmt: skip
    return [(fact, tokenizer(names, add_special_tokens=False)["input_ids"]) for fact, names in texts]


class Naming:
    """How far the patches of the pictures that a LLaVA has just looked at are from the words for what is there."""

    def __init__(self, model: nn.Module, tokenizer: PreTrainedTokenizerFast):
        self.embedding, self.forms = model.get_input_embeddings(), forms(tokenizer)
        self.projector = model.model.multi_modal_projector
        self._seen: torch.Tensor | None = None
        self.projector.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        self._seen = output

    def of_tokens(self, tokens: torch.Tensor, cells: torch.Tensor) -> tuple[torch.Tensor, float]:
        """The same for the tower's tokens `(pictures, 65, width)`, without a conversation."""
        self.projector(tokens)
        return self.loss(cells)

    def loss(self, cells: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Cross-entropy over the cells `(pictures, 2, 8, 8)`, -1 for none known, and the share of kinds named rightly."""
        patches = nn.functional.normalize(self._seen[:, 1:].float(), dim=-1)  # the first is the class token's
        total, right, shown = patches.new_zeros(()), 0.0, 0.0
        for fact, names in self.forms:
            target = cells[:, fact].flatten(1)
            vectors = torch.stack([self.embedding.weight[ids].float().mean(0) for ids in names])
            scores = SCALE * patches @ nn.functional.normalize(vectors, dim=-1).T
            scores = torch.cat([torch.full_like(scores[..., :1], NONE), scores], dim=-1)
            each = nn.functional.cross_entropy(
                scores.flatten(0, 1), target.flatten(), ignore_index=-1, reduction="sum"
            )
            total = total + each / (target >= 0).sum().clamp(min=1) / len(self.forms)
            if fact == 0:
                something = target > 0
                right += float((scores.argmax(-1) == target)[something].sum())
                shown += float(something.sum())
        return total, right / max(shown, 1.0)
