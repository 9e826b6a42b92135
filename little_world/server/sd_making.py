"""An A1111 request as an order for the studio, and the pictures as A1111's answer."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import random
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image

from course_lib.settings import say

from . import infotext, inpainting, pictures, samplers
from . import sd_protocol as protocol
from .errors import ApiError
from .painting import Painting, PaintingEngine, Settings
from .studio import Order, check_sides, check_size

UNREADABLE = "Invalid encoded image"
_VERSION = "little-world"


class Making:
    """`order` goes to the studio, `answer` makes of its pictures what is sent back. Raises `ApiError`."""

    def __init__(self, engine: PaintingEngine, asked: protocol.Generation):
        self.engine, self.asked, self.card = engine, asked, card(engine)
        self.over = isinstance(asked, protocol.ImageToImage)
        _no_scripts(asked)
        name = asked.sampler_name or asked.sampler_index
        self.sampler = samplers.choose(name, asked.scheduler)
        if self.sampler is None:
            raise ApiError(400, "Sampler not found")
        self.seed = random.randrange(2**32 - 2) if asked.seed == -1 else asked.seed
        self.extra: dict[str, Any] = {}
        self.areas: list[inpainting.Area] = []
        settings = Settings(
            asked.width, asked.height, asked.steps, asked.cfg_scale, self.sampler, eta=asked.eta or 0.0
        )
        sources: list[Image.Image] | None = None
        self.size = asked.batch_size
        check_sides(asked.width, asked.height, engine.block)
        if self.over:
            family = "mask" if asked.mask else "image"
            engine.require(family)
            if not engine.refers(family) and int(asked.steps * asked.denoising_strength) < 1:
                message = (
                    f"denoising_strength x steps is {asked.denoising_strength * asked.steps:g}: not one step "
                    "would be taken, please raise one of them."
                )
                raise ApiError(422, message)
            settings = replace(settings, strength=asked.denoising_strength)
            sources = self._sources()
        check_size(asked.width, asked.height, self.size)
        for text in {"Prompt": asked.prompt, "Negative prompt": asked.negative_prompt}.items():
            if beyond := self.engine.beyond(text[1]):
                self.extra[f"{text[0]} cut by"] = f"{beyond} tokens"
        if idle := self._idle():
            self.extra["Without effect"] = ", ".join(idle)
        self.count = self.size * asked.n_iter
        self.seeds = [self.seed + number for number in range(self.count)]
        self.order = Order(
            [self._round(number, settings, sources) for number in range(asked.n_iter)],
            job="scripts_img2img" if self.over else "scripts_txt2img",
        )

    def _round(self, number: int, settings: Settings, sources: list[Image.Image] | None) -> Painting:
        start = "picture"
        if self.areas:
            start = ("picture", "picture", "noise", "nothing")[self.asked.inpainting_fill]
        return Painting(
            [self.asked.prompt] * self.size,
            [self.asked.negative_prompt] * self.size,
            self.seeds[number * self.size : (number + 1) * self.size],
            settings,
            sources,
            self.areas[0].mask if self.areas else None,
            start,
        )

    def _idle(self) -> list[str]:
        """What was asked for and changes nothing with this model, by the names that a picture's text has for it."""
        asked, family = self.asked, "text" if not self.over else "mask" if self.areas else "image"
        wanted = {
            "guidance": ("CFG scale", asked.cfg_scale != 1),
            "negative": ("Negative prompt", asked.negative_prompt),
            "strength": ("Denoising strength", True),
            # flow matching has a scheduler of that kind
            "sampler": ("Sampler", self.sampler.name != "Euler"),
        }
        idle = self.engine.idle(family)
        return [name for key, (name, given) in wanted.items() if given and key in idle]

    def _sources(self) -> list[Image.Image]:
        """The pictures to paint over, one for each of a round, in the size that is painted."""
        asked = self.asked
        if len(asked.init_images) > max(asked.batch_size, 1) and len(asked.init_images) > 1:
            message = (
                f"bad number of images passed: {len(asked.init_images)}; expecting {asked.batch_size} or less"
            )
            raise ApiError(422, message)
        found = [open_picture(text) for text in asked.init_images]
        self.size = len(found) if len(found) > 1 else asked.batch_size
        mask = None
        if asked.mask:
            mask = inpainting.binary(open_picture(asked.mask, alpha=True))
            if asked.inpainting_mask_invert:
                mask = mask.point(lambda value: 255 - value)
            if asked.inpaint_full_res and inpainting.is_black(mask):
                mask = None  # as A1111 has it: with nothing to look at more closely, all of the picture
                self.extra["Mask"] = "blank, all of the picture was painted over"
        size = (asked.width, asked.height)
        if len(found) > 1 and mask is None and self.engine.refers("image"):
            message = say(
                zh="这个模型会同时参考所有图片，请一次只发送一张。",
                en="This model looks at all pictures at once, please send one at a time.",
            )
            raise ApiError(422, message)
        if mask is None:
            found = [inpainting.resize(picture, size, asked.resize_mode) for picture in found]
            return found * (self.size // len(found))
        if asked.inpainting_fill > 1 and not self.engine.takes_start("noise"):
            raise ApiError(422, f"inpainting_fill {asked.inpainting_fill} is not available with this model")
        self.extra["Mask blur"] = asked.blur[0] or None
        self.areas = [
            inpainting.prepare(
                picture,
                mask,
                size,
                block=self.engine.block,
                blur=asked.blur,
                only_masked=asked.inpaint_full_res,
                padding=asked.inpaint_full_res_padding,
                resize_mode=asked.resize_mode,
                fill=asked.inpainting_fill == 0,
            )
            for picture in found
        ]
        if any(area.mask != self.areas[0].mask for area in self.areas):
            raise ApiError(422, "Pictures that share a mask must be of one size.")
        self.areas *= self.size // len(found)
        return [area.picture for area in self.areas]

    def answer(self, painted: list[Image.Image]) -> protocol.Pictures:
        asked = self.asked
        if self.areas:
            painted = [
                self.areas[number % self.size].paste(picture) for number, picture in enumerate(painted)
            ]
        texts = [self._text(seed, picture) for seed, picture in zip(self.seeds, painted, strict=False)]
        encoded = []
        if asked.send_images:
            encoded = [
                base64.b64encode(infotext.encode(picture, text)).decode("ascii")
                for picture, text in zip(painted, texts, strict=True)
            ]
        parameters = asked.model_dump()
        if self.over and not asked.include_init_images:
            parameters |= {"init_images": None, "mask": None}
        return protocol.Pictures(
            images=encoded, parameters=parameters, info=json.dumps(self._info(texts, len(painted)))
        )

    def _text(self, seed: int, picture: Image.Image) -> str:
        asked = self.asked
        settings = {
            "Steps": asked.steps,
            "Sampler": self.sampler.name,
            "Schedule type": self.sampler.schedule,
            "CFG scale": asked.cfg_scale,
            "Seed": seed,
            "Size": f"{asked.width}x{asked.height}",
            "Model hash": self.card and self.card.hash,
            "Model": self.card.model_name if self.card else self.engine.name,
            "Denoising strength": asked.denoising_strength if self.over else None,
            **self.extra,
            "Version": _VERSION,
        }
        return infotext.compose(asked.prompt, asked.negative_prompt, settings)

    def _info(self, texts: list[str], count: int) -> dict[str, Any]:
        asked, card = self.asked, self.card
        return {
            "prompt": asked.prompt,
            "all_prompts": [asked.prompt] * self.count,
            "negative_prompt": asked.negative_prompt,
            "all_negative_prompts": [asked.negative_prompt] * self.count,
            "seed": self.seed,
            "all_seeds": self.seeds,
            "subseed": asked.subseed,
            "all_subseeds": [asked.subseed] * self.count,
            "subseed_strength": asked.subseed_strength,
            "width": asked.width,
            "height": asked.height,
            "sampler_name": self.sampler.name,
            "cfg_scale": asked.cfg_scale,
            "steps": asked.steps,
            "batch_size": self.size,
            "restore_faces": False,
            "face_restoration_model": None,
            "sd_model_name": card.model_name if card else self.engine.name,
            "sd_model_hash": card and card.hash,
            "sd_vae_name": None,
            "sd_vae_hash": None,
            "seed_resize_from_w": asked.seed_resize_from_w,
            "seed_resize_from_h": asked.seed_resize_from_h,
            "denoising_strength": asked.denoising_strength if self.over else None,
            "extra_generation_params": {
                name: value for name, value in self.extra.items() if value is not None
            },
            "index_of_first_image": 0,
            "infotexts": texts,
            "styles": asked.styles or [],
            "job_timestamp": datetime.now().strftime("%Y%m%d%H%M%S"),
            "clip_skip": 1,
            "is_using_inpainting_conditioning": False,
            "version": _VERSION,
        }


def _no_scripts(asked: protocol.Generation) -> None:
    if asked.script_name:
        raise ApiError(422, f"Script '{asked.script_name[:100]}' not found")
    for name in asked.alwayson_scripts:
        raise ApiError(422, f"always on script {name[:100]} not found")


def card(engine: PaintingEngine) -> protocol.SdModel | None:
    """The model as A1111 lists it, None where it is not there. Its hash is that of the weights that paint."""
    if not engine.there:
        return None
    files = sorted(Path(engine.source).glob("*/diffusion_pytorch_model*.safetensors"))
    files = [file for file in files if file.parent.name in ("unet", "transformer")]
    stamp = tuple((str(file), file.stat().st_mtime_ns) for file in files)
    return _described(engine.name, _sha256(stamp) if stamp else None)


def _described(name: str, sha256: str | None) -> protocol.SdModel:
    short = sha256 and sha256[:10]
    title = f"{name} [{short}]" if short else name
    return protocol.SdModel(title=title, model_name=name, hash=short, sha256=sha256, filename=name)


_hashes: dict[tuple, str] = {}


def _sha256(stamp: tuple[tuple[str, int], ...]) -> str:
    """Of the files in `stamp`, read once."""
    if stamp not in _hashes:
        found = hashlib.sha256()
        for path, _ in stamp:
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    found.update(block)
        _hashes[stamp] = found.hexdigest()
    return _hashes[stamp]


def open_picture(text: str, *, alpha: bool = False) -> Image.Image:
    """The picture in base64 or in a `data:` URI, with `alpha` as it is, else RGB. Nothing is fetched."""
    if text.lower().startswith(("http://", "https://")):
        raise ApiError(500, "Requests not allowed")
    try:
        encoded = text.partition(",")[2] if text.startswith("data:") else text
        data = base64.b64decode("".join(encoded.split()))
        return (pictures.with_alpha if alpha else pictures.from_bytes)(data, "image")
    except (binascii.Error, ValueError):
        raise ApiError(500, UNREADABLE) from None
    except ApiError as error:
        if error.code == "image_too_large":
            raise ApiError(413, str(error)) from None
        raise ApiError(500, UNREADABLE) from None
