"""Loss, perplexity and bits per byte of a run have one verdict: perplexity is judged on its logarithm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from no_warning import no_warning

import degen
from degen.metrics.curve import Curve
from degen.metrics.find_curves import find_curves
from degen.metrics.metric_kinds import Floor
from degen.saturation import find_saturation
from degen.saturation.log_scale import judge_in_scale
from degen.saturation.verdict import judge

METRICS = ("loss", "perplexity", "bits_per_byte")


def curves_of(run: Path, **options: object) -> list[Curve]:
    return find_curves(run, metrics=METRICS, warn=no_warning, **options)  # type: ignore[arg-type]


def test_errors_covariance_and_floor_are_those_of_the_loss(run: degen.Run) -> None:
    loss, perplexity, bits = curves_of(run.path)
    logarithm = perplexity.logarithm()
    assert perplexity.logarithmic
    assert not loss.logarithmic
    assert not bits.logarithmic
    assert not logarithm.logarithmic
    factor = bits.values[0] / loss.values[0]  # 1 / (ln 2 · bytes per token), the same for every checkpoint
    for other, scale in ((logarithm, 1.0), (bits, factor)):
        assert other.errors is not None
        assert other.covariance is not None
        assert other.values == pytest.approx(loss.values * scale)
        assert other.errors == pytest.approx(loss.errors * scale)
        assert np.allclose(other.covariance, loss.covariance * scale**2, rtol=1e-9, atol=0)
        assert other.floor == pytest.approx(loss.floor * scale)
        assert other.windows is None


def test_a_floor_of_the_loss_is_carried_over_and_one_of_its_own_is_not(run: degen.Run) -> None:
    loss, perplexity, bits = curves_of(run.path, floors={"loss": Floor(0.25)})
    assert perplexity.logarithm().floor == pytest.approx(0.25)
    assert bits.floor == pytest.approx(0.25 * bits.values.min() / loss.values.min())
    _, perplexity, bits = curves_of(run.path, floors={"perplexity": Floor(3.0), "bits_per_byte": Floor(0.125)})
    assert (perplexity.floor, bits.floor) == (3.0, 0.125)


@pytest.mark.parametrize("after", [0.0, 0.05])
def test_the_three_have_one_verdict_and_one_onset(run: degen.Run, after: float) -> None:
    loss, perplexity, bits = find_saturation(run.path, metrics=METRICS, after=after).verdicts
    for other in (perplexity, bits):
        assert (other.verdict, other.onset, other.best_step) == (loss.verdict, loss.onset, loss.best_step)
        assert other.p_value == pytest.approx(loss.p_value)


def made(values: list[float], **more: object) -> Curve:
    steps = np.arange(1, len(values) + 1) * 100
    return Curve("m", "ppl", steps, np.array(values), logarithmic=True, **more)  # type: ignore[arg-type]


def test_values_are_in_the_unit_of_the_metric() -> None:
    losses = np.array([4.0, 3.0, 2.5, 2.2, 2.0, 2.01, 2.2, 2.5, 2.7, 2.9])
    errors = np.full(10, 0.005)
    values = np.exp(losses)
    curve = made(list(values), errors=errors * values, floor=float(values.min() * np.expm1(0.01)))
    verdict = judge_in_scale(curve, after=0.0)
    nats = judge(Curve("m", "loss", curve.steps, losses, errors=errors, floor=0.01), after=0.0)
    assert nats.verdict == verdict.verdict == "saturated"
    assert verdict.onset == nats.onset
    assert verdict.curve is curve
    assert (verdict.best_value, verdict.final_value) == (values[4], values[9])
    assert verdict.gap == pytest.approx(values[9] - values[4])
    assert nats.noise is not None
    assert verdict.noise == pytest.approx(values[4] * np.expm1(nats.noise))
    assert verdict.reason == f"on its logarithm: {nats.reason}"


def test_a_perplexity_that_is_not_positive_is_judged_as_it_stands(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    rows = ((1, 3), (2, 2), (3, 1), (4, 0), (5, 1), (6, 2))
    table.write_text("step,ppl,perplexity\n" + "".join(f"{100 * s},{v},{v + 1}\n" for s, v in rows))
    ppl, perplexity = find_curves(table, warn=no_warning)
    assert (ppl.logarithmic, perplexity.logarithmic) == (False, True)
    assert np.allclose(perplexity.logarithm().values, np.log(perplexity.values))


def test_a_perplexity_that_never_moves_is_named_by_its_own_value() -> None:
    verdict = judge_in_scale(made([30.0] * 6, floor=0.0), after=0.0)
    assert verdict.reason == "all 6 values are 30; a metric that never moves says nothing"


def test_a_curve_without_values_has_a_verdict_as_any_other() -> None:
    verdict = judge_in_scale(made([float("nan")] * 4, floor=0.0))
    assert (verdict.verdict, verdict.reason, verdict.gap) == ("undecided", "no checkpoint has a value", None)
