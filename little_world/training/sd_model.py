"""The parts of mini-sd: its sizes, its recipe, and how they become a `StableDiffusionPipeline` folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextModel, CLIPTokenizerFast
from transformers.utils import logging as transformers_logging

from ..paths import MODELS
from ..scenes import COLORS, KINDS
from .data import CONTRASTS, TRAIN
from .loop import Recipe, replace_folder
from .sd_data import PORTRAITS

TOKENS = 40  # every prompt is padded to it; the longest caption has 26


@dataclass(frozen=True)
class Stage(Recipe):
    """A part of the UNet's training: which streams of scenes, whether the text encoder learns too, and how much the
    loss of naming what comes where weighs beside the diffusion's own (`Painter.naming_loss`)."""

    shares: tuple[tuple[int, float], ...] = ((TRAIN, 1.0),)
    tune_text: bool = False
    naming: float = 0.0


@dataclass(frozen=True)
class VaeStage(Recipe):
    """A part of the autoencoder's training: the share of crops that are aimed at a thing (`sd_data.Crops`), and how much
    means over several pixels weigh in the error (`sd.reconstruction_loss`)."""

    aimed: float = 0.0
    coarse: float = 0.0


@dataclass(frozen=True)
class DecoderStage(VaeStage):
    """The decoder's training against a critic (`sd_decoder`): the critic's channels, and how much the critic's judgement, and
    likeness in what it sees, weigh beside the error."""

    critic: int = 32
    adversarial: float = 0.02
    alike: float = 0.5


@dataclass(frozen=True)
class Setup:
    """Everything that the finished model follows from."""

    name: str
    vae: dict
    unet: dict
    vae_stages: tuple[VaeStage, ...]
    decoder_stage: DecoderStage
    stages: tuple[Stage, ...]
    pictures: int  # the autoencoder takes its crops from them, as many as mini-vlm's, which are drawn already
    latents: dict[int, int]  # how many scenes of each stream
    look_every: int = 2000
    look_pictures: int = 48


def _vae_config(*channels: int, groups: int) -> dict:
    n = len(channels)
    return {
        "block_out_channels": channels,
        "down_block_types": ("DownEncoderBlock2D",) * n,
        "up_block_types": ("UpDecoderBlock2D",) * n,
        "layers_per_block": 1,
        "norm_num_groups": groups,
        "latent_channels": 4,
        "mid_block_add_attention": False,  # it is trained on crops
        "sample_size": 128,
    }


def _unet_config(*channels: int, side: int, heads: int, groups: int) -> dict:
    return {
        "sample_size": side,
        "block_out_channels": channels,
        # Attention on the lower level only: on the upper one as well it costs 30 % of the pace.
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "norm_num_groups": groups,
        "attention_head_dim": heads,  # in this class the number of heads, whatever its name says
        "cross_attention_dim": 128,
    }


_OPTIMIZER = {"weight_decay": 0.01, "betas": (0.9, 0.99)}

# The UNet learns first what each kind looks like, large and alone; then the whole world; then, with families that differ in one
# fact, where and how many. The text encoder learns along as soon as the UNet can read it, and at the UNet's rate:
# these rates are half of what mini-clip itself was trained with, so a lower one of its own is not needed.
MINI = Setup(
    name="mini-sd",
    vae=_vae_config(24, 32, 64, 96, groups=8),
    unet=_unet_config(64, 160, side=16, heads=4, groups=8),
    # Mostly crops with a thing in them: places taken at random show background alone.
    vae_stages=(VaeStage(steps=10_000, batch_size=64, learning_rate=1e-3, ema=0.999, aimed=0.75, coarse=0.5, **_OPTIMIZER),),
    decoder_stage=DecoderStage(steps=18_000, batch_size=64, learning_rate=4e-4, ema=0.999, seed=5, aimed=0.75, coarse=0.5,
                               weight_decay=0.01, betas=(0.5, 0.95)),
    stages=(
        Stage(steps=3_000, batch_size=128, learning_rate=1e-3, warmup=300, ema=0.998, seed=11, horizon=15_000,
              shares=((PORTRAITS, 1.0),), naming=0.05, **_OPTIMIZER),
        Stage(steps=5_000, batch_size=128, learning_rate=1e-3, warmup=300, ema=0.999, seed=12, horizon=12_000,
              shares=((TRAIN, 0.75), (PORTRAITS, 0.25)), tune_text=True, naming=0.05, **_OPTIMIZER),
        Stage(steps=7_000, batch_size=128, learning_rate=6e-4, warmup=300, ema=0.9995, seed=13,
              shares=((TRAIN, 0.6), (CONTRASTS, 0.3), (PORTRAITS, 0.1)), tune_text=True, naming=0.02, **_OPTIMIZER),
    ),
    pictures=60_000,
    latents={PORTRAITS: 16_384, TRAIN: 60_000, CONTRASTS: 24_576},
)  # fmt: skip
SMALL = Setup(  # the same path in a minute: to try the code, and to test it
    name="mini-sd-small",
    vae=_vae_config(8, 8, 8, 16, groups=4),
    unet=_unet_config(16, 32, side=16, heads=2, groups=4),
    vae_stages=(
        VaeStage(steps=2, batch_size=4, learning_rate=1e-3, warmup=1, ema=0.9),
        VaeStage(steps=2, batch_size=4, learning_rate=1e-3, warmup=1, ema=0.9, seed=1, aimed=0.8, coarse=0.5),
    ),
    decoder_stage=DecoderStage(steps=2, batch_size=4, learning_rate=1e-3, warmup=1, ema=0.9, seed=2, critic=8),
    stages=(
        Stage(steps=3, batch_size=4, learning_rate=1e-3, warmup=1, ema=0.9, seed=11,
              shares=((PORTRAITS, 1.0),), naming=0.05),
        Stage(steps=3, batch_size=4, learning_rate=1e-3, warmup=1, ema=0.9, seed=12,
              shares=((TRAIN, 0.5), (CONTRASTS, 0.5)), tune_text=True),
    ),
    pictures=48,
    latents={PORTRAITS: 24, TRAIN: 24, CONTRASTS: 24},
    look_pictures=4,
)  # fmt: skip


# ------------------------------------------------------------------------------------------------- the parts


def build_scheduler() -> DDIMScheduler:
    """Noise down to none of the signal (Lin et al. 2024), so that a night may be as dark as it is.

    Betas on a cosine (Nichol & Dhariwal 2021): the fewer the latents, the less noise it takes to drown them, and
    Stable Diffusion's own betas, made for 64 x 64, would spend most of the steps on what is noise already.
    """
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
    )


def build_tokenizer(clip_folder: Path) -> CLIPTokenizerFast:
    """mini-clip's tokenizer, for prompts of `TOKENS` tokens."""
    return CLIPTokenizerFast.from_pretrained(clip_folder, model_max_length=TOKENS)


def build_text_encoder(clip_folder: Path) -> CLIPTextModel:
    """mini-clip's text tower."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # it would list the vision tower's weights as unexpected
    try:
        return CLIPTextModel.from_pretrained(clip_folder, dtype=torch.float32)
    finally:
        transformers_logging.set_verbosity(level)


class Painter(torch.nn.Module):
    """What the UNet's stages train: the UNet, the text encoder that it listens to, and a head that is dropped afterwards.

    What kind of thing is asked for changes the picture's error little, so a diffusion's own loss teaches it late. The
    head names, from the UNet's middle, which kind and color each cell of the finished picture holds: we know that, and
    to name it the UNet must read the prompt. (Features that tell what is there speed a diffusion up: REPA, Yu et al.
    2024, takes them from another model; here they are the truth.)
    """

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel):
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder
        self.kind, self.color = (
            torch.nn.Conv2d(unet.config.block_out_channels[-1], 1 + n, 1) for n in (len(KINDS), len(COLORS))
        )

    def forward(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, input_ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The predicted velocity `(n, c, h, w)` and the UNet's middle. No attention mask: the pipeline gives none either."""
        return self.predict(noisy, timesteps, self.text_encoder(input_ids)[0])

    def predict(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, text: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same from what the text encoder made of the prompts."""
        seen: list[torch.Tensor] = []
        hook = self.unet.mid_block.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        try:
            velocity = self.unet(noisy, timesteps, encoder_hidden_states=text).sample
        finally:
            hook.remove()
        return velocity, seen[0]

    def naming_loss(self, middle: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the kind and color in each cell, `cells` `(n, 2, 8, 8)`."""
        heads = (self.kind, self.color)
        return sum(
            torch.nn.functional.cross_entropy(head(middle).float(), cells[:, i])
            for i, head in enumerate(heads)
        )


def build_painter(setup: Setup, clip_folder: Path) -> Painter:
    unet = UNet2DConditionModel(
        in_channels=setup.vae["latent_channels"], out_channels=setup.vae["latent_channels"], **setup.unet
    )
    unet.set_attn_processor(AttnProcessor())  # trains 1.2 times as fast as SDPA on a CPU
    return Painter(unet, build_text_encoder(clip_folder))


def pipeline(vae: AutoencoderKL, painter: Painter, tokenizer: CLIPTokenizerFast) -> StableDiffusionPipeline:
    """The parts as one. No safety checker: nothing in this world needs one."""
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=painter.text_encoder,
        tokenizer=tokenizer,
        unet=painter.unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def save(pipe: StableDiffusionPipeline, folder: Path, clip_folder: Path = MODELS / "mini-clip") -> None:
    """The pipeline as a folder in half precision, for transformers 4 and 5 alike."""

    def write(temporary: Path) -> None:
        for part in (pipe.unet, pipe.vae, pipe.text_encoder):
            part.half()
        pipe.save_pretrained(temporary)
        for name in ("vocab.json", "merges.txt"):  # transformers 5 leaves them out, transformers 4 wants them
            shutil.copy(clip_folder / name, temporary / "tokenizer" / name)
        index = json.loads((temporary / "model_index.json").read_text())
        # One class in transformers 5; in transformers 4 the slow one would cut Chinese into single characters.
        index["tokenizer"] = ["transformers", "CLIPTokenizerFast"]
        (temporary / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
        vae = json.loads((temporary / "vae" / "config.json").read_text())
        vae.pop("_name_or_path", None)  # where it lay while it was trained
        (temporary / "vae" / "config.json").write_text(json.dumps(vae, indent=2) + "\n")
        # diffusers computes in single precision unless told otherwise, transformers 5 in what this file names:
        # a pipeline loaded without a word about precision would fail between the two.
        config = json.loads((temporary / "text_encoder" / "config.json").read_text())
        config["dtype"] = "float32"
        (temporary / "text_encoder" / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    replace_folder(folder, write)
