"""mini-clip: a bilingual CLIP trained from scratch on Little World (Radford et al. 2021, figure 3).

python -m little_world.training.clip            train (the model card says how long), resume if interrupted
python -m little_world.training.clip --evaluate reprint the model card's table from the stored weights
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel, CLIPProcessor, CLIPTokenizerFast

try:  # the Pillow one on every machine: the same pixels with torchvision and without, and no warning
    from transformers import CLIPImageProcessorPil as CLIPImageProcessor
except ImportError:  # transformers 4 has one for both
    from transformers import CLIPImageProcessor

from .data import CONTRASTS, FAMILIES, FAMILY, TRAIN, captions_and_facts, training_pixels
from .loop import Recipe, checkpoints, destination, finished, fit, name_of, replace_folder
from .tokenizer import train_tokenizer

IMAGE_SIZE, PATCH, MAX_TOKENS = 96, 12, 64
SCENES = 60_000


@dataclass(frozen=True)
class Stage(Recipe):
    """A part of the training, on one stream of scenes."""

    stream: int = TRAIN


# First what is in a picture: large batches, then more and smaller steps. Then where, how many and in what setting:
# in a random batch kind and colour are enough to find the right caption, and nothing makes a model look further.
# Families of four that differ in one fact do (hard negatives, as Yuksekgonul et al. 2023 build them for CLIP). Left and
# right come last of all, so the families of the last stage are made for what is still confused.
STAGES = (
    Stage(steps=1026, batch_size=512, learning_rate=1.5e-3, warmup=100, horizon=1900),
    Stage(steps=3000, batch_size=192, learning_rate=1.2e-3, warmup=50, seed=1),
    Stage(steps=2400, batch_size=192, learning_rate=1.0e-3, warmup=50, seed=2, stream=FAMILIES),
    Stage(steps=2400, batch_size=192, learning_rate=1.0e-3, warmup=50, seed=3, stream=CONTRASTS),
)


def config(tokenizer: CLIPTokenizerFast) -> CLIPConfig:
    """1.8 M parameters: a ViT of 64 patches and 5 layers, a text transformer of 3. Small is quick to train: more is seen."""
    vision = dict(image_size=IMAGE_SIZE, patch_size=PATCH, hidden_size=128, intermediate_size=512, num_hidden_layers=5,
                  num_attention_heads=4, hidden_act="gelu")  # fmt: skip
    text = dict(vocab_size=len(tokenizer), hidden_size=128, intermediate_size=512, num_hidden_layers=3, num_attention_heads=4,
                max_position_embeddings=MAX_TOKENS, hidden_act="gelu", bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)  # fmt: skip
    return CLIPConfig(vision_config=vision, text_config=text, projection_dim=128)


def image_processor(side: int = IMAGE_SIZE) -> CLIPImageProcessor:
    """CLIP's own preprocessing at `side` x `side` pixels."""
    size = {"height": side, "width": side}
    return CLIPImageProcessor(size=size, crop_size=size, do_center_crop=False)


def contrastive_loss(logits: torch.Tensor, also_true: torch.Tensor | None = None) -> torch.Tensor:
    """CLIP's symmetric cross-entropy: picture i belongs to text i, row-wise and column-wise.

    `logits` `(n, n)`, pictures x texts. In a drawn world we know when text j is true of picture i as well
    (`also_true[i, j]`): such pairs are no negatives and are left out, or the model would learn to tell apart
    what is the same.
    """
    n = len(logits)
    if also_true is not None:
        logits = logits.masked_fill(
            also_true & ~torch.eye(n, dtype=torch.bool, device=logits.device), float("-inf")
        )
    target = torch.arange(n, device=logits.device)
    return (
        torch.nn.functional.cross_entropy(logits, target)
        + torch.nn.functional.cross_entropy(logits.T, target)
    ) / 2


class Facts:
    """Sets of facts as rows of 0 and 1, so that "is this caption true of that picture" is one matrix product."""

    def __init__(self, known: list[frozenset]):
        self.index = {fact: i for i, fact in enumerate(sorted(set().union(*known)))}

    def rows(self, sets: list[frozenset]) -> torch.Tensor:
        rows = torch.zeros(len(sets), len(self.index))
        for row, facts in zip(rows, sets):
            row[[self.index[f] for f in facts]] = 1
        return rows


def also_true(known: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
    """`[i, j]`: everything caption j says holds in picture i."""
    return known @ said.T >= said.sum(dim=1)


class Batches:
    """The batch of a step, always the same for a step: scenes at random, one random caption each, light noise.

    In the plain stream every other batch stays at one place and hour, so that its captions can only be told apart by
    what is there; in the stream of families a batch is made of whole families.
    """

    def __init__(self, count: int, tokenizer: CLIPTokenizerFast, stage: Stage, device: str):
        self.pixels = training_pixels(count, IMAGE_SIZE, stage.stream)
        self.captions, self.known = captions_and_facts(count, stage.stream)
        self.facts = Facts(self.known)
        settings: dict[tuple, list[int]] = {}
        for i, known in enumerate(self.known):
            settings.setdefault(tuple(sorted(f for f in known if f[0] in ("background", "time"))), []).append(
                i
            )
        self.settings = [np.array(settings[key]) for key in sorted(settings)]
        self.tokenizer, self.stage, self.device = tokenizer, stage, device
        self.mean, self.std = (
            torch.tensor(v).view(3, 1, 1) for v in (image_processor().image_mean, image_processor().image_std)
        )

    def _choose(self, step: int, rng: np.random.Generator) -> np.ndarray:
        n = self.stage.batch_size
        if self.stage.stream in (FAMILIES, CONTRASTS):
            families = rng.choice(len(self.pixels) // FAMILY, n // FAMILY, replace=False)
            return (np.sort(families)[:, None] * FAMILY + np.arange(FAMILY)).ravel()
        pool = (
            self.settings[int(rng.integers(len(self.settings)))] if step % 2 else np.arange(len(self.pixels))
        )
        return np.sort(rng.choice(pool, min(n, len(pool)), replace=False))

    def __getitem__(self, step: int):
        rng = np.random.default_rng([self.stage.seed, step])
        chosen = self._choose(step, rng)
        captions = [self.captions[i][int(rng.integers(len(self.captions[i])))] for i in chosen]
        images = torch.from_numpy(self.pixels[chosen]).permute(0, 3, 1, 2).float() / 255
        images = (jitter(images, torch.Generator().manual_seed(step)) - self.mean) / self.std
        text = self.tokenizer([c.text for c in captions], padding=True, truncation=True, return_tensors="pt")
        known, said = (
            self.facts.rows([self.known[i] for i in chosen]),
            self.facts.rows([c.said for c in captions]),
        )
        return images.to(self.device), text.to(self.device), also_true(known, said).to(self.device)


def jitter(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A little brightness, contrast and grain, so that the model also reads pictures that others painted."""
    n = len(images)
    uniform = lambda low, high: torch.empty(n, 1, 1, 1).uniform_(low, high, generator=generator)  # noqa: E731
    images = (images - 0.5) * uniform(0.85, 1.15) + 0.5 + uniform(-0.08, 0.08)
    grain = images[::4]  # a quarter of the pictures
    grain += uniform(0, 0.08)[::4] * torch.randn(grain.shape, generator=generator)
    return images.clamp_(0, 1)


def build_tokenizer(folder: Path, captions: list) -> CLIPTokenizerFast:
    if not (folder / "merges.txt").exists():
        train_tokenizer((c.text for some in captions[:20_000] for c in some), folder, max_length=MAX_TOKENS)
    return CLIPTokenizerFast.from_pretrained(folder, model_max_length=MAX_TOKENS)


def train(
    folder: Path, stages: tuple[Stage, ...] = STAGES, scenes: int = SCENES, device: str = "cpu"
) -> None:
    """Train (or go on training) and write the finished model to `folder` in half precision.

    Checkpoints are kept under the folder's name: another way of training wants another folder.
    """
    from .evaluate_clip import table, write_card, zero_shot_kind

    torch.manual_seed(stages[0].seed)
    work = checkpoints(folder)
    captions, _ = captions_and_facts(min(scenes, 20_000))
    tokenizer = build_tokenizer(work / "tokenizer", captions)
    model = CLIPModel._from_config(config(tokenizer), attn_implementation="eager").to(device)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters", flush=True)
    processor = CLIPProcessor(image_processor=image_processor(), tokenizer=tokenizer)

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        images, text, same = batches[step]
        out = model(pixel_values=images, input_ids=text.input_ids, attention_mask=text.attention_mask)
        logits = out.logits_per_image.float()
        right = (logits.masked_fill(same & ~torch.eye(len(same), dtype=torch.bool, device=device), -1e9).argmax(1)
                 == torch.arange(len(same), device=device)).float().mean()  # fmt: skip
        return contrastive_loss(logits, same), {
            "accuracy": float(right),
            "scale": float(model.logit_scale.detach().exp()),
        }

    def look(step: int, shown: torch.nn.Module) -> None:
        print(
            {
                "step": step,
                **{
                    f"kind {lang}": round(zero_shot_kind(shown, processor, lang, 10), 3)
                    for lang in ("zh", "en")
                },
            },
            flush=True,
        )

    seconds = 0.0
    batches: Batches | None = None
    for number, stage in enumerate(stages, 1):
        checkpoint = work / f"checkpoint-{number}.pt"
        if not finished(checkpoint, stage) and (batches is None or batches.stage.stream != stage.stream):
            batches = Batches(scenes, tokenizer, stage, device)
        if batches is not None:
            batches.stage = stage
        seconds += fit(model, loss, stage, checkpoint, device=device, look=look, look_every=300)
    model.eval()

    def write(temporary: Path) -> None:
        # Stored in half precision: half the download, and the card is measured on the stored weights.
        model.half().save_pretrained(temporary)
        processor.save_pretrained(temporary)
        # transformers 4 looks for these under their own names
        processor.image_processor.save_pretrained(temporary)
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(work / "tokenizer" / name, temporary)

    replace_folder(folder, write)
    about = {"stages": stages, "scenes": scenes, "trained_on": name_of(device)}
    write_card(folder, table(folder), seconds=seconds, **about)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--evaluate", action="store_true", help="measure the stored model and print its card's table"
    )
    parser.add_argument(
        "--folder", type=Path, help="where the finished model goes, if not to the course's own"
    )
    parser.add_argument(
        "--steps", type=int, help="cut every stage short: to try the code; stays in the cache"
    )
    parser.add_argument("--scenes", type=int, default=SCENES, help="fewer, to try the code")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    folder = destination("mini-clip", args.folder, bool(args.steps) or args.scenes != SCENES)
    if args.evaluate:
        from .evaluate_clip import markdown, table

        print(markdown(table(folder)))
    else:
        stages = tuple(replace(stage, steps=min(stage.steps, args.steps or stage.steps)) for stage in STAGES)
        train(folder, stages, args.scenes, args.device)


if __name__ == "__main__":
    main()
