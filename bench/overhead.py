"""What a scan costs over a bare `model(ids, labels=ids)`: same windows, same batches, same threads, in turn.

The cost per token is the slope between two sizes, so that what is paid once (the spectrum of the head, the identity
check) is told apart; the whole of a scan of 50,000 tokens is slope and constant put together.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig

from degen.architecture import describe
from degen.cost import auto_batch_tokens
from degen.forward import run_pass
from degen.head import Head
from degen.loading import quieten
from degen.probe import HeadProbe, load_probes
from degen.weights import LoadedTensors
from degen.windows import Sample, Window, batches

PYTHIA_160M = dict(
    hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, vocab_size=50304
)


def sample_of(tokens: int, context: int, vocabulary: int) -> Sample:
    rng = np.random.default_rng(0)
    windows = [
        Window(i, i, None, 0, 4 * context, rng.integers(vocabulary, size=context, dtype=np.int32))
        for i in range(tokens // context)
    ]
    return Sample("random", tuple(windows))


def bare(model: torch.nn.Module, sample: Sample, batch_tokens: int) -> float:
    start = time.perf_counter()
    with torch.inference_mode():
        for rows in batches(sample, batch_tokens):
            ids = torch.from_numpy(np.stack([sample.windows[i].tokens for i in rows]).astype(np.int64))
            float(model(ids, labels=ids).loss)
    return time.perf_counter() - start


def scanned(model: torch.nn.Module, sample: Sample, batch_tokens: int) -> float:
    start = time.perf_counter()
    probes = [p(sample) for p in load_probes(None).values() if not issubclass(p, HeadProbe)]
    run_pass(model, sample, probes, batch_tokens, torch.device("cpu"), lambda _: None)
    for probe in probes:
        probe.finish()
    return time.perf_counter() - start


def spectrum(model: torch.nn.Module) -> float:
    start = time.perf_counter()
    head = Head(LoadedTensors({"head": model.get_output_embeddings().weight.detach()}), "head", None)
    for probe in load_probes(None).values():
        if issubclass(probe, HeadProbe):
            probe().measure(head)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gguf", help="a GGUF file; without it a randomly initialised Pythia-160M")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs=2, default=[4096, 12288])
    parser.add_argument("--context", type=int, default=512)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    quieten()
    if asked.gguf:
        folder, _, name = asked.gguf.rpartition("/")
        model = AutoModelForCausalLM.from_pretrained(folder or ".", gguf_file=name, dtype=torch.float32)
    else:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(GPTNeoXConfig(**PYTHIA_160M))
    model.eval()
    model.config.use_cache = False
    shape = describe(model.config)
    batch_tokens = auto_batch_tokens(shape, asked.context, torch.device("cpu"))
    print(f"{shape.name}, {shape.parameters / 1e6:.0f}M parameters, vocabulary {shape.vocab_size}")
    print(f"{asked.threads} threads, windows of {asked.context}, batches of {batch_tokens} tokens")
    small, large = (sample_of(n, asked.context, shape.vocab_size) for n in asked.sizes)
    slopes: dict[str, list[float]] = {"bare": [], "degen": []}
    constants, whole = [], []
    for pair in range(asked.pairs):
        times = {}
        for name, run in (("bare", bare), ("degen", scanned)):
            low, high = run(model, small, batch_tokens), run(model, large, batch_tokens)
            slopes[name].append((high - low) / (large.tokens - small.tokens))
            times[name] = (low, high)
        constants.append(spectrum(model) + max(0.0, times["degen"][0] - slopes["degen"][-1] * small.tokens))
        bare_50k = slopes["bare"][-1] * 50_000
        whole.append((slopes["degen"][-1] * 50_000 + constants[-1]) / bare_50k)
        print(
            f"pair {pair + 1}: per 1,000 tokens bare {1e3 * slopes['bare'][-1]:.2f} s, "
            f"degen {1e3 * slopes['degen'][-1]:.2f} s, once {constants[-1]:.1f} s",
            flush=True,
        )
    ratios = [d / b for b, d in zip(slopes["bare"], slopes["degen"], strict=True)]
    print(
        f"slope ratio degen/bare: median {statistics.median(ratios):.3f} (min {min(ratios):.3f}, max {max(ratios):.3f})"
    )
    print(f"50,000 tokens, spectrum and all: median {statistics.median(whole):.3f}")


if __name__ == "__main__":
    main()
