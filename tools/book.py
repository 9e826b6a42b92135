"""The course as a site to read without running anything: both languages, search, light and dark, no network.

    python3 course.py book [--out FOLDER]

Its pages are the stored notebooks with their outputs, and the guide and glossary from docs/. They are copied beside
tools/book_site's configuration, with their links made to fit, and Sphinx does the rest. docs/architecture.md says why.
"""

from __future__ import annotations

import argparse
import os
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
from nbformat import NotebookNode

from tools.project import BRANCH, repository

ROOT = Path(__file__).resolve().parents[1]
SITE = Path(__file__).resolve().parent / "book_site"
LANGUAGES = ("zh", "en")
# in the checkout, on the site
FOLDERS = {"notebooks": "lessons", "exercises": "exercises", "solutions": "solutions"}
DOCS = {  # a page of the site, and where it comes from
    "teaching": {"zh": "docs/teaching.zh-CN.md", "en": "docs/teaching.md"},
    "glossary": {"zh": "docs/glossary.md", "en": "docs/glossary.md"},
}
_INDEX = {
    "zh": """\
# 多模态 AI 动手课

这里是课程全部内容的阅读版：每一课、每道练习和参考答案，连同运行结果。想自己动手改和运行，请看[项目主页]({repository})。

语言切换和搜索在左上角，浅色与深色在右上角。

{trees}
""",
    "en": """\
# Multimodal AI, hands on

The whole course to read: every lesson, exercise and solution, with what running it shows. To change and run it
yourself, see [the project]({repository}).

The language switch and the search are at the upper left, light and dark at the upper right.

{trees}
""",
}
_CAPTIONS = {
    "lessons": {"zh": "课程", "en": "Lessons"},
    "exercises": {"zh": "练习", "en": "Exercises"},
    "solutions": {"zh": "参考答案", "en": "Solutions"},
    "docs": {"zh": "附录", "en": "More"},
}
_LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))|(?<=href=\")([^\"]+)(?=\")")
_TWIN = re.compile(r"^\[(?:English|简体中文)\]\([^)]*\)\n\n?", re.MULTILINE)  # the site has its own switch
_BADGE = re.compile(r"\[!\[([^\]]*)\]\([^)]*\)\]\(([^)]*)\)")


class BookError(Exception):
    """The site cannot be made as it is; the message says what to mend."""


# ------------------------------------------------------------------------------------------------ its pages


def stage(root: Path, lang: str, target: Path) -> None:
    """Put the pages of one language into `target`, ready for Sphinx."""
    shutil.copytree(SITE, target, ignore=shutil.ignore_patterns("index.html", "__pycache__"))
    pages = {}  # path in the checkout: path on the site
    for folder, place in FOLDERS.items():
        for path in sorted((root / folder / lang).glob("*.ipynb")):
            pages[f"{folder}/{lang}/{path.name}"] = f"{place}/{path.name}"
    for page, sources in DOCS.items():
        if (root / sources[lang]).exists():
            pages[sources[lang]] = f"{page}.md"
    for source, page in pages.items():
        path = target / page
        path.parent.mkdir(exist_ok=True)
        if page.endswith(".ipynb"):
            nb = nbformat.read(root / source, as_version=4)
            _for_reading(nb, lambda text, source=source: relink(text, root, source, pages))
            nbformat.write(nb, path)
        else:
            text = _TWIN.sub("", (root / source).read_text(encoding="utf-8"))
            path.write_text(relink(text, root, source, pages), encoding="utf-8")
    trees = []
    for place, captions in _CAPTIONS.items():
        names = [
            page for page in pages.values() if posixpath.dirname(page) == ("" if place == "docs" else place)
        ]
        if names:
            listed = "\n".join(posixpath.splitext(name)[0] for name in names)
            trees.append(f"```{{toctree}}\n:caption: {captions[lang]}\n:maxdepth: 1\n\n{listed}\n```")
    text = _INDEX[lang].format(repository=repository(root), trees="\n\n".join(trees))
    (target / "index.md").write_text(text, encoding="utf-8")


def _for_reading(nb: NotebookNode, relinked) -> None:
    """Make a notebook a page: links that fit, no pictures from elsewhere, set-up code folded away."""
    nb.metadata.language_info.pygments_lexer = "ipython3"  # the set-up cell has shell lines
    for index, cell in enumerate(nb.cells):
        if cell.cell_type == "markdown":
            text = cell.source
            # the badges: plain links, and no language, which the site's own switch has
            if _BADGE.search(text):
                text = " · ".join(f"[{name}]({target})" for name, target in _BADGE.findall(text))
            cell.source = relinked(text)
            continue
        if index <= 2 or cell.metadata.get("jupyter", {}).get("source_hidden"):
            cell.metadata.setdefault("tags", []).append("hide-input")
        for output in cell.outputs:
            for mime in ("text/html", "text/markdown"):
                if mime in output.get("data", {}):
                    output.data[mime] = relinked(output.data[mime])


def relink(text: str, root: Path, source: str, pages: dict[str, str]) -> str:
    """`text` of the checkout's file `source` with its relative links fitted to the site.

    What is a page leads to the page, what else there is in the checkout to the repository; what is not there is a
    `BookError`.
    """

    def fitted(match: re.Match) -> str:
        link = match.group()
        address, hash_, anchor = link.partition("#")
        if not address or urlsplit(link).scheme:
            return link
        meant = posixpath.normpath(posixpath.join(posixpath.dirname(source), unquote(address)))
        if meant in pages:
            here = posixpath.dirname(pages[source]) or "."
            target = posixpath.relpath(pages[meant], here)
            if match.group(2):  # raw HTML, which Sphinx leaves alone
                target = posixpath.splitext(target)[0] + ".html"
            return target + hash_ + anchor
        if (root / meant).exists():
            return f"{repository(root)}/blob/{BRANCH}/{meant}{hash_}{anchor}"
        raise BookError(f"{source} links to {link}, which is not there")

    return _LINK.sub(fitted, text)


# ------------------------------------------------------------------------------------------------ building


def build(out: Path, root: Path = ROOT) -> None:
    """Make the site in `out` (which is replaced when all of it is there)."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".book-") as folder:
        site = Path(folder, "site")
        site.mkdir()
        for lang in LANGUAGES:
            stage(root, lang, Path(folder, lang))
            command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going"]
            command += ["-d", str(Path(folder, "doctrees", lang)), str(Path(folder, lang)), str(site / lang)]
            environment = os.environ | {"COURSE_BOOK_LANG": lang}
            result = subprocess.run(
                command, env=environment, capture_output=True, text=True, encoding="utf-8"
            )
            if result.returncode:
                raise BookError(result.stderr.replace(folder + os.sep, ""))
            (site / lang / ".buildinfo").unlink(missing_ok=True)
        shutil.copy(SITE / "index.html", site)
        (site / ".nojekyll").touch()  # GitHub Pages would leave out folders that begin with _
        if out.exists():
            shutil.rmtree(out)
        os.replace(site, out)


# --------------------------------------------------------------------------------------------- its links


class _Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


def broken_links(site: Path) -> list[str]:
    """Links inside `site` that lead nowhere, "page: link" each; anchors count, other sites are not asked."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
            anchor = unquote(parts.fragment)
            known = pages[target].anchors if target in pages else set()
            if not target.is_file() or (anchor and target in pages and anchor not in known):
                broken.append(f"{path.relative_to(site).as_posix()}: {link}")
    return broken


def from_elsewhere(site: Path) -> list[str]:
    """What pages load from other hosts, "page: address" each. There should be none: the site works offline."""
    loads = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)=\"((?:https?:)?//[^\"]+)\"")
    return [
        f"{path.relative_to(site).as_posix()}: {address}"
        for path in sorted(site.rglob("*.html"))
        for address in loads.findall(path.read_text(encoding="utf-8"))
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py book", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "book", help="where to (build/book)")
    args = parser.parse_args(argv)
    try:
        build(args.out)
    except BookError as error:
        print(error, file=sys.stderr)
        return 1
    for sentence in broken_links(args.out):
        print(f"broken link: {sentence}", file=sys.stderr)
    print(args.out / "index.html")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
