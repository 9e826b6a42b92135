"""The interactive cells, driven from Python: what a click does, and what is seen without a kernel."""

import numpy as np
import pytest

from course_lib import CLIPService, images, plots
from course_lib.errors import TextError
from course_lib.settings import set_language
from course_lib.widgets import clip_playground, figure_png, quiz, slides
from little_world import draw
from little_world.scenes import single


@pytest.fixture(autouse=True)
def english():
    set_language("en")
    yield
    set_language(None)


@pytest.fixture(scope="module", autouse=True)
def loaded():
    # services share the weights of a model in use: it is read once for all tests here
    yield CLIPService("mini-clip")


OPTIONS = {"the length": "It says nothing about likeness.", "the direction": "Only the angle counts."}


def test_a_quiz_answers_each_click():
    asked = quiz("What is compared?", OPTIONS, answer="B")
    asked.choose("A")
    assert "Not quite." in asked._said.value and "nothing about likeness" in asked._said.value
    assert asked._buttons["A"].button_style == "danger"
    asked.choose("B")
    assert "Right." in asked._said.value and "Only the angle counts" in asked._said.value
    assert asked._buttons["B"].button_style == "success" and asked.chosen == ["A", "B"]


def test_a_quiz_without_a_kernel_shows_the_question_and_folds_the_answer():
    bundle = quiz("What is compared?", OPTIONS, answer="B")._repr_mimebundle_()
    html = bundle["text/html"]
    assert "What is compared?" in html and "the length" in html
    assert html.index("<details>") < html.index("B. Only the angle counts.")
    assert bundle["text/plain"] == "Quiz"  # no address, no id: the same on every run
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_backticks_in_a_quiz_are_code():
    shown = quiz("What is `k`?", {"`top_k`": "that is `k`", "a > b": "no"}, answer="A").still()
    assert all(f"<code>{name}</code>" in shown for name in ("k", "top_k")) and "`" not in shown


def test_a_quiz_whose_answer_is_no_option_is_refused():
    with pytest.raises(ValueError, match="answer is 'C', but the options are A, B"):
        quiz("What is compared?", OPTIONS, answer="C")


# ------------------------------------------------------------------------------------------- playground


class Counting(CLIPService):
    """The service itself, which also remembers what it was asked to encode."""

    def __init__(self):
        super().__init__("mini-clip")
        self.texts, self.pictures = [], 0

    def encode_text(self, text, **options):
        self.texts += [text] if isinstance(text, str) else list(text)
        return super().encode_text(text, **options)

    def encode_image(self, image, **options):
        self.pictures += 1
        return super().encode_image(image, **options)


def compose(seed, kind, color):
    return draw(single(np.random.default_rng(seed), kind=kind, color=color))


@pytest.fixture
def play():
    return clip_playground(
        Counting(),
        ["cat", "dog"],
        compose=compose,
        choices={"kind": {"cat": "cat", "dog": "dog"}, "color": {"red": "red", "blue": "blue"}},
        template="a picture of a {}",
    )


def test_the_playground_shows_what_the_service_says(play):
    service, picture = CLIPService("mini-clip"), compose(0, "cat", "red")
    expected = service.zero_shot_classify(picture, ["cat", "dog"], template="a picture of a {}")
    for label, (probability, cosine) in play.probabilities().items():
        assert probability == pytest.approx(expected[label], abs=1e-5)
        assert cosine == pytest.approx(expected.similarities[label], abs=1e-5)


def test_only_what_changed_is_encoded_again(play):
    service = play._service
    assert (service.texts, service.pictures) == (["a picture of a cat", "a picture of a dog"], 1)
    play.labels.value = "cat, dog, a red ball"
    assert service.texts[2:] == ["a picture of a a red ball"] and service.pictures == 1
    play.menus["kind"].value = "dog"
    assert len(service.texts) == 3 and service.pictures == 2
    play.template.value = "{}"
    play.template.value = "a picture of a {}"
    assert service.texts[3:] == ["cat", "dog", "a red ball"] and service.pictures == 2


@pytest.mark.parametrize("typed", ["cat,dog", " cat ， dog ", "cat、dog、", "cat; dog;; cat", "cat\ndog"])
def test_labels_may_be_separated_as_people_do(typed, play):
    play.labels.value = typed
    assert list(play.probabilities()) == ["cat", "dog"]


def test_no_label_is_no_error(play):
    play.labels.value = " , "
    assert play.probabilities() == {} and play._bars.value == "" and play._note.value == ""


def test_a_half_typed_template_gets_a_sentence_and_the_playground_goes_on(play):
    play.template.value = "a picture"
    assert "has no {}" in play._note.value
    play.template.value = "a {}"
    assert play._note.value == "" and len(play.probabilities()) == 2


def test_a_picture_can_be_uploaded_under_both_versions_of_ipywidgets(play):
    before = play._picture.value
    content = images.encode(compose(3, "dog", "blue"))
    play._uploaded({"new": ({"name": "dog.png", "content": memoryview(content)},)})  # 8
    of_8, play._picture.value = play._picture.value, b""
    play._uploaded({"new": {"dog.png": {"metadata": {"name": "dog.png"}, "content": content}}})  # 7, on Colab
    assert before != of_8 == play._picture.value


def test_a_broken_upload_is_named(play):
    play._uploaded({"new": ({"name": "notes.png", "content": b"hello"},)})
    assert "notes.png does not hold a picture" in play._note.value and len(play.probabilities()) == 2


def test_another_drawing_of_the_same_choice(play):
    first = play._picture.value
    play.another.click()
    second = play._picture.value
    play.menus["color"].value = "blue"
    assert len({first, second, play._picture.value}) == 3


def test_what_is_typed_is_shown_and_not_run(play):
    play.labels.value = "<script>alert(1)</script>"
    assert "<script>" not in play._bars.value and "&lt;script&gt;" in play._bars.value


def test_without_a_kernel_the_first_state_is_seen(play):
    bundle = play._repr_mimebundle_()
    assert bundle["text/plain"] == "ClipPlayground"
    assert bundle["text/html"].count("data:image/png;base64,") == 1 and "dog" in bundle["text/html"]


def test_a_playground_may_begin_with_a_picture_or_with_none():
    service = CLIPService("mini-clip")
    assert clip_playground(service, ["cat"]).probabilities() == {}
    assert clip_playground(service, ["cat"], image=compose(0, "cat", None)).probabilities()["cat"][0] == 1


# ----------------------------------------------------------------------------------------------- slides


def test_the_slider_turns_the_pictures():
    figure, _ = plots.figure(1, 1)
    leaves = slides(
        [compose(0, "cat", "red"), compose(0, "dog", "blue"), figure], labels=["a", "b", "c"], start=1
    )
    seen = {leaves.slider.index: leaves._picture.value}
    for position in (0, 2):
        leaves.slider.index = position
        seen[position] = leaves._picture.value
    assert len(set(seen.values())) == 3 and all(bytes(png[:4]) == b"\x89PNG" for png in seen.values())
    assert "data:image/png;base64," in leaves._repr_mimebundle_()["text/html"]


# ---------------------------------------------------------------------------------------------- figures


def test_a_gallery_of_nothing_says_so_and_no_scores_get_a_sentence():
    figure = plots.gallery([], [])
    assert figure.axes[0].texts[0].get_text() == "No pictures"
    assert figure_png(figure)[:4] == b"\x89PNG"
    with pytest.raises(TextError):
        plots.scores(compose(0, "cat", "red"), {})
