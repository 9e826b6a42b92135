"""What is said of a picture, taken apart into facts, and put together again as a statement that CLIP can compare."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .candidates import Candidates
from .words import article, measure_word, number_word, plural

FACTS = ("number", "size", "color", "position", "place", "time")

# Statements that fit any picture: what a statement about a thing has to beat to be true.
NEUTRAL = {
    "zh": ("图片", "图中有东西", "什么也没有"),
    "en": ("a picture", "a picture of something", "a picture of nothing"),
}


@dataclass(frozen=True)
class Phrase:
    """A noun phrase: `noun` (in the singular; "" where only facts are meant), and what is said of it.

    `facts` holds (fact, answer) pairs, each fact at most once; `more` the settings as typed that are none of the
    candidates ("on a sofa").
    """

    lang: str
    noun: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    more: tuple[str, ...] = ()
    measure: str = ""  # of a Chinese noun, where it was typed
    bare: bool = False  # an English noun without article or plural: "snow"

    def fact(self, name: str) -> str | None:
        return dict(self.facts).get(name)

    def having(self, name: str, answer: str) -> Phrase:
        """The same with one fact said, or said otherwise. A "thing" is the noun."""
        if name == "thing":
            return replace(self, noun=answer, measure="", bare=False)
        return replace(self, facts=tuple({**dict(self.facts), name: answer}.items()))

    def only(self, *names: str) -> Phrase:
        """The noun with no other facts than these."""
        return replace(self, facts=tuple(pair for pair in self.facts if pair[0] in names), more=())


def statement(phrase: Phrase, candidates: Candidates) -> str:
    """The sentence that says what a phrase says, in its language."""
    facts = {name: candidates.phrase(name, answer) for name, answer in phrase.facts}
    return _chinese(phrase, facts) if phrase.lang == "zh" else _english(phrase, facts)


def named(phrase: Phrase, candidates: Candidates) -> str:
    """The phrase itself, without the sentence around it: 红色的猫, "a red cat"."""
    facts = {name: candidates.phrase(name, answer) for name, answer in phrase.facts}
    return _chinese_noun(phrase, facts) if phrase.lang == "zh" else _english_noun(phrase, facts)


def _english(phrase: Phrase, facts: dict[str, str]) -> str:
    described = (
        phrase.noun or any(name in facts for name in ("number", "size", "color")) or set(facts) - set(FACTS)
    )
    place = facts.get("place")
    if described:
        head = f"a picture of {_english_noun(phrase, facts)}"
    elif place:  # nothing else is there to be on the beach
        head, place = f"a picture of the {phrase.fact('place')}", None
    else:
        head = "a picture"
    return " ".join(filter(None, [head, facts.get("position"), place, *phrase.more, facts.get("time")]))


def _english_noun(phrase: Phrase, facts: dict[str, str]) -> str:
    count = int(facts.get("number", 1))
    others = [value for name, value in facts.items() if name not in FACTS]
    adjectives = [*filter(None, [facts.get("size"), facts.get("color")]), *others]
    noun = phrase.noun or "thing"
    words = " ".join([*adjectives, plural(noun) if count != 1 else noun])
    if count != 1:
        return f"{number_word(count, 'en')} {words}"
    return words if phrase.bare and not phrase.fact("number") else article(words)


def _chinese(phrase: Phrase, facts: dict[str, str]) -> str:
    position, place, time = (facts.get(name, "") for name in ("position", "place", "time"))
    noun = _chinese_noun(phrase, facts)
    setting = "的".join(filter(None, [time, *phrase.more, place]))
    if not noun:
        if place and not position:  # a place alone is named as one
            return "这里是" + "的".join(filter(None, [time, *phrase.more, phrase.fact("place")]))
        return f"{setting}的图片" if setting else f"图中{position}"
    if not setting:
        return f"图中{position}有{noun}"
    comma = "，" if position or not (place or phrase.more) else ""
    return f"{setting}{comma}{position or ('图中' if comma else '')}有{noun}"


def _chinese_noun(phrase: Phrase, facts: dict[str, str]) -> str:
    others = [value for name, value in facts.items() if name not in FACTS]
    adjectives = "".join(
        f"{value}的" for value in [*filter(None, [facts.get("size"), facts.get("color")]), *others]
    )
    noun = phrase.noun or ("东西" if adjectives or "number" in facts else "")
    count = ""
    if "number" in facts:
        count = number_word(int(facts["number"]), "zh") + (phrase.measure or measure_word(noun))
    return f"{count}{adjectives}{noun}"
