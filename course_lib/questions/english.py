"""English questions: how a noun phrase is read, and the forms that a question may have."""

from __future__ import annotations

import re

from .candidates import Candidates
from .phrases import Phrase
from .words import ANYTHING, CLOSED, number, singular

MACROS = {
    "be": "(is|are|was|were)",
    "see": "(can|could|do|did) (you|we|i|one) (see|find|spot|recognise|recognize)",
    "the pic": "(the|this|that) (picture|image|photo|photograph|drawing|scene)",
    "pics": "(of the|of these|) (pictures|images|photos|photographs|drawings|scenes|picture|image|photo)",
    "with": "(show|shows|showing|have|has|having|contain|contains|containing|with|of|include|includes|there are of|"
    "are there of|are there with|there are with|in which there is|in which there are|where there is)",
    "det": "(the|this|that|these|those|my|our)",
    "color": "(color|colour)",
}

# Most special first: the first form that fits, and whose parts can be read, is the question's.
RULES = (
    # a collection of pictures
    ("which", "(which|what) <pics> <with> {np}"),
    ("which", "(find|show|list|give) [me] [all] [the] <pics> <with> {np}"),
    ("how many pictures", "how many <pics> <with> {np}"),
    ("how many pictures", "(in|on) how many <pics> <be> (there|) {np}"),
    ("which", "(which|what) <pics> <be> {loc}"),
    ("how many pictures", "how many <pics> <be> {loc}"),
    ("any picture", "<be> there (a|an|any) <pics> <with> {np}"),
    ("any picture", "(do|does) any <pics> <with> {np}"),
    # one picture: which fact
    ("color", "(what|which) <color> <be> (this|it|that|they|these)"),
    ("color", "(what|which) <color> <be> {np}"),
    ("color", "(what|which) <color> (do|does) {np} have"),
    ("color", "what <be> the <color> of {np}"),
    ("number", "how many {np} (<be> there [{loc}]|<be> (visible|shown)|<see>|(do|does) <the pic> <with>)"),
    ("number", "how many {np} <be> {loc}"),
    ("number", "how many {np}"),
    ("number", "(count|count up|what is the number of) {np}"),
    (
        "place",
        "(what|which|what kind of|what sort of) (place|setting|background|scenery) <be> (this|it|that|shown|there)",
    ),
    ("place", "what <be> the (place|setting|background)"),
    ("place", "where (<be> (this|it|that|we)|was (this|it) taken)"),
    ("time", "(what time of day|what time|when) <be> (it|this|that)"),
    ("time", "what <be> the time of day"),
    ("position", "where [(in|on)] [<the pic>] <be> {np}"),
    ("position", "(in|on) (which|what) (part|side|half) <be> {np}"),
    ("thing", "what <be> [(this|it|that|there|here|shown|visible|to be seen)]"),
    ("thing", "what <see>"),
    ("thing", "what does <the pic> (show|contain)"),
    ("thing", "what <be> {loc}"),
    ("thing", "what can be seen [{loc}]"),
    ("thing", "(what|which) (kind|sort|type) of {category} <be> (this|it|that|there|shown)"),
    ("thing", "(what|which) {category} <be> (this|it|that|there|shown)"),
    ("attribute", "(what|which) {attribute} <be> {np}"),
    # yes or no, and which of several
    ("exists", "<be> there {np}"),
    ("exists", "<see> {np}"),
    ("exists", "(does|do) <the pic> (show|contain|have|include) {np}"),
    ("exists", "<be> {np} (visible|shown|present|there)"),
    ("exists", "<be> (this|it|that|these|those|they|we) {np}"),
    ("property", "<be> <det> {sentence}"),
    ("exists", "<be> <det> {np}"),
    ("candidates", "(what|which) {anything}"),
)

_FILLERS = (
    r"please|kindly|can you tell me|could you tell me|tell me|do you know|i wonder|according to the (?:picture|image)",
    r"altogether|all together|in total|exactly|currently|now|mainly|mostly|of any kind|at all",
    r"(?:in|on|of|from) (?:the|this|that) (?:picture|image|photo|photograph|drawing|scene|frame)",
    r"(?<=there )here|(?<=see )here",
)
_FILLER = re.compile(r"\b(?:" + "|".join(_FILLERS) + r")\b")
_SHORT = {"n't": " not", "what's": "what is", "where's": "where is", "there's": "there is", "it's": "it is",
          "that's": "that is", "which's": "which is", "who's": "who is", "i'm": "i am"}  # fmt: skip

_PREPOSITIONS = frozenset("on in at by during under".split())
_DETERMINERS = frozenset("a an the any some this that these those my our one".split())


def normal(text: str) -> str:
    """The question in lower case, without marks, contractions, politeness and "in the picture"."""
    text = text.lower().replace("’", "'")
    for short, long in _SHORT.items():
        text = text.replace(short, long)
    if " or " in text:  # "a cat, a dog, or a car"
        text = re.sub(r",(?: or\b)?", " or ", text)
    text = re.sub(r"[^\w\s'.+*/=-]", " ", text).strip(" .")
    return " ".join(_FILLER.sub(" ", text).split())


def phrase(text: str, candidates: Candidates) -> Phrase | None:
    """A noun phrase with its settings: "two red cats on the beach at night". None where it cannot be read."""
    words = text.split()
    start = next((i for i, word in enumerate(words) if word in _PREPOSITIONS), len(words))
    if (tail := settings(words[start:], candidates)) is None:
        return None
    facts, more = tail
    head = words[:start]
    determined = bool(head) and head[0] in _DETERMINERS
    while head and head[0] in _DETERMINERS | {"all"}:
        head = head[1:]
    if head and (count := number(head[0], "en")) is not None:
        facts["number"], head = str(count), head[1:]
        if count == 1:  # "is there one cat?" is "is there a cat?"
            del facts["number"]
    whole = " ".join(head)
    for slot in ("time", "place", "position"):  # "is it night?", "is this a beach?"
        if whole and slot not in facts and not candidates.find("thing", whole):
            if value := candidates.find(slot, whole):
                return Phrase("en", facts=tuple({**facts, slot: value.answer}.items()), more=more)
    noun: list[str] = []
    for at, word in enumerate(head):
        slot = next((s for s in ("color", "size") if s not in facts and candidates.find(s, word)), None)
        known = candidates.find("thing", " ".join(head[at:])) is not None
        if slot and not known:
            facts[slot] = candidates.find(slot, word).answer
        else:
            noun += head[at:]
            break
    if set(noun) & CLOSED["en"] or not (noun or facts or more):
        return None
    name = singular(" ".join(noun))
    value = candidates.find("thing", name)
    bare = not determined and "number" not in facts and name == " ".join(noun)
    return Phrase("en", value.answer if value else name, tuple(facts.items()), more, bare=bare and bool(name))


def settings(words: list[str], candidates: Candidates) -> tuple[dict[str, str], tuple[str, ...]] | None:
    """Facts, and what is none of the candidates, of prepositional phrases: "on the beach at night"."""
    facts: dict[str, str] = {}
    more: list[str] = []
    starts = [i for i, word in enumerate(words) if word in _PREPOSITIONS] + [len(words)]
    for start, end in zip(starts, starts[1:]):
        text = " ".join(words[start:end])
        inner = " ".join(words[start + 1 : end])
        if not inner or set(inner.split()) & CLOSED["en"]:
            return None
        found = next(
            (
                (s, v)
                for s in ("position", "time", "place")
                for t in (text, inner)
                if (v := candidates.find(s, t))
            ),
            None,
        )
        if found is None:
            more.append(text)
        elif found[0] in facts:
            return None
        else:
            facts[found[0]] = found[1].answer
    return facts, tuple(more)


def location(text: str, candidates: Candidates) -> Phrase | None:
    """Where in a picture, and nothing else: "on the left"."""
    words = text.split()
    found = settings(words, candidates) if words and words[0] in _PREPOSITIONS else None
    return Phrase("en", facts=tuple(found[0].items()), more=found[1]) if found else None


def beside(text: str, candidates: Candidates) -> bool:
    """Whether a place is told by another thing; in English its words have given that away (see `refusals`)."""
    return False


def predicate(text: str, candidates: Candidates) -> Phrase | None:
    """What can be said of a thing after "is": a colour, a size, a place, or another noun phrase."""
    words = text.split()
    if not words:
        return None
    if words[0] in _PREPOSITIONS:
        return location(text, candidates)
    if words[0] in ("a", "an"):
        return phrase(text, candidates)
    facts = {}
    for word in words:
        slot = next((s for s in ("color", "size") if candidates.find(s, word)), None)
        if slot is None or slot in facts:
            return None
        facts[slot] = candidates.find(slot, word).answer
    return Phrase("en", facts=tuple(facts.items()))


def counted(text: str, unit: str = "") -> str | None:
    """What stands after "how many"."""
    return text


def options(text: str) -> list[str]:
    """The parts of "a cat, a dog or a car"; one where there is nothing to choose."""
    return [part.strip() for part in re.split(r"\bor\b", text) if part.strip()] or [text]


def parts(text: str) -> list[str]:
    """The parts of "a cat and a dog"."""
    return [part.strip() for part in re.split(r"\band\b", text) if part.strip()] or [text]


def splits(sentence: str) -> list[tuple[str, str]]:
    """Where "the cat red" may come apart into subject and predicate, the shortest predicate first."""
    words = sentence.split()
    return [("the " + " ".join(words[:at]), " ".join(words[at:])) for at in range(len(words) - 1, 0, -1)]


def is_anything(noun: str) -> bool:
    """Whether a noun means things in general."""
    return singular(noun.split()[-1]) in ANYTHING["en"]
