"""The site as a reader has it from a disk: silent, whole, asking for nothing but files, with a search that finds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browser.conftest import ROOT, SCREENSHOTS

pytestmark = pytest.mark.browser
PAGES = ("index", "start", "pythia", "questions", "names", "series", "gate", "metrics", "report", "commands", "tables")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-d", str(folder / "trees"), str(ROOT / "docs")]
    subprocess.run([*command, str(folder / "html")], check=True)
    return folder / "html"


@contextmanager
def watched(chromium: Any, width: int = 1280) -> Iterator[tuple[Any, list[str]]]:
    """Yield a page without a network, and a list of what it writes, or asks for beside files."""
    context = chromium.new_context(viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("requestfailed", lambda request: heard.append(request.url))
    page.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else heard.append(request.url)
    )
    yield page, heard
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_from_the_disk_in_silence(chromium: Any, site: Path, name: str) -> None:
    for width in (1280, 390):
        with watched(chromium, width) as (page, heard):
            page.goto((site / f"{name}.html").as_uri(), wait_until="load")
            assert page.locator("article h1").count() == 1
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=SCREENSHOTS / f"site-{name}-{width}.png")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert heard == []


@pytest.mark.parametrize(
    ("words", "found"), [("singular entropy", "metrics"), ("gitlab", "gate"), ("jackknife", "metrics")]
)
def test_the_search_finds_a_page_offline(chromium: Any, site: Path, words: str, found: str) -> None:
    with watched(chromium) as (page, heard):
        page.goto((site / "index.html").as_uri())
        page.fill("input[name=q]", words)
        page.press("input[name=q]", "Enter")
        page.wait_for_selector("#search-results li a")
        page.wait_for_function(
            "document.querySelector('#search-results p.search-summary')?.textContent.match(/finished/)"
        )
        links = page.eval_on_selector_all("#search-results li a", "links => links.map((link) => link.href)")
        assert any(f"/{found}.html" in link for link in links)
        assert heard == []
