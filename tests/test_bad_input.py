"""Bad input: one sentence with the remedy, in either language, never a wrong answer, and nothing written."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import small_checkpoints
import torch
from PIL import Image, ImageFile

from course_lib import settings
from course_lib.clip import CLIPService
from course_lib.errors import CourseError, CourseWarning, ImageError, ModelError, SettingsError, TextError
from course_lib.images import open_image

ROOT = Path(__file__).resolve().parents[1]
PICTURE = Image.fromarray(np.random.default_rng(2).integers(0, 256, (48, 64, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return small_checkpoints.make("clip", tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def service(checkpoint) -> CLIPService:
    return CLIPService(checkpoint, device="cpu")


@pytest.fixture(params=["zh", "en"])
def language(request, monkeypatch) -> str:
    monkeypatch.setattr(settings, "_chosen", request.param)
    return request.param


@pytest.fixture
def refused(language, tmp_path, monkeypatch):
    """A context in which an error of the given kind must come, as one sentence, with nothing written."""
    monkeypatch.chdir(tmp_path)

    def everything() -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.rglob("*")}

    @contextlib.contextmanager
    def expect(kind: type[CourseError], remedy: dict[str, str]):
        before = everything()
        with pytest.raises(kind) as caught:
            yield
        assert everything() == before
        assert_one_sentence(str(caught.value), language)
        assert remedy[language] in str(caught.value)

    return expect


def assert_one_sentence(message: str, language: str) -> None:
    assert "\n" not in message
    end = {"zh": "。", "en": "."}[language]
    assert message.endswith(end)
    if language == "zh":
        assert message.count("。") == 1
        assert re.search("[\u4e00-\u9fff]", message)
    else:
        assert not re.search(r"\.\s", message)
        assert not re.search("[\u4e00-\u9fff]", message)


# Pictures


def _png(width: int, height: int, *, whole: bool) -> bytes:
    """A black PNG of one bit a pixel; without its pixels, if not `whole`, the smallest decompression bomb."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height if whole else 0)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()


def test_no_such_file(refused):
    with refused(ImageError, {"zh": "请检查路径", "en": "check the path"}):
        open_image("no/such/file.png")


def test_a_folder_in_place_of_a_file(refused, tmp_path):
    with refused(ImageError, {"zh": "文件夹", "en": "folder"}):
        open_image(tmp_path)


def test_a_web_address(refused):
    with refused(ImageError, {"zh": "请先下载", "en": "download it first"}):
        open_image("https://example.com/cat.jpg")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_jpeg(refused, tmp_path, kept):
    data = _jpeg(PICTURE)
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: int(len(data) * kept)])
    with refused(ImageError, {"zh": "损坏或不完整", "en": "damaged or incomplete"}):
        open_image(path)


@pytest.mark.parametrize("content", [b"", b"not a picture at all", "一段文字".encode()])
def test_a_text_file_named_png(refused, tmp_path, content):
    path = tmp_path / "text.png"
    path.write_bytes(content)
    with refused(ImageError, {"zh": "不是图片", "en": "does not hold a picture"}):
        open_image(path)


@pytest.mark.parametrize(
    ("size", "whole"), [((30_000, 30_000), True), ((30_000, 30_000), False), ((10_000, 9_000), False)]
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_are_refused_before_they_are_decoded(refused, tmp_path, monkeypatch, size, whole):
    path = tmp_path / "bomb.png"
    path.write_bytes(_png(*size, whole=whole))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("the picture was decoded"))
    with refused(ImageError, {"zh": "百万像素", "en": "megapixels"}):
        open_image(path)


@pytest.mark.parametrize("value", [None, 7, 3.5, object(), {"a": 1}])
def test_what_is_no_picture_at_all(refused, service, value):
    with refused(ImageError, {"zh": "不是图片", "en": "not a picture"}):
        open_image(value)


def _save_cmyk(path: Path) -> None:
    Image.new("CMYK", (32, 32), (0, 255, 255, 0)).save(path, "JPEG", quality=98)


def _save_16_bit(path: Path) -> None:
    Image.fromarray(np.full((32, 32), 200 * 257, np.uint16)).save(path, "PNG")


def _save_palette(path: Path) -> None:
    image = Image.new("P", (32, 32), 0)
    image.putpalette([9, 9, 9])
    image.save(path, "PNG", transparency=0)


def _save_animation(path: Path) -> None:
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])


def _save_rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    top_red = np.zeros((32, 32, 3), np.uint8)
    top_red[:16] = (255, 0, 0)
    Image.fromarray(np.ascontiguousarray(np.rot90(top_red, 1))).save(
        path, "JPEG", exif=exif, quality=98, subsampling=0
    )


@pytest.mark.parametrize(
    ("save", "top", "bottom"),
    [
        (_save_cmyk, (255, 0, 0), (255, 0, 0)),
        (_save_16_bit, (200, 200, 200), (200, 200, 200)),
        (_save_palette, (255, 255, 255), (255, 255, 255)),
        (_save_animation, (255, 0, 0), (255, 0, 0)),
        (_save_rotated, (255, 0, 0), (0, 0, 0)),
    ],
)
def test_unusual_pictures_are_seen_as_a_person_sees_them(service, tmp_path, save, top, bottom):
    save(tmp_path / "picture")
    seen = np.zeros((32, 32, 3), np.uint8)
    seen[:16], seen[16:] = top, bottom
    pixels = np.asarray(open_image(tmp_path / "picture")).astype(int)
    assert abs(pixels[[2, 29], 16] - seen[[2, 29], 16]).max() <= 3
    np.testing.assert_allclose(
        service.encode_image(tmp_path / "picture"), service.encode_image(seen), atol=0.02
    )  # JPEG is a little off


# Texts and labels


def test_an_empty_list_of_labels(refused, service):
    with refused(TextError, {"zh": "至少给出一个", "en": "at least one"}):
        service.zero_shot_classify(PICTURE, [])
    with refused(TextError, {"zh": "至少给出一个", "en": "at least one"}):
        service.similarity(PICTURE, [])


@pytest.mark.parametrize("labels", [["cat", "dog", "cat"], ["a", "a"]])
def test_duplicate_labels(refused, service, labels):
    with refused(TextError, {"zh": "重复", "en": "more than once"}):
        service.zero_shot_classify(PICTURE, labels)


@pytest.mark.parametrize("labels", [["cat", ""], ["cat", "  \n"]])
def test_an_empty_label(refused, service, labels):
    with refused(TextError, {"zh": "请写上内容", "en": "write something"}):
        service.zero_shot_classify(PICTURE, labels)


def test_labels_as_one_string(refused, service):
    with refused(TextError, {"zh": "列表", "en": "must be a list"}):
        service.zero_shot_classify(PICTURE, "cat, dog")


@pytest.mark.parametrize("text", [None, 7, b"cat", ["cat", 7], ["cat", None], [["cat"]], [np.array(1)]])
def test_a_text_that_is_no_string(refused, service, text):
    with refused(TextError, {"zh": "必须是字符串", "en": "must be a string"}):
        service.encode_text(text)


def test_text_that_is_not_unicode(refused, service):
    with refused(TextError, {"zh": "字符", "en": "characters"}):
        service.encode_text("half a character: \ud83d")


@pytest.mark.parametrize("template", ["a photo", ["a {}", "a photo"], "a photo of {label}"])
def test_a_template_without_a_place_for_the_label(refused, service, template):
    with refused(TextError, {"zh": "{}", "en": "{}"}):
        service.zero_shot_classify(PICTURE, ["cat"], template=template)


def test_a_500_word_text_is_cut_and_says_so(service, language):
    with pytest.warns(CourseWarning) as caught:
        features = service.encode_text("word " * 500)
    assert np.isfinite(features).all()
    assert_one_sentence(str(caught[0].message), language)
    assert caught[0].filename == __file__


# Models


@pytest.fixture
def broken(checkpoint, tmp_path) -> Path:
    return shutil.copytree(checkpoint, tmp_path / "model")


@pytest.fixture
def no_hub(monkeypatch, tmp_path_factory) -> Path:
    """No network and an empty cache, which is returned."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("HF_HOME", str(cache))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody answers
    return cache


@pytest.mark.parametrize("name", ["nobody/no-such-model", "no-such-model", "openai/clip-vit-base-patch32"])
def test_a_model_that_is_not_here_and_no_network(refused, no_hub, name):
    with refused(ModelError, {"zh": "HF_ENDPOINT", "en": "HF_ENDPOINT"}):
        CLIPService(name)
    assert list(no_hub.iterdir()) == []


@pytest.mark.parametrize("name", ["./no/such/folder", "models/of/mine", "~/nowhere", "C:\\models\\clip"])
def test_a_folder_that_is_not_there(refused, no_hub, name):
    with refused(ModelError, {"zh": "请检查路径", "en": "check the path"}):
        CLIPService(name)


def test_a_miniature_that_is_not_there(refused):
    with refused(ModelError, {"zh": "重新获取", "en": "get the course again"}):
        CLIPService("mini-nothing")


@pytest.mark.parametrize("name", ["bad name!", "a--b..c", "-x-"])
def test_a_name_that_no_model_can_have(refused, no_hub, name):
    with refused(ModelError, {"zh": "请检查拼写", "en": "check the spelling"}):
        CLIPService(name)


def test_a_missing_weight(refused, broken):
    from safetensors.torch import load_file, save_file

    weights = load_file(broken / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with refused(ModelError, {"zh": "visual_projection.weight", "en": "visual_projection.weight"}):
        CLIPService(broken)


def test_a_weight_of_another_shape(refused, broken):
    config = json.loads((broken / "config.json").read_text())
    config["projection_dim"] = 25
    (broken / "config.json").write_text(json.dumps(config))
    with refused(ModelError, {"zh": "请重新下载", "en": "download or train it again"}):
        CLIPService(broken)


class _Payload:
    """A pickle that leaves a trace when it is loaded."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_a_pickle_in_place_of_safetensors(refused, broken, tmp_path, name):
    (broken / "model.safetensors").unlink()
    torch.save({"weight": _Payload(tmp_path / "executed")}, broken / name)
    with refused(ModelError, {"zh": "请", "en": "please"}):
        CLIPService(broken)
    assert not (tmp_path / "executed").exists()
    with pytest.raises(pickle.UnpicklingError):  # it is a live one: torch's own loader refuses it, too
        torch.load(io.BytesIO((broken / name).read_bytes()), weights_only=True)


def test_a_pickle_beside_a_config_is_called_a_pickle(refused, broken):
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    with refused(ModelError, {"zh": "safetensors", "en": "safetensors"}):
        CLIPService(broken)


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def _not_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def _other_family(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": 10}))


def _unknown_family(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "from-the-future"}))


def _remote_code(folder: Path) -> None:
    config = {"model_type": "own", "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("from pathlib import Path; Path('executed').touch()")


@pytest.mark.parametrize(
    "harm",
    [
        _cut,
        _not_json,
        _other_family,
        _unknown_family,
        _remote_code,
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "vocab.json").unlink(),
        lambda folder: (folder / "preprocessor_config.json").unlink(),
    ],
)
def test_a_folder_that_is_no_whole_model(refused, broken, harm):
    harm(broken)
    with refused(ModelError, {"zh": "请", "en": "please"}):
        CLIPService(broken)


def test_a_device_that_is_not_there(refused, checkpoint):
    with refused(SettingsError, {"zh": "COURSE_DEVICE", "en": "COURSE_DEVICE"}):
        CLIPService(checkpoint, device="cuda:7")


# The hub, played on loopback


class _Hub(BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as a download asks for; serves `folder` as the model me/small."""

    folder: Path
    asked: list[str]

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.asked.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/me/small/tree"):
            self.answer(b"[]")
        elif path.startswith("/api/models/me/small"):
            files = [{"rfilename": path.name} for path in self.folder.iterdir()]
            self.answer(json.dumps({"id": "me/small", "sha": "c" * 40, "siblings": files}).encode())
        elif path.startswith("/me/small/resolve/"):
            file = self.folder / path.rsplit("/", 1)[-1]
            self.answer(file.read_bytes()) if file.is_file() else self.answer(b"", 404, "EntryNotFound")
        else:
            self.answer(b"{}", 404, "RepoNotFound")

    def answer(self, body: bytes, status: int = 200, error: str | None = None):
        self.send_response(status)
        if error:
            self.send_header("X-Error-Code", error)
        self.send_header("ETag", f'"{zlib.crc32(body):x}"')
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(checkpoint):
    handler = type("Hub", (_Hub,), {"folder": checkpoint, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler.asked
    server.shutdown()
    server.server_close()


def _load_elsewhere(name: str, endpoint: str, cache: Path) -> str:
    """CLIPService in a fresh process, which reads HF_ENDPOINT as a learner's would."""
    code = (
        "import sys; from course_lib.clip import CLIPService; from course_lib.errors import CourseError\n"
        "try: print(CLIPService(sys.argv[1], device='cpu').encode_text('a cat').shape)\n"
        "except CourseError as error: print(type(error).__name__, error)"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "COURSE_LANG": "en"}
    command = [sys.executable, "-c", code, name]
    return subprocess.run(
        command, env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True, timeout=900
    ).stdout.strip()


def test_a_mirror_is_used_and_the_second_time_nobody_is_asked(hub, tmp_path):
    endpoint, asked = hub
    assert _load_elsewhere("me/small", endpoint, tmp_path) == "(1, 24)"
    assert any(question.endswith("/model.safetensors") for question in asked)
    assert not any(".bin" in question.partition("?")[0].rsplit("/")[-1] for question in asked)
    asked.clear()
    assert _load_elsewhere("me/small", "http://127.0.0.1:9", tmp_path) == "(1, 24)"
    assert asked == []


def test_a_name_that_the_hub_does_not_know(hub, tmp_path):
    endpoint, _ = hub
    answer = _load_elsewhere("me/nothing", endpoint, tmp_path)
    assert answer.startswith("ModelError There is no public model me/nothing")


def test_a_hub_that_never_answers_is_given_up(refused, monkeypatch, no_hub):
    from course_lib import loading

    monkeypatch.setattr(loading, "NETWORK_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        start = time.monotonic()
        with refused(ModelError, {"zh": "HF_ENDPOINT", "en": "HF_ENDPOINT"}):
            CLIPService("nobody/no-such-model")
        assert time.monotonic() - start < 60  # not a speed test: without the limit it would hang for minutes
