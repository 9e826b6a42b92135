"""What the last lesson stands on: the cards of the miniatures, what papers report, the dates of models, and the map."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from course_lib import literature, registry, settings
from course_lib.diagrams import columns
from course_lib.milestones import MILESTONES, READ, Milestone, events, milestones
from little_world.cards import cards
from little_world.paths import MODELS

# ------------------------------------------------------------------------------------------------- the cards


def test_a_card_counts_parameters_samples_and_hours_of_all_parts(tmp_path):
    folder = tmp_path / "mini-new"
    (folder / "unet").mkdir(parents=True)
    save_file(
        {"a": np.zeros((3, 4), np.float16), "b": np.zeros(5, np.float16)},
        folder / "unet" / "model.safetensors",
    )
    save_file({"c": np.zeros((2, 2), np.float32)}, folder / "vae.safetensors")
    record = {
        "rows": {"kind": {"zh": 0.5, "en": 0.25}},
        "seconds": {"vae": 1800, "unet": 5400},
        "stages": [{"steps": 10, "batch_size": 4}, {"steps": 5, "batch_size": 2}],
    }
    (folder / "metrics.json").write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "mini-other").mkdir()
    (tmp_path / "mini-other" / "metrics.json").write_text("{}", encoding="utf-8")

    found = cards(tmp_path)

    assert list(found) == ["mini-new", "mini-other"]
    assert (found["mini-other"].seen, found["mini-other"].hours, found["mini-other"].rows) == (None, None, {})
    card = found["mini-new"]
    assert (card.parameters, card.seen, card.hours) == (3 * 4 + 5 + 2 * 2, 50, 2.0)
    assert card.measured("kind") == "50.0% / 25.0%"
    assert card.measured("color") is None and card.measured(None) is None


def test_the_card_of_mini_clip_is_that_of_its_weights():
    weights = load_file(MODELS / "mini-clip" / "model.safetensors")
    assert cards()["mini-clip"].parameters == sum(array.size for array in weights.values())


# -------------------------------------------------------------------------------------------- what is reported


def test_each_result_names_a_known_miniature_and_a_paper():
    for result in literature.REPORTED:
        assert result.miniature in literature.SIBLINGS and result.paper in literature.PAPERS and result.where
    assert all(full.paper in literature.PAPERS for full in literature.SIBLINGS.values())


@pytest.mark.parametrize("name", sorted(cards().keys() & literature.SIBLINGS.keys()))
def test_each_result_stands_beside_a_row_that_was_measured(name):
    card = cards()[name]
    for result in literature.reported(name):
        assert result.row is None or card.measured(result.row), f"{name} measures no {result.row!r}"


def test_a_reading_list_has_a_part_of_the_papers_in_the_readers_language():
    settings.set_language("zh")
    chinese = literature.reading_list("chapter")
    settings.set_language("en")
    english = literature.reading_list("chapter")
    assert chinese != english
    chapter = [paper for paper in literature.PAPERS.values() if paper.part == "chapter"]
    assert all(f"[{paper.title}]({paper.url})" in text for paper in chapter for text in (chinese, english))
    assert len(english.split("\n- ")) == len(chapter)


# ------------------------------------------------------------------------------------------------- the dates


def test_dates_hang_together():
    assert len({m.name for m in MILESTONES}) == len(MILESTONES)
    begins = [m.begin for m in MILESTONES if not m.name.startswith(("Qwen-Image", "GPT-5"))]
    assert begins == sorted(begins) and max(m.begin for m in MILESTONES) <= READ
    for m in MILESTONES:
        assert m.offered in ("weights", "service", "paper")
        assert m.end is None or m.offered == "service" and m.begin < m.end


def test_what_is_shut_down_is_gone_and_what_will_be_is_not_yet():
    past = Milestone("past", "2023-11", "service", "", "", "2024-12")
    ahead = Milestone("ahead", "2024-05", "service", "", "", "2099-01")
    paper = Milestone("paper", "2021-01", "paper", "", "")
    assert past.gone and not past.usable and past.months == 13
    assert not ahead.gone and ahead.usable
    assert not paper.gone and not paper.usable
    assert [end for _, _, end, _ in events([past, ahead, paper])] == ["2024-12", "2099-01", "2021-01"]


def test_the_chapters_five_milestones_are_there():
    for name in ("CLIP", "DALL·E", "Flamingo", "GPT-4V API", "Sora"):
        assert name in {m.name for m in milestones()}
    assert "SigLIP 2" in {m.name for m in milestones(until="2025-02")}
    assert "GPT Image 2" not in {m.name for m in milestones(until="2025-02")}


def test_what_was_never_opened_of_dall_e_is_the_model():
    """Its image tokenizer is public: github.com/openai/DALL-E holds that part, and that part alone."""
    (dall_e,) = (m for m in MILESTONES if m.name == "DALL·E")
    assert "模型从未开放" in dall_e.zh and "model never opened" in dall_e.en and not dall_e.usable


def test_no_model_of_the_registry_was_shut_down_when_it_was_read():
    for model in registry.hosted():
        assert model.ends is None or model.ends > READ, model.id


# --------------------------------------------------------------------------------------------------- the map


def test_every_name_on_the_map_fits_into_its_box_and_absent_parts_are_dashed():
    boxes = {"services": {"CLIPService": "02", "StableDiffusionService": "04"}, "protocols": {"/v1/chat/completions": ""},
             "models": {"mini-sd": "Stable Diffusion 1.5"}, "more": {"x": ""}}  # fmt: skip
    names = {name for column in boxes.values() for name in column}
    made = columns(boxes, [("CLIPService", "/v1/chat/completions")], absent={"mini-sd"})
    made.canvas.draw()
    axis = made.axes[0]
    drawn = [
        patch
        for patch in axis.patches
        if patch.get_linewidth() and patch.get_zorder() == 2 and patch.get_edgecolor()[3]
    ]
    extents = [patch.get_window_extent() for patch in drawn]
    for text in axis.texts:
        if text.get_text() in names:
            inside = text.get_window_extent()
            assert any(box.x0 < inside.x0 < inside.x1 < box.x1 for box in extents), text.get_text()
    assert sum(patch.get_linestyle() == "--" for patch in drawn) == 1
    with pytest.raises(KeyError):
        columns(boxes, [("CLIPService", "nowhere")])
