"""`degen scaling`: scaling laws, slopes of architectures, the Pareto frontier, shapes, costs of models."""

from __future__ import annotations

import typer

from . import scaling_compare, scaling_cost, scaling_fit
from .help_screens import PanelCommand

scaling = typer.Typer(
    help="Fit scaling laws to losses of models of many sizes, compare architectures, and count what models cost.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
scaling.command("fit", cls=PanelCommand)(scaling_fit.fit)
scaling.command("slopes", cls=PanelCommand)(scaling_compare.slopes)
scaling.command("pareto", cls=PanelCommand)(scaling_compare.pareto)
scaling.command("shapes", cls=PanelCommand)(scaling_compare.shapes)
scaling.command("cost", cls=PanelCommand)(scaling_cost.cost)
