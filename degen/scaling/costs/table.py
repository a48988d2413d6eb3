"""A table of what models cost, with the columns that comparisons of shapes read: knobs, parameters, FLOPs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from degen.errors import CheckpointError, DegenError, one_line
from degen.model.costs import NO_CONTEXT, ModelCosts, TokenContext, config_costs, t5_costs
from degen.tables import CHECKPOINTS, ENGINE_TABLES, Column, Row, schema_of

from .configurations import OPTION, NamedConfig, find_configs, parse_sets
from .grid import Grid, check_size, count_combinations
from .t5_grid import t5_shapes

if TYPE_CHECKING:
    import pyarrow as pa

MAX_TOKENS = 1 << 40  # of a window
MANY = 200  # configurations that take some time
COLUMNS = (
    Column("model", "string", "", "name of the model, or the shape of a T5"),
    Column("architecture", "string", "", "model class"),
    Column("layers", "int64", "blocks", "blocks; with an encoder those of each side, null where they differ"),
    Column("encoder_layers", "int64", "blocks", "blocks of the encoder"),
    Column("decoder_layers", "int64", "blocks", "blocks of the decoder beside an encoder"),
    Column("d_model", "int64", "dimensions", "width of the residual stream"),
    Column("d_ff", "int64", "dimensions", "width of the feed-forward layer, of one expert where there are several"),
    Column("heads", "int64", "heads", "heads of an attention"),
    Column("d_kv", "int64", "dimensions", "width of a head"),
    Column("experts", "int64", "experts", "experts that a token may be sent to; 1 without a choice"),
    Column("vocab_size", "int64", "rows", "rows of the LM head"),
    *(column for column in ENGINE_TABLES[CHECKPOINTS] if column.name in ("parameters", "parameters_non_embedding")),
    Column("parameters_active", "int64", "parameters", "parameters without experts that a token is not sent to"),
    Column(
        "forward_flops_per_token",
        "float64",
        "FLOPs",
        "of a forward pass: 2 for each parameter that a token meets, the head included, and with --context attention's "
        "scores; with an encoder averaged over the tokens of both sides",
    ),
    Column("flops_per_token", "float64", "FLOPs", "of training, forward and backward: three times a forward pass"),
    Column("tokens", "float64", "tokens", "training tokens, of --tokens; with an encoder those of both sides"),
    Column("flops", "float64", "FLOPs", "of training: flops_per_token times tokens"),
    Column("reason", "string", "", "why a model has no costs"),
)
_ONLY_WITH_VALUES = ("encoder_layers", "decoder_layers", "tokens", "flops", "reason")


@dataclass(frozen=True)
class CostTable:
    """What models cost.

    Attributes:
        rows: one a model, in the order they were named, with the keys of `COLUMNS`.
        context: tokens around a token, for attention's scores.
        tokens: training tokens; None where they are not given.
        has_encoders: whether some of the models have an encoder.
    """

    rows: tuple[Row, ...]
    context: TokenContext
    tokens: float | None
    has_encoders: bool

    @property
    def failed(self) -> tuple[Row, ...]:
        """The rows of models without costs."""
        return tuple(row for row in self.rows if row["reason"] is not None)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that some row has a value of, and all that every such table has."""
        return tuple(
            c for c in COLUMNS if c.name not in _ONLY_WITH_VALUES or any(row[c.name] is not None for row in self.rows)
        )

    def table(self) -> pa.Table:
        """Return the rows as a table, with unit and definition on every field."""
        import pyarrow as pa

        schema = schema_of(self.columns)
        return pa.Table.from_pylist([dict(row) for row in self.rows], schema=schema)


def count_costs(
    models: Sequence[str] = (),
    t5: Sequence[str] = (),
    sets: Sequence[str] = (),
    context: TokenContext = NO_CONTEXT,
    tokens: float | None = None,
    trust: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> CostTable:
    """Return what models cost that are named, shapes of T5, and every combination of the values of grids.

    Args:
        models: configurations, see `find_configs`.
        t5: shapes of T5, see `t5_shapes`.
        sets: entries of the configurations to change, see `parse_sets`.
        context: tokens around a token, for attention's scores.
        tokens: training tokens, for a column of the FLOPs of training; None without it.
        trust: whether Python code of a repository may run, and so is fetched.
        note: called with what is worth knowing of a series, or of how long it takes.

    Raises:
        DegenError: nothing is named, a value cannot be used, or not one of the models has costs.
    """
    _check(models, t5, sets, context, tokens)
    shapes, grid = t5_shapes(t5), parse_sets(sets)
    configs = find_configs(models, trust, note)
    count = count_combinations(grid) * len(configs)
    check_size(count, OPTION)
    if count > MANY:
        note(f"{count:,} configurations are built one by one, a few a second")
    rows = [_row(name, t5_costs(shape, context), tokens) for name, shape in shapes.items()]
    for config in configs:
        rows += _rows(config, grid, trust, context, tokens)
    if all(row["reason"] is not None for row in rows):
        raise DegenError(str(rows[0]["reason"]))
    has_encoders = any(row["encoder_layers"] is not None for row in rows)
    if context.target is not None and not has_encoders:
        raise DegenError(f"--target {context.target}: only a model with an encoder has two sides; leave it out")
    return CostTable(tuple(rows), context, tokens, has_encoders)


def _rows(config: NamedConfig, grid: Grid, trust: bool, context: TokenContext, tokens: float | None) -> Iterator[Row]:
    """Yield the rows of a configuration; one with a reason where it cannot be fetched, read or built."""
    try:
        variants = config.variants(grid, trust)
    except CheckpointError as error:
        yield _row(config.model, None, tokens, one_line(error))
        return
    for variant in variants:
        try:
            yield _row(variant.name, config_costs(variant.config(), context, trust), tokens)
        except CheckpointError as error:
            yield _row(variant.name, None, tokens, one_line(error))


def _row(model: str, costs: ModelCosts | None, tokens: float | None, reason: str | None = None) -> Row:
    row: Row = dict.fromkeys(column.name for column in COLUMNS) | {"model": model, "reason": reason}
    if costs is None:
        return row
    return (
        row
        | vars(costs.knobs)
        | {
            "architecture": costs.architecture,
            "vocab_size": costs.vocab_size,
            "parameters": costs.parameters,
            "parameters_non_embedding": costs.parameters_non_embedding,
            "parameters_active": costs.parameters_active,
            "forward_flops_per_token": costs.forward_flops,
            "flops_per_token": costs.training_flops,
            "tokens": tokens,
            "flops": None if tokens is None else costs.training_flops * tokens,
        }
    )


def _check(
    models: Sequence[str], t5: Sequence[str], sets: Sequence[str], context: TokenContext, tokens: float | None
) -> None:
    """Refuse options that do not go together, and numbers out of range, before anything is read.

    Raises:
        DegenError: there are some.
    """
    if sets and not models:
        raise DegenError(
            f"--set {sets[0]}: changes entries of a config.json, and none is named; --t5 has values of its own"
        )
    if not models and not t5:
        raise DegenError(
            "name a config.json, a checkpoint folder or a model on the hub, or give a shape, as in "
            "--t5 NL=16,DM=512,FF=2048,NH=8"
        )
    for option, value in (("--context", context.tokens), ("--target", context.target)):
        if value is not None and not 1 <= value <= MAX_TOKENS:
            raise DegenError(f"{option} {value}: must be a number of tokens from 1 to {MAX_TOKENS:,}")
    if context.target is not None and context.tokens is None:
        raise DegenError(f"--target {context.target}: needs --context, the tokens of the encoder's side")
    if tokens is not None and not 1 <= tokens <= 1e18:
        raise DegenError(f"--tokens {tokens:g}: must be a number of training tokens from 1 to 1e18, as in 3.4e10")
