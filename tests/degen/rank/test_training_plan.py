"""What a training takes: its tokens, batches and rates, the documents it holds out, and when its curve is flat."""

from __future__ import annotations

from itertools import chain, cycle, islice

import numpy as np
import pytest
import torch
from heads import PLAIN

from degen.probe import OutputHead
from degen.rank.flattening import possible_fall, second_half_fall, why_not_flat, why_worse
from degen.rank.held_out import hold_out
from degen.rank.training_plan import STEPS, TrainingPlan, default_tokens
from degen.text.windows import Sample, Window


def a_head(rows: int, width: int, device: str = "cpu") -> OutputHead:
    return OutputHead(torch.empty(rows, width, device=device), None, PLAIN)


def window(document: int, tokens: int = 100) -> Window:
    return Window(document, document, None, 0, tokens, np.zeros(tokens, dtype=np.int32))


@pytest.mark.parametrize("tokens", [30_000, 300_000, 1_000_000, 50_000_000])
@pytest.mark.parametrize("init", ["whitened", "normal"])
def test_a_budget_is_divided_into_some_hundred_steps(tokens: int, init: str) -> None:
    schedule = TrainingPlan(tokens, init=init).schedule(a_head(640, 48), [12], 0.0, 512)
    of_step = schedule.batch or 512 * schedule.windows
    assert STEPS <= tokens / of_step < 2 * STEPS


def test_a_step_takes_what_was_asked_for_and_256_windows_at_most() -> None:
    head = a_head(640, 48)
    assert TrainingPlan(3000, windows=7).schedule(head, [12], 0.0, 512).windows == 7
    schedule = TrainingPlan(150_000_000, init="normal").schedule(head, [12], 0.0, 512)
    assert (schedule.windows, schedule.batch) == (256, None)  # the paper's
    small = TrainingPlan(1000).schedule(head, [12], 0.0, 512)
    assert (small.windows, small.batch) == (2, 64)  # 16 steps of 64 tokens between two validations


def test_the_rate_falls_to_zero_from_a_closed_form_alone() -> None:
    plans = (TrainingPlan(1000, init=init) for init in ("whitened", "normal"))
    closed, normal = (plan.schedule(a_head(9, 3), [2], 0.0, 16) for plan in plans)
    assert [closed.rate(done) for done in (0, 500, 1000, 1010)] == [1.0, 0.5, 0.0, 0.0]
    assert normal.rate(1000) == 1.0


def test_the_default_budget_of_a_cpu_is_less_for_a_large_model() -> None:
    assert default_tokens(a_head(640, 48), [12, 24, 48], 3e5) == 300_000
    pythia = default_tokens(a_head(50_304, 768), [64, 256], 2.5e8)
    gemma = default_tokens(a_head(262_144, 640), [64, 256], 5.4e8)
    assert 300_000 > pythia > gemma == 400 * 64
    assert pythia * (2.5e8 + 50_304 * (6 * 320 + 120)) == pytest.approx(2e13, rel=1e-4)
    assert default_tokens(a_head(640, 48, "meta"), [12], 3e5) == 150_000_000


def test_documents_outside_the_sample_are_held_out() -> None:
    sample = Sample("t", tuple(window(d) for d in range(8)))
    stream = list(range(4, 40))  # of the sample's documents 0 to 3 are evaluated
    held, rest = hold_out((window(d) for d in cycle(stream)), sample, 10_000)
    assert [w.document for w in held] == [8, 9, 10, 11, 12, 13, 14, 15]  # a quarter of 32, as 1,024 tokens are more
    after = [w.document for w in islice(rest, 60)]
    assert after == list(islice((d for d in cycle(stream) if d not in range(8, 16)), 60))
    held, rest = hold_out((window(d) for d in chain(stream, range(40, 10**6))), sample, 10_000)
    assert sum(len(w.tokens) for w in held) == 1_000  # of 41 documents that were read ahead
    assert next(islice(rest, 100, None)).document == 4 + 100 + len(held)  # nothing that was read ahead is lost


def test_documents_of_the_fit_half_are_held_out_where_the_sample_is_all() -> None:
    sample = Sample("t", tuple(window(d) for d in range(12)))
    held, rest = hold_out((window(d) for d in cycle(range(4, 12))), sample, 10_000)
    assert [w.document for w in held] == [4, 5]
    assert [w.document for w in islice(rest, 7)] == [6, 7, 8, 9, 10, 11, 6]
    held, rest = hold_out((window(d) for d in cycle((1, 2))), Sample("t", tuple(map(window, range(3)))), 10_000)
    assert ([w.document for w in held], next(rest).document) == ([1], 2)
    held, rest = hold_out((window(d) for d in cycle((1,))), Sample("t", (window(0), window(1))), 10_000)
    assert (held, next(rest).document) == ([], 1)


def curve(*losses: float) -> list[tuple[int, list[float]]]:
    return [(100 * k, [0.0, loss]) for k, loss in enumerate(losses)]


def test_a_curve_is_flat_where_its_second_half_gained_nothing() -> None:
    falling, flat, risen = curve(5, 4, 3.5, 3.2, 3.0), curve(5, 4, 3.01, 3.0, 3.0), curve(5, 4, 3.5, 3.6, 4.0)
    assert [second_half_fall(c, 1) for c in (falling, flat, risen)] == pytest.approx([0.5, 0.01, 0.0])
    assert [why_not_flat(c, 1, 400) is None for c in (falling, flat, risen)] == [False, True, True]
    assert "lowered its held-out loss by 0.5 nats" in str(why_not_flat(falling, 1, 400))
    assert "199 steps" in str(why_not_flat(flat, 1, 199))
    assert "one document" in str(why_not_flat([], 1, 400))
    assert "no finite loss" in str(why_not_flat(curve(float("nan"), float("inf")), 1, 400))
    falls = [possible_fall(falling, 1, 400), possible_fall(flat, 1, 400), possible_fall(flat, 1, 9)]
    assert falls == pytest.approx([5.0, 0.0, float("inf")])
    assert [possible_fall(falling, 1, steps) for steps in (199, 200)] == pytest.approx([float("inf"), 5.0])


def test_a_head_that_ends_above_its_start_says_so() -> None:
    assert why_worse(3.0, 3.0) is None
    assert why_worse(2.9, 3.0) is None
    assert "0.1 nats above the closed form" in str(why_worse(3.1, 3.0))
