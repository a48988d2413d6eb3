"""`degen suites`: every named suite of models."""

from __future__ import annotations

from typing import Any

from . import options, output


def suites(json: options.Json = False) -> None:
    """List every named suite of models.

    `degen scan pythia:70m,160m` scans two models of a suite; `--steps` selects some of their checkpoints.
    """
    from degen.checkpoints.suites import suites as known

    rows: list[dict[str, Any]] = [
        {"suite": s.name, "model": model, "repository": repo, "revisions": s.revisions, "about": s.about}
        for s in known().values()
        for model, repo in s.models.items()
    ]
    if json:
        output.result_json({"rows": rows})
        return
    output.result_table(
        ["suite", "models", "revisions", "about"],
        [[s.name, ", ".join(s.models), s.revisions, s.about] for s in known().values()],
    )
