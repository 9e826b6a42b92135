"""The READMEs lead where they say: links exist, the address is the project's one, both languages show the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.project import repository

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.zh-CN.md")


@pytest.mark.parametrize(
    "name", [*READMES, "docs/architecture.md", "docs/teaching.md", "docs/teaching.zh-CN.md"]
)
def test_local_links_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert ((ROOT / name).parent / target).exists(), f"{name} links to {target}, which is not there"


def test_the_guide_and_its_twin_have_the_same_shape():
    """As many headings, table rows and list items in the one as in the other."""
    texts = [
        (ROOT / name).read_text(encoding="utf-8") for name in ("docs/teaching.md", "docs/teaching.zh-CN.md")
    ]
    shapes = [re.findall(r"^(?:#+ |\||- |\d\. )", text, re.MULTILINE) for text in texts]
    assert shapes[0] == shapes[1] and len(shapes[0]) > 50


@pytest.mark.parametrize("name", READMES)
def test_badges_are_made_from_the_one_address(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    slug = repository().removeprefix("https://github.com/")
    assert f"colab.research.google.com/github/{slug}/blob/main/notebooks" in text
    assert f"mybinder.org/v2/gh/{slug}/main" in text
    assert set(re.findall(r"github(?:\.com)?/([\w-]+/[\w-]+)", text)) == {slug}


@pytest.mark.parametrize("pair", [READMES, ("docs/teaching.md", "docs/teaching.zh-CN.md")])
def test_both_languages_have_the_same_commands_and_links(pair):
    def code(name):
        text = (ROOT / name).read_text(encoding="utf-8")
        return [
            re.sub(r"\s*#.*", "", line).replace("--lang zh", "--lang en")
            for block in re.findall(r"```\w*\n(.*?)```", text, re.S)
            for line in block.splitlines()
        ]

    def links(name):
        text = (ROOT / name).read_text(encoding="utf-8").replace("/zh/", "/en/").replace(".zh-CN.md", ".md")
        return set(re.findall(r"\]\((?!#)([^)]+)\)", text))

    assert code(pair[0]) == code(pair[1])
    assert links(pair[0]) == links(pair[1])
