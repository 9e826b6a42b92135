"""The pieces that the search-and-ask app is made of: a card of the gallery, replies and counts as HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from ipywidgets import HTML, Button, Image, VBox

from .app_core import Reply
from .images import ImageSource, encode, open_image, resize
from .settings import say

CARD, LARGE = 192, 512  # pixels on the longer side, as sent to the page


class Card(VBox):
    """A picture with its name and score, and over all of it a button: keyboards and screen readers find that."""

    def __init__(self, clicked: Callable[[str], None]):
        self.picture_id = ""
        self.picture, self.caption, self.button = Image(format="jpeg"), HTML(), Button()
        self.button.on_click(lambda _: clicked(self.picture_id))
        super().__init__([self.picture, self.caption, self.button])
        self.add_class("ml-card")

    def show(self, picture_id: str, name: str, score: float | None, picture: ImageSource | None) -> None:
        self.picture_id = picture_id
        self.picture.value = b"" if picture is None else jpeg(picture, CARD)
        badge = "" if score is None else f'<span class="ml-score">{score:.2f}</span> '
        self.caption.value = f'<div class="ml-name" title="{escape(name)}">{badge}{escape(name)}</div>'
        self.button.description = self.button.tooltip = name
        self.layout.display = None

    def hide(self) -> None:
        self.layout.display = "none"

    def mark(self, chosen: bool) -> None:
        (self.add_class if chosen else self.remove_class)("ml-chosen")


def jpeg(picture: ImageSource, side: int) -> bytes:
    """The picture, at most `side` pixels on its longer side, as a JPEG file's bytes: a page has many of them."""
    return encode(resize(open_image(picture), side), "JPEG", quality=88)


def turns_html(turns: Sequence[tuple[str, Reply]]) -> str:
    """Questions with their replies, the newest on top. What a model says is shown, never run."""
    return "".join(_turn(question, reply) for question, reply in reversed(turns))


def _turn(question: str, reply: Reply) -> str:
    by = escape(str(reply["model"]))
    if reply["sure"] is not None:
        by += say(zh=f"，把握 {reply['sure']:.0%}", en=f", {reply['sure']:.0%} sure")
    note = f'<div class="ml-by">{escape(reply["note"])}</div>' if reply["note"] else ""
    return (
        f'<div class="ml-turn"><b>{escape(question)}</b><div class="ml-said">{escape(reply["text"])}</div>'
        f'<div class="ml-by">{say(zh="回答者：", en="answered by ")}{by}</div>{note}</div>'
    )


def tally_html(question: str, counts: Sequence[tuple[str, int]]) -> str:
    """How often each answer was given, as bars."""
    if not counts:
        return ""
    most = max(count for _, count in counts)
    rows = "".join(
        f'<div>{escape(text)}</div><div><div class="ml-bar" style="width:{100 * count / most:.0f}%"></div></div>'
        f'<div class="ml-score">{count}</div>'
        for text, count in counts
    )
    return f'<div><b>{escape(question)}</b></div><div class="ml-tally">{rows}</div>'


def note_html(text: str, kind: str = "") -> str:
    """One sentence about what happened; `kind` is "bad" or "busy"."""
    return f'<div class="{kind}" role="status">{escape(text)}</div>' if text else ""


def refused_html(refused: Sequence[tuple[str, str]]) -> str:
    """Which files were not taken, and why."""
    return "".join(f'<div class="bad"><b>{escape(name)}</b>: {escape(why)}</div>' for name, why in refused)
