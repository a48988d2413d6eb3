"""The pass of a scan, a bare forward with loss, and the matrix products alone, in turn: what 1,000 more tokens cost.

python bench/peer_rows/pass_script.py SHAPE THREADS PAIRS SMALL LARGE

Prints JSON: costs of each kind of work, a list a kind. Of two sizes the slope is taken, so that what is paid once a
pass is left out. The products are those of every linear layer of the model, of its own shapes, and attention's at their
rate.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from accelerator_steps.shapes import CONTEXT, build, random_sample
from overhead import bare, scanned

from degen.forward.batch_size import auto_batch_tokens
from degen.forward.cross_entropy import TILE_ROWS, TILE_TOKENS
from degen.model.architecture import describe
from degen.model.flops import forward_flops
from degen.model.loading import silence_transformers
from peer_rows.costs import Cost, in_turn, timed
from peer_rows.shapes import SHAPES


class Products:
    """The matrix products of a pass: of every shape of a linear layer, so often as the model has it."""

    def __init__(self, model: Any, tokens: int, flops_per_token: float) -> None:
        """Make random operands for a batch of so many tokens."""
        layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
        self.shapes = Counter(tuple(m.weight.shape) for m in layers)
        self.tokens = tokens
        largest = max(rows * width for rows, width in self.shapes)
        self.weight = torch.randn(largest) * 0.02
        self.states = {width: torch.randn(tokens, width) for _, width in self.shapes}
        self.out = torch.empty(tokens * max(min(rows, TILE_ROWS) for rows, _ in self.shapes))
        # attention's scores and sums, at the rate of the others
        self.factor = flops_per_token / sum(2 * rows * width * n for (rows, width), n in self.shapes.items())

    def run(self) -> None:
        """Run them once, the head in tiles that stay in the cache."""
        for (rows, width), count in self.shapes.items():
            W, x = self.weight[: rows * width].view(rows, width), self.states[width]
            step = TILE_TOKENS if rows > TILE_ROWS else self.tokens
            for _ in range(count):
                for first in range(0, rows, TILE_ROWS):
                    tile = W[first : first + TILE_ROWS]
                    for start in range(0, self.tokens, step):
                        part = x[start : start + step]
                        torch.mm(part, tile.t(), out=self.out[: len(part) * len(tile)].view(len(part), len(tile)))

    def cost(self, tokens: int) -> Cost:
        """Return what those of so many tokens cost, from one batch."""
        return timed(self.run).times(self.factor * tokens / self.tokens)


def slope(run: Callable[[int], Any], small: int, large: int) -> Cost:
    """Return what 1,000 tokens cost: of two sizes, what the larger costs beyond the smaller."""
    costs = [timed(partial(run, tokens)) for tokens in (small, large)]
    return costs[1].minus(costs[0]).times(1000 / (large - small))


def main() -> None:
    name, threads, pairs, small, large = sys.argv[1], *map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    silence_transformers()
    model = build(SHAPES[name], torch.device("cpu"), torch.float32)
    shape = describe(model.config)
    samples = {tokens: random_sample(tokens, shape.vocab_size) for tokens in (CONTEXT, small, large)}
    batch = auto_batch_tokens(shape, CONTEXT, torch.device("cpu"))
    flops = forward_flops(shape, CONTEXT)
    with torch.inference_mode():
        products = Products(model, min(batch, large), flops)
        for call in (bare, scanned):
            call(model, samples[CONTEXT], batch)  # warm up
        costs = in_turn(
            {
                "bare": lambda: slope(lambda n: bare(model, samples[n], batch), small, large),
                "scan": lambda: slope(lambda n: scanned(model, samples[n], batch), small, large),
                "products": lambda: products.cost(1000),
            },
            pairs,
        )
    facts = {
        "model": name, "parameters": shape.parameters, "tokens": [small, large], "batch_tokens": batch,
        "flops_per_token": flops,
    }  # fmt: skip
    print(json.dumps({"facts": facts, "costs": {kind: [asdict(c) for c in own] for kind, own in costs.items()}}))


if __name__ == "__main__":
    main()
