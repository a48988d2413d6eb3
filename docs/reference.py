"""Pages made of what the package lists: suites and corpora, and the index of names. `generate.py` writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from degen.checkpoints.suites import suites as known_suites
from degen.probe import Probe
from degen.tables import Column
from degen.text.named_corpora import named_corpora


def suites() -> str:
    """Return the page of suites and corpora: models, names, tokens of a step, and what is known to be wrong."""
    pages = [
        "# Suites and corpora\n\nMade by `docs/generate.py` from the code; `degen suites --json` and "
        "`degen corpora --json` list the same.\n`degen scan pythia:70m,160m` scans two models of a suite, "
        "`--corpus pile` streams a corpus by its name.\n[pythia.md](pythia.md) shows how to go about a suite."
    ]
    for suite in known_suites().values():
        steps = dict.fromkeys(suite.tokens_per_step_of(model) for model in suite.models)
        tokens = ", ".join(f"{number:,}" for number in steps if number is not None)
        facts = [f"- **models**: {', '.join(f'`{model}`' for model in suite.models)}"]
        facts.append(f"- **revisions**: `{suite.revisions}`, such as {', '.join(f'`{name}`' for name in suite.names)}")
        if tokens:
            facts.append(f"- **tokens of a step**: {tokens}")
        stages = [f"{number:,} in `{stage}`" for stage, number in suite.tokens_per_step_by_stage.items()]
        if stages:
            facts.append(f"- **tokens of a step by stage**: {', '.join(stages)}")
        facts += [f"- **known**: {remark}" for remark in suite.remarks]
        pages.append(f"## `{suite.name}`\n\n{suite.about}\n\n" + "\n".join(facts))
    rows = [f"| `{c.name}` | {c.dataset} | {c.split} | {c.licence} | {c.about} |" for c in named_corpora().values()]
    heads = "| corpus | dataset | split | licence | about |\n| --- | --- | --- | --- | --- |\n"
    return "\n\n".join([*pages, "## Corpora\n\n" + heads + "\n".join(rows)]) + "\n"


def index_of_names(
    commands: Mapping[str, str], columns: Mapping[str, Sequence[Column]], probes: Mapping[str, type[Probe]]
) -> str:
    """Return the index: every command, option, table, column, probe, suite and corpus, and where it is described.

    Args:
        commands: the help of each command, by its words without `degen`.
        columns: the columns of each table.
        probes: the probes that come with degen.
    """
    entries: dict[str, list[str]] = {}

    def add(name: str, kind: str, page: str, heading: str) -> None:
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        entries.setdefault(name, []).append(f"[{kind}]({page}.md#{anchor})")

    for command, text in commands.items():
        words = f"degen {command}".strip()
        add(words, "command", "commands", words)
        for option in sorted(set(re.findall(r"^ +(?:-\w, )?(--[a-z][\w-]*)", text, flags=re.MULTILINE)) - {"--help"}):
            add(option, words, "commands", words)
    for table, of_table in columns.items():
        add(table, "table", "tables", table)
        for column in of_table:
            add(column.name, f"column of {table}", "tables", table)
    for name in probes:
        add(name, "probe", "probes", name)
    for name in known_suites():
        add(name, "suite", "suites", name)
    for name in named_corpora():
        add(name, "corpus", "suites", "corpora")
    lines = [
        "# Index of names\n\nMade by `docs/generate.py` from the code: every command, option, table, column, probe, "
        "suite and corpus.\nWords of the field are in the [glossary](glossary.md)."
    ]
    initial = ""
    for name in sorted(entries, key=lambda key: (key.lstrip("-").lower(), key)):
        first = name.lstrip("-")[0].upper()
        if first != initial:
            initial = first
            lines.append(f"\n## {initial}\n")
        lines.append(f"- `{name}`: {', '.join(entries[name])}")
    return "\n".join(lines) + "\n"
