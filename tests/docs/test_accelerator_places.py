"""The page of accelerators names every file that looks at the kind of a device, and a test of each."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "accelerators.md"
LOOKS = re.compile(r"""\.type\s*(==|!=|in|not in)\s*\(?\s*["'](cpu|cuda|mps|xpu)["']""")
CODE = ("degen", "probes", "cli")


def listed() -> dict[str, list[str]]:
    """Return the tests of each file of the page's table."""
    table = PAGE.read_text(encoding="utf-8").split("## What only an accelerator exercises")[1].split("\n## ")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    return {re.findall("`(.+?)`", row[0])[0]: re.findall("`(.+?)`", row[-1]) for row in rows}


def test_every_file_that_looks_at_the_kind_of_a_device_is_listed_and_no_other() -> None:
    files = [file for folder in CODE for file in (ROOT / folder).rglob("*.py")]
    looking = {str(f.relative_to(ROOT).as_posix()) for f in files if LOOKS.search(f.read_text(encoding="utf-8"))}
    assert set(listed()) == looking


def test_every_listed_test_is_there_and_names_what_it_tests() -> None:
    for file, tests in listed().items():
        assert tests, file
        texts = [(ROOT / test).read_text(encoding="utf-8") for test in tests]  # fails where there is none
        module = file.removesuffix(".py").replace("/", ".")
        module = f"degen.{module}" if module.startswith(("probes", "cli")) else module
        package, _, name = module.rpartition(".")
        assert any(module in text or f"from {package} import {name}" in text for text in texts), (file, tests)
