"""What a check found: a list of passed and failed items, shown at once as a panel in the notebook.

The panel is HTML in the notebook's own colours, so it reads in light and dark themes; its plain-text form
says the same where there is no HTML, and is the same on every run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from html import escape

from ..errors import CourseError
from ..settings import say

PRINTED_SHOWN = 600  # characters of what a learner's function printed that a panel shows

GREEN, _RED = "#2e9e6b", "#d9534f"  # both readable on white and on black


class CheckFailed(CourseError, AssertionError):
    """A check failed in strict mode; the message is the first failed item's remedy."""


@dataclass(frozen=True)
class Item:
    """One thing that was looked at. `remedy` names the likely mistake and what to do, where it failed."""

    passed: bool
    claim: str
    remedy: str = ""


@dataclass(frozen=True)
class Result:
    """What one check found. Shown as a panel when it is a cell's value."""

    title: str
    items: tuple[Item, ...]
    printed: str = field(default="", compare=False)

    @property
    def passed(self) -> bool:
        return bool(self.items) and all(item.passed for item in self.items)

    @property
    def failures(self) -> list[Item]:
        return [item for item in self.items if not item.passed]

    @property
    def verdict(self) -> str:
        return say(zh="通过", en="passed") if self.passed else say(zh="还没有通过", en="not passed yet")

    def __repr__(self) -> str:
        lines = [f"{self.title}: {self.verdict}"]
        for item in self.items:
            lines.append(f"  {'✓' if item.passed else '✗'} {item.claim}")
            if item.remedy and not item.passed:
                lines.append(f"    → {item.remedy}")
        if self.printed:
            lines += [f"  {_printed_title()}", *(f"  | {line}" for line in self.printed.splitlines())]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        color = GREEN if self.passed else _RED
        rows = "".join(_row(item) for item in self.items)
        printed = (
            f"<details><summary>{escape(_printed_title())}</summary>"
            f"<pre>{escape(self.printed)}</pre></details>"
            if self.printed
            else ""
        )
        return (
            f'<div style="border-left: 4px solid {color}; padding: 6px 12px; line-height: 1.55">'
            f'<div style="font-weight: 600">{escape(self.title)} · '
            f'<span style="color: {color}">{escape(self.verdict)}</span></div>{rows}{printed}</div>'
        )


def finish(result: Result) -> Result:
    """Hand a result to the notebook, or in strict mode show it and raise `CheckFailed` where it failed."""
    if result.passed or not is_strict():
        return result
    _display(result)
    first = result.failures[0]
    raise CheckFailed(f"{result.title}: {first.remedy or first.claim}")


def is_strict() -> bool:
    """Whether a failed check raises: COURSE_CHECK_STRICT=1, or nbgrader, which grades a cell by its error."""
    return os.environ.get("COURSE_CHECK_STRICT", "") not in ("", "0") or "NBGRADER_EXECUTION" in os.environ


def _row(item: Item) -> str:
    mark, color = ("✓", GREEN) if item.passed else ("✗", _RED)
    remedy = (
        f'<div style="padding-left: 1.6em">→ {escape(item.remedy)}</div>'
        if item.remedy and not item.passed
        else ""
    )
    return (
        f'<div><span style="color: {color}; font-weight: 600; display: inline-block; width: 1.6em">'
        f"{mark}</span>"
        f"{escape(item.claim)}{remedy}</div>"
    )


def _printed_title() -> str:
    return say(zh="你的函数打印的内容：", en="What your function printed:")


def _display(result: Result) -> None:
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(result)
    else:
        display(result)
