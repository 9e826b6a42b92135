"""What a service that paints answers when it fails, as one sentence with the remedy, and no key in it."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import CourseError, RefusalError, ServiceError
from ..replies import MAX_RAW, own_words
from ..settings import say, spaced

FILTERED = ("moderation_blocked", "content_filter", "prompt_unsafe", "image_unsafe", "blocklisted")


@dataclass(frozen=True)
class Words:
    """How a service is called in a message, and what to do where it is not reached, or not let in."""

    name: str
    start: tuple[str, str]  # (zh, en): how to bring it up
    key: tuple[str, str]  # (zh, en): how to give it a key

    def unreachable(self) -> ServiceError:
        return ServiceError(
            say(
                zh=f"连不上 {self.name}，或连接中断，{self.start[0]}。",
                en=f"{self.name} cannot be reached or broke off, {self.start[1]}.",
            ),
            kind="connection",
        )

    def too_slow(self) -> ServiceError:
        return ServiceError(
            say(
                zh=f"{spaced(self.name)}没有及时画完，请减少 steps、缩小图片，或加大 timeout。",
                en=f"{self.name} did not finish in time, please ask for fewer steps or a smaller picture, or "
                "raise timeout.",
            ),
            kind="timeout",
        )

    def not_the_protocol(self) -> str:
        return say(
            zh=f"{spaced(self.name)}的回答不符合协议，{self.start[0]}。",
            en=f"{self.name} does not answer in the protocol expected, {self.start[1]}.",
        )


def from_status(words: Words, status: int, raw: str) -> CourseError:
    """The error for an HTTP status that is none of success; `raw` is the body, without any key."""
    said = own_words(raw)
    quoted = say(zh=f"（{said}）", en=f" ({said})") if said else ""
    name = words.name
    if status in (400, 403, 422, 451) and any(code in raw for code in FILTERED):
        return RefusalError(
            say(
                zh=f"{name} 的内容过滤拒绝了这个请求{quoted}，请换一种描述。",
                en=f"The content filter of {name} turned the request down{quoted}, please describe something "
                "else.",
            ),
            raw=raw[:MAX_RAW],
        )
    if status == 404 and said and said != "Not Found":  # A1111: "Sampler not found", "Init image not found"
        kind, zh, en = _MEANING[400]
    else:
        kind, zh, en = (
            _MEANING.get(status) or _MEANING[500 if status >= 500 else 404 if status < 400 else 400]
        )
    hint_zh, hint_en = words.key if kind == "authentication" else words.start
    return ServiceError(
        say(
            zh=f"{name} {zh.format(hint=hint_zh)}，HTTP 状态 {status}{quoted}。",
            en=f"{name} {en.format(hint=hint_en)}, HTTP status {status}{quoted}.",
        ),
        kind=kind,
        status=status,
        raw=raw[:MAX_RAW],
    )


_AUTHENTICATION = ("authentication", "拒绝访问，{hint}", "does not let us in, {hint}")
_MEANING = {
    400: ("bad_request", "不接受这个请求，请检查参数", "refuses the request, please check the arguments"),
    401: _AUTHENTICATION,
    402: ("rate_limit", "的额度已用完，请充值", "has no quota left, please top it up"),
    403: _AUTHENTICATION,
    404: ("not_found", "没有这个接口，{hint}", "has no such route, {hint}"),
    408: ("timeout", "没有等到完整的请求，请再试一次", "did not wait for the request, please try again"),
    413: ("too_large", "认为请求太大，请缩小图片", "finds the request too large, please use a smaller picture"),
    429: ("rate_limit", "请求过于频繁，请过一会儿再试", "is asked too often, please wait a while"),
    500: ("server", "内部出错，请稍后再试，或减小图片", "failed inside, please try again or ask for less"),
    504: ("timeout", "没有及时画完，请减少 steps 或缩小图片", "did not finish in time, please ask for less"),
}  # fmt: skip
