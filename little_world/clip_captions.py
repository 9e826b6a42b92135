"""What a clip's captions say, from one grammar in Chinese and in English, true by construction.

一辆红色的汽车从左向右开过城市 / a red car drives from left to right through the city
"""

from __future__ import annotations

from . import words
from .clips import Actor, Clip, Shot
from .scenes import ANIMALS, VEHICLES

_MOVES = ("移", "moves")  # what has neither legs nor wheels nor wings
_FLY = ("飞", "flies")
# How a kind moves: (Chinese verb, English verb, in its -s form).
_GOES = {
    **dict.fromkeys(ANIMALS, ("走", "walks")),
    **dict.fromkeys(VEHICLES, ("开", "drives")),
    **dict.fromkeys(("bird", "butterfly", "airplane", "rocket", "balloon"), _FLY),
    "rabbit": ("跳", "hops"),
    "turtle": ("爬", "crawls"),
    "fish": ("游", "swims"),
    "duck": ("游", "swims"),
    "sailboat": ("驶", "sails"),
    "ball": ("滚", "rolls"),
}

_THROUGH = {
    "meadow": "across a meadow",
    "beach": "along the beach",
    "city": "through the city",
    "snow": "through the snow",
    "desert": "through the desert",
    "forest": "through the forest",
    "room": "through a room",
}

MOTION = {  # as labels
    "zh": {
        "right": "从左向右",
        "left": "从右向左",
        "up": "从下向上",
        "down": "从上向下",
        "bounce": "上下弹跳",
        "circle": "绕圈",
        "enter": "进入画面",
        "leave": "离开画面",
        "still": "静止不动",
    },
    "en": {
        "right": "from left to right",
        "left": "from right to left",
        "up": "upwards",
        "down": "downwards",
        "bounce": "bouncing up and down",
        "circle": "going in a circle",
        "enter": "coming into the picture",
        "leave": "going out of the picture",
        "still": "standing still",
    },
}

EVENT = {
    "zh": {
        "stop": "突然停下",
        "turn": "突然掉头",
        "vanish": "突然消失",
        "appear": "突然出现",
        "color": "突然变成{}",
    },
    "en": {
        "stop": "suddenly stops",
        "turn": "suddenly turns back",
        "vanish": "suddenly vanishes",
        "appear": "suddenly appears",
        "color": "suddenly turns {}",
    },
}


def clip_caption(clip: Clip, lang: str) -> str:
    """One sentence about the clip in `lang` (zh or en), shot after shot."""
    return ("；接着，" if lang == "zh" else "; then ").join(shot_caption(shot, lang) for shot in clip.shots)


def shot_caption(shot: Shot, lang: str) -> str:
    """What happens in a shot, where, and at what time of day, in `lang`."""
    if not shot.actors:
        place, when = words.BACKGROUND[lang][shot.background], words.TIME[lang][shot.time]
        return f"{when}的{place}什么也没有" if lang == "zh" else f"nothing happens {place} {when}"
    tell = _zh if lang == "zh" else _en
    told = [tell(actor, shot, first=i == 0) for i, actor in enumerate(shot.actors)]
    return f"{words.TIME['zh'][shot.time]}，" + "，同时".join(told) if lang == "zh" else " while ".join(told)


def _verb(actor: Actor) -> tuple[str, str]:
    verb = _GOES.get(actor.kind, _MOVES)
    return _MOVES if actor.motion in ("up", "down") and verb != _FLY else verb  # nobody drives upwards


def _zh(actor: Actor, shot: Shot, *, first: bool) -> str:
    who = words.group_phrase(actor.kind, actor.color, 1, "zh")
    verb = _verb(actor)[0]
    whole = "移动" if verb == "移" else verb  # at a sentence's end it takes two syllables
    noun, place = words.BACKGROUND_NOUN["zh"][shot.background], words.BACKGROUND["zh"][shot.background]
    side = {"left": "左边", "right": "右边"}[actor.side]
    here = f"在{place}" if first else ""
    past = f"{verb}过{noun}" if first else f"{verb}过"
    said = {
        "right": f"从左向右{past}",
        "left": f"从右向左{past}",
        "up": f"{here}从下向上{whole}",
        "down": f"{here}从上向下{whole}",
        "bounce": f"{here}上下弹跳",
        "circle": f"{here}绕着圈{whole}",
        "enter": f"{here}从{side}{verb}进画面",
        "leave": f"{here}从{side}{verb}出画面",
        "still": f"{here}一动不动",
    }[actor.motion]
    return who + said + _event(actor, "zh", "，然后")


def _en(actor: Actor, shot: Shot, *, first: bool) -> str:
    who = words.group_phrase(actor.kind, actor.color, 1, "en")
    verb = _verb(actor)[1]
    through = f" {_THROUGH[shot.background]}" if first else ""
    place = f" {words.BACKGROUND['en'][shot.background]}" if first else ""
    when = f" {words.TIME['en'][shot.time]}" if first else ""
    said = {
        "right": f"{verb} from left to right{through}",
        "left": f"{verb} from right to left{through}",
        "up": f"{verb} upwards{place}",
        "down": f"{verb} downwards{place}",
        "bounce": f"bounces up and down{place}",
        "circle": f"{verb} in a circle{place}",
        "enter": f"{verb} into the picture from the {actor.side}{place}",
        "leave": f"{verb} out of the picture to the {actor.side}{place}",
        "still": f"stands still{place}",
    }[actor.motion]
    return f"{who} {said}{when}" + _event(actor, "en", " and ")


def _event(actor: Actor, lang: str, joint: str) -> str:
    if actor.event is None:
        return ""
    color = words.COLOR[lang].get(actor.event.color or "", "")
    return joint + EVENT[lang][actor.event.sort].format(color)
