"""How sure an answer of the CLIP mode is: measured on questions with known answers, and kept beside the model.

The probability that the best statement is the right one is a logistic function (Platt 1999) of three differences of
logits: to the runner-up, to what fits any picture, and to the best rival for the thing itself. Its weights belong to
one model, and a fingerprint keeps them from being used with another.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import settings
from .errors import ModelError, warn
from .output import write_whole
from .settings import say

FILE = "vqa.json"  # beside a model's weights
FEATURES = ("margin", "over neutral", "over rival", "constant")
LEAST = 30  # examples that a sort of question needs to be calibrated
SAME = 2e-3  # in cosine: what other hardware and rounding change, and other weights do not

# Without a calibration: the model's own softmax over the two best, or over the statement and what fits any picture.
UNCALIBRATED = {"exists": (0.0, 1.0, 0.0, 0.0), "": (1.0, 0.0, 0.0, 0.0)}


@dataclass(frozen=True)
class Calibration:
    """Weights for each sort of question, "exists" and the facts' names; "" is for any other.

    `candidates` are the answers it was made with. `closed` says that the model knows nothing else: a question with any
    other noun or place is then answered "not sure". `measured` and `made` say how good it is, and how it came about.
    """

    weights: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    finals: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    candidates: Mapping[str, Any] = field(default_factory=dict)
    closed: bool = False
    fingerprint: tuple[float, ...] = ()
    measured: Mapping[str, Any] = field(default_factory=dict, repr=False)
    made: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def probability(self, sort: str, features: np.ndarray) -> np.ndarray:
        """Chance of being right, `(n,)`, from `(n, 3)` features, in the order of FEATURES."""
        weights = self.weights.get(sort) or self.weights.get("") or UNCALIBRATED.get(sort, UNCALIBRATED[""])
        *slopes, constant = weights
        return 1 / (1 + np.exp(-np.clip(features @ np.array(slopes) + constant, -30, 30)))

    def final(self, kind: str, odds: np.ndarray) -> np.ndarray:
        """The confidence `(n,)` of whole answers, which may rest on several statements, made good for their kind.

        `odds` `(n, 2)` are log-odds: of the answer, given that its thing is there, and of the thing. Uncalibrated, it is
        the product of their probabilities.
        """
        if kind not in self.finals:
            return np.prod(1 / (1 + np.exp(-odds)), axis=1, where=odds != 0)
        *slopes, constant = self.finals[kind]
        return 1 / (1 + np.exp(-np.clip(odds @ np.array(slopes) + constant, -30, 30)))

    def fits(self, service: Any) -> bool:
        """Whether this was made with the model of this service."""
        mine, its = np.array(self.fingerprint), np.array(fingerprint(service))
        return mine.shape == its.shape and bool(np.abs(mine - its).max(initial=0) < SAME)

    def save(self, path: str | os.PathLike) -> None:
        """Write it as JSON, all or nothing. Raises `OutputError` for a folder that does not take it."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n"
        write_whole(Path(path).expanduser(), lambda file: file.write(text.encode()))


def load(path: str | os.PathLike) -> Calibration:
    """A calibration from its file. Raises `ModelError` for a file that is none."""
    try:
        record = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
        weights = {sort: tuple(map(float, row)) for sort, row in record["weights"].items()}
        if any(len(row) != len(FEATURES) or not np.isfinite(row).all() for row in weights.values()):
            raise ValueError("weights")
        return Calibration(**{**record, "weights": weights, "fingerprint": tuple(record["fingerprint"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(
            say(
                zh=f"{path} 不是校准文件，请用 VisualQA.calibrate(...).save(...) 重新生成。",
                en=f"{path} is no calibration, please make it again with VisualQA.calibrate(...).save(...).",
            )
        ) from error


def beside(service: Any) -> Calibration | None:
    """The calibration that lies beside a service's model; None where there is none, or it is another model's."""
    path = Path(settings.locate(str(getattr(service, "name", ""))), FILE).expanduser()
    if not path.is_file():
        return None
    found = load(path)
    if found.fits(service):
        return found
    warn(
        say(
            zh=f"{path.name} 属于另一个版本的 {service.name}，不再使用，请重新校准。",
            en=f"{path.name} belongs to another version of {service.name} and is not used, please calibrate again.",
        )
    )
    return None


def fingerprint(service: Any) -> tuple[float, ...]:
    """Cosines of a fixed picture with a few fixed texts: they change with either tower's weights."""
    from .search import space_of

    probe = np.array(space_of(service).probe, np.float32)
    cosines = service.encode_text(["a", "the picture of it", "2"], progress=False) @ probe
    return tuple(round(float(cosine), 5) for cosine in cosines)


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Finite for certainty, too, and so far out that a softmax's surest answers keep their order."""
    probability = np.clip(np.asarray(probability, float), 1e-12, 1 - 1e-12)
    return np.log(probability / (1 - probability))


def at_home(probability: np.ndarray, share: float) -> np.ndarray:
    """Probabilities `(n,)`, calibrated where half of the statements are true, for pictures where `share` of them are.

    Bayes: the odds are multiplied by share / (1 - share). Without it, most of what a rare thing is "found" in would be
    mistakes, however good the calibration.
    """
    return 1 / (1 + np.exp(-(log_odds(probability) + log_odds(np.array(share)))))


def fit(features: np.ndarray, right: np.ndarray, *, ridge: float = 1e-3) -> tuple[float, ...]:
    """Logistic regression of right or wrong `(n,)` on features `(n, k)`, by Newton's method: their slopes and the
    constant. Features that never vary get no slope."""
    spread = features.std(axis=0)
    used = spread > 1e-9
    x = np.column_stack([features[:, used] / spread[used], np.ones(len(features))])
    weights = np.zeros(x.shape[1])
    penalty = np.full(x.shape[1], ridge * len(x))
    penalty[-1] = 1e-6  # the constant is free
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (p - right) + penalty * weights
        hessian = (x * (p * (1 - p) + 1e-9)[:, None]).T @ x + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    slopes = np.zeros(features.shape[1])
    slopes[used] = weights[:-1] / spread[used]
    return (*(float(round(slope, 5)) for slope in slopes), float(round(weights[-1], 5)))


def reliability(
    confidence: Iterable[float], right: Iterable[bool], bins: int = 8
) -> list[tuple[float, float, int]]:
    """(stated confidence, share that was right, how many) of answers in `bins` groups of equal size, the least sure
    first (Guo et al. 2017)."""
    confidence, right = np.asarray(list(confidence), float), np.asarray(list(right), float)
    groups = np.array_split(np.argsort(confidence, kind="stable"), bins)
    return [(float(confidence[g].mean()), float(right[g].mean()), len(g)) for g in groups if len(g)]


def calibration_error(confidence: Iterable[float], right: Iterable[bool], bins: int = 8) -> float:
    """Expected calibration error: by how much stated confidence and share of right answers differ, on average."""
    groups = reliability(confidence, right, bins)
    count = sum(n for _, _, n in groups)
    return sum(n * abs(says - holds) for says, holds, n in groups) / max(count, 1)


def risk_coverage(confidence: Iterable[float], right: Iterable[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and risk, `(n,)` each: answering only the k surest questions, which share is that, and how many of the
    answers are wrong (El-Yaniv and Wiener 2010).

    Equally sure answers have no order among them: each of them counts as their mean.
    """
    confidence, right = np.asarray(list(confidence), float), np.asarray(list(right), bool)
    surest = np.argsort(-confidence, kind="stable")
    _, tied = np.unique(-confidence[surest], return_inverse=True)
    wrong = np.bincount(tied, ~right[surest]) / np.bincount(tied)
    count = np.arange(1, len(surest) + 1)
    return count / len(surest), np.cumsum(wrong[tied]) / count
