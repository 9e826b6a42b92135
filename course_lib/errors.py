"""The few errors a learner can meet. Each says in one sentence what is wrong and what to do about it."""

from __future__ import annotations

import sys
import warnings
from functools import partial


class CourseError(Exception):
    """Base of the course's errors: one sentence, shown in a notebook without a traceback.

    The message is folded to a single line, whatever was put into it (a path, another library's text).
    The usual Python traceback stays available to `%debug`, and outside notebooks nothing changes.
    """

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))

    def _render_traceback_(self) -> list[str]:
        # IPython's own hook: it prints these lines in place of the traceback.
        return [f"\x1b[31m{type(self).__name__}\x1b[0m: {self}"]


class ImageError(CourseError, ValueError):
    """A picture that cannot be read, or an argument that is no picture."""


class VideoError(CourseError, ValueError):
    """A video that cannot be read, or a frame or moment that it does not have."""


class TextError(CourseError, ValueError):
    """Text, labels or a template that cannot be used."""


class ModelError(CourseError, OSError):
    """A model that is not there, cannot be fetched, or is not what it claims to be."""


class SettingsError(CourseError, ValueError):
    """A setting with a value that makes no sense."""


class OutputError(CourseError, OSError):
    """A folder or a disk that does not take what is to be written."""


class ServiceError(CourseError):
    """A service that was not reached, or that turned the request down.

    `kind` is "connection", "timeout", "authentication", "rate_limit", "not_found", "too_large", "bad_request"
    or "server"; `status` the HTTP status, if there was one; `raw` what the service said, without any key.
    """

    def __init__(self, message: str, *, kind: str, status: int | None = None, raw: str = ""):
        super().__init__(message)
        self.kind, self.status, self.raw = kind, status, raw

    def __reduce__(self):  # for a pool of processes: an exception is made again from its message alone
        return partial(type(self), kind=self.kind), self.args, self.__dict__


class AnswerError(CourseError, ValueError):
    """An answer that cannot be used: malformed, or not what was asked for. `raw` is the text as it came."""

    def __init__(self, message: str, *, raw: str = ""):
        super().__init__(message)
        self.raw = raw


class RefusalError(AnswerError):
    """The model, or a filter before it, declined to answer."""


class CutOffError(AnswerError):
    """The answer ends before it is finished; `raw` is the part that came."""


class CourseWarning(UserWarning):
    """Something was changed on the learner's behalf, a text cut short for instance."""


def warn(message: str) -> None:
    """A `CourseWarning` that points at the learner's own line, not at one inside the libraries."""
    depth, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in ("course_lib", "torch"):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, CourseWarning, stacklevel=depth + 1)
