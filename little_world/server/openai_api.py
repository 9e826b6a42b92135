"""The routes: OpenAI's own, Azure OpenAI's v1, and Azure's older path with the deployment in the address."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from .chat import Chat
from .engine import Engine
from .errors import ApiError, ErrorResponse
from .protocol import ChatCompletion, ChatRequest, DeploymentRequest, Model, ModelList

# An event of the stream as its reader sees it; `data` holds a chunk as JSON, or [DONE].
_EVENT = {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}
_STREAM = {"text/event-stream": {"schema": _EVENT}}
_REFUSALS = {
    400: "What the request asks for cannot be done",
    401: "No key, or a wrong one",
    404: "No such model",
    413: "The body is too large",
    422: "The schema cannot be enforced",
    429: "Every place is taken",
    500: "Not foreseen",
    503: "The model cannot be loaded, or the server is closing",
}


def responses(*statuses: int) -> dict[int | str, dict]:
    return {status: {"model": ErrorResponse, "description": _REFUSALS[status]} for status in statuses}


def router(chat: Chat, others: Sequence[Engine], api_key: str | None) -> APIRouter:
    """Every route of chat, and the list of models, `others` among them; with `api_key`, each asks for it."""
    routes = APIRouter(responses=responses(400, 401, 404, 413, 422, 500))
    openai, azure = (
        [Depends(check)] if api_key else [] for check in (bearer(api_key), _bearer_or_header(api_key))
    )

    def served(name: str, code: str = "model_not_found") -> Model:
        if not chat.engine.answers_to(name):
            message = f"The model `{name}` does not exist, this server has `{chat.engine.name}`."
            raise ApiError(404, message, param="model", code=code)
        return described(chat.engine)

    def described(engine: Engine) -> Model:
        return Model(id=engine.name, created=engine.created)

    async def models() -> ModelList:
        """The models that answer here."""
        return ModelList(data=[described(engine) for engine in (chat.engine, *others) if engine.there])

    async def model(model: str) -> Model:
        """One of the models."""
        known = next((engine for engine in others if engine.there and engine.answers_to(model)), None)
        return described(known) if known else served(model)

    async def completions(asked: ChatRequest, request: Request):
        """An answer to a conversation with pictures, whole or streamed."""
        served(asked.model)
        return await chat.complete(asked, request)

    async def deployment(
        deployment: str,
        asked: DeploymentRequest,
        request: Request,
        version: Annotated[str | None, Query(alias="api-version")] = None,
    ):
        """The same, as Azure OpenAI's older clients ask for it."""
        if version is None:  # Azure says 404 and nothing else
            raise ApiError(404, "Resource not found: the query has no api-version.", code="404")
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(-preview)?", version):
            raise ApiError(
                400, "api-version must look like 2024-10-21.", param="api-version", code="BadRequest"
            )
        served(deployment, code="DeploymentNotFound")
        return await chat.complete(asked, request)

    options = {
        "response_model": ChatCompletion,
        "responses": {200: {"content": _STREAM}, **responses(429, 503)},
        "methods": ["POST"],
    }
    for prefix, key in (("/v1", openai), ("/openai/v1", azure)):
        routes.add_api_route(f"{prefix}/models", models, response_model=ModelList, dependencies=key)
        routes.add_api_route(f"{prefix}/models/{{model}}", model, response_model=Model, dependencies=key)
        routes.add_api_route(f"{prefix}/chat/completions", completions, dependencies=key, **options)
    path = "/openai/deployments/{deployment}/chat/completions"
    routes.add_api_route(path, deployment, dependencies=azure, **options)
    return routes


Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]
KeyHeader = Annotated[str | None, Depends(APIKeyHeader(name="api-key", auto_error=False))]


def bearer(api_key: str | None):
    def check(bearer: Bearer) -> None:
        _compare(bearer and bearer.credentials, api_key, "Authorization: Bearer ...")

    return check


def _bearer_or_header(api_key: str | None):
    def check(bearer: Bearer, header: KeyHeader) -> None:
        _compare(header or (bearer and bearer.credentials), api_key, "api-key: ...")

    return check


def _compare(given: str | None, api_key: str | None, header: str) -> None:
    """In constant time; neither key stands in the answer."""
    if not given:
        message = f"You did not provide an API key, please send it in a header, {header}."
        raise ApiError(401, message, code="missing_api_key")
    if not hmac.compare_digest(given.encode(), (api_key or "").encode()):
        raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
