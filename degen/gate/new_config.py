"""A new configuration file for a repository: `degen.toml`, or the table `[tool.degen]` added to `pyproject.toml`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from degen.errors import DegenError
from degen.paths import atomic
from degen.scanning.config_file import PROJECT

from .parser import parse_rule

HEAD = "# What `degen gate`, `degen scan` and `degen rank` take where the command line says nothing else."
EXAMPLES = {"corpus": "val.jsonl", "out": "degen-run"}  # of keys that are left out, as comments


@dataclass(frozen=True)
class NewConfig:
    """What a new file is to say.

    Attributes:
        series: what to measure, or for a gate to judge; at least one.
        corpus: the text to stream; None to leave it out.
        out: the run folder; None to leave it out.
        rules: of the gate, as text; may be empty.

    Raises:
        DegenError: there is no series, or a rule cannot be parsed.
    """

    series: Sequence[str]
    corpus: str | None = None
    out: str | None = None
    rules: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.series or not all(self.series):
            raise DegenError("no series is named; give --series, as in --series runs/my-model")
        for rule in self.rules:
            parse_rule(rule)

    def text(self) -> str:
        """Return the keys as TOML, without the head of a table; those left out stand there as comments."""
        lines = [HEAD, f"series = {_list(self.series)}"]
        for name, example in EXAMPLES.items():
            value = getattr(self, name)
            lines.append(f"{name} = {_quoted(value)}" if value is not None else f"# {name} = {_quoted(example)}")
        lines.append(f"rules = {_list(self.rules)}" if self.rules else '# rules = ["loss.rise < max(0.02, 1%)"]')
        return "\n".join(lines) + "\n"


def write_config(config: NewConfig, file: Path, overwrite: bool = False) -> None:
    """Write a file anew, or add `[tool.degen]` to the end of `pyproject.toml`, whose other lines stay as they are.

    Args:
        config: what it is to say.
        file: its path.
        overwrite: whether another file than `pyproject.toml` may be replaced.

    Raises:
        DegenError: the file is there and may not be replaced, has settings of degen already, is no TOML, or cannot be
            written.
    """
    try:
        if file.name == PROJECT:
            text = _added(config, file)
        elif file.exists() and not overwrite:
            raise DegenError(f"{file}: is there already; edit it, or replace it with --force")
        else:
            text = config.text()
        with atomic(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DegenError(f"{file}: cannot be written ({error.strerror or error})") from error


def _added(config: NewConfig, file: Path) -> str:
    """Return the text of `pyproject.toml` with `[tool.degen]` at its end."""
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    _check_project(_load(before, file), file)
    gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
    text = f"{before}{gap}[tool.degen]\n{config.text()}"
    _load(text, file)  # where `tool` is written in a way that nothing can be added to
    return text


def _check_project(content: dict[str, Any], file: Path) -> None:
    tool = content.get("tool", {})
    if isinstance(tool, dict) and "degen" in tool:
        raise DegenError(f"{file}: has a [tool.degen] already; edit it there")


def _load(text: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DegenError(f"{file}: [tool.degen] cannot be added to it ({error}); write a degen.toml instead") from error


def _list(values: Sequence[str]) -> str:
    if len(values) <= 1:
        return f"[{', '.join(map(_quoted, values))}]"
    return "[\n" + "".join(f"    {_quoted(value)},\n" for value in values) + "]"


def _quoted(text: str) -> str:
    """Return a text as a basic string of TOML, which is one of JSON but for one character that TOML forbids."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
