"""The result of a fit of any law, and checks of its predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from degen.errors import DegenError
from degen.readers.source_summary import SourceSummary
from degen.stats.bootstrap import Interval

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

MAX_RESIDUALS = 5  # points that a result names as the farthest from the law


@dataclass(frozen=True, eq=False)
class FitResult:
    """A fitted law.

    Attributes:
        law: `hoffmann`, `envelope`, `isoflop` or `kaplan`.
        formula: the law as text.
        rests_on: number and kind of the rows that were fitted, as `240 points`.
        parameters: name of the parameter -> `value`, `low` and `high`.
        fixed: names of the parameters that were not fitted.
        rows: the points or budgets that were fitted.
        frontier: the compute-optimal model at each of some budgets; empty where the law has none.
        predictions: a row for each request.
        warnings: lines of warning.
        confidence: of the intervals.
        no_interval: why there are no intervals; None where there are.
        more: further results of this law alone, for JSON.
        source: what was understood of the table.
    """

    law: str
    formula: str
    rests_on: str
    parameters: Mapping[str, Interval]
    rows: Sequence[Row]
    fixed: Sequence[str] = ()
    frontier: Sequence[Row] = ()
    predictions: Sequence[Row] = ()
    warnings: Sequence[str] = ()
    confidence: float = 0.9
    no_interval: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    source: SourceSummary | None = None

    @property
    def residuals(self) -> Row | None:
        """How far the points lie from the law, in % of its loss; None where the rows are no points.

        `typical` is the root mean square over the points, `largest` the names and residuals of the `MAX_RESIDUALS`
        points that are farthest, the farthest first.
        """
        if not self.rows or "residual" not in self.rows[0]:
            return None
        percent = [(100 * math.expm1(row["residual"]), row["name"]) for row in self.rows]
        largest = sorted(percent, key=lambda pair: -abs(pair[0]))[:MAX_RESIDUALS]
        return {
            "typical": math.sqrt(sum(value**2 for value, _ in percent) / len(percent)),
            "largest": [{"name": name, "percent": value} for value, name in largest],
        }

    def document(self) -> Row:
        """Return the result for a JSON document."""
        names = [f.name for f in fields(self) if f.name not in ("rows", "more", "source")]
        source = self.source.as_dict() if self.source is not None else None
        head = {name: getattr(self, name) for name in names}
        return {**head, **self.more, "residuals": self.residuals, "source": source, "rows": self.rows}

    def table(self) -> pa.Table:
        """Return `rows`, the points or budgets that were fitted, as a pyarrow table."""
        import pyarrow as pa

        return pa.Table.from_pylist(list(self.rows))


def check_requests(requests: Sequence[Mapping[str, float]], allowed: Sequence[frozenset[str]], law: str) -> None:
    """Refuse predictions that a law cannot make.

    Args:
        requests: the known quantities of each model, as `{"N": 1e9}`.
        allowed: the sets of letters that the law predicts from.
        law: name of the law, for the error.

    Raises:
        DegenError: the law does not predict from the letters of a request, or a value is not positive and finite.
    """
    for request in requests:
        text = ",".join(f"{name}={value:g}" for name, value in request.items())
        if frozenset(request) not in allowed:
            forms = "; ".join(",".join(f"{name}=…" for name in sorted(names, reverse=True)) for names in allowed)
            raise DegenError(f"--predict {text}: {law} can only predict from {forms}")
        for name, value in request.items():
            if not 0 < value < float("inf"):
                raise DegenError(f"--predict {text}: {name} must be positive and finite")


def check_predicted(request: Mapping[str, float], row: Row) -> Row:
    """Return the prediction `row` with Python numbers in place of numpy's, after checking it.

    Args:
        request: the known quantities, for the error.
        row: the prediction.

    Raises:
        DegenError: a value is not positive and finite, because the request is too far from the fitted points.
    """
    plain = {name: None if value is None else float(value) for name, value in row.items()}
    for name, value in plain.items():
        if value is not None and not name.endswith(("_low", "_high")) and not 0 < value < float("inf"):
            text = ",".join(f"{letter}={known:g}" for letter, known in request.items())
            raise DegenError(
                f"--predict {text}: {name} would be {value:g}, because this is too far from the fitted points; choose "
                "closer values"
            )
    return plain
