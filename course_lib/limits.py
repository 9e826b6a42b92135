"""Numbers that a learner gives: of the right kind, and within their limits."""

from __future__ import annotations

import math
from numbers import Integral, Real

from .errors import SettingsError
from .settings import say


def check_whole(name: str, value: int, least: int, most: int) -> int:
    """A whole number within its limits. `SettingsError` for any other, and for a bool."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= value <= most:
        raise SettingsError(
            say(
                zh=f"{name} 应当是 {least} 到 {most} 之间的整数，收到的是 {repr(value)[:40]}。",
                en=f"{name} must be a whole number from {least} to {most}, not {repr(value)[:40]}.",
            )
        )
    return int(value)


def check_number(name: str, value: float, least: float, most: float) -> float:
    """A number within its limits, which may be endless. `SettingsError` for any other, and for a bool."""
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= value <= most:
        span_zh, span_en = f"{least:g} 到 {most:g} 之间的数", f"a number from {least:g} to {most:g}"
        if math.isinf(most):
            span_zh, span_en = "数", "a number"
        raise SettingsError(
            say(
                zh=f"{name} 应当是{span_zh}，收到的是 {repr(value)[:40]}。",
                en=f"{name} must be {span_en}, not {repr(value)[:40]}.",
            )
        )
    return float(value)
