"""What a picture costs before it is sent: its size in tokens, and the tokens in money.

Pictures are billed as input tokens, counted from their size after the provider's own scaling:

- tiles (OpenAI's large models up to 2025): into 2048 x 2048, the shorter side down to 768, then a base plus
  so much for each tile of 512 px begun. OpenAI's guide "Images and vision", section Calculating costs.
- patches (its mini models): patches of 32 px begun, scaled down to at most 1536 of them, times a multiplier.
  The same guide, with its worked example of 1800 x 2400 px.
- grid (Qwen-VL): sides rounded to the grid of 32 px (28 before Qwen3-VL), the whole scaled into a minimum and
  maximum, a token for each square, two for the picture's bounds. Alibaba Cloud Model Studio, "Visual
  understanding"; `smart_resize` in qwen-vl-utils.

An estimate, not a bill: the answer's own `usage` is what counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from .. import registry
from ..errors import SettingsError
from ..images import ImageSource, is_many, open_image
from ..settings import say

LOW_SIDE = 512  # pixels: what `detail="low"` leaves of a picture, at OpenAI and here before sending


def sent_size(size: tuple[int, int], detail: str = "auto", max_side: int = 2048) -> tuple[int, int]:
    """(width, height) of a picture as it is sent: never enlarged, at most `max_side`, 512 px for "low"."""
    if detail not in ("auto", "low", "high"):
        raise SettingsError(
            say(
                zh=f"detail 只能是 auto、low 或 high，不能是 {detail!r}。",
                en=f"detail must be auto, low or high, not {detail!r}.",
            )
        )
    limit = LOW_SIDE if detail == "low" else max_side
    scale = min(1.0, limit / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def estimate_tokens(size: tuple[int, int], detail: str = "auto", *, model: str) -> int:
    """Input tokens of a picture of `size` (width, height) in pixels, for a model of the registry.

    Raises `SettingsError` for a model whose formula is not known.
    """
    known = [entry for entry in registry.hosted(name=model) if entry.image_tokens]
    if not known:
        names = [entry.id for entry in registry.hosted() if entry.image_tokens]
        raise SettingsError(
            say(
                zh=f"不知道 {model} 怎样计算图片的 token，请先发一张图看 usage，或用：{'、'.join(names)}。",
                en=f"How {model} counts a picture's tokens is not known, please send one and read its usage, "
                f"or use one of {', '.join(names)}.",
            )
        )
    formula, *numbers = known[0].image_tokens
    return _FORMULAS[formula](*sent_size(size, detail), detail, *numbers)


def _fixed(width: int, height: int, detail: str, tokens: int) -> int:
    return tokens


def _tiles(width: int, height: int, detail: str, base: int, tile: int) -> int:
    if detail == "low":
        return base
    scale = min(1.0, 2048 / max(width, height))
    width, height = width * scale, height * scale
    scale = min(1.0, 768 / min(width, height))
    across, down = (math.ceil(round(side * scale, 6) / 512) for side in (width, height))
    return base + tile * across * down


def _patches(width: int, height: int, detail: str, side: int, most: int, multiplier: float) -> int:
    across, down = math.ceil(width / side), math.ceil(height / side)
    if across * down > most:
        scale = math.sqrt(side**2 * most / (width * height))
        across, down = width * scale / side, height * scale / side
        # Scaled once more, so that whole patches fit along a side.
        scale *= min(math.floor(across) / across, math.floor(down) / down)
        across, down = (math.ceil(round(length * scale / side, 6)) for length in (width, height))
    return math.ceil(round(min(across * down, most) * multiplier, 6))


def _grid(width: int, height: int, detail: str, side: int, least: int, most: int, bounds: int) -> int:
    across, down = max(1, round(width / side)), max(1, round(height / side))
    if across * down > most:
        scale = math.sqrt(width * height / (most * side**2))
        across, down = (max(1, math.floor(length / scale / side)) for length in (width, height))
    elif across * down < least:
        scale = math.sqrt(least * side**2 / (width * height))
        across, down = (math.ceil(length * scale / side) for length in (width, height))
    return across * down + bounds


_FORMULAS = {"fixed": _fixed, "tiles": _tiles, "patches": _patches, "grid": _grid}


@dataclass(frozen=True)
class CostEstimate:
    """Tokens and money of one request; `amount` takes the answer to be as long as it may get."""

    image_tokens: int
    text_tokens: int
    output_tokens: int
    amount: float
    currency: str
    priced: str | None  # when the price was stated, None for a price that was passed in

    def __str__(self) -> str:
        tokens = self.image_tokens + self.text_tokens
        money = f"{self.amount:.5f} {self.currency}"
        when = say(zh=f"（{self.priced} 的价格）", en=f" (price of {self.priced})") if self.priced else ""
        return say(
            zh=f"输入 {tokens} 个 token（图片 {self.image_tokens}），输出至多 {self.output_tokens} 个，"
            f"至多 {money}{when}",
            en=f"{tokens} tokens in ({self.image_tokens} of them for pictures), at most {self.output_tokens} "
            f"out, at most {money}{when}",
        )


def estimate_cost(
    image: ImageSource | Iterable[ImageSource],
    prompt: str,
    *,
    model: str,
    max_tokens: int = 500,
    detail: str = "auto",
    price: tuple[float, float] | None = None,
    currency: str = "USD",
) -> CostEstimate:
    """What one request would cost at most.

    `price` is (input, output) per million tokens; without it the registry's, which is dated. Text is counted
    roughly: a token for every four ASCII characters, and for every other character. Raises `SettingsError`
    where the price is not known.
    """
    pictures = list(image) if is_many(image) else [image]
    image_tokens = sum(estimate_tokens(open_image(one).size, detail, model=model) for one in pictures)
    ascii_letters = sum(letter.isascii() for letter in prompt)
    text_tokens = math.ceil(ascii_letters / 4) + len(prompt) - ascii_letters
    priced = None
    if price is None:
        entry = registry.hosted(name=model)[0]
        if entry.input_price is None or entry.output_price is None:
            raise SettingsError(
                say(
                    zh=f"没有 {model} 的价格，请按提供商的价目传入 price=(输入, 输出)，单位为每百万 token。",
                    en=f"The price of {model} is not known, please pass price=(input, output) per million "
                    "tokens from the provider's list.",
                )
            )
        price, currency, priced = (entry.input_price, entry.output_price), entry.currency, entry.priced
    amount = ((image_tokens + text_tokens) * price[0] + max_tokens * price[1]) / 1e6
    return CostEstimate(image_tokens, text_tokens, max_tokens, amount, currency, priced)
