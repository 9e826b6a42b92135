"""Steps 3 and 4 of exercise 2: several requests at once within a bound, and runs that fail, stop and go on."""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ...images import encode
from ...settings import say
from ..step import Step, check
from . import mistakes_runs as mistakes
from .bench import Bench
from .killing import Kill, Killed, killed_while_writing
from .mistakes_calls import as_list
from .studio import PATIENCE, Studio, shows

Order = dict[str, Any]
TRIES = 3
KILLED_AT = 5  # the picture at which a run is killed


class RunChecks(Bench):
    """The checks of steps 3 and 4."""

    # ---------------------------------------------------------------------------------------- 3 paint_all

    @check(zh="第 3 步：同时画几张", en="Step 3: several at once")
    def paint_all(self, step: Step, function: Callable) -> None:
        """`function(paint, orders, at_once) -> pictures`: up to `at_once` under way, in the orders' order."""
        orders, at_once = _orders(10), 4
        with Studio(company=at_once, slow=orders[0]["prompt"], expected=len(orders)) as studio:
            found = as_list(step.call(function, studio.paint, list(orders), at_once, whole=True))
            wrong = mistakes.pictures(found, len(orders))
            step.require(
                not wrong,
                say(
                    zh=f"{len(orders)} 份订单，得到 {len(orders)} 张图片",
                    en=f"{len(orders)} orders give as many pictures",
                ),
                wrong,
            )
            places = [_place(picture, orders) for picture in found]
            step.require(
                places == list(range(len(orders))),
                say(zh="图片的顺序就是订单的顺序", en="the pictures stand in the order of their orders"),
                mistakes.order_of(places),
            )
            repeated = studio.asked() != Counter((order["prompt"], order["seed"]) for order in orders)
            step.require(
                not repeated,
                say(zh="每份订单只画一次", en="each order is painted once"),
                say(
                    zh="有的订单画了不止一次：每份订单只调用一次 paint。",
                    en="Some orders were painted more than once: call paint once for each.",
                ),
            )
            step.require(
                studio.most == at_once,
                say(
                    zh=f"最多时有 {at_once} 个请求同时进行",
                    en=f"up to {at_once} requests are under way at once",
                ),
                mistakes.overlap(studio.most, at_once),
            )
            step.require(
                not studio.held_up,
                say(zh="一张画得慢，不耽误别的", en="one slow picture does not hold up the others"),
                say(
                    zh="一张慢图挡住了后面的：不要一组一组地等，谁先空出来谁就接着画下一张（ThreadPoolExecutor 就是这样）。",
                    en="A slow picture held up those after it: do not wait for groups, let whoever is free take the "
                    "next one, as ThreadPoolExecutor does.",
                ),
            )
        with Studio(company=2) as studio:
            step.call(function, studio.paint, _orders(6), 2, whole=True)
            nothing = as_list(step.call(function, studio.paint, [], 2, whole=True))
            step.require(
                studio.most == 2 and nothing == [],
                say(
                    zh="换一个上限、没有订单，也都成立",
                    en="it holds for another bound, and for no orders at all",
                ),
                mistakes.overlap(studio.most, 2)
                if studio.most != 2
                else say(
                    zh="没有订单时，应返回空列表。", en="Without orders the list returned should be empty."
                ),
            )

    # ----------------------------------------------------------------------------------------- 4 generate

    @check(zh="第 4 步：有失败也画完，中断了能续跑", en="Step 4: survive failures, go on after a stop")
    def generate(self, step: Step, function: Callable) -> None:
        """`function(paint, orders, folder, at_once, tries=3) -> {name: why}` of the pictures that failed."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            self._failing(step, function, Path(folder) / "failing" / "pictures")
            self._server_gone(step, function, Path(folder) / "gone")
            self._killed(step, function, Path(folder) / "killed")

    def _failing(self, step: Step, function: Callable, folder: Path) -> None:
        """The seventh fails once, another always; then the same call again."""
        orders = _orders(12)
        hopeless, flaky = orders[3], orders[6]
        with Studio(company=3, broken={hopeless["prompt"]: 500}, once={flaky["prompt"]}) as studio:
            failed = step.call(function, studio.paint, list(orders), folder, 3, hints=mistakes.run_hints())
            others = [order for order in orders if order is not hopeless]
            bad = [order for order in others if not _there(folder, order)]
            step.require(
                not bad,
                say(
                    zh=f"一张总是失败，另外 {len(others)} 张仍然画完，存成了文件",
                    en=f"one fails always, the other {len(others)} are painted all the same, and lie in their files",
                ),
                mistakes.missing(folder, bad, studio.asked(), TRIES) if bad else "",
            )
            wrong = mistakes.report(failed, hopeless["name"])
            step.require(
                not wrong,
                say(
                    zh="返回的字典说明谁失败了、为什么",
                    en="the dictionary returned says which failed, and why",
                ),
                wrong,
            )
            asked = studio.asked()
            often = asked[hopeless["prompt"], hopeless["seed"]]
            step.require(
                often == TRIES and sum(asked.values()) == len(orders) + TRIES,
                say(
                    zh=f"失败了再试，至多 {TRIES} 次", en=f"what fails is tried again, {TRIES} times at most"
                ),
                mistakes.tries(often, TRIES, sum(asked.values()) - often - len(others)),
            )
            step.require(
                studio.most <= 3,
                say(zh="同时进行的请求不超过上限", en="no more requests at once than the bound allows"),
                mistakes.overlap(studio.most, 3),
            )
            kept = _times(folder, others)
            studio.broken.clear()
            studio.received.clear()
            failed = step.call(function, studio.paint, list(orders), folder, 3)
            again = [order for order in others if studio.asked()[order["prompt"], order["seed"]]]
            touched = len(dict(kept.items() - _times(folder, others).items()))
            step.require(
                not again and not touched and _there(folder, hopeless) and failed == {},
                say(
                    zh="同样的调用再来一次，只补画缺的那张",
                    en="the same call again paints just the one that is missing",
                ),
                mistakes.repeated(len(again), touched, failed),
            )

    def _server_gone(self, step: Step, function: Callable, folder: Path) -> None:
        """The server is killed at request 6 and started again."""
        orders = _orders(9)
        with Studio(dies_at=6) as studio:
            failed = step.call(function, studio.paint, list(orders), folder, 2)
            first = [order for order in orders if _there(folder, order)]
            told = isinstance(failed, Mapping) and set(failed) == {
                o["name"] for o in orders if o not in first
            }
            studio.received.clear()
            studio.start()
            step.call(function, studio.paint, list(orders), folder, 2)
            again = [order for order in first if studio.asked()[order["prompt"], order["seed"]]]
            bad = [order for order in orders if not _there(folder, order)]
            step.require(
                first and told and not again and not bad,
                say(
                    zh="服务器中途消失、重启之后，再调用一次就画完了，已有的不重画",
                    en="the server vanishes and comes back: one more call completes the pictures and repeats none",
                ),
                mistakes.gone(len(first), told, len(again), len(bad)),
            )

    def _killed(self, step: Step, function: Callable, folder: Path) -> None:
        """The run itself is killed while it writes its fifth picture, and started again."""
        orders = _orders(8)
        half = encode(Image.effect_noise((64, 64), 60))[:900]
        with Studio() as studio:
            with killed_while_writing(folder, KILLED_AT, half) as kill:
                step.call(_until_killed(function, kill), studio.paint, list(orders), folder, 2)
            whole = [order for order in orders if _there(folder, order)]
            step.require(
                kill.fired and whole and len(studio.painting) < len(orders),
                say(zh="画好一张就写一张", en="each picture is written as soon as it is painted"),
                say(
                    zh="全部画完才开始写文件，运行中途被杀掉（kill）时，画好的就都没了：请画好一张就写一张。",
                    en="Nothing is written until all are painted, and a run that is killed on the way loses what it "
                    "had: write each as soon as it is painted.",
                ),
            )
            studio.received.clear()
            step.call(function, studio.paint, list(orders), folder, 2)
            broken = [order for order in orders if not _there(folder, order)]
            again = [order for order in whole if studio.asked()[order["prompt"], order["seed"]]]
            step.require(
                not broken and not again,
                say(
                    zh="写到一半被中断的图，续跑时会重画；写完了的不重画",
                    en="a picture that was half written at the kill is painted again, those that were whole are not",
                ),
                mistakes.half_written(len(broken), len(again)),
            )


def _orders(count: int) -> list[Order]:
    return [
        {
            "prompt": f"picture {i}",
            "seed": 100 + i,
            "facts": {"number": str(i)},
            "name": f"{i * 7919 % 1000:03d}.png",
        }
        for i in range(count)
    ]


def _place(picture: Image.Image, orders: Sequence[Order]) -> int:
    """Which order's picture this is; -1 for none's."""
    return next((i for i, order in enumerate(orders) if shows(picture, order["prompt"], order["seed"])), -1)


def _there(folder: Path, order: Order) -> bool:
    """Whether an order's picture lies in its file, whole."""
    try:
        with Image.open(folder / order["name"]) as picture:
            return shows(picture, order["prompt"], order["seed"])
    except (OSError, SyntaxError):
        return False


def _times(folder: Path, orders: Sequence[Order]) -> dict[str, int]:
    """When the files of these orders were written, of those that are there."""
    paths = [folder / order["name"] for order in orders]
    return {path.name: path.stat().st_mtime_ns for path in paths if path.exists()}


def _until_killed(function: Callable, kill: Kill) -> Callable:
    """The learner's function up to its end or its kill; a server asked by a dead process says nothing.

    The kill comes with a picture's file. Where one thread writes what others paint, these may be far ahead of
    it and through with all orders, as if nothing had been written meanwhile: the last wait for the writer.
    """
    begun = itertools.count(1)

    def run(paint: Callable, *arguments: Any) -> bool:
        def painted(order: Order) -> Image.Image:
            if next(begun) > KILLED_AT + 1:  # two are under way at once: five were painted by now
                kill.gone.wait(PATIENCE)
            if kill.fired:
                raise Killed
            return paint(order)

        try:
            function(painted, *arguments)
        except Killed:
            pass
        return True

    return run
