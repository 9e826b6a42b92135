"""A class from the exercises' sources: what is released, and the points that each kind of submission gets."""

from __future__ import annotations

import csv
import os
import re
import shutil
import time
from pathlib import Path
from unittest import mock

import nbformat
import pytest
from nbgrader.utils import is_grade, is_solution

from course_lib.settings import set_language
from tools import classroom
from tools.classroom import Classroom, ClassroomError
from tools.lessons import LANGUAGES, make_notebook, read_lesson

ROOT = Path(__file__).resolve().parents[1]
EXERCISES = sorted((ROOT / "lessons").glob("ex*.py"))
each_exercise = pytest.mark.parametrize("source", EXERCISES, ids=[source.stem for source in EXERCISES])

SMALL = """\
# ---
# kind: exercise
# ---
# %% [markdown] lang="zh"
# # 标题
# %% [markdown] lang="en"
# # Title
# %% grade_id="double"
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION
# %% points=2
assert double(2) == 4
### BEGIN HIDDEN TESTS
assert double(5) == 10, "not for other numbers"
### END HIDDEN TESTS
# %% grade_id="triple"
def triple(x):
    ### BEGIN SOLUTION
    return 3 * x
    ### END SOLUTION
# %% points=3
assert triple(2) == 6
# %% grade_id="negative"
def negative(x):
    ### BEGIN SOLUTION
    return -x
    ### END SOLUTION
# %% points=1
assert negative(2) == -2
"""
DOUBLE, TRIPLE, NEGATIVE = (f"def {name}(x):\n    return {value}" for name, value in (
    ("double", "2 * x"), ("triple", "3 * x"), ("negative", "-x")))  # fmt: skip


@pytest.fixture(autouse=True)
def _surroundings():
    """Grading sets the kernels' environment for its whole process; messages are in English."""
    set_language("en")
    with mock.patch.dict(os.environ):
        yield
    set_language(None)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A checkout with one exercise that needs no model, and its class; a cell may run three seconds."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "checkout" / "lessons").mkdir(parents=True)
    (folder / "checkout" / "lessons" / "ex9_small.py").write_text(SMALL, encoding="utf-8")
    (folder / "checkout" / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    with mock.patch.object(classroom, "CELL_TIMEOUT", 3), mock.patch.dict(os.environ):
        assert Classroom(folder / "class", folder / "checkout").make("en") == ["ex9_small"]
    return folder


@pytest.fixture
def small(made, tmp_path) -> Classroom:
    shutil.copytree(made, tmp_path / "copy")
    return Classroom(tmp_path / "copy" / "class", tmp_path / "copy" / "checkout")


def released(room: Classroom, name: str) -> nbformat.NotebookNode:
    return nbformat.read(room.folder / "release" / name / f"{name}.ipynb", as_version=4)


def hand_in(room: Classroom, student: str, nb: nbformat.NotebookNode, name: str) -> None:
    """As a learner does: a file with their name, sorted in by the teacher."""
    folder = room.folder.parent / "handed in"
    folder.mkdir(exist_ok=True)
    nbformat.write(nb, folder / f"{student}_{name}.ipynb")
    taken, refused = room.collect(folder)
    assert (student, name) in taken and refused == []


def solved(room: Classroom, *answers: str | None) -> nbformat.NotebookNode:
    """The released small exercise with the cells of its steps replaced; None leaves a step as it is."""
    nb = released(room, "ex9_small")
    for cell, answer in zip((cell for cell in nb.cells if is_solution(cell)), answers, strict=True):
        cell.source = cell.source if answer is None else answer
    return nb


def check_cells(nb: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in nb.cells if is_grade(cell)]


def without(nb: nbformat.NotebookNode, cells: list) -> nbformat.NotebookNode:
    nb.cells = [cell for cell in nb.cells if cell not in cells]
    return nb


# ---------------------------------------------------------------------------------------------- the release


def test_the_release_has_no_solution_and_no_hidden_test_and_asks_for_the_source_s_points(small):
    nb = released(small, "ex9_small")
    text = "\n".join(cell.source for cell in nb.cells)
    for hidden in ("2 * x", "3 * x", "-x", "HIDDEN", "SOLUTION", "for other numbers"):
        assert hidden not in text
    assert "assert double(2) == 4" in text
    assert [cell.metadata.nbgrader.points for cell in check_cells(nb)] == [2, 3, 1]
    assert all(not cell.metadata.get("editable", True) for cell in check_cells(nb))  # locked
    assert not any(cell.get("outputs") for cell in nb.cells)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_exercise_of_the_course_is_released_in_the_class_s_language(tmp_path, lang):
    room = Classroom(tmp_path / "class")
    assert room.make(lang) == [source.stem for source in EXERCISES]
    for source in EXERCISES:
        nb, meant = released(room, source.stem), make_notebook(read_lesson(source), "exercises", lang, ROOT)
        del meant.cells[1]  # the badges, which lead out of the class
        assert [cell.source for cell in nb.cells] == [cell.source for cell in meant.cells]
        assert nb.metadata.course == {"lesson": source.stem, "lang": lang}


@each_exercise
@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_table_of_steps_states_the_points_that_the_checks_give(source, lang):
    nb = make_notebook(read_lesson(source), "exercises", lang, ROOT)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in nb.cells[0].source.splitlines()
        if line.startswith("|")
    ]
    column = rows[0].index({"zh": "分数", "en": "points"}[lang])
    assert [int(row[column]) for row in rows[2:]] == [
        cell.metadata.nbgrader.points for cell in check_cells(nb)
    ]


def test_making_it_again_changes_nothing_and_a_changed_source_only_its_exercise(small):
    assert small.make("en") == []
    source = small._root / "lessons" / "ex9_small.py"
    source.write_text(SMALL.replace("points=3", "points=4"), encoding="utf-8")
    (small.folder / "README.md").write_text("mine", encoding="utf-8")
    again = Classroom(small.folder, small._root)
    assert again.make("en") == ["ex9_small"]
    assert [cell.metadata.nbgrader.points for cell in check_cells(released(again, "ex9_small"))] == [2, 4, 1]
    assert (small.folder / "README.md").read_text(encoding="utf-8") == "mine"


def test_a_folder_with_other_things_and_another_language_are_refused(small, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(ClassroomError, match="holds other things"):
        Classroom(tmp_path / "full", small._root).make("en")
    with pytest.raises(ClassroomError, match="class is in Chinese|另建一个中文班"):
        small.make("zh")
    with pytest.raises(ClassroomError, match="no class yet"):
        Classroom(tmp_path / "nothing", small._root).grade()


# ---------------------------------------------------------------------------------------------- handing in


@pytest.mark.parametrize(
    ("path", "student"),
    [
        ("张三_ex9_small.ipynb", "张三"),
        ("ex9_small-20231201.ipynb", "20231201"),
        ("ada ex9.ipynb", "ada"),
        ("ada/ex9_small.ipynb", "ada"),
        ("ada/ex9_small (2).ipynb", "ada"),
        ("Ada Lovelace_7_assignsubmission_file_/ex9_small.ipynb", "Ada Lovelace"),
        ("grace.ipynb", "grace"),
    ],
)
def test_the_learner_s_name_is_the_file_s_or_the_folder_s(small, tmp_path, path, student):
    file = tmp_path / "in" / path
    file.parent.mkdir(parents=True)
    nbformat.write(released(small, "ex9_small"), file)
    assert small.collect(tmp_path / "in") == ([(student, "ex9_small")], [])


def test_what_cannot_be_sorted_in_is_told_and_the_rest_is_taken(small, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    nb = released(small, "ex9_small")
    nbformat.write(nb, folder / "ex9_small.ipynb")
    nbformat.write(nb, folder / "ada_ex9.ipynb")
    nbformat.write(
        without(nb, [cell for cell in nb.cells if "nbgrader" in cell.metadata]), folder / "bob.ipynb"
    )
    (folder / "eve.ipynb").write_text("{", encoding="utf-8")
    (folder / "zoe.ipynb").write_text('{"cells": 7}', encoding="utf-8")
    taken, refused = small.collect(folder)
    assert taken == [("ada", "ex9_small")]
    assert [sentence.split(":")[0] for sentence in refused] == [
        "bob.ipynb",
        "eve.ipynb",
        "ex9_small.ipynb",
        "zoe.ipynb",
    ]
    for word in ("no check of any exercise", "no readable notebook", "NAME_ex9_small.ipynb"):
        assert any(word in sentence for sentence in refused)


# ------------------------------------------------------------------------------------------------- grading


def test_every_kind_of_submission_gets_its_points_and_feedback(small):
    endless = "def triple(x):\n    return 3 * x\n\nwhile True:\n    pass"
    tampered = solved(small, None, None, NEGATIVE)
    check_cells(tampered)[0].source = "pass"
    check_cells(tampered)[1].metadata.nbgrader.points = 100
    lost = solved(small, DOUBLE, TRIPLE, NEGATIVE)
    gone = solved(small, DOUBLE, TRIPLE, NEGATIVE)
    stripped = [cell for cell in gone.cells if "nbgrader" in cell.metadata][2:4]
    handed_in = {
        "perfect": (solved(small, DOUBLE, TRIPLE, NEGATIVE), (2, 3, 1)),
        "unsolved": (solved(small, None, None, None), (0, 0, 0)),
        "partly": (solved(small, DOUBLE, None, NEGATIVE), (2, 0, 1)),
        # right for the number that the check shows, and for no other
        "by heart": (solved(small, "def double(x):\n    return 4", TRIPLE, None), (0, 3, 0)),
        "broken": (solved(small, "def double(x)\n    return 2 * x", TRIPLE, "negative = oops"), (0, 3, 0)),
        "endless": (solved(small, DOUBLE, endless, NEGATIVE), (2, 3, 1)),
        "tampered": (tampered, (0, 0, 1)),
        "lost a check": (without(lost, check_cells(lost)[1:2]), (2, 3, 1)),
        "lost a step": (without(gone, stripped), (2, 0, 1)),
        "kills": (solved(small, DOUBLE, "import os\nos._exit(1)", NEGATIVE), (0, 0, 0)),
    }
    for student, (nb, _) in handed_in.items():
        hand_in(small, student, nb, "ex9_small")
    (small.folder / "submitted" / "kills" / "ex9_small" / "notes.txt").touch()  # an attachment is no harm
    seen = []
    grades = {
        grade.student: grade for grade in small.grade(on_each=lambda grade, _: seen.append(grade.student))
    }
    assert {student: grade.points for student, grade in grades.items()} == {
        student: points for student, (_, points) in handed_in.items()
    }
    assert {grade.of for grade in grades.values()} == {(2, 3, 1)}
    assert sorted(seen) == sorted(handed_in)
    assert [student for student, grade in grades.items() if grade.problem] == ["kills"]
    for student in set(handed_in) - {"kills"}:
        page = small.folder / "feedback" / student / "ex9_small" / "ex9_small.html"
        shown = re.search(r"Score:\s*([\d.]+)\s*/\s*([\d.]+)", page.read_text(encoding="utf-8"))
        assert tuple(map(float, shown.groups())) == (sum(handed_in[student][1]), 6)
    with open(small.folder / "grades.csv", encoding="utf-8-sig") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows["partly"] | {"note": ""} == {
        "student": "partly", "exercise": "ex9_small", "points": "3.0", "of": "6.0",
        "step 1": "2.0", "step 2": "0.0", "step 3": "1.0", "note": "",
    }  # fmt: skip
    assert "kernel" in rows["kills"]["note"].lower()


def test_only_what_is_new_is_graded_again(small):
    hand_in(small, "ada", solved(small, None, TRIPLE, None), "ex9_small")
    assert [grade.points for grade in small.grade()] == [(0, 3, 0)]
    graded = []
    small.grade(on_each=lambda grade, _: graded.append(grade.student))
    assert graded == []
    time.sleep(1.1)  # nbgrader's time stamps are whole seconds
    hand_in(small, "ada", solved(small, DOUBLE, TRIPLE, None), "ex9_small")
    assert [grade.points for grade in small.grade(on_each=lambda grade, _: graded.append(grade.student))] == [
        (2, 3, 0)
    ]
    assert graded == ["ada"]


def answered(room: Classroom, source: Path, count: int) -> nbformat.NotebookNode:
    """The released exercise with its first `count` steps solved, as the solution has them."""
    nb = released(room, source.stem)
    steps = {cell.metadata.nbgrader.grade_id: cell for cell in nb.cells if is_solution(cell)}
    solution = make_notebook(read_lesson(source), "solutions", "en", ROOT)
    wanted = [cell for cell in solution.cells if is_solution(cell)][:count]
    for cell in wanted:
        steps[cell.metadata.nbgrader.grade_id].source = cell.source
    return nb


@each_exercise
def test_the_course_s_own_exercises_are_graded_step_by_step(tmp_path, source):
    room = Classroom(tmp_path / "class")
    room.make("en")
    of = [cell.metadata.nbgrader.points for cell in check_cells(released(room, source.stem))]
    hand_in(room, "perfect", answered(room, source, 99), source.stem)
    halfway = answered(room, source, 2)  # nothing stands in the steps after the third
    next_step = [cell for cell in halfway.cells if is_solution(cell)][2]
    next_step.source = "def broken(:"
    hand_in(room, "broken in step 3", halfway, source.stem)
    grades = {grade.student: grade.points for grade in room.grade()}
    assert grades == {
        "perfect": tuple(of),
        "broken in step 3": (*of[:2], *[0] * (len(of) - 2)),
    }
