"""A video as frames with their true times, shots, and sound, decoded by PyAV.

The frame that is asked for is the frame that comes, on a variable frame rate too: frames are found by the
presentation times in the file, not by multiplying a number with a nominal rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from PIL import Image

from . import images, video_parallel
from .errors import VideoError, warn
from .limits import check_whole
from .settings import say
from .video_decoding import Decoder
from .video_index import ASSUMED_RATE, LOGGING, build_index, ffmpeg_errors
from .video_pixels import PixelReader
from .video_scan import Scan
from .video_selection import Selection, checked
from .video_sheets import most_telling, sheet
from .video_shots import Shot
from .video_sound import MOST_RATE, Sound, read_sound
from .video_source import VideoSource, open_container, picture_stream, source_name


@dataclass(eq=False)  # arrays have no plain equality
class VideoFrame:
    """Frame number `frame_id`, counted from 0, on screen from second `timestamp`.

    `image` is (H, W, 3) uint8 RGB.
    """

    frame_id: int
    timestamp: float
    image: np.ndarray

    @property
    def pil(self) -> Image.Image:
        """The picture as a PIL image."""
        return Image.fromarray(self.image)


class VideoProcessor:
    """Reads a video: a path, a file's bytes, or an open binary file. Use it as a context manager.

    Attributes:
        total_frames: how many frames are shown, counted, not estimated.
        duration: seconds until the last frame is over.
        fps: frames a second on average.
        is_variable: whether frames are shown for different times (a variable frame rate).
        timestamps: (total_frames,) float64, the second at which each frame appears.
        has_audio: whether there is a sound track.

    Raises `VideoError` for what is no video, and for frames and moments that it does not have.
    """

    def __init__(self, video_path: VideoSource):
        self.video_path = video_path
        self._name = source_name(video_path)
        with ffmpeg_errors() as errors:
            container, stream = self._open()
            # Matroska is read into on opening, and its reader may pass over a part. What others log then is no damage: a
            # decoder that begins between keyframes, an MP4 header without a duration.
            passed_over = any(who == container.format.name == "matroska,webm" for _, who, _ in errors)
            errors.clear()
            try:
                index = build_index(container, stream)
                if index is None:
                    raise VideoError(
                        say(
                            zh=f"{self._name} 里一帧画面也没有，请重新下载或导出。",
                            en=f"{self._name} does not hold a single frame, please fetch or export it again.",
                        )
                    )
            except BaseException:
                container.close()
                raise
        self._index = index = replace(index, is_damaged=index.is_damaged or passed_over or bool(errors))
        self._decoder: Decoder | None = Decoder(container, stream, index, self._open)
        self._select = Selection(index, self._name)
        self._pixels = PixelReader()
        self._next = 0
        self.total_frames = len(index)
        self.duration = index.end
        self.fps = index.mean_rate or float(stream.guessed_rate or 0)
        self.is_variable = index.is_variable
        self.timestamps = index.times
        self.has_audio = bool(container.streams.audio)
        self._tell_what_is_wrong()

    def __enter__(self) -> VideoProcessor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; a file object that was passed in stays open."""
        if self._decoder is not None:
            with LOGGING:
                self._decoder.container.close()
            self._decoder = None

    def __len__(self) -> int:
        return self.total_frames

    # ------------------------------------------------------------------------------------------------- frames

    def read_frame(self, frame_id: int | None = None, timestamp: float | None = None) -> VideoFrame:
        """The frame with that number, or the one on screen at that second; without either, the next one."""
        if frame_id is not None and timestamp is not None:
            raise VideoError(
                say(
                    zh="frame_id 和 timestamp 只能给一个。",
                    en="Please give either frame_id or timestamp, not both.",
                )
            )
        if timestamp is not None:
            i = self._select.at(timestamp)
        else:
            i = self._select.number(self._next if frame_id is None else frame_id)
        self._next, known = i + 1, self._damage
        frame = self._fetch(i)
        if frame is None:
            raise VideoError(
                say(
                    zh=f"{self._name} 的第 {i} 帧已损坏，无法解码，请改读相邻的帧。",
                    en=f"Frame {i} of {self._name} is damaged and cannot be decoded, please read another.",
                )
            )
        self._tell_damage(0, known)
        return frame

    def extract_keyframes(self, num_keyframes: int = 10) -> list[VideoFrame]:
        """Frames spread evenly over the video's time; the same as `sample`, under the chapter's name.

        These are not what a codec calls keyframes, nor chosen by content: for that see `detect_shots`.
        """
        return self.sample(num_keyframes)

    def sample(
        self, num_frames: int, *, start: float | None = None, end: float | None = None, exact: bool = True
    ) -> list[VideoFrame]:
        """`num_frames` different frames, evenly in time from the first to the last; fewer if there are fewer.

        `start` and `end` in seconds restrict them to a span. One pass forward, decoding only what is needed. With
        `exact=False` a frame may lie up to a third of the way to the next one off its even place, where a codec's keyframe
        is, which needs no other to be decoded: several times as fast on long videos. Its time is the true one.
        """
        ids = self._select.even(num_frames, start, end, exact=exact)
        context = self._opened().stream.codec_context
        runs = video_parallel.parts(self._index, ids, context.width * context.height)
        if len(runs) == 1 or hasattr(self.video_path, "read"):  # an open file has a single position
            return list(self._read(ids))
        known = self._damage
        found, damaged = video_parallel.read_parts(runs, self._index, self._open)
        self._opened().damaged += damaged
        frames = [
            VideoFrame(i, float(self.timestamps[i]), pixels) for i, pixels in found if pixels is not None
        ]
        self._tell_damage(len(ids) - len(frames), known)
        return frames

    def frames(
        self,
        start: float | None = None,
        end: float | None = None,
        *,
        every: int | None = None,
        fps: float | None = None,
    ) -> Iterator[VideoFrame]:
        """The frames from second `start` until second `end` one by one, in constant memory.

        With `every`, each so-manieth frame; with `fps`, the frame on screen at `start`, `start + 1 / fps`
        and so on: where the video is slower than that, a frame comes again.
        """
        return self._read(self._select.course(start, end, every, fps))

    def detect_shots(self, threshold: float = 0.4) -> list[Shot]:
        """The shots between hard cuts, found by how colours change from frame to frame; at least one."""
        scan = Scan(self, [], threshold)
        for _ in scan:
            pass
        return scan.shots

    def scan(
        self, num_frames: int | None = None, *, fps: float | None = None, threshold: float = 0.4
    ) -> Scan:
        """The frames of `sample(num_frames)`, or of `frames(fps=fps)`, and the shots, in one pass; see `Scan`."""
        ids = (
            self._select.course(None, None, None, fps)
            if num_frames is None
            else self._select.even(num_frames, None, None)
        )
        return Scan(self, ids, threshold)

    # -------------------------------------------------------------------------------------------------- sound

    def audio(self, start: float | None = None, end: float | None = None, rate: int | None = None) -> Sound:
        """The sound from second `start` until second `end`: `(samples, rate)`, mono float32 in -1..1.

        Sample k is heard at `start + k / rate`; where the sound track is silent or has nothing there are
        zeros. `rate` in Hz, by default the track's own.
        """
        self._opened()
        if not self.has_audio:
            raise VideoError(
                say(
                    zh=f"{self._name} 没有声音，请先用 has_audio 检查。",
                    en=f"{self._name} has no sound, please check has_audio first.",
                )
            )
        self._select.span(start, end)
        if rate is not None:
            checked(check_whole, "rate", rate, 1, MOST_RATE)
        self._decoder.rewind()  # the sound moves the position in the file
        begin, finish = start or 0.0, self.duration if end is None else min(end, self.duration)
        sound, damaged = read_sound(self._decoder.container, begin, finish, self._index.zero, rate)
        if damaged:
            self._tell_partial(
                zh=f"有 {damaged} 段声音已损坏，以静音代替",
                en=f"{damaged} pieces of the sound are damaged and left silent",
            )
        return sound

    # ----------------------------------------------------------------------------------------------- pictures

    def thumbnail(self, side: int = 128) -> Image.Image:
        """One picture for the video, `side` pixels square: of five frames the one with the most contrast."""
        return images.thumbnail(most_telling([frame.image for frame in self._some(5)]), side)

    def contact_sheet(self, num_frames: int = 12, columns: int = 4, side: int = 160) -> Image.Image:
        """Evenly spread frames in rows, each with its second."""
        frames = self._some(num_frames)
        return sheet([frame.image for frame in frames], [frame.timestamp for frame in frames], columns, side)

    # ----------------------------------------------------------------------------------------------- internal

    def _open(self) -> tuple[InputContainer, VideoStream]:
        container = open_container(self.video_path)
        try:
            stream = picture_stream(container, self._name)
            stream.thread_type = "AUTO"
            # a frame may be larger than the header says
            stream.codec_context.options = {"max_pixels": str(images.MAX_PIXELS)}
        except BaseException:
            container.close()
            raise
        return container, stream

    def _opened(self) -> Decoder:
        if self._decoder is None:
            raise VideoError(
                say(
                    zh=f"{self._name} 已经关闭，请在 with 语句里面使用它。",
                    en=f"{self._name} has been closed, please use it inside the with statement.",
                )
            )
        return self._decoder

    @property
    def _damage(self) -> int:
        return self._opened().damaged

    def _decode(self, i: int, wanted: np.ndarray | None = None):
        return self._opened().fetch(i, wanted)

    def _fetch(self, i: int, wanted: np.ndarray | None = None) -> VideoFrame | None:
        decoded = self._decode(i, wanted)
        return None if decoded is None else self._frame(i, decoded)

    def _frame(self, i: int, decoded: av.VideoFrame) -> VideoFrame:
        return VideoFrame(i, float(self.timestamps[i]), self._pixels(decoded))

    def _read(self, ids: Iterable[int]) -> Iterator[VideoFrame]:
        """The frames of ascending ids; those that cannot be decoded are left out, and it is told."""
        known, missing, kept = self._damage, 0, None
        wanted = None
        if not isinstance(ids, range) or ids.step > 1:
            wanted = np.zeros(self.total_frames, bool)
            wanted[list(ids)] = True
            wanted[max(ids, default=0) :] = True  # what comes after is left as it is, for whoever reads on
        for i in ids:
            if kept is None or kept.frame_id != i:
                kept = self._fetch(i, wanted)
            if kept is None:
                missing += 1
            else:
                yield kept
        self._tell_damage(missing, known)

    def _some(self, count: int) -> list[VideoFrame]:
        """An even sample, or an error where not one of its frames can be decoded."""
        return self.sample(count) or [self.read_frame(0)]

    def _tell_what_is_wrong(self) -> None:
        """What is already known to be wrong when the file has been opened."""
        index = self._index
        promised = index.promised_end or 0.0
        if promised - index.end > max(0.2, 3 / (self.fps or 25)):
            self._tell_partial(
                zh=f"文件不完整，{promised:.2f} 秒中只有前 {index.end:.2f} 秒",
                en=f"the file is incomplete and has only the first {index.end:.2f} of {promised:.2f} seconds",
            )
        elif index.is_damaged:
            self._tell_partial(
                zh="文件有一部分已损坏，那里的画面缺失或者有错",
                en="parts of the file are damaged, and pictures there are missing or wrong",
            )
        if index.is_guessed:
            warn(
                say(
                    zh=f"{self._name} 没有记录每帧的时间，按每秒 {ASSUMED_RATE} 帧计算。",
                    en=f"{self._name} has no times for its frames, {ASSUMED_RATE} a second are assumed.",
                )
            )

    def _tell_damage(self, missing: int, known: int) -> None:
        damaged = self._damage - known
        if missing:
            self._tell_partial(
                zh=f"有 {missing} 帧已损坏，无法解码，已略去，附近的画面也可能有错",
                en=f"{missing} frames are damaged and left out, those near them may be wrong",
            )
        elif damaged:
            self._tell_partial(
                zh=f"有 {damaged} 处数据已损坏，附近的画面可能有错",
                en=f"the data are damaged in {damaged} places and the pictures near them may be wrong",
            )

    def _tell_partial(self, *, zh: str, en: str) -> None:
        warn(
            say(zh=f"{self._name}：{zh}，结果是不完整的。", en=f"{self._name}: {en}, the result is partial.")
        )
