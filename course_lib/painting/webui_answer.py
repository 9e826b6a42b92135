"""What an AUTOMATIC1111 server answers: the pictures, what made them, and what it did otherwise than asked.

`info` is a JSON string, and what really happened: the seed that was drawn, the numbers that were used.
SD.Next and Forge fill it alike; stable-diffusion.cpp leaves it "", and writes the infotext into the PNG
alone. `parameters` is the request as the server understood it: a field that it does not know is missing there.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from PIL import Image

from ..errors import AnswerError, ImageError, warn
from ..images import open_image
from ..replies import MAX_RAW
from ..settings import say, spaced
from .picture import CHUNK, Picture, seed_in, text_chunk

# The protocol's names, and ours
NAMES = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "width": "width",
    "height": "height",
    "steps": "steps",
    "cfg_scale": "guidance_scale",
    "denoising_strength": "strength",
    "seed": "seed",
    "sampler_name": "sampler",
}
# The prompts are not: styles add to them.
_COMPARED = ("cfg_scale", "steps", "denoising_strength", "seed", "sampler_name")


def read_pictures(
    data: Any, asked: Mapping[str, Any], *, service: str, chosen: Collection[str] = ()
) -> list[Picture]:
    """The pictures in an answer to the request `asked`, grids and other extras left out.

    `chosen` are the protocol's names of what the caller set by hand: for these a server that does not know
    them is reported. Warns where the server did otherwise; raises `AnswerError` where there is no picture.
    """
    count = asked["batch_size"]
    encoded = data.get("images") if isinstance(data, dict) else None
    if not isinstance(encoded, list) or not all(isinstance(one, str) for one in encoded) or not encoded:
        raise AnswerError(
            say(
                zh=f"{spaced(service)}的回答里没有图片，请检查 api_url 是不是 AUTOMATIC1111 兼容的服务。",
                en=f"The answer of {service} holds no picture, please check that api_url is a server that "
                "speaks AUTOMATIC1111's protocol.",
            ),
            raw=json.dumps(data)[:MAX_RAW],
        )
    info, echo = _info(data.get("info")), data.get("parameters")
    echo = echo if isinstance(echo, dict) else {}
    first = info.get("index_of_first_image", 0)
    if not (isinstance(first, int) and len(encoded) > count and 0 <= first <= len(encoded) - count):
        first = 0
    pictures = [
        _picture(decode(text, service), number, asked, info)
        for number, text in enumerate(encoded[first : first + count])
    ]
    _report(service, pictures, count, asked, info, echo, chosen)
    return pictures


def decode(text: str, service: str) -> Image.Image:
    """A picture in base64 from an answer, its PNG chunks in `info`. Raises `AnswerError`."""
    try:
        return open_image(base64.b64decode(text.rpartition(",")[2], validate=True))
    except (binascii.Error, ValueError) as error:  # ImageError is a ValueError, too
        what = "damaged or no picture" if isinstance(error, ImageError) else "no base64"
    raise AnswerError(
        say(
            zh=f"{spaced(service)}返回的图片无法解码（{'不是图片或已损坏' if what[0] == 'd' else '不是 base64'}），"
            "请再试一次，或检查服务的日志。",
            en=f"{service} returned a picture that is {what}, please try again or look at the server's log.",
        ),
        raw=text[:200],
    )


def _info(info: Any) -> dict[str, Any]:
    """`info` as a dictionary: a JSON string at A1111, "" or absent elsewhere."""
    if isinstance(info, str):
        try:
            info = json.loads(info)
        except (ValueError, RecursionError):
            return {}
    return info if isinstance(info, dict) else {}


def _picture(image: Image.Image, number: int, asked: Mapping[str, Any], info: Mapping[str, Any]) -> Picture:
    infotext = _nth(info.get("infotexts"), number, str) or text_chunk(image, CHUNK)
    seed = _nth(info.get("all_seeds"), number, int)
    if seed is None and isinstance(info.get("seed"), int) and info["seed"] >= 0:
        seed = info["seed"] + number
    if seed is None:
        seed = seed_in(infotext)
    if seed is None:
        seed = asked["seed"] + number
    made = {
        ours: info.get(theirs) if _plain(info.get(theirs)) else asked.get(theirs)
        for theirs, ours in NAMES.items()
    }
    made |= {"width": image.width, "height": image.height, "seed": seed, "prompt": asked["prompt"]}
    if isinstance(info.get("sd_model_name"), str):
        made["model"] = info["sd_model_name"]
    return Picture.of(image, {name: value for name, value in made.items() if value is not None}, infotext)


def _nth(values: Any, number: int, kind: type) -> Any:
    """`values[number]` if that is of the kind, else None: what a server says is not believed blindly."""
    if isinstance(values, list) and number < len(values):
        value = values[number]
        if isinstance(value, kind) and not isinstance(value, bool) and (kind is not int or value >= 0):
            return value
    return None


def _plain(value: Any) -> bool:
    return isinstance(value, (int, float, str)) and not isinstance(value, bool)


def _report(
    service: str,
    pictures: list[Picture],
    count: int,
    asked: Mapping[str, Any],
    info: Mapping[str, Any],
    echo: Mapping[str, Any],
    chosen: Collection[str],
) -> None:
    """Warn of each parameter that was changed or ignored, in one sentence."""
    changed = []
    for name in _COMPARED:
        used = info.get(name, echo.get(name))
        if name == "seed" and name not in chosen or name not in asked or used is None:
            continue
        if not _same(asked[name], used):
            changed.append((name, asked[name], used))
    overrides, used = asked.get("override_settings"), info.get("sd_model_name")
    checkpoint = overrides.get("sd_model_checkpoint") if isinstance(overrides, dict) else None
    if isinstance(checkpoint, str) and isinstance(used, str):
        # One that it does not have is ignored by A1111, which paints with the one that is loaded.
        if _plain_name(checkpoint) not in (_plain_name(used), info.get("sd_model_hash")):
            changed.append(("model", checkpoint, used))
    if {"width", "height"} <= asked.keys():
        wanted, came = (asked["width"], asked["height"]), pictures[0].size
        if wanted != came:
            changed.append(("width x height", f"{wanted[0]} x {wanted[1]}", f"{came[0]} x {came[1]}"))
    if changed:
        zh = "；".join(f"{name} 要的是 {want}，实际是 {used}" for name, want, used in changed)
        en = "; ".join(f"{name} {want} was asked for, {used} was used" for name, want, used in changed)
        warn(
            say(
                zh=f"{spaced(service)}没有完全照办：{_short(zh)}。",
                en=f"{service} did otherwise: {_short(en)}.",
            )
        )
    if echo and (unknown := [name for name in chosen if name not in echo]):
        warn(
            say(
                zh=f"{spaced(service)}不认识这些字段，一声不响地忽略了：{'、'.join(unknown)}，请检查拼写。",
                en=f"{service} does not know {', '.join(unknown)} and ignored that without a word, please "
                "check the spelling.",
            )
        )
    if len(pictures) < count:
        warn(
            say(
                zh=f"要了 {count} 张图片，{spaced(service)}只返回 {len(pictures)} 张。",
                en=f"{count} pictures were asked for, {service} returned {len(pictures)}.",
            )
        )


def _same(wanted: Any, used: Any) -> bool:
    if isinstance(wanted, (int, float)):
        return isinstance(used, (int, float)) and abs(wanted - used) <= 1e-6 * max(1.0, abs(wanted))
    # A1111 1.10 takes "DPM++ 2M Karras" apart, into sampler and schedule.
    return str(wanted).strip().lower().startswith(str(used).strip().lower())


def _plain_name(checkpoint: str) -> str:
    """A checkpoint's name as `info` has it: without folder, hash ("v1-5 [6ce0161689]") and ending."""
    name = re.sub(r" ?\[\w+\]$", "", checkpoint.strip().replace("\\", "/")).rpartition("/")[2]
    return re.sub(r"\.(safetensors|ckpt|gguf)$", "", name).lower()


def _short(text: str) -> str:
    return text if len(text) <= 400 else text[:400] + "…"
