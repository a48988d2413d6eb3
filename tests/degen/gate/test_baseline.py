"""A baseline that was measured on other text, and one whose model has another name."""

from __future__ import annotations

from pathlib import Path

import pytest
from gate_values import value_of, values_of

import degen
from degen.gate import judge, parse_rule
from degen.gate.metric_checks import depends_on_text
from degen.gate.parser import parse_rule as parse

SCAN = {"tokens": 256, "context": 32, "threads": 1}
ON_TEXT = ("loss.rise < 1", "perplexity.rise < 9", "anisotropy.rise[layer=last] < 1", "loss.rise[domain=Github] < 1")
ON_WEIGHTS = ("singular_entropy.rise < 9", "effective_rank.drop < 99", "parameters.rise < 1")


@pytest.fixture(scope="module")
def other(series: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the same series on windows of another draw."""
    return degen.scan(series, corpus=corpus, seed=7, out=tmp_path_factory.mktemp("other") / "run", **SCAN).path


@pytest.mark.parametrize("rule", ON_TEXT)
def test_what_depends_on_text_is_undecidable_against_other_text(run: degen.Run, other: Path, rule: str) -> None:
    verdicts = judge([parse_rule(rule)], run.path, baseline=other)
    assert verdicts.exit_code == 3
    (outcome,) = verdicts.outcomes
    assert outcome.verdict == "undecidable"
    assert outcome.reason == (
        f"the baseline was measured on other text; scan this run with --sample {other / 'sample.parquet'}"
    )


@pytest.mark.parametrize("rule", ON_WEIGHTS)
def test_what_the_weights_alone_say_is_compared_all_the_same(run: degen.Run, other: Path, rule: str) -> None:
    assert judge([parse_rule(rule)], run.path, baseline=other).exit_code == 0
    assert value_of(rule, run.path, other).difference == 0.0


def test_a_metric_that_no_probe_here_declares_is_taken_to_depend_on_text() -> None:
    assert depends_on_text(parse("own_metric.rise < 1"))


def test_a_broken_rule_on_the_weights_counts_before_an_undecidable_one(run: degen.Run, other: Path) -> None:
    rules = [parse_rule("loss.rise < 1"), parse_rule("singular_entropy.rise < -1")]
    assert judge(rules, run.path, baseline=other).exit_code == 1


def test_a_model_selected_by_name_is_compared_with_the_only_one_of_the_baseline(
    series: Path, run: degen.Run, corpus: Path, tmp_path: Path
) -> None:
    sample = run.path / "sample.parquet"
    pair = [f"new={series}", f"old={series}"]
    degen.scan(pair, sample=sample, steps="100", out=tmp_path / "pair", threads=1)
    assert value_of("loss.rise[model=new,step=100] < 1", tmp_path / "pair", run.path).difference == 0.0
    with pytest.raises(degen.DegenError, match="has no model 'new'"):
        values_of("loss.rise[step=100] < 1", tmp_path / "pair", run.path)
