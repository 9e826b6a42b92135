"""Exercise 2: right answers pass, unsolved and wrong ones fail with the sentence that names the mistake."""

import base64
import hashlib
import io
import itertools
import json
import re
import shutil
import tempfile
import threading
import time
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import pytest
import requests
from exercise_steps import assert_names_the_mistake, functions_of
from PIL import Image, ImageDraw

from course_lib import CLIPService, StableDiffusionService, plots
from course_lib.batching import batch
from course_lib.checking import Exercise2, guard
from course_lib.checking.ex2 import studio
from course_lib.images import from_base64, to_base64
from course_lib.settings import say, set_language
from little_world import draw
from little_world.scenes import single

STEPS = ("paint", "plan", "paint_all", "generate", "measure")
CODES = {"kind": ["cat", "rabbit", "bird"], "color": ["red", "yellow", "white"],
         "background": ["snow", "forest", "beach"]}  # fmt: skip


def picture(seed, **facts):
    return draw(single(np.random.default_rng(seed), **facts))


@pytest.fixture(scope="module")
def clip():
    return CLIPService("mini-clip")


@pytest.fixture(params=["en", "zh"])
def lang(request):
    set_language(request.param)
    yield request.param
    set_language(None)


@pytest.fixture
def check(clip, lang, monkeypatch):
    monkeypatch.delenv("COURSE_CHECK_STRICT", raising=False)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.setattr(studio, "PATIENCE", 0.4)
    words = {
        "kind": say(zh="猫 兔子 小鸟", en="cat rabbit bird").split(),
        "color": say(zh="红色 黄色 白色", en="red yellow white").split(),
        "background": say(zh="雪地里,森林里,海滩上", en="in the snow,in the forest,on the beach").split(","),
    }
    template = say(zh="{background}的一只{color}的{kind}", en="a {color} {kind} {background}")
    return Exercise2(clip, picture, template, {fact: dict(zip(CODES[fact], words[fact])) for fact in words})


def functions(folder: str, lang: str) -> dict:
    return functions_of("ex2_batch_generator", folder, lang, globals())


def ask(check: Exercise2, step: str, defined: dict):
    found = (defined["measure"], defined["contact_sheet"]) if step == "measure" else (defined[step],)
    return getattr(check, step)(*found)


@pytest.mark.parametrize("step", STEPS)
def test_the_solution_passes(step, check, lang):
    result = ask(check, step, functions("solutions", lang))
    assert result.passed, result


@pytest.mark.parametrize("step", STEPS)
def test_an_unsolved_step_fails(step, check, lang):
    result = ask(check, step, functions("exercises", lang))
    assert not result.passed
    assert {"en": "not written yet", "zh": "还没有写"}[lang] in result.failures[0].remedy


# ---------------------------------------------------------------------------------------------- 1 paint


def fields(order, start=None):
    found = {"prompt": order["prompt"], "negative_prompt": order["negative"], "seed": order["seed"],
             "cfg_scale": order["guidance"], "steps": order["steps"], "width": order["width"],
             "height": order["height"]}  # fmt: skip
    if start is not None:
        found |= {"init_images": [to_base64(start)], "denoising_strength": order["strength"], "width": start.width,
                  "height": start.height}  # fmt: skip
    return found


def posted(change=lambda sent, order, start: sent, read=lambda data: (from_base64(data["images"][0]), seed_of(data)),
           route=None, checked=True, **how):  # fmt: skip
    """A `paint` that sends what `change` makes of the right fields, and returns what `read` makes of the answer."""

    def paint(url, order, start=None):
        sent = change(fields(order, start), order, start)
        where = route or ("txt2img" if start is None else "img2img")
        kind = how.get("kind", "json")
        answer = requests.post(f"{url}/sdapi/v1/{where}", **{kind: sent}, timeout=5)
        if checked:
            answer.raise_for_status()
        return read(answer.json())

    return paint


def seed_of(data):
    return json.loads(data["info"])["seed"]


def renamed(old, new):
    return lambda sent, order, start: {new if name == old else name: value for name, value in sent.items()}


def without(*names):
    return lambda sent, order, start: {name: value for name, value in sent.items() if name not in names}


def with_a_start(change):
    """The change made where there is a picture to begin from, and only there."""
    return lambda sent, order, start: sent if start is None else change(sent, order, start)


def with_urllib(url, order, start=None):
    route = "img2img" if start else "txt2img"
    request = urllib.request.Request(f"{url}/sdapi/v1/{route}", json.dumps(fields(order, start)).encode(),
                                     {"Content-Type": "application/json"})  # fmt: skip
    with urllib.request.urlopen(request, timeout=5) as answer:
        data = json.load(answer)
    return Image.open(io.BytesIO(base64.b64decode(data["images"][0]))), json.loads(data["info"])["all_seeds"][
        0
    ]


def with_the_service(url, order, start=None):
    service = StableDiffusionService(url, progress=False, retries=0)
    options = {"negative_prompt": order["negative"], "steps": order["steps"], "guidance_scale": order["guidance"],
               "seed": order["seed"]}  # fmt: skip
    if start is None:
        made = service.text_to_image(order["prompt"], width=order["width"], height=order["height"], **options)
    else:
        made = service.image_to_image(start, order["prompt"], order["strength"], **options)
    return made, made.seed


def swallows(url, order, start=None):
    try:
        return posted()(url, order, start)
    except requests.HTTPError:
        return Image.new("RGB", (8, 8)), 0


def elsewhere(url, order, start=None):
    return Image.new("RGB", (order["width"], order["height"])), order["seed"]


def as_jpeg(sent, order, start):
    return sent | ({} if start is None else {"init_images": [to_base64(start, "JPEG")]})


def when_true(sent, order, start):
    return sent if order["seed"] else without("seed")(sent, order, start)


def its_own_size(sent, order, start):
    return sent if start is None else sent | {"width": order["width"], "height": order["height"]}


def gives_back_the_start(url, order, start=None):
    made, seed = posted()(url, order, start)
    return start or made, seed


def another_picture(*seeds):
    """Where the order has one of these seeds, what is returned was not painted."""

    def paint(url, order, start=None):
        made, seed = posted()(url, order, start)
        return Image.new("RGB", made.size) if order["seed"] in seeds else made, seed

    return paint


PAINT_WRONG = [
    (posted(renamed("cfg_scale", "guidance_scale")), "does not know the name guidance_scale"),
    (posted(renamed("steps", "num_inference_steps")), "does not know the name num_inference_steps"),
    (posted(without("negative_prompt")), "There is no negative_prompt in the request"),
    (posted(lambda s, o, t: s | {"width": s["height"], "height": s["width"]}), "may have changed places"),
    (posted(lambda s, o, t: s | {"steps": 20}), "steps should be 12, 20 was sent"),
    (posted(when_true), "Seed 0 did not arrive and became a random one"),
    (posted(read=lambda data: (from_base64(data["images"][0]), data["parameters"]["seed"])), "The seed returned is -1"),
    (posted(read=lambda data: (from_base64(data["images"][0]), data["info"]["seed"])), "wants parsing once more"),
    (posted(read=lambda data: (data["images"][0], seed_of(data))), "still text in base64"),
    (posted(read=lambda data: (data["images"], seed_of(data))), "A list of pictures is returned"),
    (posted(read=lambda data: from_base64(data["images"][0])), "Return two things"),
    (posted(read=lambda data: (from_base64(data["images"][0]), str(seed_of(data)))), "The seed is a str"),
    (posted(read=lambda data: (from_base64(data["images"][0]).resize((512, 512)), seed_of(data))), "neither resize"),
    (posted(route="txt2img"), "still went to txt2img"),
    (posted(route="text2img"), "Address or method is wrong"),
    (posted(kind="data"), "use requests.post(..., json=payload)"),
    (posted(renamed("denoising_strength", "strength")), "does not know the name strength"),
    (posted(lambda s, o, t: s if t is None else s | {"init_images": to_base64(t)}), "init_images is a list"),
    (posted(as_jpeg), "JPEG changes pixels"),
    (posted(its_own_size), "Width and height should be the picture's own"),
    (posted(checked=False), "call answer.raise_for_status() before"),
    (swallows, "swallow no exception"),
    (elsewhere, "The server received nothing"),
    (lambda url, order: posted()(url, order), "The function needs a third parameter"),
    *(
        (posted(with_a_start(without(name))), f"There is no {name} in the request")
        for name in ("prompt", "negative_prompt", "seed", "steps")
    ),
    (posted(with_a_start(renamed("cfg_scale", "guidance_scale"))), "does not know the name guidance_scale"),
    (gives_back_the_start, "neither resize nor convert it"),
    (another_picture(0), "The picture is not the one that was painted"),
    (another_picture(-1), "The picture is not the one that was painted"),
    (posted(lambda s, o, t: s | {"prompt": [s["prompt"]]}), "in the snow', ['a red cat"),
    (posted(lambda s, o, t: s | {"width": "wide"}), "look at each value's type"),
    (posted(lambda s, o, t: s | {"batch_size": "1"}), "look at each value's type"),
]  # fmt: skip


@pytest.mark.parametrize("right", [with_urllib, with_the_service])
def test_other_right_calls_pass(right, check):
    result = check.paint(right)
    assert result.passed, result


@pytest.mark.parametrize(("wrong", "phrase"), PAINT_WRONG)
def test_wrong_calls_are_named(wrong, phrase, check, lang):
    assert_names_the_mistake(check.paint(wrong), phrase, lang)


# ----------------------------------------------------------------------------------------------- 2 plan


def digest(order):
    return hashlib.sha256(json.dumps(order, sort_keys=True).encode()).hexdigest()[:16] + ".png"


def planned(name=lambda order, number: digest(order), seed=lambda seed, number: seed, combine=itertools.product,
            facts=dict, common=lambda common: common):  # fmt: skip
    """A `plan` with one part replaced by another."""

    def plan(template, choices, seeds, shared):
        orders = []
        for chosen in combine(*choices.values()):
            told = dict(zip(choices, chosen))
            for value in seeds:
                own = {
                    "prompt": template.format(**told),
                    "seed": seed(value, len(orders)),
                    "facts": facts(told),
                }
                order = common(shared) | own
                orders.append(order | {"name": name(order, len(orders))})
        return orders

    return plan


def with_loops(template, choices, seeds, common):
    found = [{}]
    for fact, words in choices.items():
        found = [facts | {fact: word} for facts in found for word in words]
    for facts in found:
        for seed in seeds:
            order = {**common, "facts": facts, "seed": seed, "prompt": template.format_map(facts)}
            spelled = uuid.uuid5(
                uuid.NAMESPACE_URL, json.dumps([sorted(common.items()), order["prompt"], seed])
            )
            yield order | {"name": f"seed{seed}-{spelled}.png"}


def from_the_end(template, choices, seeds, common):
    def name(order, number):
        return hashlib.md5(repr(sorted(order.items(), key=str)).encode()).hexdigest() + ".png"

    return tuple(reversed(planned(name=name)(template, choices, seeds, common)))


def changes_common(template, choices, seeds, common):
    orders = planned()(template, choices, seeds, common)
    common["seed"] = 1
    return orders


def numbered(template, choices, seeds, common):
    """With a number beside what was asked for, of which the name knows nothing."""
    return [order | {"number": i} for i, order in enumerate(planned()(template, choices, seeds, common))]


def fails_on_the_way(template, choices, seeds, common):
    yield from planned()(template, choices, seeds, common)
    yield None + 1


def one_for_all(template, choices, seeds, common):
    return planned()(template, choices, seeds[:1], common)


PLAN_WRONG = [
    (planned(combine=zip), "zip pairs the lists side by side"),
    (one_for_all, "give each combination every seed"),
    (planned(seed=lambda seed, number: 1000 + number), "There are seeds that nobody asked for"),
    (planned(name=lambda order, number: f"{number:03d}.png"), "neither its number"),
    (planned(name=lambda order, _: f"{hash(order['prompt'] + str(order['seed'])) % 10**10}.png"), "nor hash()"),
    (planned(name=lambda order, _: f"{uuid.uuid4()}.png"), "put neither chance nor time"),
    (planned(name=lambda order, _: hashlib.md5(order["prompt"].encode()).hexdigest() + ".png"),
     "the seed must go into it"),
    (planned(name=lambda order, _: order["prompt"] + str(order["seed"]) + ".png"), "is no good file name"),
    (planned(name=lambda order, _: digest(order)[:-4]), "is no good file name"),
    (planned(name=lambda order, _: hashlib.md5(f"{order['prompt']}{order['seed']}".encode()).hexdigest() + ".png"),
     "With other steps the name stays the same"),
    (planned(facts=lambda facts: list(facts.values())), "facts should be {name: word chosen}"),
    (planned(common=lambda common: {}), "merge common into each"),
    (lambda t, c, s, common: [{**order, "prompt": t} for order in planned()(t, c, s, common)],
     "does not go with its facts"),
    (lambda t, c, s, common: {order["name"]: order for order in planned()(t, c, s, common)}, "return a list"),
    (lambda t, c, s, common: planned()(t.replace("color", "colour"), c, s, common), "colour"),
    (changes_common, "The function changes common or choices"),
    (lambda t, c, s, common: planned()(t, c, s, common)[1:], "were asked for"),
    (planned(name=lambda order, number: digest(order | {"number": number})), "neither its number"),
    (planned(seed=lambda seed, number: [seed]), "The check cannot read what this step returned"),
    (lambda *given: map(dict, itertools.cycle(planned()(*given))), "There are 10000 orders"),
    (fails_on_the_way, "raised TypeError: unsupported operand"),
]  # fmt: skip


@pytest.mark.parametrize(
    "right",
    [
        with_loops,
        from_the_end,
        planned(facts=lambda facts: dict(sorted(facts.items()))),
        numbered,
    ],
)
def test_other_right_plans_pass(right, check):
    result = check.plan(right)
    assert result.passed, result


@pytest.mark.parametrize(("wrong", "phrase"), PLAN_WRONG)
def test_wrong_plans_are_named(wrong, phrase, check, lang):
    assert_names_the_mistake(check.plan(wrong), phrase, lang)


# ------------------------------------------------------------------------------------------ 3 paint_all


def with_a_semaphore(paint, orders, at_once):
    places, pictures = threading.Semaphore(at_once), [None] * len(orders)

    def work(i):
        with places:
            pictures[i] = paint(orders[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(orders))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return pictures


def with_the_library(paint, orders, at_once):
    return [outcome.result() for outcome in batch(paint, orders, max_workers=at_once, progress=False)]


def submitted(paint, orders, at_once, collect):
    with ThreadPoolExecutor(at_once) as pool:
        return collect([pool.submit(paint, order) for order in orders])


def in_groups(paint, orders, at_once):
    found = []
    for i in range(0, len(orders), at_once):
        found += submitted(
            paint, orders[i : i + at_once], at_once, lambda futures: [f.result() for f in futures]
        )
    return found


def one_by_one(paint, orders, at_once):
    with ThreadPoolExecutor(at_once) as pool:
        return [pool.submit(paint, order).result() for order in orders]


def one_after_another(paint, orders, at_once):
    """A generator: nothing is painted before it is read."""
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(paint, orders)


def unwritten(paint, orders, at_once):
    raise NotImplementedError("this step is not written yet")
    yield


PAINT_ALL_WRONG = [
    (one_by_one, "before you ask the first for its .result()"),
    (lambda paint, orders, n: [paint(order) for order in orders], "one after the other"),
    (lambda paint, orders, n: with_a_semaphore(paint, orders, len(orders)), "start no thread for each order"),
    (lambda paint, orders, n: with_a_semaphore(paint, orders, 3), "use the parameter at_once"),
    (lambda paint, orders, n: with_a_semaphore(paint, orders, 4), "start no thread for each order"),
    (lambda paint, orders, n: submitted(paint, orders, n, lambda fs: [f.result() for f in as_completed(fs)]),
     "as as_completed has it"),
    (lambda paint, orders, n: with_the_library(paint, orders, n)[::-1], "as as_completed has it"),
    (in_groups, "do not wait for groups"),
    (lambda paint, orders, n: submitted(paint, orders, n, list), "Futures are returned"),
    (lambda paint, orders, n: with_the_library(paint, orders, n)[:-1], "wait for all of them"),
    (lambda paint, orders, n: {o["name"]: p for o, p in zip(orders, with_the_library(paint, orders, n))},
     "Return a list of pictures"),
    (lambda paint, orders, n: with_the_library(paint, [*orders, orders[0]], n)[:-1], "call paint once for each"),
    (lambda paint, orders, n: (paint(order) for order in orders), "one after the other"),
    (lambda paint, orders, n: (None + 1 for _ in orders), "raised TypeError: unsupported operand"),
    (unwritten, "not written yet"),
]  # fmt: skip


@pytest.mark.parametrize("right", [with_a_semaphore, with_the_library, one_after_another])
def test_other_right_ways_to_paint_several_pass(right, check):
    result = check.paint_all(right)
    assert result.passed, result


@pytest.mark.parametrize(("wrong", "phrase"), PAINT_ALL_WRONG)
def test_wrong_ways_to_paint_several_are_named(wrong, phrase, check, lang):
    assert_names_the_mistake(check.paint_all(wrong), phrase, lang)


# ------------------------------------------------------------------------------------------- 4 generate


def written_here(finished):
    """A `generate` whose threads paint while another writes, not in haste, what `finished` brings."""

    def generate(paint, orders, folder, at_once, tries=3):
        folder, failed = Path(folder), {}
        folder.mkdir(parents=True, exist_ok=True)

        def tried(order):
            for _ in range(tries):
                try:
                    return order, paint(order), ""
                except Exception as error:
                    why = str(error)
            return order, None, why

        left = [order for order in orders if not (folder / order["name"]).exists()]
        with ThreadPoolExecutor(at_once) as pool:
            for order, made, why in finished(pool, tried, left):
                time.sleep(0.03)
                if made is None:
                    failed[order["name"]] = why
                else:
                    renames(made, folder / order["name"])
        return failed

    return generate


def as_they_come(pool, call, orders):
    return (future.result() for future in as_completed([pool.submit(call, order) for order in orders]))


def in_their_order(pool, call, orders):
    return pool.map(call, orders)


def written_elsewhere(picture, path):
    with tempfile.TemporaryDirectory() as place:
        picture.save(Path(place) / path.name)
        shutil.move(Path(place) / path.name, path)


def tidied_up(away):
    """Not atomic, and tidies up where it is interrupted: a dead process could not."""

    def write(picture, path):
        try:
            picture.save(path)
        except BaseException:
            away(path)
            raise

    return write


def empties(paint, orders, folder, at_once, tries=3):
    """A second run that makes a fresh folder, for what the first has left out."""
    there = {path.name for path in Path(folder).glob("*.png")}
    shutil.rmtree(folder, ignore_errors=True)
    return runs(done=lambda path: path.name in there)(paint, orders, folder, at_once, tries)


def renames(picture, path):
    part = path.with_name(path.name + ".tmp")
    picture.save(part, "PNG")
    part.replace(path)


def is_whole(path):
    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError):
        return False
    return True


def runs(write=renames, done=Path.exists, caught=Exception, most=lambda tries: tries, report=lambda failed: failed,
         workers=lambda n: n, why=str):  # fmt: skip
    """A `generate` with one part replaced by another."""

    def generate(paint, orders, folder, at_once, tries=3):
        folder, failed = Path(folder), {}
        folder.mkdir(parents=True, exist_ok=True)

        def one(order):
            path = folder / order["name"]
            if done(path):
                return
            error = None
            for _ in range(most(tries)):
                try:
                    picture = paint(order)
                    break
                except caught as raised:
                    error = raised
            else:
                failed[order["name"]] = why(error)
                return
            write(picture, path)

        with ThreadPoolExecutor(workers(at_once)) as pool:
            list(pool.map(one, orders))
        return report(failed)

    return generate


def in_rounds(paint, orders, folder, at_once, tries=3):
    """Rounds over what is missing; a file counts when it can be read."""
    folder, reasons = Path(folder), {}
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(tries):
        left = [order for order in orders if not is_whole(folder / order["name"])]
        outcomes = batch(
            lambda order: paint(order).save(folder / order["name"]), left, max_workers=at_once, progress=False
        )
        reasons = {outcome.item["name"]: repr(outcome.error) for outcome in outcomes if not outcome.ok}
    return reasons


def with_links(paint, orders, folder, at_once, tries=3):
    def write(picture, path):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        part = path.parent / f"{path.stem}.{uuid.uuid4().hex}"
        part.write_bytes(buffer.getvalue())
        shutil.move(part, path)

    return runs(write=write)(paint, orders, folder, at_once, tries)


def at_the_end(paint, orders, folder, at_once, tries=3):
    folder, failed = Path(folder), {}
    folder.mkdir(parents=True, exist_ok=True)
    left = [order for order in orders if not (folder / order["name"]).exists()]

    def tried(order):
        for _ in range(tries):
            try:
                return paint(order)
            except Exception as error:
                failed[order["name"]] = str(error)
        return None

    for order, made in zip(left, with_the_library(tried, left, at_once)):
        if made is not None:
            failed.pop(order["name"], None)
            renames(made, folder / order["name"])
    return failed


def no_folder(paint, orders, folder, at_once, tries=3):
    return {order["name"]: renames(paint(order), folder / order["name"]) for order in orders}


_kept = {}


def remembers(failed):
    _kept.update(failed)
    return dict(_kept)


def never_again(path):
    return path.exists() or path.with_suffix(".failed").exists()


def marks_failures(paint, orders, folder, at_once, tries=3):
    failed = runs(done=never_again)(paint, orders, folder, at_once, tries)
    for name in failed:
        (Path(folder) / name).with_suffix(".failed").touch()
    return failed


GENERATE_WRONG = [
    (runs(write=lambda picture, path: picture.save(path)), "write to another name and rename"),
    (runs(caught=ZeroDivisionError), "give each a try of its own"),
    (runs(most=lambda tries: 1), "was not tried again"),
    (runs(most=lambda tries: 2), "was tried 2 times where 3 were allowed"),
    (runs(most=lambda tries: 9), "was tried 9 times, 3 is the most"),
    (runs(done=lambda path: False), "skip an order whose file exists"),
    (runs(report=lambda failed: list(failed)), "return a dictionary"),
    (runs(report=lambda failed: {}), "no failure may pass in silence"),
    (runs(report=lambda failed: None), "The function returns nothing"),
    (runs(why=lambda error: "failed"), "give the error itself"),
    (runs(write=lambda picture, path: renames(picture, path.with_suffix(".jpg"))), "files are missing"),
    (runs(write=lambda picture, path: None), "There is nothing in the folder"),
    (runs(write=lambda picture, path: renames(Image.new("RGB", (8, 8)), path)), "does not hold its own order's"),
    (runs(workers=lambda n: 12), "start no thread for each order"),
    (runs(report=remembers), "make a new one in each call"),
    (marks_failures, "a failure is not a picture"),
    (at_the_end, "write each as soon as it is painted"),
    (no_folder, "mkdir(parents=True, exist_ok=True) first"),
    (lambda *given: runs()(*given) | {"777.png": "500"}, "has not failed"),
    (runs(write=tidied_up(lambda path: path.unlink(missing_ok=True))), "write to another name and rename"),
    (runs(write=tidied_up(lambda path: path.replace(path.with_suffix(".x")))), "to another name and rename"),
    (empties, "removed 11 files that were there"),
]  # fmt: skip


@pytest.mark.parametrize(
    "right",
    [
        in_rounds,
        with_links,
        written_here(as_they_come),
        written_here(in_their_order),
        runs(write=written_elsewhere),
    ],
)
def test_other_right_runs_pass(right, check):
    result = check.generate(right)
    assert result.passed, result


@pytest.mark.parametrize(("wrong", "phrase"), GENERATE_WRONG)
def test_wrong_runs_are_named(wrong, phrase, check, lang):
    _kept.clear()
    assert_names_the_mistake(check.generate(wrong), phrase, lang)


def test_a_run_that_never_gives_up_is_stopped(check, monkeypatch):
    monkeypatch.setattr(guard, "TIME_LIMIT", 1.0)
    result = check.generate(runs(most=lambda tries: 10**9))
    assert re.search("still running after|还没有结束", result.failures[-1].remedy), result


# -------------------------------------------------------------------------------------------- 5 measure


def seen(clip, pictures, orders, template, choices):
    """{fact: [the word that CLIP sees, None for a missing picture]}, by features."""
    found = {fact: [] for fact in choices}
    for image, order in zip(pictures, orders):
        feature = None if image is None else clip.encode_image(image, progress=False)[0]
        for fact, words in choices.items():
            prompts = [template.format(**(order["facts"] | {fact: word})) for word in words]
            cosines = None if feature is None else clip.encode_text(prompts, progress=False) @ feature
            found[fact].append(None if cosines is None else words[int(cosines.argmax())])
    return found


_tables = {}


def table(clip, pictures, orders, template, choices):
    """(n, facts): what is right. The check's pictures are always the same, so CLIP need not look twice."""
    key = template, *(order["name"] for order in orders)
    if key not in _tables:
        found = seen(clip, pictures, orders, template, choices)
        right = [[found[f][i] == order["facts"][f] for f in choices] for i, order in enumerate(orders)]
        _tables[key] = np.array(right)
    return _tables[key]


def measured(summary):
    def measure(clip, pictures, orders, template, choices):
        right = table(clip, pictures, orders, template, choices)
        there = np.array([image is not None for image in pictures])
        return summary(dict(zip(choices, right.T.astype(float))), there)

    return measure


def each(rows, **more):
    return {fact: row.mean() for fact, row in rows.items()} | more


def together(rows):
    return np.min(list(rows.values()), axis=0)


def by_classification(clip, pictures, orders, template, choices):
    """Without the order's other facts: bare words."""
    counts, both = dict.fromkeys(choices, 0), 0
    for image, order in zip(pictures, orders):
        if image is None:
            continue
        right = [
            clip.zero_shot_classify(image, words).label == order["facts"][fact]
            for fact, words in choices.items()
        ]
        for fact, one in zip(choices, right):
            counts[fact] += one
        both += all(right)
    return {fact: count / len(orders) for fact, count in counts.items()} | {"all": both / len(orders)}


def crashes(clip, pictures, orders, template, choices):
    return {fact: float(np.mean([image.size for image in pictures])) for fact in choices}


def out_of_step(clip, pictures, orders, template, choices):
    return measured(lambda rows, there: each(rows, all=together(rows).mean()))(
        clip, pictures, orders[::-1], template, choices)  # fmt: skip


def survivors(rows, there):
    left = {fact: row[there] for fact, row in rows.items()}
    return each(left, all=together(left).mean())


MEASURE_WRONG = [
    (measured(survivors), "measuring survivors alone"),
    (measured(lambda rows, there: each(rows, all=np.prod([row.mean() for row in rows.values()]))), "not the product"),
    (measured(lambda rows, there: each(rows, all=np.mean([row.mean() for row in rows.values()]))), "not the mean"),
    (measured(lambda rows, there: each(rows)), "The dictionary lacks all"),
    (measured(lambda rows, there: {f: row.sum() for f, row in rows.items()} | {"all": 1}), "A share is above 1"),
    (measured(lambda rows, there: rows | {"all": together(rows)}), "Each entry should be one number"),
    (measured(lambda rows, there: float(together(rows).mean())), "return a dictionary"),
    (lambda clip, pictures, orders, template, choices: {**dict.fromkeys(choices, 1.0), "all": 1.0},
     "compare no order with"),
    (out_of_step, "stay in step"),
    (crashes, "A picture that was not painted is None"),
]  # fmt: skip


def sheet_with(side=64, gap=4, letters=None, keep=True, across=None, label=True, down=False):
    """A contact sheet with one part replaced by another."""

    def contact_sheet(pictures, labels, columns):
        columns = across or columns
        pairs = [pair for pair in zip(pictures, labels) if keep or pair[0] is not None]
        rows = -(-len(pairs) // columns)
        sheet = Image.new("RGB", (columns * (side + gap), rows * (side + gap + 16)), "white")
        for i, (image, text) in enumerate(pairs):
            row, column = (i % rows, i // rows) if down else divmod(i, columns)
            corner = column * (side + gap), row * (side + gap + 16)
            if image is not None:
                sheet.paste(image.resize((side, side)), corner)
            if label:
                font = letters or plots.font(11)
                ImageDraw.Draw(sheet).text((corner[0], corner[1] + side), text, "black", font)
        return sheet

    return contact_sheet


class Boxes:
    """A font that has no Chinese characters: every one is the same box."""

    def __call__(self, pictures, labels, columns):
        boxed = [re.sub("[一-鿿]", "□", label) for label in labels]
        return sheet_with()(pictures, boxed, columns)


SHEET_WRONG = [
    (sheet_with(keep=False), "do not move up"),
    (sheet_with(across=3), "the column i % columns"),
    (sheet_with(down=True), "is not in its place"),
    (sheet_with(label=False), "There is no label on the sheet"),
    (Boxes(), "Chinese labels all look alike"),
    (sheet_with(side=8), "large enough to be seen"),
    (lambda pictures, labels, columns: np.zeros((9, 9, 3)), "return a PIL picture"),
]


def montage(pictures, labels, columns):
    """Rows pasted one under the other."""
    cells = []
    for image, text in zip(pictures, labels):
        cell = Image.new("RGB", (100, 120), "white")
        if image is not None:
            cell.paste(image.resize((90, 90)), (5, 5))
        ImageDraw.Draw(cell).text((50, 98), text, "black", plots.font(12), anchor="ma")
        cells.append(np.asarray(cell))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    return Image.fromarray(
        np.vstack([np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)])
    )


@pytest.mark.parametrize(
    ("right", "sheet"),
    [
        (measured(lambda rows, there: each(rows, all=together(rows).mean())), montage),
        (by_classification, sheet_with(side=40, gap=11)),
    ],
)
def test_other_right_measurements_pass(right, sheet, check):
    result = check.measure(right, sheet)
    assert result.passed, result


@pytest.mark.parametrize(("wrong", "phrase"), MEASURE_WRONG)
def test_wrong_measurements_are_named(wrong, phrase, check, lang):
    assert_names_the_mistake(check.measure(wrong, montage), phrase, lang)


@pytest.fixture
def truth(check, monkeypatch):
    """A judge that is never asked: the shares that were painted, so that only the sheet is in question."""
    painted = check._album
    made = painted({fact: list(words.values()) for fact, words in check.choices.items()})
    monkeypatch.setattr(check, "_album", lambda choices: made)
    return lambda *given: {fact: row.mean() for fact, row in made[2].items()}


@pytest.mark.parametrize(("wrong", "phrase"), SHEET_WRONG)
def test_wrong_sheets_are_named(wrong, phrase, check, truth, lang):
    assert_names_the_mistake(check.measure(truth, wrong), phrase, lang)


# ------------------------------------------------------------------------------------------- the studio


def test_the_studio_paints_what_the_library_asks_for():
    with studio.Studio() as server:
        made = StableDiffusionService(server.url, progress=False).text_to_image(
            "a cat", width=64, height=64, seed=0
        )
        assert made.seed == 0 and studio.shows(made, "a cat", 0)
        server.stop()
        with pytest.raises(requests.ConnectionError):
            server.paint({"prompt": "a", "seed": 1})
        server.start()
        assert studio.shows(server.paint({"prompt": "a", "seed": 1}), "a", 1)


def test_a_slow_request_waits_as_long_as_others_keep_coming(monkeypatch):
    monkeypatch.setattr(studio, "PATIENCE", 0.8)
    orders = [{"prompt": f"picture {i}", "seed": i} for i in range(8)]
    with studio.Studio(slow="picture 0", expected=len(orders)) as server, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(server.paint, orders[0])
        for order in orders[1:]:
            time.sleep(0.2)  # together much more than the patience
            server.paint(order)
        assert studio.shows(slow.result(), "picture 0", 0) and not server.held_up
    with studio.Studio(slow="picture 0", expected=2) as server:
        server.paint(orders[0])
        assert server.held_up
