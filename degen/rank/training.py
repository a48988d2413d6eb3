"""Several heads that learn from the same states: steps, validation, and the file that training goes on from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from degen.arrays import Floats
from degen.device import as_float64, is_out_of_memory
from degen.errors import CheckpointError, one_line
from degen.paths import atomic
from degen.probe import OutputHead, Scored
from degen.text.windows import Window

from .trained_head import TrainedHead

if TYPE_CHECKING:
    import torch


@dataclass
class Training:
    """Heads that learn from one stream of states, and their losses in validation.

    Attributes:
        head: the full head, whose bias and transform they share.
        heads: one of each rank.
        tokens: the number of tokens trained on so far.
        windows: the number of windows trained on so far.
        steps: the number of steps of Adam so far.
        curve: for every validation the number of tokens trained on before it, and the mean loss of each rank.
        best: rank -> A and B as they were at its best validation.
    """

    head: OutputHead
    heads: Sequence[TrainedHead]
    tokens: int = 0
    windows: int = 0
    steps: int = 0
    curve: list[tuple[int, list[float]]] = field(default_factory=list)
    best: dict[int, dict[str, torch.Tensor]] = field(default_factory=dict)

    def step(self, parts: Iterable[Scored], windows: Sequence[Window], share: float = 1.0) -> None:
        """Take one training step of every head.

        Args:
            parts: the scored tokens of the windows, in parts.
            windows: the windows.
            share: of the learning rate.
        """
        self._step(parts, sum(len(w.tokens) - 1 for w in windows), share)
        self.windows += len(windows)

    def step_by_batches(
        self, parts: Iterable[Scored], windows: Sequence[Window], batch: int, rate: Callable[[int], float]
    ) -> None:
        """Take several training steps of every head, each on other tokens of some windows, drawn at random.

        Args:
            parts: the scored tokens of the windows, in parts.
            windows: the windows.
            batch: tokens of a step, as nearly as batches of one size can have.
            rate: gives the share of the learning rate, from the number of tokens trained on so far.
        """
        import torch

        states, targets, numbers = (torch.cat(of_parts) for of_parts in zip(*map(_fields, parts), strict=True))
        draw = torch.Generator().manual_seed(self.windows)
        order = torch.randperm(len(targets), generator=draw)
        for of_step in torch.tensor_split(order, max(round(len(order) / batch), 1)):
            at = of_step.to(states.device)
            self._step([Scored(states[at], targets[at], numbers[at])], len(of_step), rate(self.tokens))
        self.windows += len(windows)

    def _step(self, parts: Iterable[Scored], total: int, share: float) -> None:
        """Take one training step of every head on `total` tokens, at a share of the learning rate."""
        import torch

        with torch.inference_mode():
            for part in parts:
                for head in self.heads:
                    head.add(part, total, self.head)
            for head in self.heads:
                head.step(share)
        self.tokens += total
        self.steps += 1

    def best_of(self, head: TrainedHead) -> tuple[torch.Tensor, torch.Tensor]:
        """Return A and B of a head as they were at its best validation."""
        kept = self.best[head.rank]
        return kept["A"].to(head.A.device), kept["B"].to(head.B.device)

    def best_and_last(self, parts: Iterable[Scored], count: int) -> tuple[Floats, Floats]:
        """Return the nats of `count` windows under each of the K heads at its best, and as it is now, count × K each.

        `parts` are the scored tokens of the windows, in parts.
        """
        best = [TrainedHead(*self.best_of(head), head.rate) for head in self.heads]
        nats, _ = window_nats([*best, *self.heads], parts, count, self.head)
        return nats[:, : len(best)], nats[:, len(best) :]

    def validate(self, parts: Iterable[Scored], count: int) -> Floats:
        """Measure the loss of every head on windows that it is not trained on, and keep A and B of those that improved.

        Args:
            parts: the scored tokens of the windows, in parts.
            count: the number of windows.

        Returns:
            Nats of each window under each of the K heads, count × K.
        """
        nats, tokens = window_nats(self.heads, parts, count, self.head)
        means = [float(x) for x in nats.sum(axis=0) / max(tokens, 1)]
        for k, head in enumerate(self.heads):
            if all(means[k] < before[k] for _, before in self.curve):
                self.best[head.rank] = {"A": head.A.detach().cpu().clone(), "B": head.B.detach().cpu().clone()}
        self.curve.append((self.tokens, means))
        return nats

    def save(self, file: Path) -> None:
        """Write all that an interrupted training needs to continue to `file`: the whole file, or none on an error."""
        from safetensors.torch import save_file

        tensors = {
            f"{h.rank}/last/{k}": t.detach().cpu().contiguous() for h in self.heads for k, t in h.state().items()
        }
        tensors |= {f"{rank}/best/{k}": t.contiguous() for rank, kept in self.best.items() for k, t in kept.items()}
        notes = {"tokens": self.tokens, "windows": self.windows, "steps": self.steps, "curve": self.curve}
        with atomic(file) as temporary:
            save_file(tensors, temporary, {"training": json.dumps(notes)})

    def load(self, file: Path) -> None:
        """Take over the state that `save` wrote to `file`; do nothing where there is no such file.

        Raises:
            CheckpointError: the file is damaged, or belongs to other ranks.
        """
        from safetensors import safe_open

        if not file.is_file():
            return
        try:
            with safe_open(file, framework="pt") as opened:
                tensors = {key: opened.get_tensor(key) for key in opened.keys()}
                notes = json.loads(opened.metadata()["training"])
            for head in self.heads:
                device, prefix = head.A.device, f"{head.rank}/"
                own = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
                head.restore({k[5:]: t.to(device) for k, t in own.items() if k.startswith("last/")})
                self.best[head.rank] = {k[5:]: t for k, t in own.items() if k.startswith("best/")}
            self.tokens, self.windows, self.steps = (notes[name] for name in ("tokens", "windows", "steps"))
            self.curve = [(tokens, means) for tokens, means in notes["curve"]]
        except Exception as error:  # the library has no narrower class of its own to catch
            if is_out_of_memory(error):
                raise
            raise CheckpointError(
                f"{file}: training cannot continue from this file ({one_line(error)}); delete it to begin anew"
            ) from error


def window_nats(
    heads: Sequence[TrainedHead], parts: Iterable[Scored], count: int, full: OutputHead
) -> tuple[Floats, int]:
    """Return the nats of `count` windows under each of K heads, count × K, and the number of scored tokens.

    Args:
        heads: of restricted rank.
        parts: the scored tokens of the windows, in parts.
        count: the number of windows.
        full: the full head, for its bias and transform.
    """
    import torch

    nats, tokens = torch.zeros(count, len(heads), dtype=torch.float64), 0
    with torch.inference_mode():
        for part in parts:
            losses = torch.stack([head.losses(part, full) for head in heads], dim=1)
            nats.index_add_(0, part.windows.cpu(), as_float64(losses).cpu())
            tokens += len(part.targets)
    return nats.numpy(), tokens


def _fields(part: Scored) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return part.states, part.targets, part.windows
