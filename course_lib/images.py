"""Every picture enters and leaves the course here: any kind of source in, RGB inside, encoded bytes out.

Opening turns a picture the right way up (EXIF), flattens transparency on white, scales 16 bits to 8, takes
the first frame of an animation, and refuses what is damaged or no picture, and what is too large before it
is decoded.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, Union

import numpy as np
from PIL import Image, ImageOps

from .errors import CourseError, ImageError
from .settings import say, spaced

if TYPE_CHECKING:
    import torch  # never imported here: pictures do not need it

MAX_PIXELS = 89_478_485  # Pillow's own threshold for a "decompression bomb": a quarter of a GiB in RGB

# Raster formats of photographs and screenshots. Pillow reads more, some by starting other programs (EPS).
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "MPO", "PPM", "ICO", "JPEG2000", "AVIF")

ImageSource = Union[str, os.PathLike, bytes, BinaryIO, Image.Image, np.ndarray, "torch.Tensor"]


def open_image(source: ImageSource) -> Image.Image:
    """A picture as PIL RGB, whatever it comes as.

    `source` is a path, a file's bytes, an open binary file, a PIL image, a numpy array `(H, W)`, `(H, W,
    3)` or `(H, W, 4)` in RGB order, or a torch tensor `(C, H, W)` or `(H, W)`; arrays hold uint8, or floats
    in 0..1. Raises `ImageError` for anything else, for a file that is damaged or no picture, and above
    `MAX_PIXELS`.
    """
    return open_as(source, _to_rgb)


def open_as(source: ImageSource, convert: Callable[[Image.Image, str], Image.Image]) -> Image.Image:
    """As `open_image`, with `convert(image, name)` to make of it something else than RGB: a mask is grey."""
    name = _name(source)
    try:
        if isinstance(source, Image.Image):
            return convert(source, name)
        if isinstance(source, (str, os.PathLike)):
            with Image.open(_checked_path(source), formats=_formats()) as image:
                return convert(image, name)
        if isinstance(source, (bytes, bytearray, memoryview)):
            source = BytesIO(source)
        if hasattr(source, "read"):
            return convert(Image.open(source, formats=_formats()), name)
        if hasattr(source, "__array__"):
            return convert(_from_array(source), name)
    except CourseError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(name) from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(
            say(
                zh=f"{spaced(name)}的内容不是图片，请换用 PNG、JPEG 或 WebP 等格式的图片文件。",
                en=f"{name} does not hold a picture, please use a picture file such as PNG, JPEG or WebP.",
            )
        ) from error
    except Exception as error:  # decoders meet a damaged file with errors of every kind
        raise ImageError(
            say(
                zh=f"{spaced(name)}已损坏或不完整，请重新下载，或换一张图片。",
                en=f"{name} is damaged or incomplete, please fetch it again or use another picture.",
            )
        ) from error
    raise ImageError(
        say(
            zh=f"{type(source).__name__} 不是图片，请传入文件路径、PIL 图像或数组。",
            en=f"A {type(source).__name__} is not a picture, please pass a path, a PIL image or an array.",
        )
    )


def open_images(sources: Iterable[ImageSource]) -> list[Image.Image]:
    """`open_image` for each of several sources."""
    return [open_image(source) for source in sources]


def is_many(source: Any) -> bool:
    """Whether `source` is several pictures (a list, an iterator, an array `(n, H, W, C)`) rather than one."""
    if isinstance(source, (str, bytes, bytearray, memoryview, os.PathLike, Image.Image)) or hasattr(
        source, "read"
    ):
        return False
    return source.ndim == 4 if hasattr(source, "ndim") else isinstance(source, Iterable)


def resize(image: ImageSource, size: int | tuple[int, int]) -> Image.Image:
    """Lanczos resizing to at most `size` pixels on the longer side, never enlarged, or to (width, height)."""
    image = open_image(image)
    if isinstance(size, int):
        scale = min(1.0, size / max(image.size))
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def thumbnail(image: ImageSource, side: int = 128) -> Image.Image:
    """The whole picture in a white square of `side` pixels, for galleries."""
    return ImageOps.pad(open_image(image), (side, side), Image.Resampling.LANCZOS, color="white")


def encode(image: ImageSource, format: str = "PNG", **options: Any) -> bytes:
    """The picture as a file's bytes: PNG loses nothing, JPEG is smaller; `options` go to Pillow's writer.

    Raises `ImageError` where the format does not hold the picture: JPEG ends at 65,500 pixels a side, WEBP at 16,383.
    """
    mime_type(format)
    image, buffer = open_image(image), BytesIO()
    try:
        image.save(buffer, format=format, **options)
    except Exception as error:  # writers meet what they cannot hold with errors of every kind
        raise ImageError(
            say(
                zh=f"这张图片（{image.width}×{image.height}）不能保存为 {format} 格式，请用 PNG，或先缩小。",
                en=f"This picture of {image.width} x {image.height} pixels cannot be written as {format}, please use "
                "PNG, or make it smaller first.",
            )
        ) from error
    return buffer.getvalue()


def mime_type(format: str) -> str:
    """The MIME type of a format that pictures can be written in: "image/png" for "PNG"."""
    Image.init()
    if format.upper() not in Image.SAVE or not Image.MIME.get(format.upper(), "").startswith("image/"):
        raise ImageError(
            say(
                zh=f"不能保存为 {format} 格式，请用 PNG、JPEG 或 WEBP。",
                en=f"Pictures cannot be written as {format}, please use PNG, JPEG or WEBP.",
            )
        )
    return Image.MIME[format.upper()]


def to_base64(image: ImageSource, format: str = "PNG") -> str:
    """The encoded picture in base64, as web APIs take it."""
    return base64.b64encode(encode(image, format)).decode("ascii")


def to_data_uri(image: ImageSource, format: str = "PNG") -> str:
    """The encoded picture as a `data:` URI whose MIME type is the format's."""
    return f"data:{mime_type(format)};base64,{to_base64(image, format)}"


def from_base64(text: str) -> Image.Image:
    """The picture in a base64 string, of one line or of many, or in a base64 `data:` URI."""
    try:
        text = "".join(text.split())
        data = base64.b64decode(text.rpartition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError, TypeError, AttributeError) as error:
        raise ImageError(
            say(
                zh="这段文字不是 base64 编码的图片，请检查它是否完整。",
                en="This text is not a picture in base64, please check that it is complete.",
            )
        ) from error
    return open_image(data)


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """Those of FORMATS that this build of Pillow can decode."""
    Image.init()
    return tuple(format for format in FORMATS if format in Image.OPEN)


class _Unnamed:
    """Says "this picture" in the reader's language, but only when an error needs it: most pictures are fine."""

    def __str__(self) -> str:
        return say(zh="这张图片", en="This picture")


def _name(source: ImageSource) -> str | _Unnamed:
    if isinstance(source, (str, os.PathLike)):
        return str(source)
    name = getattr(source, "filename", "") or getattr(source, "name", "")
    return str(name) if name else _Unnamed()


def _checked_path(source: str | os.PathLike) -> str:
    path = os.path.expanduser(os.fspath(source))
    if os.path.isfile(path):
        return path
    if isinstance(path, str) and path.startswith(("http://", "https://", "data:")):
        message = say(
            zh=f"{path[:60]} 不是文件，请先下载，再传入文件路径。",
            en=f"{path[:60]} is not a file, please download it first and pass the file's path.",
        )
    elif os.path.isdir(path):
        message = say(
            zh=f"{path} 是文件夹，请传入其中某个图片文件的路径。",
            en=f"{path} is a folder, please pass the path of a picture file in it.",
        )
    else:
        path = path if len(path) <= 200 else path[:200] + "…"  # base64, say, handed over as a path
        message = say(
            zh=f"找不到文件 {path}，请检查路径，当前目录是 {os.getcwd()}。",
            en=f"There is no file {path}, please check the path, the working directory is {os.getcwd()}.",
        )
    raise ImageError(message)


def _too_large(name: str | _Unnamed) -> ImageError:
    return ImageError(
        say(
            zh=f"{spaced(name)}超过 {MAX_PIXELS / 1e6:.0f} 百万像素，请先用看图软件缩小。",
            en=f"{name} has more than {MAX_PIXELS / 1e6:.0f} megapixels, please make it smaller first.",
        )
    )


def _to_rgb(image: Image.Image, name: str | _Unnamed) -> Image.Image:
    if image.width * image.height > MAX_PIXELS:  # known from the header, nothing is decoded yet
        raise _too_large(name)
    if 0 in image.size:
        raise ImageError(
            say(
                zh=f"{spaced(name)}没有像素，请换一张图片。",
                en=f"{name} has no pixels, please use another picture.",
            )
        )
    image.load()  # first, for a PNG may have its orientation behind its pixels
    if image.mode == "RGB" and not image.info:
        return image
    if image.getexif().get(0x0112, 1) != 1:  # the orientation tag: a camera held upright
        image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):
        image = _to_8_bit(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Grey of 16 bits (or of floats in 0..1) as grey of 8: scaled, where Pillow's own convert would clip."""
    pixels = np.asarray(image)
    if image.mode == "F":
        return _from_array(pixels)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ImageError(
            say(
                zh="灰度值超出 16 位的范围，请先缩放到 0 至 255 的 uint8。",
                en="The grey values do not fit in 16 bits, please scale them to uint8 in 0 to 255 first.",
            )
        )
    return Image.fromarray(np.round(pixels / 257).astype(np.uint8))  # 65535 / 255 = 257


def _from_array(source: Any) -> Image.Image:
    is_tensor = hasattr(source, "detach")
    if is_tensor:
        source = source.detach().cpu()
        source = (source.float() if source.is_floating_point() else source).numpy()
    array = np.asarray(source)
    if is_tensor and array.ndim == 3:
        array = np.moveaxis(array, 0, -1)  # torch keeps channels first
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    is_picture = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not is_picture or 0 in array.shape:
        raise ImageError(
            say(
                zh=f"形状为 {array.shape} 的数组不是图片，请用 (高, 宽)、(高, 宽, 3) 或 (高, 宽, 4)。",
                en=f"An array of shape {array.shape} is no picture, please use (height, width), "
                "(height, width, 3) or (height, width, 4).",
            )
        )
    if np.issubdtype(array.dtype, np.floating):
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise ImageError(
                say(
                    zh="浮点数组的取值必须在 0 到 1 之间，若是 0 到 255 请先除以 255。",
                    en="A float array must hold values in 0 to 1, please divide by 255 if it holds 0 to 255.",
                )
            )
        array = np.round(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ImageError(
            say(
                zh=f"数组的类型是 {array.dtype}，请用 uint8，或取值在 0 到 1 之间的浮点数。",
                en=f"The array is of type {array.dtype}, please use uint8, or floats in 0 to 1.",
            )
        )
    return Image.fromarray(np.ascontiguousarray(array))
