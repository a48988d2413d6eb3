from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from made_points import BESIROGLU, cloud, holds, points_of, square
from scipy.optimize import minimize_scalar

from degen.errors import DegenError
from degen.laws.law import HOFFMANN, Law, fit_law
from degen.published import published_table
from degen.scaling.frontier import frontier_of
from degen.scaling.hoffmann import fit_hoffmann
from degen.scaling.influence import Influence
from degen.scaling.read_points import read_points
from degen.stats.bootstrap import Bootstrap, dirichlet, run_bootstrap

NONE = Bootstrap(draws=0)
# near the optimum of all points, and of those without the five highest losses
ALL = Law(A=495.7, B=12_850, E=1.8913, alpha=0.3493, beta=0.4530)
SOUND = Law(A=477.8, B=2143, E=1.8172, alpha=0.3473, beta=0.3672)


def test_frontier_is_where_loss_is_least_for_its_compute() -> None:
    frontier = frontier_of(HOFFMANN.A, HOFFMANN.B, HOFFMANN.alpha, HOFFMANN.beta)
    for flops in (1e19, 1e24):
        best = minimize_scalar(
            lambda x, c=flops: float(HOFFMANN.loss(math.exp(x), c / 6 / math.exp(x))), (15, 25), tol=1e-12
        )
        n, d = frontier.parameters(flops), frontier.tokens(flops)
        assert n == pytest.approx(math.exp(best.x), rel=1e-5)
        assert 6 * n * d == pytest.approx(flops)
        assert frontier.flops_of(n) == pytest.approx(flops)
        assert frontier.flops_for(d) == pytest.approx(flops)


def test_fit_of_chinchilla_gives_published_constants_inside_its_intervals() -> None:
    points = read_points(published_table("chinchilla_points"), {}).without_highest(5)
    fit = fit_hoffmann(points, Bootstrap(100, 0.8), start=SOUND)
    intervals = fit.parameters()
    for name, value, within in (
        ("A", 477.8, 1), ("B", 2143, 10), ("E", 1.8172, 5e-4), ("alpha", 0.3473, 2e-4), ("beta", 0.3672, 3e-4),
    ):  # fmt: skip
        assert intervals[name]["value"] == pytest.approx(value, abs=within)
    assert all(holds(intervals, vars(BESIROGLU)).values())
    assert not fit.influence.points
    assert fit.result().warnings == []


def test_five_highest_losses_of_chinchilla_are_named_as_influential() -> None:
    points = read_points(published_table("chinchilla_points"), {})
    fit = fit_hoffmann(points, NONE, start=ALL)
    assert set(fit.influence.points) == set(np.argsort(points.loss)[-5:])
    warnings = " ".join(fit.result().warnings)
    assert all(f"row {i + 1} (" in warnings for i in np.argsort(points.loss)[-5:])
    assert "B = 2143" in warnings


@pytest.mark.parametrize("law", [HOFFMANN, BESIROGLU], ids=["hoffmann", "besiroglu"])
def test_intervals_of_hoffmann_hold_known_constants_under_noise(law: Law) -> None:
    inside = dict.fromkeys(vars(law), 0)
    for seed in range(10):
        fit = fit_hoffmann(cloud(law, seed, points=40), Bootstrap(30, seed=seed), start=law)
        for name, held in holds(fit.parameters(), vars(law)).items():
            inside[name] += held
    assert min(inside.values()) >= 8


def test_noise_alone_makes_no_outlier_and_hardly_a_decisive_point() -> None:
    influences = [fit_hoffmann(cloud(HOFFMANN, s), NONE, start=HOFFMANN).influence for s in range(8)]
    assert sum(bool(influence.outliers) for influence in influences) == 0
    assert (
        sum(bool(influence.decisive) for influence in influences) <= 1
    )  # five parameters hang on few points now and then


def test_outlier_and_decisive_point_are_named() -> None:
    points = cloud(HOFFMANN, points=40)
    loss = points.loss.copy()
    loss[7] *= 1.3
    spoilt = points_of(parameters=points.parameters, tokens=points.tokens, loss=loss)
    assert fit_hoffmann(spoilt, NONE, start=HOFFMANN).influence.outliers == (7,)
    n = np.append(np.full(12, 1e8), 1e10)
    d = np.geomspace(1e9, 1e11, 13)
    loss = HOFFMANN.loss(n, d) * np.exp(np.random.default_rng(0).normal(0, 0.003, 13))
    fixed = {"E": HOFFMANN.E, "beta": HOFFMANN.beta, "B": HOFFMANN.B}
    alone = fit_hoffmann(points_of(parameters=n, tokens=d, loss=loss), NONE, fixed, start=HOFFMANN)
    assert alone.influence.decisive == (12,)
    assert "row 13" in " ".join(alone.result().warnings)


def test_fixed_parameters_keep_their_value_as_interval() -> None:
    fit = fit_hoffmann(cloud(HOFFMANN), Bootstrap(20), {"B": 410.7, "beta": 0.28}, start=HOFFMANN)
    intervals = fit.parameters()
    assert intervals["B"] == {"value": 410.7, "low": 410.7, "high": 410.7}
    low, high = intervals["A"]["low"], intervals["A"]["high"]
    assert low is not None
    assert high is not None
    assert low < intervals["A"]["value"] < high  # type: ignore[operator]


def test_intervals_of_a_prediction_are_those_of_the_unknown_quantities() -> None:
    fit = fit_hoffmann(cloud(HOFFMANN), Bootstrap(40), start=HOFFMANN)
    row, frontiers = fit.predict({"N": 1e9}), fit.resampled
    assert frontiers is not None
    assert "parameters_low" not in row
    flops = frontiers.flops_of(1e9)
    for name, values in (("flops", flops), ("tokens", flops / 6e9), ("tokens_per_parameter", flops / 6e18)):
        interval = fit.draws.interval(row[name], values)
        assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx((interval["low"], interval["high"]))
    row = fit.predict({"D": 1e11})
    assert "tokens_low" not in row
    assert row["flops_low"] / 6e11 == pytest.approx(row["parameters_low"])


@pytest.mark.parametrize("requested", [{"N": 1e300}, {"D": 1e308}, {"N": 1e-300}, {"N": 1e308, "D": 1e308}])
def test_prediction_beyond_the_range_of_numbers_is_refused(requested: dict[str, float]) -> None:
    fit = fit_hoffmann(cloud(HOFFMANN), NONE, start=HOFFMANN)
    with pytest.raises(DegenError, match=r"--predict .*choose closer values"):
        fit.predict(requested)


def test_predictions_from_different_quantities_agree() -> None:
    fit = fit_hoffmann(cloud(HOFFMANN), Bootstrap(20), start=HOFFMANN)
    best = fit.predict({"C": 1e22})
    assert best["parameters_low"] < best["parameters"] < best["parameters_high"]
    same = fit.predict({"N": best["parameters"], "D": best["tokens"]})
    assert same["loss"] == pytest.approx(best["loss"])
    assert fit.predict({"N": best["parameters"]})["flops"] == pytest.approx(1e22)
    assert fit.predict({"D": best["tokens"]})["flops"] == pytest.approx(1e22)
    assert fit.predict({"C": 1e22, "N": best["parameters"]})["tokens"] == pytest.approx(best["tokens"])
    assert fit.predict({"C": 1e22, "D": best["tokens"]})["parameters"] == pytest.approx(best["parameters"])
    with pytest.raises(DegenError, match="can only predict from"):
        fit.predict({"S": 3.0})


def test_bootstrap_is_deterministic_and_reports_every_draw() -> None:
    reports: list[tuple[int, int]] = []
    bootstrap = Bootstrap(20, seed=3, on_draw=lambda *progress: reports.append(progress))
    first, second = (fit_hoffmann(cloud(HOFFMANN), bootstrap, start=HOFFMANN).parameters() for _ in range(2))
    assert first == second
    assert reports == [(i, 20) for i in range(1, 21)] * 2


def test_sixteen_good_points_have_intervals() -> None:
    """Drawn with replacement, two in five of these tables are fitted best with E = 0 or not at all."""
    points = square(HOFFMANN, seed=54)
    draws = fit_hoffmann(points, Bootstrap(40), start=HOFFMANN).draws
    assert draws.failure_reason is None
    assert draws.n_failed <= 2
    assert (draws.estimates["E"] == 0).any()
    intervals = fit_hoffmann(square(HOFFMANN, 1, 0.003), Bootstrap(40), start=HOFFMANN).parameters()
    assert all(holds(intervals, vars(HOFFMANN)).values())


def test_weights_of_the_bootstrap_vary_as_counts_of_drawn_points_do() -> None:
    weights = np.stack([dirichlet(np.random.default_rng(seed), 20) for seed in range(2000)])
    assert weights.min() > 0
    assert weights.sum(axis=1) == pytest.approx(np.full(2000, 20))
    assert weights.var(axis=0).mean() == pytest.approx(19 / 21, rel=0.05)  # of the counts it is 19/20


def test_weighted_fit_equals_that_of_repeated_points() -> None:
    points = cloud(HOFFMANN, points=20)
    n, d, loss = points.parameters, points.tokens, points.loss
    counts = np.random.default_rng(0).integers(1, 4, 20)
    for objective in ("huber", "log"):
        weighted = fit_law(n, d, loss, fixed={}, objective=objective, start=HOFFMANN, weights=counts.astype(float))
        copies = [np.repeat(values, counts) for values in (n, d, loss)]
        repeated = fit_law(*copies, fixed={}, objective=objective, start=HOFFMANN)
        assert weighted.value == pytest.approx(repeated.value, rel=1e-9)
        assert asdict(weighted.law) == pytest.approx(asdict(repeated.law), rel=1e-4)


def test_many_decisive_points_are_counted_and_not_listed() -> None:
    points = cloud(HOFFMANN, points=20)
    fitted = fit_hoffmann(points, NONE, start=HOFFMANN)
    many = replace(fitted, influence=Influence((), tuple(range(15)), None))
    (line,) = many.result().warnings
    assert "leaving out any one of 15 of the 20 points changes it" in line
    assert "row 3" not in line
    few = replace(fitted, influence=Influence((), (2, 4), None))
    assert "row 3, row 5" in few.result().warnings[0]


def test_residuals_are_summed_up_in_percent_of_the_loss() -> None:
    points = cloud(HOFFMANN, points=20)
    loss = points.loss.copy()
    loss[3] *= 1.2
    result = fit_hoffmann(
        points_of(parameters=points.parameters, tokens=points.tokens, loss=loss), NONE, start=HOFFMANN
    ).result()
    percent = np.array([100 * (row["loss"] / row["fitted"] - 1) for row in result.rows])
    assert result.residuals is not None
    assert result.residuals["typical"] == pytest.approx(math.sqrt(np.mean(percent**2)))
    assert [row["name"] for row in result.residuals["largest"]] == [
        f"row {i + 1}" for i in np.argsort(-np.abs(percent))[:5]
    ]
    assert result.residuals["largest"][0]["percent"] == pytest.approx(percent[3])


def test_bootstrap_interval_of_a_mean_matches_students_t() -> None:
    values = np.random.default_rng(0).normal(0, 1, 60)
    draws = run_bootstrap(Bootstrap(2000), lambda d: {"m": float(d.choice(values, 60).mean())}, points=60, free=1)
    interval = draws.interval(float(values.mean()), draws.estimates["m"])
    assert interval["high"] - interval["low"] == pytest.approx(2 * 1.671 * values.std(ddof=1) / math.sqrt(60), rel=0.08)  # type: ignore[operator]


def test_bootstrap_with_many_failed_draws_has_no_interval() -> None:
    def refit(draw: np.random.Generator) -> dict[str, float]:
        if draw.random() < 0.5:
            raise DegenError("no")
        return {"m": 1.0}

    draws = run_bootstrap(Bootstrap(40), refit, points=9, free=1)
    assert draws.interval(1.0, draws.estimates.get("m")) == {"value": 1.0, "low": None, "high": None}
    assert draws.failure_reason is not None
    assert "could not be fitted" in draws.failure_reason


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(1e8, 1e9, 3), (1e9, 1e10, 2.5), (2e9, 1e10, 2.4)], "3 points are too few to fit 5 parameters"),
        ([(1e8, 1e9 * i, 3 / i**0.1) for i in range(1, 9)], "cannot"),
        ([(1e8 * i, 1e9 * i**2, -1.0) for i in range(1, 9)], "has loss -1, which must be positive"),
    ],
)
def test_tables_that_do_not_determine_the_law_are_refused(rows: list[tuple[float, float, float]], message: str) -> None:
    n, d, loss = (np.array(column) for column in zip(*rows, strict=True))
    with pytest.raises(DegenError, match=message):
        fit_hoffmann(points_of(parameters=n, tokens=d, loss=loss), NONE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"draws": -1}, "--bootstrap -1"),
        ({"confidence": 1.0}, "--confidence 1: must lie between 0 and 1"),
        ({"draws": 5}, "--bootstrap 5: too few draws for confidence 0.9; give at least 20"),
    ],
)
def test_impossible_bootstrap_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(DegenError, match=message):
        Bootstrap(**settings)  # type: ignore[arg-type]


def test_law_with_a_term_fixed_at_zero_has_no_frontier() -> None:
    fit = fit_hoffmann(cloud(Law(A=0.0, B=410.7, E=1.69, alpha=0.34, beta=0.28)), NONE, {"A": 0.0, "alpha": 0.3})
    assert fit.frontier is None
    assert fit.result().frontier == []
    with pytest.raises(DegenError, match="no best model"):
        fit.predict({"C": 1e20})
