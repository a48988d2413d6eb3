from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from documents import blocks, commands, read, run_degen


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Run the console commands of the first page; return their folder and what the last of each block printed.

    The folder holds `degen-run`, not to be written to.
    """
    folder = tmp_path_factory.mktemp("first-page")
    printed = []
    for block in blocks("console", read("docs/start.md")):
        for words in commands(block.replace("$ ", "")):
            done = run_degen(words, folder)
            assert done.exit_code == 0, done.stderr
        printed.append(done.stdout)
    return folder, printed


@pytest.fixture
def demo_copy(demo: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """Return a folder with a copy of the demo's run, to be written to."""
    shutil.copytree(demo[0] / "degen-run", tmp_path / "degen-run")
    return tmp_path
