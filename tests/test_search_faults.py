"""Search under bad luck: killed while writing, a full disk, damaged files, other processes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pixel_encoder import PixelEncoder, metadata, picture

from course_lib import settings
from course_lib.search import ImageSearchEngine
from course_lib.stores import Item, Space, StoreError, embedded, fresh, scan, sqlite
from course_lib.stores.embedded import EmbeddedStore
from course_lib.stores.sqlite import FILE

WRITER = Path(__file__).with_name("pixel_encoder.py")
DIM = 64
needs_faiss = pytest.mark.skipif(scan.faiss() is None, reason="faiss is not installed, or not safe here")
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(autouse=True)
def _english(monkeypatch):
    monkeypatch.setattr(settings, "_chosen", "en")


def open_engine(folder: Path) -> ImageSearchEngine:
    return ImageSearchEngine(PixelEncoder(), store=folder)


def filled(folder: Path, count: int = 5) -> ImageSearchEngine:
    engine = open_engine(folder)
    engine.add_images(
        ((f"p{i}", picture(i)) for i in range(count)), metadata=lambda name: metadata(int(name[1:]))
    )
    return engine


def check_whole(engine: ImageSearchEngine, name: str) -> None:
    """Everything about one picture, against what it must be."""
    number, stored = int(name[1:]), engine.get(name)
    assert stored.metadata == metadata(number)
    np.testing.assert_array_equal(stored.vector, PixelEncoder().encode_image([picture(number)])[0])
    difference = np.asarray(stored.thumbnail, int) - np.asarray(picture(number), int)
    assert stored.thumbnail.size == (48, 36) and np.abs(difference).mean() < 25  # JPEG of noise
    assert engine.search_by_image(picture(number), 1).ids == [name]
    assert name in engine.search_by_text("x", 1000, where={"number": number}).ids


def start_writer(folder: Path, start: int, count: int) -> subprocess.Popen:
    command = [sys.executable, str(WRITER), str(folder), str(start), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def in_child(work: Callable[[], None]) -> None:
    """Run in a forked process, so that what it changes about itself (user, limits) ends with it."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


# Killed


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_twenty_times_while_adding(tmp_path):
    luck, acknowledged, start = random.Random(0), [], 0
    for _ in range(20):
        writer = start_writer(tmp_path, start, 100_000)
        assert writer.stdout.readline() == "ready\n"
        lines = [writer.stdout.readline() for _ in range(luck.randrange(6))]
        time.sleep(luck.uniform(0.0, 0.03))
        writer.kill()
        lines += writer.stdout.readlines()
        writer.wait()
        acknowledged += [line.strip() for line in lines]
        engine = open_engine(tmp_path)
        present = list(engine)
        assert set(acknowledged) <= set(present)
        assert len(engine) == len(present) == len(set(present))
        start = len(present)  # the names are p0, p1, ...: the next one goes on behind
        assert present == [f"p{i}" for i in range(start)]
        engine.close()
    assert len(acknowledged) >= 20
    engine = open_engine(tmp_path)
    for name in engine:  # what was written and never acknowledged is whole as well
        check_whole(engine, name)
    counts = {
        table: engine.store._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("items", "vectors", "thumbnails")
    }
    assert set(counts.values()) == {len(engine)}
    assert engine.store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_error_in_the_middle_leaves_all_or_nothing(tmp_path, monkeypatch):
    engine, real = filled(tmp_path, 3), embedded.canonical

    def fails_at(count: int):
        """At so many facts: ids and vectors are written by then."""
        calls = iter(range(1, 100))

        def canonical(value):
            if next(calls) == count:
                raise KeyboardInterrupt
            return real(value)

        return canonical

    new = Item("p1", np.ones(48), {"n": 1})
    for count, change in (
        (3, lambda: engine.store.add([Item(f"x{i}", np.ones(48), {"n": i}) for i in range(5)])),
        (4, lambda: engine.store.add([new], replace=True)),  # the three facts of the old one have gone
        (4, lambda: engine.store.set_metadata("p2", {"n": 1})),
    ):
        monkeypatch.setattr(embedded, "canonical", fails_at(count))
        with pytest.raises(KeyboardInterrupt):
            change()
    assert list(engine) == list(open_engine(tmp_path)) == ["p0", "p1", "p2"]
    for name in engine:
        check_whole(engine, name)


# The disk


def test_a_full_disk(tmp_path):
    engine = filled(tmp_path)
    db = engine.store._db
    db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0] + 3}")
    with pytest.raises(
        StoreError, match="The disk is full and .* was left as it was, please free some space"
    ):
        for i in range(100, 1000):
            engine.add_image(f"p{i}", picture(i), metadata(i))
    kept = list(engine)
    assert kept[:5] == [f"p{i}" for i in range(5)]
    for name in kept:
        check_whole(engine, name)
    db.execute("PRAGMA max_page_count = 1000000")  # space again
    engine.add_image("p2000", picture(2000), metadata(2000))
    check_whole(open_engine(tmp_path), "p2000")


@pytest.mark.parametrize("name", ["fullsize", "busy", "locked"])
def test_a_folders_name_is_not_taken_for_the_reason(tmp_path, name):
    (tmp_path / name).write_text("a file")
    with pytest.raises(StoreError) as caught:
        open_engine(tmp_path / name / "index")
    assert "disk is full" not in str(caught.value) and "Another program" not in str(caught.value)


@posix
def test_no_file_may_grow(tmp_path):
    """The system itself refuses to write further, as a quota does."""

    def work() -> None:
        import resource

        engine = filled(tmp_path)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        with pytest.raises(StoreError, match="please"):
            for i in range(100, 2000):
                engine.add_image(f"p{i}", picture(i), metadata(i))
        check_whole(engine, "p3")

    in_child(work)
    engine = open_engine(tmp_path)
    assert len(engine) >= 5
    for name in engine:
        check_whole(engine, name)


@needs_faiss
def test_no_room_for_the_scan(tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "INDEX_FROM", 3000)
    monkeypatch.setattr(fresh, "INDEX_FROM", 3000)
    store, rows = large(tmp_path)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert nearest(store, rows[7]) == "i7"  # from memory
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


@needs_faiss
@posix
def test_the_disk_is_full_before_the_scan_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "INDEX_FROM", 3000)
    monkeypatch.setattr(fresh, "INDEX_FROM", 3000)

    def work() -> None:
        import resource

        store, rows = large(tmp_path)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (rows.nbytes // 2, rows.nbytes // 2))
        assert nearest(store, rows[7]) == "i7"  # from memory
        assert store._scan.index.base.size == 0

    in_child(work)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


@posix
@pytest.mark.parametrize("left_open", [False, True])
def test_a_folder_that_is_read_only(left_open):
    """Searched as ever; adding says why it cannot."""
    folder = Path(tempfile.mkdtemp())  # below tmp_path another user could not go
    try:
        engine = filled(folder / "index")
        if not left_open:
            engine.close()
        folder.chmod(0o755)
        for path in (folder / "index").iterdir():
            path.chmod(0o444)
        (folder / "index").chmod(0o555)

        def work() -> None:
            if os.geteuid() == 0:
                os.setuid(65534)  # root may write anywhere
            reader = open_engine(folder / "index")
            check_whole(reader, "p3")
            for change in (
                lambda: reader.add_image("x", picture(9)),
                lambda: reader.remove("p3"),
                lambda: reader.update("p3", metadata={}),
            ):
                with pytest.raises(
                    StoreError, match="cannot be written to, please check the folder's permissions"
                ):
                    change()
            with pytest.raises(StoreError, match="cannot be written to"):
                open_engine(folder / "index" / "new")
            check_whole(reader, "p3")

        in_child(work)
    finally:
        (folder / "index").chmod(0o755)
        shutil.rmtree(folder)


# Damaged files


def large(folder: Path) -> tuple[EmbeddedStore, np.ndarray]:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((30, DIM))[rng.integers(0, 30, 4000)] + 0.5 * rng.standard_normal((4000, DIM))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    store = EmbeddedStore(folder)
    store.bind(Space("m", DIM))
    store.add([Item(f"i{i}", row) for i, row in enumerate(rows)])
    return store, rows


def nearest(store: EmbeddedStore, row: np.ndarray) -> str:
    return store.search(row[None], 1)[0][0].id


@needs_faiss
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "missing"])
@pytest.mark.parametrize("name", ["codes.faiss", "rows.npy", "numbers.npy", "manifest.json"])
def test_a_damaged_scan_is_made_again(tmp_path, monkeypatch, name, damage):
    monkeypatch.setattr(scan, "INDEX_FROM", 3000)
    monkeypatch.setattr(fresh, "INDEX_FROM", 3000)
    store, rows = large(tmp_path)
    store.optimize()
    store.close()
    (place,) = tmp_path.glob("scan-*")
    file = place / name
    data = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    else:
        data[len(data) // 2] ^= 0x10
        file.write_bytes({"flip": data, "cut": data[: len(data) // 2], "empty": b""}[damage])
    store = EmbeddedStore(tmp_path)
    assert [nearest(store, rows[i]) for i in (5, 2000, 3999)] == ["i5", "i2000", "i3999"]
    # a digit of the recall, perhaps: nothing to do with the rows
    if (name, damage) != ("manifest.json", "flip"):
        assert place not in list(tmp_path.glob("scan-*"))
    trainings = []
    monkeypatch.setattr(scan.ScanIndex, "train", lambda self: trainings.append(1))
    assert nearest(EmbeddedStore(tmp_path), rows[5]) == "i5" and not trainings  # and kept, for the next one


@pytest.mark.parametrize("damage", ["garbage", "header", "middle"])
def test_a_damaged_database_is_left_untouched(tmp_path, damage):
    filled(tmp_path, 40).close()
    file = tmp_path / FILE
    data = bytearray(file.read_bytes())
    if damage == "garbage":
        data = bytearray(b"this is no database, whatever its name " * 500)
    elif damage == "header":
        data[:16] = bytes(16)
    else:
        data[4096:] = b"\xa5" * (len(data) - 4096)
    file.write_bytes(data)
    with pytest.raises(
        StoreError, match="is damaged and was left untouched, please restore it from a backup"
    ):
        engine = open_engine(tmp_path)
        engine.search_by_text("x")
    assert file.read_bytes() == data


def test_files_that_are_something_else(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file, please pass a folder's path"):
        open_engine(tmp_path / "file")
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(StoreError, match="is no index of .*the course, please use another folder"):
        open_engine(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before
    with pytest.raises(StoreError, match="No store answers to ftp://host/x, please pass a folder's path"):
        ImageSearchEngine(PixelEncoder(), store="ftp://host/x")


# Other processes


def test_two_writers_and_a_reader(tmp_path):
    reader = open_engine(tmp_path)
    writers = [start_writer(tmp_path, start, 40) for start in (0, 1000)]
    seen = [len(reader.search_by_text("x", 1000))]
    while any(writer.poll() is None for writer in writers):
        seen.append(len(reader.search_by_text("x", 1000)))  # a reader is never turned away
        time.sleep(0.01)
    assert [writer.returncode for writer in writers] == [0, 0]
    for writer in writers:
        writer.stdout.close()
    assert seen == sorted(seen)
    assert set(reader) == {f"p{i}" for i in (*range(40), *range(1000, 1040))}
    for name in reader:
        check_whole(reader, name)


def test_the_same_id_from_two_processes(tmp_path):
    first, second = open_engine(tmp_path), open_engine(tmp_path)
    first.add_image("p1", picture(1), metadata(1))
    with pytest.raises(StoreError, match="'p1' is in the index already"):
        second.add_image("p1", picture(2))
    assert second.add_images({"p1": picture(2), "p3": picture(3)}).skipped == ["p1"]
    check_whole(first, "p1")


def test_a_writer_that_does_not_come_to_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "PATIENCE", 0.1)
    engine, other = filled(tmp_path), open_engine(tmp_path)
    other.store._db.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="Another program is writing to .*, please try again"):
        engine.add_image("p9", picture(9))
    check_whole(engine, "p3")
    other.store._db.execute("ROLLBACK")
    engine.add_image("p9", picture(9), metadata(9))
    check_whole(other, "p9")


def test_two_models_race_for_a_new_store(tmp_path):
    first, second = open_engine(tmp_path), ImageSearchEngine(PixelEncoder(dim=16), store=tmp_path)
    first.add_image("p1", picture(1), metadata(1))
    with pytest.raises(StoreError, match=r"made with the model pixels \(48\)"):
        second.add_image("p2", picture(2))
    with pytest.raises(StoreError, match="16 dimensions and this index 48"):
        second.search_by_image(picture(1))
    assert list(first) == ["p1"]


def test_after_closing(tmp_path):
    engine = filled(tmp_path)
    engine.close()
    engine.close()
    with pytest.raises(StoreError, match="closed, please open it again"):
        engine.search_by_text("x")


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_sentence_is_in_both_languages(tmp_path, monkeypatch, lang):
    monkeypatch.setattr(settings, "_chosen", lang)
    engine, messages = filled(tmp_path), []
    for call in (
        lambda: engine.add_image("p1", picture(1)),
        lambda: engine.search_by_text("x", 0),
        lambda: engine.search_by_text("x", where="y"),
        lambda: engine.get("nowhere"),
        lambda: engine.store.add([Item("n", np.full(48, np.nan))]),
        lambda: ImageSearchEngine(PixelEncoder(seed=3), store=tmp_path),
    ):
        with pytest.raises(StoreError) as caught:
            call()
        messages.append(str(caught.value))
    chinese = [any("\u4e00" <= letter <= "\u9fff" for letter in message) for message in messages]
    assert chinese == [lang == "zh"] * len(messages)
    assert all("\n" not in message for message in messages)
