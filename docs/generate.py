"""Write what of the pages comes from the code: commands, tables, probes, suites, an index, rates, counts of what ships.

And `performance.md`, from what `make bench` measured. A test checks that they are fresh.

python docs/generate.py
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from performance_page import performance

from degen.ngram.result import COLUMNS as NGRAM_COLUMNS
from degen.probe_registry import bundled, load_probes
from degen.published import published_table
from degen.saturation import find_saturation
from degen.saturation.result import COLUMNS
from degen.similarity.result import COLUMNS as SIMILARITY_COLUMNS
from degen.tables import NGRAM, SATURATION, SIMILARITY, Column, Tables

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.append(str(HERE.parent / "bench"))
import reference  # noqa: E402
from reference import suites  # noqa: E402
from saturation_bars import misses  # noqa: E402

RATES_BEGIN, RATES_END = "<!-- rates, from saturation_rates.json -->", "<!-- end of the rates -->"
COMMANDS = (
    "", "scan", "fetch", "rank", "show", "report", "compare", "saturation", "scaling", "scaling fit", "scaling slopes",
    "scaling pareto", "scaling shapes", "scaling cost", "ngram", "delta", "similarity", "gate", "export", "push",
    "audit", "probes", "suites", "corpora", "init", "doctor",
)  # fmt: skip


def commands() -> str:
    """Every command's help, as it prints it at 100 columns."""
    pages = ["# Commands\n\nMade by `docs/generate.py` from `--help`.\n"]
    for command, text in helps().items():
        pages.append(f"## `{f'degen {command}'.strip()}`\n\n```text\n{text}\n```\n")
    return "\n".join(pages)


@cache
def helps() -> dict[str, str]:
    """Return the help of every command, by its words without `degen`."""
    from degen.cli.main import app
    from typer.testing import CliRunner

    texts = {}
    environment = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
    for command in COMMANDS:
        done = CliRunner().invoke(
            app, [*command.split(), "--help"], env=environment, prog_name="degen", terminal_width=78
        )
        texts[command] = "\n".join(row.rstrip() for row in done.output.strip("\n").splitlines())
    return texts


def tables() -> str:
    """Every table of a run with the probes that come with degen: column, type, unit, definition."""
    pages = [
        "# Tables\n\nMade by `docs/generate.py` from the code. Unit and definition are also on every Parquet field, as "
        "metadata.\nEvery table starts with `model`, `revision` and `step`; `saturation` and `ngram`, of whole "
        "series, have `model`."
    ]
    for name, of_table in columns().items():
        rows = [f"| `{c.name}` | {c.type} | {c.unit} | {c.definition.replace('|', chr(92) + '|')} |" for c in of_table]
        pages.append(
            f"## `{name}`\n\n| column | type | unit | definition |\n| --- | --- | --- | --- |\n" + "\n".join(rows)
        )
    return "\n\n".join(pages) + "\n"


def columns() -> dict[str, Sequence[Column]]:
    """Return the columns of every table, without the key columns that all share."""
    schemas = Tables({name: probe.columns for name, probe in load_probes(bundled()).items()})
    found = {name: schemas.columns(name)[3:] for name in schemas.names} | {SATURATION: COLUMNS[1:]}
    return found | {NGRAM: NGRAM_COLUMNS[1:], SIMILARITY: SIMILARITY_COLUMNS[3:]}


def names() -> str:
    """Return the index of names."""
    return reference.index_of_names(helps(), columns(), load_probes(bundled()))


def probes() -> str:
    """Every probe that comes with degen: what it measures, needs, costs, and what each of its figures is and means."""
    pages = [
        "# Probes\n\nMade by `docs/generate.py` from the code; `degen probes NAME` shows the same of one probe, and of "
        "those of other packages.\nThe columns they fill are in [tables.md](tables.md), and what to make of the "
        "default ones in [metrics.md](metrics.md)."
    ]
    for name, probe in load_probes(bundled()).items():
        how = "by default" if probe.default else f"with `--probes {name}`"
        parts = [f"## `{name}`", f"{_capital(probe.measures)}. Measured {how}."]
        parts.append(f"- **needs**: {', '.join(f'`{need}`' for need in sorted(probe.needs))}\n- **cost**: {probe.cost}")
        for metric in probe.metrics:
            first, *others = metric.columns
            beside = f" (with {', '.join(f'`{column}`' for column in others)})" if others else ""
            lines = [f"### `{first}`{beside}\n", "| | |", "| --- | --- |"]
            facts = {"formula": metric.formula, "source": metric.source, "range": metric.range, "high": metric.high,
                     "low": metric.low, "name clashes": metric.clashes}  # fmt: skip
            lines += [f"| {title} | {text.replace('|', chr(92) + '|')} |" for title, text in facts.items()]
            parts.append("\n".join(lines))
        pages.append("\n\n".join(parts))
    return "\n\n".join(pages) + "\n"


def _capital(text: str) -> str:
    """Return a text with its first letter a capital."""
    return text[:1].upper() + text[1:]


def saturation() -> str:
    """Return the page on saturation, with its rates and its count of published series made anew."""
    page = (HERE / "saturation.md").read_text(encoding="utf-8")
    before, _, rest = page.partition(RATES_BEGIN)
    _, _, after = rest.partition(RATES_END)
    return f"{before}{RATES_BEGIN}\n{rates()}\n{published()}\n{RATES_END}{after}"


def rates() -> str:
    """Return the rates of bench/saturation.py, in four tables, and those that miss their bars."""
    document = json.loads((HERE / "saturation_rates.json").read_text(encoding="utf-8"))
    missed = _missed(document["rows"])
    rows = [row | row.pop("case") for row in document["rows"]]
    tables = [f"{document['draws']} curves of each kind; rates in %, with Monte-Carlo errors of up to "
              f"{50 / document['draws'] ** 0.5:.1f}.\n"]  # fmt: skip
    tables.append(_false_rates([row for row in rows if row["change"] == "none"]))
    tables.append(_found(rows))
    others = [row for row in rows if row["change"] not in ("none", "ramp") and "onset" not in row["change"]]
    lines = [
        f"| {r['change']} | {r['checkpoints']} | {r['shape']} | {r['noise']} |"
        + "".join(f" {100 * share:.1f} |" for share in r["shares"].values())
        for r in others
    ]
    heads = "| change | checkpoints | fall | noise | saturated | recovered | not_saturated | undecided |\n"
    tables.append(heads + "| --- " * 8 + "|\n" + "\n".join(lines) + "\n")
    onsets = [r for r in rows if r["change"].startswith("onset") and r["covered"] is not None]
    lines = [
        f"| {r['change'].removeprefix('onset ')} | {r['checkpoints']} | {r['shape']} | {r['noise']} |"
        f" {100 * r['covered']:.1f} | {100 * r['width']:.0f} | {100 * r['bias']:.1f} |"
        for r in onsets
    ]
    heads = "| rise | checkpoints | fall | noise | onset covered | width | bias |\n"
    tables.append(heads + "| --- " * 7 + "|\n" + "\n".join(lines) + "\n")
    return "\n".join([*tables, missed])


def _missed(rows: list[dict[str, Any]]) -> str:
    """Return the rates that miss what is asked of them."""
    lines = [f"| {m.bar} | {m.row} | {m.rate:.1f} | {m.limit:.1f} | {m.error:.1f} |" for m in misses(rows)]
    heads = "| asked | of | rate | bar | error |\n" + "| --- " * 5 + "|\n"
    return f"Rates that miss what is asked of them (`python bench/saturation_bars.py`):\n\n{heads}" + "\n".join(
        [*lines, ""]
    )


def _false_rates(rows: list[dict[str, Any]]) -> str:
    """Return how often curves that never rise are called saturated, by noise."""
    lines = []
    for kind in dict.fromkeys(row["noise"] for row in rows):
        false = [100 * row["shares"]["saturated"] for row in rows if row["noise"] == kind]
        lines.append(f"| {kind} | {sum(false) / len(false):.1f} | {max(false):.1f} |")
    return "| noise, no rise | saturated, mean over kinds | at most |\n| --- | --- | --- |\n" + "\n".join(lines) + "\n"


def _found(rows: list[dict[str, Any]]) -> str:
    """Return how often a ramp is found, by checkpoints, steps and fall, a column for each noise."""
    ramps = [row for row in rows if row["change"] == "ramp"]
    kinds = list(dict.fromkeys(row["noise"] for row in ramps))
    lines = []
    for key in dict.fromkeys((row["checkpoints"], row["spacing"], row["shape"]) for row in ramps):
        own = {r["noise"]: r for r in ramps if (r["checkpoints"], r["spacing"], r["shape"]) == key}
        mark = " *" if next(iter(own.values()))["one_checkpoint"] else ""
        cells = "".join(f" {100 * own[kind]['shares']['saturated']:.1f} |" if kind in own else " |" for kind in kinds)
        lines.append(f"| {key[0]}{mark} | {key[1]} | {key[2]} |{cells}")
    heads = "| checkpoints | steps | fall | " + " | ".join(kinds) + " |\n" + "| --- " * (3 + len(kinds)) + "|\n"
    note = "A ramp is found; * with fewer than three checkpoints on it:\n\n"
    return note + heads + "\n".join(lines) + "\n"


def published() -> str:
    """Return how many of the published series of Pythia are saturated at the default level, and whose."""
    verdicts = find_saturation(published_table("pythia_lm_eval")).verdicts
    saturated = [v.curve.model for v in verdicts if v.verdict == "saturated"]
    return (
        f"Of the {len(verdicts)} series of Pythia's published evaluations the default level calls {len(saturated)} "
        f"saturated, all of them of {' and '.join(sorted(set(saturated)))}."
    )


def counts(page: str) -> str:
    """Return a page, by its path in the repository, with its counts of what ships made anew.

    Raises:
        ValueError: a count does not stand in the page once.
    """
    text = (HERE.parent / page).read_text(encoding="utf-8")
    for pattern, number in _counts(page, text):
        text, found = re.subn(pattern, lambda match, n=number: f"{match[1]}{n:,}{match[2]}", text)
        if found != 1:
            raise ValueError(f"{page}: {pattern} stands {found} times in it")
    return text


def _counts(page: str, text: str) -> list[tuple[str, int]]:
    """Return the counts of a page: a pattern whose two groups surround the number, and the number."""
    from degen.demo import corpus_path, series_paths

    if page == "docs/start.md":
        return [(r"(Its\s)[\d,]+( small checkpoints)", sum(len(_steps(path)) for path in series_paths()))]
    if page == "degen/demo/README.md":
        with gzip.open(corpus_path(), "rt", encoding="utf-8") as file:
            pieces = sum(1 for _ in file)
        rows = [(rf"(\| `{path.name}` \|.*\| )\d+( \|)", len(_steps(path))) for path in series_paths()]
        return [*rows, (r"(held-out text: )[\d,]+( pieces)", pieces)]
    if page == "docs/scaling.md":
        with published_table("chinchilla_points").open(encoding="utf-8") as file:
            points = sum(1 for _ in file) - 1
        return [(r"(On the )[\d,]+( points of)", points), (r"(On all )[\d,]+( points)", points)]
    assert page == "docs/families.md"
    right, refused, unbuilt = (_entries(text, title) for title in ("Right", "Refused", "Not built small"))
    return [
        (r"(Of )\d+( types)", right + refused + unbuilt), (r"(types )\d+( are right, 0 wrong)", right),
        (r"(wrong, )\d+( refused)", refused), (r"(refused; )\d+( could not be built small)", unbuilt),
    ]  # fmt: skip


def _steps(path: Path) -> list[Path]:
    """Return the checkpoints of a bundled series."""
    return [folder for folder in path.iterdir() if folder.name.startswith("step")]


def _entries(text: str, title: str) -> int:
    """Return how many types a section of families.md lists, in its paragraph or as rows of its table."""
    section = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
    listed, _, table = section.partition("| type | reason |")
    return len(re.findall(r"`[^`]+`", listed)) + len(re.findall(r"^\| `", table, re.MULTILINE))


COUNTED = ("docs/start.md", "degen/demo/README.md", "docs/scaling.md", "docs/families.md")

if __name__ == "__main__":
    (HERE / "commands.md").write_text(commands(), encoding="utf-8")
    (HERE / "tables.md").write_text(tables(), encoding="utf-8")
    (HERE / "probes.md").write_text(probes(), encoding="utf-8")
    (HERE / "suites.md").write_text(suites(), encoding="utf-8")
    (HERE / "names.md").write_text(names(), encoding="utf-8")
    (HERE / "saturation.md").write_text(saturation(), encoding="utf-8")
    (HERE / "performance.md").write_text(performance(), encoding="utf-8")
    for page in COUNTED:
        (HERE.parent / page).write_text(counts(page), encoding="utf-8")
