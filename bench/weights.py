"""The probe weights beside the factorisations that it cannot do without: seconds in turn, and its largest memory.

python bench/weights.py CHECKPOINT [--rounds 2]

CHECKPOINT is a folder of safetensors or a .gguf file. The second column is the time of the singular values of every
matrix in float64 alone, each read beforehand. Linux only: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from pathlib import Path

MEASURE = """
import sys, time
from pathlib import Path
import torch, transformers, scipy.linalg
from degen.checkpoints.local import LocalSource
from degen.probes.weights import Weights

def held(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

source = LocalSource(Path(sys.argv[1]))
source.config()
source.tensors()
before, start = held("VmRSS:"), time.perf_counter()
rows = Weights().measure(source, source)["weights"]
print(len(rows), time.perf_counter() - start, held("VmHWM:") - before)
"""

FACTORISE = """
import sys, time
from pathlib import Path
import torch
from degen.checkpoints.local import LocalSource
from degen.delta.base_weights import open_by_ranges

tensors, total = open_by_ranges(LocalSource(Path(sys.argv[1]))), 0.0
for key in sorted(tensors.keys):
    if len(tensors.shape(key)) == 2:
        W = tensors.rows(key, 0, tensors.shape(key)[0]).double()
        start = time.perf_counter()
        torch.linalg.svdvals(W)
        total += time.perf_counter() - start
print(total)
"""


def child(code: str, checkpoint: str) -> list[float]:
    done = subprocess.run([sys.executable, "-c", code, checkpoint], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def largest_matrix(checkpoint: Path) -> int:
    from degen.checkpoints.local import LocalSource

    tensors = LocalSource(checkpoint).tensors()
    quantised = checkpoint.suffix == ".gguf"  # read as float32
    sizes = [4 * math.prod(tensors.shape(k)) if quantised else tensors.size(k) for k in tensors.keys]
    return max(sizes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    largest = largest_matrix(arguments.checkpoint)
    print(f"largest matrix {largest / 1e6:.0f} MB as stored")
    for _ in range(arguments.rounds):
        count, seconds, memory = child(MEASURE, str(arguments.checkpoint))
        (alone,) = child(FACTORISE, str(arguments.checkpoint))
        print(
            f"{count:.0f} matrices: {seconds:.1f} s, factorised alone {alone:.1f} s ({seconds / alone:.2f} ×); "
            f"memory {memory / 1e6:.0f} MB ({memory / largest:.2f} × the largest)",
            flush=True,
        )


if __name__ == "__main__":
    main()
