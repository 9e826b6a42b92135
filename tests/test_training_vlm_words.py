"""Training mini-vlm: patches are drawn towards the words for what they show, and asked most about what is learned last."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from little_world import words
from little_world.dialogue import scene_turns
from little_world.scenes import COLORS, KINDS
from little_world.training import vlm
from little_world.training.data import scene_cells, training_scene
from little_world.training.vlm_data import Conversation, Conversations
from little_world.training.vlm_tower import SLOTS, Glances, Reader
from little_world.training.vlm_words import Naming


@pytest.fixture(scope="module")
def processor(tmp_path_factory):
    names = [words.kind_name(k, lang, n) for k in KINDS for lang in ("zh", "en") for n in (1, 2)]
    texts = [
        f"{before}{name}"
        for name in names + [c for t in words.COLOR.values() for c in t.values()]
        for before in ("", " ")
    ]
    return vlm.build_processor(vlm.train_tokenizer(texts * 9, tmp_path_factory.mktemp("tokenizer"), 700))


@pytest.fixture()
def model(processor):
    torch.manual_seed(0)
    return vlm.build_model(processor.tokenizer, None).eval()


@pytest.fixture()
def naming(model, processor):
    return Naming(model, processor.tokenizer)


def vectors(model, processor, names):
    """A unit vector a name, along the embeddings of its tokens."""
    table = model.get_input_embeddings().weight
    rows = [table[processor.tokenizer(n, add_special_tokens=False)["input_ids"]].mean(0) for n in names]
    return torch.nn.functional.normalize(torch.stack(rows).float(), dim=-1)


def test_patches_that_lie_at_the_right_words_cost_least(model, processor, naming):
    cells = torch.from_numpy(scene_cells(training_scene(3)))[None]
    assert (cells[0, 0] > 0).any()
    names = [
        [words.kind_name(k, "zh") for k in KINDS],
        *([" " + words.kind_name(k, "en", n) for k in KINDS] for n in (1, 2)),
    ]
    kinds = sum(vectors(model, processor, some) for some in names)
    colors = vectors(model, processor, [words.COLOR["zh"][c] for c in COLORS])
    colors += vectors(model, processor, [" " + words.COLOR["en"][c] for c in COLORS])
    nothing = torch.zeros(1, kinds.shape[1])
    kinds, colors = torch.cat([nothing, kinds]), torch.cat([nothing, colors])

    def cost(cells_shown) -> tuple[float, float]:
        patches = (kinds[cells_shown[:, 0]] + colors[cells_shown[:, 1]]).flatten(1, 2)
        naming._keep(None, (), torch.cat([torch.randn(1, 1, patches.shape[-1]), patches], dim=1))
        total, right = naming.loss(cells)
        return float(total.detach()), right

    told, right = cost(cells)
    other = torch.where(cells > 0, cells % 3 + 1, cells)
    swapped, wrong = cost(torch.where(other == cells, cells + 1, other) * (cells > 0))
    assert right > 0.9 > 0.1 > wrong
    assert told < swapped / 2


def test_the_loss_reaches_projector_and_words_and_a_sign_has_none(model, processor, naming):
    pixels = [np.random.default_rng(i).integers(0, 255, (128, 128, 3), dtype=np.uint8) for i in range(2)]
    scene = next(s for s in map(training_scene, range(20)) if s.things)
    turns = scene_turns(scene, "en", np.random.default_rng(0))[:2]
    recipe = vlm.Stage(steps=1, learning_rate=1e-3, batch_size=2)
    sign, told = Conversation(pixels[:1], turns), Conversation(pixels[1:], turns, [scene])
    (part,) = vlm.Batches({0: sign, 1: told}, processor, recipe, "cpu")[0]
    assert sorted(bool((c >= 0).all()) for c in part["cells"]) == [False, True]
    vlm.answer_states(model, part)
    total, _ = naming.loss(part["cells"])
    total.backward()
    assert model.model.multi_modal_projector.linear_1.weight.grad.abs().sum() > 0
    assert model.get_input_embeddings().weight.grad.abs().sum() > 0
    unknown = torch.full_like(part["cells"], -1)
    assert float(naming.loss(unknown)[0].detach()) == 0


def test_questions_that_name_a_thing_come_up_most():
    class Blank:
        pixels = {sort: np.zeros((50, 2, 2, 3), np.uint8) for sort in ("scene", "document", "chart")}

    conversations = Conversations(Blank)
    found = [conversations[i] for i in range(400)]
    scenes = [c for c in found if len(c.scenes) == 1]
    sorts = Counter(t.sort for c in scenes for t in c.turns)
    assert sorts["absent"] > 1.5 * sorts["background"] and sorts["absent"] > 1.5 * sorts["time"]
    assert all(len(c.scenes) in (0, len(c.pixels)) for c in found)
    assert all(len(c.turns) <= 8 for c in found)


def test_the_words_rest_while_the_tower_learns_to_say_them(model, naming, tmp_path):
    noise = np.random.default_rng(0)
    drawn = SimpleNamespace(
        pixels={sort: noise.integers(0, 255, (4, 128, 128, 3), np.uint8) for sort in SLOTS}
    )
    reader, mean = Reader(model.model.vision_tower), torch.ones(3, 1, 1) / 2
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    stage = vlm.Stage(steps=2, batch_size=12, learning_rate=1e-3, warmup=1)
    vlm.learn_words(reader, naming, lambda s: Glances(drawn, mean, mean, s), stage, tmp_path, "cpu", 1)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert any("vision_tower" in name for name in changed) and any("projector" in name for name in changed)
    assert not any("language_model" in name or "lm_head" in name for name in changed)
    assert model.get_input_embeddings().weight.requires_grad
