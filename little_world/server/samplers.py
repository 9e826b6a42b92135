"""AUTOMATIC1111's names for samplers and noise schedules, as diffusers' schedulers.

Only what also works with a model that predicts velocity down to a last step without any signal, as mini-sd
does (`tests/test_server_sd_samplers.py` holds each against a case whose answer is known). Models that learned
by flow matching (FLUX, Z-Image, Qwen-Image) keep the scheduler of their folder, whatever is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    UniPCMultistepScheduler,
)


@dataclass(frozen=True)
class Sampler:
    """A sampler by A1111's name; `karras` where the scheduler can space its steps that way."""

    name: str
    scheduler: type
    aliases: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    karras: bool = False


_DPM = {"algorithm_type": "dpmsolver++", "solver_order": 2, "final_sigmas_type": "zero"}

SAMPLERS = (
    Sampler("DPM++ 2M", DPMSolverMultistepScheduler, ("k_dpmpp_2m",), _DPM, karras=True),
    Sampler(
        "DPM++ 2M SDE",
        DPMSolverMultistepScheduler,
        ("k_dpmpp_2m_sde",),
        {**_DPM, "algorithm_type": "sde-dpmsolver++"},
        karras=True,
    ),
    Sampler("Euler a", EulerAncestralDiscreteScheduler, ("k_euler_a", "k_euler_ancestral")),
    Sampler("Euler", EulerDiscreteScheduler, ("k_euler",), karras=True),
    Sampler("DDIM", DDIMScheduler, ("ddim",)),
    Sampler("UniPC", UniPCMultistepScheduler, ("unipc",), karras=True),
)

# name and label; in A1111 1.10 a choice of its own, before that the last word of a sampler's name
SCHEDULES = (("automatic", "Automatic"), ("karras", "Karras"))


@dataclass(frozen=True)
class Choice:
    """A sampler with a noise schedule. `name` and `schedule` are what the picture's text says."""

    sampler: Sampler
    karras: bool

    @property
    def name(self) -> str:
        return self.sampler.name

    @property
    def schedule(self) -> str:
        return "Karras" if self.karras else "Automatic"

    def scheduler(self, own: Any, steps: int | None = None) -> Any:
        """A fresh diffusers scheduler with the noise that the model of the scheduler `own` was trained
        with."""
        if is_flow(own):
            # Qwen-Image stretches its steps so that the last one ends at a given noise: of one step nothing is left.
            whole = {"shift_terminal": None} if steps == 1 and own.config.get("shift_terminal") else {}
            return type(own).from_config(own.config, **whole)
        settings = dict(self.sampler.settings)
        # Karras et al. space the steps between the least and the most noise: with no end to the noise most of
        # them would go into the part where nothing can be seen.
        if self.karras and not own.config.get("rescale_betas_zero_snr"):
            settings["use_karras_sigmas"] = True
        return self.sampler.scheduler.from_config(own.config, **settings)


def is_flow(scheduler: Any) -> bool:
    """Whether the model of that scheduler learned by flow matching, as Z-Image, FLUX and Qwen-Image did."""
    config = scheduler.config
    flow = config.get("use_flow_sigmas") or config.get("prediction_type") == "flow_prediction"
    return bool(flow) or "FlowMatch" in type(scheduler).__name__


_BY_NAME = {name.lower(): sampler for sampler in SAMPLERS for name in (sampler.name, *sampler.aliases)}


def choose(name: str, schedule: str | None = None) -> Choice | None:
    """The sampler of that name, also of A1111's older names such as "DPM++ 2M Karras"; None where there is
    none.

    A schedule that the sampler does not know is "automatic", as in A1111.
    """
    name, schedule = name.strip().lower(), (schedule or "automatic").strip().lower()
    if name not in _BY_NAME and name.endswith(" karras"):
        name, schedule = name.removesuffix(" karras"), "karras"
    if name not in _BY_NAME:
        return None
    sampler = _BY_NAME[name]
    return Choice(sampler, sampler.karras and schedule == "karras")
