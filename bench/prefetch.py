"""Whether the next checkpoint loads while this one is measured: a hub on loopback, slowed until both take equal time.

First the series is scanned from a folder, which says how long computing takes; then from the hub, whose line is set so
that its weights take as long. Bar: wall time ≤ 1.2 × the larger of both totals + one load.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1]))  # in front, lest tests/degen be taken for the package

import torch
from hub import hub
from hub_repo import Repo
from hub_scans import revisions

SCAN = """
import sys, time
import torch, transformers, degen, degen.model.loading, degen.text.tokenizer
import degen.scanning.duplicates, degen.scanning.measure
import safetensors.torch, pyarrow.parquet, huggingface_hub
import transformers.models.gpt_neox.modeling_gpt_neox
series, out, tokens, threads = sys.argv[1:]
start = time.perf_counter()
run = degen.scan(series, out=out, tokens=int(tokens), context=256, threads=int(threads))
print(time.perf_counter() - start)
assert not run.failed, run.failed
phases = {}
for row in run.table("timing").to_pylist():
    phases[row["phase"]] = phases.get(row["phase"], 0) + row["seconds"]
print("  " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in phases.items()), file=sys.stderr)
"""


def scan(series: str | Path, out: Path, tokens: int, threads: int, **environment: str) -> float:
    """Return the seconds of a scan in a process of its own, imports not counted."""
    command = [sys.executable, "-c", SCAN, str(series), str(out), str(tokens), str(threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | environment)
    return float(done.stdout.split()[-1])


def make_series(folder: Path, checkpoints: int, width: int) -> Path:
    """Make checkpoints of random weights with the demo's tokenizer."""
    from transformers import AutoTokenizer, GPTNeoXConfig, GPTNeoXForCausalLM

    from degen.demo import series_paths

    for i in range(checkpoints):
        torch.manual_seed(i)
        shape = dict(hidden_size=width, num_hidden_layers=6, num_attention_heads=8, intermediate_size=4 * width)
        GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=8192, **shape)).save_pretrained(folder / f"step{i}")
    AutoTokenizer.from_pretrained(series_paths()[0]).save_pretrained(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=12_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        series = make_series(folder / "series", arguments.checkpoints, arguments.width)
        size = sum(f.stat().st_size for f in series.rglob("*.safetensors"))
        tokens, threads = arguments.tokens, arguments.threads
        print(f"{arguments.checkpoints} checkpoints, {size / 1e6:.0f} MB, {tokens} tokens, {threads} threads")
        with hub({"org/series": Repo(dict(revisions(series)))}) as server:
            for i in range(arguments.rounds):
                compute = scan(series, folder / f"local-{i}", tokens, threads)
                server.bytes_per_second = size / compute
                environment = {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(folder / f"home-{i}")}
                environment |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}
                wall = scan("org/series@step*", folder / f"hub-{i}", tokens, threads, **environment)
                bar = 1.2 * compute + compute / arguments.checkpoints
                print(
                    f"round {i + 1}: computing alone {compute:.2f} s, loading alone {compute:.2f} s, both {wall:.2f} s "
                    f"= {wall / compute:.3f} of one; bar {bar:.2f} s, {'met' if wall <= bar else 'MISSED'}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
