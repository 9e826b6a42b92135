"""Structured output by constrained decoding: at each step only tokens that keep the JSON valid may be chosen.

The grammar work is llguidance's, which OpenAI, vLLM and llama.cpp use for the same purpose. A JSON schema
keyword it cannot enforce is refused (422) and never silently dropped.
"""

from __future__ import annotations

import json
from typing import Any

import llguidance
import llguidance.hf
import torch

from .errors import ApiError

ANY_OBJECT = {"type": "object"}
# JSON allows any amount of white space between tokens; an undecided model would write it for ever.
_OPTIONS = {"whitespace_pattern": r"[\x20\x0A\x0D\x09]{1,20}"}
_PARAM = "response_format"


class Constraints:
    """Makes a request's constraint for one tokenizer. `vocabulary` is the width of the model's logits."""

    def __init__(self, tokenizer: Any, vocabulary: int, end: list[int]):
        self._tokenizer = llguidance.hf.from_tokenizer(tokenizer, vocabulary, eos_token=end)

    def compile(self, schema: dict[str, Any]) -> llguidance.LLMatcher:
        """A matcher at the start of a JSON text that follows `schema`.

        Raises `ApiError`: 400 for what is no JSON schema, or fits nothing at all; 422 for a schema that this
        decoder cannot enforce.
        """
        try:
            grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=_OPTIONS)
            matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0)
            problem = matcher.get_error()
        except (ValueError, RecursionError) as error:
            raise _refused(400, str(error)) from error
        if problem:
            raise _refused(422 if "nimplemented" in problem else 400, problem)
        return matcher


def mask(matcher: llguidance.LLMatcher, scores: torch.Tensor) -> None:
    """Set the scores `(vocabulary,)` of tokens that would break the grammar to minus infinity."""
    allowed = torch.frombuffer(bytearray(matcher.compute_logit_bias()), dtype=torch.uint8)
    if matcher.is_error():
        raise RuntimeError(matcher.get_error())
    scores.masked_fill_(allowed.to(scores.device) == 0, -torch.inf)


def _refused(status: int, problem: str) -> ApiError:
    problem = " ".join(problem.split())[:300]
    if status == 422:
        said = f"This schema uses what constrained decoding cannot enforce: {problem}"
        return ApiError(status, said, code="unsupported_schema", param=_PARAM)
    return ApiError(
        status, f"Invalid schema for response_format: {problem}", code="invalid_schema", param=_PARAM
    )
