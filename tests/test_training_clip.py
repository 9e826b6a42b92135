"""mini-clip's training: what a learner who trains one of their own gets, and gets again."""

from __future__ import annotations

import pytest
from transformers import CLIPModel

from course_lib import CLIPService
from little_world.training import clip, evaluate_clip

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
