"""The local server that paints: what it adds to the bare pipeline, and what a batch saves.

    python benchmarks/bench_sd_server.py [--rounds 5] [--model mini-sd] [--size 128] [--steps 20]

Over real HTTP with AUTOMATIC1111's fields, server and client in one process. Targets, on two cores: a picture
of 128 x 128 in 20 steps in under 3 s, four at once in under 2.2 times one, and 5 % more than the pipeline by
itself. The bare pipeline and the server take turns, so that both meet the same load of the machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import diffusers  # noqa: E402
import requests  # noqa: E402
import torch  # noqa: E402

from course_lib.errors import CourseError  # noqa: E402
from little_world.server import LocalServer  # noqa: E402
from little_world.server.engine import threads  # noqa: E402
from little_world.server.samplers import choose  # noqa: E402

PROMPT, GUIDANCE, BATCH = "a red cat in the snow", 7.0, 4


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement (default 5)")
    parser.add_argument("--model", default="mini-sd", help="a diffusers folder or a miniature's name")
    parser.add_argument("--size", type=int, default=128, help="pixels a side (default 128)")
    parser.add_argument("--steps", type=int, default=20, help="of a picture (default 20)")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1], help="of the bare pipeline (default 1)"
    )
    arguments = parser.parse_args()
    try:
        server = LocalServer(sd_model=arguments.model).wait()
    except CourseError as error:
        sys.exit(str(error))
    engine = server.app.state.painting
    pipe = engine.pipes["text"]

    def bare(count: int, number: int) -> None:
        pipe.scheduler = choose("DDIM").scheduler(engine.scheduler)
        with torch.inference_mode(), threads(number):
            pipe(
                [PROMPT] * count,
                negative_prompt=[""] * count,
                width=arguments.size,
                height=arguments.size,
                num_inference_steps=arguments.steps,
                guidance_scale=GUIDANCE,
                generator=[torch.Generator().manual_seed(seed) for seed in range(count)],
            )

    with server, requests.Session() as session:

        def served(count: int) -> None:
            body = {"prompt": PROMPT, "width": arguments.size, "height": arguments.size, "steps": arguments.steps,
                    "cfg_scale": GUIDANCE, "sampler_name": "DDIM", "seed": 0, "batch_size": count}  # fmt: skip
            session.post(f"{server.url}/sdapi/v1/txt2img", json=body, timeout=600).raise_for_status()

        number = 1 if engine.small else torch.get_num_threads()  # as the server has it
        for count in (1, BATCH):
            bare(count, number)
            served(count)
        turns = [
            (seconds(lambda: bare(1, number)), seconds(lambda: served(1)), seconds(lambda: served(BATCH)))
            for _ in range(arguments.rounds)
        ]
        others = {n: [min(seconds(lambda c=c, n=n: bare(c, n)) for _ in range(arguments.rounds)) for c in (1, BATCH)]
                  for n in arguments.threads}  # fmt: skip

    alone, over_http, batch = (median(column) for column in zip(*turns, strict=True))
    best = [min(column) for column in zip(*turns, strict=True)]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {number} of them used, Python "
        f"{platform.python_version()}, torch {torch.__version__}, diffusers {diffusers.__version__}\n\n### "
        f"{server.sd_model}, {arguments.size} x {arguments.size}, {arguments.steps} steps, "
        f"{arguments.rounds} rounds\n\n| measured | median | best | target |\n|---|--:|--:|--:|\n| seconds, "
        f"the bare pipeline | {alone:.3f} | {best[0]:.3f} | |\n| seconds, through the server | "
        f"{over_http:.3f} | {best[1]:.3f} | 3 |\n| the server adds | {over_http / alone - 1:.1%} | "
        f"{best[1] / best[0] - 1:.1%} | 5 % |\n| four in a batch : one | {batch / over_http:.2f} | "
        f"{best[2] / best[1]:.2f} | 2.2 |"
    )
    for n, (one, four) in others.items():
        print(f"| best of the bare pipeline on {n} threads: one, four | {one:.3f} | {four:.3f} | |")


if __name__ == "__main__":
    main()
