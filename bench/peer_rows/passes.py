"""Rows of the forward pass: a scan's beside a bare one with loss, and beside its matrix products alone."""

from __future__ import annotations

from functools import cache

from .costs import Row, compare, costs_of, last_line, process_cost
from .options import Options, script

BARS = {"pythia-160m": None, "smollm-135m": 0.7, "gemma-3-270m": 0.6}  # least share of the rate of matrix products
PAIRS = {"pythia-160m": 7}  # 3 of the others
SIZES = {"gemma-3-270m": (512, 2048)}


@cache
def _costs(shape: str, options: Options) -> Row:
    small, large = (512, 1024) if options.quick else SIZES.get(shape, (1024, 3072))
    pairs = 2 if options.quick else min(PAIRS.get(shape, 3), options.pairs)
    command = script("pass", "tiny" if options.quick else shape, options.threads, pairs, small, large)
    document: Row = last_line(process_cost(command, options.threads)[1])
    return document


def bare(shape: str, options: Options) -> Row:
    """Return the row of a default scan beside a bare forward with loss: seconds of 1,000 more tokens."""
    document = _costs(shape, options)
    costs = {kind: costs_of(own) for kind, own in document["costs"].items()}
    facts = document["facts"]
    return compare(costs["scan"], costs["bare"]) | {
        "what": f"the pass of a default scan, {facts['model']} ({facts['parameters'] / 1e6:.0f}M)",
        "peer": "`model(ids, labels=ids)` on the same batches",
        "unit": "s per 1,000 tokens",
        "bar": {"wall": 1.0},
        "notes": [f"slope between {facts['tokens'][0]:,} and {facts['tokens'][1]:,} tokens"],
        "facts": facts,
    }


def floor(shape: str, options: Options) -> Row:
    """Return the row of a scan's pass beside its matrix products: seconds of 1,000 more tokens."""
    document = _costs(shape, options)
    costs = {kind: costs_of(own) for kind, own in document["costs"].items()}
    facts, share = document["facts"], BARS[shape]
    row = compare(costs["scan"], costs["products"])
    products = row["other"]["wall"]
    rate = facts["flops_per_token"] * 1000 / products / 1e9
    return row | {
        "what": f"the pass of a default scan, {facts['model']} ({facts['parameters'] / 1e6:.0f}M)",
        "peer": "floor: its FLOPs at the rate of matrix products of its own shapes",
        "unit": "s per 1,000 tokens",
        "bar": {"wall": 1 / share} if share else None,
        "notes": [f"the products run at {rate:.0f} GFLOP/s, the pass at {rate / row['wall']['median']:.0f}"],
        "facts": facts,
    }
