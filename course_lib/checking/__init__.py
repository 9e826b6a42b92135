"""The exercises' checks: what is right, and where something is not, which mistake it most likely was.

A check judges by behaviour, and by the ground truth of pictures that the learner has not seen. It knows
nothing of the solution, and nothing of the world the pictures come from: an exercise hands over a function
that draws them, so nothing here imports that world.

In a notebook a check's `Result` shows itself as a panel. With COURSE_CHECK_STRICT=1, and under nbgrader, a
check that fails raises `CheckFailed` as well. One that passes is noted in the learner's progress.
"""

from importlib import import_module

from .exercise import EXERCISES
from .panel import CheckFailed, Item, Result
from .step import steps

__all__ = ["EXERCISES", "CheckFailed", "Item", "Result", "steps", *EXERCISES]


def __getattr__(name: str):
    if name.startswith("Exercise") and name[8:].isdigit():
        return getattr(import_module(f".ex{name[8:]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
