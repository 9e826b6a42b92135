"""When the models of this field came and which of them are gone: the dates behind lessons 01 and 07.

Months are written "2021-01". What they stand on: the papers' first versions, the release notes of each project's
repository, and for services the provider's list of deprecations. Read in November 2026.
"""

from __future__ import annotations

from dataclasses import dataclass

from .settings import say

READ = "2026-11"
DEPRECATIONS = "https://developers.openai.com/api/docs/deprecations"


@dataclass(frozen=True)
class Milestone:
    """A model, what it brought in both languages, and how it is offered.

    `offered` is "weights" (to download), "service" (behind an API alone) or "paper" (published, the model never opened).
    `end` is the month a service is shut down, which may lie ahead of READ where it is announced.
    """

    name: str
    begin: str
    offered: str
    zh: str
    en: str
    end: str | None = None

    @property
    def gone(self) -> bool:
        """Whether it was shut down by READ."""
        return self.end is not None and self.end <= READ

    @property
    def months(self) -> int:
        """From its beginning to its end, or to READ where none is known."""
        (first, last) = (12 * int(month[:4]) + int(month[5:]) for month in (self.begin, self.end or READ))
        return last - first

    @property
    def usable(self) -> bool:
        """Whether it could be used at READ."""
        return self.offered != "paper" and not self.gone


MILESTONES = (
    Milestone("CLIP", "2021-01", "weights", "图文对比学习", "contrastive image-text learning"),
    Milestone("DALL·E", "2021-01", "paper", "文生图；模型从未开放", "text to image; model never opened"),
    Milestone("Flamingo", "2022-04", "paper", "少样本图文理解；从未开放", "few-shot; never opened"),
    Milestone("Stable Diffusion", "2022-08", "weights", "开源的文生图", "open text to image"),
    Milestone(
        "DALL·E 2 / 3 API", "2022-11", "service", "文生图服务", "text to image as a service", "2026-05"
    ),
    Milestone("Chinese-CLIP", "2022-11", "weights", "中文 CLIP", "a CLIP that reads Chinese"),
    Milestone("LLaVA", "2023-04", "weights", "开源的看图对话", "open vision chat"),
    Milestone("AnimateDiff", "2023-07", "weights", "让图动起来", "pictures set in motion"),
    Milestone("GPT-4V API", "2023-11", "service", "看图对话服务", "vision chat as a service", "2024-12"),
    Milestone(
        "GPT-4o API",
        "2024-05",
        "service",
        "图、文、声合一；2027-01 关停",
        "one model for all; ends 2027-01",
        "2027-01",
    ),
    Milestone(
        "Sora",
        "2024-12",
        "service",
        "文生视频的网站和应用",
        "text to video, website and app",
        "2026-04",
    ),
    Milestone("SigLIP 2", "2025-02", "weights", "多语言的 CLIP 后继", "a multilingual successor of CLIP"),
    Milestone("Wan 2.1", "2025-02", "weights", "开源的文生视频", "open text to video"),
    Milestone("Qwen-Image", "2025-08", "weights", "会写汉字的文生图", "paints Chinese text"),
    Milestone("GPT-5 API", "2025-08", "service", "2026-12 关停", "ends 2026-12", "2026-12"),
    Milestone("Qwen3-VL", "2025-09", "weights", "开源的看图、看视频", "open, pictures and video"),
    Milestone("Sora 2 API", "2025-10", "service", "文生视频服务", "text to video as a service", "2026-09"),
    Milestone("Qwen3.5 0.8B", "2026-03", "weights", "最小的开源看图对话之一", "open vision chat, very small"),
    Milestone("GPT Image 2", "2026-04", "service", "文生图服务", "text to image as a service"),
)


def milestones(*, until: str = READ) -> list[Milestone]:
    """Those that had begun by a month."""
    return [m for m in MILESTONES if m.begin <= until]


def events(some: list[Milestone]) -> list[tuple[str, str, str | None, str]]:
    """What `plots.timeline` draws, in the learner's language."""
    return [
        (m.name, m.begin, m.begin if m.offered == "paper" else m.end, say(zh=m.zh, en=m.en)) for m in some
    ]
