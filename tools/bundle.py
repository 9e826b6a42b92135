"""One archive that sets up a room without internet: the course, its data, and every wheel an install needs.

    python3 course.py bundle [--out FILE.zip] [--no-solutions]

Unpacked, `python3 course.py` installs from its wheels and from nowhere else. Wheels are those of the machine that made
it: the same system, processor and Python (3.11, say) must be in the room. The learner's tools and the teacher's
(`course.py classroom`) are in it; the tests' are not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import course
from course_lib.settings import say, set_language
from tools.project import project

ROOT = Path(__file__).resolve().parents[1]
TOP = "multimodal-course"  # the folder that the archive unpacks to
EXTRAS = ("lab", "teach")
# What an editable install builds with: the backend, and what it asks for when it is asked to.
BUILD = ("hatchling>=1.26,<2", "editables>=0.5,<1")
# What of a checkout goes into it. Named one by one, so that nothing else that lies there does: keys, a class's grades.
KEPT = (
    "LICENSE", "README.md", "README.zh-CN.md", "benchmarks", "conftest.py", "constraints.txt", "course.py", "course_lib",
    "data", "docs", "environment.yml", "exercises", "lessons", "little_world", "notebooks", "postBuild", "pyproject.toml",
    "solutions", "tests", "tools",
)  # fmt: skip
ANSWERS = ("solutions", "lessons", "tests")  # left out of an archive without solutions
_DROPPED = re.compile(r"(^|/)(__pycache__|\.[^/]*)(/|$)|\.pyc$|\.tmp$")
_NOTE = """\
1. 解压，进入文件夹，运行 python3 course.py （Windows：py course.py）。不需要网络。
   需要：{platform}。
2. 上课前每台机器跑一次 python3 course.py doctor。

1. Unpack this, go into the folder, run python3 course.py (Windows: py course.py). No network is needed.
   It wants {platform}.
2. Before the class, run python3 course.py doctor once on every machine.
"""


class BundleError(Exception):
    """The archive cannot be made; the message says what to do."""


def requirements(root: Path = ROOT) -> list[str]:
    """What a room installs beside torch: the course's own requirements, both extras' and the build's."""
    said = project(root)
    own = said["name"]
    lists = [said["dependencies"], *(said["optional-dependencies"][extra] for extra in EXTRAS), list(BUILD)]
    return [text for texts in lists for text in texts if not re.match(rf"{own}\b|torch\b", text)]


def download(wheels: Path, torch_index: str | None, root: Path = ROOT) -> None:
    """Fetch all wheels into `wheels`, in the versions of constraints.txt, torch in its CPU build."""
    pip = [sys.executable, "-m", "pip", "download", "--only-binary", ":all:", "-d", str(wheels)]
    pip += ["-c", str(root / "constraints.txt"), "--progress-bar", "off", "-q"]
    version = course.torch_version()
    said = ""
    for tool, arguments in course.torch_attempts(version, platform.system(), nvidia=False, index=torch_index):
        if tool == "uv":  # which knows where PyTorch's own wheels are, but downloads none
            address = cpu_index(version)
            arguments = ["--index-url", address, arguments[-1]] if address else []
        if arguments:
            result = subprocess.run([*pip, "--no-deps", *arguments], capture_output=True, text=True)
            if result.returncode == 0:
                break
            said = result.stderr
    else:
        raise BundleError(
            say(
                zh="下载不到 PyTorch 的 CPU 版：请用 --torch-index 指定它的镜像网址。",
                en="PyTorch's CPU build could not be fetched: name a mirror of it with --torch-index URL.",
            )
            + f"\n{said.strip()}"
        )
    command = [*pip, "--find-links", str(wheels), f"torch=={version}", *requirements(root)]
    result = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        raise BundleError(str(course.diagnose(result.stderr)) + f"\n{result.stderr.strip()}")


def cpu_index(version: str) -> str | None:
    """Where PyTorch's CPU wheels are, as uv knows; None without uv or a network."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", "--no-deps", "--no-header"]
    command += ["--torch-backend", "cpu", "--emit-index-annotation"]
    result = subprocess.run(command, input=f"torch=={version}\n", capture_output=True, text=True)
    found = re.search(r"# from (https?://\S+)", result.stdout)
    return found[1] if found else None


def files(root: Path, *, solutions: bool) -> Iterator[Path]:
    """The checkout's files that go into the archive."""
    for name in KEPT:
        top = root / name
        if not solutions and name in ANSWERS:
            continue
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and not _DROPPED.search(path.relative_to(root).as_posix()):
                yield path


def pack(out: Path, wheels: Path, root: Path = ROOT, *, solutions: bool = True) -> None:
    """Write the archive: the checkout's files, the wheels and their manifest."""
    manifest = {
        "platform": course.bundle_platform(),
        "extras": list(EXTRAS),
        "wheels": {path.name: course.sha256(path) for path in sorted(wheels.glob("*.whl"))},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(out.name + ".tmp")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files(root, solutions=solutions):
                archive.write(path, f"{TOP}/{path.relative_to(root).as_posix()}")
            for name in manifest["wheels"]:  # compressed already
                archive.write(wheels / name, f"{TOP}/wheels/{name}", zipfile.ZIP_STORED)
            archive.writestr(f"{TOP}/wheels/{course.MANIFEST.name}", json.dumps(manifest, indent=1))
            archive.writestr(f"{TOP}/START-HERE.txt", _NOTE.format(platform=" ".join(manifest["platform"])))
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py bundle", description=__doc__.splitlines()[0])
    system, machine, python = (part.lower().replace("python ", "py") for part in course.bundle_platform())
    default = ROOT / "build" / f"{TOP}-{system}-{machine}-{python}.zip"
    parser.add_argument("--out", type=Path, default=default, help="the archive to write")
    parser.add_argument("--no-solutions", action="store_true", help="for learners: without the answers")
    parser.add_argument("--torch-index", metavar="URL", help="a mirror of PyTorch's wheels")
    parser.add_argument("--lang", choices=("zh", "en"))
    args = parser.parse_args(argv)
    set_language(args.lang)
    course._language = args.lang or "en"
    try:
        with tempfile.TemporaryDirectory() as folder:
            print(say(zh="下载安装包……", en="Fetching the wheels ..."), flush=True)
            download(Path(folder), args.torch_index)
            pack(args.out, Path(folder), solutions=not args.no_solutions)
    except BundleError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{args.out}  {args.out.stat().st_size / 1e6:.0f} MB  ({' '.join(course.bundle_platform())})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
