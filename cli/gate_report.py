"""Reports of `degen gate`: a table on stdout, JUnit XML, annotations of GitHub Actions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .option_groups import OptionGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from degen.gate import Rule, Verdicts
    from degen.gate.judge import Outcome


class ReportOptions(OptionGroup):
    """Reports besides stdout."""

    panel = "Reports"

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
        output.note(f"{file}: {output.count(len(verdicts.outcomes), 'outcome')} as JUnit XML")
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
    source = verdicts.source
    if json:
        rows = [outcome.row() for outcome in verdicts.outcomes]
        understood = source.as_dict() if source is not None else None
        output.result_json(
            {
                "target": target,
                "source": understood,
                "verdict": verdicts.verdict,
                "rows": rows,
                "incomplete": verdicts.incomplete,
            }
        )
    else:
        if source is not None:
            output.note_source(source)
        _print_table(verdicts)


def _print_table(verdicts: Verdicts) -> None:
    """Print a table of the rules that judge one value each, and one for every other rule, in the order of training."""
    by_rule: dict[Rule, list[Outcome]] = {}
    for outcome in verdicts.outcomes:
        by_rule.setdefault(outcome.rule, []).append(outcome)
    single = [outcomes[0] for outcomes in by_rule.values() if len(outcomes) == 1]
    if single:
        _print_outcomes(single)
    for rule, outcomes in by_rule.items():
        if len(outcomes) > 1:
            _print_outcomes(_by_checkpoint(outcomes), str(rule))
    if verdicts.incomplete:
        output.result(f"not measured: {', '.join(verdicts.incomplete)}")
    output.result(verdicts.verdict)


def _by_checkpoint(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes of a rule checkpoint by checkpoint; those of each layer or domain are in training order."""
    places = {key: i for i, key in enumerate(dict.fromkeys(map(_checkpoint_of, outcomes)))}
    return sorted(outcomes, key=lambda o: places[_checkpoint_of(o)])


def _checkpoint_of(outcome: Outcome) -> tuple[str | None, str | None]:
    return outcome.measured.model, outcome.measured.revision


def _print_outcomes(outcomes: Sequence[Outcome], rule: str | None = None) -> None:
    """Print a table of outcomes, under the rule that they share, or with a column of rules."""
    from degen.gate.format import format_bound, format_reference, format_value

    rows = []
    for outcome in outcomes:
        value = outcome.measured
        step = value.step if value.step is not None else value.revision
        cells = [format_value(outcome), format_bound(outcome), outcome.verdict, format_reference(value)]
        rows.append([str(outcome.rule), value.model, step, value.place, *cells, outcome.reason])
    heads = ["rule", "model", "step", "place", "value", "bound", "verdict", "against", "reason"]
    optional = ("place", "against", "reason")  # shown only where a row has a value
    shown = [name for name in heads if name not in optional or any(row[heads.index(name)] for row in rows)]
    columns = [heads.index(name) for name in shown if name != "rule" or rule is None]
    output.result_table([heads[i] for i in columns], [[row[i] for i in columns] for row in rows], title=rule)
