"""The text that AUTOMATIC1111 writes into every picture, so that it can be painted again: prompt, seed,
settings.

It stands in the PNG's text chunk `parameters`: the prompt, "Negative prompt: ...", and a last line of names
and values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

CHUNK = "parameters"
_NEGATIVE = "Negative prompt:"
# A name is bounded: without that, and with \s* before it, a long line without a colon takes the square of its length.
_PAIR = re.compile(r'(\w[\w /-]{0,40}):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_SIZE = re.compile(r"(\d+)x(\d+)")
_LONGEST = 100_000  # characters of a foreign picture's text that are looked at


def compose(prompt: str, negative: str, settings: Mapping[str, Any]) -> str:
    """The text; settings that are None are left out."""
    line = ", ".join(f"{name}: {_quote(value)}" for name, value in settings.items() if value is not None)
    lines = [prompt, *([f"{_NEGATIVE} {negative}"] if negative else []), line]
    return "\n".join(lines).strip()


def parse(text: str) -> dict[str, str]:
    """What `compose` wrote, as A1111 reads it back: "Prompt", "Negative prompt", the settings, "Size-1" and
    "Size-2"."""
    *lines, last = text.strip()[:_LONGEST].split("\n")
    pairs = _PAIR.findall(last)
    if len(pairs) < 3:  # no line of settings: all of it is prompt, as A1111 has it
        lines, pairs = [*lines, last], []
    at = next((number for number, line in enumerate(lines) if line.startswith(_NEGATIVE)), len(lines))
    negative = "\n".join(lines[at:]).removeprefix(_NEGATIVE)
    found = {"Prompt": "\n".join(lines[:at]).strip(), "Negative prompt": negative.strip()}
    for name, value in pairs:
        value = _unquote(value)
        if size := _SIZE.fullmatch(value):
            found |= {f"{name}-1": size[1], f"{name}-2": size[2]}
        else:
            found[name] = value
    return found


def encode(picture: Image.Image, text: str) -> bytes:
    """The picture as PNG with its text."""
    chunks, buffer = PngInfo(), BytesIO()
    chunks.add_text(CHUNK, text)  # Pillow takes iTXt where it is not Latin-1
    picture.save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


def read(picture: Image.Image) -> tuple[str, dict[str, str]]:
    """A PNG's `parameters`, empty where it has none, and every text that stands in it."""
    items = {name: str(value) for name, value in picture.info.items() if isinstance(value, str)}
    return items.get(CHUNK, ""), items


def _quote(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ',:\n"') else text


def _unquote(text: str) -> str:
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        try:
            return str(json.loads(text, strict=False))
        except ValueError:
            return text
    return text.strip()
