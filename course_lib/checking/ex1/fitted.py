"""Steps 4 and 5 of exercise 1: a linear probe on few labelled pictures, and when to abstain."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ...settings import say
from ..step import Step, check
from . import mistakes_fitted as mistakes
from .pictures import SEED, Unseen

FEW = 4  # labelled pictures of each hero

Heroes = Mapping[str, tuple[str, str]]  # a proper name: (kind, colour)


class FittedChecks(Unseen):
    """The checks of steps 4 and 5."""

    # ------------------------------------------------------------------------------------------- 4 probe

    @check(zh="第 4 步：线性探针", en="Step 4: a linear probe")
    def probe(self, step: Step, function: Callable, heroes: Heroes) -> None:
        """`function(features (n, d), targets (n,)) -> (weights (d, k), bias (k,))`, from few pictures."""
        names, count = list(heroes), len(heroes)
        targets = np.random.default_rng(SEED).permutation(np.repeat(np.arange(count), FEW))
        looks = [{"kind": kind, "color": color} for kind, color in heroes.values()]
        features = self.features(40, [looks[i] for i in targets])
        hints = {
            r"[Ss]ingular": say(
                zh="矩阵不可逆：样本比特征的维数少，请加上 0.1 * np.eye(...)（岭回归）。",
                en="The matrix is singular, there are fewer samples than dimensions: add 0.1 * np.eye(...), "
                "a ridge.",
            )
        }
        weights, bias = self._linear(step, function, features, targets, count, hints)
        predicted = (features @ weights + bias).argmax(axis=1)
        if (fitted := np.mean(predicted == targets)) < 0.9:
            order = np.argsort(targets, kind="stable")
            by_class = self._linear(step, function, features[order], targets[order], count, hints)
            sorted_fits = np.mean((features @ by_class[0] + by_class[1]).argmax(axis=1) == targets) >= 0.9
            remedy = mistakes.probe_fit(predicted, targets, sorted_fits)
        step.require(
            fitted >= 0.9,
            say(
                zh=f"{len(targets)} 张带标签的图片，对了 {np.sum(predicted == targets)} 张",
                en=f"of the {len(targets)} labelled pictures, {np.sum(predicted == targets)} are right",
            ),
            "" if fitted >= 0.9 else remedy,
        )
        some = targets < 3
        self._linear(step, function, features[some], targets[some], 3, hints)
        truth = np.arange(20 * count) % count
        unseen = self.features(41, [looks[i] for i in truth])
        by_name = (unseen @ self.text_features(names).T).argmax(axis=1)
        by_probe = (unseen @ weights + bias).argmax(axis=1)
        before, after = int((by_name == truth).sum()), int((by_probe == truth).sum())
        step.require(
            len(truth) - after <= (len(truth) - before) / 3,
            say(
                zh=f"{len(truth)} 张没见过的图片，只凭名字对 {before} 张，用探针对 {after} 张",
                en=f"of {len(truth)} unseen pictures, names alone get {before} right, your probe {after}",
            ),
            say(
                zh="带标签的图片都记住了，没见过的却错得多（过拟合）：请加强正则化，或减少训练步数。",
                en="It knows its labelled pictures by heart and errs on new ones (overfitting): "
                "regularise more, or train for fewer steps.",
            ),
        )

    def _linear(self, step: Step, function: Callable, features: np.ndarray, targets: np.ndarray, count: int,
                hints: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """The learner's (weights, bias), their shapes checked."""
        found = step.call(function, features.copy(), targets.copy(), hints=hints)
        claim = say(
            zh=f"{count} 位主角，得到权重 ({features.shape[1]}, {count}) 和偏置 ({count},)",
            en=f"{count} heroes give weights ({features.shape[1]}, {count}) and a bias ({count},)",
        )
        pair = isinstance(found, (tuple, list)) and len(found) == 2
        if not pair:
            step.fail(
                say(
                    zh="请返回两个数组：return weights, bias。",
                    en="Return two arrays: return weights, bias.",
                ),
                claim,
            )
        weights, bias = step.numbers(found[0]), step.numbers(found[1])
        wanted = (features.shape[1], count)
        fits = weights.shape == wanted and bias.size == count
        if not any(item.claim == claim for item in step.items) or not fits:
            step.require(fits, claim, mistakes.probe_shape(weights.shape, bias.shape, wanted))
        return weights, bias.ravel()

    # --------------------------------------------------------------------------------------- 5 threshold

    @check(zh="第 5 步：何时弃权", en="Step 5: when to abstain")
    def threshold(self, step: Step, function: Callable, heroes: Heroes) -> None:
        """`function(confidence (n,), right (n,), target) -> threshold`, the lowest that reaches the target."""
        hints = mistakes.threshold_hints()
        for confidence, right, target, claim in _threshold_cases():
            found = step.array(function, confidence.copy(), right.copy(), target, hints=hints)
            wrong = mistakes.threshold(found, confidence, right, target)
            step.require(not wrong, claim, wrong)
        confidence, right = self._recognised(50, heroes)
        target = float(1 + right.mean()) / 2  # half the mistakes of answering everything
        chosen = float(step.array(function, confidence, right, target, hints=hints).ravel()[0])
        confidence, right = self._recognised(51, heroes)
        answered = confidence >= chosen
        all_right, some_right = right.mean(), right[answered].mean() if answered.any() else 0.0
        step.require(
            1 - some_right < (1 - all_right) * 0.75,
            say(
                zh=f"{len(right)} 张没见过的图片，一半是陌生人：全部回答，答对 {all_right:.0%}；"
                f"敢于弃权，回答 {answered.sum()} 张，其中答对 {some_right:.0%}",
                en=f"{len(right)} unseen pictures, half of them strangers: of all answers {all_right:.0%} "
                f"are right; abstaining, of {answered.sum()} answers {some_right:.0%}",
            ),
            say(
                zh="在新图片上没有用：阈值请只由传入的 confidence 和 right 算出。",
                en="It does not help on new pictures: compute the threshold from confidence and right alone.",
            ),
        )

    def _recognised(self, part: int, heroes: Heroes) -> tuple[np.ndarray, np.ndarray]:
        """(confidence, right) of a plain recogniser, nearest class mean, on heroes and as many strangers."""
        looks = [{"kind": kind, "color": color} for kind, color in heroes.values()]
        labelled = self.features(52, [look for look in looks for _ in range(FEW)])
        means = labelled.reshape(len(looks), FEW, -1).mean(axis=1)
        means /= np.linalg.norm(means, axis=-1, keepdims=True)
        kinds, colors = zip(*heroes.values(), strict=True)
        alike = sorted({(kind, color) for kind in kinds for color in colors} - set(heroes.values()))
        strangers = [{"kind": kind} for kind in self.names if kind not in kinds]
        strangers += [{"kind": kind, "color": color} for kind, color in alike]
        each = 8 * len(looks)
        wanted = [looks[i % len(looks)] for i in range(each)]
        wanted += [strangers[i % len(strangers)] for i in range(each)]
        cosines = self.features(part, wanted) @ means.T
        truth = np.array([i % len(looks) for i in range(each)] + [-1] * each)
        return cosines.max(axis=1).astype(np.float64), cosines.argmax(axis=1) == truth


def _threshold_cases() -> list[tuple[np.ndarray, np.ndarray, float, str]]:
    """(confidence, right, target, claim), small enough to be judged by looking at every threshold."""
    plain = np.array([0.62, 0.95, 0.71, 0.55, 0.83, 0.90, 0.77, 0.48])
    dip = np.array([1, 1, 0, 1, 1, 1, 1, 0], bool)[np.argsort(np.argsort(-plain))]
    ties = np.array([0.8, 0.9, 0.8, 0.6])
    rng = np.random.default_rng(SEED)
    many = rng.uniform(size=200)
    most = say(
        zh="答出的里面足够准，而且答得尽可能多",
        en="enough of the answers are right, and as many as possible are given",
    )
    equal = say(zh="置信度相同时也成立", en="it holds where confidences are equal")
    any_order = say(zh="200 个乱序的样本也成立", en="it holds for 200 samples in any order")
    none = say(zh="达不到目标时，什么都不答", en="where the target is out of reach, nothing is answered")
    return [
        (plain, dip, 0.8, most),
        (ties, np.array([True, True, False, True]), 0.85, equal),
        (many, rng.uniform(size=200) < many, 0.9, any_order),
        (ties, np.zeros(4, bool), 0.9, none),
    ]
