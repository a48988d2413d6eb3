"""Verdicts where GitHub shows them: annotations of a job, and its summary."""

# No `from __future__ import annotations`: the name is taken by the function that GitHub's own word fits best.
import re
from collections.abc import Mapping

from .format import describe, format_reference, format_value, place_of
from .judge import Outcome, Verdicts

MOST = 10  # annotations of a step that GitHub keeps
SHOWN = 200  # rows of a summary; GitHub refuses one of more than 1 MiB
_MARKUP = re.compile(r"([\\`*_\[\]<>|&#~!])")


def in_github(environ: Mapping[str, str]) -> bool:
    """Return whether this runs as a step of GitHub Actions."""
    return environ.get("GITHUB_ACTIONS") == "true"


def annotations(verdicts: Verdicts) -> list[str]:
    """Return the workflow commands for what did not pass: ten at most, of every rule the worst before the next of any.

    Args:
        verdicts: what became of the rules.

    Returns:
        Lines such as `::error title=degen gate%3A failed::loss < 3 at …`; undecidable rules are errors, too.
    """
    wrong = [o for o in verdicts.outcomes if o.verdict != "passed"]
    nth: dict[str, int] = {}
    ranked = []
    for outcome in wrong:
        rule = str(outcome.rule)
        nth[rule] = nth.get(rule, 0) + 1
        ranked.append((outcome.verdict != "failed", nth[rule], outcome))
    ranked.sort(key=lambda r: r[:2])
    lines = [
        _command(f"degen gate: {o.verdict}", f"{o.rule} at {place_of(o.figure)}: {describe(o)}") for _, _, o in ranked
    ]
    if verdicts.incomplete:
        lines.append(_command("degen gate: incomplete", f"not measured: {', '.join(verdicts.incomplete)}"))
    return lines[:MOST]


def step_summary(verdicts: Verdicts) -> str:
    """Return the outcomes as a table of Markdown, the worst first.

    Args:
        verdicts: what became of the rules.
    """
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
        named = [*verdicts.incomplete[:SHOWN], *(["…"] if len(verdicts.incomplete) > SHOWN else [])]
        lines += ["", f"Not measured: {_escaped(', '.join(named))}"]
    return "\n".join(lines) + "\n"


def _cells(outcome: Outcome) -> list[str]:
    figure = outcome.figure
    step = figure.revision or "" if figure.step is None else str(figure.step)
    bound = "" if outcome.bound is None else f"{outcome.rule.comparison} {outcome.bound:.6g}"
    where = [figure.model, step, figure.place or ""]
    return [
        outcome.verdict,
        str(outcome.rule),
        *where,
        format_value(outcome) or "",
        format_reference(figure) or "",
        bound,
        outcome.reason or "",
    ]


def _command(title: str, message: str) -> str:
    return f"::error title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    """Return the message of a workflow command: line ends would end the command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Return a property of a workflow command: colons and commas would end it, as well."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _escaped(text: str) -> str:
    """Return the text as a cell of a table of Markdown: on one line, and without markup of its own."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
