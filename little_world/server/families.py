"""What families of text-to-image models do in their own ways: how they count guidance, pack and scale latents.

diffusers hides that inside a pipeline's call. Guidance must be given in the pipeline's own count, and a preview needs
latents as the VAE decodes them. `tests/test_server_sd_families.py` holds both against the pipelines.
"""

from __future__ import annotations

from typing import Any

import torch

from . import pipelines


def backbone(pipe: Any) -> Any:
    """What predicts: a UNet, in newer models a transformer; None where it has another name."""
    return getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)


def trait(pipe: Any, name: str) -> Any:
    """A value in the backbone's config, None where it says nothing of it."""
    return getattr(backbone(pipe), "config", {}).get(name)


def reads_guidance(pipe: Any) -> bool:
    """Whether guidance is an input of the model, which was distilled for that (FLUX.1-dev)."""
    return bool(trait(pipe, "guidance_embeds"))


def block(pipe: Any) -> int:
    """Pixels to a side of what the model paints in one piece: a latent, or a patch of them."""
    patch, processor = trait(pipe, "patch_size"), getattr(pipe, "image_processor", None)
    latent = getattr(pipe, "vae_scale_factor", 1)
    patch = patch if isinstance(patch, int) else 1
    return max(latent * patch, processor.config.vae_scale_factor if processor else 1)


def guidance(pipe: Any, scale: float) -> dict[str, float]:
    """A1111's `cfg_scale`, of which 1 is no guidance, as the pipeline's call takes it."""
    if type(pipe).__name__.startswith("ZImage"):
        # it adds so much of the difference to the prediction
        return {"guidance_scale": max(scale - 1.0, 0.0)}
    if "true_cfg_scale" not in pipelines.arguments(pipe):
        return {"guidance_scale": scale}
    # Qwen-Image and FLUX.1: there `guidance_scale` is for distilled models, which need no second prediction.
    return (
        {"guidance_scale": scale, "true_cfg_scale": 1.0}
        if reads_guidance(pipe)
        else {"true_cfg_scale": scale}
    )


def unpacked(pipe: Any, latents: torch.Tensor, rows: int, columns: int) -> torch.Tensor | None:
    """Latents in their places, also of a model that has its patches in a row; None where there are not so many."""
    if latents.ndim != 3:
        return latents
    if latents.shape[1] != rows * columns:
        return None
    if not hasattr(pipe, "_unpatchify_latents"):
        side = pipe.vae_scale_factor * 2
        return pipe._unpack_latents(latents, rows * side, columns * side, pipe.vae_scale_factor)
    latents = latents.transpose(1, 2).unflatten(2, (rows, columns))
    norm, shape = pipe.vae.bn, (1, -1, 1, 1)  # FLUX.2's VAE standardises patches
    deviation = (norm.running_var + pipe.vae.config.batch_norm_eps).sqrt().view(shape)
    return pipe._unpatchify_latents(
        latents * deviation.to(latents) + norm.running_mean.view(shape).to(latents)
    )


def unscaled(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Latents as the VAE made them: models learn on standardised ones."""
    latents = latents / (vae.config.get("scaling_factor") or 1.0)
    if vae.config.get("latents_mean") is None:
        return latents + (vae.config.get("shift_factor") or 0.0)
    shape = (1, -1, *[1] * (latents.ndim - 2))
    mean, deviation = (
        torch.tensor(vae.config[name]).view(shape).to(latents) for name in ("latents_mean", "latents_std")
    )
    return latents * deviation + mean
