"""Many pictures into a folder: several at once, each with its own outcome, to be continued after a kill.

The chapter's loop waits a second after each picture, which limits nothing, as its calls wait anyway; one
failure loses the rest, and a second run paints over the first. Here a run that is repeated paints what is
missing, and nothing else.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..batching import batch
from ..errors import CourseError, OutputError, ServiceError, SettingsError, warn
from ..output import discard, locked_folder, publish, write_part
from ..settings import say
from . import parameters as check
from .contact_sheet import SHEET, contact_sheet
from .manifest import KEY, Entry, Manifest, done, failed, keys, sha256
from .picture import Picture, read_picture
from .service import ImageService

_GIVE_UP = 3  # failures to connect, one after the other: the server is gone


@dataclass(frozen=True)
class Batch(Sequence[Entry]):
    """What became of a batch, in the prompts' order. An entry has prompt, seed, parameters, file, status."""

    folder: Path
    entries: tuple[Entry, ...]

    @property
    def paths(self) -> list[Path]:
        """The files that are there."""
        return [self.folder / entry.file for entry in self.entries if entry.ok]

    @property
    def failures(self) -> list[Entry]:
        """The pictures that were not painted, each with its `error`. The same call tries these again."""
        return [entry for entry in self.entries if not entry.ok]

    @property
    def sheet(self) -> Path:
        """The pictures on one, the first 400 of them."""
        return self.folder / SHEET

    def pictures(self) -> Iterator[tuple[Entry, Picture]]:
        """Each entry with its picture, to be measured against its prompt."""
        for entry in self.entries:
            if entry.ok:
                yield entry, read_picture(self.folder / entry.file)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Batch:
        """All that a folder's manifest knows, of however many calls."""
        path = Path(folder).expanduser()
        entries = Manifest.read(path).entries.values()
        return cls(path, tuple(sorted(entries, key=lambda entry: entry.number)))

    def __getitem__(self, index: Any) -> Any:
        return self.entries[index]

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        painted, failed = (sum(entry.status == s for entry in self) for s in ("done", "failed"))
        return say(
            zh=f"<批次 {self.folder}：共 {len(self)} 张，完成 {painted} 张，失败 {failed} 张>",
            en=f"<Batch {self.folder}: {painted} of {len(self)} painted, {failed} failed>",
        )


def batch_generate(
    service: ImageService,
    prompts: Iterable[str | Mapping[str, Any]],
    output_dir: str | os.PathLike = "./outputs",
    *,
    max_workers: int = 4,
    seed: int | None = None,
    progress: bool = True,
    **options: Any,
) -> Batch:
    """A picture of each prompt, by `service.text_to_image`, into `output_dir`, up to `max_workers` at once.

    A prompt is a string, or a dictionary with "prompt" and arguments of its own; `options` go to every call.
    `seed` is that of the first picture, the next has the one after it; without one each draws its own. Files
    are named generated_000.png and on, with `manifest.jsonl` and a contact sheet beside them. The same call
    again goes on where it was stopped or killed, and tries what failed; what is there stays as it is.

    Raises `OutputError` for a folder or disk that takes nothing, `SettingsError` where another batch writes
    to it. What fails of a single picture is recorded, not raised, and warned about at the end.
    """
    workers = check.check_whole("max_workers", max_workers, 1, 64)
    tasks = _tasks(prompts, check.check_seed(seed), options)
    with locked_folder(output_dir) as folder:
        manifest = Manifest.read(folder)
        planned = _plan(manifest, keys(service.identity(), tasks), tasks)
        missing = [entry for entry in planned if not manifest.finished(entry)]
        run = _Run(service, manifest, dict(zip((entry.key for entry in planned), tasks, strict=True)))
        try:
            batch(run.paint, missing, max_workers=workers, progress=progress)
        except BaseException:
            run.stop()
            service.interrupt()
            raise
        if run.output_error is not None:
            raise run.output_error
        made = Batch(folder, tuple(manifest.entries[entry.key] for entry in planned))
        contact_sheet(folder, made.entries)
    if made.failures:
        first = made.failures[0]
        warn(
            say(
                zh=f"{len(made)} 张图片中有 {len(made.failures)} 张没有画成，见 .failures；第一个错误是"
                f"“{first.error}”。再次运行同样的调用会只补画这些。",
                en=f"{len(made.failures)} of {len(made)} pictures were not painted, see .failures; the first "
                f"error: {first.error} The same call again paints just these.",
            )
        )
    return made


def _tasks(
    prompts: Iterable[str | Mapping[str, Any]], seed: int | None, options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The arguments of each call."""
    if isinstance(prompts, (str, Mapping)):
        prompts = [prompts]
    tasks = []
    for number, one in enumerate(prompts):
        own = {"prompt": one} if isinstance(one, str) else one
        task = {**options, **(own if isinstance(own, Mapping) else {})}
        if "count" in task or not isinstance(task.get("prompt"), str):
            raise SettingsError(
                say(
                    zh="每个提示词应当是字符串，或带有 prompt 的字典；这里没有 count，请把同一个提示词写几遍。",
                    en="Each prompt must be a string, or a dictionary with a prompt; there is no count here, "
                    "please list a prompt several times.",
                )
            )
        if seed is not None:
            task.setdefault("seed", (seed + number) % (check.LARGEST_SEED + 1))
        tasks.append(task)
    return tasks


def _plan(manifest: Manifest, keys: Iterable[str], tasks: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """An entry for each task: as the manifest has it, else a new one, noted before anything is painted."""
    number, entries, new = manifest.next_number(), [], []
    for key, task in zip(keys, tasks, strict=True):
        entry = manifest.entries.get(key)
        if entry is None:
            wanted = task.get("seed")
            seed = check.draw_seed() if wanted is None or wanted == -1 else wanted
            entry = Entry(
                key, number + len(new), f"generated_{number + len(new):03d}.png", task["prompt"], seed
            )
            new.append(entry)
        entries.append(entry)
    manifest.add(*new)
    return entries


class _Run:
    """One run over what is missing. Its threads share it."""

    def __init__(self, service: ImageService, manifest: Manifest, tasks: Mapping[str, Mapping[str, Any]]):
        self.service, self.manifest, self.tasks = service, manifest, tasks
        self.output_error: OutputError | None = None
        self._lock = threading.Lock()
        self._stopped = False
        self._hopeless: CourseError | None = None
        self._unreached = 0

    def stop(self) -> None:
        """Nothing is written from here on: the folder may belong to another batch."""
        with self._lock:
            self._stopped = True

    def paint(self, entry: Entry) -> None:
        """Paint one picture, and note what became of it."""
        if self._stopped or self.output_error is not None:
            return
        if (whole := self.manifest.found(entry)) is not None:
            return self._note(whole)
        if self._hopeless is not None:
            return self._note(failed(entry, self._hopeless))
        try:
            picture = self.service.text_to_image(**self._arguments(entry))
        except Exception as error:  # whatever it is, it is this picture's alone
            self._count(error)
            return self._note(failed(entry, error))
        self._count(None)
        self._keep(entry, picture)

    def _arguments(self, entry: Entry) -> dict[str, Any]:
        """The task's own, with the seed that was noted; a service without seeds is not given one."""
        task = dict(self.tasks[entry.key])
        if self.service.seeded or task.get("seed") is not None:
            task["seed"] = entry.seed
        return task

    def _keep(self, entry: Entry, picture: Image.Image) -> None:
        """Write a picture down; a service that is not of this course may give a plain PIL image."""
        path = self.manifest.folder / entry.file
        known = {**getattr(picture, "parameters", {}), KEY: entry.key}
        try:
            marked = Picture.of(picture, known, getattr(picture, "infotext", ""))
            part = write_part(path, lambda file: marked.save(file, "PNG"))
            digest = sha256(part)
            with self._lock:
                if self._stopped:
                    return discard(part)
                publish(part, path)
                self.manifest.add(done(entry, marked.parameters, digest))
        except OutputError as error:
            self._give_up(error)
        except Exception as error:  # what was painted is no picture, or cannot be written as one
            self._note(failed(entry, error))

    def _note(self, entry: Entry) -> None:
        try:
            with self._lock:
                if not self._stopped:
                    self.manifest.add(entry)
        except OutputError as error:
            self._give_up(error)

    def _give_up(self, error: OutputError) -> None:
        """What is painted from here on could not be kept."""
        self.output_error = self.output_error or error

    def _count(self, error: Exception | None) -> None:
        """Give up where trying on is of no use: no way in, or nobody there any more."""
        with self._lock:
            kind = error.kind if isinstance(error, ServiceError) else None
            self._unreached = self._unreached + 1 if kind == "connection" else 0
            if kind == "authentication" or self._unreached >= _GIVE_UP:
                self._hopeless = error
