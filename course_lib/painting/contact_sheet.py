"""All pictures of a batch on one, each with its number and the beginning of its prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from ..errors import CourseError
from ..images import open_image, thumbnail
from .manifest import Entry
from .output import write_whole

SHEET = "contact_sheet.png"
MOST = 400  # more would be a wall nobody looks at
_SIDE, _GAP, _LABEL, _COLUMNS = 128, 8, 18, 8


def contact_sheet(folder: Path, entries: Sequence[Entry]) -> Path | None:
    """Write the sheet, and return its path; None for an empty batch. What failed is an empty square."""
    from ..plots import GROUND, INK, MUTED, font

    entries = entries[:MOST]
    if not entries:
        return None
    columns = min(_COLUMNS, len(entries))
    rows = -(-len(entries) // columns)
    across, down = _SIDE + _GAP, _SIDE + _LABEL + _GAP
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
        # No letter is narrower than two pixels; measuring a prompt of a whole page bit by bit would take minutes.
        label = f"{entry.number:03d} {' '.join(entry.prompt.split())}"[: _SIDE // 2]
        while draw.textlength(label, letters) > _SIDE:
            label = label[:-2] + "…"
        draw.text((left, top + _SIDE + 1), label, INK, letters)
    write_whole(folder / SHEET, lambda file: sheet.save(file, "PNG"))
    return folder / SHEET
