"""A call that takes long, watched: a bar from the server's own progress, and Ctrl-C that stops both.

The request waits in a thread; the main thread stays free to draw, and to be interrupted. In other threads,
where Ctrl-C never arrives and several bars would overwrite each other, the call is simply made.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from tqdm.auto import tqdm

from ..batching import quiet

Result = TypeVar("Result")

_EVERY = 0.5  # seconds between two looks at the server's progress


def watched(
    call: Callable[[threading.Event], Result],
    *,
    total: int,
    progress: Callable[[], float | None] | None,
    interrupt: Callable[[], None],
    show: bool = True,
) -> Result:
    """`call(stop)`, with a bar of `total` steps once it takes longer than a second.

    `progress` gives the share that is done, None where the server cannot tell. On Ctrl-C (a notebook's stop
    button) `stop` is set, so that no further attempt is made, `interrupt` is called, and the interruption
    goes on.
    """
    stop, done = threading.Event(), threading.Event()
    if threading.current_thread() is not threading.main_thread():
        return call(stop)
    outcome: dict[str, object] = {}
    share = [0.0]

    def work() -> None:
        try:
            outcome["value"] = call(stop)
        except BaseException as error:
            outcome["error"] = error
        finally:
            done.set()

    def look() -> None:
        while not done.wait(_EVERY):
            try:
                found = progress()
            except Exception:
                return  # a server without progress paints all the same
            if found is None:
                return
            share[0] = max(share[0], min(1.0, found))

    threading.Thread(target=work, name="painting", daemon=True).start()
    if progress is not None and not quiet(show):
        threading.Thread(target=look, name="progress", daemon=True).start()
    with tqdm(total=total, disable=quiet(show), delay=1, leave=False, unit="step") as bar:
        try:
            while not done.wait(0.1):
                bar.update(round(share[0] * total) - bar.n)
            if "error" not in outcome:
                bar.update(total - bar.n)  # a notebook leaves one that was not finished standing, in red
        except BaseException:
            stop.set()
            interrupt()
            raise
    if (error := outcome.get("error")) is not None:
        raise error
    return outcome["value"]
