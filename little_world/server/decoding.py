"""What happens to each row of a batch while transformers' `generate` runs: choosing a token, writing text.

`generate` calls a logits processor before a token is chosen and a stopping criterion after. Both reach every
row, so rows with their own temperature, seed, length, stop texts and grammar share one batch: a sampled row's
token is drawn in the processor from its own generator, and all others of the row are ruled out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from tokenizers.decoders import DecodeStream
from transformers import LogitsProcessor, StoppingCriteria, TopPLogitsWarper

from .constraint import mask


@dataclass(frozen=True)
class Sampling:
    """How a request wants its tokens chosen. Temperature 0 is greedy; without a seed each run differs."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0


@dataclass(frozen=True)
class Finished:
    """The end of an answer, with the number of tokens it took, the end mark among them."""

    reason: Literal["stop", "length", "content_filter"]
    tokens: int


@dataclass(eq=False)
class Row:
    """One answer being written. `write` receives its text, piece by piece, as it becomes certain."""

    tokenizer: Any  # tokenizers.Tokenizer
    end: frozenset[int]
    limit: int
    sampling: Sampling
    stops: list[str]
    matcher: Any
    write: Callable[[str], None]
    gone: Callable[[], bool]  # nobody waits for this answer any more
    result: Finished | Exception | None = None
    tokens: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._decoder = DecodeStream(skip_special_tokens=True)  # holds back half a Chinese character
        self._held = ""  # may be the beginning of a stop text
        self._generator = torch.Generator()
        if self.sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(self.sampling.seed % 2**63)

    def choose(self, scores: torch.Tensor) -> None:
        """Change the scores `(vocabulary,)` in place so that their maximum is the token to take."""
        wanted = self.sampling
        if self.tokens and (wanted.frequency_penalty or wanted.presence_penalty):
            ids, counts = torch.tensor(self.tokens, device=scores.device).unique(return_counts=True)
            scores[ids] -= wanted.frequency_penalty * counts + wanted.presence_penalty
        if self.matcher is not None:
            mask(self.matcher, scores)
        if wanted.temperature > 0:
            logits = scores.float().cpu()[None] / wanted.temperature
            if wanted.top_p < 1:
                logits = TopPLogitsWarper(max(wanted.top_p, 1e-6))(None, logits)
            token = torch.multinomial(logits.softmax(-1)[0], 1, generator=self._generator)
            scores.fill_(-torch.inf)
            scores[token] = 0

    def take(self, token: int) -> None:
        """The token that was chosen: text goes out, and `result` is set if it was the last."""
        self.tokens.append(token)
        if token in self.end:
            return self._finish("stop")
        if self.matcher is not None and not self.matcher.consume_token(token):
            raise RuntimeError(self.matcher.get_error())
        self._held += self._decoder.step(self.tokenizer, token) or ""
        found = [at for stop in self.stops if (at := self._held.find(stop)) >= 0]
        if found:
            self._held = self._held[: min(found)]
            return self._finish("stop")
        if self.matcher is not None and self.matcher.is_stopped():
            return self._finish("stop")  # the grammar allows nothing more
        if len(self.tokens) >= self.limit:
            return self._finish("length")
        self._release(len(self._held) - self._maybe_stop())

    def _maybe_stop(self) -> int:
        """The length of the longest end of the held text with which a stop text begins."""
        return max(
            (n for stop in self.stops for n in range(1, len(stop)) if self._held.endswith(stop[:n])),
            default=0,
        )

    def _release(self, length: int) -> None:
        if length > 0:
            text, self._held = self._held[:length], self._held[length:]
            self.write(text)

    def _finish(self, reason: Literal["stop", "length"]) -> None:
        self._release(len(self._held))
        self.result = Finished(reason, len(self.tokens))


class Choose(LogitsProcessor):
    """Each row's own way of choosing, inside a greedy `generate`."""

    def __init__(self, rows: list[Row]):
        self.rows = rows

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = scores.clone()  # inference tensors of the model, not ours to change
        for row, own in zip(self.rows, scores, strict=True):
            if row.result is None:
                try:
                    row.choose(own)
                except Exception as error:
                    row.result = error  # this row fails, its neighbours go on
        return scores


class Write(StoppingCriteria):
    """Hands each row the token that was chosen; tells `generate` which rows are done."""

    def __init__(self, rows: list[Row], on_finish: Callable[[int], None]):
        self.rows, self.on_finish, self._told = rows, on_finish, set()

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        for number, (row, token) in enumerate(zip(self.rows, input_ids[:, -1].tolist(), strict=True)):
            if row.result is None and row.gone():
                row.result = Finished("stop", len(row.tokens))
            elif row.result is None:
                try:
                    row.take(token)
                except Exception as error:
                    row.result = error
            if row.result is not None and number not in self._told:
                self._told.add(number)
                self.on_finish(number)  # at once: short answers do not wait for the long ones of their batch
        done = [row.result is not None for row in self.rows]
        return torch.tensor(done, device=input_ids.device)
