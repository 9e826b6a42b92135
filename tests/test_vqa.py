"""VisualQA: the chapter's calls, and what its listing gets wrong (rows 37 and 38): answers against ground truth.

The grammar is tested in test_questions.py, questions of a collection in test_vqa_collection.py.
"""

from __future__ import annotations

import inspect
import pickle
import warnings

import numpy as np
import pytest
import small_checkpoints
from fault_server import FaultServer, completion, slowly, status
from PIL import Image

import course_lib
from course_lib import settings
from course_lib.clip import CLIPService
from course_lib.errors import CourseWarning, CutOffError, ImageError, ServiceError, SettingsError, TextError
from course_lib.vqa import TOGETHER, VisualQA
from course_lib.vqa_answers import VisualAnswer
from course_lib.vqa_calibration import calibration_error, risk_coverage
from course_lib.vqa_fit import measure, verdicts
from little_world import Scene, Thing, draw, words
from little_world.scenes import several, single
from little_world.server import LocalServer
from little_world.training import vqa as world

RED = Image.new("RGB", (64, 48), (200, 30, 30))


@pytest.fixture(autouse=True)
def _english(monkeypatch):
    monkeypatch.setattr(settings, "_chosen", "en")


@pytest.fixture(scope="module")
def mini() -> CLIPService:
    return CLIPService("mini-clip", device="cpu")


@pytest.fixture(scope="module")
def vqa(mini) -> VisualQA:
    return VisualQA(clip_service=mini)


@pytest.fixture(scope="module")
def held_out(mini, vqa):
    """Questions about scenes that neither training nor calibration has seen: (asked, sorts, verdicts, vectors)."""
    scenes = world.scenes_of(world.TEST, 600_000_000, 150)
    vectors = mini.encode_image([draw(scene) for scene in scenes], progress=False)
    asked, sorts = world.asked_about(scenes, 3)
    return scenes, vectors, asked, sorts, verdicts(vqa.reader, vectors, asked)


def scene(kind: str, color: str = "red", *, background: str = "meadow", time: str = "day") -> Image.Image:
    return draw(Scene((Thing(kind, color, 0.5, 0.55, 0.24),), background, time))


# --------------------------------------------------------------------------------------- the chapter's names


def test_the_chapters_names_and_argument_order():
    def order(function):
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return [p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds]

    assert order(VisualQA.__init__) == ["self", "gpt4v_api_key", "clip_service"]
    assert order(VisualQA.answer) == ["self", "image", "question", "use_gpt4v"]
    assert order(VisualQA.batch_answer) == ["self", "qa_pairs"]
    assert course_lib.VisualQA is VisualQA


def test_the_chapters_calls(mini):
    with FaultServer(completion("a cat")) as server:
        qa = VisualQA(gpt4v_api_key="sk-1", clip_service=mini, base_url=server.url, model="m")
        assert qa.answer(RED, "What is it?") == "a cat"
        assert server.requests[0].headers["authorization"] == "Bearer sk-1"
        (outcome,) = qa.batch_answer([{"image": RED, "question": "What is it?"}])
        assert outcome.result() == "a cat"
        assert qa.answer(scene("cat"), "Is there a cat?", False) == "yes"
        assert len(server.requests) == 2  # CLIP asks nobody


# ------------------------------------------------------------------------- row 37: the CLIP mode is for real


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("图中有猫吗？", "是"), ("Is there a cat?", "yes"), ("图中有飞机吗？", "否"), ("Is there an airplane?", "no"),
        ("猫是红色的吗？", "是"), ("Is the cat blue?", "no"), ("猫是什么颜色的？", "红色"), ("What color is the cat?", "red"),
        ("这是猫还是狗？", "猫"), ("Is it a dog or a cat?", "cat"), ("现在是白天还是夜晚？", "夜晚"), ("Is it day or night?", "night"),
        ("图中有什么？", "猫"), ("What is this?", "cat"), ("这是什么地方？", "海滩"), ("What place is this?", "beach"),
        ("这是什么时候？", "夜晚"), ("What time of day is it?", "night"), ("图中有几只猫？", "1"), ("How many cats are there?", "1"),
        ("图中有几辆汽车？", "0"), ("How many cars are there?", "0"), ("Is there a red cat on the beach at night?", "yes"),
        ("夜晚的海滩上有红色的猫吗？", "是"), ("Is there a red cat in the forest?", "no"), ("Is this a beach?", "yes"),
    ],
)  # fmt: skip
def test_row_37_the_answer_comes_from_the_picture(vqa, question, answer):
    said = vqa.answer(scene("cat", background="beach", time="night"), question, use_gpt4v=False)
    assert (said, said.answered) == (answer, True), said.reason
    assert said.confidence >= vqa.min_confidence and sum(said.probabilities.values()) == pytest.approx(1)


def test_row_37_things_are_counted(vqa):
    rng = np.random.default_rng(5)
    pairs, truth = [], []
    for count in (1, 2, 3, 4):
        for kind in ("cat", "car", "flower", "house", "umbrella", "turtle"):
            drawn = draw(several(rng, kind=kind, count=count) if count > 1 else single(rng, kind=kind))
            for question in (
                f"How many {words.kind_name(kind, 'en', 2)} are there?",
                f"图中有几{words.KIND[kind][1]}{words.kind_name(kind, 'zh')}？",
            ):
                pairs.append({"image": drawn, "question": question})
                truth.append(str(count))
    found = [outcome.result() for outcome in vqa.batch_answer(pairs, use_gpt4v=False)]
    sure = [(answer == true) for answer, true in zip(found, truth) if answer.answered]
    assert len(sure) >= 0.45 * len(found) and np.mean(sure) >= 0.95
    assert {str(answer) for answer in found if answer.answered} >= {"1", "2", "3", "4"}


def test_row_37_without_a_service_it_takes_the_settings_own(monkeypatch):
    monkeypatch.setenv("COURSE_CLIP_MODEL", "mini-clip")
    assert VisualQA().answer(scene("dog", "white"), "Is there a dog?", use_gpt4v=False) == "yes"


def test_row_37_asking_clip_alone_needs_no_key(mini, monkeypatch):
    monkeypatch.setenv("COURSE_VLM_PROVIDER", "openai")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    qa = VisualQA(clip_service=mini)
    assert qa.answer(scene("dog", "white"), "Is there a dog?", use_gpt4v=False) == "yes"
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        qa.answer(RED, "Is there a dog?")


# ------------------------------------------------------------------------------- measured on held-out scenes

ONE_KIND = {"exists": (0.95, 0.5), "number": (0.9, 0.5), "color": (0.97, 1 / 8), "is color": (0.97, 0.5), "position": (0.96, 0.2),
            "thing": (0.95, 1 / 25), "place": (0.95, 1 / 7), "time": (0.96, 1 / 3), "choice": (0.97, 0.5), "size": (0.9, 0.5)}  # fmt: skip
ALL = {
    "exists": 0.86,
    "number": 0.65,
    "color": 0.66,
    "is color": 0.75,
    "position": 0.55,
    "place": 0.95,
    "time": 0.96,
}


def test_accuracy_by_question_type_is_above_its_floor_and_far_above_chance(vqa, held_out):
    scenes, vectors, asked, sorts, _ = held_out
    overall = measure(vqa.reader, vectors, asked, sorts, vqa.min_confidence)
    for sort, floor in ALL.items():
        assert overall[sort]["accuracy"] >= floor, (sort, overall[sort])
    one = {i for i, s in enumerate(scenes) if len(s.groups) < 2}
    some = [(a, s) for a, s in zip(asked, sorts) if a[0] in one]
    alone = measure(vqa.reader, vectors, [a for a, _ in some], [s for _, s in some], vqa.min_confidence)
    for sort, (floor, chance) in ONE_KIND.items():
        assert alone[sort]["accuracy"] >= floor > 1.5 * chance, (sort, alone[sort])
        assert alone[sort]["coverage"] >= 0.6, (sort, alone[sort])


def test_where_it_is_sure_it_is_right_more_often(vqa, held_out):
    _, vectors, asked, sorts, _ = held_out
    for sort, row in measure(vqa.reader, vectors, asked, sorts, vqa.min_confidence).items():
        if row["accuracy when sure"] is not None:
            assert row["accuracy when sure"] >= max(0.85, row["accuracy"]), (sort, row)


def test_confidence_is_calibrated(held_out):
    _, _, asked, sorts, judged = held_out
    for sort, most in {
        "exists": 0.05,
        "number": 0.1,
        "color": 0.12,
        "is color": 0.08,
        "place": 0.04,
        "time": 0.04,
    }.items():
        pairs = [(v.confidence, v.answer == a[2]) for v, a, s in zip(judged, asked, sorts) if s == sort]
        assert calibration_error(*zip(*pairs)) <= most, sort


def test_risk_falls_with_coverage(held_out):
    _, _, asked, sorts, judged = held_out
    for sort in ("exists", "number", "color", "is color", "position"):
        confidence, right = zip(
            *[(v.confidence, v.answer == a[2]) for v, a, s in zip(judged, asked, sorts) if s == sort]
        )
        coverage, risk = risk_coverage(confidence, right)
        at = {share: risk[np.searchsorted(coverage, share)] for share in (0.3, 0.6, 1.0)}
        assert at[0.3] <= at[0.6] <= at[1.0], (sort, at)
        assert at[0.3] < 0.6 * at[1.0], (sort, at)


def test_what_is_somewhere_in_a_picture_of_two_things_is_not_known_and_it_says_so(vqa, held_out):
    _, _, asked, sorts, judged = held_out
    some = [v for v, s in zip(judged, sorts) if s == "thing at"]
    assert len(some) > 20 and all(v.confidence < vqa.min_confidence for v in some)


def test_a_higher_least_confidence_answers_less(mini, vqa, held_out):
    _, _, asked, sorts, judged = held_out
    answered = [sum(v.confidence >= sure for v in judged if v is not None) for sure in (0, 0.75, 0.95, 1)]
    assert answered == sorted(answered, reverse=True) and answered[0] > answered[-1]
    never = VisualQA(clip_service=mini, min_confidence=1).answer(
        scene("cat"), "Is there a cat?", use_gpt4v=False
    )
    assert (never, never.answered) == ("not sure", False) and "none reaches 100%" in never.reason
    always = VisualQA(clip_service=mini, min_confidence=0).answer(RED, "Is there a cat?", use_gpt4v=False)
    assert always.answered


# ------------------------------------------------------------------------------------- not sure, and refused


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("Is the cat to the left of the dog?", "which of two things is left of"),
        ("猫在狗的左边吗？", "分不清两样东西"),
        ("What is one plus one?", "no arithmetic"),
        ("图中一共有几样东西？", "一次只能数一种"),
        ("What is the name of the cat?", "names and identities"),
        ("牌子上写着什么？", "文字"),
        ("What is the cat doing?", "candidates"),
        ("天黑了吗？", "变不成"),
    ],
)
def test_a_refusal_names_its_reason_in_the_questions_language(vqa, question, reason):
    said = vqa.answer(scene("cat"), question, use_gpt4v=False)
    assert not said.answered and reason in said and reason in said.reason and said.confidence is None


@pytest.mark.parametrize(
    "question",
    ["Is there a giraffe?", "图中有长颈鹿吗？", "How many giraffes are there?", "Is there a cat on a sofa?"],
)
def test_a_closed_model_says_which_word_it_never_learned(vqa, question):
    said = vqa.answer(scene("cat"), question, use_gpt4v=False)
    assert (said, said.answered) in {("not sure", False), ("不确定", False)}
    assert "never learned" in said.reason or "没有学过" in said.reason


def test_what_is_taken_for_granted_and_is_not_there_is_the_answer(vqa):
    picture = scene("rocket", "blue", background="snow")
    assert vqa.answer(picture, "What color is the cat?", use_gpt4v=False) == "There is no cat"
    assert vqa.answer(picture, "猫是什么颜色的？", use_gpt4v=False) == "图中没有猫"
    assert vqa.answer(picture, "Is the cat red?", use_gpt4v=False) in ("There is no cat", "not sure")


def test_answers_can_be_given_for_one_question(vqa):
    picture = scene("car", "blue")
    assert (
        vqa.answer(picture, "What sort of thing would you drive?", False, candidates=["a car", "a cat"])
        == "a car"
    )
    assert vqa.answer(picture, "What color is the car?", False, candidates=["red", "blue"]) == "blue"
    with pytest.raises(TextError, match="more than once"):
        vqa.answer(picture, "What color is the car?", False, candidates=["red", "red"])


def test_the_evidence_shows_the_statements_and_their_scores(vqa):
    said = vqa.answer(scene("cat"), "What color is the cat?", use_gpt4v=False)
    best = max(
        (s for s in said.evidence.scores if s.probability is not None and s.answer == "red"),
        key=lambda s: s.probability,
    )
    assert best.statement == "a picture of a red cat" and best.cosine == pytest.approx(
        float(vqa.clip_service.similarity(scene("cat"), [best.statement])[0]), abs=1e-4
    )
    assert "a picture of a red cat" in repr(said.evidence)
    html = vqa.answer(scene("cat"), "Is there a <b>cat</b>?", use_gpt4v=False).evidence._repr_html_()
    assert "<b>cat" not in html


def test_an_answer_is_text_and_survives_pickling(vqa):
    said = vqa.answer(scene("cat"), "Is there a cat?", use_gpt4v=False)
    again = pickle.loads(pickle.dumps(said))
    assert (
        again == said == "yes"
        and again.confidence == said.confidence
        and again.evidence.scores == said.evidence.scores
    )


# --------------------------------------------------------------------- row 38: batches, and what may be asked


def test_row_38_each_failure_is_its_own_and_the_order_is_kept(vqa):
    cat = scene("cat", background="beach")
    pairs = [
        {"image": cat, "question": "Is there a cat?"},
        {"image": b"no picture", "question": "Is there a cat?"},
        {"image": cat, "question": "  "},
        {"image": cat},
        "a question",
        {"image": scene("car", "blue"), "question": "汽车是什么颜色的？"},
        {"image": cat, "question": "Who is that?"},
        {"image": cat, "question": "Is it red?", "candidates": ["x", "x"]},
        {"image": cat, "question": "What place is this?"},
    ]
    found = vqa.batch_answer(pairs, use_gpt4v=False)
    assert [o.item for o in found] == pairs
    assert [o.value if o.ok else type(o.error) for o in found] == [
        "yes", ImageError, TextError, TextError, TextError, "蓝色", found[6].value, TextError, "beach",
    ]  # fmt: skip
    assert not found[6].value.answered


def test_row_38_a_picture_is_encoded_once_and_alone_or_in_a_batch_is_answered_alike(vqa, mini, monkeypatch):
    pictures = [scene("cat"), scene("car", "blue")]
    pairs = [
        {"image": p, "question": q}
        for p in pictures
        for q in ("Is there a cat?", "What place is this?", "图中有猫吗？")
    ]
    calls = []
    encode = mini.encode_image
    monkeypatch.setattr(
        mini, "encode_image", lambda images, **o: calls.append(len(images)) or encode(images, **o)
    )
    together = vqa.batch_answer(pairs, use_gpt4v=False)
    assert calls == [2]
    alone = [vqa.answer(p["image"], p["question"], use_gpt4v=False) for p in pairs]
    assert [o.value for o in together] == alone
    assert [o.value.confidence for o in together] == pytest.approx([a.confidence for a in alone], abs=1e-3)


def test_many_pictures_are_decoded_a_few_at_a_time(vqa, mini, monkeypatch, tmp_path):
    colours = ("red", "blue", "green")
    files = [tmp_path / f"{i}.png" for i in range(TOGETHER + 6)]
    for i, file in enumerate(files):
        scene("car", colours[i % 3]).save(file)
    files[5].write_bytes(b"no picture")
    calls = []
    encode = mini.encode_image
    monkeypatch.setattr(
        mini, "encode_image", lambda images, **o: calls.append(len(images)) or encode(images, **o)
    )
    found = vqa.batch_answer(
        [{"image": f, "question": "What colour is the car?"} for f in [*files, *files]], use_gpt4v=False
    )
    assert calls == [TOGETHER - 1, 6]
    said = [o.value if o.ok else o.error for o in found]
    assert isinstance(said[5], ImageError) and said[:70] == said[70:]
    assert all(answer == colours[i % 3] for i, answer in enumerate(said[:70]) if i != 5)


def test_row_38_a_chat_failure_does_not_take_the_others_with_it(mini, monkeypatch):
    from openai import _base_client

    monkeypatch.setattr(_base_client, "INITIAL_RETRY_DELAY", 0.01)
    with FaultServer(completion("a cat"), status(400, "no such thing"), completion("a dog")) as server:
        qa = VisualQA(clip_service=mini, base_url=server.url, model="m", retries=0)
        pairs = [{"image": RED, "question": f"{i}?"} for i in range(3)]
        pairs.insert(2, {"image": b"broken", "question": "?"})
        found = qa.batch_answer(pairs, max_workers=1)
    assert [o.ok for o in found] == [True, False, False, True]
    assert isinstance(found[1].error, ServiceError) and isinstance(found[2].error, ImageError)
    assert [found[0].value, found[3].value] == ["a cat", "a dog"]
    assert [r.json["messages"][0]["content"][0]["text"] for r in server.requests] == ["0?", "1?", "2?"]


def test_row_38_a_chat_is_asked_several_at_a_time():
    with FaultServer(slowly(completion("a cat"), 0.1)) as server:
        qa = VisualQA(base_url=server.url, model="m")
        found = qa.batch_answer([{"image": RED, "question": "?"}] * 8, max_workers=4)
    assert all(o.ok for o in found) and server.most_at_once == 4


def test_a_chat_gets_the_prompt_and_its_evidence_is_clips_opinion(mini):
    with FaultServer(completion("Yes, a red one.")) as server:
        qa = VisualQA(
            clip_service=mini, base_url=server.url, model="m", prompt="Answer in a word: {}", max_tokens=9
        )
        said = qa.answer(scene("cat"), "Is there a cat?", evidence=True)
        request = server.requests[0].json
        assert (
            request["messages"][0]["content"][0]["text"] == "Answer in a word: Is there a cat?"
            and request["max_tokens"] == 9
        )
        assert said == "Yes, a red one." and said.usage["prompt_tokens"] == 70 and said.confidence is None
        assert said.evidence.clip == "yes" and said.evidence.scores
        assert qa.answer(RED, "Is there a cat?").evidence is None
        qa.answer(RED, "Is there a cat?", candidates=["yes", "no"])
        assert (
            "answer with one of these: yes, no"
            in server.requests[-1].json["messages"][0]["content"][0]["text"]
        )


def test_a_small_model_of_mini_vlms_architecture_answers_through_the_local_server(tmp_path_factory):
    """Its weights are random and its words are noise, which runs on until it is cut off: the same alone and together."""
    folder = small_checkpoints.make_llava(tmp_path_factory.mktemp("models") / "tiny")
    with LocalServer(folder) as server:
        server.wait()
        qa = VisualQA(base_url=f"{server.url}/v1", model=server.model, max_tokens=8)
        pairs = [{"image": RED, "question": q} for q in ("图中有什么？", "What is it?", "How many?")]
        together = [o.value if o.ok else o.error.raw for o in qa.batch_answer(pairs)]
        alone = []
        for pair in pairs:
            try:
                alone.append(qa.answer(pair["image"], pair["question"]))
            except CutOffError as error:
                alone.append(error.raw)
    assert together == alone and all(together) and len(set(together)) > 1


# ------------------------------------------------------------------------------ any CLIP, and wrong arguments


@pytest.mark.parametrize("family", ["clip", "chinese_clip", "siglip2"])
def test_any_clip_answers_uncalibrated(family, tmp_path_factory):
    """Random weights know nothing, but each answer is one of the candidates, and probabilities add up."""
    service = CLIPService(small_checkpoints.make(family, tmp_path_factory.mktemp(family)), device="cpu")
    qa = VisualQA(clip_service=service, candidates={"thing": ["cat", "dog", "猫", "狗"]}, min_confidence=0)
    assert qa.calibration is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for question, answers in {
            "Is there a giraffe?": ("yes", "no"), "图中有长颈鹿吗？": ("是", "否"), "What is this?": ("cat", "dog"), "这是什么？": ("猫", "狗"),
            "Is it day or night?": ("day", "night"), "How many dogs are there?": tuple("01234"),
        }.items():  # fmt: skip
            said = qa.answer(RED, question, use_gpt4v=False)
            assert said in answers and sum(said.probabilities.values()) == pytest.approx(1)
        assert qa.answer(RED, "What place is this?", use_gpt4v=False).reason.startswith(
            "CLIP can only choose"
        )


def test_an_english_model_warns_of_a_chinese_question(monkeypatch, tmp_path_factory):
    service = CLIPService(small_checkpoints.make("clip", tmp_path_factory.mktemp("clip")), device="cpu")
    service.name = "openai/clip-vit-base-patch32"
    with pytest.warns(CourseWarning, match="cannot read Chinese"):
        VisualQA(clip_service=service, calibration=None).answer(RED, "图中有猫吗？", use_gpt4v=False)


@pytest.mark.parametrize("options", [{"min_confidence": 1.5}, {"min_confidence": -0.1}, {"prompt": "no place for it"},
                                     {"candidates": ["cat"]}, {"candidates": {"thing": []}}, {"candidates": {"thing": ["a", "a"]}}])  # fmt: skip
def test_wrong_arguments_get_a_sentence(options, mini):
    with pytest.raises((SettingsError, TextError)) as caught:
        VisualQA(clip_service=mini, **options)
    assert "\n" not in str(caught.value) and "please" in str(caught.value) or "must" in str(caught.value)


def test_candidates_may_be_any_iterable_and_are_kept(mini):
    """The check once used a generator up, and a set could not be saved with its calibration."""
    given = {"thing": (name for name in ("cat", "dog")), "color": {"red"}, "place": {"beach": "on the beach"}}
    kept = VisualQA(clip_service=mini, candidates=given)._candidates
    assert kept == {"thing": ["cat", "dog"], "color": ["red"], "place": {"beach": "on the beach"}}


@pytest.mark.parametrize("question", ["", "   ", None, 7, ["Is there a cat?"]])
@pytest.mark.parametrize("use_gpt4v", [True, False])
def test_no_question_is_an_error_in_both_modes(mini, question, use_gpt4v):
    qa = VisualQA(clip_service=mini, base_url="http://127.0.0.1:9/v1", model="m", retries=0)
    with pytest.raises(TextError):
        qa.answer(RED, question, use_gpt4v)


@pytest.mark.parametrize("use_gpt4v", [True, False])
def test_no_picture_is_an_error_in_both_modes(mini, use_gpt4v, tmp_path):
    qa = VisualQA(clip_service=mini, base_url="http://127.0.0.1:9/v1", model="m", retries=0)
    for picture in (None, tmp_path / "missing.png", b"no picture"):
        with pytest.raises(ImageError):
            qa.answer(picture, "Is there a cat?", use_gpt4v)


def test_a_key_never_shows(mini):
    qa = VisualQA("sk-canary-0123456789", mini, base_url="http://127.0.0.1:9/v1", model="m", retries=0)
    with pytest.raises(ServiceError) as caught:
        qa.answer(RED, "?")
    assert "canary" not in repr(vars(qa)) + str(caught.value)
    assert isinstance(VisualAnswer("x"), str)
