"""A class with nbgrader: its folder made from lessons/ex*.py, submissions sorted in, graded, feedback written.

    python3 course.py classroom DIR                     make the folder, or bring it up to date
    python3 course.py classroom DIR --collect FOLDER    sort the notebooks that learners handed in
    python3 course.py classroom DIR --grade             grade what is new: feedback/ and grades.csv

The folder is an ordinary nbgrader course, so nbgrader's own commands work in it as well. Points, grade ids and
hidden tests come from the lessons' sources, through the same `make_notebook` that builds the solutions.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.api import MissingEntry
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import is_grade
from sqlalchemy.exc import SAWarning
from traitlets.config import PyFileConfigLoader

from course_lib.settings import language, say, set_language
from tools import kernels
from tools.build_lessons import write as write_notebook
from tools.handed_in import ClassroomError, read_notebook, student_name
from tools.lessons import LANGUAGES, SOLUTION_STUB, make_notebook, read_lessons

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "nbgrader_config.py"
GRADES = "grades.csv"

_CONFIG = """\
# Written by `course.py classroom`; nbgrader reads it in this folder.
import os

c = get_config()  # noqa: F821  (nbgrader defines it)
c.CourseDirectory.course_id = "multimodal-course"
c.Execute.timeout = {timeout}  # seconds a cell may take
c.ClearSolutions.code_stub = {stub}

# No points are given to a cell that writes to stderr; and grading is nobody's progress.
os.environ.update({environment})
"""
_README = {
    "zh": """\
# 一个班

这是一个 nbgrader 课程文件夹，由 `python3 course.py classroom` 生成。

1. 把 `release/` 里的练习发给学生。
2. 把收到的笔记本放进一个文件夹，文件名写成“姓名_练习名.ipynb”，或者每人一个子文件夹，然后运行
   `python3 course.py classroom 本文件夹 --collect 收到的文件夹`
3. `python3 course.py classroom 本文件夹 --grade`
4. `grades.csv` 是分数，`feedback/` 里是每位学生的批改结果（HTML）。

`source/` 里有答案，不要发给学生。
""",
    "en": """\
# A class

This is an nbgrader course folder, made by `python3 course.py classroom`.

1. Give the learners the exercises in `release/`.
2. Put the notebooks they hand in into a folder, each file named NAME_EXERCISE.ipynb, or each learner's in a folder of
   their own; then run `python3 course.py classroom THIS_FOLDER --collect THAT_FOLDER`
3. `python3 course.py classroom THIS_FOLDER --grade`
4. `grades.csv` holds the points, `feedback/` each learner's marked notebook as HTML.

`source/` holds the answers: keep it to yourself.
""",
}
CELL_TIMEOUT = 300  # seconds; the slowest check takes about fifteen on a slow core


@dataclass(frozen=True)
class Grade:
    """What one learner got for one exercise: points per check, in the notebook's order, or why there are none."""

    student: str
    exercise: str
    points: tuple[float, ...] = ()
    of: tuple[float, ...] = ()
    problem: str = field(default="", compare=False)


class Classroom:
    """An nbgrader course in `folder`, for the exercises of the checkout `root`."""

    def __init__(self, folder: Path, root: Path = ROOT):
        self.folder = folder.resolve()
        self.exercises = [lesson for lesson in read_lessons(root / "lessons") if lesson.kind == "exercise"]
        self._root = root
        self._loaded: NbGraderAPI | None = None

    # ------------------------------------------------------------------------------------------- making it

    def make(self, lang: str) -> list[str]:
        """Write the folder, or bring its exercises up to date. Returns the names of those that are new or changed."""
        there = self.folder.is_dir() and any(self.folder.iterdir())
        if there and not (self.folder / CONFIG).exists():
            raise ClassroomError(
                say(
                    zh=f"{self.folder} 里已有别的东西：请换一个空文件夹或新名字。",
                    en=f"{self.folder} holds other things: name an empty folder, or a new one.",
                )
            )
        meant = {lesson.name: make_notebook(lesson, "source", lang, self._root) for lesson in self.exercises}
        stored = {
            name: read_notebook(path) for name in meant if (path := self._path("source", name)).exists()
        }
        if any(nb.metadata.course.lang != lang for nb in stored.values()):
            raise ClassroomError(
                say(
                    zh="这个班用的是英文：请加上 --lang en，或另建一个中文班。",
                    en="This class is in Chinese: add --lang zh, or make another folder for a class in English.",
                )
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        config = _CONFIG.format(
            timeout=CELL_TIMEOUT,
            stub={"python": SOLUTION_STUB[lang]},
            environment=json.dumps(kernels.QUIET, indent=4),
        )
        for name, text in ((CONFIG, config), ("README.md", _README[lang])):
            if not (self.folder / name).exists():  # the teacher may have changed it
                _write(self.folder / name, text)
        changed = [name for name, nb in meant.items() if _cells(stored.get(name)) != _cells(nb)]
        for name in changed:
            write_notebook(meant[name], self._path("source", name))
            self._done(self._api.generate_assignment(name, force=True))
        return changed

    # -------------------------------------------------------------------------------------- handing in

    def collect(self, folder: Path) -> tuple[list[tuple[str, str]], list[str]]:
        """Copy the notebooks below `folder` to where nbgrader looks for them, lost checks put back.

        Which exercise a notebook is, its cells say; whose, its name or its folder's. Of several by one learner the
        newest counts. Returns `(student, exercise)` of those taken, and a sentence for each that was not.
        """
        taken: dict[tuple[str, str], float] = {}
        refused = []
        self._require()
        if not folder.is_dir():
            raise ClassroomError(say(zh=f"没有文件夹 {folder}。", en=f"There is no folder {folder}."))
        for path in sorted(folder.rglob("*.ipynb")):
            if ".ipynb_checkpoints" in path.parts:
                continue
            shown = path.relative_to(folder)
            try:
                nb = read_notebook(path)
                exercise = self._exercise_of(nb)
                student = student_name(shown, exercise)
            except ClassroomError as error:
                refused.append(f"{shown.as_posix()}: {error}")
                continue
            modified = path.stat().st_mtime
            if modified <= taken.get((student, exercise), float("-inf")):  # a ZIP may say 1970 of all
                continue
            taken[student, exercise] = modified
            target = self.folder / "submitted" / student / exercise / f"{exercise}.ipynb"
            self._put_back(nb, exercise)
            write_notebook(nb, target)
            stamp = datetime.fromtimestamp(modified, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
            _write(target.parent / "timestamp.txt", stamp)  # nbgrader's way to tell what is new, and late
        return sorted(taken), refused

    def _exercise_of(self, nb: NotebookNode) -> str:
        ids = {cell.metadata.get("nbgrader", {}).get("grade_id") for cell in nb.cells} - {None}
        shared = {
            name: len(
                ids
                & {
                    cell.metadata.nbgrader.grade_id
                    for cell in _graded(read_notebook(self._path("source", name)))
                }
            )
            for name in self._names()
        }
        best = max(shared, key=shared.__getitem__, default=None)
        if not best or not shared[best]:
            raise ClassroomError(
                say(
                    zh="其中没有本课程任何练习的检查，请要求重新提交。",
                    en="it holds no check of any exercise of the course, ask for it again.",
                )
            )
        return best

    def _put_back(self, nb: NotebookNode, exercise: str) -> None:
        """Insert the steps and checks that a learner deleted, each after the one it was released after."""
        # nbgrader's own `add_missing_cells` gives up where the cell before is missing as well
        place = 0
        for released in read_notebook(self._path("release", exercise)).cells:
            grade_id = released.metadata.get("nbgrader", {}).get("grade_id")
            if grade_id is None:
                continue
            there = [
                i
                for i, c in enumerate(nb.cells)
                if c.metadata.get("nbgrader", {}).get("grade_id") == grade_id
            ]
            if not there:
                nb.cells.insert(place, nbformat.v4.new_code_cell(released.source, metadata=released.metadata))
            place = (there or [place])[0] + 1

    # ------------------------------------------------------------------------------------------ grading

    def grade(
        self, *, again: bool = False, on_each: Callable[[Grade, float], None] | None = None
    ) -> list[Grade]:
        """Grade every submission that is new since it was last graded (all of them, if `again`).

        Writes feedback/ and grades.csv. `on_each(grade, seconds)` is called after each. Returns all grades.
        """
        self._require()
        os.environ.update(kernels.headless_env())
        problems = {}
        for student, exercise in self._submissions():
            if not (again or self._is_new(student, exercise)):
                continue
            started = time.perf_counter()
            try:
                read_notebook(self._path("submitted", exercise, student))
                self._done(self._api.autograde(exercise, student, force=True))
                self._done(self._api.generate_feedback(exercise, student, force=True))
            except ClassroomError as error:
                problems[student, exercise] = str(error)
            if on_each is not None:
                problem = problems.get((student, exercise), "")
                on_each(self._grade(student, exercise, problem), time.perf_counter() - started)
        grades = [
            self._grade(*submission, problems.get(submission, "")) for submission in self._submissions()
        ]
        self._write_grades(grades)
        return grades

    def _is_new(self, student: str, exercise: str) -> bool:
        stamps = []
        for step in ("submitted", "autograded"):
            place = self._path(step, exercise, student)
            if not place.exists():
                return True
            stamps.append(self._api.coursedir.get_existing_timestamp(str(place.parent)))
        return None not in stamps and stamps[0] > stamps[1]

    def _grade(self, student: str, exercise: str, problem: str = "") -> Grade:
        checks = [cell.metadata.nbgrader for cell in _graded(read_notebook(self._path("source", exercise)))]
        of = tuple(float(check.points) for check in checks)
        if problem or not self._path("autograded", exercise, student).exists():
            return Grade(
                student, exercise, (0.0,) * len(of), of, problem or say(zh="未批改", en="not graded")
            )
        with self._api.gradebook as book:
            try:
                found = {
                    grade.name: grade.score
                    for grade in book.find_submission_notebook(exercise, exercise, student).grades
                }
            except MissingEntry:
                found = {}
        return Grade(student, exercise, tuple(found.get(check.grade_id, 0.0) for check in checks), of)

    def _write_grades(self, grades: list[Grade]) -> None:
        """A row a learner and exercise: points, of how many, points of each step, and what went wrong."""
        steps = max((len(grade.of) for grade in grades), default=0)
        temporary = self.folder / (GRADES + ".tmp")
        # so that Excel reads Chinese names
        with open(temporary, "w", newline="", encoding="utf-8-sig") as file:
            rows = csv.writer(file)
            rows.writerow(
                ["student", "exercise", "points", "of", *(f"step {i + 1}" for i in range(steps)), "note"]
            )
            for grade in grades:
                each = [*grade.points, *[""] * (steps - len(grade.points))]
                rows.writerow(
                    [grade.student, grade.exercise, sum(grade.points), sum(grade.of), *each, grade.problem]
                )
        os.replace(temporary, self.folder / GRADES)

    # ------------------------------------------------------------------------------------------- nbgrader

    @property
    def _api(self) -> NbGraderAPI:
        if self._loaded is None:
            self._require()
            # nbgrader calls `alembic` by name, to make its database
            os.environ["PATH"] = os.pathsep.join(
                [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
            )
            config = PyFileConfigLoader(CONFIG, str(self.folder)).load_config()
            config.CourseDirectory.root = str(self.folder)
            self._loaded = NbGraderAPI(CourseDirectory(config=config), config=config)
        return self._loaded

    def _require(self) -> None:
        if not (self.folder / CONFIG).exists():
            raise ClassroomError(
                say(
                    zh=f"{self.folder} 不是班级文件夹：请先不带选项运行一次，生成它。",
                    en=f"{self.folder} is no class yet: run this without an option first, which makes it.",
                )
            )

    def _done(self, result: dict) -> None:
        """Raise what nbgrader's log says went wrong, as one sentence."""
        if result["success"]:
            return
        log = kernels.plain(result.get("log", "") or result.get("error", ""))
        raised = re.findall(r"^\s*(?:\w+\.)*(\w+(?:Error|Exception): .+)", log, re.MULTILINE)
        said = raised or re.findall(r"\[ERROR\] (.+)", log) or [log or "nbgrader"]
        raise ClassroomError(" ".join(said[-1].split())[:300])

    def _submissions(self) -> list[tuple[str, str]]:
        there = {path.parent for path in (self.folder / "submitted").glob("*/*/*.ipynb")}
        return sorted((place.parent.name, place.name) for place in there if place.name in self._names())

    def _names(self) -> list[str]:
        return [lesson.name for lesson in self.exercises if self._path("source", lesson.name).exists()]

    def _path(self, step: str, exercise: str, student: str = "") -> Path:
        """Where nbgrader keeps a notebook: "source" and "release" have no student."""
        return self.folder / step / student / exercise / f"{exercise}.ipynb"


def _graded(nb: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in nb.cells if is_grade(cell)]


def _cells(nb: NotebookNode | None) -> list[tuple] | None:
    return None if nb is None else [(cell.source, cell.metadata) for cell in nb.cells]


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _print_grade(grade: Grade, seconds: float) -> None:
    shown = " ".join(f"{points:g}" for points in grade.points)
    print(
        f"{seconds:6.1f} s  {grade.student}  {grade.exercise}  {sum(grade.points):g}/{sum(grade.of):g}  "
        f"({shown})  {grade.problem}".rstrip(),
        flush=True,
    )


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="course.py classroom", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the class's own folder, outside the course's")
    parser.add_argument("--lang", choices=LANGUAGES, help="the class's language")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--collect", type=Path, metavar="FOLDER", help="sort in what learners handed in")
    what.add_argument("--grade", action="store_true", help="grade what is new")
    what.add_argument("--regrade", action="store_true", help="grade everything once more")
    args = parser.parse_args(argv)
    set_language(args.lang)
    warnings.simplefilter("ignore", SAWarning)  # nbgrader's own way with its database
    room = Classroom(args.folder, root)
    try:
        if args.collect:
            taken, refused = room.collect(args.collect)
            for student, exercise in taken:
                print(f"{student}  {exercise}")
            for sentence in refused:
                print(f"[x] {sentence}", file=sys.stderr)
            return 1 if refused else 0
        if args.grade or args.regrade:
            grades = room.grade(again=args.regrade, on_each=_print_grade)
            print(room.folder / GRADES)
            return 1 if any(grade.problem for grade in grades) else 0
        changed = room.make(language())
        for lesson in room.exercises:
            points = sum(room._grade("", lesson.name).of)
            news = say(zh="新的", en="new") if lesson.name in changed else say(zh="没有变化", en="unchanged")
            print(f"{lesson.name}  {points:g}  {news}")
        print(room.folder)
    except ClassroomError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
