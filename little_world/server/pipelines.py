"""diffusers' folders for the engines that paint: checked, loaded whole from safetensors, and without reports."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import diffusers
import torch
from diffusers import AutoPipelineForText2Image, DiffusionPipeline
from diffusers.pipelines import auto_pipeline
from diffusers.utils import logging as diffusers_logging
from transformers import PreTrainedTokenizerBase

from course_lib import loading
from course_lib.errors import ModelError
from course_lib.settings import say

from .engine import SMALL, Engine, threads
from .samplers import is_flow

# what there is to begin with: words alone, a picture, a part of one
Family = Literal["text", "image", "mask"]

_LISTED = {
    "text": auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
    "image": auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
    "mask": auto_pipeline.AUTO_INPAINT_PIPELINES_MAPPING,
}
_NAMED = {"image": "Img2ImgPipeline", "mask": "InpaintPipeline"}


class PipelineEngine(Engine):
    """An engine whose model may be an id on the hub as well: it is taken from the cache, or else fetched."""

    small = True

    def check(self) -> None:
        if not is_on_hub(self.source):
            super().check()

    def _prepare(self, pipe: Any) -> Any:
        """The pipeline where the course computes, without bars; what a prompt loses is said in an answer."""
        device = loading.pick_device()
        models = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
        dtype = precision(device, pipe.scheduler)
        for model in models:
            # not read by `_load`; casting what was would round the angles of its positions too
            if model.dtype != dtype:
                model.to(dtype)
        pipe = pipe.to(device)
        pipe.set_progress_bar_config(disable=True)
        for part in pipe.components.values():
            if isinstance(part, PreTrainedTokenizerBase):
                part.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
        self.small = sum(weight.numel() for model in models for weight in model.parameters()) < SMALL
        return pipe

    def _threads(self):
        return threads(1 if self.small else torch.get_num_threads())


def is_on_hub(source: str) -> bool:
    """Whether a name is an id on the hub, and no folder."""
    return source.count("/") == 1 and source[0] not in "./~" and not os.path.isdir(source)


def check_folder(folder: Path) -> None:
    """Raises `ModelError` where a folder holds no pipeline, or none in safetensors."""
    if not (folder / "model_index.json").is_file():
        raise ModelError(
            say(
                zh=f"{folder} 里没有 model_index.json，请传入 diffusers 保存的模型文件夹。",
                en=f"{folder} holds no model_index.json, please pass a model folder written by diffusers.",
            )
        )
    if not any(folder.glob("*/*.safetensors")):
        raise ModelError(
            say(
                zh=f"{folder} 里没有 safetensors 格式的权重，请重新下载，不要用 pickle 文件。",
                en=f"{folder} holds no weights in safetensors, please download it again, not as a pickle.",
            )
        )


def load(source: str, kind: Any = DiffusionPipeline, **given: Any) -> Any:
    """The pipeline of a folder, or of an id on the hub: from the cache, or else fetched.

    `kind` is a class, or one of diffusers' that choose one; `given` are parts to use in place of the folder's own.
    """
    try:
        return _load(source, kind, given, local_files_only=True)
    except OSError:
        if not is_on_hub(source):
            raise
        return _load(source, kind, given, local_files_only=False)


def _load(source: str, kind: Any, given: dict[str, Any], **options: Any) -> Any:
    """Part by part: the pipeline by itself would leave missing weights random, and say nothing."""
    index = DiffusionPipeline.load_config(source, **options)
    _check_own_code(index, source)
    _check_known(index, kind)
    kinds = {
        name: _class(*entry)
        for name, entry in index.items()
        if name not in given and isinstance(entry, list) and entry[0] in ("diffusers", "transformers")
    }
    parts = dict(given)
    if "scheduler" in kinds:  # first: it says in what precision the rest is read
        parts["scheduler"] = kinds.pop("scheduler").from_pretrained(source, subfolder="scheduler", **options)
    dtype = precision(loading.pick_device(), parts.get("scheduler"))
    for name, part_kind in kinds.items():
        if issubclass(part_kind, torch.nn.Module):
            parts[name] = load_part(part_kind, source, dtype, subfolder=name, **options)
    return kind.from_pretrained(source, **parts, **options)


def load_part(
    kind: Any, source: str | Path, dtype: torch.dtype = torch.float32, **options: Any
) -> torch.nn.Module:
    """A model of diffusers or transformers. Raises `ValueError` where weights are missing."""
    # diffusers before 0.36 knows only the old name; its models are in single precision unless one is given
    options["dtype" if kind.__module__.startswith("transformers") else "torch_dtype"] = dtype
    part, report = kind.from_pretrained(source, use_safetensors=True, output_loading_info=True, **options)
    if missing := report["missing_keys"]:
        raise ValueError(f"{len(missing)} weights of its {options.get('subfolder', 'model')} are missing")
    return part.eval()


def precision(device: str, scheduler: Any) -> torch.dtype:
    """What a model computes in, whatever its files hold: half precision on a GPU.

    Models that learned by flow matching (Z-Image, FLUX, Qwen-Image) are made for bfloat16: some of their values are
    too large for float16, and the picture is black. On a GPU that has no bfloat16 they keep single precision.
    """
    if device == "cpu":
        return torch.float32  # a CPU computes half precision slowly and roughly
    if scheduler is None or not is_flow(scheduler):
        return torch.float16
    return torch.bfloat16 if _has_bfloat16(device) else torch.float32


def _has_bfloat16(device: str) -> bool:
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    try:
        torch.zeros(1, dtype=torch.bfloat16, device=device)
    except (RuntimeError, TypeError):  # Apple's before macOS 14
        return False
    return True


def _class(library: str, name: str) -> Any:
    """A class of diffusers or transformers. Raises `ModelError` where the installed one is too old for it."""
    found = getattr(import_module(library), name, None)
    if found is None:
        version = import_module(library).__version__
        raise ModelError(
            say(
                zh=f"已安装的 {library} {version} 中没有 {name}，请升级：pip install -U {library}。",
                en=f"{library} {version} does not have {name}, please upgrade it: pip install -U {library}.",
            )
        )
    return found


def _check_own_code(index: dict[str, Any], source: str) -> None:
    """Raises `ModelError` where a folder brings classes of its own: diffusers before 0.38 runs their files unasked."""
    own = [] if isinstance(index.get("_class_name"), str) else ["_class_name"]
    for name, entry in index.items():
        library = entry[0] if isinstance(entry, list) and entry else None
        if isinstance(library, str):
            foreign = library not in ("diffusers", "transformers") and not hasattr(
                diffusers.pipelines, library
            )
            if foreign or Path(source, name, f"{library}.py").is_file():
                own.append(name)
    if own:
        raise ModelError(
            say(
                zh=f"{source} 的 {own[0]} 需要运行模型自带的代码，这里不运行，请换一个模型。",
                en=f"{source} brings code of its own for {own[0]}, which is not run here, please choose another model.",
            )
        )


def _check_known(index: dict[str, Any], kind: Any) -> None:
    """Before gigabytes are read: raises `ModelError` where this diffusers cannot make the folder's pipeline."""
    name = index["_class_name"]
    _class("diffusers", name)
    if kind is AutoPipelineForText2Image and listed(name, "text") is None:
        version = diffusers.__version__
        raise ModelError(
            say(
                zh=f"diffusers {version} 不能用 {name} 从文字生成图片，请升级（pip install -U diffusers）"
                "或换一个文生图模型。",
                en=f"diffusers {version} paints no pictures from text with {name}, please upgrade it "
                "(pip install -U diffusers), or choose a text-to-image model.",
            )
        )


def listed(name: str, family: Family) -> Any | None:
    """What diffusers' own lists give to paint with the parts of the pipeline `name`, None for nothing."""
    for pipelines in _LISTED.values():
        for key, kind in pipelines.items():
            if kind.__name__ == name and key in _LISTED[family]:
                return _LISTED[family][key]
    return None


def relative(pipe: Any, family: Family) -> Any | None:
    """The pipeline class that paints over a picture, or inside a mask, with the parts of `pipe`; None for none.

    Some stand in no list of diffusers', FLUX.2-klein's for masks among them: those are found by their names.
    """
    name = type(pipe).__name__
    if family == "text":
        return type(pipe)
    return listed(name, family) or getattr(diffusers, name.removesuffix("Pipeline") + _NAMED[family], None)


def convert(pipe: Any, kind: Any) -> Any:
    """The same parts in a pipeline of another class. diffusers' `from_pipe` would cast them to single precision."""
    taken = inspect.signature(kind.__init__).parameters
    parts = {name: part for name, part in {**pipe.config, **pipe.components}.items() if name in taken}
    found = kind(**parts)
    found.set_progress_bar_config(disable=True)
    return found


def arguments(pipe: Any) -> dict[str, Any]:
    """The arguments that a pipeline's call takes, and their defaults (`inspect.Parameter.empty` for none)."""
    return {name: p.default for name, p in inspect.signature(pipe.__call__).parameters.items()}


@contextmanager
def quiet() -> Iterator[None]:
    """Without diffusers' reports and bars: what matters in them becomes an answer of ours."""
    level, had_bars = diffusers_logging.get_verbosity(), diffusers_logging.is_progress_bar_enabled()
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(level)
        if had_bars:
            diffusers_logging.enable_progress_bar()
