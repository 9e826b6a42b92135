"""A calibration of the CLIP mode, fitted on questions with known answers, and what it is worth on others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .errors import TextError
from .settings import say
from .vqa_calibration import LEAST, Calibration, calibration_error, fingerprint, fit
from .vqa_clip import NO, YES, ClipReader, Verdict

Asked = tuple[int, str, str]  # which picture, question, true answer


def by_question(asked: Iterable[tuple[int, str]]) -> dict[str, list[int]]:
    """Positions of each question, so that a question is read once for all its pictures."""
    found: dict[str, list[int]] = defaultdict(list)
    for position, (_, question) in enumerate(asked):
        found[question].append(position)
    return found


def calibrate(
    service: Any,
    vectors: np.ndarray,
    asked: list[Asked],
    candidates: Mapping[str, Any],
    *,
    closed: bool = False,
    made: Mapping[str, Any] | None = None,
) -> Calibration:
    """Fit the weights of every sort of question that `asked` holds often enough.

    `vectors` `(n, d)` are pictures, `asked` says which of them, what, and the true answer. Questions that cannot be
    read, and answers that are not among the candidates, teach nothing and are left out. Raises `TextError` where
    nothing is left.
    """
    reader = ClipReader(service, candidates, None)
    features: dict[str, list[np.ndarray]] = defaultdict(list)
    right: dict[str, list[bool]] = defaultdict(list)
    for text, positions in by_question((picture, question) for picture, question, _ in asked).items():
        question = reader.read(text)
        if question.sort == "refused" or (question.sort == "yes/no" and question.about[0].facts):
            continue
        some = vectors[[asked[position][0] for position in positions]]
        truth = [asked[position][2] for position in positions]
        sorts, winners, found = reader.features(question, some)
        known = {value.answer for value in reader.candidates[question.lang][question.slot]} | set(
            question.options
        )
        known |= {YES[question.lang], NO[question.lang]} if question.sort == "yes/no" else set()
        for sort, winner, row, true in zip(sorts, winners, found, truth):
            if true in known and not (question.slot == "number" and true == "0"):
                features[sort].append(row)
                right[sort].append(winner == true)
    weights = {}
    for sort, rows in features.items():
        x, y = np.array(rows), np.array(right[sort], float)
        if len(y) >= LEAST and 0 < y.mean() < 1:
            weights[sort] = fit(x, y)
    if not weights:
        raise TextError(
            say(
                zh=f"没有可用来校准的问题：每一类至少要 {LEAST} 道，且有对有错。",
                en=f"There is nothing to calibrate on: a sort of question needs at least {LEAST}, some of them wrong.",
            )
        )
    finals = _finals(service, vectors, asked, Calibration(weights, candidates=candidates))
    counts = {sort: len(rows) for sort, rows in right.items()}
    return Calibration(
        weights,
        finals,
        dict(candidates),
        closed,
        fingerprint(service),
        made={**(made or {}), "examples": counts},
    )


def _finals(
    service: Any, vectors: np.ndarray, asked: list[Asked], first: Calibration
) -> dict[str, tuple[float, ...]]:
    """The second step: of whole answers, how often they are right at which odds."""
    reader = ClipReader(service, {}, first)
    rows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for text, positions in by_question((picture, question) for picture, question, _ in asked).items():
        question = reader.read(text)
        if question.sort == "refused":
            continue
        for position, (kind, answer, answers, odds) in zip(
            positions, reader.odds(question, vectors[[asked[position][0] for position in positions]])
        ):
            if (truth := asked[position][2]) in answers:
                rows[kind].append((*odds, answer == truth))
    finals = {}
    for kind, found in rows.items():
        table = np.array(found, float)
        odds, right = table[:, :-1], table[:, -1]
        if len(right) >= LEAST and 0 < right.mean() < 1:
            slopes = fit(odds, right)
            if min(slopes[:-1]) < 0:  # odds that say nothing, or the contrary, are left out
                slopes = fit(odds * (np.array(slopes[:-1]) > 0), right)
            finals[kind] = slopes
    return finals


def verdicts(reader: ClipReader, vectors: np.ndarray, asked: list[Asked]) -> list[Verdict | None]:
    """What the reader says to each question, in order; None for a question that it refuses."""
    found: list[Verdict | None] = [None] * len(asked)
    for text, positions in by_question((picture, question) for picture, question, _ in asked).items():
        question = reader.read(text)
        if question.sort != "refused":
            judged = reader.judge(
                question, vectors[[asked[position][0] for position in positions]], evidence=False
            )
            for position, verdict in zip(positions, judged):
                found[position] = verdict
    return found


def measure(
    reader: ClipReader, vectors: np.ndarray, asked: list[Asked], sorts: list[str], sure: float
) -> dict:
    """Accuracy by sort: answering everything, and where the confidence is at least `sure`, with the coverage and the
    calibration error."""
    judged = verdicts(reader, vectors, asked)
    table = {}
    for sort in dict.fromkeys(sorts):
        some = [(v, a[2]) for v, a, s in zip(judged, asked, sorts) if s == sort and v is not None]
        if not some:
            continue
        right = np.array([v.answer == truth for v, truth in some])
        confidence = np.array([v.confidence for v, _ in some])
        answered = confidence >= sure
        table[sort] = {
            "questions": len(some),
            "accuracy": round(float(right.mean()), 4),
            "coverage": round(float(answered.mean()), 4),
            "accuracy when sure": round(float(right[answered].mean()), 4) if answered.any() else None,
            "calibration error": round(calibration_error(confidence, right), 4),
        }
    return table
