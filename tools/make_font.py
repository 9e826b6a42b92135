"""Makes course_lib/fonts/CourseSansSC-Regular.otf: the 3,755 most common Chinese characters of Noto Sans CJK SC.

    python tools/make_font.py /path/to/NotoSansCJK-Regular.ttc      (needs `pip install fonttools`)

A machine without Chinese fonts would show boxes in figures; the whole font is 19 MB, this part of it 0.8 MB.
The SIL Open Font License allows it under another name (course_lib/fonts/OFL.txt).
"""

from __future__ import annotations

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTCollection

NAME = "Course Sans SC"
TARGET = Path(__file__).parents[1] / "course_lib" / "fonts" / "CourseSansSC-Regular.otf"


def characters() -> str:
    """GB 2312 level 1, ASCII, Chinese punctuation and the signs that lessons use."""
    hanzi = (bytes([a, b]).decode("gb2312", "ignore") for a in range(0xB0, 0xD8) for b in range(0xA1, 0xFF))
    signs = "¥，。、；：？！“”‘’（）【】《》—…·￥％°×÷±≤≥≠→←↑↓✓✗●○■□▲△–αβγσμτθλ²³½∞√≈"
    return "".join(hanzi) + "".join(map(chr, range(0x20, 0x7F))) + signs


def main(source: str) -> None:
    font = next(f for f in TTCollection(source).fonts if f["name"].getDebugName(1) == "Noto Sans CJK SC")
    options = subset.Options(layout_features=[], hinting=False, notdef_outline=True)
    options.drop_tables += ["BASE", "VORG", "vhea", "vmtx", "GSUB", "GPOS", "GDEF"]
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=characters())
    subsetter.subset(font)
    font["name"].names = [record for record in font["name"].names if record.langID == 0x409]
    for record, value in ((1, NAME), (4, NAME), (16, NAME), (6, NAME.replace(" ", "") + "-Regular")):
        font["name"].setName(value, record, 3, 1, 0x409)
    font.save(TARGET)


if __name__ == "__main__":
    main(sys.argv[1])
