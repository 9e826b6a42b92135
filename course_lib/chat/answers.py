"""What comes back from a vision chat, checked before it is believed: whole answers and streamed ones.

A refusal, a cut-off and a body that is no chat completion are errors here, each with the raw text; the
chapter takes `choices[0].message.content` of whatever came.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from ..errors import AnswerError, CutOffError, RefusalError, ServiceError
from ..providers import Endpoint
from ..replies import MAX_RAW
from ..settings import say
from .failures import guarded, redact

MAX_ANSWER = 4 * 1024**2  # bytes; an answer of text is far smaller


class Answer(str):
    """The text of an answer. `usage` holds the tokens that were counted, {} where the service does not
    say."""

    usage: dict[str, Any]

    def __new__(cls, text: str, usage: dict[str, Any] | None = None) -> Answer:
        answer = super().__new__(cls, text)
        answer.usage = usage or {}
        return answer


def read_answer(content: bytes, endpoint: Endpoint) -> Answer:
    """The text in the body of a chat completion.

    Raises `RefusalError`, `CutOffError`, or `AnswerError` for a body that is no completion, or holds no text.
    """
    too_long = len(content) > MAX_ANSWER
    body = redact(content.decode("utf-8", errors="replace"), endpoint)
    del content  # some tools print a traceback with its variables
    raw = body[:MAX_RAW]
    if too_long:
        raise AnswerError(_too_long(endpoint), raw=raw)
    try:
        answer = _Completion.model_validate_json(body)
    except ValidationError:
        answer = None
    if answer is None:
        raise AnswerError(
            say(
                zh=f"{endpoint} 的回答不符合 OpenAI 协议，请检查 base_url（多半以 /v1 结尾）。",
                en=f"{endpoint} does not answer in OpenAI's protocol, please check base_url (most end in "
                "/v1).",
            ),
            raw=raw,
        )
    choice = answer.choices[0]
    text = choice.message.content or ""
    _check_finish(endpoint, text, choice.finish_reason, choice.message.refusal)
    if choice.message.content is None:
        raise AnswerError(
            say(
                zh=f"{endpoint} 的回答里没有文字，请再试一次，或换一个模型。",
                en=f"{endpoint} gave an answer without text, please try again or use another model.",
            ),
            raw=raw,
        )
    return Answer(text, answer.usage)


class AnswerStream(Iterator[str]):
    """The pieces of an answer as they come. `text` is what has come so far; `close()` hangs up.

    Iterating raises what `ask` would: a refusal, a cut-off, a broken connection. Their `raw` keeps the text
    so far.
    """

    def __init__(self, stream: Any, endpoint: Endpoint):
        self._stream, self._endpoint = stream, endpoint
        self.text, self._finish, self._refusal, self._began = "", None, "", False

    def __next__(self) -> str:
        while True:
            try:
                chunk = guarded(lambda: next(self._stream, None), self._endpoint)
                failure = None
            except ServiceError as error:
                chunk, failure = None, error
            except (ValueError, RecursionError):  # a piece that is no JSON
                chunk, failure = None, AnswerError(_broken(self._endpoint))
            if failure is not None:
                failure.raw = redact(self.text, self._endpoint) or failure.raw
                self.close()
                raise failure
            if chunk is None:
                self.close()
                self._end()
            if piece := self._take(chunk):
                self.text += piece
                return piece

    def close(self) -> None:
        self._stream.close()

    def _take(self, chunk: Any) -> str:
        """The text in a chunk. The SDK does not check what it reads, so that is done here."""
        self._began = True
        choices = getattr(chunk, "choices", None)
        if not isinstance(choices, list):
            self._fail()
        if not choices:  # the chunk with the token counts has none
            return ""
        try:
            choice = _PieceChoice.model_validate(choices[0], from_attributes=True)
        except ValidationError:
            choice = None
        if choice is None:
            self._fail()
        self._finish = choice.finish_reason or self._finish
        self._refusal += choice.delta.refusal or ""
        return redact(choice.delta.content or "", self._endpoint)

    def _fail(self) -> None:
        self.close()
        raise AnswerError(_broken(self._endpoint), raw=self.text)

    def _end(self) -> None:
        if not self._began:  # an error page, for instance
            self._fail()
        # A stream that ends without saying why was cut, whoever cut it.
        text, refusal = (redact(said, self._endpoint) for said in (self.text, self._refusal))
        _check_finish(self._endpoint, text, self._finish or "length", refusal)
        raise StopIteration


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    """As much of a chat completion as is believed; compatible servers leave out the rest as they please."""

    choices: list[_Choice] = Field(min_length=1)
    usage: dict[str, Any] | None = None


class _PieceChoice(BaseModel):
    delta: _Message
    finish_reason: str | None = None


def _check_finish(endpoint: Endpoint, text: str, finish: str | None, refusal: str | None) -> None:
    if refusal or finish == "content_filter":
        raise RefusalError(
            say(
                zh=f"{endpoint} 拒绝回答：{(refusal or '内容过滤')[:200]}，请换一张图或换一种问法。",
                en=f"{endpoint} declined to answer: {(refusal or 'content filter')[:200]}, please use "
                "another picture or wording.",
            ),
            raw=refusal or text,
        )
    if finish == "length":
        raise CutOffError(
            say(
                zh=f"{endpoint} 的回答没有写完就断了，请加大 max_tokens 再试。",
                en=f"The answer of {endpoint} was cut off before its end, please raise max_tokens and ask "
                "again.",
            ),
            raw=text,
        )


def _too_long(endpoint: Endpoint) -> str:
    return say(
        zh=f"{endpoint} 的回答超过 {MAX_ANSWER // 1024**2} MB，不再读取，请检查 base_url。",
        en=f"The answer of {endpoint} is longer than {MAX_ANSWER // 1024**2} MB and was not read further, "
        "please check base_url.",
    )


def _broken(endpoint: Endpoint) -> str:
    return say(
        zh=f"{endpoint} 的流式回答不符合 OpenAI 协议，请检查 base_url，或改用 stream=False。",
        en=f"{endpoint} does not stream in OpenAI's protocol, please check base_url or use stream=False.",
    )
