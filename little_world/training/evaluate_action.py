"""How good mini-action is: on clips that it was not trained on, beside a network that only sees the mean of the frames."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from course_lib.clip import CLIPService
from course_lib.video_actions import ActionModel
from course_lib.video_timeline import Timeline

from ..cards import megabytes
from ..clips import EVENTS, MOTIONS
from .action import FPS, TEST, TEST_CLIPS, Course, courses

TOLERANCE = 0.25  # seconds that an event may be away from where it is
TARGETS = {"action": 0.95, "events, F1": 0.9}


def timeline(course: Course) -> Timeline:
    """A clip as the analyzer sees it."""
    return Timeline.of_one_shot(course.features, FPS)


def answers(model: ActionModel, found: list[Course]) -> np.ndarray:
    """(n,) the motion that mini-action sees in each, by its number."""
    return np.array([MOTIONS.index(model.classify(timeline(course)).label) for course in found])


def mean_probe(found: list[Course]) -> torch.nn.Module:
    """The best that a mean of frames can do: a network of two layers on it, trained on the same clips."""
    x = torch.from_numpy(np.stack([course.features.mean(axis=0) for course in found]))
    y = torch.tensor([MOTIONS.index(course.motion) for course in found])
    torch.manual_seed(0)
    probe = torch.nn.Sequential(
        torch.nn.BatchNorm1d(x.shape[1]), torch.nn.Linear(x.shape[1], 128), torch.nn.ReLU(), torch.nn.Dropout(0.3),
        torch.nn.Linear(128, len(MOTIONS)),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(probe.parameters(), 3e-3, weight_decay=0.1)
    for _ in range(300):
        loss = torch.nn.functional.cross_entropy(probe(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return probe.eval()


def events(model: ActionModel, found: list[Course]) -> dict[str, tuple[int, int, int]]:
    """For each sort of event: how many were found rightly (the sort, and the second to 0.25), found wrongly, missed."""
    counts = {sort: [0, 0, 0] for sort in EVENTS}
    for course in found:
        missing = course.event
        for event in model.events(timeline(course)):
            if event.sort == missing and abs(event.time - course.at) <= TOLERANCE:
                counts[event.sort][0] += 1
                missing = None
            else:
                counts[event.sort][1] += 1
        if missing:
            counts[missing][2] += 1
    return {sort: tuple(count) for sort, count in counts.items()}


def f1(right: int, wrong: int, missed: int) -> float:
    return 2 * right / max(1, 2 * right + wrong + missed)


def table(
    folder: Path, trained_on: list[Course], test_clips: int = TEST_CLIPS
) -> dict[str, dict[str, float]]:
    """The measured rows: {row: {"mini-action": share, "mean of frames": share, "shuffled": share}}."""
    model = ActionModel(CLIPService("mini-clip"), str(folder))
    test = courses(test_clips, TEST)
    plain = [course for course in test if not course.event]
    truth = np.array([MOTIONS.index(course.motion) for course in plain])
    probe = mean_probe([course for course in trained_on if not course.event])
    means = torch.from_numpy(np.stack([course.features.mean(axis=0) for course in plain]))
    with torch.inference_mode():
        by_mean = probe(means).numpy()
    rng = np.random.default_rng(0)
    mixed = [Course(rng.permutation(c.features), c.motion, c.event, c.at) for c in plain]
    said = {"mini-action": answers(model, plain), "mini-action, frames shuffled": answers(model, mixed),
            "mean of frames": by_mean.argmax(axis=1)}  # fmt: skip
    rows = {"action": {name: float((answer == truth).mean()) for name, answer in said.items()}}
    for row, pair in (
        ("right or left", ("right", "left")),
        ("up or down", ("up", "down")),
        ("enters or leaves", ("enter", "leave")),
    ):
        a, b = (MOTIONS.index(motion) for motion in pair)
        chosen = np.isin(truth, (a, b))
        # between the two alone: an even chance for who does not know the order
        two = np.where(by_mean[:, a] >= by_mean[:, b], a, b)
        rows[row] = {"mini-action": float((said["mini-action"] == truth)[chosen].mean()),
                     "mean of frames": float((two == truth)[chosen].mean())}  # fmt: skip
    counts = events(model, test)
    right, wrong, missed = np.array(list(counts.values())).sum(axis=0)
    rows["events, precision"] = {"mini-action": float(right / max(1, right + wrong))}
    rows["events, recall"] = {"mini-action": float(right / (right + missed))}
    rows["events, F1"] = {"mini-action": f1(right, wrong, missed)}
    for sort, count in counts.items():
        rows[f"event: {sort}, F1"] = {"mini-action": f1(*count)}
    return rows


def markdown(rows: dict[str, dict[str, float]]) -> str:
    """The measured rows as a table in Markdown, beside their targets."""
    columns = list(rows["action"])
    lines = [
        f"| measured on held-out clips | {' | '.join(columns)} | target |",
        "|---|" + "--:|" * (len(columns) + 1),
    ]
    for row, shares in rows.items():
        cells = (f"{shares[name]:.1%}" if name in shares else "" for name in columns)
        lines.append(f"| {row} | {' | '.join(cells)} | {f'{TARGETS[row]:.0%}' if row in TARGETS else ''} |")
    return "\n".join(lines)


def write_card(
    folder: Path, rows: dict[str, dict[str, float]], *, seconds: float, recipe, clips: int
) -> None:
    """README.md (the model card) and metrics.json, from what was measured."""
    metrics = {"rows": rows, "seconds": round(seconds), "clips": clips, "recipe": recipe.__dict__}
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    (folder / "README.md").write_text(
        f"""---
license: apache-2.0
library_name: pytorch
pipeline_tag: video-classification
base_model: mini-clip
---
# mini-action

Reads mini-clip's vectors of a video's frames, {FPS} a second, in their order, and says what moves how ({", ".join(MOTIONS)})
and when a pattern breaks ({", ".join(EVENTS)}): a recurrent network of {megabytes(folder):.1f} MB, `course_lib.video_actions.ActionNetwork`,
used by `VideoAnalyzer.classify_action` and `detect_events`. It knows one thing at a time in front of a camera that stands still.

{markdown(rows)}

Chance is {1 / len(MOTIONS):.0%} for the action and 50 % for each pair. The mean of frames is a network of two layers on it, trained on
the same clips; which way a thing looks says nothing about where it goes (`facing=False`). An event counts as found if its sort is
right and its second is off by at most {TOLERANCE} s. How each row is measured: `little_world/training/evaluate_action.py`.

- Trained on {clips:,} clips of one thing and {clips // 3:,} more in which it changes colour, {recipe.steps:,} batches of {recipe.batch_size}:
  half of the clips are played backwards, and some are made to stop or to turn back.
  {seconds / 60:.0f} minutes on one busy CPU core, and before that the clips are drawn and embedded once:
  `python -m little_world.training.action`
- This table again: `python -m little_world.training.action --evaluate`
""",
        encoding="utf-8",
    )
