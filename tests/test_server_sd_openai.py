"""OpenAI's images API through the stock SDK."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import openai
import pytest
import requests
import small_checkpoints
from PIL import Image

from little_world.server import LocalServer

KEY = "sk-a-key-for-the-tests"
PICTURE = Image.effect_noise((72, 64), 80).convert("RGB")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = small_checkpoints.make_stable_diffusion(tmp_path_factory.mktemp("models") / "tiny")
    with LocalServer(sd_model=folder, api_key=KEY, api_auth="a:b", blocklist=["forbidden"]) as server:
        yield server.wait()


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0) as client:
        yield client


def file(picture: Image.Image, name: str = "picture.png") -> tuple[str, bytes]:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return name, buffer.getvalue()


def opened(data) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(data.b64_json)))


def hole(*box: int) -> Image.Image:
    """An OpenAI mask: transparent where the picture is to be edited."""
    found = PICTURE.convert("RGBA")
    found.paste((0, 0, 0, 0), box)
    return found


def test_generate(client):
    result = client.images.generate(model="tiny", prompt="a red car", n=2)
    assert [opened(data).size for data in result.data] == [(64, 64)] * 2  # "auto" is the model's own size
    assert opened(result.data[0]).tobytes() != opened(result.data[1]).tobytes()
    assert (result.size, result.output_format) == ("64x64", "png")
    assert result.data[0].url is None


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_sizes_and_formats(client, form):
    result = client.images.generate(prompt="a cat", size="128x64", output_format=form)
    picture = opened(result.data[0])
    assert (picture.size, picture.format) == ((128, 64), form.upper())


@pytest.mark.parametrize("as_list", [False, True])
def test_edit_changes_the_transparent_part_alone(client, as_list):
    picture = [file(PICTURE)] if as_list else file(PICTURE)
    result = client.images.edit(image=picture, mask=file(hole(8, 8, 40, 40)), prompt="a dog", n=2)
    for data in result.data:
        changed = np.abs(np.asarray(opened(data), int) - np.asarray(PICTURE, int)).max(axis=2)
        inside = np.zeros(changed.shape, bool)
        inside[8:40, 8:40] = True
        assert opened(data).size == PICTURE.size
        assert not changed[~inside].any()
        assert changed[inside].mean() > 5


def test_edit_without_a_mask_and_in_another_size(client):
    assert opened(client.images.edit(image=file(PICTURE), prompt="a dog").data[0]).size == PICTURE.size
    result = client.images.edit(image=file(PICTURE), prompt="a dog", size="128x64")
    assert opened(result.data[0]).size == (128, 64)


BAD = {
    "no prompt": ({"prompt": ""}, "prompt"),
    "too many": ({"n": 11}, "n"),
    "no size": ({"size": "large"}, "size"),
    "an odd size": ({"size": "100x100"}, "size"),
    "too large": ({"size": "100000x64"}, "size"),
    "too many large ones": ({"size": "2048x2048", "n": 2}, "size"),
    "an address for an answer": ({"response_format": "url"}, "response_format"),
    "transparent": ({"background": "transparent"}, "background"),
    "a field nobody knows": ({"extra_body": {"guidance_scale": 1}}, "guidance_scale"),
    "a stream": ({"stream": True}, "stream"),
}


@pytest.mark.parametrize(("changes", "param"), BAD.values(), ids=BAD)
def test_400(client, changes, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(**{"prompt": "a cat", **changes})
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


BAD_EDITS = {
    "no picture": ({"image": ("a.png", b"hello")}, "image"),
    "two pictures": ({"image": [file(PICTURE), file(PICTURE)]}, "image"),
    "no mask": ({"mask": ("a.png", b"hello")}, "mask"),
    "a mask of another size": ({"mask": file(hole(0, 0, 9, 9).resize((64, 64)))}, "mask"),
    "an opaque mask": ({"mask": file(PICTURE)}, "mask"),
    "no size": ({"size": "large"}, "size"),
    "a field nobody knows": ({"extra_body": {"strength": "0.3"}}, "strength"),
}


@pytest.mark.parametrize(("changes", "param"), BAD_EDITS.values(), ids=BAD_EDITS)
def test_400_of_an_edit(client, changes, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.edit(**{"image": file(PICTURE), "prompt": "a dog", **changes})
    assert caught.value.param == param


def test_the_other_errors(server, client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(model="gpt-image-1", prompt="a cat")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(prompt="something Forbidden")
    assert caught.value.code == "content_filter"
    for key in ("wrong", KEY[:-1]):
        with openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0) as stranger:
            with pytest.raises(openai.AuthenticationError):
                stranger.images.generate(prompt="a cat")
    # a key of one protocol opens nothing in the other
    headers = {"authorization": f"Bearer {KEY}"}
    assert requests.get(server.url + "/sdapi/v1/samplers", headers=headers, timeout=5).status_code == 401


def test_it_is_among_the_models(client):
    assert "tiny" in [model.id for model in client.models.list().data]
    assert client.models.retrieve("tiny").id == "tiny"
