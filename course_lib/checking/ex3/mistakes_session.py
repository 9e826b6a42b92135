"""From a session that goes wrong to the likely mistake, in one sentence (see `mistakes_finding`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from ...settings import say
from .bench import same

ATTRIBUTES = ("engine", "vqa", "pictures", "results", "chosen", "turns", "note")
METHODS = ("search", "choose", "ask", "ask_all", "add")


def hints() -> dict[str, str]:
    return {
        r"ServiceError|RefusalError|StoreError|ImageError|TextError": say(
            zh="一个错误让应用停了：每个方法都要 except CourseError as error，把 str(error) 写进 note。",
            en="An error stopped the application: in each method, except CourseError as error, and put str(error) "
            "into note.",
        ),
        r"KeyError: 'p\d\d'": say(
            zh="第一次问某张图时，turns 里还没有它：self.turns.setdefault(编号, []).append(...)。",
            en="The first time a picture is asked, turns does not have it yet: self.turns.setdefault(id, "
            "[]).append(...).",
        ),
        r"takes no arguments|positional argument": say(
            zh='参数的个数不对：Session(engine, vqa, pictures)，search(words="", picture=None)，choose(编号)，ask(问题)，'
            "ask_all(问题)，add(文件, progress)。",
            en='The number of arguments is wrong: Session(engine, vqa, pictures), search(words="", picture=None), '
            "choose(id), ask(question), ask_all(question), add(files, progress).",
        ),
    }


def early_hints() -> dict[str, str]:
    return {
        r"KeyError: None|NoneType|StoreError": say(
            zh="还没有选中图片（chosen 是 None）就提问，出错了：先看 chosen，没有就在 note 里写一句提醒。",
            en="A question before a picture is chosen (chosen is None) raised an error: look at chosen first, and "
            "where there is none put a reminder into note.",
        )
    }


def unknown_hints() -> dict[str, str]:
    return {
        r"StoreError|KeyError": say(
            zh="点了不存在的图，应用就停了：except CourseError as error，note 写 str(error)。",
            en="A picture that is not there stopped the application: except CourseError as error, note is str(error).",
        )
    }


def state(session: Any) -> str:
    """Which attribute or method a session lacks."""
    if missing := [name for name in ATTRIBUTES if not hasattr(session, name)]:
        return say(
            zh=f"会话缺少属性 {'、'.join(missing)}：请在 __init__ 里写 self.{missing[0]} = ……。",
            en=f"The session has no {', '.join(missing)}: write self.{missing[0]} = ... in __init__.",
        )
    if missing := [name for name in METHODS if not callable(getattr(session, name, None))]:
        return say(
            zh=f"会话缺少方法 {'、'.join(missing)}。",
            en=f"The session lacks the method {', '.join(missing)}.",
        )
    return ""


def beginning(session: Any, pictures: Mapping[str, Any]) -> str:
    """What is wrong with a session that was just opened."""
    results = list(session.results)
    if not results:
        return say(
            zh="刚打开时什么图也没有：在 __init__ 的最后调用 self.search()。",
            en="There is nothing to be seen at first: call self.search() at the end of __init__.",
        )
    try:
        right = all(name in pictures and score is None for name, score in results)
    except (TypeError, ValueError):
        right = False
    if not right:
        return say(
            zh="刚打开时，results 应是 [(编号, None), ...]：没有搜索，就没有分数。",
            en="At first results should be [(id, None), ...]: nothing was searched for, so there are no scores.",
        )
    if session.chosen is not None or session.note or any(session.turns.values()):
        return say(
            zh="刚打开时，chosen 应是 None，note 是空字符串，turns 是空的。",
            en="At first chosen should be None, note an empty string, and turns empty.",
        )
    return ""


def searched(session: Any, first: str) -> str:
    """What is wrong after a search by words."""
    results = list(session.results)
    if not results or results[0][0] != first:
        return say(
            zh="搜索之后 results 不是找到的图：self.results = find(self.engine, words, picture)。",
            en="After a search results are not what was found: self.results = find(self.engine, words, picture).",
        )
    if results[0][1] is None:
        return say(zh="搜索得到的图应带着分数。", en="What was searched for should come with scores.")
    if session.chosen is not None:
        return say(
            zh="搜索之后，还选着上一次的图，它可能已经不在画面上了：请把 chosen 设为 None。",
            en="After a search the old picture is still chosen, and it may not be shown any more: set chosen to None.",
        )
    return ""


def sent(found: Sequence[Any], pictures: Sequence[Image.Image]) -> str:
    """Why the pictures that the chat was asked about are not the chosen ones."""
    if len(found) != len(pictures):
        return say(
            zh=f"问了 {len(pictures)} 次，对话收到 {len(found)} 次。",
            en=f"{len(pictures)} questions were asked and the chat received {len(found)}.",
        )
    if any(isinstance(one, Image.Image) and one.size != wanted.size for one, wanted in zip(found, pictures)):
        return say(
            zh="送去的是缩略图，细节都丢了：请用 self.pictures[self.chosen]。",
            en="A thumbnail was sent, without the details: use self.pictures[self.chosen].",
        )
    if same(found[0], pictures[0]) and same(found[1], pictures[0]):
        return say(
            zh="换了一张图，问的还是上一张：每次提问都要看 self.chosen。",
            en="Another picture was chosen, and the last one was asked: look at self.chosen for each question.",
        )
    return say(
        zh="问的不是选中的那张：请用 self.pictures[self.chosen]。",
        en="It was not the chosen picture that was asked: use self.pictures[self.chosen].",
    )


def turns(found: Any, wanted: Mapping[str, list[tuple[str, str]]]) -> str:
    """What is wrong with what was kept of questions and replies."""
    try:
        got = {
            name: [(question, reply["text"]) for question, reply in rows]
            for name, rows in found.items()
            if rows
        }
    except (AttributeError, TypeError, ValueError, KeyError):
        return say(
            zh="turns 应是 {编号: [(问题, 回答), ...]}，回答是第 3 步的字典。",
            en="turns should be {id: [(question, reply), ...]}, a reply being the dictionary of step 3.",
        )
    if got == wanted:
        return ""
    if len(got) == 1:
        return say(
            zh="所有的问答都记在了一张图名下：键是提问时选中的编号。",
            en="All questions are kept under one picture: the key is the id that was chosen when it was asked.",
        )
    if {name: rows[::-1] for name, rows in got.items()} == dict(wanted):
        return say(
            zh="问答的顺序反了：新的排在后面（append）。",
            en="The order is reversed: the newest comes last, append.",
        )
    if any(len(got.get(name, ())) < len(rows) for name, rows in wanted.items()):
        return say(
            zh="前面的问答不见了：每张图要留下所有的问答，用 append，不要覆盖。",
            en="Earlier questions are lost: keep all of a picture's, append and do not overwrite.",
        )
    return say(zh="问答没有记对。", en="Questions and replies were not kept as they came.")


def added(session: Any, engine: Any, before: int, refused: Any, calls: Sequence[int]) -> str:
    """What is wrong after an upload of one good and one bad file."""
    if len(engine) != before + 1:
        return say(
            zh="上传的图没有进图库：请调用第 1 步的 add(self.engine, files, progress)。",
            en="The upload is not in the engine: call add(self.engine, files, progress) of step 1.",
        )
    names = [one[0] for one in refused] if isinstance(refused, (list, tuple)) else None
    if names != ["bad.png"]:
        return say(
            zh="add 应返回没收下的 [(文件名, 原因)]，界面要显示它们。",
            en="add should return the refused, [(name, why)], which the app shows.",
        )
    if not calls or calls[-1] != 2:
        return say(
            zh="进度没有传下去：add(self.engine, files, progress)。",
            en="Progress was not handed on: add(self.engine, files, progress).",
        )
    results = list(session.results)
    if len(results) != 1 or results[0][0] not in engine or results[0][1] is not None:
        return say(
            zh="上传之后应显示新来的图：self.results = [(编号, None), ...]。",
            en="After an upload the new pictures should be shown: self.results = [(id, None), ...].",
        )
    return ""
