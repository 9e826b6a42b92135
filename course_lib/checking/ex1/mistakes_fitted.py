"""From wrong weights or a wrong threshold to the likely mistake (see `mistakes_zero_shot`)."""

from __future__ import annotations

import numpy as np

from ...settings import say
from ..step import NAN


def probe_shape(weights: tuple[int, ...], bias: tuple[int, ...], wanted: tuple[int, int]) -> str:
    """Why the weights and the bias of a linear probe do not have the shapes `wanted` (d, k) and (k,)."""
    d, k = wanted
    if weights == (k, d):
        return say(
            zh=f"权重的形状是 {weights}，请转置：预测时计算 features @ weights + bias。",
            en=f"The weights are {weights}, transpose them: a prediction is features @ weights + bias.",
        )
    if weights in ((d,), (d, 1), (d + 1,)):
        return say(
            zh=f"权重的形状是 {weights}，这是在对编号做回归，0 号和 2 号的平均会变成 1 号："
            "请先把 targets 变成 one-hot，每类一列。",
            en=f"The weights are {weights}: a regression onto class numbers makes the mean of 0 and 2 a 1. "
            "Turn targets into one-hot rows, a column a class.",
        )
    if weights == (d + 1, k):
        return say(
            zh=f"权重的形状是 {weights}，偏置还在里面：请把最后一行拆出来作为 bias。",
            en=f"The weights are {weights}, the bias is still among them: split off the last row as bias.",
        )
    if len(weights) == 2 and weights[0] == d and weights[1] != k:
        return say(
            zh=f"权重有 {weights[1]} 列，而 targets 里有 {k} 类：类别数请由 targets 算出，不要写死。",
            en=f"The weights have {weights[1]} columns but targets holds {k} classes: count them, fix no "
            "number.",
        )
    return say(
        zh=f"权重的形状是 {weights}，偏置是 {bias}，应为 {wanted} 和 ({k},)。",
        en=f"The shapes are {weights} and {bias} where {wanted} and ({k},) were asked for.",
    )


def probe_fit(predicted: np.ndarray, targets: np.ndarray, fits_when_sorted: bool) -> str:
    """Why a probe does not even know the pictures it was fitted on."""
    count = int(targets.max()) + 1
    table = np.zeros((count, count), int)
    np.add.at(table, (targets, predicted), 1)
    if fits_when_sorted:
        return say(
            zh="只有样本按类别排好序时才对：第 i 行样本的类别是 targets[i]，请不要假定顺序。",
            en="It is right only where samples come sorted by class: row i belongs to targets[i], assume no "
            "order.",
        )
    if table.max(axis=1).sum() >= 0.9 * len(targets) and len(set(table.argmax(axis=1))) == count:
        return say(
            zh="类别分开了，但列的顺序不对：第 j 列必须对应编号 j。",
            en="The classes are told apart, but the columns are in another order: column j belongs to class "
            "j.",
        )
    if len(set(predicted.tolist())) == 1:
        return say(
            zh=f"总是回答第 {predicted[0]} 类：权重几乎没有训练，或被偏置盖过了。",
            en=f"It always answers class {predicted[0]}: the weights are hardly trained, or the bias drowns "
            "them.",
        )
    return say(
        zh="连带标签的图片都分不开：请减弱正则化，或多训练几步、调大学习率。",
        en="It does not even fit its labelled pictures: regularise less, or train longer and with a larger "
        "step.",
    )


def threshold_hints() -> dict[str, str]:
    return {
        NAN: say(
            zh="返回的是 nan：没有阈值达到目标时请返回 math.inf；一张都没有回答时，不要对空的部分求平均。",
            en="nan is returned: where no threshold reaches the target return math.inf, and where nothing is "
            "answered take no mean.",
        )
    }


def threshold(returned: np.ndarray, confidence: np.ndarray, right: np.ndarray, target: float) -> str:
    """What is wrong with a threshold, "" where it is the lowest that keeps `target` among the answers."""
    if returned.size != 1:
        return say(
            zh=f"返回的形状是 {returned.shape}，请只返回一个数。",
            en=f"The shape is {returned.shape}: return one number.",
        )
    found = returned.item()
    reaches = [t for t in np.unique(confidence) if right[confidence >= t].mean() >= target]
    answered = confidence >= found
    count, correct = int(answered.sum()), int(right[answered].sum())
    if not reaches:
        return "" if not count else say(
            zh=f"没有一个阈值能达到 {target:.0%}，却仍回答了 {count} 张：请返回 math.inf，表示一概不答。",
            en=f"No threshold reaches {target:.0%}, yet {count} are answered: return math.inf, which answers "
            "none.",
        )  # fmt: skip
    most = int((confidence >= reaches[0]).sum())
    if count == most:
        return ""
    if found == target:
        return say(
            zh=f"返回的就是目标 {target:g} 本身：置信度 {target:g} 不等于答对 {target:.0%}，要在验证集上数一数。",
            en=f"You returned the target {target:g} itself: a confidence of {target:g} does not mean that "
            f"{target:.0%} are right, count it on the validation part.",
        )
    if not count and found > 1 and np.isfinite(found):
        return say(
            zh=f"返回的 {found:g} 像是位置（下标），请返回该位置上的置信度。",
            en=f"You returned {found:g}, which looks like a position: return the confidence at that "
            "position.",
        )
    if not count:
        return say(
            zh=f"一张都没有回答，其实可以回答 {most} 张：正确率只在回答了的图片里算，不除以全部。",
            en=f"Nothing is answered where {most} could be: the accuracy is taken among the answered, not "
            "among all.",
        )
    if correct / count < target:
        among_all = np.mean(right | ~answered) >= target
        reason = (
            say(
                zh="没有回答的不能算作答对，请除以回答的张数。",
                en="the unanswered do not count as right, divide by the answered.",
            )
            if among_all
            else say(
                zh="请逐个阈值核对 confidence >= 阈值 的那些（相等的也算）。",
                en="look at each threshold's confidence >= threshold, equal ones included.",
            )
        )
        return (
            say(
                zh=f"回答的 {count} 张里只对 {correct} 张，不到 {target:.0%}：",
                en=f"Of {count} answered only {correct} are right, below {target:.0%}: ",
            )
            + reason
        )
    return say(
        zh=f"太谨慎了：只回答 {count} 张，而阈值低一些可以回答 {most} 张，同样达到 {target:.0%}。"
        "正确率会时升时降，请试遍所有阈值。",
        en=f"Too careful: {count} are answered where a lower threshold answers {most} and still reaches "
        f"{target:.0%}. The accuracy goes up and down, so try every threshold.",
    )
