"""The full-size models the course names: those to download, with what it takes to run them, and those behind
an API, with what they charge. Model names stand nowhere else.

A model that vanishes is mended here, in one line. What is not known is None, and `source` says where the rest
comes from. Read in November 2026.
"""

from __future__ import annotations

from dataclasses import dataclass

from .settings import say


@dataclass(frozen=True)
class FullSize:
    """A full-size model: `id` on the Hugging Face hub, and the same model on ModelScope where it is known.

    `revision` is the branch that holds safetensors, where the main branch has only a pickle.
    `languages` are the two of this course that it understands.
    """

    id: str
    task: str  # "clip", "vision-language", "diffusion", "video" (to understand it), "text-to-video"
    family: str  # `model_type` in the model's config.json; the pipeline's class for a diffusion model
    languages: tuple[str, ...]
    source: str
    license: str | None = None
    parameters: int | None = None
    download_gb: float | None = None
    revision: str | None = None
    modelscope: str | None = None
    size: int | None = None  # pixels a side that a diffusion model paints best
    steps: int | None = None  # how many it was made for
    guidance: float | None = None  # and how much of it, as A1111 counts: 1 is none

    @property
    def memory_gb(self) -> float | None:
        """Memory of the weights in float32, as the course computes on a CPU; a run takes somewhat more."""
        return None if self.parameters is None else self.parameters * 4 / 1e9


_MODELS = (
    # Chinese labels want a text encoder that was trained on Chinese: these first.
    FullSize(
        "OFA-Sys/chinese-clip-vit-base-patch16",
        "clip",
        "chinese_clip",
        ("zh",),
        license="apache-2.0",
        parameters=188_000_000,
        download_gb=0.753,
        revision="refs/pr/1",
        modelscope="AI-ModelScope/chinese-clip-vit-base-patch16",
        source="model card and file list; parameters from the OFA-Sys/Chinese-CLIP README",
    ),
    FullSize(
        "google/siglip2-base-patch16-224",
        "clip",
        "siglip",
        ("zh", "en"),
        license="apache-2.0",
        parameters=375_187_970,
        download_gb=1.5,
        modelscope="google/siglip2-base-patch16-224",
        source="model card; download is parameters x 4 bytes",
    ),
    FullSize(
        "facebook/metaclip-2-worldwide-b32",
        "clip",
        "metaclip_2",
        ("zh", "en"),
        license="cc-by-nc-4.0",
        parameters=600_000_000,
        source="parameters as the hub rounds them; licence of the MetaCLIP repository, non-commercial",
    ),
    FullSize(
        "facebook/metaclip-2-worldwide-l14",
        "clip",
        "metaclip_2",
        ("zh", "en"),
        license="cc-by-nc-4.0",
        parameters=1_000_000_000,
        source="parameters as the hub rounds them; licence of the MetaCLIP repository, non-commercial",
    ),
    FullSize(
        "BAAI/AltCLIP",
        "clip",
        "altclip",
        ("zh", "en"),
        license="creativeml-openrail-m",
        download_gb=3.46,
        parameters=865_000_000,
        revision="refs/pr/7",
        source="model card and file list; parameters are download / 4 bytes",
    ),
    FullSize(
        "google/siglip-base-patch16-256-multilingual",
        "clip",
        "siglip",
        ("zh", "en"),
        license="apache-2.0",
        parameters=370_000_000,
        download_gb=1.48,
        source="model card and file list; parameters are download / 4 bytes",
    ),
    FullSize(
        "openai/clip-vit-base-patch32",
        "clip",
        "clip",
        ("en",),
        license=None,
        parameters=151_277_313,
        download_gb=0.605,
        revision="refs/pr/32",
        modelscope="AI-ModelScope/clip-vit-base-patch32",
        source="file list; parameters counted; the card names no licence, the code's is MIT",
    ),
    FullSize(
        "google/siglip-base-patch16-224",
        "clip",
        "siglip",
        ("en",),
        license="apache-2.0",
        parameters=203_155_970,
        download_gb=0.813,
        source="model card and file list; parameters counted from the architecture",
    ),
    FullSize(
        "Qwen/Qwen3.5-0.8B",
        "vision-language",
        "qwen3_5",
        ("zh", "en"),
        license="apache-2.0",
        parameters=800_000_000,
        source="parameters from its name; licence at second hand",
    ),
    FullSize(
        "Qwen/Qwen3-VL-2B-Instruct",
        "vision-language",
        "qwen3_vl",
        ("zh", "en"),
        license="apache-2.0",
        parameters=2_000_000_000,
        source="parameters from its name",
    ),
    FullSize(
        "HuggingFaceTB/SmolVLM-256M-Instruct",
        "vision-language",
        "idefics3",
        ("en",),
        parameters=256_000_000,
        source="parameters from its name",
    ),
    FullSize(
        "HuggingFaceTB/SmolVLM-500M-Instruct",
        "vision-language",
        "idefics3",
        ("en",),
        parameters=500_000_000,
        source="parameters from its name",
    ),
    FullSize(
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "diffusion",
        "StableDiffusionPipeline",
        ("en",),
        license="creativeml-openrail-m",
        parameters=1_066_000_000,
        download_gb=2.13,
        modelscope="AI-ModelScope/stable-diffusion-v1-5",
        size=512,
        source="model card; download is the fp16 weights, without the safety checker; parameters are "
        "download / 2 bytes",
    ),
    FullSize(
        "stabilityai/sdxl-turbo",
        "diffusion",
        "StableDiffusionXLPipeline",
        ("en",),
        license="sai-nc-community",
        parameters=3_470_000_000,
        download_gb=6.94,
        size=512,
        steps=4,
        guidance=1.0,
        source="file list (fp16); parameters are download / 2 bytes; made for 1 to 4 steps without guidance",
    ),
    FullSize(
        "Tongyi-MAI/Z-Image-Turbo",
        "diffusion",
        "ZImagePipeline",
        ("zh", "en"),
        license="apache-2.0",
        parameters=6_000_000_000,
        size=1024,
        steps=8,
        guidance=1.0,
        source="parameters of the transformer as the hub rounds them, the text encoder comes on top; licence "
        "at second hand; made for 8 steps without guidance",
    ),
    FullSize(
        "black-forest-labs/FLUX.2-klein-4B",
        "diffusion",
        "Flux2KleinPipeline",
        ("en",),
        license="apache-2.0",
        parameters=4_000_000_000,
        size=1024,
        steps=4,
        guidance=1.0,
        source="the black-forest-labs/flux2 README; parameters of the transformer, from its name; distilled, made "
        "for 4 steps without guidance",
    ),
    FullSize(
        "Qwen/Qwen-Image",
        "diffusion",
        "QwenImagePipeline",
        ("zh", "en"),
        license="apache-2.0",
        parameters=20_000_000_000,
        size=1024,
        steps=50,
        guidance=4.0,
        source="model card; parameters of the transformer; guidance is its true_cfg_scale",
    ),
    # fmt: off
    # Parameters are those of the transformer, the text encoder comes on top.
    FullSize(
        "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        "text-to-video",
        "WanPipeline",
        ("zh", "en"),
        license="apache-2.0",
        parameters=1_420_000_000,
        download_gb=28.9,
        source="file list (transformer 5.68 GB, text encoder 22.7 GB, at "
        "4 bytes); its authors: 480p in 8.2 GB of GPU memory; diffusers wants ftfy for it",
    ),
    FullSize(
        "Wan-AI/Wan2.2-TI2V-5B-Diffusers",
        "text-to-video",
        "WanPipeline",
        ("zh", "en"),
        license="apache-2.0",
        parameters=5_000_000_000,
        source="file list; parameters from its name; 720p; diffusers wants ftfy for it",
    ),
    FullSize(
        "Lightricks/LTX-Video",
        "text-to-video",
        "LTXPipeline",
        ("en",),
        license="other",
        parameters=2_000_000_000,
        source="file list; parameters from the name of its file",
    ),
    FullSize(
        "zai-org/CogVideoX-2b",
        "text-to-video",
        "CogVideoXPipeline",
        ("en",),
        license="apache-2.0",
        parameters=2_000_000_000,
        download_gb=13.8,
        source="file list; parameters as the hub rounds them",
    ),
    FullSize(
        "guoyww/animatediff-motion-adapter-v1-5-3",
        "text-to-video",
        "MotionAdapter",
        ("en",),
        download_gb=1.67,
        parameters=417_500_000,
        source="file list; parameters are download / 4 bytes; on Stable Diffusion 1.5",
    ),
    # fmt: on
    FullSize(
        "microsoft/xclip-base-patch32",
        "video",
        "xclip",
        ("en",),
        license="mit",
        parameters=196_600_000,
        download_gb=0.786,
        source="model card and file list; parameters are download / 4 bytes",
    ),
    FullSize(
        "HuggingFaceTB/SmolVLM2-256M-Video-Instruct",
        "video",
        "smolvlm",
        ("en",),
        parameters=256_000_000,
        source="parameters from its name",
    ),
    FullSize(
        "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
        "video",
        "smolvlm",
        ("en",),
        parameters=500_000_000,
        source="parameters from its name",
    ),
)


@dataclass(frozen=True)
class Hosted:
    """A vision model behind an API: how it counts a picture's tokens, and its price per million tokens.

    `image_tokens` names a formula of `course_lib.chat.tokens` and its numbers. Prices change: `priced` is
    when this one was stated. `ends` is the day the API shuts it down, where that is announced.
    """

    id: str
    provider: str  # of `course_lib.providers`; its first model here is its default
    source: str
    image_tokens: tuple | None = None
    input_price: float | None = None
    output_price: float | None = None
    currency: str = "USD"
    priced: str | None = None
    ends: str | None = None


_GUIDE = "formula: OpenAI's guide Images and vision"
_HOSTED = (
    Hosted("mini-vlm", "local", "little_world", ("fixed", 65), 0.0, 0.0),
    Hosted(
        "gpt-5.4-mini",
        "openai",
        f"{_GUIDE} (users measure 1.2 in place of 1.62); price: its announcement",
        ("patches", 32, 1536, 1.62),
        0.75,
        4.50,
        priced="2026-03-17",
    ),
    Hosted(
        "gpt-4o",
        "openai",
        _GUIDE,
        ("tiles", 85, 170),
        2.50,
        10.00,
        priced="2026",
        ends="2027-01-14",
    ),
    Hosted("gpt-4o-mini", "openai", _GUIDE, ("tiles", 2833, 5667), ends="2027-01-14"),
    Hosted("gpt-4.1", "openai", _GUIDE, ("tiles", 85, 170), ends="2027-01-14"),
    Hosted("gpt-4.1-mini", "openai", _GUIDE, ("patches", 32, 1536, 1.62), ends="2027-01-14"),
    Hosted("gpt-5", "openai", _GUIDE, ("tiles", 70, 140), ends="2026-12-11"),
    Hosted("gpt-5-mini", "openai", _GUIDE, ("patches", 32, 1536, 1.62), ends="2026-12-11"),
    Hosted(
        "qwen3-vl-plus",
        "qwen",
        "Model Studio, Visual understanding: 32 x 32 pixels a token, 2 for its bounds, at most 2560 by "
        "default; price: the lowest band (a prompt up to 32 K tokens), Beijing, at second hand",
        ("grid", 32, 4, 2560, 2),
        1.0,
        10.0,
        "CNY",
        "2025-12",
    ),
    Hosted(
        "glm-4.6v",
        "glm",
        "Z.ai's model page; price: as resold in USD; it states no formula for a picture's tokens",
        None,
        0.30,
        0.90,
        priced="2025-12-08",
    ),
    Hosted(
        "qwen3-vl:8b", "ollama", "Ollama's guide OpenAI compatibility", ("grid", 32, 4, 16384, 2), 0.0, 0.0
    ),
)


@dataclass(frozen=True)
class Painter:
    """An image model behind an API, or a miniature. `any_size`: whether width and height are free. `ends`: the
    day on which the API ends it, or has ended it."""

    id: str
    provider: str  # its first model here is its default
    source: str
    any_size: bool = False
    size: int | None = None
    ends: str | None = None


_PAINTERS = (
    Painter("mini-sd", "local", "little_world", any_size=True, size=128),
    Painter("gpt-image-2", "openai", "OpenAI's reference, images; sides in multiples of 16", any_size=True),
    Painter("gpt-image-1.5", "openai", "OpenAI's reference and deprecations", ends="2026-12-01"),
    Painter("gpt-image-1-mini", "openai", "OpenAI's deprecations", ends="2026-12-01"),
    Painter("dall-e-3", "openai", "its end at second hand", ends="2026-05-12"),
    Painter("image4_standard", "firefly", "Adobe's reference, header x-model-version"),
    Painter("image4_ultra", "firefly", "Adobe's reference, header x-model-version"),
    Painter("image3", "firefly", "Adobe's reference; what it takes without that header"),
)


def painters(provider: str | None = None) -> list[Painter]:
    """The image models behind APIs, those of one provider or all; a provider's default first."""
    return [painter for painter in _PAINTERS if provider in (None, painter.provider)]


def image_model(provider: str) -> str:
    """The image model of a provider that the course uses without further words."""
    return painters(provider)[0].id


def any_size(name: str) -> bool:
    """Whether an image model behind an API paints any width and height."""
    return any(painter.any_size for painter in _PAINTERS if painter.id == name)


def native_size(name: str | None) -> int | None:
    """The pixels a side that an image model paints best, None where that is not known."""
    known = next((painter for painter in _PAINTERS if painter.id == name), None) or info(name or "")
    return known.size if known else None


def hosted(*, provider: str | None = None, name: str | None = None) -> list[Hosted]:
    """The models behind APIs, of one provider or of one name; a provider's default first."""
    return [m for m in _HOSTED if provider in (None, m.provider) and name in (None, m.id)]


def info(name: str) -> FullSize | None:
    """The entry of a model by its id (on either hub), or None for one the course does not know."""
    return next((model for model in _MODELS if name in (model.id, model.modelscope)), None)


def models(*, task: str | None = None, language: str | None = None) -> list[FullSize]:
    """The models for a task that understand a language, the course's own choice first."""
    return [
        model
        for model in _MODELS
        if (task is None or model.task == task) and (language is None or language in model.languages)
    ]


def table(*, task: str | None = None, language: str | None = None) -> str:
    """`models(...)` as a Markdown table in the learner's language."""
    head = say(
        zh="| 模型 | 语言 | 下载 (GB) | 内存 (GB) | 许可证 |",
        en="| model | languages | download (GB) | memory (GB) | licence |",
    )

    def row(model: FullSize) -> str:
        sizes = ("?" if size is None else f"{size:.1f}" for size in (model.download_gb, model.memory_gb))
        cells = (f"`{model.id}`", ", ".join(model.languages), *sizes, model.license or "?")
        return f"| {' | '.join(cells)} |"

    return "\n".join(
        [head, "|---|---|--:|--:|---|", *(row(model) for model in models(task=task, language=language))]
    )
