"""Visual question answering (chapter, section 六, 6.2): a vision chat answers, or CLIP alone does, and says how sure
it is.

`VisualQA` keeps the chapter's names. What CLIP can be asked is written down in `course_lib.questions`, how its answers
come about in `course_lib.vqa_clip`, and how its confidence is made honest in `course_lib.vqa_calibration`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from . import vqa_collection
from .batching import Outcome, batch
from .chat.client import VisionClient
from .errors import CourseError, SettingsError, TextError
from .images import ImageSource, open_image
from .questions import merged
from .settings import say
from .texts import as_labels, as_texts, fill
from .vqa_answers import Evidence, VisualAnswer, judged, refused, unheard
from .vqa_calibration import Calibration, beside, load
from .vqa_clip import ClipReader
from .vqa_fit import calibrate

if TYPE_CHECKING:
    from .clip import CLIPService
    from .search import ImageSearchEngine

Pair = Mapping[str, Any]

TOGETHER = 64  # pictures decoded at a time: a telephone's photograph takes 36 MB


class VisualQA:
    """Questions about pictures, in Chinese or English, answered in the question's language.

    The first argument and `provider`, `base_url`, `model`, `timeout`, `retries` choose the chat, as in `call_gpt4v`:
    without them the settings do. `prompt` is what is sent, with the question at `{}`. `clip_service` answers where no
    chat is wanted, without it a `CLIPService()`. `candidates` says what its answers may be, {"thing": [...], "place":
    [...]}; colours, numbers, sizes, positions and times of day have defaults. `calibration` (a `Calibration` or its
    file) makes its confidence honest, without it the one beside the model, if there is one. Below `min_confidence` it
    says that it is not sure.
    """

    def __init__(
        self,
        gpt4v_api_key: str | None = None,
        clip_service: CLIPService | None = None,
        *,
        candidates: Mapping[str, Iterable[str] | Mapping[str, str]] | None = None,
        calibration: Calibration | str | os.PathLike | None = None,
        min_confidence: float = 0.75,
        provider: str | None = None,
        base_url: str | None = None,
        model: str | None = None,
        prompt: str = "{}",
        max_tokens: int = 200,
        timeout: float = 60.0,
        retries: int = 2,
    ):
        if not 0 <= min_confidence <= 1:
            raise SettingsError(
                say(
                    zh=f"min_confidence 必须在 0 到 1 之间，不能是 {min_confidence!r}。",
                    en=f"min_confidence must lie between 0 and 1, not {min_confidence!r}.",
                )
            )
        fill(prompt, [])  # a prompt without {} is refused here
        try:
            self._client: VisionClient | SettingsError = VisionClient(
                gpt4v_api_key,
                provider=provider,
                base_url=base_url,
                model=model,
                timeout=timeout,
                retries=retries,
            )
        except SettingsError as error:  # a missing key is no matter to who only asks CLIP
            self._client = error
        del gpt4v_api_key  # some tools print a traceback with its variables
        self.min_confidence = min_confidence
        self._given_service, self._given_calibration = clip_service, calibration
        self._candidates, self._prompt, self._max_tokens = merged(candidates), prompt, max_tokens

    @property
    def client(self) -> VisionClient:
        """The chat. Raises `SettingsError` where its settings are not complete."""
        if isinstance(self._client, SettingsError):
            raise self._client
        return self._client

    @cached_property
    def clip_service(self) -> CLIPService:
        """The given service, or the settings' own, made when it is first wanted."""
        if self._given_service is not None:
            return self._given_service
        from .clip import CLIPService

        return CLIPService()

    @property
    def model_name(self) -> str:
        """What the CLIP model is called."""
        return str(getattr(self.clip_service, "name", "CLIP"))

    @cached_property
    def calibration(self) -> Calibration | None:
        """The calibration in use; None where the model has none, and confidences are the model's own."""
        given = self._given_calibration
        if given is None:
            return beside(self.clip_service)
        found = given if isinstance(given, Calibration) else load(given)
        if not found.fits(self.clip_service):
            raise SettingsError(
                say(
                    zh="这个校准属于另一个模型，请用 VisualQA.calibrate 重新校准。",
                    en="This calibration belongs to another model, please calibrate again with VisualQA.calibrate.",
                )
            )
        return found

    @cached_property
    def reader(self) -> ClipReader:
        """What reads questions and judges pictures in the CLIP mode."""
        return ClipReader(self.clip_service, self._candidates, self.calibration)

    def answer(
        self,
        image: ImageSource,
        question: str,
        use_gpt4v: bool = True,
        *,
        candidates: Sequence[str] | None = None,
        evidence: bool = False,
    ) -> VisualAnswer:
        """The answer to a question about one picture.

        From a chat it is the chat's own text. From CLIP (`use_gpt4v=False`) it is one of the candidates, with its
        confidence; or "not sure" (不确定); or the reason why CLIP cannot know: see `VisualAnswer.answered`.
        `candidates` are the answers to choose among for this question. `evidence` asks CLIP for a second opinion beside
        a chat's answer; CLIP's own answers always carry their evidence. Raises `ImageError` and `TextError` for what is
        no picture or no question, and what `call_gpt4v` raises.
        """
        item = {"image": image, "question": question, "candidates": candidates}
        if use_gpt4v:
            return self._chat(item, evidence)
        return self._clip([item])[0].result()

    def batch_answer(
        self,
        qa_pairs: Iterable[Pair],
        *,
        use_gpt4v: bool = True,
        evidence: bool = False,
        max_workers: int = 8,
        progress: bool = True,
    ) -> list[Outcome[VisualAnswer]]:
        """Answers to many {"image": ..., "question": ...}, in their order, each an `Outcome`: its `value`, or its
        `error`, which stays its own.

        A chat is asked several at a time. CLIP encodes each picture once, however many questions it is asked.
        """
        pairs = list(qa_pairs)
        if use_gpt4v:
            return batch(
                lambda pair: self._chat(pair, evidence), pairs, max_workers=max_workers, progress=progress
            )
        return self._clip(pairs)

    def answer_collection(
        self, engine: ImageSearchEngine, question: str, *, use_gpt4v: bool = True, **options: Any
    ) -> VisualAnswer:
        """The answer to a question about a whole collection: search, ask the top pictures, combine.

        "How many pictures show a red cat?", "Which ...", "Is there a picture of ...", or a question about one picture,
        which is asked of those that fit best ("What colour is the car on the beach?"). The evidence holds the pictures
        that were asked, and what they said. `options` as in `vqa_collection.answer`.
        """
        return vqa_collection.answer(self, engine, question, use_gpt4v=use_gpt4v, **options)

    def calibrate(
        self,
        examples: Iterable[Pair],
        *,
        closed: bool = False,
        made: Mapping[str, Any] | None = None,
    ) -> Calibration:
        """Fit the confidence of the CLIP mode on {"image": ..., "question": ..., "answer": ...}, and use it from now on.

        Some hundred of each sort of question that will be asked, on pictures like those to come. `closed` says that the
        model knows no other things than the candidates. Keep the result with `save`.
        """
        examples = list(examples)
        pictures, vectors, failed = self._pictures([self._checked(example) for example in examples])
        if failed:
            raise next(iter(failed.values()))
        asked = [(pictures[i], str(e["question"]), str(e.get("answer", ""))) for i, e in enumerate(examples)]
        known = {**(self.calibration.candidates if self.calibration else {}), **self._candidates}
        found = calibrate(self.clip_service, vectors, asked, known, closed=closed, made=made)
        self.__dict__.update(calibration=found, reader=ClipReader(self.clip_service, self._candidates, found))
        return found

    # Inside

    def _chat(self, pair: Pair, evidence: bool) -> VisualAnswer:
        pair = self._checked(pair)
        question = pair["question"]
        prompt = fill(self._prompt, [question])[0]
        if answers := pair.get("candidates"):
            listed = ", ".join(as_labels(answers))
            prompt += say(zh=f"（只能回答其中一个：{listed}）", en=f" (answer with one of these: {listed})")
        said = self.client.ask(pair["image"], prompt, max_tokens=self._max_tokens)
        found = None
        if evidence:
            clip = self._clip([pair])[0].result()
            found = Evidence(clip.evidence.question, clip.evidence.scores, clip=str(clip))
        return VisualAnswer(said, evidence=found, usage=said.usage)

    def _clip(self, pairs: list[Pair]) -> list[Outcome[VisualAnswer]]:
        outcomes: list[Outcome | None] = [None] * len(pairs)
        readable = {}
        for at, pair in enumerate(pairs):
            try:
                pair = self._checked(pair)
                answers = as_labels(pair["candidates"]) if pair.get("candidates") else []
                readable[at] = pair, self.reader.read(pair["question"], answers)
            except CourseError as error:
                outcomes[at] = Outcome(pairs[at], error=error)
        rows, vectors, failed = self._pictures({at: pair for at, (pair, _) in readable.items()})
        groups: dict[Any, list[int]] = {}
        for at, (_, question) in readable.items():
            if at in failed:
                outcomes[at] = Outcome(pairs[at], error=failed[at])
            elif question.sort == "refused":
                outcomes[at] = Outcome(pairs[at], refused(question))
            elif word := self.reader.unheard_of(question):
                outcomes[at] = Outcome(pairs[at], unheard(question, word, self.model_name))
            else:
                groups.setdefault(question, []).append(at)
        for question, positions in groups.items():
            for at, verdict in zip(
                positions, self.reader.judge(question, vectors[[rows[at] for at in positions]])
            ):
                outcomes[at] = Outcome(pairs[at], judged(question, verdict, sure=self.min_confidence))
        return outcomes

    def _pictures(
        self, pairs: Mapping[int, Pair] | Sequence[Pair]
    ) -> tuple[dict[int, int], np.ndarray, dict]:
        """Each pair's row among the vectors `(n, d)` of the distinct pictures, and the pairs whose picture failed."""
        items = pairs.items() if isinstance(pairs, Mapping) else enumerate(pairs)
        keys, sources = {}, {}
        for at, pair in items:
            source = pair["image"]
            keys[at] = source if isinstance(source, (str, bytes)) else id(source)
            sources[keys[at]] = source
        place, wrong, vectors = {}, {}, []
        distinct = list(sources)
        for start in range(0, len(distinct) or 1, TOGETHER):
            opened = []
            for key in distinct[start : start + TOGETHER]:
                try:
                    opened.append(open_image(sources[key]))
                    place[key] = len(place)
                except CourseError as error:
                    wrong[key] = error
            vectors.append(self.clip_service.encode_image(opened))
        rows = {at: place[key] for at, key in keys.items() if key in place}
        return rows, np.concatenate(vectors), {at: wrong[key] for at, key in keys.items() if key in wrong}

    @staticmethod
    def _checked(pair: Any) -> dict[str, Any]:
        if not isinstance(pair, Mapping) or not {"image", "question"} <= set(pair):
            raise TextError(
                say(
                    zh='每一项要写成 {"image": 图片, "question": 问题} 这样的字典。',
                    en='Each item must be a dictionary such as {"image": picture, "question": text}.',
                )
            )
        as_texts([pair["question"]])
        return dict(pair)
