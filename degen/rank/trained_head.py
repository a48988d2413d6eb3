"""A head of restricted rank that learns, W = AB: its gradient, its steps, its loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from degen.forward.cross_entropy import nested_token_losses
from degen.probe import OutputHead, Scored

if TYPE_CHECKING:
    import torch

MAX_LOGITS = 1 << 24  # made at a time, tokens × vocabulary: 64 MiB of float32
MAX_LOGITS_ON_DEVICE = 1 << 26  # the same on an accelerator

# The learning rates of Godey et al. 2024 for ranks up to the one named; smaller for larger ranks.
RATES = ((32, 2e-2), (256, 1e-2), (512, 7e-3), (1024, 3.5e-3))
SMALLEST_RATE = 2e-3
# From a closed form, whose columns are right already, the best of 0.1, 0.3 and 1 times these rates: docs/ranks.md.
FROM_CLOSED_FORM = 0.3


def learning_rate(rank: int) -> float:
    """Return Adam's learning rate for a rank, as in arXiv 2404.07647, appendix; between 2e-2 and 2e-3."""
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
        """Return a head that starts from the factors A and B of a closed form, scaled so that Adam moves both alike.

        After scaling, the entries of A and B have one root mean square. The learning rate is scaled by it, because a
        step of Adam moves every entry by the rate, and the rate is meant for entries drawn from N(0, 1); and by 0.3,
        because there is less to learn.
        """
        size = (A.square().mean() * B.square().mean()) ** 0.25  # √ of the two root mean squares' product
        A, B = A * (size / A.square().mean().sqrt()), B * (size / B.square().mean().sqrt())
        rate = FROM_CLOSED_FORM * learning_rate(len(B)) * min(float(size), 1.0)
        return cls(A.contiguous(), B.contiguous(), rate)

    @property
    def rank(self) -> int:
        """The rank r."""
        return int(self.B.shape[0])

    @classmethod
    def random(cls, rank: int, head: OutputHead, seed: int) -> TrainedHead:
        """Return a head of rank `rank` that starts from A and B drawn from N(0, 1), as in arXiv 2404.07647."""
        import torch

        draw = torch.Generator().manual_seed(seed)
        rows, width = head.weight.shape
        device = head.weight.device
        A, B = torch.randn(rows, rank, generator=draw), torch.randn(rank, width, generator=draw)
        return cls(A.to(device), B.to(device), learning_rate(rank))

    def add(self, part: Scored, total: int, head: OutputHead) -> None:
        """Add to the gradient of A and B the share of some tokens; `step` uses the sum.

        Formulas, with c = h Bᵀ, z = c Aᵀ + b and p = softmax(f(z)): G = (p − onehot(y)) ⊙ f′(z) / N, ∂A = Gᵀ c,
        ∂B = (G A)ᵀ h. Logits are computed for some tokens at a time.

        Args:
            part: states and targets of some of the tokens of a step.
            total: N, the number of all tokens of the step, over which the loss is a mean.
            head: the full head, for its bias and transform.
        """
        import torch

        assert self.A.grad is not None
        assert self.B.grad is not None
        at_once = max((MAX_LOGITS if self.A.device.type == "cpu" else MAX_LOGITS_ON_DEVICE) // len(self.A), 1)
        for h, y in zip(torch.split(part.states, at_once), torch.split(part.targets, at_once), strict=True):
            c = h @ self.B.T
            z = c @ self.A.T if head.bias is None else torch.addmm(head.bias.float(), c, self.A.T)
            slope = head.transform.slope(head.transform(z))
            G = torch.softmax(z, dim=1)
            G[torch.arange(len(y), device=y.device), y] -= 1
            G *= slope / total
            self.A.grad.addmm_(G.T, c)
            self.B.grad.addmm_((G @ self.A).T, h)

    def step(self, share: float = 1.0) -> None:
        """Take one step of Adam at a share of the head's learning rate, and set the gradient to zero."""
        assert self.A.grad is not None
        assert self.B.grad is not None
        for group in self._adam.param_groups:
            group["lr"] = share * self.rate
        self._adam.step()
        self.A.grad.zero_()
        self.B.grad.zero_()

    def losses(self, part: Scored, head: OutputHead) -> torch.Tensor:
        """Return the loss of each of the N tokens of `part` in nats, shape (N,), float32; `head` is the full head."""
        bias = None if head.bias is None else head.bias.float()
        c = part.states @ self.B.T
        return nested_token_losses(c, self.A, bias, part.targets, [self.rank], head.transform)[:, 0]

    def state(self) -> dict[str, torch.Tensor]:
        """Return all that an interrupted training needs to continue: A, B and Adam's moments, as name -> tensor."""
        tensors = {"A": self.A, "B": self.B}
        for name, parameter in (("A", self.A), ("B", self.B)):
            for key, value in self._adam.state[parameter].items():
                tensors[f"{name}.{key}"] = value
        return tensors

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take over A, B and Adam's moments from `state`, which `state()` of a head of the same shapes returned."""
        self.A.copy_(state["A"])
        self.B.copy_(state["B"])
        for name, parameter in (("A", self.A), ("B", self.B)):
            own = {k.split(".")[1]: v.clone() for k, v in state.items() if k.startswith(f"{name}.")}
            if own:
                self._adam.state[parameter] = own
