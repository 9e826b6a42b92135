"""The tower's reading lessons: what it is taught is what is true of the picture, whole and in the right slot."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from little_world import words
from little_world.charts import random_chart
from little_world.dialogue import describe
from little_world.documents import random_document
from little_world.scenes import random_scene
from little_world.training import vlm_tower as tower
from little_world.training.data import scene_rng, training_scene
from little_world.training.loop import Recipe
from little_world.training.vlm_data import DOCUMENTS

FACTS = {
    "scene": lambda rng: tower.scene_facts(random_scene(rng)),
    "document": lambda rng: tower.document_facts(random_document(rng)),
    "chart": lambda rng: tower.chart_facts(random_chart(rng)),
}


@pytest.mark.parametrize("sort", FACTS)
def test_every_fact_has_a_slot_and_a_name(sort):
    for i in range(300):
        facts = FACTS[sort](scene_rng(9, i))
        assert set(facts) <= set(tower.SLOTS[sort])
        assert set(facts.values()) <= set(tower.NAMES)


def test_what_a_sign_says_can_be_read_back_from_its_slots():
    for i in range(300):
        document = random_document(scene_rng(9, i))
        facts = tower.document_facts(document)
        lines = [
            "".join(facts[f"letter {i} {j}"].removeprefix("letter ") for j in range(tower.LETTERS))
            for i in range(tower.LINES)
        ]
        assert "\n".join(line.rstrip("-") for line in lines).rstrip("\n") == document.text


def test_a_title_and_values_can_be_read_back():
    for i in range(300):
        chart = random_chart(scene_rng(9, i))
        facts = tower.chart_facts(chart)
        title = "".join(facts[f"title {j}"].removeprefix("letter ") for j in range(tower.TITLE))
        assert title.rstrip("-") == chart.title
        values = [facts[f"value {j}"] for j in range(tower.VALUES)]
        assert [int(v) for v in values if v != "-"] == list(chart.values)


def test_a_scene_names_its_groups_as_its_description_does():
    for i in range(300):
        scene = random_scene(scene_rng(9, i))
        facts = tower.scene_facts(scene)
        named = [
            (facts[f"kind {j}"], facts.get(f"color {j}"), int(facts[f"count {j}"]))
            for j in range(tower.GROUPS)
        ]
        assert {g for g in named if g[2]} == {(g.kind, g.color, g.count) for g in scene.groups}
        text, places = describe(scene, "en"), []
        for kind, _, count in named:
            if count:
                places.append(text.lower().index(words.kind_name(kind, "en", count)))
        assert places == sorted(places)


@pytest.fixture
def drawn():
    pixels = {
        sort: np.random.default_rng(0).integers(0, 255, (4, 128, 128, 3), np.uint8) for sort in tower.SLOTS
    }
    return SimpleNamespace(pixels=pixels)


def test_a_batch_is_the_same_for_a_step_and_holds_the_truth_of_its_pictures(drawn):
    mean = std = torch.ones(3, 1, 1) / 2
    glances = tower.Glances(drawn, mean, std, Recipe(steps=1, batch_size=12, learning_rate=0.0))
    for first, second in zip(glances[3], glances[3]):
        assert torch.equal(first.pixels, second.pixels) and torch.equal(first.names, second.names)
    scenes = glances.glance("scene", [2, 0])
    facts = tower.scene_facts(training_scene(0))
    for slot, name in zip(tower.SLOTS["scene"], scenes.names[1]):
        assert (tower.NAMES[name] == facts[slot]) if slot in facts else name == -100
    sign = glances.glance("document", [1])
    first = random_document(scene_rng(DOCUMENTS, 1)).lines[0][0]
    assert tower.NAMES[sign.names[0, tower.SLOTS["document"].index("letter 0 0")]] == f"letter {first}"
    assert float(scenes.pixels.min()) >= -1.0 and float(scenes.pixels.max()) <= 1.0


class Patches(nn.Module):
    """A tower of one layer."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 128, 16, 16)

    def forward(self, pixel_values):
        return SimpleNamespace(last_hidden_state=self.embed(pixel_values).flatten(2).transpose(1, 2))


def test_a_reader_learns_and_its_gradient_reaches_the_tower(drawn):
    torch.manual_seed(0)
    mean = std = torch.ones(3, 1, 1) / 2
    recipe = Recipe(steps=1, batch_size=12, learning_rate=0.0)
    batch, reader = tower.Glances(drawn, mean, std, recipe)[0], tower.Reader(Patches())
    optimizer = torch.optim.Adam(reader.parameters(), 2e-3)
    losses = []
    for _ in range(25):
        loss, shown = tower.reading_loss(reader, batch)
        optimizer.zero_grad()
        loss.backward()
        assert float(reader.tower.embed.weight.grad.abs().max()) > 0
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert set(shown) == {"scene", "document", "chart"} and all(0 <= v <= 1 for v in shown.values())
