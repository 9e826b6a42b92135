"""An answer to a question about a picture, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from PIL import Image

from .images import thumbnail, to_data_uri
from .questions import Question
from .settings import say
from .vqa_clip import NOT_SURE, Score, Verdict

_GREEN, _BLUE = "#2e9e6b", "#4c8fd0"  # readable on white and on black
SHOWN = 12  # pictures in a notebook's output


@dataclass(frozen=True, eq=False)
class PictureAnswer:
    """One picture of a collection and what was said of it. `similarity` is its cosine with the query."""

    id: str
    similarity: float
    answer: str
    confidence: float | None = None
    thumbnail: Image.Image | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What an answer rests on: statements with their scores, and for a collection the pictures.

    `question` is how the question was read, None where it was not (a chat reads for itself). `clip` is what CLIP says
    beside an answer of a chat. In a notebook it draws itself.
    """

    question: Question | None = None
    scores: tuple[Score, ...] = ()
    pictures: tuple[PictureAnswer, ...] = ()
    clip: str = ""

    def __repr__(self) -> str:
        lines = [f"CLIP: {self.clip}"] if self.clip else []
        for score in self.scores:
            chance = "" if score.probability is None else f"  {score.probability:.0%}"
            lines.append(f"{score.cosine:+.3f}{chance}  {score.statement}")
        for one in self.pictures:
            sure = "" if one.confidence is None else f" ({one.confidence:.0%})"
            lines.append(f"{one.similarity:.3f}  {one.id}: {one.answer}{sure}")
        return "\n".join(lines) or say(zh="（没有依据）", en="(no evidence)")

    def _repr_html_(self) -> str:
        clip = f"<div>CLIP: <b>{escape(self.clip)}</b></div>" if self.clip else ""
        rows = "".join(map(_row, self.scores))
        table = f'<table style="border-collapse:collapse">{rows}</table>' if rows else ""
        cells = "".join(map(_cell, self.pictures[:SHOWN]))
        gallery = (
            f'<div style="display:flex;flex-wrap:wrap;gap:10px;margin-top:6px">{cells}</div>' if cells else ""
        )
        return f'<div style="font-size:13px">{clip}{table}{gallery}</div>'


class VisualAnswer(str):
    """The text of an answer.

    `answered` is False for "not sure" and for a refusal, and `reason` says why. `confidence` is the calibrated chance
    that a CLIP answer is right (None from a chat), `probabilities` what the other answers get. `evidence` as asked for;
    `usage` the tokens a chat counted.
    """

    answered: bool
    confidence: float | None
    probabilities: Mapping[str, float]
    reason: str
    evidence: Evidence | None
    usage: Mapping[str, Any]

    def __new__(
        cls,
        text: str,
        *,
        answered: bool = True,
        confidence: float | None = None,
        probabilities: Mapping[str, float] | None = None,
        reason: str = "",
        evidence: Evidence | None = None,
        usage: Mapping[str, Any] | None = None,
    ) -> VisualAnswer:
        answer = super().__new__(cls, text)
        answer.answered, answer.confidence, answer.reason = answered, confidence, reason
        answer.probabilities, answer.evidence, answer.usage = probabilities or {}, evidence, usage or {}
        return answer

    def __reduce__(self) -> tuple:
        return _restored, (str(self), self.__dict__)


def _restored(text: str, state: dict[str, Any]) -> VisualAnswer:
    return VisualAnswer(text, **state)


def refused(question: Question) -> VisualAnswer:
    """CLIP's refusal, with the reason as its text."""
    why = question.why()
    text = f"CLIP 回答不了：{why}。" if question.lang == "zh" else f"CLIP cannot tell: {why}."
    return VisualAnswer(text, answered=False, reason=why, evidence=Evidence(question))


def unheard(question: Question, word: str, model: str) -> VisualAnswer:
    """ "Not sure", because the model never learned a word of the question."""
    reason = f"{model} 没有学过“{word}”" if question.lang == "zh" else f'{model} never learned "{word}"'
    return VisualAnswer(NOT_SURE[question.lang], answered=False, reason=reason, evidence=Evidence(question))


def judged(question: Question, verdict: Verdict, *, sure: float) -> VisualAnswer:
    """The answer that a verdict comes to: its own where it is at least `sure`, else "not sure"."""
    common: dict[str, Any] = {
        "confidence": verdict.confidence,
        "probabilities": verdict.probabilities,
        "evidence": Evidence(question, verdict.scores),
    }
    if verdict.confidence >= sure:
        return VisualAnswer(verdict.answer, **common)
    best = sorted(verdict.probabilities.items(), key=lambda item: item[1], reverse=True)[:2]
    if question.lang == "zh":
        said = "、".join(f"“{answer}” {chance:.0%}" for answer, chance in best)
        reason = f"{said}，没有一个达到 {sure:.0%}"
    else:
        said = ", ".join(f'"{answer}" {chance:.0%}' for answer, chance in best)
        reason = f"{said}: none reaches {sure:.0%}"
    return VisualAnswer(NOT_SURE[question.lang], answered=False, reason=reason, **common)


def _row(score: Score) -> str:
    cell = "border:0;padding:2px 8px;text-align:left"
    width = 0 if score.probability is None else 100 * score.probability
    chance = "" if score.probability is None else f"{score.probability:.0%}"
    bar = f'<div style="height:10px;width:{width:.0f}px;background:{_GREEN if width >= 50 else _BLUE}"></div>'
    return (
        f'<tr><td style="{cell}">{escape(score.statement)}</td><td style="{cell};opacity:.7">{score.cosine:+.3f}</td>'
        f'<td style="{cell};width:110px">{bar}</td><td style="{cell}">{chance}</td></tr>'
    )


def _cell(one: PictureAnswer) -> str:
    picture = '<div style="width:96px;height:96px;background:#8883;border-radius:6px"></div>'
    if one.thumbnail is not None:
        data = to_data_uri(thumbnail(one.thumbnail, 96), "JPEG")
        picture = (
            f'<img src="{data}" alt="{escape(one.id)}" style="width:96px;height:96px;border-radius:6px">'
        )
    sure = "" if one.confidence is None else f" {one.confidence:.0%}"
    cut = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap"
    return (
        f'<div style="width:96px">{picture}<div style="{cut}"><b>{escape(one.answer)}</b>{sure}</div>'
        f'<div style="{cut};opacity:.7">{one.similarity:.3f} {escape(one.id)}</div></div>'
    )
