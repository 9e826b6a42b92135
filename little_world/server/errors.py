"""Every error leaves the server in OpenAI's shape: `{"error": {message, type, param, code}}`.

What stands where is OpenAI's too (openai-openapi, `ErrorResponse`): 400 for a bad request, also where FastAPI
would say 422; 422 only for a request that is well formed but cannot be honoured by this server's decoder.
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

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, status_code=self.status, headers=self.headers)


def internal_error() -> ApiError:
    """For what nobody foresaw: the details go to the log, not to the client."""
    return ApiError(500, "The server failed to answer this request, see its log.", code="internal_error")


def install(app: FastAPI) -> None:
    """Give the app's own errors, FastAPI's and Starlette's one shape."""

    @app.exception_handler(ApiError)
    def known(request: Request, error: ApiError) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return from_validation(error).response()

    @app.exception_handler(Exception)
    def unforeseen(request: Request, error: Exception) -> JSONResponse:
        return internal_error().response()

    @app.exception_handler(400)
    def unreadable(request: Request, error: Exception) -> JSONResponse:
        return ApiError(400, "The body of this request cannot be read as JSON.").response()

    @app.exception_handler(404)
    def not_found(request: Request, error: Exception) -> JSONResponse:
        return ApiError(404, f"Invalid URL ({request.method} {request.url.path})").response()

    @app.exception_handler(405)
    def not_allowed(request: Request, error: Exception) -> JSONResponse:
        message = f"Not allowed to {request.method} on {request.url.path}."
        headers = getattr(error, "headers", None)
        return ApiError(405, message, code="method_not_allowed", headers=headers).response()


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
