"""How often the interval of a bottleneck rank holds the true one, by re-sampling documents.

    python bench/rank_intervals.py [--draws 1000]

Two pools of documents. `demo`: the losses of the demo's last healthy checkpoint, under heads of `svd` and `whitened`,
on all documents that the closed form is not fitted to. `simulated`: documents whose gaps differ by a log-normal factor
and whose lengths differ too. The true bottleneck rank is that of the whole pool. Then 3, 4, 10 or 50 documents are
drawn from it with replacement, as a scan draws them, and the interval is compared with the truth: once for each bound
`--within`, among them the pool's gaps themselves, a ten-thousandth off, where one end of the interval alone decides.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from degen.arrays import Floats
from degen.demo import corpus_path, series_paths
from degen.forward.cross_entropy import nested_token_losses
from degen.forward.head_inputs import ModelHeadInputs
from degen.model.logit_transform import LogitTransform
from degen.probe import OutputHead, Scored
from degen.rank.bottleneck_rank import bottleneck_rank
from degen.rank.nested_head import nested_heads
from degen.stats.jackknife import ratio_error
from degen.text.open_corpus import open_corpus
from degen.text.tokenizer import Tokenizer
from degen.text.windows import draw_sample

DOCUMENTS = (3, 4, 10, 50)
FIT_DOCUMENTS = 16
RANKS = (2, 4, 8, 12, 16, 24, 32, 40, 48)
NEAR = 1e-4  # relative distance of a bound from a gap of the pool
SIMULATED = 4000  # documents
SPREAD = 0.6  # of the logarithm of their gaps; 0.1 to 0.5 in the demo

Pool = tuple[Floats, Floats]  # nats above the full head, documents × ranks; scored tokens of each document


def demo_pools() -> dict[str, Pool]:
    """Return the pools of the demo by the method of the closed form."""
    folder = series_paths()[0] / "step3000"
    sample = draw_sample(open_corpus(str(corpus_path())), Tokenizer(str(folder.parent)), 10**6, 512, 0)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    head = OutputHead(model.get_output_embeddings().weight.detach(), None, LogitTransform())
    parts = list(ModelHeadInputs(model, 8192, torch.device("cpu")).of(sample.windows))
    every = Scored(
        *(torch.cat(fields) for fields in zip(*((p.states, p.targets, p.windows) for p in parts), strict=True))
    )
    slots = torch.from_numpy(sample.document_slots)[every.windows]
    fit, rest = slots < FIT_DOCUMENTS, slots >= FIT_DOCUMENTS
    h = every.states[fit].double()
    states, targets, documents = every.states[rest], every.targets[rest], (slots[rest] - FIT_DOCUMENTS).numpy()
    full = torch.nn.functional.cross_entropy(states @ head.weight.T, targets, reduction="none")
    tokens = np.bincount(documents).astype(np.float64)
    pools = {}
    for nested in nested_heads(head, h.T @ h / len(h), ["svd", "whitened"]):
        losses = nested_token_losses(states @ nested.map, nested.factor, None, targets, list(RANKS), LogitTransform())
        gaps = (losses - full[:, None]).double().numpy()
        pools[f"demo, {nested.method}"] = (np.stack([np.bincount(documents, g) for g in gaps.T], axis=1), tokens)
    return pools


def simulated_pool(draw: np.random.Generator) -> Pool:
    """Return documents with gaps that differ by a log-normal factor, and lengths between 50 and 512 tokens."""
    mean = 2.0 * 0.5 ** np.arange(len(RANKS))
    mean[-1] = 0.0
    tokens = draw.integers(50, 513, size=SIMULATED).astype(np.float64)
    factors = draw.lognormal(-(SPREAD**2) / 2, SPREAD, size=(SIMULATED, 1))
    gaps = mean * factors + draw.normal(size=(SIMULATED, len(RANKS))) * mean**0.5 / tokens[:, None] ** 0.5
    return gaps * tokens[:, None], tokens


def smallest(gaps: Floats, within: float) -> int:
    """Return the true bottleneck rank of a pool's gaps."""
    rank: int = bottleneck_rank(RANKS, gaps.tolist(), [None] * len(RANKS), within)["bottleneck_rank"]
    return rank


def covered(pool: Pool, bounds: list[float], documents: int, draws: int, draw: np.random.Generator) -> Floats:
    """Return how often the intervals by Student's t and by the normal distribution hold the truth, bounds × 2."""
    nats, tokens = pool
    truth = [smallest(nats.sum(axis=0) / tokens.sum(), within) for within in bounds]
    hits = np.zeros((len(bounds), 2))
    for _ in range(draws):
        drawn = draw.integers(len(tokens), size=documents)
        own, counts, slots = nats[drawn], tokens[drawn], np.arange(documents)
        gaps = (own.sum(axis=0) / counts.sum()).tolist()
        errors = [ratio_error(own[:, k], counts, slots) for k in range(len(RANKS))]
        for b, within in enumerate(bounds):
            for kind, freedom in enumerate((counts.sum() ** 2 / np.square(counts).sum() - 1, None)):
                ends = bottleneck_rank(RANKS, gaps, errors, within, freedom)
                low, high = ends["bottleneck_rank_low"], ends["bottleneck_rank_high"]
                hits[b, kind] += low is not None and low <= truth[b] and (high is None or high >= truth[b])
    return hits / draws


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    draws = parser.parse_args().draws
    draw = np.random.default_rng(0)
    print("| pool | documents | covered, mean over bounds | worst bound | worst with z for t |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, pool in (demo_pools() | {"simulated": simulated_pool(draw)}).items():
        gaps = pool[0].sum(axis=0) / pool[1].sum()
        near = [gap * (1 + side) for gap in gaps if gap > 0.005 for side in (-NEAR, NEAR)]
        bounds = sorted([0.05, *near])
        for documents in DOCUMENTS:
            t, z = covered(pool, bounds, documents, draws, draw).T
            print(
                f"| {name} | {documents} | {100 * t.mean():.1f} | {100 * t.min():.1f} | {100 * z.min():.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
