"""The search-and-ask app, driven from Python: what each click does, and what is seen."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
import warnings
from datetime import datetime, timezone
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from pixel_encoder import PixelEncoder, picture

from course_lib import app as app_module
from course_lib import app_core, app_page
from course_lib.app import SearchApp, search_app
from course_lib.app_session import SHOWN, STEP, Session, open_folder
from course_lib.bulk import AddReport
from course_lib.checking.ex3.bench import CHAT, CLIP, Script, bomb, turned, unreachable
from course_lib.errors import ImageError, ServiceError
from course_lib.images import encode, open_image
from course_lib.search import ImageSearchEngine
from course_lib.settings import language, set_language
from course_lib.vqa_answers import VisualAnswer


@pytest.fixture(autouse=True)
def english():
    set_language("en")
    yield
    set_language(None)


@pytest.fixture
def script():
    return Script(chat="a cat")


@pytest.fixture
def app(script):
    return SearchApp(session_of(script, 25))


def session_of(script, count: int) -> Session:
    pictures = {f"p{i:02d}": picture(i) for i in range(count)}
    engine = ImageSearchEngine(PixelEncoder())
    engine.add_images(pictures, metadata=lambda name: {"name": f"{name}.png"}, progress=False)
    return Session(engine, script, pictures)


def upload(box, *files: tuple[str, bytes]) -> None:
    """What a user's choice of files sets."""
    when = datetime(2026, 1, 1, tzinfo=timezone.utc)
    box.value = tuple(
        {
            "name": name,
            "type": "image/png",
            "size": len(content),
            "content": memoryview(content),
            "last_modified": when,
        }
        for name, content in files
    )


def press_enter(box) -> None:
    box._handle_custom_msg({"event": "submit"}, [])


def shown(app) -> list[str]:
    return [card.picture_id for card in app.cards if card.layout.display != "none"]


# ------------------------------------------------------------------------------------------- search and click


def test_at_first_the_gallery_is_seen_and_nothing_is_chosen(app):
    assert shown(app) == [f"p{i:02d}" for i in range(SHOWN)]
    assert app.detail.layout.display == "none" and "25 pictures" in app.children[1].children[0].value
    assert "p00.png" in app.cards[0].caption.value and app.cards[0].button.description == "p00.png"


def test_words_bring_what_fits_with_scores(app):
    app.words.value = "a red cat"
    press_enter(app.words)
    expected = app.session.engine.search_by_text("a red cat", SHOWN)
    assert shown(app) == expected.ids
    assert f"{expected[0].score:.2f}" in app.cards[0].caption.value
    app.words.value = "  "
    app.go.click()
    assert shown(app)[0] == "p00" and "ml-score" not in app.cards[0].caption.value


def test_an_uploaded_picture_brings_what_is_like_it(app):
    upload(app.query_picture, ("mine.png", encode(picture(7))))
    assert shown(app)[0] == "p07" and "1.00" in app.cards[0].caption.value
    upload(app.query_picture, ("mine.png", b"no picture"))
    assert "does not hold a picture" in app.note.value and shown(app)[0] == "p07"


def test_a_click_shows_the_picture_and_asks_about_it(app, script):
    app.cards[3].button.click()
    assert app.session.chosen == "p03" and app.detail.layout.display is None
    assert open_image(app.large.value).size == (48, 36) and "48 × 36" in app.facts.value
    assert "ml-chosen" in app.cards[3]._dom_classes and "ml-chosen" not in app.cards[2]._dom_classes
    app.question.value = "What is it?"
    press_enter(app.question)
    assert "a cat" in app.turns.value and CHAT in app.turns.value and app.question.value == ""
    assert script.asked[0][1:] == ("What is it?", True) and script.asked[0][0].size == (48, 36)
    app.cards[4].button.click()
    assert app.turns.value == ""
    app.cards[3].button.click()
    assert "What is it?" in app.turns.value


def test_a_suggestion_is_a_question_and_find_similar_a_search(app, script):
    app.cards[5].button.click()
    app.suggestions[1].click()
    assert script.asked[-1][1] == "What place is this?"
    app.alike.click()
    assert shown(app)[0] == "p05" and app.session.chosen is None


def test_an_empty_question_asks_nothing(app, script):
    app.cards[0].button.click()
    app.send.click()
    app.send_all.click()
    assert script.asked == []


def test_all_that_are_shown_can_be_asked_one_question(app, script):
    script.chat = lambda image, question: (
        ServiceError("broken", kind="server") if len(script.asked) == 1 else "Yes."
    )
    script.clip = script.chat
    app.question_for_all.value = "Is it red?"
    app.send_all.click()
    assert re.search(rf"<div>yes</div>.*>{SHOWN}</div>", app.tally.value) and "Is it red?" in app.tally.value
    app.words.value = "another"
    app.go.click()
    assert app.tally.value == ""


# ------------------------------------------------------------------------------------------- who answers


def test_where_the_chat_fails_clip_answers_and_says_why(app, script):
    script.chat = unreachable()
    script.clip = VisualAnswer("not sure", answered=False, confidence=0.4, reason="two answers are level")
    app.cards[0].button.click()
    app.ask("Is there a cat?")
    for text in ("not sure", CLIP, "40% sure", "two answers are level", "cannot be reached"):
        assert text in app.turns.value
    assert app.note.value == ""


def test_where_nobody_answers_the_app_says_so_and_goes_on(app, script):
    script.chat = script.clip = unreachable()
    app.cards[0].button.click()
    app.ask("Is there a cat?")
    assert "cannot be reached" in app.note.value and app.turns.value == ""
    assert not any(control.disabled for control in (app.go, app.send, app.send_all))
    script.chat = "yes"
    app.ask("And now?")
    assert app.note.value == "" and "yes" in app.turns.value


def test_an_error_of_the_program_is_not_hidden(app, script):
    script.chat = ZeroDivisionError("a bug")
    app.cards[0].button.click()
    with pytest.raises(ZeroDivisionError):
        app.ask("Is there a cat?")
    assert not app.send.disabled


def test_what_a_model_or_a_file_says_is_shown_and_not_run(app, script):
    script.chat = "<img src=x onerror=alert(1)>"
    upload(app.add, ("<script>alert(2)</script>.png", encode(picture(99))), ("<b>.png", b"x"))
    app.cards[0].button.click()
    app.ask("<script>alert(3)</script>")
    said = "".join(
        [app.turns.value, app.facts.value, app.cards[0].caption.value, app.report.value, app.still()]
    )
    assert "<script" not in said and "<img src=x" not in said and "<b>.png" not in said


# ------------------------------------------------------------------------------------------------ uploads


def test_uploads_are_taken_shown_and_can_be_asked(app, script):
    seen = []
    app.progress.observe(lambda change: seen.append(change["new"]), "value")
    new = encode(picture(50))
    upload(app.add, ("mine.png", new), ("again.png", new), ("text.png", b"text"), ("huge.png", bomb()),
           ("half.png", new[: len(new) // 2]), ("tall.jpg", turned(picture(51))),
           ("mine.png", encode(picture(52))))  # fmt: skip
    assert len(app.session.engine) == 28 and len(shown(app)) == 3
    assert "3 added" in app.report.value and app.progress.layout.display == "none" and seen[-1] == 7
    for name, why in {"again.png": "already", "text.png": "not hold a picture", "huge.png": "megapixels",
                      "half.png": "damaged"}.items():  # fmt: skip
        assert re.search(rf"<b>{name}</b>: [^<]*{why}", app.report.value)
    app.cards[1].button.click()
    assert "tall.jpg" in app.facts.value and "48 × 36" in app.facts.value
    app.ask("What is it?")
    assert open_image(script.asked[-1][0]).size == (48, 36)
    app.alike.click()
    assert app.cards[0].caption.value.count("tall.jpg") == 2 and "1.00" in app.cards[0].caption.value
    assert app.add.value == ()  # so that the same file can be chosen again


def test_a_file_that_is_too_large_is_refused_unread(monkeypatch):
    monkeypatch.setattr(app_core, "MOST_BYTES", 1000)
    engine = ImageSearchEngine(PixelEncoder())
    added, refused = app_core.add(engine, [("big.png", encode(Image.effect_noise((64, 64), 90)))])
    assert not added and "larger than" in refused[0][1]


def test_where_a_learners_session_raises_the_bar_goes(app, monkeypatch):
    def add(files, progress):
        progress(1, 2)
        raise ZeroDivisionError

    monkeypatch.setattr(app.session, "add", add)
    with pytest.raises(ZeroDivisionError):
        upload(app.add, ("mine.png", encode(picture(50))))
    assert app.progress.layout.display == "none" and app.note.value == "" and not app.go.disabled


def test_uploads_are_kept_as_files_and_not_decoded(app):
    content = encode(picture(60))
    upload(app.add, ("mine.png", content))
    assert app.session.pictures[shown(app)[0]] == content


def test_of_too_many_uploads_the_rest_is_refused_with_a_sentence(app, monkeypatch):
    monkeypatch.setattr(app_module, "MOST_FILES", 3)
    upload(app.add, *[(f"new{i}.png", encode(picture(70 + i))) for i in range(5)])
    assert len(shown(app)) == 3 and "3 added" in app.report.value
    assert "<b>2 files, new3.png the first</b>: at most 3 are added" in app.report.value


# ---------------------------------------------------------------------------------------------- languages


def test_the_language_switches_and_what_was_found_stays(app):
    app.words.value = "a cat"
    app.go.click()
    before = shown(app)
    app.cards[0].button.click()
    app.language.value = "zh"
    assert language() == "zh" and shown(app) == before and app.session.chosen == before[0]
    assert app.go.description == "搜索" and app.suggestions[0].description == "图中有什么？"
    assert app.add.tooltip == "添加图片" and "25 张图片" in app.children[1].children[0].value
    app.language.value = "en"
    assert app.go.description == "Search"


def test_an_answer_names_who_gave_it_in_either_language(app):
    app.cards[0].button.click()
    app.ask("?")
    assert "answered by " + CHAT in app.turns.value
    app.language.value = "zh"
    assert "回答者：" + CHAT in app.turns.value


# ------------------------------------------------------------------------------------------------ folders


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for i in range(2 * STEP + 5):
        picture(i).save(tmp_path / f"{i:03d}.png")
    (tmp_path / "bad.png").write_bytes(b"text")
    service = PixelEncoder()
    monkeypatch.setattr("course_lib.clip.CLIPService", lambda: service)
    return tmp_path


def test_a_folder_is_taken_in_step_by_step(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session, steps = open_folder(folder)
        assert len(session.engine) == 0
        seen = [(len(report.added), len(report.failed), total) for report, total in steps]
    assert seen[0][0] == STEP and seen[-1] == (2 * STEP + 5, 1, 2 * STEP + 6)
    assert session.engine.get("003.png").metadata == {"name": "003.png"} and "bad.png" not in session.pictures


def test_an_app_over_a_folder_is_full_when_it_is_returned_outside_a_notebook(folder):
    app = search_app(folder)
    assert len(app.session.engine) == 2 * STEP + 5 and len(shown(app)) == SHOWN
    assert "bad.png" in app.report.value and app.note.value == "" and app.progress.layout.display == "none"


def test_in_a_notebook_it_fills_while_it_is_used(folder):
    async def use() -> tuple:
        app = search_app(folder)
        early = len(app.session.engine)
        while len(app.session.engine) < STEP:
            await asyncio.sleep(0)
        app.words.value = "anything"
        app.go.click()
        found = shown(app)
        await app._filling
        return app, early, found

    app, early, found = asyncio.run(use())
    assert early == 0 and len(found) == STEP  # what was there was searched
    # and is not swept away when all is in
    assert shown(app) == found and len(app.session.engine) == 2 * STEP + 5


def test_of_a_file_that_has_gone_the_thumbnail_is_shown(folder):
    app = search_app(folder)
    (folder / "001.png").unlink()
    app.cards[1].button.click()
    assert app.cards[1].picture_id == "001.png" == app.session.chosen
    assert "There is no file" in app.note.value and open_image(app.large.value).size == (48, 36)
    app.cards[2].button.click()
    assert app.note.value == "" and "48 × 36" in app.facts.value


@pytest.mark.parametrize("error", [ImageError("The drive is gone."), ZeroDivisionError("The drive is gone.")])
def test_where_filling_fails_the_bar_goes_and_it_is_told(folder, error):
    session, _ = open_folder(folder)
    app = SearchApp(session)

    def steps():
        yield AddReport(), 100
        raise error

    async def use():
        app.fill(steps())
        await asyncio.wait([app._filling])

    asyncio.run(use())
    assert app.progress.layout.display == "none" and "The drive is gone." in app.note.value
    assert app._filling.exception() is error
    with pytest.raises(type(error)):
        app.fill(steps())


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(ImageError, match="There is no folder"):
        search_app(tmp_path / "nothing")


def test_an_empty_gallery_says_what_to_do(script):
    app = SearchApp(Session(ImageSearchEngine(PixelEncoder()), script))
    assert "please add pictures first" in app.note.value and shown(app) == []
    app.words.value = "cat"
    app.go.click()
    assert shown(app) == []


# ------------------------------------------------------------------------------ without a kernel, and as a page


def test_without_a_kernel_pictures_and_answers_are_seen(app):
    app.cards[0].button.click()
    app.ask("What is it?")
    html = app._repr_mimebundle_()["text/html"]
    assert html.count("<img") == 8 and "What is it?" in html and "a cat" in html


def test_the_page_is_one_cell_without_sources_files_or_other_hosts(tmp_path):
    notebook = app_page.prepare(tmp_path, tmp_path / 'with "quotes"', "zh")
    made = json.loads(notebook.read_text(encoding="utf-8"))
    (cell,) = made["cells"]
    called = SimpleNamespace()
    source = cell["source"].replace("from course_lib.app import search_app", "")
    exec(source, {"search_app": lambda folder: setattr(called, "f", folder)})
    assert called.f == str(tmp_path / 'with "quotes"') and language() == "zh"
    settings = json.loads((tmp_path / "voila.json").read_text())
    assert not any(re.fullmatch(p, "app.ipynb") for p in settings["VoilaConfiguration"]["file_allowlist"])
    template = app_page.TEMPLATE / "voila" / "templates" / settings["VoilaConfiguration"]["template"]
    assert json.loads((template / "conf.json").read_text()) == {"base_template": "lab"}
    assert "--Voila.ip=127.0.0.1" in app_page.command(notebook, port=1)


@pytest.mark.parametrize(("given", "said"), [("nowhere", "There is no folder"), (".", "pip install")])
def test_the_page_says_what_is_missing(given, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(app_page, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        app_page.main([str(tmp_path / given), "--lang", "en"])
    assert said in str(ended.value)


def test_a_file_that_windows_still_holds_does_not_end_the_page_with_a_traceback(tmp_path, monkeypatch):
    made, place = [], tempfile.TemporaryDirectory
    monkeypatch.setattr(
        tempfile, "TemporaryDirectory", lambda **options: made.append(options) or place(**options)
    )
    monkeypatch.setattr(app_page, "find_spec", lambda name: True)
    monkeypatch.setattr(app_page, "command", lambda *_, **__: [sys.executable, "-c", ""])
    monkeypatch.setattr(app_page.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        app_page.main([str(tmp_path), "--lang", "en"])
    assert ended.value.code == 0 and made == [{"ignore_cleanup_errors": True}]


def test_scores_are_numbers_as_the_engine_gives_them(app):
    found = app_core.find(app.session.engine, "cat", picture(3), top_k=4)
    assert len(found) == 4 and all(isinstance(score, (float, np.floating)) for _, score in found)
    assert app_core.find(app.session.engine, "  ") == []
