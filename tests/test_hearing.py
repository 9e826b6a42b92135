"""What is heard: spectrograms, mini-sound on sounds it was not trained on, and the picture together with the sound."""

from __future__ import annotations

import numpy as np
import pytest
import small_checkpoints
from video_files import paint

from course_lib import CLIPService, VideoAnalyzer
from course_lib.errors import ModelError, VideoError
from course_lib.hearing import BANDS, FRAMES, HOP, RATE, SoundEncoder, log_mel, spectrograms
from course_lib.settings import set_language
from course_lib.video import VideoProcessor
from course_lib.video_fusion import log_probabilities
from course_lib.video_sound import Sound, resample
from little_world import load_clips
from little_world.clip_sound import SOUND_OF
from little_world.training.evaluate_clip import phrase
from little_world.training.evaluate_sound import fit_confidence, grainy
from little_world.training.sound import SOUNDING, noisy

WINDOW = FRAMES * HOP


@pytest.fixture(autouse=True)
def english():
    set_language("en")
    yield
    set_language(None)


@pytest.fixture(scope="module")
def analyzer() -> VideoAnalyzer:
    return VideoAnalyzer(CLIPService("mini-clip"))


def tone(hertz: float, seconds: float, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


# ---------------------------------------------------------------------------------------------- spectrograms


def test_a_higher_tone_is_in_a_higher_band():
    bands = [
        log_mel(tone(hertz, WINDOW / RATE)).mean(axis=0).argmax() for hertz in (100, 300, 900, 2700, 7000)
    ]
    assert bands == sorted(bands) and len(set(bands)) == 5


def test_a_sound_is_loud_when_it_is_there():
    samples = np.zeros(WINDOW, np.float32)
    samples[WINDOW // 2 :] = tone(440, WINDOW / 2 / RATE)
    level = log_mel(samples).max(axis=1)
    assert level.shape == (FRAMES,)
    assert level[: FRAMES // 2 - 2].max() < level[FRAMES // 2 + 2 :].min() - 1
    assert np.ptp(log_mel(np.zeros(WINDOW, np.float32))) == 0


@pytest.mark.parametrize("seconds, count", [(0.3, 1), (2.0, 1), (2.1, 1), (3.1, 2), (6.2, 5)])
def test_a_long_sound_is_heard_in_windows(seconds, count):
    found = spectrograms(Sound(tone(440, seconds), RATE))
    assert found.shape == (count, FRAMES, BANDS) and found.dtype == np.float32


def test_the_sampling_rate_does_not_matter():
    at_16, at_44 = (spectrograms(Sound(tone(440, 2.5, rate), rate)) for rate in (RATE, 44_100))
    assert np.abs(at_16 - at_44)[..., :40].mean() < 0.1


# ------------------------------------------------------------------------------------------------ mini-sound


def heard(analyzer: VideoAnalyzer, sound: Sound, lang: str) -> str:
    cosines = analyzer.ears.similarity(sound, [phrase(lang, kind) for kind in SOUNDING])
    return SOUND_OF[SOUNDING[int(cosines.mean(axis=0).argmax())]]


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_sounds_of_the_gallery_are_named_by_texts(analyzer, lang):
    """Through the file: AAC, and the clip's own length."""
    tried = 0
    for example in load_clips():
        for shot in example.truth["shots"]:
            kinds = {actor["kind"] for actor in shot["actors"]} & set(SOUNDING)
            if (
                not kinds
                or not example.clip.sound
                or shot["background"] == "beach"
                or shot["end"] - shot["start"] < 1
            ):
                continue
            with VideoProcessor(example.path) as video:
                sound = video.audio(shot["start"], shot["end"])
            assert heard(analyzer, sound, lang) == SOUND_OF[kinds.pop()], example.path.stem
            tried += 1
    assert tried >= 10


def test_another_rate_is_heard_as_well(analyzer):
    example = next(c for c in load_clips() if c.path.stem == "06_dog_enter")
    with VideoProcessor(example.path) as video:
        samples, rate = video.audio()
    samples = resample(samples, rate, 44_100, round(len(samples) / rate * 44_100))
    assert heard(analyzer, Sound(samples, 44_100), "en") == "bark"


# ------------------------------------------------------------------------------------------------ both


def test_picture_and_sound_help_each_other_out(analyzer):
    """The gallery's sounding clips, with one or the other spoilt: together no worse than the better one."""
    rng = np.random.default_rng(5)
    labels = {kind: phrase("en", kind) for kind in SOUNDING}
    spoilt = {"picture": (0.45, 40.0), "sound": (0.0, -28.0), "neither": (0.0, 40.0)}
    right = {name: np.zeros(3) for name in spoilt}
    tried = 0
    for example in load_clips():
        kinds = {actor["kind"] for shot in example.truth["shots"] for actor in shot["actors"]} & set(SOUNDING)
        if len(example.clip.shots) > 1 or not kinds or not example.clip.sound:
            continue
        tried += 1
        with VideoProcessor(example.path) as video:
            sound, frames = video.audio(), [frame.image for frame in video.sample(5)[1:4]]
        for name, (grain, decibels) in spoilt.items():
            pictures = [grainy(frame, grain, rng) for frame in frames]
            fusion = analyzer.fuse_parts(
                pictures, Sound(noisy(sound.samples, decibels, rng), sound.rate), labels.values()
            )
            right[name] += [result.label == labels[next(iter(kinds))] for result in fusion]
    assert tried >= 8
    for name, (picture, sound, both) in right.items():
        assert both >= max(picture, sound) - 1, name
    assert right["neither"][2] == tried
    assert right["picture"][2] > right["picture"][0] and right["sound"][2] > right["sound"][1]


def test_a_file_is_fused_from_its_frames_and_its_sound(analyzer):
    example = next(c for c in load_clips() if c.path.stem == "13_duck_heard_late")
    labels = [phrase("en", kind) for kind in ("dog", "duck", "cat")]
    fusion = analyzer.fuse(example.path, labels, start=3.3, end=5.0)
    assert [result.label for result in fusion] == [labels[1]] * 3
    assert fusion.both[labels[1]] >= max(fusion.picture[labels[1]], fusion.sound[labels[1]]) - 1e-6
    named = analyzer.fuse(
        example.path, ["dog", "duck", "cat"], template="a picture of a {}", start=3.3, end=5.0
    )
    assert named.both == pytest.approx(dict(zip(["dog", "duck", "cat"], fusion.both.values())))


def test_probabilities_are_calibrated_by_the_best_cosine():
    cosines = np.array([[0.6, 0.5, 0.1], [0.3, 0.2, -0.2]])
    shares = np.exp(log_probabilities(cosines, (2.0, 3.0)))
    assert shares.sum(axis=1) == pytest.approx([1, 1])
    assert shares[0, 0] > shares[1, 0]  # the same lead, but a picture that fits nothing well
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=3000)
    logits = rng.normal(0, 1, (3000, 3))
    logits[np.arange(3000), truth] += 1.0
    # the truth is 1 logit ahead: scaled by 10, whatever the best is
    a, b = fit_confidence(logits / 10, truth)
    assert np.exp(a + b * np.median(logits.max(axis=1) / 10)) == pytest.approx(10, rel=0.15)


# ------------------------------------------------------------------------------------------------ bad input


def test_what_is_no_sound_is_one_sentence(analyzer):
    for samples in (np.zeros(0), np.zeros((2, 100)), np.full(100, np.nan)):
        with pytest.raises(VideoError, match="one-dimensional"):
            analyzer.ears.encode_sound(Sound(samples, RATE))


def test_another_clip_has_no_ears(tmp_path):
    service = CLIPService(small_checkpoints.make("clip", tmp_path / "clip"))
    with pytest.raises(ModelError, match="mini-sound reads the vectors of mini-clip"):
        SoundEncoder(service)
    with pytest.raises(ModelError, match="mini-action reads the vectors of mini-clip"):
        VideoAnalyzer(service).actions  # noqa: B018
    with pytest.raises(ModelError, match="is not in"):
        SoundEncoder(CLIPService("mini-clip"), str(tmp_path / "none"))
    with pytest.raises(VideoError):
        VideoAnalyzer(CLIPService("mini-clip")).fuse(paint(3), ["cat"])
