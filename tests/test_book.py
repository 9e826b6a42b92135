"""The site to read: every notebook in both languages, no dead link, nothing loaded from elsewhere, a search."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tools import book
from tools.book import LANGUAGES, BookError, broken_links, from_elsewhere, relink
from tools.project import repository

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("book") / "site"
    book.build(out)
    return out


def notebooks(lang: str) -> list[str]:
    """The pages that the notebooks of one language become."""
    return [
        f"{place}/{path.stem}.html"
        for folder, place in book.FOLDERS.items()
        for path in sorted((ROOT / folder / lang).glob("*.ipynb"))
    ]


def index(site: Path, lang: str) -> dict:
    """Sphinx's search index: terms to the numbers of pages, and the pages."""
    text = (site / lang / "searchindex.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))


def found(site: Path, lang: str, terms: list[str]) -> set[str]:
    """The pages that hold every one of these terms."""
    stored = index(site, lang)
    places = []
    for term in terms:
        pages = {**stored["terms"], **{}}.get(term, []), stored["titleterms"].get(term, [])
        places.append({n for some in pages for n in (some if isinstance(some, list) else [some])})
    return {stored["docnames"][n] for n in set.intersection(*places)}


# ------------------------------------------------------------------------------------------------ the site


def test_no_link_is_dead_and_nothing_is_loaded_from_elsewhere(site):
    assert broken_links(site) == []
    assert from_elsewhere(site) == []


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_notebook_is_a_page_with_its_outputs_and_a_link_to_its_twin(site, lang):
    other = {"zh": "en", "en": "zh"}[lang]
    assert len(notebooks(lang)) >= 5
    for name in notebooks(lang):
        page = (site / lang / name).read_text(encoding="utf-8")
        assert f'<a href="../../{other}/{name}"' in page
        assert name.startswith("exercises/") or "cell_output" in page
        assert f'href="{"../" if "/" in name else ""}search.html"' in page or "sidebar-search" in page
    assert {path.name for path in (site / lang / "lessons").iterdir()} == {
        Path(name).name for name in notebooks(lang) if name.startswith("lessons/")
    }


def test_the_first_page_leads_to_both_languages_without_a_script(site):
    page = (site / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'<a href="([^"]+)"', page)) == {"zh/index.html", "en/index.html"}


@pytest.mark.parametrize(
    ("lang", "query"), [("zh", "对比学习"), ("zh", "零样本分类"), ("zh", "CLIP"), ("en", "contrast")]
)
def test_the_search_finds_words_where_they_are(site, lang, query):
    """A query is cut as the page's own script cuts it: Chinese in pairs of characters."""
    terms = [query[i : i + 2] for i in range(len(query) - 1)] if not query.isascii() else [query.lower()]
    assert "lessons/02_clip" in found(site, lang, terms)
    script = (site / lang / "_static" / "language_data.js").read_text(encoding="utf-8")
    assert ("splitQuery" in script) == (lang == "zh")


def test_formulas_are_drawn_by_the_browser_alone(site):
    page = (site / "en" / "lessons" / "02_clip.html").read_text(encoding="utf-8")
    assert "<math" in page and "MathJax" not in page


# ----------------------------------------------------------------------------------------------- its links


@pytest.fixture
def checkout(tmp_path) -> Path:
    (tmp_path / "course_lib").mkdir()
    (tmp_path / "course_lib" / "clip.py").touch()
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[next](02_b.ipynb)", "[next](02_b.ipynb)"),
        ("[do](../../exercises/en/ex1.ipynb#step-2)", "[do](../exercises/ex1.ipynb#step-2)"),
        ('<a href="../../exercises/en/ex1.ipynb">', '<a href="../exercises/ex1.html">'),
        ("[words](../../docs/glossary.md)", "[words](../glossary.md)"),
        ("[code](../../course_lib/clip.py)", f"[code]({repository()}/blob/main/course_lib/clip.py)"),
        (
            "[up](#a-heading) [out](https://example.org/x.ipynb)",
            "[up](#a-heading) [out](https://example.org/x.ipynb)",
        ),
    ],
)
def test_links_fit_the_site(checkout, text, expected):
    pages = {
        "notebooks/en/01_a.ipynb": "lessons/01_a.ipynb",
        "notebooks/en/02_b.ipynb": "lessons/02_b.ipynb",
        "exercises/en/ex1.ipynb": "exercises/ex1.ipynb",
        "docs/glossary.md": "glossary.md",
    }
    assert relink(text, checkout, "notebooks/en/01_a.ipynb", pages) == expected


def test_a_link_to_nothing_stops_the_build(checkout):
    with pytest.raises(BookError, match="notebooks/en/01_a.ipynb links to 77_none.ipynb"):
        relink(
            "[x](77_none.ipynb)",
            checkout,
            "notebooks/en/01_a.ipynb",
            {"notebooks/en/01_a.ipynb": "lessons/01_a.ipynb"},
        )


def test_dead_links_and_foreign_scripts_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="b.html#there"><a href="#here"><a href="https://example.org/gone">'
        '<a href="c.html"><a href="b.html#nowhere"><a href="#nowhere"><img src="p%20q.png"><img src="gone.png">'
        '<script src="https://example.org/x.js"></script>',
        encoding="utf-8",
    )
    (tmp_path / "b.html").write_text('<a name="there">', encoding="utf-8")
    (tmp_path / "p q.png").touch()
    assert broken_links(tmp_path) == [
        f"a.html: {link}" for link in ("c.html", "b.html#nowhere", "#nowhere", "gone.png")
    ]
    assert from_elsewhere(tmp_path) == ["a.html: https://example.org/x.js"]
