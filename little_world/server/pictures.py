"""The pictures of a request: `data:` URIs only, bounded before they are decoded."""

from __future__ import annotations

import base64
import binascii
import re
from io import BytesIO

from PIL import Image

from course_lib import images
from course_lib.errors import ImageError

from .errors import ApiError

MAX_PIXELS = 50_000_000  # of one picture, as sent: 150 MB once decoded
SIDE = {"low": 512}  # pixels of the longer side that are looked at, by `detail`; OpenAI's numbers
DEFAULT_SIDE = 2048

_DATA_URI = re.compile(r"data:image/[\w.+-]+(?:;[\w-]+=[^;,]*)*;base64,", re.IGNORECASE)


def read(url: str, detail: str | None, param: str) -> Image.Image:
    """The picture in a `data:` URI, RGB, at most 2048 pixels a side; `param` names its place in the request.

    Raises `ApiError` 400: for an address, which is not fetched, and a path, which is not opened; for what is
    no picture, or a damaged one, or one above `MAX_PIXELS`.
    """
    match = _DATA_URI.match(url)
    if not match:
        if url[:5].lower() == "data:":
            said = "The data URI must look like data:image/png;base64,... ."
        else:
            said = (
                "This server opens neither addresses nor files, please send the picture as a base64 data URI."
            )
        raise ApiError(400, said, code="invalid_image_url", param=param)
    try:
        data = base64.b64decode(url[match.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, "The picture is not valid base64.", code="invalid_base64", param=param) from None
    return images.resize(from_bytes(data, param), SIDE.get(detail or "", DEFAULT_SIDE))


def from_bytes(data: bytes, param: str) -> Image.Image:
    """The picture in a file's bytes, RGB and of its own size. Raises `ApiError` 400 as `read` does."""
    if _pixels(data) > MAX_PIXELS:
        said = (
            f"The picture has more than {MAX_PIXELS // 1_000_000} megapixels, please make it smaller first."
        )
        raise ApiError(400, said, code="image_too_large", param=param)
    try:
        return images.open_image(data)
    except ImageError as error:
        raise ApiError(400, str(error), code="invalid_image", param=param) from error


def with_alpha(data: bytes, param: str) -> Image.Image:
    """The same in the mode that the file has, for masks, whose transparency has a meaning."""
    from_bytes(data, param)  # nothing is wrong with it
    image = Image.open(BytesIO(data))
    image.load()
    return image


def _pixels(data: bytes) -> int:
    """Width times height as the header says, 0 where Pillow knows none: `open_image` has the last word."""
    try:
        with Image.open(BytesIO(data), formats=[f for f in images.FORMATS if f in Image.OPEN]) as image:
            return image.width * image.height
    except Image.DecompressionBombError:
        return MAX_PIXELS + 1
    except Exception:  # decoders meet a damaged file with errors of every kind
        return 0
