"""A painted picture that knows how it was made, and says so in its own file.

The PNG text chunk "parameters" is A1111's own: its PNG Info tab, and most galleries, read it. Beside it
stands the same as JSON, which needs no parser of prose.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..errors import ImageError
from ..images import open_image
from ..settings import say

CHUNK, JSON_CHUNK = "parameters", "course_lib"
_SEED = re.compile(r"(?:^|[\n,] ?)Seed: (\d{1,20})\b")
_NAMES = {  # ours to A1111's infotext, in its order
    "steps": "Steps",
    "sampler": "Sampler",
    "guidance_scale": "CFG scale",
    "seed": "Seed",
    "size": "Size",
    "model": "Model",
    "strength": "Denoising strength",
}


class Picture(Image.Image):
    """A PIL image (RGB) with its `parameters`, and in them the true `seed`; `infotext` is how A1111 says it.

    What is computed from it (`resize`, `crop`) is a plain PIL image again, as it is no longer what was
    painted. `save` writes the parameters into a PNG.
    """

    parameters: dict[str, Any]
    infotext: str

    @classmethod
    def of(cls, image: Image.Image, parameters: Mapping[str, Any], infotext: str = "") -> Picture:
        """The picture with the parameters that made it; an empty infotext is composed from them."""
        image = Image.Image.copy(open_image(image))  # shared pixels would change with the original
        picture = cls.__new__(cls)
        picture.__dict__.update(image.__dict__)
        picture.info = {}  # a PNG's own chunks would be written again by Pillow
        picture.parameters = dict(parameters)
        picture.infotext = infotext or compose(picture.parameters)
        return picture

    @property
    def seed(self) -> int | None:
        """The seed it was painted from, None where the service does not have or tell one."""
        return self.parameters.get("seed")

    @property
    def prompt(self) -> str:
        return self.parameters.get("prompt", "")

    def copy(self) -> Picture:
        return Picture.of(super().copy(), self.parameters, self.infotext)

    __copy__ = copy

    def __getstate__(self) -> list[Any]:
        return [super().__getstate__(), self.parameters, self.infotext]

    def __setstate__(self, state: list[Any]) -> None:
        image, self.parameters, self.infotext = state
        super().__setstate__(image)

    def save(self, fp: Any, format: str | None = None, **options: Any) -> None:
        """As Pillow saves; a PNG gets its parameters, unless `pnginfo` is given."""
        name = os.fspath(fp) if isinstance(fp, (str, os.PathLike)) else ""
        if (format or Image.registered_extensions().get(Path(str(name)).suffix.lower(), "")).upper() == "PNG":
            options.setdefault("pnginfo", self.chunks())
        super().save(fp, format, **options)

    def chunks(self) -> PngInfo:
        """The text chunks that `save` writes."""
        chunks = PngInfo()
        # tEXt holds Latin-1 alone; Pillow would switch to iTXt by itself for the first, A1111 does so too.
        chunks.add_text(CHUNK, self.infotext)
        chunks.add_text(JSON_CHUNK, json.dumps(self.parameters, default=str))
        return chunks

    def __repr__(self) -> str:
        prompt = self.prompt if len(self.prompt) <= 40 else self.prompt[:40] + "…"
        return f"<Picture {self.width}x{self.height} seed={self.seed} {prompt!r}>"


def read_picture(path: str | os.PathLike) -> Picture:
    """A picture file with the parameters in it, {} where it holds none. Raises as `open_image` does."""
    image = open_image(path)
    infotext = text_chunk(image, CHUNK)
    try:
        parameters = json.loads(text_chunk(image, JSON_CHUNK) or "{}")
    except (ValueError, RecursionError):
        parameters = {}
    if not isinstance(parameters, dict):
        raise ImageError(
            say(
                zh=f"{path} 里的生成参数已损坏，请重新生成。",
                en=f"The parameters in {path} are damaged, please paint it again.",
            )
        )
    if "seed" not in parameters and (seed := seed_in(infotext)) is not None:
        parameters["seed"] = seed
    return Picture.of(image, parameters, infotext)


def text_chunk(image: Image.Image, name: str) -> str:
    """A text chunk of a PNG that was opened, "" where there is none."""
    text = image.info.get(name, "")
    return str(text) if isinstance(text, str) else ""


def seed_in(infotext: str) -> int | None:
    """The seed in an infotext; of several, the last, as a prompt may speak of seeds too."""
    found = _SEED.findall(infotext)
    return int(found[-1]) if found else None


def compose(parameters: Mapping[str, Any]) -> str:
    """An infotext in A1111's form: prompt, negative prompt, and a line of settings."""
    known = dict(parameters)
    if "width" in known and "height" in known:
        known["size"] = f"{known['width']}x{known['height']}"
    lines = [str(known.get("prompt", ""))]
    if known.get("negative_prompt"):
        lines.append(f"Negative prompt: {known['negative_prompt']}")
    lines.append(
        ", ".join(f"{name}: {known[ours]}" for ours, name in _NAMES.items() if known.get(ours) is not None)
    )
    return "\n".join(lines)
