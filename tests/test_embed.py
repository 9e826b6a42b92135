"""Bulk embedding: what it writes, what it survives (tests/test_embed_ray.py has Ray's part)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pixel_encoder import PixelEncoder, picture

from course_lib import clip, embed_ray, settings
from course_lib.embed import embed, main
from course_lib.errors import CourseError, CourseWarning
from course_lib.images import encode
from course_lib.search import ImageSearchEngine
from course_lib.stores import StoreError, open_store

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _english_and_quick(monkeypatch):
    monkeypatch.setattr(settings, "_chosen", "en")
    monkeypatch.setattr(clip, "CLIPService", lambda model=None: PixelEncoder(seed=int(model or 0)))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twenty pictures, and two files that are none."""
    return with_pictures(tmp_path / "pictures", 20)


def with_pictures(folder: Path, count: int) -> Path:
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    for i in range(count):
        picture(i).save(folder / ("sub" if i % 2 else ".") / f"p{i}.png")
    (folder / "empty.png").touch()
    (folder / "garbage.jpg").write_bytes(b"no picture" * 50)
    return folder


def number(image_id: str) -> int:
    return int(Path(image_id).stem[1:])


def rows(store: Path) -> list[dict]:
    return [
        row for path in (store / "embeddings").glob("*.parquet") for row in pq.read_table(path).to_pylist()
    ]


def check_complete(store: Path, count: int) -> None:
    """Every good picture is in one shard and in the store once, with its own vector; the bad ones say why."""
    good = [row for row in rows(store) if row["ok"]]
    assert sorted(number(row["id"]) for row in good) == list(range(count))
    bad = {row["id"]: row["error"] for row in rows(store) if not row["ok"]}
    assert set(bad) == {"empty.png", "garbage.jpg"} and "does not hold a picture" in bad["garbage.jpg"]
    index = open_store(store)
    stored = [(name, vector) for names, vectors in index.batches() for name, vector in zip(names, vectors)]
    assert sorted(number(name) for name, _ in stored) == list(range(count)) and len(index) == count
    for name, vector in stored:
        np.testing.assert_allclose(vector, PixelEncoder().encode_image([picture(number(name))])[0], atol=1e-6)
    for row in good:
        np.testing.assert_allclose(row["vector"], dict(stored)[row["id"]], atol=1e-6)


def test_a_folder_becomes_shards_and_an_index(folder, tmp_path):
    report = embed(folder, tmp_path / "index", chunk=6, progress=False)
    assert (report.embedded, report.skipped, report.added) == (20, 0, 20)
    assert set(report.failed) == {"empty.png", "garbage.jpg"}
    assert repr(report).startswith(
        "20 embedded, 0 were already, 20 added to the index, 2 failed\n  empty.png: "
    )
    check_complete(tmp_path / "index", 20)
    places = list((tmp_path / "index" / "embeddings").iterdir())
    assert len(places) == 4 and all(path.suffix == ".parquet" for path in places)
    table = pq.read_table(places[0])
    assert table.column_names == ["id", "ok", "error", "vector", "thumbnail", "metadata"]
    assert json.loads(table.schema.metadata[b"space"])["model"] == "pixels"
    engine = ImageSearchEngine(PixelEncoder(), store=tmp_path / "index")
    assert engine.search_by_image(picture(7), 1).ids == ["sub/p7.png"]
    assert engine.get("sub/p7.png").thumbnail.size == (48, 36)


def test_the_second_run_has_nothing_to_do_and_the_third_only_what_is_new(folder, tmp_path, monkeypatch):
    embed(folder, tmp_path / "index", chunk=6, progress=False)
    monkeypatch.setattr(PixelEncoder, "encode_image", probe_only := only_the_probe(PixelEncoder.encode_image))
    again = embed(folder, tmp_path / "index", chunk=6, progress=False)
    assert (again.embedded, again.skipped, again.added, again.failed) == (0, 22, 0, {})
    probe_only.allowed = 3
    with_pictures(folder, 23)
    third = embed(folder, tmp_path / "index", chunk=6, progress=False)
    assert (third.embedded, third.skipped, third.added) == (3, 22, 3)
    check_complete(tmp_path / "index", 23)


def only_the_probe(real):
    """An encoder that is asked for one picture (`space_of`'s), and otherwise for no more than it is allowed."""

    def encode_image(self, images, **options):
        if len(images) > 1:
            encode_image.allowed -= len(images)
            assert encode_image.allowed >= 0, "embedded again"
        return real(self, images, **options)

    encode_image.allowed = 0
    return encode_image


def test_shards_that_did_not_reach_the_index_are_added_without_the_model(folder, tmp_path, monkeypatch):
    embed(folder, tmp_path / "index", chunk=6, progress=False)
    shutil.move(tmp_path / "index" / "embeddings", tmp_path / "shards")
    monkeypatch.setattr(PixelEncoder, "encode_image", only_the_probe(PixelEncoder.encode_image))
    report = embed(folder, tmp_path / "another", shards=tmp_path / "shards", chunk=6, progress=False)
    assert (report.embedded, report.added) == (0, 20) and len(open_store(tmp_path / "another")) == 20


def test_a_damaged_shard_is_made_again(folder, tmp_path):
    embed(folder, tmp_path / "index", chunk=6, progress=False)
    first, *_ = sorted((tmp_path / "index" / "embeddings").glob("*.parquet"))
    held = pq.read_metadata(first).num_rows  # 6, or what is left for the last
    first.write_bytes(first.read_bytes()[:200])
    report = embed(folder, tmp_path / "index", chunk=6, progress=False)
    assert report.embedded + len(report.failed) == held and report.added == 0  # it was in the index already
    check_complete(tmp_path / "index", 20)


def test_parquet_of_somebody_elses_is_left_alone(folder, tmp_path):
    mine = tmp_path / "photos.parquet"
    pq.write_table(pa.table({"id": ["a"], "ok": [True]}), mine)
    with pytest.raises(CourseError, match="photos.parquet .* is no shard"):
        embed(folder, tmp_path / "index", shards=tmp_path, progress=False)
    assert pq.read_table(mine).num_rows == 1


def test_chunks_of_nothing_are_refused(folder, tmp_path):
    with pytest.raises(CourseError, match="chunk"):
        embed(folder, tmp_path / "index", chunk=0, progress=False)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_utf8_is_a_row_like_others(folder, tmp_path):
    (folder / os.fsdecode(b"\xff.png")).write_bytes(b"no picture")
    report = embed(folder, tmp_path / "index", progress=False)
    assert report.added == 20 and len(report.failed) == 3
    assert {row["id"] for row in rows(tmp_path / "index") if not row["ok"]} > {"\\udcff.png"}


def test_failures_are_tried_again_when_asked(folder, tmp_path):
    embed(folder, tmp_path / "index", progress=False)
    picture(20).save(folder / "empty.png")
    assert embed(folder, tmp_path / "index", progress=False).embedded == 0
    report = embed(folder, tmp_path / "index", retry_failed=True, progress=False)
    assert (report.embedded, report.added, set(report.failed)) == (1, 1, {"garbage.jpg"})
    assert "empty.png" in open_store(tmp_path / "index")


def test_parquet_with_pictures_paths_and_metadata(folder, tmp_path):
    files = [encode(picture(i)) for i in range(4)]
    columns = {
        "id": ["a", "b", "c", None, "e", 6],
        "image": [{"bytes": files[0], "path": None}, {"bytes": None, "path": "pictures/sub/p1.png"}, {"bytes": b"x", "path": None},
                  {"bytes": files[3], "path": "not looked at"}, None, {"bytes": files[2], "path": None}],
        "year": [2020, 2021, 2022, 2023, None, 2025],
        "caption": ["猫", "b", "c", "d", "e", "f"],
        "tags": [["not", "kept"]] * 6,
    }  # fmt: skip
    columns["id"] = [None if name is None else str(name) for name in columns["id"]]
    pq.write_table(pa.table(columns), tmp_path / "data.parquet", row_group_size=2)
    report = embed(tmp_path / "data.parquet", tmp_path / "index", progress=False)
    assert (report.embedded, report.added, set(report.failed)) == (4, 4, {"c", "e"})
    assert len(list((tmp_path / "index" / "embeddings").iterdir())) == 3  # a row group each
    engine = ImageSearchEngine(PixelEncoder(), store=tmp_path / "index")
    assert set(engine) == {"a", "b", "data/1/1", "6"}
    assert engine.get("a").metadata == {"year": 2020, "caption": "猫"}
    assert engine.search_by_image(picture(1), 9, where={"year": [2021, 2023]}).ids == ["b", "data/1/1"]
    again = embed(tmp_path, tmp_path / "index", progress=False)  # the folder of the file
    assert (again.embedded, again.added) == (0, 0)


def test_two_pictures_of_one_id_and_ids_that_are_none(tmp_path):
    files = [encode(picture(i)) for i in range(4)]
    table = pa.table({"id": ["same", "same", "", "other"], "image": files})
    pq.write_table(table, tmp_path / "data.parquet")
    report = embed(tmp_path / "data.parquet", tmp_path / "index", progress=False)
    assert report.added == 2 and "must be a string that is not empty" in report.failed[""]
    assert set(ImageSearchEngine(PixelEncoder(), store=tmp_path / "index")) == {"same", "other"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda place: place / "nowhere", "There is no folder"),
        (lambda place: place / "nowhere.parquet", "nowhere.parquet cannot be read"),
        (lambda place: write(place / "text.parquet", b"no parquet"), "text.parquet cannot be read"),
        (
            lambda place: write(place / "other.parquet", pa.table({"x": [1]})),
            "neither a column image nor a column path",
        ),
    ],
)
def test_a_source_that_is_none(tmp_path, make, message):
    with pytest.raises(CourseError, match=message):
        embed(make(tmp_path), tmp_path / "index", progress=False)


def write(path: Path, content) -> Path:
    path.write_bytes(content) if isinstance(content, bytes) else pq.write_table(content, path)
    return path


def test_another_models_index_is_refused_before_the_work(folder, tmp_path, capsys):
    embed(folder, tmp_path / "index", chunk=6, progress=False)
    with pytest.raises(StoreError, match="another version of pixels"):
        embed(folder, tmp_path / "index", model="1", progress=False)
    assert main([str(folder), "--store", str(tmp_path / "index"), "--model", "1"]) == 1
    assert capsys.readouterr().err.count("\n") == 1  # one sentence
    with pytest.raises(StoreError, match="another version of pixels"):  # and so are another model's shards
        embed(folder, tmp_path / "new", model="1", shards=tmp_path / "index" / "embeddings", progress=False)
    with pytest.raises(CourseError, match="name a folder for the Parquet shards"):
        embed(folder, open_store(None), progress=False)


def test_the_number_of_pictures_decides_who_works(folder, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(embed_ray, "run", lambda chunks, *_, **__: asked.append(len(chunks)) or ())
    embed(folder, tmp_path / "a", progress=False)
    assert asked == []
    embed(folder, tmp_path / "b", chunk=6, ray=True, progress=False)
    assert asked == [4]
    monkeypatch.setattr("course_lib.embed.RAY_FROM", 22)
    embed(folder, tmp_path / "c", progress=False)
    assert asked == [4, 1]
    embed(folder, tmp_path / "d", ray=False, progress=False)
    monkeypatch.setattr("course_lib.embed.find_spec", lambda name: None)
    with pytest.warns(CourseWarning, match="Ray is not installed, so this process does all of it"):
        assert embed(folder, tmp_path / "e", progress=False).embedded == 20
    assert asked == [4, 1]


def test_killed_and_started_again(tmp_path):
    """The command, killed (SIGKILL) whenever it has written another shard, until it is through."""
    folder, index = with_pictures(tmp_path / "pictures", 60), tmp_path / "index"
    code = (
        "import sys, time; from course_lib import clip, embed; from pixel_encoder import PixelEncoder\nclass "
        "Slow(PixelEncoder):\n    def encode_image(self, images, **options):\n        time.sleep(0.02); "
        "return super().encode_image(images, **options)\nclip.CLIPService = lambda model=None: Slow()\nraise "
        "SystemExit(embed.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, str(folder), "--store", str(index), "--chunk", "10"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "COURSE_LANG": "en"}
    shards, kills = 0, 0
    while True:
        run = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        while run.poll() is None and len(list(index.glob("embeddings/*.parquet"))) <= shards:
            time.sleep(0.005)
        if run.poll() is not None:
            break
        run.kill()
        run.communicate()
        shards, kills = len(list(index.glob("embeddings/*.parquet"))), kills + 1
    assert run.returncode == 0 and kills >= 3
    check_complete(index, 60)
