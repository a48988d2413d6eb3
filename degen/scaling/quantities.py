"""The quantities of scaling laws, and the column names they are known by."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from degen.errors import DegenError
from degen.hints import did_you_mean
from degen.metrics.metric_kinds import is_loss
from degen.readers.name_words import TRAINING, is_training, is_validation

from .column_names import column_of, columns_of, splits

PF_DAY = 8.64e19  # FLOPs: 10^15 a second for a day

LOSSES = ("loss", "loss_nats", "cross_entropy", "cross_entropy_loss", "ce_loss", "lm_loss", "nll", "nll_loss")
PERPLEXITIES = ("perplexity", "ppl")

# Column names of each quantity; the first one in a table counts. Single letters match exactly, words in any case and
# with any separator. Losses of data kept for evaluation go before all others, and those of the training data last.
ALIASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "parameters": (
            "parameters", "params", "N", "n", "model_size", "total_params", "n_params", "num_params",
            "total_parameters", "n_parameters", "num_parameters", "parameter_count", "param_count", "model_params",
            "model_parameters",
        ),
        "parameters_non_embedding": (
            "parameters_non_embedding", "params_non_embedding", "non_embedding_parameters", "non_embedding_params",
            "n_non_embedding", "n_params_non_embedding", "num_params_non_embedding",
        ),
        "tokens": (
            "tokens", "tokens_seen", "D", "training_tokens", "train_tokens", "n_tokens", "num_tokens", "total_tokens",
            "n_tokens_seen", "num_tokens_seen", "num_input_tokens_seen", "train_num_input_tokens_seen",
            "trained_tokens", "tokens_trained", "consumed_tokens", "tokens_processed",
        ),
        "flops": (
            "flops", "C", "compute", "training_flops", "train_flops", "total_flops", "total_flos", "train_total_flos",
        ),
        "pf_days": ("pf_days", "pflop_days", "petaflop_days"),
        "loss": (
            *(name for loss in LOSSES for name in splits(loss)),
            "loss", "loss_nats", "final_loss", "L", *LOSSES[2:],
            *(name for loss in LOSSES for split in TRAINING for name in (f"{split}_{loss}", f"{loss}_{split}")),
        ),
        "perplexity": (
            *(name for measure in PERPLEXITIES for name in splits(measure)),
            *PERPLEXITIES,
            *(f"{split}_{measure}" for measure in PERPLEXITIES for split in TRAINING),
        ),
        "steps": (
            "steps", "step", "S", "training_steps", "train_steps", "train_global_step", "trainer_global_step",
            "global_step", "iter", "iters", "iteration", "iterations", "num_steps", "total_steps", "max_steps", "_step",
        ),
        "model": ("model", "model_name", "name", "run", "run_name", "architecture"),
        "revision": ("revision", "checkpoint"),
    }
)  # fmt: skip
TEXTS = ("model", "revision")  # all others are numbers
# columns that only comparisons of models use
SECONDS = (
    "seconds", "train_seconds", "training_seconds", "step_seconds", "latency", "runtime", "train_runtime", "wall_time",
    "walltime", "_runtime",
)  # fmt: skip
LAYERS = ("layers", "n_layers", "num_layers", "n_layer", "num_hidden_layers", "depth", "nl")
WIDTH = ("d_model", "hidden_size", "width", "n_embd", "n_embed", "model_dim", "embed_dim", "dm")


def quantity_of(name: str) -> str | None:
    """Return the quantity that a column's name stands for, as `parameters` for `params`; None for an unknown name."""
    return next((quantity for quantity, names in ALIASES.items() if column_of(names, [name]) is not None), None)


def find_columns(
    columns: Sequence[str],
    named: Mapping[str, str],
    path: Path,
    without_numbers: Collection[str] = (),
    empty: Collection[str] = (),
) -> dict[str, str]:
    """Return a dict: quantity -> its column, for every quantity that a table has.

    A column without numbers is used for a quantity that is one only where no other column is called like it. Before a
    loss of the training data goes the only one of data kept for evaluation, whatever text it names: `c4_val_loss`.

    Args:
        columns: the columns of the table.
        named: what the user gave as --columns: quantity -> column, the quantity by any of its names. Column -> quantity
            is accepted, too, where only that makes sense.
        path: the table, for the error.
        without_numbers: columns that hold no numbers, or no value at all.
        empty: columns that hold no value at all.

    Raises:
        DegenError: a quantity or column is unknown, or two columns are named for one quantity.
    """
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
    # a column that the user named for one quantity is not used for another
    free = [column for column in columns if column not in chosen.values()]
    usual: dict[str, str] = {}
    for quantity, names in ALIASES.items():
        unusable = empty if quantity in TEXTS else without_numbers
        if candidates := columns_of(names, free):
            usual[quantity] = next((column for column in candidates if column not in unusable), candidates[0])
    if "loss" in usual and is_training(usual["loss"]):
        evaluated = [c for c in free if is_loss(c) and is_validation(c) and c not in without_numbers]
        usual["loss"] = evaluated[0] if len(evaluated) == 1 else usual["loss"]  # as `c4_val_loss`, by another name
    if "pf_days" in chosen:
        usual.pop("flops", None)  # the user's column of compute goes before one that is known by its name
    loss, perplexity = usual.get("loss"), usual.get("perplexity")
    if "perplexity" in chosen or (loss and perplexity and is_training(loss) and is_validation(perplexity)):
        usual.pop("loss", None)
    return usual | chosen


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
