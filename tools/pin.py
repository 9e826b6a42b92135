"""Rewrite constraints.txt: one version of every package, on every supported Python and system.

    python -m tools.pin [--upgrade] [--torch VERSION]

A version stays while it fits the ranges of pyproject.toml; `--upgrade` takes the newest of everything. The
resolution is uv's, for all platforms at once. CUDA's own packages are left out: a learner without an
NVIDIA card never gets them, and one with a card gets those that the torch build asks for. Run the tests on
the new versions before you commit them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
HEADER = """\
# The versions the tests last ran with; `python -m tools.pin` rewrites this file. The ranges: pyproject.toml.
"""
_CUDA = re.compile(r"^(nvidia-|cuda-|triton\b)")


def pinned(name: str) -> str:
    """The version of `name` that constraints.txt holds now."""
    match = re.search(rf"^{re.escape(name)}==(\S+)", CONSTRAINTS.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise SystemExit(f"constraints.txt holds no version of {name}")
    return match[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", help="the torch version to pin (default: the one pinned now)")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "wanted.txt")
        wanted.write_text(f"torch=={args.torch or pinned('torch')}\n", encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "compile",
            "pyproject.toml",
            "--extra",
            "test",
            "--universal",
        ]
        found = Path(folder, "found.txt")
        shutil.copyfile(CONSTRAINTS, found)  # uv prefers the versions of the file that it writes
        command += [
            "--python-version",
            "3.10",
            "--constraints",
            str(wanted),
            "--output-file",
            str(found),
            "--no-header",
            "--no-annotate",
            "--quiet",
            *(["--upgrade"] if args.upgrade else []),
        ]
        subprocess.run(command, cwd=ROOT, check=True)
        lines = found.read_text(encoding="utf-8").splitlines()
    temporary = CONSTRAINTS.with_suffix(".tmp")
    temporary.write_text(HEADER + "\n".join(x for x in lines if not _CUDA.match(x)) + "\n", encoding="utf-8")
    os.replace(temporary, CONSTRAINTS)


if __name__ == "__main__":
    main()
