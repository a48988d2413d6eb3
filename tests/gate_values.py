"""The values that a rule is about, for tests."""

from __future__ import annotations

from pathlib import Path

from no_warning import no_warning

from degen.gate.metric_values import MetricValue, find_metric_values
from degen.gate.open_target import open_source
from degen.gate.parser import parse_rule


def values_of(rule: str, target: Path, baseline: Path | None = None) -> list[MetricValue]:
    """Return the values of a run or table that a rule is about."""
    other = open_source(baseline, no_warning) if baseline is not None else None
    return find_metric_values(parse_rule(rule), open_source(target, no_warning), other)


def value_of(rule: str, target: Path, baseline: Path | None = None) -> MetricValue:
    """Return the only value of a run or table that a rule is about."""
    (value,) = values_of(rule, target, baseline)
    return value
