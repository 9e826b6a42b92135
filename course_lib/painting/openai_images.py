"""OpenAI's images API behind the same three calls: the successor of the chapter's DALL-E 3.

`POST /images/generations` and `/images/edits` (developers.openai.com/api/reference, read in November 2026).
A picture always comes as base64. A mask says the opposite of A1111's: transparent pixels are edited. There is
no negative prompt, no step, no seed; what is asked of these is warned about.
"""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import openai
from PIL import Image

from .. import registry, settings
from ..chat.connections import Bounded
from ..chat.failures import redact, translate
from ..errors import AnswerError, ServiceError, warn
from ..images import ImageSource, encode, open_image
from ..providers import endpoint
from ..replies import MAX_RAW
from ..settings import say
from . import parameters as check
from .masks import open_mask, transparent_where_white
from .picture import Picture
from .service import ImageService, one_or_many, warn_ignored
from .watching import watched
from .webui_answer import decode

MOST_CHARACTERS = 32_000  # of a prompt, says the reference
_GRID = 16  # sides are multiples of this where any size is taken


class _Pictures(Bounded):
    max_bytes = 128 * 1024**2


class OpenAIImagesService(ImageService):
    """Paints through OpenAI's images API, or any server that offers it (`base_url`, ending in /v1).

    `provider` "openai" needs OPENAI_API_KEY or `api_key`; "local" is the course's own server. A picture that
    is paid for is asked for once: only where nothing arrived, or the service turned the request away (429,
    503), is it repeated.
    """

    name = "openai"
    seeded = False

    def __init__(
        self,
        api_key: str | None = None,
        *,
        provider: str | None = None,
        base_url: str | None = None,
        model: str | None = None,
        quality: str | None = None,
        timeout: float = 300.0,
        retries: int = 2,
    ):
        provider = provider or ("openai" if base_url is None else "compatible")
        if provider == "local":
            model = settings.resolve("COURSE_SD_MODEL", model).value
        model = model or registry.image_model("openai")
        self.endpoint = endpoint(api_key, provider=provider, base_url=base_url, model=model)
        del api_key  # some tools print a traceback with its variables
        self.model, self.quality, self.timeout, self.retries = model, quality, timeout, retries
        self._sdk: openai.OpenAI | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"OpenAIImagesService({self.endpoint})"

    def text_to_image(
        self,
        prompt: str,
        negative_prompt: str = "",
        width: int | None = None,
        height: int | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
        *,
        count: int | None = None,
        **fields: Any,
    ) -> Picture | list[Picture]:
        """A picture of the prompt. Without a size the model chooses; `fields` are more of the API's own."""
        self._warn(negative_prompt=negative_prompt, steps=steps, guidance_scale=guidance_scale, seed=seed)
        request = self._request(prompt, count, fields) | self._size(width, height)
        return self._pictures("generate", request, count)

    def image_to_image(
        self,
        init_image: ImageSource,
        prompt: str,
        strength: float | None = None,
        *,
        negative_prompt: str = "",
        width: int | None = None,
        height: int | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
        count: int | None = None,
        **fields: Any,
    ) -> Picture | list[Picture]:
        """The picture edited after the prompt. How far, the prompt alone says: there is no strength."""
        if strength is not None:
            check.check_strength(strength)
        self._warn(
            strength=strength,
            negative_prompt=negative_prompt,
            steps=steps,
            guidance_scale=guidance_scale,
            seed=seed,
        )
        image = open_image(init_image)
        request = self._request(prompt, count, fields) | self._size(width, height, image)
        request["image"] = ("image.png", encode(image), "image/png")
        return self._pictures("edit", request, count)

    def inpaint(
        self,
        init_image: ImageSource,
        mask_image: ImageSource,
        prompt: str,
        *,
        strength: float | None = None,
        negative_prompt: str = "",
        steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
        count: int | None = None,
        **fields: Any,
    ) -> Picture | list[Picture]:
        """The picture edited where the mask is white, as everywhere here: it is turned around on the way."""
        self._warn(
            strength=strength,
            negative_prompt=negative_prompt,
            steps=steps,
            guidance_scale=guidance_scale,
            seed=seed,
        )
        image = open_image(init_image)
        mask = transparent_where_white(image, open_mask(mask_image, image.size))
        request = self._request(prompt, count, fields) | self._size(None, None, image)
        request["image"] = ("image.png", encode(image), "image/png")
        request["mask"] = ("mask.png", _png(mask), "image/png")
        return self._pictures("edit", request, count)

    def identity(self) -> dict[str, Any]:
        return {"service": self.name, "model": self.model, "quality": self.quality}

    def _warn(self, **asked: Any) -> None:
        warn_ignored(str(self.endpoint), (name for name, value in asked.items() if value not in (None, "")))

    def _request(self, prompt: str, count: int | None, fields: Mapping[str, Any]) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.model,
            "prompt": check.check_prompt(prompt, MOST_CHARACTERS),
            "n": check.check_count(1 if count is None else count),
        }
        if self.quality:
            request["quality"] = self.quality
        if fields:
            request["extra_body"] = dict(fields)
        return request

    def _size(
        self, width: int | None, height: int | None, image: Image.Image | None = None
    ) -> dict[str, str]:
        """`size`: as asked; else the input's, where the model takes any size, else left to the model."""
        if width is not None or height is not None:
            width, height = check.check_size(
                height if width is None else width, width if height is None else height
            )
        elif image is not None and (self.endpoint.provider.name == "local" or registry.any_size(self.model)):
            width, height = (max(_GRID, side // _GRID * _GRID) for side in image.size)
        else:
            return {}
        return {"size": f"{width}x{height}"}

    def _pictures(self, route: str, request: dict[str, Any], count: int | None) -> Picture | list[Picture]:
        text = watched(
            lambda stop: self._send(route, request, stop),
            total=1,
            progress=None,
            interrupt=lambda: None,
            show=False,
        )
        data = _json(text)
        entries = data.get("data") if isinstance(data, dict) else None
        encoded = [entry.get("b64_json") for entry in entries or [] if isinstance(entry, dict)]
        if not encoded or not all(isinstance(one, str) for one in encoded):
            raise AnswerError(
                say(
                    zh=f"{self.endpoint} 的回答里没有 base64 图片，请换用 GPT Image 系列的模型。",
                    en=f"The answer of {self.endpoint} holds no picture in base64, please use a model of the "
                    "GPT Image family.",
                ),
                raw=text[:MAX_RAW],
            )
        made = []
        for one in encoded:
            image = decode(one, str(self.endpoint))
            known = {
                "prompt": request["prompt"],
                "model": self.model,
                "width": image.width,
                "height": image.height,
            }
            made.append(Picture.of(image, known))
        wanted = request.get("size")
        if wanted and wanted != (came := "{}x{}".format(*made[0].size)):
            warn(
                say(
                    zh=f"{self.endpoint} 没有照办：要的大小是 {wanted}，实际是 {came}。",
                    en=f"{self.endpoint} did otherwise: {wanted} was asked for, {came} came.",
                )
            )
        return one_or_many(made, count)

    def _send(self, route: str, request: dict[str, Any], stop: threading.Event) -> str:
        """The text of the answer. The SDK's own retries are off: it would pay for a picture twice."""
        for attempt in range(self.retries + 1):
            failure, again, wait = None, False, 0.0
            try:
                call = getattr(self._client().images.with_raw_response, route)
                content = call(timeout=self.timeout, **request).http_response.content
                return redact(content.decode("utf-8", errors="replace"), self.endpoint)
            except (openai.OpenAIError, TimeoutError) as error:
                failure = translate(error, self.endpoint)
                cause = type(error.__cause__).__name__
                status = getattr(error, "status_code", None)
                again = cause in ("ConnectError", "ConnectTimeout") or (
                    status in (429, 503) and isinstance(failure, ServiceError)
                )
                wait = _retry_after(error)
            pause = wait or min(8.0, 0.5 * 2**attempt)
            if attempt == self.retries or not again or pause > 60 or stop.wait(pause):
                break
        raise failure

    def _client(self) -> openai.OpenAI:
        with self._lock:
            if self._sdk is None:
                base_url = self.endpoint.base_url or settings.local_server(self.model).rstrip("/") + "/v1"
                key = self.endpoint.api_key
                self._sdk = openai.OpenAI(
                    api_key=key.get_secret_value() if key else "none",
                    base_url=base_url,
                    max_retries=0,
                    http_client=_Pictures.to(self.endpoint),
                    default_headers={"Accept-Encoding": "identity"},
                )
                weakref.finalize(self, self._sdk.close)
            return self._sdk


def _png(image: Image.Image) -> bytes:
    """A PNG that keeps its transparency, which `images.encode` would flatten."""
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _json(content: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _retry_after(error: Exception) -> float:
    response = getattr(error, "response", None)
    try:
        return max(0.0, float(response.headers.get("retry-after", "")))
    except (AttributeError, ValueError):
        return 0.0
