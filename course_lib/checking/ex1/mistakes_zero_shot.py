"""From a wrong result to the mistake that most likely made it, in one sentence that says what to do.

Used by the checks after a claim has failed. A result is compared with what the usual wrong formulas give for
the same input; a formula that reproduces it is the mistake to name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ...settings import say
from ...texts import is_chinese
from ..step import NAN

LATIN = re.compile(r"[A-Za-z]")


def softmax(values: np.ndarray, axis: int = -1) -> np.ndarray:
    powers = np.exp(values - values.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def _same(a: np.ndarray, b: np.ndarray, tolerance: float = 1e-3) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=tolerance, atol=tolerance))


def matrix_shape(shape: tuple[int, ...], wanted: tuple[int, int]) -> str:
    """Why a result has `shape` where one row a picture and one column a text was asked for."""
    if shape == wanted[::-1]:
        return say(
            zh=f"形状是 {shape}，行列反了，应为 {wanted}：一行对应一张图片，一列对应一个文本。",
            en=f"The shape is {shape}, rows and columns are swapped: one row a picture, one column a text, "
            f"{wanted}.",
        )
    if len(shape) < 2 and np.prod(shape, dtype=int) == np.prod(wanted):
        return say(
            zh=f"形状是 {shape}，应为 {wanted}：squeeze、[0] 或 float() 丢掉了一个维度，"
            "只有一张图片或一个文本时也要保留。",
            en=f"The shape is {shape} where {wanted} was asked for: a squeeze(), [0] or float() threw an "
            "axis away, keep both even for a single picture or text.",
        )
    if len(shape) == 1 and shape[0] == min(wanted):
        return say(
            zh=f"形状是 {shape}，应为 {wanted}：要比较每张图片和每个文本，请用矩阵乘法 @，不要逐对相乘再求和。",
            en=f"The shape is {shape} where {wanted} was asked for: every picture meets every text, "
            "use the matrix product @ rather than multiplying pair by pair.",
        )
    return say(
        zh=f"形状是 {shape}，应为 {wanted}：一行对应一张图片，一列对应一个文本。",
        en=f"The shape is {shape} where {wanted} was asked for: one row a picture, one column a text.",
    )


def product_hints() -> dict[str, str]:
    """What numpy and torch say about a matrix product that does not fit, and what was meant."""
    transpose = say(
        zh="两个矩阵的形状对不上：请转置文本特征，图片特征 (n, d) @ 文本特征.T (d, m)。",
        en="The two matrices do not fit: transpose the text features, images (n, d) @ texts.T (d, m).",
    )
    return {
        r"matmul|mat1 and mat2|not aligned": transpose,
        r"could not be broadcast|must match the size": say(
            zh="两个数组的形状无法广播：求长度时请加 axis=-1, keepdims=True，乘法请用 @。",
            en="The two arrays cannot be broadcast: take the lengths with axis=-1, keepdims=True, and "
            "multiply with @.",
        ),
        r"must be Tensor, not|'numpy.ndarray' object has no attribute|expected Tensor as element": say(
            zh="传入的是 numpy 数组，不是 torch 张量：请用 np.linalg.norm，或先用 torch.from_numpy 转换。",
            en="The inputs are numpy arrays, not torch tensors: use np.linalg.norm, or torch.from_numpy "
            "first.",
        ),
    }


def softmax_hints() -> dict[str, str]:
    return {
        NAN: say(
            zh="结果里有 nan，多半是指数溢出了：softmax 前先减去每行的最大值。",
            en="There is nan in the result, most likely of an exp that overflows: subtract each row's "
            "maximum before a softmax.",
        )
    }


def cosine(found: np.ndarray, images: np.ndarray, texts: np.ndarray) -> str:
    """Why `found` is not the cosine of the rows of `images` (n, d) with the rows of `texts` (m, d)."""

    def lengths(rows: np.ndarray, axis: int | None = None) -> np.ndarray:
        return np.linalg.norm(rows, axis=axis, keepdims=True)

    a, b = images / lengths(images, axis=-1), texts / lengths(texts, axis=-1)
    cosines = a @ b.T
    divide = say(
        zh="请除以最后一个轴上的长度：np.linalg.norm(x, axis=-1, keepdims=True)。",
        en="divide by the length along the last axis, np.linalg.norm(x, axis=-1, keepdims=True).",
    )
    if _same(found, images @ texts.T):
        return say(zh="各行的长度不是 1：", en="The rows do not have length 1: ") + divide
    if _same(found, a @ texts.T):
        return (
            say(zh="文本特征各行的长度不是 1：", en="The rows of the text features do not have length 1: ")
            + divide
        )
    if _same(found, images @ b.T):
        return (
            say(zh="图片特征各行的长度不是 1：", en="The rows of the image features do not have length 1: ")
            + divide
        )
    if _same(found, (images / lengths(images)) @ (texts / lengths(texts)).T):
        return (
            say(
                zh="除以的是整个矩阵的长度，而不是每一行的：",
                en="The whole matrix was divided by one length: ",
            )
            + divide
        )
    if _same(found, (images / lengths(images, axis=0)) @ (texts / lengths(texts, axis=0)).T):
        return say(zh="归一化的是列，不是行：", en="The columns were normalised, not the rows: ") + divide
    if _same(
        found, (images / abs(images).sum(-1, keepdims=True)) @ (texts / abs(texts).sum(-1, keepdims=True)).T
    ):
        return (
            say(
                zh="除以的是绝对值之和（L1），不是长度（L2）：",
                en="Divided by the sum of absolute values (L1): ",
            )
            + divide
        )
    if (found >= 0).all() and np.allclose(found.sum(axis=-1), 1, atol=1e-3):
        return say(
            zh="每行之和为 1，说明已经做了 softmax：这一步只要余弦，概率留到第 2 步。",
            en="Each row adds up to 1, so a softmax was applied: return the cosines alone, probabilities are "
            "step 2.",
        )
    if _same(found, 1 - cosines):
        return say(
            zh="这是余弦距离（1 - cos），越小越像：请直接返回余弦。",
            en="This is the cosine distance, 1 - cos, small where things are alike: return the cosine "
            "itself.",
        )
    if _same(found, cosines.clip(0)) or _same(found, abs(cosines)):
        return say(
            zh="负的余弦不见了：方向相反的向量余弦是 -1，请不要取绝对值，也不要截断。",
            en="The negative cosines are gone: opposite vectors have cosine -1, leave out abs, clip or relu.",
        )
    factor = float((found * cosines).sum() / (cosines**2).sum())
    if _same(found, factor * cosines) and abs(factor - 1) < 0.01:
        return say(
            zh="余弦只对到小数点后三位左右：请用 float32 计算，不要用半精度（float16）。",
            en="The cosines are right to about three digits only: compute in float32, not in half precision "
            "(float16).",
        )
    if _same(found, factor * cosines):
        return say(
            zh=f"这是余弦的 {factor:.4g} 倍：缩放属于第 2 步，这里请返回 -1 到 1 之间的余弦。",
            en=f"These are the cosines times {factor:.4g}: scaling belongs to step 2, return cosines between "
            "-1 and 1.",
        )
    return say(zh="结果不是余弦：", en="These are not cosines: ") + divide


def probabilities(found: np.ndarray) -> str:
    """Why the rows of `found` are no probabilities."""
    if (found < 0).any() or (found > 1 + 1e-6).any():
        return say(
            zh="有的数小于 0 或大于 1，这还是 logits：请再对每一行做 softmax。",
            en="Some numbers are below 0 or above 1, these are still logits: apply a softmax to each row.",
        )
    if np.allclose(found.sum(axis=0), 1, atol=1e-3):
        return say(
            zh="每列之和为 1，softmax 的方向反了：标签在最后一个轴上，请用 axis=-1。",
            en="Each column adds up to 1, the softmax went across the pictures: the labels are on the last "
            "axis, axis=-1.",
        )
    if abs(found.sum() - 1) < 1e-3:
        return say(
            zh="整个矩阵之和为 1：请对每一行分别做 softmax（axis=-1, keepdims=True）。",
            en="The whole matrix adds up to 1: take the softmax of each row (axis=-1, keepdims=True).",
        )
    return say(
        zh=f"各行之和在 {found.sum(-1).min():.2f} 到 {found.sum(-1).max():.2f} 之间，不是 1："
        "标签之间要竞争，请用 softmax，不要用 sigmoid。",
        en=f"The rows add up to {found.sum(-1).min():.2f} ... {found.sum(-1).max():.2f} instead of 1: "
        "labels compete here, use a softmax rather than a sigmoid.",
    )


def measured_scale(found: np.ndarray, cosines: np.ndarray) -> float:
    """The factor before the softmax that turned `cosines` into `found`, both (n, m); nan where none did, inf
    where nothing but 0 and 1 is left.

    log p_i - log p_j = scale * (cos_i - cos_j) in each row, whatever the row's sum. Probabilities too small
    for a reliable logarithm are left out.
    """
    logs = np.log(found.clip(1e-30))
    top = found.argmax(axis=-1, keepdims=True)
    x = cosines - np.take_along_axis(cosines, top, -1)
    y = logs - np.take_along_axis(logs, top, -1)
    telling = (found > 1e-12) & (x < 0)
    if not telling.any():
        return float("inf")
    x, y = x[telling], y[telling]
    scale = float((x * y).sum() / (x * x).sum())
    return scale if np.allclose(y, scale * x, rtol=0.02, atol=0.05) else float("nan")


def scale(measured: float, own: float) -> str:
    """Why the scale before a softmax is not the model's own."""
    remedy = say(zh=f"请用 clip.logit_scale（{own:.1f}）。", en=f"use clip.logit_scale ({own:.1f}).")
    if np.isnan(measured) or abs(measured) < 1e-3:
        return say(
            zh="概率不是 softmax(缩放 × 余弦)：请把第 1 步的余弦乘以 clip.logit_scale，再对每一行做 softmax。",
            en="These are not softmax(scale x cosine): multiply the cosines of step 1 by clip.logit_scale, "
            "then take the softmax of each row.",
        )
    if abs(measured - 1) < 0.02:
        return say(
            zh=f"余弦没有乘以缩放系数，softmax 之后几乎是平的：{remedy}",
            en=f"The cosines were not scaled, and their softmax is almost flat: {remedy}",
        )
    if abs(measured - np.log(own)) < 0.02 * np.log(own):
        return say(
            zh=f"用的是参数本身，它以对数保存，要先取 exp：{remedy}",
            en="You used the parameter itself, which is stored as a logarithm and wants an exp first: "
            f"{remedy}",
        )
    if np.isinf(measured) or abs(measured - own**2) < 0.02 * own**2:
        return say(
            zh=f"概率几乎全是 0 和 1，缩放太大，多半乘了两次：{remedy}",
            en=f"Almost all is 0 or 1, far too large a scale, most likely applied twice: {remedy}",
        )
    if abs(measured * own - 1) < 0.02:
        return say(
            zh=f"除以了缩放系数，应该乘以它：{remedy}",
            en=f"You divided by the scale where it multiplies: {remedy}",
        )
    return say(
        zh=f"缩放系数是固定的 {measured:.4g}，而这个模型自己学到的不是它：{remedy}",
        en=f"You used a fixed scale of {measured:.4g}; this model has learned another: {remedy}",
    )


def template_list(templates: object, labels: Sequence[str]) -> str:
    """What is wrong with a list of prompt templates for `labels`, "" where nothing is."""
    if isinstance(templates, str) or not isinstance(templates, Sequence) or not templates:
        return say(
            zh='请返回由字符串组成的列表，例如 ["……{}……"]。',
            en='Return a list of strings, such as ["... {} ..."].',
        )
    for template in templates:
        if not isinstance(template, str) or template.count("{}") != 1:
            return say(
                zh=f"模板 {template!r} 里应当恰好有一个 {{}}，标签会填在那里（不要写成 f 字符串）。",
                en=f"The template {template!r} needs exactly one {{}}, where the label goes (and is no "
                "f-string).",
            )
    if len(set(templates)) < len(templates):
        return say(zh="有重复的模板，请去掉。", en="A template stands in the list twice, please remove it.")
    chinese = any(map(is_chinese, labels))
    for template in templates:
        if is_chinese(template) > chinese or (
            chinese and not is_chinese(template) and LATIN.search(template)
        ):
            return say(
                zh=f"标签是“{labels[0]}”，模板却是 {template!r}：请用同一种语言。",
                en=f"The labels are like {labels[0]!r}, the template is {template!r}: use one language.",
            )
    return ""


def feature_shape(shape: tuple[int, ...], wanted: tuple[int, int], *, templates: int) -> str:
    """Why prompt features have `shape` instead of `wanted`, (labels, width)."""
    labels, width = wanted
    if shape == (templates, width):
        return say(
            zh=f"形状是 {shape}，平均的方向反了：请对模板求平均，每个标签留下一行。",
            en=f"The shape is {shape}, the mean went the wrong way: average over templates, a row a label.",
        )
    if shape in ((labels * templates, width), (labels, templates, width), (templates, labels, width)):
        return say(
            zh=f"形状是 {shape}，还没有求平均：请对同一标签的 {templates} 个模板求平均。",
            en=f"The shape is {shape}, nothing was averaged yet: take the mean of a label's {templates} "
            "templates.",
        )
    if shape == (width,):
        return say(
            zh=f"形状是 {shape}，所有标签被平均成了一行：请只对模板求平均（指定 axis）。",
            en=f"The shape is {shape}, all labels were averaged into one: average over templates (give an "
            "axis).",
        )
    return say(
        zh=f"形状是 {shape}，应为 {wanted}：每个标签一行。",
        en=f"The shape is {shape} where {wanted} was asked for: one row a label.",
    )


def ensemble(near: np.ndarray, middle: np.ndarray) -> str:
    """Why rows are no means over templates; `near` (2, labels): cosine with each template's own feature."""
    if (near[0] > 0.999).all():
        return say(
            zh="只用到了第一个模板：请对 templates 里的每一个都编码，再求平均。",
            en="Only the first template is used: encode every one in templates, then take the mean.",
        )
    if (near[1] > 0.999).all():
        return say(
            zh="只用到了最后一个模板：循环里的结果被覆盖了，请先收集起来再求平均。",
            en="Only the last template is used: the loop overwrites its result, collect them all, then take "
            "the mean.",
        )
    if (near < middle - 0.02).any():
        return say(
            zh="不同标签的特征混在了一起：reshape 的维度顺序必须与生成提示词的循环顺序一致。",
            en="Features of different labels are mixed: the axes of the reshape must follow the order of the "
            "loops that made the prompts.",
        )
    return say(
        zh="各模板的分量不相等：请对归一化之后的特征求平均。",
        en="The templates do not count equally: average the features after they were normalised.",
    )


def no_gain(templates: Sequence[str], *, gained: bool) -> str:
    """Why templates do no better than the bare label, or too little."""
    if list(templates) == ["{}"]:
        return say(
            zh="模板 {} 就是标签本身：请把标签放进一句话里。",
            en="The template {} is the bare label: put the label into a sentence.",
        )
    if gained:
        return say(
            zh="有进步，但还不够：请多写几个模板，每个里面放不同的东西，取平均。",
            en="Better, but not by enough: take the mean over several templates, with a different thing in "
            "each.",
        )
    return say(
        zh="并没有比光用标签更好：模型是看着图片说明学的，请写得像一句图片说明，句子里也要有东西可看。",
        en="That is no better than bare labels: the model has learned from captions, so write as a caption "
        "would, with something in it to look at.",
    )
