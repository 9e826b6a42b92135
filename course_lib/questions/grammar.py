"""From a question to what has to be scored: the grammar's forms, tried in order, and what each of them means.

A form is written as one would say it: `(a|b)` alternatives, `[a]` what may be missing, `<name>` a macro of the
language, `{np}` a part that is read further. A question that fits no form, or whose parts cannot be read, is
refused; it is never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import ModuleType

from ..texts import as_texts, is_chinese
from . import chinese, english
from .candidates import Candidates
from .phrases import Phrase, statement
from .refusals import REASONS, reason_for

LANGUAGE: dict[str, ModuleType] = {"zh": chinese, "en": english}
SCOPES = {"which": "which", "how many pictures": "how many", "any picture": "any"}


@dataclass(frozen=True)
class Question:
    """A question as it was read.

    `sort` is "yes/no", "choice", "open" or "refused". An open question asks for the fact `slot` of `about[0]`; a
    choice has one of `about` for each of `options`; a yes/no question is answered yes where all of `about` is true.
    `given` is what a yes/no question takes for granted ("Is *the cat* red?"). `scope` is "picture", or what is asked
    of a collection: "any", "which", "how many". `reason` names the refusal (see `refusals`).
    """

    text: str
    lang: str
    sort: str
    about: tuple[Phrase, ...] = ()
    slot: str = ""
    options: tuple[str, ...] = ()
    given: Phrase | None = None
    scope: str = "picture"
    reason: str = ""

    @property
    def kind(self) -> str:
        """The sort of question for a table: exists, a fact's name, choice, or refused."""
        if self.sort == "yes/no":
            claimed = [name for name, _ in self.about[0].facts] if self.given is not None else []
            return f"is {claimed[-1]}" if claimed else "exists"
        if self.sort != "open":
            return self.sort
        return "thing at" if self.slot == "thing" and self.about[0].fact("position") else self.slot

    def why(self) -> str:
        """The reason of a refusal, in the question's language."""
        return REASONS[self.reason][self.lang] if self.reason else ""


class Unread(Exception):
    """A part of a question could not be read: another form may fit."""


def parse(
    question: str, candidates: Mapping[str, Candidates] | None = None, *, answers: Iterable[str] = ()
) -> Question:
    """Read a question. `candidates` are those of each language, without them the defaults; `answers` the candidates of
    this one question, which then need not fit any form.

    Raises `TextError` for a text that is empty or none; what cannot be answered is a Question with a `reason`.
    """
    text = as_texts([question])[0].strip()
    lang = "zh" if is_chinese(text) else "en"
    candidates = candidates[lang] if candidates else Candidates(lang=lang)
    language, answers = LANGUAGE[lang], list(answers)
    asked = Question(text, lang, "refused", reason="unread")
    normal = language.normal(text)
    if reason := reason_for(re.sub("有没有|是不是|是否|没有$", "", normal), lang):
        asked = replace(asked, reason=reason)
    else:
        for name, pattern in _compiled(lang):
            if match := pattern.fullmatch(f"{normal} " if lang == "en" else normal):
                parts = {
                    key.rstrip("0123456789"): value.strip()
                    for key, value in match.groupdict().items()
                    if value
                }
                try:
                    asked = _FORMS.get(name, _open)(asked, name, parts, language, candidates)
                    break
                except Unread as unread:
                    if str(unread):
                        asked = replace(asked, reason=str(unread))
                        break
    if answers and asked.sort in ("refused", "open"):
        return _with_answers(asked, answers, candidates)
    return asked


def _with_answers(asked: Question, answers: list[str], candidates: Candidates) -> Question:
    """An open question whose answers the caller gives: among them the choice is made, whatever the form."""
    if asked.sort == "open":
        phrases = tuple(asked.about[0].having(asked.slot, answer) for answer in answers)
    else:
        phrases = tuple(Phrase(asked.lang, answer, bare=True) for answer in answers)
    return replace(
        asked, sort="choice", about=phrases, options=tuple(answers), slot=asked.slot or "thing", reason=""
    )


# ------------------------------------------------------------------------------------------------ meanings


def _np(text: str, language: ModuleType, candidates: Candidates) -> Phrase:
    if (phrase := language.phrase(text, candidates)) is None:
        raise Unread
    return phrase


def _thing(text: str, language: ModuleType, candidates: Candidates) -> Phrase:
    phrase = _np(text, language, candidates)
    if not phrase.noun:
        raise Unread
    return phrase


def _where(text: str, language: ModuleType, candidates: Candidates) -> Phrase:
    if (found := language.location(text, candidates)) is None:
        raise Unread("order" if language.beside(text, candidates) else "")
    return found


def _open(asked: Question, slot: str, parts: dict, language: ModuleType, candidates: Candidates) -> Question:
    """A question for one fact."""
    about = Phrase(asked.lang)
    if "loc" in parts:
        about = _where(parts["loc"], language, candidates)
    if "np" in parts:
        nouns = language.parts(parts["np"])
        if slot == "number" and (len(nouns) > 1 or language.is_anything(nouns[-1])):
            raise Unread("sum")
        counted = language.counted(parts["np"], parts.get("unit", "")) if slot == "number" else parts["np"]
        thing = _thing(counted or "", language, candidates)
        about = replace(thing, facts=thing.facts + about.facts, more=thing.more + about.more)
    if slot == "attribute":
        slot = parts["attribute"]
        if slot not in candidates:
            raise Unread("candidates")
    elif slot == "thing" and "category" in parts and not language.is_anything(parts["category"]):
        # "what animal is this?": the candidates of that name, else all things
        slot = parts["category"] if parts["category"] in candidates else "thing"
    if slot not in candidates:
        raise Unread("candidates")
    return replace(asked, sort="open", about=(about,), slot=slot, reason="")


def _exists(
    asked: Question, name: str, parts: dict, language: ModuleType, candidates: Candidates
) -> Question:
    """Whether there is one, or which of several there is."""
    where = Phrase(asked.lang)
    if "np" in parts and "loc" in parts:
        where = _where(parts["loc"], language, candidates)

    def placed(text: str) -> Phrase:
        if "np" not in parts:  # 这是在海滩上吗
            return _where(text, language, candidates)
        phrase = _np(text, language, candidates)
        return replace(phrase, facts=phrase.facts + where.facts, more=phrase.more + where.more)

    text = parts.get("np") or parts["loc"]
    choices = language.options(text)
    if len(choices) > 1:
        return _choice(asked, [placed(text) for text in choices], candidates)
    about = tuple(placed(text) for text in language.parts(text))
    return replace(asked, sort="yes/no", about=about, scope=SCOPES.get(name, "picture"), reason="")


def _property(
    asked: Question, name: str, parts: dict, language: ModuleType, candidates: Candidates
) -> Question:
    """Whether a thing that is taken for granted is so, or which of several it is."""
    first, *others = language.options(parts["sentence"])
    for subject, predicate in language.splits(first):
        said = language.predicate(predicate, candidates)
        thing = language.phrase(subject, candidates)
        if language.beside(predicate, candidates):
            raise Unread("order")
        if said is None or thing is None or not thing.noun:
            continue
        alternatives = [said]
        for other in others:
            alternative = language.predicate(other, candidates) or language.phrase(other, candidates)
            if alternative is None:
                raise Unread
            alternatives.append(alternative)
        claims = [_claim(thing, alternative) for alternative in alternatives]
        if len(claims) > 1:
            return replace(_choice(asked, claims, candidates), given=thing)
        return replace(asked, sort="yes/no", about=(claims[0],), given=thing, reason="")
    raise Unread


def _claim(thing: Phrase, said: Phrase) -> Phrase:
    """The thing with what is said of it; another noun takes its place ("is the animal a cat?")."""
    noun = said if said.noun else thing
    merged = {**dict(thing.facts), **dict(said.facts)}
    # what is claimed stands last
    ordered = {
        key: merged[key] for key in [*(k for k in merged if k not in dict(said.facts)), *dict(said.facts)]
    }
    return replace(noun, facts=tuple(ordered.items()), more=thing.more + said.more)


def _choice(asked: Question, phrases: list[Phrase], candidates: Candidates) -> Question:
    """Which of several statements fits; the answer is what they differ in."""
    slots = [slot for slot, _ in phrases[0].facts if len({phrase.fact(slot) for phrase in phrases}) > 1]
    slot = slots[-1] if len(slots) == 1 and len({phrase.noun for phrase in phrases}) == 1 else "thing"
    answers = [phrase.fact(slot) if slot != "thing" else phrase.noun for phrase in phrases]
    if len(set(answers)) < len(answers) or not all(answers):
        answers = [statement(phrase, candidates) for phrase in phrases]
    if len(set(answers)) < len(answers):
        raise Unread
    return replace(asked, sort="choice", about=tuple(phrases), options=tuple(answers), slot=slot, reason="")


def _needs_candidates(asked: Question, *_: object) -> Question:
    return replace(asked, reason="candidates")


_FORMS: dict[str, Callable[..., Question]] = {
    "exists": _exists,
    "any picture": _exists,
    "which": _exists,
    "how many pictures": _exists,
    "property": _property,
    "candidates": _needs_candidates,
}


# ------------------------------------------------------------------------------------------------- patterns


@lru_cache(maxsize=2)
def _compiled(lang: str) -> list[tuple[str, re.Pattern]]:
    language = LANGUAGE[lang]
    return [(name, re.compile(_regex(form, language.MACROS, lang))) for name, form in language.RULES]


def _regex(form: str, macros: dict[str, str], lang: str) -> str:
    """The regular expression of a form. In English every word, and so every part, ends with a blank."""
    blank = " " if lang == "en" else ""
    form = re.sub("<(.+?)>", lambda match: macros[match[1]], form)
    written = []
    for token in re.findall(r"\{\w+\}|[()\[\]|]|[^(){}\[\]|\s]+", form):
        if token.startswith("{"):
            written.append(f"(?P<{token[1:-1]}>.+?{blank})")
        else:
            written.append({"(": "(?:", ")": ")", "[": "(?:", "]": ")??", "|": "|"}.get(token, token + blank))
    return "".join(written)
