"""Who answers a vision chat: what arguments, environment and .env choose, and what goes to whom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fault_server import FaultServer, completion
from PIL import Image

from course_lib import registry, settings
from course_lib.errors import SettingsError
from course_lib.gpt4v import call_gpt4v
from course_lib.providers import PROVIDERS, endpoint

ROOT = Path(__file__).resolve().parents[1]
CANARY = "sk-canary-0123456789"
RED = Image.new("RGB", (32, 32), "red")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch, tmp_path):
    for name in settings.KNOWN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings, "_chosen", "en")
    monkeypatch.setattr(settings, "_entered", {})
    monkeypatch.setattr(settings, "__file__", str(tmp_path / "elsewhere" / "course_lib" / "settings.py"))


def test_nothing_set_is_the_courses_own_server_and_does_not_start_it():
    found = endpoint()
    assert (found.provider.name, found.base_url, found.model, found.api_key) == (
        "local",
        None,
        "mini-vlm",
        None,
    )
    assert found.on_this_machine and "started when needed" in str(found)


@pytest.mark.parametrize(
    ("name", "base_url"),
    [
        ("openai", "https://api.openai.com/v1"),
        ("qwen", "https://dashscope.aliyuncs.com/compatible-mode/v1"),
        ("glm", "https://open.bigmodel.cn/api/paas/v4"),
        ("ollama", "http://localhost:11434/v1"),
    ],
)
def test_a_provider_by_name_brings_its_address_and_its_default_model(name, base_url):
    found = endpoint(CANARY, provider=name)
    assert found.base_url == base_url and found.model == registry.hosted(provider=name)[0].id
    assert CANARY not in repr(found) + str(found)


def test_a_key_comes_from_the_providers_own_variable_and_goes_to_no_other(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    assert endpoint(provider="openai").api_key.get_secret_value() == CANARY
    for other in ("qwen", "glm"):
        with pytest.raises(SettingsError, match=f"please set {PROVIDERS[other].key_variable}"):
            endpoint(provider=other)
    with FaultServer(completion("a cat")) as server:  # the SDK would take OPENAI_API_KEY by itself
        for provider in ("vllm", "ollama", "compatible", "local"):
            call_gpt4v(RED, "?", provider=provider, base_url=server.url, model="m")
        assert all(CANARY not in str(request.headers) for request in server.requests)


def test_the_settings_for_one_address_are_not_used_for_another(monkeypatch):
    monkeypatch.setenv("COURSE_VLM_BASE_URL", "http://127.0.0.1:1234/v1")
    monkeypatch.setenv("COURSE_VLM_MODEL", "mine")
    monkeypatch.setenv("COURSE_VLM_API_KEY", CANARY)
    found = endpoint()
    assert (found.provider.name, found.base_url, found.model) == (
        "compatible",
        "http://127.0.0.1:1234/v1",
        "mine",
    )
    assert found.api_key.get_secret_value() == CANARY
    elsewhere = endpoint(provider="ollama")
    assert (elsewhere.base_url, elsewhere.model) == (PROVIDERS["ollama"].base_url, "qwen3-vl:8b")
    assert elsewhere.api_key is None
    assert endpoint(provider="vllm", model="m").api_key is None


def test_provider_address_and_model_from_a_dotenv(tmp_path):
    (tmp_path / ".env").write_text(
        f"COURSE_VLM_PROVIDER=qwen\nCOURSE_VLM_MODEL=qwen-of-mine\nDASHSCOPE_API_KEY={CANARY}\n"
        "COURSE_VLM_BASE_URL=https://dashscope-intl.aliyuncs.com/compatible-mode/v1\n"
    )
    found = endpoint()
    assert found.provider.name == "qwen" and "-intl" in found.base_url and found.model == "qwen-of-mine"
    assert endpoint(provider="qwen").model == "qwen-of-mine"  # named again, it is the same one


@pytest.mark.parametrize(
    ("address", "base_url", "model", "version"),
    [
        ("https://r.openai.azure.com", "https://r.openai.azure.com/openai/v1", "m", None),
        ("https://r.openai.azure.com/openai/v1/", "https://r.openai.azure.com/openai/v1", "m", None),
        (
            "https://r.openai.azure.com/openai/deployments/gpt-4-vision/chat/completions?api-version=2024-02-01",
            "https://r.openai.azure.com",
            "gpt-4-vision",
            "2024-02-01",
        ),
    ],
)
def test_corrections_11_azure_in_its_old_and_new_form(monkeypatch, address, base_url, model, version):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", address)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", CANARY)
    found = endpoint(provider="azure", model=None if version else "m")
    assert (found.base_url, found.model, found.api_version) == (base_url, model, version)


def test_azures_old_path_on_the_wire():
    with FaultServer(completion("a cat")) as server:
        for version, field in (("2024-02-01", "max_tokens"), ("2024-10-21", "max_completion_tokens")):
            address = f"{server.root}/openai/deployments/eyes/chat/completions?api-version={version}"
            call_gpt4v(RED, "?", CANARY, provider="azure", base_url=address)
            request = server.requests[-1]
            assert request.path == f"/openai/deployments/eyes/chat/completions?api-version={version}"
            assert request.headers["api-key"] == CANARY and request.json[field] == 500
        call_gpt4v(RED, "?", CANARY, provider="azure", base_url=server.root, model="eyes")
        assert server.requests[-1].path == "/openai/v1/chat/completions"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"provider": "nobody"}, "no provider 'nobody', please choose one of local, openai"),
        ({"provider": "compatible"}, "needs an address"),
        ({"provider": "azure"}, "needs an address"),
        ({"provider": "vllm"}, "needs a model's name"),
        ({"base_url": "http://127.0.0.1:1/v1"}, "needs a model's name"),
        ({"base_url": "127.0.0.1:8000", "model": "m"}, "must look like"),
        ({"base_url": "http://me:secret@127.0.0.1/v1", "model": "m"}, "must look like"),
        ({"provider": "azure", "base_url": "https://r.example/openai/deployments/d"}, "api-version"),
        ({"provider": "openai"}, "OPENAI_API_KEY"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(options, match):
    with pytest.raises(SettingsError, match=match) as caught:
        endpoint(**options)
    assert "secret" not in str(caught.value)


def test_a_key_from_a_hidden_prompt_is_kept_for_this_process(monkeypatch):
    asked = []
    monkeypatch.setattr(settings, "getpass", lambda prompt: asked.append(prompt) or CANARY)
    settings.enter("OPENAI_API_KEY")
    assert endpoint(provider="openai").api_key.get_secret_value() == CANARY and asked == ["OPENAI_API_KEY: "]
    import os

    assert "OPENAI_API_KEY" not in os.environ and CANARY not in str(settings.describe())
    assert settings.resolve("OPENAI_API_KEY").source == "prompt"
    monkeypatch.setenv("OPENAI_API_KEY", "out-of-date")  # what is typed replaces it
    assert settings.resolve("OPENAI_API_KEY").value == CANARY


def test_a_key_from_colabs_secrets(monkeypatch):
    import sys
    from types import ModuleType

    userdata = ModuleType("google.colab.userdata")
    userdata.get = {"OPENAI_API_KEY": CANARY}.__getitem__
    for name, module in (("google.colab", ModuleType("google.colab")), ("google.colab.userdata", userdata)):
        monkeypatch.setitem(sys.modules, name, module)
    assert endpoint(provider="openai").api_key.get_secret_value() == CANARY
    assert settings.resolve("ZAI_API_KEY").value is None  # Colab raises for one that is not there


def test_names_of_hosted_models_stand_in_the_registry_alone():
    # its name is the default setting
    names = [entry.id for entry in registry.hosted() if entry.id != "mini-vlm"]
    pattern = re.compile(rf"(?<![\w.-])({'|'.join(map(re.escape, names))})(?![\w-])")
    for path in (ROOT / "course_lib").rglob("*.py"):
        if path.name != "registry.py":
            assert not pattern.search(path.read_text(encoding="utf-8")), path


def test_hosted_models_hang_together():
    from course_lib.chat.tokens import estimate_tokens

    for entry in registry.hosted():
        assert entry.provider in PROVIDERS and entry.source
        assert (entry.input_price is None) == (entry.output_price is None)
        assert entry.priced or not entry.input_price  # a price has its date
        if entry.image_tokens:
            assert estimate_tokens((640, 480), model=entry.id) > 0


def test_doctor_says_who_answers_a_vision_chat(monkeypatch):
    from tools import doctor

    rows, _ = doctor.services()
    assert any(row.startswith("vision chat = mini-vlm @ local") for row in rows)
    monkeypatch.setenv("COURSE_VLM_PROVIDER", "openai")
    monkeypatch.setenv("COURSE_VLM_MODEL", "gpt-of-mine")
    rows, problems = doctor.services()
    assert any("OPENAI_API_KEY" in problem for problem in problems)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    rows, problems = doctor.services()
    assert "vision chat = gpt-of-mine @ openai (https://api.openai.com/v1)" in rows
    assert not any("COURSE_VLM" in problem for problem in problems)
    assert CANARY not in str(rows)


@pytest.mark.parametrize("scheme", ["socks", "socks5"])
def test_a_proxy_that_cannot_be_used_is_one_sentence(monkeypatch, scheme):
    from course_lib.chat.connections import Bounded

    monkeypatch.setenv("ALL_PROXY", f"{scheme}://name:{CANARY}@127.0.0.1:7890")
    there = endpoint(CANARY, provider="openai")
    with pytest.raises(SettingsError, match="ALL_PROXY") as caught:
        Bounded.to(there)
    assert CANARY not in str(caught.value)
    Bounded.to(endpoint()).close()  # a server on this machine needs none


@pytest.mark.parametrize("address", ["http://localhost:abc/v1", "http://[::1/v1", "http://例子/v1"])
def test_an_address_that_is_none_is_one_sentence(address):
    with pytest.raises(SettingsError, match="base_url"):
        endpoint("key", base_url=address, model="m")
