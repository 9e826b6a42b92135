"""The app: one engine a model, one router a protocol, one guard and one shape of error for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Literal

from fastapi import FastAPI, Response
from pydantic import BaseModel

from . import errors, openai_api
from .chat import Chat
from .guard import Guard
from .vision import DEFAULT_MODEL, VisionEngine

MAX_BODY = 32 << 20  # bytes


class Health(BaseModel):
    """`ready` once every model is loaded."""

    status: Literal["loading", "ready", "failed"]
    models: dict[str, str]


def create_app(
    vision_model: str | None = None,
    *,
    api_key: str | None = None,
    max_body: int = MAX_BODY,
    local_only: bool = True,
    places: int = 32,
    max_batch: int = 8,
    default_limit: int = 1024,
    blocklist: Iterable[str] = (),
) -> FastAPI:
    """The server as an ASGI app; the model begins to load at once, in the background.

    `vision_model` is a folder or a miniature's name; with `api_key`, requests must carry it. `local_only`
    refuses requests that were meant for another host. `blocklist` holds terms that neither question nor answer may
    hold (see `Blocklist`). The rest bounds the body in bytes, and the engine: see
    `VisionEngine`. Raises `ModelError` where the folder holds no model.
    """
    engine = VisionEngine(
        vision_model or DEFAULT_MODEL, places=places, max_batch=max_batch, default_limit=default_limit
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        engine.close()

    app = FastAPI(title="Little World", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.vision = engine
    app.add_middleware(Guard, max_body=max_body, local_only=local_only)
    app.include_router(openai_api.router(Chat(engine, blocklist), api_key))
    errors.install(app)

    @app.get("/health", responses={503: {"model": Health}})
    async def health(response: Response) -> Health:
        """Whether the model has been loaded."""
        response.status_code = 200 if engine.state == "ready" else 503
        return Health(status=engine.state, models={engine.name: engine.state})

    return app
