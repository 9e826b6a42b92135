"""Bulk embedding: the plain loop and Ray Data, as the work grows.

    python benchmarks/bench_embed.py [--counts 2000 6000 20000] [--workers 1]

Drawn pictures of 128 x 128, 500 different ones under as many names as it takes, through mini-clip into a store on disk, by
`python -m course_lib.embed` in a process of its own. CPU seconds are those of the whole family of processes, Ray's own
included, looked at several times a second: what a process does in its last moment is missing.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import numpy as np  # noqa: E402
import psutil  # noqa: E402
from tqdm import tqdm  # noqa: E402

import little_world  # noqa: E402

DIFFERENT = 500


def drawn(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    files = [folder / f"{i}.png" for i in range(DIFFERENT)]
    for file in tqdm(files, desc="pictures", leave=False):
        little_world.draw(little_world.random_scene(rng)).save(file)
    return files


def linked(files: list[Path], folder: Path, count: int) -> Path:
    folder.mkdir()
    for i in range(count):
        os.link(files[i % len(files)], folder / f"p{i}.png")
    return folder


def run(folder: Path, store: Path, options: list[str]) -> tuple[float, float]:
    """Seconds by the clock, and of CPU in the whole family of processes."""
    command = [sys.executable, "-m", "course_lib.embed", str(folder), "--store", str(store), *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1", "COURSE_LANG": "en"}
    start, spent = time.perf_counter(), {}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    family = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            for each in [family, *family.children(recursive=True)]:
                times = each.cpu_times()
                spent[each.pid, each.create_time()] = times.user + times.system
        except psutil.Error:
            pass  # one of them has just ended
        time.sleep(0.3)
    seconds, output = time.perf_counter() - start, process.communicate()[0]
    if process.returncode:
        raise SystemExit(output[-2000:])
    return seconds, sum(spent.values())


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument(
        "--counts", type=int, nargs="+", default=[2000, 6000, 20_000], help="pictures in a run"
    )
    parser.add_argument("--workers", type=int, default=1, help="Ray's workers (default 1)")
    arguments = parser.parse_args()
    ways = {
        "loop": ["--no-ray"],
        f"Ray, {arguments.workers} worker(s)": ["--ray", "--workers", str(arguments.workers)],
    }
    print(f"{platform.machine()}, {os.cpu_count()} cores; Python {platform.python_version()}\n")
    print("| pictures | way | seconds | CPU s | ms a picture | CPU ms a picture | CPU ms of one more |")
    print("|--:|---|--:|--:|--:|--:|--:|")
    before: dict[str, tuple[int, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        files = drawn(Path(place))
        for count in arguments.counts:
            folder = linked(files, Path(place, f"of{count}"), count)
            for number, (way, options) in enumerate(ways.items()):
                seconds, cpu = run(folder, Path(place, f"index{count}-{number}"), options)
                more = "-"
                if way in before:
                    more = f"{1e3 * (cpu - before[way][1]) / (count - before[way][0]):.1f}"
                before[way] = count, cpu
                per = f"{1e3 * seconds / count:.1f} | {1e3 * cpu / count:.1f}"
                print(f"| {count:,} | {way} | {seconds:.1f} | {cpu:.1f} | {per} | {more} |", flush=True)


if __name__ == "__main__":
    main()
