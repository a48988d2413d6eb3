"""The tables that `degen ngram` and `degen show` print of n-grams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from degen.ngram import NgramResult
    from degen.ngram.result import NgramMeasurement
    from degen.tables import Row


def print_ngrams(result: NgramResult) -> None:
    """Print the dimensions that each corpus needs, its W-error at the widths of known models, and the heads."""
    from degen.ngram.result import HALF, TENTH

    heads = [
        "corpus",
        "tokenizer",
        "order",
        "tokens",
        "contexts",
        "seen once",
        "next tokens",
        "d at 0.5",
        "d at 0.1",
        "",
    ]
    rows = []
    for m in result.measurements:
        at = [output.format_interval(*m.curve.dimension(level)) for level in (HALF, TENTH)]
        method = "exact" if m.exact else "estimated"
        rows.append([
            m.corpus, m.tokenizer, m.order, m.tokens, m.contexts, m.contexts_once, m.next_tokens, *at, method
        ])  # fmt: skip
    output.result_table(heads, rows)
    output.result("d at 0.5, 0.1: the smallest dimension at which W-error is at most that")
    for m in result.measurements:
        output.result(f"{m.label}: {_drawn(m, result)}")
    _print_widths(result)
    if result.heads:
        _print_heads(result)


def _drawn(measured: NgramMeasurement, result: NgramResult) -> str:
    """Return in words which contexts a matrix has."""
    least, about = result.settings.least_count, "" if measured.contexts_eligible_exact else "about "
    seen = f"contexts seen at least {least} times" if least > 1 else "contexts"
    if measured.contexts_eligible == measured.contexts:
        return f"all {measured.contexts:,} {seen}"
    return (
        f"{measured.contexts:,} of {about}{measured.contexts_eligible:,} {seen}, drawn by seed {result.settings.seed}"
    )


def _print_widths(result: NgramResult) -> None:
    """Print the W-error that is left at the widths of known models, a column for each measurement."""
    from degen.ngram.known_widths import KNOWN_WIDTHS

    last = max(len(m.curve.w_error) - 1 for m in result.measurements)
    widths = [width for width in KNOWN_WIDTHS if width < last]
    if widths:
        rows = [
            [width, ", ".join(KNOWN_WIDTHS[width]), *(_interval_at(m, width) for m in result.measurements)]
            for width in widths
        ]
        output.result_table(
            ["width", "models", *(m.label for m in result.measurements)], rows, title="W-error at the width of a head"
        )


def _interval_at(measured: NgramMeasurement, dimension: int) -> Any:
    value, low, high = measured.curve.at(dimension)
    return value if low is None else output.format_interval(value, low, high)


def _print_heads(result: NgramResult) -> None:
    rows = result.rows()
    print_heads([row for row in rows if row["dimension"] == row["head_size"]], rows)


def print_heads(at_width: Sequence[Row], rows: Sequence[Row]) -> None:
    """Print for each head and corpus whether the head has fewer dimensions than the data needs.

    Args:
        at_width: the rows of table `ngram` at the width of each head.
        rows: all of its rows.
    """
    lines = []
    for row in at_width:
        model = [other for other in rows if other["model"] == row["model"]]
        own = [min(r["dimension"] for r in model if r["head_w_error"] <= level + 1e-12) for level in (0.5, 0.1)]
        fewer = [
            f"d at {level}" for name, level in (("dimension_half", 0.5), ("dimension_tenth", 0.1))
            if row["head_size"] < row[name]
        ]  # fmt: skip
        lines.append([
            row["model"], row["head_revision"], row["corpus"], row["tokenizer"], row["order"], row["head_size"],
            row["w_error"], row["dimension_half"], row["dimension_tenth"], *own, row["bottleneck_rank"],
            " and ".join(fewer),
        ])  # fmt: skip
    heads = ["model", "revision", "corpus", "tokenizer", "order", "head", "W-error left", "d at 0.5", "d at 0.1"]
    heads += ["head's own at 0.5", "at 0.1", "bottleneck rank", "head is below"]
    if all(row["bottleneck_rank"] is None for row in at_width):  # the run has no ranks
        for line in (heads, *lines):
            del line[-2]
    output.result_table(heads, lines, title="Heads and data")
    output.result("head: its width; W-error left: of the data, in so many dimensions")
