"""The checks of exercise 3: image-text search and visual question answering as one application (chapter, 挑战题).

check = Exercise3(clip, picture, words)
check.add(add)
"""

from .asking import AskingChecks
from .bench import Bench
from .finding import FindingChecks
from .session import SessionChecks

__all__ = ["Exercise3"]


class Exercise3(FindingChecks, AskingChecks, SessionChecks):
    __doc__ = Bench.__doc__
