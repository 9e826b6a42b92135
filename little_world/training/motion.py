"""mini-motion: motion modules (AnimateDiff, Guo et al. 2023) that set mini-sd's pictures moving.

    python -m little_world.training.motion                  train (minutes on a GPU, hours on two cores), resume if interrupted
    python -m little_world.training.motion --stage latents  the clips as latents alone; then `train`
    python -m little_world.training.motion --evaluate       reprint the model card's table from the stored weights

mini-sd must be there first; its UNet and its autoencoder stay as they are.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch
from diffusers import AnimateDiffPipeline, DDIMScheduler, StableDiffusionPipeline
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizerFast

from ..paths import MODELS
from . import sd_model
from .data import cache_folder
from .gpu import stepwise
from .loop import finished, fit, name_of
from .motion_data import CaptionBatches, ClipBatch, ClipBatches, clip_latents
from .motion_model import MINI, SMALL, Mover, Setup, build_mover, pipeline, save
from .parallel import start_processes
from .sd_data import Latents
from .tracking import MOTIONS


def motion_loss(
    mover: Mover, scheduler: DDIMScheduler, batch: ClipBatch, naming: float = 0.0, telling: float = 0.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """The error of the predicted velocity over all frames of a clip, noise of one strength on all of them.

    All strengths weigh the same here: mini-sd's weights (`sd.snr_weight`) spare the strong ones, under which a clip is given its
    direction. A first frame that is given stands there without noise, whatever the timestep, and is not judged: so the others
    learn to go on from it, and that is how a clip is made from a picture (`first_frame.py`).
    """
    noisy = scheduler.add_noise(batch.latents, batch.noise, batch.timesteps)
    velocity = scheduler.get_velocity(batch.latents, batch.noise, batch.timesteps)
    first = torch.arange(noisy.shape[2], device=noisy.device) == 0
    known = (batch.given[:, None, None, None, None] & first[:, None, None]).expand_as(noisy)
    predicted, middle = mover(torch.where(known, batch.latents, noisy), batch.timesteps, batch.input_ids)
    moved = (predicted.float() - velocity).square().masked_fill(known, 0.0).mean()
    named = mover.naming_loss(middle, batch.cells.flatten(0, 1))
    told = mover.telling_loss(middle, batch.motions)
    logged = {"moving": moved.detach(), "naming": named.detach(), "telling": told.detach()}
    return moved + naming * named + telling * told, logged


class Words(torch.nn.Module):
    """What teaches a text encoder the words for motion: from the end of a caption on, where all of it has been read, each
    state is to tell the motion; and all states are to stay near what they were, since the UNet knows those."""

    STAY = 2.0

    def __init__(self, text_encoder: CLIPTextModel, end: int):
        super().__init__()
        self.text_encoder, self.before, self.end = (
            text_encoder,
            copy.deepcopy(text_encoder).requires_grad_(False),
            end,
        )
        self.motion = torch.nn.Linear(text_encoder.config.hidden_size, len(MOTIONS))

    def forward(self, ids: Tensor, motions: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        states, before = self.text_encoder(ids)[0].float(), self.before(ids)[0].float()
        drift = (states - before).square().mean() / before.square().mean()
        told, wanted = self.motion(states).flatten(0, 1), motions.repeat_interleave(ids.shape[1])
        read = ((ids == self.end).cumsum(dim=1) > 0).flatten().float()
        mean = lambda each: (each * read).sum() / read.sum()  # noqa: E731
        named = mean(torch.nn.functional.cross_entropy(told, wanted, reduction="none"))
        right = mean((told.argmax(dim=-1) == wanted).float())
        return named + self.STAY * drift, {"motion": right, "drift": drift.detach()}


# -------------------------------------------------------------------------------------------------- training


def work_folder(setup: Setup) -> Path:
    folder = cache_folder() / setup.name
    folder.mkdir(exist_ok=True)
    return folder


def load_base(folder: Path, device: str = "cpu") -> StableDiffusionPipeline:
    """The stored mini-sd, in single precision for computing."""
    if not (folder / "model_index.json").exists():
        raise SystemExit("There is no mini-sd yet: run python -m little_world.training.sd first.")
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def teach_words(
    setup: Setup, mover: Mover, tokenizer: CLIPTokenizerFast, checkpoint: Path, device: str
) -> float:
    """The mover's text encoder learns to tell how things move, from captions alone; returns the seconds it took."""
    words = Words(mover.text_encoder, tokenizer.eos_token_id).to(device)
    batches = CaptionBatches(setup.clips, tokenizer, setup.words)
    loss = stepwise(words, lambda batch: words(*batch), batches, device)
    return fit(words, loss, setup.words, checkpoint, device=device)


def train(
    setup: Setup, base: StableDiffusionPipeline, device: str = "cpu", processes: int = 1
) -> tuple[AnimateDiffPipeline, dict[str, float]]:
    """Train stage by stage (or go on); returns the pipeline and the seconds each part took."""
    from .evaluate_motion import Glance

    folder = work_folder(setup)
    torch.manual_seed(setup.stages[0].seed)
    mover = build_mover(setup.heads, base).to(device)
    known: Latents = clip_latents(base.vae, setup.clips)
    words = teach_words(setup, mover, base.tokenizer, folder / "words.pt", device)
    trained = sum(p.numel() for name, p in mover.unet.named_parameters() if "motion_modules" in name)
    print(f"{trained / 1e6:.2f} M parameters in the motion modules", flush=True)
    seconds, glance = {"words": words, "latents": known.seconds, "training": 0.0}, Glance(setup.look_clips)
    for number, stage in enumerate(setup.stages, 1):
        checkpoint = folder / f"motion-{number}.pt"
        mover.text_encoder.requires_grad_(stage.tune_text)
        print(
            f"stage {number}: {'done' if finished(checkpoint, stage) else f'{stage.steps} steps'}", flush=True
        )

        batches = ClipBatches(
            known, base.vae.config.scaling_factor, base.tokenizer, len(base.scheduler), stage
        )
        weights = {"naming": stage.naming, "telling": stage.telling}
        loss = stepwise(
            mover,
            lambda batch, weights=weights: motion_loss(mover, base.scheduler, batch, **weights),
            batches,
            device,
        )

        def look(step: int, shown: torch.nn.Module, number: int = number) -> None:
            seen = glance(pipeline(base, shown), folder / f"look-{number}-{step:05d}.png")
            print({"stage": number, "step": step, **seen}, flush=True)

        seconds["training"] += fit(
            mover,
            loss,
            stage,
            checkpoint,
            device=device,
            look=look,
            look_every=setup.look_every,
            processes=processes,
        )
    return pipeline(base, mover.eval()), seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stage", choices=("latents", "train", "all"), default="all")
    parser.add_argument(
        "--evaluate", action="store_true", help="measure the stored adapter and print its card's table"
    )
    parser.add_argument("--folder", type=Path, help="where the finished adapter goes")
    parser.add_argument("--base", type=Path, help="the folder of the mini-sd that it is made for")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--small", action="store_true", help="a tiny adapter and a few steps: to try the code"
    )
    parser.add_argument(
        "--processes", type=int, help="processes of one thread each; as many as there are cores, if not given"
    )
    args = parser.parse_args()
    setup = SMALL if args.small else MINI
    folder = args.folder or (work_folder(setup) / "model" if args.small else MODELS / setup.name)
    small_base = cache_folder() / sd_model.SMALL.name / "model"
    base_folder = args.base or (small_base if args.small else MODELS / sd_model.MINI.name)
    from .evaluate_motion import markdown, table, write_card

    clips = 7 if args.small else 105
    if args.evaluate:
        print(markdown(table(folder, base_folder, clips)["rows"]))
        return
    base = load_base(base_folder, args.device)
    if args.stage == "latents":
        clip_latents(base.vae, setup.clips)
        return
    pipe, seconds = train(setup, base, args.device, start_processes(args.processes, args.device))
    save(pipe.to("cpu"), setup, folder, base)
    write_card(
        folder,
        table(folder, base_folder, clips),
        base_folder,
        setup=setup,
        seconds=seconds,
        trained_on=name_of(args.device),
    )


if __name__ == "__main__":
    main()
