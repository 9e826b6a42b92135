"""The engine that paints: seeds, samplers, what is stopped, what is loaded, and a folder that cannot be used."""

from __future__ import annotations

import json
import shutil
import threading
from queue import Queue

import numpy as np
import pytest
import small_checkpoints
import torch
from diffusers import AutoPipelineForText2Image
from PIL import Image

from course_lib.errors import ModelError
from little_world.server.errors import ApiError
from little_world.server.painting import Painting, PaintingEngine, Settings
from little_world.server.samplers import SAMPLERS, choose

PROMPTS = ["a red car", "a landscape", "一只猫", "two dogs on the grass"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_checkpoints.make_stable_diffusion(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def engine(folder):
    engine = PaintingEngine(folder)
    engine.wait()
    yield engine
    engine.close()


def settings(sampler: str = "DDIM", **changes) -> Settings:
    return Settings(
        **{"width": 64, "height": 64, "steps": 4, "guidance": 7.0, "sampler": choose(sampler), **changes}
    )


def paint(engine, prompts, seeds, how=None, **more) -> list[np.ndarray]:
    queue: Queue = Queue()
    engine.submit(Painting(prompts, [""] * len(prompts), seeds, how or settings(), **more), queue.put)
    found = queue.get(timeout=120)
    if isinstance(found, Exception):
        raise found
    return [np.asarray(picture).astype(int) for picture in found]


@pytest.mark.parametrize("sampler", [sampler.name for sampler in SAMPLERS])
def test_a_seed_gives_its_picture_alone_and_in_a_batch(engine, sampler):
    how = settings(sampler)
    together = paint(engine, PROMPTS, [0, 1, 2, 3], how)
    again = paint(engine, PROMPTS, [0, 1, 2, 3], how)
    assert all((a == b).all() for a, b in zip(together, again, strict=True))
    alone = [paint(engine, [prompt], [seed], how)[0] for seed, prompt in enumerate(PROMPTS)]
    # A batch of another size is calculated in another order: the last bit of a few values out of 12,288.
    for a, b in zip(alone, together, strict=True):
        assert np.abs(a - b).max() <= 1
        assert (a != b).mean() < 0.002
    assert np.abs(together[0] - together[1]).mean() > 10


def test_the_picture_is_the_pipelines_own(engine, folder):
    pipe = AutoPipelineForText2Image.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    (expected,) = pipe("a red car", generator=torch.Generator().manual_seed(5), num_inference_steps=4, width=64,
                       height=64, guidance_scale=7.0, negative_prompt="").images  # fmt: skip
    (found,) = paint(engine, ["a red car"], [5])
    assert (found == np.asarray(expected)).all()


def test_prompt_negative_guidance_and_steps_all_count(engine):
    base = paint(engine, ["a red car"], [1])[0]
    assert (paint(engine, ["a landscape"], [1])[0] != base).any()
    assert (paint(engine, ["a red car"], [1], settings(guidance=1.0))[0] != base).any()
    assert (paint(engine, ["a red car"], [1], settings(steps=5))[0] != base).any()
    assert (paint(engine, ["a red car"], [1], settings(eta=1.0))[0] != base).any()
    queue: Queue = Queue()
    engine.submit(Painting(["a red car"], ["a landscape"], [1], settings()), queue.put)
    assert (np.asarray(queue.get(timeout=60)[0]) != base).any()


def test_the_weights_are_there_once(engine):
    text, image, mask = (engine._pipe(family) for family in ("text", "image", "mask"))
    assert text.unet is image.unet is mask.unet
    assert text.vae is image.vae is mask.vae


@pytest.mark.parametrize(("strength", "steps"), [(0.1, 2), (0.55, 11), (1.0, 20)])
def test_strength_is_the_share_of_the_steps(engine, strength, steps):
    picture = Image.effect_noise((64, 64), 60).convert("RGB")
    for more in ({}, {"mask": Image.new("L", (64, 64), 255)}):
        queue: Queue = Queue()
        how = settings(steps=20, strength=strength)
        painting = Painting(["a cat"], [""], [1], how, pictures=[picture], **more)
        engine.submit(painting, queue.put)
        assert queue.get(timeout=60)[0].size == (64, 64)
        assert (painting.step, painting.steps) == (steps, steps)


@pytest.mark.parametrize("start", ["picture", "noise", "nothing"])
def test_what_stands_under_the_mask_before(engine, start):
    picture = Image.effect_noise((64, 64), 60).convert("RGB")
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 16, 48, 48))
    how = settings(steps=6, strength=0.5)
    found = paint(engine, ["a cat"] * 2, [1, 2], how, pictures=[picture] * 2, mask=mask, start=start)
    again = paint(engine, ["a cat"] * 2, [1, 2], how, pictures=[picture] * 2, mask=mask, start=start)
    assert all((a == b).all() for a, b in zip(found, again, strict=True))
    others = {"picture", "noise", "nothing"} - {start}
    for other in others:
        else_ = paint(engine, ["a cat"] * 2, [1, 2], how, pictures=[picture] * 2, mask=mask, start=other)
        assert (else_[0] != found[0]).any()


class Gate:
    """Lets `open` calls of a model through, and the rest when `set` is called."""

    def __init__(self, model, free: int):
        self.calls, self.free, self.reached, self.event = 0, free, threading.Event(), threading.Event()
        self.hook = model.register_forward_pre_hook(self)

    def __call__(self, *_):
        self.calls += 1
        if self.calls > self.free:
            self.reached.set()
            assert self.event.wait(60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.event.set()
        self.hook.remove()


@pytest.mark.parametrize("how", ["stopped", "client gone"])
def test_it_stops_within_a_step(engine, how):
    queue: Queue = Queue()
    painting = Painting(["a red car"], [""], [3], settings(steps=50))
    with Gate(engine._pipe("text").unet, free=4) as gate:
        job = engine.submit(painting, queue.put)
        assert gate.reached.wait(60)
        assert (painting.step, painting.steps, painting.running) == (4, 50, True)
        preview = engine.preview(painting)
        assert preview.size == (64, 64)
        (painting.stop if how == "stopped" else job.cancelled).set()
        gate.event.set()
        (picture,) = queue.get(timeout=60)
        assert gate.calls == 5  # the one that was under way
    assert picture.size == (64, 64)
    assert not painting.running
    assert engine.preview(painting) is None
    assert len(paint(engine, ["a cat"], [1])) == 1  # the next one is not stopped


@pytest.mark.parametrize("sampler", ["DDIM", "Euler", "DPM++ 2M"])
def test_the_last_preview_looks_like_the_picture(engine, sampler):
    queue: Queue = Queue()
    painting = Painting(["a red car"], [""], [3], settings(sampler, steps=8))
    with Gate(engine._pipe("text").vae.decoder, free=0) as gate:
        engine.submit(painting, queue.put)
        assert gate.reached.wait(60)  # all steps are done, the picture is not decoded yet
        assert painting.step == 8
        gate.hook.remove()
        preview = np.asarray(engine.preview(painting)).astype(int)
        gate.event.set()
        picture = np.asarray(queue.get(timeout=60)[0]).astype(int)
    assert np.abs(preview - picture).max() <= 1


def test_a_failure_reaches_the_one_who_asked(engine, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(engine._pipe("text").vae, "decode", broken)
    with pytest.raises(ZeroDivisionError):
        paint(engine, ["a cat"], [1])
    monkeypatch.undo()
    assert paint(engine, ["a cat"], [1])


def test_painting_leaves_the_random_state_of_the_process_alone(engine):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    paint(engine, ["a cat"], [1], settings("Euler a"))
    assert torch.equal(torch.rand(3), expected)


def test_how_much_of_a_prompt_is_not_read(engine):
    assert engine.beyond("a red car") == 0
    assert engine.beyond("cat " * 100) == 100 + 2 - 77
    # Counting in one thread must not change how painting in another pads.
    tokenizer = engine.pipes["text"].tokenizer
    tokenizer("a cat", padding="max_length", truncation=True)
    padding, truncation = tokenizer.backend_tokenizer.padding, tokenizer.backend_tokenizer.truncation
    engine.beyond("a cat")
    assert padding and (tokenizer.backend_tokenizer.padding, tokenizer.backend_tokenizer.truncation) == (
        padding,
        truncation,
    )


def test_nothing_is_loaded_before_it_is_wanted(folder):
    engine = PaintingEngine(folder)
    assert (engine.state, engine.pipes) == ("idle", {})
    engine.close()
    with pytest.raises(ApiError, match="closing"):
        engine.wait()
    assert engine.state == "idle"


def test_the_sizes_that_it_was_made_for(engine):
    assert (engine.side, engine.factor) == (64, 2)


def test_a_folder_that_cannot_be_used_is_one_sentence(folder, tmp_path):
    with pytest.raises(ModelError, match="no model folder|找不到"):
        PaintingEngine(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="model_index.json"):
        PaintingEngine(tmp_path)
    pickled = tmp_path / "pickled"
    shutil.copytree(folder, pickled)
    for weights in pickled.glob("*/*.safetensors"):
        weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ModelError, match="safetensors"):
        PaintingEngine(pickled)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_weight_that_is_missing_is_noticed(folder, tmp_path, part):
    from safetensors.torch import load_file, save_file

    holed = tmp_path / "holed"
    shutil.copytree(folder, holed)
    (path,) = (holed / part).glob("*.safetensors")
    weights = load_file(path)
    del weights[next(name for name in weights if name.endswith("weight"))]
    save_file(weights, path, metadata={"format": "pt"})
    engine = PaintingEngine(holed)
    with pytest.raises(ApiError, match="missing") as caught:
        engine.wait()
    assert (caught.value.status, engine.state) == (503, "failed")
    engine.close()


def test_code_in_a_folder_is_not_run(folder, tmp_path):
    """A part whose class stands in the folder itself, as diffusers allows where remote code is trusted."""
    foreign = tmp_path / "foreign"
    shutil.copytree(folder, foreign)
    index = json.loads((foreign / "model_index.json").read_text())
    index["unet"] = ["evil", "Evil"]
    (foreign / "model_index.json").write_text(json.dumps(index))
    (foreign / "unet" / "evil.py").write_text("raise SystemExit('this ran')\nclass Evil: ...\n")
    (foreign / "evil.py").write_text("raise SystemExit('this ran')\nclass Evil: ...\n")
    engine = PaintingEngine(foreign)
    with pytest.raises(ApiError) as caught:
        engine.wait()
    assert caught.value.status == 503
    assert "this ran" not in str(caught.value)
    engine.close()


def test_stable_diffusions_own_noise_works_too(tmp_path):
    engine = PaintingEngine(small_checkpoints.make_stable_diffusion(tmp_path / "sd15", zero_snr=False))
    engine.wait()
    for sampler in ("Euler a", "DPM++ 2M Karras"):
        assert np.isfinite(paint(engine, ["a cat"], [1], settings(sampler))[0]).all()
    engine.close()
