"""Every probe of this package says what its figures are and mean; one of another package may leave it out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import pytest

from degen.probe import HeadProbe, Probe
from degen.probe_registry import bundled, load_probes
from degen.tables import Column, Metric, Rows


def missing(probe: type[Probe]) -> Iterator[str]:
    """Yield what a probe does not say: of the probe, of each metric, and of each number that no metric describes."""
    if not probe.cost.strip():
        yield "cost"
    if not probe.measures.strip() or not probe.needs:
        yield "measures, needs"
    described = [name for metric in probe.metrics for name in metric.columns]
    filled = [column for columns in probe.columns.values() for column in columns if not column.key]
    for metric in probe.metrics:
        yield from (
            f"{metric.columns[0]}.{field.name}"
            for field in fields(metric)
            if not str(getattr(metric, field.name)).strip()
        )
    yield from sorted(set(described) - {column.name for column in filled})
    yield from (
        column.name for column in filled if column.type in ("float64", "int64") and column.name not in described
    )
    yield from (f"{name} twice" for name in set(described) if described.count(name) > 1)


@pytest.mark.parametrize("name", bundled())
def test_a_probe_of_ours_says_what_its_figures_are_and_mean(name: str) -> None:
    assert list(missing(load_probes([name])[name])) == []


class HeadRows(HeadProbe):
    measures = "rows of the head"
    cost = "nothing"
    columns = {"checkpoints": (Column("head_rows", "int64", "rows", "rows"),)}
    metrics = (Metric(("head_rows",), "V", "degen", "1 to infinity", "many", "few", "none known"),)

    def measure(self, head: object) -> Rows:
        return {}


FULL = HeadRows.metrics[0]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, []),
        ({"cost": ""}, ["cost"]),
        ({"metrics": ()}, ["head_rows"]),
        ({"metrics": (replace(FULL, columns=("head_rows", "rows")),)}, ["rows"]),
        *(
            ({"metrics": (replace(FULL, **{field.name: " "}),)}, [f"head_rows.{field.name}"])
            for field in fields(Metric)
            if field.name != "columns"
        ),
    ],
)
def test_whatever_a_probe_leaves_out_is_named(changed: dict[str, object], named: list[str]) -> None:
    assert list(missing(type("Changed", (HeadRows,), changed))) == named


def test_a_probe_of_another_package_needs_no_description() -> None:
    class Bare(HeadProbe):
        measures = "nothing"
        columns = {"checkpoints": ()}

        def measure(self, head: object) -> Rows:
            return {}

    assert (Bare.metrics, Bare.cost) == ((), "")
