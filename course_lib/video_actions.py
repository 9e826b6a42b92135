"""What happens over time: a small recurrent network that reads CLIP's vectors of the frames in their order.

A mean of frames does not know which came first. mini-action does: each moment comes with how far those around it are
from each other, and a recurrent network goes through the moments forwards and backwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from . import loading
from .clip import Classification
from .errors import TextError
from .settings import say
from .texts import as_labels
from .video_timeline import Timeline

if TYPE_CHECKING:
    from .clip import CLIPService

LONGEST, OVERLAP = 40, 10  # moments that are read in one go, and those that two goes share
_APART = 3  # moments: two events that are closer are one


@dataclass(frozen=True)
class VideoEvent:
    """At second `time` something happens: its `sort`, and how sure that is."""

    time: float
    sort: str
    probability: float


class ActionNetwork(nn.Module):
    """Vectors `(b, t, dim)` of moments in their order to logits: actions `(b, A)`, and events `(b, t, E)`.

    `reach`: so many moments before each and after it are compared with each other, by `look` numbers that it
    learns to read off a vector. `mask` (b, t) is True where a shorter sequence of the batch has a moment; those follow
    each other from the first.
    """

    def __init__(self, dim: int, width: int, reach: int, look: int, actions: int, events: int):
        super().__init__()
        self.reach = reach
        self.register_buffer("mean", torch.zeros(dim))  # of CLIP's vectors, and how far they spread around it
        self.register_buffer("spread", torch.ones(()))
        pairs = reach * (2 * reach + 1)
        self.look = nn.Linear(dim, look, bias=False)
        self.read = nn.Linear(dim + pairs, width)
        self.dropout = nn.Dropout(0.2)
        self.recurrent = nn.GRU(
            width, width // 2, num_layers=2, batch_first=True, bidirectional=True, dropout=0.2
        )
        self.action = nn.Linear(width, actions)
        self.event = nn.Linear(width, events)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        mask = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
        lengths = mask.sum(dim=1)
        x = (x - self.mean) / self.spread
        h = self.dropout(
            self.read(torch.cat([x, local_distances(self.look(x), lengths, self.reach)], dim=-1))
        )
        packed = nn.utils.rnn.pack_padded_sequence(h, lengths.cpu(), batch_first=True, enforce_sorted=False)
        out, last = self.recurrent(packed)
        out, _ = nn.utils.rnn.pad_packed_sequence(out, batch_first=True, total_length=x.shape[1])
        return self.action(torch.cat([last[-2], last[-1]], dim=-1)), self.event(out)


def local_distances(x: torch.Tensor, lengths: torch.Tensor, reach: int) -> torch.Tensor:
    """How far apart the moments around each moment are from each other: `(b, t, pairs)` for x `(b, t, dim)`.

    A self-similarity (Shechtman and Irani 2007; Junejo et al. 2008) says that a pattern breaks, whatever it looks
    like: what stops is from then on like itself, what turns back is afterwards as it was before.
    """
    # (b, t, t)
    distance = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist") / x.shape[-1] ** 0.5
    around = torch.arange(x.shape[1])[:, None] + torch.arange(-reach, reach + 1)  # (t, 2 reach + 1)
    around = around.clamp(min=0)[None].minimum(lengths.cpu()[:, None, None] - 1)  # (b, t, 2 reach + 1)
    first, second = torch.triu_indices(2 * reach + 1, 2 * reach + 1, offset=1)
    row = torch.arange(len(x))[:, None, None]
    return distance[row, around[..., first], around[..., second]]


class ActionModel:
    """mini-action on top of the CLIP model that it was trained with.

    Attributes:
        actions, event_sorts: what it knows. fps: how often a video has to be looked at.
    """

    def __init__(self, service: CLIPService, model_name: str = "mini-action"):
        config, weights = loading.read_weights(model_name)
        loading.check_same_model(model_name, config["clip"], service.name)
        self.actions: tuple[str, ...] = tuple(config["actions"])
        self.event_sorts: tuple[str, ...] = tuple(config["events"])
        self.fps = float(config["fps"])
        self.network = ActionNetwork(
            config["dim"],
            config["width"],
            config["reach"],
            config["look"],
            len(self.actions),
            len(self.event_sorts),
        )
        self.network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
        self.network.eval()

    def classify(
        self,
        timeline: Timeline,
        labels: Iterable[str] | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> Classification:
        """The action in a span, of several shots each by itself, weighted by its length."""
        kept = self.actions if labels is None else as_labels(labels)
        if unknown := [label for label in kept if label not in self.actions]:
            raise TextError(
                say(
                    zh=f"没有“{unknown[0]}”这种动作，可选的有：{'、'.join(self.actions)}。",
                    en=f"There is no action {unknown[0]!r}, the known ones are {', '.join(self.actions)}.",
                )
            )
        columns = [self.actions.index(label) for label in kept]
        shares = np.zeros(len(columns))
        for features in _shots(timeline, start, end):
            for piece, _ in _pieces(len(features)):
                logits, _ = self._read(features[piece])
                shares += len(features[piece]) * logits[columns].softmax(dim=-1).numpy()
        shares /= shares.sum()
        return Classification(dict(zip(kept, shares.tolist(), strict=True)), {}, none=0.0, abstain=False)

    def events(self, timeline: Timeline, threshold: float = 0.5) -> list[VideoEvent]:
        """The events of every shot, in order."""
        found = []
        for shot in timeline.shots:
            inside = timeline.inside(shot.start, shot.end)
            features = timeline.features[inside]
            chances = np.zeros((len(features), len(self.event_sorts)))
            for piece, inner in _pieces(len(features)):
                _, logits = self._read(features[piece])
                chances[inner] = logits.sigmoid().numpy()[inner.start - piece.start :][
                    : inner.stop - inner.start
                ]
            for moment in peaks(chances.max(axis=1), threshold):
                sort = int(chances[moment].argmax())
                # the first moment that shows the change: it happened between this one and the one before
                time = max(shot.start, timeline.times[inside[moment]] - 0.5 / self.fps)
                found.append(VideoEvent(float(time), self.event_sorts[sort], float(chances[moment, sort])))
        return found

    @torch.inference_mode()
    def _read(self, features: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        actions, events = self.network(torch.from_numpy(features)[None])
        return actions[0], events[0]


def peaks(chances: np.ndarray, threshold: float) -> list[int]:
    """Where a curve (n,) is highest and at least `threshold`, in order; of those close together the highest."""
    found: list[int] = []
    for moment in np.argsort(-chances, kind="stable"):
        if chances[moment] < threshold:
            break
        if all(abs(moment - other) > _APART for other in found):
            found.append(int(moment))
    return sorted(found)


def _shots(timeline: Timeline, start: float | None, end: float | None) -> Iterator[np.ndarray]:
    """The vectors of each shot, as far as it lies in the span."""
    first, last = timeline.span(start, end)
    for shot in timeline.shots:
        low, high = max(shot.start, first), min(shot.end, last)
        if low < high:
            yield timeline.features[timeline.inside(low, high)]


def _pieces(count: int) -> Iterator[tuple[slice, slice]]:
    """Pieces that are not longer than those of the training, and the inner part of each that the others leave to it."""
    begin = 0
    while True:
        end = min(begin + LONGEST, count)
        inner = slice(begin + (OVERLAP // 2 if begin else 0), end if end == count else end - OVERLAP // 2)
        yield slice(begin, end), inner
        if end == count:
            return
        begin = end - OVERLAP
