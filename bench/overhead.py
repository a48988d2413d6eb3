"""What a scan costs over a bare `model(ids, labels=ids)`: same windows, same batches, same threads, in turn.

The spectrum of the head is paid once a checkpoint, whatever the tokens; a scan of 50,000 tokens is the pass scaled up
and one spectrum.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig

from degen.forward.batch_size import auto_batch_tokens
from degen.forward.run_pass import run_pass
from degen.model.architecture import describe
from degen.model.lm_head import Head
from degen.model.loading import silence_transformers
from degen.probe import HeadProbe
from degen.probe_registry import load_probes
from degen.text.windows import Sample, Window, batches
from degen.weights.open_weights import LoadedTensors

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
    probes = {name: p(sample) for name, p in load_probes(None).items() if not issubclass(p, HeadProbe)}
    run_pass(model, sample, probes, batch_tokens, torch.device("cpu"), lambda _: None)
    for probe in probes.values():
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
    parser.add_argument("--tokens", type=int, default=7168)
    parser.add_argument("--context", type=int, default=512)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    silence_transformers()
    if arguments.gguf:
        folder, _, name = arguments.gguf.rpartition("/")
        model = AutoModelForCausalLM.from_pretrained(folder or ".", gguf_file=name, dtype=torch.float32)
    else:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(GPTNeoXConfig(**PYTHIA_160M))
    model.eval()
    model.config.use_cache = False
    shape = describe(model.config)
    batch_tokens = auto_batch_tokens(shape, arguments.context, torch.device("cpu"))
    print(f"{shape.name}, {shape.parameters / 1e6:.0f}M parameters, vocabulary {shape.vocab_size}")
    print(f"{arguments.threads} threads, windows of {arguments.context}, batches of {batch_tokens} tokens")
    sample = sample_of(arguments.tokens, arguments.context, shape.vocab_size)
    bare(model, sample_of(arguments.context, arguments.context, shape.vocab_size), batch_tokens)  # warm up
    times: dict[str, list[float]] = {"bare": [], "degen": [], "spectrum": []}
    runs = {"bare": lambda: bare(model, sample, batch_tokens), "degen": lambda: scanned(model, sample, batch_tokens)}
    for pair in range(arguments.pairs):
        for name in ("bare", "degen") if pair % 2 == 0 else ("degen", "bare"):
            times[name].append(runs[name]())
        times["spectrum"].append(spectrum(model))
        row = ", ".join(f"{name} {seconds[-1]:.2f} s" for name, seconds in times.items())
        print(f"pair {pair + 1}: {sample.tokens} tokens, {row}", flush=True)
    passes = [d / b for b, d in zip(times["bare"], times["degen"], strict=True)]
    scale = 50_000 / sample.tokens
    whole = [(d * scale + s) / (b * scale) for b, d, s in zip(*times.values(), strict=True)]
    print(f"pass, degen/bare: median {statistics.median(passes):.3f} (min {min(passes):.3f}, max {max(passes):.3f})")
    print(f"scan of 50,000 tokens, spectrum and all: median {statistics.median(whole):.3f} (max {max(whole):.3f})")


if __name__ == "__main__":
    main()
