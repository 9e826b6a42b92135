"""Chinese questions: how a noun phrase is read, and the forms that a question may have."""

from __future__ import annotations

import re

from .candidates import Candidates
from .phrases import Phrase
from .words import ANYTHING, CLOSED, MEASURE_WORDS, NUMBER_WORDS, number

MACROS = {
    "pic": "(这张|这幅|该|此|)(图片|图像|照片|画面|图|画)(的|)(里面|里边|当中|里|中|上|内|)",
    "pics": "(图片|图像|照片|图画|图|画|)(里面|里|中|上|)",
    "piece": "(张|幅|些|几张|几幅|一张|)",
    "has": "(有没有|是否有|有|能看到|能看见|看得到|看得见|可以看到|存在|画着|画了|包含)",
    "is": "(是不是|是否是|是)",
    "this": "(这里|这儿|这|它|那|现在|画面|图中|图里|此时|)",
    "m": "(多少|几)",
    "what": "(什么|啥|哪些|何)",
    "q": "(吗|呢|没有|不|)",
}

# Most special first: the first form that fits, and whose parts can be read, is the question's.
RULES = (
    # a collection of pictures
    ("which", "(找出|找到|找|给我|列出)(所有|全部|)(有|画着|包含|){np}的(图片|图像|照片|图画|图|画)"),
    ("which", "(哪|哪些|哪几)<piece><pics>(有|画着|画了|是|拍了|包含){np}"),
    ("how many pictures", "(有|)(多少|几)(张|幅)<pics>(里|中|上|)(有|画着|画了|是|包含){np}"),
    ("how many pictures", "(有|)(多少|几)(张|幅)(有|画着|){np}的<pics>"),
    ("which", "(哪|哪些|哪几)<piece><pics>(是|)在{loc}"),
    ("how many pictures", "(有|)(多少|几)(张|幅)<pics>(是|)在{loc}"),
    (
        "any picture",
        "(有没有|有|是否有)(哪|任何|)(一|)(张|幅|)(图片|图像|照片|图画|图|画)(里面|里|中|上|)(有|画着|画了|是|包含){np}<q>",
    ),
    ("any picture", "(有没有|是否有)(一张|)(画着|有|包含|){np}的(图片|图像|照片|图|画)<q>"),
    # one picture: which fact
    ("color", "<this>(是|)(什么|啥|哪种)颜色(的|)"),
    ("color", "{np}(是|有|的|)(什么|啥|哪种|哪一种|何种)(颜色|色)(的|)"),
    ("color", "{np}的颜色(是|)(什么|啥|哪种)"),
    ("color", "[<pic>](有|是)(什么|哪种)颜色的{np}"),
    ("number", "[<pic>][{loc}](有|能看到|能数出|)<m>{np}"),
    ("number", "{np}有<m>{unit}"),
    ("number", "{np}的(数量|个数|数目)(是|有|)(多少|几|)"),
    ("number", "(数一数|数数|数一下)(图中|图里|画面里|)(的|有多少|){np}"),
    ("place", "<this>(是|在|)(什么|哪个|哪种|啥)(地方|场景|场所|地点|背景)"),
    ("place", "(这里|这儿|这|我们|)(是|)(在|)(哪里|哪儿)"),
    ("place", "(背景|地点|场景)(是|)(什么|哪里|啥)(地方|)"),
    ("time", "<this>(是|)(什么|哪个|啥)(时候|时间|时段|时分)"),
    ("time", "(时间|时候)(是|)(什么|)"),
    ("position", "{np}在<pic>(的|)(什么|哪个|哪一|哪)(位置|地方|部分|边|里|儿|方向|侧)"),
    ("position", "{np}在(什么位置|什么地方|哪里|哪儿|哪边|哪一边|哪个位置)"),
    ("position", "{np}的位置(在|是)(哪里|哪儿|哪|什么)"),
    ("thing", "[<pic>](有|是|画的是|画着|画了|里有)<what>[{category}]"),
    ("thing", "[<pic>][{loc}](有|是|画的是|画着)<what>[{category}]"),
    ("thing", "<this>(是|画的是)<what>[{category}]"),
    ("attribute", "{np}是(什么|哪种|何种|啥){attribute}(的|)"),
    # yes or no, and which of several
    ("exists", "[<pic>]<has>{np}<q>"),
    ("exists", "[<pic>]{loc}<has>{np}<q>"),
    ("exists", "<this><is>在{loc}<q>"),
    ("exists", "{np}在<pic><q>"),
    ("exists", "<this><is>{np}<q>"),
    ("property", "{sentence}<q>"),
    ("candidates", "{anything}(什么|哪|啥){anything2}"),
    ("candidates", "{anything}(什么|哪|啥)"),
)

_FILLER = re.compile(
    "请问|请你|请根据图片回答问题|请回答|请|麻烦|告诉我|你能|能不能|可以|看看|一共|总共|合计|共有(?=[多几])|大概|目前|主要"
)
_ENDS = re.compile("[吧啊呀哦嘛]+$")
_COUNTED = re.compile(f"^([{''.join(NUMBER_WORDS['zh'])}二\\d]+)([{MEASURE_WORDS}])")
_POINTED = re.compile(f"^[这那该]([{MEASURE_WORDS}]|些|几[{MEASURE_WORDS}])?")
_IN_PICTURE = re.compile(
    "^(?:在|)(?:这张|这幅|该|)(?:图片|图像|照片|画面|图|画)(?:的|)(?:里面|里|中(?![间央部])|上(?![方面边部])|内|)(?:的|)"
)
_LOCATIVE = ("上面", "里面", "上", "里", "中", "边", "下", "内")


def normal(text: str) -> str:
    """The question without blanks, marks and politeness."""
    text = re.sub(r"[\s，。？！、：；,.?!:;“”\"'《》]", _mark, text)
    return _ENDS.sub("", _FILLER.sub("", text))


def _mark(match: re.Match) -> str:
    return "、" if match.group() == "、" else ""


def phrase(text: str, candidates: Candidates) -> Phrase | None:
    """A noun phrase with what stands before 的: 夜晚的海滩上的两只红色的猫. None where it cannot be read."""
    *modifiers, head = _POINTED.sub("", text).split("的") if text not in ("的", "") else [""]
    if not head and modifiers:  # 红色的: a fact without its noun
        modifiers, head = modifiers[:-1], modifiers[-1]
    facts: dict[str, str] = {}
    more: list[str] = []
    kept, measure = "", ""
    for piece in modifiers:
        piece, measure = _counted(piece, facts, measure)
        if not piece or _IN_PICTURE.sub("", piece) == "":
            continue
        found = _fact(piece, candidates)
        if found and found[0] not in facts:
            facts[found[0]] = found[1]
        elif piece.endswith(_LOCATIVE) and not kept:
            more.append(piece)
        else:
            kept += piece + "的"
    head, measure = _counted(head, facts, measure)
    while head and not candidates.find("thing", head):  # 红色猫, 大猫
        slot, rest = _prefix(head, candidates)
        if slot is None or slot[0] in facts:
            break
        facts[slot[0]], head = slot[1], rest
    if head and not kept and not candidates.find("thing", head) and (found := _fact(head, candidates)):
        if found[0] in facts:
            return None
        facts[found[0]], head = found[1], ""
    noun = kept + head
    if CLOSED["zh"].search(noun) or not (noun or facts or more):
        return None
    value = candidates.find("thing", noun)
    return Phrase("zh", value.answer if value else noun, tuple(facts.items()), tuple(more), measure)


def _counted(piece: str, facts: dict[str, str], measure: str) -> tuple[str, str]:
    """A piece without its 两只; 一只 says no number, only that there is one."""
    if not (match := _COUNTED.match(piece)):
        return piece, measure
    if (count := number(match[1], "zh")) is not None and count != 1:
        facts["number"] = str(count)
    return piece[match.end() :], match[2]


def _fact(piece: str, candidates: Candidates) -> tuple[str, str] | None:
    bare = _IN_PICTURE.sub("", piece) or piece
    for slot in ("color", "size", "position", "time", "place"):
        spellings = (bare, bare + "上", bare + "里", bare.rstrip("上里中"))
        for spelling in spellings if slot == "place" else (bare,):
            if spelling and (value := candidates.find(slot, spelling)):
                return slot, value.answer
    return None


def _prefix(head: str, candidates: Candidates) -> tuple[tuple[str, str] | None, str]:
    """A colour or size that a noun begins with. One character counts only before a known thing: 红绿灯 is no 绿灯."""
    for length in (3, 2, 1):
        start, rest = head[:length], head[length:]
        for slot in ("color", "size"):
            value = candidates.find(slot, start) if rest else None
            if value and (length > 1 or candidates.find("thing", rest)):
                return (slot, value.answer), rest
    return None, head


def location(text: str, candidates: Candidates) -> Phrase | None:
    """Where or when, and nothing else: 左边, 夜晚的海滩上. None where something is beside another thing: 狗的左边."""
    facts: dict[str, str] = {}
    more: list[str] = []
    for piece in filter(None, _IN_PICTURE.sub("", text).removeprefix("在").split("的")):
        found = _fact(piece, candidates)
        if found and found[0] in ("position", "time", "place") and found[0] not in facts:
            facts[found[0]] = found[1]
        elif piece.endswith(_LOCATIVE) and not CLOSED["zh"].search(piece) and not beside(text, candidates):
            more.append(piece)
        else:
            return None
    return Phrase("zh", facts=tuple(facts.items()), more=tuple(more))


def beside(text: str, candidates: Candidates) -> bool:
    """Whether a place is told by another thing: 狗的左边, 狗左边, but not 画面左边."""
    ends = [value.answer for value in candidates["position"]] + [
        "左侧",
        "右侧",
        "左面",
        "右面",
        "上面",
        "下面",
    ]
    text = text.removeprefix("是").removeprefix("在")
    before = next((text[: -len(end)] for end in ends if text.endswith(end)), "").removesuffix("的")
    return bool(_IN_PICTURE.sub("", before)) and _fact(before, candidates) is None


def predicate(text: str, candidates: Candidates) -> Phrase | None:
    """What can be said of a thing after 是 or 在: a colour, a size, a place, or another noun phrase."""
    text = text.removeprefix("是")
    return location(text, candidates) if text.startswith("在") else phrase(text, candidates)


def counted(text: str, unit: str = "") -> str | None:
    """What stands after 几, with its measure word, as a phrase: 只猫 is 一只猫. None for a unit that is none."""
    if unit:
        return f"一{unit}{text}" if unit in MEASURE_WORDS else None
    return f"一{text}" if len(text) > 1 and text[0] in MEASURE_WORDS else text


def options(text: str) -> list[str]:
    """The parts of 猫还是狗 and of 红色、黑色还是白色; one where there is nothing to choose."""
    if "还是" not in text and "或者" not in text:
        return [text]
    return [part for part in re.split("还是在|还是|或者|、", text) if part] or [text]


def parts(text: str) -> list[str]:
    """The parts of 猫和狗."""
    return [part for part in re.split("[和跟与、]|以及", text) if part] or [text]


def splits(sentence: str) -> list[tuple[str, str]]:
    """Where 猫是红色的 may come apart into subject and predicate."""
    found = []
    for word in ("是不是", "是否是", "是", "在不在", "在"):
        subject, verb, rest = sentence.partition(word)
        if subject and rest:
            found.append((subject, ("在" if "在" in verb else "是") + rest))
    return found


def is_anything(noun: str) -> bool:
    """Whether a noun means things in general."""
    return noun.endswith(ANYTHING["zh"])
