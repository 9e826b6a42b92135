"""Masks, which say where to repaint, and the margin that makes any picture fit a model's grid.

White is repainted here, as at A1111 and Firefly. OpenAI's API means the opposite, transparent pixels; and
A1111 takes a mask's alpha for the mask where it has one. So transparency is refused, never guessed at.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..errors import ImageError
from ..images import ImageSource, open_as, open_image
from ..settings import say
from .parameters import GRID, LARGEST, SMALLEST

_LIGHT = 128  # what counts as white


def open_mask(mask: ImageSource, size: tuple[int, int]) -> Image.Image:
    """A mask as grey (mode "L") of a picture's (width, height): white is repainted, black is kept.

    Takes what `open_image` takes, and boolean arrays. Raises `ImageError` for another size, for
    transparency, and for a mask that is all black or all white.
    """
    if getattr(mask, "dtype", None) is not None and "bool" in str(mask.dtype):
        mask = np.asarray(mask).astype(np.uint8) * 255
    grey = open_as(mask, _to_grey)
    if grey.size != size:
        raise ImageError(
            say(
                zh=f"蒙版是 {grey.width}×{grey.height}，图片是 {size[0]}×{size[1]}，请先把蒙版缩放到图片的大小："
                "mask.resize(image.size)。",
                en=f"The mask is {grey.width} x {grey.height} and the picture {size[0]} x {size[1]}, please "
                "bring the mask to the picture's size: mask.resize(image.size).",
            )
        )
    darkest, lightest = grey.getextrema()
    if lightest < _LIGHT:
        raise ImageError(
            say(
                zh="蒙版全是黑色，没有要重绘的地方，请把要重绘的区域涂成白色。",
                en="The mask is all black, so there is nothing to repaint, please make the area to repaint "
                "white.",
            )
        )
    if darkest >= _LIGHT:
        raise ImageError(
            say(
                zh="蒙版全是白色，原图什么也不会留下，请把要保留的区域涂成黑色，或改用 image_to_image。",
                en="The mask is all white, so nothing of the picture would be kept, please make that black, "
                "or use image_to_image.",
            )
        )
    return grey


def _to_grey(image: Image.Image, name: str) -> Image.Image:
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] < 255:
        raise ImageError(
            say(
                zh=f"{name} 有透明区域，不同服务对它的理解正好相反，请改用黑白蒙版，白色表示重绘。",
                en=f"{name} has transparent pixels, which services take for opposite things, please use a "
                "mask in black and white, where white is repainted.",
            )
        )
    return open_image(image).convert("L")


def transparent_where_white(image: Image.Image, mask: Image.Image) -> Image.Image:
    """The picture as RGBA, transparent where the mask is light: OpenAI's way to say what to edit."""
    edited = image.convert("RGBA")
    edited.putalpha(mask.point(lambda level: 0 if level >= _LIGHT else 255))
    return edited


def check_side(image: Image.Image) -> Image.Image:
    """A picture that can be repainted at its own size. Raises `ImageError` for others."""
    if not (SMALLEST <= min(image.size) and max(image.size) <= LARGEST):
        raise ImageError(
            say(
                zh=f"图片是 {image.width}×{image.height}，边长须在 {SMALLEST} 到 {LARGEST} 像素之间，请先缩放："
                "course_lib.images.resize(image, 1024)。",
                en=f"The picture is {image.width} x {image.height}, and its sides must have {SMALLEST} to "
                f"{LARGEST} pixels, please resize it first: course_lib.images.resize(image, 1024).",
            )
        )
    return image


def pad(image: Image.Image, grid: int = GRID) -> Image.Image:
    """The picture with its last column and row repeated up to whole multiples of `grid`; a mask gets black.

    The answer is cropped back to the input's size, so that no pixel moves, where scaling would blur all.
    """
    width, height = (-(-side // grid) * grid for side in image.size)
    if (width, height) == image.size:
        return image
    margins = ((0, height - image.height), (0, width - image.width))
    if image.mode == "L":
        return Image.fromarray(np.pad(np.asarray(image), margins))
    return Image.fromarray(np.pad(np.asarray(image), (*margins, (0, 0)), mode="edge"))
