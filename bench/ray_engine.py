"""What the engine Ray adds to a checkpoint, and whether the driver's memory grows with their number.

Many tiny checkpoints are scanned for the spectrum of their heads alone, which takes next to nothing, by Ray and by the
engine `local`; the resident memory of the driver is read whenever a tenth of them is finished.

    python bench/ray_engine.py --checkpoints 1540 --workers 2
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import degen
from degen.checkpoints.series import Checkpoint
from degen.scanning.progress import Progress


class Watch(Progress):
    """Reads time and memory whenever a share of the checkpoints is finished."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.read: list[tuple[int, float, float]] = []  # checkpoints finished, seconds, resident MB
        self._finished = 0
        self._began = time.monotonic()

    def finish_checkpoint(self, checkpoint: Checkpoint, status: str, summary: str) -> None:
        """Count a checkpoint."""
        self._finished += 1
        if self._finished == 1 or self._finished % self.every == 0:
            self.read.append((self._finished, time.monotonic() - self._began, resident_memory() / 1e6))


def resident_memory() -> int:
    """Return the resident memory of this process in bytes, as Linux tells it."""
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def make_checkpoints(folder: Path, count: int) -> Path:
    """Write a series of tiny checkpoints whose weights differ."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=64, n_embd=8, n_layer=1, n_head=1, n_positions=16)
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(folder / "step0")
    weights = bytearray((folder / "step0" / "model.safetensors").read_bytes())
    for step in range(1, count):
        shutil.copytree(folder / "step0", folder / f"step{step}")
        weights[-4:-2] = step.to_bytes(2, "little")  # low bits of the last number
        (folder / f"step{step}" / "model.safetensors").write_bytes(weights)
    return folder


def main() -> None:
    """Scan with both engines, and print seconds and memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=int, default=1540)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        series = make_checkpoints(Path(folder) / "tiny", chosen.checkpoints)
        for engine, workers in (("ray", chosen.workers), ("local", None)):
            watch = Watch(max(chosen.checkpoints // 10, 1))
            degen.scan(
                series, probes="spectrum", threads=1, out=Path(folder) / engine, engine=engine, workers=workers,
                progress=watch,
            )  # fmt: skip
            print(f"\n{engine}\nfinished  seconds  MB of the driver")
            for finished, seconds, memory in watch.read:
                print(f"{finished:8}  {seconds:7.1f}  {memory:16.0f}")
            (first, began, _), (last, ended, _) = watch.read[0], watch.read[-1]
            print(f"{(ended - began) / max(last - first, 1):.3f} s a checkpoint after the first")


if __name__ == "__main__":
    main()
