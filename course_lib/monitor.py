"""A figure that follows a contrastive training while it runs: similarity matrices at a few moments, and the loss."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from IPython.display import display
from matplotlib.figure import Figure

from . import plots
from .settings import say

MOMENTS = (0.0, 0.04, 0.12, 0.35)  # shares of the training after which a matrix is kept


class TrainingMonitor:
    """Call it after each step; the figure is redrawn every few seconds, and `finish` draws the last state.

    A matrix is the step's batch, pictures along the rows and their texts along the columns, as cosines; the last one
    shown is the present. The figure is displayed once and then updated in its place: a notebook stores its end alone.
    """

    def __init__(self, moments: Sequence[float] = MOMENTS, every: float = 5.0):
        self.moments, self.every = tuple(moments), every
        self.kept: list[tuple[int, np.ndarray]] = []
        self.losses: list[float] = []
        self._start, self._drawn = time.monotonic(), float("-inf")
        self._handle = None

    def __call__(self, over: float, loss: torch.Tensor, cosines: torch.Tensor) -> None:
        """One step: the share of the training that is over (0 to 1), its loss, and its batch's `(n, n)` cosines."""
        self.losses.append(float(loss.detach()))
        self._latest = cosines.detach().float().cpu().numpy()
        if len(self.kept) < len(self.moments) and over >= self.moments[len(self.kept)]:
            self.kept.append((len(self.losses), self._latest))
        if time.monotonic() - self._drawn > self.every:
            self._draw()

    def finish(self) -> None:
        """Draw the end of the training."""
        self._draw()

    def figure(self) -> Figure:
        """The kept matrices and the latest in a row; below, the loss, with the loss of guessing as a dashed line."""
        matrices = [*self.kept, (len(self.losses), self._latest)]
        plots.use_style()
        made = Figure(figsize=(8.4, 3.7), layout="constrained")
        upper, lower = made.subfigures(2, 1, height_ratios=(1.12, 1))
        row = upper.subplots(1, len(self.moments) + 1)
        for axis, (step, cosines) in zip(row, matrices):
            shown = axis.imshow(cosines, cmap="YlGnBu", vmin=-0.2, vmax=1)
            axis.set_title(say(zh=f"第 {step} 步", en=f"step {step}"), fontsize=10)
        for axis in row:
            axis.set_box_aspect(1)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(say(zh="图片", en="pictures"))
        row[0].set_xlabel(say(zh="文字", en="texts"))
        bar = upper.colorbar(shown, ax=row, fraction=0.02, pad=0.01, aspect=14, ticks=(0, 0.5, 1))
        bar.ax.set_title(say(zh="余弦", en="cosine"), fontsize=9)
        bar.outline.set_visible(False)
        axis = lower.subplots()
        axis.plot(range(1, len(self.losses) + 1), self.losses, linewidth=0.9)
        guess = np.log(len(self._latest))
        axis.axhline(guess, color=plots.COLORS[1], linestyle="--", linewidth=1)
        axis.text(len(self.losses), guess, say(zh="瞎猜", en="guessing"), ha="right", va="bottom", fontsize=9)
        axis.set_xlabel(say(zh="训练步数", en="training step"))
        axis.set_ylabel(say(zh="损失", en="loss"))
        axis.set_ylim(0, guess * 1.25)
        axis.set_xlim(0, None)
        seconds = time.monotonic() - self._start
        axis.set_title(say(zh=f"{seconds:.0f} 秒", en=f"{seconds:.0f} s"), loc="right", fontsize=9)
        return made

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._handle is None:
            self._handle = display(self.figure(), display_id=True)
        else:
            self._handle.update(self.figure())
