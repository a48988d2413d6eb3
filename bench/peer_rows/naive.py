"""Rows of a default scan beside the script of an afternoon, whole processes: time, memory, and equal figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from .costs import Cost, Row, compare, in_turn, last_line, process_cost
from .inputs import checkpoint, corpus, gemma
from .options import RUNS, Options, script

PEER = "naive script: a pass a metric, n × n cosines, `svdvals`"
BATCH = 8  # windows
BAR = {"wall": 0.2}


def naive(tokens: int, pairs: int, options: Options, of_gemma: bool = False) -> Row:
    """Return the row of a scan of so many tokens beside the script."""
    model = gemma() if of_gemma else checkpoint(options.shape)
    tokens = tokens // 10 if options.quick else tokens
    ours, theirs = [], []

    def scan() -> Cost:
        cost, document = _scan(model, tokens, options)
        ours.append(document)
        return Cost(cost.wall, cost.cpu, document["memory"])

    def script_() -> Cost:
        command = script("naive", model, _sample(model), BATCH)
        cost, output = process_cost(command, options.threads)
        theirs.append(last_line(output))
        return Cost(cost.wall, cost.cpu, max(theirs[-1]["memory"].values()))

    if not _sample(model).exists() or tokens != _last_tokens(model):
        _scan(model, tokens, options)  # for the windows; the first of the pairs is warm like the others
    costs = in_turn({"scan": scan, "naive": script_}, options.at_most(pairs))
    row = compare(costs["scan"], costs["naive"])
    return row | _words(model, tokens, ours, theirs) | {"bar": None}


def at_50k(earlier: Mapping[str, Row], options: Options) -> Row:
    """Return the row of a scan of 50,000 tokens, measured once, beside the script extrapolated from 10,000 and 2,000.

    Passes go up with tokens and matrices with their square; so does memory, which is a line in tokens and a square.

    Args:
        earlier: the rows `naive.2k` and `naive.10k` among them, whose scripts are extrapolated.
        options: how to measure.

    Raises:
        SystemExit: these rows are not there.
    """
    if not {"naive.2k", "naive.10k"} <= earlier.keys():
        raise SystemExit("naive.50k is extrapolated from naive.2k and naive.10k; measure them first: --only naive")
    low, high = (earlier[name]["script"] for name in ("naive.2k", "naive.10k"))
    measured, target = earlier["naive.10k"]["other"], 2000 if options.quick else 50_000
    factor = target / high["tokens"]
    beyond = high["seconds"]["passes"] * (factor - 1) + high["seconds"]["cosines"] * (factor**2 - 1)
    memory = max(
        high["memory"]["passes"] * factor,
        _quadratic([d["tokens"] for d in (low, high)], [d["memory"]["cosines"] for d in (low, high)], target),
    )
    other = Cost(measured["wall"] + beyond, measured["cpu"] + beyond * measured["cpu"] / measured["wall"], memory)
    model = checkpoint(options.shape)
    cost, document = _scan(model, target, options)
    return compare([Cost(cost.wall, cost.cpu, document["memory"])], [other]) | {
        "what": f"`degen scan` of {target:,} tokens, {model.name}",
        "peer": PEER,
        "unit": "s",
        "bar": BAR | {"peak": 0.05},
        "notes": [
            f"the script is extrapolated from {high['tokens']:,} tokens: its matrices are of "
            f"{4e-9 * target**2:.0f} GB each; memory is that above the loaded model"
        ],
    }


def _quadratic(sizes: Sequence[float], values: Sequence[float], target: float) -> float:
    """Return a·n² + b·n at a size, from two sizes; a alone where b would be negative."""
    (n, m), (x, y) = sizes, values
    a = (y / m - x / n) / (m - n)
    b = max(x / n - a * n, 0.0)
    return a * target**2 + b * target


def _words(model: Path, tokens: int, ours: list[Row], theirs: list[Row]) -> Row:
    """Return what a row says, and by how much the figures of both differ."""
    mine, other = ours[-1]["figures"], theirs[-1]["figures"]
    assert ours[-1]["tokens"] == theirs[-1]["tokens"]
    differences = [abs(a - b) for a, b in zip(mine["anisotropy"], other["anisotropy"], strict=True)]
    return {
        "what": f"`degen scan` of {tokens:,} tokens, {model.stem if model.is_file() else model.name}",
        "peer": PEER,
        "unit": "s",
        "notes": [
            f"memory is that above the loaded model; loss differs by {abs(mine['loss'] - other['loss']):.0e}, "
            f"anisotropy of a layer by {max(differences):.0e} at most"
        ],
        "differences": {"loss": abs(mine["loss"] - other["loss"]), "anisotropy": max(differences)},
        "script": {key: theirs[-1][key] for key in ("tokens", "seconds", "memory")},
    }


def _scan(model: Path, tokens: int, options: Options) -> tuple[Cost, Row]:
    command = script("scan", model, corpus(), tokens, options.threads, RUNS / model.name)
    cost, output = process_cost(command, options.threads)
    return cost, last_line(output)


def _sample(model: Path) -> Path:
    return RUNS / model.name / "sample.parquet"


def _last_tokens(model: Path) -> int:
    import pyarrow.parquet as pq

    return sum(map(len, pq.read_table(_sample(model), columns=["tokens"])["tokens"].to_pylist()))


def gemma_at_50k(options: Options) -> Row:
    """Return the row of a scan of 50,000 tokens of Gemma 3 270M, once, and of the tokens that given errors take."""
    tokens = 1000 if options.quick else 50_000
    cost, document = _scan(gemma(), tokens, options)
    errors = {name: document["figures"][f"{name}_se"] for name in ("loss", "anisotropy")}
    return {
        "what": f"`degen scan` of {document['tokens']:,} tokens, gemma-3-270m from its GGUF file, once",
        "ours": {"wall": cost.wall, "cpu": cost.cpu, "peak": document["memory"]},
        "unit": "s",
        "notes": [f"{document['memory'] / 1e9:.2f} GB above the loaded model"],
        "seconds": document["seconds"],
        "errors": {"tokens": document["tokens"], **errors},
    }
