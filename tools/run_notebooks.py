"""Run every notebook and solution headless, and print how long each took. Nothing is written.

    python3 course.py run [--lang zh|en] [--only NAME ...]

The exit status is 1 when a notebook fails.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm import tqdm

from tools import kernels

ROOT = Path(__file__).resolve().parents[1]
LANGUAGES = ("zh", "en")


def find(root: Path, languages: tuple[str, ...], only: list[str] | None) -> list[Path]:
    """The notebooks and solutions to run, in the order of the course."""
    paths = [path for folder in ("notebooks", "solutions") for path in (root / folder).glob("*/*.ipynb")]
    paths = [path for path in paths if path.parent.name in languages]
    if only:
        paths = [path for path in paths if path.stem.startswith(tuple(only))]
    return sorted(paths, key=lambda path: (path.parts[-3], path.stem, LANGUAGES.index(path.parent.name)))


def run(path: Path, bar: tqdm) -> str | None:
    """Run one notebook; returns the error's last lines, or None."""
    nb = nbformat.read(path, as_version=4)
    try:
        kernels.run_notebook(nb, path.parent, lang=path.parent.name, on_cell=lambda index: bar.update())
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return kernels.plain(error)
    return None


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
    return "\n".join(lines)


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="course.py run", description=__doc__.splitlines()[0])
    parser.add_argument("--lang", choices=LANGUAGES, help="one language alone")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="notebooks by name or its beginning")
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
    rows = []
    with tqdm(total=cells, unit="cell") as bar:
        for path in paths:
            bar.set_description(path.relative_to(root).with_suffix("").as_posix())
            started = time.perf_counter()
            error = run(path, bar)
            rows.append((path, time.perf_counter() - started, error))
    print(table(rows, root))
    failed = [(path, error) for path, _, error in rows if error]
    for path, error in failed:
        print(f"\n{path.relative_to(root).as_posix()}:\n{error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
