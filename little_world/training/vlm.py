"""mini-vlm: a bilingual LLaVA (Liu et al. 2023) trained from scratch on Little World.

    python -m little_world.training.vlm             train (the model card says how long), resume if interrupted
    python -m little_world.training.vlm --evaluate  reprint the model card's table from the stored weights
    python -m little_world.training.vlm --stages    what each finished stage answers rightly, from its checkpoint in the cache

The vision tower starts from mini-clip, as LLaVA's starts from CLIP, and learns to read (`vlm_tower`); then the language
model learns to tell what it sees, and at last everything is trained together.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerFast

from .. import words
from ..paths import MODELS
from ..scenes import KINDS
from .data import CELLS, cache_folder, scene_cells
from .loop import Ahead, Recipe, checkpoints, destination, fit, name_of
from .parallel import share, start_processes
from .vlm_data import Conversations, Drawn
from .vlm_model import (
    ASSISTANT,
    END,
    IMAGE,
    IMAGE_TOKENS,
    PAD,
    USER,
    build_model,
    build_processor,
    pixel_statistics,
    save,
    train_tokenizer,
)
from .vlm_tower import STAGES as READING
from .vlm_tower import Glances, Reader, Stage, reading_loss
from .vlm_words import Naming

SCENES, DOCUMENTS, CHARTS = 60_000, 60_000, 30_000

# As LLaVA is trained: first only projector and language model learn, to tell what the tower sees already, which gradients
# of a model that cannot yet speak would spoil; then all of it. An answer weighs by more than its tokens: a yes or no, for
# which the named thing has to be looked for in the picture, is one token beside the hundred of a chart's JSON. Before the third
# stage, when it knows the words, the tower learns to say them, patch by patch, with more pictures than it could be asked about.
STAGES = (
    Stage(steps=500, batch_size=64, learning_rate=1e-3, warmup=100, horizon=2800, tower=False, by_answer=0.6),
    Stage(steps=320, batch_size=64, learning_rate=8e-4, warmup=100, horizon=1900, seed=1, by_answer=0.6),
    Stage(
        steps=820,
        batch_size=64,
        learning_rate=1e-3,
        warmup=50,
        horizon=1500,
        seed=2,
        by_answer=0.6,
        pairs=0.5,
    ),
    Stage(
        steps=680,
        batch_size=64,
        learning_rate=4.5e-4,
        warmup=20,
        seed=3,
        by_answer=0.6,
        pairs=0.5,
        several=0.3,
    ),
    Stage(
        steps=220,
        batch_size=64,
        learning_rate=3e-4,
        warmup=10,
        seed=6,
        by_answer=0.6,
        pairs=0.5,
        several=0.1,
        documents=0.55,
    ),
    # What was wrong then: comparing two pictures, two of a kind beside another, and things that the world has not.
    Stage(
        steps=520,
        batch_size=64,
        learning_rate=4e-4,
        warmup=20,
        seed=7,
        by_answer=0.6,
        pairs=0.6,
        several=0.5,
        documents=0.4,
        often=(("count", 6), ("compare", 3)),
    ),
    Stage(
        steps=300,
        batch_size=64,
        learning_rate=3e-4,
        warmup=10,
        seed=8,
        by_answer=0.6,
        pairs=0.6,
        several=0.14,
        documents=0.5,
        often=(("describe", 6), ("count", 4), ("read", 4)),
    ),
    # And two of one kind beside some of another, which are rare.
    Stage(
        steps=300,
        batch_size=64,
        learning_rate=3e-4,
        warmup=10,
        seed=9,
        by_answer=0.6,
        pairs=0.3,
        crowds=0.45,
        several=0.14,
        documents=0.36,
        often=(("describe", 6), ("count", 5), ("read", 4)),
    ),
    # It ends on the world as it is: else it sees two kinds where there is one.
    Stage(
        steps=280,
        batch_size=64,
        learning_rate=3e-4,
        warmup=10,
        seed=10,
        by_answer=0.6,
        pairs=0.2,
        crowds=0.1,
        several=0.12,
        documents=0.3,
        often=(("describe", 8), ("count", 4), ("read", 4)),
        ema=0.99,
    ),
    Stage(
        steps=140,
        batch_size=64,
        learning_rate=2e-4,
        warmup=10,
        seed=11,
        by_answer=0.6,
        pairs=0.25,
        crowds=0.1,
        several=0.08,
        documents=0.25,
        often=(("describe", 10), ("count", 5), ("read", 4)),
        ema=0.985,
    ),
)
WORDS_BEFORE = 3  # the stage that the patches' words come before
WORDS = Stage(steps=1200, batch_size=96, learning_rate=8e-4, warmup=100, seed=6)
NAMING = 0.5  # how much it weighs that patches lie near the words for what they show
STAGE_SIZE = 100_000_000  # conversations of a stage at most: no stage sees another's
LOOK = 32_000  # conversations between two looks at what it says
CHATS = 0.25  # share of conversations that are chats; in the others each turn stands alone
PART = 16  # conversations that are run together


class Batches:
    """The batch of a step: conversations as token ids, labels on the answers only, pictures as pixels.

    A picture is costly to look at and is asked several things. Most conversations are packed so that a turn sees the
    picture and itself but no other turn, as if each had been asked alone: else the model reads what it needs from the
    answers before and learns little from the picture. The rest are true chats, in which a turn sees what came before.

    A batch comes in parts of similar length: padded to the longest of all it would be half padding.
    """

    def __init__(self, conversations: Conversations, processor: LlavaProcessor, recipe: Recipe, device: str):
        self.conversations, self.recipe, self.device = conversations, recipe, device
        self.tokenizer = processor.tokenizer
        self.mean, self.std = pixel_statistics(processor)
        self.ids = {t: self.tokenizer.convert_tokens_to_ids(t) for t in (USER, ASSISTANT, END, IMAGE, PAD)}

    def encode(self, turns, images: int, *, chat: bool) -> dict[str, list[int]]:
        """A conversation as the chat template writes it: `ids`, `labels`, `turn` (0 what every turn sees), `position`.

        As a chat it is one text. Else `<|user|>` and the picture are written once, and each turn goes on from there.
        """
        user, assistant, end, image = (self.ids[t] for t in (USER, ASSISTANT, END, IMAGE))
        texts = self.tokenizer([x for t in turns for x in (t.question, t.answer)], add_special_tokens=False)[
            "input_ids"
        ]
        row = {"ids": [user] + [image] * (IMAGE_TOKENS * images)}
        start = len(row["ids"])
        row |= {
            "labels": [-100] * start,
            "turn": [0] * start,
            "position": list(range(start)),
            "weight": [0.0] * start,
        }
        for i in range(len(turns)):
            question, answer = texts[2 * i], [*texts[2 * i + 1], end]
            asked = [*([user] if chat and i else []), *question, end, assistant]
            first = len(row["ids"]) if chat else start
            row["ids"] += asked + answer
            row["labels"] += [-100] * len(asked) + answer
            row["weight"] += [0.0] * len(asked) + [len(answer) ** -self.recipe.by_answer] * len(answer)
            row["turn"] += [0 if chat else i + 1] * len(asked + answer)
            row["position"] += range(first, first + len(asked + answer))
        return row

    def _part(self, conversations: list, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        # few lengths: a CPU prepares kernels for each
        longest = -(-max(len(row["ids"]) for row in rows) // 16) * 16
        shape = len(rows), longest
        padded = {"ids": torch.full(shape, self.ids[PAD]), "labels": torch.full(shape, -100),
                  "turn": torch.full(shape, -1), "position": torch.zeros(shape, dtype=torch.long),
                  "weight": torch.zeros(shape)}  # fmt: skip
        for i, row in enumerate(rows):
            for name, tensor in padded.items():
                tensor[i, : len(row["ids"])] = torch.tensor(row[name])
        of, at = padded["turn"][:, :, None], padded["turn"][:, None, :]
        seen = ((at == 0) | (at == of)) & torch.ones(longest, longest, dtype=torch.bool).tril()
        mask = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.bfloat16).min)[:, None]
        pixels = torch.from_numpy(np.stack([p for c in conversations for p in c.pixels])).permute(0, 3, 1, 2)
        unknown = np.full((2, CELLS, CELLS), -1)
        cells = [
            c
            for talk in conversations
            for c in [scene_cells(s) for s in talk.scenes] or [unknown] * len(talk.pixels)
        ]
        part = {"input_ids": padded["ids"], "labels": padded["labels"], "weight": padded["weight"], "position_ids": padded["position"],
                "attention_mask": mask, "pixel_values": (pixels.float() / 255 - self.mean) / self.std,
                "cells": torch.from_numpy(np.stack(cells))}  # fmt: skip
        return {name: tensor.to(self.device) for name, tensor in part.items()}

    def __getitem__(self, step: int) -> list[dict[str, torch.Tensor]]:
        n, seed = self.recipe.batch_size, self.recipe.seed
        rng = np.random.default_rng([seed, step])
        chats = share(rng.random(n) < CHATS)
        some = [self.conversations[seed * STAGE_SIZE + step * n + i] for i in share(range(n))]
        rows = [self.encode(c.turns, len(c.pixels), chat=chat) for c, chat in zip(some, chats)]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]["ids"]))
        parts = [order[i : i + PART] for i in range(0, len(order), PART)]
        return [self._part([some[i] for i in part], [rows[i] for i in part]) for part in parts]


def learn_to_see(
    reader: Reader,
    glances: Callable[[Stage], Glances],
    stages: tuple[Stage, ...],
    work: Path,
    device: str,
    processes: int,
) -> float:
    """The vision tower learns to name what is in a picture; returns the seconds spent."""
    seconds = 0.0
    for number, stage in enumerate(stages, 1):
        reader.tower.requires_grad_(stage.tower)
        batches = Ahead(glances(stage))
        seconds += fit(reader, lambda step, batches=batches: reading_loss(reader, batches[step]), stage,
                       work / f"reading-{number}.pt", device=device, processes=processes)  # fmt: skip
    return seconds


def learn_words(
    reader: Reader,
    naming: Naming,
    glances: Callable[[Stage], Glances],
    stage: Stage,
    work: Path,
    device: str,
    processes: int,
) -> float:
    """Tower and projector learn to say what is where in the words of the language model, which rest; returns the seconds."""
    reader.tower.requires_grad_(True)
    naming.embedding.requires_grad_(False)
    batches = Ahead(glances(stage))
    learning = torch.nn.ModuleList([reader, naming.projector])
    seconds = fit(learning, lambda step: reading_loss(reader, batches[step], naming.of_tokens), stage, work / "words.pt",
                  device=device, processes=processes)  # fmt: skip
    naming.embedding.requires_grad_(True)
    return seconds


def answer_states(
    model: LlavaForConditionalGeneration, part: dict
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden states that predict answer tokens, `(k, hidden)`, those tokens, `(k,)`, and what each weighs, `(k,)`.

    The vocabulary's logits are worth computing only there: most positions are picture and question.
    """
    labels = part["labels"][:, 1:]
    inputs = {name: tensor for name, tensor in part.items() if name not in ("labels", "weight", "cells")}
    hidden = model.model(**inputs, use_cache=False).last_hidden_state[:, :-1]
    kept = labels != -100
    return hidden[kept], labels[kept], part["weight"][:, 1:][kept]


def train(
    folder: Path,
    stages: tuple[Stage, ...] = STAGES,
    reading: tuple[Stage, ...] = READING,
    words_stage: Stage = WORDS,
    device: str = "cpu",
    scenes: int = SCENES,
    documents: int = DOCUMENTS,
    charts: int = CHARTS,
    processes: int = 1,
) -> None:
    from .evaluate_vlm import quick_look, table, write_card

    torch.manual_seed(stages[0].seed)
    work = checkpoints(folder)
    drawn = Drawn(scenes, documents, charts)
    if not (work / "tokenizer" / "tokenizer.json").exists():
        conversations = Conversations(drawn)
        texts = [
            x
            for i in range(8000)
            for t in conversations[STAGE_SIZE // 10 + i].turns
            for x in (t.question, t.answer)
        ]
        # a name is one token, be it in a sentence or an answer of its own
        texts += [words.kind_name(k, lang) for k in KINDS for lang in ("zh", "en")] * 400
        train_tokenizer(texts, work / "tokenizer")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
    processor = build_processor(tokenizer)
    model = build_model(tokenizer, MODELS / "mini-clip").to(device)
    print(
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {len(tokenizer)} tokens",
        flush=True,
    )

    naming = Naming(model, tokenizer)

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        parts, found, named = batches[step], [], []
        for part in parts:
            found.append(answer_states(model, part))
            named.append(naming.loss(part["cells"]))
        states, target, weight = map(torch.cat, zip(*found))
        logits = model.lm_head(states).float()
        right = (logits.argmax(-1) == target).float()
        each = torch.nn.functional.cross_entropy(logits, target, reduction="none")
        told, near = (each * weight).sum() / weight.sum(), sum(n for n, _ in named) / len(parts)
        return told + NAMING * near, {
            "told": float(told.detach()),
            "token accuracy": float(right.mean()),
            "weighted accuracy": float((right * weight).sum() / weight.sum()),
            "patches named": sum(n for _, n in named) / len(parts),
        }

    look = lambda step, shown: print({"step": step, **quick_look(shown, processor)}, flush=True)  # noqa: E731
    reader = Reader(model.model.vision_tower).to(device)
    glances = lambda stage: Glances(drawn, *pixel_statistics(processor), stage, device)  # noqa: E731
    seconds = learn_to_see(reader, glances, reading, work, device, processes)
    for number, stage in enumerate(stages, 1):
        if number == WORDS_BEFORE:
            seconds += learn_words(reader, naming, glances, words_stage, work, device, processes)
        model.model.vision_tower.requires_grad_(stage.tower)
        conversations = Conversations(drawn, pairs=stage.pairs, crowds=stage.crowds, several=stage.several,
                                      documents=stage.documents, often=stage.often)  # fmt: skip
        batches = Ahead(Batches(conversations, processor, stage, device))
        checkpoint = work / f"checkpoint-{number}.pt"
        seconds += fit(model, loss, stage, checkpoint, device=device, look=look, look_every=LOOK // stage.batch_size,
                       processes=processes)  # fmt: skip
    save(model.eval(), processor, folder)
    write_card(
        folder,
        table(folder),
        seconds=seconds,
        stages=stages,
        reading=(*reading, words_stage),
        trained_on=name_of(device),
    )


def stages_so_far(questions: int = 440) -> dict[str, dict[str, float]]:
    """What the checkpoint of each stage answers rightly: {row: {"stage 1": share, ...}}, both languages together."""
    from .evaluate_vlm import by_sort

    work, rows = cache_folder() / "mini-vlm", {}
    tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
    processor, model = build_processor(tokenizer), build_model(tokenizer, None).eval()
    for number in range(1, len(STAGES) + 1):
        checkpoint = work / f"checkpoint-{number}.pt"
        if checkpoint.exists():
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)
            weights = state["model"]
            if "averaged" in state:  # what the stage ends with, see `loop.fit`
                weights = {
                    name.removeprefix("module."): w
                    for name, w in state["averaged"].items()
                    if name != "n_averaged"
                }
            model.load_state_dict(weights)
            both = [by_sort(model, processor, lang, questions) for lang in ("zh", "en")]
            for row in both[0]:
                rows.setdefault(row, {})[f"stage {number}"] = sum(found[row] for found in both) / 2
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--evaluate", action="store_true", help="measure the stored model and print its card's table"
    )
    parser.add_argument("--stages", action="store_true", help="measure the checkpoint of each stage")
    parser.add_argument(
        "--folder", type=Path, help="where the finished model goes, if not to the course's own"
    )
    parser.add_argument(
        "--steps", type=int, help="cut every stage short: to try the code; stays in the cache"
    )
    parser.add_argument("--small", action="store_true", help="a few hundred pictures: to try the code")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--processes", type=int, help="processes of one thread each; as many as there are cores, if not given"
    )
    args = parser.parse_args()
    folder = destination("mini-vlm", args.folder, bool(args.steps) or args.small)
    if args.evaluate:
        from .evaluate_vlm import markdown, table

        print(markdown(table(folder)))
        return
    if args.stages:
        for row, shares in stages_so_far().items():
            print(f"{row:22}", *(f"{stage} {share:6.1%}" for stage, share in shares.items()), sep=" | ")
        return
    stages = tuple(replace(stage, steps=min(stage.steps, args.steps or stage.steps)) for stage in STAGES)
    reading = tuple(replace(stage, steps=min(stage.steps, args.steps or stage.steps)) for stage in READING)
    words_stage = replace(WORDS, steps=min(WORDS.steps, args.steps or WORDS.steps))
    pictures = {"scenes": 400, "documents": 200, "charts": 200} if args.small else {}
    train(
        folder,
        stages,
        reading,
        words_stage,
        args.device,
        **pictures,
        processes=start_processes(args.processes, args.device),
    )


if __name__ == "__main__":
    main()
