"""What stands in the miniatures' folders: how large each is, how it was trained and what was measured of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from .paths import MODELS


@dataclass(frozen=True)
class Card:
    """A miniature that is there. `rows` are shares by language, {row: {"zh": 0.99, "en": 0.99}}.

    `seen` are the examples it was trained on, repetitions included, `hours` how long that took; None where its
    record does not tell.
    """

    name: str
    rows: dict[str, dict[str, float]]
    parameters: int
    megabytes: float
    seen: int | None
    hours: float | None

    def measured(self, row: str | None) -> str | None:
        """A row as text, Chinese before English: "99.4% / 99.3%"; None if the card has no such row."""
        shares = self.rows.get(row or "")
        return shares and " / ".join(f"{shares[lang]:.1%}" for lang in ("zh", "en"))


def cards(folder: Path = MODELS) -> dict[str, Card]:
    """The cards of all miniatures in a folder by name. Reads no weights, only their shapes."""
    return {path.parent.name: _card(path.parent) for path in sorted(folder.glob("*/metrics.json"))}


def megabytes(folder: Path) -> float:
    """Of all weights in a folder and below."""
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors")) / 1e6


def _card(folder: Path) -> Card:
    record = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    seconds = record.get("seconds", 0)  # of all of it, or of each part
    total = sum(seconds.values()) if isinstance(seconds, dict) else seconds
    files = sorted(folder.rglob("*.safetensors"))
    return Card(
        folder.name,
        record.get("rows", {}),
        parameters=sum(map(_parameters, files)),
        megabytes=megabytes(folder),
        seen=sum(stage["steps"] * stage["batch_size"] for stage in record.get("stages", ())) or None,
        hours=total / 3600 or None,
    )


def _parameters(file: Path) -> int:
    with safe_open(file, "numpy") as tensors:
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
