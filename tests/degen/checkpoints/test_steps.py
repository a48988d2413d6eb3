from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degen import DegenError
from degen.checkpoints.name_grammars import GRAMMARS, NameGrammar
from degen.checkpoints.steps import (
    RevisionStep,
    TrainingPoint,
    nearest_steps,
    order_of_training,
    parse_revision,
    select_steps,
)

PYTHIA = [0, *(2**i for i in range(10)), *range(1000, 143_001, 1000)]


NAMES = list(csv.DictReader(Path(__file__).with_name("names.csv").read_text(encoding="utf-8").splitlines()))


@pytest.mark.parametrize("row", NAMES, ids=[row["name"] for row in NAMES])
def test_public_names_give_what_they_say(row: dict[str, str]) -> None:
    parsed = parse_revision(row["name"])
    values = {"step": None, "tokens": None, "stage": None, "seed": None, "run": None}
    if parsed is not None:
        values = {"step": parsed.step, "tokens": parsed.tokens_seen, "stage": parsed.stage, "seed": parsed.seed,
                  "run": parsed.run}  # fmt: skip
    assert {key: "" if value is None else str(value) for key, value in values.items()} == {
        key: row[key] for key in values
    }


@pytest.mark.parametrize("grammar", GRAMMARS, ids=[grammar.examples[0][0] for grammar in GRAMMARS])
def test_each_form_of_names_has_public_examples_that_no_earlier_form_takes(grammar: NameGrammar) -> None:
    assert grammar.examples
    for name, _ in grammar.examples:
        assert next(g for g in GRAMMARS if g.match(name)) is grammar


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("step1000-tokens4B", RevisionStep(1000, 4 * 10**9)),
        ("stage2-step0-tokens0B", RevisionStep(0, 0, "stage2")),
        ("step10-tokens2.5T", RevisionStep(10, 2_500_000_000_000)),
        ("step10-tokens512M", RevisionStep(10, 512_000_000)),
        ("step10-tokens77", RevisionStep(10, 77)),
        ("STEP007", RevisionStep(7)),
        ("Stage1-Step-40000", RevisionStep(40_000, None, "Stage1")),
        ("step_2M", RevisionStep(2_000_000)),
    ],
)
def test_names_in_units_and_other_case_give_their_step(name: str, parsed: RevisionStep) -> None:
    assert parse_revision(name) == parsed


@pytest.mark.parametrize(
    "name",
    ["main", "final", "step", "step-", "step10-final", "mystep10", "tokenizer", "step1.5", "step10 ", "", "7b", "70m",
     "v2", "run-10", "2024-01-01", "1.5"],
)  # fmt: skip
def test_names_without_a_step_give_none(name: str) -> None:
    assert parse_revision(name) is None


def test_bare_numbers_are_steps_only_as_whole_names() -> None:
    assert parse_revision("500") == RevisionStep(500)
    assert parse_revision("500", whole_name=False) is None
    assert parse_revision("10B", whole_name=False) is None


def test_checkpoints_are_ordered_by_stage_then_number() -> None:
    names = ["lc-32k-to-64k-step-1", "10000", "stage2-step1", "9B", "10B", "500", "lc-4k-to-32k-step-4000", "best",
             "stage10-step1", "stage1-step5"]  # fmt: skip
    parsed = {name: parse_revision(name) or RevisionStep() for name in names}
    points = [TrainingPoint(p.stage, p.step, p.tokens_seen, name) for name, p in parsed.items()]
    assert [names[i] for i in order_of_training(points)] == [
        "500", "10000", "9B", "10B", "stage1-step5", "stage2-step1", "stage10-step1", "lc-4k-to-32k-step-4000",
        "lc-32k-to-64k-step-1", "best",
    ]  # fmt: skip


def test_tokens_order_checkpoints_where_steps_begin_anew_and_no_stage_is_named() -> None:
    points = [TrainingPoint(None, step, tokens, str(tokens)) for step, tokens in ((5, 30), (5, 10), (9, 20), (1, 25))]
    assert [points[i].tokens_seen for i in order_of_training(points)] == [10, 20, 25, 30]
    unknown = [TrainingPoint(None, 5, None, "a"), *points]
    assert [unknown[i].step for i in order_of_training(unknown)] == [1, 5, 5, 5, 9]


@given(st.integers(0, 10**12))
def test_every_step_number_is_read_as_it_is_written(step: int) -> None:
    assert parse_revision(f"step{step}") == RevisionStep(step)


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
        ("5:1:2", "first ≤ last and stride ≥ 1"),
        ("0:10:0", "first ≤ last and stride ≥ 1"),
        ("log:0", "must be 1 or more"),
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
