"""Every row by its name, in order; those that begin with `gemma.` need the packages of group weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from . import growth, harness, naive, passes, spectra
from .costs import Row
from .options import RUNS, Options

GEMMA = "gemma"


def errors_of_demo(_: Options) -> Row:
    """Return the row of the tokens that given errors take in the demo: of the last checkpoint of each series."""
    import degen

    run = degen.read_run(RUNS / "demo")
    last = {row["model"]: row for row in run.checkpoints()}
    tokens = max(sample["tokens"] for sample in run.info["sample"]["windows"].values())
    return {
        "errors": [
            {"model": f"demo, {model}", "tokens": tokens, "loss": row["loss_se"], "anisotropy": row["anisotropy_se"]}
            for model, row in last.items()
        ]
    }


def errors_of_gemma(earlier: Mapping[str, Row], _: Options) -> Row:
    """Return the same of Gemma 3 270M, from the row of its scan."""
    return {"errors": [{"model": "gemma-3-270m"} | earlier["gemma.50k"]["errors"]]}


def rows_for(earlier: Mapping[str, Row]) -> dict[str, Callable[[Options], Row]]:
    """Return the function of every row, by its name; `earlier` are the rows that were measured before."""
    rows: dict[str, Any] = {
        "bare.160m": partial(passes.bare, "pythia-160m"),
        "floor.160m": partial(passes.floor, "pythia-160m"),
        "bare.135m": partial(passes.bare, "smollm-135m"),
        "floor.135m": partial(passes.floor, "smollm-135m"),
        "naive.2k": partial(naive.naive, 2000, 3),
        "naive.10k": partial(naive.naive, 10_000, 2),
        "naive.50k": partial(naive.at_50k, earlier),
        "spectrum.weightwatcher": partial(spectra.against, "weightwatcher"),
        "spectrum.diffract": partial(spectra.against, "diffract"),
        "spectrum.series": spectra.of_series,
        "rolling": harness.rolling,
        "demo": growth.demo,
        "growth.tokens": partial(growth.growth, "tokens"),
        "growth.checkpoints": partial(growth.growth, "checkpoints"),
        "growth.layers": partial(growth.growth, "layers"),
        "errors.demo": errors_of_demo,
        "gemma.bare": partial(passes.bare, "gemma-3-270m"),
        "gemma.floor": partial(passes.floor, "gemma-3-270m"),
        "gemma.naive": partial(naive.naive, 4000, 2, of_gemma=True),
        "gemma.rolling": partial(harness.rolling, of_gemma=True),
        "gemma.50k": naive.gemma_at_50k,
        "gemma.errors": partial(errors_of_gemma, earlier),
    }
    return rows
