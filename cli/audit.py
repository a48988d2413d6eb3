"""`degen audit`: whether the checkpoints of a series are what they claim."""

from __future__ import annotations

import re

import typer

from . import options, output


def audit(
    series: options.SeriesRequired,
    steps: options.Steps = "all",
    revision_pattern: options.RevisionPattern = None,
    read: options.Read = "4M",
    json: options.Json = False,
) -> None:
    """Say of every revision of a series whether it is what it claims.

    Found are copies of other revisions and of the final one, shards that do not belong, missing revisions and files,
    NaN and infinity, and weights far from those before and after. Where hashes are published nothing is read to tell
    copies; NaN and jumps show in the values that are read. Exit code 1 says that something is wrong.
    """
    from degen.cli.progress import Lines

    from degen.audit import AuditOptions
    from degen.audit import audit as judge
    from degen.checkpoints.series import Grammar

    chosen = AuditOptions(tuple(series), steps, Grammar(revision_pattern), _values(read))
    with Lines() as progress:
        rows = judge(chosen, progress)
    wrong = [row for row in rows if row["verdict"] != "ok"]
    if json:
        output.result_json({"rows": rows})
    else:
        output.result_table(list(rows[0]), [list(row.values()) for row in rows])
        output.result(f"{len(wrong)} of {len(rows)} revisions are not what they claim" if wrong else "nothing is wrong")
    if wrong:
        raise typer.Exit(1)


def _values(said: str) -> int | None:
    """How many values `--read` means."""
    from degen.errors import DegenError

    if said in ("all", "none"):
        return None if said == "all" else 0
    match = re.fullmatch(r"(\d+)([KMG]?)", said)
    if match is None:
        raise DegenError(f"--read {said}: a number of values such as 4M, all, or none")
    return int(match[1]) * {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}[match[2]]
