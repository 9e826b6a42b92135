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
from .vqa_calibration import Calibration, at_home, log_odds

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
    """Statements about n pictures, with the answers they speak for: logits `(n, k)`.

    Those of a fact exclude each other, and their probabilities are `(n, k)`; for a thing's presence there is one, `(n, 1)`.
    """

    sorts: list[str]  # of the winners, for their calibration
    statements: list[str]
    answers: list[str]
    logits: np.ndarray
    features: np.ndarray  # (n, 3), of the winner
    probabilities: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    def scores(self, row: int, scale: float, most: int = 5) -> list[Score]:
        """The statements that say most, the best first."""
        order = np.argsort(-self.logits[row], kind="stable")
        if len(self.answers) == self.probabilities.shape[1]:
            chances = dict(enumerate(map(float, self.probabilities[row])))
        else:  # presence: first the thing in the number that fits best, then the strongest statement of each rival
            strongest = {self.answers[i]: i for i in reversed(order)}
            own = strongest.pop(self.answers[0])
            order = [own, *sorted(strongest.values(), key=lambda i: -self.logits[row, i])]
            chances = {own: float(self.probabilities[row, 0])}
        return [
            Score(self.statements[i], self.answers[i], float(self.logits[row, i] / scale), chances.get(i))
            for i in order[:most]
        ]


@dataclass
class _Judged:
    """Answers and their probabilities `(n, k)`, given that the thing they are about is there; how likely that is
    `(n,)`, and the answer where it is not; and what all this rests on."""

    answers: list[str]
    shares: np.ndarray
    contests: list[_Contest]
    there: np.ndarray | None = None
    nothing: str = ""


class ClipReader:
    """Reads questions, and judges pictures by their CLIP vectors."""

    def __init__(self, service: Any, candidates: Mapping[str, Any], calibration: Calibration | None):
        self.service = service
        self.calibration = calibration or Calibration()
        self.candidates = {
            lang: Candidates(self.calibration.candidates, candidates, lang=lang) for lang in ("zh", "en")
        }
        self._vectors: dict[str, np.ndarray] = {}  # of texts
        self._rivals: dict[
            Phrase, tuple[list[str], list[str]]
        ] = {}  # of a thing: statements, and what they speak for

    def read(self, question: str, answers: Iterable[str] = ()) -> Question:
        """The question as it is understood. `answers` are candidates for this one."""
        return parse(question, self.candidates, answers=answers)

    def judge(
        self, question: Question, vectors: np.ndarray, *, evidence: bool = True, share: float = 0.5
    ) -> list[Verdict]:
        """A verdict for each picture, from its vector `(n, d)`, with the scores it rests on if they are wanted.

        The question must not be a refused one. `share` of the pictures are expected to show what a yes/no question asks
        for.
        """
        found = self._find(question, vectors, share)
        answers, best, kinds, odds = _odds(question.kind, found)
        sure = np.empty(len(best))
        for kind in set(kinds):
            some = np.array([one == kind for one in kinds])
            sure[some] = self.calibration.final(kind, odds[some])
        shares, rows, scale = found.shares.copy(), np.arange(len(best)), self.service.logit_scale
        if found.there is not None:
            shares = np.column_stack([shares * found.there[:, None], 1 - found.there])
        # the others keep their proportions
        shares *= ((1 - sure) / np.maximum(1 - shares[rows, best], 1e-9))[:, None]
        shares[rows, best] = sure
        return [
            Verdict(
                answers[best[row]],
                dict(zip(answers, map(float, shares[row]))),
                tuple(s for contest in found.contests for s in contest.scores(row, scale))
                if evidence
                else (),
            )
            for row in rows
        ]

    def odds(self, question: Question, vectors: np.ndarray) -> list[tuple[str, str, list[str], np.ndarray]]:
        """What the second step of a calibration is fitted on: for each picture the kind, the answer, all answers, and
        the answer's log-odds `(2,)`, as `Calibration.final` takes them."""
        answers, best, kinds, odds = _odds(question.kind, self._find(question, vectors))
        return [(kind, answers[i], answers, row) for kind, i, row in zip(kinds, best, odds)]

    def _find(self, question: Question, vectors: np.ndarray, share: float = 0.5) -> _Judged:
        vectors = np.asarray(vectors, np.float32)
        if question.sort == "yes/no":
            return self._yes_no(question, vectors, share)
        return self._choice(question, vectors) if question.sort == "choice" else self._open(question, vectors)

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

    def features(self, question: Question, vectors: np.ndarray) -> tuple[list[str], list[str], np.ndarray]:
        """What a calibration is fitted on: for each picture its sort, the answer that wins, and `(n, 3)` features.

        Of a yes/no question only the thing counts, and its answer is yes.
        """
        if question.sort == "yes/no":
            contest = self._presence(question.about[0], vectors)
            return contest.sorts, [YES[question.lang]] * len(vectors), contest.features
        contest = self._alternatives(question, vectors)
        return contest.sorts, [contest.answers[i] for i in contest.logits.argmax(axis=1)], contest.features

    # Two judgements, and the three sorts of questions made of them

    def _presence(self, phrase: Phrase, vectors: np.ndarray) -> _Contest:
        """Whether the thing is there: held against other things, and against what fits any picture.

        Each thing counts in the number that fits best: "a cat" is a poor statement of three cats.
        """
        own, neutral = phrase.only(), NEUTRAL[phrase.lang]
        if own not in self._rivals:
            candidates = self.candidates[own.lang]
            numbers = [value.answer for value in candidates["number"] if value.answer not in ("0", "1")]
            things = [own.noun, *(value.answer for value in candidates["thing"] if value.answer != own.noun)]
            forms = [form for thing in things for form in _numbered(own.having("thing", thing), numbers)]
            statements = [statement(form, candidates) for form in forms]
            self._rivals[own] = (
                [*statements, *neutral],
                [*(form.noun for form in forms), *[""] * len(neutral)],
            )
        statements, answers = self._rivals[own]
        logits = self._logits(statements, vectors)
        anything = np.logaddexp.reduce(logits[:, -len(neutral) :], axis=1)
        things = logits[:, : -len(neutral)].reshape(len(vectors), -1, answers.count(own.noun)).max(axis=2)
        mine, rivals = things[:, 0], things[:, 1:]
        rival = mine - rivals.max(axis=1) if rivals.shape[1] else np.zeros(len(vectors))
        features = np.stack([np.zeros(len(vectors)), mine - anything, rival], axis=1)
        contest = _Contest(["exists"] * len(vectors), statements, answers, logits, features)
        contest.probabilities = self.calibration.probability("exists", features)[:, None]
        return contest

    def _contest(
        self, phrases: Sequence[Phrase], answers: list[str], slot: str, vectors: np.ndarray
    ) -> _Contest:
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
        winners = logits.argmax(axis=1)
        sorts = [_sort(slot, phrases[winner], answers[winner]) for winner in winners]
        contest = _Contest(sorts, statements, answers, logits, np.column_stack([margin, presence]))
        right = np.empty(len(vectors))
        for sort in set(sorts):
            some = np.array([one == sort for one in sorts])
            right[some] = self.calibration.probability(sort, contest.features[some])
        # The winner is right with that chance; what is left is shared among the others by their softmax.
        shares = np.exp(logits - order[:, -1:])
        shares[np.arange(len(vectors)), winners] = 0
        shares *= ((1 - right) / np.maximum(shares.sum(axis=1), 1e-30))[:, None]
        shares[np.arange(len(vectors)), winners] = right if len(phrases) > 1 else 1.0
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

    def _yes_no(self, question: Question, vectors: np.ndarray, share: float) -> _Judged:
        yes = np.ones(len(vectors))
        contests = []
        given, there = question.given, None
        if given is not None:
            contests.append(self._presence(given, vectors))
            there = contests[0].probabilities[:, 0]
        for phrase in question.about:
            if phrase.noun and (given is None or phrase.noun != given.noun):
                contests.append(self._presence(phrase, vectors))
                yes *= at_home(contests[-1].probabilities[:, 0], share)
            for slot, claimed in phrase.facts:
                if contest := self._claim(phrase, slot, claimed, vectors):
                    contests.append(contest)
                    yes *= contest.probabilities[:, contest.answers.index(claimed)]
            if phrase.more and (contest := self._elsewhere(phrase, vectors)):
                contests.append(contest)
                yes *= contest.probabilities[:, 0]
        answers, shares = [YES[question.lang], NO[question.lang]], np.stack([yes, 1 - yes], axis=1)
        return _Judged(answers, shares, contests, there, self._none_there(given) if given else "")

    def _choice(self, question: Question, vectors: np.ndarray) -> _Judged:
        contest = self._alternatives(question, vectors)
        given = question.given
        if given is None or given.noun not in {phrase.noun for phrase in question.about}:
            return _Judged(contest.answers, contest.probabilities, [contest])
        return self._if_there(contest, given, vectors, self._none_there(given))

    def _open(self, question: Question, vectors: np.ndarray) -> _Judged:
        contest = self._alternatives(question, vectors)
        about = question.about[0]
        if not about.noun:
            return _Judged(contest.answers, contest.probabilities, [contest])
        return self._if_there(
            contest, about, vectors, "0" if question.slot == "number" else self._none_there(about)
        )

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
        places = [
            value.answer for value in self.candidates[phrase.lang]["place"] if phrase.fact("place") is None
        ]
        others = [bare.having("place", place) for place in places] or [bare]
        answers = [phrase.more[0], *(places or [""])]
        return self._contest([phrase, *others], answers, "place", vectors)

    def _if_there(self, contest: _Contest, thing: Phrase, vectors: np.ndarray, nothing: str) -> _Judged:
        presence = self._presence(thing, vectors)
        there = presence.probabilities[:, 0]
        return _Judged(contest.answers, contest.probabilities, [contest, presence], there, nothing)

    def _none_there(self, phrase: Phrase) -> str:
        thing = named(phrase.only(), self.candidates[phrase.lang])
        return (
            f"图中没有{thing}"
            if phrase.lang == "zh"
            else f"There is no {thing.removeprefix('a ').removeprefix('an ')}"
        )

    def _logits(self, statements: list[str], vectors: np.ndarray) -> np.ndarray:
        """`(n, k)`: cosine x the model's scale. Texts are encoded once."""
        if new := [text for text in dict.fromkeys(statements) if text not in self._vectors]:
            self._vectors.update(zip(new, self.service.encode_text(new, progress=False)))
        texts = np.stack([self._vectors[text] for text in statements])
        return (vectors @ texts.T).astype(float) * self.service.logit_scale


def _sort(slot: str, phrase: Phrase, answer: str) -> str:
    """What is calibrated together. To tell what is in one part of a picture is another task than to tell what is in it,
    and "two" is said of a cat and a dog as well, "one" hardly ever of two."""
    if slot == "thing" and phrase.fact("position"):
        return "thing at"
    return "number 1" if slot == "number" and answer == "1" else slot


def _numbered(phrase: Phrase, numbers: list[str]) -> list[Phrase]:
    """The phrase in each number, and without one."""
    return [phrase, *(phrase.having("number", number) for number in numbers)]


def _odds(kind: str, found: _Judged) -> tuple[list[str], np.ndarray, list[str], np.ndarray]:
    """All answers, which one is given `(n,)`, its kind for the calibration, and its log-odds `(n, 2)`."""
    best = found.shares.argmax(axis=1)
    odds = np.column_stack([log_odds(found.shares[np.arange(len(best)), best]), np.zeros(len(best))])
    if found.there is None:
        return found.answers, best, [kind] * len(best), odds
    absent = found.there < 0.5
    odds[:, 1] = log_odds(np.where(absent, 1 - found.there, found.there))
    odds[absent, 0] = 0
    kinds = [f"{kind}: none" if none else kind for none in absent]
    return [*found.answers, found.nothing], np.where(absent, len(found.answers), best), kinds, odds
