"""Ranks against what they are made of: closed forms against full-rank head passes, training against its parts.

    python bench/ranks.py

Closed forms: K ranks of one method, and the head pass of the full model alone, on the same states, in turn (A B A B).
Training: steps of K heads together with the frozen pass, and the frozen pass and each head's step measured alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig

from degen.forward.cross_entropy import nested_token_losses, token_losses
from degen.forward.head_inputs import ModelHeadInputs
from degen.model.logit_transform import LogitTransform
from degen.probe import OutputHead, Scored
from degen.rank.nested_head import nested_heads
from degen.rank.trained_head import TrainedHead
from degen.rank.training import Training
from degen.text.windows import Window

RANKS = (32, 64, 128, 256, 512, 768)


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def closed_forms(head: OutputHead, tokens: int, pairs: int) -> None:
    """Print the ratio, and the bar 1 + 0.12·K."""
    h, y = torch.randn(tokens, head.weight.shape[1]), torch.randint(len(head.weight), (tokens,))
    gathered = torch.randn(4096, head.weight.shape[1], dtype=torch.float64)
    begin = time.perf_counter()
    (nested,) = nested_heads(head, gathered.T @ gathered / 4096, ["whitened"])
    print(f"factors of the head, once a checkpoint: {time.perf_counter() - begin:.1f} s")

    class Module:
        weight, bias = head.weight, head.bias

    def full() -> None:
        token_losses(h, y, Module, head.transform)

    def ranks() -> None:
        nested_token_losses(h @ nested.map, nested.factor, None, y, RANKS, head.transform)

    full(), ranks()
    times = [(seconds(full), seconds(ranks)) for _ in range(pairs)]
    ratios = [b / a for a, b in times]
    print(f"full-rank head pass: {statistics.median(a for a, _ in times):.2f} s for {tokens} tokens")
    print(
        f"{len(RANKS)} ranks / one head pass: median {statistics.median(ratios):.3f} "
        f"(min {min(ratios):.3f}, max {max(ratios):.3f}); bar {1 + 0.12 * len(RANKS):.2f}"
    )


def training(model: Any, head: OutputHead, pairs: int) -> None:
    """Print the ratio of a step together to its parts alone, and the bar 1.15."""
    draw = np.random.default_rng(0)
    windows = [Window(i, i, None, 0, 0, draw.integers(50_000, size=512).astype(np.int32)) for i in range(4)]
    inputs = ModelHeadInputs(model, 2048, torch.device("cpu"))
    ranks = (64, 256)
    together = Training(head, [TrainedHead.random(rank, head, 0) for rank in ranks])
    alone = [Training(head, [TrainedHead.random(rank, head, 0)]) for rank in ranks]
    parts: list[Scored] = list(inputs.of(windows))

    def measured() -> tuple[float, float]:
        whole = seconds(lambda: together.step(inputs.of(windows), windows))
        frozen = seconds(lambda: list(inputs.of(windows)))
        return whole, frozen + sum(seconds(lambda t=t: t.step(parts, windows)) for t in alone)

    measured()
    times = [measured() for _ in range(pairs)]
    ratios = [a / b for a, b in times]
    print(
        f"training {len(ranks)} ranks together / frozen pass + each step alone: median {statistics.median(ratios):.3f} "
        f"(min {min(ratios):.3f}, max {max(ratios):.3f}); bar 1.15"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=3584)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = GPTNeoXConfig(
        hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, vocab_size=50304
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    model.config.use_cache = False
    head = OutputHead(model.get_output_embeddings().weight.detach(), None, LogitTransform())
    print(f"Pythia-160M shape, {sum(p.numel() for p in model.parameters()):,} parameters, {arguments.threads} threads")
    with torch.inference_mode():
        closed_forms(head, arguments.tokens, arguments.pairs)
    training(model, head, arguments.pairs)


if __name__ == "__main__":
    main()
