"""Read the head of every checkpoint of a series and factorise it, and nothing else: the floor of its spectra.

python bench/peer_rows/series_script.py FOLDER KEY THREADS

FOLDER holds folders with a model.safetensors each. Prints JSON: the cost of each checkpoint, and of reading alone.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from peer_rows.costs import timed


def read_head(file: Path, key: str) -> torch.Tensor:
    """Return the float32 head of a file, by one read of its bytes."""
    with file.open("rb", buffering=0) as stored:
        length = int.from_bytes(stored.read(8), "little")
        entry = json.loads(stored.read(length))[key]
        first, end = entry["data_offsets"]
        buffer = bytearray(end - first)
        view, done = memoryview(buffer), 0
        while done < len(buffer):
            done += os.preadv(stored.fileno(), [view[done:]], 8 + length + first + done)
    return torch.frombuffer(buffer, dtype=torch.float32).view(entry["shape"])


def spectrum(W: torch.Tensor) -> torch.Tensor:
    """Return the singular values of a tall matrix in float64, by LAPACK."""
    return torch.linalg.svdvals(torch.linalg.qr(W.double(), mode="r").R)


def main() -> None:
    folder, key, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    spectrum(torch.randn(2000, 200))  # warm up
    files = sorted(Path(folder).glob("*/model.safetensors"))
    whole = [asdict(timed(lambda f=f: spectrum(read_head(f, key)))) for f in files]
    reading = [asdict(timed(lambda f=f: read_head(f, key))) for f in files]
    print(json.dumps({"costs": whole, "reading": reading, "bytes": read_head(files[0], key).nbytes}))


if __name__ == "__main__":
    main()
