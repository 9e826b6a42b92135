"""The engine behind the image protocols: any text-to-image folder of diffusers, one batch of pictures at a
time.

The folder is loaded once; painting over a picture and inside a mask use the same weights (`from_pipe`).
Requests are not put together: a batch of another size differs in the last bits of its numbers, and a seed is
to give its picture.
"""

from __future__ import annotations

import copy
import functools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import diffusers
import numpy as np
import torch
from diffusers import AutoPipelineForText2Image
from PIL import Image

from course_lib import loading
from course_lib.settings import say

from . import families, pipelines
from .errors import ApiError
from .pipelines import Family, PipelineEngine
from .samplers import Choice, choose, is_flow
from .worker import Job

log = logging.getLogger(__name__)

_SIDE = 1024  # of a model whose parts say nothing of it: Z-Image's


@dataclass(frozen=True)
class Settings:
    """How to paint. `guidance` counts as A1111's `cfg_scale`: at 1 there is none. `strength` (0 to 1) is how far a
    given picture is painted over; of `steps` it takes that share."""

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
    # of the first picture, after the last step
    latents: torch.Tensor | None = field(default=None, repr=False)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def family(self) -> Family:
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
        pipe = self.pipes["text"]
        size = getattr(pipe, "default_sample_size", None) or families.trait(pipe, "sample_size")
        if size is None:
            return _SIDE
        return (size if isinstance(size, int) else size[0]) * self.factor

    @property
    def factor(self) -> int:
        """Pixels to a side of a latent."""
        return self.pipes["text"].vae_scale_factor

    @property
    def block(self) -> int:
        """Pixels to a side of what the model paints in one piece: a picture's sides are multiples of it."""
        return families.block(self.pipes["text"])

    def require(self, family: Family) -> None:
        """Raises `ApiError` 422 where diffusers cannot paint over a picture, or inside a mask, with this model."""
        self._pipe(family)

    def refers(self, family: Family) -> bool:
        """Whether a picture to be painted over is looked at, and not begun with: FLUX.2 edits in that way."""
        return family == "image" and "strength" not in pipelines.arguments(self._pipe(family))

    def idle(self, family: Family) -> set[str]:
        """Which of "guidance", "negative", "strength" and "sampler" change nothing with this model."""
        pipe = self._pipe(family)
        distilled = pipe.config.get("is_distilled")
        one_sided = distilled or families.reads_guidance(pipe)
        found = {
            "guidance": distilled,
            "negative": one_sided or "negative_prompt" not in pipelines.arguments(pipe),
            "strength": self.refers(family),
            "sampler": is_flow(self.scheduler),
        }
        return {name for name, value in found.items() if value}

    def beyond(self, prompt: str) -> int:
        """How many tokens of a prompt the model does not get to see."""
        tokenizer = self._counter
        return 0 if tokenizer is None else max(0, len(tokenizer(prompt).input_ids) - self._room)

    @functools.cached_property
    def _room(self) -> int:
        """How many tokens of a prompt the model gets to see."""
        pipe, tokenizer = self.pipes["text"], self._counter
        most = pipelines.arguments(pipe).get("max_sequence_length")
        room = min(tokenizer.model_max_length, most) if isinstance(most, int) else tokenizer.model_max_length
        # A language model reads the prompt as a turn of a chat. Qwen-Image leaves out what stands before it again.
        if getattr(tokenizer, "chat_template", None) and not hasattr(pipe, "prompt_template_encode"):
            turn = tokenizer.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False)
            room -= len(tokenizer(turn.partition("?")[0]).input_ids)
        return room

    @functools.cached_property
    def _counter(self) -> Any:
        """A tokenizer to count with, in any thread: one remembers how it last padded, and painting uses its own."""
        return copy.deepcopy(getattr(self.pipes["text"], "tokenizer", None))

    def takes_start(self, start: str) -> bool:
        """Whether what stands under a mask can be replaced in the latents: in Stable Diffusion 1 to XL."""
        if start == "picture":
            return True
        pipe = self._pipe("mask")
        return hasattr(pipe, "unet") and "masked_image_latents" in pipelines.arguments(pipe)

    def preview(self, painting: Painting) -> Image.Image | None:
        """The first picture as it is now, from its latents; None before the first step, or where they mean nothing."""
        latents, pipe = painting.latents, self.pipes.get("text")
        if latents is None or pipe is None or not self._shows:
            return None
        try:
            with torch.inference_mode(), self._threads():
                return self._decode(pipe, latents, painting.settings)
        except Exception:  # a family that packs its latents in a way of its own: no reason to fail
            log.exception("%s: there are no previews", self.name)
            self._shows = False
            return None

    def _decode(self, pipe: Any, latents: torch.Tensor, settings: Settings) -> Image.Image | None:
        vae = self._vae
        latents = families.unpacked(
            pipe, latents, settings.height // self.block, settings.width // self.block
        )
        if latents is None:
            return None
        pixels = vae.decode(families.unscaled(vae, latents).to(vae.dtype), return_dict=False)[0]
        pixels = pixels[:, :, 0] if pixels.ndim == 5 else pixels  # Qwen-Image's paints a video of one picture
        return pipe.image_processor.postprocess(pixels, output_type="pil")[0]

    @property
    def _vae(self) -> Any:
        """The VAE, for use beside a pipeline that may be using it.

        Qwen-Image's keeps how far it is in attributes, which a copy has for itself; the weights are the same. SDXL's
        overflows in float16, and its pipeline casts it to and fro: what is used here is a second one.
        """
        pipe = self.pipes["text"]
        if not pipe.vae.config.get("force_upcast") or families.backbone(pipe).dtype != torch.float16:
            return copy.copy(pipe.vae)
        if self._precise is None:
            self._precise = copy.deepcopy(pipe.vae).float()
        return self._precise

    def _check(self) -> None:
        pipelines.check_folder(Path(self.source))

    def _forget(self) -> None:
        self.pipes: dict[str, Any] = {}
        self.scheduler = None
        self._precise: Any = None
        self._shows = True

    def _open(self) -> None:
        with loading.quiet(bars=False), pipelines.quiet():
            pipe = self._prepare(pipelines.load(self.source, AutoPipelineForText2Image))
        self.scheduler = pipe.scheduler
        self.pipes["text"] = pipe
        self._warm_up()

    def _pipe(self, family: Family) -> Any:
        """The pipeline for text, for a picture or for a mask; the last two are made of the first one's
        parts."""
        if family not in self.pipes:
            pipe = self.pipes["text"]
            kind = pipelines.relative(pipe, family)
            if kind is None:
                raise ApiError(422, _missing(type(pipe).__name__, family))
            with pipelines.quiet():
                self.pipes[family] = pipelines.convert(pipe, kind)
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
        pipe.scheduler = work.settings.sampler.scheduler(self.scheduler, work.settings.steps)

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
        except ValueError as error:
            if work.step:
                raise
            raise self._refusal(error) from error  # of what was asked: pipelines check that before they begin
        finally:
            work.running, work.latents = False, None
        job.finish(pictures)

    def _refusal(self, error: ValueError) -> ApiError:
        reason = loading.reason(error)
        return ApiError(
            422,
            say(
                zh=f"{self.name} 不接受这样的请求（{reason}）。",
                en=f"{self.name} does not take such a request ({reason}).",
            ),
        )

    def _arguments(self, pipe: Any, work: Painting) -> dict[str, Any]:
        """What the pipeline's call takes of all this: families differ."""
        settings, count, taken = work.settings, len(work.seeds), pipelines.arguments(pipe)
        arguments: dict[str, Any] = {
            "prompt": list(work.prompts),  # Z-Image's pipeline writes its chat template into the list
            "negative_prompt": list(work.negatives),
            "width": settings.width,
            "height": settings.height,
            "num_inference_steps": settings.steps,
            "eta": settings.eta,
            # on the CPU: the same anywhere
            "generator": [torch.Generator().manual_seed(seed) for seed in work.seeds],
            **families.guidance(pipe, settings.guidance),
        }
        if pipe.config.get("force_zeros_for_empty_prompt") and not any(work.negatives):
            del arguments["negative_prompt"]  # SDXL has zeros in place of an empty one, in A1111 too
        if work.pictures is not None and "strength" in taken:
            arguments |= {"image": work.pictures, "strength": settings.strength}
        elif work.pictures is not None:  # each prompt would be shown all of them
            arguments["image"] = work.pictures[0]
        if work.mask is not None:
            arguments["mask_image"] = [work.mask] * count
            if work.start != "picture":
                latents = self._start(pipe, work)
                arguments |= {"image": latents, "masked_image_latents": latents}
        return {name: value for name, value in arguments.items() if name in taken}

    def _start(self, pipe: Any, work: Painting) -> torch.Tensor:
        """The latents of the pictures `(n, c, h, w)`, with noise or nothing where the mask is white."""
        settings, vae = work.settings, self._vae
        pixels = pipe.image_processor.preprocess(work.pictures).to(pipe.device, vae.dtype)
        latents = (vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor).to(pipe.unet.dtype)
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


def _missing(name: str, family: Family) -> str:
    version = diffusers.__version__
    if family == "mask":
        return say(
            zh=f"diffusers {version} 不能用 {name} 只画蒙版内的部分，请去掉蒙版、升级 diffusers 或换一个模型。",
            en=f"diffusers {version} cannot paint inside a mask with {name}, please leave the mask out, upgrade "
            "diffusers, or choose another model.",
        )
    return say(
        zh=f"diffusers {version} 不能用 {name} 在已有图片上作画，请升级 diffusers 或换一个模型。",
        en=f"diffusers {version} cannot paint over a picture with {name}, please upgrade diffusers, or choose "
        "another model.",
    )
