"""What every vector store must do, the same tests for each backend: add one to BACKENDS, and it is tried.

The judge is NumPy and a dictionary: what was put in, minus what was taken out, ranked by a dot product.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from course_lib import settings
from course_lib.stores import Item, Space, StoreError, VectorStore, open_store
from course_lib.stores.milvus_local import LocalMilvus, unavailable

DIM = 16
SPACE = Space("some-model", DIM, "", tuple(np.eye(DIM)[0].tolist()))


def on_milvus(folder: Path) -> VectorStore:
    """One collection, emptied: to make another takes Milvus three seconds."""
    store = open_store(f"{milvus().address}/contract")
    for names, _ in list(store.batches()):
        store.remove(names)
    return store


@cache
def milvus() -> LocalMilvus:
    if reason := unavailable():
        pytest.skip(reason)
    # ms; a strongly consistent read waits for the next tick
    return LocalMilvus({"proxy.timeTickInterval": 10})


# Each makes an empty store; it may use the folder.
BACKENDS: dict[str, Callable[[Path], VectorStore]] = {
    "memory": lambda folder: open_store(None),
    "folder": lambda folder: open_store(folder / "index"),
    "milvus": on_milvus,
}


@pytest.fixture(params=BACKENDS)
def make(request, tmp_path_factory):
    """Makes empty stores, bound to SPACE; all are closed in the end."""
    made = []

    def new() -> VectorStore:
        store = BACKENDS[request.param](tmp_path_factory.mktemp("store"))
        store.bind(SPACE)
        made.append(store)
        return store

    yield new
    for store in made:
        store.close()


@pytest.fixture
def store(make) -> VectorStore:
    return make()


@pytest.fixture(autouse=True)
def _english(monkeypatch):
    monkeypatch.setattr(settings, "_chosen", "en")


def unit(number: int, dim: int = DIM) -> np.ndarray:
    vector = np.random.default_rng(number).standard_normal(dim).astype(np.float32)
    return vector / np.linalg.norm(vector)


def item(number: int, **metadata) -> Item:
    return Item(f"i{number}", unit(number), metadata, f"jpeg {number}".encode())


def ids(hits) -> list[str]:
    return [hit.id for hit in hits]


# Keeping


def test_what_was_added_comes_back_as_it_was(store):
    deep = {"名": "猫", "n": 3, "x": 0.25, "yes": True, "none": None, "list": [1, {"a": "b"}]}
    store.add([Item("猫/一.jpg", unit(1), deep, b"\xff\x00jpeg"), Item("bare", unit(2))])
    first, nothing, second = store.get(["猫/一.jpg", "other", "bare"])
    assert nothing is None
    assert (first.id, first.metadata, first.thumbnail) == ("猫/一.jpg", deep, b"\xff\x00jpeg")
    assert (second.metadata, second.thumbnail) == ({}, None)
    np.testing.assert_allclose(first.vector, unit(1), rtol=1e-6)
    assert first.vector.dtype == np.float32
    (hit,) = store.search(unit(1)[None], 1)[0]
    assert (hit.id, hit.metadata, hit.thumbnail) == (first.id, deep, first.thumbnail)
    assert hit.score == pytest.approx(1, abs=1e-6)


def test_length_membership_and_order(store):
    store.add([item(i) for i in (3, 1, 2)])
    assert len(store) == 3
    assert "i1" in store and "i4" not in store and 1 not in store
    assert store.existing(["i1", "i4", 1, "i2", "i1"]) == {"i1", "i2"} and store.existing([]) == set()
    batches = list(store.batches(2))
    assert [name for names, _ in batches for name in names] == ["i3", "i1", "i2"]
    assert [len(names) for names, _ in batches] == [2, 1]
    np.testing.assert_allclose(
        np.concatenate([v for _, v in batches]), [unit(3), unit(1), unit(2)], rtol=1e-6
    )


@hypothesis_settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sets(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), max_size=5))
def test_any_text_is_an_id(make, names):
    store, some = make(), sorted(names)
    store.add([Item(name, unit(i), {name: name}) for i, name in enumerate(some)])
    assert store.existing(some) == names and [item.id for item in store.get(some)] == some
    for i, name in enumerate(some):
        assert ids(store.search(unit(i)[None], 1, {name: name})[0]) == [name]
    store.remove(some[:1])
    assert store.existing(some) == {*some[1:]}


def test_some_vectors_stand_for_all(store):
    assert store.sample(3).shape == (0, DIM)
    store.add([item(i) for i in range(5)])
    assert store.sample(9).shape == (5, DIM)
    sample = store.sample(3)
    assert sample.shape == (3, DIM)
    assert (sample @ np.array([unit(i) for i in range(5)]).T).max(axis=1) == pytest.approx(1)


def test_vectors_are_kept_at_length_1(store):
    store.add([Item("long", 3 * unit(1))])
    np.testing.assert_allclose(store.get(["long"])[0].vector, unit(1), rtol=1e-6)


def test_an_id_is_there_once(store):
    store.add([item(1)])
    with pytest.raises(StoreError, match="'i1' is in the index already"):
        store.add([item(2), item(1)])
    assert len(store) == 1 and "i2" not in store  # all or nothing
    with pytest.raises(StoreError, match="'i3' is in the index already"):
        store.add([item(3), item(3)])
    assert len(store) == 1


def test_replacing_leaves_nothing_of_the_old(store):
    store.add([item(1, kind="cat"), item(2, kind="dog")])
    store.search(unit(1)[None], 1)  # whatever a backend derives, it has derived now
    store.add([Item("i1", unit(7), {"kind": "car"})], replace=True)
    assert len(store) == 2
    assert store.get(["i1"])[0].metadata == {"kind": "car"} and store.get(["i1"])[0].thumbnail is None
    assert store.search(unit(1)[None], 1)[0][0].score < 0.9
    assert ids(store.search(unit(7)[None], 1)[0]) == ["i1"]
    assert store.search(unit(1)[None], 5, {"kind": "cat"}) == [[]]


def test_removing(store):
    store.add([item(i, n=i) for i in range(5)])
    store.search(unit(0)[None], 1)
    with pytest.raises(StoreError, match="no 'i9'"):
        store.remove(["i0", "i9"])
    assert "i0" in store
    store.remove(["i0", "i3"])
    assert len(store) == 3 and store.get(["i0"]) == [None]
    assert set(ids(store.search(unit(0)[None], 9)[0])) == {"i1", "i2", "i4"}
    assert store.search(unit(0)[None], 9, {"n": [0, 3]}) == [[]]
    store.add([item(0, n=0)])  # and it may come again
    assert ids(store.search(unit(0)[None], 1)[0]) == ["i0"]


def test_metadata_is_replaced_whole(store):
    store.add([item(1, a=1, b=2)])
    store.set_metadata("i1", {"b": 3})
    assert store.get(["i1"])[0].metadata == {"b": 3}
    for where, count in (({"a": 1}, 0), ({"b": 2}, 0), ({"b": 3}, 1)):
        assert len(store.search(unit(1)[None], 5, where)[0]) == count
    with pytest.raises(StoreError, match="no 'i2'"):
        store.set_metadata("i2", {})


# Finding

KEYS = st.sampled_from(["a", "b", "名"])
SCALARS = st.one_of(st.integers(-2, 2), st.sampled_from([0.5, 1.0, "x", "1", "true", ""]), st.booleans())
METADATA = st.dictionaries(KEYS, st.one_of(SCALARS, st.none(), st.lists(SCALARS, max_size=1)), max_size=3)
WHERE = st.dictionaries(KEYS, st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=2)
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "replace", "describe", "remove"]), st.integers(0, 11), METADATA),
    max_size=25,
)


def kind_and_value(value):
    return (isinstance(value, bool), isinstance(value, str), value)


def fits(metadata: dict, where: dict) -> bool:
    """What `where` means, in Python: every key there, with a value that equals one of the wanted."""
    return all(
        key in metadata
        and not isinstance(metadata[key], (list, type(None)))
        and kind_and_value(metadata[key])
        in [kind_and_value(v) for v in (wanted if isinstance(wanted, list) else [wanted])]
        for key, wanted in where.items()
    )


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, where=WHERE, top_k=st.integers(1, 15), queries=st.integers(0, 3))
def test_search_is_brute_force_and_a_filter_a_list_comprehension(make, steps, where, top_k, queries):
    store, truth = make(), {}
    for step, (action, number, metadata) in enumerate(steps):
        name = f"i{number}"
        if action in ("add", "replace"):
            if action == "add" and name in truth:
                continue
            store.add([Item(name, unit(step), metadata)], replace=action == "replace")
            truth[name] = (unit(step), metadata)
        elif name in truth and action == "remove":
            store.remove([name])
            del truth[name]
        elif name in truth:
            store.set_metadata(name, metadata)
            truth[name] = (truth[name][0], metadata)
        if step % 7 == 3:
            store.search(unit(0)[None], 2)  # between the steps, so that what is derived has to follow
    assert len(store) == len(truth)
    wanted = {name: vector for name, (vector, metadata) in truth.items() if fits(metadata, where)}
    asked = np.array([unit(1000 + i) for i in range(queries)]).reshape(-1, DIM)
    found = store.search(asked, top_k, where)
    assert len(found) == queries
    for query, hits in zip(asked, found, strict=True):
        best = sorted(((float(vector @ query), name) for name, vector in wanted.items()), reverse=True)
        assert ids(hits) == [name for _, name in best[:top_k]]
        np.testing.assert_allclose([h.score for h in hits], [score for score, _ in best[:top_k]], atol=1e-5)
        assert [h.metadata for h in hits] == [truth[h.id][1] for h in hits]


def test_true_is_not_1_but_1_0_is(store):
    store.add([item(1, v=True), item(2, v=1), item(3, v=1.0), item(4, v="1")])
    found = lambda value: set(ids(store.search(unit(0)[None], 9, {"v": value})[0]))
    assert found(True) == {"i1"} and found(1) == found(1.0) == {"i2", "i3"} and found("1") == {"i4"}
    assert found(np.int64(1)) == {"i2", "i3"} and found((True, "1")) == {"i1", "i4"}


def test_more_than_there_is_and_nothing_at_all(store):
    assert store.search(unit(0)[None], 3) == [[]]
    assert store.search(np.empty((0, DIM), np.float32), 3) == []
    store.add([item(i) for i in range(4)])
    assert len(store.search(unit(0)[None], 1000)[0]) == 4
    assert store.search(unit(0)[None], 3, {"no such key": "x"}) == [[]]
    assert store.search(unit(0)[None], 3, {"n": []}) == [[]]


def test_a_key_is_data_and_not_a_query(store):
    nasty = "a' OR '1'='1\"; DROP TABLE items; --"
    store.add([Item(nasty, unit(1), {nasty: nasty}), item(2)])
    assert ids(store.search(unit(2)[None], 9, {nasty: nasty})[0]) == [nasty]
    assert len(store) == 2


# Refusing


@pytest.mark.parametrize("top_k", [0, -1, 2.5, "5", None, True])
def test_top_k_is_a_count(store, top_k):
    with pytest.raises(StoreError, match="top_k must be a whole number of at least 1"):
        store.search(unit(0)[None], top_k)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.full(DIM, np.nan), "NaN"),
        (np.full(DIM, np.inf), "infinity"),
        (np.zeros(DIM), "all zero"),
        (unit(0, 8), "8 dimensions and this index 16"),
    ],
)
def test_vectors_that_are_none(store, vector, message):
    store.add([item(1)])
    with pytest.raises(StoreError, match=message):
        store.add([item(2), Item("bad", vector)])
    with pytest.raises(StoreError, match=message):
        store.search(np.array([vector]), 1)
    assert len(store) == 1


@pytest.mark.parametrize("name", ["", None, 5, "\ud800", "a\0b"])
def test_ids_that_are_none(store, name):
    with pytest.raises(StoreError, match="An id must be a string"):
        store.add([Item(name, unit(1))])
    assert len(store) == 0


@pytest.mark.parametrize("metadata", [["x"], {"x": object()}, {"x": float("nan")}, {1: "x"}, {"x": "\ud800"}])
def test_metadata_that_json_cannot_hold(store, metadata):
    with pytest.raises(StoreError, match="Metadata must be a dictionary that JSON can hold"):
        store.add([Item("x", unit(1), metadata)])
    assert len(store) == 0


@pytest.mark.parametrize("where", ["n = 1", {"n": None}, {"n": {"gt": 1}}, {"n": [[1]]}, {1: 1}])
def test_filters_beyond_equality(store, where):
    with pytest.raises(StoreError, match="(?i)where"):
        store.search(unit(0)[None], 1, where)


def test_another_models_vectors(store):
    store.bind(SPACE)
    store.bind(Space("same weights in another folder", DIM, "", SPACE.probe))
    with pytest.raises(StoreError, match=r"made with the model some-model \(16\).*other-model \(16\)"):
        store.bind(Space("other-model", DIM, "", tuple(unit(5).tolist())))
    with pytest.raises(StoreError, match=r"some-model \(8\)"):
        store.bind(Space("some-model", 8, "", tuple(unit(5, 8).tolist())))
    with pytest.raises(StoreError, match="another version of some-model.*preprocessing"):
        store.bind(Space("some-model", DIM, "224 px", tuple(unit(5).tolist())))
    assert store.space == SPACE
