"""`degen audit`: check whether the checkpoints of a series are what they claim to be."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from degen.scanning.settings import Settings

from . import options, output


def audit(
    series: options.SeriesRequired,
    steps: options.Steps = Settings.steps,
    revision_pattern: options.RevisionPattern = Settings.revision_pattern,
    read: Annotated[
        str,
        typer.Option(
            help="Values to read of each checkpoint, besides published hashes: a number such as 4M, all, or none."
        ),
    ] = "4M",
    json: options.Json = False,
) -> None:
    """Check whether each revision of a series is what it claims to be.

    It finds copies of other revisions and of the final one, shards of another revision, missing revisions and files,
    NaN and infinity, and weights far from those before and after. Copies are found by published hashes alone where the
    hub has them; NaN and jumps are found in the values that are read. Exit code 1: a revision is not what it claims.
    """
    output.first_word("auditing")
    from degen.cli.progress import ConsoleProgress

    from degen.audit import audit as audit_series
    from degen.checkpoints.series import Grammar

    values = _parse_read(read)
    with ConsoleProgress() as progress:
        rows = audit_series(series, steps, Grammar(revision_pattern), values, progress)
    wrong = [row for row in rows if row["verdict"] != "ok"]
    if json:
        output.result_json({"rows": rows})
    else:
        output.result_table(list(rows[0]), [list(row.values()) for row in rows])
        looked_at = "names and hashes" if values == 0 else "names, hashes, shapes and the values read"
        revisions = output.count(len(rows), "revision")
        fault = (
            f"{len(wrong)} of {revisions} {'are not what they claim' if len(wrong) > 1 else 'is not what it claims'}"
        )
        output.result(fault if wrong else f"nothing is wrong in what was looked at: {looked_at} of {revisions}")
    if wrong:
        raise typer.Exit(1)


def _parse_read(text: str) -> int | None:
    """Return the number of values that `--read` names, None for all."""
    from degen.errors import DegenError

    if text in ("all", "none"):
        return None if text == "all" else 0
    match = re.fullmatch(r"(\d{1,18})([KMG]?)", text)
    if match is None:
        raise DegenError(f"--read {text}: must be a number of values such as 4M, all, or none")
    return int(match[1]) * {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}[match[2]]
