"""AUTOMATIC1111's requests and answers as pydantic models, with its names and defaults (WebUI 1.10).

A field nobody knows is ignored without a word, as the real one does: `guidance_scale` and `strength` have no
effect, the names are `cfg_scale` and `denoising_strength`. What the real one has and this server has not
(high-resolution pass, face restoration, tiling, variation seeds, scripts) is refused where it is asked for,
and taken where it is switched off.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MAX_SIDE, MAX_STEPS, MAX_PICTURES, MAX_PROMPT = 2048, 150, 16, 20_000
_DEEPEST = 20  # levels of lists and objects in a request

Side = Annotated[int, Field(ge=64, le=MAX_SIDE, multiple_of=8)]
Count = Annotated[int, Field(ge=1, le=MAX_PICTURES)]
Prompt = Annotated[str, Field(max_length=MAX_PROMPT)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=-(2**53), le=2**53)]


class _Lenient(BaseModel):
    """Unknown fields are dropped, null means the default, a number may come as a string: as in A1111."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        return {name: _clean(value, _DEEPEST) for name, value in body.items() if value is not None}


class Generation(_Lenient):
    """What txt2img and img2img share. The defaults are A1111's; mini-sd was trained at 128 x 128."""

    prompt: Prompt = ""
    negative_prompt: Prompt = ""
    styles: list[str] | None = None
    seed: Seed = -1
    subseed: Seed = -1
    subseed_strength: Number = 0
    seed_resize_from_h: int = -1
    seed_resize_from_w: int = -1
    sampler_name: str | None = None
    sampler_index: str = "Euler"
    scheduler: str | None = None
    batch_size: Count = 1
    n_iter: Count = 1
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] = 50
    cfg_scale: Annotated[Number, Field(ge=0, le=100)] = 7.0
    width: Side = 512
    height: Side = 512
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    eta: Annotated[Number, Field(ge=0, le=1)] | None = None
    s_min_uncond: Number | None = None
    s_churn: Number | None = None
    s_tmax: Number | None = None
    s_tmin: Number | None = None
    s_noise: Number | None = None
    override_settings: dict[str, Any] | None = None
    override_settings_restore_afterwards: bool = True
    refiner_checkpoint: str | None = None
    refiner_switch_at: Number | None = None
    disable_extra_networks: bool = False
    comments: dict[str, Any] | None = None
    script_name: str | None = None
    script_args: list[Any] = []
    alwayson_scripts: dict[str, Any] = {}
    send_images: bool = True
    save_images: bool = False
    force_task_id: str | None = None
    infotext: str | None = None

    @model_validator(mode="after")
    def _available(self) -> Generation:
        asked = {
            "subseed_strength": self.subseed_strength > 0,
            "seed_resize_from_w": self.seed_resize_from_w > 0 and self.seed_resize_from_h > 0,
            "restore_faces": self.restore_faces,
            "tiling": self.tiling,
            "refiner_checkpoint": self.refiner_checkpoint not in (None, "", "None", "none"),
            "enable_hr": getattr(self, "enable_hr", False),
            "latent_mask": getattr(self, "latent_mask", None),
        }
        if wanting := [name for name, value in asked.items() if value]:
            raise ValueError(f"{wanting[0]} is not available on this server")
        if self.batch_size * self.n_iter > MAX_PICTURES:
            raise ValueError(f"batch_size x n_iter may be {MAX_PICTURES} at most")
        return self


class TextToImage(Generation):
    """`POST /sdapi/v1/txt2img`. `denoising_strength` and all that begins with `hr_` belong to the second
    pass."""

    enable_hr: bool = False
    denoising_strength: Number = 0.75
    firstphase_width: int = 0
    firstphase_height: int = 0
    hr_scale: Number = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: int = 0
    hr_resize_x: int = 0
    hr_resize_y: int = 0
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str = ""
    hr_negative_prompt: str = ""


class ImageToImage(Generation):
    """`POST /sdapi/v1/img2img`. Pictures in base64 or as `data:` URI; a mask is white where it is to be
    repainted."""

    init_images: list[str] | None = None
    resize_mode: Literal[0, 1, 2, 3] = 0
    denoising_strength: Annotated[Number, Field(ge=0, le=1)] = 0.75
    image_cfg_scale: Number | None = None
    mask: str | None = None
    mask_blur: Annotated[int, Field(ge=0, le=64)] | None = None
    mask_blur_x: Annotated[int, Field(ge=0, le=64)] = 4
    mask_blur_y: Annotated[int, Field(ge=0, le=64)] = 4
    mask_round: bool = True
    inpainting_fill: Literal[0, 1, 2, 3] = 0
    inpaint_full_res: bool = True
    inpaint_full_res_padding: Annotated[int, Field(ge=0, le=MAX_SIDE)] = 0
    inpainting_mask_invert: Annotated[int, Field(ge=0, le=1)] = 0
    initial_noise_multiplier: Number | None = None
    latent_mask: str | None = None
    include_init_images: bool = False

    @property
    def blur(self) -> tuple[int, int]:
        return (self.mask_blur_x, self.mask_blur_y) if self.mask_blur is None else (self.mask_blur,) * 2

    @field_validator("inpaint_full_res", mode="before")
    @classmethod
    def _as_flag(cls, value: Any) -> Any:
        return bool(value) if isinstance(value, int) else value


class Pictures(BaseModel):
    """`images` are PNG in base64, `info` is JSON in a string, `parameters` the request as it was
    understood."""

    images: list[str]
    parameters: dict[str, Any]
    info: str


class State(BaseModel):
    skipped: bool = False
    interrupted: bool = False
    stopping_generation: bool = False
    job: str = ""
    job_count: int = 0
    job_timestamp: str = "0"
    job_no: int = 0
    sampling_step: int = 0
    sampling_steps: int = 0


class Progress(BaseModel):
    """`progress` 0 to 1; 0 and no `job_count` where nothing is painted."""

    progress: float = 0.0
    eta_relative: float = 0.0
    state: State = State()
    current_image: str | None = None
    textinfo: str | None = None


class PngInfoRequest(_Lenient):
    image: str


class PngInfo(BaseModel):
    info: str
    items: dict[str, str]
    parameters: dict[str, str]


class InterrogateRequest(_Lenient):
    image: str | None = None
    model: str = "clip"


class Caption(BaseModel):
    caption: str


class SdModel(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    title: str
    model_name: str
    hash: str | None
    sha256: str | None
    filename: str
    config: str | None = None


class SamplerItem(BaseModel):
    name: str
    aliases: list[str]
    options: dict[str, str]


class SchedulerItem(BaseModel):
    name: str
    label: str
    aliases: list[str] | None
    default_rho: float | None
    need_inner_model: bool | None


class Scripts(BaseModel):
    txt2img: list[str] = []
    img2img: list[str] = []


class Unprocessable(BaseModel):
    """FastAPI's 422, which says what is wrong with which field."""

    detail: list[dict[str, Any]] | str


def _clean(value: Any, depth: int) -> Any:
    """What can be written back as JSON in UTF-8: no half characters, no NaN, no bottomless nesting."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("NaN and infinity are no JSON")
    if isinstance(value, (dict, list)) and not depth:
        raise ValueError("the request is nested too deeply")
    if isinstance(value, dict):
        return {_clean(name, 1): _clean(inner, depth - 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner, depth - 1) for inner in value]
    return value
