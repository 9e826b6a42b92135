"""Vision chat over the OpenAI protocol: pictures and a question go out, an answer or a clear error comes
back.

On the openai SDK, which retries (connection, 408, 429, 5xx; Retry-After heeded), keeps connections alive and
streams. What it leaves open is added: an answer has a limit in bytes and in time (`connections`), is checked
before it is believed (`answers`, `structured`), and no error carries the key (`failures`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from ..errors import ImageError, ServiceError, TextError
from ..images import is_many
from ..providers import endpoint
from ..settings import say
from .answers import Answer, AnswerStream, read_answer
from .connections import connect
from .failures import guarded
from .messages import Images, data_uri, image_part, text_part, user_messages
from .structured import CONSTRAINED, Schema, has_limits, in_words, parse_json, response_format


class VisionClient:
    """One endpoint, to be asked about pictures. Clients of one endpoint share its connections.

    `timeout` in seconds is for a whole answer, and for each piece of a streamed one; `retries` is how often a
    failed request is sent again. See `course_lib.providers.endpoint` for the rest. Safe to use from several
    threads.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        provider: str | None = None,
        base_url: str | None = None,
        model: str | None = None,
        timeout: float = 60.0,
        retries: int = 2,
    ):
        self.endpoint = endpoint(api_key, provider=provider, base_url=base_url, model=model)
        self.timeout, self.retries = timeout, retries

    def __repr__(self) -> str:
        return f"VisionClient({self.endpoint})"

    def ask(
        self,
        image: Images,
        prompt: str,
        *,
        max_tokens: int = 500,
        detail: str = "auto",
        format: str | None = None,
        stream: bool = False,
        history: Sequence[tuple[str, str]] = (),
        captions: Sequence[str] = (),
    ) -> Answer | AnswerStream:
        """The answer to a question about one picture or several, whole or as an iterator of text.

        `format` is "PNG" (documents, charts), "JPEG" (photos) or None, which looks at the picture. `history`
        holds earlier (question, answer) pairs about the same pictures, `captions` a text to stand before each of them.
        Raises `ServiceError`, `RefusalError`, `CutOffError` or `AnswerError`, and `ImageError` for a picture that
        cannot be read.
        """
        parts = self._parts(image, detail, format)
        if captions:
            if len(captions) != len(parts):
                raise TextError(
                    say(
                        zh=f"有 {len(parts)} 张图片，captions 却有 {len(captions)} 条，请给每张图片写一条。",
                        en=f"There are {len(parts)} pictures and {len(captions)} captions, please give one for each.",
                    )
                )
            pairs = zip(map(text_part, captions), parts)
            parts = [part for pair in pairs for part in pair]
        messages = user_messages(parts, prompt, history, parts_first=bool(captions))
        return self._answer(messages, max_tokens, stream)

    def parse(
        self,
        image: Images,
        prompt: str,
        schema: type[Schema],
        *,
        max_tokens: int = 500,
        detail: str = "auto",
        format: str | None = None,
    ) -> Schema:
        """The answer as a pydantic model: asked for by `response_format` as far as it is honoured, then
        checked.

        Raises `AnswerError` for an answer that does not fit, beside what `ask` raises.
        """
        messages = user_messages(self._parts(image, detail, format), prompt)
        response = self._send(messages, max_tokens, schema=schema)
        return parse_json(read_answer(response.http_response.content, self.endpoint), schema)

    def ask_url(
        self,
        url: str,
        prompt: str,
        *,
        max_tokens: int = 500,
        detail: str = "auto",
        stream: bool = False,
    ) -> Answer | AnswerStream:
        """As `ask`, about a picture that the provider fetches itself from its address."""
        return self._answer(user_messages([image_part(url, detail)], prompt), max_tokens, stream)

    def _parts(self, image: Images, detail: str, format: str | None) -> list[dict]:
        pictures = list(image) if is_many(image) else [image]
        if not pictures:
            raise ImageError(say(zh="没有图片，请至少传入一张。", en="There is no picture, please pass one."))
        provider = self.endpoint.provider
        return [image_part(data_uri(picture, provider, detail, format), detail) for picture in pictures]

    def _answer(self, messages: list[dict], max_tokens: int, stream: bool) -> Answer | AnswerStream:
        response = self._send(messages, max_tokens, stream=stream)
        if stream:
            return AnswerStream(response, self.endpoint)
        return read_answer(response.http_response.content, self.endpoint)

    def _send(
        self,
        messages: list[dict],
        max_tokens: int,
        *,
        schema: type[BaseModel] | None = None,
        stream: bool = False,
    ) -> Any:
        """The raw response, or an open stream; where a service rejects a parameter, again in its dialect."""
        connection = connect(self.endpoint)
        sdk = connection.sdk.with_options(timeout=self.timeout, max_retries=self.retries)
        create = sdk.chat.completions.create if stream else sdk.chat.completions.with_raw_response.create
        while True:
            field, level = connection.max_tokens_field, connection.structured
            if schema is not None and level == "json_schema" and not has_limits(schema):
                level = "json_schema_form"  # the same request, which need not be refused twice
            request: dict[str, Any] = {field: max_tokens, "messages": messages, "model": self.endpoint.model}
            if stream:
                request["stream"] = True
            if schema is not None:
                if level != "text":
                    request["response_format"] = response_format(schema, level)
                if level not in CONSTRAINED:
                    text, *pictures = messages[-1]["content"]
                    content = [{"type": "text", "text": in_words(text["text"], schema)}, *pictures]
                    request["messages"] = [*messages[:-1], {"role": "user", "content": content}]
            try:
                return guarded(lambda: create(**request), self.endpoint)  # noqa: B023 - called at once
            except ServiceError as error:
                if not connection.adapt(error, field, level if schema is not None else None):
                    raise
