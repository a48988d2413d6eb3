"""Whether the planner's times are right: three scans on this machine's CPU, predicted and measured.

Run it as `python bench/planning.py`. CPU time is what is compared, of all threads, since others use a shared machine;
wall time stands beside it. Models are random, of three widths; a few checkpoints each.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DEMO = Path(__file__).parents[1] / "degen" / "demo"
WITHIN = 1.5
# name, layers, width, rows of the head, checkpoints, tokens
SCANS = (
    ("narrow", 4, 256, 8192, 3, 8_000),
    ("middle", 4, 512, 16_384, 2, 4_000),
    ("wide", 3, 1024, 8192, 2, 3_000),
)


def make_series(folder: Path, layers: int, width: int, vocab: int, checkpoints: int) -> None:
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    tokenizer = next((DEMO / "series" / "healthy").rglob("tokenizer.json")).parent
    config = GPTNeoXConfig(
        vocab_size=vocab, hidden_size=width, num_hidden_layers=layers, num_attention_heads=width // 64,
        intermediate_size=4 * width, max_position_embeddings=2048,
    )  # fmt: skip
    for step in range(checkpoints):
        torch.manual_seed(step)
        model = GPTNeoXForCausalLM(config).half()
        model.save_pretrained(folder / f"step{step}")
        for file in tokenizer.glob("tokenizer*"):
            shutil.copy(file, folder / f"step{step}")


def degen(*words: object) -> str:
    command = [sys.executable, "-m", "degen", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


def predict(words: list[object]) -> float:
    """Return the predicted seconds of CPU time of a scan, by the planner's own code in this process."""
    from degen.planning.devices import parse_devices
    from degen.scanning.dry_run import estimate_costs
    from degen.scanning.settings import make_settings

    series, tokens = words
    devices = parse_devices("here")
    settings = make_settings(str(series), tokens=int(str(tokens)))
    rows = estimate_costs(settings, devices=devices)
    return devices.rates.start + sum(row["cpu_seconds"] for row in rows)


def measure(folder: Path, words: list[Any]) -> tuple[float, float]:
    """Return the CPU time of a scan in a process of its own, and its wall time."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    series, tokens = words
    degen("scan", series, "--tokens", tokens, "-o", folder / "run")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - start


def main() -> None:
    results = []
    for name, layers, width, vocab, checkpoints, tokens in SCANS:
        with tempfile.TemporaryDirectory() as made:
            make_series(Path(made) / name, layers, width, vocab, checkpoints)
            words = [Path(made) / name, tokens]
            predicted = predict(words)
            cpu, wall = measure(Path(made), words)
        ratio = predicted / cpu
        results.append({"scan": name, "predicted": predicted, "cpu": cpu, "wall": wall, "ratio": ratio})
        print(
            f"{name}: {layers} blocks of {width}, {vocab} rows, {checkpoints} checkpoints, {tokens} tokens: predicted "
            f"{predicted:.1f} s of CPU time, measured {cpu:.1f} s ({wall:.1f} s of wall time): {ratio:.2f}",
            flush=True,
        )
    print(json.dumps(results))
    outside = [r["scan"] for r in results if not 1 / WITHIN <= r["ratio"] <= WITHIN]
    sys.exit(f"outside a factor of {WITHIN}: {', '.join(outside)}" if outside else 0)


if __name__ == "__main__":
    main()
