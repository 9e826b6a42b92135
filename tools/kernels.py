"""How notebooks are run headless: the same for building, for `course.py run` and for the tests."""

from __future__ import annotations

import atexit
import base64
import functools
import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image, ImageChops, ImageStat

ROOT = Path(__file__).resolve().parents[1]

# What a kernel's environment holds so that a stored output shows the result and nothing else: no progress
# bars, no library chatter, no network, the same hash order each time. A failing exercise check raises instead
# of only showing its panel, so that a headless run notices it, and one that passes is nobody's progress.
QUIET = {
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONWARNINGS": "ignore",
    "PYTHONHASHSEED": "0",
    "COURSE_CHECK_STRICT": "1",
    "COURSE_PROGRESS": "off",
}

CELL_TIMEOUT = 900  # seconds; a live training takes two or three minutes on two slow cores
_LARGE_PNG = 20_000  # bytes
_UNSEEN = 3.0  # mean difference of a channel, of 255
KEEP_STDERR = "keep-stderr"
_WIDGET = "application/vnd.jupyter.widget-view+json"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")
_WIDGET_NOTE = {
    "zh": "*（交互控件：运行这一格后出现。）*",
    "en": "*(An interactive control: run this cell to see it.)*",
}


def headless_env() -> dict[str, str]:
    """Environment for headless kernels: `QUIET`, the checkout importable, a user's own set-up left aside."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return QUIET | {"PYTHONPATH": path, "JUPYTER_PREFER_ENV_PATH": "1", "IPYTHONDIR": _ipython_dir()}


@functools.cache
def _ipython_dir() -> str:
    folder = tempfile.mkdtemp(prefix="course-ipython-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    profile = Path(folder, "profile_default")
    profile.mkdir()
    shutil.copy(Path(__file__).parent / "headless" / "ipython_kernel_config.py", profile)
    return folder


def run_notebook(
    nb: NotebookNode,
    folder: Path,
    *,
    lang: str,
    env: dict[str, str] | None = None,
    allow_errors: bool = False,
    on_cell: Callable[[int], None] | None = None,
) -> NotebookNode:
    """Run `nb` in place in a fresh kernel of this Python, in `folder`; each output is stored as it came.

    `on_cell(index)` is called after each code cell. Raises `nbclient.exceptions.CellExecutionError`, which
    carries the traceback, at the first cell that fails, unless `allow_errors`.
    """
    client = NotebookClient(
        nb,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        allow_errors=allow_errors,
        record_timing=False,
        store_widget_state=False,
        on_cell_executed=(lambda cell, cell_index, execute_reply: on_cell(cell_index)) if on_cell else None,
    )
    client.execute(env=os.environ | headless_env() | {"COURSE_LANG": lang} | (env or {}))
    return nb


def tidy_outputs(nb: NotebookNode, lang: str) -> None:
    """Leave in `nb` only what a reader wants to see and what is the same on every run.

    Dropped: stderr (unless the cell is tagged `keep-stderr`), time stamps, memory addresses, the second copy
    of a picture, widget views and their state (the picture or table beside one stays; where there is none, a
    sentence says to run the cell).
    """
    nb.metadata.pop("widgets", None)
    nb.metadata.language_info = {"name": "python"}  # the kernel wrote its own version into it
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        cell.metadata.pop("execution", None)
        kept: list[NotebookNode] = []
        for output in cell.outputs:
            if output.output_type == "stream":
                if output.name == "stderr" and KEEP_STDERR not in cell.metadata.get("tags", []):
                    continue
                output.text = _ADDRESS.sub("0x...", output.text)
                if kept and kept[-1].output_type == "stream" and kept[-1].name == output.name:
                    kept[-1].text += output.text
                    continue
            elif "data" in output:
                _without_widget(output, lang)
                if "image/png" in output.data:
                    output.data.pop("image/jpeg", None)  # IPython stores a PIL image twice
                    output.data["image/png"] = smaller_png(output.data["image/png"])
                if "text/plain" in output.data:
                    output.data["text/plain"] = _ADDRESS.sub("0x...", output.data["text/plain"])
            kept.append(output)
        cell.outputs = kept


def smaller_png(encoded: str) -> str:
    """The same picture in fewer bytes, base64 in and out: no alpha where all is opaque, compressed well.

    A large one gets a palette of 256 colours where nobody sees the difference, as with flat drawings: stored
    notebooks are what makes a checkout heavy.
    """
    data = base64.b64decode(encoded)
    image = Image.open(io.BytesIO(data))
    if image.mode == "RGBA" and image.getextrema()[3] == (255, 255):
        image = image.convert("RGB")
    if len(data) > _LARGE_PNG and image.mode == "RGB":
        few = image.quantize(256)
        error = ImageStat.Stat(ImageChops.difference(image, few.convert("RGB"))).mean
        image = few if max(error) < _UNSEEN else image
    packed = io.BytesIO()
    image.save(packed, "PNG", optimize=True)
    return base64.b64encode(min(packed.getvalue(), data, key=len)).decode()


def plain(error: Exception) -> str:
    """What a failed run says, without the colours of a terminal."""
    return _ANSI.sub("", str(error)).strip()


def shows_widget(cell: NotebookNode) -> bool:
    """Whether running this cell displayed a Jupyter widget (whose view is random and cannot be compared)."""
    return any(_WIDGET in output.get("data", {}) for output in cell.get("outputs", []))


def _without_widget(output: NotebookNode, lang: str) -> None:
    if output.data.pop(_WIDGET, None) is None:
        return
    if set(output.data) <= {"text/plain"}:
        output.data.clear()
        output.data["text/markdown"] = _WIDGET_NOTE[lang]
        output.data["text/plain"] = _WIDGET_NOTE[lang].strip("*")
