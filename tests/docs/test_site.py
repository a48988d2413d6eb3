"""The site: every page is in its navigation, every link leads somewhere, and the built pages ask for no network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *PAGES, *sorted(ROOT.glob("examples/**/*.md"))]


def prose(document: Path) -> str:
    """Return the text of a document without its blocks of code."""
    return re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub, and the site, give the headings of a document."""
    made: set[str] = set()
    for title in re.findall(r"^#+ (.*)$", prose(document), flags=re.MULTILINE):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).replace("`", "").strip().lower()
        slug = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        made.add(next(name for i in range(100) if (name := f"{slug}-{i}" if i else slug) not in made))
    return made


@pytest.fixture
def find_faults(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(DOCS))
    import check_site

    return check_site.find_faults


def test_every_page_is_in_the_navigation_once() -> None:
    listed = re.findall(r"^- \[[^]]*\]\((\w+\.md)\)", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == [page.name for page in PAGES if page.name != "index.md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_of_a_document_lead_to_files_and_headings(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)", prose(document)):
        path, _, anchor = target.partition("#")
        file = document.parent / path if path else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_a_page_has_one_title() -> None:
    assert [len(re.findall(r"^# ", prose(page), flags=re.MULTILINE)) for page in PAGES] == [1] * len(PAGES)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<a href='b.html#x'>", "b.html#x has no such anchor"),
        ("<a href='c.html'>", "c.html does not exist"),
        ("<a href='#nothing'>", "#nothing has no such anchor"),
        ("<img src='a.png'>", "a.png does not exist"),
        ("<script src='https://cdn.example/x.js'>", "loads https://cdn.example/x.js"),
        ("<link rel='stylesheet' href='//fonts.example/x.css'>", "loads //fonts.example/x.css"),
        ("<a href='https://example.org/#x'><a href='b.html#y'><a href='#z'><p id='z'>", None),
    ],
)
def test_faults_of_a_built_site_are_found(find_faults: Any, tmp_path: Path, body: str, fault: str | None) -> None:
    (tmp_path / "a.html").write_text(body)
    (tmp_path / "b.html").write_text("<p id='y'>")
    assert find_faults(tmp_path) == ([] if fault is None else [f"a.html: {fault}"])


@pytest.mark.extras
def test_the_site_is_built_without_a_warning_and_searches_offline(find_faults: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(tmp_path / "trees"), str(DOCS)]
    done = subprocess.run([*command, str(tmp_path / "site")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert find_faults(tmp_path / "site") == []
    assert {f"{page.stem}.html" for page in PAGES} <= {file.name for file in (tmp_path / "site").glob("*.html")}
    words = (tmp_path / "site" / "searchindex.js").read_text(encoding="utf-8")
    assert "anisotropi" in words  # stemmed
