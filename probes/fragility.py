"""Fragility: how much the loss rises when noise of a fixed share of each tensor's norm is added to the weights."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.arrays import Floats
from degen.errors import CheckpointError, DegenError
from degen.model_probe import LoadedModel, ModelProbe
from degen.stats.jackknife import ratio_error
from degen.tables import Column, Metric, Row, Rows
from degen.text.windows import Sample, Window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

SHARES, DRAWS, TOKENS = (0.01, 0.03, 0.1), 3, 2000


def noise_for(name: str, values: torch.Tensor, share: float, seed: int) -> torch.Tensor:
    """Return a tensor with Gaussian noise added, of a share of its norm.

    Formula: W + share · ‖W‖_F · g/‖g‖_F, g of independent standard normal entries. g depends on the seed and the name
    alone, so that it is the same for every checkpoint and every share.

    Args:
        name: of the parameter.
        values: W.
        share: of its Frobenius norm.
        seed: of the draw.

    Returns:
        A new tensor in the dtype and on the device of W.
    """
    import torch

    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    work = torch.promote_types(values.dtype, torch.float32)
    noise = torch.randn(values.shape, generator=generator, dtype=torch.float32).to(values.device, work)
    held = values.to(work)
    noise *= share * torch.linalg.vector_norm(held) / torch.linalg.vector_norm(noise)
    return noise.add_(held).to(values.dtype)


class Fragility(ModelProbe):
    """The rise of the loss under Gaussian noise in all parameters, at several shares of each tensor's norm."""

    measures = "rise of the loss when Gaussian noise of a share of each tensor's norm is added to the weights"
    cost = "10 passes over 2,000 tokens (options shares, draws, tokens); memory: a copy of all parameters"
    copies = 1
    metrics = (
        Metric(
            ("loss_rise", "loss_rise_se", "loss_rise_sd", "fragility", "noisy_loss"),
            formula="mean over draws of the loss of θ + share · ‖W‖_F · g/‖g‖_F, less that of θ, on the same tokens",
            source="Springer et al. 2025 (arXiv 2503.19206), there with noise of one size for all tensors",
            range="any; above 0 for models that have learnt something",
            high="small changes of the weights, as fine-tuning makes them, undo what was learnt",
            low="the model stands them",
            clashes="sharpness, which is of the worst direction and not of a random one",
        ),
    )
    columns = {
        "checkpoints": (
            Column("fragility", "float64", "nats/token", "loss_rise at the largest share of noise", summary=True),
        ),
        "fragility": (
            Column("noise_share", "float64", "", "norm of the noise over that of each tensor", key=True),
            Column("noisy_loss", "float64", "nats/token", "mean loss over the draws"),
            Column("loss_rise", "float64", "nats/token", "noisy_loss less the loss without noise on the same tokens"),
            Column("loss_rise_se", "float64", "nats/token",
                   "its standard error over documents (jackknife) and draws; of one draw over documents alone"),
            Column("loss_rise_sd", "float64", "nats/token", "its standard deviation over draws; null for one draw"),
            Column("reason", "string", "", "why there is no loss; null where there is one"),
        ),
    }  # fmt: skip

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """Check the options: `shares` of the noise, `draws` of each, `tokens` to measure on, `seed`.

        Raises:
            DegenError: another option, or a value that it cannot have.
        """
        for name, value in options.items():
            if name == "shares":
                given = value if isinstance(value, list | tuple) else ()
                numbers = [isinstance(x, int | float) and not isinstance(x, bool) and 0 < x < 10 for x in given]
                if not numbers or not all(numbers):
                    raise DegenError(
                        f"shares of probe fragility: {value!r} is no list of numbers above 0; of one write 0.1,"
                    )
            elif name in ("draws", "tokens", "seed"):
                least = 0 if name == "seed" else 1
                if not isinstance(value, int) or isinstance(value, bool) or value < least:
                    raise DegenError(f"{name} of probe fragility: {value!r} is no whole number of {least} or more")
            else:
                raise DegenError(f"probe fragility has no option {name!r}; it has shares, draws, tokens and seed")

    @classmethod
    def forward_tokens(
        cls, shares: Sequence[float] = SHARES, draws: int = DRAWS, tokens: int = TOKENS, **_options: Any
    ) -> int:
        """Return the tokens of all passes, the one without noise among them."""
        return tokens * (1 + draws * len(shares))

    def __init__(
        self,
        sample: Sample,
        shares: Sequence[float] = SHARES,
        draws: int = DRAWS,
        tokens: int = TOKENS,
        seed: int = 0,
    ) -> None:
        super().__init__(sample)
        self._shares, self._draws, self._seed = sorted(set(shares)), draws, seed
        self._windows = _first_tokens(sample, tokens)

    def measure(self, model: LoadedModel) -> Rows:
        """Return rows by table: in `fragility` one for every share of noise, in `checkpoints` the largest rise.

        The parameters have their own values again behind it, to the bit, whatever happens.

        Raises:
            CheckpointError: no token is scored.
            NotFiniteError: the loss without noise is not finite.
        """
        scored = np.asarray([len(w.tokens) - 1 for w in self._windows], dtype=np.float64)
        if not scored.sum():
            raise CheckpointError("no token is scored")
        plain = model.losses(self._windows)
        rows = [self._row(model, share, plain, scored) for share in self._shares]
        last: Row = {"fragility": rows[-1]["loss_rise"]}
        if (reason := rows[-1].get("reason")) is not None:
            last["reason"] = f"no fragility: {reason}"
        return {"checkpoints": [last], "fragility": rows}

    def _row(self, model: LoadedModel, share: float, plain: Floats, scored: Floats) -> Row:
        """Return the row of one share of noise."""
        row: Row = {"noise_share": float(share), "noisy_loss": None, "loss_rise": None}
        try:
            noisy = np.stack([self._noisy_losses(model, share, draw) for draw in range(self._draws)])
        except CheckpointError as error:
            return row | {"reason": str(error)}
        rises = (noisy - plain).sum(axis=1) / scored.sum()
        slots = np.unique([w.document for w in self._windows], return_inverse=True)[1]
        return row | {
            "noisy_loss": float(noisy.sum() / scored.sum() / self._draws),
            "loss_rise": float(rises.mean()),
            "loss_rise_se": _rise_error(ratio_error((noisy - plain).mean(axis=0), scored, slots), rises),
            "loss_rise_sd": float(rises.std(ddof=1)) if self._draws > 1 else None,
        }

    def _noisy_losses(self, model: LoadedModel, share: float, draw: int) -> Floats:
        """Return the summed loss of each window under one draw of noise."""
        import torch

        with torch.no_grad():
            noisy = {
                name: noise_for(name, parameter.data, share, self._seed + draw)
                for name, parameter in model.model.named_parameters()
                if parameter.is_floating_point() and parameter.numel()
            }
        with model.replaced(noisy):
            return model.losses(self._windows)


def _rise_error(over_documents: float | None, rises: Floats) -> float | None:
    """Return the standard error of the mean rise over documents and draws, √(s_documents² + s_draws²/draws)."""
    if over_documents is None or len(rises) < 2:
        return over_documents
    return math.hypot(over_documents, float(rises.std(ddof=1)) / math.sqrt(len(rises)))


def _first_tokens(sample: Sample, tokens: int) -> list[Window]:
    """Return the beginnings of all windows, as long as they may be for all of them to have so many tokens together.

    Beginnings of many windows, for they are of many documents; never shorter than 32 tokens, so that of a sample with
    very many windows only the first are taken.
    """
    from dataclasses import replace

    length = max(tokens // max(len(sample.windows), 1), 32)
    cut: list[Window] = []
    left = tokens
    for window in sample.windows:
        if left < 2:
            break
        cut.append(replace(window, tokens=window.tokens[: min(length, left)]))
        left -= len(cut[-1].tokens)
    return cut
