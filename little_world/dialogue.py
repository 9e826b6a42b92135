"""What one can ask about Little World's pictures, and the true answers: the language of mini-vlm.

Each function gives `Turn`s for one picture (or several) in one language; the answers follow from the ground truth.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np

from . import words
from .captions import FULL, Plan, caption, questions
from .charts import Chart
from .documents import Document
from .scenes import ANIMALS, KINDS, PLANTS, VEHICLES, Scene

FLYING = ("bird", "butterfly", "airplane", "rocket", "balloon")


@dataclass(frozen=True)
class Turn:
    """A question with its true answer. `sort` groups questions in the measured table."""

    sort: str
    question: str
    answer: str


def pick(rng: np.random.Generator, options):
    return options[int(rng.integers(len(options)))]


UNKNOWN = {"zh": "不知道", "en": "I don't know"}
YES, NO = {"zh": "是", "en": "yes"}, {"zh": "否", "en": "no"}
NO_TEXT = {"zh": "图中没有文字", "en": "There is no text in the picture"}

# Several wordings of one request: the first is what `course_lib.gpt4v` sends.
DESCRIBE = {
    "zh": ("请详细描述这张图片的内容", "请描述这张图片", "描述一下图片", "图片里画了什么？", "这张图片是什么内容？", "请用一句话描述图片"),
    "en": ("Please describe this picture in detail", "Describe this picture.", "Describe the image in one sentence.", "What does the picture show?",
           "What can you see in this image?", "Give a description of the picture"),
}  # fmt: skip
READ = {
    "zh": ("请提取图片中所有的文字，保持原有的换行", "图中写了什么？", "请读出图片里的文字", "牌子上写着什么？", "提取文字"),
    "en": ("Please extract all the text in the picture and keep its line breaks", "What is written there?", "Read the text in the picture.",
           "What does the sign say?", "Extract the text"),
}  # fmt: skip
CHART = {
    "zh": ("请分析这张图表，以 JSON 格式返回 title、type、trend、key_insights 和 data_summary", "请把图表的内容整理成 JSON", "分析图表，返回 JSON"),
    "en": ("Please analyse this chart and return JSON with title, type, trend, key_insights and data_summary", "Turn the chart into JSON.",
           "Analyse the chart, answer in JSON"),
}  # fmt: skip
STORY = {
    "zh": ("请根据这些图片讲一个小故事", "用这些图片讲个故事", "看图讲故事"),
    "en": (
        "Please tell a short story about these pictures",
        "Tell a story about the pictures.",
        "Make up a story from these pictures",
    ),
}
COMPARE = {
    "zh": ("请比较这两张图片，指出相同和不同", "比较两张图片", "这两张图有什么不同？"),
    "en": (
        "Please compare these two pictures: what is the same, what differs?",
        "Compare the two pictures.",
        "What differs between the two pictures?",
    ),
}

TYPE_NAME = {
    "zh": {"bar": "柱状图", "line": "折线图", "pie": "饼图"},
    "en": {"bar": "bar chart", "line": "line chart", "pie": "pie chart"},
}
TREND_NAME = {
    "zh": {"rising": "上升", "falling": "下降", "flat": "持平", "fluctuating": "波动", "": "无"},
    "en": {
        "rising": "rising",
        "falling": "falling",
        "flat": "flat",
        "fluctuating": "fluctuating",
        "": "none",
    },
}

# What Little World knows nothing of. The wordings of UNSEEN are kept from training, to test the "I don't know".
OUTSIDE = {
    "zh": ("法国的首都是哪里？", "{a}叫什么名字？", "今天星期几？", "谁画了这张图？", "{a}几岁了？", "明天会下雨吗？", "这张图是哪一年画的？", "汽车是什么牌子的？", "{a}多少钱？", "{a}重多少公斤？", "水的沸点是多少？",
           "谁写了《红楼梦》？", "图中有长颈鹿吗？", "图中有手机吗？", "图中有几个人？", "图中有电脑吗？", "画家喜欢什么音乐？", "{a}在想什么？", "地球离月亮多远？", "一加一等于几？", "图中有大象吗？", "图中有桌子吗？", "现在几点几分？",
           "这里叫什么名字？", "你是谁？", "{a}从哪里来？", "图中有自行车吗？", "图中有面条吗？", "图中有钢琴吗？", "图中有老虎吗？", "{a}是谁做的？", "谁给{a}上的颜色？", "{a}为什么在这里？",
           "{a}是什么时候做的？", "谁住在隔壁？", "{a}会唱歌吗？", "谁最喜欢{a}？", "{a}昨天在哪里？"),
    "en": ("What is the capital of France?", "What is the name of the {a}?", "What day is it today?", "Who drew this picture?",
           "How old is the {a}?", "Will it rain tomorrow?", "In which year was this drawn?", "What brand is the car?", "How much does the {a} cost?",
           "How heavy is the {a}?", "At what temperature does water boil?", "Who wrote Hamlet?", "Is there a giraffe?", "Is there a phone?",
           "How many people are there?", "Is there a computer?", "What music does the artist like?", "What is the {a} thinking?",
           "How far away is the moon?", "What is one plus one?", "Is there an elephant?", "Is there a table?", "What is the exact time?",
           "What is this place called?", "Who are you?", "Where does the {a} come from?", "Is there a bicycle?", "Are there noodles?",
           "Is there a piano?", "Is there a tiger?", "Who made the {a}?", "Who painted the {a}?", "Why is the {a} here?",
           "When was the {a} made?", "Who lives next door?", "Can the {a} sing?", "Who likes the {a} best?", "Where was the {a} yesterday?"),
}  # fmt: skip
UNSEEN = {
    "zh": ("主人住在哪里？", "世界上最高的山是什么？", "谁拥有{a}？", "图中有香蕉吗？", "图中有飞碟吗？", "总统是谁？", "这张图值多少钱？", "图中有猴子吗？", "图中有船长吗？", "{a}喜欢吃什么？"),
    "en": ("Where does the owner live?", "What is the highest mountain?", "Who owns the {a}?", "Is there a banana?", "Is there a flying saucer?",
           "Who is the president?", "What is this picture worth?", "Is there a monkey?", "Is there a captain?", "What does the {a} like to eat?"),
}  # fmt: skip
# Things that the world has none of, beside those in UNSEEN: there are too many to be told one by one that they are unknown.
ELSEWHERE = {
    "zh": ("苹果", "飞船", "椅子", "狮子", "书", "鞋子", "电视", "卡车", "医生", "蛋糕", "狐狸", "冰箱", "铅笔", "企鹅", "吉他", "床", "帽子", "马", "沙发", "牛",
           "葡萄", "桥", "蜜蜂", "机器人", "灯", "蛇", "面包", "老师", "轮船", "袜子", "熊猫", "剪刀", "骆驼", "摩托车", "消防员", "鸡蛋", "盒子", "青蛙", "国王", "相机"),
    "en": ("apple", "spaceship", "chair", "lion", "book", "shoe", "television", "truck", "doctor", "cake", "fox", "fridge", "pencil", "penguin",
           "guitar", "bed", "hat", "horse", "sofa", "cow", "grape", "bridge", "bee", "robot", "lamp", "snake", "loaf", "teacher", "ship", "sock",
           "panda", "ladder", "camel", "motorbike", "firefighter", "egg", "box", "frog", "king", "camera"),
}  # fmt: skip


def in_order(scene: Scene) -> Scene:
    """The scene with its groups in the order in which they are to be named.

    That is the order of `KINDS`, unless the first is told to be left of or above the second: else luck would decide.
    """
    if scene.relation:
        return scene
    return replace(scene, things=tuple(sorted(scene.things, key=lambda t: KINDS.index(t.kind))))


def describe(scene: Scene, lang: str, plan: Plan = FULL) -> str:
    """The one description that counts as exactly right: everything a caption can tell, as a sentence."""
    text = caption(in_order(scene), lang, plan=plan)
    if lang == "zh":
        return text + "。"
    text = text.removeprefix("a picture of ")
    return text[0].upper() + text[1:] + "."


def scene_turns(scene: Scene, lang: str, rng: np.random.Generator) -> list[Turn]:
    """Questions about one scene: perception, place, order, a little reasoning, and what is not there."""
    zh = lang == "zh"
    turns = [Turn("describe", pick(rng, DESCRIBE[lang]), describe(scene, lang))]
    turns += [Turn(q.sort, q.text, q.answer) for q in questions(scene, lang, rng)]
    kinds = [t.kind for t in scene.things]
    asked: list[tuple[str, str, str]] = [
        ("图中一共有几样东西？", "How many things are there altogether?", str(len(kinds))),
        ("图中有几样东西会飞？", "How many of the things can fly?", str(sum(k in FLYING for k in kinds))),
    ]
    yes_no = [
        ("天黑了吗？", "Is it dark?", scene.time == "night"), ("我们在室内吗？", "Are we indoors?", scene.background == "room"),
        ("这里需要穿厚外套吗？", "Would you need a warm coat here?", scene.background == "snow"),
        ("图中有动物吗？", "Is there an animal?", any(k in ANIMALS for k in kinds)),
        ("图中有交通工具吗？", "Is there a vehicle?", any(k in VEHICLES for k in kinds)),
        ("图中有植物吗？", "Is there a plant?", any(k in PLANTS for k in kinds)),
    ]  # fmt: skip
    turns += [Turn("reason", z if zh else e, a) for z, e, a in asked]
    turns += [
        Turn("reason", z if zh else e, (YES if a else NO)[lang])
        for z, e, a in (yes_no[i] for i in rng.permutation(6)[:3])
    ]
    if scene.relation:
        first, second = (g.kind for g in scene.groups)
        swap = rng.random() < 0.5
        a, b = (words.kind_name(k, lang) for k in ((second, first) if swap else (first, second)))
        across = scene.relation == "left_of"
        text = (
            f"{a}在{b}的{'左边' if across else '上方'}吗？"
            if zh
            else f"Is the {a} {'to the left of' if across else 'above'} the {b}?"
        )
        turns.append(Turn("order", text, (NO if swap else YES)[lang]))
    missing = words.kind_name(pick(rng, [k for k in KINDS if k not in kinds]), lang)
    text = f"{missing}是什么颜色的？" if zh else f"What color is the {missing}?"
    turns.append(Turn("absent", text, f"图中没有{missing}" if zh else f"There is no {missing}"))
    turns.append(Turn("read", pick(rng, READ[lang]), NO_TEXT[lang]))
    turns.append(
        Turn(
            "kind of picture",
            "这是图画、图表还是牌子？" if zh else "Is this a scene, a chart or a sign?",
            "图画" if zh else "a scene",
        )
    )
    return turns


def outside_turns(
    lang: str, rng: np.random.Generator, *, test: bool = False, things: tuple[str, ...] = KINDS
) -> list[Turn]:
    """Questions that only an honest "I don't know" answers. `test`: wordings that training never shows."""
    if not test and rng.random() < 0.4:
        thing = pick(rng, ELSEWHERE[lang])
        return [
            Turn(
                "unknown",
                f"图中有{thing}吗？" if lang == "zh" else f"Is there {words.article(thing)}?",
                UNKNOWN[lang],
            )
        ]
    text = pick(rng, (UNSEEN if test else OUTSIDE)[lang]).replace(
        "{a}", words.kind_name(pick(rng, things or KINDS), lang)
    )
    return [Turn("unknown", text, UNKNOWN[lang])]


def document_turns(document: Document, lang: str, rng: np.random.Generator) -> list[Turn]:
    """Questions about a sign or a notice."""
    zh = lang == "zh"
    what = {"sign": ("一块牌子", "A sign"), "notice": ("一张通知", "A notice")}[document.style]
    said = document.text.replace("\n", " ")
    turns = [Turn("read", pick(rng, READ[lang]), document.text),
             Turn("describe document", pick(rng, DESCRIBE[lang]), f"{what[0]}，上面写着“{said}”。" if zh else f'{what[1]} that says "{said}".'),
             Turn("count", "图中有几行字？" if zh else "How many lines of text are there?", str(len(document.lines)))]  # fmt: skip
    line = int(rng.integers(len(document.lines)))
    ordinal = (("第一行", "第二行", "第三行") if zh else ("first", "second", "third"))[line]
    turns.append(
        Turn(
            "read",
            f"{ordinal}写的是什么？" if zh else f"What does the {ordinal} line say?",
            document.lines[line],
        )
    )
    kind = words.kind_name(pick(rng, KINDS), lang)
    turns.append(Turn("exists", f"图中有{kind}吗？" if zh else f"Is there {words.article(kind)}?", NO[lang]))
    turns.append(
        Turn(
            "kind of picture",
            "这是图画、图表还是牌子？" if zh else "Is this a scene, a chart or a sign?",
            "牌子" if zh else "a sign",
        )
    )
    return turns


def chart_record(chart: Chart, lang: str) -> dict:
    """The JSON that an analysis of the chart is to return, keys as in the chapter."""
    zh = lang == "zh"
    flat = chart.trend == "flat"
    insights = ([f"各项都是 {chart.values[0]}" if zh else f"all values are {chart.values[0]}"] if flat else
                [f"{chart.highest} 最高" if zh else f"{chart.highest} is the highest", f"{chart.lowest} 最低" if zh else f"{chart.lowest} is the lowest"])  # fmt: skip
    count = len(chart.values)
    if chart.type == "pie":
        summary = f"共 {count} 项" if zh else f"{count} shares"
    else:
        summary = (f"共 {count} 项，从 {min(chart.values)} 到 {max(chart.values)}" if zh else
                   f"{count} values from {min(chart.values)} to {max(chart.values)}")  # fmt: skip
    return {"title": chart.title, "type": TYPE_NAME[lang][chart.type], "trend": TREND_NAME[lang][chart.trend],
            "key_insights": insights, "data_summary": summary}  # fmt: skip


def chart_turns(chart: Chart, lang: str, rng: np.random.Generator) -> list[Turn]:
    """Questions about a chart."""
    zh = lang == "zh"
    kind = TYPE_NAME[lang][chart.type]
    trend = TREND_NAME[lang][chart.trend]
    turns = [Turn("chart json", pick(rng, CHART[lang]), json.dumps(chart_record(chart, lang), ensure_ascii=False)),
             Turn("chart", "这是什么类型的图表？" if zh else "What type of chart is this?", kind),
             Turn("chart", "图表的标题是什么？" if zh else "What is the title of the chart?", chart.title),
             Turn("chart", "图表有几项数据？" if zh else "How many values does the chart have?", str(len(chart.values))),
             Turn("kind of picture", "这是图画、图表还是牌子？" if zh else "Is this a scene, a chart or a sign?", "图表" if zh else "a chart")]  # fmt: skip
    if chart.trend:
        turns.append(Turn("chart", "数据的趋势是什么？" if zh else "What is the trend?", trend))
    if chart.trend != "flat":
        turns.append(Turn("chart", "哪一项最高？" if zh else "Which one is the highest?", chart.highest))
        turns.append(Turn("chart", "哪一项最低？" if zh else "Which one is the lowest?", chart.lowest))
    more = (f"，趋势是{trend}" if chart.trend else "") if zh else (f", {trend}" if chart.trend else "")
    text = f"一张标题为“{chart.title}”的{kind}{more}。" if zh else f'A {kind} titled "{chart.title}"{more}.'
    turns.append(Turn("describe chart", pick(rng, DESCRIBE[lang]), text))
    return turns


_BRIEF = Plan(place=False, size=False, relation=False, time=False)
_ORDINAL = {"zh": ("第一张", "第二张", "第三张"), "en": ("first", "second", "third")}


def several_turns(scenes: list[Scene], lang: str, rng: np.random.Generator) -> list[Turn]:
    """Questions about two or three scenes at once."""
    zh = lang == "zh"
    parts = [describe(s, lang, _BRIEF).rstrip("。.").removeprefix("图中有") for s in scenes]
    if zh:
        story = "".join(f"{link}{part}。" for link, part in zip(("先是", "接着是", "最后是"), parts))
    else:
        story = (
            " ".join(
                f"{link} {part[0].lower() + part[1:]}."
                for link, part in zip(("First came", "then came", "and last came"), parts)
            )
            .replace(". then", ", then")
            .replace(". and", ", and")
        )
    turns = [Turn("story", pick(rng, STORY[lang]), story)]
    which = int(rng.integers(len(scenes)))
    ordinal = _ORDINAL[lang][which]
    target = scenes[which]
    turns.append(
        Turn(
            "compare",
            f"描述{ordinal}图" if zh else f"Describe the {ordinal} picture.",
            describe(target, lang),
        )
    )
    place = words.BACKGROUND_NOUN[lang][target.background]
    turns.append(
        Turn("compare", f"{ordinal}图是什么地方？" if zh else f"What place is the {ordinal} picture?", place)
    )
    if len(scenes) != 2:
        return turns
    a, b = scenes
    same_place, same_time = a.background == b.background, a.time == b.time
    kinds = [{t.kind for t in s.things} for s in scenes]
    facts = [("两张图是同一个地方吗？", "Do both pictures show the same place?", same_place),
             ("两张图是同一个时间吗？", "Is it the same time of day in both?", same_time),
             ("两张图里有同一种东西吗？", "Is there something of the same kind in both?", bool(kinds[0] & kinds[1]))]  # fmt: skip
    turns += [Turn("compare", z if zh else e, (YES if t else NO)[lang]) for z, e, t in facts]
    counts = len(a.things), len(b.things)
    answer = 2 if counts[0] == counts[1] else int(counts[1] > counts[0])
    turns.append(Turn("compare", "哪一张图里的东西更多？" if zh else "Which picture has more things?",
                      (("第一张", "第二张", "一样多") if zh else ("the first", "the second", "equally many"))[answer]))  # fmt: skip
    kind = pick(rng, sorted(kinds[0] | kinds[1]) or list(KINDS))
    where = (
        2
        if kind in kinds[0] and kind in kinds[1]
        else 0
        if kind in kinds[0]
        else 1
        if kind in kinds[1]
        else 3
    )
    name = words.kind_name(kind, lang)
    turns.append(Turn("compare", f"哪一张图里有{name}？" if zh else f"Which picture has {words.article(name)}?",
                      (("第一张", "第二张", "两张都有", "都没有") if zh else ("the first", "the second", "both", "neither"))[where]))  # fmt: skip
    differences = [
        label
        for label, same in (
            (("地方", "place"), same_place),
            (("时间", "time"), same_time),
            (("东西", "things"), a.groups == b.groups),
        )
        if not same
    ]
    equal = [
        label
        for label, same in (
            (("地方", "place"), same_place),
            (("时间", "time"), same_time),
            (("东西", "things"), a.groups == b.groups),
        )
        if same
    ]
    if zh:
        text = f"相同：{'、'.join(x[0] for x in equal) or '无'}；不同：{'、'.join(x[0] for x in differences) or '无'}。"
    else:
        text = f"Same: {', '.join(x[1] for x in equal) or 'nothing'}; different: {', '.join(x[1] for x in differences) or 'nothing'}."
    turns.append(Turn("compare", pick(rng, COMPARE[lang]), text))
    return turns
