"""Questions answered by CLIP alone: each possible answer becomes a statement, and the statements are compared.

A cosine by itself says little: 0.3 is high for one text and low for another (lesson 06 shows it). So a statement
is held against its counter-statements, which differ from it in one fact: the other colours, the other numbers, other
things in its place, and what fits any picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .questions import NEUTRAL, Candidates, Phrase, Question, named, parse, statement
from .vqa_calibration import Calibration

YES = {"zh": "是", "en": "yes"}
NO = {"zh": "否", "en": "no"}
NOT_SURE = {"zh": "不确定", "en": "not sure"}


@dataclass(frozen=True)
class Score:
    """A statement, the answer it speaks for ("" for what fits any picture), its cosine, and its probability."""

    statement: str
    answer: str
    cosine: float
    probability: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What CLIP says of one picture. `probabilities` of the answers add up to 1; `answer` is the likeliest."""

    answer: str
    probabilities: dict[str, float]
    scores: tuple[Score, ...] = ()

    @property
    def confidence(self) -> float:
        return self.probabilities.get(self.answer, 0.0)


@dataclass
class _Contest:
    """Statements of n pictures that exclude each other: logits `(n, k)`, probabilities `(n, k)`."""

    sort: str  # of its calibration
    statements: list[str]
    answers: list[str]
    logits: np.ndarray
    features: np.ndarray  # (n, 3), of the winner
    probabilities: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    def scores(self, row: int, scale: float) -> list[Score]:
        order = np.argsort(-self.logits[row], kind="stable")
        return [
            Score(self.statements[i], self.answers[i], float(self.logits[row, i] / scale), float(self.probabilities[row, i]))
            for i in order
        ]


_Judged = tuple[list[str], np.ndarray, list[_Contest]]  # answers, their probabilities (n, k), what they rest on


class ClipReader:
    """Reads questions, and judges pictures by their CLIP vectors."""

    def __init__(self, service: Any, candidates: Mapping[str, Any], calibration: Calibration | None):
        self.service = service
        self.calibration = calibration or Calibration()
        self.candidates = {
            lang: Candidates(self.calibration.candidates, candidates, lang=lang) for lang in ("zh", "en")
        }
        self._vectors: dict[str, np.ndarray] = {}  # of texts
        self._rivals: dict[Phrase, tuple[list[str], list[str]]] = {}  # of a thing: statements, and what they speak for

    def read(self, question: str, answers: Iterable[str] = ()) -> Question:
        """The question as it is understood. `answers` are candidates for this one."""
        return parse(question, self.candidates, answers=answers)

    def judge(self, question: Question, vectors: np.ndarray, *, evidence: bool = True) -> list[Verdict]:
        """A verdict for each picture, from its vector `(n, d)`, with the scores it rests on if they are wanted.

        The question must not be a refused one.
        """
        judged = {"yes/no": self._yes_no, "choice": self._choice, "open": self._open}[question.sort]
        answers, shares, contests = judged(question, np.asarray(vectors, np.float32))
        best = shares.argmax(axis=1)
        rows = np.arange(len(shares))
        sure = self.calibration.final(question.kind, shares[rows, best])
        shares *= ((1 - sure) / np.maximum(1 - shares[rows, best], 1e-9))[:, None]  # the others keep their proportions
        shares[rows, best] = sure
        return [
            Verdict(
                answers[best[row]],
                dict(zip(answers, map(float, shares[row]))),
                tuple(score for contest in contests for score in self._scores(contest, row)) if evidence else (),
            )
            for row in rows
        ]

    def unheard_of(self, question: Question) -> str:
        """A noun or place of the question that a closed model never learned; "" where there is none."""
        if not self.calibration.closed:
            return ""
        known = Candidates(self.calibration.candidates, lang=question.lang)
        for phrase in (*question.about, *filter(None, [question.given])):
            slots = [("thing", phrase.noun)] if phrase.noun else []
            for slot, answer in [*slots, *phrase.facts]:
                if known.find(slot, answer) is None:
                    return answer
            if phrase.more:
                return phrase.more[0]
        return ""

    def features(self, question: Question, vectors: np.ndarray) -> tuple[str, list[str], np.ndarray, np.ndarray]:
        """What a calibration is fitted on: its sort, the answers, which of them wins `(n,)`, and `(n, 3)` features.

        Of a yes/no question only the thing counts, and "no" stands for it.
        """
        if question.sort == "yes/no":
            contest = self._presence(question.about[0], vectors)
            return "exists", [NO[question.lang], YES[question.lang]], np.ones(len(vectors), int), contest.features
        contest = self._alternatives(question, vectors)
        return contest.sort, contest.answers, contest.logits.argmax(axis=1), contest.features

    # Two judgements, and the three sorts of questions made of them

    def _presence(self, phrase: Phrase, vectors: np.ndarray) -> _Contest:
        """Whether the thing is there: held against other things, and against what fits any picture."""
        own = phrase.only()
        if own not in self._rivals:
            candidates = self.candidates[own.lang]
            others = [value.answer for value in candidates["thing"] if value.answer != own.noun]
            phrases = [own, *(own.having("thing", other) for other in others)]
            statements = [statement(p, candidates) for p in phrases] + list(NEUTRAL[own.lang])
            self._rivals[own] = statements, [own.noun, *others, *[""] * len(NEUTRAL[own.lang])]
        statements, answers = self._rivals[own]
        things = len(statements) - len(NEUTRAL[own.lang])
        logits = self._logits(statements, vectors)
        mine, rivals, neutral = logits[:, 0], logits[:, 1:things], logits[:, things:]
        top = neutral.max(axis=1)
        neutral = top + np.log(np.exp(neutral - top[:, None]).sum(axis=1))
        rival = mine - rivals.max(axis=1) if things > 1 else np.zeros(len(vectors))
        contest = _Contest(
            "exists",
            statements,
            answers,
            logits,
            np.stack([np.zeros(len(vectors)), mine - neutral, rival], axis=1),
        )
        there = self.calibration.probability("exists", contest.features)
        contest.probabilities = np.full(logits.shape, np.nan)
        contest.probabilities[:, 0] = there
        return contest

    def _contest(self, phrases: Sequence[Phrase], answers: list[str], slot: str, vectors: np.ndarray) -> _Contest:
        """Which of the phrases fits best; they differ in `slot`, and exclude each other."""
        candidates = self.candidates[phrases[0].lang]
        statements = [statement(phrase, candidates) for phrase in phrases]
        logits = self._logits(statements, vectors)
        order = np.sort(logits, axis=1)
        margin = order[:, -1] - order[:, -2] if len(phrases) > 1 else np.zeros(len(vectors))
        presence = np.zeros((len(vectors), 2))
        nouns = {phrase.noun for phrase in phrases}
        if len(nouns) == 1 and "" not in nouns:
            presence = self._presence(phrases[0], vectors).features[:, 1:]
        # To tell what is in one part of a picture is another task than to tell what is in it.
        sort = "thing at" if slot == "thing" and phrases[0].fact("position") else slot
        contest = _Contest(sort, statements, answers, logits, np.column_stack([margin, presence]))
        right = self.calibration.probability(sort, contest.features)
        # The winner is right with that chance; what is left is shared among the others by their softmax.
        shares = np.exp(logits - order[:, -1:])
        shares[np.arange(len(vectors)), logits.argmax(axis=1)] = 0
        shares *= ((1 - right) / np.maximum(shares.sum(axis=1), 1e-30))[:, None]
        shares[np.arange(len(vectors)), logits.argmax(axis=1)] = right if len(phrases) > 1 else 1.0
        contest.probabilities = shares
        return contest

    def _alternatives(self, question: Question, vectors: np.ndarray) -> _Contest:
        """The contest of a choice, or of an open question's candidates."""
        if question.sort == "choice":
            return self._contest(question.about, list(question.options), question.slot, vectors)
        about, slot = question.about[0], question.slot
        answers = [value.answer for value in self.candidates[question.lang][slot]]
        if slot == "number":  # none at all is a matter of presence
            answers = [answer for answer in answers if answer != "0"]
        return self._contest([about.having(slot, answer) for answer in answers], answers, slot, vectors)

    def _yes_no(self, question: Question, vectors: np.ndarray) -> _Judged:
        yes = np.ones(len(vectors))
        contests = []
        absent = np.zeros(len(vectors))
        given = question.given
        if given is not None:
            contests.append(self._presence(given, vectors))
            absent = 1 - contests[0].probabilities[:, 0]
        for phrase in question.about:
            if phrase.noun and (given is None or phrase.noun != given.noun):
                contests.append(self._presence(phrase, vectors))
                yes *= contests[-1].probabilities[:, 0]
            for slot, claimed in phrase.facts:
                if contest := self._claim(phrase, slot, claimed, vectors):
                    contests.append(contest)
                    yes *= contest.probabilities[:, contest.answers.index(claimed)]
            if phrase.more and (contest := self._elsewhere(phrase, vectors)):
                contests.append(contest)
                yes *= contest.probabilities[:, 0]
        lang = question.lang
        shares = np.stack([yes, 1 - yes], axis=1)
        return self._judged([YES[lang], NO[lang]], shares, contests, absent, given)

    def _choice(self, question: Question, vectors: np.ndarray) -> _Judged:
        contest = self._alternatives(question, vectors)
        contests, absent = [contest], np.zeros(len(vectors))
        if question.given is not None and question.given.noun in {phrase.noun for phrase in question.about}:
            contests.append(self._presence(question.given, vectors))
            absent = 1 - contests[1].probabilities[:, 0]
        return self._judged(contest.answers, contest.probabilities, contests, absent, question.given)

    def _open(self, question: Question, vectors: np.ndarray) -> _Judged:
        contest = self._alternatives(question, vectors)
        about, contests = question.about[0], [contest]
        if not about.noun:
            return self._judged(contest.answers, contest.probabilities, contests)
        contests.append(self._presence(about, vectors))
        there = contests[1].probabilities[:, 0]
        if question.slot == "number":
            answers = ["0", *contest.answers]
            shares = np.column_stack([1 - there, contest.probabilities * there[:, None]])
            return self._judged(answers, shares, contests)
        return self._judged(contest.answers, contest.probabilities, contests, 1 - there, about)

    def _claim(self, phrase: Phrase, slot: str, claimed: str, vectors: np.ndarray) -> _Contest | None:
        """One fact of a phrase against the other values it might have."""
        values = [value.answer for value in self.candidates[phrase.lang][slot] if value.answer != "0"]
        if claimed not in values:
            values.append(claimed)
        if len(values) < 2:
            return None
        return self._contest([phrase.having(slot, value) for value in values], values, slot, vectors)

    def _elsewhere(self, phrase: Phrase, vectors: np.ndarray) -> _Contest:
        """A setting that is none of the candidates, against those, or against no setting."""
        bare = replace(phrase, more=())
        places = [value.answer for value in self.candidates[phrase.lang]["place"] if phrase.fact("place") is None]
        others = [bare.having("place", place) for place in places] or [bare]
        answers = [phrase.more[0], *(places or [""])]
        return self._contest([phrase, *others], answers, "place", vectors)

    def _judged(
        self,
        answers: list[str],
        shares: np.ndarray,
        contests: list[_Contest],
        absent: np.ndarray | None = None,
        given: Phrase | None = None,
    ) -> _Judged:
        """Answers with their probabilities `(n, k)`; that what was taken for granted is not there is one of them."""
        if absent is not None and given is not None:
            answers = [*answers, self._none_there(given)]
            shares = np.column_stack([shares * (1 - absent)[:, None], absent])
        return answers, shares, contests

    def _scores(self, contest: _Contest, row: int, most: int = 5) -> list[Score]:
        scores = contest.scores(row, self.service.logit_scale)
        if np.isnan(contest.probabilities).any():  # presence: the statement itself first, then its strongest rivals
            own = next(s for s in scores if s.statement == contest.statements[0])
            scores = [own, *(replace(s, probability=None) for s in scores if s is not own)]
        return scores[:most]

    def _none_there(self, phrase: Phrase) -> str:
        thing = named(phrase.only(), self.candidates[phrase.lang])
        return f"图中没有{thing}" if phrase.lang == "zh" else f"There is no {thing.removeprefix('a ').removeprefix('an ')}"

    def _logits(self, statements: list[str], vectors: np.ndarray) -> np.ndarray:
        """`(n, k)`: cosine x the model's scale. Texts are encoded once."""
        if new := [text for text in dict.fromkeys(statements) if text not in self._vectors]:
            self._vectors.update(zip(new, self.service.encode_text(new, progress=False)))
        texts = np.stack([self._vectors[text] for text in statements])
        return (vectors @ texts.T).astype(float) * self.service.logit_scale
