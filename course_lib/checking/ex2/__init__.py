"""The checks of exercise 2: a batch picture generator on the Stable Diffusion API (chapter, 课后练习, 进阶题).

check = Exercise2(clip, picture, template, choices)
check.paint(paint)
"""

from .bench import Bench
from .calls import CallChecks
from .measured import MeasuredChecks
from .runs import RunChecks

__all__ = ["Exercise2"]


class Exercise2(CallChecks, RunChecks, MeasuredChecks):
    __doc__ = Bench.__doc__
