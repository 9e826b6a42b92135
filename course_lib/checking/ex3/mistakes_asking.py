"""From a wrong way of asking or measuring to the likely mistake, in one sentence (see `mistakes_finding`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import RefusalError
from ...settings import say
from .bench import CHAT, CLIP

KEYS = ("text", "model", "sure", "note")


def other_failure() -> RefusalError:
    return RefusalError(
        say(zh="模型拒绝回答，请换一个问法。", en="The model declines, please ask in another way.")
    )


def ask_hints() -> dict[str, str]:
    return {
        r"ServiceError|RefusalError": say(
            zh="对话出错时（连不上、拒绝回答……）函数也跟着出错了：请 except CourseError，改由 CLIP 回答，use_gpt4v=False。",
            en="Where the chat fails (out of reach, declining ...) the function fails with it: except CourseError, "
            "and let CLIP answer, use_gpt4v=False.",
        ),
        r"has no attribute 'endpoint'|has no attribute 'model'|no attribute 'name'": say(
            zh="对话模型的名字是 vqa.client.endpoint.model，CLIP 的名字是 vqa.clip_service.name。",
            en="The chat's name is vqa.client.endpoint.model, CLIP's is vqa.clip_service.name.",
        ),
    }


def reply(found: Any) -> str:
    """Why what was returned is no reply."""
    if not isinstance(found, Mapping):
        return say(
            zh=f"返回的是 {type(found).__name__}，应为字典，有 text、model、sure、note 四项。",
            en=f"A {type(found).__name__} is returned, it should be a dictionary with text, model, sure and note.",
        )
    if missing := [key for key in KEYS if key not in found]:
        return say(
            zh=f"字典里缺少 {'、'.join(missing)}。",
            en=f"The dictionary lacks {', '.join(missing)}.",
        )
    return ""


def reached(asked: Sequence[tuple[Any, str, bool]], question: str) -> str:
    """Why the chat was not asked once, with the picture and the question as they are."""
    chat = [one for one in asked if one[2]]
    if not chat:
        return say(
            zh="没有问看图对话：vqa.answer(picture, question) 先问它，CLIP 是后备。",
            en="The chat was not asked: vqa.answer(picture, question) asks it first, CLIP is for when it fails.",
        )
    if len(asked) > 1:
        return say(
            zh="对话已经答了，又问了一次：每问一次都要花时间和钱，后备只在出错时用。",
            en="The chat had answered, and something was asked again: each question costs time and money, the second "
            "way is for failures alone.",
        )
    if chat[0][1] != question:
        return say(
            zh=f"问题变成了 {chat[0][1]!r}：请原样送出。",
            en=f"The question became {chat[0][1]!r}: send it as it is.",
        )
    return say(
        zh="送到的图片不是原图：请原样送出，不要缩小，不要转成别的。",
        en="What arrived is not the picture: send it as it is, neither smaller nor converted.",
    )


def expected(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What is wrong with the reply to a question that the chat answered."""
    if found["model"] != wanted["model"]:
        return say(
            zh=f"model 是 {found['model']!r}，回答的是 {wanted['model']!r}：请用 vqa.client.endpoint.model。",
            en=f"model is {found['model']!r} where {wanted['model']!r} answered: use vqa.client.endpoint.model.",
        )
    if str(found["text"]) != wanted["text"]:
        return say(
            zh=f"text 是 {str(found['text'])[:40]!r}，应是回答原文。",
            en=f"text is {str(found['text'])[:40]!r}, it should be the answer itself.",
        )
    if found["sure"] is not None:
        return say(
            zh=f"sure 是 {found['sure']!r}：对话没有说自己有多大把握，应为 None，不要替它编一个。",
            en=f"sure is {found['sure']!r}: a chat does not say how sure it is, so None, make up nothing.",
        )
    return "" if found["note"] == "" else say(
        zh=f"note 是 {found['note']!r}，没有什么要说的时候应是空字符串。",
        en=f"note is {found['note']!r}, with nothing to say it should be an empty string.",
    )  # fmt: skip


def fallback(found: Mapping[str, Any], asked: Sequence[tuple[Any, str, bool]], sure: Any, error: str) -> str:
    """What is wrong with the reply where the chat failed."""
    if not any(not chat for _, _, chat in asked):
        return say(
            zh="对话出错之后没有问 CLIP：vqa.answer(picture, question, use_gpt4v=False)。",
            en="After the chat's failure CLIP was not asked: vqa.answer(picture, question, use_gpt4v=False).",
        )
    if found["model"] != CLIP:
        return say(
            zh=f"回答的是 CLIP，model 却写着 {found['model']!r}：谁答的就写谁，用 vqa.clip_service.name。",
            en=f"CLIP answered, and model says {found['model']!r}: name who answered, vqa.clip_service.name.",
        ) if found["model"] == CHAT else say(
            zh=f"model 是 {found['model']!r}，应为 vqa.clip_service.name。",
            en=f"model is {found['model']!r}, it should be vqa.clip_service.name.",
        )  # fmt: skip
    if str(found["text"]) != str(sure):
        return say(zh="text 应是 CLIP 的回答。", en="text should be CLIP's answer.")
    if found["sure"] != sure.confidence:
        return say(
            zh=f"sure 是 {found['sure']!r}，CLIP 说的是 {sure.confidence}：请用 answer.confidence。",
            en=f"sure is {found['sure']!r} where CLIP said {sure.confidence}: use answer.confidence.",
        )
    return "" if error in str(found["note"]) else say(
        zh="对话为什么没有回答，用户看不到：请把 str(error) 放进 note。",
        en="Users cannot see why the chat did not answer: put str(error) into the note.",
    )  # fmt: skip


def swallowed(error: BaseException | None) -> str:
    """Why a bug did not come to light."""
    if isinstance(error, ZeroDivisionError):
        return ""
    return say(
        zh="except Exception 把程序自己的错误（ZeroDivisionError）也当成了服务出错：请只 except CourseError。",
        en="except Exception takes an error of the program itself (ZeroDivisionError) for the service's: except "
        "CourseError alone.",
    )


# ------------------------------------------------------------------------------------------------- measuring

PLAIN = [
    ("Red", "red", True), ("red.", "red", True), (" 红色。", "红色", True), ("a cat", "cat", True),
    ("The cat!", "cat", True), ("An ant", "ant", True), ("是！", "是", True),
    ("hot-air  balloon", "hot-air balloon", True),
    ("ant", "t", False), ("theatre", "atre", False), ("cat", "dog", False), ("3", "3.5", False), ("a", "", False),
    ("red car", "redcar", False), ("no", "not sure", False), ("3.5", "35", False), ("plan a", "plan", False),
]  # fmt: skip

ANSWERS = [
    (["yes", "no", "red", "3"], ["yes", "yes", "red", "2"], 0.5),
    (["Yes.", "a cat", "红色。"], ["yes", "cat", "红色"], 1.0),
    (["yes", None, "red", None], ["yes", "no", "red", "blue"], 0.5),
]

RANKINGS = [
    (["abcd", "bcda", "cdab", "dabc"], [{"a"}, {"a"}, {"a"}, {"a"}], 1, 0.25),
    (["abcd", "bacd", "cdba"], [{"a"}, {"a"}, {"a"}], 3, 2 / 3),
    (["abcd", "abcd"], [{"a", "b", "d"}, {"c", "d"}], 2, 0.5),
    (["", "abcd"], [{"a"}, {"a"}], 5, 0.5),
]


def plain(one: str, other: str, first: Any, second: Any, alike: bool) -> str:
    """Why two texts are not made the same, or are."""
    if not isinstance(first, str) or not isinstance(second, str):
        return say(
            zh=f"plain 返回的是 {type(first).__name__}，应为字符串。",
            en=f"plain returns a {type(first).__name__}, it should be a string.",
        )
    if (first == second) == alike:
        return ""
    if alike:
        return say(
            zh=f"{one!r} 和 {other!r} 是同一个答案，却成了 {first!r} 和 {second!r}：大小写、首尾空格、句末标点、"
            "英文冠词都不算。",
            en=f"{one!r} and {other!r} are the same answer, and became {first!r} and {second!r}: case, blanks, the "
            "final stop and English articles do not count.",
        )
    return say(
        zh=f"{one!r} 和 {other!r} 不是同一个答案，却都成了 {first!r}：冠词是开头单独的一个词，只去句末的标点。",
        en=f"{one!r} and {other!r} are different answers, and both became {first!r}: an article is a word of "
        "its own, at the beginning, and only the final stop goes.",
    )


def accuracy_hints() -> dict[str, str]:
    return {
        r"NoneType": say(
            zh="没有回答是 None：它算错，不要交给 plain。",
            en="No answer is None: it counts as wrong, do not hand it to plain.",
        )
    }


def accuracy(found: np.ndarray, answers: Sequence[Any], truths: Sequence[str], wanted: float) -> str:
    """Why the accuracy is not `wanted`."""
    if found.size != 1:
        return say(zh="请返回一个数。", en="Return one number.")
    value = found.item()
    if abs(value - wanted) < 1e-6:
        return ""
    given = [answer for answer in answers if answer is not None]
    if len(given) < len(answers) and abs(value - wanted * len(answers) / len(given)) < 1e-6:
        return say(
            zh="没有回答的（None）没有算进分母：那样只答有把握的题就是满分，没有回答应算错。",
            en="Those without an answer (None) are left out of the count: who answers only the easy ones would be "
            "perfect, no answer counts as wrong.",
        )
    if wanted == 1.0:
        return say(
            zh="比较之前两边都要过一遍 plain：“Yes.”和“yes”是同一个答案。",
            en='Let both sides go through plain before you compare: "Yes." and "yes" are the same answer.',
        )
    return say(
        zh=f"正确率应为 {wanted:g}，算出来是 {value:g}：答对的个数除以全部个数。",
        en=f"The accuracy should be {wanted:g}, not {value:g}: the number of right ones divided by all.",
    )


def recall(
    found: np.ndarray, rankings: Sequence[Sequence[str]], relevant: Sequence[set], k: int, wanted: float
) -> str:
    """Why R@k is not `wanted`."""
    if found.size != 1:
        return say(zh="请返回一个数。", en="Return one number.")
    value = found.item()
    if abs(value - wanted) < 1e-6:
        return ""
    pairs = [(list(r), set(right)) for r, right in zip(rankings, relevant)]

    def is_mean(each: Any, part: Any = lambda ranking: ranking[:k]) -> bool:
        return abs(value - np.mean([each(part(ranking), right) for ranking, right in pairs])) < 1e-6

    if is_mean(lambda first, right: bool(set(first) & right), lambda ranking: ranking):
        return say(
            zh="看了整个列表：只看前 k 名，ranking[:k]。",
            en="The whole list was looked at: only the first k, ranking[:k].",
        )
    if is_mean(lambda first, right: len(set(first) & right) / len(right)):
        return say(
            zh="这是找回了几成对的图；这里的 R@k 问的是：前 k 名里有没有一张对的，有就算 1。",
            en="This is the share of right pictures that were found; R@k here asks whether one of them is among the "
            "first k, which counts as 1.",
        )
    if is_mean(lambda first, right: len(set(first) & right) / k):
        return say(
            zh="这是前 k 名里对的比例（查准率）；R@k 问的是有没有，有就算 1。",
            en="This is the share of right ones among the first k, precision; R@k asks whether there is one.",
        )
    if is_mean(lambda first, right: bool(set(first) & right), lambda ranking: ranking[:1]):
        return say(
            zh="只看了第一名：请看前 k 名。", en="Only the first place was looked at: look at the first k."
        )
    return say(
        zh=f"R@{k} 应为 {wanted:g}，算出来是 {value:g}：对每个查询看 set(ranking[:k]) & right 是否非空，再求平均。",
        en=f"R@{k} should be {wanted:g}, not {value:g}: for each query see whether set(ranking[:k]) & right holds "
        "something, then take the mean.",
    )


# ---------------------------------------------------------------------------------------------- asking them all


def not_a_picture() -> str:
    return say(
        zh="answer 收到的是编号，不是图片：请把 pictures[编号] 交给它。",
        en="answer got an id where it wants the picture: hand it pictures[id].",
    )


def all_hints() -> dict[str, str]:
    return {
        r"ImageError": not_a_picture(),
        r"ServiceError": say(
            zh="一张图失败，全部都停了：每张图的错误各归各的，course_lib 的 batch 会替你收好（outcome.ok、outcome.error）。",
            en="One picture failed and stopped all: keep each one's error to itself, course_lib's batch does "
            "(outcome.ok, outcome.error).",
        ),
    }


def three(found: Any) -> str:
    if isinstance(found, (tuple, list)) and len(found) == 3:
        replies, counts, failed = found
        if isinstance(replies, Mapping) and isinstance(failed, Mapping) and not isinstance(counts, Mapping):
            return ""
    return say(
        zh="请返回三样：回答 {编号: 回答}，计数 [(答案, 次数), ...]（Counter.most_common()），失败 {编号: 原因}。",
        en="Return three things: replies {id: reply}, counts [(answer, times), ...] (Counter.most_common()), and "
        "failures {id: why}.",
    )


def replies(found: Mapping[str, Any], pictures: Mapping[str, str], said: Mapping[str, str],
            asked: Sequence[tuple[str, str]], question: str) -> str:  # fmt: skip
    """What is wrong with the replies."""
    if any(picture not in pictures.values() for picture, _ in asked):
        return not_a_picture()
    if len(asked) != len(said) + 1 or len({picture for picture, _ in asked}) != len(asked):
        return say(
            zh=f"{len(said) + 1} 张图问了 {len(asked)} 次：每张问一次。",
            en=f"{len(said) + 1} pictures were asked {len(asked)} times: ask each once.",
        )
    if any(one != question for _, one in asked):
        return say(zh="问题没有原样送出。", en="The question was not sent as it is.")
    if missing := [name for name in said if name not in found]:
        return say(
            zh=f"回答里没有 {missing[0]}：键是 pictures 的编号。",
            en=f"There is no reply of {missing[0]}: the keys are those of pictures.",
        )
    for name, text in said.items():
        got = (
            found[name]["text"] if isinstance(found[name], Mapping) and "text" in found[name] else found[name]
        )
        if got != text:
            return say(
                zh=f"{name} 的回答成了 {str(got)[:30]!r}，应是 answer 返回的那一份，属于它自己的图。",
                en=f"The reply of {name} became {str(got)[:30]!r}, it should be what answer returned for that picture.",
            )
        if not isinstance(found[name], Mapping):
            return say(
                zh="只留下了文字：请保留整个回答（字典），界面要显示是谁答的。",
                en="Only the text was kept: keep the whole reply, a dictionary, the app shows who gave it.",
            )
    return ""


def failures(failed: Mapping[str, Any], wanted: set[str], replies: Mapping[str, Any]) -> str:
    if set(failed) == wanted and all(isinstance(why, str) and len(why) > 5 for why in failed.values()):
        return "" if not wanted & set(replies) else say(
            zh="失败的图不应出现在回答里。", en="A picture that failed has no place among the replies."
        )  # fmt: skip
    if not failed:
        return say(
            zh="失败的那张没有出现：请放进第三样，{编号: str(error)}。",
            en="The one that failed is not to be seen: put it into the third, {id: str(error)}.",
        )
    return say(
        zh=f"失败应是 {{编号: 一句话}}，这里是 {str(dict(failed))[:60]}。",
        en=f"Failures should be {{id: a sentence}}, here is {str(dict(failed))[:60]}.",
    )


def counts(found: Any, wanted: list[tuple[str, int]]) -> str:
    """What is wrong with the counts."""
    try:
        got = [(str(text), int(times)) for text, times in found]
    except (TypeError, ValueError):
        return say(
            zh="计数应是 [(答案, 次数), ...]，用 Counter(...).most_common()。",
            en="Counts should be [(answer, times), ...], as Counter(...).most_common() gives them.",
        )
    if got == wanted:
        return ""
    if sorted(got) == sorted(wanted):
        return say(zh="次数多的应排在前面。", en="The most frequent answer comes first.")
    if len(got) > len(wanted):
        return say(
            zh=f"“Red”“red.”“a red”数成了 {len(got)} 种答案：数之前先用第 4 步的 plain。",
            en=f'"Red", "red." and "a red" were counted as different, {len(got)} answers in all: use plain of '
            "step 4 before you count.",
        )
    return say(
        zh=f"计数是 {got}，应为 {wanted}：只数有回答的。",
        en=f"The counts are {got}, they should be {wanted}: count those that were answered.",
    )


def overlap(most: int, wanted: int) -> str:
    """Why not just up to `wanted` were asked at once."""
    if most > wanted:
        return say(
            zh=f"同时问了 {most} 张，上限是 {wanted}：max_workers=at_once。",
            en=f"{most} were asked at once where {wanted} is the bound: max_workers=at_once.",
        )
    return say(
        zh=f"最多同时问了 {most} 张，可以有 {wanted} 张：用 batch(..., max_workers=at_once) 或 ThreadPoolExecutor。",
        en=f"At most {most} were asked at once where {wanted} may be: use batch(..., max_workers=at_once), or a "
        "ThreadPoolExecutor.",
    )
