"""Pictures a second from a server that takes 0.5 s each: the chapter's loop without its sleep, and `batch_generate`.

    python benchmarks/bench_batch_generate.py [--pictures 32] [--seconds 0.5] [--slots 4] [--rounds 2]

The server is a stand-in in another process, which paints as many at once as it has slots; a fifth request waits. The
ways take turns, so that a busy machine slows all of them alike. Files are written by both, with the manifest and the
contact sheet by the second.
"""

from __future__ import annotations

import argparse
import base64
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import requests  # noqa: E402
from PIL import Image  # noqa: E402
from tqdm import tqdm  # noqa: E402

from course_lib.stable_diffusion import StableDiffusionService, batch_generate  # noqa: E402

CHAPTER = "the chapter's loop, without its sleep"
SIDE = 128


def chapter(url: str, prompts: list[str], folder: Path) -> None:
    """The listing's calls, with the right names for its fields, and no sleep."""
    for number, prompt in enumerate(prompts):
        payload = {"prompt": prompt, "width": SIDE, "height": SIDE, "steps": 30, "cfg_scale": 7.5}
        response = requests.post(f"{url}/sdapi/v1/txt2img", json=payload)
        response.raise_for_status()
        image = Image.open(BytesIO(base64.b64decode(response.json()["images"][0])))
        image.save(folder / f"generated_{number:03d}.png")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=32, help="pictures in all (default 32)")
    parser.add_argument("--seconds", type=float, default=0.5, help="what a picture takes (default 0.5)")
    parser.add_argument("--slots", type=int, default=4, help="what the server paints at once (default 4)")
    parser.add_argument("--rounds", type=int, default=2, help="batches of each way (default 2)")
    arguments = parser.parse_args()

    command = [sys.executable, str(ROOT / "tests" / "painting_servers.py")]
    command += ["--seconds", str(arguments.seconds), "--slots", str(arguments.slots)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip()
        service = StableDiffusionService(url)
        ways: dict[str, Callable[[list[str], Path], object]] = {
            CHAPTER: lambda prompts, folder: chapter(url, prompts, folder),
            f"batch_generate, {arguments.slots} workers": lambda prompts, folder: batch_generate(
                service, prompts, folder, max_workers=arguments.slots, width=SIDE, height=SIDE, progress=False
            ),
        }
        prompts = [f"picture {number}" for number in range(arguments.pictures)]
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        with tempfile.TemporaryDirectory() as scratch:
            for way, run in ways.items():
                folder = Path(scratch, f"warm {len(way)}")
                folder.mkdir()
                run(["warm"], folder)  # imports, the first connection
            for number in tqdm(range(arguments.rounds), leave=False):
                order = list(ways.items())
                for way, run in order[number % len(order) :] + order[: number % len(order)]:
                    folder = Path(scratch, f"{number} {len(way)}")
                    folder.mkdir()
                    start = time.perf_counter()
                    run(prompts, folder)
                    seconds[way].append((time.perf_counter() - start) / len(prompts))
                    assert len(list(folder.glob("generated_*.png"))) == len(prompts)
    finally:
        server.terminate()
        server.wait()
    print(f"{platform.machine()}, {os.cpu_count()} cores; Python {platform.python_version()}")
    print(
        f"\n### {len(prompts)} pictures, {arguments.seconds} s each, {arguments.slots} at once\n\n"
        "| way | pictures/s | x the chapter's |\n|---|--:|--:|"
    )
    for way, each in seconds.items():
        ratio = median(slow / fast for slow, fast in zip(seconds[CHAPTER], each, strict=True))
        print(f"| {way} | {1 / median(each):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
