"""The decoder's last lesson: to paint what a critic cannot tell from a drawing.

Where the latents leave open at which pixel an eye is, the least error has a decoder that paints a blur. So a critic of
patches (Isola et al. 2017) learns to tell its pictures from drawings, and the decoder learns to be taken for the world, as
in VQGAN (Esser et al. 2021) and in Stable Diffusion's own autoencoder. The encoder stays as it is, and so do the latents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.func import functional_call

if TYPE_CHECKING:
    from .sd_data import CropBatch
    from .sd_model import DecoderStage


class Critic(nn.Module):
    """Pictures `(n, 3, h, w)` to a score for each patch of 8 x 8 pixels, drawn (high) or made (low), from what is around it."""

    def __init__(self, channels: int, groups: int = 8):
        super().__init__()
        widths = [3, channels, 2 * channels, 4 * channels]
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 4, stride=2, padding=1), nn.GroupNorm(groups, b) if a > 3 else nn.Identity(),
                          nn.LeakyReLU(0.2)) for a, b in zip(widths, widths[1:]))  # fmt: skip
        self.score = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The scores `(n, 1, h / 8, w / 8)`, and what each step made of the pictures."""
        seen = []
        for step in self.steps:
            pictures = step(pictures)
            seen.append(pictures)
        return self.score(pictures), seen


class Contest(nn.Module):
    """An autoencoder whose decoder learns, and the critic that it learns from, as one model with one loss."""

    def __init__(self, vae: AutoencoderKL, stage: DecoderStage):
        super().__init__()
        self.vae, self.critic = vae, Critic(stage.critic)
        for part in (vae.encoder, vae.quant_conv):
            part.requires_grad_(False)

    def loss(self, batch: CropBatch, stage: DecoderStage, error) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch of crops, with what to log; `error(made, wanted)` is that of the autoencoder's other stages."""
        with torch.no_grad():
            posterior = self.vae.encode(batch.pixels).latent_dist
        made = self.vae.decode((posterior.mean + posterior.std * batch.noise).detach()).sample.float()
        # The decoder is judged by the critic as it is, which learns from copies: each has only its own half of the loss.
        judging = {name: weight.detach() for name, weight in self.critic.named_parameters()}
        score, seen = functional_call(self.critic, judging, (made,))
        drawn_score, wanted = self.critic(batch.pixels)
        made_score, _ = self.critic(made.detach())
        alike = torch.stack([(a - b.detach()).abs().mean() for a, b in zip(seen, wanted)]).mean()
        taken = -score.mean()
        told = F.relu(1 - drawn_score).mean() + F.relu(1 + made_score).mean()
        apart = error(made, batch.pixels)
        total = apart + stage.alike * alike + stage.adversarial * taken + told
        return total, {"error": apart.detach(), "alike": alike.detach(), "told": told.detach()}
