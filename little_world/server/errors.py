"""Every error leaves the server in the shape of the protocol that was asked.

OpenAI's is `{"error": {message, type, param, code}}`, AUTOMATIC1111's `{error, detail, body, errors}`.
What stands where is theirs too. OpenAI (openai-openapi, `ErrorResponse`): 400 for a bad request, also where FastAPI
would say 422; 422 only for a request that is well formed but cannot be honoured by this server's decoder.
AUTOMATIC1111: FastAPI's own 422, and a 500 for a picture that cannot be read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel

log = logging.getLogger(__name__)

RETRY_AFTER = 1  # seconds: about what a full house of short questions takes


class ErrorBody(BaseModel):
    """What went wrong, in one sentence; `code` is for programs, `param` the field of the request at fault."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(BaseModel):
    """OpenAI's error object."""

    error: ErrorBody


class ApiError(Exception):
    """An answer other than success. `code` and `param` as in OpenAI's error object."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        # A lone surrogate from the request's own JSON could not be written back as UTF-8.
        self.message = message.encode("utf-8", "replace").decode("utf-8")
        super().__init__(self.message)
        self.status, self.code, self.param, self.headers = status, code, param, dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(self.status)
        kind = kind or ("server_error" if self.status >= 500 else "invalid_request_error")
        error = ErrorBody(message=self.message, type=kind, param=self.param, code=self.code)
        return ErrorResponse(error=error).model_dump()

    def response(self, path: str) -> JSONResponse:
        """In the shape of the protocol to which `path` belongs."""
        body = self.body
        if is_sdapi(path):
            body = SdError(error="HTTPException", detail=self.message, body="", errors="").model_dump()
        return JSONResponse(body, status_code=self.status, headers=self.headers)


class SdError(BaseModel):
    """AUTOMATIC1111's error: the class of the exception, and what it says."""

    error: str
    detail: str
    body: str
    errors: str


def is_sdapi(path: str) -> bool:
    return path.startswith("/sdapi/")


def internal_error() -> ApiError:
    """For what nobody foresaw: the details go to the log, not to the client."""
    return ApiError(500, "The server failed to answer this request, see its log.", code="internal_error")


def full(places: Any) -> ApiError:
    message = f"All {places.bound} places are taken, please try again in {RETRY_AFTER} s."
    return ApiError(429, message, code="rate_limit_exceeded", headers={"retry-after": str(RETRY_AFTER)})


def install(app: FastAPI) -> None:
    """Give the app's own errors, FastAPI's and Starlette's the shape of the protocol."""

    def respond(request: Request, error: ApiError) -> JSONResponse:
        return error.response(request.url.path)

    app.exception_handler(ApiError)(respond)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        if is_sdapi(request.url.path):
            return _unprocessable(error)
        return respond(request, from_validation(error))

    @app.exception_handler(Exception)
    def unforeseen(request: Request, error: Exception) -> JSONResponse:
        return respond(request, internal_error())

    @app.exception_handler(400)
    def unreadable(request: Request, error: Exception) -> JSONResponse:
        return respond(request, ApiError(400, "The body of this request cannot be read."))

    @app.exception_handler(404)
    def not_found(request: Request, error: Exception) -> JSONResponse:
        return respond(request, ApiError(404, f"Invalid URL ({request.method} {request.url.path})"))

    @app.exception_handler(405)
    def not_allowed(request: Request, error: Exception) -> JSONResponse:
        message = f"Not allowed to {request.method} on {request.url.path}."
        headers = getattr(error, "headers", None)
        return respond(request, ApiError(405, message, code="method_not_allowed", headers=headers))


def _unprocessable(error: RequestValidationError) -> JSONResponse:
    """FastAPI's own 422, as AUTOMATIC1111 leaves it; what was sent is told only in part, and as it can be told."""
    found = []
    for entry in error.errors():
        given = entry["input"]
        if not isinstance(given, (int, type(None))):
            given = str(given)[:100].encode("utf-8", "replace").decode("utf-8")
        place = [step if isinstance(step, int) else str(step)[:100] for step in entry["loc"]]
        found.append({"type": entry["type"], "loc": place, "msg": entry["msg"], "input": given})
    return JSONResponse({"detail": found}, status_code=422)


def from_validation(error: RequestValidationError) -> ApiError:
    """OpenAI's 400 for the first thing pydantic found, with the path of the field in the request."""
    first = error.errors()[0]
    place, *steps = first["loc"]
    kind, message = first["type"], first["msg"].removeprefix("Value error, ")
    if kind == "json_invalid":
        return ApiError(400, "We could not parse the JSON body of your request.")
    if place != "body":
        return ApiError(400, f"{'.'.join(map(str, steps))}: {message}", param=str(steps[-1]))
    param = _path(error.body, steps)
    if kind == "extra_forbidden":
        message = f"Unrecognized request argument supplied: {param}"
        return ApiError(400, message, param=param, code="unknown_parameter")
    if kind == "missing":
        message = f"Missing required parameter: '{param}'." if param else "The request has no JSON body."
        return ApiError(400, message, param=param or None, code="missing_required_parameter")
    return ApiError(
        400, f"Invalid value for '{param}': {message}.", param=param or None, code="invalid_value"
    )


def _path(body: Any, steps: list[str | int]) -> str:
    """`messages[0].content` from pydantic's location, which also names the branches of unions."""
    path = ""
    for number, step in enumerate(steps):
        if isinstance(step, int) and isinstance(body, list) and step < len(body):
            path, body = f"{path}[{step}]", body[step]
        elif isinstance(body, dict) and (step in body or number == len(steps) - 1):
            path, body = (f"{path}.{step}" if path else str(step)), body.get(step)
    return path
