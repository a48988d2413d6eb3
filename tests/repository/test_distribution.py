"""A release: built twice it is the same bytes, twine accepts it, its long description renders, its data is in it."""

from __future__ import annotations

import hashlib
import os
import re
import runpy
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

from degen.version import __version__

ROOT = Path(__file__).parents[2]
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / ".ci" / "dist.py"))
URL = "https://example.org/degen"


def build(to: Path, umask: str) -> list[Path]:
    """Build in a process of its own, as with that umask and in another time zone; return sdist and wheel."""
    environment = {
        **os.environ,
        "DIST": str(to),
        "REPOSITORY_URL": URL,
        "TZ": "Asia/Tokyo" if umask == "077" else "UTC",
    }
    command = f'umask {umask}; exec "{sys.executable}" .ci/dist.py'
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2
    return sorted(to.iterdir())


@pytest.mark.extras
def test_two_builds_are_the_same_bytes_and_hold_what_belongs_in_them(tmp_path: Path) -> None:
    first, second = build(tmp_path / "a", "022"), build(tmp_path / "b", "077")
    digests = [[hashlib.sha256(file.read_bytes()).hexdigest() for file in files] for files in (first, second)]
    assert digests[0] == digests[1]
    wheel = next(file for file in first if file.suffix == ".whl")
    assert wheel.name == f"degen_lm-{__version__}-py3-none-any.whl"
    assert wheel.stat().st_size < 8_000_000
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = Parser().parsestr(archive.read(f"degen_lm-{__version__}.dist-info/METADATA").decode())
    modules = {str(file.relative_to(ROOT)) for file in (ROOT / "degen").rglob("*.py")}
    assert modules <= names
    assert {"degen/doctor/figures.json", "degen/demo/corpus.jsonl.gz", "degen/py.typed", "degen/cli/doctor.py"} <= names
    assert not [name for name in names if name.startswith(("tests", "docs", "cli", "probes")) or "__pycache__" in name]
    text = str(metadata.get_payload())
    assert f"]({URL}/blob/v{__version__}/docs/metrics.md)" in text
    assert not re.findall(r"\]\((?!https?://|#)", text)
    from readme_renderer import markdown

    assert "<table>" in (markdown.render(text) or "")


def test_links_to_files_become_addresses_and_others_stay() -> None:
    text = "[a](docs/a.md) [b](https://x.org) [c](#here) [d](docs/d.md#part) [e](mailto:x@y.z)"
    expected = text.replace("(docs", f"({URL}/blob/v1/docs")
    assert SCRIPT["absolute_links"](text, URL, "v1") == expected


def test_files_bear_the_date_of_the_changelog_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    date = re.findall(rf"## {__version__} \((.*)\)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))[0]
    done = subprocess.run(["date", "-u", "-d", date, "+%s"], capture_output=True, text=True, check=True)
    assert SCRIPT["source_date"]() == done.stdout.strip()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234")
    assert SCRIPT["source_date"]() == "1234"


def test_what_an_sdist_is_made_of_is_there_and_is_readable_by_all(tmp_path: Path) -> None:
    SCRIPT["copy_sources"](tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {*SCRIPT["SOURCES"], "MANIFEST.in"}
    assert {oct(file.stat().st_mode & 0o777) for file in tmp_path.rglob("*") if file.is_file()} == {"0o644"}
