"""A lesson's source and the notebooks it stands for (nothing is executed here).

`lessons/NAME.py` is a jupytext *percent* file that holds both languages:

    # ---
    # kind: exercise          (only for an exercise; its solutions are cleared by nbgrader)
    # ---
    # %% [markdown] lang="zh"
    # # 标题
    # %% [markdown] lang="en"
    # # Title
    # %%
    print(LANG)               # a code cell is shared by both languages
    # %% tags=["nbval-ignore-output"]
    ...                       # tags are kept: this one says that the output differs from run to run

Every markdown cell tagged `zh` is followed by its `en` twin. A code cell may be tagged in the same way, in
pairs, where sharing it is impossible. The build adds the badges and the set-up cell after the title.

In an exercise, a code cell with `### BEGIN SOLUTION` ... `### END SOLUTION` is an nbgrader solution cell, and
one with `points=2` is an nbgrader test cell; both may give a `grade_id="step1"`, which is otherwise made from
NAME and a count. The remaining nbgrader metadata is filled in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
import yaml
from nbformat import NotebookNode
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions

from tools.project import BRANCH, repository

LANGUAGES = ("zh", "en")

_SETUP = """\
LANG = "{lang}"

import os, sys
from importlib.util import find_spec

if "google.colab" in sys.modules and find_spec("course_lib") is None:
    # {note}
    source = os.environ.get("COURSE_SOURCE", "multimodal-course @ {archive}")
    !pip list --format=freeze > kept.txt
    !grep -iE "^(torch|numpy|pillow)" kept.txt > core.txt
    !pip install -q -c kept.txt "{{source}}" || pip install -q -c core.txt "{{source}}"

from course_lib.settings import set_language

set_language(LANG)"""
_SETUP_NOTE = {
    "zh": "只在 Colab 上运行：只补装缺少的部分，Colab 自带的都不动；若因此装不上，至少不动 torch、numpy 和 Pillow。",
    "en": "Only on Colab: what is missing is added, what Colab has stays; where that fails, at least torch, numpy, Pillow.",
}
SOLUTION_STUB = {
    "zh": '# 在这里写你的代码\nraise NotImplementedError("这一步还没有写")',
    "en": '# write your code here\nraise NotImplementedError("this step is not written yet")',
}
_OTHER = {"zh": ("en", "English"), "en": ("zh", "中文")}


class LessonError(Exception):
    """A lesson's source breaks the format; the message names the file and the cell."""


@dataclass(frozen=True)
class Lesson:
    """One source file: where it is, what kind it is, and its cells as jupytext read them."""

    path: Path
    kind: str  # "lesson" or "exercise"
    cells: tuple[NotebookNode, ...]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def digest(self) -> str:
        """Hash of the source text, line ends aside."""
        return hashlib.sha256(self.path.read_text(encoding="utf-8").encode()).hexdigest()

    def outputs(self, root: Path) -> dict[tuple[str, str], Path]:
        """Where its notebooks stand: `(folder, language) -> path`."""
        folders = ("solutions", "exercises") if self.kind == "exercise" else ("notebooks",)
        return {(f, lang): root / f / lang / f"{self.name}.ipynb" for f in folders for lang in LANGUAGES}


def read_lesson(path: Path) -> Lesson:
    """Read and check one source file. Raises `LessonError` where the format is broken."""
    notebook = jupytext.read(path, fmt="py:percent")
    cells = list(notebook.cells)
    header: dict = {}
    if cells and cells[0].cell_type == "raw":
        header = yaml.safe_load(cells.pop(0).source.strip().strip("-")) or {}
    kind = header.get("kind", "lesson")
    if kind not in ("lesson", "exercise"):
        raise LessonError(f"{path.name}: kind is {kind!r}; it may be lesson or exercise")
    lesson = Lesson(path, kind, tuple(cells))
    _check(lesson)
    return lesson


def read_lessons(folder: Path) -> list[Lesson]:
    """All lessons of a folder, in the order of their names."""
    return [read_lesson(path) for path in sorted(folder.glob("*.py"))]


def first_line(source: str) -> str:
    """A cell's first line, to name it by."""
    return source.strip().splitlines()[0] if source.strip() else "(empty)"


def _check(lesson: Lesson) -> None:
    waiting = None  # the zh cell whose en twin must come next
    for cell in lesson.cells:
        where = f"{lesson.path.name}, cell {first_line(cell.source)!r}"
        lang = cell.metadata.get("lang")
        if cell.cell_type == "raw":
            raise LessonError(f"{where}: a raw cell; use markdown or code")
        if lang not in (None, *LANGUAGES):
            raise LessonError(f"{where}: lang is {lang!r}; it may be zh or en")
        if waiting is not None and (lang != "en" or cell.cell_type != waiting):
            raise LessonError(f"{where}: the zh cell before it lacks its en twin")
        if waiting is None and lang == "en":
            raise LessonError(f"{where}: an en cell without a zh cell before it")
        if lang is None and cell.cell_type == "markdown":
            raise LessonError(f"{where}: a markdown cell without a lang")
        if "BEGIN SOLUTION" in cell.source and lesson.kind != "exercise":
            raise LessonError(
                f"{where}: a solution in a lesson whose front matter does not say kind: exercise"
            )
        waiting = cell.cell_type if lang == "zh" else None
    if waiting is not None:
        raise LessonError(f"{lesson.path.name}: the last zh cell lacks its en twin")
    if not lesson.cells or not lesson.cells[0].source.startswith("# "):
        raise LessonError(
            f"{lesson.path.name}: the first cell must be markdown that begins with a title, '# ...'"
        )


def badges(root: Path, notebook: Path, lang: str) -> str:
    """Markdown that opens `notebook` (a path inside `root`) on Colab, on Binder, in the other language."""
    slug = repository(root).removeprefix("https://github.com/")
    inside = notebook.relative_to(root).as_posix()
    colab = f"https://colab.research.google.com/github/{slug}/blob/{BRANCH}/{inside}"
    binder = f"https://mybinder.org/v2/gh/{slug}/{BRANCH}?urlpath=lab/tree/{inside}"
    opens = {"zh": "在 {} 中打开", "en": "Open in {}"}[lang]
    other, label = _OTHER[lang]
    return (
        f"[![{opens.format('Colab')}](https://colab.research.google.com/assets/colab-badge.svg)]({colab}) "
        f"[![{opens.format('Binder')}](https://mybinder.org/badge_logo.svg)]({binder}) "
        f"[{label}](../{other}/{notebook.name})"
    )


def setup_source(root: Path, lang: str) -> str:
    """The first code cell of every notebook: LANG, and on Colab alone the install.

    COURSE_SOURCE names another source than the repository: a wheel or a checkout, for trying it out.
    """
    archive = f"{repository(root)}/archive/refs/heads/{BRANCH}.zip"
    return _SETUP.format(lang=lang, note=_SETUP_NOTE[lang], archive=archive)


def make_notebook(lesson: Lesson, folder: str, lang: str, root: Path) -> NotebookNode:
    """The notebook of `lesson` in `folder` ("notebooks", "solutions" or "exercises"), without outputs.

    In a folder that is not published, such as a class's "source", it is solved and has no badges.
    """
    nb = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "course": {"lesson": lesson.name, "lang": lang},
        }
    )
    title, *rest = _cells_of(lesson, lang)
    nb.cells = [title, nbformat.v4.new_code_cell(setup_source(root, lang)), *rest]
    if published := lesson.outputs(root).get((folder, lang)):
        nb.cells.insert(1, nbformat.v4.new_markdown_cell(badges(root, published, lang)))
    if lesson.kind == "exercise":
        _complete_nbgrader(nb, lesson.name)
    if folder == "exercises":
        for preprocessor in (ClearSolutions(code_stub={"python": SOLUTION_STUB[lang]}), ClearHiddenTests()):
            nb, _ = preprocessor.preprocess(nb, {})
    _number(nb, lesson.name)
    return nb


def _cells_of(lesson: Lesson, lang: str) -> Iterator[NotebookNode]:
    for cell in lesson.cells:
        if cell.metadata.get("lang") not in (None, lang):
            continue
        metadata = {k: v for k, v in cell.metadata.items() if k != "lang" and not k.startswith("lines_to_")}
        if cell.cell_type == "markdown":
            yield nbformat.v4.new_markdown_cell(cell.source, metadata=metadata)
        else:
            yield nbformat.v4.new_code_cell(cell.source, metadata=metadata)


def _complete_nbgrader(nb: NotebookNode, name: str) -> None:
    """Fill in nbgrader's cell metadata from the short forms that a source may use."""
    counts = {"solution": 0, "check": 0}
    for cell in nb.cells:
        given = cell.metadata.get("nbgrader", {})
        short = {key: cell.metadata.pop(key) for key in ("points", "grade_id") if key in cell.metadata}
        solution = given.get("solution", "BEGIN SOLUTION" in cell.source)
        grade = given.get("grade", "points" in short or "points" in given)
        if not (solution or grade):
            continue
        role = "solution" if solution else "check"
        counts[role] += 1
        defaults = {
            "grade": grade,
            "grade_id": f"{name}-{role}-{counts[role]}",
            "locked": grade and not solution,
            "schema_version": 3,
            "solution": solution,
            "task": False,
        }
        cell.metadata["nbgrader"] = defaults | short | given


def _number(nb: NotebookNode, name: str) -> None:
    """Give every cell an id from the lesson and the cell's own text, so that an insertion moves no other."""
    seen: dict[str, int] = {}
    for cell in nb.cells:
        seen[cell.source] = seen.get(cell.source, 0) + 1
        key = f"{name}\n{seen[cell.source]}\n{cell.cell_type}\n{cell.source}"
        cell["id"] = hashlib.sha256(key.encode()).hexdigest()[:12]
