"""Where the numbers come from: versions, hashes, the sample, and the command that gives them again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from degen.printable import printable
from degen.report.content import Block, Command, Heading, Section, TableBlock
from degen.report.run_data import ReportData
from degen.runs.run import Run
from degen.scanning.run_command import run_command
from degen.stores.urls import HUB
from degen.tables import Row

COLUMNS = {"what": "what", "value": "value"}


def build(data: ReportData) -> Sequence[Block]:
    """Return the command and the facts of each run."""
    blocks: list[Block] = []
    for run in data.runs:
        if len(data.runs) > 1:
            blocks.append(Heading(printable(run.run.name)))
        blocks.append(Command(run_command(run.run.info, _scanned_into(run.run))))
        rows = [{"what": what, "value": value} for what, value in _facts(run.run)]
        blocks.append(TableBlock("Provenance", COLUMNS, rows, "provenance"))
    return blocks


def _scanned_into(run: Run) -> str:
    """Return where a scan would write the run; a folder for one of the hub, which is sent there afterwards."""
    return run.short_name if run.name.startswith(HUB) else run.name


def _facts(run: Run) -> list[tuple[str, str]]:
    """Return what run.json tells, a line each."""
    info = run.info
    facts = [("degen", str(info.get("degen_version", "unknown")))]
    facts += [(name, str(version)) for name, version in _mapping(info.get("versions")).items()]
    facts += [(name, _text(value)) for name, value in _mapping(info.get("resolved")).items()]
    if options := _mapping(info.get("asked")).get("options"):
        facts.append(("options of probes", _text(options)))
    facts.append(("hash of the settings", str(info.get("config_hash", "unknown"))))
    sample = _mapping(info.get("sample"))
    facts += [(f"sample: {name}", _text(value)) for name, value in sample.items() if name != "windows"]
    for tokenizer, windows in _mapping(sample.get("windows")).items():
        facts += [(f"windows of tokenizer {tokenizer}: {name}", _text(v)) for name, v in _mapping(windows).items()]
    facts.append(("schema of the tables", str(info.get("schema_version", "unknown"))))
    return [(printable(what), printable(value)) for what, value in facts]


def head_hashes(data: ReportData) -> list[Row]:
    """Return the hash of the head of each checkpoint."""
    return [{key: row.get(key) for key in ("model", "revision", "head_sha256")} for row in data.checkpoints]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


SECTION = Section("provenance", "Where the numbers come from", "", build)
