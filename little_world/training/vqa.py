"""The calibration of VisualQA's CLIP mode for mini-clip: questions about scenes, with their true answers.

python -m little_world.training.vqa             fit it, measure it, and write it beside the model
python -m little_world.training.vqa --evaluate  measure the stored one again

It is fitted on scenes of the training stream that the model's own training did not reach, and measured on the test
stream.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from course_lib import CLIPService
from course_lib.vqa_calibration import FILE, Calibration, load
from course_lib.vqa_clip import ClipReader
from course_lib.vqa_fit import Asked, calibrate, measure

from .. import words
from ..captions import LANDSCAPE, labels, questions
from ..drawing import draw
from ..paths import MODELS
from ..scenes import KINDS, SIZES, TIMES, Scene, random_scene
from .data import TEST, TRAIN, scene_rng

FIT_FROM, TEST_FROM = 1_000_000, 200_000_000  # mini-clip was trained on the first scenes of TRAIN
SCENES = 1500
SURE = 0.75  # the least confidence of an answer in the measured table

SORTS = {"count": "number", "where": "position", "background": "place", "what": "thing"}  # course_lib's names


def candidates() -> dict[str, dict[str, str]]:
    """What there is in Little World: answer to phrase, in both languages."""
    found: dict[str, dict[str, str]] = {}
    for lang in words.LANGUAGES:
        things = {name: name for name in labels("kind", lang).values()} | {LANDSCAPE[lang]: LANDSCAPE[lang]}
        found.setdefault("thing", {}).update(things)
        found.setdefault("color", {}).update({name: name for name in words.COLOR[lang].values()})
        for slot, nouns, phrases in (
            ("place", words.BACKGROUND_NOUN, words.BACKGROUND),
            ("time", words.TIME_NOUN, words.TIME),
            ("position", words.PLACE, words.PLACE),
            ("size", words.SIZE, words.SIZE),
        ):
            found.setdefault(slot, {}).update({noun: phrases[lang][key] for key, noun in nouns[lang].items()})
    return found


def choices(scene: Scene, lang: str, rng: np.random.Generator) -> list[tuple[str, str, str]]:
    """Either-or questions with their answers: of things, times of day, colours and sizes."""
    zh, found = lang == "zh", []
    swap = lambda a, b: (b, a) if rng.random() < 0.5 else (a, b)  # noqa: E731
    pick = lambda options: options[int(rng.integers(len(options)))]  # noqa: E731

    def ask(sort: str, start: str, true: str, false: str, end: str = "") -> None:
        a, b = swap(true, false)
        found.append((sort, f"{start}{a}还是{b}{end}？" if zh else f"{start} {a} or {b}?", true))

    other = words.TIME_NOUN[lang][pick([time for time in TIMES if time != scene.time])]
    ask("choice", "现在是" if zh else "Is it", words.TIME_NOUN[lang][scene.time], other)
    if len(scene.groups) == 1:
        group = scene.groups[0]
        true, false = (
            words.kind_name(k, lang) for k in (group.kind, pick([k for k in KINDS if k != group.kind]))
        )
        a, b = swap(true, false)
        text = f"这是{a}还是{b}？" if zh else f"Is it {words.article(a)} or {words.article(b)}?"
        found.append(("choice", text, true))
        verb = "" if zh else "Is the" if group.count == 1 else "Are the"
        name = words.kind_name(group.kind, lang, group.count)
        start = f"{name}是" if zh else f"{verb} {name}"
        if group.color:
            wrong = pick([c for c in words.COLOR[lang] if c != group.color])
            ask("choice", start, words.COLOR[lang][group.color], words.COLOR[lang][wrong], "的" if zh else "")
        if scene.size:
            wrong = words.SIZE[lang][SIZES[scene.size == SIZES[0]]]
            ask("size", start, words.SIZE[lang][scene.size], wrong, "的" if zh else "")
    return found


def missing(scene: Scene, lang: str, rng: np.random.Generator) -> list[tuple[str, str, str]]:
    """Questions that take for granted what is not there. People ask them, if seldom."""
    absent = [kind for kind in KINDS if kind not in {thing.kind for thing in scene.things}]
    name = words.kind_name(absent[int(rng.integers(len(absent)))], lang)
    color = list(words.COLOR[lang].values())[int(rng.integers(len(words.COLOR[lang])))]
    if lang == "zh":
        asked = f"{name}是什么颜色的？", f"{name}在画面的什么位置？", f"{name}是{color}的吗？"
        answer = f"图中没有{name}"
    else:
        asked = f"What color is the {name}?", f"Where is the {name}?", f"Is the {name} {color}?"
        answer = f"There is no {name}"
    return [(sort, text, answer) for sort, text in zip(("color", "where", "is color"), asked)]


def asked_about(scenes: list[Scene], seed: int) -> tuple[list[Asked], list[str]]:
    """Questions about each scene in both languages, and their sorts."""
    asked, sorts = [], []
    for index, scene in enumerate(scenes):
        rng = np.random.default_rng([seed, index])
        for lang in words.LANGUAGES:
            some = [(q.sort, q.text, q.answer) for q in questions(scene, lang, rng)]
            some += choices(scene, lang, rng) + (missing(scene, lang, rng) if index % 4 == 0 else [])
            for sort, text, answer in some:
                if sort == "exists" and not text.startswith(("图中有", "Is there")):
                    sort = "is color"
                elif sort == "what" and scene.relation:
                    sort = "thing at"
                asked.append((index, text, answer))
                sorts.append(SORTS.get(sort, sort))
    return asked, sorts


def scenes_of(stream: int, start: int, count: int) -> list[Scene]:
    return [random_scene(scene_rng(stream, start + i)) for i in range(count)]


def embedded(service: CLIPService, scenes: list[Scene]) -> np.ndarray:
    return service.encode_image([draw(scene) for scene in scenes])


def measured(service: CLIPService, calibration: Calibration, count: int = SCENES) -> dict:
    """The table of `course_lib.vqa_fit.measure` on held-out scenes: all, and those with one kind of thing."""
    scenes = scenes_of(TEST, TEST_FROM, count)
    vectors, reader = embedded(service, scenes), ClipReader(service, {}, calibration)
    table = {}
    for name, chosen in (
        ("all scenes", scenes),
        ("one kind of thing", [s for s in scenes if len(s.groups) < 2]),
    ):
        asked, sorts = asked_about(chosen, 2)
        some = vectors if chosen is scenes else vectors[[len(s.groups) < 2 for s in scenes]]
        table[name] = measure(reader, some, asked, sorts, SURE)
    return {"scenes": count, "least confidence": SURE, **table}


def make(folder: Path, count: int = SCENES) -> Calibration:
    """Fit, measure and write the calibration of the model in `folder`."""
    service = CLIPService(folder, device="cpu", batch_size=64)
    scenes = scenes_of(TRAIN, FIT_FROM, count)
    asked, _ = asked_about(scenes, 1)
    made = {
        "by": "python -m little_world.training.vqa",
        "fitted on": f"scenes {FIT_FROM} to {FIT_FROM + count - 1} of the training stream, which training did not reach",
        "measured on": f"scenes {TEST_FROM} to {TEST_FROM + count - 1} of the test stream",
    }
    found = calibrate(service, embedded(service, scenes), asked, candidates(), closed=True, made=made)
    table = measured(service, found, count)
    found = Calibration(**{**found.__dict__, "measured": table})
    found.save(folder / FILE)
    return found


def markdown(table: dict) -> str:
    """The measured table in Markdown."""
    lines = []
    for name, rows in table.items():
        if isinstance(rows, dict):
            lines += [
                f"| {name} | questions | accuracy | coverage | when sure | calibration error |",
                "|---|--:|--:|--:|--:|--:|",
            ]
            for sort, row in rows.items():
                sure = row["accuracy when sure"]
                lines.append(
                    f"| {sort} | {row['questions']} | {row['accuracy']:.1%} | {row['coverage']:.0%} | "
                    f"{'-' if sure is None else f'{sure:.1%}'} | {row['calibration error']:.3f} |"
                )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--evaluate", action="store_true", help="measure the stored calibration again")
    parser.add_argument("--folder", type=Path, default=MODELS / "mini-clip")
    parser.add_argument("--scenes", type=int, default=SCENES)
    args = parser.parse_args()
    if args.evaluate:
        service = CLIPService(args.folder, device="cpu", batch_size=64)
        print(markdown(measured(service, load(args.folder / FILE), args.scenes)))
    else:
        print(markdown(make(args.folder, args.scenes).measured))


if __name__ == "__main__":
    main()
