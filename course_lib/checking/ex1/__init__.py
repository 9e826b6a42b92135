"""The checks of exercise 1: build an image classifier with CLIP (chapter, 课后练习, 基础题).

check = Exercise1(clip, picture, names)
check.similarity(similarity)
"""

from .fitted import FittedChecks
from .pictures import Unseen
from .zero_shot import ZeroShotChecks

__all__ = ["Exercise1"]


class Exercise1(ZeroShotChecks, FittedChecks):
    __doc__ = Unseen.__doc__
