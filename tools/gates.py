"""What a committed notebook must not be: unlike its source, unsafe to publish, unexecuted, or too big."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.lessons import Lesson, first_line, make_notebook

MAX_BYTES = 700_000

_MACHINE_PATH = re.compile(
    r"""(?<![\w./~])/(?:home|Users)/\w+     # a user's folder on Linux and macOS
      | (?<![\w./~])/(?:root|work|tmp)\b    # folders of a build machine
      | \b[A-Za-z]:\\+Users\\+\w+           # a user's folder on Windows
    """,
    re.VERBOSE,
)
_KEY = re.compile(
    r"""\bsk-[A-Za-z0-9_-]{16,}                                             # OpenAI and those that follow it
      | \b(?:hf_|gh[pousr]_|github_pat_)[A-Za-z0-9_]{20,}                   # Hugging Face, GitHub
      | \bAKIA[0-9A-Z]{16}\b                                                # Amazon
      | (?i:api[-_ ]?key|authorization|bearer)["']?\s*[:=]?\s*["']?(?=[\w-]*\d)[A-Za-z0-9_-]{20,}
    """,
    re.VERBOSE,
)


def problems(path: Path, folder: str) -> list[str]:
    """What is wrong with the notebook stored at `path`, a sentence each; `folder` says what it is to hold."""
    if not path.exists():
        return ["it is missing"]
    found = []
    nb = nbformat.read(path, as_version=4)
    size = path.stat().st_size
    if size > MAX_BYTES:
        found.append(f"{size / 1e6:.2f} MB is over {MAX_BYTES / 1e6} MB: make its figures smaller or fewer")
    try:
        nbformat.validate(nb)
    except nbformat.ValidationError as error:
        found.append(f"not a valid notebook: {error}")
    for index, cell in enumerate(nb.cells):
        outputs = cell.get("outputs", [])
        if any(output.output_type == "error" for output in outputs):
            found.append(f"cell {index} stores an error: {first_line(cell.source)}")
        for text in [cell.source, *_texts(outputs)]:
            for pattern, what in ((_MACHINE_PATH, "a machine's path"), (_KEY, "what looks like a key")):
                if match := pattern.search(text):
                    shown = match.group() if pattern is _MACHINE_PATH else match.group()[:6] + "..."
                    found.append(f"cell {index} holds {what}: {shown}")
        if cell.cell_type != "code":
            continue
        if folder == "exercises" and (outputs or cell.execution_count is not None):
            found.append(f"cell {index} of an exercise stores an output")
        if folder != "exercises" and cell.source.strip() and cell.execution_count is None:
            found.append(f"cell {index} was not executed: {first_line(cell.source)}")
    if folder != "exercises" and not any(cell.get("outputs") for cell in nb.cells):
        found.append("it stores no output at all")
    return found


def differences(path: Path, lesson: Lesson, folder: str, lang: str, root: Path) -> list[str]:
    """Where the stored notebook at `path` is not what the lesson's source says (outputs aside)."""
    remedy = f"run: python3 course.py build --only {lesson.name}"
    if not path.exists():
        return [f"it is missing; {remedy}"]
    stored, meant = nbformat.read(path, as_version=4), make_notebook(lesson, folder, lang, root)
    for index, (a, b) in enumerate(zip(stored.cells, meant.cells, strict=False)):
        if _cell_key(a) != _cell_key(b):
            return [f"cell {index} differs from the lesson's source ({first_line(b.source)}); {remedy}"]
    if len(stored.cells) != len(meant.cells):
        return [f"it has {len(stored.cells)} cells where the source makes {len(meant.cells)}; {remedy}"]
    stored.metadata.get("course", {}).pop("built_from", None)
    if stored.metadata != meant.metadata:
        return [f"its metadata differs; {remedy}"]
    return []


def strays(root: Path, lessons: list[Lesson]) -> list[Path]:
    """Notebooks in the built folders that no lesson makes."""
    made = {path for lesson in lessons for path in lesson.outputs(root).values()}
    there = {
        p for folder in ("notebooks", "exercises", "solutions") for p in (root / folder).rglob("*.ipynb")
    }
    return sorted(p for p in there - made if ".ipynb_checkpoints" not in p.parts)


def _texts(outputs: list[NotebookNode]) -> list[str]:
    texts = []
    for output in outputs:
        texts.append(output.get("text", ""))
        texts += [
            v for mime, v in output.get("data", {}).items() if isinstance(v, str) and mime.startswith("text/")
        ]
        texts += output.get("traceback", [])
    return texts


def _cell_key(cell: NotebookNode) -> tuple:
    return cell.get("id"), cell.cell_type, cell.source, cell.metadata
