"""Which model, device and language the course uses, and where each choice came from.

The first that is given wins: an argument, what was typed into a hidden prompt, the environment, a `.env` file (looked
for from the working directory upwards, then beside the project), for a secret Colab's own, and in the end the
miniature. A later service adds its settings to `KNOWN` and asks `resolve`.
"""

from __future__ import annotations

import codecs
import locale
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from getpass import getpass
from importlib import import_module
from io import StringIO
from pathlib import Path

from .errors import SettingsError

LANGUAGES = ("zh", "en")


@dataclass(frozen=True)
class Known:
    """A setting the course understands: its variable, its default, and whether its value is a secret."""

    name: str
    default: str | None = None
    secret: bool = False


KNOWN = {
    known.name: known
    for known in (
        Known("COURSE_LANG"),
        Known("COURSE_DEVICE", default="auto"),
        Known("COURSE_PROGRESS"),  # a file for the checks that were passed, or "off"
        Known("COURSE_CLIP_MODEL", default="mini-clip"),
        Known("HF_ENDPOINT"),
        # Vision chat: a provider of `course_lib.providers`, or any address that speaks OpenAI's protocol.
        Known("COURSE_VLM_PROVIDER", default="local"),
        Known("COURSE_VLM_BASE_URL"),
        Known("COURSE_VLM_MODEL", default="mini-vlm"),
        Known("COURSE_VLM_API_KEY", secret=True),
        # Text to image: any server with AUTOMATIC1111's API, and "user:password" where it asks for them.
        Known("COURSE_SD_URL"),
        Known("COURSE_SD_AUTH", secret=True),
        Known("COURSE_SD_MODEL", default="mini-sd"),
        # Text to video: any server with OpenAI's /v1/videos, and its key where it asks for one.
        Known("COURSE_VIDEO_URL"),
        Known("COURSE_VIDEO_API_KEY", secret=True),
        Known("COURSE_VIDEO_MODEL", default="mini-motion"),
        # Keys, under the names the providers themselves use.
        Known("OPENAI_API_KEY", secret=True),
        Known("AZURE_OPENAI_API_KEY", secret=True),
        Known("AZURE_OPENAI_ENDPOINT"),
        Known("DASHSCOPE_API_KEY", secret=True),
        Known("ZAI_API_KEY", secret=True),
        Known("FIREFLY_SERVICES_CLIENT_ID"),
        Known("FIREFLY_SERVICES_CLIENT_SECRET", secret=True),
        Known("MILVUS_TOKEN", secret=True),  # "user:password", or a key, where a Milvus server asks for one
        Known("RAY_ADDRESS"),  # the Ray cluster that embeds in bulk; without it, this computer's cores
    )
}


@dataclass(frozen=True, repr=False)
class Setting:
    """A setting as it stands: `source` is "argument", "environment", ".env", "prompt", "Colab" or
    "default"."""

    name: str
    value: str | None
    source: str

    def __str__(self) -> str:
        secret = self.name in KNOWN and KNOWN[self.name].secret
        value = "-" if self.value is None else "******" if secret else self.value
        source = {
            "argument": say(zh="参数", en="argument"),
            "environment": say(zh="环境变量", en="environment"),
            "prompt": say(zh="输入", en="prompt"),
            "default": say(zh="默认", en="default"),
        }.get(self.source, self.source)
        return f"{self.name} = {value} ({source})"

    __repr__ = __str__  # so that a key never reaches an output, a log or a traceback


def resolve(name: str, argument: object | None = None) -> Setting:
    """The value of a setting in `KNOWN` and where it came from. An empty value counts as not given."""
    given = {
        "argument": argument,
        "prompt": _entered.get(name),  # what was typed just now replaces a key that is out of date
        "environment": os.environ.get(name),
        ".env": _dotenv().get(name),
    }
    for source, value in given.items():
        if value is not None and str(value).strip():
            return Setting(name, str(value).strip(), source)
    if KNOWN[name].secret and (value := _colab_secret(name)):
        return Setting(name, value, "Colab")
    return Setting(name, KNOWN[name].default, "default")


def enter(name: str) -> None:
    """Ask for a secret such as "OPENAI_API_KEY" in a hidden prompt, and keep it for this process alone."""
    _entered[name] = getpass(f"{name}: ")


def describe() -> list[Setting]:
    """Every setting the course understands, as it stands now (what `course.py doctor` prints)."""
    return [resolve(name) for name in KNOWN]


def locate(model_name: str) -> str:
    """The folder of a miniature ("mini-clip"), or the name unchanged: a folder, or an id on the hub."""
    if "/" in model_name or not model_name.startswith("mini-"):
        return model_name
    from little_world.paths import MODELS  # the one place where course_lib knows of the bench it is tried on

    return str(MODELS / model_name)


def local_server(sd_model: str | None = None, video_model: str | None = None) -> str:
    """Root address of the course's own server, which starts at first need and ends with the process.

    `sd_model` paints there, `video_model` makes videos; without them the settings' models, else the miniatures.
    """
    from little_world.server import shared_server  # as in `locate`

    return shared_server(sd_model, video_model).url


def language() -> str:
    """The learner's language, "zh" or "en": `set_language`, then COURSE_LANG, then the locale, then "en"."""
    return _chosen or _as_language(resolve("COURSE_LANG").value) or _as_language(_locale()) or "en"


def _locale() -> str | None:
    try:
        return locale.getlocale()[0]
    except ValueError:  # a library has set a name that Python cannot read, which happens on Windows
        return None


def set_language(lang: str | None) -> None:
    """Fix the language for this process; None goes back to the environment and the locale."""
    global _chosen
    if lang is not None and lang not in LANGUAGES:
        raise SettingsError(
            say(
                zh=f"语言只能是 zh 或 en，不能是 {lang!r}。",
                en=f"The language must be zh or en, not {lang!r}.",
            )
        )
    _chosen = lang


def say(*, zh: str, en: str) -> str:
    """The one of two texts that is in the learner's language."""
    return zh if language() == "zh" else en


def spaced(name: object) -> str:
    """A name before Chinese words: with a space after Latin letters, without one after Chinese characters."""
    return f"{name} " if str(name)[-1:].isascii() else str(name)


_chosen: str | None = None
_entered: dict[str, str] = {}


def _colab_secret(name: str) -> str | None:
    """A secret that the reader keeps in Google Colab and has opened to this notebook; None elsewhere."""
    if "google.colab" not in sys.modules:
        return None
    try:
        return import_module("google.colab.userdata").get(name)
    except Exception:  # Colab's own errors: there is none of that name, or this notebook may not read it
        return None


def _as_language(tag: str | None) -> str | None:
    """The course's language for a tag such as zh_CN.UTF-8 or Windows' Chinese (Simplified)_China."""
    tag = (tag or "").lower()
    return "zh" if tag.startswith(("zh", "chinese")) else "en" if tag.startswith("en") else None


def _dotenv() -> dict[str, str | None]:
    """The `.env` that counts, as a dictionary; the process's own environment is left alone."""
    from dotenv import find_dotenv

    beside_project = Path(__file__).resolve().parents[1] / ".env"
    path = Path(find_dotenv(usecwd=True) or beside_project)
    return _read_dotenv(path, path.stat().st_mtime_ns) if path.is_file() else {}


@lru_cache(maxsize=4)
def _read_dotenv(path: Path, modified: int) -> dict[str, str | None]:
    from dotenv import dotenv_values

    try:
        data = path.read_bytes()
    except OSError:  # it may not be read: as if it were not there
        return {}
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16", errors="replace")  # what PowerShell's `>` writes
    else:
        try:
            text = data.decode("utf-8-sig")  # Notepad writes a byte order mark
        except UnicodeDecodeError:
            text = data.decode("gb18030", errors="replace")  # a Chinese Windows editor
    return dotenv_values(stream=StringIO(text))


def _export_mirror() -> None:
    """huggingface_hub reads HF_ENDPOINT once, when it is first imported: a `.env` has to be read before."""
    if mirror := resolve("HF_ENDPOINT").value:
        os.environ.setdefault("HF_ENDPOINT", mirror)


_export_mirror()
