"""Every checkpoint of a run beside the one before it, the first and the last of its model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.metrics.run_parts import RunParts
from degen.runs.run import Run
from degen.stats.similarity import MIN_VECTORS, debiased_cka, subspace_overlap
from degen.tables import STATES, Row

from .kept_states import Site, SiteVectors, read_states
from .result import AGAINST, SimilarityResult

Kept = Mapping[Site, SiteVectors]


def measure_similarity(run: Run, on_checkpoint: Callable[[str, int, int], None] = lambda *_: None) -> SimilarityResult:
    """Compare the states of every checkpoint with those of the previous, the first and the last one of its model.

    Formulas: `degen.stats.similarity`; displacement ‖X − Y‖_F/‖Y‖_F. States of four checkpoints are in memory at once.

    Args:
        run: one that was scanned with the probe `states`.
        on_checkpoint: called with the name of each checkpoint, how many are done and how many there are.

    Raises:
        DegenError: the run has no states, or has only one checkpoint of each model.
    """
    if STATES not in run.tables:
        raise DegenError(
            f"{run.name}: no states are kept in it; the same scan with --probes states adds them to what is there"
        )
    parts = RunParts(run)
    rows: list[Row] = []
    count, done = len(parts.rows), 0
    for model, indices in parts.by_model.items():
        checkpoints = [parts.rows[i] for i in indices if parts.rows[i]["status"] != "failed"]
        for row, own in _compare_model(run, model, checkpoints):
            rows += own
            done += 1
            on_checkpoint(f"{model}@{row['revision']}", done, count)
    if not rows:
        raise DegenError(f"{run.name}: no model has states of two checkpoints, which could be compared")
    return SimilarityResult(rows)


def _compare_model(run: Run, model: str, checkpoints: Sequence[Row]) -> Iterator[tuple[Row, list[Row]]]:
    """Yield each checkpoint of a model that has states, and its rows."""
    ends = {}
    for against, ordered in (("first", checkpoints), ("last", checkpoints[::-1])):
        for row in ordered:
            if kept := read_states(run.path, model, row["revision"]):
                ends[against] = (row, kept)
                break
    before: tuple[Row, Kept] | None = None
    for row in checkpoints if ends else ():
        known = [states for other, states in ends.values() if other is row]
        kept = known[0] if known else read_states(run.path, model, row["revision"])
        if not kept:
            continue
        others = ends | ({"previous": before} if before is not None else {})
        keys = {"model": model, "revision": row["revision"], "step": row["step"]}
        own = []
        for against in AGAINST:
            other = others.get(against)
            if other is None or other[0] is row:
                continue
            names = {"against": against, "other_revision": other[0]["revision"], "other_step": other[0]["step"]}
            own += [keys | names | of_site for of_site in compare_states(kept, other[1])]
        before = row, kept
        yield row, own


def compare_states(one: Kept, other: Kept) -> list[Row]:
    """Return the figures of two checkpoints, a row for each site that both have, in the order of the first."""
    return [
        {"layer": layer, "site": site} | _compare_site(vectors, other[layer, site])
        for (layer, site), vectors in one.items()
        if (layer, site) in other
    ]


def _compare_site(one: SiteVectors, other: SiteVectors) -> Row:
    X, Y = one.vectors, other.vectors
    names = ("cka", "overlap", "directions", "displacement", "reason")
    row: Row = {"vectors": len(X)} | dict.fromkeys(names)
    if X.shape != Y.shape or not np.array_equal(one.inputs, other.inputs):
        return row | {"reason": "the two checkpoints have states of other positions, or of another width"}
    if not (np.isfinite(X).all() and np.isfinite(Y).all()):
        return row | {"reason": "states hold NaN or infinity"}
    row |= {"cka": debiased_cka(X, Y), "overlap": subspace_overlap(one.directions, other.directions)}
    row |= {"directions": min(one.directions.shape[1], other.directions.shape[1]), "displacement": _displacement(X, Y)}
    if row["cka"] is None:
        few = f"fewer than {MIN_VECTORS} vectors" if len(X) < MIN_VECTORS else "the vectors of a checkpoint are alike"
        row["reason"] = f"no CKA: {few}"
    return row


def _displacement(X: Floats, Y: Floats) -> float | None:
    """Return ‖X − Y‖_F/‖Y‖_F; None where Y is zero."""
    size = float(np.linalg.norm(Y))
    return float(np.linalg.norm(X - Y)) / size if size > 0 else None
