"""Steps 1 to 3 of exercise 1: similarity by hand, zero-shot classification, a better prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...settings import say
from ..step import Step, check
from . import mistakes_zero_shot as mistakes
from .pictures import Unseen

THUMBNAIL = 16  # pixels a side: so little is left that the wording of a prompt tells
FIVE = ("cat", "dog", "car", "airplane", None)  # the chapter's labels; None is a landscape


class ZeroShotChecks(Unseen):
    """The checks of steps 1 to 3."""

    # -------------------------------------------------------------------------------------- 1 similarity

    @check(zh="第 1 步：相似度", en="Step 1: similarity")
    def similarity(self, step: Step, function: Callable) -> None:
        """`function(image_features (n, d), text_features (m, d)) -> cosines (n, m)`, of any lengths."""
        hints = mistakes.product_hints()
        # Arrows in the plane, of many lengths: the cosine of two is the cosine of the angle between them.
        image_angles, text_angles = np.radians([0, 50, 90, 180, 300]), np.radians([0, 35, 120])
        images = _arrows(image_angles, [5.0, 0.5, 2.0, 11.0, 3.0])
        texts = _arrows(text_angles, [0.4, 7.0, 2.5])
        given = images.copy(), texts.copy()
        found = step.array(function, *given, hints=hints)
        step.require(
            found.shape == (5, 3),
            say(
                zh="5 张图片、3 个文本，得到 (5, 3) 的矩阵", en="5 pictures and 3 texts give a (5, 3) matrix"
            ),
            mistakes.matrix_shape(found.shape, (5, 3)),
        )
        expected = np.cos(image_angles[:, None] - text_angles[None, :])
        step.require(
            np.allclose(found, expected, atol=1e-4),
            say(
                zh="每个数都是夹角的余弦，与向量的长度无关",
                en="each number is the cosine of the angle, whatever the vectors' lengths",
            ),
            mistakes.cosine(found, images.astype(np.float64), texts.astype(np.float64)),
        )
        step.require(
            np.array_equal(given[0], images) and np.array_equal(given[1], texts),
            say(zh="传入的数组没有被改动", en="the arrays that were handed in are unchanged"),
            say(
                zh="函数改动了传入的数组：请写 x = x / 长度，不要写 x /= 长度。",
                en="The function changes the arrays it is given: write x = x / length, not x /= length.",
            ),
        )
        one = step.array(function, images[:1].copy(), texts[:1].copy(), hints=hints)
        step.require(
            one.shape == (1, 1),
            say(zh="1 张图片、1 个文本，得到 (1, 1) 的矩阵", en="1 picture and 1 text give a (1, 1) matrix"),
            mistakes.matrix_shape(one.shape, (1, 1)),
        )
        pictures = self.draw(1, [{"kind": kind} for kind in self.kinds])
        lengths = np.linspace(1, 9, len(pictures), dtype=np.float32)[
            :, None
        ]  # raw features have no common length
        text_features = self.text_features([self.names[kind] for kind in self.kinds])
        cosines = step.array(
            function, self.image_features(pictures) * lengths, text_features * lengths[::-1], hints=hints
        )
        right = int((cosines.argmax(axis=1) == np.arange(len(pictures))).sum())
        step.require(
            right > len(pictures) / 4,
            say(
                zh=f"{len(pictures)} 张没见过的图片，最近的词对了 {right} 张（瞎猜约 1 张）",
                en=f"of {len(pictures)} unseen pictures, {right} are nearest to their own word (guessing: "
                "about 1)",
            ),
            say(
                zh="换成真实特征后结果不对：请确认没有针对示例数据写死任何东西。",
                en="On real features the result is wrong: see that nothing is written for the sample data "
                "alone.",
            ),
        )

    # --------------------------------------------------------------------------------------- 2 zero-shot

    @check(zh="第 2 步：零样本分类", en="Step 2: zero-shot classification")
    def zero_shot(self, step: Step, function: Callable) -> None:
        """`function(pictures, labels) -> probabilities (n, m)`, softmax with the model's own scale."""
        hints = mistakes.product_hints() | mistakes.softmax_hints()
        labels = [self.names[kind] for kind in FIVE]
        truth = np.arange(40) % len(FIVE)
        pictures = self.draw(2, [{"kind": FIVE[i]} for i in truth])
        found = step.array(function, list(pictures), list(labels), hints=hints)
        step.require(
            found.shape == (40, 5),
            say(
                zh="40 张图片、5 个标签，得到 (40, 5) 的概率",
                en="40 pictures and 5 labels give (40, 5) probabilities",
            ),
            mistakes.matrix_shape(found.shape, (40, 5)),
        )
        rows_add_up = np.allclose(found.sum(axis=-1), 1, atol=1e-3) and (found >= 0).all()
        step.require(
            rows_add_up,
            say(zh="每一行都是概率，和为 1", en="each row holds probabilities that add up to 1"),
            "" if rows_add_up else mistakes.probabilities(found),
        )
        others = [self.names[kind] for kind in self.kinds[-3:]]
        turned = step.array(function, list(pictures[:6]), labels[::-1], hints=hints)
        three = step.array(function, list(pictures[:6]), others, hints=hints)
        step.require(
            turned.shape == (6, 5)
            and np.allclose(turned, found[:6, ::-1], atol=1e-3)
            and three.shape == (6, 3),
            say(zh="换一组标签、换一种顺序，也能用", en="it works with other labels, and in another order"),
            mistakes.matrix_shape(turned.shape, (6, 5))
            if turned.shape != (6, 5)
            else say(
                zh="换了标签，结果却没有跟着变：请使用参数 labels，不要写死标签，也不要排序。",
                en="With other labels the columns do not follow: use the parameter labels, neither fixed nor "
                "sorted.",
            ),
        )
        cosines = (self.image_features(pictures) @ self.text_features(labels).T).astype(np.float64)
        measured = mistakes.measured_scale(found, cosines)
        step.require(
            abs(measured / self.clip.logit_scale - 1) < 0.02,
            say(
                zh="softmax 之前乘的是模型自己的缩放系数",
                en="the model's own scale stands before the softmax",
            ),
            mistakes.scale(measured, self.clip.logit_scale),
        )
        one = step.array(function, [pictures[0]], labels[:1], hints=hints)
        step.require(
            one.shape == (1, 1),
            say(zh="1 张图片、1 个标签，得到 (1, 1)", en="1 picture and 1 label give (1, 1)"),
            mistakes.matrix_shape(one.shape, (1, 1)),
        )
        right = int((found.argmax(axis=1) == truth).sum())
        step.require(
            right > 16,
            say(
                zh=f"40 张没见过的图片，对了 {right} 张（瞎猜约 8 张）",
                en=f"of 40 unseen pictures, {right} are right (guessing: about 8)",
            ),
            say(
                zh="正确率不比瞎猜好多少：请检查图片的行和标签的列有没有错位。",
                en="That is hardly better than guessing: see that rows stay with pictures and columns with "
                "labels.",
            ),
        )

    # ----------------------------------------------------------------------------------------- 3 prompts

    @check(zh="第 3 步：更好的提示词", en="Step 3: a better prompt")
    def prompts(self, step: Step, features: Callable, templates: Callable, places: Mapping[str, str]) -> None:
        """`features(labels, templates) -> (m, d)`, unit rows; `templates() -> list`, better than bare labels.

        `places` maps the world's backgrounds to words in the learner's language.
        """
        labels = list(places.values())
        chosen = step.call(templates)
        wrong = mistakes.template_list(chosen, labels)
        step.require(
            not wrong,
            say(zh="模板是列表，各有一个 {}", en="the templates are a list, each with one {}"),
            wrong,
        )
        two = [
            say(zh="一张{}的图片", en="a picture of the {}"),
            say(zh="夜晚的{}，有一只鸟", en="a bird in the {} at night"),
        ]
        found = step.array(features, list(labels), list(two))
        wanted = (len(labels), self.clip.dim)
        step.require(
            found.shape == wanted,
            say(
                zh="每个标签一行特征，与模板的个数无关",
                en="one row of features a label, however many templates",
            ),
            mistakes.feature_shape(found.shape, wanted, templates=len(two)),
        )
        lengths = np.linalg.norm(found, axis=-1)
        step.require(
            np.allclose(lengths, 1, atol=1e-3),
            say(zh="每一行的长度都是 1", en="each row has length 1"),
            say(
                zh=f"各行的长度在 {lengths.min():.2f} 到 {lengths.max():.2f} 之间："
                "单位向量平均之后不再是单位向量，请在平均之后再归一化一次。",
                en=f"The rows have lengths {lengths.min():.2f} ... {lengths.max():.2f}: the mean of unit "
                "vectors is no unit vector, normalise once more after averaging.",
            ),
        )
        parts = np.stack([self.text_features([t.replace("{}", label) for label in labels]) for t in two])
        near = np.einsum("tld,ld->tl", parts, found)
        middle = np.linalg.norm(parts.sum(axis=0), axis=-1) / 2  # a mean's cosine with each of the two
        step.require(
            np.allclose(near, middle, atol=2e-3),
            say(zh="每一行是该标签各模板特征的平均", en="each row is the mean over that label's templates"),
            mistakes.ensemble(near, middle),
        )
        fewer, more = labels[2::-1], [*two, say(zh="{}里有一辆汽车", en="a car in the {}")]
        found = step.array(features, list(fewer), list(more))
        mean = sum(self.text_features([t.replace("{}", label) for label in fewer]) for t in more)
        mean /= np.linalg.norm(mean, axis=-1, keepdims=True)
        step.require(
            found.shape == mean.shape and np.allclose(found, mean, atol=2e-3),
            say(
                zh="换一组标签、换几个模板，也能用",
                en="it works with other labels and another number of templates",
            ),
            say(
                zh="换了标签或模板的个数，结果就不对：请使用参数 labels 和 templates，不要写死。",
                en="With other labels, or another number of templates, it goes wrong: use the parameters "
                "labels and templates, nothing fixed.",
            ),
        )
        self._compare(step, features, chosen, places)

    def _compare(self, step: Step, features: Callable, chosen: list[str], places: Mapping[str, str]) -> None:
        """The learner's templates against bare labels, on unseen thumbnails of everything everywhere."""
        labels = list(places.values())
        wanted = [
            {"kind": self.kinds[i % len(self.kinds)], "background": list(places)[i % len(places)]}
            for i in range(252)
        ]
        truth = np.arange(len(wanted)) % len(places)
        thumbnails = self.features(3, wanted, THUMBNAIL)
        both = self.text_features(labels), step.array(features, labels, list(chosen))
        before, after = (int(((thumbnails @ texts.T).argmax(axis=1) == truth).sum()) for texts in both)
        step.require(
            len(truth) - after <= 0.75 * (len(truth) - before),
            say(
                zh=f"{len(truth)} 张没见过的缩略图，光用标签对 {before} 张，用你的模板对 {after} 张（至少少错四分之一）",
                en=f"of {len(truth)} unseen thumbnails, bare labels get {before} right, your templates "
                f"{after} (a quarter of the mistakes must go)",
            ),
            mistakes.no_gain(chosen, gained=after > before),
        )


def _arrows(angles: np.ndarray, lengths: Sequence[float]) -> np.ndarray:
    return (np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array(lengths)[:, None]).astype(
        np.float32
    )
