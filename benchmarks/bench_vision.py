"""The local vision chat server: seconds to an answer, seconds to its first token, eight at once and in a row.

    python benchmarks/bench_vision.py [--questions 40] [--model mini-vlm]

Over real HTTP with the stock openai SDK, client and server in one process. Targets, on two cores: an answer
in under 0.5 s and its first token in under 0.2 s at the median, eight at once in under half the time of eight
in a row.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import openai  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

import little_world  # noqa: E402
from course_lib.errors import CourseError  # noqa: E402
from course_lib.images import to_data_uri  # noqa: E402
from little_world.dialogue import scene_turns  # noqa: E402
from little_world.server import LocalServer  # noqa: E402

AT_ONCE = 8


def questions(count: int) -> list[list[dict]]:
    """A scene each and one question about it, every sort of question, both languages in turn."""
    rng = np.random.default_rng(0)
    asked = []
    for number in range(count):
        scene = little_world.random_scene(rng)
        turns = scene_turns(scene, ("zh", "en")[number % 2], rng)
        url = to_data_uri(little_world.draw(scene))
        text = turns[int(rng.integers(len(turns)))].question
        parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}]
        asked.append([{"role": "user", "content": parts}])
    return asked


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=40, help="how many to ask (default 40)")
    parser.add_argument("--model", default="mini-vlm", help="a model folder or a miniature's name")
    parser.add_argument("--max-tokens", type=int, default=64, help="of an answer (default 64)")
    arguments = parser.parse_args()
    try:
        server = LocalServer(arguments.model).wait()
    except CourseError as error:
        sys.exit(str(error))

    with server, openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as client:

        def ask(messages: list[dict], **options):
            fields = {"model": server.model, "messages": messages, "max_tokens": arguments.max_tokens}
            return client.chat.completions.create(**fields, **options)

        def timed(messages: list[dict]) -> tuple[float, float, int]:
            """Seconds to the whole answer and to the first piece of its text, and its tokens."""
            start = time.perf_counter()
            tokens = ask(messages).usage.completion_tokens
            whole = time.perf_counter() - start
            start = time.perf_counter()
            with ask(messages, stream=True) as chunks:
                next(
                    chunk
                    for chunk in chunks
                    if chunk.choices[0].delta.content or chunk.choices[0].finish_reason
                )
                first = time.perf_counter() - start
                for _ in chunks:
                    pass
            return whole, first, tokens

        asked = questions(max(arguments.questions, AT_ONCE))
        for messages in asked[:AT_ONCE]:
            ask(messages)  # the first calls are not typical of any
        results = [timed(messages) for messages in asked]
        ratios = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for start in range(0, len(asked) - AT_ONCE + 1, AT_ONCE):
                block = asked[start : start + AT_ONCE]
                began = time.perf_counter()
                for messages in block:
                    ask(messages)
                row = time.perf_counter() - began
                began = time.perf_counter()
                list(pool.map(ask, block))
                ratios.append((time.perf_counter() - began) / row)

    whole, first, tokens = (median(column) for column in zip(*results, strict=True))
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch "
        f"{torch.__version__}, transformers {transformers.__version__}\n\n### {server.model}, {len(asked)} "
        f"questions, {tokens:.0f} tokens an answer at the median\n\n| measured | median | target |\n"
        f"|---|--:|--:|\n| seconds to the whole answer | {whole:.3f} | 0.5 |\n| seconds to the first token | "
        f"{first:.3f} | 0.2 |\n| {AT_ONCE} at once : {AT_ONCE} in a row | {median(ratios):.2f} | 0.5 |"
    )


if __name__ == "__main__":
    main()
