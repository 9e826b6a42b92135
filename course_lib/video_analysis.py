"""VideoAnalyzer (chapter, section 五, 5.2): a video's content as vectors, and what follows from them over time."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .clip import Classification, CLIPService
from .errors import VideoError
from .images import ImageSource
from .settings import say, spaced
from .texts import Texts, some_texts
from .video import VideoProcessor
from .video_alignment import cosines, ordered_similarity
from .video_moments import Moment, moments
from .video_shots import Shot
from .video_source import VideoSource, source_name
from .video_timeline import Timeline, build_timeline, encode_frames, is_clip

if TYPE_CHECKING:
    from .chat.answers import Answer, AnswerStream
    from .gpt4v import ImageAnalyzer
    from .hearing import SoundEncoder
    from .video_actions import ActionModel, VideoEvent
    from .video_fusion import Fusion
    from .video_sound import Sound
    from .xclip import XCLIPService

FPS = 4.0  # times a second that a video is looked at for a search
STEP = 10.0  # logits: how far a similarity must rise or fall for a moment to begin or end
_KEPT = 64e6  # bytes of timelines that are kept for further questions


class VideoAnalysis(dict):
    """What `analyze_video` found. `shots` are looked for when they are first asked for: that takes every frame."""

    def __init__(self, found: dict[str, Any], video: VideoSource):
        super().__init__(found)
        self._video = video

    def __missing__(self, key: str) -> list[Shot]:
        if key != "shots":
            raise KeyError(key)
        with VideoProcessor(self._video) as video:
            self[key] = video.detect_shots()
        return self[key]


class VideoAnalyzer:
    """Looks at videos through a CLIP model: mini-clip by default, any `CLIPService`, or an `XCLIPService`.

    A video is a path, a file's bytes or an open binary file. `image_analyzer` is who describes, and without it the
    settings decide. Raises `VideoError` for what is no video, and for moments that it does not have.
    """

    def __init__(
        self,
        clip_service: CLIPService | XCLIPService | None = None,
        *,
        image_analyzer: ImageAnalyzer | None = None,
    ):
        self.clip_service = CLIPService() if clip_service is None else clip_service
        self._image_analyzer = image_analyzer
        self._timelines: OrderedDict[tuple, Timeline] = OrderedDict()
        self._actions: ActionModel | None = None
        self._ears: SoundEncoder | None = None

    def __repr__(self) -> str:
        return f"VideoAnalyzer({self.clip_service!r})"

    # ---------------------------------------------------------------------------------------- the whole video

    def analyze_video(
        self, video_path: VideoSource, num_frames: int = 16, *, exact: bool = False
    ) -> VideoAnalysis:
        """What a video looks like, from frames spread over all of it, decoded in one pass and encoded in batches.

        Each frame stands for its part of the video (Wang et al. 2016, "Temporal Segment Networks"): the one in the middle
        of it, or a codec's keyframe nearby, which needs no other to be decoded (see `VideoProcessor.sample`). With `exact`,
        and with X-CLIP, which looks at motion, they are spaced evenly.

        The chapter's keys: `duration` in seconds, `fps`, `num_frames`, `avg_features` (d,) of length 1, and
        `frame_features`, a list of {"timestamp", "features" (d,)}. And `timestamps` (n,), `features` (n, d), `model`,
        `shots`. A short video has fewer frames than were asked for.
        """
        with VideoProcessor(video_path) as video:
            exact = exact or not is_clip(self.clip_service)
            times, features = encode_frames(self.clip_service, video.sample(num_frames, exact=exact))
            _there_must_be(times, video_path)
            found = {
                "duration": video.duration,
                "fps": video.fps,
                "num_frames": len(times),
                "avg_features": _mean(features),
                "frame_features": [
                    {"timestamp": float(time), "features": vector} for time, vector in zip(times, features)
                ],
                "timestamps": times,
                "features": features,
                "model": self.clip_service.name,
            }
        return VideoAnalysis(found, video_path)

    def compare_videos(
        self,
        video1_path: VideoSource,
        video2_path: VideoSource,
        *,
        ordered: bool = False,
        num_frames: int = 16,
    ) -> float:
        """How alike two videos are: a cosine in [-1, 1], 1 for a video with itself.

        Without `ordered` that of their mean features, to which a video played backwards is the same video. With it,
        what happens counts as well as what is seen: see `video_alignment.ordered_similarity`.
        """
        first, second = (self._features(video, num_frames) for video in (video1_path, video2_path))
        if ordered:
            return ordered_similarity(first, second)
        return float(cosines(_mean(first)[None], _mean(second)[None])[0, 0])

    # ------------------------------------------------------------------------------------------------ moments

    def timeline(self, video: VideoSource, *, fps: float = FPS) -> Timeline:
        """The video as vectors, `fps` a second; kept for the next question while its file does not change."""
        key = None
        if isinstance(video, (str, os.PathLike)) and os.path.isfile(video):
            stamp = os.stat(video)
            key = (os.path.realpath(video), stamp.st_mtime_ns, stamp.st_size, fps)
        if key in self._timelines:
            self._timelines.move_to_end(key)
            return self._timelines[key]
        with VideoProcessor(video) as opened:
            made = build_timeline(self.clip_service, opened, fps)
        _there_must_be(made.times, video)
        if key is not None:
            self._timelines[key] = made
            while sum(kept.nbytes for kept in self._timelines.values()) > _KEPT:
                self._timelines.popitem(last=False)
        return made

    def search_moments(
        self, video: VideoSource, text: Texts, *, top_k: int | None = None, fps: float = FPS
    ) -> list[Moment]:
        """When the video looks like what the text says: spans of time, best first, with their mean cosines.

        The video is cut where the similarity makes a step, so that there is no length to choose; the spans cover all
        of it. Several texts are wordings of one thing: their similarities are averaged. Scores of one text are
        comparable between videos, those of different texts are not.
        """
        timeline = self.timeline(video, fps=fps)
        curve = timeline.similarity(some_texts(text)).mean(axis=1)
        step = STEP / self.clip_service.logit_scale
        starts = [shot.start for shot in timeline.shots]
        return moments(timeline.times, curve, starts, timeline.duration, step)[:top_k]

    # ---------------------------------------------------------------------------------------- what happens

    def classify_action(
        self,
        video: VideoSource,
        labels: Iterable[str] | None = None,
        *,
        start: float | None = None,
        end: float | None = None,
    ) -> Classification:
        """What the thing in the video does from second `start` until second `end`, by default all the time.

        mini-clip's vectors are read in their order by mini-action, which knows the labels in its `actions` (moves
        right, bounces, ...); `labels` keeps some of them. X-CLIP takes any `labels`, as text.
        """
        if not is_clip(self.clip_service):
            return self._zero_shot_action(video, labels, start, end)
        return self.actions.classify(self.timeline(video, fps=self.actions.fps), labels, start, end)

    def detect_events(self, video: VideoSource, *, threshold: float = 0.5) -> list[VideoEvent]:
        """Where a pattern breaks, in order: something stops, turns back, vanishes, appears or changes colour.

        Each has its second, its sort and a probability of at least `threshold`. Cuts are no events: each shot is
        looked at by itself.
        """
        if not is_clip(self.clip_service):
            raise VideoError(
                say(
                    zh='detect_events 读的是 mini-clip 的逐帧向量，请改用 VideoAnalyzer(CLIPService("mini-clip"))。',
                    en="detect_events reads the vectors of mini-clip frame by frame, please use "
                    'VideoAnalyzer(CLIPService("mini-clip")).',
                )
            )
        return self.actions.events(self.timeline(video, fps=self.actions.fps), threshold)

    @property
    def actions(self) -> ActionModel:
        """mini-action, read when it is first needed. Raises `ModelError` where it does not fit the CLIP model."""
        if self._actions is None:
            from .video_actions import ActionModel

            self._actions = ActionModel(self.clip_service)
        return self._actions

    # ------------------------------------------------------------------------------------- picture and sound

    def fuse(
        self,
        video: VideoSource,
        labels: Iterable[str],
        *,
        template: str = "{}",
        start: float | None = None,
        end: float | None = None,
        num_frames: int = 4,
    ) -> Fusion:
        """Which label fits what is seen and heard from second `start` until second `end`.

        The picture by CLIP, the sound by mini-sound, and both together; see `video_fusion.fuse`.
        """
        with VideoProcessor(video) as opened:
            sound = opened.audio(start, end)
            frames = opened.sample(num_frames, start=start, end=end)
        _there_must_be(frames, video)
        return self.fuse_parts([frame.image for frame in frames], sound, labels, template=template)

    def fuse_parts(
        self, frames: Sequence[ImageSource], sound: Sound, labels: Iterable[str], *, template: str = "{}"
    ) -> Fusion:
        """As `fuse`, of frames and `(samples, rate)` that are already there."""
        from .video_fusion import fuse

        return fuse(self.clip_service, self.ears, frames, sound, labels, template)

    @property
    def ears(self) -> SoundEncoder:
        """mini-sound, read when it is first needed. Raises `ModelError` where it does not fit the CLIP model."""
        if self._ears is None:
            from .hearing import SoundEncoder

            self._ears = SoundEncoder(self.clip_service)
        return self._ears

    # ----------------------------------------------------------------------------------------------- in words

    def describe_video(
        self,
        video: VideoSource,
        question: str | None = None,
        *,
        num_frames: int = 6,
        start: float | None = None,
        end: float | None = None,
        times: bool = True,
        stream: bool = False,
    ) -> Answer | AnswerStream:
        """What happens, in words: frames in order, each after its second, go to the vision chat in one request.

        Without a `question` the wording is that of `ImageAnalyzer.narrate`, which mini-vlm knows; to a full-size model
        rather put one of your own. `times=False` leaves the seconds out. Errors as in `ImageAnalyzer.ask`.
        """
        with VideoProcessor(video) as opened:
            frames = opened.sample(num_frames, start=start, end=end)
        _there_must_be(frames, video)
        pictures = [frame.image for frame in frames]
        # As Qwen3-VL writes the time of a frame.
        captions = [f"<{frame.timestamp:.1f} seconds>" for frame in frames] if times else []
        if question is None:
            return self.image_analyzer.narrate(pictures, stream=stream, captions=captions)
        return self.image_analyzer.ask(pictures, question, stream=stream, captions=captions)

    @property
    def image_analyzer(self) -> ImageAnalyzer:
        """Who describes: what was given, else what the settings say."""
        if self._image_analyzer is None:
            from .gpt4v import ImageAnalyzer

            self._image_analyzer = ImageAnalyzer()
        return self._image_analyzer

    # ----------------------------------------------------------------------------------------------- internal

    def _features(self, video: VideoSource, num_frames: int) -> np.ndarray:
        with VideoProcessor(video) as opened:
            _, features = encode_frames(self.clip_service, opened.sample(num_frames))
        _there_must_be(features, video)
        return features

    def _zero_shot_action(self, video, labels, start, end) -> Classification:
        if labels is None:
            raise VideoError(
                say(
                    zh="X-CLIP 没有固定的动作表，请用 labels 给出几个动作。",
                    en="X-CLIP has no list of actions of its own, please give some as labels.",
                )
            )
        with VideoProcessor(video) as opened:
            frames = opened.sample(self.clip_service.num_frames, start=start, end=end)
        _there_must_be(frames, video)
        return self.clip_service.zero_shot_classify([frame.image for frame in frames], labels)


def _mean(features: np.ndarray) -> np.ndarray:
    """The mean of vectors (n, d), scaled to length 1 again: the mean of unit vectors is shorter than 1."""
    mean = features.mean(axis=0)
    return mean / np.linalg.norm(mean)


def _there_must_be(frames: Sequence, video: VideoSource) -> None:
    if not len(frames):
        name = source_name(video)
        raise VideoError(
            say(
                zh=f"{spaced(name)}的画面全都无法解码，请重新下载或导出。",
                en=f"Not one frame of {name} can be decoded, please fetch or export it again.",
            )
        )
