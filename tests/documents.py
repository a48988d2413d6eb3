"""Blocks of the documents, and how they are run: commands and Python in this process, which has everything loaded."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{page.name}" for page in DOCS.glob("*.md"))]
PAGES += ["examples/README.md", "examples/pythia_figures.sh"]


def read(page: str | Path) -> str:
    """Return the text of a document, by its path in the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(language: str, text: str) -> list[str]:
    """Return the blocks of a language in a text."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def marked(text: str, mark: str) -> list[str]:
    """Return the blocks below comments that begin with a mark."""
    return re.findall(rf"<!-- {mark}[a-z, /]+ -->\n```\w+\n(.*?)```", text, re.DOTALL)


def commands(script: str) -> list[list[str]]:
    """Return the words of each `degen …` in a script, without comments, pipes and what is sent into files."""
    found = []
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for i, word in enumerate(words):
            if word in ("|", ">", ">>", "&&", "||", ";"):
                words = words[:i]
                break
        if words[:1] == ["degen"]:
            found.append(words[1:])
    return found


def run_degen(words: list[str], folder: Path) -> Any:
    """Run `degen …` in a folder, in this process; return its exit_code, stdout and stderr."""
    from degen.cli.main import app
    from typer.testing import CliRunner

    with contextlib.chdir(folder):
        return CliRunner().invoke(app, words, prog_name="degen")


def run_python(code: str, folder: Path, **names: Any) -> str:
    """Run Python in a folder, in this process; return what it prints."""
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        exec(compile(code, "a block of a document", "exec"), {"__name__": "__main__", **names})
    return printed.getvalue()
