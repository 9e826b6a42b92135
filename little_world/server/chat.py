"""A chat request through the engine: its messages in, its events out as JSON or as server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any

from fastapi import Request
from fastapi.responses import StreamingResponse

from . import pictures, protocol
from .blocklist import Blocklist
from .constraint import ANY_OBJECT
from .decoding import Finished
from .errors import ApiError, full
from .events import Events
from .protocol import ChatCompletion, ChatCompletionChunk, ChatRequest, Usage
from .question import Question
from .vision import VisionEngine
from .worker import Full

_PREPARING = 2  # requests whose pictures are decoded at the same time


class Chat:
    """Answers chat requests with one engine, in the app's event loop."""

    def __init__(self, engine: VisionEngine, blocklist: Iterable[str] = ()):
        self.engine, self.blocklist = engine, Blocklist(blocklist)
        self._preparing = asyncio.Semaphore(_PREPARING)

    async def complete(self, asked: ChatRequest, request: Request) -> ChatCompletion | StreamingResponse:
        """The answer, whole or as a stream of chunks. Raises `ApiError`."""
        events = self._events(asked, request)
        try:
            question = await anext(events)
            answer = _Header(self.engine.name)
            if not asked.stream:
                return answer.whole(question, [event async for event in events])
            first = await anext(events)  # until then an error still has a status of its own
        except BaseException:
            await events.aclose()
            raise
        return _Stream(answer.chunks(asked, question, first, events))

    async def _events(self, asked: ChatRequest, request: Request) -> AsyncIterator[Any]:
        """The question, pieces of text, then `Finished`. Closing the iterator gives up the place."""
        try:
            with self.engine.places:
                async with self._preparing:
                    question = await asyncio.to_thread(self._question, asked)
                yield question
                async with aclosing(self._answer(question, request)) as answer:
                    async for event in self.blocklist.filtered(answer):
                        yield event
        except Full:
            raise full(self.engine.places) from None

    async def _answer(self, question: Question, request: Request) -> AsyncIterator[Any]:
        async with Events(request) as events:
            job = self.engine.submit(question, events.emit)
            try:
                while True:
                    event = await events.next()
                    yield event
                    if isinstance(event, Finished):
                        return
            finally:
                job.cancelled.set()

    def _question(self, asked: ChatRequest) -> Question:
        form = asked.response_format
        schema = None
        if isinstance(form, protocol.JsonFormat):
            schema = ANY_OBJECT
        elif isinstance(form, protocol.JsonSchemaFormat):
            schema = form.json_schema.schema_
        messages = _messages(asked)
        self.blocklist.check(messages)
        return self.engine.prepare(
            messages,
            limit=asked.limit,
            temperature=asked.temperature,
            top_p=asked.top_p,
            seed=asked.seed,
            frequency_penalty=asked.frequency_penalty or 0.0,
            presence_penalty=asked.presence_penalty or 0.0,
            stops=asked.stops,
            schema=schema,
        )


def _messages(asked: ChatRequest) -> list[dict[str, Any]]:
    """The messages as transformers' chat templates take them, with the pictures opened."""
    images = [
        part
        for message in asked.messages
        if isinstance(message.content, list)
        for part in message.content
        if part.type == "image_url"
    ]
    if len(images) > protocol.MAX_IMAGES:
        message = f"A request may have {protocol.MAX_IMAGES} pictures at most, this one has {len(images)}."
        raise ApiError(400, message, param="messages", code="too_many_images")
    messages = []
    for number, message in enumerate(asked.messages):
        content = message.content
        parts = [{"type": "text", "text": content or ""}] if not isinstance(content, list) else []
        for place, part in enumerate(content if isinstance(content, list) else ()):
            if part.type == "image_url":
                param = f"messages[{number}].content[{place}].image_url"
                image = pictures.read(part.image_url.url, part.image_url.detail, param)
                parts.append({"type": "image", "image": image})
            else:
                text = part.refusal if part.type == "refusal" else part.text
                parts.append({"type": "text", "text": text})
        role = "system" if message.role == "developer" else message.role
        messages.append({"role": role, "content": parts})
    return messages


class _Header:
    """What an answer and all its chunks have in common."""

    def __init__(self, model: str):
        self.fields = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, question: Question, events: list[Any]) -> ChatCompletion:
        *pieces, finished = events
        caught = finished.reason == "content_filter"
        message = protocol.Answer(content=None if caught else "".join(pieces))
        choice = protocol.Choice(message=message, finish_reason=finished.reason)
        return ChatCompletion(**self.fields, choices=[choice], usage=_usage(question, finished))

    async def chunks(
        self, asked: ChatRequest, question: Question, first: Any, events: AsyncIterator[Any]
    ) -> AsyncIterator[str]:
        """Server-sent events: the role, the pieces, the reason it ended, the usage if asked for."""
        with_usage = bool(asked.stream_options and asked.stream_options.include_usage)
        async with aclosing(events):
            yield self._chunk(with_usage, {"role": "assistant", "content": ""})
            event = first
            try:
                while not isinstance(event, Finished):
                    yield self._chunk(with_usage, {"content": event})
                    event = await anext(events)
            except ApiError as error:  # the status is out already, so the error travels as an event
                yield f"data: {json.dumps(error.body)}\n\n"
                return
            yield self._chunk(with_usage, {}, event.reason)
            if with_usage:
                yield self._event(choices=[], usage=_usage(question, event))
            yield "data: [DONE]\n\n"

    def _chunk(self, with_usage: bool, delta: dict[str, str], reason: str | None = None) -> str:
        choice = protocol.ChunkChoice(
            index=0, delta=protocol.Delta(**delta), logprobs=None, finish_reason=reason
        )
        return self._event(choices=[choice], **({"usage": None} if with_usage else {}))

    def _event(self, **fields: Any) -> str:
        chunk = ChatCompletionChunk(object="chat.completion.chunk", **self.fields, **fields)
        return f"data: {chunk.model_dump_json(exclude_unset=True)}\n\n"


class _Stream(StreamingResponse):
    """Closes its source however it ends, so that a client that goes away frees its place at once."""

    def __init__(self, source: AsyncIterator[str]):
        super().__init__(source, media_type="text/event-stream", headers={"cache-control": "no-cache"})
        self._source = source

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        async with aclosing(self._source):
            await super().__call__(scope, receive, send)


def _usage(question: Question, finished: Finished) -> Usage:
    return Usage(
        prompt_tokens=question.tokens,
        completion_tokens=finished.tokens,
        total_tokens=question.tokens + finished.tokens,
    )
