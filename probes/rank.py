"""Loss against the rank of the LM head, W = AB: in closed form and trained, and where the softmax is a bottleneck."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from degen.errors import CheckpointError, DegenError
from degen.probe import Batch, HeadInputs, OnProgress, OutputHead, Site, StreamProbe
from degen.rank.bottleneck_rank import WITHIN, best_method, bottleneck_of_method
from degen.rank.closed_form import CLOSED, ClosedForm
from degen.rank.flattening import why_worse
from degen.rank.gradient_share import GradientShare
from degen.rank.rank_losses import RankLosses
from degen.rank.trained_ranks import TrainedRanks
from degen.rank.training_plan import TrainingPlan
from degen.tables import Column, Metric, Row, Rows
from degen.text.windows import Sample, Window

if TYPE_CHECKING:
    import torch

OPTIONS = ("ranks", "methods", "within", "training", "gradient")
METHODS = (*CLOSED, "trained")


def listed(value: Any) -> Any:
    """Return an option as a list; a single rank, as of `--probe-option rank.ranks=64`, or method is one of one."""
    return [value] if isinstance(value, int | float | str) else value


class Rank(StreamProbe):
    """Loss of the head at restricted rank: the first half of the documents gathers C, the second is evaluated.

    Three measures share the pass: `degen.rank.closed_form`, `degen.rank.trained_ranks`, `degen.rank.gradient_share`.

    Args:
        sample: the windows that will come.
        ranks: the ranks to measure; None for the powers of two up to the width of the head's input, and that width. A
            rank above the width is replaced by the width.
        methods: some of `svd`, `whitened` and `trained`.
        within: the bottleneck rank is the smallest whose loss is less than this above the full head's, nats per token.
        training: how the method `trained` learns: fields of `TrainingPlan` by name.
        gradient: whether to measure also the share of the logit gradient that the head cannot pass back.
    """

    measures = "loss of the LM head at restricted rank, W = AB, and the rank at which it is a bottleneck"
    needs = frozenset({"head_input", "losses"})
    halves: ClassVar[bool] = True
    cost = (
        "a product with the head for every rank and token of half the sample, and an SVD of d × d; `trained` its "
        "steps on top; memory: the head once more"
    )
    metrics = (
        Metric(
            ("bottleneck_rank", "bottleneck_rank_low", "bottleneck_rank_high"),
            formula="smallest measured rank r with loss(W_r) − loss(W) < 0.1 nats per token",
            source="Godey et al. 2024 (arXiv 2404.07647), section 5; the threshold is degen's",
            range="1 to d",
            high="the loss needs many dimensions of the head: the softmax would be the bottleneck of a narrower model",
            low="few dimensions are enough",
            clashes="rank of the matrix of log-probabilities (Yang et al. 2018), which is of the task, not of a head",
        ),
        Metric(
            ("gradient_lost", "gradient_lost_se"),
            formula="mean of 1 − ‖P_W g‖/‖g‖, g the gradient by the logits, P_W the projection on W's columns",
            source="arXiv 2603.10145",
            range="0 to 1",
            high="most of the gradient cannot pass back through the head",
            low="the head passes it back",
            clashes="1 − ‖P_W g‖²/‖g‖², the share of its energy",
        ),
        Metric(
            ("loss_gap", "loss_gap_se", "loss", "loss_se", "perplexity", "loss_last", "tokens_trained"),
            formula="loss(AB) − loss(W) on the same tokens, AB of rank r",
            source="Godey et al. 2024 (arXiv 2404.07647), section 5",
            range="near 0 to infinity; below 0 where a trained head generalises better",
            high="the rank is too small",
            low="the rank is enough",
            clashes="the loss of a model that was trained with this head from the start",
        ),
        Metric(
            ("w_error",),
            formula="‖W − AB‖_F / ‖W‖_F",
            source="Eckart and Young 1936 for its least value, sqrt(Σ_{i>r} σᵢ²)/‖W‖_F",
            range="0 to 1 for closed forms",
            high="the head is far from W",
            low="the head is W",
            clashes="the W-error of `degen ngram`, which is of next-token distributions",
        ),
    )
    columns = {
        "checkpoints": (
            Column("bottleneck_rank", "int64", "dimensions",
                   "smallest measured rank near the full head's loss, by the best method", summary=True),
            Column("bottleneck_rank_low", "int64", "dimensions",
                   "lower end of its 95 % interval, by Student's t over documents; null if above all measured ranks"),
            Column("bottleneck_rank_high", "int64", "dimensions", "upper end of its 95 % interval; null as the lower"),
            Column("bottleneck_rank_method", "string", "", "the best method, that of the smallest bottleneck rank"),
            Column("gradient_lost", "float64", "",
                   "mean of 1 − ‖P_W g‖/‖g‖, the share of the logit gradient g that W cannot pass back (arXiv "
                   "2603.10145); on request"),
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
            Column("tokens_trained", "int64", "tokens",
                   "tokens that trained A and B, 0 where they are still the start; null for closed forms"),
            Column("loss_last", "float64", "nats/token", "loss at the end of training; null for closed forms"),
            Column("reason", "string", "", "why A and B are not the best of their rank; null where that is unknown"),
            Column("bottleneck_rank", "int64", "dimensions",
                   "of the method: smallest measured rank near the full head's loss"),
            Column("bottleneck_rank_low", "int64", "dimensions", "lower end of its 95 % interval"),
            Column("bottleneck_rank_high", "int64", "dimensions", "upper end of its 95 % interval"),
        ),
    }  # fmt: skip

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """Refuse options that make no sense, before any checkpoint is read.

        Args:
            options: the arguments of `__init__` but for `sample`, by name.

        Raises:
            DegenError: a method is unknown or missing, a rank is below 1, `within` is not above 0, or a field of
                `training` is unknown or out of range.
        """
        super().check({name: value for name, value in options.items() if name not in OPTIONS})
        methods, ranks = listed(options.get("methods", ("whitened",))), listed(options.get("ranks"))
        for method in methods:
            if method not in METHODS:
                raise DegenError(f"--method {method}: must be one of {', '.join(METHODS)}")
        if not methods:
            raise DegenError(f"--method: no method is named; name at least one of {', '.join(METHODS)}")
        if ranks is not None and not (ranks and all(type(rank) is int and rank > 0 for rank in ranks)):
            raise DegenError("--ranks: every rank must be a whole number of at least 1, as in 64,256")
        within, training = options.get("within", WITHIN), options.get("training") or {}
        if not (isinstance(within, int | float) and within > 0):
            raise DegenError(f"--within {within}: must be a number above 0, in nats per token")
        if not isinstance(training, Mapping):
            raise DegenError(f"training of probe rank: {training!r} has no fields; `degen rank` has options for them")
        if unknown := sorted(set(training) - {f.name for f in fields(TrainingPlan)}):
            raise DegenError(
                f"training has no option {unknown[0]!r}; it has {', '.join(f.name for f in fields(TrainingPlan))}"
            )
        TrainingPlan(**training)

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
            raise CheckpointError(
                f"ranks need at least two documents, one to fit the heads and one to evaluate them, and the sample has "
                f"{sample.documents}; scan more tokens, or a corpus of more documents"
            )
        self._options_ranks = listed(ranks)
        self._methods = tuple(m for m in METHODS if m in listed(methods))  # trained last
        self._within = within
        self._plan = TrainingPlan(**(training or {}))
        self.trains = "trained" in self._methods
        self._measures_gradient = gradient
        self._states: torch.Tensor | None = None  # of the batch whose losses come next

    def begin(self, head: OutputHead) -> None:
        """Choose the ranks by the width of the model's head `head`, and prepare the measures of it."""
        width = min(head.weight.shape)
        ranks = self._options_ranks
        if ranks is None:
            ranks = [2**k for k in range(width.bit_length())] + [width]
        self.ranks = sorted({min(rank, width) for rank in ranks})
        self._head = head
        closed = [m for m in CLOSED if m in self._methods or (m == "whitened" and self._starts_whitened)]
        others = ["svd"] if self._measures_gradient and not closed else []
        self._closed = ClosedForm(head, self.ranks, closed, others)
        self._trained: TrainedRanks | None = None
        self._gradient = GradientShare(head, len(self.sample.windows)) if self._measures_gradient else None
        self._losses = RankLosses(self.sample, len(closed) * len(self.ranks))

    @property
    def _starts_whitened(self) -> bool:
        """Whether heads are trained, and start from the closed form."""
        return self.trains and self._plan.init == "whitened"

    def update_states(self, batch: Batch, site: Site, states: torch.Tensor) -> None:
        """Add states of the first half to the second moment; keep those of the second half until their losses come."""
        if self.sample.in_fit_half[batch.windows[0]]:
            self._closed.gather(states, None if batch.mask is None else batch.at)
        else:
            self._states = states

    def update_losses(self, batch: Batch, losses: torch.Tensor, scored: torch.Tensor) -> None:
        """Evaluate every rank on a batch, if it is of the second half; batches of the first half are ignored."""
        if self._states is None:
            return
        self._closed.factor()
        at = batch.scored_at
        h, y = self._states[at].float(), batch.ids[:, 1:][at]
        self._states = None
        self._losses.add(batch, scored, [losses[at].unsqueeze(1), *self._closed.losses(h, y)])
        if self._gradient is not None:
            self._gradient.add(batch, h, losses, self._closed.basis)

    def train(self, inputs: HeadInputs, windows: Iterator[Window], folder: Path, on_progress: OnProgress) -> None:
        """Train A and B of every rank on the same states; a training that was interrupted continues from its file.

        Args:
            inputs: computes the states that the head receives, for any windows.
            windows: the windows to train on, without end.
            folder: for the files of the training.
            on_progress: is called after every validation.
        """
        start = self._closed.nested("whitened") if self._starts_whitened else None
        self._trained = TrainedRanks(self._head, self.ranks, self._plan, start)
        self._losses.append(self._trained.train(inputs, self.sample, windows, folder, on_progress))

    def merge(self, other: Self) -> None:
        """Add the states of the first half that another instance gathered.

        Raises:
            ValueError: one of the two has begun to evaluate ranks, which needs all states of the first half.
        """
        self._closed.merge(other._closed)

    def finish(self) -> Rows:
        """Return rows by table: in `ranks` one for every rank and method, in `checkpoints` the bottleneck rank.

        Raises:
            CheckpointError: the second half of the documents has no scored token.
        """
        scored = self._losses.scored
        if not scored.sum():
            raise CheckpointError(
                "ranks were not evaluated, because the second half of the documents has no scored token; scan more "
                "tokens, or another corpus"
            )
        by_method = {method: [self._row(method, k) for k in range(len(self.ranks))] for method in self._methods}
        bottlenecks = {method: self._bottleneck(method, rows) for method, rows in by_method.items()}
        for method, rows in by_method.items():
            for row in rows:
                row.update(bottlenecks[method])
        rows = [row for of_method in by_method.values() for row in of_method]
        checkpoint: Row = best_method(bottlenecks, rows) | {"reason": self._reason(by_method, bottlenecks)}
        if self._gradient is not None:
            checkpoint |= self._gradient.columns(scored, self.sample.document_slots)
        return {"checkpoints": [checkpoint], "ranks": rows}

    def _bottleneck(self, method: str, rows: Sequence[Row]) -> Row:
        """Return the bottleneck rank of a method, from its rows of table `ranks`."""
        falls = [0.0] * len(rows)
        if method == "trained":
            assert self._trained is not None
            falls = [self._trained.possible_fall(k) for k in range(len(rows))]
        return bottleneck_of_method(rows, falls, self._within, self._losses.freedom)

    def _reason(self, by_method: Mapping[str, Sequence[Row]], bottlenecks: Mapping[str, Row]) -> str | None:
        """Return why trained heads give no bottleneck rank; None where they do, or none were still in training."""
        if not self.trains or bottlenecks["trained"]["bottleneck_rank"] is not None:
            return None
        assert self._trained is not None
        open_rows = [row for k, row in enumerate(by_method["trained"]) if self._trained.possible_fall(k) > 0]
        if not open_rows:
            return None
        nearest = min(open_rows, key=lambda row: abs(row["loss_gap"] - self._within))
        return f"no bottleneck rank from trained heads: rank {nearest['rank']}: {nearest['reason']}"

    def _row(self, method: str, k: int) -> Row:
        """Return the row of table `ranks` for a method and the rank with index `k`."""
        rank, evaluated = self.ranks[k], self._closed.methods
        index = evaluated.index(method) if method in evaluated else len(evaluated)
        row = {"rank": rank, "method": method, **self._losses.row(1 + index * len(self.ranks) + k)}
        if method in CLOSED:
            return row | {"w_error": self._closed.nested(method).w_error(rank)}
        assert self._trained is not None
        row |= self._trained.columns(k)
        if row["reason"] is None and self._starts_whitened:
            start = self._losses.row(1 + evaluated.index("whitened") * len(self.ranks) + k)["loss"]
            row["reason"] = why_worse(row["loss"], start)
        return row
