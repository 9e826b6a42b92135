"""A folder that is written to by one batch at a time, whole files only.

A file appears under its name when it is complete and on the disk: written under another, synced, renamed. The
lock is the operating system's own, and so ends with its process, however that ends.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import OutputError, SettingsError
from .settings import say

LOCK = ".batch.lock"
_PART = ".part"


@contextmanager
def locked_folder(folder: str | os.PathLike) -> Iterator[Path]:
    """The folder, made if needed, for this batch alone. `SettingsError` where another works in it.

    Raises `OutputError` where it cannot be written to. What a killed batch left half-written is removed.
    """
    path = Path(folder).expanduser()
    with plainly(path):
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _lock(descriptor):
            raise SettingsError(
                say(
                    zh=f"另一个批次正在写 {path}，请等它结束，或换一个文件夹。",
                    en=f"Another batch is writing to {path}, please wait for it or use another folder.",
                )
            )
        for part in path.glob(f".*{_PART}"):
            discard(part)
        yield path
    finally:
        os.close(descriptor)  # which ends the lock, too


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # Some network file systems have no locks: then nothing is known, and nothing in the way.
            return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
        return True


def write_whole(path: Path, write: Callable[[Any], None]) -> None:
    """`write(file)` to a temporary file beside `path`, synced and renamed. Raises `OutputError`."""
    publish(write_part(path, write), path)


def write_part(path: Path, write: Callable[[Any], None]) -> Path:
    """`write(file)` to a temporary file beside `path`, synced: what `publish` gives its name."""
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    with plainly(path.parent):
        try:
            with open(part, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            discard(part)
            raise
    return part


def publish(part: Path, path: Path) -> None:
    """Give a file that is complete its name. Raises `OutputError`."""
    with plainly(path.parent):
        try:
            os.replace(part, path)
        except BaseException:
            discard(part)
            raise
    sync_folder(path.parent)


def discard(part: Path) -> None:
    with suppress(OSError):
        part.unlink()


def append_lines(path: Path, lines: Sequence[str]) -> None:
    """More lines at the end of a file, on the disk when this returns. Raises `OutputError`.

    A last line that was cut short, by a kill or a full disk, is ended first.
    """
    text = "".join(line + "\n" for line in lines)
    if not text:
        return
    with plainly(path.parent), open(path, "ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                text = "\n" + text
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make a rename last, where the system has a way to say so."""
    if os.name == "posix":
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def plainly(folder: Path) -> Iterator[None]:
    """Errors of the file system as one sentence."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            zh, en = (
                "磁盘已满，请腾出空间后再运行一次，会接着做完",
                "The disk is full, please make room and run again, it goes on from there",
            )
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            zh, en = "没有写入权限，请换一个文件夹", "Writing is not allowed there, please use another folder"
        elif error.errno in (errno.ENOTDIR, errno.EEXIST):
            zh, en = "那里不是文件夹，请换一个名字", "That is no folder, please use another name"
        else:
            zh, en = (
                f"无法写入（{error.strerror}），请换一个文件夹",
                f"It cannot be written to ({error.strerror}), please use another folder",
            )
        raise OutputError(say(zh=f"{folder}：{zh}。", en=f"{folder}: {en}.")) from error
