"""mini-clip's training: what a learner who trains one of their own gets, and gets again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from transformers import CLIPModel

from course_lib import CLIPService
from little_world.paths import MODELS
from little_world.training import clip, evaluate_clip, loop

STAGES = (clip.Stage(steps=2, batch_size=8, learning_rate=1e-3, warmup=1),)


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(evaluate_clip, "table", lambda folder: {})
    monkeypatch.setattr(evaluate_clip, "write_card", lambda folder, rows, **about: None)
    monkeypatch.setattr(evaluate_clip, "zero_shot_kind", lambda *given: 0.0)


def test_another_folder_is_another_training(tmp_path, capsys):
    clip.train(tmp_path / "one", STAGES, scenes=64)
    assert "resuming" not in capsys.readouterr().out
    clip.train(tmp_path / "two", STAGES, scenes=64)
    assert "resuming" not in capsys.readouterr().out
    clip.train(tmp_path / "one", STAGES, scenes=64)  # what is finished is not trained silently again
    said = capsys.readouterr().out
    assert "finished earlier, remove" in said and str(tmp_path / "cache") in said
    assert isinstance(CLIPService(str(tmp_path / "one")).model, CLIPModel)


def test_a_trial_leaves_the_courses_model_alone(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(clip, "train", lambda folder, *rest: given.append(folder))
    for arguments in (
        [],
        ["--steps", "2"],
        ["--scenes", "64"],
        ["--steps", "2", "--folder", str(tmp_path / "mine")],
    ):
        monkeypatch.setattr("sys.argv", ["clip", *arguments])
        clip.main()
    own, *trials, named = given
    assert own == MODELS / "mini-clip" and named == tmp_path / "mine"
    assert all(folder.is_relative_to(tmp_path / "cache") for folder in trials)
    assert len({loop.checkpoints(folder) for folder in given}) == 3


def test_a_checkpoint_of_another_recipe_is_not_gone_on_from(tmp_path):
    clip.train(tmp_path / "one", STAGES, scenes=64)
    longer = (replace(STAGES[0], steps=3),)
    clip.train(tmp_path / "one", longer, scenes=64)
    with pytest.raises(SystemExit, match="another recipe"):
        clip.train(tmp_path / "one", (replace(STAGES[0], learning_rate=1e-4),), scenes=64)
