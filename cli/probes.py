"""`degen probes`: list every installed probe."""

from __future__ import annotations

from typing import Any

from . import options, output


def probes(json: options.Json = False) -> None:
    """List every installed probe.

    The list says what each measures, which inputs it needs and which columns it fills, for degen's own probes and those
    of other packages.
    """
    from degen.errors import DegenError
    from degen.probe_registry import installed, load_probes

    rows: list[dict[str, Any]] = []
    for name in installed():
        try:
            probe = load_probes([name])[name]
        except DegenError as error:
            rows.append({"name": name, "default": False, "measures": str(error), "needs": [], "fills": {}})
            continue
        fills = {table: [c.name for c in columns if not c.key] for table, columns in probe.columns.items()}
        facts = {"default": probe.default, "measures": probe.measures, "needs": sorted(probe.needs), "fills": fills}
        rows.append({"name": name, **facts})
    if json:
        output.result_json({"rows": rows})
        return
    cells = [
        [row["name"], "yes" if row["default"] else "", ", ".join(row["needs"]), row["measures"],
         "\n".join(f"{table}: {', '.join(names)}" for table, names in row["fills"].items())]
        for row in rows
    ]  # fmt: skip
    output.result_table(["probe", "default", "needs", "measures", "fills"], cells)
