"""The recipe for Slurm in the documents gives the tables of one scan."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

from run_parts import assert_equal

import degen

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scale_out.md").read_text(encoding="utf-8")

# Runs the tasks of an array at once, as Slurm does on as many nodes.
SBATCH = """#!/bin/bash
numbers=${1#--array=}
grep -q '^#SBATCH --cpus-per-task=' "$2" || exit 1  # a core a task here
for number in ${numbers//,/ }; do
    SLURM_ARRAY_TASK_ID=$number SLURM_CPUS_PER_TASK=1 bash "$2" &
    tasks+=($!)
done
for task in "${tasks[@]}"; do wait "$task" || exit; done
"""


def test_the_array_of_slurm_gives_the_tables_of_one_scan(series: Path, corpus: Path, tmp_path: Path) -> None:
    (script,) = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", PAGE, re.DOTALL)
    assert (ROOT / "examples" / "scan.sbatch").read_text(encoding="utf-8") == script
    (tmp_path / "scan.sbatch").write_text(script)
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(SBATCH)
    sbatch.chmod(sbatch.stat().st_mode | stat.S_IXUSR)
    path = f"{sbatch.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    chosen = {"SHARDS": "2", "SERIES": str(series), "CORPUS": str(corpus), "RUN": "run"}
    words = ["sbatch", "--array=1,2", "scan.sbatch"]
    done = subprocess.run(words, cwd=tmp_path, env=os.environ | chosen | {"PATH": path}, capture_output=True)
    assert done.returncode == 0, done.stderr
    run = degen.read_run(tmp_path / "run")
    assert run.missing == {}
    assert_equal(run, degen.scan(series, corpus=corpus, out=tmp_path / "alone", threads=1))
