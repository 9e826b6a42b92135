"""The scan of a store as files beside its database: made from it, checked when read, never the only copy.

A snapshot is a folder `scan-*` with the rows, memory-mapped when searched, their numbers in the database, the
codes, and a manifest. It is written under another name, and renamed when it is complete.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np

from .scan import ScanIndex, faiss

ROWS, NUMBERS, CODES, MANIFEST = "rows.npy", "numbers.npy", "codes.faiss", "manifest.json"


@dataclass(frozen=True)
class Mark:
    """How much of which database a scan has seen: its rows up to `seq`, its removals up to `removal`."""

    store: str
    seq: int
    removal: int


def begin(folder: Path, count: int, dim: int) -> Path:
    """A new folder under a temporary name, where there is room for that many rows and their codes."""
    for abandoned in folder.glob(".tmp-*"):
        if time.time() - abandoned.stat().st_mtime > 3600:  # its maker was killed
            discard(abandoned)
    if shutil.disk_usage(folder).free < 4 * count * dim * 1.2:  # rather than fill the disk first
        raise OSError("disk full")
    temporary = folder / f".tmp-{uuid4().hex[:12]}"
    temporary.mkdir()
    return temporary


def write_rows(temporary: Path, rows: Iterable[bytes], count: int, dim: int) -> np.memmap:
    """The rows, float32 `(count, dim)` and the bytes of each in turn, as a file; mapped into memory."""
    with (temporary / ROWS).open("wb", buffering=1 << 20) as file:
        header = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)),
            "fortran_order": False,
            "shape": (count, dim),
        }
        np.lib.format.write_array_header_1_0(file, header)
        # one by one: a row passes through the processor's cache, and through no other array
        file.writelines(rows)
    return np.load(temporary / ROWS, mmap_mode="r")


def finish(temporary: Path, index: ScanIndex, numbers: np.ndarray, mark: Mark) -> None:
    """Complete the folder and put it in its place, where the index's rows are mapped from then on; older ones go."""
    np.save(temporary / NUMBERS, numbers)
    if index.codes is not None:
        faiss().write_index(index.codes, str(temporary / CODES))
    files = sorted(temporary.iterdir())
    manifest = {
        "mark": asdict(mark),
        "scan": {"kind": index.kind, "depth": index.depth, "recall": index.recall},
        "files": {path.name: _checksum(path, sync=True) for path in files},
    }
    (temporary / MANIFEST).write_text(json.dumps(manifest))
    place = temporary.with_name(f"scan-{mark.seq:012}-{mark.removal:012}-{temporary.name[-12:]}")
    # unmapped: Windows renames no folder with an open file in it
    index.base = np.empty((0, index.dim), np.float32)
    os.replace(temporary, place)
    index.base = np.asarray(np.load(place / ROWS, mmap_mode="r"))
    upto = place.name.rpartition("-")[0]
    for other in _snapshots(place.parent):
        if other != place and other.name.rpartition("-")[0] <= upto:
            discard(other)  # Windows keeps what another process has open


def discard(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)


def load(folder: Path, store: str, dim: int) -> tuple[ScanIndex, np.ndarray, Mark] | None:
    """The newest snapshot of this database that is whole; None where there is none."""
    for place in reversed(_snapshots(folder)):
        with suppress(Exception):  # whatever a damaged file makes a reader raise: it is made again
            manifest = json.loads((place / MANIFEST).read_text())
            mark = Mark(**manifest["mark"])
            if mark.store != store:
                continue
            files = manifest["files"]
            if any(_checksum(place / name) != checksum for name, checksum in files.items()):
                continue
            if CODES in files and faiss() is None:
                continue
            rows = np.load(place / ROWS, mmap_mode="r")
            numbers = np.load(place / NUMBERS)
            if rows.shape != (len(numbers), dim):
                continue
            index = ScanIndex(dim, rows)
            index.kind, index.depth, index.recall = manifest["scan"].values()
            index.trained_on = len(index)
            if CODES in files:
                index.codes = faiss().read_index(str(place / CODES))
            return index, numbers, mark
    return None


def _snapshots(folder: Path) -> list[Path]:
    return sorted(folder.glob("scan-*"))


def _checksum(path: Path, *, sync: bool = False) -> list[int]:
    """Size and CRC-32 of a file, which is made to reach the disk first if `sync`."""
    crc = 0
    with path.open("r+b" if sync else "rb") as file:
        if sync:
            os.fsync(file.fileno())
        while block := file.read(1 << 22):
            crc = zlib.crc32(block, crc)
    return [path.stat().st_size, crc]
