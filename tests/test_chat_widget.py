"""The chat about a picture, driven from Python: what a click does, and what is seen without a kernel."""

from __future__ import annotations

import pytest
from fault_server import FaultServer, completion, events, piece, status
from PIL import Image

from course_lib import images
from course_lib.chat_widget import chat
from course_lib.errors import ImageError
from course_lib.gpt4v import ImageAnalyzer
from course_lib.settings import set_language

RED, BLUE = (Image.new("RGB", (64, 64), color) for color in ("red", "blue"))
ANSWER = events(piece("a <b>"), piece("cat</b>"), piece(None, "stop"))


@pytest.fixture(autouse=True)
def english():
    set_language("en")
    yield
    set_language(None)


@pytest.fixture
def server():
    with FaultServer(ANSWER) as running:
        yield running


def analyzer(server: FaultServer) -> ImageAnalyzer:
    return ImageAnalyzer(base_url=server.url, model="m", retries=0)


def sent(server: FaultServer, number: int = -1) -> tuple[Image.Image, str]:
    """The picture and the last question of a request."""
    messages = server.requests[number].json["messages"]
    uri = messages[0]["content"][1]["image_url"]["url"]
    return images.from_base64(uri), messages[-1]["content"][0]["text"]


def test_a_question_is_asked_about_the_picture_that_is_shown(server):
    talk = chat([RED, BLUE], analyzer=analyzer(server))
    talk.question.value = " What is it? "
    talk.send.click()
    assert sent(server)[1] == "What is it?" and sent(server)[0].getpixel((5, 5)) == (255, 0, 0)
    assert talk.turns[0][1:] == ("What is it?", "a <b>cat</b>") and talk.question.value == ""
    talk.choice.value = 1
    talk.question.value = "And this?"
    talk.question._handle_custom_msg({"event": "submit"}, [])  # the Enter key
    assert sent(server)[0].getpixel((5, 5)) == (0, 0, 255) and len(talk.turns) == 2
    assert talk._said.value.index("And this?") < talk._said.value.index("What is it?")


def test_the_answer_is_seen_as_it_comes(server):
    talk, seen = chat(RED, analyzer=analyzer(server)), []
    talk._said.observe(lambda change: seen.append(change["new"]), "value")
    talk.ask("What is it?")
    assert len(seen) == 2 and "cat" not in seen[0] and "cat" in seen[1]
    assert not talk.send.disabled and not talk.question.disabled


def test_what_a_model_says_is_shown_and_not_run(server):
    talk = chat(RED, analyzer=analyzer(server), question="<script>alert(1)</script>")
    assert "<script>" not in talk._said.value and "<b>" not in talk._said.value
    assert "a &lt;b&gt;cat&lt;/b&gt;" in talk._said.value


def test_no_picture_at_all_gets_a_sentence(server):
    with pytest.raises(ImageError, match="please give at least one"):
        chat([], analyzer=analyzer(server))


def test_an_empty_question_asks_nothing(server):
    talk = chat(RED, analyzer=analyzer(server))
    talk.send.click()
    talk.ask("  ")
    assert server.requests == [] and talk.turns == []


def test_an_error_is_one_sentence_and_the_chat_goes_on():
    with FaultServer(status(401, "no such key"), ANSWER) as server:
        talk = chat(RED, analyzer=analyzer(server))
        talk.ask("What is it?")
        assert "does not accept the key" in talk._said.value and "Traceback" not in talk._said.value
        talk.ask("What is it?")
        assert talk.turns[-1][2] == "a <b>cat</b>"


def test_a_broken_stream_does_not_leave_the_box_disabled():
    with FaultServer(events(piece("half"), then="reset")) as server:
        talk = chat(RED, analyzer=analyzer(server), question="What is it?")
        assert "broke off" in talk._said.value and not talk.send.disabled


def test_earlier_questions_go_along_only_where_that_is_wanted(server):
    for remember, counts in ((False, [1, 1, 1]), (True, [1, 3, 1])):
        server.requests.clear()
        talk = chat([RED, BLUE], analyzer=analyzer(server), remember=remember)
        talk.ask("What is it?")
        talk.ask("And the colour?")
        talk.choice.value = 1  # another picture, another conversation
        talk.ask("And this?")
        assert [len(request.json["messages"]) for request in server.requests] == counts


def test_a_picture_can_be_uploaded_and_a_broken_one_is_named(server):
    talk = chat(RED, analyzer=analyzer(server))
    content = images.encode(BLUE)
    for files in (  # ipywidgets 8, and 7 on Colab
        ({"name": "blue.png", "content": memoryview(content)},),
        {"blue.png": {"metadata": {"name": "blue.png"}, "content": content}},
    ):
        talk._uploaded({"new": files})
        talk.ask("What is it?")
        assert sent(server)[0].getpixel((5, 5)) == (0, 0, 255)
    talk._uploaded({"new": ({"name": "notes.png", "content": b"hello"},)})
    assert "notes.png does not hold a picture" in talk._note.value
    talk.ask("Still there?")
    assert sent(server)[1] == "Still there?"


def test_without_a_kernel_picture_and_answers_are_seen(server):
    bundle = chat(RED, analyzer=analyzer(server), question="What is it?")._repr_mimebundle_()
    assert bundle["text/plain"] == "Chat" and "cat" in bundle["text/html"]
    assert bundle["text/html"].startswith('<div><img width="128"')


def test_without_an_analyzer_the_settings_decide(monkeypatch):
    with FaultServer(ANSWER) as server:
        monkeypatch.setenv("COURSE_VLM_BASE_URL", server.url)
        monkeypatch.setenv("COURSE_VLM_MODEL", "m")
        set_language("zh")
        talk = chat(RED, question="这是什么？")
        assert "cat" in talk._said.value and talk.send.description == "提问"


def test_a_whole_answer_in_place_of_a_stream_is_an_error_not_silence():
    with FaultServer(completion("a cat")) as server:
        talk = chat(RED, analyzer=analyzer(server), question="What is it?")
        assert "does not stream" in talk._said.value
