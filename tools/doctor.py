"""What only the installed packages can tell `course.py doctor`, as JSON on standard output.

python -m tools.doctor zh
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

from course_lib import settings
from course_lib.errors import CourseError
from course_lib.providers import endpoint
from course_lib.settings import say
from course_lib.stable_diffusion import StableDiffusionService
from course_lib.video_generation import VideoGenerator
from tools.project import project


def packages() -> list[dict]:
    """Every direct dependency with its installed version, and whether that is within the range."""
    rows = []
    for text in project()["dependencies"] + project()["optional-dependencies"]["lab"]:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue  # not wanted on this system
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            found = None
        ok = found is not None and requirement.specifier.contains(found, prereleases=True)
        rows.append(
            {"name": requirement.name, "version": found, "range": text[len(requirement.name) :], "ok": ok}
        )
    return rows


def services() -> tuple[list[dict], list[str]]:
    """Each setting of `course_lib.settings` as it stands, and what is wrong with them, one sentence each."""
    rows, problems = [], []
    for setting in settings.describe():
        rows.append(str(setting))
        if setting.name == "COURSE_VLM_MODEL" and settings.resolve("COURSE_VLM_PROVIDER").value != "local":
            continue  # a name that the provider knows, not a folder
        if setting.name == "COURSE_SD_MODEL" and settings.resolve("COURSE_SD_URL").value:
            continue  # a checkpoint of that server
        if setting.name == "COURSE_VIDEO_MODEL" and settings.resolve("COURSE_VIDEO_URL").value:
            continue  # likewise
        if setting.value and setting.name.endswith("_MODEL"):
            place = settings.locate(setting.value)
            # An id on the hub looks like owner/name; anything else is a folder, which has to be there.
            if re.fullmatch(r"[\w.-]+/[\w.-]+", place) or any(
                Path(place, name).is_file() for name in ("config.json", "model_index.json")
            ):
                continue
            if setting.source == "default":
                problems.append(
                    say(
                        zh=f"缺少课程自带的模型 {setting.value}：请重新获取完整的课程文件夹。",
                        en=f"The course's own model {setting.value} is missing: get a complete copy.",
                    )
                )
            else:
                problems.append(
                    say(
                        zh=f"{setting.name} 指向的 {setting.value} 中没有模型：请改正，或删掉它。",
                        en=f"{setting.name} names {setting.value}, which has no model: correct or remove it.",
                    )
                )
    try:
        rows.append(f"{say(zh='看图对话', en='vision chat')} = {endpoint()}")
    except CourseError as error:
        problems.append(str(error))
    try:
        rows.append(f"{say(zh='文生图', en='text to image')} = {StableDiffusionService()}")
    except CourseError as error:
        problems.append(str(error))
    try:
        rows.append(f"{say(zh='文生视频', en='text to video')} = {VideoGenerator()}")
    except CourseError as error:
        problems.append(str(error))
    return rows, problems


def memory() -> tuple[int, int]:
    """Bytes of memory: free for use, and all."""
    import psutil  # comes with ipykernel

    found = psutil.virtual_memory()
    return found.available, found.total


def torch_device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()} (CUDA {torch.version.cuda})"
    if torch.backends.mps.is_available():
        return "Apple GPU (MPS)"
    return say(zh=f"CPU，{torch.get_num_threads()} 个线程", en=f"CPU, {torch.get_num_threads()} threads")


def main() -> None:
    settings.set_language(sys.argv[1])
    available, total = memory()
    rows, problems = services()
    installed = packages()
    torch_ok = next(row["ok"] for row in installed if row["name"] == "torch")
    facts = {
        "packages": installed,
        "torch": torch_device() if torch_ok else None,
        "settings": rows,
        "problems": problems,
        "memory_available": available,
        "memory_total": total,
    }
    sys.stdout.reconfigure(encoding="utf-8")
    json.dump(facts, sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    main()
