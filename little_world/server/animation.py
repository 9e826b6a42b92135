"""The engine behind the video protocol: a motion adapter on a text-to-image folder, or a whole text-to-video folder.

An adapter (AnimateDiff) is a folder with a `MotionAdapter`'s config.json; it sets the pictures of `base` moving. It may
bring a text encoder of its own, and a generation.json that says how it was trained. A folder with a model_index.json
(Wan, LTX, CogVideoX in diffusers) stands for itself. One clip is made at a time.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AnimateDiffPipeline, AnimateDiffVideoToVideoPipeline, DDIMScheduler, MotionAdapter
from PIL import Image
from transformers import CLIPTextModel

from course_lib import loading, settings

from ..first_frame import from_first_frame
from . import pipelines
from .pipelines import PipelineEngine
from .worker import Cancelled, Job

# frames a second, as their authors play them
_RATES = {"WanPipeline": 16, "LTXPipeline": 24, "CogVideoXPipeline": 8}
_STRENGTH = 0.8  # how far a clip may leave the picture it begins with, where the adapter never learnt to go on from one


@dataclass(frozen=True)
class Habits:
    """How a model was trained to be used. `most`: frames it can make; `first_frame`: it goes on from a given one."""

    frames: int = 16
    rate: float = 8
    steps: int = 25
    guidance: float = 7.5
    width: int = 512
    height: int = 512
    most: int = 32
    every: int = 1  # it makes a multiple of this many frames, and one more
    first_frame: bool = False


@dataclass(eq=False)
class Animation:
    """A clip to be made, and how far it is. With `picture`, of the size that is asked for, it begins there."""

    prompt: str
    negative: str
    seed: int
    width: int
    height: int
    frames: int
    rate: float
    steps: int
    guidance: float
    picture: Image.Image | None = None

    begun: bool = False
    share: float = 0.0  # of its steps that are done


class AnimationEngine(PipelineEngine):
    """`submit` makes a clip: `emit` gets its frames, `(n, h, w, 3)` uint8. See `Engine` for `model`.

    `base` may be an id on the hub, too. At most `places` clips are in the house, waiting ones counted in.
    """

    default = "mini-motion"

    def __init__(
        self,
        model: str | os.PathLike | None = None,
        base: str | os.PathLike | None = None,
        *,
        places: int = 8,
        lazy: bool = False,
    ):
        self.base = os.path.expanduser(settings.locate(os.fspath(base or "mini-sd")))
        super().__init__(model, self._animate, max_batch=1, places=places, lazy=lazy)

    def submit(self, animation: Animation, emit: Callable[[Any], None]) -> Job:
        """Put a clip in line. `emit` gets its frames, or an exception."""
        job = Job(animation, None, emit)
        self.worker.submit(job)
        return job

    @property
    def takes_picture(self) -> bool:
        """Whether a clip can begin with a picture."""
        return isinstance(self.pipe, AnimateDiffPipeline) or "image" in pipelines.arguments(self.pipe)

    def _check(self) -> None:
        folder = Path(self.source)
        if (folder / "model_index.json").is_file():
            pipelines.check_folder(folder)
            return
        super()._check()
        if not pipelines.is_on_hub(self.base):
            pipelines.check_folder(Path(self.base))

    def _forget(self) -> None:
        self.pipe: Any = None
        self.habits = Habits()

    def _open(self) -> None:
        with loading.quiet(bars=False), pipelines.quiet():
            self.pipe = self._prepare(self._adapted() if self._is_adapter() else pipelines.load(self.source))
        self.habits = self._habits()
        if self.small:  # a first clip for nobody: what cannot move shows at once
            trial = Animation("?", "", 0, 64, 64, 1 + self.habits.every, 8, 1, 7.0)
            self._animate([Job(trial, None, lambda event: None)])

    def _is_adapter(self) -> bool:
        if pipelines.is_on_hub(self.source):
            try:
                MotionAdapter.load_config(self.source)
            except OSError:
                return False
            return True
        return not (Path(self.source) / "model_index.json").is_file()

    def _adapted(self) -> AnimateDiffPipeline:
        parts: dict[str, Any] = {"motion_adapter": pipelines.load_part(MotionAdapter, self.source)}
        if (Path(self.source) / "text_encoder").is_dir():
            parts["text_encoder"] = pipelines.load_part(CLIPTextModel, self.source, subfolder="text_encoder")
        pipe = pipelines.load(self.base, AnimateDiffPipeline, **parts)
        own = pipe.scheduler.config
        # Adapters for Stable Diffusion 1.5 were trained with other noise than the model itself (diffusers' guide).
        theirs = {
            "beta_schedule": "linear",
            "clip_sample": False,
            "timestep_spacing": "linspace",
            "steps_offset": 1,
        }
        pipe.scheduler = DDIMScheduler.from_config(
            own, **theirs if own.beta_schedule == "scaled_linear" else {}
        )
        return pipe

    def _habits(self) -> Habits:
        if not isinstance(self.pipe, AnimateDiffPipeline):
            return _from_call(self.pipe)
        adapter, unet = self.pipe.motion_adapter.config, self.pipe.unet.config
        side = unet.sample_size * self.pipe.vae_scale_factor
        about = Path(self.source) / "generation.json"
        told = json.loads(about.read_text(encoding="utf-8")) if about.is_file() else {}
        names = {"frames": "num_frames", "rate": "frame_rate", "steps": "num_inference_steps",
                 "guidance": "guidance_scale", "first_frame": "first_frame"}  # fmt: skip
        found = {ours: told[theirs] for ours, theirs in names.items() if theirs in told}
        most = adapter.motion_max_seq_length
        return Habits(**{"frames": min(16, most), **found}, width=side, height=side, most=most)

    def _animate(self, jobs: list[Job]) -> None:
        (job,) = jobs
        work: Animation = job.work

        def after_step(pipe: Any, index: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            work.share = (index + 1) / max(getattr(pipe, "num_timesteps", None) or work.steps, 1)
            if job.cancelled.is_set() or self.worker.closing.is_set():
                pipe._interrupt = True
            return values

        work.begun = True
        with torch.inference_mode(), self._threads(), pipelines.quiet():
            pipe, arguments = self._arguments(work, after_step)
            frames = np.asarray(pipe(**arguments).frames[0])
        if job.cancelled.is_set() or self.worker.closing.is_set():
            job.finish(Cancelled())
        else:
            job.finish((frames * 255).round().clip(0, 255).astype(np.uint8))

    def _arguments(self, work: Animation, after_step: Callable) -> tuple[Any, dict[str, Any]]:
        """The pipeline, and what its call takes of all this: families differ."""
        pipe, generator = self.pipe, torch.Generator().manual_seed(work.seed)  # on the CPU: the same anywhere
        arguments: dict[str, Any] = {
            "prompt": work.prompt,
            "negative_prompt": work.negative,
            "num_frames": work.frames,
            "frame_rate": work.rate,
            "width": work.width,
            "height": work.height,
            "num_inference_steps": work.steps,
            "guidance_scale": work.guidance,
            "generator": generator,
            "output_type": "np",
            "callback_on_step_end": after_step,
        }
        if work.picture is not None and not isinstance(pipe, AnimateDiffPipeline):
            arguments["image"] = work.picture
        elif work.picture is not None and self.habits.first_frame:
            arguments |= from_first_frame(pipe, [work.picture], work.frames, [generator], after_step)
        elif work.picture is not None:
            pipe = pipelines.convert(pipe, AnimateDiffVideoToVideoPipeline)
            steps = max(work.steps, 2)  # of which it takes the share of its strength: of one, none
            arguments |= {
                "video": [work.picture] * work.frames,
                "strength": _STRENGTH,
                "num_inference_steps": steps,
            }
        taken = pipelines.arguments(pipe)
        return pipe, {name: value for name, value in arguments.items() if name in taken}


def _from_call(pipe: Any) -> Habits:
    """The habits of a whole pipeline: the defaults of its call, or what its model's config says."""
    defaults = {name: value for name, value in pipelines.arguments(pipe).items()
                if value is not inspect.Parameter.empty and value is not None}  # fmt: skip
    config = getattr(getattr(pipe, "transformer", None), "config", {})
    factor = getattr(pipe, "vae_scale_factor_spatial", 8)
    every = getattr(pipe, "vae_scale_factor_temporal", None) or getattr(
        pipe, "vae_temporal_compression_ratio", 1
    )
    sides = {
        "width": defaults.get("width") or config.get("sample_width", 64) * factor,
        "height": defaults.get("height") or config.get("sample_height", 64) * factor,
    }
    return Habits(
        frames=defaults.get("num_frames") or config.get("sample_frames", 1 + 4 * every),
        # Wan 2.2's 5B, which alone has a timestep for each token, is made for 24.
        rate=24 if pipe.config.get("expand_timesteps") else _RATES.get(type(pipe).__name__, Habits.rate),
        steps=defaults.get("num_inference_steps", 50),
        guidance=defaults.get("guidance_scale", 5.0),
        most=257,
        every=every,
        **sides,
    )
