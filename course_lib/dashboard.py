"""The course's exercises at a glance: which checks were passed, and what comes next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from . import checking
from .checking.panel import GREEN
from .progress import passed
from .settings import language, say


@dataclass(frozen=True)
class Row:
    """An exercise on the dashboard: its steps in order, `(title, passed)`."""

    title: str
    notebook: str
    lesson: str
    steps: tuple[tuple[str, bool], ...]

    @property
    def done(self) -> int:
        return sum(is_passed for _, is_passed in self.steps)


@dataclass(frozen=True)
class Dashboard:
    """What is done and what comes next; shows itself as a table in a notebook."""

    rows: tuple[Row, ...]

    @property
    def next(self) -> tuple[Row, str] | None:
        """The first step that is still open, in the first exercise that has one."""
        for row in self.rows:
            for title, is_passed in row.steps:
                if not is_passed:
                    return row, title
        return None

    def _advice(self, name: Callable[[Row], str] = lambda row: row.title) -> str:
        if self.next is None:
            return say(zh="所有练习都完成了。", en="Every exercise is done.")
        row, title = self.next
        if not row.done:
            return say(
                zh=f"接下来：先学第 {row.lesson} 课，再做{name(row)}。",
                en=f"Next: lesson {row.lesson}, then {name(row)}.",
            )
        return say(zh=f"接下来：{title}（{name(row)}）。", en=f"Next: {title} ({name(row)}).")

    def __repr__(self) -> str:
        lines = []
        for row in self.rows:
            lines.append(f"{row.title}  {row.done}/{len(row.steps)}")
            lines += [f"  {'✓' if is_passed else '○'} {title}" for title, is_passed in row.steps]
        return "\n".join([*lines, self._advice()])

    def _repr_html_(self) -> str:
        body = "".join(
            f'<tr><td style="text-align: left">{_link(row)}</td>'
            f'<td style="text-align: left">{"<br>".join(_step(*step) for step in row.steps)}</td>'
            f'<td style="white-space: nowrap">{_bar(row)} {row.done} / {len(row.steps)}</td></tr>'
            for row in self.rows
        )
        heads = say(zh="练习 检查 完成", en="exercise checks done").split()
        head = "".join(f'<th style="text-align: left">{word}</th>' for word in heads)
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{self._advice(_link)}</p>"
        )


def dashboard() -> Dashboard:
    """Every exercise of the course with its checks, passed or open, in the learner's language."""
    done = passed()
    return Dashboard(
        tuple(
            Row(
                exercise.title(language()),
                exercise.notebook,
                exercise.lesson,
                tuple(
                    (title[language()], (name, step) in done)
                    for step, title in checking.steps(getattr(checking, name)).items()
                ),
            )
            for name, exercise in checking.EXERCISES.items()
        )
    )


def _step(title: str, is_passed: bool) -> str:
    if is_passed:
        return f'<span style="color: {GREEN}; font-weight: 600">✓ {escape(title)}</span>'
    return f"○ {escape(title)}"


def _bar(row: Row) -> str:
    """One cell a check, filled where it was passed. Drawn with borders, which need no theme's colours."""
    cell = "display: inline-block; width: 0.9em; height: 0.6em; margin-right: 2px; border: 1px solid {}; {}"
    filled = cell.format(GREEN, f"background: {GREEN}")
    empty = cell.format("rgba(128, 128, 128, 0.6)", "")
    return "".join(f'<span style="{filled if is_passed else empty}"></span>' for _, is_passed in row.steps)


def _link(row: Row) -> str:
    """The exercise's notebook, where it stands beside the lessons (on Colab a notebook is alone)."""
    target = Path("..", "..", "exercises", language(), row.notebook + ".ipynb")
    return f'<a href="{target.as_posix()}">{escape(row.title)}</a>' if target.exists() else escape(row.title)
