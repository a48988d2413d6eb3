"""Write the reference pages, `commands.md` and `tables.md`, from the code itself; a test checks that they are fresh.

python docs/generate.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from degen.probe_registry import load_probes
from degen.saturation.result import COLUMNS
from degen.tables import SATURATION, Tables

HERE = Path(__file__).parent
COMMANDS = (
    "", "scan", "rank", "show", "saturation", "scaling", "scaling fit", "scaling slopes", "scaling pareto", "gate",
    "export", "audit", "probes", "suites",
)  # fmt: skip


def commands() -> str:
    """Every command's help, as it prints it at 100 columns."""
    pages = ["# Commands\n\nMade by `docs/generate.py` from `--help`.\n"]
    for command in COMMANDS:
        words = ["degen", *command.split()]
        line = [sys.executable, "-c", "from degen.cli.main import main; main()", *command.split(), "--help"]
        environment = os.environ | {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
        text = subprocess.run(line, capture_output=True, text=True, check=True, env=environment).stdout
        body = "\n".join(row.rstrip() for row in text.strip("\n").splitlines())
        pages.append(f"## `{' '.join(words)}`\n\n```text\n{body}\n```\n")
    return "\n".join(pages)


def tables() -> str:
    """Every table of a run with the probes that come with degen: column, type, unit, definition."""
    probes = load_probes(["anisotropy", "loss", "rank", "spectrum"])
    schemas = Tables({name: probe.columns for name, probe in probes.items()})
    pages = [
        "# Tables\n\nMade by `docs/generate.py` from the code. Unit and definition are also on every Parquet field, as "
        "metadata.\nEvery table starts with `model`, `revision` and `step`; `saturation`, of whole series, has `model`."
    ]
    columns = {name: schemas.columns(name)[3:] for name in schemas.names} | {SATURATION: COLUMNS[1:]}
    for name, of_table in columns.items():
        rows = [f"| `{c.name}` | {c.type} | {c.unit} | {c.definition.replace('|', chr(92) + '|')} |" for c in of_table]
        pages.append(
            f"## `{name}`\n\n| column | type | unit | definition |\n| --- | --- | --- | --- |\n" + "\n".join(rows)
        )
    return "\n\n".join(pages) + "\n"


if __name__ == "__main__":
    (HERE / "commands.md").write_text(commands(), encoding="utf-8")
    (HERE / "tables.md").write_text(tables(), encoding="utf-8")
