"""The walk through the course in a browser: that it uses controls, and hears what goes wrong and where.

Needs Playwright (extra "test") and a Chromium of the system's, which Debian has as `chromium`.
"""

from __future__ import annotations

import nbformat
import pytest

pytest.importorskip("playwright.sync_api")
from tools.walk import CHROMIUM, walk  # noqa: E402

if CHROMIUM is None:
    pytest.skip("no Chromium is installed", allow_module_level=True)

CONTROLS = """
from ipywidgets import Button, Dropdown, FileUpload, IntSlider, Text, VBox
parts = [Text(), IntSlider(value=3), Dropdown(options=["one", "two"]), FileUpload(), Button(description="press")]

def pressed(button):
    text, number, choice, files = [part.value for part in parts[:-1]]
    assert text and number == 5 and choice == "two" and len(files) == 1, "a control was not used"
    1 / (2 - FAULT)

parts[-1].on_click(pressed)
VBox(parts)
"""


def test_every_control_is_used_and_what_goes_wrong_is_heard(tmp_path, capsys):
    sources = {"well": ["FAULT = 0", CONTROLS], "faulty": ["FAULT = 2", CONTROLS, "[][1]"]}
    for name, cells in sources.items():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        place = tmp_path / "notebooks" / "en" / f"{name}.ipynb"
        place.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, place)
    pictures = tmp_path / "pictures"
    found = walk([f"notebooks/en/{name}" for name in sources], pictures, tmp_path)
    assert found["notebooks/en/well"] == []
    for error in ("ZeroDivisionError", "IndexError"):  # of a control's callback, and of a cell
        assert any(error in problem for problem in found["notebooks/en/faulty"]), found
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in lines if " controls " in line] == ["5", "5"]
    assert (pictures / "notebooks-en-well-00.png").exists()
