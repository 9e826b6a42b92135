"""Bulk embedding on a local Ray: two workers, one killed, two broken pictures, restarted in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pixel_encoder import picture

from course_lib import CLIPService, embed_ray, settings
from course_lib.embed_source import Chunk
from course_lib.errors import CourseError, CourseWarning
from course_lib.stores import Space, open_store

ROOT = Path(__file__).resolve().parents[1]
COUNT, CHUNK = 400, 8
needs_ray = pytest.mark.skipif(
    find_spec("ray") is None or not hasattr(os, "fork"),
    reason="Ray is not installed, or signals are not to be had",
)


@pytest.fixture(autouse=True)
def _english(monkeypatch):
    monkeypatch.setattr(settings, "_chosen", "en")


def start(folder: Path, index: Path) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "course_lib.embed",
        str(folder),
        "--store",
        str(index),
        "--ray",
        "--workers",
        "2",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COURSE_LANG": "en", "TQDM_DISABLE": "1"}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(
        [*command, "--chunk", str(CHUNK)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(condition, run: subprocess.Popen, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert run.poll() is None, run.stderr.read()[-2000:]
        assert time.monotonic() < end, "it stands still"
        time.sleep(0.01)


@needs_ray
def test_a_worker_killed_and_the_whole_started_again_embed_every_good_picture_once(tmp_path):
    import psutil

    folder, index = tmp_path / "pictures", tmp_path / "index"
    folder.mkdir()
    for i in range(COUNT):
        picture(i).save(folder / f"p{i}.png")
    (folder / "empty.png").touch()
    (folder / "garbage.jpg").write_bytes(b"no picture" * 50)
    shards = lambda: len(list(index.glob("embeddings/*.parquet")))

    run = start(folder, index)
    try:
        until(lambda: shards() >= 3, run)
        family = psutil.Process(run.pid).children(recursive=True)
        workers = [child for child in family if "MapWorker" in " ".join(child.cmdline())]
        assert len(workers) == 2
        workers[0].kill()
        before = shards()
        until(lambda: shards() >= before + 8, run)  # it goes on
        assert not workers[0].is_running()
    finally:
        run.kill()
        run.communicate()
    assert shards() < (COUNT + 2) / CHUNK  # in the middle
    for child in psutil.wait_procs(family, timeout=10)[1]:  # most end with the process that started them
        child.kill()

    run = start(folder, index)
    output, errors = run.communicate(timeout=500)
    assert run.returncode == 0, errors[-2000:]
    assert "added to the index" in output
    rows = [row for path in index.glob("embeddings/*.parquet") for row in pq.read_table(path).to_pylist()]
    names = [f"p{i}.png" for i in range(COUNT)]
    assert sorted(row["id"] for row in rows if row["ok"]) == sorted(names)
    assert {row["id"] for row in rows if not row["ok"]} == {"empty.png", "garbage.jpg"}
    store = open_store(index)
    stored = {
        name: vector for some, vectors in store.batches() for name, vector in zip(some, vectors, strict=True)
    }
    assert len(store) == COUNT and set(stored) == set(names)
    some = range(0, COUNT, 40)
    meant = CLIPService("mini-clip", device="cpu").encode_image([picture(i) for i in some], progress=False)
    np.testing.assert_allclose([stored[f"p{i}.png"] for i in some], meant, atol=1e-4)


@pytest.mark.parametrize(
    ("resources", "asked", "size", "share"),
    [
        ({"CPU": 2}, None, 1, {"num_cpus": 1}),
        ({"CPU": 16}, None, 15, {"num_cpus": 1}),
        ({"CPU": 16}, 4, 4, {"num_cpus": 1}),
        # a whole one would leave nothing to read with: it would hang
        ({"CPU": 1}, None, 1, {"num_cpus": 0.5}),
        ({"CPU": 32, "GPU": 4}, None, 4, {"num_cpus": 1, "num_gpus": 1}),
        ({"CPU": 3, "GPU": 8}, None, 2, {"num_cpus": 1, "num_gpus": 1}),
    ],
)
def test_a_core_is_left_for_reading(resources, asked, size, share):
    assert embed_ray.pool(resources, asked) == (size, share)


def test_more_workers_than_there_is_room_for():
    with pytest.warns(CourseWarning, match="There is room for 3 workers .*, not for 8"):
        assert embed_ray.pool({"CPU": 4}, 8) == (3, {"num_cpus": 1})


def run_once() -> None:
    list(embed_ray.run([Chunk(0)], "mini-clip", Path(), Space("m", 2), thumbnails=True, workers=None))


def test_without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(CourseError, match="This needs Ray, please run pip install"):
        run_once()


@needs_ray
def test_a_cluster_that_is_not_there(monkeypatch):
    import ray

    def refuses(*_, **options):
        raise ConnectionError(f"ray.init reached nobody at {options['address']}")

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    monkeypatch.setattr(ray, "init", refuses)  # the real one takes half a minute to say so
    with pytest.raises(
        CourseError, match="at RAY_ADDRESS=127.0.0.1:9 cannot be reached .*, please check the address"
    ):
        run_once()
