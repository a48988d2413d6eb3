"""Check a built site: every link and anchor leads somewhere in it, and no page asks a network for anything.

python docs/check_site.py build/site
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
NOT_LOADED = {"index", "search", "next", "prev", "canonical", "author", "copyright", "top"}  # links of <head>


class Page(HTMLParser):
    """What a page links to, loads, and can be linked at.

    Attributes:
        links: addresses of its links.
        loads: addresses of what a browser fetches to show it.
        anchors: ids of its elements.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element links to or loads."""
        attributes = {name: value or "" for name, value in attrs}
        self.anchors |= {attributes[name] for name in ("id", "name") if name in attributes}
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        elif tag == "link" and attributes.get("rel") in NOT_LOADED:
            self.links.append(attributes.get("href", ""))
        elif LOADED.get(tag) in attributes:
            self.loads.append(attributes[LOADED[tag]])


def find_faults(site: Path) -> list[str]:
    """Return the faults of a built site, a line each: broken links and anchors, and what is loaded from outside."""
    pages = {file.resolve(): Page(file.read_text(encoding="utf-8")) for file in sorted(site.rglob("*.html"))}
    faults = []
    for file, page in pages.items():
        name = file.relative_to(site.resolve())
        faults += [f"{name}: loads {load}" for load in page.loads if urlsplit(load).netloc]
        for link in [*page.links, *page.loads]:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (file.parent / unquote(address.path)).resolve() if address.path else file
            if not target.exists():
                faults.append(f"{name}: {link} does not exist")
            elif address.fragment and target in pages and unquote(address.fragment) not in pages[target].anchors:
                faults.append(f"{name}: {link} has no such anchor")
    styles = [file for file in site.rglob("*.css") if "url(http" in file.read_text(encoding="utf-8").replace('"', "")]
    return faults + [f"{file.relative_to(site)}: a style loads from outside" for file in styles]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    found = find_faults(folder)
    sys.stdout.write("\n".join([*found, f"{len(list(folder.rglob('*.html')))} pages, {len(found)} faults"]) + "\n")
    sys.exit(1 if found else 0)
