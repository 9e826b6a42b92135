"""Steps 1 and 2 of exercise 2: one call with the right parameters, and a plan of what is to be painted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

from PIL import Image

from ...settings import say
from ..guard import another_process
from ..step import Step, check
from . import mistakes_calls as mistakes
from .bench import Bench
from .studio import DRAWN, Received, Studio, shows

ORDER = {
    "prompt": "",
    "negative": "",
    "seed": 20_260,
    "guidance": 4.5,
    "steps": 12,
    "width": 96,
    "height": 64,
}
WIRE = {"prompt": "prompt", "negative": "negative_prompt", "guidance": "cfg_scale", "steps": "steps",
        "width": "width", "height": "height", "seed": "seed"}  # fmt: skip


class CallChecks(Bench):
    """The checks of steps 1 and 2."""

    # -------------------------------------------------------------------------------------------- 1 paint

    @check(zh="第 1 步：一次请求", en="Step 1: one call")
    def paint(self, step: Step, function: Callable) -> None:
        """`function(url, order, start=None) -> (picture, seed)`, over AUTOMATIC1111's protocol."""
        order = ORDER | {
            "prompt": say(zh="雪地里的一只红色的猫", en="a red cat in the snow"),
            "negative": say(zh="模糊", en="blurred"),
        }
        with Studio() as studio:
            found, sent = self._painted(step, function, studio, order)
            wrong = _fields(sent, order)
            step.require(
                not wrong,
                say(
                    zh="每个参数都用服务器认识的名字送到了",
                    en="each parameter arrives under the server's own name",
                ),
                wrong,
            )
            self._picture_and_seed(step, found, order)
            for seed, claim in (
                (0, say(zh="种子 0 也是种子", en="seed 0 is a seed like others")),
                (
                    -1,
                    say(
                        zh="种子为 -1（随意）时，返回真正用的种子",
                        en="with seed -1 (any) the true seed is returned",
                    ),
                ),
            ):
                other = order | {"seed": seed}
                found, sent = self._painted(step, function, studio, other)
                chosen = sent.get("seed")  # None or -1 where the server draws
                true_seed = chosen if isinstance(chosen, int) and chosen >= 0 else DRAWN
                wrong = mistakes.seed(found[1], seed, true_seed, sent) or _picture(
                    found[0], order | {"seed": true_seed}
                )
                step.require(not wrong, claim, wrong)
            self._from_a_picture(step, function, studio, order)
        self._refused(step, function, order)

    def _painted(self, step: Step, function: Callable, studio: Studio, order: Mapping[str, Any],
                 *start: Image.Image) -> tuple[Any, dict[str, Any]]:  # fmt: skip
        """What the learner's function returns, and the request it sent; each claim about the way there once."""
        before = len(studio.received)
        route = "img2img" if start else "txt2img"
        found = step.call(function, studio.url, dict(order), *start, hints=mistakes.call_hints())
        received: list[Received] = studio.received[before:]
        wrong = mistakes.route(received, route)
        step.once(
            not wrong,
            say(zh=f"请求送到 /sdapi/v1/{route}", en=f"the request goes to /sdapi/v1/{route}"),
            wrong,
        )
        wrong = mistakes.returned(found)
        step.once(not wrong, say(zh="返回图片和种子", en="a picture and a seed are returned"), wrong)
        return found, next(one.payload for one in received if one.path.endswith(route))

    def _picture_and_seed(self, step: Step, found: tuple[Any, Any], order: Mapping[str, Any]) -> None:
        picture, seed = found
        wrong = _picture(picture, order) or mistakes.seed(seed, order["seed"], order["seed"], order)
        step.once(
            not wrong,
            say(
                zh="图片就是服务器画的那一张，种子也对",
                en="it is the picture that was painted, with its seed",
            ),
            wrong,
        )

    def _from_a_picture(
        self, step: Step, function: Callable, studio: Studio, order: Mapping[str, Any]
    ) -> None:
        start = self.picture((28_000, 60))
        start = start.crop((0, 0, start.width // 8 * 8, start.height // 2 // 8 * 8))  # not square
        found, sent = self._painted(step, function, studio, order | {"strength": 0.35}, start)
        order = order | {"width": start.width, "height": start.height}  # the picture's own
        wrong = mistakes.from_picture(sent, start, 0.35) or _fields(sent, order)
        step.require(
            not wrong,
            say(
                zh="给了起始图片时，幅度、原图、它的尺寸和其余参数都送到了",
                en="with a picture to begin from, the strength, the picture, its size and the rest arrive",
            ),
            wrong,
        )
        self._picture_and_seed(step, found, order)

    def _refused(self, step: Step, function: Callable, order: Mapping[str, Any]) -> None:
        with Studio(broken={order["prompt"]: 500}) as studio:
            error = step.raised(function, studio.url, dict(order))
        wrong = mistakes.refusal(error)
        step.require(
            not wrong,
            say(zh="服务器出错时，函数也报错", en="where the server fails, the function raises an error"),
            wrong,
        )

    # --------------------------------------------------------------------------------------------- 2 plan

    @check(zh="第 2 步：列出计划", en="Step 2: the plan")
    def plan(self, step: Step, function: Callable) -> None:
        """`function(template, choices, seeds, common) -> orders`: each combination of choices with each seed."""
        choices = {fact: list(words.values())[:2] for fact, words in self.choices.items()}
        seeds, common = [5, 0, 11], {"negative": "", "guidance": 5.0, "steps": 9, "width": 64, "height": 64}
        given = {name: list(words) for name, words in choices.items()}, list(seeds), dict(common)
        orders = self._orders(step, function, choices, seeds, common)
        step.require(
            given == (choices, seeds, common) and len({id(order) for order in orders}) == len(orders),
            say(zh="传入的参数没有被改动", en="what was handed in is unchanged"),
            say(
                zh="函数改动了传入的 common 或 choices：请为每份订单建一个新字典，例如 common | {...}。",
                en="The function changes common or choices: make a new dictionary for each order, common | {...}.",
            ),
        )
        wanted = len(seeds) * 2 ** len(choices)
        step.require(
            len(orders) == wanted,
            say(
                zh=f"{wanted} 份订单：每种组合配每个种子",
                en=f"{wanted} orders: each combination with each seed",
            ),
            mistakes.count(len(orders), choices, seeds),
        )
        wrong = next(
            (m for order in orders if (m := mistakes.order(order, self.template, choices, common))), ""
        )
        step.require(
            not wrong,
            say(
                zh="订单里有提示词、选中的词（facts）和公共参数",
                en="an order holds its prompt, the words chosen (facts), and what is common to all",
            ),
            wrong,
        )
        found = Counter((*(order["facts"][fact] for fact in choices), order["seed"]) for order in orders)
        expected = Counter((*words, seed) for words in product(*choices.values()) for seed in seeds)
        step.require(
            found == expected,
            say(zh="每种组合用的是同一组种子", en="every combination has the same seeds"),
            mistakes.seeds(orders, seeds),
        )
        wrong = mistakes.names(orders)
        step.require(
            not wrong,
            say(zh="每份订单有自己的文件名", en="each order has a file name of its own"),
            wrong,
        )
        self._names_stay(step, function, orders, choices, seeds, common)

    def _orders(self, step: Step, function: Callable, choices: Any, seeds: Any, common: Any) -> list[dict]:
        found = step.call(
            function, self.template, choices, seeds, common, hints=mistakes.plan_hints(), whole=True
        )
        orders = mistakes.as_list(found)
        claim = say(zh="返回订单（字典）的列表", en="a list of orders, each a dictionary")
        right = orders is not None and all(isinstance(order, dict) for order in orders)
        step.once(
            right,
            claim,
            say(
                zh=f"返回的是 {type(found).__name__}，应为列表，每一项是一个字典。",
                en=f"A {type(found).__name__} is returned: return a list that holds a dictionary for each order.",
            ),
        )
        return orders

    def _names_stay(self, step: Step, function: Callable, orders: list[dict], choices: Mapping[str, list[str]],
                    seeds: list[int], common: dict) -> None:  # fmt: skip
        """A name belongs to its order: not to its place in the list, nor to this process."""
        more = {fact: [list(self.choices[fact].values())[2], *words] for fact, words in choices.items()}
        keys = {"prompt", "seed", "facts", *common}  # what else is in an order is the learner's own affair

        def named(found: list[dict]) -> dict[str, Any]:
            """The orders' contents, and the name of each."""
            contents = [{key: order.get(key) for key in keys} for order in found]
            return {
                json.dumps(content, sort_keys=True, default=repr): order.get("name")
                for content, order in zip(contents, found)
            }

        names = named(orders)
        with another_process(function):
            longer = named(self._orders(step, function, more, [4, *seeds], common))
        again = named(self._orders(step, function, choices, seeds, common))
        changed = self._orders(step, function, choices, seeds, common | {"steps": 10})
        reused = {order.get("name") for order in changed} & set(names.values())
        wrong = mistakes.unstable(names, longer, again, reused)
        step.require(
            not wrong,
            say(
                zh="同一份订单的名字总是一样，参数不同名字就不同",
                en="the same order always has the same name, and another order another one",
            ),
            wrong,
        )


def _fields(sent: Mapping[str, Any], order: Mapping[str, Any]) -> str:
    """Why a parameter did not arrive as it was ordered; "" where all did."""
    return next(
        (wrong for ours, name in WIRE.items() if (wrong := mistakes.field(ours, name, order[ours], sent))), ""
    )


def _picture(found: Image.Image, order: Mapping[str, Any]) -> str:
    """Why this is not the picture that was painted for an order; "" where it is."""
    if found.size == (order["width"], order["height"]) and shows(found, order["prompt"], order["seed"]):
        return ""
    return say(
        zh="返回的图片与服务器画的不同：请把 images[0] 解码成图片（course_lib.images.from_base64），"
        "不要缩放或转换。",
        en="The picture is not the one that was painted: decode images[0] (course_lib.images.from_base64), "
        "and neither resize nor convert it.",
    )
