"""ImageSearchEngine: the chapter's calls, what they return, and what its listing gets wrong (row 36).

Ranking is held against NumPy with a quick encoder; what needs a model that understands pictures, against
mini-clip.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from PIL import Image
from pixel_encoder import PixelEncoder, metadata, picture

import course_lib
from course_lib import bulk, duplicates, settings
from course_lib.clip import CLIPService
from course_lib.errors import CourseWarning, ImageError, TextError
from course_lib.search import ImageSearchEngine
from course_lib.stores import StoreError
from little_world import Scene, Thing, draw, load_gallery
from little_world.scenes import BACKGROUNDS, TIMES

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _english(monkeypatch):
    monkeypatch.setattr(settings, "_chosen", "en")


@pytest.fixture
def engine() -> ImageSearchEngine:
    return filled(12)


@pytest.fixture(scope="module")
def mini() -> ImageSearchEngine:
    engine = ImageSearchEngine(CLIPService("mini-clip", device="cpu"))
    gallery = load_gallery()[:12]
    engine.add_images({f"g{i}": example.image for i, example in enumerate(gallery)}, progress=False)
    return engine


def filled(count: int, store=None) -> ImageSearchEngine:
    engine = ImageSearchEngine(PixelEncoder(), store=store)
    engine.add_images(
        ((f"p{i}", picture(i)) for i in range(count)), metadata=lambda name: metadata(int(name[1:]))
    )
    return engine


def one(kind: str, color: str = "red") -> Image.Image:
    return draw(Scene((Thing(kind, color, 0.5, 0.5, 0.3),), BACKGROUNDS[0], TIMES[0]))


# What the chapter's listing gets wrong (row 36)


def test_row_36_an_id_is_there_once(engine):
    with pytest.raises(StoreError, match="'p3' is in the index already, please choose another"):
        engine.add_image("p3", picture(99))
    assert len(engine) == 12
    assert engine.search_by_image(picture(3), top_k=1)[0].score == pytest.approx(1)


def test_row_36_a_picture_can_be_removed(engine):
    engine.remove("p3")
    assert len(engine) == 11 and "p3" not in engine
    assert "p3" not in engine.search_by_image(picture(3), top_k=12).ids
    engine.remove(["p1", "p2"])
    assert len(engine) == 9
    with pytest.raises(StoreError, match="no 'p3'"):
        engine.remove("p3")


def test_row_36_an_index_outlives_the_process(tmp_path):
    with filled(4, tmp_path / "index") as engine:
        before = engine.search_by_text("anything", top_k=4)
    after = ImageSearchEngine(PixelEncoder(), store=str(tmp_path / "index"))
    assert after.search_by_text("anything", top_k=4) == before
    assert after.get("p2").metadata == metadata(2)


def test_row_36_another_models_vectors_are_refused_with_a_sentence(tmp_path):
    filled(4, tmp_path)
    with pytest.raises(StoreError, match=r"made with the model pixels \(48\).*pixels \(16\), please open it"):
        ImageSearchEngine(PixelEncoder(dim=16), store=tmp_path)  # another dimension
    with pytest.raises(StoreError, match="another version of pixels"):
        ImageSearchEngine(PixelEncoder(seed=1), store=tmp_path)  # same name, same dimension, other weights
    renamed = PixelEncoder()
    renamed.name = "a copy of pixels in another folder"
    assert len(ImageSearchEngine(renamed, store=tmp_path)) == 4


def test_row_36_scores_of_words_and_of_pictures_are_not_comparable(mini):
    """A true caption scores lower with its picture than the picture with a merely similar one."""
    example = load_gallery()[0]
    (exact, near) = mini.search_by_image(example.image, top_k=2)
    assert exact.score == pytest.approx(1, abs=1e-4)
    words = mini.search_by_text(example.captions["en"])
    assert words[0].score < exact.score
    for call in (ImageSearchEngine, ImageSearchEngine.search_by_text, ImageSearchEngine.search_by_image):
        assert "not comparable" in " ".join(call.__doc__.split()) or "not\ncomparable" in call.__doc__


def test_row_36_one_product_and_not_a_loop(engine, monkeypatch):
    """A query calls the encoder once and the store once, however many pictures there are."""
    calls = []
    search = engine.store.search
    monkeypatch.setattr(engine.store, "search", lambda *a: calls.append(a) or search(*a))
    assert len(engine.search_by_text(["a", "b", "c"])) == 3
    assert len(calls) == 1 and calls[0][0].shape == (3, 48)


# The chapter's calls


def test_the_chapters_calls_work_with_its_names_and_order(tmp_path):
    picture(1).save(tmp_path / "photo1.jpg")
    engine = course_lib.ImageSearchEngine(PixelEncoder())
    engine.add_image("img_001", Image.open(tmp_path / "photo1.jpg"), {"category": "nature"})
    engine.add_image("img_002", picture(2), {"category": "city"})
    for results in (engine.search_by_text("自然风景", top_k=3), engine.search_by_image(picture(1), top_k=3)):
        assert [set(r) for r in results] == [{"id", "similarity", "metadata"}] * 2
        assert [f"{r['id']}: {r['similarity']:.3f}" for r in results]
        assert results[0]["similarity"] >= results[1]["similarity"]
    assert engine.search_by_image(picture(1), 1)[0]["metadata"] == {"category": "nature"}
    assert engine.search_by_image(picture(1), 1)[0]["id"] == "img_001"
    assert len(engine.search_by_text("x")) == 2


def test_without_a_service_the_settings_decide():
    assert ImageSearchEngine().clip_service.name == "mini-clip"


def test_the_module_is_light():
    heavy = "{'torch', 'transformers', 'matplotlib', 'faiss'}"
    code = f"import course_lib.search, sys; print({heavy} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).strip() == "set()"


@pytest.mark.parametrize(("lang", "text"), [("zh", "一架飞机"), ("en", "an airplane")])
def test_words_find_pictures_in_both_languages(lang, text):
    engine = ImageSearchEngine(CLIPService("mini-clip", device="cpu"))
    for kind in ("cat", "dog", "car", "airplane", "cup"):
        engine.add_image(kind, one(kind))
    assert engine.search_by_text(text, top_k=1).ids == ["airplane"]


# Ranking and filters, against NumPy

STORE = filled(40)
VECTORS = {
    name: vector for names, rows in STORE.store.batches() for name, vector in zip(names, rows, strict=True)
}


@hypothesis_settings(max_examples=30)
@given(
    query=st.text(min_size=1, max_size=8).filter(str.strip),
    top_k=st.integers(1, 50),
    even=st.none() | st.booleans(),
    numbers=st.none() | st.lists(st.integers(-3, 45), max_size=30),
)
def test_results_are_brute_force_and_filters_a_list_comprehension(query, top_k, even, numbers):
    where = {} if even is None else {"even": even}
    where |= {} if numbers is None else {"number": numbers}
    wanted = [
        name
        for name in VECTORS
        if (even is None or metadata(int(name[1:]))["even"] == even)
        and (numbers is None or metadata(int(name[1:]))["number"] in numbers)
    ]
    vector = PixelEncoder().encode_text(query)[0]
    ranked = sorted(wanted, key=lambda name: -float(VECTORS[name] @ vector))[:top_k]
    results = STORE.search_by_text(query, top_k, where=where)
    assert results.ids == ranked
    np.testing.assert_allclose([r.score for r in results], [VECTORS[n] @ vector for n in ranked], atol=1e-5)


def test_several_queries_in_one_call_are_the_single_ones(engine):
    texts = ["one", "two", "three"]
    for together, text in zip(engine.search_by_text(texts, 4), texts, strict=True):
        alone = engine.search_by_text(text, 4)
        assert together.ids == alone.ids and together.query == alone.query == text
        np.testing.assert_allclose([r.score for r in together], [r.score for r in alone], atol=1e-6)
    images = [picture(3), picture(5)]
    several = engine.search_by_image(iter(images), 2)
    assert [results.ids[0] for results in several] == ["p3", "p5"]
    assert engine.search_by_text([]) == [] and engine.search_by_image([]) == []


def test_a_picture_and_words_together():
    """A red car and the words "blue": neither alone finds the blue car, or the car."""
    engine = ImageSearchEngine(CLIPService("mini-clip", device="cpu"))
    for color in ("red", "blue"):
        for kind in ("car", "cup"):
            engine.add_image(f"{color} {kind}", one(kind, color))
    red_car = one("car", "red")
    assert engine.search_by_image(red_car, 1).ids == ["red car"]
    assert engine.search(image=red_car, text="blue", weight=0.6, top_k=1).ids == ["blue car"]
    assert (
        engine.search(image=red_car, text="blue", weight=0.0, top_k=4).ids
        == engine.search_by_image(red_car, 4).ids
    )
    assert (
        engine.search(image=red_car, text="blue", weight=1.0, top_k=4).ids
        == engine.search_by_text("blue", 4).ids
    )
    assert engine.search(text="blue") == engine.search_by_text("blue")
    assert engine.search(image=red_car) == engine.search_by_image(red_car)
    with pytest.raises(StoreError, match="a text, an image, or both"):
        engine.search()
    with pytest.raises(StoreError, match="weight must lie between 0 and 1"):
        engine.search(image=red_car, text="blue", weight=2)


# Filling


def test_many_at_once_are_the_same_as_one_by_one(engine):
    single = ImageSearchEngine(PixelEncoder())
    for i in range(12):
        single.add_image(f"p{i}", picture(i), metadata(i))
    assert list(single) == list(engine) == [f"p{i}" for i in range(12)]
    for name in engine:
        one, other = single.get(name), engine.get(name)
        assert one.metadata == other.metadata
        np.testing.assert_array_equal(one.vector, other.vector)
        assert one.thumbnail.size == (48, 36)


def test_bad_files_are_reported_and_skipped(tmp_path):
    (tmp_path / "sub").mkdir()
    for i in range(5):
        picture(i).save(tmp_path / "sub" / f"{i}.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "cut.png").write_bytes((tmp_path / "sub" / "0.png").read_bytes()[:100])
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes((tmp_path / "sub" / "0.png").read_bytes())
    engine = ImageSearchEngine(PixelEncoder())
    with pytest.warns(CourseWarning, match="2 pictures were left out, the first is cut.png: .*damaged"):
        report = engine.add_folder(tmp_path, metadata=lambda name: {"folder": name.split("/")[0]})
    assert report.added == [f"sub/{i}.png" for i in range(5)]
    assert set(report.failed) == {"cut.png", "empty.png"} and report.skipped == []
    assert all(isinstance(error, ImageError) for error in report.failed.values())
    assert repr(report).startswith("5 added, 0 skipped, 2 failed\n  cut.png: ")
    assert engine.get("sub/3.png").metadata == {"folder": "sub"}
    assert engine.add_folder(tmp_path, pattern="sub/*").skipped == report.added
    with pytest.raises(ImageError, match="There is no folder"):
        engine.add_folder(tmp_path / "nowhere")


def test_metadata_that_cannot_be_kept_leaves_out_its_picture_alone():
    engine = ImageSearchEngine(PixelEncoder())
    with pytest.warns(CourseWarning, match="the first is b: Metadata must be"):
        report = engine.add_images(
            {"a": picture(1), "b": picture(2), "c": picture(3)},
            metadata={"b": {"x": object()}, "c": {"y": 1}},
        )
    assert report.added == ["a", "c"] and list(report.failed) == ["b"]
    assert engine.get("a").metadata == {} and engine.get("c").metadata == {"y": 1}


def test_a_run_goes_on_where_it_was(monkeypatch):
    class Interrupted(PixelEncoder):
        left = 3

        def encode_image(self, images, **options):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            encoded.extend(images)
            return super().encode_image(images, **options)

    encoded: list = []
    engine = ImageSearchEngine(Interrupted())
    pictures = {f"p{i}": picture(i) for i in range(100)}
    with pytest.raises(KeyboardInterrupt):
        engine.add_images(pictures)
    kept = len(engine)
    assert 0 < kept < 100
    engine.clip_service.left = 1000
    report = engine.add_images(pictures)
    assert (len(report.skipped), len(report.added), len(engine)) == (kept, 100 - kept, 100)
    assert len(encoded) == 100 + 1  # each once, and the probe that tells models apart


def test_large_pictures_are_not_read_far_ahead(monkeypatch, tmp_path):
    for i in range(30):
        picture(i).save(tmp_path / f"{i:02d}.png")
    files, begun = sorted(tmp_path.iterdir()), []
    prepare = bulk.prepare
    monkeypatch.setattr(bulk, "prepare", lambda source: begun.append(source) or prepare(source))
    monkeypatch.setattr(bulk, "MAX_PIXELS", 3 * 48 * 36)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    seen, most = [], 0
    for batch in bulk.read_ahead(bulk.with_ids(files), {}, batch_size=8):
        time.sleep(0.02)  # the model is slow
        most = max(most, len(begun) - len(seen))
        seen += [image_id for image_id, _, _ in batch]
    assert seen == [file.as_posix() for file in files]
    assert most <= 6  # three in the batch, three ahead of it


def test_existing_ids_are_skipped_or_replaced(engine):
    assert engine.add_images({"p1": picture(50)}).skipped == ["p1"]
    assert engine.search_by_image(picture(1), 1)[0].score == pytest.approx(1)
    assert engine.add_images({"p1": picture(50)}, on_existing="replace").added == ["p1"]
    assert engine.search_by_image(picture(50), 1).ids == ["p1"] and len(engine) == 12
    with pytest.raises(StoreError, match="on_existing must be skip or replace"):
        engine.add_images({}, on_existing="ignore")
    with pytest.raises(StoreError, match="Every picture needs an id"):
        engine.add_images([picture(1)])
    report = engine.add_images([("twice", picture(60)), ("twice", picture(61))])
    assert (report.added, report.skipped) == (["twice"], ["twice"])


def test_updating(engine):
    engine.update("p1", metadata={"new": 1})
    assert engine.get("p1").metadata == {"new": 1}
    assert engine.search_by_image(picture(1), 1).ids == ["p1"]
    engine.update("p1", picture(77))
    assert engine.get("p1").metadata == {"new": 1}
    assert engine.search_by_image(picture(77), 1)[0].score == pytest.approx(1)
    engine.update("p1", picture(78), {"newer": 2})
    assert engine.search_by_image(picture(78), 1, where={"newer": 2}).ids == ["p1"]
    for call in (engine.update, engine.get):
        with pytest.raises(StoreError, match="no 'p99'"):
            call("p99")


def test_near_duplicates():
    engine = ImageSearchEngine(PixelEncoder())
    rng = np.random.default_rng(0)

    def almost(number: int) -> Image.Image:
        pixels = np.asarray(picture(number)).astype(int) + rng.integers(-3, 4, (36, 48, 3))
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))

    engine.add_images({f"p{i}": picture(i) for i in range(20)})
    # more than the first neighbours asked for
    engine.add_images({f"five again {i}": almost(5) for i in range(30)})
    engine.add_image("nine again", almost(9))
    groups = engine.find_duplicates(0.995)
    assert [len(group) for group in groups] == [31, 2]
    assert groups[0].ids[0] == "p5" and set(groups[1].ids) == {"p9", "nine again"}
    assert groups[0][0].score == pytest.approx(1) and groups[0][-1].score > 0.99
    assert engine.find_duplicates(1.0) == [] or all(len(group) > 1 for group in engine.find_duplicates(1.0))
    assert ImageSearchEngine(PixelEncoder()).find_duplicates() == []
    assert repr(ImageSearchEngine(PixelEncoder()).add_images({})) == "0 added, 0 skipped, 0 failed"
    with pytest.raises(StoreError, match="threshold is a cosine"):
        engine.find_duplicates(97)


def test_duplicates_are_searched_for_in_blocks(monkeypatch):
    engine = filled(20)
    engine.add_images({f"five again {i}": picture(5) for i in range(30)}, progress=False)
    wanted = [group.ids for group in engine.find_duplicates(0.995)]
    monkeypatch.setattr(duplicates, "AT_ONCE", 100)
    sizes, search = [], engine.store.search

    def counted(vectors, count, *where):
        sizes.append(len(vectors) * count)
        return search(vectors, count, *where)

    monkeypatch.setattr(engine.store, "search", counted)
    assert [group.ids for group in engine.find_duplicates(0.995)] == wanted and len(wanted[0]) == 31
    assert max(sizes) <= 100


# Results


def test_results_draw_themselves(engine, monkeypatch):
    engine.add_image("<script>alert(1)</script>", picture(30), {"note": "<b>&"})
    results = engine.search_by_image(picture(30), 2)
    html = results._repr_html_()
    assert html.count('<img src="data:image/jpeg;base64,') == 2
    assert "<script>" not in html and "&lt;script&gt;" in html and "<b>&" not in html
    assert results[0].thumbnail.size == (48, 36) and results[0].thumbnail.mode == "RGB"
    assert repr(engine.search_by_text("cats", 1)).startswith("cats: 1 result\n")
    assert repr(results).splitlines()[:2] == ["2 results", "1.000  <script>alert(1)</script>  note: <b>&"]
    nothing = engine.search_by_text("cats", where={"number": -1})
    assert len(nothing) == 0 and repr(nothing) == "cats: No results" and "No results" in nothing._repr_html_()
    monkeypatch.setattr(settings, "_chosen", "zh")
    assert "cats: 1 个结果" in engine.search_by_text("cats", 1)._repr_html_()
    assert repr(nothing) == "cats: 没有结果"
    assert "13 张图片" in repr(engine)


def test_an_empty_engine_finds_nothing():
    engine = ImageSearchEngine(PixelEncoder())
    assert engine.search_by_text("cats") == [] and engine.search_by_image(picture(1)) == []
    assert engine.search_by_text(["a", "b"]) == [[], []]
    assert len(engine) == 0 and list(engine) == [] and "x" not in engine


def test_asking_badly(engine):
    for empty in ("", "  ", ["a", ""]):
        with pytest.raises(TextError, match="empty"):
            engine.search_by_text(empty)
    for top_k in (0, -2, 1.5):
        with pytest.raises(StoreError, match="top_k must be a whole number"):
            engine.search_by_text("a", top_k)
        with pytest.raises(StoreError, match="top_k must be a whole number"):
            ImageSearchEngine(PixelEncoder()).search_by_image(picture(1), top_k)
    assert len(engine.search_by_text("a", 10_000)) == 12
    with pytest.raises(ImageError):
        engine.search_by_image("no such file.jpg")
    with pytest.raises(ImageError):
        engine.add_image("x", b"no picture")
    assert "x" not in engine


def test_a_service_that_returns_nan(engine, monkeypatch):
    nan = lambda *a, **o: np.full((1, 48), np.nan, np.float32)
    monkeypatch.setattr(engine.clip_service, "encode_text", nan)
    with pytest.raises(StoreError, match="NaN"):
        engine.search_by_text("a")
    monkeypatch.setattr(engine.clip_service, "encode_image", nan)
    with pytest.raises(StoreError, match="NaN"):
        engine.add_image("nan", picture(1))
    with pytest.warns(CourseWarning, match="NaN"):
        assert list(engine.add_images({"nan": picture(1)}).failed) == ["nan"]
    assert len(engine) == 12


def test_bulk_work_is_silent_when_told(capsys, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    filled(30)
    assert capsys.readouterr().err == "" and os.environ["TQDM_DISABLE"] == "1"


@pytest.mark.parametrize("pattern", ["", str(Path("/").resolve() / "*.png")])
def test_a_pattern_that_is_none_is_one_sentence(tmp_path, pattern):
    with pytest.raises(ImageError, match="pattern"):
        ImageSearchEngine(PixelEncoder()).add_folder(tmp_path, pattern=pattern)


def test_a_folder_of_files_that_cannot_be_read_says_so(tmp_path):
    (tmp_path / "IMG_0001.HEIC").write_bytes(b"heic")
    with pytest.warns(CourseWarning, match="None of the 1 files|1 个文件"):
        assert not ImageSearchEngine(PixelEncoder()).add_folder(tmp_path).added
