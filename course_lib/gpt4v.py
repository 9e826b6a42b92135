"""GPT-4V-style vision chat (chapter, section 三): the chapter's functions and its ImageAnalyzer.

Without further settings a miniature answers, from the course's own server. A provider's name, an address or
the environment puts any service that speaks the OpenAI protocol in its place; nothing else changes.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from .chat.answers import Answer, AnswerStream
from .chat.client import VisionClient
from .chat.messages import Images
from .chat.remote_images import checked_url, fetch_image
from .errors import ImageError, SettingsError
from .images import ImageSource, from_base64, is_many, to_base64
from .settings import LANGUAGES, language, say

# What is asked. mini-vlm was trained on these wordings.
PROMPTS = {
    "describe": {"zh": "请详细描述这张图片的内容", "en": "Please describe this picture in detail"},
    "read": {
        "zh": "请提取图片中所有的文字，保持原有的换行",
        "en": "Please extract all the text in the picture and keep its line breaks",
    },
    "chart": {
        "zh": "请分析这张图表，以 JSON 格式返回 title、type、trend、key_insights 和 data_summary",
        "en": "Please analyse this chart and return JSON with title, type, trend, key_insights and "
        "data_summary",
    },
    "story": {"zh": "请根据这些图片讲一个小故事", "en": "Please tell a short story about these pictures"},
    "compare": {
        "zh": "请比较这两张图片，指出相同和不同",
        "en": "Please compare these two pictures: what is the same, what differs?",
    },
    "compare several": {
        "zh": "请比较这些图片，指出相同和不同",
        "en": "Please compare these pictures: what is the same, what differs?",
    },
}


def encode_image_to_base64(image: ImageSource, format: str = "JPEG") -> str:
    """A picture in base64, the right way up and with transparency on white. `images.mime_type` names its
    type.

    JPEG suits photos; text and charts want "PNG", which loses nothing.
    """
    return to_base64(image, format)


def call_gpt4v(
    image: Images,
    prompt: str,
    api_key: str | None = None,
    max_tokens: int = 500,
    *,
    provider: str | None = None,
    base_url: str | None = None,
    model: str | None = None,
    detail: str = "auto",
    format: str | None = None,
    stream: bool = False,
    timeout: float = 60.0,
    retries: int = 2,
) -> Answer | AnswerStream:
    """Ask about one picture or several: the answer as text, or with `stream` its pieces as they come.

    `provider` is a name in `course_lib.providers`, `base_url` any address of the OpenAI protocol; without
    them the settings decide. `detail` "low" sends at most 512 pixels a side. Raises `ServiceError` where the
    service fails, `AnswerError` (`RefusalError`, `CutOffError`) where the answer does, `ImageError` for an
    unreadable picture.
    """
    client = VisionClient(
        api_key, provider=provider, base_url=base_url, model=model, timeout=timeout, retries=retries
    )
    del api_key  # some tools print a traceback with its variables
    return client.ask(image, prompt, max_tokens=max_tokens, detail=detail, format=format, stream=stream)


def call_gpt4v_with_url(
    image_url: str,
    prompt: str,
    api_key: str | None = None,
    max_tokens: int = 500,
    *,
    fetch: str | None = None,
    trusted_hosts: Container[str] = (),
    provider: str | None = None,
    base_url: str | None = None,
    model: str | None = None,
    detail: str = "auto",
    stream: bool = False,
    timeout: float = 60.0,
    retries: int = 2,
) -> Answer | AnswerStream:
    """As `call_gpt4v`, about the picture at an address (or in a `data:` URI).

    `fetch` says who gets it: "provider" hands the address on, which works for public ones; "local" downloads
    it here, within limits, and sends it like any other (see `remote_images.fetch_image`, also for
    `trusted_hosts`). Without it the big providers fetch for themselves, and for all others it is fetched
    here.
    """
    client = VisionClient(
        api_key, provider=provider, base_url=base_url, model=model, timeout=timeout, retries=retries
    )
    del api_key
    options: dict[str, Any] = {"max_tokens": max_tokens, "detail": detail, "stream": stream}
    if image_url.startswith("data:"):
        return client.ask(from_base64(image_url), prompt, **options)
    fetch = fetch or ("provider" if client.endpoint.provider.fetches_urls else "local")
    if fetch == "provider":
        return client.ask_url(checked_url(image_url).geturl(), prompt, **options)
    if fetch == "local":
        return client.ask(fetch_image(image_url, trusted_hosts=trusted_hosts), prompt, **options)
    raise SettingsError(
        say(
            zh=f"fetch 只能是 provider 或 local，不能是 {fetch!r}。",
            en=f"fetch must be provider or local, not {fetch!r}.",
        )
    )


class ChartAnalysis(BaseModel):
    """What a chart says, checked. The chapter's dictionary: `analysis["trend"]`, `analysis.model_dump()`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    title: str
    type: str
    trend: str
    key_insights: list[str]
    data_summary: str

    def __getitem__(self, key: str) -> Any:
        return self.model_dump()[key]


class ImageAnalyzer:
    """The five abilities of section 3.1 as methods, with the wording each needs, in either language.

    `lang` is the language of questions, and so of answers; without it the reader's. The other arguments are
    those of `call_gpt4v`, and so are the errors. Safe to use from several threads: see
    `course_lib.batching.batch`.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        provider: str | None = None,
        base_url: str | None = None,
        model: str | None = None,
        detail: str = "auto",
        max_tokens: int = 500,
        timeout: float = 60.0,
        retries: int = 2,
        lang: str | None = None,
    ):
        if lang not in (None, *LANGUAGES):
            raise SettingsError(
                say(zh=f"lang 只能是 zh 或 en，不能是 {lang!r}。", en=f"lang must be zh or en, not {lang!r}.")
            )
        self.client = VisionClient(
            api_key, provider=provider, base_url=base_url, model=model, timeout=timeout, retries=retries
        )
        self.lang = lang or language()
        self._options: dict[str, Any] = {"detail": detail, "max_tokens": max_tokens}

    def __repr__(self) -> str:
        return f"ImageAnalyzer({self.client.endpoint}, lang={self.lang!r})"

    def describe(self, image: ImageSource, *, stream: bool = False) -> Answer | AnswerStream:
        """What the picture shows, in detail."""
        return self.client.ask(image, self._prompt("describe"), stream=stream, **self._options)

    def extract_text(self, image: ImageSource, *, stream: bool = False) -> Answer | AnswerStream:
        """The text in the picture, which is sent as PNG: JPEG blurs letters."""
        prompt = self._prompt("read")
        return self.client.ask(image, prompt, format="PNG", stream=stream, **self._options)

    def analyze_chart(self, image: ImageSource) -> ChartAnalysis:
        """What the chart says. Raises `AnswerError` for an answer that is not the JSON that was asked for."""
        return self.client.parse(image, self._prompt("chart"), ChartAnalysis, format="PNG", **self._options)

    def compare(self, images: Sequence[ImageSource], *, stream: bool = False) -> Answer | AnswerStream:
        """What two or more pictures have in common, and what differs."""
        pictures = _pictures(images, least=2)
        prompt = self._prompt("compare" if len(pictures) == 2 else "compare several")
        return self.client.ask(pictures, prompt, stream=stream, **self._options)

    def ask(
        self,
        image_or_images: Images,
        question: str,
        *,
        stream: bool = False,
        history: Sequence[tuple[str, str]] = (),
        captions: Sequence[str] = (),
    ) -> Answer | AnswerStream:
        """The answer to any question about one picture or several, after earlier (question, answer) pairs.

        `captions` are texts that stand before the pictures, one for each.
        """
        options = {"stream": stream, "history": history, "captions": captions, **self._options}
        return self.client.ask(image_or_images, question, **options)

    def narrate(
        self, images: Images, *, stream: bool = False, captions: Sequence[str] = ()
    ) -> Answer | AnswerStream:
        """A short story that runs through the pictures, in their order."""
        return self.ask(_pictures(images, least=1), self._prompt("story"), stream=stream, captions=captions)

    def _prompt(self, ability: str) -> str:
        return PROMPTS[ability][self.lang]


def _pictures(images: Images, *, least: int) -> list[ImageSource]:
    pictures = list(images) if is_many(images) else [images]
    if len(pictures) < least:
        raise ImageError(
            say(
                zh=f"这里至少需要 {least} 张图片，只收到 {len(pictures)} 张，请传入图片列表。",
                en=f"At least {least} pictures are needed here, not {len(pictures)}, please pass a list of "
                "them.",
            )
        )
    return pictures
