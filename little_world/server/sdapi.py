"""AUTOMATIC1111's routes, as far as its API's clients use them to make pictures."""

from __future__ import annotations

import asyncio
import hmac
import time
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from course_lib import images

from . import infotext, samplers
from . import sd_protocol as protocol
from .errors import ApiError, SdError
from .interrogation import Interrogator
from .sd_making import UNREADABLE, Making, card, open_picture
from .studio import Order, Studio

_REFUSALS = {
    400: "The body cannot be read, or there is no such sampler",
    401: "No name and password, or wrong ones",
    404: "There is no picture, or no such model",
    413: "The body is too large",
    429: "Every place is taken",
    500: UNREADABLE,
    503: "The model cannot be loaded, or the server is closing",
}
# What the real one has in a list of its own, and this server has none of.
_EMPTY = ("upscalers", "latent-upscale-modes", "sd-vae", "loras", "hypernetworks", "face-restorers",
          "realesrgan-models", "prompt-styles", "script-info", "extensions")  # fmt: skip
_OPTIONS = {"samples_format": "png", "img2img_background_color": "#ffffff", "CLIP_stop_at_last_layers": 1}


def router(studio: Studio, interrogator: Interrogator, api_auth: str | None) -> APIRouter:
    """Every route; with `api_auth` ("name:password", several separated by commas), each asks for it."""
    responses: dict[int | str, dict] = {s: {"model": SdError, "description": d} for s, d in _REFUSALS.items()}
    responses[422] = {
        "model": protocol.Unprocessable | SdError,
        "description": "What is asked cannot be done",
    }
    guard = [Depends(_basic(api_auth))] if api_auth else []
    routes = APIRouter(prefix="/sdapi/v1", responses=responses, dependencies=guard)
    engine, options = studio.engine, dict(_OPTIONS)

    @routes.post("/txt2img")
    async def txt2img(asked: protocol.TextToImage, request: Request) -> protocol.Pictures:
        """Pictures from a prompt."""
        return await _paint(studio, asked, request)

    @routes.post("/img2img")
    async def img2img(asked: protocol.ImageToImage, request: Request) -> protocol.Pictures:
        """Pictures painted over a picture, or over a part of it."""
        if not asked.init_images:
            raise ApiError(404, "Init image not found")
        return await _paint(studio, asked, request)

    @routes.get("/progress")
    async def progress(skip_current_image: Annotated[bool, Query()] = False) -> protocol.Progress:
        """How far the picture is that is being painted, and what it looks like."""
        return await asyncio.to_thread(_progress, studio, not skip_current_image)

    @routes.post("/interrupt")
    async def interrupt() -> dict[str, Any]:
        """End what is being painted; its request is answered with the picture as it is."""
        studio.interrupt()
        return {}

    @routes.post("/skip")
    async def skip() -> None:
        """The same, but the rounds that remain (`n_iter`) follow."""
        studio.skip()

    @routes.get("/options")
    async def get_options() -> dict[str, Any]:
        """The settings; of the real one's hundreds those that mean something here."""
        found = await asyncio.to_thread(card, engine)
        return {
            "sd_model_checkpoint": found and found.title,
            "sd_checkpoint_hash": found and found.sha256,
            **options,
        }

    @routes.post("/options")
    async def set_options(wanted: dict[str, Any]) -> None:
        """There is one model, so that naming another is an error; all else is taken without effect."""
        name = wanted.get("sd_model_checkpoint")
        found = await asyncio.to_thread(card, engine)
        if name is not None and (
            found is None or name not in (found.title, found.model_name, found.filename)
        ):
            raise ApiError(404, f"model {str(name)[:100]!r} not found")

    @routes.get("/sd-models")
    async def sd_models() -> list[protocol.SdModel]:
        """The model, if there is one."""
        found = await asyncio.to_thread(card, engine)
        return [found] if found else []

    @routes.get("/samplers")
    async def list_samplers() -> list[protocol.SamplerItem]:
        """The names for `sampler_name`."""
        return [
            protocol.SamplerItem(name=sampler.name, aliases=list(sampler.aliases), options={})
            for sampler in samplers.SAMPLERS
        ]

    @routes.get("/schedulers")
    async def list_schedulers() -> list[protocol.SchedulerItem]:
        """The names for `scheduler`."""
        return [
            protocol.SchedulerItem(
                name=name,
                label=label,
                aliases=None,
                default_rho=7.0 if name == "karras" else -1.0,
                need_inner_model=False,
            )
            for name, label in samplers.SCHEDULES
        ]

    @routes.get("/scripts")
    async def scripts() -> protocol.Scripts:
        """The extensions: none."""
        return protocol.Scripts()

    @routes.post("/png-info")
    async def png_info(asked: protocol.PngInfoRequest) -> protocol.PngInfo:
        """What the text in a picture says of how it was made."""
        picture = await asyncio.to_thread(open_picture, asked.image, alpha=True)
        text, items = infotext.read(picture)
        return protocol.PngInfo(info=text, items=items, parameters=infotext.parse(text) if text else {})

    @routes.post("/interrogate")
    async def interrogate(asked: protocol.InterrogateRequest, request: Request) -> protocol.Caption:
        """What is in a picture, in words."""
        if asked.image is None:
            raise ApiError(404, "Image not found")
        if asked.model != "clip":
            raise ApiError(404, "Model not found")
        picture = await asyncio.to_thread(open_picture, asked.image)
        return protocol.Caption(caption=await interrogator.caption(picture, request))

    @routes.post("/refresh-checkpoints")
    async def refresh() -> None:
        """Nothing to look for."""

    @routes.get("/embeddings")
    async def embeddings() -> dict[str, dict[str, Any]]:
        """None."""
        return {"loaded": {}, "skipped": {}}

    @routes.get("/memory")
    async def memory() -> dict[str, dict[str, Any]]:
        """Not measured."""
        return {"ram": {}, "cuda": {}}

    @routes.get("/cmd-flags")
    async def flags() -> dict[str, Any]:
        """How the server was started, without the password."""
        return {"api": True, "api_auth": api_auth is not None, "ckpt": engine.name}

    async def none() -> list[Any]:
        """There are none of these here."""
        return []

    for path in _EMPTY:
        routes.add_api_route(f"/{path}", none)
    return routes


async def _paint(studio: Studio, asked: protocol.Generation, request: Request) -> protocol.Pictures:
    made: list[Making] = []

    def prepare() -> Order:
        made.append(Making(studio.engine, asked))
        return made[0].order

    painted = await studio.paint(prepare, request)
    return await asyncio.to_thread(made[0].answer, painted)


def _progress(studio: Studio, with_image: bool) -> protocol.Progress:
    sitting = studio.current
    if sitting is None:
        return protocol.Progress()
    painting, share = sitting.round, min(sitting.share, 1.0)
    # at least 1 %: 0 means that nothing is going on
    progress, elapsed = max(0.01, share), time.time() - sitting.started
    preview = studio.engine.preview(painting) if with_image else None
    state = protocol.State(
        skipped=painting.stop.is_set() and not sitting.interrupted,
        interrupted=sitting.interrupted,
        job=sitting.order.job,
        job_count=len(sitting.order.rounds),
        job_timestamp=datetime.fromtimestamp(sitting.started).strftime("%Y%m%d%H%M%S"),
        job_no=sitting.number,
        sampling_step=painting.step,
        sampling_steps=painting.steps or painting.settings.steps,
    )
    return protocol.Progress(
        progress=progress,
        eta_relative=elapsed / progress - elapsed,
        state=state,
        current_image=images.to_base64(preview) if preview else None,
    )


def _basic(api_auth: str):
    pairs = [pair.partition(":") for pair in api_auth.split(",")]
    known = [(name.strip().encode(), password.encode()) for name, _, password in pairs]

    def check(given: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> None:
        name, password = given.username.encode(), given.password.encode()
        # both are compared in constant time, whichever is wrong
        if not any(hmac.compare_digest(name, n) & hmac.compare_digest(password, p) for n, p in known):
            headers = {"www-authenticate": "Basic"}
            raise ApiError(401, "Incorrect username or password", headers=headers)

    return check
