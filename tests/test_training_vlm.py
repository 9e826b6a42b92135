"""Training mini-vlm: what a batch holds is what the chat template writes, and a packed turn is as if asked alone."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from transformers import AutoProcessor, LlavaForConditionalGeneration

from course_lib import estimate_tokens
from little_world.dialogue import Turn
from little_world.training import vlm
from little_world.training.loop import Ahead
from little_world.training.vlm_data import Conversation

TURNS = [Turn("count", "图中有几只猫？", "2"), Turn("where", "Where is the dog?", "on the left")]


@pytest.fixture(scope="module")
def processor(tmp_path_factory):
    texts = [x for t in TURNS for x in (t.question, t.answer)]
    return vlm.build_processor(vlm.train_tokenizer(texts, tmp_path_factory.mktemp("tokenizer"), 300))


@pytest.fixture(scope="module")
def model(processor):
    torch.manual_seed(0)
    return vlm.build_model(processor.tokenizer, None).eval()


@pytest.fixture(scope="module")
def pixels():
    return [np.random.default_rng(i).integers(0, 255, (128, 128, 3), dtype=np.uint8) for i in range(2)]


def batch_of(conversations, processor, **recipe) -> list[dict]:
    return vlm.Batches(
        dict(enumerate(conversations)), processor, vlm.Stage(steps=1, learning_rate=1e-3, **recipe), "cpu"
    )[0]


def alone(model, processor, pixels, turns):
    """Logits of the last answer, from the prompt that `transformers` writes."""
    messages = []
    for i, turn in enumerate(turns):
        pictures = [{"type": "image"} for _ in pixels] if i == 0 else []
        messages += [{"role": "user", "content": [*pictures, {"type": "text", "text": turn.question}]},
                     {"role": "assistant", "content": [{"type": "text", "text": turn.answer}]}]  # fmt: skip
    text = processor.apply_chat_template(messages, tokenize=False)
    inputs = processor(images=[Image.fromarray(p) for p in pixels], text=[text], return_tensors="pt")
    answer = len(processor.tokenizer(turns[-1].answer)["input_ids"]) + 1
    with torch.no_grad():
        return inputs["input_ids"][0], model(**inputs).logits[0, -answer - 1 : -1]


@pytest.mark.parametrize("pictures", [1, 2])
def test_a_packed_turn_is_as_if_it_were_asked_alone(model, processor, pixels, pictures, monkeypatch):
    monkeypatch.setattr(vlm, "CHATS", 0.0)
    shown = pixels[:pictures]
    (part,) = batch_of([Conversation(shown, TURNS)], processor, batch_size=1)
    with torch.no_grad():
        states, wanted, _ = vlm.answer_states(model, part)
        logits = model.lm_head(states)
    expected = [alone(model, processor, shown, [turn])[1] for turn in TURNS]
    assert torch.allclose(logits, torch.cat(expected), atol=1e-4)
    text = processor.tokenizer.decode(wanted)
    assert text == "".join(turn.answer + vlm.END for turn in TURNS)


def test_a_chat_is_what_the_template_writes(model, processor, pixels, monkeypatch):
    monkeypatch.setattr(vlm, "CHATS", 1.0)
    (part,) = batch_of([Conversation(pixels[:1], TURNS)], processor, batch_size=1)
    ids, logits = alone(model, processor, pixels[:1], TURNS)
    assert part["input_ids"][0, : len(ids)].tolist() == ids.tolist()
    with torch.no_grad():
        states, *_ = vlm.answer_states(model, part)
    assert torch.allclose(model.lm_head(states)[-len(logits) :], logits, atol=1e-4)


def test_padding_changes_nothing(model, processor, pixels):
    short, long = Conversation(pixels[:1], TURNS[:1]), Conversation(pixels, TURNS * 3)
    (both,) = batch_of([short, long], processor, batch_size=2)
    (one,) = batch_of([short], processor, batch_size=1)
    with torch.no_grad():
        together, alone_ = (vlm.answer_states(model, part)[0] for part in (both, one))
    assert torch.allclose(together[: len(alone_)], alone_, atol=1e-4)


def test_an_answer_weighs_as_the_stage_says(model, processor, pixels, monkeypatch):
    monkeypatch.setattr(vlm, "CHATS", 0.0)
    turns = [Turn("count", "图中有几只猫？", "2"), Turn("describe", "?", "2 0 1 9 " * 4)]
    for by_answer in (0.0, 0.5, 1.0):
        (part,) = batch_of([Conversation(pixels[:1], turns)], processor, batch_size=1, by_answer=by_answer)
        lengths = [len(processor.tokenizer(t.answer)["input_ids"]) + 1 for t in turns]
        with torch.no_grad():
            weight = vlm.answer_states(model, part)[2]
        assert [float(w) for w in (weight[0], weight[-1])] == pytest.approx([n**-by_answer for n in lengths])
        assert float(weight.sum()) == pytest.approx(sum(n ** (1 - by_answer) for n in lengths), rel=1e-4)


def test_parts_keep_every_conversation(processor, pixels, monkeypatch):
    monkeypatch.setattr(vlm, "PART", 2)
    conversations = [Conversation(pixels[: 1 + i % 2], TURNS[: 1 + i % 2]) for i in range(7)]
    parts = batch_of(conversations, processor, batch_size=7)
    assert len(parts) == 4
    assert sum(len(p["input_ids"]) for p in parts) == 7
    assert sum(len(p["pixel_values"]) for p in parts) == sum(len(c.pixels) for c in conversations)


def test_batches_made_ahead_are_the_same_in_any_order():
    class Squares:
        def __getitem__(self, step):
            return step**2

    ahead = Ahead(Squares())
    assert [ahead[step] for step in (0, 1, 2, 7, 8, 3)] == [0, 1, 4, 49, 64, 9]


def test_what_is_saved_loads_again_and_says_the_same(model, processor, pixels, tmp_path):
    vlm.save(copy.deepcopy(model), processor, tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text("utf-8"))
    # transformers 4 knows no other of its names
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    with safe_open(tmp_path / "saved" / "model.safetensors", "pt") as file:
        towers = [name for name in file.keys() if name.startswith("vision_tower.")]  # noqa: SIM118
    assert towers and all(name.startswith("vision_tower.vision_model.") for name in towers)
    again = LlavaForConditionalGeneration.from_pretrained(tmp_path / "saved", dtype=torch.float32).eval()
    other = AutoProcessor.from_pretrained(tmp_path / "saved")
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": TURNS[0].question}]}]
    text = other.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    inputs = other(images=[Image.fromarray(pixels[0])], text=[text], return_tensors="pt")
    expected = processor(images=[Image.fromarray(pixels[0])], text=[text], return_tensors="pt")
    assert inputs["input_ids"].tolist() == expected["input_ids"].tolist()
    assert other.tokenizer.decode(inputs["input_ids"][0], skip_special_tokens=True) == TURNS[0].question
    with torch.no_grad():
        # half precision in between
        assert torch.allclose(again(**inputs).logits, model(**expected).logits, atol=2e-2)


def test_the_registry_counts_a_picture_as_mini_vlm_does():
    assert estimate_tokens((640, 480), model="mini-vlm") == vlm.IMAGE_TOKENS


def test_the_stages_that_are_done_are_measured_sort_by_sort(model, processor, tmp_path, monkeypatch):
    monkeypatch.setattr(vlm, "cache_folder", lambda: tmp_path)
    (tmp_path / "mini-vlm").mkdir()
    processor.tokenizer.save_pretrained(tmp_path / "mini-vlm" / "tokenizer")
    torch.save({"model": model.state_dict()}, tmp_path / "mini-vlm" / "checkpoint-2.pt")
    rows = vlm.stages_so_far(questions=11)
    assert list(rows)[0] == "questions on scenes" and {"- exists", "- compare"} < set(rows)
    assert all(set(shares) == {"stage 2"} and 0 <= shares["stage 2"] <= 1 for shares in rows.values())
