"""Vector search in one thread: the chapter's loop, NumPy, faiss flat and HNSW, and the embedded store.

    python benchmarks/bench_search.py [--count 100000] [--dim 512] [--pictures 1000] [--no-hnsw]

On CLIP-like vectors: a narrow cone (mean cosine 0.53), clusters, a spectrum that falls off; picture queries
from the same cone, and text queries from another. Times are of the processor, so that a busy machine disturbs
them less, and the ways take turns. `--count 1000000` wants 6 GB of disk and 4 of memory.
"""

from __future__ import annotations

import argparse
import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before any library reads them

import platform  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from statistics import median  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import faiss  # noqa: E402
import numpy as np  # noqa: E402
from tqdm import tqdm  # noqa: E402

from course_lib.stores import Item, Space, embedded  # noqa: E402

K = 10
QUERIES = 200  # of each sort
CHAPTER, NUMPY, FLAT, STORE = "the chapter's loop", "numpy X @ q", "faiss flat", "EmbeddedStore"

Search = Callable[[np.ndarray], list[list[int]]]  # queries (n, d) to the rows of their K nearest


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class ClipLike:
    """Vectors with the measures of a CLIP's: mean cosine about 0.53, nearest neighbour about 0.9."""

    def __init__(self, count: int, dim: int):
        rng = np.random.default_rng(0)
        spectrum = np.arange(1, dim + 1) ** -0.5
        self.spectrum = (spectrum / np.linalg.norm(spectrum)).astype(np.float32)
        self.turn = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)
        self.cone, self.gap = unit(rng.standard_normal((2, dim)))
        self.centres = rng.standard_normal((max(1, count // 20), dim), dtype=np.float32)

    def pictures(self, count: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng([1, seed])
        near = 0.6 * self._centres(rng, count)
        near += 0.33 * rng.standard_normal(near.shape, dtype=np.float32)
        return unit(0.73 * self.cone + (near * self.spectrum) @ self.turn)

    def texts(self, count: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng([2, seed])
        meaning = (0.5 * self._centres(rng, count) * self.spectrum) @ self.turn
        noise = 0.63 * unit(rng.standard_normal(meaning.shape))
        return unit(0.2 * self.cone + 0.75 * self.gap + meaning + noise)

    def _centres(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return self.centres[rng.integers(0, len(self.centres), count)]


def top(scores: np.ndarray) -> np.ndarray:
    best = np.argpartition(scores, scores.shape[1] - K, axis=1)[:, -K:]
    return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1), 1)


def chapter(rows: np.ndarray) -> Search:
    database = [{"id": i, "features": row[None], "metadata": {}} for i, row in enumerate(rows)]

    def one(query: np.ndarray) -> list[int]:
        results = []
        for item in database:
            similarity = np.dot(query.flatten(), item["features"].flatten())
            results.append({"id": item["id"], "similarity": float(similarity), "metadata": item["metadata"]})
        results.sort(key=lambda x: x["similarity"], reverse=True)
        return [result["id"] for result in results[:K]]

    return lambda queries: [one(query) for query in queries]


def numpy(rows: np.ndarray) -> Search:
    def search(queries: np.ndarray) -> list[list[int]]:
        if len(queries) == 1:
            return top((rows @ queries[0])[None]).tolist()
        parts = np.array_split(queries, -(-len(queries) // 50))  # or the scores alone would fill the memory
        return [found for part in parts for found in top(part @ rows.T).tolist()]

    return search


def index(made: faiss.Index) -> Search:
    return lambda queries: made.search(queries, K)[1].tolist()


def hnsw(rows: np.ndarray, pictures: np.ndarray, truth: list[list[int]]) -> tuple[str, Search]:
    """HNSW with the smallest efSearch that finds 0.999 of the true neighbours of pictures, if one does."""
    made = faiss.IndexHNSWFlat(rows.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    made.add(rows)
    for width in (64, 128, 256, 512):
        made.hnsw.efSearch = width
        if recall(index(made)(pictures), truth) >= 0.999:
            break
    return f"faiss HNSW16, ef {width}", index(made)


def recall(found: list[list[int]], truth: list[list[int]]) -> float:
    return float(np.mean([len({*a} & {*b}) / K for a, b in zip(found, truth, strict=True)]))


def cpu(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def fill(folder: Path, rows: np.ndarray) -> embedded.EmbeddedStore:
    store = embedded.EmbeddedStore(folder)
    store.bind(Space("CLIP-like", rows.shape[1]))
    for start in range(0, len(rows), 5000):
        store.add([Item(str(start + i), row) for i, row in enumerate(rows[start : start + 5000])])
    return store


def search_speed(arguments: argparse.Namespace, folder: Path) -> None:
    world = ClipLike(arguments.count, arguments.dim)
    rows = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float32, (arguments.count, arguments.dim))
    for start in tqdm(range(0, arguments.count, 10_000), desc="vectors", leave=False):
        stop = min(start + 10_000, arguments.count)
        rows[start:stop] = world.pictures(stop - start, seed=start)
    rows.flush()
    rows = np.load(folder / "rows.npy")
    pictures, texts = world.pictures(QUERIES, seed=-1 % 2**32), world.texts(QUERIES, seed=0)
    np.save(folder / "queries.npy", np.concatenate([pictures, texts]))
    exact = numpy(rows)
    truth = {"pictures": exact(pictures), "texts": exact(texts)}
    sample = rows[:: max(1, len(rows) // 1000)]
    firsts = rows[[found[0] for found in truth["pictures"]]]
    nearest = (firsts * pictures).sum(axis=1).mean()
    mean = (sample @ sample.T)[~np.eye(len(sample), dtype=bool)].mean()
    print(f"\n### {len(rows):,} x {arguments.dim}: mean cosine {mean:.2f}, nearest neighbour {nearest:.2f}\n")

    stored: list[embedded.EmbeddedStore] = []
    filling = cpu(lambda: stored.append(fill(folder / "index", rows)))
    built = {NUMPY: 0.0, STORE: cpu(stored[0].optimize)}
    ways: dict[str, Search] = {
        CHAPTER: chapter(rows),
        NUMPY: exact,
        STORE: lambda queries: [[int(hit.id) for hit in hits] for hits in stored[0].search(queries, K)],
    }
    built[CHAPTER] = 0.0
    if arguments.count <= 200_000:  # a second and a third copy of the vectors
        flat = faiss.IndexFlatIP(arguments.dim)
        built[FLAT] = cpu(lambda: flat.add(rows))
        ways[FLAT] = index(flat)
    if arguments.hnsw:
        made: list[tuple[str, Search]] = []
        seconds = cpu(lambda: made.append(hnsw(rows, pictures, truth["pictures"])))
        ways[made[0][0]], built[made[0][0]] = made[0][1], seconds

    singles: dict[str, list[float]] = {way: [] for way in ways}
    hundreds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in tqdm(range(30), desc="one query", leave=False):
        for way, search in ways.items():
            if way != CHAPTER or turn < 2:
                for query in (pictures[turn : turn + 1], texts[turn : turn + 1]):
                    singles[way].append(cpu(lambda: search(query)))
    for _ in tqdm(range(3), desc="100 queries", leave=False):
        for way, search in ways.items():
            if way != CHAPTER:
                hundreds[way].append(cpu(lambda: search(pictures[:100])))
    # Ratios of neighbours in time, which met the same machine.
    ratio = lambda way, times: median(b / a for a, b in zip(times[way], times[NUMPY]))
    print(
        "| way | built, CPU s | one query, ms | times as fast as numpy | 100 queries, ms | times as fast "
        "| R@10 pictures | R@10 texts |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for way, search in ways.items():
        if way == CHAPTER:
            print(
                f"| {way} | 0 | {1e3 * median(singles[way]):.0f} | {ratio(way, singles):.3f} | - | - | 1 | 1 |"
            )
            continue
        sorts = (("pictures", pictures), ("texts", texts))
        found = [recall(search(queries), truth[sort]) for sort, queries in sorts]
        print(
            f"| {way} | {built[way]:.1f} | {1e3 * median(singles[way]):.2f} | {ratio(way, singles):.1f} "
            f"| {1e3 * median(hundreds[way]):.0f} | {ratio(way, hundreds):.1f} "
            f"| {found[0]:.4f} | {found[1]:.4f} |"
        )
    scan = stored[0]._scan.index
    print(
        f"\nscan: {scan.kind}, depth {scan.depth}, recall on itself {scan.recall:.4f}; "
        f"filling {filling:.1f} CPU s\n"
    )
    stored[0].close()
    for way in (NUMPY, STORE):
        command = [sys.executable, __file__, "--child", way, str(folder)]
        print("- " + subprocess.check_output(command, text=True).strip())


def child(way: str, folder: Path) -> None:
    """A process of its own: open, answer, and say what that took."""
    base = memory()
    queries = np.load(folder / "queries.npy")
    if way == NUMPY:
        start = time.process_time(), time.perf_counter()
        search = numpy(np.load(folder / "rows.npy"))
    else:
        start = time.process_time(), time.perf_counter()
        store = embedded.EmbeddedStore(folder / "index")
        search = lambda queries: store.search(queries, K)
    search(queries[:1])
    seconds = time.process_time() - start[0], time.perf_counter() - start[1]
    for query in queries:
        search(query[None])
    own, mapped = (after - before for after, before in zip(memory(), base, strict=True))
    print(
        f"{way}: opening and first answer {seconds[0]:.2f} s of CPU, {seconds[1]:.2f} s by the clock; "
        f"{own:.0f} MB of memory, and {mapped:.0f} MB of files in view after {len(queries)} queries"
    )


def memory() -> tuple[float, float]:
    """Anonymous and file-backed resident memory in MB (Linux; zeros elsewhere)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0, 0.0
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return tuple(int(fields[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))


def adding_cost(count: int, folder: Path, block: int = 100) -> None:
    """Pictures through mini-clip alone, and into an engine on disk."""
    import torch

    import little_world
    from course_lib import CLIPService, ImageSearchEngine, set_language

    torch.set_num_threads(1)
    set_language("en")  # as each lesson's first cell does; otherwise it is looked up again and again
    rng = np.random.default_rng(0)
    images = [little_world.draw(little_world.random_scene(rng)) for _ in range(count)]
    clip = CLIPService("mini-clip", device="cpu")
    engine = ImageSearchEngine(clip, store=folder / "pictures")
    engine.add_image("first", images[0])  # the first call is not typical
    encode, add = [], []  # seconds of the processor, and on the clock

    def measured(work: Callable[[], object]) -> tuple[float, float]:
        start = time.perf_counter()
        return cpu(work), time.perf_counter() - start

    for start in tqdm(range(0, count, block), desc="pictures", leave=False):
        some = images[start : start + block]
        named = {f"{start + i}": image for i, image in enumerate(some)}
        ways = [
            lambda: encode.append(measured(lambda: clip.encode_image(some, progress=False))),
            lambda: add.append(measured(lambda: engine.add_images(named, progress=False))),
        ]
        for run in ways if start // block % 2 else reversed(ways):
            run()
    print(f"\n### Adding {count} pictures of 128 x 128\n")
    for what, alone, added in zip(("of the processor", "on the clock"), zip(*encode), zip(*add)):
        more = median(b / a for a, b in zip(alone, added, strict=True)) - 1
        print(
            f"{what}: encoding alone {1e3 * median(alone) / block:.2f} ms a picture, "
            f"add_images {1e3 * median(added) / block:.2f}: {more:+.1%}"
        )


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--count", type=int, default=100_000, help="vectors (default 100000; 0: none)")
    parser.add_argument("--dim", type=int, default=512, help="their dimension (default 512)")
    parser.add_argument("--pictures", type=int, default=1000, help="pictures to add (default 1000; 0: none)")
    parser.add_argument("--no-hnsw", dest="hnsw", action="store_false", help="leave out HNSW, slow to build")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    if arguments.child:
        return child(arguments.child[0], Path(arguments.child[1]))
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, one thread; Python {platform.python_version()}, "
        f"numpy {np.__version__}, faiss {faiss.__version__}"
    )
    with tempfile.TemporaryDirectory() as folder:
        if arguments.count:
            search_speed(arguments, Path(folder))
        if arguments.pictures:
            adding_cost(arguments.pictures, Path(folder))


if __name__ == "__main__":
    main()
