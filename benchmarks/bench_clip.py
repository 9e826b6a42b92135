"""Pictures a second through CLIP: the chapter's way, transformers' own pipeline, and CLIPService.

    python benchmarks/bench_clip.py [--images 1000] [--large-images 96]

On mini-clip, and on a randomly initialised ViT-B/32 (speed does not depend on what the weights know). The
ways take turns on the same block of scenes, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from PIL import Image  # noqa: E402
from tqdm import tqdm  # noqa: E402

import little_world  # noqa: E402
from course_lib.clip import CLIPService  # noqa: E402
from course_lib.settings import locate  # noqa: E402

LABELS = ["猫", "狗", "汽车", "飞机", "风景"]
CHAPTER = "the chapter's way, a picture a call"

Way = Callable[[list[Image.Image]], object]


def ways(folder: str) -> dict[str, Way]:
    """The same pictures through the same weights, in each way a reader may choose."""
    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    pipe = transformers.pipeline("zero-shot-image-classification", model=folder, device="cpu")
    service = CLIPService(folder, device="cpu")

    @torch.no_grad()
    def chapter(image: Image.Image) -> np.ndarray:
        inputs = processor(images=image, return_tensors="pt")
        features = model.get_image_features(**inputs)
        features = getattr(features, "pooler_output", features)  # the listing, mended so that it runs
        return (features / features.norm(dim=-1, keepdim=True)).cpu().numpy()

    return {
        CHAPTER: lambda images: [chapter(image) for image in images],
        "pipeline": lambda images: pipe(images, candidate_labels=LABELS),
        "pipeline, batch_size=16": lambda images: pipe(images, candidate_labels=LABELS, batch_size=16),
        "CLIPService.zero_shot_classify": lambda images: service.zero_shot_classify(images, LABELS),
        "CLIPService.encode_image": lambda images: service.encode_image(images, progress=False),
    }


def measure(name: str, folder: str, images: list[Image.Image], block: int) -> None:
    """Print a table: images a second, and how many times the chapter's way that is, in the median block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the pipeline's advice to batch
        contenders = ways(folder)
        for run in contenders.values():
            run(images[:block])  # the first call is not typical of any
        seconds: dict[str, list[float]] = {way: [] for way in contenders}
        blocks = [images[start : start + block] for start in range(0, len(images), block)]
        for number, pictures in enumerate(tqdm(blocks, desc=name, leave=False)):
            order = list(contenders.items())
            for way, run in order[number % len(order) :] + order[: number % len(order)]:
                start = time.perf_counter()
                run(pictures)
                seconds[way].append((time.perf_counter() - start) / len(pictures))
    print(f"\n### {name}, {len(images)} scenes\n\n| way | images/s | x the chapter's |\n|---|--:|--:|")
    for way, each in seconds.items():
        ratio = median(slow / fast for slow, fast in zip(seconds[CHAPTER], each, strict=True))
        print(f"| {way} | {1 / median(each):.0f} | {ratio:.1f} |")
    best = min(seconds["pipeline"], seconds["pipeline, batch_size=16"], key=median)
    ratio = median(slow / fast for slow, fast in zip(best, seconds["CLIPService.encode_image"], strict=True))
    print(f"\nencode_image against the faster pipeline: {ratio:.1f}x")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1000, help="scenes for mini-clip (default 1000)")
    parser.add_argument("--large-images", type=int, default=96, help="scenes for the ViT-B/32 (default 96)")
    parser.add_argument("--model", default="mini-clip", help="folder of the small model")
    arguments = parser.parse_args()

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    rng = np.random.default_rng(0)
    count = max(arguments.images, arguments.large_images)
    images = [little_world.draw(little_world.random_scene(rng)) for _ in range(count)]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads; Python "
        f"{platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}"
    )
    measure(arguments.model, locate(arguments.model), images[: arguments.images], block=100)
    with tempfile.TemporaryDirectory() as folder:
        import small_checkpoints

        small_checkpoints.make_clip(Path(folder))
        measure("random ViT-B/32", folder, images[: arguments.large_images], block=32)


if __name__ == "__main__":
    main()
