"""What is asked of a painter, checked before it is sent: a wrong number gets a sentence, not a GPU's hour.

Servers do not check for themselves: A1111 cuts a width of 511 down to 504 without a word, and diffusers
meets strength x steps below 1 with an obscure RuntimeError.
"""

from __future__ import annotations

import json
import math
import secrets
from numbers import Integral
from pathlib import Path

from .. import registry
from ..errors import SettingsError, TextError
from ..limits import check_number, check_whole
from ..settings import say
from ..texts import unbroken

SMALLEST, LARGEST = 64, 2048  # pixels a side; A1111's own sliders have these ends
GRID = 8  # pixels of the picture to one of the latent's, whatever the model
MOST_STEPS = 150
MOST_GUIDANCE = 30.0
MOST_PICTURES = 16  # in one call
LARGEST_SEED = 2**32 - 1  # A1111 draws its own seeds below this


def check_prompt(prompt: str, most: int) -> str:
    """The prompt. `TextError` for none, for an empty one, and beyond `most` characters."""
    if not isinstance(prompt, str):
        raise TextError(
            say(
                zh=f"提示词应当是字符串，收到的是 {type(prompt).__name__}；多个提示词请用 batch_generate。",
                en=f"A prompt is a string, not a {type(prompt).__name__}; for several prompts there is "
                "batch_generate.",
            )
        )
    if not prompt.strip():
        raise TextError(
            say(
                zh="提示词是空的，请写出要画什么，例如“一只红色的猫”。",
                en="The prompt is empty, please say what to paint, such as “a red cat”.",
            )
        )
    return check_length(prompt, most)


def check_length(text: str | None, most: int) -> str:
    """A text that may be empty, or None."""
    text = "" if text is None else text
    if not isinstance(text, str) or len(text) > most:
        raise TextError(
            say(
                zh=f"提示词有 {len(str(text))} 个字符，这里至多 {most} 个；模型只认真读前几十个词，请写短一些。",
                en=f"The prompt has {len(str(text))} characters and {most} are the most here; a model heeds the "
                "first few dozen words, please shorten it.",
            )
        )
    return unbroken(text)


def check_size(width: int, height: int, *, grid: int = GRID) -> tuple[int, int]:
    """(width, height) in pixels, whole multiples of `grid` within the limits."""
    for name, side in (("width", width), ("height", height)):
        check_whole(name, side, SMALLEST, LARGEST)
        if side % grid:
            below = max(SMALLEST, side // grid * grid)
            raise SettingsError(
                say(
                    zh=f"{name} 是 {side}，不是 {grid} 的倍数，请改用 {below} 或 {below + grid}。",
                    en=f"{name} is {side}, which is no multiple of {grid}, please use {below} or "
                    f"{below + grid}.",
                )
            )
    return int(width), int(height)


def usual_side(model: str | None) -> int:
    """The side in pixels where nobody says: as the course knows the model, as its folder says, else 1024."""
    return registry.native_size(model) or _side_in(Path(model or "").expanduser()) or 1024


def _side_in(folder: Path) -> int | None:
    """The side of the UNet's latents, times the pixels that the autoencoder makes of each."""
    try:
        unet, vae = (
            json.loads((folder / part / "config.json").read_text("utf-8")) for part in ("unet", "vae")
        )
        return unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def check_steps(steps: int) -> int:
    return check_whole("steps", steps, 1, MOST_STEPS)


def check_count(count: int) -> int:
    return check_whole("count", count, 1, MOST_PICTURES)


def check_guidance(guidance_scale: float) -> float:
    return check_number("guidance_scale", guidance_scale, 0.0, MOST_GUIDANCE)


def check_strength(strength: float, steps: int | None = None) -> float:
    """The strength, above 0 and at most 1, and enough of it for one of the `steps`."""
    value = check_number("strength", strength, -math.inf, math.inf)
    if not 0 < value <= 1:
        raise SettingsError(
            say(
                zh=f"strength（重绘幅度）是 {value:g}，必须大于 0、不超过 1：越小越像原图，0 就是原图。",
                en=f"strength is {value:g} and must be above 0 and at most 1: the smaller, the closer to the "
                "input, which 0 would return as it is.",
            )
        )
    if steps is not None and value * steps < 1:
        needed = math.ceil(1 / value)
        raise SettingsError(
            say(
                zh=f"strength {value:g} 乘以 {steps} 步不到 1 步，什么也不会画，请把 steps 加到至少 {needed}，"
                "或加大 strength。",
                en=f"strength {value:g} of {steps} steps is less than one step, so nothing would be painted, "
                f"please raise steps to at least {needed}, or raise strength.",
            )
        )
    return value


def check_seed(seed: int | None) -> int | None:
    """The seed, 0 included; None and -1 both mean any."""
    if seed is None or (isinstance(seed, Integral) and not isinstance(seed, bool) and seed == -1):
        return None
    return check_whole("seed", seed, 0, LARGEST_SEED)


def draw_seed() -> int:
    """A seed for a picture that may have any.

    Drawn here and not by the server: so it is known where the server does not tell (stable-diffusion.cpp),
    and a request that is sent again paints the same picture again.
    """
    return secrets.randbelow(LARGEST_SEED + 1 - MOST_PICTURES)  # the pictures of one call count on from it
