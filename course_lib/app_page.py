"""The search-and-ask app as a web page: the notebook's own widgets, served by Voila (optional extra "app").

Each visitor has a process of Python to themselves, so that nobody sees another's pictures. It serves this machine
alone, unless another address is asked for.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from . import settings
from .errors import CourseError, ImageError, SettingsError
from .settings import say

TEMPLATE = Path(__file__).parent / "page_template"
SETTINGS = {
    "Voila": {
        # Bytes of one upload. Tornado's own limit of 10 MB is two pictures of a telephone, and then hangs up.
        "tornado_settings": {"websocket_max_message_size": 100 * 1024**2},
    },
    "VoilaConfiguration": {
        "template": "course",
        "show_tracebacks": False,
        "file_allowlist": ["^$"],  # no file is served
    },
}

_CELL = """\
from course_lib.app import search_app
from course_lib.settings import set_language
set_language({lang!r})
search_app({folder!r})"""


def page_notebook(folder: Path, lang: str) -> str:
    """The notebook that Voila serves: one cell, the app over a folder of pictures."""
    cell = {"cell_type": "code", "id": "app", "source": _CELL.format(folder=str(folder), lang=lang)}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": kernel, "title": say(zh="找图问图", en="Find and ask")},
        "cells": [{**cell, "metadata": {}, "outputs": [], "execution_count": None}],
    }
    return json.dumps(notebook, ensure_ascii=False)


def prepare(place: Path, folder: Path, lang: str) -> Path:
    """Write the notebook and Voila's settings into the folder that it is started in; returns the notebook."""
    notebook = place / "app.ipynb"
    notebook.write_text(page_notebook(folder, lang), encoding="utf-8")
    (place / "voila.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    return notebook


def command(
    notebook: Path, *, port: int, host: str = "127.0.0.1", theme: str = "light", browser: bool = True
) -> list[str]:
    """The command line that serves a notebook as a page, to be run in the notebook's folder."""
    line = [
        sys.executable,
        "-m",
        "voila",
        notebook.name,
        f"--port={port}",
        f"--Voila.ip={host}",
        f"--theme={theme}",
    ]
    return line if browser else [*line, "--no-browser"]


def environment() -> dict[str, str]:
    """The environment for that command: where Voila finds the page's template."""
    paths = [str(TEMPLATE), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    return {**os.environ, "JUPYTER_PATH": os.pathsep.join(paths)}


def main(arguments: list[str] | None = None) -> None:
    """`python -m course_lib.app FOLDER`: serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m course_lib.app", description=__doc__.splitlines()[0])
    parser.add_argument("folder", help=say(zh="图片所在的文件夹", en="the folder that holds the pictures"))
    parser.add_argument("--port", type=int, default=8866)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    parser.add_argument("--lang", choices=settings.LANGUAGES, default=settings.language())
    parser.add_argument("--no-browser", action="store_true")
    asked = parser.parse_args(arguments)
    settings.set_language(asked.lang)
    try:
        folder = _checked(asked.folder)
    except CourseError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    # Windows keeps a file that is open
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        notebook = prepare(Path(place), folder, asked.lang)
        line = command(
            notebook, port=asked.port, host=asked.host, theme=asked.theme, browser=not asked.no_browser
        )
        process = subprocess.Popen(line, cwd=place, env=environment())
        # Whoever ends this one ends the page, too, and through it its visitors' kernels.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            sys.exit(process.wait())
        except KeyboardInterrupt:
            pass  # Ctrl-C is the way to end it
        finally:
            process.terminate()
            process.wait()


def _checked(folder: str) -> Path:
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise ImageError(
            say(
                zh=f"找不到文件夹 {path}，请检查路径。",
                en=f"There is no folder {path}, please check the path.",
            )
        )
    if find_spec("voila") is None:
        raise SettingsError(
            say(
                zh='网页版需要 Voila，请运行：pip install "multimodal-course[app]"。',
                en='The page needs Voila, please run: pip install "multimodal-course[app]".',
            )
        )
    return path
