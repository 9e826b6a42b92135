"""Every way a picture comes in, and that the same picture goes out."""

from __future__ import annotations

import base64
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from course_lib import images, settings
from course_lib.errors import ImageError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)


@pytest.fixture(autouse=True)
def _english(monkeypatch):
    monkeypatch.setattr(settings, "_chosen", "en")


def saved(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def same(image: Image.Image, pixels: np.ndarray, tolerance: int = 0) -> bool:
    assert image.mode == "RGB"
    found = np.asarray(image).astype(int)
    return found.shape == pixels.shape and abs(found - pixels).max() <= tolerance


def smooth(height: int = 24, width: int = 40) -> np.ndarray:
    """A picture without sharp edges, which JPEG keeps almost exactly."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 90)], axis=-1).astype(np.uint8)


def test_every_kind_of_source_gives_the_same_picture(tmp_path):
    path = tmp_path / "图片 one.png"
    path.write_bytes(saved(PICTURE))
    with path.open("rb") as file:
        sources = {
            "path": path,
            "string": str(path),
            "bytes": path.read_bytes(),
            "bytearray": bytearray(path.read_bytes()),
            "file": file,
            "memory": io.BytesIO(path.read_bytes()),
            "PIL": PICTURE,
            "array": PIXELS,
            "floats": PIXELS / 255,
            "float32": (PIXELS / 255).astype(np.float32),
            "tensor": torch.from_numpy(PIXELS).permute(2, 0, 1),
            "float tensor": torch.from_numpy(PIXELS).permute(2, 0, 1) / 255,
            "tensor with gradient": (torch.from_numpy(PIXELS).permute(2, 0, 1) / 255).requires_grad_(),
        }
        for name, source in sources.items():
            assert same(images.open_image(source), PIXELS), name
    assert [image.size for image in images.open_images([path, PIXELS])] == [(30, 20)] * 2


def test_grey_and_alpha_arrays():
    grey = PIXELS[..., 0]
    assert same(images.open_image(grey), np.repeat(grey[..., None], 3, axis=-1))
    assert same(images.open_image(grey[..., None]), np.repeat(grey[..., None], 3, axis=-1))
    assert same(images.open_image(np.dstack([PIXELS, np.full((20, 30), 255, np.uint8)])), PIXELS)
    assert same(
        images.open_image(np.dstack([PIXELS, np.zeros((20, 30), np.uint8)])), np.full((20, 30, 3), 255)
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    # What a viewer shows, and how each orientation stores it (Exif 2.3, tag 0x0112).
    upright = smooth()
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright, 1), 7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(np.ascontiguousarray(stored)), "JPEG", quality=98, subsampling=0, exif=exif)
    assert same(images.open_image(data), upright, tolerance=6)


def test_an_orientation_behind_the_pixels_of_a_png_is_applied_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    lying, content = (
        saved(Image.fromarray(np.ascontiguousarray(np.rot90(PIXELS)))),
        b"eXIf" + exif.tobytes()[6:],
    )
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    end = lying.index(b"IEND") - 4
    assert same(images.open_image(lying[:end] + chunk + lying[end:]), PIXELS)


def test_transparency_is_flattened_on_white():
    rgba = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    rgba.putpixel((0, 0), (255, 0, 0, 255))
    rgba.putpixel((1, 0), (255, 0, 0, 128))
    expected = np.full((4, 4, 3), 255)
    expected[0, 0] = (255, 0, 0)
    expected[0, 1] = (255, 127, 127)
    assert same(images.open_image(saved(rgba)), expected, tolerance=1)
    grey_alpha = Image.new("LA", (2, 2), (0, 0))
    assert same(images.open_image(saved(grey_alpha)), np.full((2, 2, 3), 255))


def test_a_palette_with_transparency_is_flattened_on_white():
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 200, 10, 20])
    palette.putpixel((1, 0), 1)
    data = saved(palette, transparency=0)
    assert same(images.open_image(data), np.array([[[255, 255, 255], [200, 10, 20]]]))


def test_a_transparent_colour_key_is_flattened_on_white():
    keyed = Image.new("RGB", (2, 1), (1, 2, 3))
    keyed.putpixel((1, 0), (9, 9, 9))
    assert same(images.open_image(saved(keyed, transparency=(1, 2, 3))), np.array([[[255] * 3, [9] * 3]]))


def test_sixteen_bits_are_scaled_and_not_clipped():
    grey = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    expected = np.repeat(np.round(grey / 257)[..., None], 3, axis=-1)
    for format in ("PNG", "TIFF"):
        data = saved(Image.fromarray(grey), format)
        assert Image.open(io.BytesIO(data)).mode.startswith("I")
        assert same(images.open_image(data), expected), format
    assert same(images.open_image(Image.fromarray(grey.astype(np.int32))), expected)


def test_floating_point_tiff_is_taken_as_zero_to_one():
    grey = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    expected = np.repeat(np.round(grey * 255)[..., None], 3, axis=-1)
    assert same(images.open_image(saved(Image.fromarray(grey), "TIFF")), expected)


def test_cmyk_becomes_rgb():
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    assert same(
        images.open_image(saved(cmyk, "JPEG", quality=98)), np.full((8, 8, 3), (255, 0, 0)), tolerance=3
    )


def test_the_first_frame_of_an_animation_is_taken():
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert same(images.open_image(data), np.full((8, 8, 3), (255, 0, 0)))


@pytest.mark.parametrize("format", ["BMP", "GIF", "ICO", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_formats_that_are_read(format):
    image = Image.new("RGB", (16, 16), (200, 30, 40))
    assert same(images.open_image(saved(image, format)), np.full((16, 16, 3), (200, 30, 40)), tolerance=3)


def test_formats_that_start_other_programs_are_not_read():
    postscript = saved(PICTURE, "EPS")
    assert Image.open(io.BytesIO(postscript)).format == "EPS"
    with pytest.raises(ImageError, match="picture"):
        images.open_image(postscript)


@pytest.mark.parametrize(
    ("array", "remedy"),
    [
        (np.zeros((2, 2, 3), np.int64), "uint8"),
        (np.zeros((2, 2, 3), np.uint16), "uint8"),
        (np.zeros((2, 2), bool), "uint8"),
        (np.full((2, 2, 3), 255.0), "divide by 255"),
        (np.full((2, 2, 3), -0.1), "divide by 255"),
        (np.full((2, 2, 3), np.nan), "0 to 1"),
        (np.zeros((2, 2, 5), np.uint8), "height, width"),
        (np.zeros((2, 2, 3, 3), np.uint8), "height, width"),
        (np.zeros((7,), np.uint8), "height, width"),
        (np.zeros((0, 4, 3), np.uint8), "height, width"),
    ],
)
def test_arrays_that_are_no_picture(array, remedy):
    with pytest.raises(ImageError, match=remedy):
        images.open_image(array)


def test_a_pillow_image_that_is_already_right_is_not_copied():
    assert images.open_image(PICTURE) is PICTURE


@given(
    st.integers(min_value=0, max_value=10_000), st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
)
def test_a_file_cut_anywhere_is_whole_or_refused(cut, format):
    whole = saved(Image.fromarray(smooth()), format)
    piece = whole[: cut % len(whole)]
    try:
        found = images.open_image(piece)
    except ImageError:
        return
    assert same(found, np.asarray(images.open_image(whole)))  # nothing but padding was lost


@pytest.mark.parametrize(
    "source, begins", [(b"no picture", "这张图片的内容"), ("notes.txt", "notes.txt 的内容")]
)
def test_a_chinese_sentence_has_a_space_after_latin_letters_alone(monkeypatch, tmp_path, source, begins):
    monkeypatch.setattr(settings, "_chosen", "zh")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ImageError, match=f"^{begins}不是图片"):
        images.open_image(source)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_damaged_bytes_never_raise_anything_but_an_image_error(noise, at):
    whole = saved(PICTURE, "PNG")
    for data in (noise, whole[:at] + noise + whole[at + len(noise) :]):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                assert images.open_image(data).mode == "RGB"
        except ImageError as error:
            assert "\n" not in str(error)


def test_resize_caps_the_longer_side_and_never_enlarges():
    assert images.resize(PICTURE, 15).size == (15, 10)
    assert images.resize(PICTURE, 300).size == (30, 20)
    assert images.resize(Image.new("RGB", (1000, 1)), 10).size == (10, 1)
    assert images.resize(PIXELS, (7, 9)).size == (7, 9)


def test_thumbnail_shows_the_whole_picture_in_a_square():
    thumbnail = images.thumbnail(Image.new("RGB", (40, 20), "black"), 20)
    assert thumbnail.size == (20, 20)
    assert thumbnail.getpixel((10, 10)) == (0, 0, 0)
    assert thumbnail.getpixel((10, 1)) == (255, 255, 255)


def test_row_9_encoding_takes_every_mode_and_png_loses_nothing():
    modes = {
        "RGBA": PICTURE.convert("RGBA"),
        "P": PICTURE.convert("P"),
        "LA": PICTURE.convert("LA"),
        "I;16": Image.fromarray(np.zeros((4, 4), np.uint16)),
        "CMYK": PICTURE.convert("CMYK"),
        "1": PICTURE.convert("1"),
    }
    for mode, image in modes.items():
        for format in ("PNG", "JPEG"):
            assert Image.open(io.BytesIO(images.encode(image, format))).format == format, mode
    assert same(images.open_image(images.encode(PICTURE)), PIXELS)
    assert len(images.encode(PICTURE, "JPEG", quality=10)) < len(images.encode(PICTURE, "JPEG", quality=95))


def test_row_10_the_mime_type_follows_the_format():
    assert images.mime_type("jpeg") == "image/jpeg"
    assert images.to_data_uri(PICTURE).startswith("data:image/png;base64,")
    assert images.to_data_uri(PICTURE, "WEBP").startswith("data:image/webp;base64,")


def test_base64_and_data_uris_come_back_as_the_same_picture():
    assert same(images.from_base64(images.to_base64(PICTURE)), PIXELS)
    assert same(images.from_base64(images.to_data_uri(PICTURE)), PIXELS)
    assert base64.b64decode(images.to_base64(PICTURE)) == images.encode(PICTURE)
    for text in ("not base64!", None, b"bytes"):
        with pytest.raises(ImageError, match="base64"):
            images.from_base64(text)


def test_base64_of_many_lines_as_mail_and_the_command_line_write_it():
    assert same(images.from_base64(base64.encodebytes(images.encode(PICTURE)).decode()), PIXELS)
    assert same(
        images.from_base64(images.to_data_uri(PICTURE)[:200] + "\r\n" + images.to_data_uri(PICTURE)[200:]),
        PIXELS,
    )


def test_base64_taken_for_a_path_is_not_quoted_whole():
    with pytest.raises(ImageError, match="There is no file") as caught:
        images.open_image("A" * 100_000)
    assert "A" * 200 in str(caught.value) and "A" * 201 not in str(caught.value)


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    PICTURE.save(tmp_path / "a.png")
    assert same(images.open_image("~/a.png"), PIXELS)


@pytest.mark.parametrize(
    ("format", "size"), [("XBM", (4, 4)), ("JPEG", (65_501, 1)), ("WEBP", (1, 16_384)), ("GIF", (65_536, 1))]
)
def test_what_a_format_does_not_hold_gets_a_sentence(format, size):
    with pytest.raises(
        ImageError, match=f"{size[0]} x {size[1]} pixels cannot be written as {format}, please use PNG"
    ):
        images.encode(Image.new("RGB", size), format)


@pytest.mark.parametrize("format", ["PDF", "EPS", "nonsense", "HTML"])
def test_formats_that_are_not_written(format):
    with pytest.raises(ImageError, match="PNG"):
        images.encode(PICTURE, format)


@pytest.mark.parametrize(
    ("source", "many"),
    [
        ("a.png", False), (b"bytes", False), (io.BytesIO(), False), (PICTURE, False), (PIXELS, False),
        (PIXELS[..., 0], False), (torch.zeros(3, 4, 4), False), (None, False), (7, False),
        (["a.png"], True), (("a.png", PICTURE), True), (iter([PICTURE]), True), ([], True),
        (np.zeros((2, 4, 4, 3), np.uint8), True), (torch.zeros(2, 3, 4, 4), True),
    ],
)  # fmt: skip
def test_one_picture_is_told_from_many(source, many):
    assert images.is_many(source) is many
