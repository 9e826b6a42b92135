"""Steps 3 to 5 of exercise 3: asking one picture, measuring answers and rankings, asking many pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import ImageError, ServiceError
from ...settings import say
from ...vqa import VisualQA
from ...vqa_answers import VisualAnswer
from ..step import Step, check
from . import mistakes_asking as mistakes
from .bench import CHAT, Bench, Script, same, unreachable

NOWHERE = "http://127.0.0.1:9/v1"  # the discard port: nobody answers there
AT_ONCE = 3


class AskingChecks(Bench):
    """The checks of steps 3 to 5."""

    # ----------------------------------------------------------------------------------------------- 3 ask

    @check(zh="第 3 步：问一张图", en="Step 3: asking a picture")
    def ask(self, step: Step, function: Callable) -> None:
        """`function(vqa, picture, question) -> {"text", "model", "sure", "note"}`."""
        (picture,) = self.draw(10, [{"kind": "cat"}])
        question, said = say(zh="图中有什么？", en="What is in the picture?"), say(zh="一只猫", en="a cat")
        hints = mistakes.ask_hints()

        chat = Script(chat=said, clip="?")
        reply = step.call(function, chat, picture, question, hints=hints)
        wrong = mistakes.reply(reply)
        step.require(
            not wrong,
            say(zh="回答里有 text、model、sure、note", en="the reply has text, model, sure and note"),
            wrong,
        )
        step.require(
            len(chat.asked) == 1
            and same(chat.asked[0][0], picture)
            and chat.asked[0][1:] == (question, True),
            say(zh="图片和问题原样送到看图对话", en="picture and question reach the chat as they are, once"),
            mistakes.reached(chat.asked, question),
        )
        expected = {"text": said, "model": CHAT, "sure": None, "note": ""}
        wrong = mistakes.expected(reply, expected)
        step.require(
            not wrong, say(zh="对话的回答，说明是谁答的", en="the chat's answer, and who gave it"), wrong
        )

        error = unreachable()
        sure = VisualAnswer(say(zh="猫", en="cat"), confidence=0.9)
        for failure in (error, mistakes.other_failure()):
            script = Script(chat=failure, clip=sure)
            reply = step.call(function, script, picture, question, hints=hints)
            wrong = mistakes.reply(reply) or mistakes.fallback(reply, script.asked, sure, str(failure))
            step.require(
                not wrong,
                say(zh="对话出错时由 CLIP 回答", en="where the chat fails CLIP answers")
                if failure is error
                else say(zh="……不论出的是哪一种错", en="... whichever way it fails"),
                wrong,
            )
        why = say(zh="两个答案不相上下", en="two answers are level")
        unsure = VisualAnswer(say(zh="不确定", en="not sure"), answered=False, confidence=0.4, reason=why)
        reply = step.call(function, Script(chat=error, clip=unsure), picture, question, hints=hints)
        step.require(
            str(reply.get("text")) == str(unsure) and why in str(reply.get("note")),
            say(
                zh="CLIP 说不确定时，原因也在 note 里", en="where CLIP is not sure, its reason is in the note"
            ),
            say(
                zh="CLIP 不回答时会在 answer.reason 里说明原因，请一并放进 note。",
                en="Where CLIP gives no answer, answer.reason says why: put that into the note as well.",
            ),
        )
        wrong = mistakes.swallowed(
            step.raised(function, Script(chat=ZeroDivisionError("a bug")), picture, question)
        )
        step.require(
            not wrong,
            say(zh="程序自己的错误不会被掩盖", en="an error of the program itself is not hidden"),
            wrong,
        )
        self._really(step, function)

    def _really(self, step: Step, function: Callable) -> None:
        """A real `VisualQA` whose chat is out of reach, on pictures whose truth is known."""
        vqa = _OutOfReach("no-key", self.clip, base_url=NOWHERE, model="nobody", retries=0, timeout=2)
        kinds = [kind for kind in ("cat", "car", "house", "bird") if kind in self.words["kind"]]
        asked = self.words["kind"][kinds[0]]
        question = say(zh=f"图中有{asked}吗？", en=f"Is there a {asked} in the picture?")
        truth = [i % 2 == 0 for i in range(12)]
        pictures = self.draw(
            11, [{"kind": kinds[0] if there else kinds[1 + i % 3]} for i, there in enumerate(truth)]
        )
        replies = [step.call(function, vqa, picture, question) for picture in pictures]
        words = {True: say(zh="是", en="yes"), False: say(zh="否", en="no")}
        right = sum(str(reply["text"]) == words[there] for reply, there in zip(replies, truth))
        step.require(
            right >= 8 and all(reply["model"] == self.clip.name for reply in replies),
            say(
                zh=f"真的连不上对话时，{self.clip.name} 答对 {right} / {len(truth)}",
                en=f"with the chat really out of reach, {self.clip.name} answers {right} of {len(truth)} right",
            ),
            say(
                zh="换成真实的 VisualQA 就不对了：用 vqa.answer(picture, question, use_gpt4v=False)，"
                "model 用 vqa.clip_service.name。",
                en="With a real VisualQA it goes wrong: use vqa.answer(picture, question, use_gpt4v=False), and "
                "vqa.clip_service.name as the model.",
            ),
        )

    # ------------------------------------------------------------------------------------------- 4 measure

    @check(zh="第 4 步：量一量", en="Step 4: measuring")
    def measure(self, step: Step, plain: Callable, accuracy: Callable, recall_at_k: Callable) -> None:
        """`plain(text) -> text`, `accuracy(answers, truths)` and `recall_at_k(rankings, relevant, k) -> share`."""
        for one, other, alike in mistakes.PLAIN:
            pair = [step.call(plain, text) for text in (one, other)]
            wrong = mistakes.plain(one, other, pair[0], pair[1], alike)
            step.once(
                not wrong,
                say(
                    zh="写法不同、意思相同的答案算同一个",
                    en="answers that differ in nothing but spelling are the same",
                )
                if alike
                else say(zh="不同的答案仍然不同", en="different answers stay different"),
                wrong,
            )
        for answers, truths, expected in mistakes.ANSWERS:
            found = step.array(accuracy, list(answers), list(truths), hints=mistakes.accuracy_hints())
            wrong = mistakes.accuracy(found, answers, truths, expected)
            step.once(
                not wrong, say(zh="正确率是答对的除以全部", en="accuracy is the right ones among all"), wrong
            )
        for rankings, relevant, k, expected in mistakes.RANKINGS:
            found = step.array(recall_at_k, [list(r) for r in rankings], [set(r) for r in relevant], k)
            wrong = mistakes.recall(found, rankings, relevant, k, expected)
            step.once(
                not wrong,
                say(zh="R@k 是前 k 名里有对的图的查询所占的比例",
                    en="R@k is the share of queries with a right picture among the first k"),
                wrong,
            )  # fmt: skip

    # ------------------------------------------------------------------------------------------- 5 ask_all

    @check(zh="第 5 步：问遍所有的图", en="Step 5: asking them all")
    def ask_all(self, step: Step, function: Callable) -> None:
        """`function(answer, pictures, question, at_once=4) -> (replies, counts, failed)`."""
        colors = [("Red", "red.", "a red", "red"), ("blue", "Blue"), ("green",)]
        texts = [text for same_color in colors for text in same_color]
        pictures = {f"p{i}": f"picture {i}" for i in (4, 1, 6, 0, 5, 2, 3, 9)}
        said = dict(zip(sorted(pictures)[:-1], texts))  # the last one fails
        crowd = _Crowd(pictures, said)
        question = say(zh="是什么颜色的？", en="What color is it?")
        found = step.call(
            function, crowd.answer, dict(pictures), question, AT_ONCE, hints=mistakes.all_hints()
        )
        wrong = mistakes.three(found)
        step.require(
            not wrong,
            say(zh="返回 回答、计数、失败 三样", en="replies, counts and failures are returned"),
            wrong,
        )
        replies, counts, failed = found
        wrong = mistakes.replies(replies, pictures, said, crowd.asked, question)
        step.require(
            not wrong,
            say(zh="每张图问一次，回答各归各的图", en="each picture is asked once, and has its own reply"),
            wrong,
        )
        wrong = mistakes.failures(failed, {"p9"}, replies)
        step.require(
            not wrong,
            say(zh="一张失败，别的照样有回答", en="one fails, the others have their replies"),
            wrong,
        )
        wrong = mistakes.counts(counts, [("red", 4), ("blue", 2), ("green", 1)])
        step.require(
            not wrong,
            say(
                zh="同样的答案数在一起，多的在前",
                en="equal answers are counted together, the most frequent first",
            ),
            wrong,
        )
        step.require(
            crowd.most == AT_ONCE,
            say(zh=f"同时问的最多到 {AT_ONCE} 张", en=f"up to {AT_ONCE} are asked at once"),
            mistakes.overlap(crowd.most, AT_ONCE),
        )
        found = step.call(function, crowd.answer, {}, question, AT_ONCE)
        step.require(
            (dict(found[0]), list(found[1]), dict(found[2])) == ({}, [], {}),
            say(zh="没有图片时，三样都是空的", en="without pictures all three are empty"),
            say(zh="没有图片时应返回 {}、[]、{}。", en="Without pictures return {}, [] and {}."),
        )


class _OutOfReach(VisualQA):
    """A `VisualQA` whose chat is out of reach, which is tried once: on Windows a refusal takes two seconds."""

    _met: ServiceError | None = None

    def _chat(self, pair: Any, evidence: bool) -> VisualAnswer:
        if self._met is None:
            try:
                return super()._chat(pair, evidence)
            except ServiceError as error:
                self._met = error
        raise self._met


class _Crowd:
    """Answers questions about pictures from a table, and counts how many are asked at once."""

    def __init__(self, pictures: Mapping[str, str], said: Mapping[str, str]):
        self.ids = {picture: name for name, picture in pictures.items()}
        self.said = said
        self.asked: list[tuple[str, str]] = []
        self.inside = self.most = 0
        self._patience = 1.0
        self._changed = threading.Condition()

    def answer(self, picture: str, question: str) -> dict[str, Any]:
        with self._changed:
            self.asked.append((picture, question))
            self.inside += 1
            self.most = max(self.most, self.inside)
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self.most >= AT_ONCE, self._patience):
                self._patience = 0
        time.sleep(0.02)  # long enough to be met by one too many
        with self._changed:
            self.inside -= 1
        name = self.ids.get(picture)
        if name is None:
            raise ImageError(say(zh="这里没有这张图。", en="There is no such picture."))
        if name not in self.said:
            raise ServiceError(say(zh="这张图看不清，请换一张。", en="This one cannot be seen, please take another."),
                               kind="bad_request")  # fmt: skip
        return {"text": self.said[name], "model": CHAT, "sure": None, "note": ""}
