"""The messages of a vision chat as they go over the wire: text, and pictures scaled and encoded to fit."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

from PIL import Image

from ..errors import TextError
from ..images import ImageSource, encode, mime_type, open_image, resize
from ..providers import Provider
from ..settings import say
from .tokens import sent_size

Images = ImageSource | Iterable[ImageSource]
DRAWN = 16  # a picture with fewer colours than a sixteenth of its pixels is drawn, not photographed


def user_messages(
    parts: list[dict], prompt: str, history: Sequence[tuple[str, str]] = (), *, parts_first: bool = False
) -> list[dict]:
    """The messages for a question about pictures, after earlier (question, answer) pairs about the same ones.

    The pictures, `parts`, stand in the first question, behind its text or before it. Raises `TextError` for an empty
    question.
    """
    if not isinstance(prompt, str) or not prompt.strip():
        raise TextError(say(zh="问题是空的，请写一个问题。", en="The question is empty, please write one."))
    messages: list[dict] = []
    for number, (question, answer) in enumerate([*history, (prompt, None)]):
        text, shown = [text_part(question)], [] if number else parts
        messages.append({"role": "user", "content": [*shown, *text] if parts_first else [*text, *shown]})
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
    return messages


def text_part(text: str) -> dict:
    """A text as a part of a message."""
    return {"type": "text", "text": text}


def image_part(url: str, detail: str) -> dict:
    """A picture, by its address or its data URI, as a part of a message."""
    address = {"url": url} if detail == "auto" else {"url": url, "detail": detail}
    return {"type": "image_url", "image_url": address}


def data_uri(source: ImageSource, provider: Provider, detail: str, format: str | None) -> str:
    """A picture as it is sent: scaled, in the format that suits it, within the provider's bytes."""
    image = open_image(source)
    image = resize(image, sent_size(image.size, detail, provider.max_side))
    format = (format or ("PNG" if _is_drawn(image) else "JPEG")).upper()
    options = {"quality": 90} if format == "JPEG" else {}
    data = encode(image, format, **options)
    while len(data) > provider.max_bytes and max(image.size) > 64:
        if format == "JPEG":
            image = resize(image, int(max(image.size) * 0.8))
        format = "JPEG"  # of a large PNG first the format goes, then the size
        data = encode(image, format, quality=90)
    return f"data:{mime_type(format)};base64,{base64.b64encode(data).decode('ascii')}"


def _is_drawn(image: Image.Image) -> bool:
    """Small, or of few colours like a drawing or a screenshot: lossless costs little, and JPEG blurs."""
    pixels = image.width * image.height
    return pixels <= 256 * 256 or image.getcolors(maxcolors=pixels // DRAWN) is not None
