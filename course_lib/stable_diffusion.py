"""Text to image, image to image and inpainting (chapter, section 四), over AUTOMATIC1111's real protocol.

Without further settings a miniature paints, from the course's own server. An address puts any server that
speaks the protocol in its place: A1111 itself, Forge, SD.Next, stable-diffusion.cpp. `image_service` gives the
other models of section 4.1 that have an API, behind the same three calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from PIL import Image
from pydantic import SecretStr

from . import registry, settings
from .errors import CourseError, SettingsError, warn
from .images import ImageSource, open_image, to_base64
from .painting import parameters as check
from .painting.batch import Batch, batch_generate
from .painting.failures import Words
from .painting.masks import open_mask, pad
from .painting.picture import Picture, read_picture
from .painting.service import ImageService, one_or_many
from .painting.transport import Transport, basic_auth, check_address, read_json
from .painting.watching import watched
from .painting.webui_answer import read_pictures
from .settings import say

__all__ = ["Batch", "Picture", "StableDiffusionService", "batch_generate", "image_service", "read_picture"]

MOST_CHARACTERS = 4000  # CLIP reads 75 tokens at a time; of a whole page nothing would be left of each word

# Names from diffusers and from this course that the protocol does not know: sent, they would change nothing.
_MEANT = {
    "cfg_scale": "guidance_scale",
    "denoising_strength": "strength",
    "sampler_name": "sampler",
    "batch_size": "count",
    "n_iter": "count",
    "init_images": "init_image",
    "mask": "mask_image",
    "num_inference_steps": "steps",
    "num_images": "count",
}
_FILL = {"fill": 0, "original": 1, "latent noise": 2, "latent nothing": 3}


class StableDiffusionService(ImageService):
    """Paints through a server with AUTOMATIC1111's API.

    `api_url` is the server's root ("http://localhost:7860"), `api_key` "user:password" for HTTP Basic, as
    `--api-auth` asks for. Without them COURSE_SD_URL and COURSE_SD_AUTH, else the course's own server.
    `model` is a checkpoint to be switched to, `timeout` in seconds for a whole call, `retries` how often a
    failed one is repeated. Safe to use from several threads.

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
        address = settings.resolve("COURSE_SD_URL")
        self.api_url = None
        if api_url or address.value:
            self.api_url = check_address(api_url or address.value, ("/docs", "/sdapi/v1"))
        # COURSE_SD_AUTH goes to the address it was set for, and to no other.
        same = address.value and self.api_url == check_address(address.value, ("/docs", "/sdapi/v1"))
        pair = SecretStr(api_key or (same and settings.resolve("COURSE_SD_AUTH").value) or "")
        del api_key  # see `_user_and_password`
        auth = _user_and_password(pair)
        chosen = settings.resolve("COURSE_SD_MODEL", model)
        self.model = chosen.value if model or chosen.source != "default" or self.api_url is None else None
        self.progress_bar = progress
        self.transport = Transport(
            Words(str(self), start=_START, key=_KEY),
            lambda: self.api_url or settings.local_server().rstrip("/"),
            auth=basic_auth(auth) if auth else None,
            secrets=(auth,) if auth else (),
            timeout=timeout,
            retries=retries,
        )

    def __str__(self) -> str:
        return self.api_url or say(zh="课程自带的服务", en="the course's own server")

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
        knows the model, else 1024 x 1024. `fields` are more of the protocol's own; one that the server does
        not know brings a warning.
        """
        side = registry.native_size(self.model) or 1024
        width, height = check.check_size(
            width or side if width is None else width, height or side if height is None else height
        )
        request = {"width": width, "height": height}
        return self._paint(
            "txt2img",
            request,
            prompt,
            negative_prompt,
            steps,
            guidance_scale,
            seed,
            count,
            sampler,
            progress,
            fields,
        )

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
        return self._paint(
            "img2img",
            request,
            prompt,
            negative_prompt,
            steps,
            guidance_scale,
            seed,
            count,
            sampler,
            progress,
            fields,
            image,
        )

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
        noise" or "latent nothing". `only_masked` paints the masked part alone, at full resolution, with
        `padding` pixels of its surroundings. The server's own defaults for these differ between servers, so
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
        return self._paint(
            "img2img",
            request,
            prompt,
            negative_prompt,
            steps,
            guidance_scale,
            seed,
            count,
            sampler,
            progress,
            fields,
            image,
        )

    def progress(self) -> float | None:
        """The share of the present job that is done, None where the server does not tell."""
        try:
            content = self.transport.get("/sdapi/v1/progress?skip_current_image=true", timeout=5, retries=0)
            share = read_json(content, self.transport.words).get("progress")
        except (CourseError, AttributeError):  # stable-diffusion.cpp has no such route
            return None
        return float(share) if isinstance(share, (int, float)) else None

    def interrupt(self) -> None:
        """Stop what the server is painting. One that cannot, or is gone, is left alone."""
        try:
            self.transport.post("/sdapi/v1/interrupt", timeout=5, retries=0)
        except CourseError:
            pass

    def samplers(self) -> list[str]:
        """The names that `sampler` may have."""
        return self._names("/sdapi/v1/samplers", "name")

    def models(self) -> list[str]:
        """The checkpoints that `model` may name."""
        return self._names("/sdapi/v1/sd-models", "title")

    def identity(self) -> dict[str, Any]:
        return {"service": self.name, "model": self.model}

    def _names(self, path: str, key: str) -> list[str]:
        entries = read_json(self.transport.get(path, timeout=30), self.transport.words)
        entries = entries if isinstance(entries, list) else []
        return [str(entry[key]) for entry in entries if isinstance(entry, dict) and key in entry]

    def _paint(
        self,
        route: str,
        request: dict[str, Any],
        prompt: str,
        negative_prompt: str,
        steps: int,
        guidance_scale: float,
        seed: int | None,
        count: int | None,
        sampler: str | None,
        progress: bool | None,
        fields: Mapping[str, Any],
        image: Image.Image | None = None,
    ) -> Picture | list[Picture]:
        """Check, send, watch and read one request; `image` is what img2img begins with."""
        _check_fields(fields)
        pictures = check.check_count(1 if count is None else count)
        wanted = check.check_seed(seed)
        request |= {
            "prompt": check.check_prompt(prompt, MOST_CHARACTERS),
            "negative_prompt": check.check_length(negative_prompt, MOST_CHARACTERS),
            "steps": check.check_steps(steps),
            "cfg_scale": check.check_guidance(guidance_scale),
            "seed": check.draw_seed() if wanted is None else wanted,
            "batch_size": pictures,
            "n_iter": 1,
            "send_images": True,
            "save_images": False,
        }
        if sampler:
            request["sampler_name"] = sampler
        if self.model and self.api_url:
            request["override_settings"] = {"sd_model_checkpoint": self.model}
        if image is not None:
            padded = pad(image)
            request["width"], request["height"] = check.check_size(*padded.size)
            request["init_images"] = [to_base64(padded)]
        request |= fields
        content = watched(
            lambda stop: self.transport.post(f"/sdapi/v1/{route}", request, repeatable=True, stop=stop),
            total=request["steps"],
            progress=self.progress,
            interrupt=self.interrupt,
            show=self.progress_bar if progress is None else progress,
        )
        data = read_json(content, self.transport.words, self.transport.secrets)
        chosen = [*fields, *(["seed"] if wanted is not None else [])]
        made = read_pictures(data, request, pictures, service=str(self), chosen=chosen)
        if image is not None and image.size != padded.size:
            made = [
                Picture.of(one.crop((0, 0, *image.size)), one.parameters, one.infotext)
                if one.size == padded.size
                else one
                for one in made
            ]
        return one_or_many(made, count)


def image_service(provider: str = "stable-diffusion", *arguments: Any, **options: Any) -> ImageService:
    """A painter by its name: "stable-diffusion", "openai" or "firefly"; the rest goes to its constructor.

    Raises `SettingsError` for others; Midjourney has no public API, whatever is sold under its name.
    """
    if provider == "stable-diffusion":
        return StableDiffusionService(*arguments, **options)
    if provider == "openai":
        from .painting.openai_images import OpenAIImagesService

        return OpenAIImagesService(*arguments, **options)
    if provider == "firefly":
        from .painting.firefly import FireflyService

        return FireflyService(*arguments, **options)
    if provider == "midjourney":
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
            zh=f"没有名为 {provider!r} 的绘图服务，可选：stable-diffusion、openai、firefly。",
            en=f"There is no painter {provider!r}, please choose stable-diffusion, openai or firefly.",
        )
    )


_START = (
    "请检查 api_url，并确认服务已启动，且带有 --api 参数",
    "please check api_url, and that the server is running and was started with --api",
)
_KEY = (
    '请用 api_key="用户名:密码"，或设置 COURSE_SD_AUTH（HTTP Basic，与服务的 --api-auth 一致）',
    'please pass api_key="user:password" or set COURSE_SD_AUTH (HTTP Basic, as in the server\'s --api-auth)',
)


def _user_and_password(pair: SecretStr) -> SecretStr | None:
    """The pair, None where it is empty. Its text is in no variable: some tools print a traceback with those."""
    if not pair.get_secret_value():
        return None
    if not re.fullmatch(r"[^:\r\n]+:[^\r\n]+", pair.get_secret_value()):
        raise SettingsError(
            say(
                zh="api_key 应当是“用户名:密码”：AUTOMATIC1111 用的是 HTTP Basic，不是 Bearer 密钥。",
                en="api_key must be “user:password”: AUTOMATIC1111 wants HTTP Basic and no bearer key.",
            )
        )
    return pair


def _check_fields(fields: Iterable[str]) -> None:
    for name in fields:
        if name in _MEANT:
            raise SettingsError(
                say(
                    zh=f"这里请用 {_MEANT[name]}，而不是 {name}。",
                    en=f"Please use {_MEANT[name]} in place of {name} here.",
                )
            )
