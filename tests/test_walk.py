"""The walk through the course in a browser: that it uses controls, and hears what goes wrong and where.

Needs Playwright (extra "test") and a Chromium of the system's, which Debian has as `chromium`.
"""

from __future__ import annotations

import shutil

import nbformat
import pytest

pytest.importorskip("playwright.sync_api")
if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
    pytest.skip("no Chromium is installed", allow_module_level=True)

from tools.walk import walk  # noqa: E402

CONTROLS = """
from ipywidgets import Button, Dropdown, IntSlider, Text, VBox
parts = [Text(), IntSlider(value=3), Dropdown(options=["one", "two"]), Button(description="press")]
parts[-1].on_click(lambda button: print([part.value for part in parts[:-1]], 1 / (2 - FAULT)))
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
    assert [line.split()[3] for line in lines if " controls " in line] == ["4", "4"]
    assert (pictures / "notebooks-en-well-00.png").exists()
