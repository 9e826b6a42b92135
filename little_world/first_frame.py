"""A clip that begins with a given picture, from an adapter that was trained for it (`training/motion.py`).

AnimateDiff's pipeline paints all frames from noise. Here the first one stands in the latents as the picture itself,
without noise, before each step anew: the motion modules see it from every other frame, and go on from it. The same idea
as Open-Sora's masks (2024) and LTX-Video's conditioning (2025), by means that the stock pipeline has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image


@torch.no_grad()
def from_first_frame(
    pipe: Any,
    pictures: list[Image.Image],
    frames: int,
    generators: list[torch.Generator],
    after_step: Callable[..., dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """What to add to the arguments of an `AnimateDiffPipeline`'s call; one picture and one generator a clip.

    Its scheduler must leave the scale of the latents alone, as DDIM does. `after_step` is called as the pipeline's own
    callback would be. The first frame comes back as the autoencoder makes it.
    """
    if pipe.scheduler.init_noise_sigma != 1.0:
        raise ValueError("A first frame can be given with a scheduler such as DDIM only.")
    vae = pipe.vae
    pixels = pipe.video_processor.preprocess(pictures).to(vae.device, vae.dtype)
    first = vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor  # (n, c, h, w)
    noise = [torch.randn(first.shape[1], frames, *first.shape[2:], generator=g) for g in generators]
    latents = torch.stack(noise).to(first)
    latents[:, :, 0] = first

    def keep(pipe: Any, index: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        values["latents"][:, :, 0] = first
        return values if after_step is None else after_step(pipe, index, timestep, values)

    return {"latents": latents, "callback_on_step_end": keep}
