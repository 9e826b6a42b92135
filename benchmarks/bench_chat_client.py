"""Answers a second from a slow chat service: the chapter's loop, and `batch` over ImageAnalyzer.

    python benchmarks/bench_chat_client.py [--pictures 64] [--seconds 0.2] [--workers 8]

The service is another process on this machine, which takes 0.2 s for each answer, as many at once as are
asked. The ways take turns, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import openai  # noqa: E402
import requests  # noqa: E402
from fault_server import FaultServer, completion, slowly  # noqa: E402
from PIL import Image  # noqa: E402
from tqdm import tqdm  # noqa: E402

import little_world  # noqa: E402
from course_lib.batching import batch  # noqa: E402
from course_lib.gpt4v import ImageAnalyzer, encode_image_to_base64  # noqa: E402

CHAPTER = "the chapter's loop"
PROMPT = "Please describe this picture in detail"

Way = Callable[[list[Image.Image]], object]


def ways(url: str, workers: int) -> dict[str, Way]:
    """The same pictures asked about in each way a reader may choose."""
    analyzer = ImageAnalyzer(base_url=url, model="slow", lang="en")

    def chapter(image: Image.Image) -> str:
        picture = {"url": f"data:image/jpeg;base64,{encode_image_to_base64(image)}"}
        content = [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": picture}]
        payload = {"messages": [{"role": "user", "content": content}], "max_tokens": 500}
        response = requests.post(f"{url}/chat/completions", json=payload)
        response.raise_for_status()
        return response.json()["choices"][0]["message"]["content"]

    return {
        CHAPTER: lambda images: [chapter(image) for image in images],
        "ImageAnalyzer.describe, one by one": lambda images: [analyzer.describe(image) for image in images],
        f"batch, {workers} workers": lambda images: batch(
            analyzer.describe, images, max_workers=workers, progress=False
        ),
    }


def serve(seconds: float, pipe: Connection) -> None:
    """The slow service: sends its address, and ends when the other end of the pipe does."""
    with FaultServer(slowly(completion("a cat"), seconds)) as server:
        pipe.send(server.url)
        pipe.poll(None)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=64, help="scenes to ask about (default 64)")
    parser.add_argument("--seconds", type=float, default=0.2, help="what an answer takes (default 0.2)")
    parser.add_argument("--workers", type=int, default=8, help="questions at once (default 8)")
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    images = [little_world.draw(little_world.random_scene(rng)) for _ in range(arguments.pictures)]
    blocks = [images[start : start + 32] for start in range(0, len(images), 32)]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"openai {openai.__version__}"
    )
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    service = spawn.Process(target=serve, args=(arguments.seconds, theirs))
    service.start()
    try:
        contenders = ways(ours.recv(), arguments.workers)
        for run in contenders.values():
            run(images[:1])  # the first call is not typical of any
        seconds: dict[str, list[float]] = {way: [] for way in contenders}
        for number, pictures in enumerate(tqdm(blocks, leave=False)):
            order = list(contenders.items())
            for way, run in order[number % len(order) :] + order[: number % len(order)]:
                start = time.perf_counter()
                run(pictures)
                seconds[way].append((time.perf_counter() - start) / len(pictures))
    finally:
        ours.send("enough")
        service.join()
    print(
        f"\n### {len(images)} scenes, {arguments.seconds} s an answer\n\n"
        "| way | answers/s | x the chapter's |\n|---|--:|--:|"
    )
    for way, each in seconds.items():
        ratio = median(slow / fast for slow, fast in zip(seconds[CHAPTER], each, strict=True))
        print(f"| {way} | {1 / median(each):.1f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
