from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from degen.probes.unargmaxable import Unargmaxable
from head_matrices import head_of, measured, normal, rotation
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.spatial import ConvexHull

from degen.arrays import Floats, Ints
from degen.errors import DegenError
from degen.tables import Row

seeds = st.integers(0, 2**31)
sizes = st.tuples(st.integers(4, 40), st.integers(1, 5))


def twin(W: Floats, bias: Floats | None) -> set[int]:
    """Return the tokens that cannot be the argmax, by one linear program of all constraints for each."""
    found = set()
    for i, w in enumerate(W):
        A = np.delete(W, i, axis=0) - w
        b = np.zeros(len(A)) if bias is None else bias[i] - np.delete(bias, i)
        # max ε with (w_i − w_j)·h + b_i − b_j ≥ ε, ε ≤ 1
        solved = linprog(
            [*np.zeros(W.shape[1]), -1],
            A_ub=np.c_[A, np.ones(len(A))],
            b_ub=b,
            bounds=[(None, None)] * W.shape[1] + [(None, 1)],
        )
        if not -solved.fun > 1e-7:
            found.add(i)
    return found


def exact(W: Floats, bias: Floats | None = None, **options: Any) -> tuple[Row, dict[int, str]]:
    rows = measured(Unargmaxable, head_of(W, bias), exact=True, checked=10**6, **options)
    return rows["checkpoints"][0], {row["token"]: row["verdict"] for row in rows["unargmaxable"]}


@settings(max_examples=60)
@given(sizes, seeds, st.booleans())
def test_proven_tokens_are_those_of_a_program_with_every_constraint(
    size: tuple[int, int], seed: int, with_bias: bool
) -> None:
    W = normal(size, seed)
    bias = np.random.default_rng(seed + 1).normal(size=size[0]) if with_bias else None
    row, verdicts = exact(W, bias)
    expected = twin(W, bias)
    assert {token for token, verdict in verdicts.items() if verdict == "unargmaxable"} == expected
    assert row["unargmaxable"] == len(expected)
    assert row["unargmaxable_candidates"] >= len(expected)
    assert row["unargmaxable_checked"] == size[0]
    assert "undecided" not in verdicts.values()


@settings(max_examples=30)
@given(seeds)
def test_order_rotation_scale_and_shift_change_no_proof(seed: int) -> None:
    W, rng = normal((30, 3), seed), np.random.default_rng(seed)
    order = rng.permutation(30)
    expected = {token for token, verdict in exact(W)[1].items() if verdict == "unargmaxable"}
    others: list[tuple[Floats, Ints]] = [
        (W[order], order), (W @ rotation(3, seed), np.arange(30)), (5 * W, np.arange(30)), (W + 3, np.arange(30))
    ]  # fmt: skip
    for other, tokens in others:
        found = {int(tokens[token]) for token, verdict in exact(other)[1].items() if verdict == "unargmaxable"}
        assert found == expected


def test_a_point_inside_a_square_is_unargmaxable_unless_its_bias_lifts_it() -> None:
    W = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1], [0.2, 0.1]])
    row, verdicts = exact(W)
    assert (row["unargmaxable"], row["unargmaxable_candidates"]) == (1, 1)
    assert verdicts == {4: "unargmaxable"}
    assert exact(W, np.array([0, 0, 0, 0, 0.5]))[0]["unargmaxable"] == 0
    assert exact(W, np.array([0, 0, 0, 0, -0.5]))[0]["unargmaxable"] == 1


def test_a_point_between_two_others_and_equal_rows_can_but_tie() -> None:
    W = np.array([[1.0, 0], [-1, 0], [0, 0], [0, 1], [0, 1]])
    assert exact(W)[1] == {2: "unargmaxable", 3: "unargmaxable", 4: "unargmaxable"}


@pytest.mark.parametrize("width", [6, 16, 48])
def test_equal_rows_of_any_numbers_are_no_argmax(width: int) -> None:
    W = 0.1 + 0.02 * normal((60, width), width)  # as an untrained or padded vocabulary has them
    W = np.concatenate([W, W[:30]]).astype(np.float32).astype(np.float64)
    twice = {*range(30), *range(60, 90)}
    assert {token for token, verdict in exact(W)[1].items() if verdict == "unargmaxable"} >= twice
    assert {row["token"] for row in measured(Unargmaxable, head_of(W))["unargmaxable"]} >= twice


def test_gaussian_rows_of_many_dimensions_can_all_be_the_argmax() -> None:
    rows = measured(Unargmaxable, head_of(normal((5000, 64), 0)))
    assert rows["checkpoints"] == [{"unargmaxable_candidates": 0, "unargmaxable": None, "unargmaxable_checked": 256}]
    assert rows["unargmaxable"] == []


def test_planted_tokens_are_found_among_many() -> None:
    """Averages of ten others, in 16 dimensions."""
    W, rng = normal((3000, 16), 1), np.random.default_rng(2)
    planted = rng.choice(3000, size=5, replace=False)
    others = np.setdiff1d(np.arange(3000), planted)
    for token in planted:
        W[token] = W[rng.choice(others, size=10)].mean(axis=0)
    rows = measured(Unargmaxable, head_of(W), exact=True, checked=50)
    verdicts = {row["token"]: row["verdict"] for row in rows["unargmaxable"]}
    assert {verdicts[token] for token in planted.tolist()} == {"unargmaxable"}


def test_tokens_are_ids_and_unused_rows_take_no_part() -> None:
    W = np.array([[1.0, 1], [1, -1], [9, 9], [-1, 1], [-1, -1], [0.2, 0.1]])
    rows = measured(Unargmaxable, head_of(W, used=np.array([0, 1, 3, 4, 5])), exact=True)
    assert [row["token"] for row in rows["unargmaxable"]] == [5]


def test_one_row_says_so_and_wrong_options_are_refused() -> None:
    row = measured(Unargmaxable, head_of(np.ones((1, 3))))["checkpoints"][0]
    assert row == {"reason": "no unargmaxable tokens: the LM head has fewer than two used rows"}
    Unargmaxable.check({"exact": True, "checked": 5})
    for wrong in (0, "many", True):
        with pytest.raises(DegenError, match=f"checked is {wrong!r}; it must be a number of tokens"):
            Unargmaxable.check({"checked": wrong})
    with pytest.raises(DegenError, match="exact is 'no'; it must be true or false"):
        Unargmaxable.check({"exact": "no"})
    with pytest.raises(DegenError, match="no option 'exactly'"):
        Unargmaxable.check({"exactly": True})


def test_a_linear_program_that_is_given_up_leaves_the_token_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy import optimize

    real = optimize.linprog

    def in_no_time(*args: Any, options: dict[str, Any], **more: Any) -> Any:
        return real(*args, options=options | {"time_limit": 0.0}, **more)

    W = normal((400, 8), 1)
    W[7] = W[20:30].mean(axis=0)
    found = measured(Unargmaxable, head_of(W), exact=True, checked=20)
    assert {row["verdict"] for row in found["unargmaxable"]} >= {"unargmaxable"}
    monkeypatch.setattr(optimize, "linprog", in_no_time)
    given_up = measured(Unargmaxable, head_of(W), exact=True, checked=20)
    assert len(given_up["unargmaxable"]) == len(found["unargmaxable"])
    assert {row["verdict"] for row in given_up["unargmaxable"]} == {"undecided"}


@pytest.mark.parametrize("gap", [1e-6, 1e-8, 1e-10])
def test_tokens_that_stick_out_by_a_hair_are_not_proven_and_those_inside_by_a_hair_are(gap: float) -> None:
    """Points of a sphere, and points a little above and below the middles of facets of their hull."""
    corners = normal((100, 4), 3)
    corners /= np.linalg.norm(corners, axis=1)[:, None]
    middles = corners[ConvexHull(corners).simplices[:20]].mean(axis=1)
    outside, inside = middles[::2] * (1 + gap), middles[1::2] * (1 - gap)
    verdicts = exact(np.concatenate([corners, outside, inside]))[1]
    assert {token for token, verdict in verdicts.items() if verdict == "unargmaxable"} == set(range(110, 120))
    assert "undecided" not in verdicts.values()
