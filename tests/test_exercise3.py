"""Exercise 3: right answers pass, unsolved and wrong ones fail with the sentence that names the mistake."""

import hashlib
import re
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from exercise_steps import assert_names_the_mistake, functions_of
from PIL import Image

from course_lib import (
    CLIPService,
    CourseError,
    ImageError,
    TextError,
    app_core,
    batch,
    open_image,
    say,
)
from course_lib.app_session import Session
from course_lib.chat.client import VisionClient
from course_lib.checking import Exercise3
from course_lib.checking.ex3.bench import Script, bomb, same, turned
from course_lib.settings import set_language
from little_world import draw, labels
from little_world.scenes import single

NAMES = {"measure": ("plain", "accuracy", "recall_at_k"), "session": ("Session",)}
STEPS = ("add", "find", "ask", "measure", "ask_all", "session")


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
    words = {fact: labels(fact, lang) for fact in ("kind", "color")}
    return Exercise3(clip, picture, words)


def functions(folder: str, lang: str) -> dict:
    return functions_of("ex3_search_and_qa_app", folder, lang, globals())


def ask(check: Exercise3, step: str, defined: dict):
    return getattr(check, step)(*(defined[name] for name in NAMES.get(step, (step,))))


@pytest.mark.parametrize("step", STEPS)
def test_the_solution_passes(step, check, lang):
    result = ask(check, step, functions("solutions", lang))
    assert result.passed, result


@pytest.mark.parametrize("step", STEPS)
def test_an_unsolved_step_fails(step, check, lang):
    result = ask(check, step, functions("exercises", lang))
    assert not result.passed
    assert {"en": "not written yet", "zh": "还没有写"}[lang] in result.failures[0].remedy


# ------------------------------------------------------------------------------------------------ 1 add


def digest(name, content, engine):
    return hashlib.sha256(content).hexdigest()


def adding(number=digest, opened=open_image, caught=CourseError, why=str, progress_for_all=True, metadata=True,
           replace=False, start=0):  # fmt: skip
    """An `add` with one part replaced by another."""

    def add(engine, files, progress):
        added, refused = {}, []
        for done, (name, content) in enumerate(files):
            picture_id = number(name, content, engine)
            try:
                if picture_id in engine:
                    if not replace:
                        raise ImageError("It is there already.")
                    engine.remove(picture_id)
                picture = opened(content)
                engine.add_image(picture_id, picture, {"name": name} if metadata else None)
                added[picture_id] = picture
            except caught as error:
                refused.append((name, why(error)))
                if not progress_for_all:
                    continue
            progress(done + 1 - start, len(files))
        return added, refused

    return add


def in_two_passes(engine, files, progress):
    """All opened first, then added in one go."""
    good, names, refused = {}, {}, []
    for done, (name, content) in enumerate(files, 1):
        picture_id = "sha-" + hashlib.sha1(content).hexdigest()
        try:
            if picture_id in engine or picture_id in good:
                raise ImageError(say(zh="重复的图片。", en="A duplicate."))
            good[picture_id], names[picture_id] = open_image(BytesIO(content)), name
        except ImageError as error:
            refused.append([name, f"{name}: {error}"])
        progress(done, len(files))
    engine.add_images(good, metadata=lambda key: {"name": names[key]}, progress=False)
    return good, refused


def by_pixels(engine, files, progress):
    """The pixels decide, not the file."""
    return adding(number=lambda name, content, engine: pixels_of(content))(engine, files, progress)


def pixels_of(content):
    try:
        return hashlib.sha256(open_image(content).tobytes()).hexdigest()
    except ImageError:
        return "unreadable-" + hashlib.sha256(content).hexdigest()


def plainly_opened(content):
    return Image.open(BytesIO(content)).convert("RGB")


def not_turned(content):
    open_image(content)
    return np.asarray(plainly_opened(content))


def drops(engine, files, progress):
    added, _ = adding()(engine, files, progress)
    return added, []


def lets_fall(engine, files, progress):
    added, refused = adding()(engine, files, progress)
    return added, dict(refused)


def stops_early(engine, files, progress):
    return adding(caught=ZeroDivisionError)(engine, files, progress)


def by_name(name, content, engine):
    return name


def count(name, content, engine):
    return f"upload-{len(engine)}"


ADD_WRONG = [
    (adding(number=by_name), "two different ones of the same name are two"),
    (adding(number=by_name, replace=True), "two different ones of the same name are two"),
    (adding(number=count), "the same one came in again"),
    (adding(number=lambda *_: uuid.uuid4().hex), "the same one came in again"),
    (adding(number=lambda name, content, engine: str(hash(content))), "nor hash()"),
    (stops_early, "give each file a try of its own"),
    (adding(opened=not_turned), "lies on its side"),
    (adding(metadata=False), "The name of cat.png is lost"),
    (adding(why=repr), "use str(error)"),
    (drops, "drop nothing in silence"),
    (lets_fall, "no dictionary"),
    (lambda *given: adding()(*given)[0], "Return two things"),
    (adding(progress_for_all=False), "a bad file is done, too"),
    (adding(start=1), "Progress stops at 9 of 10"),
    (lambda engine, files, progress: adding()(engine, files, lambda *_: None), "Progress was never reported"),
    (lambda engine, files, progress: ({}, adding()(engine, files, progress)[1]), "note each one that was taken"),
]  # fmt: skip


@pytest.mark.parametrize("right", [in_two_passes, by_pixels, app_core.add])
def test_other_right_ways_to_take_in_pass(right, check):
    result = check.add(right)
    assert result.passed, result


@pytest.mark.parametrize(("wrong", "phrase"), ADD_WRONG)
def test_wrong_ways_to_take_in_are_named(wrong, phrase, check, lang):
    assert_names_the_mistake(check.add(wrong), phrase, lang)


def test_the_files_of_the_check_are_what_they_claim():
    with pytest.raises(ImageError, match="megapixels|百万像素"):
        open_image(bomb())
    tall = picture(3, kind="cat").crop((0, 0, 40, 100))
    assert open_image(turned(tall)).size == tall.size and plainly_opened(turned(tall)).size == tall.size[::-1]
    assert same(tall, tall.copy()) and not same(tall, tall.rotate(90))


# ----------------------------------------------------------------------------------------------- 2 find


def by_the_matrix(engine, words="", picture=None, top_k=12):
    """With the engine's methods for one kind each."""
    if words.strip() and picture is not None:
        found = engine.search(text=words, image=picture, top_k=top_k)
    elif picture is not None:
        found = engine.search_by_image(picture, top_k)
    elif words.strip():
        found = engine.search_by_text(words.strip(), top_k)
    else:
        found = []
    return tuple([one["id"], one["similarity"]] for one in found)


def finding(
    words=lambda w: w.strip() or None, picture=lambda p: p, top_k=lambda k: k, made=lambda found: found
):
    """A `find` with one part replaced by another."""

    def find(engine, given="", query=None, most=12):
        if not given.strip() and query is None:
            return []
        found = engine.search(text=words(given), image=picture(query), top_k=top_k(most))
        return made([(one.id, one.score) for one in found])

    return find


def numpy_scores(engine, words="", picture=None, top_k=12):
    """All scores by hand."""
    ids = list(engine)
    stored = np.stack([engine.get(name).vector for name in ids])
    if not words.strip() and picture is None:
        return []
    if words.strip() and picture is not None:
        return [(one.id, one.score) for one in engine.search(text=words, image=picture, top_k=top_k)]
    service = engine.clip_service
    query = service.encode_text([words]) if picture is None else service.encode_image([picture])
    cosines = stored @ query[0]
    return [(ids[i], float(cosines[i])) for i in np.argsort(-cosines)[:top_k]]


def added_scores(engine, words="", picture=None, top_k=12):
    both = (
        numpy_scores(engine, words, None, 99),
        numpy_scores(engine, "", picture, 99) if picture is not None else [],
    )
    sums = Counter()
    for found in both:
        sums.update(dict(found))
    return [(name, score) for name, score in sums.most_common(top_k)]


FIND_WRONG = [
    (lambda engine, words="", picture=None, top_k=12: engine.search_by_text(words, top_k), "take two things out"),
    (finding(made=lambda found: dict(found)), "A dict is returned"),
    (finding(made=lambda found: [name for name, _ in found]), "should be (id, score)"),
    (finding(made=lambda found: [(name, f"{score:.2f}!") for name, score in found]), "A score should be a number"),
    (finding(made=lambda found: found[::-1]), "The order is reversed"),
    (finding(top_k=lambda k: 12), "hand top_k on"),
    (finding(made=lambda found: [(name, 100 * score) for name, score in found]), "The scores were changed"),
    (finding(words=lambda w: w), "strip() them"),
    (lambda e, w="", p=None, k=12: finding()(e, w, None if w.strip() else p, k), "the picture has no say"),
    (lambda e, w="", p=None, k=12: finding()(e, "" if p is not None else w, p, k), "the words have no say"),
    (lambda e, w="", p=None, k=12: finding()(e, w, p, k) if w.strip() else [], "does not mean no question"),
    (lambda e, w="", p=None, k=12: by_the_matrix(e, w or " ", p, k) if w or p else e.search(), "return an empty list"),
    (lambda e, w="", p=None, k=12: added_scores(e, w, p, k) if w.strip() and p is not None else finding()(e, w, p, k),
     "cannot simply be added"),
    (lambda e, w="", p=None, k=12: finding()(e, "cat" if w.strip() else w, p, k), "not the nearest"),
]  # fmt: skip


@pytest.mark.parametrize("right", [by_the_matrix, numpy_scores, app_core.find])
def test_other_right_ways_to_find_pass(right, check):
    result = check.find(right)
    assert result.passed, result


@pytest.mark.parametrize(("wrong", "phrase"), FIND_WRONG)
def test_wrong_ways_to_find_are_named(wrong, phrase, check, lang):
    assert_names_the_mistake(check.find(wrong), phrase, lang)


# ------------------------------------------------------------------------------------------------ 3 ask


def asking(caught=CourseError, chat_name=lambda vqa: vqa.client.endpoint.model,
           clip_name=lambda vqa: vqa.clip_service.name, sure=lambda answer: answer.confidence,
           note=lambda answer, error: " ".join(filter(None, [answer.reason, error])), change=lambda reply: reply,
           sent=lambda picture, question: (picture, question)):  # fmt: skip
    """An `ask` with one part replaced by another."""

    def ask(vqa, picture, question):
        picture, question = sent(picture, question)
        error = ""
        try:
            answer = vqa.answer(picture, question)
            name = chat_name(vqa)
        except caught as raised:
            error = str(raised)
            answer = vqa.answer(picture, question, use_gpt4v=False)
            name = clip_name(vqa)
        return change({"text": str(answer), "model": name, "sure": sure(answer), "note": note(answer, error)})

    return ask


def in_a_loop(vqa, picture, question):
    """Both ways tried in turn."""
    notes = []
    for chat, name in ((True, vqa.client.endpoint.model), (False, vqa.clip_service.name)):
        try:
            answer = vqa.answer(picture, question, chat)
        except CourseError as error:
            if not chat:
                raise
            notes.append(f"({error})")
            continue
        notes += [answer.reason] if answer.reason else []
        return dict(text=answer, model=name, sure=answer.confidence, note="; ".join(notes))


def asks_both(vqa, picture, question):
    reply = asking()(vqa, picture, question)
    vqa.answer(picture, question, use_gpt4v=False)
    return reply


def only_the_chat(vqa, picture, question):
    return asking(caught=ZeroDivisionError)(vqa, picture, question)


def only_clip(vqa, picture, question):
    answer = vqa.answer(picture, question, use_gpt4v=False)
    return {"text": answer, "model": vqa.clip_service.name, "sure": answer.confidence, "note": answer.reason}


def gives_up(vqa, picture, question):
    try:
        answer = vqa.answer(picture, question)
    except CourseError as error:
        return {"text": str(error), "model": vqa.clip_service.name, "sure": None, "note": str(error)}
    return {"text": answer, "model": vqa.client.endpoint.model, "sure": None, "note": ""}


ASK_WRONG = [
    (only_the_chat, "except CourseError, and let CLIP answer"),
    (only_clip, "The chat was not asked"),
    (asks_both, "something was asked again"),
    (asking(caught=Exception), "takes an error of the program itself"),
    (asking(clip_name=lambda vqa: vqa.client.endpoint.model), "name who answered"),
    (asking(chat_name=lambda vqa: "gpt-4-vision"), "use vqa.client.endpoint.model"),
    (asking(sure=lambda answer: 1.0 if answer.confidence is None else answer.confidence), "make up nothing"),
    (asking(sure=lambda answer: None), "use answer.confidence"),
    (asking(note=lambda answer, error: ""), "put str(error) into the note"),
    (asking(note=lambda answer, error: error), "answer.reason says why"),
    (asking(note=lambda answer, error: error or "ok"), "with nothing to say"),
    (asking(change=lambda reply: reply["text"]), "A str is returned"),
    (asking(change=lambda reply: reply["text"] if reply["sure"] == 0.4 else reply), "The check cannot read"),
    (asking(change=lambda reply: {"text": reply["text"]}), "The dictionary lacks model, sure, note"),
    (asking(sent=lambda p, q: (p.resize((32, 32)), q)), "neither smaller nor converted"),
    (asking(sent=lambda p, q: (p, f"Please answer: {q}")), "send it as it is"),
    (gives_up, "CLIP was not asked"),
]  # fmt: skip


@pytest.mark.parametrize("right", [in_a_loop, app_core.ask, asking()])
def test_other_right_ways_to_ask_pass(right, check):
    result = check.ask(right)
    assert result.passed, result


def test_the_chat_that_is_really_out_of_reach_is_tried_once(check, monkeypatch):
    """On Windows a refused connection takes two seconds."""
    tried, send = [], VisionClient.ask
    monkeypatch.setattr(VisionClient, "ask", lambda self, *a, **o: tried.append(self) or send(self, *a, **o))
    result = check.ask(asking())
    assert result.passed and len(tried) == 1 and "12" in result.items[-1].claim


@pytest.mark.parametrize(("wrong", "phrase"), ASK_WRONG)
def test_wrong_ways_to_ask_are_named(wrong, phrase, check, lang):
    assert_names_the_mistake(check.ask(wrong), phrase, lang)


# -------------------------------------------------------------------------------------------- 4 measure


def plain_by_pattern(text):
    text = re.sub(r"\s+", " ", text.lower()).strip()
    text = re.sub(r"[.。!！]+$", "", text).strip()
    return re.sub(r"^(a|an|the) (?=.)", "", text)


def share(pairs, right):
    pairs = list(pairs)
    return sum(map(right, pairs)) / len(pairs)


def accuracy_with(compare, drop=False):
    def accuracy(answers, truths):
        pairs = [pair for pair in zip(answers, truths) if not drop or pair[0] is not None]
        return share(pairs, lambda pair: compare(*pair))

    return accuracy


def alike(answer, truth):
    return answer is not None and plain_by_pattern(answer) == plain_by_pattern(truth)


def recall_with(each, part=lambda ranking, k: ranking[:k]):
    def recall_at_k(rankings, relevant, k):
        return np.mean([each(part(ranking, k), right, k) for ranking, right in zip(rankings, relevant)])

    return recall_at_k


def hit(first, right, k):
    return bool(set(first) & right)


def recall_with_any(rankings, relevant, k):
    return share(zip(rankings, relevant), lambda pair: any(one in pair[1] for one in pair[0][:k]))


MEASURE_WRONG = [
    ((lambda text: text, accuracy_with(alike), recall_with(hit)), "are the same answer"),
    ((str.lower, accuracy_with(alike), recall_with(hit)), "are the same answer"),
    ((lambda text: plain_by_pattern(text).removeprefix("an").strip(), accuracy_with(alike), recall_with(hit)),
     "an article is a word of its own"),
    ((lambda text: re.sub(r"[\W_]", "", plain_by_pattern(text)), accuracy_with(alike), recall_with(hit)),
     "are different answers"),
    ((lambda text: [text], accuracy_with(alike), recall_with(hit)), "plain returns a list"),
    ((lambda text: plain_by_pattern(text).replace(".", ""), accuracy_with(alike), recall_with(hit)),
     "'3.5' and '35' are different answers"),
    ((lambda text: plain_by_pattern(text).removesuffix(" a"), accuracy_with(alike), recall_with(hit)),
     "'plan a' and 'plan' are different answers"),
    ((plain_by_pattern, accuracy_with(lambda a, t: a == t), recall_with(hit)), "Let both sides go through plain"),
    ((plain_by_pattern, accuracy_with(alike, drop=True), recall_with(hit)), "are left out of the count"),
    ((plain_by_pattern, accuracy_with(lambda a, t: plain_by_pattern(a) == plain_by_pattern(t)), recall_with(hit)),
     "do not hand it to plain"),
    ((plain_by_pattern, lambda a, t: [alike(*pair) for pair in zip(a, t)], recall_with(hit)), "Return one number"),
    ((plain_by_pattern, lambda a, t: sum(alike(*pair) for pair in zip(a, t)), recall_with(hit)), "divided by all"),
    ((plain_by_pattern, accuracy_with(alike), recall_with(hit, lambda ranking, k: ranking)), "only the first k"),
    ((plain_by_pattern, accuracy_with(alike), recall_with(hit, lambda ranking, k: ranking[:1])), "Only the first"),
    ((plain_by_pattern, accuracy_with(alike), recall_with(lambda f, r, k: len(set(f) & r) / len(r))),
     "the share of right pictures that were found"),
    ((plain_by_pattern, accuracy_with(alike), recall_with(lambda f, r, k: len(set(f) & r) / k)), "precision"),
]  # fmt: skip


@pytest.mark.parametrize(
    "right",
    [
        (plain_by_pattern, accuracy_with(alike), recall_with_any),
        (app_core.plain, app_core.accuracy, app_core.recall_at_k),
    ],
)
def test_other_right_measures_pass(right, check):
    result = check.measure(*right)
    assert result.passed, result


@pytest.mark.parametrize(("wrong", "phrase"), MEASURE_WRONG)
def test_wrong_measures_are_named(wrong, phrase, check, lang):
    assert_names_the_mistake(check.measure(*wrong), phrase, lang)


# -------------------------------------------------------------------------------------------- 5 ask_all


def with_a_pool(answer, pictures, question, at_once=4):
    replies, failed = {}, {}

    def one(name):
        try:
            replies[name] = answer(pictures[name], question)
        except CourseError as error:
            failed[name] = str(error)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, pictures))
    texts = [plain_by_pattern(reply["text"]) for reply in replies.values()]
    return replies, sorted(Counter(texts).items(), key=lambda pair: -pair[1]), failed


def asking_all(workers=lambda n: n, text=plain_by_pattern, order=lambda counts: counts.most_common(),
               kept=lambda reply: reply, failures=lambda failed: failed, question=lambda q: q):  # fmt: skip
    def ask_all(answer, pictures, asked, at_once=4):
        outcomes = batch(lambda name: answer(pictures[name], question(asked)), pictures, max_workers=workers(at_once),
                         progress=False)  # fmt: skip
        replies = {one.item: kept(one.value) for one in outcomes if one.ok}
        counts = Counter(text(one.value["text"]) for one in outcomes if one.ok)
        return replies, order(counts), failures({one.item: str(one.error) for one in outcomes if not one.ok})

    return ask_all


def all_or_nothing(answer, pictures, question, at_once=4):
    with ThreadPoolExecutor(at_once) as pool:
        replies = dict(zip(pictures, pool.map(lambda name: answer(pictures[name], question), pictures)))
    return replies, [], {}


def by_id(ask_all):
    """`answer` gets the ids in place of the pictures."""
    return lambda answer, pictures, *given: ask_all(answer, {name: name for name in pictures}, *given)


def twice(answer, pictures, question, at_once=4):
    with_a_pool(answer, pictures, question, at_once)
    return with_a_pool(answer, pictures, question, at_once)


def shifted(answer, pictures, question, at_once=4):
    replies, counts, failed = with_a_pool(answer, pictures, question, at_once)
    return dict(zip(replies, [*list(replies.values())[1:], *list(replies.values())[:1]])), counts, failed


ASK_ALL_WRONG = [
    (all_or_nothing, "keep each one's error to itself"),
    (asking_all(workers=lambda n: 1), "At most 1 were asked at once"),
    (asking_all(workers=lambda n: 8), "is the bound"),
    (asking_all(text=lambda text: text), "use plain of step 4"),
    (asking_all(order=lambda counts: counts.most_common()[::-1]), "The most frequent answer comes first"),
    (asking_all(order=dict), "Return three things"),
    (asking_all(order=list), "as Counter(...).most_common() gives them"),
    (asking_all(kept=lambda reply: reply["text"]), "keep the whole reply"),
    (asking_all(failures=lambda failed: {}), "is not to be seen"),
    (asking_all(failures=lambda failed: dict.fromkeys(failed)), "Failures should be"),
    (asking_all(question=lambda q: q + "!"), "was not sent as it is"),
    (twice, "ask each once"),
    (shifted, "what answer returned for that picture"),
    (lambda *given: with_a_pool(*given)[0], "Return three things"),
    (by_id(with_a_pool), "hand it pictures[id]"),
    (by_id(all_or_nothing), "hand it pictures[id]"),
    (lambda answer, pictures, *given: with_a_pool(answer, pictures, *given) if pictures else {},
     "The check cannot read what this step returned"),
]  # fmt: skip


@pytest.mark.parametrize("right", [with_a_pool, app_core.ask_all])
def test_other_right_ways_to_ask_all_pass(right, check):
    result = check.ask_all(right)
    assert result.passed, result


@pytest.mark.parametrize(("wrong", "phrase"), ASK_ALL_WRONG)
def test_wrong_ways_to_ask_all_are_named(wrong, phrase, check, lang):
    assert_names_the_mistake(check.ask_all(wrong), phrase, lang)


# -------------------------------------------------------------------------------------------- 6 session


class Terse:
    """Another right session, as a table of what happens."""

    def __init__(self, engine, vqa, pictures):
        self.engine, self.vqa, self.pictures = engine, vqa, {**pictures}
        self.chosen, self.note, self.turns, self.results = None, "", {}, []
        self.show(list(engine)[:9])

    def show(self, ids):
        self.results = [(name, None) for name in ids]

    def guarded(self, action):
        self.note = ""
        try:
            return action()
        except CourseError as error:
            self.note = str(error)

    def search(self, words="", picture=None):
        def action():
            if words.strip() or picture is not None:
                self.results = app_core.find(self.engine, words, picture, 9)
            else:
                self.show(list(self.engine)[:9])
            self.chosen = None

        self.guarded(action)

    def choose(self, name):
        self.guarded(lambda: setattr(self, "chosen", self.engine.get(name).id))

    def ask(self, question):
        def action():
            if self.chosen is None:
                raise TextError("Choose first.")
            reply = app_core.ask(self.vqa, self.pictures[self.chosen], question)
            self.turns.setdefault(self.chosen, []).append([question, reply])

        self.guarded(action)

    def ask_all(self, question):
        def action():
            shown = {name: self.pictures[name] for name, _ in self.results}
            replies, counts, failed = app_core.ask_all(
                lambda p, q: app_core.ask(self.vqa, p, q), shown, question
            )
            for name, reply in replies.items():
                self.turns.setdefault(name, []).append([question, reply])
            self.note = "; ".join(f"{name}: {why}" for name, why in failed.items())
            return counts

        return self.guarded(action)

    def add(self, files, progress):
        def action():
            added, refused = app_core.add(self.engine, files, progress)
            self.pictures.update(added)
            self.show(added)
            self.chosen = None
            return refused

        return self.guarded(action)


def changed(**methods):
    """A session with some methods replaced."""
    return type("Changed", (Session,), methods)


def thumbnails(self, question):
    self.note = ""
    reply = app_core.ask(self.vqa, self.engine.get(self.chosen).thumbnail, question)
    self.turns.setdefault(self.chosen, []).append((question, reply))


def reckless(self, question):
    self.note = ""
    if self.chosen is None:
        self.note = "Choose first."
        return
    reply = app_core.ask(self.vqa, self.pictures[self.chosen], question)
    self.turns.setdefault(self.chosen, []).append((question, reply))


def too_early(self, question):
    reply = app_core.ask(self.vqa, self.pictures[self.chosen], question)
    self.turns.setdefault(self.chosen, []).append((question, reply))


def overwrites(self, question):
    Session.ask(self, question)
    if self.chosen:
        self.turns[self.chosen] = self.turns[self.chosen][-1:]


def under_one_name(self, question):
    if self.chosen is None:
        self.note = "Choose first."
        return
    self.turns.setdefault("all", []).append(
        (question, app_core.ask(self.vqa, self.pictures[self.chosen], question))
    )


def only_chat(self, question):
    self.note = ""
    if self.chosen is None:
        self.note = "Choose first."
        return
    try:
        text = str(self.vqa.answer(self.pictures[self.chosen], question))
        reply = {"text": text, "model": "chat-of-the-check", "sure": None, "note": ""}
        self.turns.setdefault(self.chosen, []).append((question, reply))
    except CourseError as error:
        self.note = str(error)


def tells_why(self, question):
    """The reply's own note is shown to the user as well."""
    Session.ask(self, question)
    if self.chosen and not self.note:
        self.note = self.turns[self.chosen][-1][1]["note"]


def says_nothing(self, question):
    counts = Session.ask_all(self, question)
    self.note = ""
    return counts


def keeps_note(self, question):
    note = self.note
    Session.ask(self, question)
    self.note = self.note or note


def keeps_chosen(self, words="", picture=None):
    chosen = getattr(self, "chosen", None)
    Session.search(self, words, picture)
    self.chosen = chosen


def forgets(self, words="", picture=None):
    Session.search(self, words, picture)
    self.turns = {}


def stops_at_no_picture(self, words="", picture=None):
    if picture is not None:
        app_core.find(self.engine, words, picture)
    Session.search(self, words, picture)


def silent_about_no_picture(self, words="", picture=None):
    Session.search(self, words, picture)
    self.note = ""


def whole_results(self, words="", picture=None):
    Session.search(self, words, picture)
    if words.strip():
        self.results = list(self.engine.search_by_text(words, 9))


def words_only(self, words="", picture=None):
    Session.search(self, words, None)


def blind(self, number):
    self.note, self.chosen = "", number


def dares(self, number):
    self.note, self.chosen = "", self.engine.get(number).id


def loses_pictures(self, files, progress):
    refused = Session.add(self, files, progress)
    for number, _ in self.results:
        self.pictures.pop(number)
    return refused


def hides(self, files, progress):
    before = self.results
    refused = Session.add(self, files, progress)
    self.results = before
    return refused


SHARED = {"turns": {}}


class Shares(Session):
    def __init__(self, engine, vqa, pictures):
        super().__init__(engine, vqa, pictures)
        self.turns = SHARED["turns"]


class Empty(Session):
    def __init__(self, engine, vqa, pictures):
        super().__init__(engine, vqa, pictures)
        self.results = []


def beginning_with(**state):
    """A session that is not in the state it should begin in."""

    def begin(self, *given):
        Session.__init__(self, *given)
        vars(self).update(state)

    return changed(__init__=begin)


SESSION_WRONG = [
    (Empty, "call self.search() at the end of __init__"),
    (changed(search=keeps_chosen), "set chosen to None"),
    (changed(search=words_only), "go"),
    (changed(search=forgets), "A search wiped out what was asked"),
    (changed(search=stops_at_no_picture), "An error stopped the application"),
    (changed(search=silent_about_no_picture), "Where a search fails note should say why"),
    (changed(search=whole_results), "The check cannot read what this step returned"),
    (beginning_with(turns=[]), "The check cannot read what this step returned"),
    (beginning_with(results=None), "The check cannot read what this step returned"),
    (changed(ask_all=lambda self, q: len(Session.ask_all(self, q))), "The check cannot read what this step"),
    (changed(ask=too_early), "look at chosen first"),
    (changed(ask=thumbnails), "look at chosen first"),
    (changed(ask=lambda self, q: thumbnails(self, q) if self.chosen else Session.ask(self, q)), "A thumbnail was sent"),
    (changed(ask=overwrites), "append and do not overwrite"),
    (changed(ask=under_one_name), "kept under one picture"),
    (changed(ask=only_chat), "use ask(self.vqa, picture, question) of step 3"),
    (changed(ask=reckless), "An error stopped the application"),
    (changed(ask=keeps_note), "empty note at the beginning of each method"),
    (changed(choose=blind), "Where the id is not in the engine"),
    (changed(choose=dares), "A picture that is not there stopped the application"),
    (changed(ask_all=lambda self, q: [("yes", len(self.results))]), "ask_all should ask each picture"),
    (changed(ask_all=says_nothing), "note should give one of the reasons"),
    (changed(add=loses_pictures), "put what was taken into self.pictures"),
    (changed(add=hides), "the new pictures should be shown"),
    (changed(add=lambda self, files, progress: Session.add(self, files, lambda *_: None)), "Progress was not handed"),
    (changed(add=lambda self, files, progress: Session.add(self, files, progress) and None), "return the refused"),
    (changed(add=lambda self, files, progress: []), "The upload is not in the engine"),
    (Shares, "What belongs to this session turned up in another"),
    (lambda engine, vqa: Session(engine, vqa), "The number of arguments is wrong"),
    (lambda *given: Script(), "The session has no"),
]  # fmt: skip


@pytest.mark.parametrize("right", [Terse, Session, changed(ask=tells_why)])
def test_other_right_sessions_pass(right, check):
    result = check.session(right)
    assert result.passed, result


@pytest.mark.parametrize(("wrong", "phrase"), SESSION_WRONG)
def test_wrong_sessions_are_named(wrong, phrase, check, lang):
    SHARED["turns"].clear()
    assert_names_the_mistake(check.session(wrong), phrase, lang)
