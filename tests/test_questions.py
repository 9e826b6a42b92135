"""The grammar of questions: what is understood, in both languages, and what is refused with its reason."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from course_lib.errors import TextError
from course_lib.questions import Candidates, Question, named, parse, statement
from course_lib.questions.refusals import REASONS
from course_lib.questions.words import article, measure_word, plural, singular
from little_world import words
from little_world.captions import questions
from little_world.dialogue import scene_turns
from little_world.training import vqa as world

# Not Little World's things: the grammar is to read any noun.
GIVEN = {
    "thing": ["cat", "dog", "猫", "狗"],
    "place": {"beach": "on the beach", "kitchen": "in the kitchen", "海滩": "海滩上", "厨房": "厨房里"},
    "material": ["wooden", "metal", "木头", "金属"],
}
BOTH = {lang: Candidates(GIVEN, lang=lang) for lang in ("zh", "en")}


def read(text: str, **options) -> Question:
    return parse(text, BOTH, **options)


def said(question: Question) -> list[str]:
    return [statement(phrase, BOTH[question.lang]) for phrase in question.about]


@pytest.mark.parametrize(
    ("texts", "statements"),
    [
        (("图中有猫吗？", "有没有猫", "图里有一只猫吗", "能看到猫吗？", "这是猫吗", "图中有猫没有？"), ["图中有猫"]),
        (
            ("Is there a cat?", "Are there any cats?", "Can you see a cat?", "Does the picture show a cat?", "Is this a cat"),
            ["a picture of a cat"],
        ),
        (("图中有一只红色的猫吗？", "图里有红色猫吗", "有红猫吗？"), ["图中有红色的猫"]),
        (("Is there a red cat in the picture?", "Is there any red cat?"), ["a picture of a red cat"]),
        (("夜晚的海滩上有两只黑色的狗吗？", "晚上的海滩上有两只黑狗吗"), ["夜晚的海滩上有两只黑色的狗"]),
        (("Are there two black dogs on the beach at night?",), ["a picture of two black dogs on the beach at night"]),
        (("画面左边有狗吗？", "左侧有没有狗"), ["图中左边有狗"]),
        (("Is there a dog on the left side?", "Is there a dog on the left?"), ["a picture of a dog on the left"]),
        (("图中有猫和狗吗？",), ["图中有猫", "图中有狗"]),
        (("Is there a cat and a dog?",), ["a picture of a cat", "a picture of a dog"]),
        (("这是夜晚吗？", "现在是晚上吗"), ["夜晚的图片"]),
        (("Is it night?", "Is this night-time?"), ["a picture at night"]),
        (("这是海滩吗？", "这是在海滩上吗"), ["这里是海滩"]),
        (("Is there a golden retriever on a sofa?",), ["a picture of a golden retriever on a sofa"]),
        (("图中有戴帽子的老人吗？",), ["图中有戴帽子的老人"]),
        (("图中有红绿灯吗？",), ["图中有红绿灯"]),
        (("Is this a beach?", "Is it on the beach?"), ["a picture of the beach"]),
        (("Is there snow?",), ["a picture of snow"]),
    ],
)  # fmt: skip
def test_yes_no_questions_become_statements(texts, statements):
    for text in texts:
        question = read(text)
        assert (question.sort, question.kind, question.scope) == ("yes/no", "exists", "picture"), text
        assert said(question) == statements, text


@pytest.mark.parametrize(
    ("text", "statement_", "given_", "kind"),
    [
        ("猫是红色的吗？", "图中有红色的猫", "图中有猫", "is color"),
        ("Is the cat red?", "a picture of a red cat", "a picture of a cat", "is color"),
        ("Are the hot-air balloons red?", "a picture of a red hot-air balloon", "a picture of a hot-air balloon", "is color"),
        ("猫在左边吗？", "图中左边有猫", "图中有猫", "is position"),
        ("Is the cat on the left?", "a picture of a cat on the left", "a picture of a cat", "is position"),
        ("猫在厨房里吗？", "厨房里有猫", "图中有猫", "is place"),
        ("Is the cat in the kitchen?", "a picture of a cat in the kitchen", "a picture of a cat", "is place"),
        ("那只猫是大的吗？", "图中有大的猫", "图中有猫", "is size"),
        ("Is the red cat large?", "a picture of a big red cat", "a picture of a red cat", "is size"),
    ],
)  # fmt: skip
def test_what_is_taken_for_granted_is_told_from_what_is_asked(text, statement_, given_, kind):
    question = read(text)
    assert said(question) == [statement_] and question.kind == kind
    assert statement(question.given, BOTH[question.lang]) == given_


@pytest.mark.parametrize(
    ("text", "options", "slot"),
    [
        ("这是猫还是狗？", ("猫", "狗"), "thing"),
        ("Is it a cat or a dog?", ("cat", "dog"), "thing"),
        ("Is it a cat, a dog, or a rabbit?", ("cat", "dog", "rabbit"), "thing"),
        ("现在是白天还是晚上？", ("白天", "夜晚"), "time"),
        ("Is it day or night?", ("day", "night"), "time"),
        ("猫是红色、黑色还是白色的？", ("红色", "黑色", "白色"), "color"),
        ("Is the cat red or black?", ("red", "black"), "color"),
        ("猫在左边还是在右边？", ("左边", "右边"), "position"),
        ("Is the cat on the left or on the right?", ("on the left", "on the right"), "position"),
        ("Is the animal a cat or a dog?", ("cat", "dog"), "thing"),
        ("猫在海滩上还是厨房里？", ("海滩", "厨房"), "place"),
    ],
)
def test_choices_know_their_options_and_what_they_differ_in(text, options, slot):
    question = read(text)
    assert (question.sort, question.options, question.slot) == ("choice", options, slot)
    assert len(set(said(question))) == len(options)


@pytest.mark.parametrize(
    ("texts", "slot", "about"),
    [
        (("猫是什么颜色的？", "图中的猫什么颜色", "猫的颜色是什么？", "图中有什么颜色的猫"), "color", "图中有猫"),
        (("What color is the cat?", "what colour are the cats", "What's the color of the cat?"), "color", "a picture of a cat"),
        (("图中有几只猫？", "有多少猫", "一共有多少只猫？", "猫有几只", "数一数图中的猫"), "number", "图中有猫"),
        (("How many cats are there?", "how many cats can you see", "Count the cats", "How many cats?"), "number", "a picture of a cat"),
        (("海滩上有几只狗？",), "number", "海滩上有狗"),
        (("How many dogs are on the beach?", "How many dogs are there on the beach?"), "number", "a picture of a dog on the beach"),
        (("猫在哪里？", "猫在画面的什么位置", "猫在哪边？"), "position", "图中有猫"),
        (("Where is the cat?", "On which side is the cat?"), "position", "a picture of a cat"),
        (("桌子是什么material的？",), "material", "图中有桌子"),
        (("What material is the table?",), "material", "a picture of a table"),
    ],
)  # fmt: skip
def test_open_questions_ask_for_one_fact_of_a_thing(texts, slot, about):
    for text in texts:
        question = read(text)
        assert (question.sort, question.slot, said(question)) == ("open", slot, [about]), text


@pytest.mark.parametrize(
    ("texts", "slot"),
    [
        (("图中有什么？", "这是什么？", "图里有什么动物", "What is in the picture?", "What's this?", "What animal is this?"), "thing"),
        (("这是什么地方？", "背景是什么", "这是哪里？", "What place is this?", "Where is this?"), "place"),
        (("这是什么时候？", "现在是什么时间", "What time of day is it?", "When was this?"), "time"),
        (("这是什么颜色？", "What color is it?"), "color"),
    ],
)  # fmt: skip
def test_open_questions_ask_for_one_fact_of_the_picture(texts, slot):
    for text in texts:
        question = read(text)
        assert (question.sort, question.slot) == ("open", slot) and not question.about[0].noun, text


def test_what_is_somewhere_is_a_question_of_its_own():
    for text in (
        "画面左边是什么？",
        "画面上方是什么？",
        "左边有什么",
        "What is on the left?",
        "What is at the top?",
    ):
        question = read(text)
        assert question.kind == "thing at" and question.about[0].fact("position"), text


@pytest.mark.parametrize(
    ("text", "scope", "statement_"),
    [
        ("有多少张图里有猫？", "how many", "图中有猫"),
        ("How many pictures show a red cat?", "how many", "a picture of a red cat"),
        ("哪些图里有红色的猫？", "which", "图中有红色的猫"),
        ("找出所有有猫的图片", "which", "图中有猫"),
        ("Which pictures show a cat at night?", "which", "a picture of a cat at night"),
        ("Find me all photos of a dog on the beach.", "which", "a picture of a dog on the beach"),
        ("有没有哪张图里有紫色的猫？", "any", "图中有紫色的猫"),
        ("Is there a picture of a purple cat?", "any", "a picture of a purple cat"),
    ],
)
def test_questions_of_a_collection(text, scope, statement_):
    question = read(text)
    assert (question.scope, said(question)) == (scope, [statement_])


@pytest.mark.parametrize(
    ("reason", "texts"),
    [
        ("order", ("猫在狗的左边吗？", "狗的左边是什么？", "狗左边有什么", "猫旁边有狗吗", "Is the cat to the left of the dog?", "Is the cat behind the dog?", "What is next to the cat?")),
        ("sum", ("一加一等于几？", "图中一共有几样东西？", "What is one plus one?", "How many things are there altogether?", "How many cats and dogs are there?")),
        ("comparison", ("猫比狗大吗？", "Is the cat bigger than the dog?", "两张图一样吗？", "Are there more cats?")),
        ("name", ("猫叫什么名字？", "谁画了这张图？", "Who drew this picture?", "What is the name of the cat?")),
        ("text", ("牌子上写着什么？", "What does the sign say?")),
        ("cause", ("为什么猫是红色的？", "Why is the cat red?", "猫在想什么？")),
        ("measure", ("猫几岁了？", "How old is the cat?", "How much does the car cost?")),
        ("moment", ("现在几点几分？", "Will it rain tomorrow?", "What happened before?")),
        ("negation", ("图中没有猫吗？", "Is there no cat?", "Isn't there a cat?")),
        ("candidates", ("猫在做什么？", "What is the cat doing?", "What furniture is the table?")),
        ("unread", ("天黑了吗？", "Hello", "你好", "Give me a poem")),
    ],
)  # fmt: skip
def test_what_clip_cannot_know_is_refused_with_its_reason(reason, texts):
    for text in texts:
        question = read(text)
        assert (question.sort, question.reason) == ("refused", reason), text
        assert question.why() == REASONS[reason][question.lang]


def test_every_reason_is_told_in_both_languages():
    assert all(set(said) == {"zh", "en"} and all(said.values()) for said in REASONS.values())


def test_answers_that_are_given_make_any_question_a_choice():
    free = read("What is the cat doing?", answers=["a sleeping cat", "a running cat"])
    assert (free.sort, free.options) == ("choice", ("a sleeping cat", "a running cat"))
    color = read("What color is the cat?", answers=["red", "blue"])
    assert said(color) == ["a picture of a red cat", "a picture of a blue cat"] and color.slot == "color"
    assert read("Is there a cat?", answers=["yes", "no"]).sort == "yes/no"  # it has its answers


def test_without_candidates_open_questions_ask_for_them():
    for text in ("What is this?", "这是什么？", "What place is this?"):
        assert parse(text).reason == "candidates"
    assert parse("What color is the skateboard?").slot == "color"  # colours have defaults


def test_a_synonym_means_the_candidate():
    candidates = Candidates(lang="en")
    for text, slot, answer in (
        ("large", "size", "big"), ("grey", "color", "gray"), ("the right-hand side", "position", "on the right"),
        ("on the left side", "position", "on the left"), ("evening", "time", "dusk"), ("in the center", "position", "in the middle"),
    ):  # fmt: skip
        assert candidates.find(slot, text).answer == answer
    assert Candidates(lang="zh").find("color", "红").answer == "红色"
    assert Candidates({"time": ["day", "dawn"]}, lang="en").find("time", "evening") is None


@pytest.mark.parametrize("text", ["", "  ", None, 3, "\ud800", b"cat"])
def test_no_question_is_an_error(text):
    with pytest.raises(TextError):
        parse(text)


def test_a_question_of_little_world_is_never_misread():
    """Each is read as the sort it is, or refused: measured on every wording the world's own grammar has."""
    expected = {
        "count": "number",
        "where": "position",
        "background": "place",
        "color": "color",
        "time": "time",
        "absent": "color",
    }
    candidates = {lang: Candidates(world.candidates(), lang=lang) for lang in words.LANGUAGES}
    for index, scene in enumerate(world.scenes_of(2, 400_000_000, 40)):
        for lang in words.LANGUAGES:
            rng = world.np.random.default_rng(index)
            for turn in scene_turns(scene, lang, rng):
                question = parse(turn.question, candidates)
                if turn.sort in expected:
                    assert question.kind == expected[turn.sort], turn.question
                elif turn.sort in ("order", "read"):
                    assert question.sort == "refused", turn.question
            for asked in questions(scene, lang, rng):
                question = parse(asked.text, candidates)
                assert question.sort != "refused", asked.text
                if question.sort == "open" and asked.answer != "0":
                    values = [value.answer for value in candidates[lang][question.slot]]
                    assert asked.answer in values, asked.text


_PIECES = st.sampled_from(
    "is are there the a cat cats red on left of what color how many where in picture or and not 图中 有 吗 猫 红色 的 几 只 什么 "
    "是 还是 左边 在 ？ ? ， 2 两".split()
)


@hypothesis_settings(max_examples=300)
@given(st.one_of(st.text(max_size=40), st.lists(_PIECES, min_size=1, max_size=9).map(" ".join)))
def test_any_text_is_read_or_refused(text):
    try:
        question = read(text)
    except TextError:
        return
    if question.sort == "refused":
        assert question.why() and not question.about
    else:
        assert question.about and all(said(question)) and not question.reason


@pytest.mark.parametrize("text", ["Are there {} cats?", "图中有{}只猫吗？"])
def test_a_number_that_python_does_not_read_is_none(text):
    read(text.format("1" * 5000))
    assert ("number", "12") in read(text.format("12")).about[0].facts


def test_english_plurals_and_chinese_measure_words():
    for one, many in (
        ("cat", "cats"), ("bus", "buses"), ("butterfly", "butterflies"), ("box", "boxes"), ("fish", "fish"), ("child", "children"),
        ("hot-air balloon", "hot-air balloons"), ("day", "days"), ("cactus", "cacti"), ("glass", "glasses"), ("house", "houses"),
    ):  # fmt: skip
        assert plural(one) == many
        if one != "glass":  # "glasses" is also a word of its own
            assert singular(many) == one
        assert singular(one) == one
    assert [measure_word(noun) for noun in ("猫", "小汽车", "飞机", "沙发", "书")] == [
        "只",
        "辆",
        "架",
        "个",
        "本",
    ]
    assert article("umbrella") == "an umbrella" and article("red cat") == "a red cat"
    for kind, (zh, measure, one, many) in words.KIND.items():
        assert plural(one) == many and singular(many) == one, kind
        assert measure_word(zh) == measure, kind


def test_a_phrase_can_be_named_alone():
    assert named(read("Is there a red cat on the beach?").about[0], BOTH["en"]) == "a red cat"
    assert named(read("海滩上有两只红色的猫吗？").about[0], BOTH["zh"]) == "两只红色的猫"
