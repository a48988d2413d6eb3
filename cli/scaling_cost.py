"""`degen scaling cost`: parameters and FLOPs of configurations, of models on the hub, of shapes of T5, of grids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options, output
from .option_groups import OptionGroup, expand_groups
from .scaling_options import FileOptions

if TYPE_CHECKING:
    from degen.figures.figure import Figure
    from degen.model.costs import TokenContext
    from degen.scaling.costs.table import CostTable

MAX_ROWS = 100  # that a terminal shows; --json and --out have all


class ShapeOptions(OptionGroup):
    """The shapes to count, and the tokens that they see. `context` and `tokens` are other options of a scan."""

    t5: Annotated[
        list[str] | None,
        typer.Option(
            "--t5",
            help="The shape of a T5, as NL=16,DM=512,FF=2048,NH=8; KV is the width of a head (DM/NH), V the vocabulary "
            "(32128), EL and DL are the layers of encoder and decoder (NL), GATED=1 is version 1.1. NL=4:8:16 is each "
            "of them. Again for more.",
            show_default=False,
        ),
    ] = None
    set_entries: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Entries of config.json to change, as num_hidden_layers=6:12:24,hidden_size=512; every combination is "
            "a model. Again for more.",
            show_default=False,
        ),
    ] = None
    window_tokens: Annotated[
        int | None,
        typer.Option(
            "--context",
            help="Tokens of a window, of the encoder's side beside an encoder: adds the scores of attention.",
            show_default="scores are left out, as 6ND does",
        ),
    ] = None
    target_tokens: Annotated[
        int | None,
        typer.Option(
            "--target", help="Tokens of the decoder's side beside an encoder.", show_default="as many as --context"
        ),
    ] = None
    training_tokens: Annotated[
        float | None,
        typer.Option(
            "--tokens", help="Training tokens: adds the FLOPs of training, as column flops.", show_default=False
        ),
    ] = None

    @property
    def token_context(self) -> TokenContext:
        """The tokens around a token."""
        from degen.model.costs import TokenContext

        return TokenContext(self.window_tokens, self.target_tokens)


@expand_groups
def cost(
    *,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="A config.json, or what `degen scan` takes: a checkpoint folder, a .gguf file, a suite, org/name on "
            "the hub, of which config.json alone is fetched; label=MODEL names it in the table.",
            show_default=False,
        ),
    ] = None,
    shape_options: ShapeOptions,
    trust_remote_code: options.TrustRemoteCode = False,
    file_options: FileOptions,
    json: options.Json = False,
) -> None:
    """Count parameters and FLOPs of models that need not exist yet, as a table that pareto and shapes read.

    A row has the knobs of the shape (layers, d_model, d_ff, heads, d_kv, experts), its parameters, those without
    embeddings, those without experts that a token is not sent to, and the FLOPs of a token: 2 for each parameter that
    it meets, the head included, three times as many in training. With an encoder they are averaged over the tokens of
    both sides, of which there are as many unless --context and --target say otherwise. Nothing is loaded.
    """
    from degen.scaling.costs.table import count_costs

    file_options.check(None)
    for file in (Path(model) for model in models or () if Path(model).exists()):
        file_options.check(file)
    if trust_remote_code:
        output.warn("--trust-remote-code: Python code of these checkpoints runs on this machine with your permissions")
    t5, sets, tokens = shape_options.t5 or (), shape_options.set_entries or (), shape_options.training_tokens
    found = count_costs(models or (), t5, sets, shape_options.token_context, tokens, trust_remote_code, output.note)
    if json:
        around = shape_options.token_context
        settings = {"context": around.tokens, "target": around.target, "tokens": tokens}
        output.result_json({**settings, "rows": list(found.rows)})
    else:
        _print_costs(found, named=bool(t5 or sets))
    file_options.write(found.table, "costs", lambda: _draw(found))
    if found.failed:
        raise typer.Exit(4)


def _draw(found: CostTable) -> Figure:
    from degen.figures.costs import draw_costs

    return draw_costs(found)


def _print_costs(found: CostTable, named: bool) -> None:
    """Print the table, and what is counted in it.

    Args:
        found: the table.
        named: whether models are named by their knobs, which then need no columns.
    """
    heads = {
        "model": "model",
        "layers": "layers",
        "d_model": "d_model",
        "parameters": "parameters",
        "parameters_non_embedding": "non-embedding",
        "parameters_active": "active",
        "forward_flops_per_token": "forward FLOPs",
        "flops_per_token": "training FLOPs",
        "flops": "FLOPs of training",
        "reason": "reason",
    }
    measured = [row for row in found.rows if row["reason"] is None]
    if all(row["parameters_active"] == row["parameters"] for row in measured):
        del heads["parameters_active"]
    if named:
        del heads["layers"], heads["d_model"]
    if found.tokens is not None:
        del heads["flops_per_token"]  # of all tokens there is another column
    names = {column.name for column in found.columns}
    heads = {name: head for name, head in heads.items() if name in names}
    shown = found.rows[:MAX_ROWS]
    output.result_table(
        list(heads.values()), [[row[name] for name in heads] for row in shown], "Parameters, and FLOPs a token"
    )
    if len(found.rows) > len(shown):
        output.result(f"{len(found.rows) - len(shown):,} more rows; --json and --out have all")
    output.result(_remark(found))


def _remark(found: CostTable) -> str:
    """Return what FLOPs are averaged over, and what they leave out."""
    tokens, target = found.context.tokens, found.context.target
    if tokens is None:
        text = "FLOPs are those of the weights that a token meets; --context T adds attention's scores"
        both = "as many on both sides"
    else:
        text = f"FLOPs include attention's scores, on average over a window of {tokens:,} tokens"
        both = f"{tokens:,} and {tokens if target is None else target:,}"
    if found.has_encoders:
        text += f"; with an encoder a token is the mean of the tokens of the encoder's and the decoder's side, {both}"
    if found.tokens is not None:
        text += f"; FLOPs of training are of {found.tokens:,.6g} tokens"
    return f"{text}."
