"""mini-sound: a tower for sounds that meets mini-clip's texts, trained from scratch on the sounds of Little World.

python -m little_world.training.sound             train (the model card says how long)
python -m little_world.training.sound --evaluate  reprint the model card's table from the stored weights
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tqdm.auto import tqdm

from course_lib.clip import CLIPService
from course_lib.hearing import FRAMES, HOP, RATE, SoundNetwork, log_mel

from ..captions import caption, random_plan
from ..clip_sound import SOUND_OF, sound_track, sounds_of
from ..clips import MOTIONS, Clip, random_clip
from .clip import contrastive_loss
from .loop import Recipe, checkpoints, destination, fit, replace_folder

TRAIN, TEST = 911, 912  # streams of seeds
CLIPS = 1500
SECONDS = FRAMES * HOP / RATE
RECIPE = Recipe(steps=600, batch_size=96, learning_rate=3e-3, warmup=30, weight_decay=0.02)
WIDTHS = (16, 32, 64, 128)
SOUNDING = tuple(SOUND_OF)  # the kinds that make a sound of their own
_LOUDNESS = 0.1  # root mean square that noise is measured against, so that silence drowns in it too


def clip_of(index: int, stream: int = TRAIN) -> Clip:
    """Clip `index` of a stream: two of three show what makes a sound."""
    rng = np.random.default_rng([stream, index])
    kind = SOUNDING[index % len(SOUNDING)] if index % 3 else None
    # in the picture all the time, so that there is something to hear
    motion = [m for m in MOTIONS if m not in ("enter", "leave")][int(rng.integers(len(MOTIONS) - 2))]
    return random_clip(rng, seconds=SECONDS, kind=kind, motion=motion)


@lru_cache(maxsize=2)
def tracks(count: int, stream: int = TRAIN) -> np.ndarray:
    """The sounds of clips 0..count-1 of a stream, `(count, samples)` float32."""
    made = (sound_track(clip_of(i, stream)) for i in tqdm(range(count), desc="sounds", mininterval=10))
    return np.stack([np.resize(track, FRAMES * HOP) for track in made])


def noisy(samples: np.ndarray, decibels: float, rng: np.random.Generator) -> np.ndarray:
    """White noise on top, `decibels` below the loudness of a usual sound (above it where negative)."""
    noise = rng.standard_normal(len(samples)).astype(np.float32)
    return samples + noise * _LOUDNESS * 10 ** (-decibels / 20)


class Batches:
    """The batch of a step, always the same for a step: sounds, shifted, louder or softer, in noise; their captions."""

    def __init__(self, count: int, service: CLIPService, recipe: Recipe):
        self.recipe, self.tracks = recipe, tracks(count)
        clips = [clip_of(i) for i in range(count)]
        self.heard = [tuple(sounds_of(clip.shots[0])) for clip in clips]
        texts = []  # each clip's caption in every language, more or less of it
        for i, clip in enumerate(clips):
            rng, scene = np.random.default_rng([TRAIN + 100, i]), clip.shots[0].scene(SECONDS / 2)
            texts += [
                caption(scene, lang, plan=random_plan(rng, terse=0.6), rng=rng) for lang in ("zh", "en")
            ]
        vectors = service.encode_text(texts, progress=False)
        self.texts = torch.from_numpy(vectors).view(count, 2, -1)

    def __getitem__(self, step: int) -> tuple[torch.Tensor, ...]:
        """spectrograms (b, t, bands), texts (b, d), and which text j fits what is heard in i as well (b, b)."""
        rng = np.random.default_rng([self.recipe.seed, step])
        chosen = rng.choice(len(self.tracks), self.recipe.batch_size, replace=False)
        sounds = [
            log_mel(
                noisy(
                    np.roll(self.tracks[i], rng.integers(FRAMES * HOP)) * rng.uniform(0.4, 1.2),
                    rng.uniform(-25, 35),
                    rng,
                )
            )
            for i in chosen
        ]
        heard = [self.heard[i] for i in chosen]
        same = torch.tensor([[a == b for b in heard] for a in heard])
        texts = self.texts[chosen, torch.from_numpy(rng.integers(2, size=len(chosen)))]
        return torch.from_numpy(np.stack(sounds)), texts, same


def train(folder: Path, recipe: Recipe = RECIPE, clips: int = CLIPS) -> None:
    """Train (or go on training) and write the finished tower to `folder` in half precision."""
    from .evaluate_sound import calibrate, table, write_card

    torch.manual_seed(recipe.seed)
    service = CLIPService("mini-clip")
    batches = Batches(clips, service, recipe)
    model = SoundNetwork(service.dim, WIDTHS)

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        sounds, texts, same = batches[step]
        logits = (model(sounds).float() @ texts.T) * model.logit_scale.exp()
        return contrastive_loss(logits, same), {"scale": float(model.logit_scale.detach().exp())}

    seconds = fit(model, loss, recipe, checkpoints(folder) / "checkpoint.pt")

    def write(temporary: Path) -> None:
        halves = {name: t.half() if t.is_floating_point() else t for name, t in model.state_dict().items()}
        save_file(halves, temporary / "model.safetensors", metadata={"format": "pt"})
        config = {
            "clip": "mini-clip",
            "dim": service.dim,
            "widths": WIDTHS,
            "confidence": {"picture": [3, 0], "sound": [3, 0]},
        }
        _write(temporary, config)
        _write(temporary, config | {"confidence": calibrate(temporary)})

    replace_folder(folder, write)
    write_card(folder, table(folder), seconds=seconds, recipe=recipe, clips=clips)


def _write(folder: Path, config: dict) -> None:
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--evaluate", action="store_true", help="measure the stored tower and print its card's table"
    )
    parser.add_argument(
        "--folder", type=Path, help="where the finished tower goes, if not to the course's own"
    )
    parser.add_argument(
        "--steps", type=int, default=RECIPE.steps, help="fewer, to try the code; stays in the cache"
    )
    parser.add_argument("--clips", type=int, default=CLIPS, help="fewer, to try the code")
    args = parser.parse_args()
    folder = destination("mini-sound", args.folder, (args.steps, args.clips) != (RECIPE.steps, CLIPS))
    if args.evaluate:
        from .evaluate_sound import markdown, table

        print(markdown(table(folder)))
    else:
        train(folder, replace(RECIPE, steps=args.steps), args.clips)


if __name__ == "__main__":
    main()
