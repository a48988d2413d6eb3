"""What the shell completes behind a tab: suites, corpora, probes, metrics and tables by name.

A problem, such as a run that cannot be read, completes nothing and prints nothing.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from degen.runs.run import Run

Candidate = tuple[str, str]  # a value, and what the shell shows beside it


def complete_series(incomplete: str) -> list[Candidate]:
    """Return the suites that a word begins; behind a colon the models of the suite."""
    from degen.checkpoints.suites import suites

    name, colon, models = incomplete.partition(":")
    if colon and name in suites():
        before, comma, _ = models.rpartition(",")
        stem = f"{name}:{before}{comma}"
        return _begun(((f"{stem}{model}", repo) for model, repo in suites()[name].models.items()), incomplete)
    return _begun(((suite.name, suite.about) for suite in suites().values()), incomplete)


def complete_corpus(incomplete: str) -> list[Candidate]:
    """Return the named corpora that a word begins."""
    from degen.text.named_corpora import named_corpora

    corpora = [(c.name, c.about) for c in named_corpora().values()]
    return _begun([*corpora, ("demo", "the text that comes with degen")], incomplete)


def complete_probes(incomplete: str) -> list[Candidate]:
    """Return the installed probes that the last name of a comma list begins."""
    before, comma, _ = incomplete.rpartition(",")
    named = set(before.split(","))
    return _begun(((f"{before}{comma}{name}", what) for name, what in _probes() if name not in named), incomplete)


def complete_metric(incomplete: str) -> list[Candidate]:
    """Return the metrics that a word begins: those of the run that stands in the command, else of all probes."""
    run = _run_on_the_line()
    there = set(run.table("checkpoints").column_names) if run is not None else None
    return _begun(((name, what) for name, what in _metrics() if there is None or name in there), incomplete)


def complete_table(incomplete: str) -> list[Candidate]:
    """Return the tables that a word begins of the run that stands in the command."""
    run = _run_on_the_line()
    return _begun(((name, "") for name in run.tables), incomplete) if run is not None else []


def complete_tracker(incomplete: str) -> list[Candidate]:
    """Return the trackers that a word begins."""
    from degen.trackers.destination import KINDS

    return _begun(((f"{name}:", kind.example) for name, kind in KINDS.items()), incomplete)


def _run_on_the_line() -> Run | None:
    """Return the first word of the line that is a run folder; None without one.

    The line is read as the shell hands it over, for an option without a value yet keeps Typer from parsing it.
    """
    from degen.paths import expand_user
    from degen.runs.run import read_run
    from degen.runs.run_file import is_run

    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    with suppress(Exception):
        return next((read_run(Path(word)) for word in shlex.split(line) if is_run(expand_user(word))), None)
    return None


def _metrics() -> Iterator[Candidate]:
    """Yield the columns of table `checkpoints` that the installed probes fill, and their definitions."""
    from degen.probe_registry import installed, load_probes

    for name in installed():
        with suppress(Exception):
            for column in load_probes([name])[name].columns.get("checkpoints", ()):
                if not column.name.endswith("_se") and not column.key:
                    yield column.name, column.definition


def _probes() -> Iterator[Candidate]:
    from degen.probe_registry import installed, load_probes

    for name in installed():
        with suppress(Exception):
            yield name, load_probes([name])[name].measures


def _begun(candidates: Iterable[Candidate], incomplete: str) -> list[Candidate]:
    """Return the candidates that a word begins, each once; the text beside them is one line."""
    found = {value: what for value, what in candidates if value.startswith(incomplete)}
    return [(value, " ".join(what.split())) for value, what in found.items()]
