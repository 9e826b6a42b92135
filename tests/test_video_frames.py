"""The frame asked for is the frame that comes: of every sort of file, in any order, by number and by time."""

from __future__ import annotations

import os
import random
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import video_files
from video_files import number

from course_lib import video_parallel
from course_lib.video import VideoProcessor

EVEN = [i * 40 for i in range(48)]  # milliseconds
_GAPS = np.random.default_rng(0).choice([17, 33, 40, 100, 250], 47)
UNEVEN = [0, *np.cumsum(_GAPS).tolist()]
TENTHS = {"time_base": Fraction(1, 25)}
COUNTED = list(range(48))

B_FRAMES = {"bf": "3", "g": "20", "b_strategy": "0", "x264-params": "b-pyramid=normal:scenecut=0"}
OPEN = {"bf": "3", "b_strategy": "0", "x264-params": "open-gop=1:scenecut=0:keyint=12:min-keyint=12"}
VP9 = {
    "codec": "libvpx-vp9",
    "options": {"g": "15", "deadline": "good", "cpu-used": "8", "lag-in-frames": "10"},
}
VP8 = {"codec": "libvpx", "options": {"g": "15", "auto-alt-ref": "1", "lag-in-frames": "10", "cpu-used": "4"}}
AV1 = {"codec": "libsvtav1", "size": (64, 64), "options": {"g": "16", "preset": "12"}}
HEVC = "keyint=12:min-keyint=12:open-gop=1:bframes=3:log-level=none"

FILES = {
    "mp4": ("a.mp4", EVEN, {}),
    "mp4, B-frames": ("a.mp4", EVEN, {"options": B_FRAMES}),
    "mp4, variable rate": ("a.mp4", UNEVEN, {"options": B_FRAMES}),
    "mp4, begins late": ("a.mp4", [t + 700 for t in UNEVEN], {"options": B_FRAMES}),
    "mp4, fragmented": (
        "a.mp4",
        EVEN,
        {"options": B_FRAMES, "container": {"movflags": "frag_keyframe+empty_moov"}},
    ),
    "mp4, open groups": ("a.mp4", EVEN, {"options": OPEN}),
    "mp4, intra refresh": ("a.mp4", EVEN, {"options": {"x264-params": "intra-refresh=1:keyint=16"}}),
    "mp4, ten bits": ("a.mp4", EVEN, {"options": B_FRAMES, "pix_fmt": "yuv420p10le"}),
    "mp4, odd size": ("a.mp4", EVEN, {"options": B_FRAMES, "pix_fmt": "yuv444p", "size": (67, 51)}),
    "mp4, one frame": ("a.mp4", [0], {}),
    "mp4, AV1, variable rate": ("a.mp4", UNEVEN, AV1),
    "mp4, H.265, open groups": ("a.mp4", UNEVEN, {"codec": "libx265", "options": {"x265-params": HEVC}}),
    "mkv, variable rate": ("a.mkv", UNEVEN, {"options": B_FRAMES}),
    "mkv, open groups": ("a.mkv", EVEN, {"options": OPEN}),
    "mkv, AV1": ("a.mkv", EVEN, AV1),
    "webm, VP9": ("a.webm", EVEN, VP9),
    "webm, VP9, variable rate, odd size": ("a.webm", UNEVEN, {**VP9, "size": (67, 51)}),
    "webm, VP8, hidden frames": ("a.webm", UNEVEN, VP8),
    "mov, turned by 90": ("a.mov", UNEVEN, {"options": B_FRAMES, "rotation": 90}),
    "mov, turned by 180": ("a.mov", EVEN, {"rotation": 180}),
    "mov, turned by 270": ("a.mov", UNEVEN, {"rotation": 270}),
    "ts": ("a.ts", EVEN, {"options": B_FRAMES}),
    "avi, MPEG-4": ("a.avi", COUNTED, {**TENTHS, "codec": "mpeg4"}),
    "avi, no times for B-frames": ("a.avi", COUNTED, {**TENTHS, "options": B_FRAMES}),
    "mpg, no times for every frame": (
        "a.mpg",
        COUNTED,
        {**TENTHS, "codec": "mpeg2video", "options": {"bf": "2"}},
    ),
    "gif": (
        "a.gif",
        [i * 4 for i in range(40)],
        {"codec": "gif", "pix_fmt": "rgb8", "time_base": Fraction(1, 100)},
    ),
}


@pytest.fixture(scope="module", params=FILES)
def file(request, tmp_path_factory) -> tuple[Path, list[float]]:
    """A file, and the second at which each of its frames appears."""
    name, times, options = FILES[request.param]
    if options.get("codec") and options["codec"] not in av.codecs_available:
        pytest.skip(f"this PyAV cannot write {options['codec']}")
    path = video_files.write(tmp_path_factory.mktemp("video") / name, times, **options)
    ticks = options.get("time_base", Fraction(1, 1000))
    return path, [float((t - times[0]) * ticks) for t in times]


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="scheduling policies are Linux's")
def test_writing_a_video_leaves_the_threads_priority_as_it_was(file):
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_every_frame_forwards(file):
    path, times = file
    with VideoProcessor(path) as video:
        assert [number(frame.image) for frame in video.frames()] == list(range(len(times)))
        assert video.total_frames == len(times)


def test_every_frame_backwards_and_at_random(file):
    path, times = file
    some = random.Random(1)
    order = [*reversed(range(len(times))), *some.choices(range(len(times)), k=100)]
    with VideoProcessor(path) as video:
        frames = [video.read_frame(i) for i in order]
    assert [number(frame.image) for frame in frames] == order
    assert [frame.frame_id for frame in frames] == order


def test_the_frame_on_screen_at_any_second(file):
    path, times = file
    some = random.Random(2)
    with VideoProcessor(path) as video:
        assert video.timestamps == pytest.approx(times, abs=1e-9)
        moments = [*times, *(some.uniform(0, video.duration - 1e-6) for _ in range(100))]
        some.shuffle(moments)
        shown = [max(i for i, time in enumerate(times) if time <= moment + 1e-9) for moment in moments]
        assert [number(video.read_frame(timestamp=moment).image) for moment in moments] == shown


def test_a_frames_own_time_brings_it_back(file):
    path, times = file
    with VideoProcessor(path) as video:
        assert [video.read_frame(timestamp=t).frame_id for t in video.timestamps] == list(range(len(times)))


def test_sampling_and_reading_mixed_in_any_order(file):
    """What one way of reading skips, another must not miss."""
    path, times = file
    some, last = random.Random(3), len(times) - 1
    with VideoProcessor(path) as video:
        running = video.frames(every=3)
        for _ in range(25):
            act = some.randrange(4)
            if act == 0:
                frames = video.sample(some.randint(1, 9))
            elif act == 1:
                frames = [frame for frame in [next(running, None)] if frame]
            else:
                i = some.randint(0, last)
                frames = [video.read_frame(j) for j in range(i, min(i + act, last + 1))]
            assert [number(frame.image) for frame in frames] == [frame.frame_id for frame in frames]


@pytest.mark.parametrize("exact", [True, False])
def test_a_sample_by_several_decoders_at_once(file, monkeypatch, exact):
    path, times = file
    monkeypatch.setattr(video_parallel, "WORTH", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    last, used = len(times) - 1, []
    read_parts = video_parallel.read_parts
    monkeypatch.setattr(
        video_parallel, "read_parts", lambda runs, *rest: (used.append(runs), read_parts(runs, *rest))[1]
    )
    with VideoProcessor(path) as video:
        for count in (3, 9, 20, len(times)):
            frames = video.sample(count, exact=exact)
            ids = [frame.frame_id for frame in frames]
            assert ids == sorted(set(ids)) and len(ids) == min(count, len(times))
            assert [number(frame.image) for frame in frames] == ids
            assert [frame.timestamp for frame in frames] == [video.timestamps[i] for i in ids]
        assert number(video.read_frame(last // 2).image) == last // 2  # its own decoder is where it was
        has_several = len(set(video._index.start.tolist())) > 1 and video._index.timed
    assert bool(used) == has_several and all(2 <= len(runs) <= 3 for runs in used)


def test_sampled_pixels_are_those_of_a_plain_decode(tmp_path):
    """Frames that nothing refers to are not decoded on the way, and the others must not notice."""
    path = video_files.write(tmp_path / "a.mp4", EVEN, options=B_FRAMES)
    with av.open(str(path)) as container:
        plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with VideoProcessor(path) as video:
        for count in (2, 5, 16):
            for frame in video.sample(count):
                assert np.array_equal(frame.image, plain[frame.frame_id])


@pytest.mark.parametrize("dropped", [0, 5, 23, 30])
def test_an_edit_list_leaves_out_the_beginning(tmp_path, dropped):
    data = video_files.write(tmp_path / "a.mp4", EVEN, options=B_FRAMES).read_bytes()
    with av.open(BytesIO(data)) as container:
        frame_ticks = round(Fraction(40, 1000) / container.streams.video[0].time_base)
    begun = video_files.edit_list_begins(data) + dropped * frame_ticks
    with VideoProcessor(video_files.cut_by_edit_list(data, begun, 600)) as video:
        shown = list(range(dropped, dropped + 15))  # 600 ms of 40 ms each
        assert [number(frame.image) for frame in video.frames()] == shown
        assert [number(video.read_frame(i).image) for i in reversed(range(15))] == shown[::-1]
        assert video.timestamps == pytest.approx([i * 0.04 for i in range(15)])
        assert video.duration == pytest.approx(0.6)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_others_agree_which_way_is_up(tmp_path, degrees):
    path = video_files.write(tmp_path / "a.mov", EVEN[:3], rotation=degrees)
    capture = cv2.VideoCapture(str(path))
    theirs = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)
    capture.release()
    with VideoProcessor(path) as video:
        ours = video.read_frame(0).image
    assert ours.shape == theirs.shape == (48, 64, 3)
    assert np.abs(ours.astype(int) - theirs).mean() < 6


@pytest.mark.parametrize("matrix", [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)])
def test_mirrors_in_the_display_matrix_are_applied(matrix):
    """Front cameras mirror; the matrix sends (x, y) to (a x + c y, b x + d y)."""
    from course_lib.video_pixels import orient

    pixels = np.arange(6).reshape(2, 3)
    a, b, c, d = matrix
    moved = {}
    for (y, x), value in np.ndenumerate(pixels):
        moved[b * x + d * y, a * x + c * y] = value
    rows, columns = (sorted({point[k] for point in moved}) for k in (0, 1))
    expected = [[moved[row, column] for column in columns] for row in rows]
    assert orient(pixels, (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)).tolist() == expected


@pytest.mark.parametrize("source", ["path", "str", "bytes", "file", "open file"])
def test_any_kind_of_source(tmp_path, source):
    path = video_files.write(tmp_path / "a.mp4", EVEN[:20])
    given = {"path": path, "str": str(path), "bytes": path.read_bytes(), "file": BytesIO(path.read_bytes())}
    with open(path, "rb") as handle:
        handle.read(100)  # wherever it stands
        with VideoProcessor(given.get(source, handle)) as video:
            assert [number(video.read_frame(i).image) for i in (19, 3, 11)] == [19, 3, 11]
        assert not handle.closed


def test_colours_by_the_files_own_range_and_matrix(tmp_path):
    """Full-range and BT.709 files show the colours that were written, as nearly as others do."""
    corners = {
        (8, 8): (250, 20, 20),
        (8, 40): (20, 250, 20),
        (40, 8): (20, 20, 250),
        (40, 40): (128, 128, 128),
    }
    colors = np.zeros((64, 64, 3), np.uint8)
    for (y, x), color in corners.items():
        colors[y - 8 : y + 24, x - 8 : x + 24] = color
    for matrix, code, full in ((5, 5, False), (1, 1, False), (5, 5, True)):
        path = tmp_path / f"{matrix}{full}.mp4"
        with av.open(str(path), "w") as file:
            stream = file.add_stream("libx264", rate=25, options={"crf": "4"})
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv444p"
            stream.codec_context.colorspace = code
            stream.codec_context.color_range = 2 if full else 1
            frame = av.VideoFrame.from_ndarray(colors, format="rgb24")
            frame = frame.reformat(format="yuv444p", dst_colorspace=matrix, dst_color_range=2 if full else 1)
            file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
        with VideoProcessor(path) as video:
            shown = video.read_frame(0).image.astype(int)
        for y, x in corners:
            assert np.abs(shown - colors)[y : y + 16, x : x + 16].max() < 12
