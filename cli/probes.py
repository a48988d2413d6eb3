"""`degen probes`: every probe there is."""

from __future__ import annotations

from typing import Any

from . import options, output


def probes(json: options.Json = False) -> None:
    """List every probe there is.

    What each measures, needs and fills; probes of other packages stand beside degen's own.
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
        rows.append(
            {
                "name": name,
                "default": probe.default,
                "measures": probe.measures,
                "needs": sorted(probe.needs),
                "fills": fills,
            }
        )
    if json:
        output.result_json({"rows": rows})
        return
    output.result_table(
        ["probe", "default", "needs", "measures", "fills"],
        [
            [
                row["name"],
                "yes" if row["default"] else "",
                ", ".join(row["needs"]),
                row["measures"],
                "\n".join(f"{table}: {', '.join(names)}" for table, names in row["fills"].items()),
            ]
            for row in rows
        ],
    )
