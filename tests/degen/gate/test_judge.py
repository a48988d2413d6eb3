"""Verdicts: bounds, intervals, what is missing, and the exit code they come to."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from degen import DegenError
from degen.gate import Outcome, Verdicts, judge, parse_rule
from degen.gate.judge import check_confidence, judge_value
from degen.gate.metric_values import MetricValue
from degen.stats.document_interval import JackknifeRange

Z95 = 1.6448536269514722


def measured(value: float | None, error: float | None = None, **more: Any) -> MetricValue:
    return MetricValue("m", "step1", 1, None, value, error, **more)


def verdict(rule: str, value: float | None, error: float | None = None, sure: float | None = None, **more: Any) -> str:
    return judge_value(parse_rule(rule), measured(value, error), sure, **more).verdict


@pytest.mark.parametrize(
    ("rule", "below", "at", "above"),
    [
        ("x < 1", "passed", "failed", "failed"),
        ("x <= 1", "passed", "passed", "failed"),
        ("x > 1", "failed", "failed", "passed"),
        ("x >= 1", "failed", "passed", "passed"),
    ],
)
def test_values_are_compared_as_they_are(rule: str, below: str, at: str, above: str) -> None:
    assert [verdict(rule, v) for v in (0.999, 1.0, 1.001)] == [below, at, above]
    assert [verdict(rule, v, error=100.0) for v in (0.999, 1.0, 1.001)] == [below, at, above]


@pytest.mark.parametrize("rule", ["x < 1", "x > -1"])
def test_an_interval_fails_beyond_the_bound_and_else_passes_or_is_undecidable(rule: str) -> None:
    sign = 1 if "<" in rule else -1
    lax = [verdict(rule, sign * v, 0.1, 0.95) for v in (0.8, 0.9, 1.1, 1.2)]
    strict = [verdict(rule, sign * v, 0.1, 0.95, strict=True) for v in (0.8, 0.9, 1.1, 1.2)]
    assert lax == ["passed", "passed", "passed", "failed"]
    assert strict == ["passed", "undecidable", "undecidable", "failed"]


def test_a_value_that_passes_within_noise_has_a_reason() -> None:
    outcome = judge_value(parse_rule("x < 1"), measured(1.1, 0.1), 0.95)
    assert outcome.reason == "breaks the bound, but within noise: the interval reaches beyond it"
    assert (outcome.low, outcome.high) == (pytest.approx(1.1 - Z95 / 10), pytest.approx(1.1 + Z95 / 10))
    assert outcome.margin == pytest.approx(-0.1)
    undecided = judge_value(parse_rule("x < 1"), measured(0.9, 0.1), 0.95)
    assert (undecided.verdict, undecided.reason) == ("passed", None)


def test_without_an_error_the_value_counts_and_the_reason_says_so() -> None:
    for strict in (False, True):
        for value, expected in ((0.9, "passed"), (1.1, "failed")):
            outcome = judge_value(parse_rule("x < 1"), measured(value), 0.95, strict)
            assert outcome.verdict == expected
            assert outcome.reason == "no standard error is known; compared as a value"
    assert judge_value(parse_rule("x < 1"), measured(0.9)).reason is None


@given(
    st.floats(-10, 10),
    st.floats(0, 3),
    st.floats(-10, 10),
    st.sampled_from(["<", "<=", ">", ">="]),
    st.floats(0.5, 0.999),
)
def test_noise_never_turns_a_verdict_into_its_opposite(
    value: float, error: float, bound: float, comparison: str, sure: float
) -> None:
    rule = f"x {comparison} {bound!r}"
    plain, lax = verdict(rule, value), verdict(rule, value, error, sure)
    strict = verdict(rule, value, error, sure, strict=True)
    assert strict in (plain, "undecidable")
    assert lax == ("failed" if strict == "failed" else "passed")
    if error == 0:
        assert lax == strict == plain


def test_few_documents_make_a_wide_interval() -> None:
    """MetricValues of n documents, normal and independent, whose mean is on the bound: 5 % fail, whatever n is.

    Fewer than 5 are never enough to fail a rule.
    """
    generator = np.random.default_rng(0)
    rule = parse_rule("x < 0")
    for n in (2, 3, 5, 20):
        broken = "failed" if n >= 5 else "undecidable"
        drawn = generator.normal(size=(4000, n))
        errors = drawn.std(axis=1, ddof=1) / math.sqrt(n)
        verdicts = [
            judge_value(rule, measured(float(mean), float(error), freedom=n - 1), 0.95).verdict
            for mean, error in zip(drawn.mean(axis=1), errors, strict=True)
        ]
        assert set(verdicts) == {"passed", broken}
        assert verdicts.count(broken) / 4000 == pytest.approx(0.05, abs=0.011)


def test_missing_and_infinite_values_never_pass() -> None:
    for rule in ("x < 1", "x > 1", "x <= 1", "x >= 1", "x.rise < 1", "x.drop < 5%"):
        for sure in (None, 0.95):
            assert verdict(rule, None, sure=sure) == "undecidable"
            assert judge_value(parse_rule(rule), measured(0.0, missing="is NaN"), sure).reason == "is NaN"
    assert verdict("x < 1", math.inf) == "failed"
    assert verdict("x > 1", math.inf) == "undecidable"
    assert verdict("x > 1", -math.inf, 0.1, 0.95) == "failed"


def test_relations_compare_differences_with_bounds_of_the_reference() -> None:
    rise = measured(3.1, 9.0, reference=3.0, reference_step=5, difference=0.1, difference_error=0.01, margin_error=0.01)
    for rule, expected, bound in (
        ("x.rise < 0.11", "passed", 0.11),
        ("x.rise < 0.05", "failed", 0.05),
        ("x.rise < 1%", "failed", 0.03),
        ("x.rise < max(0.2, 1%)", "passed", 0.2),
        ("x.rise < max(0.02, 5%)", "passed", 0.15),
    ):
        outcome = judge_value(parse_rule(rule), rise, 0.95)
        assert outcome.verdict == expected
        assert outcome.bound == pytest.approx(bound)
        assert outcome.low == pytest.approx(0.1 - Z95 / 100)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_text("model,step,loss,loss_se,acc\na,1,3,.1,.5\na,2,2.5,.1,\nb,1,3,.1,.5\nb,2,3.2,.1,.6\nc,2,9,,.1\n")
    return path


def outcomes(verdicts: Verdicts) -> list[tuple[str, str]]:
    return [(o.measured.model, o.verdict) for o in verdicts.outcomes]


def test_the_worst_outcomes_come_first(table: Path) -> None:
    verdicts = judge([parse_rule("acc > 0.2"), parse_rule("loss < 3.1")], table)
    assert outcomes(verdicts) == [
        ("c", "failed"), ("c", "failed"), ("b", "failed"), ("a", "undecidable"), ("b", "passed"), ("a", "passed"),
    ]  # fmt: skip
    assert (verdicts.verdict, verdicts.exit_code) == ("failed", 1)
    assert [verdicts.count(v) for v in ("failed", "undecidable", "passed")] == [3, 1, 2]


def test_a_rise_over_too_few_checkpoints_is_undecidable(table: Path) -> None:
    verdicts = judge([parse_rule("loss.rise < 0.1")], table)
    assert outcomes(verdicts) == [("b", "failed"), ("c", "undecidable"), ("a", "passed")]
    assert str(verdicts.outcomes[1].reason).startswith("too few checkpoints: a rise needs two that are measured")


def test_a_rise_within_noise_is_undecidable_with_a_confidence(table: Path) -> None:
    rule = [parse_rule("loss.rise[model=b] < 0.1")]
    assert judge(rule, table).exit_code == 1
    assert judge(rule, table, confidence=0.95).exit_code == 0
    assert judge(rule, table, confidence=0.95, strict=True).exit_code == 3
    assert judge(rule, table, confidence=0.5, strict=True).exit_code == 1


def test_an_unused_baseline_gives_a_warning(table: Path) -> None:
    warnings: list[str] = []
    judge([parse_rule("loss[model=a] < 3")], table, baseline=table, warn=warnings.append)
    assert warnings == [f"the baseline {table} is not used, because no rule has a .rise or .drop"]


def test_a_rule_given_twice_is_judged_once(table: Path) -> None:
    rules = [parse_rule("loss[model=a]<3"), parse_rule("loss[ model=a ] < 3.0")]
    assert len(judge(rules, table).outcomes) == 1


def outcome(expected: Any) -> Outcome:
    return Outcome(parse_rule("x < 1"), expected, measured(0.0), 1.0, None, None, None, None)


@pytest.mark.parametrize(
    ("expected", "incomplete", "code"),
    [
        (["passed"], (), 0),
        (["passed", "failed", "undecidable"], ("m@step1",), 1),
        (["passed", "undecidable"], ("m@step1",), 3),
        (["passed"], ("m@step1",), 4),
        (["undecidable"], (), 3),
    ],
)
def test_the_worst_of_several_verdicts_gives_the_exit_code(
    expected: list[str], incomplete: tuple[str, ...], code: int
) -> None:
    assert Verdicts("t", tuple(map(outcome, expected)), incomplete).exit_code == code


def test_wrong_options_of_judge_are_refused(table: Path) -> None:
    with pytest.raises(DegenError, match="no rule to judge by"):
        judge([], table)
    for confidence in (0.0, 0.49, 1.0, 95.0, math.nan):
        with pytest.raises(DegenError, match=r"must be at least 0\.5 and below 1"):
            judge([parse_rule("loss < 3")], table, confidence=confidence)
    with pytest.raises(DegenError, match="--strict needs --confidence"):
        judge([parse_rule("loss < 3")], table, strict=True)
    with pytest.raises(DegenError, match="no such file"):
        judge([parse_rule("loss.rise < 3")], table, baseline="nowhere.csv")
    check_confidence(0.95, True)


def test_few_documents_that_disagree_with_their_tail_are_undecidable() -> None:
    """One document far off moves the value: by Student's t it breaks the bound, by the wider interval it does not."""
    spread = JackknifeRange(0.925, 0.955)
    for documents, expected in ((10, "undecidable"), (29, "undecidable"), (30, "passed"), (100, "passed")):
        value = replace(measured(0.93, 0.004, freedom=documents - 1), spread=spread)
        outcome = judge_value(parse_rule("anisotropy < 0.92"), value, 0.95)
        assert outcome.verdict == expected, documents
        assert outcome.low is not None
        assert outcome.low < 0.92
    few = judge_value(parse_rule("anisotropy < 0.92"), replace(value, freedom=9), 0.95)
    assert few.reason == "10 documents are too few for a value that single documents move so far; measure 30 or more"


def test_fewer_than_five_documents_fail_no_rule() -> None:
    value = measured(0.9, 0.001, freedom=3)
    outcome = judge_value(parse_rule("anisotropy < 0.5"), value, 0.95)
    assert (outcome.verdict, outcome.reason) == (
        "undecidable",
        "4 documents are too few to fail a rule; measure 5 or more",
    )
    assert judge_value(parse_rule("anisotropy < 0.5"), replace(value, freedom=4), 0.95).verdict == "failed"
    assert judge_value(parse_rule("anisotropy < 0.5"), value).verdict == "failed"  # without a confidence, as it is


def test_several_values_under_one_rule_are_said_and_can_share_the_confidence(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("model,step,loss,loss_se\n" + "".join(f"m{i},1,{1 + 0.02 * i},0.01\n" for i in range(1, 4)))
    rule, lines = parse_rule("loss < 1"), list[str]()
    plain = judge([rule], table, confidence=0.95, warn=lines.append)
    assert lines == [
        "loss < 1: 3 values are judged, each at a confidence of 0.95; if all lie on the bound and vary independently, "
        "one or more fail by chance in 14% of gates; --family-wise keeps that at 5%"
    ]
    lines.clear()
    together = judge([rule], table, confidence=0.95, family_wise=True, warn=lines.append)
    assert lines == []
    assert [o.measured.model for o in plain.outcomes if o.verdict == "failed"] == ["m3", "m2", "m1"]
    assert [o.measured.model for o in together.outcomes if o.verdict == "failed"] == ["m3", "m2"]
    first = next(o for o in together.outcomes if o.measured.model == "m1")
    assert first.low == pytest.approx(1.02 - norm.ppf(1 - 0.05 / 3) * 0.01)


def test_values_on_their_bound_fail_together_no_more_often_than_the_confidence_says() -> None:
    generator = np.random.default_rng(0)
    rule = parse_rule("x < 0")
    several, failed = 13, 0
    for _ in range(1000):
        own = 1 - 0.05 / several
        values = generator.normal(size=several)
        failed += any(judge_value(rule, measured(float(v), 1.0), own).verdict == "failed" for v in values)
    assert failed / 1000 == pytest.approx(0.05, abs=0.02)
