"""pyproject.toml, constraints.txt, environment.yml and the imports agree; the wheel holds what it must."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import zipfile
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tools.project import project

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")

# Colab's runtime 2026.01 as googlecolab/backend-info lists it (pip-freeze.txt at commit bd8aaa4): the course
# must be at home there without changing a version.
COLAB = {
    "torch": "2.9.0+cpu",
    "transformers": "4.57.6",
    "tokenizers": "0.22.2",
    "huggingface-hub": "0.36.0",
    "sentencepiece": "0.2.1",
    "protobuf": "5.29.5",
    "numpy": "2.0.2",
    "pillow": "11.3.0",
    "opencv-python-headless": "4.12.0.88",
    "matplotlib": "3.10.0",
    "ipython": "7.34.0",
    "ipywidgets": "7.7.1",
    "tqdm": "4.67.1",
    "python-dotenv": "1.2.1",
}
# What that list was not read for, or does not have: the notebooks' first cell installs what is missing.
INSTALLED_ON_COLAB = {
    "av",
    "diffusers",
    "safetensors",
    "openai",
    "requests",
    "pydantic",
    "fastapi",
    "uvicorn",
    "python-multipart",
    "llguidance",
    "faiss-cpu",
    "platformdirs",
}
# conda's name for a package, where it differs; each installs the other's metadata, so that pip sees it there
CONDA = {
    "torch": "pytorch-cpu",
    "opencv-python-headless": "py-opencv",
    "matplotlib": "matplotlib-base",
    "huggingface-hub": "huggingface_hub",
}
IMPORTED_AS = {
    "opencv-python-headless": "cv2",
    "faiss-cpu": "faiss",
    "pillow": "PIL",
    "python-dotenv": "dotenv",
    "huggingface-hub": "huggingface_hub",
    "ipython": "IPython",
    "grpcio": "grpc",
}
# needed by transformers for a family of models that the course supports, never imported by name
THROUGH_TRANSFORMERS = {"sentencepiece", "protobuf"}
THROUGH_FASTAPI = {"python-multipart"}
NO_LATER = {"milvus"}  # 2.3.5 is the last with a wheel for Linux


def requirements(group: str) -> list[Requirement]:
    lists = {"core": project()["dependencies"], **project()["optional-dependencies"]}
    found = [Requirement(text) for text in lists[group]]
    return [requirement for requirement in found if requirement.name != project()["name"]]


GROUPS = ("core", *project()["optional-dependencies"])
DIRECT = [(group, requirement) for group in GROUPS for requirement in requirements(group)]
each_direct = pytest.mark.parametrize("requirement", [r for _, r in DIRECT], ids=[r.name for _, r in DIRECT])


def bounds(requirement: Requirement) -> dict[str, str]:
    return {specifier.operator: specifier.version for specifier in requirement.specifier}


@cache
def constraints() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pinned(name: str, python: str) -> list[str]:
    """The versions that constraints.txt asks for on Linux with this Python."""
    environment = {"python_version": python, "python_full_version": python + ".0", "sys_platform": "linux"}
    normal = re.sub(r"[-_.]+", "-", name).lower()
    return [
        bounds(constraint)["=="]
        for constraint in constraints()
        if re.sub(r"[-_.]+", "-", constraint.name).lower() == normal
        and (constraint.marker is None or constraint.marker.evaluate(environment))
    ]


@each_direct
def test_a_range_has_a_floor_and_ends_at_the_next_major_version(requirement):
    found = bounds(requirement)
    if requirement.name in NO_LATER:
        assert set(found) == {"=="}
        return
    assert set(found) == {">=", "<"}
    highest = max(Version(version) for python in PYTHONS for version in pinned(requirement.name, python))
    assert Version(found["<"]) == Version(str(highest.major + 1))


@each_direct
@pytest.mark.parametrize("python", PYTHONS)
def test_the_tested_version_is_within_the_range(requirement, python):
    versions = pinned(requirement.name, python)
    assert len(versions) == 1
    assert requirement.specifier.contains(versions[0])


@pytest.mark.parametrize("python", PYTHONS)
def test_a_pinned_version_can_be_installed_on_that_python(python):
    """A version pinned where its own `Requires-Python` shuts it out would end every learner's install."""
    refusing = []
    for constraint in constraints():
        try:
            installed = metadata(constraint.name)
        except PackageNotFoundError:
            continue  # another system's
        if installed["Version"] in pinned(constraint.name, python):
            needs = SpecifierSet(installed["Requires-Python"] or "")
            if not needs.contains(f"{python}.99"):
                refusing.append(f"{constraint.name} {installed['Version']}: {needs}")
    assert refusing == []


def test_every_dependency_says_why_it_is_there():
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    wanting = [
        requirement.name
        for _, requirement in DIRECT
        if not any(
            re.search(rf'^    "{re.escape(requirement.name)}(\[\w+\])?[<>=].*",\s+# \w+', line)
            for line in lines
        )
    ]
    assert wanting == []


def test_what_colab_has_satisfies_every_core_range():
    core = {requirement.name: requirement.specifier for requirement in requirements("core")}
    assert set(core) == set(COLAB) | INSTALLED_ON_COLAB
    assert [name for name, version in COLAB.items() if not core[name].contains(version)] == []


def test_the_constraints_are_one_version_each_and_hold_no_cuda():
    assert all(set(bounds(constraint)) == {"=="} for constraint in constraints())
    names = {constraint.name for constraint in constraints()}
    assert not {name for name in names if re.match(r"nvidia-|cuda-|triton", name)}
    # course.py reads this line without a parser
    assert len(re.findall(r"^torch==[\d.]+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)) == 1


def test_environment_yml_carries_the_same_dependencies():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    entries = environment["dependencies"]
    assert entries[-1] == {"pip": ["-e ."]}
    stated = {str(Requirement(entry.replace("=", "==", 1))) for entry in entries[:1]}
    stated |= {str(Requirement(entry)) for entry in entries[1:-1]}
    meant = {f"{CONDA.get(r.name, r.name)}{r.specifier}" for r in requirements("core") + requirements("lab")}
    assert stated == meant | {"python==3.12", "pip"}
    assert "3.12" in PYTHONS
    assert environment["name"] == project()["name"]


def third_party_imports(folder: Path) -> set[str]:
    """Top-level names that modules below `folder` import, wherever in them; the standard library aside."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"course_lib", "little_world"}


def test_what_the_packages_import_is_what_they_depend_on():
    imported = third_party_imports(ROOT / "course_lib") | third_party_imports(ROOT / "little_world")
    names = (
        {requirement.name for requirement in requirements("core")} - THROUGH_TRANSFORMERS - THROUGH_FASTAPI
    )
    names |= {requirement.name for group in ("milvus", "ray") for requirement in requirements(group)}
    names |= {"milvus"}  # the server, which a learner adds if they want it
    assert imported == {IMPORTED_AS.get(name, name) for name in names}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The built wheel, made with the hatchling that is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_packages_the_fonts_and_the_data_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"course_lib", "little_world"}
    for folder in ("course_lib", "little_world", "data"):
        inside = "little_world/data" if folder == "data" else folder
        there = {p.relative_to(ROOT / folder).as_posix() for p in (ROOT / folder).rglob("*") if p.is_file()}
        # what git ignores (caches, a file manager's droppings) is not packed either
        there = {name for name in there if "__pycache__" not in name and not Path(name).name.startswith(".")}
        packed = {name[len(inside) + 1 :] for name in names if name.startswith(inside + "/")}
        if folder == "little_world":
            packed = {name for name in packed if not name.startswith("data/")}
        assert packed == there
    assert any(name.startswith("course_lib/fonts/") and name.endswith(".otf") for name in names)


def test_the_wheel_works_where_it_is_installed(wheel, tmp_path):
    """Colab has the wheel alone, no checkout beside it: the gallery must load from inside the package."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import course_lib, little_world, little_world.paths as paths\n"
        "assert paths.DATA.is_relative_to(paths.Path(little_world.__file__).parent), paths.DATA\n"
        "print(len(little_world.load_gallery()))"
    )
    command = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": str(tmp_path), "PATH": ""}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 0


# --------------------------------------------------------------------------------------------------- Binder


def test_binder_reads_environment_yml_and_nothing_before_it():
    """repo2docker takes the first that it finds; these come before environment.yml, or hide it."""
    there = {path.name for path in ROOT.iterdir()}
    assert not there & {
        "binder",
        ".binder",
        "Dockerfile",
        "Project.toml",
        "REQUIRE",
        "default.nix",
        "DESCRIPTION",
    }
    assert os.access(ROOT / "postBuild", os.X_OK)


@pytest.mark.skipif(sys.platform == "win32", reason="Binder is Linux")
def test_what_binder_runs_after_the_install_runs(tmp_path):
    """postBuild in a stand-in for Binder's environment, whose Python is this one."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    environment = os.environ | {"NB_PYTHON_PREFIX": str(tmp_path)}
    result = subprocess.run(["./postBuild"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    settings = tmp_path / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    (notification,) = json.loads(settings.read_text()).values()
    assert notification["fetchNews"] == "false"
    assert re.fullmatch(r"\(1, \d+\)", result.stdout.strip())
