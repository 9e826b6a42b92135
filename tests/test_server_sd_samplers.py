"""Every sampler by A1111's name, held against a world in which the best answer of a model is known."""

from __future__ import annotations

import inspect

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from little_world.server.samplers import SAMPLERS, Choice, choose
from little_world.training.sd_model import build_scheduler

MEAN, SPREAD = 1.5, 0.5  # the world: every value is drawn from this normal distribution

# mini-sd's noise, down to no signal at all, and Stable Diffusion 1.5's
OWN = {
    "velocity, zero SNR": build_scheduler(),
    "noise": DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    ),
}
CHOICES = [Choice(sampler, karras) for sampler in SAMPLERS for karras in {False, sampler.karras}]


def paint(own, choice: Choice, steps: int = 25) -> torch.Tensor:
    """What the sampler makes of the perfect prediction for that world."""
    scheduler = choice.scheduler(own)
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 1, 100, 100, generator=generator) * scheduler.init_noise_sigma
    more = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, t)
        kept = own.alphas_cumprod[int(t)]
        signal, noise = kept.sqrt(), (1 - kept).sqrt()
        # the expected clean value, given what is seen (a product of two normal distributions)
        clean = MEAN + signal * SPREAD**2 / (kept * SPREAD**2 + noise**2) * (seen - signal * MEAN)
        epsilon = (seen - signal * clean) / noise
        velocity = own.config.prediction_type == "v_prediction"
        x = scheduler.step(
            signal * epsilon - noise * clean if velocity else epsilon, t, x, **more
        ).prev_sample
    return x


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: f"{choice.name} {choice.schedule}")
def test_it_ends_where_the_world_is(own, choice):
    found = paint(own, choice)
    assert found.mean().item() == pytest.approx(MEAN, abs=0.1)
    assert found.std().item() == pytest.approx(SPREAD, abs=0.12)


def test_names_are_those_of_a1111_old_and_new():
    assert choose("Euler a").name == choose("k_euler_a").name == choose(" euler A ").name == "Euler a"
    assert choose("DPM++ 2M Karras") == choose("DPM++ 2M", "karras") == choose("DPM++ 2M", "Karras")
    assert choose("DPM++ 2M Karras").schedule == "Karras"
    assert choose("DPM++ 2M", "automatic") == choose("DPM++ 2M", None) == choose("DPM++ 2M", "never heard of")
    assert choose("DDIM", "karras").schedule == "Automatic"  # it has none
    for name in ("", "Karras", "Eul", "../Euler"):
        assert choose(name) is None


def test_a_model_that_learned_by_flow_matching_keeps_its_own():
    own = FlowMatchEulerDiscreteScheduler(shift=3.0)
    for sampler in SAMPLERS:
        found = Choice(sampler, False).scheduler(own)
        assert type(found) is FlowMatchEulerDiscreteScheduler
        assert found is not own
        assert found.config.shift == 3.0
