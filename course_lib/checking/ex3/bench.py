"""What the checks of exercise 3 stand on: new pictures with their truth, files of every sort, a chat with a script."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from PIL import Image

from ...clip import CLIPService
from ...errors import ServiceError, TextError
from ...images import encode, open_image
from ...settings import say
from ...vqa_answers import VisualAnswer

SEED = 28_030
CHAT, CLIP = "chat-of-the-check", "clip-of-the-check"  # the names under which the scripted models answer


class Bench:
    """`picture(seed, **facts)` draws a new picture of one thing; `words` maps the names of facts ("kind", "color") to
    `{name in code: word in the learner's language}`."""

    def __init__(
        self, clip: CLIPService, picture: Callable[..., Any], words: Mapping[str, Mapping[str, str]]
    ):
        self.clip, self.picture = clip, picture
        self.words = {fact: dict(named) for fact, named in words.items()}

    def draw(self, part: int, wanted: Iterable[Mapping[str, str]]) -> list[Image.Image]:
        """A new picture for each set of facts; `part` keeps those of different checks apart."""
        return [self.picture((SEED, part, i), **facts) for i, facts in enumerate(wanted)]


class Script:
    """A `VisualQA` whose answers are known, and which writes down what it is asked.

    `chat` and `clip` are answers, errors to raise, or functions of `(picture, question)`.
    """

    def __init__(self, chat: Any = "yes", clip: Any = None):
        self.chat, self.clip = chat, clip
        self.asked: list[tuple[Any, str, bool]] = []
        self.client = SimpleNamespace(endpoint=SimpleNamespace(model=CHAT))
        self.clip_service = SimpleNamespace(name=CLIP)
        self._lock = threading.Lock()

    def answer(self, image: Any, question: str, use_gpt4v: bool = True, **_: Any) -> VisualAnswer:
        with self._lock:
            self.asked.append((image, question, bool(use_gpt4v)))
        if not question.strip():
            raise TextError(
                say(zh="问题是空的，请写上内容。", en="The question is empty, please write something.")
            )
        said = self.chat if use_gpt4v else self.clip
        if callable(said):
            said = said(image, question)
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, VisualAnswer) else VisualAnswer(str(said))


def unreachable() -> ServiceError:
    """What a chat raises whose server is gone."""
    return ServiceError(
        say(
            zh="连不上看图对话的服务，请检查地址。",
            en="The chat cannot be reached, please check the address.",
        ),
        kind="connection",
    )


def same(image: Any, other: Image.Image) -> bool:
    """Whether two pictures have the same pixels."""
    try:
        opened = open_image(image)
    except ValueError:
        return False
    return opened.size == other.size and opened.tobytes() == open_image(other).tobytes()


# --------------------------------------------------------------------------------------------- files


def turned(picture: Image.Image) -> bytes:
    """A JPEG as a camera writes it that was held upright: lying, with a note to turn it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(picture.rotate(90, expand=True), "JPEG", quality=95, exif=exif)


def bomb(side: int = 60_000) -> bytes:
    """A PNG of a hundred bytes that claims to be `side` pixels wide and high."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
