"""The vision tower of mini-vlm learns to see before a language model learns to tell: it reads out what is true of a picture.

Of each picture we know everything that can be asked, so the tower is taught all of it at once: which kinds, how many, of what
color, each letter of each line on a sign, each value of a chart. Every such fact is a *slot* with a learned query, which
looks at the tower's 65 tokens and names the fact. Naming is far cheaper than telling: a picture costs a tenth of a
conversation. Afterwards the queries are thrown away and the tower is kept. (To learn to see by
reading out text is the idea of Pix2Struct, Lee et al. 2023; queries that look for one thing each are DETR's, Carion et al. 2020.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ..charts import TITLES, TRENDS, TYPES, Chart, random_chart
from ..dialogue import in_order
from ..documents import WORDS, Document, random_document
from ..scenes import BACKGROUNDS, COLORS, KINDS, PLACES, RELATIONS, SIZES, TIMES, Scene
from .data import scene_cells, scene_rng, training_scene
from .loop import Recipe
from .parallel import share
from .vlm_data import CHARTS, DOCUMENTS, Drawn

GROUPS, LINES, LETTERS, TITLE, VALUES = 2, 3, 8, 13, 5


@dataclass(frozen=True)
class Stage(Recipe):
    """A part of the training; `tower` says whether the vision tower learns, too.

    `by_answer` says how an answer of n tokens weighs: 0 as n tokens, 1 as one answer, whatever its length. `pairs` is the
    share of conversations on a scene for which one with two kinds of things is chosen; of the world's own scenes every fifth is such.
    `crowds` is the share for which it is one with two kinds and more than two things.
    `several` is the share of conversations about two or three scenes, `documents` that of signs among those about one picture.
    `often` says how often a sort of turn comes up where that is not as in `vlm_data.OFTEN`.
    """

    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    tower: bool = True
    by_answer: float = 0.0
    pairs: float = 0.0
    crowds: float = 0.0
    several: float = 0.14
    documents: float = 0.26
    often: tuple[tuple[str, float], ...] = ()


# First the queries learn to read what mini-clip's tower sees already: gradients of queries that cannot read yet would wipe
# out what it knows of kinds before anyone has used it.
STAGES = (
    Stage(steps=500, batch_size=96, learning_rate=2e-3, warmup=50, seed=4, tower=False),
    Stage(steps=3600, batch_size=96, learning_rate=1e-3, warmup=200, seed=5),
)
SHARES = {"scene": 1 / 3, "document": 5 / 12, "chart": 1 / 4}  # letters are what is new to mini-clip's tower
_ABSENT = "-"

SLOTS = {
    "scene": (*(f"{fact} {i}" for i in range(GROUPS) for fact in ("kind", "color", "count")), "place", "relation", "size", "background", "time"),
    "document": ("style", "lines", *(f"letter {i} {j}" for i in range(LINES) for j in range(LETTERS))),
    "chart": ("type", "trend", "categories", *(f"title {j}" for j in range(TITLE)), *(f"value {i}" for i in range(VALUES))),
}  # fmt: skip


def _letters() -> list[str]:
    words = [w for lang in WORDS for w in WORDS[lang]] + [t for lang in TITLES for t in TITLES[lang]]
    return sorted({c for w in words for c in w + w.upper() + w.capitalize()} | set("0123456789:¥ "))


NAMES = (_ABSENT, *map(str, range(10)), *KINDS, *COLORS, *PLACES, *RELATIONS, *SIZES, *BACKGROUNDS, *TIMES, "sign", "notice",
         *TYPES, *TRENDS, "A", "Q1", *(f"letter {c}" for c in _letters()))  # fmt: skip


def scene_facts(scene: Scene) -> dict[str, str]:
    """Slot -> name for what is in a scene. Groups come as a description names them; the color of one without is left out."""
    named = {"place": scene.place, "relation": scene.relation, "size": scene.size}
    facts = {k: v or _ABSENT for k, v in named.items()} | {"background": scene.background, "time": scene.time}
    groups = in_order(scene).groups
    for i in range(GROUPS):
        group = groups[i] if i < len(groups) else None
        facts |= {
            f"kind {i}": group.kind if group else _ABSENT,
            f"count {i}": str(group.count if group else 0),
        }
        if group is None or group.color:
            facts[f"color {i}"] = group.color if group else _ABSENT
    return facts


def _spelled(prefix: str, text: str, length: int) -> dict[str, str]:
    return {f"{prefix} {j}": f"letter {text[j]}" if j < len(text) else _ABSENT for j in range(length)}


def document_facts(document: Document) -> dict[str, str]:
    facts = {"style": document.style, "lines": str(len(document.lines))}
    for i in range(LINES):
        facts |= _spelled(f"letter {i}", document.lines[i] if i < len(document.lines) else "", LETTERS)
    return facts


def chart_facts(chart: Chart) -> dict[str, str]:
    values = [str(v) for v in chart.values] + [_ABSENT] * (VALUES - len(chart.values))
    return {"type": chart.type, "trend": chart.trend or _ABSENT, "categories": chart.categories[0],
            **_spelled("title", chart.title, TITLE), **{f"value {i}": v for i, v in enumerate(values)}}  # fmt: skip


@dataclass(frozen=True)
class Glance:
    """Pictures of one sort with the names of their facts: pixels `(n, 3, 128, 128)`, names `(n, slots)`, -100 for none.

    Scenes come with what is in their cells, `(n, 2, 8, 8)`, see `data.scene_cells`.
    """

    sort: str
    pixels: torch.Tensor
    names: torch.Tensor
    cells: torch.Tensor | None = None


class Glances:
    """The batch of a step: one `Glance` for each sort of picture."""

    def __init__(
        self,
        drawn: Drawn,
        mean: torch.Tensor,
        std: torch.Tensor,
        recipe: Recipe = STAGES[-1],
        device: str = "cpu",
    ):
        self.drawn, self.mean, self.std, self.recipe, self.device = drawn, mean, std, recipe, device
        self.index = {name: i for i, name in enumerate(NAMES)}

    def _facts(self, sort: str, i: int) -> dict[str, str]:
        if sort == "scene":
            return scene_facts(training_scene(i))
        if sort == "document":
            return document_facts(random_document(scene_rng(DOCUMENTS, i)))
        return chart_facts(random_chart(scene_rng(CHARTS, i)))

    def glance(self, sort: str, chosen: list[int]) -> Glance:
        pixels = torch.from_numpy(np.stack([self.drawn.pixels[sort][i] for i in chosen])).permute(0, 3, 1, 2)
        facts = [self._facts(sort, i) for i in chosen]
        names = torch.tensor([[self.index[f[s]] if s in f else -100 for s in SLOTS[sort]] for f in facts])
        pixels = (pixels.float() / 255 - self.mean) / self.std
        cells = (
            torch.from_numpy(np.stack([scene_cells(training_scene(i)) for i in chosen]))
            if sort == "scene"
            else None
        )
        return Glance(sort, *(t if t is None else t.to(self.device) for t in (pixels, names, cells)))

    def __getitem__(self, step: int) -> list[Glance]:
        rng = np.random.default_rng([self.recipe.seed, step])
        counts = {sort: round(share * self.recipe.batch_size) for sort, share in SHARES.items()}
        chosen = {
            sort: [int(i) for i in rng.integers(len(self.drawn.pixels[sort]), size=n)]
            for sort, n in counts.items()
        }
        return [self.glance(sort, share(some)) for sort, some in chosen.items()]


class Reader(nn.Module):
    """A vision tower with a query a slot, which looks at its tokens and names the fact."""

    def __init__(self, tower: nn.Module, width: int = 128):
        super().__init__()
        self.tower = tower
        self.queries = nn.ParameterDict(
            {sort: nn.Parameter(torch.randn(len(slots), width) * 0.5) for sort, slots in SLOTS.items()}
        )
        self.norm = nn.LayerNorm(width)
        self.look = nn.TransformerDecoderLayer(
            width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.name = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(NAMES)))

    def see(self, pixels: torch.Tensor) -> torch.Tensor:
        """The tower's tokens `(n, 65, width)`."""
        return self.tower(pixel_values=pixels).last_hidden_state

    def forward(self, sort: str, tokens: torch.Tensor) -> torch.Tensor:
        """Logits `(n, slots, names)`."""
        return self.name(self.look(self.queries[sort].expand(len(tokens), -1, -1), self.norm(tokens)))


def reading_loss(
    reader: Reader,
    glances: list[Glance],
    near: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, float]] | None = None,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Cross-entropy over all slots of a batch, each sort of picture weighing as many as it has pictures; and the share named rightly.

    `near` is what a scene's tokens and cells are judged by besides (`vlm_words`).
    """
    total, shown, pictures = torch.zeros(()), {}, sum(len(g.pixels) for g in glances)
    for g in glances:
        tokens = reader.see(g.pixels)
        logits = reader(g.sort, tokens).float()
        if near and g.cells is not None:
            far, shown["patches named"] = near(tokens, g.cells)
            total = total + far
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), g.names.flatten(), reduction="sum")
        # a sum over a picture's slots, not a mean: many slots hold nothing, which is soon learned and then costs nothing
        total = total + loss / (10 * pictures)
        kept = g.names != -100
        shown[g.sort] = float(((logits.argmax(-1) == g.names) | ~kept).all(1).float().mean())
    return total, shown
