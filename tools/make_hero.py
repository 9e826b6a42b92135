"""Draws the picture at the top of the README: python tools/make_hero.py"""

from pathlib import Path

import numpy as np
from PIL import Image

from little_world.drawing import contact_sheet, draw
from little_world.scenes import KINDS, UNCOLORED, distinct_scenes, mixed, pair, several, single

TARGET = Path(__file__).parents[1] / "docs" / "images" / "little-world.png"
SEED = 2028


def main() -> None:
    rng = np.random.default_rng(SEED)
    large = [single(rng, kind=kind, size="large") for kind in KINDS if kind not in UNCOLORED][:16]
    scenes = (
        large
        + distinct_scenes(rng, 6, pair)
        + distinct_scenes(rng, 6, several)
        + distinct_scenes(rng, 4, mixed)
    )
    order = rng.permutation(len(scenes))
    sheet = contact_sheet([draw(scenes[i], 160) for i in order], columns=8, gap=6)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(256, dither=Image.Dither.NONE).save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
