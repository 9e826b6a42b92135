"""The store on Milvus beyond the contract (tests/test_store_contract.py): its faults, its options, and the engine on it.

The server is the real one, of the `milvus` package; `LocalMilvus.kill` ends it with SIGKILL.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pixel_encoder import PixelEncoder, metadata, picture

from course_lib import settings
from course_lib.search import ImageSearchEngine
from course_lib.stores import Item, Space, StoreError, milvus, open_store
from course_lib.stores.milvus_local import LocalMilvus, unavailable

DIM = 8
SPACE = Space("some-model", DIM)
needs_server = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))


@pytest.fixture(autouse=True)
def _english(monkeypatch):
    monkeypatch.setattr(settings, "_chosen", "en")


@pytest.fixture(scope="module")
def server():
    # ms: a consistent read waits for the next tick
    with LocalMilvus({"proxy.timeTickInterval": 10}) as server:
        yield server


@pytest.fixture
def address(server, request) -> str:
    """That of a collection of this test's own."""
    return f"{server.address}/{request.node.name.partition('[')[0]}"


def rows(count: int) -> np.ndarray:
    vectors = np.random.default_rng(0).standard_normal((count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def filled(address: str, count: int) -> milvus.MilvusStore:
    store = open_store(address)
    store.bind(SPACE)
    store.add([Item(f"i{i}", row, {"n": i}) for i, row in enumerate(rows(count))])
    return store


# Faults


@needs_server
def test_milvus_gone_in_the_middle_and_back(server, address):
    engine = ImageSearchEngine(PixelEncoder(), store=address)
    engine.add_images({f"p{i}": picture(i) for i in range(10)}, metadata=lambda name: metadata(int(name[1:])))
    server.kill()
    gone = rf"Milvus at {address.split('/')[2]} does not answer, please check that it runs"
    for call in (
        lambda: engine.search_by_text("x"),
        lambda: engine.add_image("new", picture(50)),
        lambda: engine.add_images({"new": picture(50)}),
        lambda: engine.remove("p1"),
        lambda: len(engine),
        lambda: len(open_store(address)),
    ):
        with pytest.raises(StoreError, match=gone):
            call()
    server.start()
    assert len(engine) == 10 and "new" not in engine  # and the same engine goes on
    for i in range(10):
        stored = engine.get(f"p{i}")
        assert stored.metadata == metadata(i) and stored.thumbnail.size == (48, 36)
        np.testing.assert_array_equal(stored.vector, PixelEncoder().encode_image([picture(i)])[0])
        assert engine.search_by_image(picture(i), 1, where={"number": i}).ids == [f"p{i}"]
    engine.add_image("new", picture(50))
    assert engine.search_by_image(picture(50), 1).ids == ["new"]


@needs_server
def test_killed_while_adding_what_was_acknowledged_is_there_and_whole(server, address):
    writer = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("pixel_encoder.py"), address, "0", "100000"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    lines = [writer.stdout.readline() for _ in range(6)]
    server.kill()
    lines += writer.stdout.readlines()  # until the writer, too, gives up
    assert writer.wait() == 1
    server.start()
    engine = ImageSearchEngine(PixelEncoder(), store=address)
    acknowledged = [line.strip() for line in lines[1:]]
    assert len(acknowledged) >= 5 and set(acknowledged) <= set(engine)
    for name in engine:
        number, stored = int(name[1:]), engine.get(name)
        assert stored.metadata == metadata(number) and stored.thumbnail is not None
        np.testing.assert_array_equal(stored.vector, PixelEncoder().encode_image([picture(number)])[0])


@needs_server
def test_another_dimension_and_another_model_are_refused(address):
    ImageSearchEngine(PixelEncoder(), store=address).add_image("p1", picture(1))
    with pytest.raises(
        StoreError, match=r"made with the model pixels \(48\).*pixels \(16\), please open it with"
    ):
        ImageSearchEngine(PixelEncoder(dim=16), store=address)
    with pytest.raises(StoreError, match="another version of pixels"):
        ImageSearchEngine(PixelEncoder(seed=1), store=address)
    with pytest.raises(StoreError, match="8 dimensions and this index 48"):
        open_store(address).add([Item("x", np.ones(8))])
    assert list(ImageSearchEngine(PixelEncoder(), store=address)) == ["p1"]


@needs_server
def test_a_collection_that_is_somebody_elses_is_left_alone(server, address):
    client = filled(f"{server.address}/any", 1)._client
    client.create_collection("theirs", dimension=4)
    with pytest.raises(
        StoreError, match="collection theirs was not made by the course, please use another name"
    ):
        ImageSearchEngine(PixelEncoder(), store=f"{server.address}/theirs")
    assert client.describe_collection("theirs")["fields"][1]["params"] == {"dim": 4}


@needs_server
def test_a_collection_that_somebody_removed_or_released(address):
    store = filled(address, 5)
    store._client.release_collection(store.collection)
    assert len(store) == 5 and len(store.search(rows(1), 9)[0]) == 5  # loaded again
    store._client.drop_collection(store.collection)
    with pytest.raises(
        StoreError, match="The collection was removed from Milvus .*, please open this index again"
    ):
        store.search(rows(1), 1)
    assert len(open_store(address)) == 0


@needs_server
def test_a_server_that_asks_who_you_are(monkeypatch):
    with LocalMilvus({"authorization_enabled": True, "proxy.timeTickInterval": 10}) as server:
        for token in ("", "root:a wrong password"):
            monkeypatch.setenv("MILVUS_TOKEN", token)
            with pytest.raises(
                StoreError, match="wants to know who you are, please put .* into MILVUS_TOKEN"
            ) as caught:
                open_store(f"{server.address}/a").bind(SPACE)
            assert "wrong password" not in str(caught.value)
        monkeypatch.setenv("MILVUS_TOKEN", "root:Milvus")
        assert len(filled(f"{server.address}/a", 3)) == 3


def test_no_server_at_the_address():
    with pytest.raises(StoreError, match="Milvus at 127.0.0.1:9 does not answer, please check that it runs"):
        len(open_store("milvus+http://127.0.0.1:9/pictures"))


@pytest.mark.parametrize(
    "address",
    [
        "milvus+http://localhost:19530",
        "milvus+http://localhost:19530/two words",
        "milvus+http://localhost:99999999/a",
        "milvus+ftp://localhost/a",
        "milvus+http:///a",
        "milvus+http://me:secret@localhost/a",
        "milvus+http://localhost/a?consistency=strong-ish",
        "milvus+http://localhost/a?index=FAST",
        "milvus+http://localhost/a?colour=red",
    ],
)
def test_an_address_that_is_none(address):
    with pytest.raises(
        StoreError, match="is no address of Milvus, please write milvus.http://host:19530/coll"
    ) as caught:
        open_store(address)
    assert "secret" not in str(caught.value)


def test_without_the_client_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(StoreError, match="pip install pymilvus"):
        open_store("milvus+http://localhost:19530/a")


@needs_server
def test_more_than_milvus_takes(address):
    store = filled(address, 3)
    for item, what in (
        (Item("i" * 70_000, np.ones(DIM)), "id"),
        (Item("x", np.ones(DIM), {"text": "猫" * 30_000}), "metadata"),
        (Item("x", np.ones(DIM), {str(i): i for i in range(5000)}), "metadata"),
        (Item("x", np.ones(DIM), {}, bytes(60_000)), "thumbnail"),
    ):
        with pytest.raises(StoreError, match=f"Milvus cannot hold the {what} of .*, please shorten it"):
            store.add([Item("good", np.ones(DIM)), item])
    assert len(store) == 3
    assert len(store.search(rows(1), 1_000_000)[0]) == 3


@needs_server
def test_after_closing(address):
    store = filled(address, 1)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed, please open it again"):
        store.search(rows(1), 1)
    assert len(open_store(address)) == 1


# Options


@needs_server
def test_every_level_finds_what_was_written_in_the_end(address):
    filled(address, 3)
    for count, level in enumerate(milvus.CONSISTENCY, 4):
        store = open_store(f"{address}?consistency={level}")
        store.add([Item(level, rows(9)[count])])
        deadline = time.monotonic() + 60
        while len(store) < count and time.monotonic() < deadline:
            assert level not in ("Strong", "Session")  # these do not let one wait
        assert [hit.id for hit in store.search(rows(9)[count : count + 1], 1)[0]] == [level]
    with pytest.raises(StoreError, match="is no address of Milvus"):
        milvus.MilvusStore(address, consistency="Sloppy")


@needs_server
def test_what_one_store_writes_another_sees_at_once(address):
    one, other = filled(address, 3), open_store(address)
    for i in range(5):
        one.add([Item(f"new{i}", rows(9)[i])])
        assert f"new{i}" in other
        assert len(other.search(rows(1), 99)[0]) == 4 + i
        other.remove([f"i{i}"] if i < 3 else [f"new{i - 1}"])
        one.add([Item(f"i{i}" if i < 3 else f"new{i - 1}", rows(9)[i])])
    assert len(one) == len(other) == 8


@needs_server
@pytest.mark.parametrize("index", ["HNSW", "SCANN"])
def test_an_approximate_index_is_remembered_and_finds_the_nearest(address, index):
    address = f"{address}{index}"
    filled(f"{address}?index={index}", 500).close()
    store = open_store(address)  # which has no need to know
    found = store.search(rows(500)[:50], 1)
    assert np.mean([hits[0].id == f"i{i}" for i, hits in enumerate(found)]) >= 0.9
    assert store._client.describe_index(store.collection, "vector")["index_type"] == index
    assert milvus.INDEXES[store._index] is milvus.INDEXES[index]


# More than a request


@needs_server
def test_more_than_a_request_holds(address, monkeypatch):
    monkeypatch.setattr(milvus, "AT_ONCE", 100)
    monkeypatch.setattr(milvus, "MAX_RESULTS", 256)
    store, vectors = open_store(address), rows(1000)
    store.bind(SPACE)
    names = [f"i{i}" for i in np.random.default_rng(1).permutation(1000)]
    store.add([Item(name, vector) for name, vector in zip(names[:600], vectors)])
    store.add([Item(name, vector) for name, vector in zip(names[600:], vectors[600:])])
    batches = list(store.batches(300))
    assert [len(some) for some, _ in batches] == [300, 300, 300, 100]
    assert [name for some, _ in batches for name in some] == names
    np.testing.assert_array_equal(np.concatenate([found for _, found in batches]), vectors)
    assert [item.id for item in store.get(names)] == names
    assert store.sample(50).shape == (50, DIM)
    asked = rows(40)
    best = (asked @ vectors.T).argsort(axis=1)[:, ::-1][:, :7]
    found = store.search(asked, 7)
    assert [[hit.id for hit in hits] for hits in found] == [[names[i] for i in row] for row in best]
    store.remove(names[:950])
    assert len(store) == 50 and store.existing(names) == set(names[950:])


# The engine on it


@needs_server
def test_the_engine_works_as_on_any_other_store(address):
    engine = ImageSearchEngine(PixelEncoder(), store=address)
    report = engine.add_images(
        {f"p{i}": picture(i) for i in range(30)}, metadata=lambda name: metadata(int(name[1:]))
    )
    assert (
        len(report.added) == len(engine) == 30
        and repr(engine) == f"ImageSearchEngine(30 pictures, pixels, {address})"
    )
    assert engine.add_images({"p1": picture(1), "q": picture(40)}).skipped == ["p1"]
    assert engine.search_by_image(picture(7), 2, where={"even": False}).ids[0] == "p7"
    engine.update("p7", metadata={"new": True})
    assert engine.search_by_image(picture(7), 2, where={"new": True}).ids == ["p7"]
    engine.add_images({f"again {i}": picture(5) for i in range(12)})
    (group,) = engine.find_duplicates(0.999)
    assert len(group) == 13 and group.ids[0] == "p5"
    engine.remove(["p5", "q"])
    assert "p5" not in engine and len(engine) == 41
    assert len(engine.search(text="x", image=picture(3), top_k=3)) == 3
