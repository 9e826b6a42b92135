"""The engine behind the image protocols: any text-to-image folder of diffusers, one batch of pictures at a
time.

The folder is loaded once; painting over a picture and inside a mask use the same weights (`from_pipe`).
Requests are not put together: a batch of another size differs in the last bits of its numbers, and a seed is
to give its picture.
"""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
)
from PIL import Image

from course_lib import loading

from . import pipelines
from .pipelines import PipelineEngine
from .samplers import Choice, choose
from .worker import Job

_FAMILIES = {"image": AutoPipelineForImage2Image, "mask": AutoPipelineForInpainting}


@dataclass(frozen=True)
class Settings:
    """How to paint. `strength` (0 to 1) is how far a given picture is painted over; of `steps` it takes that
    share."""

    width: int
    height: int
    steps: int
    guidance: float
    sampler: Choice
    strength: float = 1.0
    eta: float = 0.0


@dataclass(eq=False)
class Painting:
    """Pictures that are painted together, one a seed, and how far they are.

    With `pictures` these are painted over, with `mask` (white) only there. `start` is what stands under the
    mask before the first step: the picture, noise of each seed, or nothing.
    """

    prompts: list[str]
    negatives: list[str]
    seeds: list[int]
    settings: Settings
    pictures: list[Image.Image] | None = None
    mask: Image.Image | None = None
    start: Literal["picture", "noise", "nothing"] = "picture"

    running: bool = False
    step: int = 0
    steps: int = 0
    latents: torch.Tensor | None = field(
        default=None, repr=False
    )  # of the first picture, after the last step
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def family(self) -> Literal["text", "image", "mask"]:
        return "text" if self.pictures is None else "image" if self.mask is None else "mask"


class PaintingEngine(PipelineEngine):
    """`submit` paints. At most `places` requests are in the house at a time. See `Engine` for `model`."""

    default = "mini-sd"

    def __init__(self, model: str | None = None, *, places: int = 32, lazy: bool = False):
        super().__init__(model, self._paint, max_batch=1, places=places, lazy=lazy)

    def submit(self, painting: Painting, emit: Callable[[Any], None]) -> Job:
        """Put pictures in line. `emit` gets the list of them (RGB), or an exception."""
        job = Job(painting, None, emit)
        self.worker.submit(job)
        return job

    @property
    def side(self) -> int:
        """Pixels of the square pictures that the model was trained with."""
        parts = self.pipes["text"]
        backbone = getattr(parts, "unet", None) or parts.transformer
        size = getattr(parts, "default_sample_size", None) or backbone.config.sample_size
        size = size if isinstance(size, int) else size[0]
        return size * self.factor

    @property
    def factor(self) -> int:
        """Pixels to a side of a latent."""
        return self.pipes["text"].vae_scale_factor

    def beyond(self, prompt: str) -> int:
        """How many tokens of a prompt the model does not get to see."""
        tokenizer = self._counter
        return 0 if tokenizer is None else max(0, len(tokenizer(prompt).input_ids) - tokenizer.model_max_length)

    @functools.cached_property
    def _counter(self) -> Any:
        """A tokenizer to count with, in any thread: one remembers how it last padded, and painting uses its own."""
        return copy.deepcopy(getattr(self.pipes["text"], "tokenizer", None))

    def takes_start(self, start: str) -> bool:
        """Whether what stands under a mask can be replaced in the latents: in Stable Diffusion 1 to XL."""
        return start == "picture" or "masked_image_latents" in pipelines.arguments(self._pipe("mask"))

    def preview(self, painting: Painting) -> Image.Image | None:
        """The first picture as it is now, from its latents; None before the first step."""
        latents, pipe = painting.latents, self.pipes.get("text")
        if latents is None or pipe is None:
            return None
        with torch.inference_mode(), self._threads():
            return self._decode(pipe, latents)

    def _decode(self, pipe: Any, latents: torch.Tensor) -> Image.Image:
        vae = pipe.vae
        latents = latents / vae.config.scaling_factor + (getattr(vae.config, "shift_factor", None) or 0.0)
        pixels = vae.decode(latents.to(vae.dtype), return_dict=False)[0]
        return pipe.image_processor.postprocess(pixels, output_type="pil")[0]

    def _check(self) -> None:
        pipelines.check_folder(Path(self.source))

    def _forget(self) -> None:
        self.pipes: dict[str, Any] = {}
        self.scheduler = None

    def _open(self) -> None:
        with loading.quiet(bars=False), pipelines.quiet():
            pipe = self._prepare(pipelines.load(self.source, AutoPipelineForText2Image))
        self.scheduler = pipe.scheduler
        self.pipes["text"] = pipe
        self._warm_up()

    def _pipe(self, family: str) -> Any:
        """The pipeline for text, for a picture or for a mask; the last two are made of the first one's
        parts."""
        if family not in self.pipes:
            with pipelines.quiet():
                pipe = self.pipes[family] = _FAMILIES[family].from_pipe(self.pipes["text"])
            pipe.set_progress_bar_config(disable=True)
        return self.pipes[family]

    def _warm_up(self) -> None:
        """A first picture for nobody: libraries prepare themselves, and a model that cannot paint shows."""
        painting = Painting(["?"], [""], [0], Settings(64, 64, 1, 7.0, choose("DDIM")))
        events: list[Any] = []
        self._paint([Job(painting, None, events.append)])

    def _paint(self, jobs: list[Job]) -> None:
        (job,) = jobs
        work: Painting = job.work
        pipe = self._pipe(work.family)
        pipe.scheduler = work.settings.sampler.scheduler(self.scheduler)

        def after_step(pipe: Any, index: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            work.latents = _noise_undone(pipe.scheduler, values["latents"][:1].clone())
            work.steps = getattr(pipe, "num_timesteps", None) or work.settings.steps
            work.step = index + 1
            if work.stop.is_set() or job.cancelled.is_set() or self.worker.closing.is_set():
                pipe._interrupt = (
                    True  # diffusers leaves out the steps that remain, and decodes what is there
                )
            return values

        work.running = True
        try:
            with torch.inference_mode(), self._threads(), pipelines.quiet():
                arguments = self._arguments(pipe, work)
                pictures = pipe(**arguments, callback_on_step_end=after_step).images
        finally:
            work.running, work.latents = False, None
        job.finish(pictures)

    def _arguments(self, pipe: Any, work: Painting) -> dict[str, Any]:
        """What the pipeline's call takes of all this: families differ."""
        settings, count = work.settings, len(work.seeds)
        arguments: dict[str, Any] = {
            "prompt": work.prompts,
            "negative_prompt": work.negatives,
            "width": settings.width,
            "height": settings.height,
            "num_inference_steps": settings.steps,
            "guidance_scale": settings.guidance,
            "eta": settings.eta,
            "generator": [
                torch.Generator().manual_seed(seed) for seed in work.seeds
            ],  # on the CPU: the same anywhere
        }
        if work.pictures is not None:
            arguments |= {"image": work.pictures, "strength": settings.strength}
        if work.mask is not None:
            arguments["mask_image"] = [work.mask] * count
            if work.start != "picture":
                latents = self._start(pipe, work)
                arguments |= {"image": latents, "masked_image_latents": latents}
        taken = pipelines.arguments(pipe)
        return {name: value for name, value in arguments.items() if name in taken}

    def _start(self, pipe: Any, work: Painting) -> torch.Tensor:
        """The latents of the pictures `(n, c, h, w)`, with noise or nothing where the mask is white."""
        settings, vae = work.settings, pipe.vae
        pixels = pipe.image_processor.preprocess(work.pictures).to(pipe.device, vae.dtype)
        latents = vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor
        size = (settings.width // self.factor, settings.height // self.factor)
        mask = np.asarray(work.mask.resize(size, Image.Resampling.NEAREST)) >= 128
        mask = torch.from_numpy(mask).to(pipe.device)
        if work.start == "nothing":
            return latents.masked_fill(mask, 0.0)
        noise = [
            torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(s)) for s in work.seeds
        ]
        return torch.where(mask, torch.stack(noise).to(latents), latents)


def _noise_undone(scheduler: Any, latents: torch.Tensor) -> torch.Tensor:
    """Latents at the scale of pictures: Euler's samplers let them grow with the noise."""
    if getattr(scheduler, "init_noise_sigma", 1.0) == 1.0 or getattr(scheduler, "step_index", None) is None:
        return latents
    return latents / (float(scheduler.sigmas[scheduler.step_index]) ** 2 + 1) ** 0.5
