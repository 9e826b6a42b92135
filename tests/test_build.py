"""Lessons to notebooks: the format, the build, and the gates that every committed notebook must pass."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbgrader.utils import is_grade, is_solution
from PIL import Image

from tools import build_lessons, gates, kernels, run_notebooks
from tools.lessons import LANGUAGES, LessonError, make_notebook, read_lesson

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "lessons").glob("*.py"))

TITLE = """\
# %% [markdown] lang="zh"
# # 标题
# %% [markdown] lang="en"
# # Title
"""
LESSON = (
    TITLE
    + """\
# %%
import sys
print(LANG, 1 + 1)
print("noise", file=sys.stderr)
print("more")
# %%
object()
# %% [markdown] lang="zh"
# 结束
# %% [markdown] lang="en"
# The end
# %% tags=["nbval-ignore-output"]
import ipywidgets
ipywidgets.IntSlider()
# %%
from tqdm.auto import tqdm
for step in tqdm(range(3)):
    pass
"""
)
EXERCISE = (
    "# ---\n# kind: exercise\n# ---\n"
    + TITLE
    + """\
# %% grade_id="double"
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION
# %% points=2
print(double(2))
assert double(2) == 4
### BEGIN HIDDEN TESTS
assert double(3) == 6
### END HIDDEN TESTS
"""
)


@pytest.fixture
def repo(tmp_path) -> Path:
    """A repository of two lessons: just enough of the real one for a build."""
    for name, text in (("00_small", LESSON), ("ex1_small", EXERCISE)):
        write(tmp_path, name, text)
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    return tmp_path


def write(root: Path, name: str, text: str) -> Path:
    path = root / "lessons" / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def built(root: Path, folder: str, lang: str, name: str):
    return nbformat.read(root / folder / lang / f"{name}.ipynb", as_version=4)


# ------------------------------------------------------------------------------------------ the format


def test_a_lesson_becomes_one_notebook_a_language_with_the_same_code(repo):
    lesson = read_lesson(repo / "lessons/00_small.py")
    zh, en = (make_notebook(lesson, "notebooks", lang, repo) for lang in LANGUAGES)
    assert [cell.source for cell in zh.cells if cell.cell_type == "code"][1:] == [
        cell.source for cell in en.cells if cell.cell_type == "code"
    ][1:]
    assert [nb.cells[0].source for nb in (zh, en)] == ["# 标题", "# Title"]
    assert [nb.cells[2].source.splitlines()[0] for nb in (zh, en)] == ['LANG = "zh"', 'LANG = "en"']
    assert [cell.metadata for cell in en.cells][-2] == {"tags": ["nbval-ignore-output"]}


def test_code_of_one_language_is_allowed_in_pairs(tmp_path):
    text = TITLE + '# %% lang="zh"\nx = "一"\n# %% lang="en"\nx = "one"\n'
    lesson = read_lesson(write(tmp_path, "a", text))
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    sources = [make_notebook(lesson, "notebooks", lang, tmp_path).cells[-1].source for lang in LANGUAGES]
    assert sources == ['x = "一"', 'x = "one"']


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (TITLE + '# %% [markdown] lang="zh"\n# 一\n# %%\n1\n', "lacks its en twin"),
        (TITLE + '# %% [markdown] lang="zh"\n# 一\n', "the last zh cell lacks"),
        (TITLE + '# %% [markdown] lang="zh"\n# 一\n# %% lang="en"\n1\n', "lacks its en twin"),
        (TITLE + '# %% [markdown] lang="en"\n# one\n', "without a zh cell"),
        (TITLE + "# %% [markdown]\n# both?\n", "without a lang"),
        (TITLE + '# %% [markdown] lang="fr"\n# un\n', "may be zh or en"),
        (TITLE + "# %%\n### BEGIN SOLUTION\n1\n### END SOLUTION\n", "kind: exercise"),
        ("# %%\n1\n", "begins with a title"),
        ("# ---\n# kind: song\n# ---\n" + TITLE, "may be lesson or exercise"),
    ],
)
def test_a_broken_lesson_is_refused_with_a_sentence(tmp_path, text, complaint):
    with pytest.raises(LessonError, match=complaint) as caught:
        read_lesson(write(tmp_path, "broken", text))
    assert str(caught.value).startswith("broken.py")


def test_cell_ids_are_stable_unique_and_survive_an_insertion(repo):
    before = make_notebook(read_lesson(repo / "lessons/00_small.py"), "notebooks", "en", repo)
    again = make_notebook(read_lesson(repo / "lessons/00_small.py"), "notebooks", "en", repo)
    write(repo, "00_small", LESSON.replace("# %%\nobject()", "# %%\n0\n# %%\nobject()"))
    after = make_notebook(read_lesson(repo / "lessons/00_small.py"), "notebooks", "en", repo)
    ids = [cell.id for cell in before.cells]
    assert ids == [cell.id for cell in again.cells]
    assert len(set(ids)) == len(ids)
    assert set(ids) < {cell.id for cell in after.cells}
    nbformat.validate(after)


def test_the_address_comes_from_pyproject_alone(repo):
    other = (
        (repo / "pyproject.toml").read_text(encoding="utf-8").replace("OWNER/multimodal-course", "me/mine")
    )
    (repo / "pyproject.toml").write_text(other, encoding="utf-8")
    nb = make_notebook(read_lesson(repo / "lessons/00_small.py"), "notebooks", "zh", repo)
    text = "\n".join(cell.source for cell in nb.cells)
    assert "OWNER" not in text
    assert "github/me/mine/blob/main/notebooks/zh/00_small.ipynb" in text
    assert "gh/me/mine/main?urlpath=lab/tree/notebooks/zh/00_small.ipynb" in text
    assert "https://github.com/me/mine/archive/refs/heads/main.zip" in text


def test_nbgrader_clears_solutions_and_hidden_tests_and_its_metadata_is_complete(repo):
    lesson = read_lesson(repo / "lessons/ex1_small.py")
    for lang in LANGUAGES:
        solved, cleared = (make_notebook(lesson, folder, lang, repo) for folder in ("solutions", "exercises"))
        assert "return 2 * x" in solved.cells[3].source
        assert "return 2 * x" not in json.dumps(cleared)
        assert "raise NotImplementedError" in cleared.cells[3].source
        assert cleared.cells[4].source == "print(double(2))\nassert double(2) == 4"
        assert is_solution(cleared.cells[3]) and not is_grade(cleared.cells[3])
        assert is_grade(cleared.cells[4]) and not is_solution(cleared.cells[4])
        ids = [cell.metadata["nbgrader"]["grade_id"] for cell in cleared.cells if "nbgrader" in cell.metadata]
        assert ids == ["double", "ex1_small-check-1"]
        assert cleared.cells[4].metadata["nbgrader"]["points"] == 2


# ------------------------------------------------------------------------------------------- the build


def test_a_build_stores_clean_outputs_and_two_builds_are_the_same_file(repo, monkeypatch):
    # the set-up cell imports course_lib, which is the real one: the kernels' path holds the checkout
    assert build_lessons.main([], root=repo) == 0
    files = sorted(repo.rglob("*.ipynb"))
    assert [path.relative_to(repo).as_posix() for path in files] == [
        "exercises/en/ex1_small.ipynb",
        "exercises/zh/ex1_small.ipynb",
        "notebooks/en/00_small.ipynb",
        "notebooks/zh/00_small.ipynb",
        "solutions/en/ex1_small.ipynb",
        "solutions/zh/ex1_small.ipynb",
    ]
    for lang in LANGUAGES:
        nb = built(repo, "notebooks", lang, "00_small")
        outputs = {cell.source.splitlines()[0]: cell.outputs for cell in nb.cells if cell.cell_type == "code"}
        assert [output.text for output in outputs["import sys"]] == [f"{lang} 2\nmore\n"]
        assert outputs["object()"][0].data["text/plain"] == "<object at 0x...>"
        (widget,) = outputs["import ipywidgets"]
        assert set(widget.data) == {"text/plain", "text/markdown"}
        assert outputs["from tqdm.auto import tqdm"] == []
        assert "widgets" not in nb.metadata and nb.metadata.language_info == {"name": "python"}
        assert not any("execution" in cell.metadata for cell in nb.cells)
        assert gates.problems(repo / "notebooks" / lang / "00_small.ipynb", "notebooks") == []
        exercise = built(repo, "exercises", lang, "ex1_small")
        assert not any(cell.get("outputs") for cell in exercise.cells)
    first = {path: path.read_bytes() for path in files}

    ran = []
    real = kernels.run_notebook
    monkeypatch.setattr(kernels, "run_notebook", lambda nb, *a, **k: ran.append(nb) or real(nb, *a, **k))
    assert build_lessons.main(["--changed"], root=repo) == 0
    assert ran == []
    write(repo, "00_small", LESSON + "# %%\n7\n")
    assert build_lessons.main(["--changed"], root=repo) == 0
    assert {nb.metadata.course["lesson"] for nb in ran} == {"00_small"}
    write(repo, "00_small", LESSON)
    assert build_lessons.main(["--only", "00"], root=repo) == 0
    assert {path: path.read_bytes() for path in files} == first


def run_nbval(root: Path) -> subprocess.CompletedProcess:
    """The notebooks under nbval, with the options and the conftest of `course.py test`."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "conftest",
        "-p",
        "no:cacheprovider",
        "--nbval",
    ]
    command += [
        "--nbval-current-env",
        f"--nbval-sanitize-with={ROOT / 'tests/nbval_sanitize.cfg'}",
        "notebooks",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


def test_nbval_accepts_what_the_build_stored_and_refuses_what_changed(repo):
    build_lessons.main(["--only", "00_small"], root=repo)
    accepted = run_nbval(repo)
    assert accepted.returncode == 0, accepted.stdout
    assert re.search(r"^10 passed", accepted.stdout, re.MULTILINE)
    path = repo / "notebooks/en/00_small.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace("en 2\\n", "en 3\\n"), encoding="utf-8")
    refused = run_nbval(repo)
    assert refused.returncode == 1
    assert re.search(r"^1 failed, 9 passed", refused.stdout, re.MULTILINE)


def test_a_build_without_execution_keeps_the_outputs_of_unchanged_cells(repo):
    text = TITLE + '# %%\nprint("kept")\n# %%\nprint("old")\n'
    write(repo, "00_small", text)
    assert build_lessons.main(["--only", "00_small"], root=repo) == 0
    write(repo, "00_small", text.replace("old", "new"))
    assert build_lessons.main(["--only", "00_small", "--no-execute"], root=repo) == 0
    kept, changed = built(repo, "notebooks", "en", "00_small").cells[-2:]
    assert kept.outputs[0].text == "kept\n"
    assert changed.outputs == []
    assert any("not executed" in problem for problem in problems_of(repo, "notebooks", "00_small"))


def problems_of(root: Path, folder: str, name: str) -> list[str]:
    return gates.problems(root / folder / "en" / f"{name}.ipynb", folder)


def test_a_failing_lesson_leaves_the_stored_notebook_as_it_was(repo, capsys):
    write(repo, "00_small", TITLE + "# %%\n1\n")
    assert build_lessons.main(["--only", "00_small"], root=repo) == 0
    path = repo / "notebooks/en/00_small.ipynb"
    before = path.read_bytes()
    write(repo, "00_small", TITLE + "# %%\n1 / 0\n")
    assert build_lessons.main(["--only", "00_small"], root=repo) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["00_small.ipynb"]


def test_a_stored_picture_keeps_its_pixels_in_fewer_bytes_and_once():
    noise = np.random.default_rng(0).integers(0, 40, (64, 64, 1), dtype=np.uint8).repeat(3, axis=2)
    opaque = Image.fromarray(noise).convert("RGBA")
    glass = opaque.copy()
    glass.putalpha(100)
    for picture, mode in ((opaque, "RGB"), (glass, "RGBA")):
        raw = io.BytesIO()
        picture.save(raw, "PNG", compress_level=0)
        data = {
            "image/png": base64.b64encode(raw.getvalue()).decode(),
            "image/jpeg": "",
            "text/plain": "<Image>",
        }
        cell = nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("display_data", data=data)])
        kernels.tidy_outputs(nbformat.v4.new_notebook(cells=[cell]), "en")
        (output,) = cell.outputs
        stored = base64.b64decode(output.data["image/png"])
        assert len(stored) < len(raw.getvalue()) / 2
        assert "image/jpeg" not in output.data
        reopened = Image.open(io.BytesIO(stored))
        assert reopened.mode == mode
        assert np.array_equal(np.asarray(reopened.convert("RGBA")), np.asarray(picture))


def test_an_untagged_widget_is_an_error(repo, capsys):
    write(repo, "00_small", LESSON.replace(' tags=["nbval-ignore-output"]', ""))
    assert build_lessons.main(["--only", "00_small"], root=repo) == 1
    assert 'tag it "nbval-ignore-output"' in capsys.readouterr().err


def test_an_unknown_name_is_told_from_the_lessons_there_are(repo, capsys):
    assert build_lessons.main(["--only", "99"], root=repo) == 2
    assert "00_small, ex1_small" in capsys.readouterr().err


def test_run_prints_seconds_a_language_and_fails_when_a_notebook_does(repo, capsys):
    write(repo, "00_small", TITLE + "# %%\n1\n")
    write(repo, "01_broken", TITLE + '# %%\nassert LANG == "zh", "only in English"\n')
    build_lessons.main(["--no-execute"], root=repo)
    capsys.readouterr()
    (repo / "docs").mkdir(exist_ok=True)
    assert run_notebooks.main(["--only", "00_small", "--lang", "zh", "--keep"], root=repo) == 0
    kept = (repo / run_notebooks.STATUS).read_text(encoding="utf-8")
    assert "notebooks/00_small" in kept and "The whole run: " in kept
    assert "en" not in capsys.readouterr().out.splitlines()[0]
    assert run_notebooks.main(["--only", "01"], root=repo) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split() == ["zh", "en"]
    assert re.fullmatch(r"notebooks/01_broken\s+[\d.]+ s\s+[\d.]+ s x", out.splitlines()[1])
    assert "AssertionError: only in English" in err
    assert run_notebooks.main(["--only", "99"], root=repo) == 2


# ---------------------------------------------------------------------- the gates can fail, each of them


@pytest.fixture
def fit(repo) -> Path:
    """A stored notebook with which nothing is wrong (made by hand, so that no kernel is needed)."""
    write(repo, "00_small", TITLE + "# %%\nprint(1)\n")
    lesson = read_lesson(repo / "lessons/00_small.py")
    nb = make_notebook(lesson, "notebooks", "en", repo)
    for count, cell in enumerate((cell for cell in nb.cells if cell.cell_type == "code"), 1):
        cell.execution_count = count
        cell.outputs = [nbformat.v4.new_output("stream", text="1\n")]
    path = repo / "notebooks/en/00_small.ipynb"
    build_lessons.write(nb, path)
    assert gates.problems(path, "notebooks") == []
    assert gates.differences(path, lesson, "notebooks", "en", repo) == []
    return path


def spoil(path: Path, change) -> None:
    nb = nbformat.read(path, as_version=4)
    change(nb)
    nbformat.write(nb, path)


def stream(text: str):
    return lambda nb: nb.cells[-1].outputs.append(nbformat.v4.new_output("stream", text=text))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (stream("File /home/ada/x.py"), "machine's path: /home/ada"),
        (stream("see /root/.cache"), "machine's path: /root"),
        (stream("wrote /tmp/a.png"), "machine's path: /tmp"),
        (stream("/Users/ada/x"), "machine's path: /Users/ada"),
        (stream(r"C:\Users\ada\x"), "machine's path"),
        (stream("'C:\\\\Users\\\\ada'"), "machine's path"),
        (stream("sk-proj-abcdefghij0123456789"), "a key: sk-pro..."),
        (stream("api-key: 0123456789abcdef0123456789abcdef"), "looks like a key"),
        (stream("hf_abcdefghijklmnopqrstuvwxyz"), "looks like a key"),
        (stream("x" * gates.MAX_BYTES), "make its figures smaller"),
        (
            lambda nb: nb.cells[-1].outputs.append(
                nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])
            ),
            "stores an error",
        ),
        (lambda nb: setattr(nb.cells[-1], "execution_count", None), "was not executed"),
        (lambda nb: [cell.update(outputs=[]) for cell in nb.cells if "outputs" in cell], "no output at all"),
    ],
)
def test_a_notebook_unfit_to_publish_is_found(fit, change, complaint):
    spoil(fit, change)
    assert any(complaint in problem for problem in gates.problems(fit, "notebooks"))


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/home/page",
        "a/tmp/b",
        "task-oriented-and-quite-long-words",
        "api_key=...",
        "1/work",
    ],
)
def test_an_innocent_text_is_let_through(fit, text):
    spoil(fit, stream(text))
    assert gates.problems(fit, "notebooks") == []


def test_an_output_in_an_exercise_is_found(fit):
    assert any("an exercise stores an output" in problem for problem in gates.problems(fit, "exercises"))


@pytest.mark.parametrize(
    "change",
    [
        lambda nb: nb.cells[-1].update(source="print(2)"),
        lambda nb: nb.cells[0].update(source="# Another title"),
        lambda nb: nb.cells.pop(),
        lambda nb: nb.cells.insert(1, nbformat.v4.new_markdown_cell("more")),
        lambda nb: nb.cells[-1].metadata.update(tags=["nbval-ignore-output"]),
        lambda nb: nb.metadata.course.update(lang="zh"),
    ],
)
def test_a_notebook_edited_by_hand_is_found(fit, change):
    root = fit.parents[2]
    spoil(fit, change)
    lesson = read_lesson(root / "lessons/00_small.py")
    (difference,) = gates.differences(fit, lesson, "notebooks", "en", root)
    assert re.search("differs|has . cells", difference)


def test_a_notebook_without_a_lesson_is_found(fit):
    root = fit.parents[2]
    (fit.parent / "99_gone.ipynb").write_bytes(fit.read_bytes())
    strays = gates.strays(root, [read_lesson(root / "lessons/00_small.py")])
    assert [path.name for path in strays] == ["99_gone.ipynb"]


# -------------------------------------------------------------------------- the course's own notebooks

COMMITTED = [
    pytest.param(source, folder, lang, id=f"{folder}-{lang}-{source.stem}")
    for source in SOURCES
    for folder in (
        ("solutions", "exercises")
        if "kind: exercise" in source.read_text(encoding="utf-8")[:200]
        else ("notebooks",)
    )
    for lang in LANGUAGES
]
each_committed = pytest.mark.parametrize(("source", "folder", "lang"), COMMITTED)


@pytest.mark.parametrize("source", SOURCES, ids=[source.stem for source in SOURCES])
def test_each_lesson_is_well_formed(source):
    lesson = read_lesson(source)
    assert lesson.kind == "exercise" or not source.stem.startswith("ex")


@each_committed
def test_each_notebook_is_what_its_lesson_says(source, folder, lang):
    lesson = read_lesson(source)
    assert gates.differences(lesson.outputs(ROOT)[folder, lang], lesson, folder, lang, ROOT) == []


@each_committed
def test_each_notebook_is_fit_to_publish(source, folder, lang):
    assert gates.problems(ROOT / folder / lang / f"{source.stem}.ipynb", folder) == []


def test_no_notebook_is_without_a_lesson():
    assert gates.strays(ROOT, [read_lesson(source) for source in SOURCES]) == []


UNSOLVED = [case.values[::2] for case in COMMITTED if case.values[1] == "exercises"]


# The checks are the same code in either language: one of them for each exercise, by turns.
@pytest.mark.parametrize(("source", "lang"), [case for i, case in enumerate(UNSOLVED) if i % 2 == i // 2 % 2])
def test_every_check_of_an_unsolved_exercise_fails(source, lang):
    nb = make_notebook(read_lesson(source), "exercises", lang, ROOT)
    kernels.run_notebook(nb, ROOT / "exercises" / lang, lang=lang, allow_errors=True)
    checks = [cell for cell in nb.cells if cell.cell_type == "code" and is_grade(cell)]
    assert checks, "no cell is marked as a check: give it points"
    passed = [c.source for c in checks if not any(output.output_type == "error" for output in c.outputs)]
    assert passed == []
