"""OpenAI's images API: pictures from a prompt, and pictures edited where a mask is transparent."""

from __future__ import annotations

import base64
import random
import time
from io import BytesIO
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from course_lib import registry

from . import inpainting, pictures, samplers
from .blocklist import Blocklist
from .errors import ApiError
from .openai_api import bearer, responses
from .painting import Painting, PaintingEngine, Settings
from .sd_protocol import MAX_PROMPT, MAX_SIDE
from .studio import Order, Studio, check_sides, check_size, parse_size

# What the protocol does not name; `_habits` knows better of some models. Little World's pictures are simple: more steps
# change little.
STEPS, GUIDANCE, SAMPLER, STRENGTH = 20, 7.0, "DDIM", 0.75
MAX_N = 10

Format = Literal["png", "jpeg", "webp"]
Background = Literal["auto", "opaque"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ImageRequest(_Strict):
    """`POST /v1/images/generations`. Pictures come as `b64_json`: there is no address to fetch them from."""

    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT)]
    model: str | None = None
    n: Annotated[int, Field(ge=1, le=MAX_N)] | None = 1
    size: str | None = Field("auto", description='"auto" or width x height, such as "128x128"')
    response_format: Literal["b64_json"] | None = None
    output_format: Format | None = "png"
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    background: Background | None = "auto"

    # Only the values that change nothing.
    stream: Literal[False] | None = None
    partial_images: Literal[0] | None = None

    # Taken without effect.
    quality: Literal["auto", "low", "medium", "high", "standard", "hd"] | None = "auto"
    style: Literal["vivid", "natural"] | None = None
    moderation: Literal["auto", "low"] | None = None
    user: str | None = None


class ImageData(BaseModel):
    b64_json: str


class ImagesResponse(BaseModel):
    created: int
    data: list[ImageData]
    size: str
    output_format: Format
    background: Literal["opaque"] = "opaque"
    quality: str = "auto"


def router(studio: Studio, blocklist: Blocklist, api_key: str | None) -> APIRouter:
    """Both routes; with `api_key`, each asks for it."""
    key = [Depends(bearer(api_key))] if api_key else []
    routes = APIRouter(
        prefix="/v1/images", responses=responses(400, 401, 404, 413, 422, 429, 500, 503), dependencies=key
    )
    engine = studio.engine

    def check_model(name: str | None) -> None:
        if name and not engine.answers_to(name):
            message = f"The model `{name}` does not exist, this server has `{engine.name}`."
            raise ApiError(404, message, param="model", code="model_not_found")

    @routes.post("/generations")
    async def generations(asked: ImageRequest, request: Request) -> ImagesResponse:
        """Pictures from a prompt."""
        check_model(asked.model)
        blocklist.check_text(asked.prompt)

        def prepare() -> Order:
            size = _size(asked.size) or (engine.side, engine.side)
            check_sides(*size, engine.block, status=400)
            return _order(engine, asked.prompt, asked.n or 1, size)

        painted = await studio.paint(prepare, request)
        return _answer(painted, asked.output_format or "png", asked.output_compression)

    @routes.post("/edits")
    async def edits(
        request: Request,
        prompt: Annotated[str, Form(min_length=1, max_length=MAX_PROMPT)],
        image: Annotated[list[UploadFile], File(description="the picture to edit")] = [],  # noqa: B006
        images: Annotated[list[UploadFile], File(alias="image[]", description="the same, as a list")] = [],  # noqa: B006
        mask: Annotated[UploadFile | None, File(description="transparent where it is to be edited")] = None,
        model: Annotated[str | None, Form()] = None,
        n: Annotated[int, Form(ge=1, le=MAX_N)] = 1,
        size: Annotated[str, Form()] = "auto",
        response_format: Annotated[Literal["b64_json"] | None, Form()] = None,
        output_format: Annotated[Format, Form()] = "png",
        output_compression: Annotated[int | None, Form(ge=0, le=100)] = None,
        background: Annotated[Background, Form()] = "auto",
        quality: Annotated[str | None, Form()] = None,
        input_fidelity: Annotated[Literal["high", "low"] | None, Form()] = None,
        user: Annotated[str | None, Form()] = None,
    ) -> ImagesResponse:
        """A picture edited: where the mask is transparent, or without a mask all of it."""
        known = {"prompt", "image", "image[]", "mask", "model", "n", "size", "response_format", "output_format",
                 "output_compression", "background", "quality", "input_fidelity", "user"}  # fmt: skip
        for name in await request.form():
            if name not in known:
                message = f"Unrecognized request argument supplied: {name}"
                raise ApiError(400, message, param=name, code="unknown_parameter")
        check_model(model)
        blocklist.check_text(prompt)
        sent = [*image, *images]
        if len(sent) != 1:
            message = (
                "Please send one picture as 'image'."
                if not sent
                else "This server edits one picture at a time."
            )
            raise ApiError(400, message, param="image", code="invalid_value")
        data, cover = await sent[0].read(), await mask.read() if mask else None
        areas: list[inpainting.Area] = []

        def prepare() -> Order:
            picture = pictures.from_bytes(data, "image")
            wanted = _size(size) or _nearest(picture.size, engine.block)
            check_sides(*wanted, engine.block, status=400)
            engine.require("image" if cover is None else "mask")
            if cover is None:
                picture = inpainting.resize(picture, wanted, 0)
                return _order(engine, prompt, n, wanted, picture)
            where = _transparent(pictures.with_alpha(cover, "mask"), picture.size)
            areas.append(inpainting.prepare(picture, where, wanted, block=engine.block, fill=True))
            return _order(engine, prompt, n, wanted, areas[0].picture, areas[0].mask)

        painted = await studio.paint(prepare, request)
        painted = [areas[0].paste(picture) for picture in painted] if areas else painted
        return _answer(painted, output_format, output_compression)

    return routes


def _order(
    engine: PaintingEngine,
    prompt: str,
    count: int,
    size: tuple[int, int],
    picture: Image.Image | None = None,
    mask: Image.Image | None = None,
) -> Order:
    check_size(*size, count, status=400)
    prompt = prompt.encode("utf-8", "replace").decode("utf-8")  # no half characters
    seed = random.randrange(2**32)
    # a mask's surroundings are given, what is under it is new
    strength = STRENGTH if mask is None else 1.0
    settings = Settings(*size, *_habits(engine.name), samplers.choose(SAMPLER), strength)
    seeds = [seed + number for number in range(count)]
    sources = None if picture is None else [picture] * count
    return Order([Painting([prompt] * count, [""] * count, seeds, settings, sources, mask)])


def _habits(name: str) -> tuple[int, float]:
    """Steps and guidance: a turbo model is spoilt by much of either, and has one of the registry's names."""
    for model in registry.models(task="diffusion"):
        if name == model.id.rpartition("/")[2]:
            return model.steps or STEPS, model.guidance or GUIDANCE
    return STEPS, GUIDANCE


def _size(size: str | None) -> tuple[int, int] | None:
    """Width and height, None for "auto"."""
    return None if size in (None, "auto") else parse_size(size, hint=", or auto")


def _nearest(size: tuple[int, int], block: int) -> tuple[int, int]:
    """A size like the picture's that can be painted, in multiples of 8 and of the model's block."""
    scale, block = min(1.0, MAX_SIDE / max(size)), max(8, block)
    return tuple(min(MAX_SIDE, max(64, round(side * scale / block) * block)) for side in size)


def _transparent(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """White where an OpenAI mask is fully transparent. Raises `ApiError` 400 as OpenAI does."""
    if mask.size != size:
        sizes = f"The mask is {mask.width} x {mask.height}, the picture {size[0]} x {size[1]}"
        message = f"{sizes}: please make them alike."
        raise ApiError(400, message, param="mask", code="invalid_mask")
    alpha = mask.convert("RGBA").getchannel("A")
    where = alpha.point(lambda value: 255 * (value == 0))
    if inpainting.is_black(where):
        message = "The mask has no fully transparent part, so that there is nothing to edit."
        raise ApiError(400, message, param="mask", code="invalid_mask")
    return where


def _answer(painted: list[Image.Image], form: Format, compression: int | None) -> ImagesResponse:
    options: dict[str, Any] = {} if form == "png" or compression is None else {"quality": 100 - compression}
    data = []
    for picture in painted:
        buffer = BytesIO()
        picture.save(buffer, form.upper(), **options)
        data.append(ImageData(b64_json=base64.b64encode(buffer.getvalue()).decode("ascii")))
    size = f"{painted[0].width}x{painted[0].height}"
    return ImagesResponse(created=int(time.time()), data=data, size=size, output_format=form)
