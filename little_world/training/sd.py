"""mini-sd: a bilingual latent diffusion model (Rombach et al. 2022) trained from scratch on Little World.

    python -m little_world.training.sd              train (minutes on a GPU, hours on two cores), or go on
    python -m little_world.training.sd --stage vae  the autoencoder alone; then `decoder`, `latents`, `unet`
    python -m little_world.training.sd --evaluate   reprint the model card's table from the stored weights

The text encoder starts from mini-clip's text tower, as Stable Diffusion's is CLIP's.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
from torch import Tensor

from ..paths import MODELS
from .data import TRAIN, cache_folder, training_pixels
from .gpu import stepwise
from .loop import finished, fit, name_of, replace_folder
from .parallel import start_processes
from .sd_data import Batch, Batches, CropBatch, Crops, Latents, as_tensor, latents
from .sd_decoder import Contest
from .sd_model import (
    MINI,
    SMALL,
    Painter,
    Setup,
    build_painter,
    build_scheduler,
    build_tokenizer,
    pipeline,
    save,
)

CROP = (
    64  # an autoencoder of convolutions learns as much from a quarter of a picture, at a quarter of the cost
)
SNR_CEILING, WEIGHT_FLOOR = 5.0, 0.1
KL_WEIGHT = 2e-3


# ---------------------------------------------------------------------------------------------------- losses


def reconstruction_loss(made: torch.Tensor, wanted: torch.Tensor, coarse: float = 0.0) -> torch.Tensor:
    """Absolute error of pixels and of the steps between neighbours, since a flat picture is told by its edges; and
    `coarse` times that of means over 4 x 4 and 8 x 8 pixels, since a color that is a little off costs little at each pixel."""
    error = made - wanted
    near = error.abs().mean() + error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    if not coarse:
        return near
    return near + coarse * sum(torch.nn.functional.avg_pool2d(error, side).abs().mean() for side in (4, 8))


def snr_weight(alphas_cumprod: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
    """Min-SNR-5 weights of the v-prediction loss (Hang et al. 2023), with a floor where noise outweighs the signal.

    Without it the last timestep, where no signal is left, would weigh nothing, and sampling starts there.
    """
    signal = alphas_cumprod[timesteps]
    snr = signal / (1 - signal)
    return torch.maximum(snr.clamp(max=SNR_CEILING) / (snr + 1), WEIGHT_FLOOR * (snr < 1))


def vae_loss(vae: AutoencoderKL, batch: CropBatch, coarse: float = 0.0) -> tuple[Tensor, dict[str, Tensor]]:
    """The autoencoder's loss of a batch of crops, with what to log."""
    posterior = vae.encode(batch.pixels).latent_dist
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    # At this weight their noise may cost about two thousandths of the range: smooth latents, and not seen.
    spread = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    made = vae.decode(mean + posterior.std * batch.noise).sample.float()
    error = reconstruction_loss(made, batch.pixels, coarse)
    return error + KL_WEIGHT * spread, {"error": error.detach(), "kl": spread.detach()}


def diffusion_loss(
    painter: Painter, scheduler: DDIMScheduler, batch: Batch, naming: float = 0.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted v-prediction loss, and `naming` times the loss of naming what each cell is to hold."""
    noisy = scheduler.add_noise(batch.latents, batch.noise, batch.timesteps)
    velocity = scheduler.get_velocity(batch.latents, batch.noise, batch.timesteps)
    predicted, middle = painter(noisy, batch.timesteps, batch.input_ids)
    error = (predicted.float() - velocity).square().mean(dim=(1, 2, 3))
    painted = (snr_weight(scheduler.alphas_cumprod.to(error.device), batch.timesteps) * error).mean()
    named = painter.naming_loss(middle, batch.cells)
    return painted + naming * named, {"painting": painted.detach(), "naming": named.detach()}


# -------------------------------------------------------------------------------------------------- training


def work_folder(setup: Setup) -> Path:
    folder = cache_folder() / setup.name
    folder.mkdir(exist_ok=True)
    return folder


def train_vae(setup: Setup, device: str = "cpu", processes: int = 1) -> None:
    """Train the autoencoder (or go on) and leave it in the cache in half precision."""
    from .evaluate_sd import look_at_vae
    from .judge import Judge

    folder = work_folder(setup)
    last = len(setup.vae_stages)
    if finished(folder / f"vae-{last}.pt", setup.vae_stages[-1]) and (folder / "vae").exists():
        return
    (folder / "decoder.pt").unlink(missing_ok=True)  # it belongs to another encoder
    torch.manual_seed(setup.vae_stages[0].seed)
    vae = AutoencoderKL(**setup.vae).to(device)
    judge = Judge()
    for number, stage in enumerate(setup.vae_stages, 1):
        crops = Crops(setup.pictures, CROP, stage, (setup.vae["latent_channels"], CROP // 8, CROP // 8))
        loss = stepwise(vae, lambda batch, stage=stage: vae_loss(vae, batch, stage.coarse), crops, device)

        def look(step: int, shown: torch.nn.Module, number: int = number) -> None:
            seen = look_at_vae(shown, judge, folder / f"vae-{number}-{step:05d}.png", 2 * setup.look_pictures)
            print({"stage": number, "step": step, **seen}, flush=True)

        fit(vae, loss, stage, folder / f"vae-{number}.pt", device=device, look=look, look_every=setup.look_every,
            processes=processes)  # fmt: skip
    vae.eval()
    vae.register_to_config(scaling_factor=scaling_factor(vae, setup))
    replace_folder(folder / "vae", vae.half().save_pretrained)


def train_decoder(setup: Setup, device: str = "cpu", processes: int = 1) -> None:
    """Train the stored autoencoder's decoder against a critic (or go on), and store it again; latents stay what they are."""
    from .evaluate_sd import look_at_vae
    from .judge import Judge

    folder, stage, vae = work_folder(setup), setup.decoder_stage, stored_vae(setup, device)
    torch.manual_seed(stage.seed)
    contest, judge = Contest(vae, stage).to(device), Judge()
    crops = Crops(setup.pictures, CROP, stage, (setup.vae["latent_channels"], CROP // 8, CROP // 8))
    error = partial(reconstruction_loss, coarse=stage.coarse)
    loss = stepwise(contest, lambda batch: contest.loss(batch, stage, error), crops, device)

    def look(step: int, shown: torch.nn.Module) -> None:
        seen = look_at_vae(shown.vae, judge, folder / f"decoder-{step:05d}.png", 2 * setup.look_pictures)
        print({"stage": "decoder", "step": step, **seen}, flush=True)

    fit(contest, loss, stage, folder / "decoder.pt", device=device, look=look, look_every=setup.look_every,
        processes=processes)  # fmt: skip
    replace_folder(folder / "vae", vae.eval().half().save_pretrained)


@torch.no_grad()
def scaling_factor(vae: AutoencoderKL, setup: Setup) -> float:
    """What brings the latents to unit variance, as the diffusion takes them."""
    pixels = training_pixels(setup.pictures, 128, TRAIN)[: min(512, setup.pictures)]
    found = [
        vae.encode(as_tensor(pixels[i : i + 32]).to(vae.device)).latent_dist
        for i in range(0, len(pixels), 32)
    ]
    variance = torch.cat([d.mean for d in found]).var() + torch.cat([d.var for d in found]).mean()
    return round(float(variance.rsqrt()), 4)


def stored_vae(setup: Setup, device: str = "cpu") -> AutoencoderKL:
    """The trained autoencoder as it will be shipped, in single precision for computing."""
    folder = work_folder(setup) / "vae"
    if not folder.exists():
        raise SystemExit("There is no autoencoder yet: run with --stage vae first, or with --stage all.")
    return AutoencoderKL.from_pretrained(folder).to(device).eval()


def all_latents(setup: Setup, device: str = "cpu") -> dict[int, Latents]:
    vae = stored_vae(setup, device)
    return {stream: latents(vae, stream, count) for stream, count in setup.latents.items()}


def train_unet(
    setup: Setup, device: str = "cpu", clip_folder: Path = MODELS / "mini-clip", processes: int = 1
) -> tuple[StableDiffusionPipeline, dict[str, float]]:
    """Train the UNet stage by stage (or go on); returns the pipeline and the seconds each part took."""
    from .evaluate_sd import glance
    from .judge import Judge

    folder, vae = work_folder(setup), stored_vae(setup, device)
    torch.manual_seed(setup.stages[0].seed)
    painter = build_painter(setup, clip_folder).to(device)
    scheduler, tokenizer, judge = build_scheduler(), build_tokenizer(clip_folder), Judge(clip_folder)
    print(
        f"{sum(p.numel() for p in painter.unet.parameters()) / 1e6:.2f} M parameters in the UNet", flush=True
    )
    known = all_latents(setup, device)
    parts = [folder / f"vae-{number}.pt" for number in range(1, len(setup.vae_stages) + 1)]
    spent = [
        torch.load(part, mmap=True, weights_only=True)["seconds"] for part in (*parts, folder / "decoder.pt")
    ]
    seconds = {
        "autoencoder": sum(spent[:-1]),
        "its decoder alone": spent[-1],
        "latents": sum(some.seconds for some in known.values()),
        "UNet": 0.0,
    }
    for number, stage in enumerate(setup.stages, 1):
        checkpoint = folder / f"unet-{number}.pt"
        painter.text_encoder.requires_grad_(stage.tune_text)
        print(
            f"stage {number}: {'done' if finished(checkpoint, stage) else f'{stage.steps} steps'}", flush=True
        )

        batches = Batches(known, vae.config.scaling_factor, tokenizer, len(scheduler), stage)
        loss = stepwise(
            painter,
            lambda batch, stage=stage: diffusion_loss(painter, scheduler, batch, stage.naming),
            batches,
            device,
        )

        def look(step: int, shown: torch.nn.Module, number: int = number) -> None:
            sheet = folder / f"look-{number}-{step:05d}.png"
            seen = glance(pipeline(vae, shown, tokenizer), judge, sheet, setup.look_pictures)
            print({"stage": number, "step": step, **seen}, flush=True)

        seconds["UNet"] += fit(
            painter,
            loss,
            stage,
            checkpoint,
            device=device,
            look=look,
            look_every=setup.look_every,
            processes=processes,
        )
    return pipeline(vae, painter.eval(), tokenizer), seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stage", choices=("vae", "decoder", "latents", "unet", "all"), default="all")
    parser.add_argument(
        "--evaluate", action="store_true", help="measure the stored model and print its card's table"
    )
    parser.add_argument("--folder", type=Path, help="where the finished model goes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--small", action="store_true", help="a tiny model and a few steps: to try the code")
    parser.add_argument(
        "--processes", type=int, help="processes of one thread each; as many as there are cores, if not given"
    )
    args = parser.parse_args()
    setup = SMALL if args.small else MINI
    folder = args.folder or (work_folder(setup) / "model" if args.small else MODELS / setup.name)
    from .evaluate_sd import markdown, table, write_card

    pictures = 8 if args.small else 240
    if args.evaluate:
        print(markdown(table(folder, pictures)["rows"]))
        return
    processes = start_processes(args.processes, args.device)
    if args.stage in ("vae", "all"):
        train_vae(setup, args.device, processes)
    if args.stage in ("decoder", "all"):
        train_decoder(setup, args.device, processes)
    if args.stage == "latents":
        all_latents(setup, args.device)
    if args.stage in ("unet", "all"):
        pipe, seconds = train_unet(setup, args.device, processes=processes)
        save(pipe, folder)
        write_card(
            folder, table(folder, pictures), setup=setup, seconds=seconds, trained_on=name_of(args.device)
        )


if __name__ == "__main__":
    main()
