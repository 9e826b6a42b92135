"""The first cell of every notebook: nothing at home; on Colab it installs the course and leaves Colab's own alone.

Colab is a virtual environment whose packages are links to those the tests run with, the course's own aside, with a
stand-in for `google.colab`, and a kernel in an empty folder. pip may look into one folder and at no index.
`python -m tools.colab` does the same with Colab's real versions, and every notebook.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from course_lib.settings import language, set_language
from tools import colab
from tools.lessons import LANGUAGES, setup_source

ROOT = Path(__file__).resolve().parents[1]
SECRET = "sk-kept-in-colab-0123456789"
OLD, NEW = "0.0.1", "1.5.0"  # of a package of which Colab has too old a version

LOOK = """\
import json, os, sys
from importlib.metadata import version
import course_lib, little_world
from course_lib import settings
print(json.dumps({
    "lang": [LANG, settings.language()],
    "prefix": sys.prefix,
    "file": course_lib.__file__,
    "gallery": len(little_world.load_gallery()),
    "key": settings.resolve("OPENAI_API_KEY").value,
    "shown": str(settings.resolve("OPENAI_API_KEY")),
    "none": settings.resolve("ZAI_API_KEY").value,
    "torch": version("torch"),
    "dotenv": version("python-dotenv"),
    "cwd": sorted(os.listdir()),
}))
"""


def wheel(folder: Path, name: str, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        info = f"{name}-{version}.dist-info"
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def environment(tmp_path) -> SimpleNamespace:
    """Colab's Python, its packages, and a folder that pip may look into."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    packages = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    for item in Path(sysconfig.get_path("purelib")).iterdir():
        if not item.name.lower().startswith(
            ("multimodal_course", "_multimodal_course", "_editable_impl_multi")
        ):
            if item.name != "google":  # protobuf's folder takes in google.colab
                (packages / item.name).symlink_to(item)
    if (protobuf := Path(sysconfig.get_path("purelib")) / "google").is_dir():
        (packages / "google").mkdir()
        for item in protobuf.iterdir():
            (packages / "google" / item.name).symlink_to(item)
    colab.add_google_colab(packages)
    pip = python.with_name("pip")
    pip.write_text(f"#!{python}\nfrom pip._internal.cli.main import main\nraise SystemExit(main())\n")
    pip.chmod(0o755)
    (tmp_path / "content").mkdir()
    (tmp_path / "wheels").mkdir()
    return SimpleNamespace(
        python=str(python), packages=packages, wheels=tmp_path / "wheels", content=tmp_path / "content"
    )


def open_on_colab(environment: SimpleNamespace, source: Path, lang: str) -> dict:
    """What `LOOK` prints after the first cell ran in the empty folder."""
    cells = [nbformat.v4.new_code_cell(text) for text in (setup_source(ROOT, lang), LOOK)]
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": environment.wheels.as_uri(), "PIP_CONFIG_FILE": "/dev/null"}
    secrets = {"FAKE_COLAB_SECRETS": json.dumps({"OPENAI_API_KEY": SECRET}), "COURSE_SOURCE": str(source)}
    nb = nbformat.v4.new_notebook(cells=cells)
    colab.run_alone(nb, environment.python, environment.content, pip | secrets | {"COURSE_LANG": ""})
    return json.loads(nb.cells[1].outputs[-1].text)


@pytest.mark.skipif(sys.platform == "win32", reason="Colab is Linux")
def test_on_colab_a_notebook_alone_installs_the_course_and_nothing_of_colab_s_is_replaced(
    environment, tmp_path
):
    before = colab.versions(environment.python)
    assert "multimodal-course" not in before
    found = open_on_colab(environment, colab.build_wheel(tmp_path), "zh")
    assert found["lang"] == ["zh", "zh"]
    assert Path(found["file"]).is_relative_to(found["prefix"])  # the installed one, not this checkout
    assert found["gallery"] > 100
    assert found["cwd"] == ["core.txt", "kept.txt"]
    assert colab.versions(environment.python).items() >= before.items()
    # a key from Colab's secrets, and where there is none, none
    assert (found["key"], found["none"]) == (SECRET, None)
    assert found["shown"] == "OPENAI_API_KEY = ****** (Colab)"


@pytest.mark.skipif(sys.platform == "win32", reason="Colab is Linux")
def test_where_colab_has_too_old_a_package_that_one_is_renewed_and_torch_stays(environment, tmp_path):
    for item in environment.packages.glob("python_dotenv-*"):
        item.unlink()
    old = environment.packages / f"python_dotenv-{OLD}.dist-info"
    old.mkdir()
    for name, text in {
        "METADATA": f"Metadata-Version: 2.1\nName: python-dotenv\nVersion: {OLD}\n",
        "RECORD": "\n".join(f"{old.name}/{name},," for name in ("METADATA", "RECORD", "INSTALLER")),
        "INSTALLER": "pip\n",
    }.items():
        (old / name).write_text(text)
    wheel(environment.wheels, "python_dotenv", NEW)
    wheel(environment.wheels, "torch", "2.99.0")  # newer, and must not be taken
    before = colab.versions(environment.python)
    found = open_on_colab(environment, colab.build_wheel(tmp_path), "en")
    assert found["dotenv"] == NEW
    assert found["torch"] == before["torch"]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_at_home_the_first_cell_only_sets_the_language(lang, monkeypatch):
    """Its shell lines would go through `get_ipython`, which here is not to be called."""
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    code = TransformerManager().transform_cell(setup_source(ROOT, lang))
    assert code.count("get_ipython()") == 3
    names = {"get_ipython": lambda: pytest.fail("the cell ran a command")}
    exec(code, names)
    assert names["LANG"] == language() == lang
    set_language(None)
