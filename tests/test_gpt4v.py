"""Vision chat as the chapter calls it, and what its listings get wrong (rows 9 to 18) done right.

Faults of the service are in test_chat_faults.py, real servers in test_chat_servers.py.
"""

from __future__ import annotations

import base64
import inspect
import json
import time
from concurrent.futures import Future
from io import BytesIO

import numpy as np
import pytest
from fault_server import FaultServer, completion, slowly, status
from PIL import Image
from pydantic import BaseModel, Field

import course_lib
from course_lib import gpt4v, registry, settings
from course_lib.batching import batch
from course_lib.chat import connections
from course_lib.chat.client import VisionClient
from course_lib.chat.tokens import estimate_cost, estimate_tokens, sent_size
from course_lib.errors import AnswerError, CourseError, ImageError, ServiceError, SettingsError, TextError
from course_lib.gpt4v import ImageAnalyzer, call_gpt4v, call_gpt4v_with_url, encode_image_to_base64
from little_world import dialogue

RED = Image.new("RGB", (64, 48), (200, 30, 30))
RNG = np.random.default_rng(3)
PHOTO = Image.fromarray(RNG.integers(0, 256, (600, 800, 3), dtype=np.uint8))


@pytest.fixture
def server():
    with FaultServer(completion("a cat")) as running:
        yield running


def asked(server: FaultServer, number: int = -1) -> dict:
    return server.requests[number].json


def sent_pictures(server: FaultServer, number: int = -1) -> list[tuple[str, Image.Image]]:
    """(MIME type in the data URI, the picture itself) for each picture of a request."""
    found = []
    for part in asked(server, number)["messages"][0]["content"]:
        if part["type"] == "image_url":
            head, _, data = part["image_url"]["url"].partition(",")
            assert head.startswith("data:") and head.endswith(";base64")
            found.append((head[5:-7], Image.open(BytesIO(base64.b64decode(data)))))
    return found


# ------------------------------------------------------------------------------------- the chapter's names


def test_the_chapters_names_and_argument_order():
    def order(function):
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return [p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds]

    assert order(encode_image_to_base64) == ["image", "format"]
    assert order(call_gpt4v) == ["image", "prompt", "api_key", "max_tokens"]
    assert order(call_gpt4v_with_url) == ["image_url", "prompt", "api_key", "max_tokens"]
    assert order(ImageAnalyzer.__init__) == ["self", "api_key"]
    for name in ("describe", "extract_text", "analyze_chart"):
        assert order(getattr(ImageAnalyzer, name)) == ["self", "image"]
    assert course_lib.call_gpt4v is call_gpt4v


def test_a_call_as_in_the_chapter(server):
    assert call_gpt4v(RED, "What is it?", "sk-1", 50, base_url=server.url, model="m") == "a cat"
    request = asked(server)
    assert request["model"] == "m" and request["max_tokens"] == 50 and "stream" not in request
    text, picture = request["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is it?"} and picture["type"] == "image_url"
    assert server.requests[0].headers["authorization"] == "Bearer sk-1"


def test_an_answer_is_text_and_knows_its_tokens(server):
    answer = call_gpt4v(RED, "?", base_url=server.url, model="m")
    assert answer.usage == {"prompt_tokens": 70, "completion_tokens": 3} and answer.upper() == "A CAT"


def test_the_analyzer_asks_what_mini_vlm_was_trained_on():
    for ability, wordings in {
        "describe": dialogue.DESCRIBE,
        "read": dialogue.READ,
        "chart": dialogue.CHART,
        "story": dialogue.STORY,
        "compare": dialogue.COMPARE,
    }.items():
        for lang in ("zh", "en"):
            assert gpt4v.PROMPTS[ability][lang] == wordings[lang][0]


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_each_ability_sends_its_pictures_and_its_wording(server, lang):
    analyzer = ImageAnalyzer(base_url=server.url, model="m", lang=lang)
    for call, count, wording in [
        (lambda: analyzer.describe(RED), 1, "describe"),
        (lambda: analyzer.extract_text(RED), 1, "read"),
        (lambda: analyzer.compare([RED, PHOTO]), 2, "compare"),
        (lambda: analyzer.compare([RED, PHOTO, RED]), 3, "compare several"),
        (lambda: analyzer.narrate([RED, RED, RED]), 3, "story"),
        (lambda: analyzer.narrate(RED), 1, "story"),
    ]:
        assert call() == "a cat"
        assert asked(server)["messages"][0]["content"][0]["text"] == gpt4v.PROMPTS[wording][lang]
        assert len(sent_pictures(server)) == count
    assert analyzer.ask([RED, RED], "Which is first?") == "a cat"
    assert [part["type"] for part in asked(server)["messages"][0]["content"]] == [
        "text",
        "image_url",
        "image_url",
    ]


def test_earlier_questions_stand_before_the_new_one_and_the_picture_in_the_first(server):
    analyzer = ImageAnalyzer(base_url=server.url, model="m")
    analyzer.ask(RED, "And the colour?", history=[("What is it?", "a cat"), ("Sure?", "yes")])
    messages = asked(server)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2 + ["user"]
    assert [len(message["content"]) for message in messages[::2]] == [2, 1, 1]
    assert messages[-1]["content"][0]["text"] == "And the colour?"


def test_what_makes_no_question_is_refused_before_anything_is_sent(server):
    analyzer = ImageAnalyzer(base_url=server.url, model="m")
    for kind, call in [
        (TextError, lambda: analyzer.ask(RED, "  ")),
        (ImageError, lambda: analyzer.compare([RED])),
        (ImageError, lambda: analyzer.compare(RED)),
        (ImageError, lambda: analyzer.describe("no such file.png")),
        (ImageError, lambda: analyzer.ask([], "?")),
        (SettingsError, lambda: call_gpt4v(RED, "?", base_url=server.url, model="m", detail="ultra")),
        (SettingsError, lambda: ImageAnalyzer(lang="fr")),
    ]:
        with pytest.raises(kind):
            call()
    assert server.requests == []


# --------------------------------------------------------------------------------------- pictures, as sent


def test_corrections_09_jpeg_of_any_mode_the_right_way_up():
    for mode in ("RGBA", "P", "LA", "I;16", "L", "1", "CMYK"):
        picture = Image.new("L", (20, 10)).convert(mode) if mode != "I;16" else Image.new(mode, (20, 10))
        opened = Image.open(BytesIO(base64.b64decode(encode_image_to_base64(picture))))
        assert (opened.format, opened.mode, opened.size) == ("JPEG", "RGB", (20, 10))
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert Image.open(BytesIO(base64.b64decode(encode_image_to_base64(clear)))).getpixel((4, 4)) == (255,) * 3
    turned = Image.new("RGB", (20, 10), "blue")
    turned.getexif()[0x0112] = 6  # held upright
    buffer = BytesIO()
    turned.save(buffer, "JPEG", exif=turned.getexif())
    upright = Image.open(BytesIO(base64.b64decode(encode_image_to_base64(Image.open(buffer)))))
    assert upright.size == (10, 20) and upright.getexif().get(0x0112, 1) == 1


def test_corrections_09_text_and_charts_are_sent_without_loss_photos_as_jpeg_and_big_ones_smaller(server):
    analyzer = ImageAnalyzer(base_url=server.url, model="m")
    analyzer.extract_text(PHOTO)
    ((mime, sent),) = sent_pictures(server)
    assert mime == "image/png" and np.array_equal(np.asarray(sent), np.asarray(PHOTO))
    analyzer.describe(PHOTO)
    assert sent_pictures(server)[0][0] == "image/jpeg"
    analyzer.describe(Image.new("RGB", (4000, 1000), "green"))
    ((mime, sent),) = sent_pictures(server)
    assert (mime, sent.size) == ("image/png", (2048, 512))
    call_gpt4v(PHOTO, "?", base_url=server.url, model="m", detail="low")
    assert sent_pictures(server)[0][1].size == (512, 384)
    assert asked(server)["messages"][0]["content"][1]["image_url"]["detail"] == "low"


def test_corrections_10_the_mime_type_is_the_formats(server):
    for format in ("PNG", "JPEG", "WEBP"):
        call_gpt4v(RED, "?", base_url=server.url, model="m", format=format)
        ((mime, sent),) = sent_pictures(server)
        assert mime == f"image/{format.lower()}" and sent.format == format
    with pytest.raises(ImageError):
        call_gpt4v(RED, "?", base_url=server.url, model="m", format="PDF")


def test_a_picture_too_heavy_for_its_provider_loses_its_format_and_then_its_size(monkeypatch):
    from course_lib.chat.messages import data_uri
    from course_lib.providers import Provider

    def sent(limit):
        head, _, data = data_uri(PHOTO, Provider("p", max_bytes=limit), "auto", "PNG").partition(",")
        data = base64.b64decode(data)
        return head, Image.open(BytesIO(data)).size, len(data)

    assert sent(10_000_000)[:2] == ("data:image/png;base64", (800, 600))
    head, size, count = sent(600_000)
    assert (head, size) == ("data:image/jpeg;base64", (800, 600)) and count <= 600_000
    head, size, count = sent(50_000)
    assert head == "data:image/jpeg;base64" and size[0] < 800 and count <= 50_000


# ------------------------------------------------------------------------------- addresses and parameters


def test_corrections_11_no_address_or_model_is_built_in(server, monkeypatch):
    monkeypatch.setenv("COURSE_VLM_BASE_URL", server.url)
    monkeypatch.setenv("COURSE_VLM_MODEL", "of-mine")
    assert call_gpt4v(RED, "?") == "a cat" and asked(server)["model"] == "of-mine"
    assert call_gpt4v(RED, "?", model="another") == "a cat" and asked(server)["model"] == "another"


def test_corrections_12_the_right_name_for_max_tokens(server):
    call_gpt4v(RED, "?", "k", 7, provider="openai", base_url=server.url)
    assert asked(server)["max_completion_tokens"] == 7 and "max_tokens" not in asked(server)
    call_gpt4v(RED, "?", "k", 7, provider="glm", base_url=server.url)
    assert asked(server)["max_tokens"] == 7 and "max_completion_tokens" not in asked(server)


def test_corrections_12_a_service_that_knows_only_the_other_name_is_understood():
    refusal = status(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
    with FaultServer(refusal, completion("a cat")) as server:
        for _ in range(2):
            assert call_gpt4v(RED, "?", base_url=server.url, model="m") == "a cat"
        names = [
            "max_completion_tokens" if "max_completion_tokens" in r.json else "max_tokens"
            for r in server.requests
        ]
        assert names == ["max_tokens", "max_completion_tokens", "max_completion_tokens"]  # and remembered
    with FaultServer(status(400, "unknown field max_tokens or max_completion_tokens")) as server:
        for count in (2, 4):  # its own name, then the other; and so again
            with pytest.raises(ServiceError):
                call_gpt4v(RED, "?", base_url=server.url, model="m")
            assert len(server.requests) == count and "max_tokens" in server.requests[-2].json
    with FaultServer(status(400, "max_tokens is at most 4096")) as server, pytest.raises(ServiceError):
        call_gpt4v(RED, "?", base_url=server.url, model="m")
    assert len(server.requests) == 1


CHART = {"title": "t", "type": "bar chart", "trend": "flat", "key_insights": [], "data_summary": "s"}


@pytest.mark.parametrize(
    ("provider", "level"), [("openai", "json_schema"), ("vllm", "json_schema"), ("qwen", "json_object")]
)
def test_structured_output_is_asked_for_as_the_provider_honours_it(provider, level):
    with FaultServer(completion(json.dumps(CHART))) as server:
        analyzer = ImageAnalyzer("k", provider=provider, base_url=server.url, model="m", lang="en")
        assert analyzer.analyze_chart(RED).model_dump() == CHART
        request = asked(server)
    assert request["response_format"]["type"] == level
    prompt = request["messages"][0]["content"][0]["text"]
    if level == "json_schema":
        described = request["response_format"]["json_schema"]
        assert described["strict"] and described["schema"]["additionalProperties"] is False
        assert list(described["schema"]["properties"]) == described["schema"]["required"] == list(CHART)
        assert prompt == gpt4v.PROMPTS["chart"]["en"]
    else:
        assert prompt.startswith(gpt4v.PROMPTS["chart"]["en"]) and '"data_summary"' in prompt


def test_a_service_without_response_format_is_asked_in_words():
    refusal = status(400, "response_format is not supported")
    with FaultServer(refusal, refusal, completion(json.dumps(CHART))) as server:
        assert ImageAnalyzer(base_url=server.url, model="m").analyze_chart(RED)["trend"] == "flat"
        levels = [request.json.get("response_format", {}).get("type") for request in server.requests]
    assert levels == ["json_schema", "json_object", None]


class Title(BaseModel):
    title: str = Field(max_length=5)


def test_where_limits_are_refused_the_form_is_still_asked_for():
    refusal = status(400, "Invalid schema for response_format 'Title': 'maxLength' is not permitted.")
    with FaultServer(
        refusal, completion('{"title": "short"}'), completion('{"title": "too long"}')
    ) as server:
        client = VisionClient(base_url=server.url, model="m")
        assert client.parse(RED, "?", Title).title == "short"
        with pytest.raises(AnswerError):  # the limit is kept, here
            client.parse(RED, "?", Title)
        schemas = [request.json["response_format"]["json_schema"]["schema"] for request in server.requests]
        prompts = {request.json["messages"][0]["content"][0]["text"] for request in server.requests}
    assert ["maxLength" in schema["properties"]["title"] for schema in schemas] == [True, False, False]
    assert prompts == {"?"}


def test_corrections_17_a_remote_picture_is_fetched_here_for_servers_that_do_not(server, monkeypatch):
    from fault_server import body

    buffer = BytesIO()
    RED.save(buffer, "PNG")
    with FaultServer(body(buffer.getvalue(), kind="image/png")) as web:
        url = f"{web.root}/chart.png"
        options = {"base_url": server.url, "model": "m"}
        assert call_gpt4v_with_url(url, "?", trusted_hosts=("127.0.0.1",), **options) == "a cat"
        assert sent_pictures(server)[0][1].size == RED.size and len(web.requests) == 1
        with pytest.raises(ImageError, match="private"):
            settings.set_language("en")
            call_gpt4v_with_url(url, "?", **options)
        settings.set_language(None)
        # A public provider fetches for itself, and nothing is fetched here.
        assert call_gpt4v_with_url(url, "?", "k", provider="openai", base_url=server.url) == "a cat"
        assert (
            asked(server)["messages"][0]["content"][1]["image_url"] == {"url": url} and len(web.requests) == 1
        )
    assert call_gpt4v_with_url(_data_uri(RED), "?", **options) == "a cat"
    with pytest.raises(ImageError):
        call_gpt4v_with_url("file:///etc/passwd", "?", "k", provider="openai", base_url=server.url)
    with pytest.raises(SettingsError):
        call_gpt4v_with_url("http://127.0.0.1/x.png", "?", fetch="nobody", **options)


def _data_uri(picture: Image.Image) -> str:
    from course_lib.images import to_data_uri

    return to_data_uri(picture)


def test_corrections_18_one_client_behind_all_calls_with_its_connection_kept(server):
    analyzer = ImageAnalyzer(base_url=server.url, model="m")
    for _ in range(3):
        analyzer.describe(RED)
        call_gpt4v(RED, "?", base_url=server.url, model="m")
    assert len(server.requests) == 6 and server.connections == 1
    assert connections.connect(analyzer.client.endpoint) is connections.connect(analyzer.client.endpoint)


# ------------------------------------------------------------------------------------------------- batches


def test_captions_of_another_number_than_the_pictures_get_a_sentence(server):
    analyzer = ImageAnalyzer(base_url=server.url, model="m")
    with pytest.raises(TextError, match=r"2\D+1|1\D+2"):
        analyzer.ask([RED, RED], "What is it?", captions=["the first"])
    assert not server.requests
    assert analyzer.ask([RED, RED], "What is it?", captions=["the first", "the second"]) == "a cat"


def test_a_batch_keeps_order_and_isolates_failures():
    def reply(connection, running):
        said = running.requests[-1].json["messages"][0]["content"][0]["text"]
        (status(400, "no") if said == "2" else completion(f"answer {said}"))(connection, running)

    with FaultServer(reply) as server:
        analyzer = ImageAnalyzer(base_url=server.url, model="m")
        outcomes = batch(lambda question: analyzer.ask(RED, question), ["0", "1", "2", "3"], max_workers=1)
    assert [outcome.value for outcome in outcomes] == ["answer 0", "answer 1", None, "answer 3"]
    assert [outcome.ok for outcome in outcomes] == [True, True, False, True]
    assert outcomes[1].result() == "answer 1" and outcomes[2].item == "2"
    with pytest.raises(ServiceError):
        outcomes[2].result()
    assert batch(str, []) == []


def test_a_batch_can_be_stopped_on_windows_where_nothing_interrupts_a_wait(monkeypatch):
    result, early = Future.result, []

    def looked_at(self, timeout=None):
        early.append(timeout is None and not self.done())
        return result(self, timeout)

    monkeypatch.setattr(Future, "result", looked_at)
    outcomes = batch(lambda seconds: time.sleep(seconds) or seconds, [0.3, 0.1, 0.0])
    assert [outcome.value for outcome in outcomes] == [0.3, 0.1, 0.0] and not any(early)


def test_a_batch_works_on_several_at_once_but_not_on_more():
    with FaultServer(slowly(completion("a cat"), 0.05)) as server:
        analyzer = ImageAnalyzer(base_url=server.url, model="m")
        outcomes = batch(analyzer.describe, [RED] * 12, max_workers=4)
        assert all(outcome.value == "a cat" for outcome in outcomes)
        assert 1 < server.most_at_once <= 4 and server.connections <= 4


# ------------------------------------------------------------------------------------------- tokens, money


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        # the worked examples of OpenAI's guide
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("gpt-4.1-mini", (1024, 1024), "high", 1659),  # 1024 patches x 1.62
        ("gpt-4.1-mini", (1800, 2400), "high", 2353),  # 1452 patches x 1.62
        # Qwen3-VL: 32 squares of 32 px each way, and two tokens of bounds
        ("qwen3-vl-plus", (1024, 1024), "auto", 1026),
        ("qwen3-vl-plus", (16, 16), "auto", 6),
        ("mini-vlm", (1024, 1024), "auto", 65),
    ],
)
def test_tokens_of_a_picture(model, size, detail, tokens):
    assert estimate_tokens(size, detail, model=model) == tokens


def test_tokens_never_grow_with_less_detail_and_stay_within_the_limit():
    for model in [entry.id for entry in registry.hosted() if entry.image_tokens]:
        for size in ((1, 1), (31, 4000), (511, 513), (5000, 5000), (20_000, 30)):
            low, high = (estimate_tokens(size, detail, model=model) for detail in ("low", "high"))
            assert 0 < low <= high
    assert estimate_tokens((9000, 9000), model="qwen3-vl-plus") <= 2562
    assert sent_size((100, 50), "low") == (100, 50)


def test_money():
    cost = estimate_cost([RED, RED], "Describe, please", model="gpt-4o", max_tokens=100, price=(2.5, 10))
    assert cost.image_tokens == 2 * 255 and cost.text_tokens == 4 and cost.priced is None
    assert cost.amount == pytest.approx((514 * 2.5 + 100 * 10) / 1e6)
    assert estimate_cost(RED, "描述图片", model="gpt-4o").text_tokens == 4
    dated = estimate_cost(RED, "?", model="qwen3-vl-plus")
    assert dated.currency == "CNY" and dated.priced in str(dated)
    assert estimate_cost(RED, "?", model="mini-vlm").amount == 0
    with pytest.raises(CourseError, match="price="):
        estimate_cost(RED, "?", model="gpt-4.1")
    with pytest.raises(SettingsError, match="glm"):
        estimate_tokens((8, 8), model="glm-4.6v")
