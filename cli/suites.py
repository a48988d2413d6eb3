"""`degen suites`: every named suite of models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import options, output

MANY = 15  # models of a suite, from which on the table names the first and the last alone


def suites(json: options.Json = False) -> None:
    """List every named suite of models.

    `degen scan pythia:70m,160m` scans two models of a suite; `--steps` selects some of their checkpoints. `--json` also
    has the names of revisions, the tokens of a step, and every model.
    """
    from degen.checkpoints.suites import suites as known

    if json:
        rows: list[dict[str, Any]] = [
            {
                "suite": s.name,
                "model": model,
                "repository": repo,
                "revisions": s.revisions,
                "names": list(s.names),
                "tokens_per_step": s.tokens_per_step_of(model),
                "tokens_per_step_by_stage": dict(s.tokens_per_step_by_stage),
                "tokenizer": s.tokenizers.get(model),
                "about": s.about,
                "remarks": list(s.remarks),
            }
            for s in known().values()
            for model, repo in s.models.items()
        ]
        output.result_json({"rows": rows})
        return
    output.result_table(
        ["suite", "models", "revisions", "about"],
        [[s.name, _models(list(s.models)), s.revisions, s.about] for s in known().values()],
    )
    output.result_table(["suite", "remark"], [[s.name, remark] for s in known().values() for remark in s.remarks])


def _models(names: Sequence[str]) -> str:
    """Return the names of the models of a suite in one line."""
    return ", ".join(names) if len(names) < MANY else f"{names[0]} … {names[-1]} ({len(names)}; --json has all)"
