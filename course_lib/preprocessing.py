"""Pictures to a model's input tensor: what its image processor computes, several times faster.

The processor resizes, rescales and normalises one picture after the other in NumPy. Here Pillow resizes (it
lets other threads run meanwhile) and the arithmetic is one multiplication and one subtraction for the whole
batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from .images import ImageSource, open_image

_STEPS = {"do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"}
# Pixels of a resized picture. Of a thin one, which would have more, only what the crop keeps is resized.
LARGEST = 16_000_000


class Preprocessor:
    """The steps of a Hugging Face image processor (Pillow backend), read from it.

    Resizing is the very call the processor makes, so that pixels agree to float rounding (a test holds them
    to 1e-6). Where a processor does anything but `_STEPS`, as SigLIP 2's NaFlex does, it is called itself.
    """

    def __init__(self, processor: Any):
        self.processor = processor
        # Both majors of transformers: attributes of the object before 5, of its class since.
        do = {name for name in dir(processor) if name.startswith("do_") and getattr(processor, name) is True}
        self.size = _given(processor, "size")
        self.crop = _given(processor, "crop_size") if "do_center_crop" in do else {}
        self.fast = (
            "do_resize" in do and do <= _STEPS and set(self.size) in ({"shortest_edge"}, {"height", "width"})
        )
        if self.fast:
            normalize = "do_normalize" in do
            mean = torch.tensor(processor.image_mean if normalize else [0.0, 0.0, 0.0])
            std = torch.tensor(processor.image_std if normalize else [1.0, 1.0, 1.0])
            factor = processor.rescale_factor if "do_rescale" in do else 1.0
            self.scale, self.shift = (factor / std).view(3, 1, 1), (mean / std).view(3, 1, 1)

    def prepare(self, source: ImageSource) -> np.ndarray | Image.Image:
        """One picture read, resized and cropped, uint8 `(H, W, 3)`; safe to call from several threads."""
        image = open_image(source)
        if not self.fast:
            return image
        target = self._target(*image.size)
        if not self.crop:
            return np.asarray(image.resize(target, self.processor.resample))
        width, height = self.crop["width"], self.crop["height"]
        left, top = (target[0] - width) // 2, (target[1] - height) // 2
        if target[0] * target[1] > LARGEST:
            image, left, top = self._middle(image, target, left, top)
        else:
            image = image.resize(target, self.processor.resample)
        image = image.crop((left, top, left + width, top + height))  # black where it reaches over the edge
        return np.asarray(image)

    def batch(self, prepared: list[np.ndarray | Image.Image], device: str) -> dict[str, torch.Tensor]:
        """The model's inputs for pictures from `prepare`: `pixel_values` float32 `(n, 3, H, W)` as a rule."""
        if not self.fast:
            return dict(self.processor(images=prepared, return_tensors="pt").to(device))
        pixels = torch.from_numpy(np.stack(prepared)).to(device).permute(0, 3, 1, 2).float()
        return {"pixel_values": pixels * self.scale.to(device) - self.shift.to(device)}

    def _middle(
        self, image: Image.Image, target: tuple[int, int], left: int, top: int
    ) -> tuple[Image.Image, int, int]:
        """Of `image` resized to `target` only what the crop at `left`, `top` keeps, and where the crop lies in that."""
        start = max(0, left), max(0, top)
        end = min(target[0], left + self.crop["width"]), min(target[1], top + self.crop["height"])
        across, down = image.width / target[0], image.height / target[1]
        box = start[0] * across, start[1] * down, end[0] * across, end[1] * down
        size = end[0] - start[0], end[1] - start[1]
        return image.resize(size, self.processor.resample, box=box), left - start[0], top - start[1]

    def _target(self, width: int, height: int) -> tuple[int, int]:
        if "shortest_edge" not in self.size:
            return self.size["width"], self.size["height"]
        edge = self.size["shortest_edge"]
        if width <= height:
            return edge, int(edge * height / width)
        return int(edge * width / height), edge


def _given(processor: Any, name: str) -> dict[str, int]:
    """A size of the processor without the entries that are None."""
    return {key: value for key, value in dict(getattr(processor, name, None) or {}).items() if value}
