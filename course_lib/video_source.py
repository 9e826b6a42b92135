"""Opening a video, and refusing what is none: a path, a file's bytes or an open file in, a container out."""

from __future__ import annotations

import os
from io import BytesIO
from typing import BinaryIO, Union

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from .errors import VideoError
from .images import MAX_PIXELS
from .settings import say, spaced

VideoSource = Union[str, os.PathLike, bytes, BinaryIO]

# The containers of cameras, phones, browsers and editors, and of sound, to say of a sound file what it is.
# FFmpeg knows hundreds; left out are above all the text formats that make it open further files or addresses.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,mxf,wav,mp3,flac,aac"


def open_container(source: VideoSource) -> InputContainer:
    """An open PyAV container, or a `VideoError` that says what is wrong with the source."""
    name = source_name(source)
    if isinstance(source, (str, os.PathLike)):
        file: str | BinaryIO = _checked_path(source)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        file = BytesIO(source)
    elif hasattr(source, "read") and hasattr(source, "seek"):
        source.seek(0)
        file = source
    else:
        raise VideoError(
            say(
                zh=f"{type(source).__name__} 不是视频，请传入文件路径、字节，或以二进制方式打开的文件。",
                en=f"A {type(source).__name__} is not a video, please pass a path, a file's bytes or a file "
                "opened in binary mode.",
            )
        )
    if _is_empty(file):
        raise VideoError(
            say(
                zh=f"{spaced(name)}是空文件，请重新下载或导出。",
                en=f"{name} is empty, please fetch or export it again.",
            )
        )
    try:
        return av.open(file, options={"format_whitelist": FORMATS})
    except Exception as error:  # what a damaged header leads to differs from format to format
        raise VideoError(
            say(
                zh=f"{spaced(name)}不是视频，或者已损坏、不完整，请检查它能否在播放器里播放，或重新下载。",
                en=f"{name} is not a video, or it is damaged or incomplete, please check that a player plays "
                "it, or fetch it again.",
            )
        ) from error


def picture_stream(container: InputContainer, name: str) -> VideoStream:
    """The stream of moving pictures; a cover picture in a music file is none."""
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        raise VideoError(
            say(
                zh=f"{spaced(name)}里没有画面，只有声音或其他数据，请换一个视频文件。",
                en=f"{name} has no pictures, only sound or other data, please use a video file.",
            )
        )
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    context = stream.codec_context
    if context is None:
        raise VideoError(
            say(
                zh=f"{spaced(name)}的编码格式无法解码，请先转成 H.264 的 MP4。",
                en=f"{name} uses a codec that cannot be decoded, please convert it to H.264 in MP4 first.",
            )
        )
    if context.width * context.height > MAX_PIXELS:  # the header says so, nothing is decoded yet
        raise VideoError(
            say(
                zh=f"{spaced(name)}的画面是 {context.width}×{context.height}，超过 {MAX_PIXELS / 1e6:.0f} 百万像素，"
                "请先缩小。",
                en=f"{name} has pictures of {context.width} x {context.height}, more than "
                f"{MAX_PIXELS / 1e6:.0f} megapixels, please make it smaller first.",
            )
        )
    return stream


def source_name(source: VideoSource) -> str:
    """What messages call the source."""
    if isinstance(source, (str, os.PathLike)):
        return str(source)
    return str(getattr(source, "name", "") or say(zh="这段视频", en="This video"))


def _is_empty(file: str | BinaryIO) -> bool:
    if isinstance(file, str):
        return os.path.getsize(file) == 0
    empty = file.seek(0, os.SEEK_END) == 0
    file.seek(0)
    return empty


def _checked_path(source: str | os.PathLike) -> str:
    path = os.path.expanduser(os.fspath(source))
    if os.path.isfile(path):
        return os.path.abspath(path)  # or FFmpeg takes what precedes a colon for a protocol
    if isinstance(path, str) and "://" in path:
        message = say(
            zh=f"{path[:60]} 不是文件，请先下载，再传入文件路径。",
            en=f"{path[:60]} is not a file, please download it first and pass the file's path.",
        )
    elif os.path.isdir(path):
        message = say(
            zh=f"{path} 是文件夹，请传入其中某个视频文件的路径。",
            en=f"{path} is a folder, please pass the path of a video file in it.",
        )
    else:
        message = say(
            zh=f"找不到文件 {path}，请检查路径，当前目录是 {os.getcwd()}。",
            en=f"There is no file {path}, please check the path, the working directory is {os.getcwd()}.",
        )
    raise VideoError(message)
