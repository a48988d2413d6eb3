"""`degen probes`: list every installed probe, or all that one says of itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options, output

if TYPE_CHECKING:
    from degen.probe import Probe

Name = Annotated[
    str | None,
    typer.Argument(metavar="[PROBE]", help="A probe, to show all it says of itself.", show_default=False),
]
NOT_STATED = "not stated"


def probes(name: Name = None, json: options.Json = False) -> None:
    """List every installed probe, or show one.

    The list says what each measures, which inputs it needs and which columns it fills, for degen's own probes and those
    of other packages. Of one PROBE also what it costs, and of each of its figures the formula, the source, the range,
    what high and low values mean, and which other quantities go by its name.
    """
    from degen.errors import DegenError
    from degen.probe_registry import installed, load_probes

    if name is not None:
        _show(name, load_probes([name])[name], json)
        return
    rows: list[dict[str, Any]] = []
    for installed_name in installed():
        try:
            rows.append(_facts(installed_name, load_probes([installed_name])[installed_name]))
        except DegenError as error:
            broken = {"default": False, "measures": str(error), "needs": [], "fills": {}, "cost": "", "metrics": []}
            rows.append({"name": installed_name, **broken})
    if json:
        output.result_json({"rows": rows})
        return
    cells = [
        [row["name"], "yes" if row["default"] else "", ", ".join(row["needs"]), row["measures"],
         "\n".join(f"{table}: {', '.join(names)}" for table, names in row["fills"].items())]
        for row in rows
    ]  # fmt: skip
    output.result_table(["probe", "default", "needs", "measures", "fills"], cells)


def _facts(name: str, probe: type[Probe]) -> dict[str, Any]:
    """Return what a probe says of itself, as one row of the JSON document."""
    return {
        "name": name,
        "default": probe.default,
        "measures": probe.measures,
        "needs": sorted(probe.needs),
        "fills": {table: [c.name for c in columns if not c.key] for table, columns in probe.columns.items()},
        "cost": probe.cost,
        "metrics": [asdict(metric) for metric in probe.metrics],
    }


def _show(name: str, probe: type[Probe], json: bool) -> None:
    """Print all that a probe says of itself."""
    facts = _facts(name, probe)
    if json:
        output.result_json({"rows": [facts]})
        return
    fills = "; ".join(f"{table}: {', '.join(names)}" for table, names in facts["fills"].items())
    how = "by default" if probe.default else f"with --probes {name}"
    output.result(
        f"{name}: {probe.measures}\n\n"
        f"needs: {', '.join(facts['needs'])}\ncost: {probe.cost or NOT_STATED}\nmeasured: {how}\nfills: {fills}"
    )
    for metric in probe.metrics:
        first, *others = metric.columns
        output.result(
            f"\n{first}\n"
            f"  formula: {metric.formula}\n  source: {metric.source}\n  range: {metric.range}\n"
            f"  high: {metric.high}\n  low: {metric.low}\n  name clashes: {metric.clashes}"
            + (f"\n  with it: {', '.join(others)}" if others else "")
        )
    if not probe.metrics:
        output.result(f"\nformula, source, range and meaning: {NOT_STATED}")
