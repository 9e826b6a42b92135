"""Where a setting comes from, which language is spoken, and what the registry holds."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib import registry, settings
from course_lib.errors import SettingsError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch, tmp_path):
    """An empty working directory, no variables, no language chosen."""
    for name in settings.KNOWN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings, "_chosen", None)
    monkeypatch.setattr(settings, "__file__", str(tmp_path / "elsewhere" / "course_lib" / "settings.py"))


def test_an_argument_beats_the_environment_beats_dotenv_beats_the_miniature(monkeypatch, tmp_path):
    resolve = settings.resolve
    assert resolve("COURSE_CLIP_MODEL") == settings.Setting("COURSE_CLIP_MODEL", "mini-clip", "default")
    (tmp_path / ".env").write_text("COURSE_CLIP_MODEL=from-file\n")
    assert resolve("COURSE_CLIP_MODEL") == settings.Setting("COURSE_CLIP_MODEL", "from-file", ".env")
    monkeypatch.setenv("COURSE_CLIP_MODEL", "from-environment")
    assert resolve("COURSE_CLIP_MODEL").source == "environment"
    assert resolve("COURSE_CLIP_MODEL", "given") == settings.Setting("COURSE_CLIP_MODEL", "given", "argument")


def test_an_empty_value_counts_as_not_given(monkeypatch):
    monkeypatch.setenv("COURSE_CLIP_MODEL", "  ")
    assert settings.resolve("COURSE_CLIP_MODEL").source == "default"


def test_dotenv_is_found_upwards_from_the_working_directory(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("COURSE_DEVICE=cpu\n")
    below = tmp_path / "notebooks" / "zh"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert settings.resolve("COURSE_DEVICE").value == "cpu"


def test_dotenv_is_found_beside_the_project(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / ".env").write_text("COURSE_DEVICE=cpu\n")
    assert settings.resolve("COURSE_DEVICE").source == ".env"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_dotenv_is_read_in_the_encodings_that_editors_on_windows_write(tmp_path, encoding):
    (tmp_path / ".env").write_bytes("# 模型\nCOURSE_CLIP_MODEL=模型/中文\n".encode(encoding))
    assert settings.resolve("COURSE_CLIP_MODEL").value == "模型/中文"


def test_a_changed_dotenv_is_read_again_and_the_environment_is_left_alone(tmp_path, monkeypatch):
    import os

    path = tmp_path / ".env"
    path.write_text("COURSE_DEVICE=cpu\n")
    assert settings.resolve("COURSE_DEVICE").value == "cpu"
    path.write_text("COURSE_DEVICE=cuda\n")
    os.utime(path, ns=(1, 1))
    assert settings.resolve("COURSE_DEVICE").value == "cuda"
    assert "COURSE_DEVICE" not in os.environ


def test_describe_names_every_setting_with_its_source(monkeypatch):
    settings.set_language("en")
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    lines = [str(setting) for setting in settings.describe()]
    assert "COURSE_CLIP_MODEL = mini-clip (default)" in lines
    assert "COURSE_DEVICE = cpu (environment)" in lines
    assert len(lines) == len(settings.KNOWN)
    settings.set_language("zh")
    assert "COURSE_DEVICE = cpu (环境变量)" in [str(setting) for setting in settings.describe()]


def test_a_key_never_shows_itself(monkeypatch):
    monkeypatch.setitem(settings.KNOWN, "A_KEY", settings.Known("A_KEY", secret=True))
    monkeypatch.setenv("A_KEY", "sk-do-not-show")
    setting = settings.resolve("A_KEY")
    assert setting.value == "sk-do-not-show"
    for shown in (str(setting), repr(setting), f"{setting}", repr([setting]), str(settings.describe())):
        assert "sk-do-not-show" not in shown
        assert "A_KEY" in shown


def test_a_miniature_is_located_and_other_names_are_left_as_they_are():
    assert Path(settings.locate("mini-clip")).parts[-2:] == ("models", "mini-clip")
    assert settings.locate("mini-clip/of-mine") == "mini-clip/of-mine"
    assert settings.locate("openai/clip-vit-base-patch32") == "openai/clip-vit-base-patch32"


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("zh_CN.UTF-8", "zh"), ("zh-TW", "zh"), ("Chinese (Simplified)_China", "zh"), ("en_GB", "en"),
        ("English_United States", "en"), ("fr_FR", "en"), (None, "en"),
    ],
)  # fmt: skip
def test_the_language_follows_the_locale(monkeypatch, tag, expected):
    monkeypatch.setattr(settings.locale, "getlocale", lambda: (tag, None))
    assert settings.language() == expected


def test_a_mirror_in_a_dotenv_is_there_before_the_hubs_library_looks(tmp_path):
    """It looks once, when it is first imported, as transformers and diffusers do."""
    (tmp_path / ".env").write_text("HF_ENDPOINT=http://127.0.0.1:9\n", encoding="utf-8")
    code = "from course_lib import CLIPService; import huggingface_hub.constants as hub; print(hub.ENDPOINT)"
    environment = {name: value for name, value in os.environ.items() if name != "HF_ENDPOINT"}
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "http://127.0.0.1:9"


def test_a_locale_that_python_cannot_read_is_none(monkeypatch):
    """`zh-CN`, which libraries set on Windows, is a ValueError; every message of the course asks for the language."""

    def unknown():
        raise ValueError("unknown locale: zh-CN")

    monkeypatch.setattr(settings.locale, "getlocale", unknown)
    assert settings.language() == "en"


def test_the_language_is_chosen_by_call_then_variable_then_locale(monkeypatch):
    monkeypatch.setattr(settings.locale, "getlocale", lambda: ("en_US", None))
    monkeypatch.setenv("COURSE_LANG", "zh")
    assert settings.say(zh="猫", en="cat") == "猫"
    settings.set_language("en")
    assert settings.say(zh="猫", en="cat") == "cat"
    settings.set_language(None)
    assert settings.language() == "zh"


def test_an_unknown_language_is_refused():
    with pytest.raises(SettingsError, match="zh or en"):
        settings.set_language("fr")


def test_importing_the_package_brings_no_heavy_library():
    code = (
        "import sys, course_lib\nheavy = {'torch', 'transformers', 'numpy', 'PIL', 'matplotlib', "
        "'little_world'}\nprint(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).strip() == "[]"


def test_the_package_offers_its_names_and_no_others():
    import course_lib

    for name in course_lib.__all__:
        assert getattr(course_lib, name).__name__ == name
        assert name in dir(course_lib)
    for name in ("no_such_name", "_private"):
        with pytest.raises(AttributeError, match=name):
            getattr(course_lib, name)


def test_a_module_is_there_without_importing_it_first():
    code = "import course_lib; print(course_lib.registry.info('openai/clip-vit-base-patch32').family)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).strip() == "clip"


def test_the_registry_answers_by_either_hubs_name():
    entry = registry.info("OFA-Sys/chinese-clip-vit-base-patch16")
    assert entry is registry.info("AI-ModelScope/chinese-clip-vit-base-patch16")
    assert entry.family == "chinese_clip"
    assert registry.info("nobody/nothing") is None


def test_chinese_labels_get_a_chinese_encoder_first_and_never_an_english_one():
    chinese = registry.models(task="clip", language="zh")
    assert chinese[0].family == "chinese_clip"
    assert "openai/clip-vit-base-patch32" not in [model.id for model in chinese]


def test_every_family_of_clipservice_has_a_full_size_model():
    from course_lib.clip import SIGMOID, SOFTMAX

    families = {model.family for model in registry.models(task="clip")}
    assert families <= {*SOFTMAX, *SIGMOID}
    assert families >= {*SOFTMAX, "siglip"}
    assert any(model.id.startswith("google/siglip2-") for model in registry.models(task="clip"))


def test_registry_facts_hang_together():
    ids = [model.id for model in registry.models()]
    assert len(ids) == len(set(ids))
    for model in registry.models():
        assert model.source
        assert set(model.languages) <= set(settings.LANGUAGES)
        if model.download_gb and model.parameters and model.task == "clip":
            assert model.download_gb == pytest.approx(model.memory_gb, rel=0.02), model.id


def test_the_table_speaks_the_learners_language():
    settings.set_language("zh")
    rows = registry.table(task="clip", language="zh").splitlines()
    assert rows[0].startswith("| 模型 |")
    assert "| `OFA-Sys/chinese-clip-vit-base-patch16` | zh | 0.8 | 0.8 | apache-2.0 |" in rows
    settings.set_language("en")
    assert registry.table(task="clip").startswith("| model |")


def test_model_names_stand_in_the_registry_alone():
    names = re.compile("|".join(re.escape(model.id) for model in registry.models()))
    for path in (ROOT / "course_lib").rglob("*.py"):
        if path.name != "registry.py":
            assert not names.search(path.read_text(encoding="utf-8")), path


def test_a_setting_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.resolve("COURSE_DEVICE").value = "cpu"
