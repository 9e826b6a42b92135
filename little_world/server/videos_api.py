"""OpenAI's video protocol: a clip is ordered, asked after, and fetched.

OpenAI's own service of this shape (Sora) ended on 2026-09-24; vLLM-Omni, SGLang and others speak it for open models.
The fields that OpenAI never had (`seed`, `num_inference_steps`, `guidance_scale`, `negative_prompt`, `num_frames`,
`fps`) are named as theirs.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from . import inpainting, pictures
from .animation import Animation, AnimationEngine, Habits
from .blocklist import Blocklist
from .errors import ApiError
from .openai_api import bearer, responses
from .sd_protocol import MAX_PROMPT
from .shelf import Shelf, Status, Video
from .studio import parse_size

POLL_MS = 200  # what the SDK waits between two looks
MAX_PIXELS = 64 << 20  # of all frames together
_SECONDS = r"^\d{1,3}(\.\d{1,3})?$"
_FILE = {"type": "string", "format": "binary"}
_TYPES = {"video": "video/mp4", "thumbnail": "image/webp", "spritesheet": "image/jpeg"}

Variant = Literal["video", "thumbnail", "spritesheet"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ImageReference(_Strict):
    """A picture to begin with, as a `data:` URI: addresses are not fetched, and there are no files to name."""

    image_url: str


class VideoRequest(_Strict):
    """`POST /v1/videos`, as JSON or as a form; in a form `input_reference` is a file.

    `seconds` is a string, as at OpenAI.
    """

    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT)]
    model: str | None = None
    seconds: Annotated[str, Field(pattern=_SECONDS)] | None = None
    size: str | None = Field(None, description='width x height, such as "128x128"')
    input_reference: ImageReference | None = None

    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    num_inference_steps: Annotated[int, Field(ge=1, le=150)] | None = None
    guidance_scale: Annotated[float, Field(ge=0, le=30)] | None = None
    negative_prompt: Annotated[str, Field(max_length=MAX_PROMPT)] | None = None
    num_frames: Annotated[int, Field(ge=1)] | None = None
    fps: Annotated[float, Field(ge=1, le=60)] | None = None


class VideoError(BaseModel):
    code: str
    message: str


class VideoJob(BaseModel):
    """A video as OpenAI describes it, and after `remixed_from_video_id` how it was made."""

    id: str
    object: Literal["video"] = "video"
    created_at: int
    completed_at: int | None
    expires_at: int | None
    status: Status
    progress: int
    model: str
    prompt: str
    seconds: str
    size: str
    error: VideoError | None
    remixed_from_video_id: None = None
    seed: int
    num_frames: int
    fps: float
    num_inference_steps: int
    guidance_scale: float


class VideoList(BaseModel):
    object: Literal["list"] = "list"
    data: list[VideoJob]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VideoDeleted(BaseModel):
    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: Literal[True] = True


def _body() -> dict[str, Any]:
    """The request's body for the OpenAPI description: `create` reads it by itself, being of either sort."""
    schema = VideoRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs")
    reference = {"anyOf": [ImageReference.model_json_schema(), {"type": "null"}]}
    sorts = {"application/json": reference, "multipart/form-data": _FILE}
    content = {
        kind: {"schema": {**schema, "properties": {**schema["properties"], "input_reference": picture}}}
        for kind, picture in sorts.items()
    }
    return {"requestBody": {"required": True, "content": content}}


def router(shelf: Shelf, blocklist: Blocklist, api_key: str | None) -> APIRouter:
    """Every route; with `api_key`, each asks for it."""
    key = [Depends(bearer(api_key))] if api_key else []
    routes = APIRouter(prefix="/v1/videos", responses=responses(400, 401, 404, 413, 500), dependencies=key)
    engine = shelf.engine

    @routes.post("", openapi_extra=_body(), responses=responses(429, 503))
    async def create(request: Request) -> VideoJob:
        """Order a clip. It is made after those that were ordered before; ask for it by its id."""
        asked, sent = await _read(request)
        if asked.model and not engine.answers_to(asked.model):
            message = f"The model `{asked.model}` does not exist, this server has `{engine.name}`."
            raise ApiError(404, message, param="model", code="model_not_found")
        blocklist.check_text(asked.prompt)
        await asyncio.to_thread(engine.wait)
        work = await asyncio.to_thread(_animation, asked, sent, engine)
        return describe(shelf.order(work))

    @routes.get("")
    async def list_videos(
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
    ) -> VideoList:
        """The videos that are there, page by page."""
        videos, more = shelf.page(after, limit, order)
        data = [describe(video) for video in videos]
        first, last = (data[0].id, data[-1].id) if data else (None, None)
        return VideoList(data=data, first_id=first, last_id=last, has_more=more)

    @routes.get("/{video_id}")
    async def retrieve(video_id: str, response: Response) -> VideoJob:
        """How far a video is. Asking changes nothing, however often."""
        video = shelf.get(video_id)
        if not video.done:
            response.headers["openai-poll-after-ms"] = str(POLL_MS)
        return describe(video)

    @routes.get(
        "/{video_id}/content",
        response_class=Response,
        responses={200: {"content": {kind: {"schema": _FILE} for kind in _TYPES.values()}}},
    )
    async def content(video_id: str, variant: Variant = "video") -> Response:
        """The file: an MP4, a WebP of one frame, or a JPEG of all."""
        video = shelf.get(video_id)
        if video.error:
            raise ApiError(404, "The video failed, there is nothing to fetch.", code="video_failed")
        if not video.done:
            message = f"Video is not ready yet, use GET /v1/videos/{video.id} to check status."
            raise ApiError(404, message, code="video_not_ready")
        return Response(video.files[variant], media_type=_TYPES[variant])

    @routes.delete("/{video_id}")
    async def delete(video_id: str) -> VideoDeleted:
        """Forget a video; one that is being made is stopped."""
        shelf.remove(video_id)
        return VideoDeleted(id=video_id)

    def describe(video: Video) -> VideoJob:
        work, error = video.work, video.error
        return VideoJob(
            id=video.id,
            created_at=video.created_at,
            completed_at=None if error else video.completed_at,
            expires_at=shelf.expires_at(video),
            status=video.status,
            progress=video.progress,
            model=video.model,
            prompt=work.prompt,
            seconds=f"{work.frames / work.rate:g}",
            size=f"{work.width}x{work.height}",
            error=VideoError(code=error.code or "error", message=error.message) if error else None,
            seed=work.seed,
            num_frames=work.frames,
            fps=work.rate,
            num_inference_steps=work.steps,
            guidance_scale=work.guidance,
        )

    return routes


async def _read(request: Request) -> tuple[VideoRequest, bytes | None]:
    """What is asked, from JSON or a form, and the file in the form. Raises as FastAPI would."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    sent: bytes | None = None
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        given: Any = {}
        for name, value in (await request.form()).multi_items():
            is_file = not isinstance(value, str)
            if is_file != (name == "input_reference") or name in given:
                raise ApiError(
                    400, f"Invalid value for '{name[:80]}'.", param=name[:80], code="invalid_value"
                )
            if is_file:
                sent = await value.read()
            # as the SDK writes an object into a form
            elif match := re.fullmatch(r"input_reference\[(\w+)\]", name):
                given.setdefault("input_reference", {})[match[1]] = value
            else:
                given[name] = value
    else:
        try:
            given = json.loads(await request.body())
        except (ValueError, RecursionError):
            raise ApiError(400, "We could not parse the JSON body of your request.") from None
    try:
        return VideoRequest.model_validate(given), sent
    except ValidationError as error:
        found = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        raise RequestValidationError(found, body=given) from None


def _animation(asked: VideoRequest, sent: bytes | None, engine: AnimationEngine) -> Animation:
    """The order for a loaded engine. Raises `ApiError` 400 for what it cannot do."""
    habits = engine.habits
    width, height = parse_size(asked.size) if asked.size else (habits.width, habits.height)
    rate = asked.fps or habits.rate
    frames = _frames(asked, habits, rate)
    if width * height * frames > MAX_PIXELS:
        message = f"{frames} frames of {width}x{height} are too many, please ask for fewer or smaller ones."
        raise ApiError(400, message, param="size", code="invalid_value")
    clean = lambda text: text.encode("utf-8", "replace").decode("utf-8")  # noqa: E731 - no half characters
    return Animation(
        prompt=clean(asked.prompt),
        negative=clean(asked.negative_prompt or ""),
        seed=random.randrange(2**32) if asked.seed is None else asked.seed,
        width=width,
        height=height,
        frames=frames,
        rate=rate,
        steps=asked.num_inference_steps or habits.steps,
        guidance=habits.guidance if asked.guidance_scale is None else asked.guidance_scale,
        picture=_picture(asked, sent, engine, (width, height)),
    )


def _frames(asked: VideoRequest, habits: Habits, rate: float) -> int:
    if asked.num_frames is not None:
        param, wanted = "num_frames", asked.num_frames
    elif asked.seconds is not None:
        param, wanted = "seconds", round(float(asked.seconds) * rate)
    else:
        param, wanted = "num_frames", habits.frames
    if habits.every > 1:
        wanted = max(0, round((wanted - 1) / habits.every)) * habits.every + 1
    if not 1 <= wanted <= habits.most:
        message = (f"This model makes 1 to {habits.most} frames, at {rate:g} frames a second up to "
                   f"{habits.most / rate:g} seconds; {wanted} were asked for.")  # fmt: skip
        raise ApiError(400, message, param=param, code="invalid_value")
    return wanted


def _picture(
    asked: VideoRequest, sent: bytes | None, engine: AnimationEngine, size: tuple[int, int]
) -> Image.Image | None:
    """The picture to begin with, cropped to the size of the clip."""
    if sent is not None:
        picture = pictures.from_bytes(sent, "input_reference")
    elif asked.input_reference is not None:
        picture = pictures.read(asked.input_reference.image_url, None, "input_reference")
    else:
        return None
    if not engine.takes_picture:
        message = f"{engine.name} makes videos of text alone, please leave input_reference out."
        raise ApiError(400, message, param="input_reference", code="invalid_value")
    return inpainting.resize(picture, size, 1)
