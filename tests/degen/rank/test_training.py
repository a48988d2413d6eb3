"""Heads that learn: their gradient, their beginning, and going on after an interruption."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from heads import CAPPED, PLAIN
from hypothesis import given
from hypothesis import strategies as st

import degen
from degen.demo import corpus_path
from degen.errors import CheckpointError
from degen.forward.head_inputs import StateFile
from degen.probe import OutputHead, Scored
from degen.rank.trained_head import TrainedHead, learning_rate
from degen.rank.training import Training
from degen.text.windows import Window

DEMO = Path(degen.__file__).parent / "demo" / "series" / "healthy"


def a_head(rows: int = 30, width: int = 6, biased: bool = False, capped: bool = False, seed: int = 0) -> OutputHead:
    draw = torch.Generator().manual_seed(seed)
    W = torch.randn(rows, width, generator=draw)
    bias = torch.randn(rows, generator=draw) if biased else None
    return OutputHead(W, bias, CAPPED if capped else PLAIN)


def some_tokens(head: OutputHead, tokens: int = 40, seed: int = 1) -> Scored:
    """Return tokens as the full head would draw them, so that there is something to learn."""
    draw = torch.Generator().manual_seed(seed)
    h = 2 * torch.randn(tokens, head.weight.shape[1], generator=draw)
    z = head.transform(h @ head.weight.T + (0 if head.bias is None else head.bias))
    y = torch.multinomial(torch.softmax(z, dim=1), 1, generator=draw)[:, 0]
    return Scored(h, y, torch.arange(tokens) % 4)


def windows_of(part: Scored) -> list[Window]:
    """Return windows with as many scored tokens."""
    return [Window(0, 0, None, 0, 0, np.zeros(len(part.targets) + 1, dtype=np.int32))]


@given(st.integers(1, 6), st.booleans(), st.booleans(), st.integers(0, 1000))
def test_the_gradient_equals_autograds(rank: int, biased: bool, capped: bool, seed: int) -> None:
    head = a_head(biased=biased, capped=capped, seed=seed)
    part = some_tokens(head)
    learner = TrainedHead.random(rank, head, seed)
    learner.add(part, len(part.targets), head)
    A, B = (t.detach().double().requires_grad_() for t in (learner.A, learner.B))
    z = part.states.double() @ B.T @ A.T
    z = z if head.bias is None else z + head.bias.double()
    if capped:
        z = 3.0 * torch.tanh(0.5 * z / 3.0)
    torch.nn.functional.cross_entropy(z, part.targets).backward()
    for ours, theirs in ((learner.A.grad, A.grad), (learner.B.grad, B.grad)):
        assert ours is not None
        assert theirs is not None
        torch.testing.assert_close(ours.double(), theirs, atol=1e-5, rtol=1e-4)


def test_a_step_equals_one_of_torchs_adam(monkeypatch: pytest.MonkeyPatch) -> None:
    import degen.rank.trained_head as module

    head, part = a_head(), some_tokens(a_head(), 50)
    learner, twin = TrainedHead.random(3, head, 0), TrainedHead.random(3, head, 0)
    monkeypatch.setattr(module, "MAX_LOGITS", 7 * 30)  # seven tokens at a time
    A, B = twin.A.clone().requires_grad_(), twin.B.clone().requires_grad_()
    adam = torch.optim.Adam([A, B], lr=learning_rate(3))
    training = Training(head, [learner])
    for _ in range(5):
        training.step([part], windows_of(part))
        adam.zero_grad()
        torch.nn.functional.cross_entropy(part.states @ B.T @ A.T, part.targets).backward()
        adam.step()
    torch.testing.assert_close(learner.A, A.detach(), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(learner.B, B.detach(), atol=1e-3, rtol=1e-3)
    assert (training.tokens, training.windows) == (250, 5)


def test_trained_heads_improve_and_the_best_one_is_returned() -> None:
    head = a_head()
    seen, unseen = some_tokens(head, 400), some_tokens(head, 400, seed=2)
    training = Training(head, [TrainedHead.random(rank, head, 0) for rank in (2, 6)])
    for _ in range(12):
        training.validate([unseen], 4)
        for _ in range(20):
            training.step([seen], windows_of(seen))
    nats = training.validate([unseen], 4)
    losses = np.asarray([means for _, means in training.curve])
    assert (losses[-1] < 0.5 * losses[0]).all()
    np.testing.assert_allclose(nats.sum(axis=0) / 400, losses[-1], rtol=1e-12)
    best, last = (nats.sum(axis=0) / 400 for nats in training.best_and_last([unseen], 4))
    np.testing.assert_allclose(best, losses.min(axis=0), rtol=1e-6)
    np.testing.assert_allclose(last, losses[-1], rtol=1e-12)


def test_steps_on_parts_of_windows_take_every_token_once(monkeypatch: pytest.MonkeyPatch) -> None:
    head, part = a_head(), some_tokens(a_head(), 50)
    seen: list[tuple[int, int, float]] = []
    real_add, real_step = TrainedHead.add, TrainedHead.step

    def add(self: TrainedHead, piece: Scored, total: int, full: OutputHead) -> None:
        tokens.append(piece.states)
        seen.append((len(piece.targets), total, 0.0))
        real_add(self, piece, total, full)

    def step(self: TrainedHead, share: float = 1.0) -> None:
        seen[-1] = (*seen[-1][:2], share)
        real_step(self, share)

    tokens: list[torch.Tensor] = []
    monkeypatch.setattr(TrainedHead, "add", add)
    monkeypatch.setattr(TrainedHead, "step", step)
    training = Training(head, [TrainedHead.random(3, head, 0)])
    halves = [Scored(*(t[i : i + 25] for t in (part.states, part.targets, part.windows))) for i in (0, 25)]
    training.step_by_batches(halves, windows_of(part), 16, lambda done: 1 - done / 50)
    assert seen == [(17, 17, 1.0), (17, 17, 1 - 17 / 50), (16, 16, 1 - 34 / 50)]
    assert (training.tokens, training.windows, training.steps) == (50, 1, 3)
    order = torch.cat(tokens)
    assert not torch.equal(order, part.states)
    assert torch.equal(order.sort(dim=0).values, part.states.sort(dim=0).values)


def test_the_learning_rate_of_a_step_is_a_share_of_the_heads() -> None:
    head, part = a_head(), some_tokens(a_head(), 50)
    learner = TrainedHead.random(3, head, 0)
    before = learner.A.clone()
    Training(head, [learner]).step([part], windows_of(part), 0.25)
    assert float((learner.A - before).abs().max()) == pytest.approx(0.25 * learning_rate(3), rel=1e-3)  # Adam's first


def test_balanced_factors_multiply_to_the_closed_form() -> None:
    draw = torch.Generator().manual_seed(0)
    A, B = torch.randn(40, 3, generator=draw) / 1000, 50 * torch.randn(3, 9, generator=draw)
    learner = TrainedHead.balanced(A, B)
    torch.testing.assert_close(learner.A @ learner.B, A @ B)
    assert float(learner.A.square().mean()) == pytest.approx(float(learner.B.square().mean()), rel=1e-5)
    assert learner.rate < learning_rate(3)


def test_an_interrupted_training_ends_as_one_without_interruption(tmp_path: Path) -> None:
    head, part = a_head(), some_tokens(a_head(), 60)

    def fresh() -> Training:
        return Training(head, [TrainedHead.random(rank, head, 5) for rank in (2, 4)])

    def steps(training: Training, count: int) -> None:
        for _ in range(count):
            training.step([part], windows_of(part))
            training.validate([part], 4)

    whole, first, second = fresh(), fresh(), fresh()
    steps(whole, 8)
    steps(first, 3)
    first.save(tmp_path / "state.safetensors")
    second.load(tmp_path / "state.safetensors")
    steps(second, 5)
    assert (second.curve, second.tokens, second.windows) == (whole.curve, whole.tokens, whole.windows)
    for ours, theirs in zip(second.heads, whole.heads, strict=True):
        assert torch.equal(ours.A, theirs.A)
        assert torch.equal(ours.B, theirs.B)
        assert all(torch.equal(a, b) for a, b in zip(second.best_of(ours), whole.best_of(theirs), strict=True))


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_damaged_state_is_refused(tmp_path: Path, content: bytes | None) -> None:
    head, file = a_head(), tmp_path / "state.safetensors"
    if content is None:
        Training(head, [TrainedHead.random(3, head, 0)]).save(file)
    else:
        file.write_bytes(content)
    with pytest.raises(CheckpointError, match="delete it"):
        Training(head, [TrainedHead.random(2, head, 0)]).load(file)


def test_states_stored_in_a_file_are_read_back_equal(tmp_path: Path) -> None:
    parts = [some_tokens(a_head(), n, seed=n) for n in (5, 1, 17)]
    with StateFile(tmp_path / "states") as stored:
        for part in parts:
            stored.add(part)
        for _ in range(2):
            for ours, theirs in zip(stored.read(torch.device("cpu")), parts, strict=True):
                assert torch.equal(ours.states, theirs.states)
                assert torch.equal(ours.targets, theirs.targets)
                assert torch.equal(ours.windows, theirs.windows)
    assert not list(tmp_path.iterdir())


def scan(out: Path, corpus: str = "demo", **training: Any) -> list[dict[str, Any]]:
    options = {"rank": {"ranks": (12,), "methods": ("whitened", "trained"), "training": training}}
    run = degen.scan(DEMO, steps="3000", tokens=4000, context=64, probes=["loss", "rank"], options=options, out=out,
                     threads=1, corpus=corpus)  # fmt: skip
    assert not run.failed
    rows: list[dict[str, Any]] = run.table("ranks").to_pylist()
    return rows


def test_training_is_better_than_the_closed_form_it_starts_from_and_is_recorded(tmp_path: Path) -> None:
    whitened, trained = scan(tmp_path / "run", tokens=30_000)
    assert trained["loss"] < whitened["loss"] - 0.03
    assert trained["loss"] == pytest.approx(trained["loss_last"], abs=0.01)
    assert 15_000 < trained["tokens_trained"] <= 30_063
    assert trained["w_error"] > whitened["w_error"] * 0.9
    assert (whitened["tokens_trained"], whitened["loss_last"], whitened["reason"]) == (None, None, None)
    assert not (tmp_path / "run" / ".training").exists()


def test_a_training_of_few_steps_says_that_it_did_not_train(tmp_path: Path) -> None:
    whitened, trained = scan(tmp_path / "run", tokens=3000, windows=256)
    assert trained["reason"].startswith("1 steps of Adam are too few to learn")
    assert trained["bottleneck_rank"] is None
    (row,) = degen.read_run(tmp_path / "run").checkpoints()
    assert row["reason"].startswith("no bottleneck rank from trained heads: rank 12: 1 steps")
    assert row["bottleneck_rank"] == whitened["bottleneck_rank"]


@pytest.mark.parametrize("options", [{"tokens": 0}, {"tokens": 3000, "init": "normal"}])
def test_no_training_and_a_start_at_random_give_a_reason(tmp_path: Path, options: dict[str, Any]) -> None:
    whitened, trained = scan(tmp_path / "run", **options)
    assert trained["reason"] is not None
    assert trained["bottleneck_rank"] is None
    if not options["tokens"]:
        assert trained["loss"] == pytest.approx(whitened["loss"], abs=1e-4)  # its start
        assert trained["tokens_trained"] == 0


def test_two_documents_leave_none_to_choose_the_best_step_by(tmp_path: Path) -> None:
    corpus = tmp_path / "two.jsonl"
    with gzip.open(corpus_path(), "rt", encoding="utf-8") as file:
        corpus.write_text("".join(islice(file, 2)), encoding="utf-8")
    whitened, trained = scan(tmp_path / "run", corpus=str(corpus))
    assert trained["reason"].startswith("not trained: only one document")
    assert trained["loss"] == pytest.approx(whitened["loss"], abs=1e-4)
    assert (trained["tokens_trained"], trained["bottleneck_rank"]) == (0, None)
    assert whitened["loss_gap_se"] is None
    assert whitened["bottleneck_rank_high"] is None


def documents_passed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[set[int], int]]:
    """Return the documents and tokens of each call that will compute states outside of the scan's own pass."""
    import degen.forward.head_inputs as module

    real = module.ModelHeadInputs.of

    def of(self: Any, windows: Sequence[Window]) -> Any:
        passed.append(({w.document for w in windows}, sum(len(w.tokens) for w in windows)))
        return real(self, windows)

    passed: list[tuple[set[int], int]] = []
    monkeypatch.setattr(module.ModelHeadInputs, "of", of)
    return passed


def test_no_window_that_is_evaluated_or_held_out_is_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = documents_passed(monkeypatch)
    scan(tmp_path / "run", tokens=20_000, windows=8, every=2)
    (held_out, _), *training, (evaluated, _) = passed
    assert held_out
    assert evaluated
    assert len(training) > 30
    assert not any((evaluated | held_out) & documents for documents, _ in training)
    sample = {w["document"] for w in pq.read_table(tmp_path / "run" / "sample.parquet").to_pylist()}
    assert evaluated < sample
    assert not held_out & sample  # the closed form has not seen them


def test_cached_states_are_trained_on_repeatedly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = documents_passed(monkeypatch)
    (_, trained) = scan(tmp_path / "run", tokens=6000, windows=4, every=8, cache=1000)
    assert sum(tokens for _, tokens in passed[1:-1]) < 1300  # the first is held out, the last is evaluated
    assert trained["tokens_trained"] > 1300
    assert not list((tmp_path / "run").rglob("*.states*"))


@pytest.mark.parametrize("options", [{"tokens": 4000, "windows": 4, "every": 4}, {"tokens": 6000}])
def test_an_interrupted_training_goes_on_in_a_continued_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    whole = scan(tmp_path / "whole", **options)
    real, count = Training.validate, [0]

    def cut(self: Training, *args: Any) -> Any:
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        return real(self, *args)

    monkeypatch.setattr(Training, "validate", cut)
    with pytest.raises(KeyboardInterrupt):
        scan(tmp_path / "cut", **options)
    assert list((tmp_path / "cut" / ".training").rglob("state.safetensors"))
    monkeypatch.setattr(Training, "validate", real)
    assert scan(tmp_path / "cut", **options) == whole
