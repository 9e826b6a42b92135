"""The learner's progress: what is noted, that nothing is lost or sent, and how the dashboard shows it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from course_lib import checking, progress
from course_lib.checking import EXERCISES
from course_lib.checking.step import check
from course_lib.dashboard import dashboard
from course_lib.errors import CourseWarning
from course_lib.settings import set_language
from tools import kernels
from tools.lessons import LANGUAGES, make_notebook, read_lesson

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "lessons").glob("ex*.py"))


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch) -> Path:
    """A learner's own progress file, not there yet; messages in English, a failed check only shows itself."""
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "new folder" / "进度.sqlite"))
    monkeypatch.delenv("COURSE_CHECK_STRICT", raising=False)
    set_language("en")
    yield progress.path()
    set_language(None)


class Exercise1:
    """Stands in for the exercise of that name: its checks are noted under it."""

    @check(zh="第 1 步：加倍", en="Step 1: double")
    def similarity(self, step, function):
        step.require(np.allclose(step.array(function, np.ones(2)), 2), "doubled")


class Unheard(Exercise1):
    pass


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("COURSE_PROGRESS", "~/progress.sqlite")
    assert progress.path() == tmp_path / "progress.sqlite"


def test_a_passed_check_is_noted_once_and_a_failed_one_is_not(file):
    assert progress.passed() == set() and not file.exists()
    Exercise1().similarity(lambda x: 3 * x)
    assert not file.exists()
    assert Exercise1().similarity(lambda x: 2 * x).passed
    assert progress.passed() == {("Exercise1", "similarity")}
    Exercise1().similarity(lambda x: 3 * x)  # what was passed stays passed
    Exercise1().similarity(lambda x: 2 * x)
    assert progress.passed() == {("Exercise1", "similarity")}
    progress.forget()
    progress.forget()
    assert progress.passed() == set()


def test_only_the_course_s_exercises_are_noted(file):
    assert Unheard().similarity(lambda x: 2 * x).passed
    assert not file.exists()


def test_off_keeps_nothing_and_a_headless_run_is_nobody_s_progress(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_PROGRESS", kernels.headless_env()["COURSE_PROGRESS"])
    assert progress.path() is None
    assert Exercise1().similarity(lambda x: 2 * x).passed
    assert progress.passed() == set()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="each system has its own place")
def test_without_a_setting_the_file_stands_in_the_user_s_data_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_PROGRESS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert progress.path() == tmp_path / "multimodal-course" / "progress.sqlite"


def test_a_file_that_a_crash_left_empty_is_used(file):
    file.parent.mkdir()
    file.touch()
    assert progress.passed() == set()
    progress.record("Exercise1", "similarity")
    assert progress.passed() == {("Exercise1", "similarity")}


def test_many_kernels_at_once_lose_nothing(file):
    code = (
        "import sys; from course_lib import progress\n"
        "for i in range(10): progress.record('Exercise1', f'{sys.argv[1]}-{i}')"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    running = [subprocess.Popen([sys.executable, "-c", code, str(n)], env=environment) for n in range(6)]
    assert [process.wait(300) for process in running] == [0] * 6
    assert progress.passed() == {("Exercise1", f"{n}-{i}") for n in range(6) for i in range(10)}


@pytest.mark.parametrize(
    "spoil", [lambda file: file.write_text("not a database" * 100), lambda file: file.mkdir()]
)
def test_a_spoilt_file_is_a_sentence_and_the_check_goes_on(file, spoil):
    file.parent.mkdir()
    spoil(file)
    with pytest.warns(CourseWarning, match="remove it to begin anew"):
        assert Exercise1().similarity(lambda x: 2 * x).passed
    with pytest.warns(CourseWarning, match="progress file"):
        assert [row.done for row in dashboard().rows] == [0] * len(EXERCISES)


# ---------------------------------------------------------------------------------------------- dashboard


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("source", SOURCES, ids=[source.stem for source in SOURCES])
def test_the_dashboard_knows_every_exercise_its_title_and_its_checks(source, lang):
    (name,) = (name for name, exercise in EXERCISES.items() if exercise.notebook == source.stem)
    nb = make_notebook(read_lesson(source), "solutions", lang, ROOT)
    assert nb.cells[0].source.splitlines()[0] == f"# {EXERCISES[name].title(lang)}"
    checks = [cell.source for cell in nb.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    asked = [re.search(r"\bcheck\.(\w+)\(", source)[1] for source in checks]
    assert list(checking.steps(getattr(checking, name))) == asked
    assert list((ROOT / "lessons").glob(f"{EXERCISES[name].lesson}_*.py"))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_it_shows_what_is_done_and_what_comes_next(lang, monkeypatch):
    set_language(lang)
    monkeypatch.chdir(ROOT / "notebooks" / lang)  # where lesson 00 runs
    (name, exercise), first = next(iter(EXERCISES.items())), dashboard().rows[0]
    titles = [title for title, _ in first.steps]
    assert (first.done, first.title, dashboard().next) == (0, exercise.title(lang), (first, titles[0]))
    assert {"zh": f"先学第 {exercise.lesson} 课", "en": f"lesson {exercise.lesson}, then"}[lang] in repr(
        dashboard()
    )

    steps = list(checking.steps(getattr(checking, name)))
    progress.record(name, steps[0])
    board = dashboard()
    assert board.rows[0].done == 1 and board.next[1] == titles[1]
    assert f"  ✓ {titles[0]}\n  ○ {titles[1]}\n" in repr(board)
    page = board._repr_html_()
    assert f'<a href="../../exercises/{lang}/{exercise.notebook}.ipynb">' in page
    assert f"✓ {titles[0]}" in page and f"○ {titles[1]}" in page and f"1 / {len(steps)}" in page
    assert titles[1] in page.split("<p>")[1]

    for name in EXERCISES:
        for step in checking.steps(getattr(checking, name)):
            progress.record(name, step)
    assert dashboard().next is None
    assert {"zh": "所有练习都完成了", "en": "Every exercise is done"}[lang] in repr(dashboard())


def test_a_notebook_that_stands_alone_has_no_dead_links(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "<a " not in dashboard()._repr_html_()
