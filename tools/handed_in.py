"""A notebook that a learner handed in: whether it can be read, and whose it is."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course_lib.settings import say


class ClassroomError(Exception):
    """Something the teacher can mend; the message is one sentence that says how."""


def student_name(shown: Path, exercise: str) -> str:
    """Whose notebook it is: what its name says beside the exercise's, else its folder's name.

    `ClassroomError` where neither says.
    """
    short = exercise.partition("_")[0]
    rest = re.sub(r"\s*\(\d+\)$", "", shown.stem)  # a browser's second download
    rest = re.sub(rf"(?<![A-Za-z0-9])(?:{exercise}|{short})(?![A-Za-z0-9])", "", rest)
    # Moodle's folders
    name = rest.strip(" _-.") or re.sub(r"_\d+_assignsubmission_file_?$", "", shown.parent.name)
    if not name.strip(" ."):
        raise ClassroomError(
            say(
                zh=f"看不出是谁的：请改名为“姓名_{exercise}.ipynb”。",
                en=f"whose it is cannot be told: name it NAME_{exercise}.ipynb.",
            )
        )
    return name


def read_notebook(path: Path) -> NotebookNode:
    """A whole notebook, or `ClassroomError`."""
    try:
        nb = nbformat.read(path, as_version=4)
        nbformat.validate(nb)
    except (ValueError, AttributeError, KeyError, TypeError, nbformat.ValidationError) as error:
        raise ClassroomError(
            say(
                zh="这不是能打开的笔记本，请要求重新提交。",
                en="it is no readable notebook, ask for it again.",
            )
        ) from error
    return nb
