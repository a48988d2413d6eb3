"""What `degen --help` costs over importing the libraries it is built on, whole processes in turn."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    degen = shutil.which("degen", path=str(Path(sys.executable).parent)) or "degen"
    libraries, help_ = [sys.executable, "-c", "import typer, rich"], [degen, "--help"]
    pairs = [(seconds(libraries), seconds(help_)) for _ in range(12)][2:]
    ratios = [b / a for a, b in pairs]
    print(f"import typer, rich: {statistics.median(a for a, _ in pairs):.3f} s")
    print(f"degen --help:       {statistics.median(b for _, b in pairs):.3f} s")
    print(f"ratio: median {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})")


if __name__ == "__main__":
    main()
