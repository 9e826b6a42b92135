"""Sphinx's configuration for one language of the site (see tools/book.py, which copies it beside the pages)."""

import os
import re

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.search import SearchLanguage

_LANG = os.environ["COURSE_BOOK_LANG"]  # zh or en

project = {"zh": "多模态 AI 动手课", "en": "Multimodal AI, hands on"}[_LANG]
language = {"zh": "zh_CN", "en": "en"}[_LANG]
html_title = project
extensions = ["myst_nb"]
templates_path = ["_templates"]

nb_execution_mode = "off"  # the stored outputs are what is shown
nb_merge_streams = True
nb_code_prompt_show = {"zh": "显示这一格的代码", "en": "Show this cell's code"}[_LANG]
nb_code_prompt_hide = {"zh": "收起这一格的代码", "en": "Hide this cell's code"}[_LANG]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a lesson may go from # to ###

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"
html_context = {"other": {"zh": ("en", "English"), "en": ("zh", "中文")}[_LANG]}
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "language.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}

_HAN = "\u3400-\u9fff"


class Chinese(SearchLanguage):
    """Chinese in pairs of characters, on the page and in the query alike.

    Sphinx's own way cuts pages into words of a dictionary and does not cut the query, so that a query of two
    words finds nothing.
    """

    lang = "zh"
    language_name = "Chinese"
    js_splitter_code = r"""
var splitQuery = (query) => {
  const terms = [];
  for (const run of query.match(/[HAN]+|(?:(?![HAN])[\p{Letter}\p{Number}_])+/gu) || []) {
    if (!/^[HAN]/.test(run) || run.length < 2) terms.push(run);
    else for (let i = 0; i + 1 < run.length; i++) terms.push(run.slice(i, i + 2));
  }
  return terms;
};
""".replace("HAN", _HAN)

    def split(self, input: str) -> list[str]:
        terms = []
        for run in re.findall(rf"[{_HAN}]+|[^\W{_HAN}]+", input):
            if re.match(rf"[{_HAN}]", run):
                terms += [run[i : i + 2] for i in range(len(run) - 1)] + list(run)
            else:
                terms.append(run.lower())
        return terms


def _inline_math(translator, node):
    translator.body.append(tex2mathml(node.astext().strip()))
    raise SkipNode


def _block_math(translator, node):
    translator.body.append(f"<div>{tex2mathml(node.astext().strip(), as_block=True)}</div>")
    raise SkipNode


def setup(app):
    app.add_search_language(Chinese)
    # Browsers draw MathML themselves: no script, and nothing is fetched
    app.add_html_math_renderer("mathml", (_inline_math, None), (_block_math, None))
