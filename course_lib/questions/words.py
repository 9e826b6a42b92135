"""The closed classes of words that questions are read by, and the two bits of grammar that nouns need: English
plurals and Chinese measure words.

General language only: what there is to see comes from candidates (`course_lib.questions.candidates`).
"""

from __future__ import annotations

import re

NUMBER_WORDS = {
    "zh": ("零", "一", "两", "三", "四", "五", "六", "七", "八", "九", "十"),
    "en": ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
}
_NUMBERS = {
    lang: {word: number for number, word in enumerate(words) if number}
    for lang, words in NUMBER_WORDS.items()
}
_NUMBERS["zh"]["二"] = 2

# What means the same as a value of the default candidates.
SYNONYMS = {
    "zh": {
        **dict.fromkeys(("左侧", "左面", "左方", "左"), "左边"),
        **dict.fromkeys(("右侧", "右面", "右方", "右"), "右边"),
        **dict.fromkeys(("上面", "上边", "上部", "顶部", "顶上"), "上方"),
        **dict.fromkeys(("下面", "下边", "下部", "底部"), "下方"),
        **dict.fromkeys(("中央", "正中", "正中间", "中心", "中部"), "中间"),
        **dict.fromkeys(("晚上", "夜里", "夜间", "黑夜", "深夜", "夜"), "夜晚"),
        **dict.fromkeys(("白日", "日间"), "白天"),
        **dict.fromkeys(("傍晚", "日落", "日落时分"), "黄昏"),
        **dict.fromkeys(("巨大", "很大", "庞大"), "大"),
        **dict.fromkeys(("很小", "微小", "小小"), "小"),
        "橘色": "橙色", "橘黄色": "橙色", "咖啡色": "棕色", "褐色": "棕色", "粉色": "粉红色",
    },
    "en": {
        **dict.fromkeys(("large", "huge", "giant"), "big"),
        **dict.fromkeys(("little", "tiny"), "small"),
        **dict.fromkeys(("nighttime", "night-time", "midnight"), "night"),
        **dict.fromkeys(("daytime", "daylight"), "day"),
        **dict.fromkeys(("evening", "twilight", "sunset"), "dusk"),
        **dict.fromkeys(("left", "left side", "left-hand side"), "on the left"),
        **dict.fromkeys(("right", "right side", "right-hand side"), "on the right"),
        **dict.fromkeys(("top", "upper part"), "at the top"),
        **dict.fromkeys(("bottom", "lower part"), "at the bottom"),
        **dict.fromkeys(("middle", "center", "centre"), "in the middle"),
        "grey": "gray", "violet": "purple",
    },
}  # fmt: skip

# Words that no noun phrase holds: a phrase with one of them was read wrongly, and is refused.
CLOSED = {
    "zh": re.compile(
        "什么|啥|谁|哪|几|多少|吗|呢|是|有|还是|或|和|跟|与|在|请|怎|会(?![议场])|我|你|他|她|它|这|那"
    ),
    "en": frozenset(
        "what which who whose where when why how is are was were be been do does did can could will would "
        "has have had show shows contain contains there it they you we i he she them and or but if to from "
        "color colour many much here say tell".split()
    ),
}

# Objects in general: "how many things?" adds up kinds, and "what thing is it?" asks for any of them.
ANYTHING = {
    "zh": ("东西", "物体", "物品", "事物", "对象"),
    "en": ("thing", "object", "item", "something", "anything"),
}

_IRREGULAR = {
    "people": "person", "men": "man", "women": "woman", "children": "child", "mice": "mouse", "geese": "goose",
    "feet": "foot", "teeth": "tooth", "oxen": "ox", "cacti": "cactus", "leaves": "leaf", "knives": "knife",
    "wolves": "wolf", "loaves": "loaf", "shelves": "shelf", "halves": "half", "buses": "bus", "tomatoes": "tomato",
    "potatoes": "potato", "heroes": "hero",
}  # fmt: skip
_PLURALS = {one: many for many, one in _IRREGULAR.items()}
_UNCHANGED = frozenset(
    "sheep fish deer aircraft series species scissors glasses trousers pants shorts".split()
)

# Measure word: the nouns it goes with, by their last characters. Any other noun takes 个.
_MEASURES = {
    "只": "猫 狗 犬 兔子 兔 鸟 鸭子 鸭 鸡 鹅 蝴蝶 龟 羊 虎 猴子 猴 熊 鼠 青蛙 蜜蜂 虫 狐狸 熊猫 手 耳朵 船 箱子",
    "条": "鱼 蛇 龙 河 路 街 裤子 裙子 毛巾 领带 围巾",
    "匹": "马 狼 骆驼", "头": "牛 象 猪 驴 狮子",
    "辆": "车 坦克 卡车", "架": "飞机 直升机 钢琴 梯子", "艘": "船 舰 帆船 游艇", "列": "火车 高铁 地铁",
    "枚": "火箭 导弹 硬币 邮票 戒指", "棵": "树 仙人掌 草 白菜", "朵": "花 云 玫瑰", "座": "房子 山 桥 塔 楼 城堡 岛",
    "把": "伞 刀 椅子 剪刀 钥匙 梳子 吉他 勺子", "张": "桌子 床 纸 图片 照片 地图 嘴 票 脸", "本": "书 杂志 词典",
    "个": "蘑菇 热气球 气球 球 杯子 钟 苹果 人 孩子 男人 女人",
    "顶": "帽子 帐篷", "支": "笔 铅笔 蜡烛", "台": "电脑 电视 手机 冰箱 机器", "盏": "灯", "双": "鞋 袜子 筷子",
    "颗": "星星 星 牙 珠子", "扇": "门 窗户", "件": "衣服 衬衫",
}  # fmt: skip
_MEASURE_OF = {noun: measure for measure, nouns in _MEASURES.items() for noun in nouns.split()}
MEASURE_WORDS = "".join(_MEASURES) + "位名群块杯瓶间栋幅串片根束株样种"

_MOST_DIGITS = 9  # of a number; Python refuses to read one of thousands


def number(word: str, lang: str) -> int | None:
    """The number that a word or digits say; None where it is no number."""
    if word.isascii() and word.isdigit() and len(word) <= _MOST_DIGITS:
        return int(word)
    return _NUMBERS[lang].get(word)


def number_word(count: int, lang: str) -> str:
    return NUMBER_WORDS[lang][count] if count < len(NUMBER_WORDS[lang]) else str(count)


def measure_word(noun: str) -> str:
    """The Chinese measure word of a noun: 只 for 猫, and 个 where the list does not know better."""
    endings = (noun[start:] for start in range(len(noun)))
    return next((_MEASURE_OF[ending] for ending in endings if ending in _MEASURE_OF), "个")


def singular(noun: str) -> str:
    """An English noun in the singular, by rule; a phrase by its last word."""
    first, _, last = noun.rpartition(" ")
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last in _UNCHANGED or len(last) < 4 or not last.endswith("s") or last.endswith(("ss", "us", "is")):
        pass
    elif last.endswith("ies") and len(last) > 4:
        last = last[:-3] + "y"
    elif last.endswith(("sses", "shes", "ches", "xes", "zes")):
        last = last[:-2]
    else:
        last = last[:-1]
    return f"{first} {last}" if first else last


def plural(noun: str) -> str:
    """An English noun in the plural, by rule; a phrase by its last word."""
    first, _, last = noun.rpartition(" ")
    if last in _PLURALS:
        last = _PLURALS[last]
    elif last in _UNCHANGED:
        pass
    elif last.endswith("y") and last[-2:-1] not in tuple("aeiou"):
        last = last[:-1] + "ies"
    elif last.endswith(("s", "sh", "ch", "x", "z")):
        last += "es"
    else:
        last += "s"
    return f"{first} {last}" if first else last


def article(phrase: str) -> str:
    """`a` or `an` before an English phrase, by its first letter."""
    return f"an {phrase}" if phrase[:1] in tuple("aeiou") else f"a {phrase}"
