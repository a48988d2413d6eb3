from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degen import DegenError
from degen.checkpoints.steps import RevisionStep, nearest_steps, parse_revision, select_steps

PYTHIA = [0, *(2**i for i in range(10)), *range(1000, 143_001, 1000)]


@pytest.mark.parametrize(
    ("name", "mark"),
    [
        ("step1000", RevisionStep(0, 1000, None)),
        ("checkpoint-1000", RevisionStep(0, 1000, None)),
        ("global_step1000", RevisionStep(0, 1000, None)),
        ("step1000-tokens4B", RevisionStep(0, 1000, 4 * 10**9)),
        ("stage1-step1000-tokens4B", RevisionStep(1, 1000, 4 * 10**9)),
        ("stage2-step0-tokens0B", RevisionStep(2, 0, 0)),
        ("step10-tokens2.5T", RevisionStep(0, 10, 2_500_000_000_000)),
        ("step10-tokens512M", RevisionStep(0, 10, 512_000_000)),
        ("step10-tokens77", RevisionStep(0, 10, 77)),
        ("STEP007", RevisionStep(0, 7, None)),
    ],
)
def test_names_of_revisions_give_their_step(name: str, mark: RevisionStep) -> None:
    assert parse_revision(name) == mark


@pytest.mark.parametrize(
    "name", ["main", "final", "step", "step-", "step10-final", "mystep10", "10", "tokenizer", "step1.5", "step10 ", ""]
)
def test_names_without_a_step_give_none(name: str) -> None:
    assert parse_revision(name) is None


@given(st.integers(0, 10**12))
def test_every_step_number_is_read_as_it_is_written(step: int) -> None:
    assert parse_revision(f"step{step}") == RevisionStep(0, step, None)


def test_select_all_gives_every_step() -> None:
    assert select_steps([5, 0, 1000, 30], "all") == [0, 5, 30, 1000]


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("0", [0]),
        ("512,0", [0, 512]),
        ("0, 512", [0, 512]),
        ("1000:5000:2000", [1000, 3000, 5000]),
        ("1000:6000:2000", [1000, 3000, 5000, 6000]),  # the end is included
        ("0,1000:143000:71000", [0, 1000, 72000, 143000]),
        ("700:700:5", [512]),
        ("3,3,3,4", [2, 4]),  # 3 is as far from 2 as from 4
        ("999999999", [143000]),
        ("1400,1450", [1000]),  # one checkpoint, once
    ],
)
def test_lists_and_ranges_select_steps(expression: str, chosen: list[int]) -> None:
    assert select_steps(PYTHIA, expression) == chosen


def test_pythias_steps_are_selected_as_published() -> None:
    chosen = select_steps(PYTHIA, "0,1000:143000:4000")
    assert chosen == [0, *range(1000, 143_000, 4000), 143_000]


@given(st.sets(st.integers(0, 10**6), min_size=1, max_size=60), st.integers(1, 40))
def test_log_spaced_steps_are_the_nearest_to_even_ratios(steps: set[int], count: int) -> None:
    chosen = select_steps(sorted(steps), f"log:{count}")
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= steps
    assert len(chosen) <= count
    positive = [s for s in steps if s > 0]
    assert max(steps) in chosen
    if count > 1 and len(positive) > 1:
        assert min(positive) in chosen
        ratio = (max(positive) / min(positive)) ** (1 / (count - 1))
        for i in range(count):
            target = min(positive) * ratio**i
            nearest = min(abs(s - target) for s in steps)
            assert any(math.isclose(abs(s - target), nearest, rel_tol=1e-6, abs_tol=1e-6) for s in chosen)


@given(st.lists(st.integers(0, 1000), min_size=1), st.lists(st.integers(0, 1200), min_size=1))
def test_a_missing_step_is_replaced_by_its_nearest_once(steps: list[int], targets: list[int]) -> None:
    chosen = select_steps(steps, ",".join(map(str, targets)))
    assert chosen == sorted(set(chosen))
    for w in targets:
        assert min(abs(s - w) for s in steps) == min(abs(s - w) for s in chosen)
    for s in chosen:
        assert any(abs(s - w) == min(abs(t - w) for t in steps) for w in targets)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "'' is not a step"),
        ("0,,1", "'' is not a step"),
        ("some", "'some' is not a step"),
        ("-5", "'-5' is not a step"),
        ("1.5", "'1.5' is not a step"),
        ("1:2", "first:last:stride"),
        ("1:2:3:4", "first:last:stride"),
        ("5:1:2", "rising"),
        ("0:10:0", "rising"),
        ("log:0", "at least 1"),
        ("log:", "'' is not a step"),
        ("log:two", "'two' is not a step"),
        ("ALL", "'ALL' is not a step"),
    ],
)
def test_malformed_step_expressions_are_refused(expression: str, says: str) -> None:
    with pytest.raises(DegenError, match="--steps") as caught:
        select_steps([0, 1], expression)
    assert says in str(caught.value)
    assert caught.value.exit_code == 2


def test_missing_steps_are_listed_with_their_nearest() -> None:
    assert nearest_steps([0, 100, 600], "0,150,10000,0:600:100") == {150: 100, 10000: 600}
    assert nearest_steps([0, 100], "all") == nearest_steps([0, 100], "log:2") == nearest_steps([], "5") == {}
