"""The search-and-ask app as a web page in a real browser: type, search, click, ask, upload, switch the language.

Needs Voila and Playwright (extra "test") and a Chromium of the system's, which Debian has as `chromium`.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from fault_server import FaultServer, completion

from course_lib.images import encode
from little_world import draw
from little_world.scenes import single

pytest.importorskip("voila")
sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
from tools.walk import CHROMIUM, FLAGS  # noqa: E402

if CHROMIUM is None:
    pytest.skip("no Chromium is installed", allow_module_level=True)

import numpy as np  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 240_000  # milliseconds: a kernel that loads PyTorch on a busy machine
MODEL = "chat-in-the-test"


def drawn(seed: int, kind: str, **facts):
    return draw(single(np.random.default_rng(seed), kind=kind, **facts))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A gallery of twenty cats and cars, and a file that is no picture."""
    place = tmp_path_factory.mktemp("gallery")
    for i in range(20):
        kind = ("cat", "car")[i % 2]
        drawn(i, kind).save(place / f"{kind}-{i:02d}.png")
    (place / "broken.png").write_bytes(b"not a picture")
    return place


@pytest.fixture(scope="module")
def address(folder):
    """The page, served as the command line serves it, with a chat whose answer is known."""
    with FaultServer(completion("It is a <b>cat</b>.")) as chat, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "COURSE_CLIP_MODEL": "mini-clip", "COURSE_VLM_BASE_URL": chat.url,
            "COURSE_VLM_PROVIDER": "compatible", "COURSE_VLM_MODEL": MODEL, "COURSE_VLM_API_KEY": "not-a-secret",
        }  # fmt: skip
        line = [
            sys.executable,
            "-m",
            "course_lib.app",
            str(folder),
            "--no-browser",
            f"--port={port}",
            "--lang=en",
        ]
        process = subprocess.Popen(
            line, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            yield _answering(f"http://127.0.0.1:{port}/", process)
        finally:
            process.terminate()
            process.wait(60)
            assert not answers(port), "the page outlived the command that served it"


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answering(url: str, process: subprocess.Popen) -> str:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}voila/static/none", timeout=5)
        except urllib.error.HTTPError:
            return url  # it is there, and has no such file
        except OSError:
            assert process.poll() is None, process.stdout.read().decode()
            time.sleep(0.2)
    raise TimeoutError(url)


@pytest.fixture(scope="module")
def page(address):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = browser.new_page(viewport={"width": 1200, "height": 900})
        opened.set_default_timeout(PATIENCE)
        opened.asked = []
        opened.on("request", lambda request: opened.asked.append(request.url))
        opened.goto(address)
        opened.wait_for_function("() => /20 pictures/.test(document.querySelector('.ml-head')?.textContent)")
        opened.wait_for_function("() => !document.querySelector('.ml-note .busy')")
        yield opened
        browser.close()


def cards(page):
    return page.locator(".ml-card:visible")


def wait_for_text(page, where: str, text: str) -> None:
    page.wait_for_function(
        "([where, text]) => [...document.querySelectorAll(where)].some(e => e.textContent.includes(text))",
        arg=[where, text],
    )


def choose_files(page, title: str, *files: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_title(title, exact=True).click()
    chooser.value.set_files([str(file) for file in files])


def test_the_gallery_is_there_and_the_broken_file_is_explained(page):
    assert cards(page).count() == 18
    wait_for_text(page, ".ml-foot", "broken.png")
    assert all(
        image.evaluate("i => i.naturalWidth") > 0 for image in page.locator(".ml-card:visible img").all()
    )


def test_typing_and_enter_searches(page):
    page.get_by_placeholder(re.compile("What are you looking for")).fill("a cat")
    page.keyboard.press("Enter")
    page.wait_for_selector(".ml-score")
    names = [cards(page).nth(i).locator(".ml-name").get_attribute("title") for i in range(6)]
    assert sum(name.startswith("cat") for name in names) >= 5


def test_a_click_and_a_question_bring_an_answer_that_names_its_model(page):
    page.get_by_role("button", name=re.compile("^cat-")).first.click()
    page.wait_for_selector(".ml-big img", state="visible")
    box = page.get_by_placeholder("Ask about this picture")
    box.fill("What is it?")
    page.get_by_role("button", name="Ask", exact=True).click()
    wait_for_text(page, ".ml-said", "It is a <b>cat</b>.")
    assert page.locator(".ml-said b").count() == 0 and MODEL in page.locator(".ml-by").first.inner_text()
    assert box.input_value() == ""


def test_keys_alone_will_do(page):
    page.get_by_role("button", name=re.compile("^cat-")).nth(2).focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.ml-card')[2].classList.contains('ml-chosen')")


def test_uploads_are_shown_and_refused_ones_explained(page, tmp_path):
    drawn(77, "rocket").save(tmp_path / "mine.png")
    (tmp_path / "notes.png").write_bytes(b"text")
    choose_files(page, "Add pictures", tmp_path / "mine.png", tmp_path / "notes.png")
    wait_for_text(page, ".ml-foot", "1 added")
    wait_for_text(page, ".ml-foot", "does not hold a picture")
    wait_for_text(page, ".ml-head", "21 pictures")
    assert (
        cards(page).count() == 1
        and cards(page).first.locator(".ml-name").get_attribute("title") == "mine.png"
    )


def test_a_picture_can_be_searched_for(page, tmp_path, folder):
    query = tmp_path / "query.png"
    query.write_bytes(encode(drawn(3, "car")))
    page.get_by_placeholder(re.compile("What are you looking for")).fill("")
    choose_files(page, "By a picture", query)
    page.wait_for_function("() => document.querySelector('.ml-card .ml-name').title === 'car-03.png'")
    page.wait_for_function("() => !document.querySelector('.ml-note .busy')")
    assert cards(page).count() == 18 and "1.00" in cards(page).first.inner_text()


def test_the_language_switches(page):
    page.get_by_role("button", name="中文").click()
    page.wait_for_selector("button:has-text('搜索')")
    wait_for_text(page, ".ml-head", "21 张图片")
    page.get_by_role("button", name="English").click()
    page.wait_for_selector("button:has-text('Search')")


def test_on_a_narrow_screen_nothing_is_cut_off_and_what_was_clicked_is_on_top(page):
    page.set_viewport_size({"width": 360, "height": 740})
    cards(page).first.locator("button").click()
    page.wait_for_selector(".ml-right", state="visible")
    right, grid = page.locator(".ml-right").bounding_box(), page.locator(".ml-grid").bounding_box()
    assert right["y"] < grid["y"] and right["width"] <= 360
    wide, seen = page.locator(".ml-app").evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert wide <= seen + 1
    page.set_viewport_size({"width": 1200, "height": 900})


def test_nothing_is_fetched_from_another_host(page, address):
    assert {url.split("/")[2] for url in page.asked if url.startswith(("http", "ws"))} == {
        address.split("/")[2]
    }


def test_sources_and_files_of_the_machine_are_not_served(address, page):
    answer = page.request.get(f"{address}voila/files/app.ipynb")
    assert answer.status in (403, 404)
