"""A walk through the course as a learner takes it: JupyterLab in a browser, every notebook run, every control used.

    python -m tools.walk [--lang zh] [--pictures FOLDER] [NAMES ...]

Prints a line a notebook: how long "Run All Cells" took, how many buttons, sliders, menus and fields were used afterwards,
and whatever went wrong, in the kernel, in the page or in a control's callback. Works on a copy of the notebooks. Needs
Playwright (extra "test") and a Chromium of the system's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from playwright.sync_api import Error, Locator, Page, sync_playwright

from little_world import draw, load_gallery

from .kernels import ROOT
from .run_notebooks import LANGUAGES, find

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
         "--disable-component-update --disable-sync").split()  # fmt: skip
TOKEN = secrets.token_hex()  # who has it may run anything
SETTINGS = {
    # All cells stand in the page, not only those in sight; and nothing is written back.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "docmanager-extension/plugin": {"autosave": False},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
WENT_WRONG = re.compile(rb'"msg_type": ?"error"|Traceback \(most recent call last\)')
SENTENCE = {"zh": "一只红色的猫", "en": "a red cat"}


@contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """The address of a JupyterLab that serves `folder`."""
    settings = folder / ".settings"
    for name, values in SETTINGS.items():
        place = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "PYTHONPATH": str(ROOT),
        "COURSE_PROGRESS": "off",
    }
    line = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--port-retries=0", "--allow-root",
            f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}"]  # fmt: skip
    process = subprocess.Popen(line, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                requests.get(f"{address}/api", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(30)


class Walk:
    """One notebook in a page of its own; `problems` gathers what goes wrong meanwhile."""

    def __init__(self, page: Page):
        self.page, self.used = page, 0
        self.problems: list[str] = []
        page.on("websocket", lambda socket: socket.on("framereceived", self._heard))
        page.on("pageerror", lambda error: self.problems.append(f"page: {error}"[:200]))

    def open(self, address: str, name: str) -> None:
        self.page.goto(f"{address}/lab/tree/{name}.ipynb?token={TOKEN}&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
        self.rest()

    def _heard(self, frame: bytes | str) -> None:
        frame = frame.encode() if isinstance(frame, str) else frame
        if found := WENT_WRONG.search(frame):
            said = re.sub(rb"\\u001b\[[0-9;]*m", b"", frame[found.start() :])
            self.problems.append("kernel: " + said.decode(errors="replace")[-300:])

    def rest(self, patience: float = 600, seconds: float = 2) -> None:
        """Wait until the kernel has been idle for some seconds."""
        light, end, quiet = (
            self.page.locator(".jp-Notebook-ExecutionIndicator").first,
            time.time() + patience,
            0,
        )
        while quiet < 2 * seconds:
            if time.time() > end:
                raise TimeoutError(f"the kernel was still busy after {patience:.0f} s")
            self.page.wait_for_timeout(500)
            quiet = quiet + 1 if light.get_attribute("data-status") == "idle" else 0

    def run_all(self) -> float:
        start = time.time()
        for level, names in (("MenuBar", ("Run", "运行")), ("Menu", ("Run All Cells", "运行所有单元格"))):
            item = ", ".join(f'.lm-{level}-itemLabel:text-is("{name}")' for name in names)
            self.page.locator(item).first.click()
            self.page.wait_for_timeout(500)
        self.page.wait_for_timeout(2000)
        self.rest()
        return time.time() - start - 2

    def use_controls(self, lang: str, picture: Path) -> None:
        """Type into every field, move every slider, choose in every menu, press every button, hand in a picture."""
        self._each(
            ".jupyter-widgets input[type=text], .jupyter-widgets textarea",
            lambda one: one.fill(SENTENCE[lang]),
        )
        self._each(
            ".noUi-handle", lambda one: [one.focus(), one.press("ArrowRight"), one.press("ArrowRight")]
        )
        self._each(
            ".jupyter-widgets select", lambda one: one.select_option(index=one.locator("option").count() - 1)
        )
        self._each("button.widget-upload", lambda one: self._hand_in(one, picture))
        self._each(
            ".jupyter-widgets input[type=checkbox], .jupyter-widgets input[type=radio]",
            lambda one: one.click(),
        )
        self._each("button.jupyter-button:not(.widget-upload)", lambda one: one.click(timeout=5000))

    def _hand_in(self, button: Locator, picture: Path) -> None:
        with self.page.expect_file_chooser(timeout=5000) as chooser:
            button.click(timeout=5000)
        chooser.value.set_files(picture)

    def _each(self, which: str, use, at_most: int = 60) -> None:
        controls = self.page.locator(f".jp-OutputArea-output :is({which})")
        for i in range(min(at_most, controls.count())):
            one = controls.nth(i)
            try:
                if controls.count() <= i or not one.is_visible() or not one.is_enabled():
                    continue
                use(one)
            except Error as problem:
                self.problems.append(f"{which} {i}: {problem.message[:150]}")
                continue
            self.used += 1
            self.rest(180, seconds=1)

    def errors(self) -> list[str]:
        """Error outputs that stand in the page."""
        shown = self.page.locator("[data-mime-type='application/vnd.jupyter.error']")
        return [shown.nth(i).inner_text()[-200:] for i in range(shown.count())]

    def photograph(self, folder: Path, name: str) -> None:
        """The notebook from top to bottom, a picture a screenful."""
        folder.mkdir(parents=True, exist_ok=True)
        scroller = ".jp-WindowedPanel-outer"
        height, seen = self.page.evaluate(
            f"(n => [n.scrollHeight, n.clientHeight])(document.querySelector('{scroller}'))"
        )
        for i, top in enumerate(range(0, height, max(1, seen - 40))):
            self.page.evaluate(f"document.querySelector('{scroller}').scrollTop = {top}")
            self.page.wait_for_timeout(400)
            self.page.locator(scroller).screenshot(path=folder / f"{name.replace('/', '-')}-{i:02d}.png")


def walk(names: list[str], pictures: Path | None = None, root: Path = ROOT) -> dict[str, list[str]]:
    """What went wrong in each of these notebooks, such as "notebooks/zh/02_clip"."""
    found: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = Path(place)
        for part in {name.split("/")[0] for name in names}:
            shutil.copytree(root / part, folder / part)
        picture = folder / "picture.png"
        draw(load_gallery()[0].scene).save(picture)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with jupyterlab(folder) as address:
            for name in names:
                page = browser.new_page(viewport={"width": 1400, "height": 1000})
                visit, seconds = Walk(page), 0.0
                try:
                    visit.open(address, name)
                    seconds = visit.run_all()
                    if pictures:
                        visit.photograph(pictures, name)
                    visit.use_controls(name.split("/")[1], picture)
                    visit.problems += visit.errors()
                except (Error, TimeoutError) as problem:
                    visit.problems.append(str(problem)[:300])
                page.close()
                for kernel in requests.get(
                    f"{address}/api/kernels", params={"token": TOKEN}, timeout=30
                ).json():
                    requests.delete(
                        f"{address}/api/kernels/{kernel['id']}", params={"token": TOKEN}, timeout=60
                    )
                found[name] = visit.problems
                print(
                    f"{name:42} {seconds:6.1f} s {visit.used:4} controls  {'WRONG' if visit.problems else 'well'}",
                    flush=True,
                )
                for problem in visit.problems:
                    print("    " + " ".join(problem.split()), flush=True)
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", help='how their names begin, such as "02"; all of them, if none is given'
    )
    parser.add_argument("--lang", choices=("zh", "en"))
    parser.add_argument("--pictures", type=Path, help="where screenshots of all that is to be seen go")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that JupyterLab is ended, too
    languages = (args.lang,) if args.lang else LANGUAGES
    chosen = [path.relative_to(ROOT).with_suffix("").as_posix() for path in find(ROOT, languages, args.names)]
    sys.exit(any(walk(chosen, args.pictures).values()))


if __name__ == "__main__":
    main()
