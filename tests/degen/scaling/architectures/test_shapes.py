"""`report_shapes` on tables made from known laws of the knobs."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degen import DegenError
from degen.scaling.architectures.columns import Cost, Quality
from degen.scaling.architectures.knob_disagreements import find_disagreement
from degen.scaling.architectures.knob_effects import KnobFit, fit_knobs, knob_effect, log_quality, return_on_cost
from degen.scaling.architectures.knob_turns import find_turn
from degen.scaling.architectures.knobs import Knob
from degen.scaling.architectures.options import CompareOptions
from degen.scaling.architectures.savings import find_savings
from degen.scaling.architectures.shape_report import ShapeReport, report_shapes
from degen.scaling.read_points import read_points

LOSS = {"layers": -0.06, "d_model": -0.12, "d_ff": -0.03, "heads": 0.0}
ACCURACY = {"layers": 0.1, "d_model": 0.2, "d_ff": 0.05, "heads": 0.0}
VALUES = {
    "layers": [4, 6, 8, 12, 16, 24, 32, 40, 48, 64],
    "d_model": [256, 384, 512, 768, 1024],
    "d_ff": [1024, 1536, 2048, 3072, 4096],
    "heads": [4, 8, 12, 16],
}
DRAWS = 100


def shapes(rng: np.random.Generator, n: int = 40) -> dict[str, Any]:
    """Return n different shapes, drawn from all combinations of `VALUES`."""
    every = np.array(list(itertools.product(*VALUES.values())), dtype=float)
    return dict(zip(VALUES, every[rng.choice(len(every), n, replace=False)].T, strict=True))


def law(shape: dict[str, Any], exponents: dict[str, float], scale: float, **capped: float) -> Any:
    """Return scale · Π x^e, with knobs that buy nothing beyond a value."""
    result = np.full(len(shape["layers"]), scale)
    for name, exponent in exponents.items():
        result = result * np.minimum(shape[name], capped.get(name, np.inf)) ** exponent
    return result


def noisy(rng: np.random.Generator, values: Any) -> Any:
    return values * np.exp(rng.normal(0, 0.01, len(values)))


def fit(shape: dict[str, Any], values: Any, better: Any = "min", name: str = "loss") -> KnobFit:
    knobs = [Knob(knob, knob, np.log(column)) for knob, column in shape.items()]
    return fit_knobs(log_quality(Quality(name, values, better)), knobs, None, np.ones(len(values), dtype=bool))


def knob(found: KnobFit, name: str) -> Knob:
    return next(own for own in found.knobs if own.name == name)


def report(path: Path, table: dict[str, Any], *args: Any, **options: Any) -> ShapeReport:
    file = path / "table.csv"
    pyarrow.csv.write_csv(pa.table(table), file)
    return report_shapes(read_points(file, {}, lambda line: None), CompareOptions(**options), *args)


def test_elasticities_of_a_known_law_lie_in_their_intervals() -> None:
    inside: Counter[tuple[str, str]] = Counter()
    for draw in range(DRAWS):
        rng = np.random.default_rng(draw)
        shape = shapes(rng)
        for name, exponents, better in (("loss", LOSS, "min"), ("accuracy", ACCURACY, "max")):
            found = fit(shape, noisy(rng, law(shape, exponents, 2.0)), better, name)
            for own in found.knobs:
                row = knob_effect(found, own, 0.9)
                inside[name, own.name] += row["elasticity_low"] <= exponents[own.name] <= row["elasticity_high"]
    assert len(inside) == 8
    assert min(inside.values()) >= 85, inside


def test_an_elasticity_is_that_of_the_normal_equations_in_float64() -> None:
    rng = np.random.default_rng(5)
    shape = shapes(rng, 25)
    values = noisy(rng, law(shape, LOSS, 8.0))
    x = np.stack([np.ones(25), *(np.log(column) for column in shape.values())], axis=1)
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ x.T @ np.log(values)
    rest = np.log(values) - x @ beta
    error = np.sqrt(np.diag(inverse) * (rest @ rest) / (25 - 5))
    found = fit(shape, values)
    for i, own in enumerate(found.knobs, 1):
        row = knob_effect(found, own, 0.9)
        assert row["elasticity"] == pytest.approx(beta[i], rel=1e-9)
        assert row["elasticity_high"] - row["elasticity"] == pytest.approx(1.7247182429 * error[i], rel=1e-8)  # t, 20


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.sampled_from(list(VALUES)))
def test_units_and_the_order_of_rows_change_no_elasticity(seed: int, unit: float, name: str) -> None:
    rng = np.random.default_rng(seed)
    shape = shapes(rng)
    values = noisy(rng, law(shape, LOSS, 8.0))
    order = rng.permutation(len(values))
    changed = {k: (v * unit if k == name else v)[order] for k, v in shape.items()}
    before, after = fit(shape, values), fit(changed, unit * values[order])
    for one, two in zip(before.knobs, after.knobs, strict=True):
        first, second = knob_effect(before, one, 0.9), knob_effect(after, two, 0.9)
        for key in ("elasticity", "elasticity_low", "elasticity_high"):
            assert first[key] == pytest.approx(second[key], rel=1e-6, abs=1e-9)


def test_a_planted_turn_is_found_with_its_interval_and_none_where_there_is_none() -> None:
    found, covered, false = 0, 0, 0
    for draw in range(DRAWS):
        rng = np.random.default_rng(draw)
        shape = shapes(rng)
        turned = fit(shape, noisy(rng, law(shape, LOSS, 8.0, layers=32)))
        row = find_turn(turned, knob(turned, "layers"), 0.9, 3)
        found += row["verdict"] == "stops paying"
        covered += row["turn"] is not None and row["turn_low"] <= 32 <= row["turn_high"]
        size = shape["layers"] * (4 * shape["d_model"] ** 2 + 2 * shape["d_model"] * shape["d_ff"])
        for values in (law(shape, LOSS, 8.0), 1.7 + 30 * size**-0.15):  # a power law, and one that bends smoothly
            plain = fit(shape, noisy(rng, values))
            false += any(find_turn(plain, own, 0.9, 3)["verdict"] == "stops paying" for own in plain.knobs)
    assert found >= 85
    assert covered >= 0.85 * found
    assert false <= 10  # of 200 tables


def test_knobs_that_grow_together_turn_no_more_often_than_noise_allows() -> None:
    """L = E + A/N^α with heads and feed-forward that follow the width, as models of a family have them."""
    false = 0
    for draw in range(DRAWS):
        rng = np.random.default_rng(draw)
        size = np.exp(rng.uniform(np.log(1e6), np.log(5e8), 40))
        width = np.maximum(64, 64 * np.round((size * np.exp(rng.normal(np.log(48), 0.5, 40)) / 12) ** (1 / 3) / 64))
        shape = {
            "layers": np.maximum(2, np.round(size / 12 / width**2)),
            "d_model": width,
            "d_ff": width * rng.choice([2, 3, 4, 6, 8], 40),
            "heads": np.maximum(1, np.round(width / rng.choice([32, 64, 96, 128], 40))),
        }
        parameters = shape["layers"] * (4 * width**2 + 2 * width * shape["d_ff"]) + 32_000 * width
        found = fit(shape, (1.7 + 30 * parameters**-0.2) * np.exp(rng.normal(0, 0.003, 40)))
        false += any(find_turn(found, own, 0.9, 8)["verdict"] == "stops paying" for own in found.knobs)
    assert false <= 5


def test_repeats_of_a_shape_are_one_shape() -> None:
    rng = np.random.default_rng(1)
    shape = shapes(rng, 12)
    values = law(shape, LOSS, 8.0) * np.exp(rng.normal(0, 0.015, 12))
    once = fit(shape, values)
    four = fit({name: np.tile(column, 4) for name, column in shape.items()}, np.tile(values, 4))
    for one, two in zip(once.knobs, four.knobs, strict=True):
        first, second = knob_effect(once, one, 0.9), knob_effect(four, two, 0.9)
        assert first["elasticity_low"] == pytest.approx(second["elasticity_low"], rel=1e-9)
        assert (first["models"], second["models"]) == (12, 48)


def test_a_model_without_tokens_leaves_tokens_held_equal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shape = shapes(rng)
    tokens = 1e6 * shape["layers"] ** 0.5 * shape["d_model"] * np.exp(rng.normal(0, 0.5, 40))
    loss = noisy(rng, law(shape, LOSS, 8.0) * (tokens / 1e9) ** -0.1)
    size = 12 * shape["layers"] * shape["d_model"] ** 2
    some = [None, *tokens[1:]]
    for table in (
        {**shape, "tokens": some, "loss": loss},
        {**shape, "params": size, "flops": 6 * size * tokens, "loss": loss},
        {**shape, "steps": tokens / 1e6, "loss": loss},
    ):
        rows = report(tmp_path, table).rows
        layers = next(row for row in rows if (row["knob"], row["equal"]) == ("layers", "other knobs"))
        assert layers["elasticity_low"] <= -0.06 <= layers["elasticity_high"]


def test_the_cheapest_of_many_is_as_good_as_often_as_is_said() -> None:
    """Forty models, noise as large as the errors say: of the cheaper ones said to be as good p on average, p are."""
    said, true = [], []
    for draw in range(30):
        rng = np.random.default_rng(draw)
        cost = np.exp(rng.uniform(0, 4, 40))
        truth = 60 + 5 * np.log(cost) + rng.normal(0, 1, 40)
        task = Quality("task", truth + rng.normal(0, 1, 40), "max", np.ones(40))
        names = [str(i) for i in range(40)]
        for row in find_savings(names, [Cost("parameters", cost)], None, [task]):
            said.append(row["probability"])
            true.append(truth[int(row["cheaper"])] >= truth[int(row["model"])])
    assert len(said) > 500
    assert np.mean(true) == pytest.approx(np.mean(said), abs=0.06)


def test_columns_that_are_no_knobs_are_refused_as_such(tmp_path: Path) -> None:
    table = {"layers": [2.0, 3, 4, 5, 6, 7], "params": [1.0, 2, 3, 4, 5, 6], "loss": [4.0, 3.8, 3.7, 3.6, 3.55, 3.5]}
    for column, role in (("loss", "quality"), ("params", "cost")):
        with pytest.raises(DegenError, match=f"--knob {column}: this column is a {role}"):
            report(tmp_path, table, ["params"], [column])
        with pytest.raises(DegenError, match=f"--knob {column}: this column is a {role}"):
            report(tmp_path, table, [], [column])  # known by the quantity that it holds


def test_a_planted_disagreement_is_found_and_none_where_there_is_none() -> None:
    found, reversed_, false = 0, 0, 0
    for draw in range(DRAWS):
        rng = np.random.default_rng(draw)
        shape = shapes(rng)
        up = fit(shape, noisy(rng, law(shape, LOSS, 8.0)))
        no_help = fit(shape, noisy(rng, law(shape, ACCURACY | {"d_model": 0.0}, 0.1)), "max", "accuracy")
        harm = fit(shape, noisy(rng, law(shape, ACCURACY | {"d_model": -0.1}, 0.1)), "max", "accuracy")
        agree = fit(shape, noisy(rng, law(shape, ACCURACY, 0.1)), "max", "accuracy")
        width = knob(up, "d_model")
        found += find_disagreement(up, no_help, width, 4)["verdict"] == "helps upstream, no help downstream"
        reversed_ += find_disagreement(up, harm, width, 4)["verdict"] == "helps upstream, harms downstream"
        false += any("help" in find_disagreement(up, agree, own, 4)["verdict"] for own in up.knobs)
    assert min(found, reversed_) >= 95
    assert false <= 5


def test_knobs_that_move_together_cannot_be_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shape = shapes(rng)
    shape["d_ff"] = 4 * shape["d_model"]
    rows = report(tmp_path, {**shape, "loss": noisy(rng, law(shape, LOSS, 8.0))}).rows
    verdicts = {row["knob"]: row for row in rows if row["equal"] == "other knobs"}
    assert {name: row["verdict"] for name, row in verdicts.items()} == {
        "layers": "more is better",
        "d_model": "cannot tell",
        "d_ff": "cannot tell",
        "heads": verdicts["heads"]["verdict"],
    }
    assert verdicts["d_ff"]["reason"].startswith("moves together with d_model (100.0%")
    assert verdicts["layers"]["elasticity"] == pytest.approx(-0.06, abs=0.01)


def test_tokens_that_vary_are_held_equal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shape = shapes(rng)
    tokens = 1e6 * shape["layers"] ** 0.5 * shape["d_model"] * np.exp(rng.normal(0, 0.5, 40))
    loss = noisy(rng, law(shape, LOSS, 8.0) * (tokens / 1e9) ** -0.1)
    rows = report(tmp_path, {**shape, "tokens": tokens, "loss": loss}).rows
    layers = next(row for row in rows if row["knob"] == "layers")
    assert layers["elasticity_low"] <= -0.06 <= layers["elasticity_high"]


def test_what_a_cost_buys_is_the_ratio_of_two_elasticities() -> None:
    inside: Counter[str] = Counter()
    for draw in range(4 * DRAWS):
        rng = np.random.default_rng(draw)
        shape = shapes(rng)
        cost = Cost("flops", 1e9 * shape["layers"] * shape["d_model"] ** 2 * np.exp(rng.normal(0, 0.05, 40)))
        found = fit(shape, noisy(rng, law(shape, LOSS, 8.0)))
        for name, price in (("layers", 1), ("d_model", 2)):
            row = return_on_cost(found, knob(found, name), cost, 0.9)
            inside[name] += row["per_cost_low"] <= LOSS[name] / price <= row["per_cost_high"]
            assert row["cost_elasticity"] == pytest.approx(price, abs=0.1)
    assert min(inside.values()) >= 0.85 * 4 * DRAWS
    row = return_on_cost(found, knob(found, "heads"), Cost("flops", shape["layers"]), 0.9)
    assert (row["per_cost"], row["reason"]) == (None, "flops does not grow with heads at equal other knobs")


def test_each_architecture_is_judged_by_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    one, two = shapes(rng), shapes(rng)
    loss = [noisy(rng, law(one, LOSS, 8.0)), noisy(rng, law(two, LOSS | {"layers": 0.05}, 8.0))]
    table = {name: np.concatenate([one[name], two[name]]) for name in one}
    table |= {"family": ["transformer"] * 40 + ["mixer"] * 40, "loss": np.concatenate(loss)}
    rows = report(tmp_path, table, architecture="family").rows
    assert {row["architecture"]: row["verdict"] for row in rows if row["knob"] == "layers"} == {
        "transformer": "more is better",
        "mixer": "less is better",
    }


def test_the_cheapest_as_good_model_is_that_of_a_search_over_all_pairs() -> None:
    rng = np.random.default_rng(3)
    n = 12
    costs = [Cost("parameters", rng.uniform(1, 10, n))]
    tasks = [Quality(f"task{i}", np.round(rng.uniform(0, 1, n), 1), "max") for i in range(4)]
    names = [f"m{i}" for i in range(n)]
    expected = {}
    for i in range(n):
        as_good = [
            j for j in range(n)
            if costs[0].values[j] < costs[0].values[i] and sum(t.values[j] >= t.values[i] for t in tasks) >= 2
        ]  # fmt: skip
        if as_good:
            expected[f"m{i}"] = f"m{min(as_good, key=lambda j: costs[0].values[j])}"
    rows = find_savings(names, costs, None, tasks)
    assert {row["model"]: row["cheaper"] for row in rows} == expected
    assert all(row["probability"] is None for row in rows)


def test_how_probable_as_good_is_follows_from_the_errors() -> None:
    costs = [Cost("parameters", np.array([2.0, 1.0]))]
    tasks = [
        Quality(f"task{i}", np.array([0.5, value]), "max", np.array([0.03, 0.04]))
        for i, value in enumerate((0.5, 0.55, 0.45))
    ]
    (row,) = find_savings(["large", "small"], costs, None, tasks)
    draws = np.random.default_rng(0).normal([0.0, 0.05, -0.05], 0.05, (400_000, 3))
    assert row["probability"] == pytest.approx(float(((draws >= 0).sum(axis=1) >= 2).mean()), abs=0.004)
    assert (row["better_on"], row["of"], row["share"]) == (1, 3, 0.5)


def test_a_negated_loss_counts_as_the_loss_it_is() -> None:
    rng = np.random.default_rng(0)
    shape = shapes(rng)
    loss = noisy(rng, law(shape, LOSS, 8.0))
    plain, negated = fit(shape, loss), fit(shape, -loss, "max", "upstream")
    one, two = (knob_effect(f, knob(f, "d_model"), 0.9) for f in (plain, negated))
    assert (one["elasticity"], one["verdict"]) == (two["elasticity"], two["verdict"])
    assert one["verdict"] == "more is better"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"layers": [12.0] * 6}, "all models have one shape"),
        ({"layers": [0.0, 2, 3, 4, 5, 6]}, "has layers 0, which must be above 0"),
        ({"layers": None}, "no column is a knob of the shape"),
        ({"loss": None}, "no column of upstream quality"),
    ],
)
def test_degenerate_tables_end_in_a_message(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    table = {"layers": [2.0, 3, 4, 5, 6, 7], "loss": [4.0, 3.8, 3.7, 3.6, 3.55, 3.5]} | changes
    with pytest.raises(DegenError, match=says):
        report(tmp_path, {name: column for name, column in table.items() if column is not None})


def test_too_few_models_and_values_of_both_signs_have_a_reason(tmp_path: Path) -> None:
    two = report(tmp_path, {"layers": [2.0, 4.0], "d_model": [64.0, 128.0], "loss": [4.0, 3.5]})
    assert {row["reason"] for row in two.rows} == {"2 shapes are too few for 2 knobs that vary"}
    table = {"layers": [2.0, 3, 4, 5, 6, 7], "score": [-1.0, 2, 3, 4, 5, 6]}
    mixed = report(tmp_path, table, upstream="score", directions={"score": "max"})
    assert [row["reason"] for row in mixed.rows] == ["score has values of both signs, and no elasticity"]
    assert {row["verdict"] for row in mixed.turns} == {"cannot tell"}


def test_only_columns_of_numbers_whose_names_say_nothing_are_warned_of(tmp_path: Path) -> None:
    names = ["layers", "d_model", "loss", "loss_stderr", "seconds", "Unnamed: 0", "__index", "q17"]
    path = tmp_path / "t.csv"
    rows = [f"{i + 2},{64 * (i % 3 + 1)},{4 - 0.1 * i},0.01,{i + 5},{i},{i},{i * 7 % 5}" for i in range(9)]
    path.write_text("\n".join([",".join(names), *rows]) + "\n")
    lines: list[str] = []
    report_shapes(read_points(path, {}), CompareOptions(), warn=lines.append)
    (unused,) = [line for line in lines if "are not used" in line]
    assert "columns of numbers are not used: q17; --downstream" in unused
