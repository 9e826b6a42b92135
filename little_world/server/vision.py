"""The engine behind the chat protocol: any `AutoModelForImageTextToText` folder, answering in batches."""

from __future__ import annotations

import copy
import inspect
import logging
import os
import re
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, LogitsProcessorList, StoppingCriteriaList

from course_lib import loading

from .constraint import Constraints
from .decoding import Choose, Row, Sampling, Write
from .engine import SMALL, Engine, threads
from .errors import ApiError
from .question import Question, collate
from .worker import Job

log = logging.getLogger(__name__)


class VisionEngine(Engine):
    """`prepare` loads the model, where that has not been done, and waits for it.

    At most `places` requests are in the house at a time, at most `max_batch` of them are answered together. An
    answer has at most `default_limit` tokens where the request names no number. See `Engine` for `model`.
    """

    default = "mini-vlm"

    def __init__(
        self,
        model: str | os.PathLike | None = None,
        *,
        places: int = 32,
        max_batch: int = 8,
        default_limit: int = 1024,
        lazy: bool = False,
    ):
        super().__init__(model, self._answer, max_batch=max_batch, places=places, lazy=lazy)
        self.default_limit = default_limit

    def prepare(
        self,
        messages: list[dict[str, Any]],
        *,
        limit: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        stops: list[str] | None = None,
        schema: dict[str, Any] | None = None,
    ) -> Question:
        """Messages in the form of transformers' chat templates, with PIL pictures, as tensors.

        What is left open follows the model's own generation settings. Raises `ApiError` 400 for what does
        not fit into the context or the template, and as `Constraints.compile` does.
        """
        self.wait()
        own = self.model.generation_config
        if temperature is None and top_p is None and not own.do_sample:
            temperature = 0.0
        elif temperature is None:
            temperature = (own.temperature if own.do_sample else None) or 1.0
        if top_p is None:
            top_p = (own.top_p if own.do_sample else None) or 1.0
        sampling = Sampling(temperature, top_p, seed, frequency_penalty, presence_penalty)
        matcher = None if schema is None else self.constraints.compile(schema)
        inputs = self._encode(messages)
        room = self.context - inputs["input_ids"].shape[1]
        if room < 1:
            raise self._too_long(inputs["input_ids"].shape[1])
        return Question(inputs, min(limit or self.default_limit, room), sampling, stops or [], matcher)

    def submit(self, question: Question, emit: Callable[[Any], None]) -> Job:
        """Put a question in line. `emit` gets pieces of text, then a `Finished` or an exception."""
        job = Job(question, question.key, emit)
        self.worker.submit(job)
        return job

    def _forget(self) -> None:
        self.model = self.processor = self.tokenizer = self.constraints = None

    def _open(self) -> None:
        device = loading.pick_device()
        with loading.quiet(bars=False):
            processor = AutoProcessor.from_pretrained(self.source, local_files_only=True)
            model, report = AutoModelForImageTextToText.from_pretrained(
                self.source,
                # whatever the file holds: a CPU computes half precision slowly and roughly
                dtype=torch.float32 if device == "cpu" else "auto",
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
        if report["missing_keys"]:  # transformers would leave these random, and say nothing
            raise ValueError(f"{len(report['missing_keys'])} weights are missing")
        self._use(processor, model.to(device).eval())

    def _use(self, processor: Any, model: Any) -> None:
        self.processor, self.model, self.tokenizer = processor, model, processor.tokenizer
        self.small = sum(weight.numel() for weight in model.parameters()) < SMALL
        self._taken = set(inspect.signature(model.forward).parameters)  # some tokenizers make more than that
        text = model.config.get_text_config()
        self.context = text.max_position_embeddings
        # `generate` itself is always greedy: `Choose` draws the tokens of a sampled row.
        self.generation = copy.deepcopy(model.generation_config)
        self.generation.update(do_sample=False, temperature=1.0, top_p=1.0, top_k=50, max_length=None)
        end = model.generation_config.eos_token_id
        end = self.tokenizer.eos_token_id if end is None else end
        self.end = frozenset([end] if isinstance(end, int) else end)
        pad = self.tokenizer.pad_token_id
        self.generation.pad_token_id = self.pad = min(self.end) if pad is None else pad
        self.generation.eos_token_id = sorted(self.end)
        self.constraints = Constraints(self.tokenizer, text.vocab_size, sorted(self.end))
        added = self.tokenizer.added_tokens_decoder.values()
        special = {str(token) for token in added if token.special}
        special |= set(self.tokenizer.all_special_tokens)
        self._special = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))))
        # What is too long is refused by name; transformers need not warn of it as well.
        self.tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
        self._longest = max(len(token.encode()) for token in self.tokenizer.get_vocab())
        self._warm_up()

    def _warm_up(self) -> None:
        """A first answer to nobody: libraries prepare themselves, and a model that cannot answer shows."""
        parts = [{"type": "image", "image": Image.new("RGB", (64, 64))}, {"type": "text", "text": "?"}]
        inputs = self._encode([{"role": "user", "content": parts}])
        events: list[Any] = []
        job = Job(Question(inputs, 2, Sampling(), [], None), key=None, emit=events.append)
        self._answer([job])
        if isinstance(events[-1], Exception):
            raise events[-1]

    def _encode(self, messages: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        texts = [part["text"] for message in messages for part in message["content"] if "text" in part]
        size = sum(len(text.encode()) for text in texts)
        if size > self.context * self._longest:  # surely too long: not worth the tokenizer's time
            raise self._too_long(size // self._longest)
        pictures = sum(part["type"] == "image" for message in messages for part in message["content"])
        try:
            inputs = self.processor.apply_chat_template(
                [{**m, "content": [self._plain(part) for part in m["content"]]} for m in messages],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
        except Exception as error:  # a template refuses by raising, each in its own way
            log.info("the chat template refused a request", exc_info=True)
            message = f"{self.name} cannot take these messages: {loading.reason(error)}."
            raise ApiError(400, message, param="messages", code="invalid_messages") from error
        if pictures and "pixel_values" not in inputs:
            raise ApiError(400, f"{self.name} takes no pictures.", param="messages", code="invalid_messages")
        return {name: value for name, value in inputs.items() if name in self._taken}

    def _plain(self, part: dict[str, Any]) -> dict[str, Any]:
        """Text that spells a special token ("<image>", an end of turn) stays text, as with OpenAI."""
        if "text" not in part:
            return part
        return {**part, "text": self._special.sub(lambda m: m[0][0] + "\u2060" + m[0][1:], part["text"])}

    def _too_long(self, tokens: int) -> ApiError:
        message = (
            f"This model's maximum context length is {self.context} tokens, and these messages have at least "
            f"{tokens}. Please shorten them, or send fewer pictures."
        )
        return ApiError(400, message, param="messages", code="context_length_exceeded")

    def _answer(self, jobs: list[Job]) -> None:
        """One batch through `generate`; every job gets its pieces and its end from within."""
        rows = [
            Row(
                tokenizer=self.tokenizer.backend_tokenizer,
                end=self.end,
                limit=job.work.limit,
                sampling=job.work.sampling,
                stops=job.work.stops,
                matcher=job.work.matcher and job.work.matcher.deep_copy(),
                write=job.event,
                gone=lambda job=job: job.cancelled.is_set() or self.worker.closing.is_set(),
            )
            for job in jobs
        ]
        generation = copy.deepcopy(self.generation)
        generation.max_new_tokens = max(row.limit for row in rows)
        with torch.inference_mode(), threads(1 if self.small else torch.get_num_threads()):
            self.model.generate(
                **collate([job.work for job in jobs], pad=self.pad, device=self.model.device),
                generation_config=generation,
                logits_processor=LogitsProcessorList([Choose(rows)]),
                stopping_criteria=StoppingCriteriaList(
                    [Write(rows, lambda number: jobs[number].finish(rows[number].result))]
                ),
            )
