"""What CLIP cannot know, each with its reason. A reason is found by the words of a question, before it is read."""

from __future__ import annotations

import re

REASONS: dict[str, dict[str, str]] = {
    "order": {
        "zh": "CLIP 只看图里有什么，分不清两样东西谁在谁的左边、上面、前面或旁边",
        "en": "CLIP sees what is there, not which of two things is left of, above, before or beside the other",
    },
    "comparison": {
        "zh": "CLIP 一次给一句话打分，不会在东西之间、图片之间作比较",
        "en": "CLIP scores one statement at a time and does not compare things or pictures with each other",
    },
    "sum": {
        "zh": "CLIP 不会计算，一次只能数一种东西",
        "en": "CLIP does no arithmetic, and counts one kind of thing at a time",
    },
    "name": {
        "zh": "名字和身份不在画面里，CLIP 无从知道",
        "en": "names and identities are not in the pixels, and CLIP does not know them",
    },
    "text": {
        "zh": "CLIP 不会读出图里的文字",
        "en": "CLIP does not read out what is written in a picture",
    },
    "cause": {
        "zh": "原因、想法和感受是画面之外的事",
        "en": "causes, thoughts and feelings lie outside the picture",
    },
    "measure": {
        "zh": "CLIP 不会测量年龄、价格、长短和轻重",
        "en": "CLIP measures no age, price, length or weight",
    },
    "moment": {
        "zh": "一张图只有一个瞬间，看不出日期、钟点和先后",
        "en": "a picture is one moment: it holds no date, no hour and nothing before or after",
    },
    "negation": {
        "zh": "CLIP 分不清“有”和“没有”，请从正面问（有没有……？）",
        "en": 'CLIP hardly hears "not", please ask the positive question (is there ...?)',
    },
    "candidates": {
        "zh": "CLIP 只会在候选答案里挑选，请用 candidates=[...] 给出可能的回答",
        "en": "CLIP can only choose among candidates, please pass the possible answers as candidates=[...]",
    },
    "unread": {
        "zh": "这个问法变不成可以打分的陈述，能用的问法见 course_lib.questions",
        "en": "this question cannot be turned into statements to score, see course_lib.questions for those that can",
    },
}

_WORDS = {
    "zh": {
        "order": "旁边|之间|前面|后面|背后|附近|对面|紧挨|挨着|左右|面对",
        "text": "写着|写了|写的|写有|文字|什么字|几个字|几行|读作|怎么读|念什么",
        "name": "名字|叫什么|叫啥|谁|姓什么|品牌|什么牌子|哪位|主人",
        "cause": "为什么|为何|怎么会|怎么样|怎样|如何|觉得|心情|感觉|感受|在想|想要|喜欢|打算|需要|应该|意思",
        "measure": "多大|多高|多重|多长|多宽|多远|多少钱|多久|多深|多贵|多快|几岁|几米|几公斤|价格|值多少",
        "moment": "几点|星期几|几号|几月|哪年|哪一年|哪天|明天|昨天|今天|之前|之后|以前|以后|接下来|后来|发生",
        "sum": r"加起来|加上|减去|乘以|除以|[一二两三四五六七八九十\d][加减乘+*/×÷-][一二两三四五六七八九十\d]",
        "comparison": "比(?!萨|基尼|赛|目鱼)|更|最|一样|相同|不同|区别|差别|哪个多|多还是少|两张图|第[一二三]张",
        "negation": "没(?!有)|没有|不(?!锈钢|倒翁)|无(?!人机)|别的|除了|只有|仅",
    },
    "en": {
        "order": r"(left|right) of|next to|beside|besides|between|behind|in front|front of|above|below|under|underneath|"
        r"beneath|over|near|nearest|closer|closest|on top of|beyond|facing|towards?",
        "text": r"writ(ten|ing|e)|words?|text|letters?|says?|said|reads?|spell(ed|s)?|caption",
        "name": r"names?|named|called|who|whose|whom|brand|owner|owns?",
        "cause": r"why|how come|because|feel(s|ing)?|think(s|ing)?|wants?|(?<!look )likes?|mood|need(ed)?|should|would|mean(s|ing)?",
        "measure": r"how (much|old|tall|heavy|long|far|big|large|high|wide|deep|fast|often|expensive|bright)|costs?|price|"
        r"worth|weighs?|weight|age",
        "moment": r"o'clock|what (day|year|month|date|hour|century)|which (day|year|month|date)|tomorrow|yesterday|today|"
        r"before|after|next|happen(s|ed|ing)?|will|going to|exact(ly)? time|when will",
        "sum": r"sum|plus|minus|times|divided|add(ed)?|subtract(ed)?|\d+ ?[-+*/] ?\d+",
        "comparison": r"than|more|fewer|most|least|larg(er|est)|bigg(er|est)|small(er|est)|same|differ(s|ent|ence)?|both|"
        r"compare[ds]?|first|second|other",
        "negation": r"not|no|without|never|none|neither|nothing|except|only|just",
    },
}  # fmt: skip
_PATTERNS = {
    "zh": {reason: re.compile(words) for reason, words in _WORDS["zh"].items()},
    "en": {reason: re.compile(rf"\b(?:{words})\b") for reason, words in _WORDS["en"].items()},
}


def reason_for(text: str, lang: str) -> str | None:
    """The name of the reason why CLIP cannot know, by the words of a question; None where none speaks against it."""
    return next((reason for reason, pattern in _PATTERNS[lang].items() if pattern.search(text)), None)
