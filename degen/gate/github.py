"""Verdicts on GitHub: annotations of a job, and its summary."""

# No `from __future__ import annotations`: a function here has that name, which is GitHub's word.
import re
from collections import Counter
from collections.abc import Mapping

from degen.printable import escape_controls, printable

from .format import describe, format_bound, format_location, format_reference, format_value
from .judge import Outcome, Verdicts
from .rule import Rule

MOST = 10  # annotations; GitHub keeps no more of a step
SHOWN = 200  # rows of a summary; GitHub refuses one of more than 1 MiB
_MARKUP = re.compile(r"([\\`*_\[\]<>|&#~!])")


def in_github(environ: Mapping[str, str]) -> bool:
    """Return whether the environment is that of GitHub Actions."""
    return environ.get("GITHUB_ACTIONS") == "true"


def annotations(verdicts: Verdicts) -> list[str]:
    """Return a workflow command of GitHub for each outcome that failed or is undecidable, at most ten.

    The worst outcome of every rule comes first. Checkpoints that could not be measured get one more command together.

    Returns:
        Lines such as `::error title=degen gate%3A failed::loss < 3 at …`.
    """
    seen: Counter[Rule] = Counter()
    ranked = []
    for outcome in verdicts.outcomes:
        if outcome.verdict != "passed":
            seen[outcome.rule] += 1
            ranked.append((outcome.verdict != "failed", seen[outcome.rule], outcome))
    ranked.sort(key=lambda r: r[:2])
    lines = [
        _command(f"degen gate: {o.verdict}", f"{o.rule} at {format_location(o.measured)}: {describe(o)}")
        for _, _, o in ranked
    ]
    if verdicts.incomplete:
        lines.append(_command("degen gate: incomplete", f"not measured: {', '.join(verdicts.incomplete)}"))
    return lines[:MOST]


def step_summary(verdicts: Verdicts) -> str:
    """Return the outcomes as a table in Markdown, the worst first."""
    heads = ["verdict", "rule", "model", "step", "place", "value", "against", "bound", "reason"]
    lines = [
        f"### degen gate: {verdicts.verdict}",
        "",
        _escaped(verdicts.target),
        "",
        f"| {' | '.join(heads)} |",
        f"|{' --- |' * len(heads)}",
        *(f"| {' | '.join(map(_escaped, _cells(o)))} |" for o in verdicts.outcomes[:SHOWN]),
    ]
    if (more := len(verdicts.outcomes) - SHOWN) > 0:
        lines += ["", f"… and {more} more; `--json` and `--junit` have all of them"]
    if verdicts.incomplete:
        names = [*verdicts.incomplete[:SHOWN], *(["…"] if len(verdicts.incomplete) > SHOWN else [])]
        lines += ["", f"Not measured: {_escaped(', '.join(names))}"]
    return "\n".join(lines) + "\n"


def _cells(outcome: Outcome) -> list[str]:
    value = outcome.measured
    step = value.step if value.step is not None else value.revision
    cells = [outcome.verdict, outcome.rule, value.model, step, value.place]
    cells += [format_value(outcome), format_reference(value), format_bound(outcome), outcome.reason]
    return ["" if cell is None else str(cell) for cell in cells]


def _command(title: str, message: str) -> str:
    return f"::error title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    """Return a text escaped as the message of a workflow command, which a line break would end."""
    return escape_controls(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")).replace("##[", "#\\x23[")


def _property(text: str) -> str:
    """Return a text escaped as a property of a workflow command, which colons and commas would end, too."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _escaped(text: str) -> str:
    """Return a text escaped as a cell of a Markdown table: on one line, without markup."""
    return _MARKUP.sub(r"\\\1", printable(" ".join(text.split())))
