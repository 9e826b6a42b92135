"""The search panel, driven from Python: what a click does, and what is seen without a kernel."""

from __future__ import annotations

from datetime import datetime

import pytest
from fault_server import FaultServer, completion, status
from PIL import Image

from course_lib.clip import CLIPService
from course_lib.errors import CourseError
from course_lib.images import encode, from_base64
from course_lib.search import ImageSearchEngine
from course_lib.search_widget import ALL, search_panel
from course_lib.settings import set_language
from course_lib.vqa import VisualQA
from little_world import load_gallery

GALLERY = load_gallery()[:24]


@pytest.fixture(autouse=True)
def english():
    set_language("en")
    yield
    set_language(None)


@pytest.fixture(scope="module")
def engine() -> ImageSearchEngine:
    engine = ImageSearchEngine(CLIPService("mini-clip", device="cpu"))
    engine.add_images({example.id: example.image for example in GALLERY}, progress=False)
    return engine


def upload(panel, content: bytes) -> None:
    file = {
        "name": "x.png",
        "type": "image/png",
        "size": len(content),
        "content": content,
        "last_modified": datetime.now(),
    }
    panel.upload.value = (file,)


def enter(box) -> None:
    box._handle_custom_msg({"event": "submit"}, [])


def test_words_find_pictures_and_the_first_is_chosen(engine):
    example = GALLERY[3]
    panel = search_panel(engine, query=example.captions["en"])
    assert panel.results[0].id == example.id == panel.about.value and len(panel.about.options) == 9
    panel.query.value = GALLERY[5].captions["en"]
    enter(panel.query)
    assert panel.results[0].id == GALLERY[5].id and "<img" in panel._gallery.value


def test_a_picture_finds_itself(engine):
    panel = search_panel(engine)
    assert not panel.results and panel.about.value is ALL  # nothing was searched for: all pictures are asked
    upload(panel, encode(GALLERY[7].image))
    assert panel.results[0].id == GALLERY[7].id


def test_a_question_goes_to_the_chosen_picture_or_to_all(engine):
    example = next(e for e in GALLERY if e.part == "single")
    panel = search_panel(engine, query=example.captions["en"], question="Is it day or night?")
    assert panel.answer in ("day", "night", "not sure") and panel.answer.evidence.scores
    panel.about.value = ALL
    panel.question.value = "How many pictures show the beach?"
    enter(panel.question)
    assert panel.answer.isdigit() and len(panel.answer.evidence.pictures) == len(GALLERY)
    assert str(panel.answer) in panel._answered.value


def test_a_chat_answers_where_it_is_chosen(engine):
    with FaultServer(completion("A <b>cat</b>.")) as server:
        vqa = VisualQA(clip_service=engine.clip_service, base_url=server.url, model="m")
        panel = search_panel(
            engine,
            vqa=vqa,
            query="a cat",
            question="What is it?",
            chat=True,
            images=lambda _: Image.new("RGB", (8, 8)),
        )
        assert panel.answer == "A <b>cat</b>." and "<b>cat" not in panel._answered.value


def test_of_a_picture_that_images_lacks_the_thumbnail_is_asked_about(engine):
    with FaultServer(completion("a cat"), completion("a cat")) as server:
        vqa = VisualQA(clip_service=engine.clip_service, base_url=server.url, model="m")
        panel = search_panel(engine, vqa=vqa, query="a cat", chat=True, images={})
        panel._images[panel.results[1].id] = Image.new("RGB", (8, 8))
        for chosen in panel.results[:2]:
            panel.about.value, panel.question.value = chosen.id, "What is it?"
            panel.ask.click()
            assert panel.answer == "a cat"
        sizes = [
            from_base64(r.json["messages"][0]["content"][1]["image_url"]["url"]).size for r in server.requests
        ]
    assert sizes[0] == panel.results[0].thumbnail.size and sizes[1] == (8, 8)


def test_an_error_gets_its_sentence_and_the_panel_goes_on(engine):
    with FaultServer(status(401, "who?"), completion("a cat")) as server:
        vqa = VisualQA(clip_service=engine.clip_service, base_url=server.url, model="m", retries=0)
        panel = search_panel(engine, vqa=vqa, query="a cat", question="What is it?", chat=True)
        assert isinstance(panel.answer, CourseError) and str(panel.answer)[:20] in panel._answered.value
        assert not panel.ask.disabled
        panel.ask.click()
        assert panel.answer == "a cat"
    panel.question.value = "  "
    panel.ask.click()
    assert panel.answer == "a cat"  # an empty question asks nothing
    upload(panel, b"broken")
    assert "x.png" in panel._gallery.value and not panel.results


def test_without_a_kernel_the_results_and_the_answer_are_seen(engine):
    panel = search_panel(engine, query="a cat", question="Is there a <cat>?")
    bundle = panel._repr_mimebundle_()
    assert bundle["text/html"].count("<img") >= 8 and "Is there a &lt;cat&gt;?" in bundle["text/html"]
    assert bundle["text/plain"] == "SearchPanel"


def test_a_closed_index_gets_its_sentence_too():
    engine = ImageSearchEngine(CLIPService("mini-clip"))
    engine.add_image("one", Image.new("RGB", (32, 32), "red"))
    panel = search_panel(engine, query="a cat")
    engine.close()
    panel.find.click()
    panel.ask.click()
    assert "close" in panel._gallery.value and not panel.results
