"""The compressed scan against exact search: on data that suits it or not, with faiss and without."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from course_lib.stores import Item, Space, scan
from course_lib.stores.embedded import EmbeddedStore
from course_lib.stores.scan import INDEX_FROM, ScanIndex

DIM = 64
needs_faiss = pytest.mark.skipif(scan.faiss() is None, reason="faiss is not installed, or not safe here")


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clustered(count: int, seed: int = 0) -> np.ndarray:
    """Like CLIP's vectors: in a narrow cone, in clusters."""
    rng = np.random.default_rng(1)
    cone, centres = rng.standard_normal(DIM), rng.standard_normal((500, DIM))
    rng = np.random.default_rng(seed)
    near = centres[rng.integers(0, 500, count)] + 0.6 * rng.standard_normal((count, DIM))
    return unit(1.2 * cone + near)


def words(rows: np.ndarray) -> np.ndarray:
    """Like the vectors of texts: away from the pictures' cone."""
    rng = np.random.default_rng(3)
    return unit(0.4 * (clustered(200, seed=6) - rows.mean(0)) + rng.standard_normal(DIM) / 8)


def exactly(rows: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    return np.sort(queries @ rows.T, axis=1)[:, ::-1][:, :k]


def trained(rows: np.ndarray) -> ScanIndex:
    index = ScanIndex(rows.shape[1])
    index.append(rows)
    index.train()
    return index


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return clustered(30_000)


@pytest.fixture(scope="module")
def index(rows) -> ScanIndex:
    return trained(rows)


@pytest.fixture(scope="module")
def coarse(rows) -> ScanIndex:
    """The shortest code that finds the neighbours, however often it has to be scanned deeper."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "SELDOM", 1.0)
        return trained(rows)


def recall(found, truth: np.ndarray) -> float:
    return float(np.mean([np.mean(s >= t[-1] - 1e-6) for (_, s), t in zip(found, truth, strict=True)]))


@needs_faiss
def test_a_code_is_chosen_that_finds_the_true_neighbours(index, rows):
    assert index.kind != "exact" and index.recall >= scan.MIN_RECALL
    pictures = clustered(200, seed=5)
    for queries in (pictures, words(rows)):
        for k in (1, 10, 50):
            assert recall(index.search(queries, k), exactly(rows, queries, k)) >= scan.MIN_RECALL


@needs_faiss
def test_one_scan_answers_most_queries(index, coarse, rows, monkeypatch):
    """A code whose errors are large would send most of them deeper, and be no faster than reading everything."""
    deeper = []
    real = ScanIndex._scan
    monkeypatch.setattr(ScanIndex, "_scan", lambda *a: deeper.append(real(*a)) or deeper[-1])
    index.search(words(rows), 10)
    assert len(deeper[0]) <= 2 * scan.SELDOM * 200
    deeper.clear()
    coarse.search(words(rows), 10)
    assert len(deeper[0]) > 100


@needs_faiss
def test_scores_are_the_exact_ones_best_first(index, rows):
    query = clustered(1, seed=7)
    ((positions, scores),) = index.search(query, 10)
    np.testing.assert_allclose(scores, rows[positions] @ query[0], atol=1e-6)
    assert (np.diff(scores) <= 0).all() and len(set(positions.tolist())) == 10


@needs_faiss
def test_isotropic_data_gets_a_safer_scan(monkeypatch):
    rows = unit(np.random.default_rng(0).standard_normal((INDEX_FROM, DIM)))
    index = trained(rows)
    queries = unit(np.random.default_rng(1).standard_normal((100, DIM)))
    assert recall(index.search(queries, 10), exactly(rows, queries, 10)) >= scan.MIN_RECALL
    monkeypatch.setattr(scan, "MIN_RECALL", 1.1)  # what no code can reach
    assert trained(rows[:INDEX_FROM]).kind == "exact"


@needs_faiss
def test_a_query_whose_best_stand_far_down_is_scanned_deeper(coarse, rows, monkeypatch):
    index = coarse
    depths = []
    real = ScanIndex._scan

    def noted(self, queries, pending, depth, *rest):
        depths.append(depth)
        return real(self, queries, pending, depth, *rest)

    monkeypatch.setattr(ScanIndex, "_scan", noted)
    monkeypatch.setattr(index, "depth", 10)
    queries = unit(np.random.default_rng(2).standard_normal((100, DIM)))  # like nothing in the index
    found = index.search(queries, 10)
    assert len(depths) > 1 and depths == sorted(depths)
    assert recall(found, exactly(rows, queries, 10)) >= 0.99
    monkeypatch.setattr(
        ScanIndex, "_scan", lambda self, q, p, depth, k, allowed, found: _shallow(self, q, found, k)
    )
    assert recall(index.search(queries, 10), exactly(rows, queries, 10)) < 0.99  # the first scan alone


@needs_faiss
@pytest.mark.parametrize("share", [1.0, 0.3, 0.03, 0.01, 0.0005, 0.0])
def test_filters_of_every_size(index, rows, share):
    allowed = np.random.default_rng(4).random(len(rows)) < share
    queries = clustered(50, seed=8)
    found = index.search(queries, 10, allowed)
    if not allowed.any():
        assert all(len(positions) == 0 for positions, _ in found)
        return
    assert all(allowed[positions].all() for positions, _ in found)
    truth = exactly(rows[allowed], queries, 10)
    assert [len(s) for _, s in found] == [truth.shape[1]] * 50
    assert recall(found, truth) >= 0.998


@needs_faiss
def test_rows_that_come_later_and_rows_that_go(rows):
    index = trained(rows[:22_000])
    index.append(rows[22_000:])
    gone = np.arange(0, len(rows), 3)
    index.forget(gone)
    queries = rows[:60]
    found = index.search(queries, 10)
    assert not any(np.isin(positions, gone).any() for positions, _ in found)
    assert recall(found, exactly(np.delete(rows, gone, axis=0), queries, 10)) >= 0.998


@needs_faiss
def test_a_thousand_copies_of_one_row(rows):
    many = np.concatenate([rows[:21_000], np.repeat(rows[:1], 1000, axis=0)])
    ((_, scores),) = trained(many).search(rows[:1], 20)
    np.testing.assert_allclose(scores, 1, atol=1e-5)


def test_without_faiss_everything_is_exact(rows, monkeypatch):
    monkeypatch.setattr(scan, "faiss", lambda: None)
    index = trained(rows)
    assert index.kind == "exact"
    queries = clustered(20, seed=9)
    np.testing.assert_allclose(
        [s for _, s in index.search(queries, 10)], exactly(rows, queries, 10), atol=1e-6
    )
    np.testing.assert_allclose(
        index.search(queries[:1], 10)[0][1], exactly(rows, queries[:1], 10)[0], atol=1e-6
    )


def _shallow(index: ScanIndex, queries: np.ndarray, found: list, k: int) -> np.ndarray:
    """The scan without the second look: the best of the first candidates, whatever they are."""
    for i, candidates in enumerate(index.codes.search(queries, 20 * k)[1]):
        scores = index.take(candidates) @ queries[i]
        best = np.argsort(-scores)[:k]
        found[i] = candidates[best], scores[best]
    return np.empty(0, int)


# In a store


def filled(folder, rows: np.ndarray) -> EmbeddedStore:
    store = EmbeddedStore(folder)
    store.bind(Space("m", DIM))
    store.add([Item(f"i{i}", row, {"tenth": i % 10}) for i, row in enumerate(rows)])
    return store


@needs_faiss
def test_a_large_store_keeps_its_scan_and_follows_other_processes(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(scan, "INDEX_FROM", 6000)
    monkeypatch.setattr("course_lib.stores.fresh.INDEX_FROM", 6000)
    rows, new = rows[:8000], rows[8000:8050]
    writer = filled(tmp_path, rows)
    assert writer.optimize() != "exact"
    (place,) = tmp_path.glob("scan-*")

    reader = EmbeddedStore(tmp_path)
    trainings = []
    monkeypatch.setattr(ScanIndex, "train", lambda self: trainings.append(1))
    found = lambda store, query, **o: [hit.id for hit in store.search(query[None], 1, **o)[0]]
    assert found(reader, rows[77]) == ["i77"]
    writer.add([Item(f"n{i}", row) for i, row in enumerate(new)])
    writer.remove(["i77"])
    writer.add([Item("i78", new[3], {"tenth": 5})], replace=True)
    assert found(reader, new[7]) == ["n7"]
    assert found(reader, rows[77]) != ["i77"] and found(reader, rows[78]) != ["i78"]
    assert found(reader, new[3], where={"tenth": 5}) == ["i78"]
    assert found(EmbeddedStore(tmp_path), new[7]) == ["n7"]
    assert not trainings and place.is_dir()  # all of it without reading everything again


@needs_faiss
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks where Linux tells what is mapped")
def test_no_row_is_mapped_while_its_folder_is_renamed(tmp_path, rows, monkeypatch):
    """Windows renames no folder with an open file in it."""
    monkeypatch.setattr(scan, "INDEX_FROM", 3000)
    monkeypatch.setattr("course_lib.stores.fresh.INDEX_FROM", 3000)
    mapped, replace = [], os.replace

    def looking(old, new):
        mapped.append(str(old) in Path("/proc/self/maps").read_text())
        replace(old, new)

    monkeypatch.setattr(os, "replace", looking)
    store = filled(tmp_path, rows[:3000])
    store.optimize()
    assert mapped == [False]
    (place,) = tmp_path.glob("scan-*")
    assert str(place) in Path("/proc/self/maps").read_text() and len(store._scan.index) == 3000


@needs_faiss
def test_an_outgrown_scan_is_made_anew(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(scan, "INDEX_FROM", 3000)
    monkeypatch.setattr("course_lib.stores.fresh.INDEX_FROM", 3000)
    store = filled(tmp_path, rows[:3000])
    store.optimize()
    (first,) = tmp_path.glob("scan-*")
    store.add([Item(f"n{i}", row) for i, row in enumerate(rows[3000:6000])])
    store.search(rows[:1], 1)
    (second,) = tmp_path.glob("scan-*")
    assert second != first
    store.remove([f"n{i}" for i in range(2000)])
    assert [hit.id for hit in store.search(rows[2999][None], 1)[0]] == ["i2999"]
    assert len(store._scan.index) == 4000  # what was removed takes no room
