"""What the field has published: papers to read, the size of the full-size models, and the results they report.

Every number names where it stands. Those of other people's tasks are no targets for the miniatures: the tasks differ.
Read in November 2026.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import registry
from .settings import say


@dataclass(frozen=True)
class Paper:
    """A publication, and in both languages why to read it.

    `part` is "chapter" (the four that the chapter names), "evidence" (where numbers of this course's comparison come
    from) or "next".
    """

    title: str
    authors: str
    year: int
    url: str
    part: str
    zh: str
    en: str

    @property
    def cited(self) -> str:
        """First author and year as a link in Markdown."""
        return f"[{self.authors.split(',')[0]} {self.year}]({self.url})"


PAPERS = {
    "clip": Paper(
        "Learning Transferable Visual Models From Natural Language Supervision",
        "Radford, Kim, Hallacy et al.", 2021, "https://arxiv.org/abs/2103.00020", "chapter",
        "先读第 2 节（方法，图 3 就是你写过的损失），再读第 6 节：作者自己列出的局限。",
        "Section 2 first (the method; figure 3 is the loss you wrote), then section 6, the limits its authors found.",
    ),
    "gpt4v": Paper(
        "GPT-4V(ision) System Card",
        "OpenAI", 2023, "https://cdn.openai.com/papers/GPTV_System_Card.pdf", "chapter",
        "几乎不谈结构，专讲风险：幻觉、看错人、被图里的字牵着走。上线之前该测什么，可以照着列清单。",
        "Little on how it is built, all on risk: hallucination, people misjudged, text in a picture that gives orders. A "
        "checklist of what to test before anything goes live.",
    ),
    "ldm": Paper(
        "High-Resolution Image Synthesis with Latent Diffusion Models",
        "Rombach, Blattmann, Lorenz et al.", 2022, "https://arxiv.org/abs/2112.10752", "chapter",
        "Stable Diffusion 的论文：为什么先压缩、再在潜变量里扩散（第 3 节和图 7）。",
        "The paper of Stable Diffusion: why to compress first and diffuse in the latents (section 3, figure 7).",
    ),
    "sora": Paper(
        "Video generation models as world simulators",
        "OpenAI", 2024, "https://openai.com/index/video-generation-models-as-world-simulators/", "chapter",
        "思路写得清楚（时空小块加扩散 Transformer），细节、数据和测量都没有公开：读的时候留意哪些话没有数字。",
        "Clear about the idea (patches of space and time, a diffusion transformer), silent on details, data and "
        "measurements: read it with an eye for claims without a number.",
    ),
    "chinese_clip": Paper(
        "Chinese CLIP: Contrastive Vision-Language Pretraining in Chinese",
        "Yang, Pan, Lin et al.", 2022, "https://arxiv.org/abs/2211.01335", "evidence",
        "怎样用约两亿对中文图文，把 CLIP 教会中文。", "How about 200 million Chinese pairs taught CLIP Chinese.",
    ),
    "aro": Paper(
        "When and why vision-language models behave like bags-of-words, and what to do about it?",
        "Yuksekgonul, Bianchi, Kalluri et al.", 2023, "https://arxiv.org/abs/2210.01936", "evidence",
        "第 02 课里“谁在谁左边”的毛病，在完整模型上量出来，并给出改进的办法。",
        "The fault of lesson 02, who is left of whom, measured on full-size models, with a cure.",
    ),
    "llava15": Paper(
        "Improved Baselines with Visual Instruction Tuning",
        "Liu, Li, Li, Lee", 2023, "https://arxiv.org/abs/2310.03744", "evidence",
        "mini-vlm 的结构就是它：一座视觉塔，一个小小的投影，一个语言模型。",
        "The architecture of mini-vlm: a vision tower, a small projection, a language model.",
    ),
    "gpt4": Paper(
        "GPT-4",
        "OpenAI", 2023, "https://openai.com/index/gpt-4-research/", "evidence",
        "看图部分的成绩单，零样本。", "The table of results on pictures, zero-shot.",
    ),
    "sd_card": Paper(
        "Stable Diffusion v1 Model Card",
        "Rombach, Esser", 2022, "https://github.com/CompVis/stable-diffusion/blob/main/Stable_Diffusion_v1_Model_Card.md",
        "evidence",
        "数据、步数、机时和“做不到什么”，一页写清：写模型卡的好样本。",
        "Data, steps, hours and what it cannot do, on one page: how a model card should be.",
    ),
    "geneval": Paper(
        "GenEval: An Object-Focused Framework for Evaluating Text-to-Image Alignment",
        "Ghosh, Hajishirzi, Schmidt", 2023, "https://arxiv.org/abs/2310.11513", "evidence",
        "和第 04 课同一个主意：让另一个模型来数、来认颜色。",
        "The idea of lesson 04: another model counts and names the colours.",
    ),
    "animatediff": Paper(
        "AnimateDiff: Animate Your Personalized Text-to-Image Diffusion Models without Specific Tuning",
        "Guo, Yang, Rao et al.", 2023, "https://arxiv.org/abs/2307.04725", "evidence",
        "mini-motion 的结构：画图的模型不动，只学“怎样动”。",
        "The architecture of mini-motion: the painter stays as it is, only the motion is learnt.",
    ),
    "guidance": Paper(
        "Classifier-Free Diffusion Guidance",
        "Ho, Salimans", 2022, "https://arxiv.org/abs/2207.12598", "next",
        "`cfg_scale` 的来历，只有几页。", "Where `cfg_scale` comes from; a few pages.",
    ),
    "scaling": Paper(
        "Reproducible scaling laws for contrastive language-image learning",
        "Cherti, Beaumont, Wightman et al.", 2022, "https://arxiv.org/abs/2212.07143", "next",
        "数据、模型、算力各加一倍，CLIP 能好多少：代码和权重全部公开。",
        "What doubling data, model or compute buys a CLIP, with all code and weights open.",
    ),
    "siglip2": Paper(
        "SigLIP 2: Multilingual Vision-Language Encoders with Improved Semantic Understanding, Localization, and Dense Features",
        "Tschannen, Gritsenko, Wang et al.", 2025, "https://arxiv.org/abs/2502.14786", "next",
        "想换一个新的双塔模型，从它读起。", "The two towers to take today.",
    ),
    "qwen3vl": Paper(
        "Qwen3-VL Technical Report",
        "Bai et al.", 2025, "https://arxiv.org/abs/2511.21631", "next",
        "今天的看图对话模型长什么样，权重公开，中文好。", "What a vision chat looks like today; open weights, good Chinese.",
    ),
    "wan": Paper(
        "Wan: Open and Advanced Large-Scale Video Generative Models",
        "Wan Team", 2025, "https://arxiv.org/abs/2503.20314", "next",
        "Sora 报告没有写的，这里大多写了，权重也公开。", "Much of what Sora's report left out, with open weights.",
    ),
    "faiss": Paper(
        "The Faiss library",
        "Douze, Guzhva, Deng et al.", 2024, "https://arxiv.org/abs/2401.08281", "next",
        "第 06、09 课的索引：速度、内存和召回率怎样取舍。",
        "The indexes of lessons 06 and 09: speed, memory and recall traded against each other.",
    ),
}  # fmt: skip


def reading_list(part: str) -> str:
    """The papers of one part as a list in Markdown, in the learner's language."""
    lines = (
        f"- [{p.title}]({p.url})  \n  {p.authors}, {p.year}. {say(zh=p.zh, en=p.en)}"
        for p in PAPERS.values()
        if p.part == part
    )
    return "\n".join(lines)


def _source(paper: str, where: str, url: str | None) -> str:
    return f"{PAPERS[paper].cited}, {f'[{where}]({url})' if url else where}"


@dataclass(frozen=True)
class Sibling:
    """The full-size model that a miniature is built like, in numbers; None where its authors give none.

    `seen` counts examples over all epochs, `hours` are those of a single graphics card. What it was begun from (LLaVA:
    a CLIP and a language model, AnimateDiff: Stable Diffusion) had its training before and is not counted. `url` is
    given where the numbers stand elsewhere than in the paper.
    """

    miniature: str
    name: str
    parameters: int
    seen: int | None
    hours: int | None
    card: str | None
    paper: str
    where: str
    url: str | None = None

    @property
    def source(self) -> str:
        """Where its numbers stand, in Markdown."""
        return _source(self.paper, self.where, self.url)


_PAINTER = next(m for m in registry.models(task="diffusion") if m.family == "StableDiffusionPipeline")
_SD_STEPS = 237_000 + 194_000 + 515_000 + 595_000  # v1-1 (two resolutions), v1-2, and v1-5 from there

# Parameters: of CLIP as OpenCLIP's model profile counts them, of AnimateDiff the motion module alone. CLIP's paper gives
# the hours of its largest vision transformer.
SIBLINGS = {
    sibling.miniature: sibling
    for sibling in (
        Sibling(
            "mini-clip",
            "CLIP ViT-L/14",
            427_620_000,
            400_000_000 * 32,
            256 * 12 * 24,
            "V100",
            "clip",
            "§2.2, §2.5",
        ),
        Sibling(
            "mini-vlm", "LLaVA-1.5 13B", 13_000_000_000, 1_200_000, 8 * 24, "A100", "llava15", "Abstract"
        ),
        Sibling(
            "mini-sd",
            "Stable Diffusion 1.5",
            _PAINTER.parameters,
            _SD_STEPS * 2048,
            150_000,
            "A100",
            "sd_card",
            "Training",
            f"https://huggingface.co/{_PAINTER.id}",
        ),
        Sibling(
            "mini-motion",
            "AnimateDiff v2",
            453_000_000,
            None,
            None,
            None,
            "animatediff",
            "README",
            "https://github.com/guoyww/AnimateDiff",
        ),
    )
}


@dataclass(frozen=True)
class Reported:
    """A published result, and the row of a miniature's card that asks for something of the same sort.

    `row` is None where this course measures nothing like it.
    """

    miniature: str
    row: str | None
    zh: str
    en: str
    model: str
    value: str
    paper: str
    where: str
    url: str | None = None

    @property
    def source(self) -> str:
        """Where it is reported, in Markdown."""
        return _source(self.paper, self.where, self.url)


_GENEVAL = "https://github.com/djghosh13/geneval"

REPORTED = (
    Reported("mini-clip", "kind", "ImageNet，1000 类，零样本", "ImageNet, 1,000 classes, zero-shot",
             "CLIP ViT-B/32", "63.2%", "clip", "Table 11"),
    Reported("mini-clip", "kind", "同上", "the same", "CLIP ViT-L/14", "75.3%", "clip", "Table 11"),
    Reported("mini-clip", "retrieval R@1", "Flickr30k，以文找图，1000 张里", "Flickr30k, text to image among 1,000",
             "CLIP ViT-L/14@336", "68.7%", "clip", "Table 13"),
    Reported("mini-clip", "retrieval R@1", "COCO，以文找图，5000 张里", "COCO, text to image among 5,000",
             "CLIP ViT-L/14@336", "37.8%", "clip", "Table 13"),
    Reported("mini-clip", "retrieval R@1", "COCO-CN，中文，零样本，1000 张里", "COCO-CN, Chinese, zero-shot, among 1,000",
             "Chinese-CLIP ViT-B/16", "62.2%", "chinese_clip", "Results.md",
             "https://github.com/OFA-Sys/Chinese-CLIP/blob/master/Results.md"),
    Reported("mini-clip", "relation (which of two orders)", "ARO：关系（谁对谁做了什么），二选一", "ARO: who to whom, one of two",
             "CLIP ViT-B/32", "59%", "aro", "VG-Relation"),
    Reported("mini-vlm", "questions on scenes", "VQAv2，照片问答", "VQAv2, questions on photographs",
             "LLaVA-1.5 13B", "80.0%", "llava15", "Figure 1"),
    Reported("mini-vlm", "questions on scenes", "同上，零样本", "the same, zero-shot", "GPT-4V", "77.2%", "gpt4", "Visual inputs"),
    Reported("mini-vlm", "signs read exactly", "TextVQA，照片里的字", "TextVQA, text in photographs",
             "LLaVA-1.5 13B", "61.3%", "llava15", "Figure 1"),
    Reported("mini-vlm", "signs read exactly", "同上，零样本", "the same, zero-shot", "GPT-4V", "78.0%", "gpt4", "Visual inputs"),
    Reported("mini-vlm", "chart trend", "ChartQA，图表问答", "ChartQA, questions on charts",
             "GPT-4V", "78.5%", "gpt4", "Visual inputs"),
    Reported("mini-vlm", "- exists", "POPE：图里有没有（F1）", "POPE: is it there? (F1)",
             "LLaVA-1.5 13B", "85.9%", "llava15", "Figure 1"),
    Reported("mini-sd", "kind", "GenEval，一样东西", "GenEval, one object", "Stable Diffusion 1.5", "97%", "geneval", "Main results", _GENEVAL),
    Reported("mini-sd", "color", "GenEval，颜色", "GenEval, colours", "Stable Diffusion 1.5", "76%", "geneval", "Main results", _GENEVAL),
    Reported("mini-sd", "count", "GenEval，数量", "GenEval, counting", "Stable Diffusion 1.5", "35%", "geneval", "Main results", _GENEVAL),
    Reported("mini-sd", "color, pairs of color and kind never seen", "GenEval，两样东西各有各的颜色",
             "GenEval, two objects, a colour each", "Stable Diffusion 1.5", "6%", "geneval", "Main results", _GENEVAL),
    Reported("mini-sd", None, "COCO 的 FID（越低越好）", "FID on COCO (lower is better)", "LDM-KL-8-G", "12.63", "ldm", "Table 2"),
)  # fmt: skip


def reported(miniature: str) -> list[Reported]:
    """The results to set beside a miniature's."""
    return [result for result in REPORTED if result.miniature == miniature]
