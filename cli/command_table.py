"""The commands of `degen`: where each is, what it does in a line, and among which others the help shows it.

`degen --help` shows these lines and imports no command.
"""

from __future__ import annotations

from typing import NamedTuple


class CommandEntry(NamedTuple):
    """A command, before its module is imported.

    Attributes:
        module: of this package, with a function or an app of Typer of the command's name.
        line: the first line of its help, as a test holds.
        panel: the heading under which `degen --help` lists it.
    """

    module: str
    line: str
    panel: str


MEASURE, JUDGE, SEE, LISTS = "Measure", "Judge", "See and pass on", "What there is"

# of each panel of `degen --help`
EXAMPLES = {
    MEASURE: "degen scan runs/my-model --corpus texts/ -o my-run",
    JUDGE: "degen saturation my-run",
    SEE: "degen show my-run",
    LISTS: "degen suites",
}

COMMANDS = {
    "scan": CommandEntry("scan", "Measure every checkpoint of a series into a run folder.", MEASURE),
    "fetch": CommandEntry(
        "fetch", "Fetch what a scan reads from the hub into its cache, for scans without network.", MEASURE
    ),
    "rank": CommandEntry(
        "rank",
        "Measure the loss of the LM head at restricted rank, W = AB, for every checkpoint of a series.",
        MEASURE,
    ),
    "ngram": CommandEntry(
        "ngram", "Measure how many dimensions the next-token distributions of a corpus need.", MEASURE
    ),
    "delta": CommandEntry("delta", "Measure how many dimensions an update uses, and where it lies.", MEASURE),
    "similarity": CommandEntry(
        "similarity", "Compare every checkpoint of a run with the one before it, the first and the last.", MEASURE
    ),
    "saturation": CommandEntry(
        "saturation", "Find out when each model saturated, with an interval, or that it did not.", JUDGE
    ),
    "gate": CommandEntry("gate", "Check measurements against rules.", JUDGE),
    "audit": CommandEntry("audit", "Check whether each revision of a series is what it claims to be.", JUDGE),
    "compare": CommandEntry(
        "compare",
        "Compare two runs: the difference of each metric at equal step or tokens, and where the verdicts differ.",
        JUDGE,
    ),
    "scaling": CommandEntry(
        "scaling",
        "Fit scaling laws to losses of models of many sizes, compare architectures, and count what models cost.",
        JUDGE,
    ),
    "show": CommandEntry("show", "Show a run at a glance.", SEE),
    "report": CommandEntry(
        "report",
        "Write one page about a run that works offline: verdicts in words, figures, and the numbers behind them.",
        SEE,
    ),
    "export": CommandEntry("export", "Write one table of a run as one file, or replay the run into a tracker.", SEE),
    "push": CommandEntry("push", "Send a run's tables to the hub, as a dataset whose viewer shows each table.", SEE),
    "probes": CommandEntry("probes", "List every installed probe, or show one.", LISTS),
    "suites": CommandEntry("suites", "List every named suite of models.", LISTS),
    "corpora": CommandEntry("corpora", "List every named corpus.", LISTS),
}
