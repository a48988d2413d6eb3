"""Heads of restricted rank, learned: W = AB with the model frozen, several ranks on the same states."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.device import as_float64
from degen.errors import CheckpointError, one_line
from degen.forward.cross_entropy import nested_token_losses
from degen.probe import OutputHead, Scored
from degen.tables import atomic
from degen.text.windows import Window

if TYPE_CHECKING:
    import torch

Floats = np.ndarray[Any, np.dtype[np.float64]]

CHUNK = 1 << 24  # logits at a time, tokens × vocabulary

# The learning rates of Godey et al. 2024 for ranks up to the one named; smaller for larger ranks.
RATES = ((32, 2e-2), (256, 1e-2), (512, 7e-3), (1024, 3.5e-3))
SMALLEST_RATE = 2e-3


def learning_rate(rank: int) -> float:
    """Adam's learning rate for a rank, as in arXiv 2404.07647, appendix; between 2e-2 and 2e-3."""
    return next((rate for largest, rate in RATES if rank <= largest), SMALLEST_RATE)


@dataclass
class TrainedHead:
    """A head W = AB that learns.

    Attributes:
        A: V × r, float32.
        B: r × d, float32.
        rate: Adam's learning rate.
    """

    A: torch.Tensor
    B: torch.Tensor
    rate: float

    def __post_init__(self) -> None:
        import torch

        self.A.grad, self.B.grad = torch.zeros_like(self.A), torch.zeros_like(self.B)
        self._adam = torch.optim.Adam([self.A, self.B], lr=self.rate)

    @classmethod
    def balanced(cls, A: torch.Tensor, B: torch.Tensor) -> TrainedHead:
        """From a closed form: A and B scaled to entries of one size, so that Adam moves both alike.

        A step of Adam moves an entry by the learning rate; taken as a share of that size it is what the rate is to
        entries of N(0, 1).
        """
        size = (A.square().mean() * B.square().mean()) ** 0.25  # √ of the two root mean squares' product
        A, B = A * (size / A.square().mean().sqrt()), B * (size / B.square().mean().sqrt())
        return cls(A.contiguous(), B.contiguous(), learning_rate(len(B)) * min(float(size), 1.0))

    @property
    def rank(self) -> int:
        """The rank r."""
        return int(self.B.shape[0])

    @classmethod
    def random(cls, rank: int, head: OutputHead, seed: int) -> TrainedHead:
        """A and B from N(0, 1), as in the paper."""
        import torch

        draw = torch.Generator().manual_seed(seed)
        rows, width = head.weight.shape
        device = head.weight.device
        A, B = torch.randn(rows, rank, generator=draw), torch.randn(rank, width, generator=draw)
        return cls(A.to(device), B.to(device), learning_rate(rank))

    def add(self, part: Scored, total: int, head: OutputHead) -> None:
        """Add the gradient of the mean loss of `total` tokens that these are some of.

        Formulas, with c = h Bᵀ, z = c Aᵀ + b and p = softmax(f(z)): G = (p − onehot(y)) ⊙ f′(z) / N, ∂A = Gᵀ c,
        ∂B = (G A)ᵀ h. Logits are made for some tokens at a time.
        """
        import torch

        assert self.A.grad is not None
        assert self.B.grad is not None
        at_once = max(CHUNK // len(self.A), 1)
        for h, y in zip(torch.split(part.states, at_once), torch.split(part.targets, at_once), strict=True):
            c = h @ self.B.T
            z = c @ self.A.T if head.bias is None else torch.addmm(head.bias.float(), c, self.A.T)
            slope = head.transform.slope(head.transform(z))
            G = torch.softmax(z, dim=1)
            G[torch.arange(len(y), device=y.device), y] -= 1
            G *= slope / total
            self.A.grad.addmm_(G.T, c)
            self.B.grad.addmm_((G @ self.A).T, h)

    def step(self) -> None:
        """One step of Adam, after which the gradient is zero."""
        assert self.A.grad is not None
        assert self.B.grad is not None
        self._adam.step()
        self.A.grad.zero_()
        self.B.grad.zero_()

    def losses(self, part: Scored, head: OutputHead) -> torch.Tensor:
        """The loss of every token, N float32."""
        bias = None if head.bias is None else head.bias.float()
        c = part.states @ self.B.T
        return nested_token_losses(c, self.A, bias, part.targets, [self.rank], head.transform)[:, 0]

    def state(self) -> dict[str, torch.Tensor]:
        """All that training goes on from."""
        found = {"A": self.A, "B": self.B}
        for name, parameter in (("A", self.A), ("B", self.B)):
            for key, value in self._adam.state[parameter].items():
                found[f"{name}.{key}"] = value
        return found

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from a state of the same shape."""
        self.A.copy_(state["A"])
        self.B.copy_(state["B"])
        for name, parameter in (("A", self.A), ("B", self.B)):
            own = {k.split(".")[1]: v.clone() for k, v in state.items() if k.startswith(f"{name}.")}
            if own:
                self._adam.state[parameter] = own


@dataclass
class Training:
    """Heads that learn from one stream of states, and what validation said of them.

    Attributes:
        head: the full head, whose bias and transform they share.
        heads: one of each rank.
        tokens: trained on so far.
        windows: trained on so far.
        curve: of every validation, tokens by then and the mean loss of each rank.
        best: A and B of each rank where its validation was best.
    """

    head: OutputHead
    heads: Sequence[TrainedHead]
    tokens: int = 0
    windows: int = 0
    curve: list[tuple[int, list[float]]] = field(default_factory=list)
    best: dict[int, dict[str, torch.Tensor]] = field(default_factory=dict)

    def step(self, parts: Iterable[Scored], windows: Sequence[Window]) -> None:
        """One step of every head on the scored tokens of some windows."""
        import torch

        total = sum(len(w.tokens) - 1 for w in windows)
        with torch.inference_mode():
            for part in parts:
                for head in self.heads:
                    head.add(part, total, self.head)
            for head in self.heads:
                head.step()
        self.tokens += total
        self.windows += len(windows)

    def best_of(self, head: TrainedHead) -> tuple[torch.Tensor, torch.Tensor]:
        """A and B of a head where its validation was best."""
        kept = self.best[head.rank]
        return kept["A"].to(head.A.device), kept["B"].to(head.B.device)

    def losses_of_best(self, parts: Iterable[Scored], count: int) -> Floats:
        """Nats by window and head, count × K, of every head at its best."""
        best = Training(self.head, [TrainedHead(*self.best_of(head), head.rate) for head in self.heads])
        return best.validate(parts, count)

    def validate(self, parts: Iterable[Scored], count: int) -> Floats:
        """The loss of every head on windows it is not trained on; the best are kept.

        Args:
            parts: their scored tokens.
            count: how many windows they are of.

        Returns:
            Nats by window and head, count × K.
        """
        import torch

        nats, tokens = torch.zeros(count, len(self.heads), dtype=torch.float64), 0
        with torch.inference_mode():
            for part in parts:
                losses = torch.stack([head.losses(part, self.head) for head in self.heads], dim=1)
                nats.index_add_(0, part.windows.cpu(), as_float64(losses).cpu())
                tokens += len(part.targets)
        means = [float(x) for x in nats.sum(dim=0) / max(tokens, 1)]
        for k, head in enumerate(self.heads):
            if all(means[k] < before[k] for _, before in self.curve):
                self.best[head.rank] = {"A": head.A.detach().cpu().clone(), "B": head.B.detach().cpu().clone()}
        self.curve.append((self.tokens, means))
        return nats.numpy()

    def save(self, file: Path) -> None:
        """Keep all that training goes on from, whole or not at all."""
        from safetensors.torch import save_file

        tensors = {
            f"{h.rank}/last/{k}": t.detach().cpu().contiguous() for h in self.heads for k, t in h.state().items()
        }
        tensors |= {f"{rank}/best/{k}": t.contiguous() for rank, kept in self.best.items() for k, t in kept.items()}
        notes = {"tokens": self.tokens, "windows": self.windows, "curve": self.curve}
        with atomic(file) as temporary:
            save_file(tensors, temporary, {"training": json.dumps(notes)})

    def load(self, file: Path) -> None:
        """Go on from what `save` kept; from nothing where there is no such file.

        Raises:
            CheckpointError: the file is damaged, or of other ranks.
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
            self.tokens, self.windows = notes["tokens"], notes["windows"]
            self.curve = [(tokens, means) for tokens, means in notes["curve"]]
        except Exception as error:  # the library has no narrower class of its own to catch
            raise CheckpointError(f"{file}: no state to go on from ({one_line(error)}); delete it") from error
