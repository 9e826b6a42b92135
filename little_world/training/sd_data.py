"""Training data of mini-sd: crops of pictures for its autoencoder, latents and captions for its UNet.

A UNet sees latents alone, so each scene is drawn and encoded once and its latents are kept, 4 KB a scene.
Pictures are never mirrored, as is usual elsewhere: left and right are words here.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL
from tqdm.auto import tqdm
from transformers import CLIPTokenizerFast

from ..captions import caption, random_plan
from ..drawing import draw
from ..scenes import Scene, single
from .data import CONTRASTS, TRAIN, cache_folder, scene_cells, scene_rng, training_pixels, training_scene
from .loop import autocast
from .parallel import share

PORTRAITS = 5  # a stream of scenes with one large thing: what a kind looks like is learned from them first
UNPROMPTED = 0.12  # share of empty prompts, for classifier-free guidance (Ho & Salimans 2022)
SHARD = 4096  # scenes encoded between two files: what a kill can cost


def sd_scene(index: int, stream: int) -> Scene:
    """Scene `index` of a stream that mini-sd learns from."""
    if stream == PORTRAITS:
        return single(scene_rng(stream, index), size="large")
    return training_scene(index, stream)


@lru_cache(maxsize=None)
def sd_scenes(stream: int, count: int) -> list[Scene]:
    """Scenes 0..count-1 of a stream, made once."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(partial(sd_scene, stream=stream), range(count), chunksize=1024))


def sd_caption(scene: Scene, stream: int, rng: np.random.Generator) -> str:
    """A caption of a stream's scene, in either language, rich or terse; in contrasts often of one fact."""
    plan = random_plan(rng, terse=0.15, focus=0.35 if stream == CONTRASTS else 0.15)
    return caption(scene, ("zh", "en")[int(rng.integers(2))], plan=plan, rng=rng)


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    """Pixels `(n, h, w, 3)` of 0..255 as an autoencoder takes them: `(n, 3, h, w)`, -1..1."""
    return torch.from_numpy(pixels.astype(np.float32)).permute(0, 3, 1, 2) / 127.5 - 1


class CropBatch(NamedTuple):
    pixels: torch.Tensor  # (n, 3, side, side) of -1..1
    noise: torch.Tensor  # (n, c, side / f, side / f), for the latents


class Crops:
    """The autoencoder's batch of a step: crops of random scenes, some of them (`stage.aimed`) with a thing in the middle or near it."""

    OFF = 20  # pixels by which a thing's middle may lie off the crop's, either way

    def __init__(self, scenes: int, side: int, stage, latent: tuple[int, int, int]):
        self.pixels = training_pixels(scenes, 128, TRAIN)
        self.side, self.stage, self.latent = side, stage, latent

    def corner(self, scene: Scene, rng: np.random.Generator) -> tuple[int, int]:
        """The top and left of a crop."""
        top, left = rng.integers(0, 128 - self.side + 1, 2)
        if scene.things and rng.random() < self.stage.aimed:
            thing = scene.things[int(rng.integers(len(scene.things)))]
            middle = 128 * np.array([thing.y, thing.x]) + rng.uniform(-self.OFF, self.OFF, 2)
            top, left = np.clip(middle - self.side / 2, 0, 128 - self.side).astype(int)
        return int(top), int(left)

    def __getitem__(self, step: int) -> CropBatch:
        rng, side = np.random.default_rng([self.stage.seed, step]), self.side
        chosen = np.sort(rng.choice(len(self.pixels), self.stage.batch_size))
        corners = [self.corner(training_scene(int(i)), rng) for i in chosen]
        crops = [
            self.pixels[i, y : y + side, x : x + side] for i, (y, x) in share(list(zip(chosen, corners)))
        ]
        noise = torch.randn(
            self.stage.batch_size, *self.latent, generator=torch.Generator().manual_seed(step)
        )
        return CropBatch(as_tensor(np.stack(crops)), share(noise))


# ---------------------------------------------------------------------------------------------------- latents


def _drawn(index: int, stream: int) -> np.ndarray:
    return np.asarray(draw(sd_scene(index, stream), 128))


Drawn = Callable[[int, int], np.ndarray]  # a scene's number and stream to its picture, in any process


def _pictures(
    stream: int, first: int, end: int, count: int, pool: ProcessPoolExecutor, drawn: Drawn
) -> Iterable[np.ndarray]:
    """Pictures of scenes `first`..`end` - 1; those of `TRAIN` have been drawn for others already."""
    if stream == TRAIN:
        return training_pixels(count, 128, TRAIN)[first:end]
    return pool.map(partial(drawn, stream=stream), range(first, end), chunksize=32)


def latents_key(vae: AutoencoderKL, stream: int, drawn: Drawn = _drawn) -> str:
    """Changes with the encoder's weights, with the world's drawing, and with what the stream holds."""
    digest = hashlib.sha256()
    for name, value in sorted(vae.state_dict().items()):
        if not name.startswith(("encoder.", "quant_conv.")):
            continue
        digest.update(name.encode() + value.detach().float().cpu().numpy().tobytes())
    for index in range(32):
        digest.update(drawn(index, stream).tobytes())
    return digest.hexdigest()[:12]


@torch.no_grad()
def encode(vae: AutoencoderKL, pixels: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of the latents of `(n, 128, 128, 3)` pictures: float16 `(n, 2, c, h, w)`."""
    with autocast(vae.device.type):
        found = vae.encode(as_tensor(pixels).to(vae.device)).latent_dist
    return torch.stack([found.mean, found.std], dim=1).half().cpu().numpy()


@dataclass(frozen=True)
class Latents:
    """Latents of scenes 0..n-1 of a stream, memory-mapped; `seconds` is what making them took."""

    shards: list[np.ndarray]
    seconds: float

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    def __getitem__(self, index: int) -> np.ndarray:
        """`(2, c, h, w)` float16: mean and standard deviation."""
        return self.shards[index // SHARD][index % SHARD]


def latents(
    vae: AutoencoderKL, stream: int, count: int, workers: int | None = None, *, drawn: Drawn = _drawn
) -> Latents:
    """Latents of the first `count` scenes of a stream, encoded once and kept in files of `SHARD` each."""
    folder = cache_folder() / "latents"
    folder.mkdir(exist_ok=True)
    key = latents_key(vae, stream, drawn)
    parts = [
        (first, min(first + SHARD, count), folder / f"{key}-{stream}-{first}-{min(first + SHARD, count)}.npy")
        for first in range(0, count, SHARD)
    ]
    clock = folder / f"{key}-{stream}-{count}.json"
    spent = json.loads(clock.read_text())["seconds"] if clock.exists() else 0.0
    missing = [part for part in parts if not part[2].exists()]
    if missing:
        start = time.time() - spent
        with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
            for first, end, path in tqdm(
                missing, desc=f"latents of stream {stream}, by {SHARD}", mininterval=10
            ):
                pictures = _pictures(stream, first, end, count, pool, drawn)
                rows = np.concatenate([encode(vae, np.stack(some)) for some in _by(64, pictures)])
                _replace(path, lambda file, rows=rows: np.save(file, rows))
                spent = time.time() - start
                record = json.dumps({"seconds": spent}).encode()
                _replace(clock, lambda file, record=record: file.write(record))
    return Latents([np.load(path, mmap_mode="r") for _, _, path in parts], spent)


def _by(size: int, items):
    some: list = []
    for item in items:
        some.append(item)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def _replace(path: Path, write) -> None:
    """Write to a temporary file beside `path`, then rename."""
    temporary = path.with_suffix(".part")
    with open(temporary, "wb") as file:
        write(file)
    os.replace(temporary, path)


# ---------------------------------------------------------------------------------------------------- batches


class Batch(NamedTuple):
    latents: torch.Tensor  # (n, c, h, w), scaled to unit variance
    noise: torch.Tensor  # (n, c, h, w)
    timesteps: torch.Tensor  # (n,)
    input_ids: torch.Tensor  # (n, tokens)
    cells: torch.Tensor  # (n, 2, 8, 8): kind and color in each cell, see `scene_cells`


class Batches:
    """The batch of a step of one of the UNet's stages, always the same for a step: scenes of its streams, fresh captions."""

    def __init__(
        self, known: dict[int, Latents], scale: float, tokenizer: CLIPTokenizerFast, timesteps: int, stage
    ):
        self.known, self.scale, self.tokenizer, self.timesteps, self.stage = (
            known,
            scale,
            tokenizer,
            timesteps,
            stage,
        )
        self.scenes = {stream: sd_scenes(stream, len(known[stream])) for stream, _ in stage.shares}

    def __getitem__(self, step: int) -> Batch:
        n, rng = self.stage.batch_size, np.random.default_rng([self.stage.seed, step])
        streams, shares = zip(*self.stage.shares)
        chosen = [(int(s), int(rng.integers(len(self.known[s])))) for s in rng.choice(streams, n, p=shares)]
        texts = [
            "" if rng.random() < UNPROMPTED else sd_caption(self.scenes[s][i], s, rng) for s, i in chosen
        ]
        ids = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        mean, std = torch.from_numpy(np.stack([self.known[s][i] for s, i in chosen])).float().unbind(1)
        generator = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
        drawn = mean + std * torch.randn(mean.shape, generator=generator)
        # Times spread evenly over a batch, not each by itself: less noise in the loss (Kingma et al. 2021).
        times = (torch.arange(n) + torch.rand((), generator=generator)) / n
        times = (times[torch.randperm(n, generator=generator)] * self.timesteps).long()
        noise = torch.randn(mean.shape, generator=generator)
        cells = torch.from_numpy(np.stack([scene_cells(self.scenes[s][i]) for s, i in chosen]))
        return Batch(*map(share, (drawn * self.scale, noise, times, ids, cells)))
