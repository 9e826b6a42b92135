"""The parts of mini-motion: its sizes, its recipe, and how they become AnimateDiff's folder.

AnimateDiff (Guo et al. 2023) puts motion modules between the layers of a UNet that paints: attention over the frames,
each place of the picture by itself. The UNet rests, so that it paints as well as before; at first the modules change
nothing, as their last layer is zero. They are all that a `MotionAdapter` holds.
"""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from diffusers import AnimateDiffPipeline, MotionAdapter, StableDiffusionPipeline, UNetMotionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextModel

from .loop import Recipe, replace_folder
from .motion_data import FRAMES, RATE
from .sd_model import Painter
from .tracking import MOTIONS

GUIDANCE, STEPS = 5.0, 20
ABOUT = "generation.json"  # how the adapter was trained, and so how it is to be used


@dataclass(frozen=True)
class Stage(Recipe):
    """A part of the training: whether the text encoder learns along, the weights of naming what comes where
    (`Painter.naming_loss`) and how it moves (`Mover.telling_loss`), and the share of clips whose first frame is given."""

    tune_text: bool = False
    naming: float = 0.0
    telling: float = 0.0
    given: float = 0.0


@dataclass(frozen=True)
class Setup:
    """Everything that the finished adapter follows from, beside the mini-sd it is made for."""

    name: str
    heads: int
    words: Recipe  # of the text encoder alone, before everything else
    stages: tuple[Stage, ...]
    clips: int
    look_every: int = 500
    look_clips: int = 14


_OPTIMIZER = {"batch_size": 16, "weight_decay": 0.01, "betas": (0.9, 0.99)}

# First the words alone; then that the frames are one clip; then how the thing in it moves.
MINI = Setup(
    name="mini-motion",
    heads=4,
    words=Recipe(steps=400, batch_size=128, learning_rate=5e-4, warmup=50, weight_decay=0.01, seed=20),
    stages=(
        Stage(steps=400, learning_rate=1e-3, warmup=100, ema=0.99, seed=21, horizon=4_000, naming=0.1, **_OPTIMIZER),
        Stage(steps=5_000, learning_rate=1e-3, warmup=200, ema=0.998, seed=22, tune_text=True, naming=0.1, telling=0.1,
              given=0.2, **_OPTIMIZER),
    ),
    clips=6_144,
)  # fmt: skip
SMALL = Setup(  # the same path in seconds: to try the code, and to test it
    name="mini-motion-small",
    heads=2,
    words=Recipe(steps=2, batch_size=4, learning_rate=5e-4, warmup=1, seed=20),
    stages=(
        Stage(steps=2, batch_size=2, learning_rate=1e-3, warmup=1, ema=0.9, seed=21, naming=0.05),
        Stage(steps=3, batch_size=2, learning_rate=1e-3, warmup=1, ema=0.9, seed=22, tune_text=True, telling=0.1, given=0.5),
    ),
    clips=14,
    look_clips=2,
)  # fmt: skip


# ------------------------------------------------------------------------------------------------- the parts


def build_adapter(base: StableDiffusionPipeline, heads: int) -> MotionAdapter:
    """Motion modules for the UNet of `base`, which change nothing yet. No more frames than it is trained on."""
    config = base.unet.config
    adapter = MotionAdapter(
        block_out_channels=config.block_out_channels,
        motion_layers_per_block=config.layers_per_block,
        motion_norm_num_groups=config.norm_num_groups,
        motion_num_attention_heads=heads,
        motion_max_seq_length=FRAMES,
    )
    for name, module in adapter.named_modules():
        if name.endswith("proj_out"):
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)
    return adapter


class Mover(Painter):
    """What the stages train: the motion modules in the UNet, a text encoder of their own, and heads dropped afterwards.

    mini-sd's text encoder has never met a word for motion, and motion modules cannot read: what they know of the prompt
    comes to them through the UNet's cross-attention. So a copy of the text encoder learns such words.
    """

    def __init__(self, unet: UNetMotionModel, text_encoder: CLIPTextModel):
        super().__init__(unet, text_encoder)
        unet.freeze_unet2d_params()
        unet.set_attn_processor(AttnProcessor())  # as in `sd_model`
        self.motion = torch.nn.Linear(unet.config.block_out_channels[-1], len(MOTIONS))

    def forward(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, input_ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The predicted velocity `(n, c, frames, h, w)`, and the UNet's middle `(n * frames, c, h, w)`."""
        text = self.text_encoder(input_ids)[0].repeat_interleave(noisy.shape[2], dim=0)
        return self.predict(noisy, timesteps, text)

    def telling_loss(self, middle: torch.Tensor, motions: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the motion that the middle tells of each frame, `motions` `(n,)`.

        Without it the text encoder, as it learns along, forgets to tell up from down.
        """
        told = self.motion(middle.float().mean(dim=(2, 3)))
        return torch.nn.functional.cross_entropy(told, motions.repeat_interleave(len(told) // len(motions)))


def build_mover(heads: int, base: StableDiffusionPipeline) -> Mover:
    unet = UNetMotionModel.from_unet2d(base.unet, build_adapter(base, heads))
    return Mover(unet, copy.deepcopy(base.text_encoder))


def pipeline(base: StableDiffusionPipeline, mover: Mover) -> AnimateDiffPipeline:
    """mini-sd with the motion modules and their text encoder."""
    pipe = AnimateDiffPipeline(
        vae=base.vae,
        text_encoder=mover.text_encoder,
        tokenizer=base.tokenizer,
        unet=mover.unet,
        motion_adapter=None,
        scheduler=base.scheduler,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def save(pipe: AnimateDiffPipeline, setup: Setup, folder: Path, base: StableDiffusionPipeline) -> None:
    """The adapter and its text encoder as a folder in half precision, and in `ABOUT` how to use them."""
    adapter = build_adapter(base, setup.heads)
    adapter.load_state_dict({k: v for k, v in pipe.unet.state_dict().items() if "motion_modules" in k})

    def write(temporary: Path) -> None:
        adapter.half().save_pretrained(temporary)
        pipe.text_encoder.half().save_pretrained(temporary / "text_encoder")
        config = json.loads((temporary / "text_encoder" / "config.json").read_text())
        config["dtype"] = "float32"  # why: see `sd_model.save`
        (temporary / "text_encoder" / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        about = {
            "base_model": "mini-sd",
            "num_frames": FRAMES,
            "frame_rate": RATE,
            "num_inference_steps": STEPS,
            "guidance_scale": GUIDANCE,
            "first_frame": any(stage.given for stage in setup.stages),
        }
        (temporary / ABOUT).write_text(json.dumps(about, indent=2) + "\n")

    replace_folder(folder, write)


def load(folder: Path, base: Path) -> AnimateDiffPipeline:
    """The pipeline of a stored adapter, as anyone would load it."""
    pipe = AnimateDiffPipeline.from_pretrained(
        base,
        motion_adapter=MotionAdapter.from_pretrained(folder),
        text_encoder=CLIPTextModel.from_pretrained(folder, subfolder="text_encoder"),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def recipe_record(setup: Setup) -> dict:
    return {"stages": [asdict(stage) for stage in setup.stages], "clips": setup.clips, "heads": setup.heads}
