"""Reports of `degen gate`: a table on stdout, JUnit XML, annotations of GitHub Actions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .option_groups import OptionGroup

if TYPE_CHECKING:
    from degen.gate import Verdicts


class ReportOptions(OptionGroup):
    """Reports besides stdout."""

    junit: Annotated[
        Path | None, typer.Option(help="Write the outcomes to a file as JUnit XML, too.", show_default=False)
    ] = None
    github: Annotated[
        bool | None,
        typer.Option(
            "--github/--no-github",
            help="Annotate a job of GitHub Actions on stderr, and append a table to its summary.",
            show_default="where GITHUB_ACTIONS is true",
        ),
    ] = None

    def check(self, *sources: str | Path | None) -> None:
        """Refuse a file that cannot be written or is read, before anything is scanned.

        Args:
            sources: what the command reads.

        Raises:
            DegenError: it is a folder, or is read by the command, or its folder does not exist.
        """
        from degen.errors import DegenError
        from degen.runs.output_files import check_output

        if self.junit is None:
            return
        file = check_output(self.junit, sources, "--junit")
        if not file.absolute().parent.is_dir():
            raise DegenError(f"--junit {self.junit}: cannot be written (no such folder; make it first)")

    def write(self, verdicts: Verdicts) -> None:
        """Write the reports that these options select.

        Raises:
            DegenError: the JUnit file cannot be written; with the exit code of the verdict, unless that is 0.
        """
        if self.junit is not None:
            _write_junit(verdicts, self.junit)
        from degen.gate.github import in_github

        if in_github(os.environ) if self.github is None else self.github:
            _annotate(verdicts)


def _write_junit(verdicts: Verdicts, file: Path) -> None:
    from degen.errors import DegenError
    from degen.gate.junit import junit_xml
    from degen.paths import atomic, expand_user

    try:
        with atomic(expand_user(file)) as temporary:
            temporary.write_text(junit_xml(verdicts), encoding="utf-8")
    except OSError as error:
        message = f"--junit {file}: cannot be written ({error.strerror or error})"
        raise DegenError(message, verdicts.exit_code or None) from error  # a failed verdict must not be hidden


def _annotate(verdicts: Verdicts) -> None:
    from degen.gate.github import annotations, step_summary

    for line in annotations(verdicts):
        typer.echo(line, err=True)  # GitHub reads commands from either stream, and stdout is the result's
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(summary).open("a", encoding="utf-8", errors="replace") as file:
                file.write(step_summary(verdicts))
        except OSError as error:
            output.warn(f"GITHUB_STEP_SUMMARY {summary}: cannot be written ({error.strerror or error})")


def print_verdicts(verdicts: Verdicts, target: str, json: bool) -> None:
    """Print the outcomes as a table, or as one JSON document that names the target."""
    if json:
        rows = [outcome.row() for outcome in verdicts.outcomes]
        output.result_json(
            {"target": target, "verdict": verdicts.verdict, "rows": rows, "incomplete": verdicts.incomplete}
        )
    else:
        _print_table(verdicts)


def _print_table(verdicts: Verdicts) -> None:
    from degen.gate.format import format_bound, format_reference, format_value

    rows = []
    for outcome in verdicts.outcomes:
        value = outcome.measured
        step = value.step if value.step is not None else value.revision
        cells = [format_value(outcome), format_reference(value), format_bound(outcome)]
        rows.append([str(outcome.rule), value.model, step, value.place, *cells, outcome.verdict, outcome.reason])
    heads = ["rule", "model", "step", "place", "value", "against", "bound", "verdict", "reason"]
    optional = ("place", "against", "reason")  # shown only where a row has a value
    columns = [i for i, name in enumerate(heads) if name not in optional or any(row[i] for row in rows)]
    output.result_table([heads[i] for i in columns], [[row[i] for i in columns] for row in rows])
    if verdicts.incomplete:
        output.result(f"not measured: {', '.join(verdicts.incomplete)}")
    output.result(verdicts.verdict)
