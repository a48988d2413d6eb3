"""How Sphinx builds the site: `make docs` writes it to build/site, to be opened from a disk, search included.

The pages are plain Markdown that reads well without it. `index.md` is the only list of them: each of its headings with
a list of links below becomes a part of the navigation.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from degen.version import __version__ as release  # noqa: E402

project = "degen"
author = "The degen authors"
copyright = author
version = release
extensions = ["myst_parser"]
myst_heading_anchors = 4  # the anchors that GitHub gives headings
nitpicky = True
exclude_patterns = ["*.py"]
highlight_language = "text"
html_theme = "furo"
html_title = f"degen {release}"
html_copy_source = False
html_show_search_summary = False  # it fetches the pages again, which a browser refuses of files
html_use_index = False  # names.md is one
html_theme_options = {"top_of_page_buttons": []}


def adapt(app: Sphinx, document: str, source: list[str]) -> None:
    """Adapt a page to Sphinx: links to Markdown outside docs/ are files to it, and the index is the navigation."""
    source[0] = re.sub(r"\]\((\.\./[^)#]+\.md)\)", r"](path:\1)", source[0])
    if document == app.config.root_doc:
        source[0] = add_navigation(source[0])


def add_navigation(index: str) -> str:
    """Return the index with a hidden table of contents for each of its headings with links below."""
    heading, *parts = re.split(r"^## ", index, flags=re.MULTILINE)
    for number, part in enumerate(parts):
        caption = part.partition("\n")[0]
        pages = re.findall(r"^- \[[^]]*\]\((\w+)\.md\)", part, flags=re.MULTILINE)
        if pages:
            tree = "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"])
            parts[number] = f"{part.rstrip()}\n\n{tree}\n\n"
    return "## ".join([heading, *parts])


def setup(app: Sphinx) -> None:
    """Connect what this file adds to a build."""
    app.connect("source-read", adapt)
    app.add_lexer("csv", TextLexer)
