"""All pictures of a batch on one, each with its number and the beginning of its prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from ..errors import CourseError
from ..images import open_image, thumbnail
from ..output import write_whole
from .manifest import Entry

SHEET = "contact_sheet.png"
MOST = 400  # more would be a wall nobody looks at
_SIDE, _GAP, _COLUMNS = 128, 8, 8
_LINE, _LINES = 15, 2  # of a label: pixels a line, and how many


def contact_sheet(folder: Path, entries: Sequence[Entry]) -> Path | None:
    """Write the sheet, and return its path; None for an empty batch. What failed is an empty square."""
    from ..plots import GROUND, INK, MUTED, font

    entries = entries[:MOST]
    if not entries:
        return None
    columns = min(_COLUMNS, len(entries))
    rows = -(-len(entries) // columns)
    across, down = _SIDE + _GAP, _SIDE + _LINE * _LINES + _GAP
    sheet = Image.new("RGB", (columns * across + _GAP, rows * down + _GAP), GROUND)
    draw, letters = ImageDraw.Draw(sheet), font(12)
    for place, entry in enumerate(entries):
        left, top = _GAP + place % columns * across, _GAP + place // columns * down
        picture = None
        if entry.ok:
            try:
                picture = thumbnail(open_image(folder / entry.file), _SIDE)
            except CourseError:
                pass  # taken away meanwhile
        if picture is None:
            draw.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), outline=MUTED)
            draw.line((left, top, left + _SIDE - 1, top + _SIDE - 1), fill=MUTED)
        else:
            sheet.paste(picture, (left, top))
        label = _wrapped(
            f"{entry.number:03d} {entry.prompt}", lambda text: draw.textlength(text, letters) <= _SIDE
        )
        for number, line in enumerate(label):
            draw.text((left, top + _SIDE + number * _LINE), line, INK, letters)
    write_whole(folder / SHEET, lambda file: sheet.save(file, "PNG"))
    return folder / SHEET


def _wrapped(text: str, fits: Callable[[str], bool]) -> list[str]:
    """The beginning of a text in lines that fit; Chinese breaks anywhere, other words between them."""
    # No letter is narrower than two pixels: what is beyond is not measured, a prompt may be a whole page.
    left, lines = " ".join(text.split()[: _SIDE * _LINES])[: _SIDE // 2 * _LINES], []
    while left and len(lines) < _LINES:
        end = len(left)
        while not fits(left[:end]):
            end -= 1
        if end < len(left) and len(lines) == _LINES - 1:
            lines.append(left[: end - 1] + "…")
            break
        space = left.rfind(" ", 1, end + 1)
        if end < len(left) and left[end - 1].isascii() and left[end].isascii() and space > 0:
            end = space
        lines.append(left[:end])
        left = left[end:].lstrip()
    return lines
