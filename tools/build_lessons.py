"""Build `notebooks/`, `solutions/` and `exercises/` from `lessons/` (see `tools/lessons.py` for the format).

    python3 course.py build [--only NAME ...] [--changed] [--no-execute] [--jobs N]

A notebook is written when it is complete (to a temporary file, then renamed), so a failing lesson leaves the
stored notebook as it was. Two builds of the same source give the same file, but for what a cell itself makes
random.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from tools import gates, kernels
from tools.lessons import Lesson, LessonError, make_notebook, read_lessons

ROOT = Path(__file__).resolve().parents[1]
# What every lesson may depend on. Coarse on purpose: imports in functions and data read by path count too.
DEPENDENCIES = (
    "course_lib",
    "little_world",
    "data",
    "tools/lessons.py",
    "tools/kernels.py",
    "pyproject.toml",
)


@dataclass(frozen=True)
class Job:
    lesson: Lesson
    folder: str
    lang: str
    path: Path


def dependencies_digest(root: Path) -> str:
    """Hash of the code and data that lessons stand on."""
    digest = hashlib.sha256()
    for name in DEPENDENCIES:
        top = root / name
        for path in sorted(p for p in ([top] if top.is_file() else top.rglob("*")) if p.is_file()):
            if "__pycache__" not in path.parts:
                digest.update(path.relative_to(root).as_posix().encode() + b"\0")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def built_from(lesson: Lesson, dependencies: str) -> str:
    return hashlib.sha256((lesson.digest + dependencies).encode()).hexdigest()[:16]


def write(nb: NotebookNode, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        nbformat.write(nb, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def carry_outputs(nb: NotebookNode, path: Path) -> None:
    """Give the cells of `nb` the outputs that the stored notebook has for the very same cells."""
    if not path.exists():
        return
    stored = {
        cell.get("id"): cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"
    }
    for cell in nb.cells:
        if cell.cell_type == "code" and (old := stored.get(cell.id)) is not None:
            cell.outputs, cell.execution_count = old.outputs, old.execution_count


def build(job: Job, *, root: Path, digest: str, execute: bool) -> list[str]:
    """Make one notebook and write it. Returns what is still wrong with it, one sentence each."""
    nb = make_notebook(job.lesson, job.folder, job.lang, root)
    if job.folder != "exercises":
        if execute:
            kernels.run_notebook(nb, _existing(job.path.parent), lang=job.lang, env={"OMP_NUM_THREADS": "1"})
            for index, cell in enumerate(nb.cells):
                if kernels.shows_widget(cell) and "nbval-ignore-output" not in cell.metadata.get("tags", []):
                    raise LessonError(
                        f'{job.lesson.name}, cell {index} shows a widget: tag it "nbval-ignore-output"'
                    )
            kernels.tidy_outputs(nb, job.lang)
            nb.metadata.course["built_from"] = digest
        else:
            carry_outputs(nb, job.path)
    write(nb, job.path)
    return gates.problems(job.path, job.folder) if execute else []


def _existing(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def is_current(job: Job, digest: str, root: Path) -> bool:
    """Whether the stored notebook was executed from this source and these dependencies."""
    if gates.differences(job.path, job.lesson, job.folder, job.lang, root):
        return False
    if job.folder == "exercises":
        return True
    return nbformat.read(job.path, as_version=4).metadata.get("course", {}).get("built_from") == digest


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="course.py build", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="lessons to build, by name or its beginning"
    )
    parser.add_argument(
        "--changed", action="store_true", help="skip what was built from the same source and code"
    )
    parser.add_argument("--no-execute", action="store_true", help="keep stored outputs, run nothing")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="notebooks run at once")
    args = parser.parse_args(argv)

    try:
        lessons = read_lessons(root / "lessons")
    except LessonError as error:
        print(error, file=sys.stderr)
        return 1
    if args.only:
        for name in args.only:
            if not any(lesson.name.startswith(name) for lesson in lessons):
                print(
                    f"no lesson is called {name}; there are: {', '.join(x.name for x in lessons)}",
                    file=sys.stderr,
                )
                return 2
        lessons = [lesson for lesson in lessons if lesson.name.startswith(tuple(args.only))]

    dependencies = dependencies_digest(root)
    digests = {lesson.name: built_from(lesson, dependencies) for lesson in lessons}
    jobs = [
        Job(lsn, folder, lang, path) for lsn in lessons for (folder, lang), path in lsn.outputs(root).items()
    ]
    if args.changed:
        jobs = [job for job in jobs if not is_current(job, digests[job.lesson.name], root)]
    failed = 0
    with ThreadPoolExecutor(max(1, args.jobs)) as pool:
        started = time.perf_counter()
        futures = {
            pool.submit(
                build, job, root=root, digest=digests[job.lesson.name], execute=not args.no_execute
            ): job
            for job in jobs
        }
        for future in as_completed(futures):
            path = futures[future].path.relative_to(root)
            try:
                wrong = future.result()
            except (CellExecutionError, CellTimeoutError, DeadKernelError, LessonError) as error:
                wrong = [f"not written: {kernels.plain(error)}"]
            failed += bool(wrong)
            print(f"{time.perf_counter() - started:6.1f} s  {path.as_posix()}", flush=True)
            for sentence in wrong:
                print(f"          {sentence}", file=sys.stderr, flush=True)
    print(f"{len(jobs) - failed} of {len(jobs)} notebooks built")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
