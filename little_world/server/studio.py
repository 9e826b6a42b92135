"""A request for pictures through the engine, round by round; what is going on, and how it is interrupted.

Both image protocols paint through one `Studio`, so that `/progress` and `/interrupt` speak of whatever is
painted.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import Request
from PIL import Image

from course_lib.settings import say

from .errors import ApiError, full
from .events import Events
from .painting import Painting, PaintingEngine
from .sd_protocol import MAX_SIDE
from .worker import Full

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_PREPARING = 2  # requests whose pictures are decoded at the same time
MAX_PIXELS = 4 << 20  # of the pictures of one round together: four of 1024 x 1024


@dataclass(frozen=True)
class Order:
    """What a request asks for: its rounds, one after the other, and the name A1111 gives to such a job."""

    rounds: list[Painting]
    job: str = "txt2img"


@dataclass(eq=False)
class Sitting:
    """A request that is being served."""

    order: Order
    number: int = 0
    interrupted: bool = False
    started: float = field(default_factory=time.time)

    @property
    def round(self) -> Painting:
        return self.order.rounds[self.number]

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return (self.number + self.round.step / max(self.round.steps, 1)) / len(self.order.rounds)


class Studio:
    """Paints what is ordered, one round at a time, in the order in which the requests came."""

    def __init__(self, engine: PaintingEngine):
        self.engine = engine
        self._sittings: list[Sitting] = []
        self._preparing = asyncio.Semaphore(_PREPARING)

    @property
    def current(self) -> Sitting | None:
        """The request whose pictures are being painted, or else the first in line."""
        running = (sitting for sitting in self._sittings if sitting.round.running)
        return next(running, self._sittings[0] if self._sittings else None)

    def interrupt(self) -> None:
        """End the current request: the picture stays as it is now, the rounds that remain are left out."""
        if sitting := self.current:
            sitting.interrupted = True
            sitting.round.stop.set()

    def skip(self) -> None:
        """End the current round alone."""
        if sitting := self.current:
            sitting.round.stop.set()

    async def paint(self, prepare: Callable[[], Order], request: Request) -> list[Image.Image]:
        """The pictures of an order, fewer where it is interrupted. `prepare` makes it, in a thread.

        Raises `ApiError`: 429 where every place is taken, 503 where the model cannot be loaded, and what
        `prepare` raises.
        """
        try:
            with self.engine.places:
                await asyncio.to_thread(self.engine.wait)
                async with self._preparing:
                    sitting = Sitting(await asyncio.to_thread(prepare))
                self._sittings.append(sitting)
                try:
                    return await self._rounds(sitting, request)
                finally:
                    self._sittings.remove(sitting)
        except Full:
            raise full(self.engine.places) from None

    async def _rounds(self, sitting: Sitting, request: Request) -> list[Image.Image]:
        pictures: list[Image.Image] = []
        async with Events(request) as events:
            for number, painting in enumerate(sitting.order.rounds):
                if sitting.interrupted and number:  # something is answered in any case
                    break
                sitting.number = number
                job = self.engine.submit(painting, events.emit)
                try:
                    pictures += await events.next()
                finally:
                    job.cancelled.set()
        return pictures


def check_size(width: int, height: int, count: int, *, status: int = 422) -> None:
    """Raises `ApiError` for pictures that together would not fit into the memory."""
    if width * height * count > MAX_PIXELS:
        message = f"{count} pictures of {width} x {height} at once are too many, please ask for fewer or smaller ones."
        raise ApiError(status, message, param="size")


def check_sides(width: int, height: int, block: int, *, status: int = 422) -> None:
    """Raises `ApiError` for sides that are no multiples of what the model paints in one piece."""
    if width % block or height % block:
        near = " x ".join(str(max(1, round(side / block)) * block) for side in (width, height))
        message = say(
            zh=f"这个模型要求宽和高都是 {block} 的倍数，请改用 {near}。",
            en=f"With this model width and height are multiples of {block}, please ask for {near}.",
        )
        raise ApiError(status, message, param="size", code="invalid_value")


def parse_size(size: str, *, hint: str = "") -> tuple[int, int]:
    """Width and height of "128x64", as OpenAI writes it. Raises `ApiError` 400, with `hint` at the end."""
    match = _SIZE.fullmatch(size)
    sides = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(64 <= side <= MAX_SIDE and side % 8 == 0 for side in sides):
        message = f"Invalid size '{size[:20]}': width x height, each a multiple of 8 between 64 and {MAX_SIDE}{hint}."
        raise ApiError(400, message, param="size", code="invalid_value")
    return sides
