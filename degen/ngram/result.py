"""The result of `degen ngram`: a curve for each corpus, tokenizer and order, and table `ngram`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from degen.runs.ownership import check_part
from degen.runs.run import Run
from degen.runs.run_writer import write_errors
from degen.tables import NGRAM, Column, Row, file_name, schema_of, write_part

from .heads import Head
from .known_widths import KNOWN_WIDTHS
from .settings import NgramSettings
from .w_error import WErrorCurve

if TYPE_CHECKING:
    import pyarrow as pa

HALF, TENTH = 0.5, 0.1  # the levels of W-error whose dimensions are given
EVERY = 64  # dimensions that are all in the table; larger ones are 5 % apart

COLUMNS = (
    Column("model", "string", "", "label of the series whose head is compared; null without a run"),
    Column("corpus", "string", "", "name of the corpus"),
    Column("tokenizer", "string", "", "name of the tokenizer"),
    Column("order", "int64", "tokens", "n of the n-grams; a context has n − 1 tokens"),
    Column("dimension", "int64", "dimensions", "d, the rank that the matrix W of contexts × vocabulary is reduced to"),
    Column("w_error", "float64", "", "sqrt(Σ_{i>d} σᵢ²) / ‖W‖_F, W of p(token | context)"),
    Column("w_error_low", "float64", "", "lower end of its 95 % interval; null where it is exact"),
    Column("w_error_high", "float64", "", "upper end of its 95 % interval; null where it is exact"),
    Column("head_w_error", "float64", "", "the same of the head's own matrix; null without a run"),
    Column("dimension_half", "int64", "dimensions", "smallest d at which w_error is at most 0.5"),
    Column("dimension_half_low", "int64", "dimensions", "lower end of its interval; null where it is exact"),
    Column("dimension_half_high", "int64", "dimensions", "upper end of its interval; null where it is exact"),
    Column("dimension_tenth", "int64", "dimensions", "smallest d at which w_error is at most 0.1"),
    Column("dimension_tenth_low", "int64", "dimensions", "lower end of its interval; null where it is exact"),
    Column("dimension_tenth_high", "int64", "dimensions", "upper end of its interval; null where it is exact"),
    Column("head_revision", "string", "", "checkpoint of the head, the last with a spectrum"),
    Column("head_size", "int64", "dimensions", "width the LM head sees"),
    Column("bottleneck_rank", "int64", "dimensions", "that of the checkpoint; null where it was not measured"),
    Column("method", "string", "", "exact (all singular values in float64) or estimated"),
    Column("contexts", "int64", "contexts", "rows of W"),
    Column("contexts_eligible", "int64", "contexts", "those seen at least least_count times, from which W is sampled"),
    Column(
        "contexts_eligible_exact", "bool", "", "whether these were all counted; else estimated from a share of them"
    ),
    Column("contexts_once", "int64", "contexts", "rows of W that were seen once, so that they hold a single 1"),
    Column("next_tokens", "int64", "tokens", "different tokens that follow a context of W, its columns that are not 0"),
    Column("vocabulary", "int64", "tokens", "columns of W, ids of the tokenizer"),
    Column("least_count", "int64", "", "how often a context had to be seen"),
    Column("weighted", "bool", "", "whether each row of W is multiplied by the root of its context's count"),
    Column("tokens", "int64", "tokens", "tokens that were read"),
    Column("documents", "int64", "", "documents that they come from"),
    Column("sample_seed", "int64", "", "seed of the order of documents and of the sample of contexts"),
)


@dataclass(frozen=True)
class NgramMeasurement:
    """The measurement of one corpus, tokenizer and order; what is no attribute here is a column of `COLUMNS`.

    Attributes:
        curve: W-error by dimension.
        exact: whether the curve comes from all singular values.
    """

    corpus: str
    tokenizer: str
    order: int
    curve: WErrorCurve
    exact: bool
    contexts: int
    contexts_eligible: int
    contexts_eligible_exact: bool
    contexts_once: int
    next_tokens: int
    vocabulary: int
    tokens: int
    documents: int

    @property
    def label(self) -> str:
        """Corpus, tokenizer and order in a few words."""
        return f"{self.corpus}, {self.tokenizer}, order {self.order}"


@dataclass(frozen=True)
class NgramResult:
    """The result of `degen ngram`.

    Attributes:
        measurements: one for each corpus, tokenizer and order.
        settings: of all of them.
        heads: those of the run that was named.
    """

    measurements: list[NgramMeasurement]
    settings: NgramSettings
    heads: list[Head] = field(default_factory=list)

    def rows(self) -> list[Row]:
        """Return the rows of table `ngram`: one for each model of the run, corpus, tokenizer, order and dimension."""
        heads: list[Head | None] = [*self.heads] if self.heads else [None]
        return [row for head in heads for measured in self.measurements for row in self._rows(measured, head)]

    def table(self) -> pa.Table:
        """Return table `ngram`."""
        import pyarrow as pa

        return pa.Table.from_pylist(self.rows(), schema=schema_of(COLUMNS))

    def _rows(self, measured: NgramMeasurement, head: Head | None) -> list[Row]:
        known: Row = {c.name: getattr(measured, c.name) for c in COLUMNS if hasattr(measured, c.name)}
        known |= {"least_count": self.settings.least_count, "weighted": self.settings.weighted}
        known |= {"sample_seed": self.settings.seed, "method": "exact" if measured.exact else "estimated"}
        for name, level in (("dimension_half", HALF), ("dimension_tenth", TENTH)):
            ends = measured.curve.dimension(level)
            known |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
        if head is not None:
            known |= {"model": head.model, "head_revision": head.revision, "head_size": head.size}
            known["bottleneck_rank"] = head.bottleneck_rank
        rows = []
        for dimension in self._dimensions(measured.curve):
            value, low, high = measured.curve.at(dimension)
            row = known | {"dimension": dimension, "w_error": value, "w_error_low": low, "w_error_high": high}
            row["head_w_error"] = head.curve.at(dimension)[0] if head is not None else None
            rows.append({c.name: row.get(c.name) for c in COLUMNS})
        return rows

    def _dimensions(self, curve: WErrorCurve) -> list[int]:
        """Return the dimensions that a curve has rows of: all small ones, some larger ones, widths of models."""
        last = len(curve.w_error) - 1
        spaced = np.geomspace(1, last, 1 + int(np.log(last) / np.log(1.05))).astype(int).tolist() if last > 1 else []
        levels = [curve.dimension(level)[0] for level in (HALF, TENTH)]
        every = {*range(1, min(EVERY, last) + 1), *spaced, last, *levels, *KNOWN_WIDTHS, *(h.size for h in self.heads)}
        return sorted(int(d) for d in every if d >= 1)


def write_result(result: NgramResult, run: Run) -> None:
    """Write a result into the run that it was compared with, as table `ngram`, a file for each model.

    Raises:
        DegenError: the run lies elsewhere, a file cannot be written, or one that degen did not write is in the way.
    """
    run.check_writable()
    notes = {"degen.config_hash": str(run.info.get("config_hash", ""))}
    every = result.rows()
    for head in result.heads:
        part = run.path / NGRAM / f"{file_name(head.model)}.parquet"
        check_part(part)
        with write_errors(run.path):
            write_part(part, schema_of(COLUMNS), [row for row in every if row["model"] == head.model], notes)
