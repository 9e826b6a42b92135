"""The words of Little World in Chinese and English: one entry a thing, used by captions, questions and labels."""

from __future__ import annotations

LANGUAGES = ("zh", "en")

# kind: (Chinese, Chinese measure word, English, English plural)
KIND = {
    "cat": ("猫", "只", "cat", "cats"),
    "dog": ("狗", "只", "dog", "dogs"),
    "rabbit": ("兔子", "只", "rabbit", "rabbits"),
    "bird": ("小鸟", "只", "bird", "birds"),
    "fish": ("鱼", "条", "fish", "fish"),
    "duck": ("鸭子", "只", "duck", "ducks"),
    "butterfly": ("蝴蝶", "只", "butterfly", "butterflies"),
    "turtle": ("乌龟", "只", "turtle", "turtles"),
    "car": ("汽车", "辆", "car", "cars"),
    "bus": ("公交车", "辆", "bus", "buses"),
    "airplane": ("飞机", "架", "airplane", "airplanes"),
    "sailboat": ("帆船", "艘", "sailboat", "sailboats"),
    "train": ("火车", "列", "train", "trains"),
    "rocket": ("火箭", "枚", "rocket", "rockets"),
    "balloon": ("热气球", "个", "hot-air balloon", "hot-air balloons"),
    "tree": ("树", "棵", "tree", "trees"),
    "flower": ("花", "朵", "flower", "flowers"),
    "mushroom": ("蘑菇", "个", "mushroom", "mushrooms"),
    "cactus": ("仙人掌", "棵", "cactus", "cacti"),
    "house": ("房子", "座", "house", "houses"),
    "umbrella": ("雨伞", "把", "umbrella", "umbrellas"),
    "ball": ("皮球", "个", "ball", "balls"),
    "cup": ("杯子", "个", "cup", "cups"),
    "clock": ("闹钟", "个", "alarm clock", "alarm clocks"),
}

COLOR = {
    "zh": {"red": "红色", "orange": "橙色", "yellow": "黄色", "green": "绿色", "blue": "蓝色", "purple": "紫色",
           "white": "白色", "black": "黑色"},
    "en": {c: c for c in ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")},
}  # fmt: skip

COUNT = {
    "zh": {1: "一", 2: "两", 3: "三", 4: "四"},
    "en": {1: "one", 2: "two", 3: "three", 4: "four"},
}

BACKGROUND = {  # as a place where something is
    "zh": {"meadow": "草地上", "beach": "海滩上", "city": "城市里", "snow": "雪地里", "desert": "沙漠里",
           "forest": "森林里", "room": "房间里"},
    "en": {"meadow": "in a meadow", "beach": "on the beach", "city": "in the city", "snow": "in the snow",
           "desert": "in the desert", "forest": "in the forest", "room": "in a room"},
}  # fmt: skip

BACKGROUND_NOUN = {  # as an answer or a label
    "zh": {"meadow": "草地", "beach": "海滩", "city": "城市", "snow": "雪地", "desert": "沙漠", "forest": "森林",
           "room": "房间"},
    "en": {"meadow": "meadow", "beach": "beach", "city": "city", "snow": "snow", "desert": "desert",
           "forest": "forest", "room": "room"},
}  # fmt: skip

TIME = {
    "zh": {"day": "白天", "dusk": "黄昏", "night": "夜晚"},
    "en": {"day": "by day", "dusk": "at dusk", "night": "at night"},
}

TIME_NOUN = {"zh": TIME["zh"], "en": {"day": "day", "dusk": "dusk", "night": "night"}}

PLACE = {
    "zh": {"left": "左边", "right": "右边", "top": "上方", "bottom": "下方", "center": "中间"},
    "en": {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom",
           "center": "in the middle"},
}  # fmt: skip

SIZE = {"zh": {"small": "小", "large": "大"}, "en": {"small": "small", "large": "big"}}


def kind_name(kind: str, lang: str, count: int = 1) -> str:
    """猫, or cat / cats."""
    zh, _, one, many = KIND[kind]
    return zh if lang == "zh" else one if count == 1 else many


def article(phrase: str) -> str:
    """`a` or `an` before an English phrase."""
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def group_phrase(
    kind: str, color: str | None, count: int, lang: str, *, size: str | None = None, digit: bool = True
) -> str:
    """一只红色的猫 / a red cat, 两辆汽车 / two cars.

    With `digit=False` a single thing is named without its number, shorter: 红色猫 / the red cat.
    """
    name = kind_name(kind, lang, count)
    if lang == "zh":
        adjective = (COLOR["zh"][color] + ("的" if digit else "") if color else "") + (
            SIZE["zh"][size] if size else ""
        )
        return (COUNT["zh"][count] + KIND[kind][1] if digit or count > 1 else "") + adjective + name
    phrase = " ".join(w for w in (SIZE["en"][size] if size else "", color or "", name) if w)
    if count > 1:
        return f"{COUNT['en'][count]} {phrase}"
    return article(phrase) if digit else f"the {phrase}"
