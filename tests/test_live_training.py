"""The two-minute training of lesson 02: what its batches are, how its pace is kept, and that it learns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from course_lib import monitor
from little_world.paths import MODELS
from little_world.scenes import HELD_OUT
from little_world.training import live, loop
from little_world.training.clip import contrastive_loss
from little_world.training.data import TEST, TRAIN


@pytest.fixture(scope="module")
def closeups() -> live.Closeups:
    return live.Closeups(variants=3)


@pytest.fixture
def optimizer() -> torch.optim.Optimizer:
    return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])


def test_closeups_are_repeatable_and_test_pictures_are_new():
    pair = live.PAIRS[0]
    assert live.closeup(pair, 5, TRAIN) == live.closeup(pair, 5, TRAIN)
    scenes = {live.closeup(pair, n, stream) for n in range(20) for stream in (TRAIN, TEST)}
    assert len(scenes) == 40


def test_no_held_out_pair_is_trained_on():
    assert not set(live.PAIRS) & HELD_OUT
    assert {(t.kind, t.color) for pair in live.PAIRS for t in live.closeup(pair, 0).things} == set(live.PAIRS)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_batch_has_one_caption_for_each_picture_and_no_two_alike(closeups, lang):
    captions = live.captions(lang)
    assert len(set(captions)) == len(captions) == len(closeups.batch(0)) == live.RECIPE.batch_size
    assert torch.equal(closeups.batch(7), closeups.batch(7))
    assert not torch.equal(closeups.batch(7), closeups.batch(8))


@pytest.mark.parametrize(("pays", "asked", "dtype"), [
    (True, "1", torch.bfloat16), (True, "0", torch.float32), (False, "1", torch.float32),
])  # fmt: skip
def test_bfloat16_only_where_the_cpu_is_faster_with_it(pays, asked, dtype, monkeypatch):
    monkeypatch.setattr(loop, "bfloat16_pays", lambda: pays)
    monkeypatch.setenv("COURSE_AUTOCAST", asked)
    with loop.autocast("cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_whether_bfloat16_pays_is_measured(monkeypatch):
    """Times of one matrix product are made up: the faster of the two is taken."""
    for slow in (torch.bfloat16, torch.float32):
        now = 0.0

        def product(a, b, slow=slow):
            nonlocal now
            now += 5.0 if a.dtype == slow else 1.0

        monkeypatch.setattr(torch.Tensor, "__matmul__", product)
        monkeypatch.setattr(loop.time, "perf_counter", lambda: now)
        loop.bfloat16_pays.cache_clear()
        assert loop.bfloat16_pays() == (slow == torch.float32)
    monkeypatch.undo()
    loop.bfloat16_pays.cache_clear()


def test_a_batch_is_what_the_image_processor_makes(closeups):
    variant = np.random.default_rng([live.RECIPE.seed, 0]).integers(3, size=len(live.PAIRS))[0]
    expected = live.tiny_processor()(images=closeups.pixels[variant, 0], return_tensors="pt")["pixel_values"][
        0
    ]
    assert torch.allclose(closeups.batch(0)[0], expected, atol=1e-5)


def test_the_run_ends_with_its_steps_when_there_is_time(optimizer, monkeypatch):
    monkeypatch.setenv("COURSE_LIVE_SECONDS", "1e9")
    rates = []
    for step, over in live.paced(optimizer):
        assert over == pytest.approx(step / live.RECIPE.steps)
        rates.append(optimizer.param_groups[0]["lr"])
    assert len(rates) == live.RECIPE.steps
    assert max(rates) == pytest.approx(live.RECIPE.learning_rate)


def test_a_short_run_goes_through_the_whole_learning_rate_curve(optimizer, monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr(live.time, "monotonic", lambda: float(next(clock)))  # each step takes a second
    monkeypatch.setenv("COURSE_LIVE_SECONDS", "100")
    threads = torch.get_num_threads()
    rates = [optimizer.param_groups[0]["lr"] for _ in live.paced(optimizer)]
    assert torch.get_num_threads() == threads
    assert 90 <= len(rates) <= 100
    assert max(rates) > 0.9 * live.RECIPE.learning_rate
    assert rates[-1] < 0.05 * live.RECIPE.learning_rate


def test_it_learns_and_the_loss_is_the_models_own(closeups):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODELS / "mini-clip")
    texts = tokenizer(live.captions("en"), padding=True, return_tensors="pt")
    model = live.tiny_clip(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=live.RECIPE.learning_rate)
    for step in range(60):
        out = model(pixel_values=closeups.batch(step), **texts, return_loss=True)
        assert torch.isclose(contrastive_loss(out.logits_per_image), out.loss, atol=1e-5)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
    assert out.loss.item() < 0.9 * math.log(len(live.PAIRS))


def test_the_monitor_shows_one_figure_and_keeps_the_moments(monkeypatch):
    shown = []

    class Handle:
        def update(self, figure):
            shown.append(figure)

    def display(figure, **options):
        shown.append(figure)
        return Handle()

    monkeypatch.setattr(monitor, "display", display)
    watch = monitor.TrainingMonitor(moments=(0.0, 0.5), every=1e9)
    for step in range(10):
        watch(step / 10, torch.tensor(3.0, requires_grad=True), torch.full((4, 4), step / 10))
    watch.finish()
    assert [step for step, _ in watch.kept] == [1, 6]
    assert len(shown) == 2  # once at the beginning, once at the end
    titles = [axis.get_title() for axis in shown[-1].axes]
    assert any("10" in title for title in titles)
