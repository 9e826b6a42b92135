"""Run every notebook and solution headless, and print how long each took. No notebook is changed.

    python3 course.py run [--lang zh|en] [--only NAME ...] [--jobs N] [--keep]

`--keep` writes the table to docs/status.md. The exit status is 1 when a notebook fails.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm import tqdm

from tools import kernels

ROOT = Path(__file__).resolve().parents[1]
STATUS = "docs/status.md"
LANGUAGES = ("zh", "en")


def find(root: Path, languages: tuple[str, ...], only: list[str] | None) -> list[Path]:
    """The notebooks and solutions to run, in the order of the course."""
    paths = [path for folder in ("notebooks", "solutions") for path in (root / folder).glob("*/*.ipynb")]
    paths = [path for path in paths if path.parent.name in languages]
    if only:
        paths = [path for path in paths if path.stem.startswith(tuple(only))]
    return sorted(paths, key=lambda path: (path.parts[-3], path.stem, LANGUAGES.index(path.parent.name)))


def run(path: Path, bar: tqdm, env: dict[str, str]) -> tuple[Path, float, str | None]:
    """Run one notebook; returns it with its seconds and the error's last lines, or None."""
    nb, started, problem = nbformat.read(path, as_version=4), time.perf_counter(), None
    try:
        kernels.run_notebook(
            nb, path.parent, lang=path.parent.name, env=env, on_cell=lambda index: bar.update()
        )
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        problem = kernels.plain(error)
    return path, time.perf_counter() - started, problem


def table(rows: list[tuple[Path, float, str | None]], root: Path) -> str:
    """Seconds per notebook, a column for each language; a failed run is marked."""
    languages = [lang for lang in LANGUAGES if any(path.parent.name == lang for path, _, _ in rows)]
    lessons = list(dict.fromkeys((path.parts[-3], path.stem) for path, _, _ in rows))
    found = {(path.parts[-3], path.stem, path.parent.name): (s, error) for path, s, error in rows}
    width = max(len(f"{folder}/{name}") for folder, name in lessons)
    lines = [" " * width + "".join(f"{lang:>12}" for lang in languages)]
    for folder, name in lessons:
        cells = []
        for lang in languages:
            seconds, error = found.get((folder, name, lang), (None, None))
            cells.append("" if seconds is None else f"{seconds:.1f} s" + (" x" if error else "  "))
        lines.append(f"{folder + '/' + name:<{width}}" + "".join(f"{cell:>12}" for cell in cells))
    totals = [f"{sum(s for path, s, _ in rows if path.parent.name == lang):.1f} s  " for lang in languages]
    lines.append(f"{'':<{width}}" + "".join(f"{cell:>12}" for cell in totals))
    return "\n".join(line.rstrip() for line in lines)


def keep(rows: list[tuple[Path, float, str | None]], root: Path, whole: str) -> None:
    """Write the table of a whole run to `STATUS`."""
    path = root / STATUS
    temporary = path.with_suffix(".part")
    temporary.write_text(
        "# How long the course runs\n\n"
        "Printed by `python3 course.py run --keep`: every notebook and every solution from its first cell to its last, in both\n"
        f"languages, each in a kernel of its own. An x marks one that failed.\n\n{whole}.\n\n```\n{table(rows, root)}\n```\n",
        encoding="utf-8",
    )
    os.replace(temporary, path)


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="course.py run", description=__doc__.splitlines()[0])
    parser.add_argument("--lang", choices=LANGUAGES, help="one language alone")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="notebooks by name or its beginning")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="notebooks run at once")
    parser.add_argument("--keep", action="store_true", help=f"write the table to {STATUS}")
    args = parser.parse_args(argv)
    paths = find(root, (args.lang,) if args.lang else LANGUAGES, args.only)
    if not paths:
        print("no such notebook", file=sys.stderr)
        return 2
    cells = sum(
        cell.cell_type == "code" and bool(cell.source.strip())
        for path in paths
        for cell in nbformat.read(path, as_version=4).cells
    )
    env = {"OMP_NUM_THREADS": "1"} if args.jobs > 1 else {}
    started = time.perf_counter()
    with tqdm(total=cells, unit="cell") as bar, ThreadPoolExecutor(max(1, args.jobs)) as pool:
        rows = list(pool.map(partial(run, bar=bar, env=env), paths))
    minutes = (time.perf_counter() - started) / 60
    whole = f"The whole run: {minutes:.1f} minutes, {args.jobs} at a time on {os.cpu_count()} cores"
    print(table(rows, root), whole, sep="\n")
    if args.keep:
        keep(rows, root, whole)
    failed = [(path, error) for path, _, error in rows if error]
    for path, error in failed:
        print(f"\n{path.relative_to(root).as_posix()}:\n{error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
