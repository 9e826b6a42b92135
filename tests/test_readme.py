"""The READMEs lead where they say: links exist, the address is the project's one, both languages show the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.project import repository

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.zh-CN.md")


@pytest.mark.parametrize("name", [*READMES, "docs/architecture.md"])
def test_local_links_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert ((ROOT / name).parent / target).exists(), f"{name} links to {target}, which is not there"


@pytest.mark.parametrize("name", READMES)
def test_badges_are_made_from_the_one_address(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    slug = repository().removeprefix("https://github.com/")
    assert f"colab.research.google.com/github/{slug}/blob/main/notebooks" in text
    assert f"mybinder.org/v2/gh/{slug}/main" in text
    assert set(re.findall(r"github(?:\.com)?/([\w-]+/[\w-]+)", text)) == {slug}


def test_both_languages_have_the_same_commands_and_links():
    def code(name):
        text = (ROOT / name).read_text(encoding="utf-8")
        return [
            re.sub(r"\s*#.*", "", line)
            for block in re.findall(r"```\w*\n(.*?)```", text, re.S)
            for line in block.splitlines()
        ]

    def links(name):
        text = (
            (ROOT / name)
            .read_text(encoding="utf-8")
            .replace("/zh/", "/en/")
            .replace("README.zh-CN.md", "README.md")
        )
        return set(re.findall(r"\]\(([^)]+)\)", text))

    assert code(READMES[0]) == code(READMES[1])
    assert links(READMES[0]) == links(READMES[1])
