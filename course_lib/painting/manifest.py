"""`manifest.jsonl`: what a batch means to paint, and what became of it, a line at a time.

A picture has a key, made of everything that decides it: service, prompt, parameters, and which of several
equal ones it is. Its number, file and seed are written down before it is painted, so that a run that was
killed goes on with the same; afterwards comes a line with "done" or "failed". The last line of a key counts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CourseError
from ..output import append_lines
from .picture import read_picture

NAME = "manifest.jsonl"
KEY = "batch_key"  # in a picture's own parameters: whose it is, if it was written but not noted


@dataclass(frozen=True)
class Entry:
    """A line of the manifest, and so a picture of the batch. `status` is "planned", "done" or "failed"."""

    key: str
    number: int
    file: str
    prompt: str
    seed: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    status: str = "planned"
    sha256: str | None = None
    error: str | None = None

    @property
    def ok(self) -> bool:
        return self.status == "done"

    def line(self) -> str:
        line = json.dumps(asdict(self), ensure_ascii=False, default=str)
        return line.encode(errors="backslashreplace").decode()  # half a surrogate pair, as JSON escapes it


@dataclass
class Manifest:
    """The manifest of a folder as it was read, and appended to since."""

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / NAME

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """What the folder's manifest says; a line that is torn or not ours is passed over."""
        manifest = cls(folder)
        for line in _lines(manifest.path):
            try:
                found = json.loads(line)
                entry = Entry(**{name: found[name] for name in Entry.__dataclass_fields__ if name in found})
            except (ValueError, TypeError, RecursionError):
                continue
            if _sound(entry):
                manifest.entries[entry.key] = entry
        return manifest

    def add(self, *entries: Entry) -> None:
        """Note entries, on the disk when this returns."""
        append_lines(self.path, [entry.line() for entry in entries])
        self.entries |= {entry.key: entry for entry in entries}

    def next_number(self) -> int:
        """A number that neither the manifest nor any file in the folder uses: nothing is overwritten."""
        used = {entry.number for entry in self.entries.values()}
        used |= {
            int(path.stem[10:]) for path in self.folder.glob("generated_*.png") if path.stem[10:].isdecimal()
        }
        return max(used, default=-1) + 1

    def finished(self, entry: Entry) -> bool:
        """Whether the picture is there, exactly as it was written."""
        if not (entry.ok and entry.sha256):
            return False
        try:
            return sha256(self.folder / entry.file) == entry.sha256
        except OSError:
            return False

    def found(self, entry: Entry) -> Entry | None:
        """The entry as done, if its file is there whole although no line says so: killed in between."""
        try:
            picture = read_picture(self.folder / entry.file)
        except CourseError:
            return None
        if picture.parameters.get(KEY) != entry.key:
            return None
        return done(entry, picture.parameters, sha256(self.folder / entry.file))


def done(entry: Entry, parameters: Mapping[str, Any], digest: str) -> Entry:
    """The entry of a picture that was painted, with what is true of it."""
    true = {name: value for name, value in parameters.items() if name != KEY}
    known = {**asdict(entry), "parameters": true, "seed": true.get("seed", entry.seed)}
    return Entry(**known | {"status": "done", "sha256": digest, "error": None})


def failed(entry: Entry, error: BaseException) -> Entry:
    """The entry of a picture that was not painted."""
    return Entry(
        **asdict(entry) | {"status": "failed", "sha256": None, "error": f"{type(error).__name__}: {error}"}
    )


def keys(identity: Mapping[str, Any], tasks: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The key of each task, in turn. Equal tasks are counted, so that each is a picture of its own."""
    seen: Counter[str] = Counter()
    for task in tasks:
        text = json.dumps([dict(identity), dict(task)], sort_keys=True, ensure_ascii=False, default=str)
        digest = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:20]
        yield f"{digest}-{seen[digest]}"
        seen[digest] += 1


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _lines(path: Path) -> Iterator[str]:
    try:
        yield from path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return


def _sound(entry: Entry) -> bool:
    """Whether an entry may be believed; its file must be a name in the folder, whoever wrote the line."""
    return (
        isinstance(entry.key, str)
        and isinstance(entry.number, int)
        and isinstance(entry.file, str)
        and Path(entry.file).name == entry.file
        and entry.file.endswith(".png")
        and isinstance(entry.prompt, str)
        and isinstance(entry.parameters, dict)
    )
