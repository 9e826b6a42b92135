"""VideoGenerator: on the course's own server, and against stand-ins that do otherwise, fail, or are in the way."""

from __future__ import annotations

import threading
from io import BytesIO

import numpy as np
import pytest
import small_checkpoints
from PIL import Image
from video_servers import VideoServer

from course_lib import (
    AnswerError,
    CourseWarning,
    GeneratedVideo,
    ImageError,
    OutputError,
    RefusalError,
    ServiceError,
    SettingsError,
    TextError,
    VideoError,
    VideoGenerator,
    VideoProcessor,
    registry,
    settings,
)
from little_world.server import LocalServer

ABOUT = {
    "num_frames": 6,
    "frame_rate": 5,
    "num_inference_steps": 2,
    "guidance_scale": 4.0,
    "first_frame": True,
}
FRAMES = [Image.new("RGB", (64, 48), (40 * i, 30, 200 - 30 * i)) for i in range(6)]
KEY = "sk-a-key-for-the-tests"


@pytest.fixture(autouse=True)
def plain_settings(monkeypatch):
    settings.set_language("en")
    for name in ("COURSE_VIDEO_URL", "COURSE_VIDEO_API_KEY", "COURSE_VIDEO_MODEL"):
        monkeypatch.delenv(name, raising=False)
    yield
    settings.set_language(None)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    base = small_checkpoints.make_stable_diffusion(folder / "tiny")
    adapter = small_checkpoints.make_motion_adapter(folder / "moving", base, about=ABOUT)
    with LocalServer(sd_model=base, video_model=adapter, api_key=KEY) as server:
        yield server.wait()


@pytest.fixture(scope="module")
def generator(server):
    return VideoGenerator(server.url, KEY, progress=False)


@pytest.fixture(scope="module")
def clip():
    return GeneratedVideo.from_frames(FRAMES, 5, {"prompt": "colours", "seed": 3})


@pytest.fixture
def standing():
    """`standing(answer)` starts a stand-in that ends with the test."""
    servers = []

    def start(answer):
        servers.append(VideoServer(answer))
        return servers[-1]

    yield start
    for one in servers:
        one.close()


def scripted(clip, *states, created=None):
    """Answers of a server whose video goes through `states`, then is there."""
    left = list(states)

    def answer(method, path, form):
        if method == "POST":
            return 200, {
                "id": "video_1",
                "object": "video",
                "status": "queued",
                "progress": 0,
                **(created or {}),
            }
        if path.endswith("/content"):
            return 200, clip.data
        state = left.pop(0) if len(left) > 1 else left[0]
        return 200, {
            "id": "video_1",
            "object": "video",
            **(state if isinstance(state, dict) else {"status": state}),
        }

    return answer


# ---------------------------------------------------------------------------------- the course's own server


def test_text_to_video(generator):
    options = {"negative_prompt": "blue", "steps": 3, "guidance_scale": 2.5}
    video = generator.text_to_video("a red car moves to the right", seconds=1, seed=7, **options)
    assert (len(video), video.fps, video.seconds, video.size) == (5, 5.0, 1.0, (64, 64))
    assert (video.frames.shape, video.frames.dtype) == ((5, 64, 64, 3), np.uint8)
    assert (video.prompt, video.seed) == ("a red car moves to the right", 7)
    assert video.parameters["num_inference_steps"] == 3
    assert video.parameters["model"] == "moving"
    again = generator.text_to_video("a red car moves to the right", frames=5, seed=7, **options)
    assert again.data == video.data
    other = generator.text_to_video("a red car moves to the right", seconds=1, seed=8, **options)
    assert other.data != video.data


def test_what_is_not_given_is_the_models_own_and_the_seed_is_told(generator):
    video = generator.text_to_video("a cat")
    assert (len(video), video.size) == (6, (64, 64))
    assert generator.text_to_video("a cat", seed=video.seed).data == video.data
    assert generator.text_to_video("a cat", width=72, height=64).size == (72, 64)


def test_image_to_video_begins_with_the_picture(generator):
    picture = Image.effect_noise((80, 80), 90).convert("RGB")
    begun, free = generator.image_to_video(picture, "a cat", seed=1), generator.text_to_video("a cat", seed=1)
    assert np.abs(begun.frames[0].astype(int) - free.frames[0]).mean() > 2
    assert begun.data == generator.image_to_video(picture, "a cat", seed=1).data


def test_videos_can_be_listed_fetched_and_deleted(generator):
    video = generator.text_to_video("a dog", seed=2)
    assert video.id == generator.videos()[0]["id"]
    assert generator.fetch(video.id).data == video.data
    generator.delete(video.id)
    with pytest.raises(ServiceError) as gone:
        generator.fetch(video.id)
    assert gone.value.status == 404


def test_without_an_address_it_is_the_courses_own_server(server, monkeypatch):
    own = VideoGenerator(progress=False)
    assert (own.api_url, own.model) == (None, "mini-motion")
    monkeypatch.setattr(settings, "local_server", lambda **_: server.url)
    with pytest.raises(ServiceError) as refused:  # this one wants a key, and its model has another name
        own.text_to_video("a cat")
    assert refused.value.kind == "authentication"


def test_a_server_that_is_full_says_so(server, generator):
    places = server.app.state.animation.places
    for _ in range(places.bound):
        places.take()
    try:
        with pytest.raises(ServiceError) as full:
            VideoGenerator(server.url, KEY, retries=0, progress=False).text_to_video("a cat")
        assert full.value.kind == "rate_limit"
    finally:
        for _ in range(places.bound):
            places.give()


# ------------------------------------------------------------------------------------------- other servers


def test_the_request_is_a_form_that_any_server_of_this_shape_takes(standing, clip):
    other = standing(scripted(clip, "completed"))
    video = VideoGenerator(other.url + "/v1/videos/", KEY, model="wan", progress=False).image_to_video(
        FRAMES[0],
        "a cat",
        "dog",
        seconds=4,
        width=1280,
        height=720,
        steps=30,
        guidance_scale=5,
        seed=0,
        flow_shift=3.0,
    )
    method, path, form, headers = other.asked[0]
    assert (method, path, headers["Authorization"]) == ("POST", "/v1/videos", f"Bearer {KEY}")
    with Image.open(BytesIO(form.pop("input_reference"))) as sent:
        assert sent.size == FRAMES[0].size
    assert form == {
        "prompt": "a cat", "negative_prompt": "dog", "model": "wan", "seconds": "4", "size": "1280x720", "seed": "0",
        "num_inference_steps": "30", "guidance_scale": "5.0", "flow_shift": "3.0",
    }  # fmt: skip
    assert video.data == clip.data
    assert video.seed == 0  # as asked, where the server does not tell
    VideoGenerator(other.url, progress=False).text_to_video("a cat")
    assert other.asked[-3][2] == {"prompt": "a cat"}  # nothing that OpenAI's protocol does not know
    assert "Authorization" not in other.asked[-3][3]


def test_it_waits_while_the_video_is_made_whatever_that_is_called(standing, clip):
    other = standing(
        scripted(clip, "queued", {"status": "in_progress", "progress": 40}, "processing", "succeeded")
    )
    assert VideoGenerator(other.url, progress=False).text_to_video("a cat").data == clip.data
    assert len(other.asked) == 6


def test_what_the_server_did_otherwise_is_told(standing, clip):
    did = {"status": "completed", "seed": 5, "size": "64x48", "seconds": 4.0}
    other = standing(scripted(clip, did))
    with pytest.warns(CourseWarning, match="size 128x128 was asked for, 64x48 came"):
        video = VideoGenerator(other.url, progress=False).text_to_video("a cat", width=128, seed=5, seconds=4)
    assert video.parameters["size"] == "64x48"


FAILURES = {
    "failed": (
        {"status": "failed", "error": {"code": "oom", "message": "no memory"}},
        ServiceError,
        "no memory",
    ),
    "failed without a word": ({"status": "failed", "error": None}, ServiceError, "failed"),
    "filtered": ({"status": "failed", "error": {"code": "moderation_blocked"}}, RefusalError, "filter"),
    "cancelled": ({"status": "cancelled"}, ServiceError, "cancelled"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_video_that_fails_is_an_error(standing, clip, case):
    state, error, words = FAILURES[case]
    with pytest.raises(error, match=words):
        VideoGenerator(standing(scripted(clip, state)).url, progress=False).text_to_video("a cat")


ANSWERS = {
    "no JSON": (200, b"<html>"),
    "another object": (200, {"data": []}),
    "a list": (200, [1]),
    "no status": (200, {"id": "video_1"}),
    "a number that is a path": (200, {"id": "../../secrets", "status": "queued"}),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_that_is_no_video_is_an_error(standing, case):
    other = standing(lambda method, path, form: ANSWERS[case])
    with pytest.raises(AnswerError):
        VideoGenerator(other.url, progress=False).text_to_video("a cat")
    assert len(other.asked) == 1


def test_content_that_is_no_video_is_an_error(standing, clip):
    def answer(method, path, form):
        return (
            (200, b"not a video")
            if path.endswith("/content")
            else scripted(clip, "completed")(method, path, form)
        )

    with pytest.raises(VideoError):
        VideoGenerator(standing(answer).url, progress=False).text_to_video("a cat")


def test_an_order_is_sent_once_but_where_it_was_turned_away(standing, clip):
    broken = standing(lambda *_: (500, {"error": {"message": "down"}}))
    with pytest.raises(ServiceError) as failed:
        VideoGenerator(broken.url, progress=False).text_to_video("a cat")
    assert (failed.value.kind, len(broken.asked)) == ("server", 1)  # it may have been paid for
    full = standing(lambda *_: (429, {"error": {"message": "later"}}, {"retry-after": "0.05"}))
    with pytest.raises(ServiceError) as refused:
        VideoGenerator(full.url, progress=False).text_to_video("a cat")
    assert (refused.value.kind, len(full.asked)) == ("rate_limit", 3)
    calm = scripted(clip, "completed")
    hiccups = [True]
    flaky = standing(lambda *a: (502, {}) if a[0] == "GET" and hiccups and hiccups.pop() else calm(*a))
    assert VideoGenerator(flaky.url, progress=False).text_to_video("a cat").data == clip.data
    assert [method for method, *_ in flaky.asked] == ["POST", "GET", "GET", "GET"]


def test_the_key_shows_nowhere(standing):
    other = standing(lambda *_: (401, {"error": {"message": f"wrong key {KEY}"}}))
    generator = VideoGenerator(other.url, KEY, progress=False)
    with pytest.raises(ServiceError) as refused:
        generator.text_to_video("a cat")
    shown = f"{refused.value} {refused.value.raw} {generator!r} {generator} {vars(generator)} {vars(generator.jobs)}"
    assert KEY not in shown
    assert refused.value.kind == "authentication"


def test_a_key_in_the_settings_goes_to_its_own_address_alone(standing, clip, monkeypatch):
    mine, other = (standing(scripted(clip, "completed")) for _ in range(2))
    monkeypatch.setenv("COURSE_VIDEO_URL", mine.url + "/v1")
    monkeypatch.setenv("COURSE_VIDEO_API_KEY", KEY)
    monkeypatch.setenv("COURSE_VIDEO_MODEL", "wan")
    VideoGenerator(progress=False).text_to_video("a cat")
    VideoGenerator(other.url, progress=False).text_to_video("a cat")
    assert mine.asked[0][3]["Authorization"] == f"Bearer {KEY}"
    assert mine.asked[0][2]["model"] == "wan"
    assert "Authorization" not in other.asked[0][3]


def test_one_that_takes_too_long_can_be_fetched_later(standing, clip):
    made = threading.Event()

    def answer(*asked):
        return scripted(clip, "completed" if made.is_set() else "in_progress")(*asked)

    generator = VideoGenerator(standing(answer).url, timeout=0.2, progress=False)
    with pytest.raises(ServiceError, match=r"fetch\('video_1'\)") as late:
        generator.text_to_video("a cat")
    assert late.value.kind == "timeout"
    made.set()
    assert generator.fetch("video_1").data == clip.data


def test_ctrl_c_deletes_what_was_ordered(standing, clip, monkeypatch):
    other = standing(scripted(clip, "in_progress"))
    generator = VideoGenerator(other.url, progress=False)
    from course_lib.painting import watching

    class Bar:
        n = 0

        def __init__(self, *_, **__):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, _):
            if any(method == "GET" for method, *_ in other.asked):
                raise KeyboardInterrupt

    monkeypatch.setattr(watching, "tqdm", Bar)
    with pytest.raises(KeyboardInterrupt):
        generator.text_to_video("a cat")
    assert ("DELETE", "/v1/videos/video_1") in [(method, path) for method, path, *_ in other.asked]


# ------------------------------------------------------------------------------------------------ bad input

BAD = {
    "no prompt": ((None,), {}, TextError),
    "an empty prompt": (("  ",), {}, TextError),
    "a very long prompt": (("a" * 5000,), {}, TextError),
    "a list": ((["a cat"],), {}, TextError),
    "no time": (("a",), {"seconds": 0}, SettingsError),
    "too much time": (("a",), {"seconds": 1e6}, SettingsError),
    "time in words": (("a",), {"seconds": "two"}, SettingsError),
    "no frames": (("a",), {"frames": 0}, SettingsError),
    "half a frame": (("a",), {"frames": 2.5}, SettingsError),
    "both": (("a",), {"frames": 8, "seconds": 1}, SettingsError),
    "a size off the grid": (("a",), {"width": 100}, SettingsError),
    "an absurd size": (("a",), {"width": 64, "height": 10**6}, SettingsError),
    "no steps": (("a",), {"steps": 0}, SettingsError),
    "a mad guidance": (("a",), {"guidance_scale": float("nan")}, SettingsError),
    "a seed that is none": (("a",), {"seed": -7}, SettingsError),
    "the protocol's name": (("a",), {"num_inference_steps": 3}, SettingsError),
    "a size as the protocol says it": (("a",), {"size": "64x64"}, SettingsError),
}


@pytest.mark.parametrize("case", BAD)
def test_what_makes_no_sense_is_refused_before_it_is_sent(case):
    arguments, options, error = BAD[case]
    nowhere = VideoGenerator("http://127.0.0.1:9", progress=False)
    with pytest.raises(error) as refused:
        nowhere.text_to_video(*arguments, **options)
    assert len(str(refused.value)) > 20


def test_pictures_addresses_and_keys_that_make_no_sense():
    nowhere = VideoGenerator("http://127.0.0.1:9", retries=0, progress=False)
    with pytest.raises(ImageError):
        nowhere.image_to_video("/nowhere/at/all.png", "a cat")
    with pytest.raises(ServiceError) as unreachable:
        nowhere.text_to_video("a cat")
    assert unreachable.value.kind == "connection"
    with pytest.raises(AnswerError, match="number"):
        nowhere.fetch("../../etc/passwd")
    for address in ("not an address", "ftp://a.b", "http://user:secret@host"):
        with pytest.raises(SettingsError):
            VideoGenerator(address)
    with pytest.raises(SettingsError):
        VideoGenerator("http://host", "a key\nwith a line break")


# ----------------------------------------------------------------------------------------------- the result


def test_a_generated_video_saves_shows_and_describes_itself(clip, tmp_path):
    path = clip.save(tmp_path / "clip.mp4")
    assert path.read_bytes() == clip.data
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]
    with VideoProcessor(path) as video:
        assert (video.total_frames, round(video.duration, 3)) == (6, 1.2)
    assert "<video" in clip._repr_html_()
    assert "base64" in clip._repr_html_()
    assert repr(clip) == "<GeneratedVideo 64x48, 6 frames, 1.2 s seed=3 'colours'>"
    assert (len(clip), clip.fps, clip.size, len(clip.pictures)) == (6, 5.0, (64, 48), 6)
    assert clip.contact_sheet().width > 6 * 64
    for frame, picture in zip(clip.frames, FRAMES, strict=True):
        assert np.abs(frame.astype(int) - np.asarray(picture)).max() < 12  # H.264, gently


def test_the_same_frames_give_the_same_file_whatever_memory_held_before():
    rng = np.random.default_rng(1)
    blotches, frames = rng.integers(0, 255, (8, 8, 3)), []
    for _ in range(5):  # half of it stays: over such clips x264 hesitates
        picture = (0.5 * blotches + 0.5 * rng.integers(0, 255, (8, 8, 3))).astype(np.uint8)
        frames.append(Image.fromarray(picture).resize((64, 64), Image.Resampling.BICUBIC))
    files, junk = set(), []
    for _ in range(12):
        junk = [np.full(int(rng.integers(1, 60_000)), rng.integers(255), np.uint8) for _ in range(60)]
        del junk[::2]
        files.add(GeneratedVideo.from_frames(frames, 5).data)
    assert len(files) == 1


def test_the_home_folder_may_be_written_as_a_tilde(clip, tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    assert (
        clip.save("~/clip.mp4") == tmp_path / "clip.mp4" and (tmp_path / "clip.mp4").read_bytes() == clip.data
    )


def test_a_prompt_is_no_markup():
    evil = GeneratedVideo.from_frames(FRAMES, 5, {"prompt": '"><script>alert(1)</script>'})
    assert "<script>" not in evil._repr_html_()


def test_what_cannot_be_saved_is_told(clip, tmp_path):
    with pytest.raises(VideoError, match=r"\.mp4"):
        clip.save(tmp_path / "clip.gif")
    with pytest.raises(OutputError):
        clip.save(tmp_path / "nowhere" / "clip.mp4")
    with pytest.raises(VideoError):
        GeneratedVideo(b"no video")
    with pytest.raises(VideoError):
        GeneratedVideo.from_frames([], 5)


def test_the_registry_names_full_size_models():
    found = registry.models(task="text-to-video")
    assert {model.family for model in found} >= {"WanPipeline", "LTXPipeline", "CogVideoXPipeline"}
    assert registry.models(task="text-to-video", language="zh")
    assert all(model.source for model in found)
