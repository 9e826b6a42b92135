"""The SQLite file behind an embedded store: its tables, opening it, and its errors as one sentence."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..settings import say
from .protocol import StoreError, closed

FILE = "store.sqlite3"
APPLICATION, VERSION = 0x6D6D6373, 1  # "mmcs": tells our files from other SQLite databases
PATIENCE = 30  # seconds to wait for another process to finish writing

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- A changed vector is a new row with a new seq: what a scan has read never changes under it.
CREATE TABLE items (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, metadata TEXT NOT NULL);
CREATE TABLE vectors (seq INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE thumbnails (seq INTEGER PRIMARY KEY, jpeg BLOB NOT NULL);
-- metadata's scalars once more, for filters
CREATE TABLE facts (key TEXT, value TEXT, seq INTEGER, PRIMARY KEY (key, value, seq)) WITHOUT ROWID;
-- what left, for the scans of other processes
CREATE TABLE removed (number INTEGER PRIMARY KEY AUTOINCREMENT, seq INTEGER NOT NULL);
"""


def connect(folder: Path | None) -> sqlite3.Connection:
    """The database in a folder, both made where they are not there; None is a private one in memory.

    Transactions are the caller's to begin and to end.
    """
    if folder is None:
        # SQLite's own private database: in memory, and in a temporary file when it gets large
        return _prepared(_connection(""), "")
    if folder.is_file():
        raise StoreError(
            say(
                zh=f"{folder} 是文件，请传入文件夹的路径。",
                en=f"{folder} is a file, please pass a folder's path.",
            )
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    try:
        return _prepared(_connection(str(path)), path)
    except sqlite3.OperationalError as error:
        # In a folder that cannot be written to, write-ahead mode cannot even read, unless it is told that
        # nobody else writes either. Where a writer left a log behind, that would pass over what it holds.
        log = path.with_name(FILE + "-wal")
        if not (_is_read_only(error) and path.is_file()) or (log.is_file() and log.stat().st_size):
            raise
        return _prepared(_connection(path.resolve().as_uri() + "?immutable=1", uri=True), path)


def _connection(database: str, **options: Any) -> sqlite3.Connection:
    return sqlite3.connect(
        database, timeout=PATIENCE, isolation_level=None, check_same_thread=False, **options
    )


def _prepared(db: sqlite3.Connection, place: Path | str) -> sqlite3.Connection:
    """Make the tables of a new database; see that another is one of ours."""
    try:
        db.execute("BEGIN")  # one state of it: another process may be making the tables just now
        application = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        db.execute("COMMIT")
        if tables and (application, version) != (APPLICATION, VERSION):
            raise StoreError(
                say(
                    zh=f"{place} 不是本课程（这一版）的索引，请换一个文件夹。",
                    en=f"{place} is no index of (this version of) the course, please use another folder.",
                )
            )
        if not tables:
            db.execute("PRAGMA page_size = 16384")  # a vector is 2 KB: in pages of 4 KB half would be air
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("BEGIN IMMEDIATE")
            if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in SCHEMA.split(";"):
                    db.execute(statement)
                db.execute("INSERT INTO meta VALUES ('store', ?)", (uuid4().hex,))
                db.execute(f"PRAGMA application_id = {APPLICATION}")
                db.execute(f"PRAGMA user_version = {VERSION}")
            db.execute("COMMIT")
        db.execute("PRAGMA synchronous = FULL")  # what is committed survives a power cut, too
        return db
    except BaseException:
        db.close()
        raise


@contextmanager
def plainly(folder: Path | None) -> Iterator[None]:
    """SQLite's errors, and the folder's, as a `StoreError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _explained(error, folder) from error


def _is_read_only(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    return any(words in str(error) for words in ("readonly", "unable to open database file"))


def _explained(error: Exception, folder: Path | None) -> StoreError:
    number = getattr(error, "errno", None)
    # An OSError's text holds a path, in which any word may stand.
    text = (error.strerror or "") if isinstance(error, OSError) else str(error)
    if "closed database" in text:
        return closed()
    place = folder or say(zh="内存中的索引", en="the index in memory")
    if number in (errno.EFBIG, errno.ENOSPC) or number is None and "full" in text:
        message = say(
            zh=f"磁盘已满，{place} 未做改动，请腾出空间后再试。",
            en=f"The disk is full and {place} was left as it was, please free some space and try again.",
        )
    elif number is None and ("locked" in text or "busy" in text):
        message = say(
            zh=f"另一个程序正在写入 {place}，请等它写完再试。",
            en=f"Another program is writing to {place}, please try again when it has finished.",
        )
    elif _is_read_only(error):
        message = say(
            zh=f"{place} 不可写，请检查文件夹的权限，或换一个文件夹。",
            en=f"{place} cannot be written to, please check the folder's permissions or use another folder.",
        )
    elif isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        message = say(
            zh=f"{place} 里的 {FILE} 已损坏，文件未被改动，请从备份恢复，或换一个文件夹重建。",
            en=f"{FILE} in {place} is damaged and was left untouched, please restore it from a backup, or "
            "build the index again in another folder.",
        )
    else:
        message = say(
            zh=f"{place} 读写失败（{text[:100]}），请检查磁盘后再试。",
            en=f"{place} cannot be read or written ({text[:100]}), please check the disk and try again.",
        )
    return StoreError(message)
