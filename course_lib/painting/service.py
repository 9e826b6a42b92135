"""What every painter offers, whoever is behind it: the chapter's three calls, and batches of the first."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import warn
from ..images import ImageSource
from ..settings import say, spaced

if TYPE_CHECKING:
    from .batch import Batch
    from .picture import Picture


class ImageService(ABC):
    """Paints from text, from a picture, and inside a mask. All that differs between services is keyword-only.

    `count` None gives one picture, a number a list of them. What a service cannot heed is said in a
    `CourseWarning`, never left out silently.
    """

    name: str
    seeded = True  # whether a seed decides the picture

    @abstractmethod
    def text_to_image(self, prompt: str, negative_prompt: str = "", **options: Any) -> Any:
        """A picture of the prompt."""

    @abstractmethod
    def image_to_image(
        self, init_image: ImageSource, prompt: str, strength: float = 0.75, **options: Any
    ) -> Any:
        """The picture repainted after the prompt; `strength` in (0, 1] says how far it may leave it."""

    @abstractmethod
    def inpaint(self, init_image: ImageSource, mask_image: ImageSource, prompt: str, **options: Any) -> Any:
        """The picture repainted where the mask is white."""

    def batch_generate(
        self,
        prompts: Iterable[str | Mapping[str, Any]],
        output_dir: str | os.PathLike = "./outputs",
        **options: Any,
    ) -> Batch:
        """Pictures of many prompts, written to a folder. See `course_lib.painting.batch.batch_generate`."""
        from .batch import batch_generate

        return batch_generate(self, prompts, output_dir, **options)

    def interrupt(self) -> None:  # noqa: B027 - a service that cannot needs no word of its own
        """Stop what is being painted, where the service can."""

    def identity(self) -> dict[str, Any]:
        """What makes two runs of a batch the same work, beside its prompts and parameters."""
        return {"service": self.name}


def one_or_many(pictures: list[Picture], count: int | None) -> Picture | list[Picture]:
    """What a call with this `count` returns."""
    return pictures[0] if count is None else pictures


def warn_ignored(service: str, ignored: Iterable[str]) -> None:
    """Say which arguments a service has no use for."""
    names = list(ignored)
    if names:
        warn(
            say(
                zh=f"{spaced(service)}没有这些参数，已忽略：{'、'.join(names)}。",
                en=f"{service} has no use for {', '.join(names)}, which changed nothing.",
            )
        )
