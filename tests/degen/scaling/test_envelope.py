from __future__ import annotations

import numpy as np
import pytest
from made_points import BESIROGLU, cloud, curves, holds, points_of

from degen.errors import DegenError
from degen.laws.law import HOFFMANN, Law
from degen.scaling.envelope import fit_envelope
from degen.scaling.frontier import frontier_of
from degen.scaling.loss_curves import ComputeCurve, compute_curves
from degen.stats.bootstrap import Bootstrap
from degen.stats.smoothing import Smoother

NONE = Bootstrap(draws=0)


@pytest.mark.parametrize("law", [HOFFMANN, BESIROGLU], ids=["hoffmann", "besiroglu"])
@pytest.mark.parametrize("models", [6, 12])
def test_envelope_recovers_the_exponents_of_a_known_law(law: Law, models: int) -> None:
    fit = fit_envelope(curves(law, noise=0.0, models=models), NONE)
    truth = frontier_of(law.A, law.B, law.alpha, law.beta)
    assert fit.constants["a"] == pytest.approx(truth.a, abs=0.02)
    assert fit.constants["b"] == pytest.approx(truth.b, abs=0.02)
    assert fit.predict({"C": 1e20})["parameters"] == pytest.approx(truth.parameters(1e20), rel=0.05)


def test_interval_of_the_envelope_exponent_holds_the_truth_under_noise() -> None:
    law, inside = BESIROGLU, 0
    truth = frontier_of(law.A, law.B, law.alpha, law.beta)
    for seed in range(10):
        fit = fit_envelope(curves(law, seed), Bootstrap(30, seed=seed), budgets=300)
        inside += holds(fit.draws.intervals(fit.constants), {"a": truth.a})["a"]
    assert inside >= 8


def test_smoother_keeps_a_curve_without_noise_and_removes_noise() -> None:
    x = np.linspace(40, 48, 50)
    y = np.log(1.7 + 30 * np.exp(-0.08 * x))
    spline = Smoother(x)
    np.testing.assert_allclose(spline.fitted(y), y, atol=2e-5)
    noise = np.random.default_rng(0).normal(0, 0.01, 50)
    assert np.abs(spline.fitted(y + noise) - y).mean() < 0.5 * np.abs(noise).mean()
    assert spline.leverage(y + noise).sum() < 15


def test_smoother_equals_scipys_spline_of_the_same_strength() -> None:
    from scipy.interpolate import make_smoothing_spline

    x = np.sort(np.random.default_rng(1).uniform(0, 5, 30))
    y = np.sin(x) + np.random.default_rng(2).normal(0, 0.2, 30)
    spline = Smoother(x)
    twin = make_smoothing_spline(x, y, lam=spline.strength(y))
    np.testing.assert_allclose(spline.fitted(y), twin(x), atol=1e-6)
    grid = np.linspace(x[0], x[-1], 77)
    np.testing.assert_allclose(spline.at(y, grid), twin(grid), atol=1e-6)


def test_training_curves_group_rows_by_model_or_by_size_without_models() -> None:
    n, d = np.repeat([1e8, 1e9], 3), np.tile([1e9, 2e9, 4e9], 2)
    columns = {"parameters": n, "tokens": d, "loss": HOFFMANN.loss(n, d)}
    assert [curve.size for curve in compute_curves(points_of(**columns))] == [1e8, 1e9]
    assert [curve.name for curve in compute_curves(points_of(**columns, model=["b"] * 3 + ["a"] * 3))] == ["b", "a"]
    assert len(compute_curves(points_of(**columns, model=list("abcdef")))) == 2


def test_tables_without_an_envelope_are_refused() -> None:
    with pytest.raises(DegenError, match="no model has two checkpoints"):
        fit_envelope(cloud(HOFFMANN), NONE)
    with pytest.raises(DegenError, match="3 sizes have a training curve, and an envelope needs 4"):
        fit_envelope(curves(HOFFMANN, models=3), NONE)
    n, d = np.repeat([1e7, 1e8, 1e9, 1e10], 9), np.tile(np.geomspace(1e9, 1.1e9, 9), 4)
    with pytest.raises(DegenError, match="fewer than two sizes are the best"):
        fit_envelope(points_of(parameters=n, tokens=d, loss=HOFFMANN.loss(n, d)), NONE)


def test_resampled_losses_have_residuals_as_wide_as_the_noise() -> None:
    x = np.linspace(40, 45, 12)
    y = 3 - 0.1 * x + np.random.default_rng(0).normal(0, 0.01, 12)
    curve = ComputeCurve("m", 1e8, 6e8, x, y)
    assert curve.smoother is not None
    smooth = curve.smoother.fitted(y)
    noise = (y - smooth) / np.sqrt(1 - curve.smoother.leverage(y))
    residuals = curve.resample(np.random.default_rng(1)) - smooth
    assert np.abs(residuals[:, None] - (noise - noise.mean())).min(axis=1).max() < 1e-12
