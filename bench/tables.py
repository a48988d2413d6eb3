"""What `show`, `saturation`, `gate` and `export` take of a large run, against one `pyarrow.dataset` call on its tables.

    PYTHONPATH=.:tests python bench/tables.py [FOLDER] [--pairs N]

It makes up a run of 10 models, 154 checkpoints and 33 layers in the folder, once. Every command and every reading is a
process of its own, one after the other in turn; what is stated is CPU time of the process, and its peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

MODELS, CHECKPOINTS, LAYERS = [f"EleutherAI/pythia-{i}" for i in range(10)], 154, 32
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_NUM_THREADS")
_WINDOWS = ["window", "document", "domain", "tokens", "loss"]
# command -> its arguments, and the columns that it needs by table; None for all
COMMANDS: dict[str, tuple[list[str], dict[str, list[str] | None]]] = {
    "show": (["show", "RUN"], {"checkpoints": None}),
    "show --layers": (["show", "RUN", "--layers"], {"checkpoints": None, "layers": None}),
    "saturation": (["saturation", "RUN"], {"checkpoints": None, "windows": _WINDOWS}),
    "gate": (
        ["gate", "RUN", "--rule", "anisotropy[layer=last] < 0.99", "--rule", "loss.rise < 9"],
        {"checkpoints": None, "layers": None, "windows": _WINDOWS},
    ),
    "export": (["export", "RUN", "--table", "layers", "--to", "OUT"], {"checkpoints": None, "layers": None}),
}
_MAKE = """
import json, sys
from pathlib import Path
from made_runs import make_run
make_run(Path(sys.argv[1]), *json.loads(sys.argv[2]), windows=100, width=768)
"""
_READ = """
import json, sys, time
import pyarrow.dataset as ds
began = time.process_time()
for table, columns in json.loads(sys.argv[2]).items():
    ds.dataset(f"{sys.argv[1]}/{table}").to_table(columns=columns)
print(time.process_time() - began)
"""


def run_process(command: list[str], apart: bool = False, threads: int = 1) -> tuple[float, int, str]:
    """Return CPU seconds, peak bytes of memory and output of a process.

    Args:
        command: what runs.
        apart: whether it sees only what is installed beside its interpreter, and no package of this folder.
        threads: of its libraries.

    Raises:
        SystemExit: it failed.
    """
    env, folder = os.environ | dict.fromkeys(THREADS, str(threads)), tempfile.gettempdir() if apart else None
    if apart:
        env.pop("PYTHONPATH", None)
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors, env=env, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{' '.join(command)}: exit {process.returncode}\n{errors.read().decode()}")
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, output.read().decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--pairs", type=int, default=3)
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp()) / "run"
    if not (folder / "run.json").exists():
        run_process([sys.executable, "-c", _MAKE, str(folder), json.dumps([MODELS, CHECKPOINTS, LAYERS])])
    to = folder.parent / f"{folder.name}-exported.parquet"
    print(f"{len(MODELS) * CHECKPOINTS} checkpoints, {LAYERS + 1} layers; one thread; medians of {asked.pairs} in turn")
    print(f"{'':14} {'reading':>9} {'command':>9} {'bound':>9} {'peak':>8}")
    for name, (arguments, columns) in COMMANDS.items():
        named = [{"RUN": str(folder), "OUT": str(to)}.get(word, word) for word in arguments]
        reading, commands, peaks = [], [], []
        for _ in range(asked.pairs):
            reading.append(float(run_process([sys.executable, "-c", _READ, str(folder), json.dumps(columns)])[2]))
            seconds, peak, _ = run_process([sys.executable, "-m", "degen", *named])
            commands.append(seconds)
            peaks.append(peak)
        read, took = statistics.median(reading), statistics.median(commands)
        bound = 5 * read + 5
        print(f"{name:14} {read:8.2f}s {took:8.2f}s {bound:8.2f}s {max(peaks) / 1e6:5.0f} MB")
    to.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
