"""What was published of Pythia: losses, heads, anisotropy and zero-shot results."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest

from degen.published import published_table
from degen.saturation import Larger, SaturationResult, find_saturation
from degen.saturation.onset import Onset
from degen.saturation.verdict import Verdict

SMALL = ["pythia-14m", "pythia-31m", "pythia-70m", "pythia-160m"]
LARGE = [f"pythia-{size}" for size in ("1b", "1.4b", "2.8b", "6.9b", "12b")]
ENTROPY = dict(zip(SMALL, (55_000, 72_000, 69_000, 88_000), strict=True))
ANISOTROPY = dict(zip(SMALL, (28_000, 42_000, 55_000, 81_000), strict=True))


def saturation_of(name: str, **options: Any) -> SaturationResult:
    return find_saturation(published_table(name), **options)


@lru_cache
def losses() -> SaturationResult:
    return saturation_of("pythia_pile_loss")


@lru_cache
def entropies() -> dict[str, Verdict]:
    return {v.curve.model: v for v in saturation_of("pythia_head_singular_entropy").verdicts}


@lru_cache
def anisotropies() -> dict[str, Verdict]:
    result = saturation_of("pythia_wikitext_anisotropy", metrics=["last_layer_anisotropy"])
    return {v.curve.model: v for v in result.verdicts}


@lru_cache
def lambada() -> dict[tuple[str, str], Verdict]:
    result = saturation_of("pythia_lm_eval", metrics=["ppl", "acc"], where={"task": "lambada_openai"})
    return {(v.curve.model, v.curve.metric): v for v in result.verdicts}


def onset(verdict: Verdict) -> Onset:
    return verdict.onset


# Loss on the Pile


def test_the_losses_of_the_four_smallest_models_saturated_or_recovered() -> None:
    words = {v.curve.model: v.verdict for v in losses().verdicts}
    assert [model for model, word in words.items() if word in ("saturated", "recovered")] == SMALL
    assert [model for model, word in words.items() if word == "recovered"] == ["pythia-14m"]
    assert words["pythia-410m"] == "not_saturated"
    assert [model for model, word in words.items() if word == "undecided"] == LARGE


def test_published_models_of_one_checkpoint_are_undecided() -> None:
    undecided = [v for v in losses().verdicts if v.verdict == "undecided"]
    assert [(v.curve.model, v.checkpoints) for v in undecided] == [(model, 1) for model in LARGE]
    assert {v.reason for v in undecided} == {"1 checkpoint with a value; 3 are needed"}


def test_the_best_steps_of_losses_are_the_published_ones() -> None:
    best = [v.best_step for v in losses().verdicts[:5]]
    assert best == [35_000, 50_000, 50_000, 75_000, 140_000]


@pytest.mark.parametrize("model", SMALL)
def test_losses_rise_after_the_start_and_before_the_end(model: str) -> None:
    (verdict,) = (v for v in losses().verdicts if v.curve.model == model)
    assert 20_000 <= onset(verdict).low < onset(verdict).high <= 110_000


def test_the_small_models_lie_above_the_law_of_the_larger_by_the_published_gaps() -> None:
    result = losses().extrapolation
    assert [row.model for row in result.rows if row.role == "fitted"] == ["pythia-410m", *LARGE]
    assert result.parameters["A"]["value"] == pytest.approx(118.66, abs=0.01)
    assert result.parameters["alpha"]["value"] == pytest.approx(0.2463, abs=1e-4)
    assert f"{result.mean_final_gap:.1%} {result.mean_best_gap:.1%}" == "8.4% 4.5%"


def test_the_table_has_the_published_gap_of_each_small_model() -> None:
    rows = {row["model"]: row for row in losses().rows()}
    finals = [rows[model]["excess_final"] for model in SMALL]
    assert sum(finals) / 4 == pytest.approx(0.084, abs=5e-4)
    assert all(rows[model]["excess_final_low"] > 0 for model in SMALL)
    assert {rows[model]["excess_final_low"] for model in LARGE} == {None}


def test_hubers_loss_fits_another_law_to_the_published_losses() -> None:
    result = saturation_of("pythia_pile_loss", larger=Larger(objective="huber")).extrapolation
    assert result.parameters["A"]["value"] == pytest.approx(113.7, abs=0.1)


# Geometry


@pytest.mark.parametrize("model", SMALL)
def test_heads_of_small_models_collapse_at_the_published_steps(model: str) -> None:
    verdict = entropies()[model]
    assert verdict.verdict == "saturated"
    assert onset(verdict).low <= ENTROPY[model] <= onset(verdict).high
    assert onset(verdict).step == pytest.approx(ENTROPY[model], abs=5000)


@pytest.mark.parametrize("model", ["pythia-410m", "pythia-1b", "pythia-1.4b"])
def test_heads_of_larger_models_drift_and_do_not_collapse(model: str) -> None:
    verdict = entropies()[model]
    assert verdict.verdict == "not_saturated"
    assert verdict.onset is None
    assert 0 < verdict.gap < verdict.curve.floor


@pytest.mark.parametrize("model", SMALL)
def test_states_of_small_models_turn_anisotropic_at_the_published_steps(model: str) -> None:
    verdict = anisotropies()[model]
    assert verdict.verdict == "saturated"
    assert onset(verdict).low <= ANISOTROPY[model] <= onset(verdict).high
    assert onset(verdict).step == pytest.approx(ANISOTROPY[model], abs=8000)


@pytest.mark.parametrize("model", SMALL)
def test_anisotropy_comes_before_the_collapse_of_the_head(model: str) -> None:
    assert onset(anisotropies()[model]).step < onset(entropies()[model]).step


def test_states_of_410m_do_not_turn_anisotropic() -> None:
    verdict = anisotropies()["pythia-410m"]
    assert verdict.verdict != "saturated"
    assert verdict.onset is None


# Zero-shot results


@pytest.mark.parametrize("metric", ["ppl", "acc"])
def test_lambada_saturates_for_the_two_smallest_models_and_no_other(metric: str) -> None:
    of_metric = {model: v for (model, name), v in lambada().items() if name == metric}
    assert len(of_metric) == 8
    saturated = {model for model, v in of_metric.items() if v.verdict == "saturated"}
    assert saturated == {"pythia-70m", "pythia-160m"}
    assert "recovered" not in {v.verdict for v in of_metric.values()}


@pytest.mark.parametrize("metric", ["ppl", "acc"])
@pytest.mark.parametrize(("model", "step"), [("pythia-70m", 53_000), ("pythia-160m", 63_000)])
def test_the_best_steps_of_lambada_are_the_published_ones(model: str, step: int, metric: str) -> None:
    verdict = lambada()[model, metric]
    assert verdict.best_step == step
    assert verdict.curve.better == {"ppl": "min", "acc": "max"}[metric]
    assert verdict.p_value < 0.05
