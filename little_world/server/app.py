"""The app: one engine a model, one router a protocol, one guard and one shape of error for all of them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from typing import Literal

from fastapi import FastAPI, Response
from pydantic import BaseModel

from course_lib.errors import SettingsError
from course_lib.settings import say

from . import errors, images_api, openai_api, sdapi, videos_api
from .animation import AnimationEngine
from .blocklist import Blocklist
from .chat import Chat
from .engine import Engine
from .guard import Guard
from .interrogation import Interrogator
from .painting import PaintingEngine
from .shelf import Shelf
from .studio import Studio
from .vision import VisionEngine

MAX_BODY = 32 << 20  # bytes


class Health(BaseModel):
    """`ready` once every model that was asked for is loaded; `models` are those."""

    status: Literal["loading", "ready", "failed"]
    models: dict[str, str]


def create_app(
    vision_model: str | None = None,
    *,
    sd_model: str | None = None,
    video_model: str | None = None,
    api_key: str | None = None,
    api_auth: str | None = None,
    max_body: int = MAX_BODY,
    local_only: bool = True,
    places: int = 32,
    max_batch: int = 8,
    default_limit: int = 1024,
    blocklist: Iterable[str] = (),
    lazy: bool = False,
) -> FastAPI:
    """The server as an ASGI app.

    `vision_model`, `sd_model` and `video_model` are folders or miniatures' names: what is named begins to load
    at once, in the background; what is not is the miniature, and loads when it is first asked for something,
    with `lazy` all. A `video_model` that is a motion adapter goes on top of `sd_model`, mini-motion by itself on
    mini-sd. With `api_key`, requests of OpenAI's protocol must carry it, with `api_auth` ("name:password") those
    of AUTOMATIC1111's. `local_only` refuses requests that were meant for another host. `blocklist` holds
    terms that neither question nor answer may hold (see `Blocklist`). The rest bounds the body in bytes, and
    the engines: see `VisionEngine`. Raises `ModelError` where a folder that was named holds no model.
    """
    if api_auth is not None and not re.fullmatch(r"[^:,]+:[^,]+(,[^:,]+:[^,]+)*", api_auth):
        raise SettingsError(
            say(zh="api_auth 的格式是 用户名:密码。", en="api_auth must look like name:password.")
        )
    with ExitStack() as opened:  # the engines that are there when the next one cannot be

        def keep(engine: Engine, named: str | None) -> Engine:
            opened.callback(engine.close)
            if named is not None and not lazy:
                engine.begin()
            return engine

        options = {"places": places, "lazy": lazy}
        vision = VisionEngine(vision_model, max_batch=max_batch, default_limit=default_limit, **options)
        keep(vision, vision_model)
        painting = keep(PaintingEngine(sd_model, **options), sd_model)
        base = sd_model if video_model is not None else None
        animation = keep(AnimationEngine(video_model, base, lazy=lazy), video_model)
        opened.pop_all()
    engines = (vision, painting, animation)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for engine in engines:
            engine.close()

    app = FastAPI(title="Little World", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.vision, app.state.painting, app.state.animation = engines
    app.add_middleware(Guard, max_body=max_body, local_only=local_only)
    studio = Studio(painting)
    app.include_router(openai_api.router(Chat(vision, blocklist), (painting, animation), api_key))
    app.include_router(images_api.router(studio, Blocklist(blocklist), api_key))
    app.include_router(videos_api.router(Shelf(animation), Blocklist(blocklist), api_key))
    app.include_router(sdapi.router(studio, Interrogator(vision), api_auth))
    errors.install(app)

    @app.get("/health", responses={503: {"model": Health}})
    async def health(response: Response) -> Health:
        """Whether the models that were asked for have been loaded."""
        states = {engine.name: engine.state for engine in engines if engine.state != "idle"}
        found = set(states.values())
        status = "failed" if "failed" in found else "loading" if "loading" in found else "ready"
        response.status_code = 200 if status == "ready" else 503
        return Health(status=status, models=states)

    return app
