"""The exercises' checks: what is right, and where something is not, which mistake it most likely was.

A check judges by behaviour, and by the ground truth of pictures that the learner has not seen. It knows
nothing of the solution, and nothing of the world the pictures come from: an exercise hands over a function
that draws them, so nothing here imports that world.

In a notebook a check's `Result` shows itself as a panel. With COURSE_CHECK_STRICT=1, and under nbgrader, a
check that fails raises `CheckFailed` as well.
"""

from importlib import import_module

from .panel import CheckFailed, Item, Result

_HOME = {"Exercise1": "ex1", "Exercise2": "ex2", "Exercise3": "ex3"}

__all__ = ["CheckFailed", "Item", "Result", *_HOME]


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
