"""How long until the course can be used: fresh interpreters, each timed from the inside.

python benchmarks/bench_import.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]

# What is done before the clock starts, and what is timed.
CASES = {
    "import course_lib": ("", "import course_lib"),
    "CLIPService() after import torch": ("import torch", "from course_lib import CLIPService; CLIPService()"),
    "CLIPService() again": (
        "from course_lib import CLIPService; first = CLIPService()",
        "CLIPService()",
    ),
    "from transformers import CLIPModel, after import torch (for comparison)": (
        "import torch",
        "from transformers import CLIPModel",
    ),
}


def seconds(before: str, timed: str) -> float:
    code = f"import time\n{before}\nstart = time.perf_counter()\n{timed}\nprint(time.perf_counter() - start)"
    return float(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in tqdm(range(arguments.repeats), leave=False):
        for name, case in CASES.items():  # the cases take turns, so that a busy machine slows all alike
            times[name].append(seconds(*case))
    print("| fresh interpreter | fastest s | median s |\n|---|--:|--:|")
    for name, each in times.items():
        print(f"| {name} | {min(each):.2f} | {median(each):.2f} |")


if __name__ == "__main__":
    main()
