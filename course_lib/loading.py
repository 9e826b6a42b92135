"""Loading a model safely: safetensors only, no remote code, every weight there, one sentence when it fails.

A folder is read without touching the network. A hub id is taken from the local cache if it is there, and
fetched otherwise, through the mirror that HF_ENDPOINT names. A model that is in use is shared, not loaded
twice.
"""

from __future__ import annotations

import gc
import json
import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from . import registry, settings
from .errors import ModelError, SettingsError
from .settings import say

NETWORK_TIMEOUT = 10  # seconds to wait for the hub to say whether it has a model


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model in float32, in evaluation mode, with what turns texts and pictures into its inputs."""

    model: Any  # transformers.PreTrainedModel
    tokenizer: Any
    image_processor: Any


_in_use: WeakValueDictionary[tuple, Loaded] = WeakValueDictionary()
# One model is loaded at a time: accelerate, which diffusers loads with, changes torch for every thread meanwhile.
one_at_a_time = threading.RLock()


def load(name: str, *, families: Collection[str], device: str) -> Loaded:
    """The model in a folder, on the hub, or the miniature called `name`.

    `families` are the values of `model_type` in its config.json that the caller can work with. Raises
    `ModelError` when it is not there, cannot be fetched, is of another family, lacks weights, or comes as a
    pickle.
    """
    source = os.path.expanduser(settings.locate(name))
    is_folder = os.path.isdir(source)
    if is_folder:
        source = os.path.realpath(source)
        check_folder(source)
    elif settings.locate(name) != name:
        raise ModelError(
            say(
                zh=f"微型模型 {name} 不在 {source}，请重新获取本课程。",
                en=f"The miniature {name} is not in {source}, please get the course again.",
            )
        )
    elif name.startswith((".", "~", os.sep)) or name.count("/") > 1 or "\\" in name:
        raise ModelError(
            say(
                zh=f"找不到模型文件夹 {name}，请检查路径，或使用微型模型 mini-clip。",
                en=f"There is no model folder {name}, please check the path, or use the miniature mini-clip.",
            )
        )
    # A folder that is trained again in place is another model.
    stamp = max(path.stat().st_mtime_ns for path in Path(source).glob("*.safetensors")) if is_folder else 0
    key = (source, device, stamp, tuple(families))
    with one_at_a_time:
        if (loaded := _in_use.get(key)) is None:
            loaded = _in_use[key] = (
                _load_folder(source, families, device)
                if is_folder
                else _load_from_hub(source, families, device)
            )
    return loaded


def read_weights(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config.json and the tensors of a model that is a module of the course's own: a folder, or a miniature.

    Raises `ModelError` where it is not there or cannot be read.
    """
    folder = os.path.expanduser(settings.locate(name))
    if not os.path.isdir(folder):
        raise ModelError(
            say(
                zh=f"模型 {name} 不在 {folder}，请重新获取本课程，或检查路径。",
                en=f"The model {name} is not in {folder}, please get the course again, or check the path.",
            )
        )
    check_folder(folder)
    from safetensors.torch import load_file

    try:
        config = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
        return config, load_file(Path(folder, "model.safetensors"))
    except Exception as error:  # whatever a damaged file makes its reader raise
        raise _unreadable(folder, error) from error


def check_same_model(name: str, wanted: str, given: str) -> None:
    """Raises `ModelError` where a model that reads the vectors of `wanted` is put on top of another."""
    where = [os.path.realpath(os.path.expanduser(settings.locate(model))) for model in (wanted, given)]
    if where[0] != where[1]:
        raise ModelError(
            say(
                zh=f'{name} 读的是 {wanted} 的向量，读不懂 {given} 的，请改用 CLIPService("{wanted}")。',
                en=f"{name} reads the vectors of {wanted}, not those of {given}, "
                f'please use CLIPService("{wanted}").',
            )
        )


def pick_device(argument: str | None = None) -> str:
    """The device to compute on: as given (COURSE_DEVICE, "cuda:1"), or the best there is for "auto"."""
    import torch

    wanted = settings.resolve("COURSE_DEVICE", argument).value
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(
            say(
                zh=f"这台电脑上没有设备 {wanted}，请将 COURSE_DEVICE 设为 auto 或 cpu。",
                en=f"This computer has no device {wanted}, please set COURSE_DEVICE to auto or cpu.",
            )
        ) from error
    return wanted


def check_folder(folder: str) -> None:
    names = os.listdir(folder)
    if "config.json" not in names:
        message = say(
            zh=f"{folder} 里没有 config.json，请传入 save_pretrained 保存的模型文件夹。",
            en=f"{folder} holds no config.json, please pass a model folder written by save_pretrained.",
        )
    elif any(name.endswith(".safetensors") for name in names):
        return
    elif any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in names):
        message = say(
            zh=f"{folder} 的权重是 pickle 文件，加载时可能执行其中的代码，请改用 safetensors 格式。",
            en=f"The weights in {folder} are a pickle, which can run code when loaded, "
            "please use safetensors instead.",
        )
    else:
        message = say(
            zh=f"{folder} 里没有权重文件 model.safetensors，请重新下载或重新训练。",
            en=f"{folder} holds no weights (model.safetensors), please download or train the model again.",
        )
    raise ModelError(message)


def _load_folder(folder: str, families: Collection[str], device: str) -> Loaded:
    try:
        return _from_pretrained(folder, families, device, local_files_only=True)
    except ModelError:
        raise
    except Exception as error:  # whatever a damaged or foreign file makes transformers raise
        raise _unreadable(folder, error) from error


def _unreadable(folder: str, error: Exception) -> ModelError:
    return ModelError(
        say(
            zh=f"无法加载 {folder} 中的模型（{reason(error)}），请重新下载或重新训练。",
            en=f"The model in {folder} cannot be loaded ({reason(error)}), please download or train it again.",
        )
    )


def _load_from_hub(name: str, families: Collection[str], device: str) -> Loaded:
    entry = registry.info(name)
    revision = {"revision": entry.revision} if entry and entry.revision else {}
    try:
        return _from_pretrained(name, families, device, local_files_only=True, **revision)
    except (OSError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        # Not in the cache, or not all of it.
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        # One question with a short wait: a download would first try again and again for half a minute.
        HfApi(endpoint=settings.resolve("HF_ENDPOINT").value).model_info(
            name, timeout=NETWORK_TIMEOUT, **revision
        )
        return _from_pretrained(name, families, device, local_files_only=False, **revision)
    except ModelError:
        raise
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(
            say(
                zh=f"找不到公开模型 {name}，请检查拼写，可用的模型见 course_lib.registry。",
                en=f"There is no public model {name}, please check the spelling, see course_lib.registry.",
            )
        ) from error
    except Exception as error:  # the network and two generations of its libraries
        raise ModelError(
            say(
                zh=f"无法下载模型 {name}（{reason(error)}），请检查网络，或将 HF_ENDPOINT 设为镜像网址，"
                "或先下载到文件夹再传入路径，或使用微型模型 mini-clip。",
                en=f"The model {name} cannot be fetched ({reason(error)}), please check the network, or set "
                "HF_ENDPOINT to a mirror, or download it to a folder first, or use the miniature mini-clip.",
            )
        ) from error


def _from_pretrained(source: str, families: Collection[str], device: str, **options: Any) -> Loaded:
    with _collector_off():
        import torch
        from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer

    options["trust_remote_code"] = False
    with quiet(bars=not options["local_files_only"]):
        config = AutoConfig.from_pretrained(source, **options)
        if config.model_type not in families:
            raise ModelError(
                say(
                    zh=f"{source} 是 {config.model_type} 模型，不在 {'、'.join(families)} 之列，请换一个。",
                    en=f"{source} is a {config.model_type} model, not one of {', '.join(families)}, "
                    "please choose another.",
                )
            )
        # float32 whatever the file holds: a CPU computes half precision slowly and roughly.
        model, report = AutoModel.from_pretrained(
            source,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
        # transformers would leave these random, and say nothing
        if missing := sorted(report["missing_keys"]):
            raise ModelError(
                say(
                    zh=f"{source} 缺少 {len(missing)} 个权重，例如 {missing[0]}，请重新下载或重新训练。",
                    en=f"{source} lacks {len(missing)} weights, {missing[0]} for instance, "
                    "please download or train it again.",
                )
            )
        tokenizer = AutoTokenizer.from_pretrained(source, config=config, **options)
        # The Pillow processor on every machine, so that results do not depend on torchvision being installed.
        image_processor = AutoImageProcessor.from_pretrained(source, use_fast=False, **options)
    return Loaded(model.to(device).eval(), tokenizer, image_processor)


def reason(error: BaseException) -> str:
    """The first sentence of the innermost cause, short enough to stand inside one of ours."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    text = " ".join(str(error).split()) or type(error).__name__
    return text.split(". ")[0].rstrip(".")[:120]


@contextmanager
def _collector_off() -> Iterator[None]:
    """Importing transformers makes many objects that stay, searching them for garbage takes a third more."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def quiet(*, bars: bool) -> Iterator[None]:
    """Without the reports of transformers: what matters in them becomes an error of ours."""
    from transformers.utils import logging

    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()
