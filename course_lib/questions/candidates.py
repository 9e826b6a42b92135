"""What an answer may be: the values of each fact that a question can ask for, in both languages.

Colours, numbers, sizes, times of day and positions in the frame have general defaults. What *things* and what
*places* there are depends on the pictures, and comes from the caller, or with a model's calibration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import TextError
from ..settings import say
from ..texts import as_labels, is_chinese
from .words import SYNONYMS, singular

DEFAULTS: dict[str, Any] = {
    "color": (
        "红色", "橙色", "黄色", "绿色", "蓝色", "紫色", "粉红色", "棕色", "白色", "灰色", "黑色",
        "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "gray", "black",
    ),
    "number": ("0", "1", "2", "3", "4"),
    "size": ("小", "大", "small", "big"),
    "position": (
        "左边", "右边", "上方", "下方", "中间",
        "on the left", "on the right", "at the top", "at the bottom", "in the middle",
    ),
    "time": {
        "白天": "白天", "黄昏": "黄昏", "夜晚": "夜晚", "day": "by day", "dusk": "at dusk", "night": "at night",
    },
}  # fmt: skip
SLOTS = ("thing", "color", "number", "size", "position", "place", "time")


@dataclass(frozen=True)
class Value:
    """One possible answer, and how it stands in a sentence: "beach", "on the beach"."""

    answer: str
    phrase: str


class Candidates:
    """Slot to values, for questions of one language.

    Made from mappings of a slot (one of SLOTS, or a word such as "material") to answers, or to {answer: phrase}; each
    answer belongs to the language it is written in, digits to both. Later mappings replace slots of earlier ones.
    """

    def __init__(self, *sources: Mapping[str, Iterable[str] | Mapping[str, str]], lang: str):
        self.lang = lang
        self._values: dict[str, list[Value]] = {}
        for source in (DEFAULTS, *sources):
            for slot, given in source.items():
                phrases = (
                    given if isinstance(given, Mapping) else {answer: answer for answer in as_labels(given)}
                )
                found = [
                    Value(a, p) for a, p in phrases.items() if a.isdigit() or is_chinese(a) == (lang == "zh")
                ]
                if found or source is not DEFAULTS:
                    self._values[slot] = found

    def __getitem__(self, slot: str) -> list[Value]:
        """The values of a slot, [] where there are none."""
        return self._values.get(slot, [])

    def __contains__(self, slot: str) -> bool:
        return bool(self[slot])

    def find(self, slot: str, text: str) -> Value | None:
        """The value that a text means, as an answer, as a phrase or by a synonym; None where it means none."""
        text = text.strip()
        spellings = [text, SYNONYMS[self.lang].get(text, "")]
        if self.lang == "zh":
            spellings += (
                [text.removesuffix("的"), text + "色"] if slot == "color" else [text.removesuffix("的")]
            )
        else:
            bare = text.split(" ", 1)[1] if text.startswith(("the ", "a ", "an ")) else text
            spellings += [bare, singular(bare), SYNONYMS["en"].get(bare, "")]
            if text.startswith(("on the ", "at the ", "in the ")):  # "on the right side", "in the center"
                spellings.append(SYNONYMS["en"].get(text.split(" ", 2)[2], ""))
        for spelling in filter(None, spellings):
            for value in self[slot]:
                if spelling in (value.answer, value.phrase):
                    return value
        return None

    def phrase(self, slot: str, answer: str) -> str:
        """How an answer stands in a sentence."""
        return next((value.phrase for value in self[slot] if value.answer == answer), answer)


def merged(candidates: Any) -> dict[str, Any]:
    """Checked candidates of a caller: {slot: answers}. `TextError` for anything else."""
    if candidates is None:
        return {}
    if not isinstance(candidates, Mapping):
        raise TextError(
            say(
                zh='candidates 要写成 {"thing": ["猫", "狗"], "place": [...]} 这样的字典。',
                en='candidates must be a dictionary such as {"thing": ["cat", "dog"], "place": [...]}.',
            )
        )
    found = {}
    for slot, answers in candidates.items():
        labels = as_labels(answers)  # no, empty and repeated answers are refused here
        found[slot] = dict(answers) if isinstance(answers, Mapping) else labels
    return found
