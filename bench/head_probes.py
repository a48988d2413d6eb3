"""What the opt-in probes of the head cost over the default one, on a random head: all of them in turn, A B A B.

Seconds are those of the CPU, over all threads, which other programs on the machine change less than those of a clock.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

from degen.model.final_norm import FinalNorm
from degen.model.lm_head import Head
from degen.probe import HeadProbe
from degen.probe_registry import load_probes
from degen.weights.open_weights import LoadedTensors

OPT_IN = ("head_spectra", "head_tail", "head_frequency", "isotropy", "unargmaxable")


def seconds(head: Head, names: tuple[str, ...], counts: np.ndarray) -> float:
    start = time.process_time()
    for name, probe_class in load_probes(names).items():
        assert issubclass(probe_class, HeadProbe), name
        probe = probe_class()
        probe.counts = counts
        probe.measure(head)
    head.shared.clear()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    weight = torch.randn(arguments.rows, arguments.width)
    tensors = LoadedTensors({"lm_head.weight": weight, "model.norm.weight": torch.rand(arguments.width)})
    head = Head(tensors, "lm_head.weight", None, final_norm=FinalNorm("model.norm"))
    counts = np.random.default_rng(0).zipf(1.3, size=arguments.rows).clip(0, 10_000).astype(np.int64)
    print(f"a Gaussian head of {arguments.rows:,} × {arguments.width}, {arguments.threads} threads")
    seconds(head, ("spectrum",), counts)  # warm up
    default, opt_in = [], []
    for pair in range(arguments.pairs):
        for names, times in ((("spectrum",), default), (OPT_IN, opt_in))[:: 1 if pair % 2 == 0 else -1]:
            times.append(seconds(head, names, counts))
        print(f"pair {pair + 1}: spectrum {default[-1]:.2f} s, all {len(OPT_IN)} others {opt_in[-1]:.2f} s", flush=True)
    ratios = [b / a for a, b in zip(default, opt_in, strict=True)]
    print(f"others/spectrum: median {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})")
    for name in OPT_IN:
        print(f"{name} alone: {seconds(head, (name,), counts) / statistics.median(default):.2f} of spectrum")


if __name__ == "__main__":
    main()
