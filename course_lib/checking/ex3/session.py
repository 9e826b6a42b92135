"""Step 6 of exercise 3: the application's session, driven as a user would drive it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from PIL import Image

from ...images import encode, open_image
from ...search import ImageSearchEngine
from ...settings import say
from ...vqa_answers import VisualAnswer
from ..step import Step, check
from . import mistakes_session as mistakes
from .bench import CHAT, CLIP, Bench, Script, same, unreachable


class SessionChecks(Bench):
    """The check of step 6."""

    @check(zh="第 6 步：整个应用", en="Step 6: the application")
    def session(self, step: Step, session_class: Callable) -> None:
        """`session_class(engine, vqa, pictures)` with `search`, `choose`, `ask`, `ask_all` and `add`."""
        engine, pictures = self._gallery()
        script = Script(chat="first")
        session = step.call(session_class, engine, script, dict(pictures), hints=mistakes.hints())
        other = step.call(session_class, ImageSearchEngine(self.clip), Script(), {})
        wrong = mistakes.state(session)
        step.require(
            not wrong,
            say(zh="会话有规定的属性和方法", en="a session has the attributes and methods asked for"),
            wrong,
        )
        wrong = mistakes.beginning(session, pictures)
        step.require(
            not wrong, say(zh="一打开就看得到图片", en="there are pictures to be seen at once"), wrong
        )
        self._searching(step, session, engine)
        self._asking(step, session, script, pictures)
        self._failing(step, session, script)
        self._everybody(step, session, script)
        self._adding(step, session, script, engine)
        step.require(
            not other.turns and not other.pictures and other.chosen is None,
            say(zh="两个会话互不相干", en="two sessions share nothing"),
            say(
                zh="另一个会话里出现了这个会话的东西：请在 __init__ 里新建 {} 和 []，不要写成类属性或默认参数。",
                en="What belongs to this session turned up in another: make {} and [] in __init__, not as attributes "
                "of the class or as default arguments.",
            ),
        )

    def _gallery(self) -> tuple[ImageSearchEngine, dict[str, Image.Image]]:
        kinds = list(self.words["kind"])
        drawn = [picture.resize((256, 256)) for picture in self.draw(20, [{"kind": kind} for kind in kinds])]
        pictures = {f"p{i:02d}": picture for i, picture in enumerate(drawn)}
        engine = ImageSearchEngine(self.clip)
        engine.add_images(pictures, metadata=lambda name: {"name": f"{name}.png"}, progress=False)
        return engine, pictures

    def _searching(self, step: Step, session: Any, engine: ImageSearchEngine) -> None:
        kinds = list(self.words["kind"])
        step.run(session.choose, "p03")
        step.run(session.search, self.words["kind"][kinds[1]], hints=mistakes.hints())
        first = engine.search_by_text(self.words["kind"][kinds[1]], 1)[0].id
        wrong = mistakes.searched(session, first)
        step.require(
            not wrong, say(zh="搜索更新结果，取消选中", en="a search brings results and chooses none"), wrong
        )
        step.run(session.search, "", self.draw(21, [{"kind": kinds[4]}])[0])
        alike = list(session.results)
        step.run(session.search, "   ")
        everything = list(session.results)
        step.require(
            bool(alike)
            and alike != everything
            and bool(everything)
            and all(score is None for _, score in everything),
            say(
                zh="也能按图片搜；什么都不写就看全部",
                en="a picture will do, too; without either all are shown",
            ),
            say(
                zh='按图片搜，或什么都不写时，结果不对：search("", picture) 按图片找；两样都没有，就列出图库里的图，分数为 None。',
                en='By a picture, or with nothing at all, the results are wrong: search("", picture) goes by the '
                "picture; without either show what is there, with None as scores.",
            ),
        )
        step.run(session.search, "", b"no picture", hints=mistakes.hints())
        step.require(
            bool(session.note),
            say(zh="用来搜的文件不是图片，得到一句提醒", en="a file that is no picture gets a reminder"),
            say(
                zh="搜索出错时，note 应写上那一句错误：except CourseError as error，note 是 str(error)。",
                en="Where a search fails note should say why: except CourseError as error, str(error).",
            ),
        )

    def _asking(self, step: Step, session: Any, script: Script, pictures: dict[str, Image.Image]) -> None:
        step.run(session.ask, "too early?", hints=mistakes.early_hints())
        step.require(
            not script.asked and bool(session.note) and not any(session.turns.values()),
            say(
                zh="没选图片就提问，得到一句提醒", en="a question before a picture is chosen gets a reminder"
            ),
            say(
                zh="没有选中图片时，不要提问，在 note 里写一句提醒。",
                en="Without a chosen picture ask nothing, and put a reminder into note.",
            ),
        )
        step.run(session.choose, "p02")
        step.require(
            session.chosen == "p02" and not session.note,
            say(zh="点一下就选中", en="a click chooses"),
            say(
                zh="choose 之后 chosen 应是那个编号，note 应清空。",
                en="After choose, chosen should be that id, and note empty.",
            ),
        )
        step.run(session.ask, "one", hints=mistakes.hints())
        script.chat = "second"
        step.run(session.choose, "p05")
        step.run(session.ask, "two")
        step.run(session.choose, "p02")
        step.run(session.ask, "three")
        sent = [image for image, _, chat in script.asked if chat]
        right = len(sent) == 3 and all(same(i, pictures[n]) for i, n in zip(sent, ("p02", "p05", "p02")))
        step.require(
            right,
            say(
                zh="问的是选中的那张，用原图", en="it is the chosen picture that is asked, the picture itself"
            ),
            mistakes.sent(sent, [pictures[name] for name in ("p02", "p05", "p02")]),
        )
        kept = {"p02": [("one", "first"), ("three", "second")], "p05": [("two", "second")]}
        wrong = mistakes.turns(session.turns, kept)
        step.require(
            not wrong, say(zh="每张图记着自己的问答", en="each picture keeps its own questions"), wrong
        )
        step.run(session.search, self.words["kind"][list(self.words["kind"])[0]])
        step.require(
            len(session.turns.get("p02", ())) == 2 and session.chosen is None,
            say(zh="再搜索，问答还在", en="another search leaves them alone"),
            say(
                zh="一搜索，之前的问答就没了：请保留 turns。",
                en="A search wiped out what was asked: keep turns.",
            ),
        )

    def _failing(self, step: Step, session: Any, script: Script) -> None:
        step.run(session.choose, "no such picture", hints=mistakes.unknown_hints())
        step.require(
            bool(session.note) and session.chosen is None,
            say(zh="点了不存在的图，得到一句提醒", en="a picture that is not there gets a reminder"),
            say(
                zh="编号不在图库里时，chosen 不变，note 写一句话（engine.get(编号) 会抛出 CourseError）。",
                en="Where the id is not in the engine chosen stays, and note says so (engine.get(id) raises a "
                "CourseError).",
            ),
        )
        step.run(session.choose, "p02")
        before = len(session.turns["p02"])
        script.chat, script.clip = unreachable(), VisualAnswer("cat", confidence=0.8)
        step.run(session.ask, "four", hints=mistakes.hints())
        last = session.turns["p02"][-1][1] if len(session.turns["p02"]) > before else {}
        step.require(
            last.get("model") == CLIP,
            say(zh="对话出错，CLIP 顶上", en="where the chat fails CLIP steps in"),
            say(
                zh="对话出错时没有 CLIP 的回答：请用第 3 步的 ask(self.vqa, 图片, 问题)。",
                en="Where the chat fails there is no answer of CLIP's: use ask(self.vqa, picture, question) of step 3.",
            ),
        )
        script.clip = unreachable()
        before = len(session.turns["p02"])
        step.run(session.ask, "five", hints=mistakes.hints())
        step.require(
            session.note == str(script.clip) and len(session.turns["p02"]) == before,
            say(zh="都答不了时，note 是那一句错误", en="where nobody answers, note is the error's sentence"),
            say(
                zh="出错时 note 应是 str(error)，turns 里不要留下没有回答的问题。",
                en="On an error note should be str(error), and turns should hold no question without a reply.",
            ),
        )
        script.chat = "back"
        step.run(session.ask, "six")
        step.require(
            not session.note and session.turns["p02"][-1][1]["text"] == "back",
            say(zh="下一次成功，提醒就清掉", en="the next success clears the reminder"),
            say(
                zh="成功之后，上一次的提醒还留着：每个方法一开始先清空 note。",
                en="After a success the last reminder is still there: empty note at the beginning of each method.",
            ),
        )

    def _everybody(self, step: Step, session: Any, script: Script) -> None:
        step.run(session.search, self.words["kind"][list(self.words["kind"])[2]])
        script.chat = lambda image, question: "Yes." if len(script.asked) % 2 else "yes"
        before = {picture_id: len(session.turns.get(picture_id, ())) for picture_id, _ in session.results}
        counts = step.call(session.ask_all, "seven")
        grown = [len(session.turns.get(name, ())) - count for name, count in before.items()]
        step.require(
            list(counts) == [("yes", len(before))] and set(grown) == {1},
            say(
                zh="一个问题问遍显示的图，各记各的",
                en="one question goes to all that are shown, each keeps its reply",
            ),
            say(
                zh="ask_all 应问遍 results 里的每一张（第 5 步），把各自的回答记进 turns，返回计数。",
                en="ask_all should ask each picture of results (step 5), note each one's reply in turns, and return "
                "the counts.",
            ),
        )
        turn, script.clip = itertools.count(), unreachable()
        script.chat = lambda image, question: "yes" if next(turn) % 3 else unreachable()
        step.run(session.ask_all, "eight", hints=mistakes.hints())
        step.require(
            str(script.clip) in str(session.note),
            say(zh="问遍时有失败的，note 写上一个原因", en="where some of them fail, note gives a reason"),
            say(
                zh='ask_all 有答不了的图时，note 应写上其中一个原因：next(iter(failed.values()), "")。',
                en="Where some pictures get no answer in ask_all, note should give one of the reasons: "
                'next(iter(failed.values()), "").',
            ),
        )

    def _adding(self, step: Step, session: Any, script: Script, engine: ImageSearchEngine) -> None:
        new = self.draw(22, [{"kind": list(self.words["kind"])[3]}])[0]
        files, calls = [("mine.png", encode(new)), ("bad.png", b"no picture")], []
        size = len(engine)
        refused = step.run(session.add, files, lambda done, total: calls.append(done), hints=mistakes.hints())
        wrong = mistakes.added(session, engine, size, refused, calls)
        step.require(
            not wrong,
            say(zh="上传的图收下并显示，坏的说明原因", en="uploads are taken and shown, bad ones explained"),
            wrong,
        )
        mine = session.results[0][0]
        script.chat = "mine"
        step.run(session.choose, mine)
        step.run(session.ask, "nine")
        step.require(
            same(script.asked[-1][0], open_image(files[0][1]))
            and session.turns[mine][-1][1]["model"] == CHAT,
            say(zh="马上就能问上传的图", en="what was uploaded can be asked about at once"),
            say(
                zh="问上传的图时送出的不是它本身：收下之后要并入 self.pictures。",
                en="Asked about an upload, something else was sent: put what was taken into self.pictures.",
            ),
        )
