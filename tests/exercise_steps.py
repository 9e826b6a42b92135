"""What the tests of all exercises need: the functions of an exercise's own notebook, and how a mistake has to be named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tools.lessons import make_notebook, read_lesson

ROOT = Path(__file__).resolve().parents[1]


def functions_of(name: str, folder: str, lang: str, given: dict[str, Any]) -> dict[str, Any]:
    """What a learner has after the cells of exercise `name` that hold its steps; `given` is what the set-up cells left.

    `folder` is "solutions" or "exercises".
    """
    defined = dict(given)
    for cell in make_notebook(read_lesson(ROOT / "lessons" / f"{name}.py"), folder, lang, ROOT).cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            exec(cell.source, defined)
    return defined


def assert_names_the_mistake(result, phrase: str, lang: str) -> None:
    assert not result.passed, result
    remedy = result.failures[-1].remedy
    if lang == "en":
        assert phrase in remedy, result
    else:  # the twin of the sentence
        assert any("一" <= letter <= "鿿" for letter in remedy), remedy
