"""Both models in one server: which is loaded when, and how the command is told."""

from __future__ import annotations

import pytest
import requests
import small_checkpoints

from course_lib.errors import ModelError, SettingsError
from little_world.server import LocalServer, local
from little_world.server.__main__ import main


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    return small_checkpoints.make_stable_diffusion(tmp_path_factory.mktemp("models") / "painter")


def test_the_shared_server_paints_whatever_the_chat_model_is(painter, monkeypatch, tmp_path):
    """COURSE_VLM_MODEL may name a model of a paid service: that is no reason not to paint."""
    monkeypatch.setenv("COURSE_VLM_MODEL", "a-model-of-a-service")
    monkeypatch.setattr(local, "_shared", None)
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
