"""Both models in one server: which is loaded when, and how the command is told."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import requests
import small_checkpoints
from PIL import Image

from course_lib import settings
from course_lib.errors import ModelError, SettingsError
from course_lib.images import to_base64
from course_lib.stable_diffusion import StableDiffusionService
from little_world.server import LocalServer, local
from little_world.server.__main__ import main


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    return small_checkpoints.make_stable_diffusion(tmp_path_factory.mktemp("models") / "painter")


def test_the_shared_server_has_the_models_that_are_meant_for_it(monkeypatch, tmp_path):
    """A setting beside another service's address, or another provider's, names a model there."""
    made = []
    monkeypatch.setattr(local, "_shared", {})
    server = SimpleNamespace(running=True)
    monkeypatch.setattr(local, "LocalServer", lambda model, **given: made.append((model, given)) or server)
    names = {"VLM": "gpt-of-a-service", "SD": "a-checkpoint-at-home", "VIDEO": "wan-elsewhere"}
    for part, name in names.items():
        monkeypatch.setenv(f"COURSE_{part}_MODEL", name)
    local.shared_server()
    monkeypatch.setenv("COURSE_VLM_PROVIDER", "openai")
    for part in ("SD", "VIDEO"):
        monkeypatch.setenv(f"COURSE_{part}_URL", "http://localhost:7860")
    local.shared_server()
    local.shared_server(video_model="my-adapter")
    assert made == [
        (names["VLM"], {"sd_model": names["SD"], "video_model": names["VIDEO"], "lazy": True}),
        (None, {"sd_model": None, "video_model": None, "lazy": True}),
        (None, {"sd_model": None, "video_model": "my-adapter", "lazy": True}),
    ]


def test_the_shared_server_paints_whatever_the_chat_model_is(painter, monkeypatch, tmp_path):
    """COURSE_VLM_MODEL may name a model of a paid service: that is no reason not to paint."""
    monkeypatch.setenv("COURSE_VLM_MODEL", "a-model-of-a-service")
    monkeypatch.setattr(local, "_shared", {})
    monkeypatch.setattr("little_world.paths.MODELS", tmp_path)
    (tmp_path / "mini-sd").symlink_to(painter)
    server = local.shared_server()
    try:
        assert [engine.state for engine in (server.app.state.vision, server.app.state.painting)] == [
            "idle",
            "idle",
        ]
        body = {"width": 64, "height": 64, "steps": 1}
        assert requests.post(server.url + "/sdapi/v1/txt2img", json=body, timeout=120).status_code == 200
        assert server.app.state.vision.state == "idle"
    finally:
        server.close()


@pytest.fixture
def alone(monkeypatch):
    """Nothing is set, and no server is running in this process yet."""
    for name in settings.KNOWN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(settings, "_dotenv", dict)
    monkeypatch.setattr(local, "_shared", {})
    yield
    for server in local._shared.values():
        server.close()


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_a_folder_of_ones_own_is_one_argument_or_one_variable_away(painter, alone, monkeypatch, how):
    """And its size is the size it was trained with."""
    if how == "environment":
        monkeypatch.setenv("COURSE_SD_MODEL", str(painter))
    service = StableDiffusionService(model=str(painter) if how == "argument" else None)
    picture = service.text_to_image("x", steps=1)
    assert picture.size == (64, 64) and picture.parameters["model"] == painter.name
    assert [server.sd_model for server in local._shared.values()] == [painter.name]
    again = StableDiffusionService(model=str(painter)).text_to_image("x", steps=1, seed=picture.seed)
    assert again.tobytes() == picture.tobytes() and len(local._shared) == 1


def test_interrogation_is_by_the_vision_model_where_there_is_one(painter, tmp_path):
    red = {"image": to_base64(Image.new("RGB", (64, 64), "red"))}
    chosen = set()
    for folder in (small_checkpoints.make_llava(tmp_path / "llava"), tmp_path / "none", painter):
        with LocalServer(folder, sd_model=painter, lazy=True) as server:
            answer = requests.post(server.url + "/sdapi/v1/interrogate", json=red, timeout=120)
            assert answer.status_code == 200, answer.text
            seen = server.app.state.vision.state == "ready"
            assert seen is (folder.name == "llava")
            chosen.add((seen, answer.json()["caption"]))
    assert len(chosen) == 2  # without a model that chats mini-clip says the same, whatever is missing


def test_the_weights_go_with_the_server(painter):
    import gc
    import weakref

    server = LocalServer(sd_model=painter).wait()
    unet = weakref.ref(server.app.state.painting.pipes["text"].unet)
    server.close()
    del server
    gc.collect()
    assert unet() is None


@pytest.mark.parametrize("api_auth", ["", "nocolon", ":password", "name:", "a:b,c"])
def test_a_password_without_a_name_is_one_sentence(painter, api_auth):
    with pytest.raises(SettingsError):
        LocalServer(sd_model=painter, api_auth=api_auth)


def test_a_folder_that_is_named_must_be_there(tmp_path):
    with pytest.raises(ModelError):
        LocalServer(sd_model=tmp_path / "nowhere")
    with pytest.raises(SystemExit) as caught:
        main(["--port", "0", "--sd-model", str(tmp_path / "nowhere")])
    assert "\n" not in str(caught.value.code)


def test_an_id_on_the_hub_is_asked_for_only_when_it_is_wanted(monkeypatch):
    """And where it cannot be fetched, that is one sentence."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with LocalServer(sd_model="someone/a-model", lazy=True) as server:
        answer = requests.post(server.url + "/sdapi/v1/txt2img", json={}, timeout=120)
    assert answer.status_code == 503
    assert "a-model" in answer.json()["detail"]
