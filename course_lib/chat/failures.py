"""What the openai SDK raises, as the course's errors: one sentence with the remedy, the raw text, and no
key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import openai

from .. import replies
from ..errors import CourseError, RefusalError, ServiceError
from ..providers import Endpoint
from ..replies import MAX_RAW, QUOTED, own_words
from ..settings import say

_SHORTEST_KEY = 12  # real keys are longer than thirty

# A filter before the model, by the codes of OpenAI, Azure, DashScope and Zhipu
_FILTERED = {
    "content_filter",
    "content_policy_violation",
    "moderation_blocked",
    "data_inspection_failed",
    "1301",
}

Result = TypeVar("Result")


def guarded(call: Callable[[], Result], endpoint: Endpoint) -> Result:
    """`call()`, with what goes wrong raised as a `CourseError`.

    The SDK's own exception holds the request, the key in its headers, so it is not kept as a cause.
    """
    try:
        return call()
    except Exception as error:
        # Versions 1 and 2 of the SDK let errors of httpx through where a stream breaks.
        if not isinstance(error, (openai.OpenAIError, TimeoutError)) and not _is_httpx(error):
            raise
        failure = translate(error, endpoint)
    raise failure  # outside the except clause, so that the chain ends here


def redact(text: str, endpoint: Endpoint) -> str:
    """The text without the endpoint's key, which some services quote back.

    A placeholder such as "ollama" is no secret, and may well be a word of the answer.
    """
    secrets = [endpoint.api_key] if endpoint.api_key else []
    return replies.redact(text, secrets, shortest=_SHORTEST_KEY)


def translate(error: Exception, endpoint: Endpoint) -> CourseError:
    """The course's error for one of the SDK's."""
    if isinstance(error, openai.APIStatusError):
        return _from_status(error, endpoint)
    where = str(endpoint)
    timeouts = (openai.APITimeoutError, TimeoutError)
    if (
        isinstance(error, timeouts)
        or isinstance(error.__cause__, timeouts)
        or "Timeout" in type(error).__name__
    ):
        return ServiceError(
            say(
                zh=f"{where} 没有及时回答，请稍后再试，或加大 timeout。",
                en=f"{where} did not answer in time, please try again later or raise timeout.",
            ),
            kind="timeout",
        )
    if isinstance(error, openai.APIConnectionError) or _is_httpx(error):
        return ServiceError(
            say(
                zh=f"连不上 {where}，或连接中断，请检查地址和网络，确认服务已启动。",
                en=f"{where} cannot be reached or broke off, please check the address and the network, and "
                "that the service is running.",
            ),
            kind="connection",
        )
    said = redact(str(error), endpoint)
    return ServiceError(
        say(
            zh=f"{where} 报告错误：{said[:QUOTED]}，请稍后再试。",
            en=f"{where} reported an error: {said[:QUOTED]}, please try again later.",
        ),
        kind="server",
        raw=said[:MAX_RAW],
    )


def _is_httpx(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] in ("httpx", "httpx2")


def _from_status(error: openai.APIStatusError, endpoint: Endpoint) -> CourseError:
    status, raw = error.status_code, redact(error.response.text, endpoint)[:MAX_RAW]
    said = own_words(raw)
    quoted = say(zh=f"（{said}）", en=f" ({said})") if said else ""
    where = str(endpoint)
    if str(error.code) in _FILTERED:
        return RefusalError(
            say(
                zh=f"{where} 的内容过滤拒绝了这个请求{quoted}，请换一张图或换一种问法。",
                en=f"The content filter of {where} turned the request down{quoted}, please use another "
                "picture or wording.",
            ),
            raw=raw,
        )
    if status == 429 and error.code == "insufficient_quota":
        status = 402
    kind, zh, en = _MEANING.get(status) or _MEANING[500 if status >= 500 else 404 if status < 400 else 400]
    variable = endpoint.provider.key_variable
    variable = f"api_key / {variable}" if variable else "api_key"
    return ServiceError(
        say(
            zh=f"{where} {zh.format(key=variable)}，HTTP 状态 {error.status_code}{quoted}。",
            en=f"{where} {en.format(key=variable)}, HTTP status {error.status_code}{quoted}.",
        ),
        kind=kind,
        status=error.status_code,
        raw=raw,
    )


_AUTHENTICATION = (
    "authentication",
    "不接受这个密钥，请检查 {key}",
    "does not accept the key, please check {key}",
)
_MEANING = {
    400: (
        "bad_request",
        "不接受这个请求，请检查参数和图片",
        "refuses the request, please check the arguments and the picture",
    ),
    401: _AUTHENTICATION,
    402: ("rate_limit", "的额度已用完，请充值", "has no quota left for this key, please top it up"),
    403: _AUTHENTICATION,
    404: (
        "not_found",
        "没有这个地址或模型，请检查 base_url 和 model",
        "has no such address or model, please check base_url and model",
    ),
    408: ("timeout", "没有等到完整的请求，请再试一次", "did not wait for the request, please try again"),
    413: (
        "too_large",
        "认为请求太大，请缩小图片或减少张数",
        "finds the request too large, please send fewer or smaller pictures",
    ),
    429: ("rate_limit", "请求过于频繁，请过一会儿再试", "is asked too often, please wait a while"),
    500: ("server", "内部出错，请稍后再试", "failed inside, please try again later"),
}  # fmt: skip
