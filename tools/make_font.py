"""Makes course_lib/fonts/CourseSansSC-Regular.otf: the 3,755 most common Chinese characters of Noto Sans CJK SC, and
those that the course's own texts use beside them.

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
ROOT = Path(__file__).parents[1]
TARGET = ROOT / "course_lib" / "fonts" / "CourseSansSC-Regular.otf"
FIELD = "阈阱熵噪迭拟蒸馏掩嵌惩滤帧簇冗余颈弦瓣卷栅锚幅谱嗓糊泊稠密潜在隐变量涵蓄辨识睛镜屏幕扩散扰擅琐碎谬谎"


def own_characters() -> str:
    """Chinese characters in the course's sources."""
    files = [*ROOT.glob("lessons/*.py"), *ROOT.glob("course_lib/**/*.py"), *ROOT.glob("little_world/**/*.py")]
    return "".join({c for file in files for c in file.read_text("utf-8") if ord(c) > 0x2E80})


def characters() -> str:
    """GB 2312 level 1, ASCII, Chinese punctuation, the signs that lessons use, and terms of the field."""
    hanzi = (bytes([a, b]).decode("gb2312", "ignore") for a in range(0xB0, 0xD8) for b in range(0xA1, 0xFF))
    signs = "¥，。、；：？！“”‘’（）【】《》—…·￥％°×÷±≤≥≠→←↑↓✓✗●○■□▲△–αβγσμτθλ²³½∞√≈"
    return "".join(hanzi) + "".join(map(chr, range(0x20, 0x7F))) + signs + FIELD + own_characters()


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
