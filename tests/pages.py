"""A page of `degen report`, taken apart."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any


@dataclass
class PageFigure:
    """A figure of a page: its specification, and the rows of its tables as texts."""

    title: str = ""
    description: str = ""
    spec: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, list[dict[str, str]]] = field(default_factory=dict)


class Page(HTMLParser):
    """What stands in a page.

    Attributes:
        figures: its figures, in order.
        headings: level and text of each heading.
        text: all text that is shown.
        links: values of `src`, `href` and the like.
        ids: all ids.
        tags: all elements' names.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.figures: list[PageFigure] = []
        self.headings: list[tuple[str, str]] = []
        self.text = ""
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.scripts: list[str] = []
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self._content = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.links += [str(v) for k, v in attrs if k in ("src", "href", "action", "data", "poster", "srcset")]
        self.ids += [str(values["id"])] if "id" in values else []
        if tag == "figure":
            self.figures.append(PageFigure())
        if tag not in ("meta", "link", "input", "br"):
            self._open.append((tag, values))
        self._content = ""

    def handle_data(self, data: str) -> None:
        self._content += data
        if self._open and self._open[-1][0] not in ("script", "style", "textarea", "title"):
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        opened, values = self._open.pop()
        assert opened == tag, f"<{opened}> is closed by </{tag}>"
        if tag in ("h1", "h2", "h3"):
            self.headings.append((tag, self._content.strip()))
            if tag == "h3" and any(name == "figcaption" for name, _ in self._open):
                self.figures[-1].title = self._content.strip()
        if values.get("class") == "description":
            self.figures[-1].description = self._content
        if tag == "script" and values.get("class") == "spec":
            self.figures[-1].spec = json.loads(self._content)
        elif tag == "script":
            self.scripts.append(self._content)
        if tag == "textarea" and "data-table" in values:
            rows = list(csv.DictReader(io.StringIO(self._content.removeprefix("\n"))))
            self.figures[-1].tables[str(values["data-table"])] = rows
        self._content = ""


def fields_of(spec: dict[str, Any]) -> dict[str, set[str]]:
    """Return the fields that a specification draws, by the name of the data that they are of."""
    found: dict[str, set[str]] = {}

    def visit(unit: dict[str, Any], data: str) -> None:
        data = unit.get("data", {}).get("name", data)
        for channel in unit.get("encoding", {}).values():
            for entry in channel if isinstance(channel, list) else [channel]:
                if "field" in entry:
                    found.setdefault(data, set()).add(entry["field"])
        for layer in [*unit.get("layer", []), *unit.get("hconcat", []), *unit.get("concat", [])]:
            visit(layer, data)

    visit(spec, "")
    return found
