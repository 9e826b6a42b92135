"""The arithmetic around a mask, and the text in a picture."""

from __future__ import annotations

import re
import time
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from little_world.server import infotext, inpainting

WIDTH, HEIGHT = 72, 56
PICTURE = Image.effect_noise((WIDTH, HEIGHT), 90).convert("RGB")


def mask(*box: int, size=(WIDTH, HEIGHT)) -> Image.Image:
    found = Image.new("L", size)
    found.paste(255, box)
    return found


boxes = st.tuples(
    st.integers(0, WIDTH - 2), st.integers(0, HEIGHT - 2), st.integers(1, WIDTH), st.integers(1, HEIGHT)
).map(lambda b: (b[0], b[1], min(WIDTH, b[0] + b[2]), min(HEIGHT, b[1] + b[3])))


@given(box=boxes, only_masked=st.booleans(), padding=st.integers(0, 80), fill=st.booleans())
@settings(max_examples=60)
def test_outside_the_mask_nothing_changes(box, only_masked, padding, fill):
    size = (WIDTH, HEIGHT)
    where = mask(*box)
    area = inpainting.prepare(
        PICTURE, where, size, block=8, only_masked=only_masked, padding=padding, fill=fill
    )
    assert area.picture.size == area.mask.size == size
    assert set(np.unique(area.mask)) <= {0, 255}
    painted = area.paste(Image.new("RGB", size, (1, 254, 2)))
    assert painted.size == PICTURE.size
    inside = np.asarray(where) == 255
    assert (np.asarray(painted)[~inside] == np.asarray(PICTURE)[~inside]).all()
    assert (np.asarray(painted)[inside] == (1, 254, 2)).all()


@given(box=boxes)
@settings(max_examples=30)
def test_every_masked_pixel_lies_in_a_block_that_is_painted(box):
    area = inpainting.prepare(PICTURE, mask(*box), (WIDTH, HEIGHT), block=8)
    painted = np.asarray(area.mask) == 255
    assert painted[np.asarray(mask(*box)) == 255].all()
    blocks = painted.reshape(HEIGHT // 8, 8, WIDTH // 8, 8)
    assert (blocks == blocks[:, :1, :, :1]).all()


def test_only_masked_looks_closer_and_keeps_the_proportions():
    where = mask(40, 20, 48, 24)
    area = inpainting.prepare(PICTURE, where, (64, 64), block=8, only_masked=True, padding=2)
    left, upper, right, lower = area.box
    assert (right - left, lower - upper) == (12, 12)  # 8 + 2 * 2 wide, and as high, as 64 x 64 is
    assert left <= 38
    assert right >= 50
    assert upper <= 18
    assert lower >= 26
    # what is looked at is that part, enlarged
    assert (
        np.abs(
            np.asarray(area.picture.resize((12, 12)), int) - np.asarray(PICTURE.crop(area.box), int)
        ).mean()
        < 30
    )


def test_blur_makes_a_soft_edge():
    area = inpainting.prepare(PICTURE, mask(20, 20, 50, 40), (WIDTH, HEIGHT), block=8, blur=(4, 4))
    levels = np.unique(area.overlay)
    assert len(levels) > 10
    assert np.asarray(area.overlay)[0, 0] == 0


def test_fill_takes_the_colours_from_around():
    half = Image.new("RGB", (WIDTH, HEIGHT), "red")
    half.paste((0, 0, 255), (16, 16, 40, 40))
    area = inpainting.prepare(half, mask(16, 16, 40, 40), (WIDTH, HEIGHT), block=8, fill=True)
    assert np.abs(np.asarray(area.picture, int) - (255, 0, 0)).max() < 3
    all_of_it = inpainting.prepare(half, mask(0, 0, WIDTH, HEIGHT), (WIDTH, HEIGHT), block=8, fill=True)
    assert all_of_it.picture.getcolors() is not None  # one colour: the mean
    assert len(all_of_it.picture.getcolors()) == 1


def test_what_a_mask_is():
    grey = Image.frombytes("L", (4, 1), bytes([0, 128, 129, 255]))
    assert inpainting.binary(grey).tobytes() == bytes([0, 0, 255, 255])
    assert inpainting.binary(grey.convert("RGB")).tobytes() == bytes([0, 0, 255, 255])
    opaque = grey.convert("RGBA")
    assert inpainting.binary(opaque).tobytes() == bytes([0, 0, 255, 255])
    opaque.putalpha(Image.frombytes("L", (4, 1), bytes([255, 0, 255, 0])))
    assert inpainting.binary(opaque).tobytes() == bytes([255, 0, 255, 0])
    assert inpainting.is_black(Image.new("L", (3, 3)))


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [(64, 64), (64, 128), (128, 64), (WIDTH, HEIGHT)])
def test_every_way_to_resize_gives_the_size(mode, size):
    assert inpainting.resize(PICTURE, size, mode).size == size
    assert inpainting.resize(mask(3, 3, 9, 9), size, mode).size == size


# --- the text in a picture

plain = st.text(st.characters(exclude_categories=["C"]), max_size=40).map(str.strip)
names = st.from_regex(r"[A-Z][a-z]{1,8}( [a-z]{1,6})?", fullmatch=True).filter(lambda n: n not in ("Prompt",))


@given(prompt=plain, negative=plain, more=st.dictionaries(names, plain, max_size=3))
@settings(max_examples=100)
def test_what_is_written_is_read_back(prompt, negative, more):
    if prompt.startswith("Negative prompt:"):
        return
    settings_ = {"Steps": 20, "Sampler": "Euler a", "Seed": 0, "Size": "128x64", **more}
    text = infotext.compose(prompt, negative, settings_)
    picture = Image.open(BytesIO(infotext.encode(PICTURE, text)))
    found, items = infotext.read(picture)
    assert found == text
    assert items["parameters"] == text
    parsed = infotext.parse(found)
    assert parsed["Prompt"] == prompt
    assert parsed["Negative prompt"] == negative
    assert (parsed["Steps"], parsed["Seed"]) == ("20", "0")
    assert (parsed["Size-1"], parsed["Size-2"]) == ("128", "64")


# as it was: the same, but not in linear time
_WIDE = re.compile(r'\s*(\w[\w /-]*):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_PIECES = st.sampled_from(
    [*'aZ_9 ,:"/-', "\\", '\\"', "Steps: 20", ", ", ": ", "  ", "，", "é", "\t", "64x32"]
)


@given(st.lists(_PIECES, max_size=40).map("".join))
@settings(max_examples=500)
def test_settings_are_found_as_by_the_plain_expression(line):
    found = _WIDE.findall(line)
    assert infotext._PAIR.findall(line) == found or any(len(name) > 41 for name, _ in found)


@pytest.mark.parametrize("letters", ["a", " ", "a ", " !", "a: ", 'a: "', 'a: "\\', "a:,", "a-", '"'])
def test_a_long_line_is_read_in_linear_time(letters):
    began = time.process_time()
    infotext.parse("x" + letters * (100_000 // len(letters)) + "!")
    assert time.process_time() - began < 5  # 50 s where it grows with the square


@given(st.text(max_size=300))
@settings(max_examples=100)
def test_any_text_is_read_without_an_error(text):
    assert all(isinstance(value, str) for value in infotext.parse(text).values())
