"""VideoProcessor: what the chapter's listing gets wrong, sampling, shots, sound, pictures of a video."""

from __future__ import annotations

import gc
import os
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import av.logging
import cv2
import numpy as np
import pytest
import video_files
from PIL import Image
from video_files import number

import course_lib
from course_lib import video_parallel
from course_lib.errors import VideoError
from course_lib.video import VideoFrame, VideoProcessor
from course_lib.video_index import ffmpeg_errors
from course_lib.video_shots import cuts, differences
from course_lib.video_sound import Sound
from course_lib.video_writing import write_video
from little_world import draw_clip, load_clips, random_clip

EVEN = [i * 40 for i in range(50)]
UNEVEN = [0, *np.cumsum(np.random.default_rng(4).choice([20, 40, 300], 49)).tolist()]
B_FRAMES = {"bf": "3", "g": "20"}


@pytest.fixture(scope="module")
def even(tmp_path_factory) -> Path:
    return video_files.write(tmp_path_factory.mktemp("video") / "even.mp4", EVEN, options=B_FRAMES)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory) -> Path:
    return video_files.write(tmp_path_factory.mktemp("video") / "uneven.mkv", UNEVEN, options=B_FRAMES)


def chapters_way(path: Path, frame_id: int) -> int:
    """The number of the frame that the chapter's seek brings, or -1 if it brings none."""
    capture = cv2.VideoCapture(str(path))
    capture.set(cv2.CAP_PROP_POS_FRAMES, frame_id)
    good, picture = capture.read()
    capture.release()
    return number(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)) if good else -1


# -------------------------------------------------------------------------------- named after the corrections


def test_correction_27_a_missing_file_is_an_error_at_once(tmp_path):
    with pytest.raises(VideoError, match="none.mp4"):
        VideoProcessor(tmp_path / "none.mp4")


def test_correction_28_seeking_is_exact_on_a_variable_frame_rate(uneven):
    wrong = sum(chapters_way(uneven, i) != i for i in range(50))
    assert wrong > 10  # the trap is there
    with VideoProcessor(uneven) as video:
        assert [number(video.read_frame(i).image) for i in range(50)] == list(range(50))


def test_correction_29_frames_are_counted_not_estimated(uneven):
    capture = cv2.VideoCapture(str(uneven))
    estimate = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    assert estimate != 50  # the trap is there
    with VideoProcessor(uneven) as video:
        assert (video.total_frames, len(video)) == (50, 50)
        assert number(video.read_frame(video.total_frames - 1).image) == 49


def test_correction_30_time_and_number_belong_to_the_picture(uneven):
    with VideoProcessor(uneven) as video:
        for i in (0, 7, 31, 49, 12):
            frame = video.read_frame(i)
            assert (frame.frame_id, number(frame.image)) == (i, i)
            assert frame.timestamp == pytest.approx(UNEVEN[i] / 1000)
        last_gap = video.duration - UNEVEN[-1] / 1000
        assert 0 < last_gap < 0.5
        assert video.fps == pytest.approx(50 / video.duration)
        assert video.is_variable


def test_correction_31_a_short_video_gives_no_frame_twice(tmp_path):
    path = video_files.write(tmp_path / "a.mp4", EVEN[:3])
    with VideoProcessor(path) as video:
        assert [frame.frame_id for frame in video.extract_keyframes(8)] == [0, 1, 2]


def test_correction_31_shots_are_found_by_content():
    example = next(c for c in load_clips("shots") if len(c.clip.shots) == 6)
    with VideoProcessor(example.path) as video:
        assert [shot.first for shot in video.detect_shots()] == [s["first"] for s in example.truth["shots"]]


def test_correction_34_pictures_are_rgb(even):
    with VideoProcessor(even) as video:
        frame = video.read_frame(0)
    red, blue = frame.image[-3, 3].astype(int), frame.image[-3, -3].astype(int)
    assert red[0] - red[2] > 100 and blue[2] - blue[0] > 100
    assert isinstance(frame.pil, Image.Image) and frame.pil.getpixel((3, 45)) == tuple(frame.image[45, 3])
    assert np.array_equal(course_lib.open_image(frame.image), frame.image)


def test_correction_35_the_file_is_released_at_the_end_of_the_with_statement(tmp_path):
    """Not at whatever time an object happens to be collected."""
    path = video_files.write(tmp_path / "a.mp4", EVEN[:5])
    gc.disable()
    try:
        before = open_files(path)
        with VideoProcessor(path) as video:
            inside = open_files(path)
        assert (before, inside, open_files(path)) == (0, 1, 0)
        assert video.total_frames == 5
        with pytest.raises(RuntimeError), VideoProcessor(path):
            raise RuntimeError
        assert open_files(path) == 0
    finally:
        gc.enable()


def open_files(path: Path) -> int:
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("this system does not list a process's open files")
    return sum(entry.exists() and entry.resolve() == path.resolve() for entry in folder.iterdir())


# -------------------------------------------------------------------------------- the chapter


def test_the_chapters_names_and_order_of_arguments(even):
    video = course_lib.VideoProcessor(str(even))
    assert (video.video_path, video.fps, video.total_frames) == (str(even), pytest.approx(25), 50)
    assert video.duration == pytest.approx(2.0)
    assert number(video.read_frame(7).image) == number(video.read_frame(None, 0.29).image) == 7
    assert [number(video.read_frame().image) for _ in range(3)] == [8, 9, 10]  # the next one
    assert len(video.extract_keyframes(10)) == len(video.extract_keyframes()) == 10
    frame = VideoFrame(frame_id=1, timestamp=0.5, image=np.zeros((2, 2, 3), np.uint8))
    assert frame.timestamp == 0.5 and frame == frame and frame != VideoFrame(1, 0.5, frame.image)
    assert len({frame, frame}) == 1
    video.close()


# -------------------------------------------------------------------------------- sampling


@pytest.mark.parametrize("count", [1, 2, 3, 16, 49, 50, 51, 500])
def test_a_sample_is_even_in_time_and_has_no_frame_twice(uneven, count):
    with VideoProcessor(uneven) as video:
        frames = video.sample(count)
        ids = [frame.frame_id for frame in frames]
        assert ids == sorted(set(ids)) and len(ids) == min(count, 50)
        assert [number(frame.image) for frame in frames] == ids
        if 1 < count < 8:  # few enough that no frame has to give way
            moments = np.linspace(0, video.timestamps[-1], count)
            assert ids == [video.read_frame(timestamp=t).frame_id for t in moments]


def test_a_sample_of_a_span(even):
    with VideoProcessor(even) as video:
        ids = [frame.frame_id for frame in video.sample(5, start=0.4, end=1.2)]
    assert ids == [10, 14, 19, 24, 29]


@pytest.mark.parametrize("count", [1, 2, 5, 8, 20, 50])
def test_a_sample_near_keyframes_is_still_even(uneven, count):
    """Each of its frames is the keyframe nearest to its place, where one lies within a third of the distance."""
    with av.open(str(uneven)) as container:
        keys = sorted(packet.pts for packet in container.demux(video=0) if packet.size and packet.is_keyframe)
    with VideoProcessor(uneven) as video:
        frames, exact = video.sample(count, exact=False), video.sample(count)
        ids = [frame.frame_id for frame in frames]
        assert ids == sorted(set(ids)) and len(ids) == count
        assert [number(frame.image) for frame in frames] == ids
        places = np.linspace(0, video.timestamps[-1], count)
        moved = 0
        for place, frame, even_one in zip(places, frames, exact):
            near = [
                key / 1000
                for key in keys
                if abs(key / 1000 - place) < video.timestamps[-1] / max(1, count - 1) / 3
            ]
            if count <= 8:  # few enough that no frame has to give way
                expected = min(near, key=lambda t: abs(t - place)) if near else even_one.timestamp
                assert frame.timestamp == pytest.approx(expected)
            moved += frame.frame_id != even_one.frame_id
    assert moved > 0 or count in (1, 2, 50)


def test_parts_are_of_about_the_same_work_and_leave_no_group_torn(tmp_path):
    path = video_files.write(tmp_path / "a.mp4", [i * 40 for i in range(300)], options={"bf": "0", "g": "10"})
    with VideoProcessor(path) as video:
        index = video._index
    rng = np.random.default_rng(0)
    for count in (2, 3, 10, 40, 300):
        ids = np.sort(rng.choice(300, count, replace=False)).tolist()
        runs = video_parallel.parts(index, ids, 10**9)
        assert sum(runs, []) == ids
        groups = [set(index.start[run].tolist()) for run in runs]
        assert all(not (a & b) for a, b in zip(groups, groups[1:]))
        assert 1 <= len(runs) <= os.cpu_count()
    runs = video_parallel.parts(index, list(range(300)), 10**9)
    work = [len(run) for run in runs]
    assert max(work) - min(work) <= 20
    assert video_parallel.parts(index, list(range(300)), 1) == [list(range(300))]  # too little to be worth it


def test_what_cannot_be_opened_twice_is_read_in_one_go(tmp_path, monkeypatch):
    monkeypatch.setattr(video_parallel, "WORTH", 0)
    monkeypatch.setattr(video_parallel, "read_parts", None)
    path = video_files.write(tmp_path / "a.mp4", EVEN, options={"bf": "0", "g": "5"})
    with path.open("rb") as file, VideoProcessor(file) as video:
        assert [number(frame.image) for frame in video.sample(7)] == [
            frame.frame_id for frame in video.sample(7)
        ]


def test_while_one_thread_listens_to_ffmpeg_another_does_not_close(even):
    """A decoder's threads log with Python's lock, which closing holds while it waits for them."""
    video, done = VideoProcessor(even), threading.Event()
    closing = threading.Thread(target=lambda: (video.close(), done.set()), daemon=True)
    level = av.logging.get_level()
    with ffmpeg_errors():
        closing.start()
        assert not done.wait(0.3)
    assert done.wait(10)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: VideoProcessor(even).close(), range(40)))
    assert av.logging.get_level() == level


def test_frames_of_a_span_and_at_a_step(even):
    with VideoProcessor(even) as video:
        ids = lambda **given: [number(frame.image) for frame in video.frames(**given)]  # noqa: E731
        assert ids(start=0.4, end=0.8) == list(range(10, 20))
        assert ids(start=1.9) == [47, 48, 49]
        assert ids(every=20) == [0, 20, 40]
        assert ids(fps=5) == list(range(0, 50, 5))
        assert ids(start=1.0, end=1.2, fps=50) == [25, 25, 26, 26, 27, 27, 28, 28, 29, 29]


def test_a_rate_on_a_variable_frame_rate_is_even_in_time(uneven):
    with VideoProcessor(uneven) as video:
        shown = [number(frame.image) for frame in video.frames(fps=10)]
        moments = np.arange(len(shown)) / 10
    assert shown == [sum(t / 1000 <= m + 1e-9 for t in UNEVEN) - 1 for m in moments]


def test_frames_come_one_by_one_in_constant_memory(tmp_path):
    """Python's memory does not grow with the number of frames that have passed."""

    def peak(count: int) -> int:
        path = video_files.write(tmp_path / f"{count}.mp4", [i * 40 for i in range(count)], size=(320, 240))
        with VideoProcessor(path) as video:
            tracemalloc.start()
            assert sum(1 for _ in video.frames()) == count
            highest = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return highest

    assert peak(200) < peak(40) + 320 * 240 * 3 * 4


def test_what_is_not_needed_is_not_decoded(tmp_path):
    """Sampling decodes fewer frames than there are, and a second look nearby does not start over."""
    path = video_files.write(tmp_path / "a.mp4", [i * 40 for i in range(200)], options={"bf": "3", "g": "50"})
    with VideoProcessor(path) as video:
        decoder, fed = video._decoder, []
        drain = decoder._drain
        decoder._drain = lambda packet: (fed.append(decoder.stream.codec_context.skip_frame), drain(packet))
        video.sample(3)  # frames 0, 99, 199: each at an end of a group
        assert sum(mode != "NONREF" for mode in fed) < 40
        assert len(fed) < 130
        video.read_frame(120)
        fed.clear()
        video.read_frame(121)
        assert len(fed) < 10


# -------------------------------------------------------------------------------- shots


def test_shots_of_every_clip():
    found = true = right = 0
    for example in load_clips():
        with VideoProcessor(example.path) as video:
            shots = video.detect_shots()
        ours, theirs = ({s.first for s in shots}, {s["first"] for s in example.truth["shots"]})
        found, true, right = found + len(ours), true + len(theirs), right + len(ours & theirs)
        assert [s.first for s in shots[1:]] == [s.last + 1 for s in shots[:-1]]
        assert shots[0].start == 0 and shots[-1].end == pytest.approx(example.truth["seconds"], abs=1e-3)
    assert (right / found, right / true) == (1.0, 1.0)  # precision and recall


def test_shots_of_clips_that_the_threshold_was_not_chosen_on():
    rng = np.random.default_rng(77)
    found = true = right = 0
    for i in range(12):
        event = (None, "color", "appear", "vanish")[i % 4]
        clip = random_clip(rng, shots=4, seconds=1.0, actors=1 + i % 2, event=event)
        ours = set(cuts(differences(frame[::2, ::2] for frame in draw_clip(clip)), 0.4))
        theirs = {12, 24, 36}
        found, true, right = found + len(ours), true + len(theirs), right + len(ours & theirs)
    assert right / found >= 0.97 and right / true >= 0.97


def test_one_long_take_is_one_shot(even):
    with VideoProcessor(even) as video:
        (shot,) = video.detect_shots()
    assert (shot.first, shot.last, shot.num_frames) == (0, 49, 50)
    assert (shot.start, shot.end) == (0.0, pytest.approx(2.0))


def test_one_pass_gives_frames_and_shots(uneven):
    example = next(c for c in load_clips("shots") if len(c.clip.shots) == 6)
    with VideoProcessor(example.path) as video:
        scan = video.scan(9)
        with pytest.raises(VideoError, match="known when the whole video has been read"):
            scan.shots  # noqa: B018
        frames = list(scan)
        assert [f.frame_id for f in frames] == [f.frame_id for f in video.sample(9)] and len(scan) == 9
        assert scan.shots == video.detect_shots() and len(scan.shots) == 6
    with VideoProcessor(uneven) as video:
        shown = [number(frame.image) for frame in video.scan(fps=10)]  # a slow video's frame comes again
        assert shown == [number(frame.image) for frame in video.frames(fps=10)] and len(set(shown)) < len(
            shown
        )
        assert [number(frame.image) for frame in video.scan()] == list(range(50))


# -------------------------------------------------------------------------------- sound

RATE = 16_000


@pytest.fixture(scope="module")
def beeps(tmp_path_factory) -> Path:
    """Two seconds of pictures; a tone of 440 Hz from 0.5 s to 1.0 s."""
    t = np.arange(2 * RATE) / RATE
    tone = (0.5 * np.sin(2 * np.pi * 440 * t) * ((t >= 0.5) & (t < 1.0))).astype(np.float32)
    frames = [video_files.paint(i) for i in range(50)]
    return write_video(tmp_path_factory.mktemp("sound") / "beeps.mp4", frames, 25, sound=Sound(tone, RATE))


def loud(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def test_sound_is_where_the_video_has_it(beeps):
    with VideoProcessor(beeps) as video:
        assert video.has_audio
        samples, rate = video.audio()
        assert (rate, samples.dtype, samples.shape) == (RATE, np.float32, (2 * RATE,))
        on = np.abs(samples) > 0.1
        assert np.flatnonzero(on)[[0, -1]] / RATE == pytest.approx([0.5, 1.0], abs=0.005)
        assert loud(samples[int(0.55 * RATE) : int(0.95 * RATE)]) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
        assert loud(samples[: int(0.45 * RATE)]) < 0.01


@pytest.mark.parametrize("start, end", [(0.0, 0.7), (0.6, 0.9), (0.93, 1.7), (1.5, None)])
def test_a_span_of_sound_is_a_span_of_the_whole(beeps, start, end):
    with VideoProcessor(beeps) as video:
        whole = video.audio().samples
        video.read_frame(40)  # pictures and sound do not disturb each other
        part = video.audio(start, end).samples
        assert number(video.read_frame(41).image) == 41
    cut = whole[round(start * RATE) : None if end is None else round(end * RATE)]
    assert part.shape == cut.shape
    assert np.abs(part - cut).max() < 1e-3


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_sound_at_another_rate(beeps, rate):
    with VideoProcessor(beeps) as video:
        samples, given = video.audio(0.5, 1.0, rate)
    assert (given, len(samples)) == (rate, rate // 2)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert np.fft.rfftfreq(len(samples), 1 / rate)[spectrum.argmax()] == pytest.approx(440, abs=3)


def test_a_sound_track_that_begins_late_and_ends_early_is_silence_there(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as file:
        pictures = file.add_stream("libx264", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        voice = file.add_stream("libopus", rate=48_000, layout="stereo")
        for i in range(75):
            frame = av.VideoFrame.from_ndarray(video_files.paint(i), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            file.mux(pictures.encode(frame))
        file.mux(pictures.encode(None))
        tone = np.sin(2 * np.pi * 600 * np.arange(48_000) / 48_000).astype(np.float32) * 0.5
        for start in range(0, 48_000, 960):
            piece = np.repeat(tone[start : start + 960], 2)[None]  # both channels, packed
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), "flt", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, 48_000 + start, Fraction(1, 48_000)
            file.mux(voice.encode(frame))
        file.mux(voice.encode(None))
    with VideoProcessor(path) as video:
        samples, rate = video.audio(rate=RATE)
        assert (rate, len(samples)) == (RATE, 3 * RATE)
        on = np.flatnonzero(np.abs(samples) > 0.1) / RATE
        assert on[[0, -1]] == pytest.approx([1.0, 2.0], abs=0.02)
        assert [number(frame.image) for frame in video.frames(2.9)] == [72, 73, 74]


def test_a_silent_video_says_so(even):
    with VideoProcessor(even) as video:
        assert not video.has_audio
        with pytest.raises(VideoError, match="has_audio"):
            video.audio()


# -------------------------------------------------------------------------------- pictures


def test_a_contact_sheet_shows_the_frames_in_order(even):
    with VideoProcessor(even) as video:
        sheet = video.contact_sheet(6, columns=3, side=64)
        ids = [frame.frame_id for frame in video.sample(6)]
    assert sheet.mode == "RGB" and sheet.width == 3 * (64 + 4) + 4
    pixels = np.asarray(sheet)
    height = (sheet.height - 4) // 2
    for i, frame_id in enumerate(ids):
        left, top = 4 + i % 3 * 68, 4 + i // 3 * height
        assert number(pixels[top : top + 48, left : left + 64]) == frame_id


def test_a_thumbnail_is_not_the_black_beginning(tmp_path):
    frames = [np.zeros((48, 64, 3), np.uint8)] * 10 + [video_files.paint(i) for i in range(10)]
    path = write_video(tmp_path / "a.mp4", frames, 25)
    with VideoProcessor(path) as video:
        thumbnail = video.thumbnail(64)
    assert thumbnail.size == (64, 64)
    assert np.asarray(thumbnail.crop((0, 8, 64, 56))).std() > 30


# -------------------------------------------------------------------------------- writing


def test_what_is_written_a_browser_plays(beeps):
    """H.264 in 4:2:0 and AAC, the index before the data, so that playing starts while it loads."""
    data = beeps.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(beeps)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (sound.codec_context.name, sound.codec_context.sample_rate) == ("aac", RATE)


@pytest.mark.parametrize(("width", "height"), [(47, 33), (48, 33), (47, 32), (1, 1)])
def test_of_an_odd_size_too_a_browser_plays_it(tmp_path, width, height):
    """The pictures grow by a pixel, which repeats the edge."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x * 4, y * 5, np.full_like(x, 90)], axis=-1).astype(np.uint8)
    path = write_video(tmp_path / "a.mp4", [picture] * 3, 25, quality=1)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    with VideoProcessor(path) as video:
        found = video.read_frame(2).image.astype(int)
    assert found.shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(found[:height, :width] - picture).max() < 12
    assert np.abs(found[-1, :width] - picture[-1]).max() < 12


def test_a_name_with_a_colon_and_a_tilde_for_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    frames = [video_files.paint(i) for i in range(3)]
    if os.name != "nt":
        assert write_video("clip-12:30.mp4", frames, 25).is_file()
        with VideoProcessor("clip-12:30.mp4") as video:
            assert number(video.read_frame(2).image) == 2
    assert write_video("~/home.mp4", frames, 25) == tmp_path / "home.mp4"
    with VideoProcessor("~/home.mp4") as video:
        assert len(video) == 3


@pytest.mark.parametrize("fps", [25, 12, 30000 / 1001, 0.5])
def test_the_rate_and_the_pictures_come_back(tmp_path, fps):
    path = write_video(tmp_path / "a.mp4", [Image.fromarray(video_files.paint(i)) for i in range(9)], fps)
    with VideoProcessor(path) as video:
        assert video.fps == pytest.approx(fps, rel=1e-4)
        assert [number(frame.image) for frame in video.frames()] == list(range(9))
        assert not video.is_variable
