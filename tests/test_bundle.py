"""The archive for a room without internet: what is in it, and that it installs from itself alone.

A whole bundle is some hundreds of megabytes, so here it is the small checkout of test_course_command.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from test_course_command import VERSION, bare, copy, course, fake_torch, load  # noqa: F401  (fixtures)

from tools import bundle
from tools.project import project

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def wheels(tmp_path) -> Path:
    fake_torch(tmp_path / "downloaded", f"{VERSION}+cpu")
    return tmp_path / "downloaded"


def unpacked(archive: Path, folder: Path) -> Path:
    zipfile.ZipFile(archive).extractall(folder)
    return folder / bundle.TOP


@pytest.fixture
def room(copy, wheels, tmp_path, monkeypatch) -> Path:  # noqa: F811
    """A bundle of the small checkout, unpacked where a learner might."""
    monkeypatch.setattr(bundle, "KEPT", (*bundle.KEPT, "backend.py"))
    bundle.pack(tmp_path / "bundle.zip", wheels, copy)
    return unpacked(tmp_path / "bundle.zip", tmp_path / "教室 1")


def no_network(environment: dict[str, str]) -> dict[str, str]:
    """pip may ask an index, at an address where nobody answers."""
    nobody = "http://127.0.0.1:9"
    cut = {name: value for name, value in environment.items() if not name.startswith("PIP_")}
    return cut | {
        "PIP_INDEX_URL": nobody,
        "PIP_RETRIES": "0",
        "HTTPS_PROXY": nobody,
        "PIP_CONFIG_FILE": os.devnull,
    }


# ------------------------------------------------------------------------------------------- in the room


def test_it_installs_from_its_own_wheels_without_a_network(room, bare):  # noqa: F811
    result = course(room, no_network(bare), "bench", "where", "--lang", "en")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Checking the bundle" in result.stdout
    prefix, version, _ = json.loads(result.stdout.splitlines()[-1])
    assert Path(prefix) == room / ".venv"
    assert version == f"{VERSION}+cpu"
    again = course(room, no_network(bare), "bench", "where", "--lang", "en")
    assert again.stdout.splitlines() == ["== where", result.stdout.splitlines()[-1]]


@pytest.mark.parametrize(
    ("lang", "words"), [("zh", ("Python 2.7", "离线包")), ("en", ("Python 2.7", "bundle"))]
)
def test_another_machine_s_bundle_is_refused_in_a_sentence(room, bare, lang, words):  # noqa: F811
    manifest = json.loads((room / "wheels" / "manifest.json").read_text(encoding="utf-8"))
    manifest["platform"][2] = "Python 2.7"
    (room / "wheels" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    result = course(room, bare, "bench", "--lang", lang)
    assert result.returncode == 1
    assert all(word in result.stderr for word in words) and len(result.stderr.strip().splitlines()) == 1
    assert not (room / ".venv").exists()


@pytest.mark.parametrize(
    "harm", [lambda path: path.write_bytes(path.read_bytes()[:-1]), lambda path: path.unlink()]
)
def test_a_wheel_damaged_on_the_way_is_named(room, bare, harm):  # noqa: F811
    (wheel,) = (room / "wheels").glob("*.whl")
    harm(wheel)
    result = course(room, bare, "bench", "--lang", "en")
    assert result.returncode == 1
    assert result.stderr.strip() == (
        f"{wheel.name} in the bundle is missing or damaged: copy the bundle once more and unpack it again."
    )


def test_what_the_bundle_has_not_comes_from_the_network_as_ever(room):
    module = load(room)
    assert module.from_bundle(["lab"])[0] == "--no-index"
    assert module.from_bundle(["lab", "test"]) == []


# ------------------------------------------------------------------------------------------ in the archive


def test_it_holds_the_checkout_and_no_key_no_cache_and_nothing_else_that_lies_there(copy, wheels, tmp_path):  # noqa: F811
    for name in (".env", "my class/grades.csv", "solutions/en/a.ipynb", "exercises/en/a.ipynb", "tools/__pycache__/x.pyc",
                 "tools/x.py", "notebooks/.ipynb_checkpoints/a.ipynb", "lessons/a.py", ".venv/pyvenv.cfg"):  # fmt: skip
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("x")
    names = {}
    for solutions in (True, False):
        bundle.pack(tmp_path / "b.zip", wheels, copy, solutions=solutions)
        archive = zipfile.ZipFile(tmp_path / "b.zip")
        assert archive.testzip() is None
        names[solutions] = {name.removeprefix(f"{bundle.TOP}/") for name in archive.namelist()}
    assert names[False] == {
        "course.py", "pyproject.toml", "constraints.txt", "benchmarks/where.py", "exercises/en/a.ipynb", "tools/x.py",
        "START-HERE.txt", "wheels/manifest.json", f"wheels/torch-{VERSION}+cpu-py3-none-any.whl",
    }  # fmt: skip
    assert names[True] - names[False] == {"solutions/en/a.ipynb", "lessons/a.py"}
    assert not (tmp_path / "b.zip.tmp").exists()


def test_everything_that_git_keeps_goes_into_it():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git here")
    there = {name.split("/")[0] for name in listed.stdout.splitlines()}
    assert {name for name in there if not name.startswith(".")} == set(bundle.KEPT)


def test_the_room_s_requirements_are_the_course_s_the_workbench_s_the_teacher_s_and_the_build_s():
    names = {Requirement(text).name for text in bundle.requirements()}
    said = project()
    lists = [
        said["dependencies"],
        said["optional-dependencies"]["lab"],
        said["optional-dependencies"]["teach"],
    ]
    meant = {Requirement(text).name for texts in lists for text in texts}
    assert names == meant - {"torch"} | {"hatchling", "editables"}


def test_the_build_s_requirements_are_what_its_backend_asks_for(monkeypatch):
    from hatchling import build

    monkeypatch.chdir(ROOT)
    asked = [*build.get_requires_for_build_editable(), "hatchling>=1.26,<2"]
    stated = {Requirement(text).name for text in bundle.BUILD}
    assert {Requirement(text).name for text in asked} <= stated


@pytest.mark.skipif(sys.platform != "linux", reason="only there is there another build than the CPU's")
def test_torch_is_asked_for_in_its_cpu_build_and_one_that_cannot_be_had_is_a_sentence(tmp_path, monkeypatch):
    asked = []

    def run(command, **_):
        asked.append(command)
        return subprocess.CompletedProcess(command, 1, stdout="", stderr="no such version")

    monkeypatch.setattr(bundle.subprocess, "run", run)
    with pytest.raises(bundle.BundleError, match="--torch-index URL|--torch-index"):
        bundle.download(tmp_path, None)
    downloads = [command for command in asked if "download" in command]
    assert downloads and all(command[-1].endswith("+cpu") for command in downloads)
    asked.clear()
    annotated = "torch==2.13.0+cpu\n    # from https://example.org/whl/cpu\n"
    monkeypatch.setattr(
        bundle.subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 0, stdout=annotated, stderr=""),
    )
    assert bundle.cpu_index("2.13.0") == "https://example.org/whl/cpu"
