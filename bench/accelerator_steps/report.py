"""Tables of what was found, from the JSON alone: for the terminal and for a page of Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
Cells = list[list[str]]


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        title: above it.
        parts: names of the parts, or of steps, whose rows it has.
        columns: heading, and what makes a row's cell.
        note: below the title.
    """

    title: str
    parts: tuple[str, ...]
    columns: tuple[tuple[str, Callable[[Row], str]], ...]
    note: str = ""


def number(value: Any, digits: int = 3) -> str:
    """Return a number at a few digits; a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if value != value or value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:.1e}"


def gigabytes(value: Any) -> str:
    """Return bytes as GiB."""
    return "–" if value is None else f"{value / 2**30:.2f} GiB"


def _of(key: str) -> Callable[[Row], str]:
    return lambda row: number(row.get(key))


def _percent(key: str) -> Callable[[Row], str]:
    return lambda row: "–" if row.get(key) is None else f"{100 * row[key]:.0f} %"


def _ratio(row: Row) -> str:
    return f"{row['ratio']:.2f} ({row['ratio_low']:.2f} … {row['ratio_high']:.2f})"


def _peak(row: Row) -> str:
    return gigabytes(row.get("peak_bytes"))


def _difference(row: Row) -> str:
    return row["said"] if row.get("said") else number(row.get("difference"))


TABLES = (
    Table(
        "Right: everything else",
        ("right.demo", "right.continued", "right.rank", "right.callback"),
        (("check", _of("check")), ("of", _of("what")), ("difference", _difference), ("tolerance", _of("tolerance")),
         ("holds", _of("ok"))),
    ),
    Table(
        "Busy",
        ("busy",),
        (("model", _of("model")), ("dtype", _of("dtype")), ("tokens", _of("tokens")), ("batch", _of("batch_tokens")),
         ("bare, s", _of("bare")), ("scan, s", _of("scan")), ("scan / bare", _ratio),
         ("tokens/s", _of("tokens_a_second")), ("bare, share of rate", _percent("bare_share")),
         ("scan, share of rate", _percent("share")), ("automatic batch", _of("auto_batch_tokens")),
         ("scan so, s", _of("auto")), ("share so", _percent("auto_share")),
         ("waits a batch", _of("synchronisations")), ("where padded", _of("synchronisations_padded"))),
        "The pass of a default scan over `model(ids, labels=ids)`, same windows and batches, in turn; medians, and the "
        "least and largest ratio. Shares are of the rate of a large matrix product in that dtype on that device.",
    ),
    Table(
        "Seconds by phase",
        ("busy",),
        (("model", _of("model")), ("build", _of("build")), ("pass", _of("scan")), ("without probes", _of("no_probes")),
         ("loss alone", _of("loss_alone")), ("anisotropy alone", _of("anisotropy_alone")), ("finish", _of("finish")),
         ("spectrum of the head", _of("spectrum"))),
        "Building stands for loading. The spectra of wider heads are in the table of the head.",
    ),
    Table(
        "Spectrum of the head",
        ("head",),
        (("head", lambda r: f"{r['rows']:,} × {r['width']:,}"), ("how", _of("how")), ("seconds", _of("seconds")),
         ("of these for R", _of("factor")), ("difference, of the largest", _difference)),
    ),
    Table(
        "Heads that are trained",
        ("rank",),
        (("model", _of("model")), ("ranks", lambda r: ", ".join(map(str, r["ranks"]))), ("step, s", _of("step")),
         ("frozen pass, s", _of("frozen")), ("tokens/s", _of("tokens_a_second")),
         ("hours for 150M tokens", _of("hours")), ("memory above the model", _peak)),
    ),
    Table(
        "Memory of a pass above the model",
        ("memory.peak",),
        (("model", _of("model")), ("batches", _of("batch")), ("tokens of a batch", _of("batch_tokens")),
         ("would fit", _of("would_fit")), ("tokens", _of("tokens")), ("peak", _peak)),
    ),
    Table(
        "A batch that does not fit",
        ("memory.halving",),
        (("model", _of("model")), ("refused by", _of("refused_by")), ("tokens asked", _of("asked")),
         ("tokens used", _of("used")), ("difference", _difference), ("goes on", _of("ok"))),
    ),
)  # fmt: skip


def rows_of(document: Row, names: Sequence[str]) -> list[Row]:
    """Return rows of the parts that have one of these names, or are pieces of one."""
    return [
        row for part in document["parts"] for row in part["rows"]
        if any(part["part"] == name or part["part"].startswith(f"{name}.") for name in names)
    ]  # fmt: skip


def models_table(document: Row) -> Cells:
    """Return a row for each tiny model, a cell for each dtype: its largest differences, those that fail in bold."""
    rows = rows_of(document, ("right.models",))
    dtypes, checks = (list(dict.fromkeys(row[key] for row in rows)) for key in ("dtype", "check"))

    def difference_text(row: Row) -> str:
        if "difference" not in row:
            return f"**{row['said']}**"
        return number(row["difference"]) if row["ok"] else f"**{number(row['difference'])}**"

    def cell(check: str, dtype: str) -> str:
        return " · ".join(difference_text(row) for row in rows if (row["check"], row["dtype"]) == (check, dtype)) or "–"

    return [["model", *dtypes], *([check, *(cell(check, dtype) for dtype in dtypes)] for check in checks)]


def tolerances(document: Row) -> str:
    """Return the tolerance of each dtype, in one sentence."""
    limits: dict[str, dict[str, float]] = {}
    for row in rows_of(document, ("right.models",)):
        if "tolerance" in row:
            limits.setdefault(row["dtype"], {})[row["what"]] = row["tolerance"]
    sentences = [
        f"{dtype} " + ", ".join(f"{quantity} {number(x)}" for quantity, x in of.items()) for dtype, of in limits.items()
    ]
    return (
        "Largest differences from a twin in float64 on the CPU, in this order and at most: "
        + "; ".join(sentences)
        + "."
    )


def cells(document: Row, table: Table) -> Cells:
    """Return heading and rows of a table; without columns that are empty."""
    rows = [row for row in rows_of(document, table.parts) if "matrix_rate" not in row]
    columns = [(head, of) for head, of in table.columns if any(of(row) != "–" for row in rows)]
    return [[head for head, _ in columns], *([of(row) for _, of in columns] for row in rows)] if rows else []


def sections(document: Row) -> list[tuple[str, str, Cells]]:
    """Return title, note and cells of every table that has rows."""
    tables = [("Right: tiny models", tolerances(document), models_table(document))]
    tables += [(table.title, table.note, cells(document, table)) for table in TABLES]
    return [section for section in tables if len(section[2]) > 1]


def about(document: Row) -> str:
    """Return the device, the versions, the date, in one sentence."""
    of = document["about"]
    memory = f", {gigabytes(of['memory_bytes'])}" if of.get("memory_bytes") else ""
    rates = rows_of(document, ("busy.rate",))
    rate = f" A large matrix product ran at {_rate(rates[0])}." if rates else ""
    return (
        f"{of['device']} ({of['kind']}{memory}), {of['cores']} CPU cores; torch {of['torch']}, transformers "
        f"{of['transformers']}, Python {of['python']}, degen {of['degen']}; {of['date']}, "
        f"{of.get('seconds', 0):.0f} s in all.{rate}"
    )


def _rate(row: Row) -> str:
    return f"{row['matrix_rate'] / 1e12:.3g} TFLOP/s in {row['dtype']}"


def markdown(document: Row) -> str:
    """Return the whole document as Markdown."""
    pages = [about(document)]
    for title, note, table in sections(document):
        head, *rows = ([cell.replace("|", "\\|") for cell in row] for row in table)
        lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
        pages.append("\n\n".join(piece for piece in (f"### {title}", note, "\n".join(lines)) if piece))
    unwell = [f"- `{part['part']}`: {outcome(part)}" for part in document["parts"] if part["status"] != "ok"]
    if unwell:
        pages.append("### Not as it should be\n\n" + "\n".join(unwell))
    return "\n\n".join(pages) + "\n"


def outcome(part: Row) -> str:
    """Return how a part ended."""
    return f"{part['status']} ({part['error']})" if "error" in part else str(part["status"])


def plain(table: Cells) -> str:
    """Return a table for the terminal."""
    clean = [[cell.replace("**", "").replace("\n", " ") for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in clean)


def said_of(part: Row) -> str:
    """Return a part for the terminal, as it ends."""
    lines = [f"{part['part']}: {outcome(part)}, {part['seconds']:.1f} s"]
    for title, _, table in sections({"parts": [part]}):
        lines += [f"  {title}", *(f"    {line}" for line in plain(table).splitlines())]
    rates = [row for row in part["rows"] if "matrix_rate" in row]
    lines += [f"  a large matrix product: {_rate(row)}" for row in rates]
    return "\n".join(lines)
