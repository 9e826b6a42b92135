"""mini-vlm: a bilingual LLaVA (Liu et al. 2023) trained from scratch on Little World.

    python -m little_world.training.vlm             train (about two hours on two cores), resume if interrupted
    python -m little_world.training.vlm --evaluate  reprint the model card's table from the stored weights

The vision tower starts from mini-clip, as LLaVA's starts from CLIP, and learns to read (`vlm_tower`); then the language
model learns to tell what it sees, and at last everything is trained together.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessor,
    CLIPModel,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from .. import words
from ..paths import MODELS
from ..scenes import KINDS
from .data import CELLS, cache_folder, scene_cells
from .loop import Ahead, Recipe, fit
from .parallel import share, start_processes
from .vlm_data import Conversations, Drawn
from .vlm_tower import STAGES as READING
from .vlm_tower import Glances, Reader, Stage, reading_loss
from .vlm_words import Naming

IMAGE_SIZE, PATCH = 128, 16
IMAGE_TOKENS = 1 + (IMAGE_SIZE // PATCH) ** 2  # the class token, in which mini-clip gathers what it saw, and the patches
SCENES, DOCUMENTS, CHARTS = 60_000, 60_000, 30_000

# As LLaVA is trained: first only projector and language model learn, to tell what the tower sees already, which gradients
# of a model that cannot yet speak would spoil; then all of it. An answer weighs by more than its tokens: a yes or no, for
# which the named thing has to be looked for in the picture, is one token beside the hundred of a chart's JSON.
STAGES = (
    Stage(steps=500, batch_size=64, learning_rate=1e-3, warmup=100, horizon=2800, tower=False, by_answer=0.6),
    Stage(steps=1900, batch_size=64, learning_rate=8e-4, warmup=100, seed=1, by_answer=0.6),
)
NAMING = 0.5  # how much it weighs that patches lie near the words for what they show
STAGE_SIZE = 100_000_000  # conversations of a stage at most: no stage sees another's
LOOK = 32_000  # conversations between two looks at what it says
CHATS = 0.25  # share of conversations that are chats; in the others each turn stands alone
PART = 16  # conversations that are run together

USER, ASSISTANT, SYSTEM, END, PAD, IMAGE = (
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|end|>",
    "<|pad|>",
    "<image>",
)
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>' -}}"
    "{%- if message['content'] is string -%}{{- message['content'] -}}"
    "{%- else -%}"
    "{%- for part in message['content'] if part['type'] in ('image', 'image_url') -%}{{- '<image>' -}}{%- endfor -%}"
    "{%- for part in message['content'] if part['type'] == 'text' -%}{{- part['text'] -}}{%- endfor -%}"
    "{%- endif -%}{{- '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def train_tokenizer(texts, folder: Path, vocabulary: int = 1600) -> PreTrainedTokenizerFast:
    """Byte-level BPE over questions and answers; digits stay single, so that any number can be read and written."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r" ?[\p{L}]+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+"), behavior="isolated"),
         pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])  # fmt: skip
    learner.decoder = decoders.ByteLevel()
    specials = [PAD, END, USER, ASSISTANT, SYSTEM, IMAGE]
    learner.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))  # fmt: skip
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=learner, pad_token=PAD, eos_token=END, model_max_length=1024, padding_side="left",
                                        extra_special_tokens={"image_token": IMAGE}, clean_up_tokenization_spaces=False)  # fmt: skip
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return tokenizer


def build_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    return LlavaProcessor(CLIPImageProcessor(size=size, crop_size=size, do_center_crop=False), tokenizer, patch_size=PATCH,
                          vision_feature_select_strategy="full", chat_template=CHAT_TEMPLATE, num_additional_image_tokens=1)  # fmt: skip


def save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> None:
    """Write a folder in half precision that transformers 4 and 5 both load; a whole one or none.

    Version 5 writes names that version 4 does not know, and reads those of version 4.
    """
    temporary = folder.with_name(folder.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    model.half().save_pretrained(temporary)
    processor.save_pretrained(temporary)
    processor.image_processor.save_pretrained(temporary)
    weights = load_file(temporary / "model.safetensors")
    old = re.compile(r"^vision_tower\.(?!vision_model\.)")
    weights = {old.sub("vision_tower.vision_model.", name): tensor for name, tensor in weights.items()}
    save_file(weights, temporary / "model.safetensors", metadata={"format": "pt"})
    path = temporary / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "extra_special_tokens": {"image_token": IMAGE},
        "additional_special_tokens": [USER, ASSISTANT, SYSTEM],
        "model_input_names": ["input_ids", "attention_mask"],
    }
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")
    (temporary / "model.safetensors").chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def build_model(
    tokenizer: PreTrainedTokenizerFast, clip_folder: Path | None
) -> LlavaForConditionalGeneration:
    """5 M parameters: mini-clip's vision tower at 128 px, a Llama of 4 layers."""
    vision = CLIPVisionConfig(  # as mini-clip's, but for the size of picture and patch
        image_size=IMAGE_SIZE,
        patch_size=PATCH,
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=4,
        hidden_act="gelu",
    )
    text = LlamaConfig(vocab_size=len(tokenizer), hidden_size=256, intermediate_size=704, num_hidden_layers=4, num_attention_heads=4,
                       num_key_value_heads=4, max_position_embeddings=1024, pad_token_id=tokenizer.pad_token_id,
                       bos_token_id=None, eos_token_id=tokenizer.eos_token_id, tie_word_embeddings=True)  # fmt: skip
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
                         vision_feature_layer=-1, vision_feature_select_strategy="full", image_seq_length=IMAGE_TOKENS,
                         tie_word_embeddings=True)  # fmt: skip
    model = LlavaForConditionalGeneration._from_config(config, attn_implementation="eager")
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    if clip_folder and clip_folder.exists():
        start_from_clip(model, clip_folder)
    return model


def start_from_clip(model: LlavaForConditionalGeneration, clip_folder: Path) -> None:
    """Copy mini-clip's vision tower; its patches of 12 pixels become patches of 16 by resizing the filters."""
    source = CLIPModel.from_pretrained(clip_folder, dtype=torch.float32).vision_model.state_dict()
    tower = model.model.vision_tower
    target = tower.state_dict()
    prefix = (
        "vision_model." if next(iter(target)).startswith("vision_model.") else ""
    )  # transformers 4 has it
    loaded = {}
    for name, value in source.items():
        key = prefix + name
        if name.endswith("patch_embedding.weight"):
            old = value.shape[-1]
            value = (
                torch.nn.functional.interpolate(value, size=(PATCH, PATCH), mode="bicubic", antialias=True)
                * (old / PATCH) ** 2
            )
        if key in target and target[key].shape == value.shape:
            loaded[key] = value
    missing = set(target) - set(loaded) - {prefix + "embeddings.position_ids"}
    if missing:
        raise ValueError(f"mini-clip's vision tower has another shape: {sorted(missing)[:3]}")
    tower.load_state_dict({**target, **loaded})


def pixel_statistics(processor: LlavaProcessor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation that pixels in [0, 1] are normalised with, each `(3, 1, 1)`."""
    images = processor.image_processor
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (images.image_mean, images.image_std))
    return mean, std


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
        row |= {"labels": [-100] * start, "turn": [0] * start, "position": list(range(start)), "weight": [0.0] * start}
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
        longest = -(-max(len(row["ids"]) for row in rows) // 16) * 16  # few lengths: a CPU prepares kernels for each
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
        cells = [c for talk in conversations for c in [scene_cells(s) for s in talk.scenes] or [unknown] * len(talk.pixels)]
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
    model: LlavaForConditionalGeneration,
    drawn: Drawn,
    processor: LlavaProcessor,
    stages: tuple[Stage, ...],
    work: Path,
    device: str,
    processes: int,
) -> float:
    """The vision tower learns to name what is in a picture; returns the seconds spent."""
    reader, seconds = Reader(model.model.vision_tower).to(device), 0.0
    for number, stage in enumerate(stages, 1):
        reader.tower.requires_grad_(stage.tower)
        batches = Ahead(Glances(drawn, *pixel_statistics(processor), stage, device))
        seconds += fit(reader, lambda step, batches=batches: reading_loss(reader, batches[step]), stage,
                       work / f"reading-{number}.pt", device=device, processes=processes)  # fmt: skip
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
    device: str = "cpu",
    scenes: int = SCENES,
    documents: int = DOCUMENTS,
    charts: int = CHARTS,
    processes: int = 1,
) -> None:
    from .evaluate_vlm import quick_look, table, write_card

    torch.manual_seed(stages[0].seed)
    work = cache_folder() / "mini-vlm"
    drawn = Drawn(scenes, documents, charts)
    conversations = Conversations(drawn)
    if not (work / "tokenizer" / "tokenizer.json").exists():
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
    seconds = learn_to_see(model, drawn, processor, reading, work, device, processes)
    for number, stage in enumerate(stages, 1):
        model.model.vision_tower.requires_grad_(stage.tower)
        batches = Ahead(Batches(conversations, processor, stage, device))
        checkpoint = work / f"checkpoint-{number}.pt"
        seconds += fit(model, loss, stage, checkpoint, device=device, look=look, look_every=LOOK // stage.batch_size,
                       processes=processes)  # fmt: skip
    save(model.eval(), processor, folder)
    write_card(folder, table(folder), seconds=seconds, stages=stages, reading=reading)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--evaluate", action="store_true", help="measure the stored model and print its card's table"
    )
    parser.add_argument("--folder", type=Path, default=MODELS / "mini-vlm")
    parser.add_argument("--steps", type=int, help="cut every stage short: to try the code")
    parser.add_argument("--small", action="store_true", help="a few hundred pictures: to try the code")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--processes", type=int, help="processes of one thread each; as many as there are cores, if not given")
    args = parser.parse_args()
    if args.evaluate:
        from .evaluate_vlm import markdown, table

        print(markdown(table(args.folder)))
        return
    stages = tuple(replace(stage, steps=min(stage.steps, args.steps or stage.steps)) for stage in STAGES)
    reading = tuple(replace(stage, steps=min(stage.steps, args.steps or stage.steps)) for stage in READING)
    pictures = {"scenes": 400, "documents": 200, "charts": 200} if args.small else {}
    train(args.folder, stages, reading, args.device, **pictures, processes=start_processes(args.processes, args.device))


if __name__ == "__main__":
    main()
