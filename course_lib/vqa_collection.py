"""Questions about a whole collection: search, ask the pictures that fit best, combine their answers.

Searching decides what is looked at, asking decides what is true, and the evidence shows both.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import SettingsError
from .images import ImageSource
from .questions import Phrase, Question, statement
from .search import space_of
from .search_results import Result
from .settings import say
from .vqa_answers import Evidence, PictureAnswer, VisualAnswer, refused, unheard
from .vqa_clip import NO, NOT_SURE, YES

if TYPE_CHECKING:
    from .search import ImageSearchEngine
    from .vqa import VisualQA

CLIP_MOST, CHAT_MOST = 2000, 48  # pictures asked: vectors cost next to nothing, a chat does
OPEN_MOST = 8  # pictures asked an open question
AT_ONCE = 8  # chat questions under way

Images = Mapping[str, ImageSource] | Callable[[str], ImageSource] | None

_SAID = {
    "zh": (re.compile(r"^(是|有|对|存在|确实)"), re.compile(r"^(不|没|否|无)")),
    "en": (re.compile(r"^(yes|yeah|there (is|are)(?! (no|not))|true)\b", re.I), re.compile(r"^(no|not|there (is|are) no)\b", re.I)),
}  # fmt: skip


def answer(
    vqa: VisualQA,
    engine: ImageSearchEngine,
    question: str,
    *,
    use_gpt4v: bool = True,
    where: Mapping[str, Any] | None = None,
    most: int | None = None,
    share: float = 0.1,
    images: Images = None,
) -> VisualAnswer:
    """See `VisualQA.answer_collection`.

    `where` limits the pictures as in a search, `most` how many of them are asked. `share` is how many of the pictures
    are expected to fit, as a fraction: CLIP's answers depend on it. `images` gives a picture by its id; without it a chat
    sees the engine's thumbnails, which are small.
    """
    if not 0 < share < 1:
        raise SettingsError(
            say(
                zh=f"share 是预计符合的比例，必须在 0 和 1 之间，不能是 {share!r}。",
                en=f"share is the expected fraction and must lie between 0 and 1, not {share!r}.",
            )
        )
    asked = vqa.reader.read(question)
    if asked.sort == "refused" and not use_gpt4v:
        return refused(asked)
    if not use_gpt4v and (word := vqa.reader.unheard_of(asked)):
        return unheard(asked, word, vqa.model_name)
    counted = asked.sort == "yes/no"
    most = most or (OPEN_MOST if not counted else CHAT_MOST if use_gpt4v else CLIP_MOST)
    query = question
    if asked.about:  # not the question: what a fitting picture shows
        query = statement(asked.about[0] if counted else _known(asked), vqa.reader.candidates[asked.lang])
    hits = (
        engine.search_by_text(query, top_k=max(1, min(most, len(engine))), where=where) if len(engine) else []
    )
    if not hits:
        text = say(zh="没有图片可问", en="there is no picture to ask")
        return VisualAnswer(NOT_SURE[asked.lang], answered=False, reason=text, evidence=Evidence(asked))
    one = replace(asked, scope="picture")
    if use_gpt4v:
        pictures, chances = _ask_chat(vqa, one, question, hits, images, counted)
    else:
        pictures, chances = _ask_clip(vqa, one, _vectors(vqa, engine, hits, images), hits, counted, share)
    if not counted:
        return _vote(asked, pictures, chances)
    more = len(pictures) == most < len(engine) and any(
        p.answer == YES[asked.lang] for p in pictures[-AT_ONCE:]
    )
    return _combine(asked, pictures, chances, vqa.min_confidence, more)


def _known(question: Question) -> Phrase:
    """What an open question takes for granted; for a choice, its first alternative."""
    return question.given or question.about[0]


# ------------------------------------------------------------------------------------------------- asking


def _ask_clip(
    vqa: VisualQA, question: Question, vectors: np.ndarray, hits: list[Result], counted: bool, share: float
) -> tuple[list[PictureAnswer], np.ndarray]:
    """Every picture's answer, and the chance of each: of "yes" where pictures are counted, else of being to the point."""
    verdicts = vqa.reader.judge(question, vectors, evidence=False, share=share if counted else 0.5)
    lang = question.lang
    if counted:
        yes = np.array([verdict.probabilities[YES[lang]] for verdict in verdicts])
        sure = vqa.min_confidence
        answers = [YES[lang] if p >= sure else NO[lang] if p <= 1 - sure else NOT_SURE[lang] for p in yes]
        confident = np.maximum(yes, 1 - yes)
    else:
        answers = [verdict.answer for verdict in verdicts]
        confident = np.array([verdict.confidence for verdict in verdicts])
        about = _known(question)
        there = Question(question.text, lang, "yes/no", (about,))
        yes = np.ones(len(hits))
        if about.noun or about.facts:
            yes = np.array(
                [v.probabilities[YES[lang]] for v in vqa.reader.judge(there, vectors, evidence=False)]
            )
        yes *= confident
    return [_picture(hit, a, float(c)) for hit, a, c in zip(hits, answers, confident)], yes


def _ask_chat(
    vqa: VisualQA, question: Question, text: str, hits: list[Result], images: Images, counted: bool
) -> tuple[list[PictureAnswer], np.ndarray]:
    """As `_ask_clip`, by a chat: in the order of the search, until a whole handful of pictures says no."""
    one = _as_question(question.about, question.lang, vqa) if counted else text
    pictures, chances = [], []
    for start in range(0, len(hits), AT_ONCE):
        some = hits[start : start + AT_ONCE]
        pairs = [{"image": _image(hit, images), "question": one} for hit in some]
        outcomes = vqa.batch_answer(pairs, progress=False, max_workers=AT_ONCE)
        if all(not outcome.ok for outcome in outcomes):
            raise outcomes[0].error  # the service, not a picture
        said = [_reply(str(o.value), question.lang) if counted else str(o.value) for o in outcomes if o.ok]
        good = [hit for hit, outcome in zip(some, outcomes) if outcome.ok]
        pictures += [_picture(hit, reply) for hit, reply in zip(good, said)]
        chances += [
            1.0 if reply == YES[question.lang] else 0.5 if reply == NOT_SURE[question.lang] else 0.0
            for reply in said
        ]
        if counted and YES[question.lang] not in said:
            break
    return pictures, np.array(chances) if counted else np.ones(len(pictures))


# -------------------------------------------------------------------------------------------------- combining


def _combine(
    asked: Question, pictures: list[PictureAnswer], yes: np.ndarray, sure: float, more: bool
) -> VisualAnswer:
    """One answer to "is there any", "which" and "how many": the pictures that are likelier to fit than not."""
    lang, zh = asked.lang, asked.lang == "zh"
    order = sorted(range(len(pictures)), key=lambda i: -yes[i])
    evidence = Evidence(asked, pictures=tuple(pictures[i] for i in order))
    fitting = [pictures[i].id for i in order if yes[i] > 0.5]
    unsure = sum(picture.answer == NOT_SURE[lang] for picture in pictures)
    notes = []
    if unsure:
        doubtful = f"{unsure} pictures are" if unsure > 1 else "1 picture is"
        notes.append(f"有 {unsure} 张拿不准" if zh else f"{doubtful} in doubt")
    if more:
        notes.append(
            f"只问了前 {len(pictures)} 张，后面可能还有"
            if zh
            else f"only the first {len(pictures)} were asked, there may be more"
        )
    options: dict[str, Any] = {"evidence": evidence, "reason": ("；" if zh else "; ").join(notes)}
    if asked.scope == "which":
        return VisualAnswer(", ".join(fitting) or ("没有" if zh else "none"), **options)
    if asked.scope == "how many":
        return VisualAnswer(str(len(fitting)), **options)
    best = float(yes.max(initial=0))
    if best >= sure:
        return VisualAnswer(YES[lang], confidence=best, **options)
    if best <= 1 - sure:
        return VisualAnswer(NO[lang], confidence=1 - best, **options)
    return VisualAnswer(NOT_SURE[lang], answered=False, confidence=max(best, 1 - best), **options)


def _vote(asked: Question, pictures: list[PictureAnswer], weights: np.ndarray) -> VisualAnswer:
    """The answer that most weight speaks for, each picture's being how much it is to the point."""
    votes: Counter[str] = Counter()
    for picture, weight in zip(pictures, weights):
        votes[picture.answer] += float(weight)
    total = sum(votes.values())
    evidence = Evidence(asked, pictures=tuple(pictures))
    winner, votes_for = votes.most_common(1)[0]
    shares = {text: weight / total for text, weight in votes.items()} if total else {}
    if total < 0.5 or votes_for <= total / 2:
        zh = asked.lang == "zh"
        reason = (
            ("没有相关的图片" if zh else "no picture is to the point")
            if total < 0.5
            else ("各张图片说法不一" if zh else "the pictures disagree")
        )
        return VisualAnswer(
            NOT_SURE[asked.lang], answered=False, probabilities=shares, reason=reason, evidence=evidence
        )
    return VisualAnswer(winner, confidence=votes_for / total, probabilities=shares, evidence=evidence)


# --------------------------------------------------------------------------------------------------- details


def _as_question(about: tuple[Phrase, ...], lang: str, vqa: VisualQA) -> str:
    """The question for one picture: a chat is not asked how many pictures there are."""
    candidates = vqa.reader.candidates[lang]
    if lang == "zh":
        said = "并且".join(statement(phrase, candidates) for phrase in about)
        return f"{said}吗？" if "有" in said else f"这是{said.removeprefix('这里是')}吗？"
    parts = []
    for phrase in about:
        text = statement(phrase, candidates).removeprefix("a picture of ").removeprefix("a picture ")
        parts.append(text)
    verb = "Are" if about[0].noun and (about[0].fact("number") or "1") != "1" else "Is"
    return f"{verb} {'there' if about[0].noun else 'it'} {' and '.join(parts)}?"


def _reply(text: str, lang: str) -> str:
    """What a chat's free words come to: yes, no, or not sure."""
    yes, no = _SAID["zh" if re.search("[\u4e00-\u9fff]", text) else "en"]
    text = text.strip(" \"'“”。.，,")
    if no.match(text):
        return NO[lang]
    return YES[lang] if yes.match(text) else NOT_SURE[lang]


def _vectors(vqa: VisualQA, engine: ImageSearchEngine, hits: list[Result], images: Images) -> np.ndarray:
    """The pictures' vectors, as stored where the same model made them."""
    space = engine.store.space
    same = engine.clip_service is vqa.clip_service or (space and space.same(space_of(vqa.clip_service)))
    if same:
        return np.stack([item.vector for item in engine.store.get([hit.id for hit in hits])])
    return vqa.clip_service.encode_image([_image(hit, images) for hit in hits])


def _image(hit: Result, images: Images) -> ImageSource:
    if callable(images):
        return images(hit.id)
    own = (images or {}).get(hit.id)
    return hit.thumbnail if own is None else own


def _picture(hit: Result, text: str, confidence: float | None = None) -> PictureAnswer:
    return PictureAnswer(hit.id, hit.score, text, confidence, hit.thumbnail)
