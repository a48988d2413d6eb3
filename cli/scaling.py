"""`degen scaling`: scaling laws, slopes of architectures, the Pareto frontier, shapes, costs of models."""

from __future__ import annotations

import typer

from . import scaling_compare, scaling_cost, scaling_fit

app = typer.Typer(
    help="Fit scaling laws to losses of models of many sizes, compare architectures, and count what models cost.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("fit")(scaling_fit.fit)
app.command("slopes")(scaling_compare.slopes)
app.command("pareto")(scaling_compare.pareto)
app.command("shapes")(scaling_compare.shapes)
app.command("cost")(scaling_cost.cost)
