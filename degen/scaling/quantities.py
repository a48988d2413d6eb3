"""The quantities of scaling laws, and the column names they are known by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from degen.errors import DegenError
from degen.hints import did_you_mean

PF_DAY = 8.64e19  # FLOPs: 10^15 a second for a day

# Column names of each quantity; the first one in a table counts. Single letters match exactly, words in any case.
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
# columns that only comparisons of models use
SECONDS = ("seconds", "train_seconds", "training_seconds", "step_seconds", "latency")
LAYERS = ("layers", "n_layers", "num_layers", "n_layer", "num_hidden_layers", "depth")
WIDTH = ("d_model", "hidden_size", "width", "n_embd", "model_dim", "embed_dim")


def quantity_of(name: str) -> str | None:
    """Return the quantity that a column's name stands for, as `parameters` for `params`; None for an unknown name."""
    return next((quantity for quantity, names in ALIASES.items() if column_of(names, [name]) is not None), None)


def column_of(names: Sequence[str], columns: Sequence[str]) -> str | None:
    """Return the column that is called like the first possible of `names`; None where no column is.

    Single letters must match exactly; in longer names upper and lower case make no difference.

    Args:
        names: the names, the preferred one first.
        columns: the columns of a table.
    """
    for name in names:
        for column in columns:
            if column == name or (len(name) > 1 and column.lower() == name.lower()):
                return column
    return None


def find_columns(columns: Sequence[str], named: Mapping[str, str], path: Path) -> dict[str, str]:
    """Return a dict: quantity -> its column, for every quantity that a table has.

    Args:
        columns: the columns of the table.
        named: what the user gave as --columns: quantity -> column, the quantity by any of its names. Column -> quantity
            is accepted, too, where only that makes sense.
        path: the table, for the error.

    Raises:
        DegenError: a quantity or column is unknown, or two columns are named for one quantity.
    """
    usual = {quantity: column for quantity, names in ALIASES.items() if (column := column_of(names, columns))}
    chosen: dict[str, str] = {}
    for left, right in named.items():
        quantity, column = _parse_column(left, right, columns, path)
        if quantity in chosen:
            raise DegenError(
                f"--columns {left}={right}: column {chosen[quantity]!r} is already named for {quantity}; name only one"
            )
        chosen[quantity] = column
    if {"flops", "pf_days"} <= set(chosen):
        raise DegenError(
            f"--columns: flops={chosen['flops']} and pf_days={chosen['pf_days']} are both compute; keep one of them"
        )
    if "pf_days" in chosen:
        usual.pop("flops", None)  # the user's column of compute goes before one that is known by its name
    # a column that the user named for one quantity is not used for another
    return {quantity: column for quantity, column in usual.items() if column not in chosen.values()} | chosen


def _parse_column(left: str, right: str, columns: Sequence[str], path: Path) -> tuple[str, str]:
    """Return quantity and column from `left=right` of the option --columns, in either order.

    Args:
        left: the text before the `=`, usually the quantity.
        right: the text behind it, usually the column.
        columns: the columns of the table.
        path: the table, for the error.

    Raises:
        DegenError: neither text is a quantity, or neither is a column.
    """
    if (quantity := quantity_of(left)) is not None and right in columns:
        return quantity, right
    if (reverse := quantity_of(right)) is not None and left in columns:
        return reverse, left
    if quantity is None and reverse is None:
        known = ", ".join(q for q in ALIASES if q not in TEXTS)
        raise DegenError(f"--columns {left}={right}: there is no quantity {left!r}; there are {known}, as in params=N")
    missing = right if quantity is not None else left
    raise DegenError(f"{path}: the table has no column {missing!r}; {did_you_mean(missing, columns)}")
