"""`degen similarity`: the kept states of a run's checkpoints, compared with one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import options, output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from degen.runs.run import Run
    from degen.similarity.result import SimilarityResult
    from degen.tables import Row


def similarity(
    run: options.RunFolder,
    out_file: options.ResultFile = None,
    json: options.Json = False,
) -> None:
    """Compare every checkpoint of a run with the one before it, the first and the last.

    Of states at the same positions, which the probe states keeps in a scan: debiased linear CKA, the overlap of
    the leading principal directions, and how far the vectors moved, at every layer and of rows of the LM head. The run
    keeps the result as table similarity.
    """
    from degen.runs.export import check_result_file
    from degen.runs.run import read_run
    from degen.tables import SIMILARITY

    if out_file is not None:
        check_result_file(out_file, run, option="--out")
    opened = read_run(run)
    from degen.cli.progress import amount_bar

    from degen.similarity.compare_checkpoints import measure_similarity

    with amount_bar() as on_amount:
        result = measure_similarity(opened, lambda name, done, count: on_amount(f"{name}, {done} of {count}", 0, 0))
    if json:
        output.result_json({"run": opened.name, "rows": list(result.rows)})
    else:
        _print_similarity(result.rows)
    _keep(result, opened)
    if out_file is not None:
        output.write_rows(result.table(), SIMILARITY, out_file)


def _keep(result: SimilarityResult, run: Run) -> None:
    """Write the result into the run; warn where it cannot be written."""
    from degen.errors import RunFolderError
    from degen.similarity.result import write_result

    try:
        write_result(result, run)
    except RunFolderError as error:
        output.warn(f"{error.problem}; the result is not kept in the run")


def _print_similarity(rows: Sequence[Row]) -> None:
    """Print a table for each model: what the head receives, and the head, beside the other checkpoints'."""
    for model in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == model]
        heads = ["revision", "step", "CKA previous", "first", "last", "least, at layer", "overlap", "head moved"]
        revisions = dict.fromkeys(row["revision"] for row in own)
        cells = [_cells([row for row in own if row["revision"] == revision]) for revision in revisions]
        output.result_table(heads, cells, title=model)
    output.result(
        "CKA and overlap: 1 the same, of what the head receives; least: of all layers, overlap, head moved "
        "(‖ΔW‖/‖W‖): with the previous"
    )


def _cells(rows: Sequence[Row]) -> list[Any]:
    """Return the cells of one checkpoint."""

    def figure(name: str, against: str, site: str) -> Any:
        return next((row[name] for row in rows if (row["against"], row["site"]) == (against, site)), None)

    cka = [figure("cka", against, "head_input") for against in ("previous", "first", "last")]
    layers = [r for r in rows if r["against"] == "previous" and r["site"] != "head" and r["cka"] is not None]
    least = min(layers, key=lambda row: row["cka"], default=None)
    at_layer = f"{output.format_cell(least['cka'])} at {least['layer']}" if least is not None else None
    overlap, moved = figure("overlap", "previous", "head_input"), figure("displacement", "previous", "head")
    return [rows[0]["revision"], rows[0]["step"], *cka, at_layer, overlap, moved]
