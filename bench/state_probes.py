"""What the probes of hidden states add to a scan with the default ones: same windows, same batches, in turn (A B A B).

The pass grows with the tokens; spectra and distances at its end are paid once a checkpoint. So both are timed apart,
and a scan of 50,000 tokens is the pass scaled up and one end. Times of the CPU are printed beside those of the clock,
which another program on the machine can spoil. Windows are of `--domains` domains in turn. `--memory` runs one pass of
all probes and prints the peak memory.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from overhead import sample_of
from transformers import AutoModelForCausalLM, GPTNeoXConfig

from degen.forward.run_pass import run_pass
from degen.model.architecture import describe
from degen.model.loading import silence_transformers
from degen.probe import StreamProbe
from degen.probe_registry import load_probes
from degen.scanning.timing import peak_rss
from degen.states.shared_states import SharedStates, StateProbe
from degen.text.windows import Sample

NEOX_134M = dict(
    hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, vocab_size=32_000
)
OF_STATES = (
    "common_mode", "isoscore", "outlier_dimensions", "participation_ratio", "rankme", "self_similarity",
    "state_spectrum", "two_nn",
)  # fmt: skip
SCAN_TOKENS = 50_000


def new_probes(sample: Sample, names: tuple[str, ...]) -> dict[str, StreamProbe]:
    default = {name: kind for name, kind in load_probes(None).items() if issubclass(kind, StreamProbe)}
    shared = SharedStates(sample)
    probes: dict[str, Any] = {name: kind(sample) for name, kind in (default | load_probes(names)).items()}
    for probe in probes.values():
        if isinstance(probe, StateProbe):
            probe.share(shared)
    return probes


def in_domains(sample: Sample, count: int) -> Sample:
    """Return the windows, each of the next of so many domains."""
    windows = (replace(window, domain=f"domain {i % count}") for i, window in enumerate(sample.windows))
    return replace(sample, windows=tuple(windows))


def timed(call: Callable[[], object]) -> tuple[float, float]:
    clock, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - clock, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--batch-tokens", type=int, default=1024)
    parser.add_argument("--domains", type=int, default=8)
    parser.add_argument("--memory", action="store_true", help="run one pass of all probes and print the peak memory")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    silence_transformers()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(GPTNeoXConfig(**NEOX_134M)).eval()
    model.config.use_cache = False
    shape = describe(model.config)
    sample = in_domains(sample_of(arguments.tokens, arguments.context, shape.vocab_size), arguments.domains)
    print(
        f"{shape.name}, {shape.parameters / 1e6:.0f}M parameters, {sample.tokens} tokens of {arguments.domains} "
        f"domains, {arguments.threads} threads"
    )

    def passed(probes: dict[str, StreamProbe]) -> None:
        of = next(iter(probes.values())).sample
        run_pass(model, of, probes, arguments.batch_tokens, torch.device("cpu"), lambda _: None)

    if arguments.memory:
        passed(probes := new_probes(sample, OF_STATES))
        for probe in probes.values():
            probe.finish()
        print(f"peak memory with {sample.tokens} tokens: {peak_rss() / 1e6:.0f} MB")
        return
    passed(new_probes(sample_of(arguments.context, arguments.context, shape.vocab_size), OF_STATES))  # warm up
    ways = {"default": (), "all": OF_STATES}
    passes: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    ends: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for pair in range(arguments.pairs):
        for name, names in ways.items():
            probes = new_probes(sample, names)
            passes[name].append(timed(lambda probes=probes: passed(probes)))  # type: ignore[misc]
            ends[name].append(timed(lambda probes=probes: [p.finish() for p in probes.values()]))  # type: ignore[misc]
        print(f"pair {pair + 1}: " + ", ".join(
            f"{name} {passes[name][-1][0]:.2f} s (CPU {passes[name][-1][1]:.2f}), end {ends[name][-1][1]:.2f}"
            for name in ways
        ), flush=True)  # fmt: skip
    for kind, index in (("clock", 0), ("CPU", 1)):
        of_pass = {name: statistics.median(t[index] for t in passes[name]) for name in ways}
        scale = SCAN_TOKENS / sample.tokens
        whole = {n: of_pass[n] * scale + statistics.median(t[index] for t in ends[n]) for n in ways}
        print(
            f"{kind}: pass, all/default: {of_pass['all'] / of_pass['default']:.3f}; scan of {SCAN_TOKENS} tokens: "
            f"{whole['all'] / whole['default']:.3f}"
        )


if __name__ == "__main__":
    main()
