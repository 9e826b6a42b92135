"""`batch_generate`: several at once, each with its outcome, gone on with after a kill (row 26 done right)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from pathlib import Path

import pytest
from fault_server import FaultServer, body
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from painting_servers import WebUI, broken, colour, half_a_picture, no_base64, no_picture, png
from PIL import Image

from course_lib import output, plots, settings
from course_lib.errors import CourseWarning, OutputError, SettingsError, TextError
from course_lib.painting import contact_sheet, manifest, transport
from course_lib.painting.batch import Batch, batch_generate
from course_lib.painting.manifest import Entry, Manifest, keys, sha256
from course_lib.painting.openai_images import OpenAIImagesService
from course_lib.painting.service import ImageService
from course_lib.stable_diffusion import StableDiffusionService

ROOT = Path(__file__).resolve().parents[1]
PROMPTS = [f"picture {number}" for number in range(12)]
SMALL = {"width": 64, "height": 64}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name in ("COURSE_SD_URL", "COURSE_SD_AUTH", "COURSE_SD_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(settings, "_dotenv", dict)
    monkeypatch.setattr(transport.random, "uniform", lambda low, high: 0.01)


@pytest.fixture
def server():
    with WebUI() as running:
        yield running


@pytest.fixture
def service(server):
    return StableDiffusionService(server.url, retries=0)


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines()]


def check_whole(folder: Path, prompts) -> None:
    """Every picture is there, whole, its own and noted; nothing is half-written, and nothing besides."""
    batch = Batch.load(folder)
    assert sorted(entry.prompt for entry in batch) == sorted(prompts) and not batch.failures
    assert len({entry.file for entry in batch}) == len(batch)
    for entry, picture in batch.pictures():
        assert picture.getpixel((0, 0)) == colour(entry.prompt, entry.seed)
        assert picture.seed == entry.seed and sha256(folder / entry.file) == entry.sha256
    there = {path.name for path in folder.iterdir()}
    assert there == {entry.file for entry in batch} | {"manifest.jsonl", "contact_sheet.png", ".batch.lock"}


# ------------------------------------------------------------------------------------------ as it should go


def test_a_batch_is_files_a_manifest_and_a_contact_sheet(service, server, tmp_path):
    batch = batch_generate(service, PROMPTS, tmp_path / "out", **SMALL, steps=20)
    assert [path.name for path in batch.paths] == [f"generated_{number:03d}.png" for number in range(12)]
    assert [entry.prompt for entry in batch] == PROMPTS and all(
        entry.parameters["steps"] == 20 for entry in batch
    )
    check_whole(tmp_path / "out", PROMPTS)
    done = [line for line in lines(tmp_path / "out") if line["status"] == "done"]
    assert len(done) == 12 and {"prompt", "seed", "parameters", "file", "sha256", "status"} <= done[0].keys()
    assert Image.open(batch.sheet).size == (8 * 136 + 8, 2 * 166 + 8)
    assert "12" in repr(batch) and batch[0].ok and len(batch) == 12


def test_the_home_folder_may_be_written_as_a_tilde(service, tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    batch = batch_generate(service, ["a cat"], "~/out", **SMALL)
    assert batch.folder == Batch.load("~/out").folder == tmp_path / "out" and batch.paths[0].is_file()


def test_several_are_painted_at_once_and_no_more(tmp_path):
    with WebUI(seconds=0.1) as server:
        batch_generate(StableDiffusionService(server.url), PROMPTS, tmp_path, max_workers=3, **SMALL)
        assert server.most_at_once == 3


def test_equal_prompts_are_pictures_of_their_own(service, server, tmp_path):
    batch = batch_generate(service, ["a cat"] * 4, tmp_path, **SMALL)
    assert len({entry.seed for entry in batch}) == 4 == len(batch.paths)
    assert batch_generate(service, ["a cat"] * 4, tmp_path, **SMALL).entries == batch.entries
    assert len(server.painted) == 4


def test_seeds_count_on_and_a_prompt_may_have_arguments_of_its_own(service, server, tmp_path):
    prompts = ["a", {"prompt": "b", "steps": 5}, {"prompt": "c", "seed": 0}, "d"]
    batch = service.batch_generate(prompts, tmp_path, seed=2**32 - 2, steps=9, **SMALL)
    assert [entry.seed for entry in batch] == [2**32 - 2, 2**32 - 1, 0, 1]
    assert [entry.parameters["steps"] for entry in batch] == [9, 5, 9, 9]


def test_a_painter_without_seeds_is_given_none(tmp_path):
    answer = json.dumps({"data": [{"b64_json": png(Image.new("RGB", (64, 64)))}]})
    with FaultServer(body(answer)) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        batch = batch_generate(OpenAIImagesService("sk-1", base_url=server.url), ["a", "b"], tmp_path)
        assert len(batch.paths) == 2 == len(server.requests)
        batch_generate(OpenAIImagesService("sk-1", base_url=server.url), ["a", "b"], tmp_path)
        assert len(server.requests) == 2


# -------------------------------------------------------------------------------------- doing it once more


def test_corrections_26_one_failure_takes_nothing_with_it(service, server, tmp_path):
    """The chapter's loop loses the batch with the first error."""
    server.faults[6] = broken
    with pytest.warns(CourseWarning, match="OutOfMemoryError") as caught:
        batch = batch_generate(service, PROMPTS, tmp_path, max_workers=1, **SMALL)
    assert caught[0].filename == __file__
    assert len(batch.paths) == 11 and [entry.prompt for entry in batch.failures] == ["picture 6"]
    assert (
        batch.failures[0].error.startswith("ServiceError") and not (tmp_path / "generated_006.png").exists()
    )


def test_corrections_26_a_second_run_paints_what_is_missing_and_nothing_else(service, server, tmp_path):
    """The chapter's second run paints over the first."""
    server.faults[6] = broken
    with pytest.warns(CourseWarning):
        first = batch_generate(service, PROMPTS, tmp_path, max_workers=1, **SMALL)
    (tmp_path / "generated_003.png").unlink()
    (tmp_path / "generated_004.png").write_bytes(b"spoilt")
    seed = {entry.prompt: entry.seed for entry in first}
    batch = batch_generate(service, PROMPTS, tmp_path, **SMALL)
    assert sorted(fields["prompt"] for fields in server.painted[12:]) == [
        "picture 3",
        "picture 4",
        "picture 6",
    ]
    assert {entry.prompt: entry.seed for entry in batch} == seed
    check_whole(tmp_path, PROMPTS)


def test_corrections_26_other_work_in_the_same_folder_overwrites_nothing(service, server, tmp_path):
    (tmp_path / "generated_005.png").write_bytes(b"mine")
    first = batch_generate(service, ["a", "b"], tmp_path, **SMALL)
    other = batch_generate(service, ["a", "b", "c"], tmp_path, **SMALL, steps=7)
    assert [entry.file for entry in first] == ["generated_006.png", "generated_007.png"]
    assert [entry.number for entry in other] == [8, 9, 10] and (
        tmp_path / "generated_005.png"
    ).read_bytes() == b"mine"
    more = batch_generate(service, ["b", "new", "a"], tmp_path, **SMALL)
    assert [entry.number for entry in more] == [7, 11, 6] and len(server.painted) == 6
    assert len(Batch.load(tmp_path)) == 6


def test_corrections_26_nothing_sleeps(service, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("time.sleep"))
    assert len(batch_generate(service, PROMPTS[:3], tmp_path, **SMALL).paths) == 3


# --------------------------------------------------------------------------------------------- kill -9

SCRIPT = """
import sys
from course_lib.stable_diffusion import StableDiffusionService, batch_generate
batch_generate(StableDiffusionService(sys.argv[1]), [f"picture {n}" for n in range(24)], sys.argv[2],
               max_workers=3, width=64, height=64)
"""


def start(server: WebUI, folder: Path) -> subprocess.Popen:
    environment = {**os.environ, "TQDM_DISABLE": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, server.url, str(folder)], cwd=ROOT, env=environment
    )


def test_after_kill_9_nothing_is_lost_and_nothing_repeated(tmp_path):
    with WebUI(seconds=0.05) as server:
        kept: dict[str, tuple[str, int]] = {}
        for stop in (3, 9, 15):
            process = start(server, tmp_path)
            while len(server.painted) < stop:
                assert process.poll() is None
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.wait()
            known = Manifest.read(tmp_path)
            for entry in known.entries.values():
                if known.finished(entry):
                    kept.setdefault(entry.file, (entry.sha256, entry.seed))
            finished = len(kept)
        assert 0 < finished < 24
        painted = len(server.painted)
        assert start(server, tmp_path).wait() == 0
        check_whole(tmp_path, [f"picture {number}" for number in range(24)])
        entries = {entry.file: (entry.sha256, entry.seed) for entry in Batch.load(tmp_path)}
        assert {file: entries[file] for file in kept} == kept  # what was there is as it was
        assert len(server.painted) - painted <= 24 - finished
        # Of what is asked for more than once there are no more than were under way when it was killed.
        asked = Counter(fields["prompt"] for fields in server.painted)
        assert len(asked) == 24 and sum(asked.values()) - 24 <= 3 * 3
        seeds = {(fields["prompt"], fields["seed"]) for fields in server.painted}
        assert len(seeds) == 24  # and those again with the same seed


def test_a_file_that_was_written_but_not_noted_is_found_again(service, server, tmp_path):
    """Killed between the rename and the line in the manifest."""
    batch = batch_generate(service, PROMPTS[:4], tmp_path, **SMALL)
    text = (tmp_path / "manifest.jsonl").read_text("utf-8").splitlines(keepends=True)
    kept = [
        line
        for line in text
        if not (json.loads(line)["status"] == "done" and json.loads(line)["number"] == 2)
    ]
    (tmp_path / "manifest.jsonl").write_text("".join(kept), "utf-8")
    assert len(kept) == len(text) - 1
    again = batch_generate(service, PROMPTS[:4], tmp_path, **SMALL)
    assert len(server.painted) == 4 and again.entries == batch.entries


@given(cut=st.integers(0, 4000), noise=st.binary(max_size=40))
@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_manifest_cut_anywhere_is_gone_on_with(tmp_path, cut, noise):
    folder = tmp_path / f"{cut}-{noise.hex()}"
    folder.mkdir(exist_ok=True)
    entries = [Entry(key, number, f"generated_{number:03d}.png", f"图 {number}", number)
               for number, key in enumerate(keys({}, [{"prompt": str(n)} for n in range(9)]))]  # fmt: skip
    path = folder / manifest.NAME
    path.write_bytes("".join(entry.line() + "\n" for entry in entries).encode()[:cut] + noise)
    before = Manifest.read(folder)
    assert all(before.entries[key] == next(e for e in entries if e.key == key) for key in before.entries)
    last = Entry("last", 99, "generated_099.png", "末", 5)
    before.add(last)
    after = Manifest.read(folder)
    assert after.entries["last"] == last and after.entries.keys() == before.entries.keys()


@pytest.mark.parametrize(
    "line",
    ['{"key": "k", "number": 0, "file": "../../etc/x.png", "prompt": "p"}', '{"key": 5}', "[]", "null", '"x"',
     '{"key": "k", "number": "0", "file": "a.png", "prompt": "p"}', "[" * 100_000],
)  # fmt: skip
def test_a_line_that_is_not_ours_is_passed_over(tmp_path, line):
    (tmp_path / manifest.NAME).write_text(line + "\n", "utf-8")
    assert Manifest.read(tmp_path).entries == {}


# ------------------------------------------------------------------------------------------ two at a time


def test_a_second_batch_in_the_same_folder_is_refused(tmp_path):
    with WebUI(seconds=0.3) as server:
        service = StableDiffusionService(server.url)
        thread = threading.Thread(target=batch_generate, args=(service, PROMPTS[:4], tmp_path), kwargs=SMALL)
        thread.start()
        while not server.painted:
            time.sleep(0.005)
        with pytest.raises(SettingsError, match=tmp_path.name):
            batch_generate(service, ["x"], tmp_path, **SMALL)
        batch_generate(service, ["x"], tmp_path / "another", **SMALL)
        thread.join()
        check_whole(tmp_path / "another", ["x"])
        (tmp_path / "another").rename(tmp_path.with_name("moved"))
        check_whole(tmp_path, PROMPTS[:4])
    with output.locked_folder(tmp_path):
        pass  # and free again


# ------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("fault", [broken, no_base64, no_picture, half_a_picture])
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_picture_that_fails_is_recorded(service, server, tmp_path, fault, lang, monkeypatch):
    monkeypatch.setattr(settings, "_chosen", lang)
    server.faults |= {6: fault}
    with pytest.warns(CourseWarning):
        batch = batch_generate(service, PROMPTS, tmp_path, **SMALL)
    assert len(batch.paths) == 11 and len(batch.failures) == 1
    failed = [line for line in lines(tmp_path) if line["status"] == "failed"]
    assert len(failed) == 1 and failed[0]["error"] and failed[0]["sha256"] is None
    batch_generate(service, PROMPTS, tmp_path, **SMALL)
    check_whole(tmp_path, PROMPTS)


@pytest.mark.parametrize("dialect", ["a1111", "forge", "sdnext", "sdcpp"])
def test_a_bad_argument_of_one_picture_is_that_pictures_alone(dialect, tmp_path):
    with WebUI(dialect) as server:
        prompts = ["a", "", {"prompt": "c", "width": 7}, "d"]
        with pytest.warns(CourseWarning):
            batch = batch_generate(StableDiffusionService(server.url), prompts, tmp_path, **SMALL)
        assert [entry.ok for entry in batch] == [True, False, False, True]
        assert TextError.__name__ in batch[1].error and len(server.painted) == 2


class Plain(ImageService):
    """A service as somebody else may write one: it gives pictures as PIL has them, or what is no picture."""

    name = "plain"
    inpaint = image_to_image = None

    def text_to_image(self, prompt, negative_prompt="", **options):
        return Image.new("RGB", (64, 64), "red") if prompt == "a" else None


def test_a_service_may_give_plain_pictures_and_what_is_none_is_recorded(tmp_path):
    """What failed after the painting once vanished: "planned", and "the first error: None"."""
    with pytest.warns(CourseWarning, match="ImageError"):
        batch = batch_generate(Plain(), ["a", "b"], tmp_path, seed=3)
    assert [entry.status for entry in batch] == ["done", "failed"] and batch[1].error.startswith("ImageError")
    ((entry, picture),) = batch.pictures()
    assert entry.seed == 3 and picture.getpixel((0, 0)) == (255, 0, 0)
    assert not list(tmp_path.glob(".*.part"))


def test_a_broken_character_in_a_prompt_is_that_pictures_alone(service, server, tmp_path):
    """Half a surrogate pair, as cutting a text in the middle leaves it, once ended the whole batch."""
    prompts = ["a", "a cat \ud83d", {"prompt": "c", "negative_prompt": "\ude00"}]
    for _ in range(2):
        with pytest.warns(CourseWarning, match="TextError"):
            batch = batch_generate(service, prompts, tmp_path, **SMALL)
        assert [entry.ok for entry in batch] == [True, False, False] and len(server.painted) == 1
        assert [entry.prompt for entry in Batch.load(tmp_path)] == ["a", "a cat \ud83d", "c"]


def test_a_files_number_is_read_from_decimal_digits_alone(service, tmp_path):
    for name in ("²", "½", "x7"):
        (tmp_path / f"generated_{name}.png").write_bytes(b"mine")
    assert batch_generate(service, ["a"], tmp_path, **SMALL)[0].file == "generated_000.png"


def test_a_whole_page_as_a_prompt_holds_nothing_up(service, tmp_path):
    """Its label on the contact sheet was once measured letter by letter: minutes, for one that is not painted."""
    page = "一只红色的猫" * 20_000
    with pytest.warns(CourseWarning):
        batch = batch_generate(service, ["a", page, "b"], tmp_path, **SMALL)
    assert [entry.ok for entry in batch] == [True, False, True]
    measured = []
    assert contact_sheet._wrapped(page, lambda text: measured.append(len(text)) or len(text) <= 10)
    assert max(measured) <= 128 and plots.font(12).getlength("." * 64) >= contact_sheet._SIDE


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("000 a big red car in a meadow", ["000 a big", "red car in…"]),
        ("000 a red car", ["000 a red", "car"]),
        ("000 一只红色的猫在草地上", ["000 一只红色的猫在", "草地上"]),
        ("000 verylongword", ["000", "verylongwo…"]),
        ("000", ["000"]),
        ("000 two\n lines", ["000 two", "lines"]),
    ],
)
def test_labels_break_where_their_language_allows(text, lines):
    assert contact_sheet._wrapped(text, lambda part: len(part) <= 11) == lines


def test_a_server_that_goes_away_loses_nothing_and_is_not_asked_for_ever(tmp_path):
    with WebUI(seconds=0.02) as server:
        service = StableDiffusionService(server.url, retries=0)

        def vanish(server):
            server.faults |= {number: vanish for number in range(100)}
            return None, b""

        server.faults[5] = vanish
        prompts = [f"picture {number}" for number in range(60)]
        with pytest.warns(CourseWarning):
            batch = batch_generate(service, prompts, tmp_path, max_workers=2, **SMALL)
        assert 4 <= len(batch.paths) <= 6 and len(server.painted) < 12
        assert all(re.search("reached|连不上", entry.error) for entry in batch.failures)
        server.faults.clear()
        batch_generate(service, prompts, tmp_path, **SMALL)
        check_whole(tmp_path, prompts)


def test_no_way_in_is_tried_once_not_for_each_picture(tmp_path):
    with WebUI(auth="a:b") as server:
        with pytest.warns(CourseWarning, match="401"):
            batch = batch_generate(
                StableDiffusionService(server.url), PROMPTS, tmp_path, max_workers=2, **SMALL
            )
        assert len(batch.failures) == 12 and len(server.requests) <= 3


DISK = """
import resource, sys
from course_lib.errors import OutputError
from course_lib.stable_diffusion import StableDiffusionService, batch_generate
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    batch_generate(StableDiffusionService(sys.argv[1]), [f"picture {n}" for n in range(24)], sys.argv[2],
                   max_workers=2, width=64, height=64)
except OutputError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.parametrize("room", [600, 6000, 12_000], ids=["for no picture", "for some lines", "for more"])
def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(server, tmp_path, room):
    """A limit on the size of files: what is written beyond it fails as on a full disk."""
    folder = tmp_path / "out"
    environment = {**os.environ, "TQDM_DISABLE": "1", "PYTHONPATH": str(ROOT), "COURSE_LANG": "en"}
    command = [sys.executable, "-c", DISK, server.url, str(folder), str(room)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 7 and "disk is full" in result.stdout and result.stdout.count("\n") == 1, (
        result.stderr
    )
    assert not list(folder.glob(".*.part"))
    known = Manifest.read(folder)
    assert all(known.finished(entry) for entry in known.entries.values() if entry.ok)
    batch_generate(StableDiffusionService(server.url), [f"picture {n}" for n in range(24)], folder, **SMALL)
    check_whole(folder, [f"picture {n}" for n in range(24)])


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_a_folder_that_may_not_be_written_to_is_one_sentence(service, server, tmp_path):
    (tmp_path / "a file").write_text("x")
    with pytest.raises(OutputError, match="a file"):
        batch_generate(service, ["x"], tmp_path / "a file", **SMALL)
    with pytest.raises(OutputError, match="a file"):
        batch_generate(service, ["x"], tmp_path / "a file" / "below", **SMALL)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    root = os.geteuid() == 0
    if root:  # whom permissions do not stop
        for place in (tmp_path, *tmp_path.parents):
            if place.stat().st_uid == 0 and str(place) not in ("/", "/tmp"):
                place.chmod(0o755)
        os.seteuid(65534)
    try:
        with pytest.raises(OutputError, match="closed"):
            batch_generate(service, ["x"], closed, **SMALL)
    finally:
        if root:
            os.seteuid(0)
    assert not server.painted


def test_ctrl_c_stops_the_batch_and_the_next_run_goes_on(tmp_path):
    import _thread

    with WebUI(seconds=0.2) as server:
        service = StableDiffusionService(server.url)
        timer = threading.Timer(0.7, _thread.interrupt_main)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            batch_generate(service, PROMPTS, tmp_path, max_workers=2, **SMALL)
        timer.join()
        assert any("interrupt" in path for _, path, _, _ in server.requests)
        before = {path.name: path.read_bytes() for path in tmp_path.glob("generated_*.png")}
        batch_generate(service, PROMPTS, tmp_path, **SMALL)
        check_whole(tmp_path, PROMPTS)
        assert {name: (tmp_path / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("prompts", [[5], [{"steps": 3}], [None], [{"prompt": "x", "count": 2}]])
def test_prompts_that_are_none_are_refused_before_anything_is_written(service, tmp_path, prompts):
    with pytest.raises(SettingsError, match="prompt"):
        batch_generate(service, prompts, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_empty_batch_is_one(service, tmp_path):
    assert len(batch_generate(service, [], tmp_path)) == 0
