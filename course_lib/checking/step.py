"""How a check is written: claims in the order a learner would think of them, each with the likely mistake.

    @check(zh="第 1 步：相似度", en="Step 1: similarity")
    def similarity(self, step, function):
        out = step.array(function, images, texts)
        step.require(out.shape == (5, 3), claim, remedy)

A claim that does not hold ends the check: what comes after it would only repeat the mistake in other words.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import progress
from ..settings import say
from . import guard
from .exercise import EXERCISES
from .panel import PRINTED_SHOWN, Item, Result, finish

NAN = "^nan$"  # the pattern of a hint that is for a result with nan in it; no error's text is that


class _Ended(Exception):
    """A claim did not hold; the check is over."""


class Step:
    """Records what a check looks at, and calls the learner's functions for it."""

    def __init__(self, title: str):
        self.title = title
        self.items: list[Item] = []
        self.printed = ""

    def require(self, holds: Any, claim: str, remedy: str = "") -> None:
        """Record a claim; where it does not hold, end the check with the remedy."""
        passed = bool(holds)
        self.items.append(Item(passed, claim, "" if passed else remedy))
        if not passed:
            raise _Ended

    def once(self, holds: Any, claim: str, remedy: str = "") -> None:
        """As `require`, for a claim that is looked at several times: shown once, unless it fails."""
        if not holds or not any(item.claim == claim for item in self.items):
            self.require(holds, claim, remedy)

    def fail(self, remedy: str, claim: str = "") -> None:
        """Record a failure found before a claim could be looked at, and end the check."""
        self.require(
            False,
            claim or say(zh="函数能运行，并返回结果", en="the function runs and returns a result"),
            remedy,
        )

    def call(
        self, function: Callable, *arguments: Any, hints: dict[str, str] | None = None, whole: bool = False
    ) -> Any:
        """What a learner's function returns; the check ends where it raises, runs too long (`guard.call`), or returns
        nothing."""
        value = self.run(function, *arguments, hints=hints, whole=whole)
        if value is None:
            self.fail(
                say(
                    zh="函数没有返回任何东西，请在最后写 return。",
                    en="The function returns nothing: end it with return and the result.",
                )
            )
        return value

    def run(
        self, function: Callable, *arguments: Any, hints: dict[str, str] | None = None, whole: bool = False
    ) -> Any:
        """As `call`, where nothing need be returned: a method that changes its object."""
        outcome = guard.call(function, *arguments, hints=hints, whole=whole)
        self.printed += outcome.printed
        if outcome.problem:
            self.fail(outcome.problem)
        return outcome.value

    def raised(self, function: Callable, *arguments: Any) -> Exception | None:
        """The error that a learner's function raises, where it should; None where it returns."""

        def call() -> tuple[Exception | None]:
            try:
                function(*arguments)
            except Exception as error:
                if guard.is_unwritten(error):
                    raise
                return (error,)
            return (None,)

        return self.call(call)[0]

    def array(self, function: Callable, *arguments: Any, hints: dict[str, str] | None = None) -> np.ndarray:
        """As `call`, where numbers are returned: float64, whether they come as array, tensor or list."""
        return self.numbers(self.call(function, *arguments, hints=hints), hints=hints)

    def numbers(self, value: Any, hints: dict[str, str] | None = None) -> np.ndarray:
        """A learner's value as a float64 array; the check ends where it is none, or where it holds nan, of
        which a hint for `NAN` can say more."""
        if value is None:
            self.fail(
                say(
                    zh="返回的几样里有一样是 None：请返回数字。",
                    en="One of the things returned is None: return numbers.",
                )
            )
        try:
            if hasattr(value, "detach"):  # a torch tensor, on any device and of any precision
                value = value.detach().cpu().double().numpy()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # nbgrader gives no points to a cell that writes to stderr
                array = np.array(value, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError, AttributeError):
            self.fail(
                say(
                    zh=f"函数返回的是 {type(value).__name__}，请返回由数字组成的数组。",
                    en=f"The function returns a {type(value).__name__}: return an array of numbers.",
                )
            )
        if np.isnan(array).any():
            self.fail(
                guard.hinted("nan", hints)
                or say(
                    zh="结果里有 nan：请找出除以 0 的地方，或者对空数组求平均的地方。",
                    en="There is nan in the result: look for a division by 0, or for the mean of nothing.",
                )
            )
        return array

    def result(self) -> Result:
        printed = self.printed.strip()
        if len(printed) > PRINTED_SHOWN:
            printed = printed[:PRINTED_SHOWN] + " …"
        return Result(self.title, tuple(self.items), printed)


def _unreadable(error: Exception) -> Item:
    """What becomes of an error in a check itself: what it looks at differs in a way that no claim foresaw."""
    said = guard.in_a_line(error)[:300]
    return Item(
        False,
        say(zh="结果的形式与题目要求的一样", en="the result has the form that was asked for"),
        say(
            zh=f"检查读不懂这一步返回或留下的东西（{said}）：请对照题目，看看形式是否一样。",
            en=f"The check cannot read what this step returned or left behind ({said}): compare its form "
            "with what the text asks for.",
        ),
    )


def check(*, zh: str, en: str) -> Callable[[Callable], Callable[..., Result]]:
    """Make a method `(self, step, ...)` a check `(self, ...) -> Result` with this title."""

    def decorate(method: Callable) -> Callable[..., Result]:
        @functools.wraps(method)
        def run(self: Any, *arguments: Any, **options: Any) -> Result:
            step = Step(say(zh=zh, en=en))
            try:
                method(self, step, *arguments, **options)
            except _Ended:
                pass
            except Exception as error:
                step.items.append(_unreadable(error))
            result = step.result()
            if result.passed and type(self).__name__ in EXERCISES:
                progress.record(type(self).__name__, method.__name__)
            return finish(result)

        run.title = {"zh": zh, "en": en}
        return run

    return decorate


def steps(exercise: type) -> dict[str, dict[str, str]]:
    """The checks of an exercise in their order: the method's name, and its title in each language."""
    return {
        name: method.title
        for base in exercise.__mro__
        for name, method in vars(base).items()
        if hasattr(method, "title") and callable(method)
    }
