"""diffusers' folders for the engines that paint: checked, loaded whole from safetensors, and without reports."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging as diffusers_logging

from course_lib import loading
from course_lib.errors import ModelError
from course_lib.settings import say

from .engine import SMALL, Engine, threads


class PipelineEngine(Engine):
    """An engine whose model may be an id on the hub as well: it is taken from the cache, or else fetched."""

    small = True

    def check(self) -> None:
        if not is_on_hub(self.source):
            super().check()

    def _prepare(self, pipe: Any) -> Any:
        """The pipeline where the course computes, without bars; what a prompt loses is said in an answer."""
        device = loading.pick_device()
        # whatever the files hold: a CPU computes half precision slowly and roughly
        pipe = pipe.to(device, torch.float32 if device == "cpu" else torch.float16)
        pipe.set_progress_bar_config(disable=True)
        if tokenizer := getattr(pipe, "tokenizer", None):
            tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
        models = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
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
    parts = dict(given)
    for name, entry in DiffusionPipeline.load_config(source, **options).items():
        if name in given or not isinstance(entry, list) or entry[0] not in ("diffusers", "transformers"):
            continue
        part_kind = getattr(import_module(entry[0]), entry[1])
        if issubclass(part_kind, torch.nn.Module):
            parts[name] = load_part(part_kind, source, subfolder=name, **options)
    return kind.from_pretrained(source, **parts, **options)


def load_part(kind: Any, source: str | Path, **options: Any) -> torch.nn.Module:
    """A model of diffusers or transformers in single precision. Raises `ValueError` where weights are missing."""
    if kind.__module__.startswith("transformers"):
        options["dtype"] = torch.float32  # diffusers' own default
    part, report = kind.from_pretrained(source, use_safetensors=True, output_loading_info=True, **options)
    if missing := report["missing_keys"]:
        raise ValueError(f"{len(missing)} weights of its {options.get('subfolder', 'model')} are missing")
    return part.eval()


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
