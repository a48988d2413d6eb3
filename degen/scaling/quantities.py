"""The quantities that scaling laws speak of, and the names that columns have for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from degen.errors import DegenError
from degen.hints import did_you_mean

PF_DAY = 8.64e19  # FLOPs of 10^15 a second for a day

# Names of columns for each quantity, the first that is there counts. Letters stand as they are, words in any case.
ALIASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "parameters": ("parameters", "params", "N", "n", "model_size", "total_params", "n_params", "num_params"),
        "parameters_non_embedding": (
            "parameters_non_embedding", "params_non_embedding", "non_embedding_parameters", "non_embedding_params",
            "n_non_embedding",
        ),
        "tokens": ("tokens", "tokens_seen", "D", "training_tokens", "train_tokens", "n_tokens"),
        "flops": ("flops", "C", "compute", "training_flops", "train_flops"),
        "pf_days": ("pf_days", "pf-days", "pflop_days", "petaflop_days", "petaflop-days"),
        "loss": ("loss", "loss_nats", "val_loss", "final_loss", "L", "test_loss", "eval_loss"),
        "steps": ("steps", "step", "S", "training_steps"),
        "model": ("model", "name", "run", "architecture"),
        "revision": ("revision", "checkpoint"),
    }
)  # fmt: skip
TEXTS = ("model", "revision")  # all others are numbers
# what only a comparison of models asks for
SECONDS = ("seconds", "train_seconds", "training_seconds", "step_seconds", "latency")
LAYERS = ("layers", "n_layers", "num_layers", "n_layer", "num_hidden_layers", "depth")
WIDTH = ("d_model", "hidden_size", "width", "n_embd", "model_dim", "embed_dim")


def quantity_of(name: str) -> str | None:
    """Return the quantity that a name stands for; None for a name of none."""
    return next((quantity for quantity, names in ALIASES.items() if column_of(names, [name]) is not None), None)


def column_of(names: Sequence[str], columns: Sequence[str]) -> str | None:
    """Return the first of some names among columns: single letters exactly, words in any case."""
    for name in names:
        for column in columns:
            if column == name or (len(name) > 1 and column.lower() == name.lower()):
                return column
    return None


def find_columns(columns: Sequence[str], asked: Mapping[str, str], path: Path) -> dict[str, str]:
    """Return the column of every quantity that a table has.

    Args:
        columns: those of the table.
        asked: what a user asks for, `quantity=column`, the quantity by any of its names; `column=quantity` is
            understood where nothing else can be meant.
        path: where the table came from, for the error.

    Raises:
        DegenError: no such quantity, no such column, or a quantity that is given twice.
    """
    found = {quantity: column for quantity, names in ALIASES.items() if (column := column_of(names, columns))}
    chosen: dict[str, str] = {}
    for left, right in asked.items():
        quantity, column = _which(left, right, columns, path)
        if quantity in chosen:
            raise DegenError(f"--columns {left}={right}: {quantity} is {chosen[quantity]!r} already; keep one")
        chosen[quantity] = column
    if {"flops", "pf_days"} <= set(chosen):
        raise DegenError(f"--columns: compute is {chosen['flops']!r} and {chosen['pf_days']!r}; keep flops or pf_days")
    if "pf_days" in chosen:
        found.pop("flops", None)  # what is asked for goes before what has the name
    # a column that was given another meaning has lost the one of its name
    return {quantity: column for quantity, column in found.items() if column not in chosen.values()} | chosen


def _which(left: str, right: str, columns: Sequence[str], path: Path) -> tuple[str, str]:
    """Return quantity and column of `left=right`."""
    if (quantity := quantity_of(left)) is not None and right in columns:
        return quantity, right
    if (turned := quantity_of(right)) is not None and left in columns:
        return turned, left
    if quantity is None and turned is None:
        known = ", ".join(q for q in ALIASES if q not in TEXTS)
        raise DegenError(f"--columns {left}={right}: {left!r} is no quantity; there are {known}, as in params=N")
    missing = right if quantity is not None else left
    raise DegenError(f"{path}: no column {missing!r}; {did_you_mean(missing, columns)}")
