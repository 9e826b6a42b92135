"""Bad videos and bad arguments: one sentence with the remedy in either language; what can be read is kept,
and it is told that it is not all."""

from __future__ import annotations

import os
import re
import struct
import warnings
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
import video_files
from video_files import number

from course_lib import settings, video_parallel
from course_lib.errors import CourseError, CourseWarning, OutputError, VideoError
from course_lib.video import VideoProcessor
from course_lib.video_sound import Sound
from course_lib.video_writing import write_video

TIMES = [i * 40 for i in range(60)]
H264 = {"bf": "3", "g": "10", "b_strategy": "0"}


@pytest.fixture(params=["zh", "en"])
def language(request, monkeypatch) -> str:
    monkeypatch.setattr(settings, "_chosen", request.param)
    return request.param


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.mp4"
    return video_files.write(path, TIMES, options=H264, container={"movflags": "faststart"})


@pytest.fixture(scope="module")
def matroska(tmp_path_factory) -> Path:
    return video_files.write(tmp_path_factory.mktemp("good") / "good.mkv", TIMES, options=H264)


def one_sentence(message: str, language: str) -> None:
    assert "\n" not in message
    if language == "zh":
        assert message.count("。") == 1 and message.endswith("。") and re.search("[\u4e00-\u9fff]", message)
    else:
        assert message.endswith(".") and not re.search("[\u4e00-\u9fff]", message)


def refused(source, language: str, remedy: dict[str, str]) -> None:
    with pytest.raises(VideoError) as caught:
        VideoProcessor(source)
    assert isinstance(caught.value, (CourseError, ValueError))
    one_sentence(str(caught.value), language)
    assert remedy[language] in str(caught.value)


def told(source) -> tuple[list[int], list[str]]:
    """The numbers of all frames, and what was told while reading them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with VideoProcessor(source) as video:
            numbers = [number(frame.image) for frame in video.frames()]
    assert all(issubclass(warning.category, CourseWarning) for warning in caught)
    return numbers, [str(warning.message) for warning in caught]


def patched(path: Path, box: bytes, offset: int, value: bytes) -> bytes:
    data = bytearray(path.read_bytes())
    at = data.index(box) + offset
    data[at : at + len(value)] = value
    return bytes(data)


def sound_only(path: Path) -> Path:
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), "fltp", "mono")
        frame.sample_rate = 16_000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def test_no_such_file(language, tmp_path):
    refused(tmp_path / "none.mp4", language, {"zh": "请检查路径", "en": "please check the path"})


def test_a_directory(language, tmp_path):
    refused(tmp_path, language, {"zh": "是文件夹", "en": "is a folder"})


def test_an_address(language):
    refused("http://127.0.0.1/a.mp4", language, {"zh": "请先下载", "en": "please download it first"})


def test_something_else(language):
    refused(28, language, {"zh": "int 不是视频", "en": "A int is not a video"})


@pytest.mark.parametrize("as_file", [True, False])
def test_an_empty_file(language, tmp_path, as_file):
    (tmp_path / "a.mp4").write_bytes(b"")
    source = tmp_path / "a.mp4" if as_file else BytesIO()
    refused(source, language, {"zh": "空文件", "en": "is empty"})


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("text", ["No video, but text. " * 50, PLAYLIST, "ffconcat version 1.0\nfile {}\n"])
@pytest.mark.parametrize("name", ["a.mp4", "a.m3u8", "a.txt"])
def test_text_named_as_a_video_opens_no_other_file(language, tmp_path, good, text, name):
    (tmp_path / "other.mp4").write_bytes(good.read_bytes())
    (tmp_path / name).write_text(text.format("other.mp4"))
    refused(tmp_path / name, language, {"zh": "不是视频", "en": "is not a video"})


def test_cut_off_before_its_index(language, tmp_path):
    data = video_files.write(tmp_path / "a.mp4", TIMES).read_bytes()  # the index stands at the end
    refused(data[: len(data) // 2], language, {"zh": "不完整", "en": "incomplete"})


def test_sound_only(language, tmp_path):
    refused(sound_only(tmp_path / "a.m4a"), language, {"zh": "没有画面", "en": "has no pictures"})


def test_a_cover_picture_is_no_video(language, tmp_path):
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w") as file:
        sound = file.add_stream("libmp3lame", rate=44_100, layout="mono")
        cover = file.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        file.mux(cover.encode(av.VideoFrame.from_ndarray(video_files.paint(0), format="rgb24")))
        file.mux(cover.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.float32), "fltp", "mono")
        frame.sample_rate = 44_100
        file.mux(sound.encode(frame))
        file.mux(sound.encode(None))
    refused(path, language, {"zh": "没有画面", "en": "has no pictures"})


def test_no_frame_in_it(language, tmp_path):
    path = video_files.write(tmp_path / "a.mp4", TIMES)
    refused(patched(path, b"stsz", 12, bytes(4)), language, {"zh": "一帧画面也没有", "en": "a single frame"})


HUGE = (12_000, 12_000)


def test_an_absurd_size_is_refused_before_it_is_decoded(language, tmp_path):
    path = video_files.write(tmp_path / "a.avi", [0, 1, 2], time_base=Fraction(1, 25), codec="rawvideo")
    # BITMAPINFOHEADER: its size, width, height
    data = patched(path, b"strf", 8 + 4, struct.pack("<2i", *HUGE))
    refused(data, language, {"zh": "百万像素", "en": "megapixels"})


def test_a_frame_larger_than_the_header_says_is_not_decoded(language, tmp_path):
    path = video_files.write(
        tmp_path / "a.avi", [0, 1, 2], time_base=Fraction(1, 25), codec="mjpeg", pix_fmt="yuvj420p"
    )
    start, data = b"\xff\xc0\x00\x11\x08", path.read_bytes()  # a JPEG's start of frame
    lying = data.replace(start + struct.pack(">2H", 48, 64), start + struct.pack(">2H", *HUGE))
    assert lying != data
    with VideoProcessor(lying) as video:
        with pytest.raises(VideoError) as caught:
            video.read_frame(1)
        one_sentence(str(caught.value), language)
        with pytest.warns(CourseWarning):
            assert list(video.frames()) == []


def test_a_file_without_a_duration_has_one(tmp_path):
    path = video_files.write(tmp_path / "a.mp4", TIMES)
    data = bytearray(path.read_bytes())
    for box, offset in ((b"mvhd", 16), (b"tkhd", 24), (b"mdhd", 20)):
        at = data.index(box) + offset
        data[at : at + 4] = bytes(4)
    with VideoProcessor(bytes(data)) as video:
        assert (video.duration, video.fps, video.total_frames) == (pytest.approx(2.4), pytest.approx(25), 60)


def test_a_live_recording_has_a_duration_too(tmp_path):
    """Matroska as a live stream writes it: no duration, no index."""
    path = video_files.write(tmp_path / "a.mkv", TIMES, options=H264, container={"live": "1"})
    with VideoProcessor(path) as video:
        assert (video.duration, video.total_frames) == (pytest.approx(2.4), 60)
        assert [number(video.read_frame(i).image) for i in (50, 7, 33)] == [50, 7, 33]


def test_a_rate_of_zero(language, tmp_path):
    """Every frame at the same time: the frames are read, at an assumed rate, and that is told."""
    path = video_files.write(tmp_path / "a.mp4", TIMES)
    data = patched(path, b"stts", 16, bytes(4))
    numbers, messages = told(data)
    assert numbers == sorted(set(numbers)) and len(numbers) > 20
    with pytest.warns(CourseWarning), VideoProcessor(data) as video:
        assert np.isfinite(video.fps) and video.fps > 0 and video.duration > 0
    one_sentence(messages[0], language)
    assert "25" in messages[0]


def test_cut_off_after_its_index_the_beginning_is_kept_and_it_is_told(language, good):
    data = good.read_bytes()
    numbers, messages = told(data[: len(data) * 2 // 3])
    assert 20 < len(numbers) < 45
    assert numbers == list(range(len(numbers)))
    one_sentence(messages[0], language)
    assert {"zh": "不完整", "en": "incomplete"}[language] in messages[0]


def test_matroska_cut_off(language, matroska):
    data = matroska.read_bytes()
    numbers, messages = told(data[: len(data) * 2 // 3])
    assert 20 < len(numbers) < 45
    assert numbers[:20] == list(range(20))
    assert {"zh": "不完整", "en": "incomplete"}[language] in messages[0]


@pytest.mark.parametrize("junk", [b"\x00", b"\x55", b"\xff"])
def test_a_broken_packet_in_the_middle(language, good, junk):
    """What does not depend on it is kept and right, and it is told that the result is not whole."""
    data = bytearray(good.read_bytes())
    middle = (data.index(b"mdat") + len(data)) // 2
    data[middle : middle + 500] = junk * 500
    numbers, messages = told(bytes(data))
    assert numbers[:20] == list(range(20))
    assert numbers[-15:] == list(range(45, 60))
    assert messages
    for message in messages:
        one_sentence(message, language)
        assert {"zh": "结果是不完整的", "en": "the result is partial"}[language] in message


def test_several_decoders_tell_what_one_would(good, monkeypatch):
    monkeypatch.setattr(settings, "_chosen", "en")
    data = bytearray(good.read_bytes())
    middle = (data.index(b"mdat") + len(data)) // 2
    data[middle : middle + 500] = b"\x55" * 500

    def sampled() -> tuple[list[int], list[str]]:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            with VideoProcessor(bytes(data)) as video:
                frames = video.sample(60)
        return [frame.frame_id for frame in frames], [str(each.message) for each in heard]

    alone = sampled()
    monkeypatch.setattr(video_parallel, "WORTH", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert sampled() == alone
    assert len(alone[0]) < 60 and "the result is partial" in alone[1][-1]


def test_a_hole_in_a_matroska_file_is_told(language, matroska):
    data = bytearray(matroska.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = b"\xff" * 400
    numbers, messages = told(bytes(data))
    assert numbers[:15] == list(range(15))
    assert any({"zh": "已损坏", "en": "damaged"}[language] in message for message in messages)


def test_no_hole_in_a_matroska_file_loses_frames_unsaid(language, matroska):
    """Wherever it is: in what is read on opening, too, and behind a file in which FFmpeg said the same."""
    whole = matroska.read_bytes()
    frames, _ = told(whole)
    for start in range(len(whole) // 4, len(whole) - 600, 61):
        data = bytearray(whole)
        data[start : start + 400] = b"\xff" * 400
        numbers, messages = told(bytes(data))
        assert messages or numbers == frames, start


def test_a_damaged_frame_is_an_error_when_it_is_asked_for(language, good):
    data = bytearray(good.read_bytes())
    middle = (data.index(b"mdat") + len(data)) // 2
    data[middle : middle + 500] = b"\x55" * 500
    with pytest.warns(CourseWarning), VideoProcessor(bytes(data)) as video:
        kept = {frame.frame_id for frame in video.frames()}
        lost = sorted(set(range(60)) - kept)
        assert lost
        with pytest.raises(VideoError) as caught:
            video.read_frame(lost[0])
        one_sentence(str(caught.value), language)
        assert number(video.read_frame(59).image) == 59


@pytest.mark.parametrize("frame_id", [-1, 60, 10**12, 2.5, "3"])
def test_a_frame_that_does_not_exist(language, good, frame_id):
    with VideoProcessor(good) as video:
        with pytest.raises(VideoError, match="0 (到|to) 59") as caught:
            video.read_frame(frame_id)
        one_sentence(str(caught.value), language)
        assert number(video.read_frame(np.int64(59)).image) == 59


@pytest.mark.parametrize("timestamp", [-0.1, 2.4, 1e9, float("nan"), "now"])
def test_a_moment_that_does_not_exist(language, good, timestamp):
    with VideoProcessor(good) as video:
        with pytest.raises(VideoError) as caught:
            video.read_frame(timestamp=timestamp)
        one_sentence(str(caught.value), language)
        assert number(video.read_frame(timestamp=2.399).image) == 59


@pytest.mark.parametrize(
    "ask",
    [
        lambda video: video.read_frame(3, 0.5),
        lambda video: video.extract_keyframes(0),
        lambda video: video.sample(-4),
        lambda video: video.frames(every=0),
        lambda video: video.frames(fps=0),
        lambda video: video.frames(every=2, fps=5),
        lambda video: video.frames(2, 1),
        lambda video: video.frames(start=99),
        lambda video: video.audio(),
        lambda video: video.sample(2.5),
        lambda video: video.sample("3"),
        lambda video: video.sample(3, end="1"),
        lambda video: video.sample(3, start="0"),
        lambda video: video.frames(every=2.5),
        lambda video: video.frames(fps=float("inf")),
        lambda video: video.frames(fps="2"),
        lambda video: video.scan(fps=float("nan")),
    ],
)
def test_arguments_that_make_no_sense(language, good, ask):
    with VideoProcessor(good) as video:
        with pytest.raises(VideoError) as caught:
            ask(video)
        one_sentence(str(caught.value), language)


@pytest.mark.parametrize("rate", [-1, 0, 8000.5, "8000", 10**12])
def test_a_rate_of_sound_that_makes_no_sense(language, tmp_path, rate):
    sound = Sound(np.zeros(8000, np.float32), 8000)
    path = write_video(tmp_path / "a.mp4", [video_files.paint(i) for i in range(25)], 25, sound=sound)
    with VideoProcessor(path) as video:
        with pytest.raises(VideoError, match="rate") as caught:
            video.audio(rate=rate)
        one_sentence(str(caught.value), language)
        assert len(video.audio(rate=4000).samples) == 4000


def test_used_after_it_was_closed(language, good):
    with VideoProcessor(good) as video:
        pass
    with pytest.raises(VideoError) as caught:
        video.read_frame(0)
    one_sentence(str(caught.value), language)


def test_nothing_to_write(language, tmp_path):
    with pytest.raises(VideoError) as caught:
        write_video(tmp_path / "a.mp4", [], 25)
    one_sentence(str(caught.value), language)
    assert list(tmp_path.iterdir()) == []


def test_nowhere_to_write(language, tmp_path):
    (tmp_path / "file").touch()
    for folder in ("nowhere", "file"):
        with pytest.raises(OutputError, match=folder) as caught:
            write_video(tmp_path / folder / "a.mp4", [video_files.paint(0)], 25)
        one_sentence(str(caught.value), language)


def test_a_failure_while_writing_leaves_the_old_file(tmp_path):
    path = write_video(tmp_path / "a.mp4", [video_files.paint(i) for i in range(3)], Fraction(25))
    before = path.read_bytes()

    def pictures():
        yield video_files.paint(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(path, pictures(), 25)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_damaged_it_is_read_or_refused(good, matroska, seed):
    """Bytes changed at random, near the header and all over: an error, if any, is the course's own."""
    rng = np.random.default_rng(seed)
    data = np.frombuffer((good, matroska)[seed % 2].read_bytes(), np.uint8).copy()
    where = rng.integers(0, len(data) if seed % 3 else 1500, (1, 5, 50)[seed % 3])
    data[where] = rng.integers(0, 256, len(where))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CourseWarning)
        try:
            with VideoProcessor(data.tobytes()) as video:
                assert sum(1 for _ in video.frames()) <= video.total_frames
                video.sample(4)
                video.detect_shots()
        except CourseError:
            pass


def test_a_file_that_cannot_go_back_is_opened_again(good, monkeypatch):
    """Some damaged files refuse every seek; what was read before can still be read again."""
    with VideoProcessor(good) as video:
        decoder = video._decoder

        class NoWayBack:
            def __init__(self, container):
                self.demux, self.close = container.demux, container.close

            def seek(self, *_, **__):
                raise av.error.PermissionError(1, "Operation not permitted")

        decoder.container = NoWayBack(decoder.container)
        assert [number(video.read_frame(i).image) for i in (50, 3, 59, 0)] == [50, 3, 59, 0]
