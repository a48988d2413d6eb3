"""Peak resident memory of a scan, against tokens and against checkpoints, each scan in a process of its own (Linux)."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

SCAN = """
import sys, degen, torch
import degen.scanning.measure_stream

def high_water():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

def watched(*args, run_pass=degen.scanning.measure_stream.run_pass):
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")  # forget the peak of loading: the high-water mark starts at what is resident now
    loaded = high_water()
    passed = run_pass(*args)
    above.append(high_water() - loaded)
    return passed

above = []
degen.scanning.measure_stream.run_pass = watched
tokens, out, corpus, tokenizer, *series = sys.argv[1:]
run = degen.scan(series[0], corpus=corpus, tokens=int(tokens), out=out, tokenizer=tokenizer or None, threads=2)
assert not run.failed, run.failed
rows = run.table("timing").to_pylist()
print(max(r["peak_rss"] for r in rows), max(above), sum(r["seconds"] for r in rows if r["phase"] == "total"))
"""


def peak(tokens: int, series: Path, corpus: str, tokenizer: str = "") -> tuple[float, float]:
    """Return the peak of the whole process, and of the pass above the loaded model, in MB."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-c", SCAN, str(tokens), f"{out}/run", corpus, tokenizer, str(series)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    whole, above, seconds = (float(word) for word in done.stdout.split()[-3:])
    whole, above = whole / 2**20, above / 2**20
    print(
        f"  {series.name}, {tokens} tokens: peak {whole:.0f} MB, the pass {above:.0f} MB above the loaded model, "
        f"{seconds:.0f} s",
        flush=True,
    )
    return whole, above


def make_series(folder: Path, checkpoints: int, tokenizer: Path) -> Path:
    """Make a series of checkpoints of 50M parameters with random weights."""
    from transformers import AutoTokenizer, GPTNeoXConfig, GPTNeoXForCausalLM

    series = folder / f"series-of-{checkpoints}"
    for i in range(checkpoints):
        torch.manual_seed(i)
        shape = dict(hidden_size=512, num_hidden_layers=6, num_attention_heads=8, intermediate_size=2048)
        model = GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=30_000, **shape))
        model.save_pretrained(series / f"step{i}")
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(series)
    return series


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gguf", type=Path, help="a GGUF file, for growth with tokens")
    parser.add_argument("--corpus", default="demo")
    arguments = parser.parse_args()
    from degen.demo import series_paths

    if arguments.gguf:
        small, large = (peak(n, arguments.gguf, arguments.corpus) for n in (5_000, 50_000))
        print(f"5,000 to 50,000 tokens: {large[1] - small[1]:+.0f} MB above the loaded model")
    with tempfile.TemporaryDirectory() as folder:
        small, large = (peak(5_000, make_series(Path(folder), n, series_paths()[0]), "demo") for n in (2, 10))
        print(f"2 to 10 checkpoints: {large[0] - small[0]:+.0f} MB at the peak")


if __name__ == "__main__":
    main()
