"""Which checks of the exercises were passed: kept in one small file on this machine, and sent nowhere.

The file stands in the user's own data folder, or where COURSE_PROGRESS says ("off" keeps nothing). It is an
SQLite database: a check that passes is written whole or not at all, and notebooks may do so at the same time.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from platformdirs import user_data_path

from .errors import warn
from .settings import resolve, say

OFF = "off"
_WAIT = 30.0  # seconds to wait for another notebook that writes; on a busy machine a write may take one


def path() -> Path | None:
    """The file that holds the progress, whether it is there yet or not; None where none is kept."""
    chosen = resolve("COURSE_PROGRESS").value
    if chosen == OFF:
        return None
    return (
        Path(chosen).expanduser()
        if chosen
        else user_data_path("multimodal-course", appauthor=False) / "progress.sqlite"
    )


def record(exercise: str, step: str) -> None:
    """Note that a check was passed: `record("Exercise1", "similarity")`.

    A file that cannot be written is a warning, never an error: the check itself has done its work.
    """
    if (file := path()) is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _opened(file) as database, database:  # commits, or rolls back
            database.execute("BEGIN IMMEDIATE")  # waits here for its turn; later it would be refused at once
            database.execute(
                "CREATE TABLE IF NOT EXISTS passed "
                "(exercise TEXT, step TEXT, first TEXT, PRIMARY KEY (exercise, step))"
            )
            database.execute("INSERT OR IGNORE INTO passed VALUES (?, ?, datetime('now'))", (exercise, step))
    except (OSError, sqlite3.Error) as error:
        warn(_unusable(file, error))


def passed() -> set[tuple[str, str]]:
    """`(exercise, step)` of every check that was passed so far."""
    file = path()
    if file is None or not file.exists():
        return set()
    try:
        with _opened(file) as database:
            begun = database.execute("SELECT name FROM sqlite_master WHERE name = 'passed'").fetchone()
            return set(database.execute("SELECT exercise, step FROM passed")) if begun else set()
    except (OSError, sqlite3.Error) as error:
        warn(_unusable(file, error))
        return set()


def forget() -> None:
    """Begin anew: remove the file."""
    if file := path():
        file.unlink(missing_ok=True)


def _opened(file: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(file, timeout=_WAIT, isolation_level=None))


def _unusable(file: Path, error: Exception) -> str:
    return say(
        zh=f"学习进度文件 {file} 不能用（{error}）：删除它就会从头记起，或用 COURSE_PROGRESS 换个地方。",
        en=f"The progress file {file} cannot be used ({error}): remove it to begin anew, or name another with "
        "COURSE_PROGRESS.",
    )
