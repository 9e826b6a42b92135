"""Seconds to read a video: the chapter's OpenCV seeking, OpenCV straight through, PyAV, and VideoProcessor.

    python benchmarks/bench_video.py [--seconds 60] [--rounds 5] [--analysis | --memory]

Sixteen evenly spaced frames, and all frames, of a 720p H.264 clip that is made first (Little World under a
moving camera, libx264's defaults: groups of 250 frames, B-frames). decord and torchcodec take part where they
are installed. The ways take turns, so that a busy machine slows all of them alike. Every way must return RGB
pixels as arrays; the 16 frames of each are compared with those of a plain decode from the beginning.
`--analysis` measures `VideoAnalyzer.analyze_video` at 16 frames instead, beside the chapter's way: a seek and a
forward pass a frame. `--memory` measures the peak memory of one minute and of one hour.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import av  # noqa: E402
import cv2  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from tqdm import tqdm  # noqa: E402

from course_lib.video import VideoProcessor  # noqa: E402

FPS, COUNT = 30, 16
CHAPTER = "the chapter's way: OpenCV, a seek a frame"
OURS = "VideoProcessor"


def make(path: Path, seconds: float, size: tuple[int, int]) -> None:
    """Little World under a moving camera, another scene every five seconds."""
    from little_world import draw, random_scene

    width, height = size
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        count = round(seconds * FPS)
        for i in tqdm(range(count), desc="encoding", leave=False, mininterval=10):
            if i % (5 * FPS) == 0:
                world = np.asarray(draw(random_scene(rng), size=width + width // 8))
            phase = i % (5 * FPS) / (5 * FPS)
            x, y = round(phase * (width // 8)), round((1 - phase) * (world.shape[0] - height))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(world[y : y + height, x : x + width]))
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def even(total: int) -> np.ndarray:
    return np.linspace(0, total - 1, COUNT, dtype=int)


def chapter_16(path: str) -> list[np.ndarray]:
    capture = cv2.VideoCapture(path)
    frames = []
    for i in even(int(capture.get(cv2.CAP_PROP_FRAME_COUNT))):
        capture.set(cv2.CAP_PROP_POS_FRAMES, int(i))
        frames.append(cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB))
    capture.release()
    return frames


def opencv_16(path: str) -> list[np.ndarray]:
    capture = cv2.VideoCapture(path)
    wanted = set(even(int(capture.get(cv2.CAP_PROP_FRAME_COUNT))).tolist())
    frames, i = [], 0
    while capture.grab():
        if i in wanted:
            frames.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
        i += 1
    capture.release()
    return frames


def opencv_all(path: str) -> int:
    capture, count = cv2.VideoCapture(path), 0
    while True:
        good, frame = capture.read()
        if not good:
            capture.release()
            return count
        cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        count += 1


def pyav_16(path: str) -> list[np.ndarray]:
    with av.open(path) as file:
        stream = file.streams.video[0]
        stream.thread_type = "AUTO"
        wanted = set(even(stream.frames).tolist())
        return [f.to_ndarray(format="rgb24") for i, f in enumerate(file.decode(stream)) if i in wanted]


def pyav_all(path: str) -> int:
    with av.open(path) as file:
        file.streams.video[0].thread_type = "AUTO"
        return sum(frame.to_ndarray(format="rgb24") is not None for frame in file.decode(video=0))


def ours_16(path: str) -> list[np.ndarray]:
    with VideoProcessor(path) as video:
        return [frame.image for frame in video.sample(COUNT)]


def ours_all(path: str) -> int:
    with VideoProcessor(path) as video:
        return sum(frame.image is not None for frame in video.frames())


def decord_ways() -> tuple[Callable, Callable] | None:
    try:
        import decord
    except (ImportError, OSError):
        return None

    def some(path: str) -> list[np.ndarray]:
        reader = decord.VideoReader(path)
        return list(reader.get_batch(even(len(reader))).asnumpy())

    def every(path: str) -> int:
        return sum(frame.asnumpy() is not None for frame in decord.VideoReader(path))

    return some, every


def torchcodec_ways() -> tuple[Callable, Callable] | None:
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, OSError, RuntimeError):
        return None
    options = {"dimension_order": "NHWC", "num_ffmpeg_threads": 0}

    def some(path: str) -> list[np.ndarray]:
        decoder = VideoDecoder(path, **options)
        return list(decoder.get_frames_at(even(len(decoder)).tolist()).data.numpy())

    def every(path: str) -> int:
        return sum(frame.numpy() is not None for frame in VideoDecoder(path, **options))

    return some, every


def measure(path: Path, rounds: int) -> None:
    sampling = {
        CHAPTER: chapter_16,
        "OpenCV, read straight through": opencv_16,
        "PyAV": pyav_16,
        OURS: ours_16,
    }
    reading = {"OpenCV, read straight through": opencv_all, "PyAV": pyav_all, OURS: ours_all}
    for name, ways in {"decord": decord_ways(), "torchcodec": torchcodec_ways()}.items():
        if ways is None:
            print(f"{name}: not installed, left out")
        else:
            sampling[name], reading[name] = ways
    truth = pyav_16(str(path))
    for title, ways in ((f"{COUNT} evenly spaced frames", sampling), ("all frames", reading)):
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        wrong: dict[str, int] = {}
        for turn in tqdm(range(rounds), desc=title, leave=False):
            order = list(ways.items())
            for way, run in order[turn % len(order) :] + order[: turn % len(order)]:
                start = time.perf_counter()
                result = run(str(path))
                seconds[way].append(time.perf_counter() - start)
                if isinstance(result, list):
                    wrong[way] = COUNT - sum(
                        np.abs(a.astype(int) - b).mean() < 4 for a, b in zip(result, truth)
                    )
        fastest = min((way for way in ways if way != OURS), key=lambda way: median(seconds[way]))
        print(f"\n### {title}\n\n| way | seconds | x VideoProcessor's | wrong frames |")
        print("|---|--:|--:|--:|")
        for way, each in seconds.items():
            ratio = median(a / b for a, b in zip(each, seconds[OURS], strict=True))
            print(f"| {way} | {median(each):.3f} | {ratio:.2f} | {wrong.get(way, '')} |")
        ratio = median(a / b for a, b in zip(seconds[OURS], seconds[fastest]))
        print(f"\n{OURS} takes {ratio:.2f} times as long as the fastest of the others, {fastest}")


def chapter_analysis(service, path: str) -> np.ndarray:
    """The chapter's analyze_video: the library's own processor and a forward pass for each picture by itself."""
    import torch

    from course_lib.clip import pooled

    features = []
    for frame in chapter_16(path):
        inputs = service._loaded.image_processor(images=Image.fromarray(frame), return_tensors="pt")
        with torch.no_grad():
            vector = pooled(service.model.get_image_features(**inputs))
        features.append((vector / vector.norm(dim=-1, keepdim=True)).numpy())
    return np.mean(features, axis=0)[0]


def measure_analysis(path: Path, rounds: int, folder: Path) -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from small_checkpoints import make_clip

    from course_lib import CLIPService, VideoAnalyzer
    from course_lib.video_timeline import encode_frames

    services = {
        "mini-clip": CLIPService("mini-clip"),
        "size of ViT-B/32, random": CLIPService(make_clip(folder / "b32")),
    }
    print("\n### 16 frames analysed\n")
    print(
        "| CLIP | way | seconds | times as fast as the chapter's | cosine with the mean of every fifth frame |\n|---|---|--:|--:|--:|"
    )
    for name, service in services.items():
        analyzer = VideoAnalyzer(service)
        with VideoProcessor(path) as video:
            truth = encode_frames(service, video.frames(every=5))[1].mean(axis=0)
        ways = {
            "the chapter's": lambda: chapter_analysis(service, str(path)),  # noqa: B023
            "analyze_video(exact=True)": lambda: analyzer.analyze_video(path, COUNT, exact=True)[
                "avg_features"
            ],  # noqa: B023
            "analyze_video": lambda: analyzer.analyze_video(path, COUNT)["avg_features"],  # noqa: B023
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        means = {}
        for turn in tqdm(range(rounds), desc=name, leave=False):
            for way in list(ways)[:: 1 if turn % 2 else -1]:
                start = time.perf_counter()
                means[way] = ways[way]()
                seconds[way].append(time.perf_counter() - start)
        for way, each in seconds.items():
            ratio = median(a / b for a, b in zip(seconds["the chapter's"], each))
            cosine = means[way] @ truth / np.linalg.norm(means[way]) / np.linalg.norm(truth)
            print(f"| {name} | {way} | {median(each):.2f} | {ratio:.2f} | {cosine:.3f} |", flush=True)


def peak_memory(path: Path, code: str) -> float:
    """MiB: the peak of a fresh process that runs `code` with the video as its argument."""
    code = f"import sys, resource, random\n{code}\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
    command = [sys.executable, "-c", code, str(path)]
    return float(
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()[-1]
    )


READING = """
from course_lib.video import VideoProcessor
with VideoProcessor(sys.argv[1]) as video:
    count = sum(1 for _ in video.frames())
    video.sample(16), [video.read_frame(random.randrange(count)) for _ in range(5)]
"""
ANALYSING = """
from course_lib import CLIPService, VideoAnalyzer
analyzer = VideoAnalyzer(CLIPService("mini-clip"))
analyzer.analyze_video(sys.argv[1]), analyzer.search_moments(sys.argv[1], "a cat", fps=1)
"""


def measure_memory(folder: Path) -> None:
    print("\n### Peak memory in MiB, 128 x 96 at 30 frames a second\n")
    print("| video | reading every frame | analysing and searching |\n|---|--:|--:|")
    minute = folder / "minute.mp4"
    make(minute, 60, (128, 96))
    hour = folder / "hour.mp4"
    with av.open(str(minute)) as source, av.open(str(hour), "w") as file:  # sixty times the same packets
        stream = file.add_stream_from_template(source.streams.video[0])
        for turn in tqdm(range(60), desc="an hour", leave=False):
            source.seek(0)
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.pts += turn * round(60 / packet.time_base)
                    packet.dts += turn * round(60 / packet.time_base)
                    packet.stream = stream
                    file.mux(packet)
    for path in (minute, hour):
        print(
            f"| {path.stem} | {peak_memory(path, READING):.0f} | {peak_memory(path, ANALYSING):.0f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="length of the clip (default 60)")
    parser.add_argument("--rounds", type=int, default=5, help="times that each way is measured (default 5)")
    parser.add_argument("--clip", type=Path, help="a clip to use instead of making one")
    parser.add_argument(
        "--analysis", action="store_true", help="analyze_video beside the chapter's way instead"
    )
    parser.add_argument("--memory", action="store_true", help="peak memory instead of seconds")
    arguments = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"PyAV {av.__version__}, OpenCV {cv2.__version__}"
    )
    with tempfile.TemporaryDirectory() as folder:
        if arguments.memory:
            measure_memory(Path(folder))
            return
        path = arguments.clip or Path(folder, "clip.mp4")
        if not path.exists():
            make(path, arguments.seconds, (1280, 720))
        print(f"{path.stat().st_size / 1e6:.1f} MB")
        if arguments.analysis:
            measure_analysis(path, arguments.rounds, Path(folder))
        else:
            measure(path, arguments.rounds)


if __name__ == "__main__":
    main()
