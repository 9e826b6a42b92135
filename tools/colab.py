"""Colab's layout, made here: a notebook alone in an empty folder, in a Python that has Colab's packages.

    python -m tools.colab PYTHON [--only NAME ...] [--lang en]

PYTHON is the python of a virtual environment that holds what Colab preinstalls (torch, transformers, numpy,
ipykernel 6, IPython 7, ipywidgets 7, ...) and not the course. A stand-in for `google.colab` is put into it. Each
notebook's first cell then installs the course from a wheel of this checkout, as on Colab it does from the repository;
the exit status is 1 where a notebook fails, or a version of Colab's was replaced.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from tools import kernels

ROOT = Path(__file__).resolve().parents[1]

_USERDATA = """\
import json, os


class SecretNotFoundError(Exception):
    pass


def get(name):
    secrets = json.loads(os.environ.get("FAKE_COLAB_SECRETS", "{}"))
    if name not in secrets:
        raise SecretNotFoundError(name)
    return secrets[name]
"""


def add_google_colab(site_packages: Path) -> None:
    """A stand-in for `google.colab`: it is there, and hands out the secrets of FAKE_COLAB_SECRETS (JSON)."""
    folder = site_packages / "google" / "colab"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").touch()
    (folder / "userdata.py").write_text(_USERDATA, encoding="utf-8")


def build_wheel(folder: Path) -> Path:
    """A wheel of this checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def run_alone(nb: NotebookNode, python: str, content: Path, environment: dict[str, str]) -> NotebookNode:
    """Run `nb` in place, in the empty folder `content`, with a kernel of `python` in which `google.colab` is loaded.

    The kernel gets `environment` and little else: nothing leads it to this checkout. Raises nbclient's
    `CellExecutionError` at the first cell that fails.
    """
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "OMP_NUM_THREADS") if name in os.environ}
    kept["PATH"] = os.pathsep.join([str(Path(python).parent), os.environ.get("PATH", os.defpath)])
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder, "kernels", "colab")
        spec.mkdir(parents=True)
        command = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        command += ["--IPKernelApp.exec_lines=['import google.colab']"]
        (spec / "kernel.json").write_text(
            json.dumps({"argv": command, "display_name": "Colab", "language": "python"}), encoding="utf-8"
        )
        before = os.environ.get("JUPYTER_PATH")
        os.environ["JUPYTER_PATH"] = folder
        try:
            client = NotebookClient(
                nb,
                timeout=kernels.CELL_TIMEOUT,
                kernel_name="colab",
                resources={"metadata": {"path": str(content)}},
                store_widget_state=False,
            )
            client.execute(env=kept | {"IPYTHONDIR": str(Path(folder, "ipython"))} | environment)
        finally:
            if before is None:
                del os.environ["JUPYTER_PATH"]
            else:
                os.environ["JUPYTER_PATH"] = before
    return nb


def versions(python: str) -> dict[str, str]:
    """The packages that pip sees in another Python."""
    command = [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {package["name"].lower(): package["version"] for package in listed}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", help="the python of an environment with Colab's packages")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="notebooks by name or its beginning")
    parser.add_argument("--lang", choices=("zh", "en"), default="en")
    args = parser.parse_args(argv)
    where = [args.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    add_google_colab(Path(subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip()))
    before = versions(args.python)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        source = str(build_wheel(Path(folder)))
        paths = [
            p for top in ("notebooks", "solutions") for p in sorted((ROOT / top / args.lang).glob("*.ipynb"))
        ]
        for path in paths:
            if args.only and not path.stem.startswith(tuple(args.only)):
                continue
            with tempfile.TemporaryDirectory(prefix="content-") as content:
                try:
                    environment = {"COURSE_SOURCE": source, "HF_HUB_OFFLINE": "1", "COURSE_PROGRESS": "off"}
                    run_alone(nbformat.read(path, as_version=4), args.python, Path(content), environment)
                    print(f"ok      {path.relative_to(ROOT)}", flush=True)
                except CellExecutionError as error:
                    failed += 1
                    print(f"failed  {path.relative_to(ROOT)}\n{kernels.plain(error)}", flush=True)
    after = versions(args.python)
    for name, version in before.items():
        if after.get(name) != version:
            failed += 1
            print(f"replaced: {name} {version} -> {after.get(name)}")
    print(f"added: {', '.join(f'{name} {after[name]}' for name in sorted(set(after) - set(before)))}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
