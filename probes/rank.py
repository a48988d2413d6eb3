"""Loss against the rank of the LM head, W = AB, in closed form: where the softmax is a bottleneck."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from degen.errors import CheckpointError, DegenError
from degen.forward.cross_entropy import nested_token_losses
from degen.forward.head_inputs import Batches, HeadInputs, StateFile
from degen.precision import as_float64
from degen.probe import Batch, OutputHead, Site, StreamProbe, Tell
from degen.rank.bottleneck_rank import WITHIN, bottleneck_rank
from degen.rank.linear_algebra import factored_error
from degen.rank.nested_head import NestedHead, gradient_lost, nested_heads
from degen.rank.trained_head import TrainedHead, Training
from degen.stats.jackknife import ratio_error
from degen.tables import Column, Rows
from degen.text.windows import Sample, Window

if TYPE_CHECKING:
    import torch

Floats = np.ndarray[Any, np.dtype[np.float64]]

CLOSED = ("svd", "whitened")
OPTIONS = ("ranks", "methods", "within", "training", "gradient")
METHODS = (*CLOSED, "trained")


@dataclass(frozen=True)
class Plan:
    """How `trained` learns.

    Attributes:
        tokens: to train on, in all; None for 150 million on an accelerator, as in the paper, and 1 million on a CPU.
        windows: in a batch, that is, for one step.
        init: `normal` for A and B from N(0, 1), `whitened` for the closed form.
        every: steps between two validations.
        seed: of A and B.
        cache: keep the states of the first so many tokens in a file, and train on them again and again; 0 for new ones
            without end.
    """

    tokens: int | None = None
    windows: int = 256
    init: str = "normal"
    every: int = 16
    seed: int = 0
    cache: int = 0

    def __post_init__(self) -> None:
        if (self.tokens is not None and self.tokens < 0) or self.windows < 1 or self.every < 1 or self.cache < 0:
            raise DegenError("training takes tokens and a cache of at least 0, and at least 1 window a batch")
        if self.init not in ("normal", "whitened"):
            raise DegenError(f"--init {self.init}: not one of normal, whitened")


class Rank(StreamProbe):
    """Loss of the head at restricted rank: the first half of the documents gathers C, the second is evaluated.

    Args:
        sample: the windows that will come.
        ranks: to be measured; None for the powers of two up to the width the head sees, and that width. Ranks above it
            are that width.
        methods: of `svd`, `whitened` and `trained`.
        within: reach of the bottleneck rank, nats per token.
        training: how `trained` learns, the fields of `Plan`.
        gradient: whether to measure the share of the gradient that is lost, too.
    """

    measures = "loss of the LM head at restricted rank, W = AB, and the rank at which it is a bottleneck"
    needs = frozenset({"head_input", "losses"})
    halves: ClassVar[bool] = True
    columns = {
        "checkpoints": (
            Column("bottleneck_rank", "int64", "dimensions",
                   "smallest measured rank near the full head's loss, by the last method asked", glance=True),
            Column("bottleneck_rank_low", "int64", "dimensions", "the same by the gaps' lower 95 % ends"),
            Column("bottleneck_rank_high", "int64", "dimensions", "the same by the gaps' upper 95 % ends"),
            Column("gradient_lost", "float64", "",
                   "mean of 1 − ‖P_W g‖/‖g‖, the share of the logit gradient g that W cannot pass back; on request"),
            Column("gradient_lost_se", "float64", "", "its delete-one-document jackknife standard error"),
        ),
        "ranks": (
            Column("rank", "int64", "dimensions", "rank r of the head", key=True),
            Column("method", "string", "", "svd, whitened or trained", key=True),
            Column("loss", "float64", "nats/token", "mean cross-entropy of the head of rank r on the evaluated half"),
            Column("loss_se", "float64", "nats/token", "its delete-one-document jackknife standard error"),
            Column("loss_gap", "float64", "nats/token", "loss less that of the full head on the same tokens"),
            Column("loss_gap_se", "float64", "nats/token", "its delete-one-document jackknife standard error"),
            Column("perplexity", "float64", "", "exp(loss)"),
            Column("w_error", "float64", "", "‖W − AB‖_F / ‖W‖_F, over all rows of the head"),
            Column("tokens_trained", "int64", "tokens", "tokens that trained A and B; null for closed forms"),
            Column("loss_last", "float64", "nats/token", "loss at the end of training; null for closed forms"),
        ),
    }  # fmt: skip

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """Refuse unknown methods, ranks that are none, and training that cannot begin."""
        super().check({name: value for name, value in options.items() if name not in OPTIONS})
        methods, ranks = options.get("methods", ("whitened",)), options.get("ranks")
        for method in methods:
            if method not in METHODS:
                raise DegenError(f"--method {method}: not one of {', '.join(METHODS)}")
        if not methods:
            raise DegenError(f"--method: name one of {', '.join(METHODS)}")
        if ranks is not None and (not ranks or min(ranks) < 1):
            raise DegenError("--ranks are whole numbers of at least 1, as in 64,256")
        if not options.get("within", WITHIN) > 0:
            raise DegenError(f"--within {options['within']}: must be above 0")
        training = options.get("training") or {}
        if unknown := sorted(set(training) - {f.name for f in fields(Plan)}):
            raise DegenError(f"training has no option {unknown[0]!r}")
        Plan(**training)

    def __init__(
        self,
        sample: Sample,
        ranks: Sequence[int] | None = None,
        methods: Sequence[str] = ("whitened",),
        within: float = WITHIN,
        training: Mapping[str, Any] | None = None,
        gradient: bool = False,
    ) -> None:
        super().__init__(sample)
        if sample.documents < 2:
            raise CheckpointError("ranks need two documents at least: one half gathers, the other is evaluated")
        self._asked = ranks
        self._methods = tuple(m for m in METHODS if m in methods)  # trained last
        self._within = within
        self._plan = Plan(**(training or {}))
        self.trains = "trained" in methods
        self._gradient = gradient
        self._lost: Floats = np.zeros(len(sample.windows))  # sum of shares by window
        self._gathered: torch.Tensor | None = None  # Σ h hᵀ of the first half, float64
        self._count = 0
        self._states: torch.Tensor | None = None  # of the batch whose losses come next
        self._heads: list[NestedHead] = []
        self._start: NestedHead | None = None  # of training, where that is the closed form
        self._basis: torch.Tensor | None = None  # of the head's columns, where the gradient is asked for
        self._ready = False
        self._training: Training | None = None
        self._nats: Floats = np.zeros((len(sample.windows), 1))
        self._scored: Floats = np.zeros(len(sample.windows))

    def begin(self, head: OutputHead) -> None:
        """Choose the ranks."""
        import torch

        width = min(head.weight.shape)
        asked = self._asked if self._asked is not None else [2**k for k in range(width.bit_length())] + [width]
        self.ranks = sorted({min(rank, width) for rank in asked})
        self._head = head
        self._gathered = torch.zeros(head.weight.shape[1], head.weight.shape[1], dtype=torch.float64)
        closed = [m for m in self._methods if m in CLOSED]
        self._nats = np.zeros((len(self.sample.windows), 1 + len(closed) * len(self.ranks)))

    def update_states(self, batch: Batch, site: Site, states: torch.Tensor) -> None:
        """Gather the second moment of the first half; keep the second half's states until their losses come."""
        if not self.sample.first_half[batch.windows[0]]:
            self._states = states
            return
        assert self._gathered is not None
        flat = as_float64(states if batch.mask is None else states[batch.mask]).reshape(-1, states.shape[-1])
        self._gathered += (flat.T @ flat).cpu()
        self._count += len(flat)

    def update_losses(self, batch: Batch, losses: torch.Tensor, scored: torch.Tensor) -> None:
        """Evaluate every rank on a batch of the second half."""
        if self._states is None:
            return
        if not self._ready:
            self._factor()
        h, y = self._states[:, :-1][scored].float(), batch.ids[:, 1:][scored]
        self._states = None
        bias = None if self._head.bias is None else self._head.bias.float()
        columns = [losses[scored].unsqueeze(1)]
        for nested in self._heads:
            ranks = [min(rank, nested.map.shape[1]) for rank in self.ranks]
            columns.append(nested_token_losses(h @ nested.map, nested.factor, bias, y, ranks, self._head.transform))
        self._add(batch, columns, scored)
        if self._basis is not None:
            lost = as_float64(gradient_lost(h, y, losses[scored], self._head, self._basis)).cpu().numpy()
            np.add.at(self._lost, batch.windows[scored.nonzero()[:, 0].cpu().numpy()], lost)

    def _factor(self) -> None:
        """Once the first half is gathered: the closed forms, and what else needs the head's factors."""
        assert self._gathered is not None
        closed = [m for m in self._methods if m in CLOSED]
        needed = list(closed)
        if self.trains and self._plan.init == "whitened" and "whitened" not in needed:
            needed.append("whitened")
        if self._gradient and not needed:
            needed.append("svd")
        found = nested_heads(self._head, self._gathered / max(self._count, 1), needed) if needed else []
        self._heads = [h for h in found if h.method in closed]
        if self.trains and self._plan.init == "whitened":
            self._start = next(h for h in found if h.method == "whitened")
        self._basis = found[0].factor if self._gradient else None
        self._ready = True

    def _add(self, batch: Batch, columns: list[torch.Tensor], scored: torch.Tensor) -> None:
        """Sum the losses of tokens by window."""
        import torch

        nats = as_float64(torch.cat(columns, dim=1)).cpu()
        row = scored.nonzero()[:, 0].cpu()
        sums = torch.zeros(len(batch.windows), nats.shape[1], dtype=torch.float64).index_add_(0, row, nats)
        self._nats[batch.windows] += sums.numpy()
        self._scored[batch.windows] += scored.sum(dim=1).cpu().numpy()

    def train(self, inputs: HeadInputs, windows: Iterator[Window], place: Path, tell: Tell) -> None:
        """Learn A and B of every rank from the same states; what was kept of an earlier try is gone on with."""
        plan, state = self._plan, place / "state.safetensors"
        training = self._training = Training(self._head, [self._beginning(rank) for rank in self.ranks])
        training.load(state)
        on_cpu = self._head.weight.device.type == "cpu"
        tokens = plan.tokens if plan.tokens is not None else 1_000_000 if on_cpu else 150_000_000
        evaluated = [i for i, first in enumerate(self.sample.first_half) if not first]
        device = self._head.weight.device
        with StateFile(place / "evaluated.states") as held_out:
            for part in inputs.of([self.sample.windows[i] for i in evaluated]):
                held_out.add(part)
            source = Batches(inputs, windows, plan.windows, plan.cache, place / "trained.states", training.windows)
            with source:
                while not training.curve or training.tokens < tokens:
                    if training.curve:
                        for _ in range(plan.every):
                            training.step(*source.next())
                            if training.tokens >= tokens:
                                break
                    training.validate(held_out.read(device), len(evaluated))
                    training.save(state)
                    tell(_said(self.ranks, training.curve[-1][1]), training.tokens, tokens)
            nats = training.losses_of_best(held_out.read(device), len(evaluated))
        wide = np.zeros((len(self.sample.windows), nats.shape[1]))
        wide[evaluated] = nats
        self._nats = np.concatenate([self._nats, wide], axis=1)

    def _beginning(self, rank: int) -> TrainedHead:
        """A and B before the first step."""
        if self._start is None:
            return TrainedHead.random(rank, self._head, self._plan.seed)
        return TrainedHead.balanced(self._start.factor[:, :rank], self._start.map[:, :rank].T)

    def merge(self, other: Self) -> None:
        """Add what another instance gathered of the first half; what is evaluated depends on all of it.

        Raises:
            ValueError: one of them has begun to evaluate.
        """
        if self._ready or other._ready:
            raise ValueError("ranks are evaluated with all that the first half gathered: merge before that")
        assert self._gathered is not None
        assert other._gathered is not None
        self._gathered += other._gathered
        self._count += other._count

    def finish(self) -> Rows:
        """The rows of every rank and method, and the bottleneck rank.

        Formulas: loss = Σ nats / Σ tokens over the second half; the gap is the same of differences token by token;
        standard errors leave out one document's sums at a time.
        """
        scored = float(self._scored.sum())
        if not scored:
            raise CheckpointError("ranks were not evaluated: the second half of the documents scores no token")
        rows: list[dict[str, Any]] = []
        for m, method in enumerate(self._methods):
            rows += [self._row(method, k, 1 + m * len(self.ranks) + k) for k in range(len(self.ranks))]
        last = rows[-len(self.ranks) :]
        bottleneck = bottleneck_rank(
            self.ranks, [r["loss_gap"] for r in last], [r["loss_gap_se"] for r in last], self._within
        )
        found: dict[str, Any] = {
            "bottleneck_rank": bottleneck.rank,
            "bottleneck_rank_low": bottleneck.low,
            "bottleneck_rank_high": bottleneck.high,
        }
        if self._basis is not None:
            found["gradient_lost"] = float(self._lost.sum() / scored)
            found["gradient_lost_se"] = ratio_error(self._lost, self._scored, self.sample.document_slots)
        return {"checkpoints": [found], "ranks": rows}

    def _row(self, method: str, k: int, column: int) -> dict[str, Any]:
        nats, full = self._nats[:, column], self._nats[:, 0]
        scored = self._scored.sum()
        loss = float(nats.sum() / scored)
        row = {
            "rank": self.ranks[k],
            "method": method,
            "loss": loss,
            "loss_se": ratio_error(nats, self._scored, self.sample.document_slots),
            "loss_gap": float((nats - full).sum() / scored),
            "loss_gap_se": ratio_error(nats - full, self._scored, self.sample.document_slots),
            "perplexity": math.exp(loss) if loss < 700 else math.inf,
        }
        if method in CLOSED:
            nested = next(h for h in self._heads if h.method == method)
            return row | {"w_error": nested.w_error(self.ranks[k])}
        assert self._training is not None
        best = min(self._training.curve, key=lambda point: point[1][k])
        head = self._training.heads[k]
        error = factored_error(self._head.weight, *self._training.best_of(head))
        return row | {"w_error": error, "tokens_trained": best[0], "loss_last": self._training.curve[-1][1][k]}


def _said(ranks: Sequence[int], losses: Sequence[float]) -> str:
    return "  ".join(f"{rank}: {loss:.3f}" for rank, loss in zip(ranks, losses, strict=True))
