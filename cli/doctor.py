"""`degen doctor`: whether this installation works, to be pasted into an issue."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from . import options, output


def doctor(
    self_test: Annotated[
        bool, typer.Option("--self-test/--no-self-test", help="Scan three checkpoints of the demo; takes some seconds.")
    ] = True,
    json: options.Json = False,
) -> None:
    """Check this installation: versions, devices, disk, the hub, and figures of the demo.

    Paste the output into an issue: it holds no token and no password. Exit codes: 0 no check failed; 1 a check failed,
    and its advice says what to do.
    """
    from degen.doctor import examine

    output.first_word("checking this installation; this takes some seconds")
    results = []
    for result in examine(self_test):
        results.append(result)
        if not json:  # each line at once, for a broken library may end the process
            output.result_line(result.status, f"{result.check}: {result.finding}")
            if result.advice:
                output.result(f"    {result.advice}")
    if json:
        output.result_json({"rows": [asdict(result) for result in results]})
    if any(result.status == "failed" for result in results):
        raise typer.Exit(1)
