"""What a page of `degen report` costs for a large run, against one `pyarrow.dataset` call on the same parts.

    PYTHONPATH=.:tests python bench/report.py [FOLDER]

It makes up a run of 10 models, 154 checkpoints and 33 layers in the folder, once.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from made_runs import make_run

MODELS, CHECKPOINTS, LAYERS = [f"EleutherAI/pythia-{i}" for i in range(10)], 154, 32
TABLES = ("checkpoints", "layers", "windows", "spectrum", "timing")


def main() -> None:
    import pyarrow.dataset as ds

    from degen.report.page import build_page
    from degen.runs.run import read_run

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()) / "run"
    if not (folder / "run.json").exists():
        make_run(folder, MODELS, CHECKPOINTS, LAYERS, windows=100, width=768)
    ds.dataset(folder / "checkpoints").to_table()  # imports, and a warm cache
    started = time.perf_counter()
    rows = [ds.dataset(folder / table).to_table().num_rows for table in TABLES]
    reading = time.perf_counter() - started
    started = time.perf_counter()
    page = build_page([read_run(folder)])
    building = time.perf_counter() - started
    print(f"reading {sum(rows):,} rows of {len(TABLES)} tables in one call each: {reading:.1f} s")
    print(f"building the page: {building:.1f} s, {building / reading:.1f} times; {len(page.encode()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
