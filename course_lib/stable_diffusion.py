"""Text to image, image to image and inpainting (chapter, section 四), over AUTOMATIC1111's real protocol.

Without further settings a miniature paints, from the course's own server. An address puts any server that
speaks the protocol in its place: A1111 itself, Forge, SD.Next, stable-diffusion.cpp. `image_service` gives
the other models of section 4.1 that have an API, behind the same three calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image
from pydantic import SecretStr

from . import settings
from .errors import AnswerError, SettingsError, warn
from .images import ImageSource, open_image, to_base64
from .painting import parameters as check
from .painting.batch import Batch, batch_generate
from .painting.masks import check_side, open_mask, pad
from .painting.picture import Picture, read_picture
from .painting.service import ImageService, one_or_many
from .painting.watching import watched
from .painting.webui import WebUI, check_fields
from .painting.webui_answer import read_pictures
from .settings import say

__all__ = ["Batch", "Picture", "StableDiffusionService", "batch_generate", "image_service", "read_picture"]

MOST_CHARACTERS = 4000  # CLIP reads 75 tokens at a time; of a whole page nothing would be left of each word

_FILL = {"fill": 0, "original": 1, "latent noise": 2, "latent nothing": 3}


@dataclass(frozen=True)
class _Common:
    """What all three calls take, as it was given."""

    negative_prompt: str
    steps: int
    guidance_scale: float
    seed: int | None
    count: int | None
    sampler: str | None
    fields: Mapping[str, Any]

    def request(self) -> dict[str, Any]:
        """As the protocol names it, checked."""
        check_fields(self.fields)
        seed = check.check_seed(self.seed)
        sampler = {"sampler_name": self.sampler} if self.sampler else {}
        return sampler | {
            "negative_prompt": check.check_length(self.negative_prompt, MOST_CHARACTERS),
            "steps": check.check_steps(self.steps),
            "cfg_scale": check.check_guidance(self.guidance_scale),
            "seed": check.draw_seed() if seed is None else seed,
            "batch_size": check.check_count(1 if self.count is None else self.count),
            "n_iter": 1,
            "send_images": True,
            "save_images": False,
        }

    def chosen(self) -> list[str]:
        """The protocol's names of what the caller set by hand, beside what is always sent."""
        return [*self.fields, *([] if check.check_seed(self.seed) is None else ["seed"])]


class StableDiffusionService(ImageService):
    """Paints through a server with AUTOMATIC1111's API.

    `api_url` is the server's root ("http://localhost:7860"), `api_key` "user:password" for HTTP Basic, as
    `--api-auth` asks for. Without them COURSE_SD_URL and COURSE_SD_AUTH, else the course's own server.
    `model` is a checkpoint that the server is to switch to; the course's own paints with any diffusers folder
    or id on the hub. Without it COURSE_SD_MODEL. `timeout` in seconds is for a whole call, `retries` how
    often a failed one is repeated. Safe to use from several threads.

    Raises `ServiceError` where the server fails, `AnswerError` where its answer does, `SettingsError`,
    `TextError` and `ImageError` for arguments that make no sense, before anything is sent.
    """

    name = "stable-diffusion"

    def __init__(
        self,
        api_url: str | None = None,
        api_key: str | None = None,
        *,
        model: str | None = None,
        timeout: float = 600.0,
        retries: int = 2,
        progress: bool = True,
    ):
        pair = SecretStr(api_key or "")
        del api_key  # some tools print a traceback with its variables
        self.api_url, self.model = api_url, model
        self.server = WebUI(api_url, pair, model=model, timeout=timeout, retries=retries)
        self.api_url = self.server.url
        chosen = settings.resolve("COURSE_SD_MODEL", model)
        self.model = chosen.value if chosen.source != "default" or self.api_url is None else None
        self.show_progress = progress

    def __str__(self) -> str:
        return f"{self.model} @ {self.server}" if self.model else str(self.server)

    def __repr__(self) -> str:
        return f"StableDiffusionService({self.api_url or 'local'!r}, model={self.model!r})"

    def text_to_image(
        self,
        prompt: str,
        negative_prompt: str = "",
        width: int | None = None,
        height: int | None = None,
        steps: int = 30,
        guidance_scale: float = 7.5,
        seed: int | None = None,
        *,
        count: int | None = None,
        sampler: str | None = None,
        progress: bool | None = None,
        **fields: Any,
    ) -> Picture | list[Picture]:
        """A picture of the prompt, or with `count` a list of them, from the seeds that follow.

        `seed` None or -1 is any, 0 a seed like others. Without a size it is the model's own, if the course
        knows the model or it is a folder of this machine, else 1024 x 1024. `fields` are more of the
        protocol's own; one that the server does not know brings a warning.
        """
        side = check.usual_side(self.model)
        width, height = check.check_size(side if width is None else width, side if height is None else height)
        request = {"width": width, "height": height}
        common = _Common(negative_prompt, steps, guidance_scale, seed, count, sampler, fields)
        return self._paint("txt2img", request, prompt, common, progress)

    def image_to_image(
        self,
        init_image: ImageSource,
        prompt: str,
        strength: float = 0.75,
        *,
        negative_prompt: str = "",
        width: int | None = None,
        height: int | None = None,
        steps: int = 30,
        guidance_scale: float = 7.5,
        seed: int | None = None,
        count: int | None = None,
        sampler: str | None = None,
        progress: bool | None = None,
        **fields: Any,
    ) -> Picture | list[Picture]:
        """The picture repainted after the prompt. `strength` in (0, 1]: how far it may leave the input.

        The size is the input's own, unless one is given. The other arguments are those of `text_to_image`.
        """
        check.check_strength(strength, check.check_steps(steps))
        image = open_image(init_image)
        if width is not None or height is not None:
            image = image.resize(
                check.check_size(
                    image.width if width is None else width, image.height if height is None else height
                ),
                Image.Resampling.LANCZOS,
            )
        if strength == 1:
            warn(
                say(
                    zh="strength 为 1 时，原图完全不起作用，和 text_to_image 一样。",
                    en="At strength 1 nothing of the input picture is left, as with text_to_image.",
                )
            )
        request = {"denoising_strength": float(strength), "resize_mode": 0}
        common = _Common(negative_prompt, steps, guidance_scale, seed, count, sampler, fields)
        return self._paint("img2img", request, prompt, common, progress, image)

    def inpaint(
        self,
        init_image: ImageSource,
        mask_image: ImageSource,
        prompt: str,
        *,
        strength: float = 0.75,
        fill: str = "original",
        mask_blur: int = 4,
        only_masked: bool = False,
        padding: int = 32,
        negative_prompt: str = "",
        steps: int = 30,
        guidance_scale: float = 7.5,
        seed: int | None = None,
        count: int | None = None,
        sampler: str | None = None,
        progress: bool | None = None,
        **fields: Any,
    ) -> Picture | list[Picture]:
        """The picture repainted where `mask_image`, of the same size, is white.

        `fill` is what the masked part begins as: "original", "fill" (its surroundings' colours), "latent
        noise" or "latent nothing". `mask_blur` softens the mask's edge by so many pixels, to both sides; with
        0 every pixel outside stays exactly as it was. `only_masked` paints the masked part alone, at full
        resolution, with `padding` pixels of its surroundings. Servers differ in their defaults for these, so
        each is sent.
        """
        check.check_strength(strength, check.check_steps(steps))
        if fill not in _FILL:
            raise SettingsError(
                say(
                    zh=f"fill 只能是 {'、'.join(_FILL)}，不能是 {fill!r}。",
                    en=f"fill must be one of {', '.join(_FILL)}, not {fill!r}.",
                )
            )
        image = open_image(init_image)
        request = {
            "mask": to_base64(pad(open_mask(mask_image, image.size))),
            "denoising_strength": float(strength),
            "resize_mode": 0,
            "mask_blur": check.check_whole("mask_blur", mask_blur, 0, 64),
            "inpainting_fill": _FILL[fill],
            "inpaint_full_res": bool(only_masked),
            "inpaint_full_res_padding": check.check_whole("padding", padding, 0, 256),
            "inpainting_mask_invert": 0,
        }
        common = _Common(negative_prompt, steps, guidance_scale, seed, count, sampler, fields)
        return self._paint("img2img", request, prompt, common, progress, image)

    def progress(self) -> float | None:
        """The share of the present job that is done, None where the server does not tell."""
        return self.server.progress()

    def interrupt(self) -> None:
        """Stop what the server is painting. One that cannot, or is gone, is left alone."""
        self.server.interrupt()

    def samplers(self) -> list[str]:
        """The names that `sampler` may have."""
        return self.server.names("samplers", "name")

    def models(self) -> list[str]:
        """The checkpoints that `model` may name."""
        return self.server.names("sd-models", "title")

    def identity(self) -> dict[str, Any]:
        return {"service": self.name, "model": self.model}

    def _paint(
        self,
        route: str,
        request: dict[str, Any],
        prompt: str,
        common: _Common,
        progress: bool | None,
        image: Image.Image | None = None,
    ) -> Picture | list[Picture]:
        """Check, send, watch and read one request; `image` is what img2img begins with."""
        request |= {"prompt": check.check_prompt(prompt, MOST_CHARACTERS), **common.request()}
        if self.model and self.api_url:
            request["override_settings"] = {"sd_model_checkpoint": self.model}
        if image is not None:
            padded = pad(check_side(image))
            request["width"], request["height"] = padded.size
            request["init_images"] = [to_base64(padded)]
        request |= common.fields
        data = watched(
            lambda stop: self.server.paint(route, request, stop),
            total=request["steps"],
            progress=self.server.progress,
            interrupt=self.server.interrupt,
            show=self.show_progress if progress is None else progress,
        )
        try:
            made = read_pictures(data, request, service=str(self.server), chosen=common.chosen())
        except AnswerError as error:
            self.server.redact(error)
            raise
        if image is not None and image.size != padded.size:
            made = [
                Picture.of(one.crop((0, 0, *image.size)), one.parameters, one.infotext)
                if one.size == padded.size
                else one
                for one in made
            ]
        return one_or_many(made, common.count)


def image_service(name: str = "stable-diffusion", /, *arguments: Any, **options: Any) -> ImageService:
    """A painter by its name: "stable-diffusion", "openai" or "firefly"; the rest goes to its constructor.

    Raises `SettingsError` for others; Midjourney has no public API, whatever is sold under its name.
    """
    if name == "stable-diffusion":
        return StableDiffusionService(*arguments, **options)
    if name == "openai":
        from .painting.openai_images import OpenAIImagesService

        return OpenAIImagesService(*arguments, **options)
    if name == "firefly":
        from .painting.firefly import FireflyService

        return FireflyService(*arguments, **options)
    if name == "midjourney":
        raise SettingsError(
            say(
                zh="Midjourney 没有公开的 API，只能在它的网站和 Discord 里使用，请改用 stable-diffusion、openai "
                "或 firefly。",
                en="Midjourney has no public API, it is used on its web site and in Discord alone, please use "
                "stable-diffusion, openai or firefly.",
            )
        )
    raise SettingsError(
        say(
            zh=f"没有名为 {name!r} 的绘图服务，可选：stable-diffusion、openai、firefly。",
            en=f"There is no painter {name!r}, please choose stable-diffusion, openai or firefly.",
        )
    )
