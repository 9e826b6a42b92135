"""The services of the course: CLIP, vision chat, and what the later sections add, on models and protocols
alone.

Importing the package is cheap. A name is imported from its module when it is first used, and PyTorch
only when a model is wanted.
"""

from importlib import import_module
from logging import getLogger

# diffusers asks transformers for processors made with torchvision, which nothing here needs: three red boxes about nothing.
getLogger("transformers.utils.import_utils").addFilter(
    lambda record: "requires torchvision" not in record.getMessage()
)

_HOME = {
    "CLIPService": "clip",
    "Classification": "clip",
    "encode_image_to_base64": "gpt4v",
    "call_gpt4v": "gpt4v",
    "call_gpt4v_with_url": "gpt4v",
    "ImageAnalyzer": "gpt4v",
    "ChartAnalysis": "gpt4v",
    "VideoProcessor": "video",
    "VideoFrame": "video",
    "VideoAnalyzer": "video_analysis",
    "XCLIPService": "xclip",
    "VideoGenerator": "video_generation",
    "GeneratedVideo": "generated_video",
    "StableDiffusionService": "stable_diffusion",
    "batch_generate": "painting.batch",
    "image_service": "stable_diffusion",
    "Picture": "painting.picture",
    "read_picture": "painting.picture",
    "VisionClient": "chat.client",
    "batch": "batching",
    "estimate_tokens": "chat.tokens",
    "estimate_cost": "chat.tokens",
    "ImageSearchEngine": "search",
    "VisualQA": "vqa",
    "open_image": "images",
    "open_images": "images",
    "say": "settings",
    "language": "settings",
    "set_language": "settings",
    "AnswerError": "errors",
    "CourseError": "errors",
    "CourseWarning": "errors",
    "CutOffError": "errors",
    "ImageError": "errors",
    "ModelError": "errors",
    "OutputError": "errors",
    "RefusalError": "errors",
    "ServiceError": "errors",
    "SettingsError": "errors",
    "TextError": "errors",
    "VideoError": "errors",
}

__all__ = list(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value  # the next access does not come here
        return value
    try:
        if not name.startswith("_"):
            return import_module(f".{name}", __name__)  # course_lib.registry, without importing it first
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
