"""Two processes train one model: the first measures, both stop at the same step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from trainings import MEASURED

ROOT = Path(__file__).parents[3]
SCRIPT = """
import json, sys, torch
from pathlib import Path
from degen.callbacks import DegenerationCallback
from trainings import load_tokenizer, make_trainer

series, corpus, out, measured = sys.argv[1:]
callback = DegenerationCallback(
    corpus=corpus, every=4, rules="loss > 5.95", on_violation="stop", out=f"{out}/run", **json.loads(measured)
)
# the saves of every fourth step are for the scan
trainer = make_trainer(
    load_tokenizer(Path(series)), Path(out) / "saved", [callback], max_steps=40, save_strategy="steps", save_steps=4,
    ddp_find_unused_parameters=False,
)
trainer.train()
losses = {logs["step"]: logs["degen/loss"] for logs in trainer.state.log_history if "degen/loss" in logs}
wrapped = type(trainer.model_wrapped).__name__
summary = {"step": trainer.state.global_step, "losses": losses, "world": trainer.args.world_size, "wrapped": wrapped}
(Path(out) / f"rank{trainer.args.process_index}.json").write_text(json.dumps(summary))
# a process that ends while the other still talks to it is aborted
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


def test_the_main_process_measures_and_all_stop_at_one_step(series: Path, corpus: Path, tmp_path: Path) -> None:
    import degen

    script = tmp_path / "train.py"
    script.write_text(f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]\n" + SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    arguments = [str(series), str(corpus), str(tmp_path), json.dumps(MEASURED)]
    done = subprocess.run([*launch, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2))
    assert first["world"] == second["world"] == 2
    assert first["wrapped"] == "DistributedDataParallel"
    assert 4 <= first["step"] == second["step"] < 40
    assert second["losses"] == {}  # nothing measured there
    steps = list(range(4, first["step"] + 1, 4))
    assert list(map(int, first["losses"])) == steps
    lines = [line for line in done.stderr.splitlines() if line.startswith("degen: ")]
    assert len(lines) == 1
    assert lines[0].startswith(f'degen: step {first["step"]}: rule "loss > 5.95" is broken: 5.')
    rows = degen.scan(tmp_path / "saved", corpus=corpus, out=tmp_path / "scanned", **MEASURED).checkpoints()  # type: ignore[arg-type]
    assert {str(row["step"]): row["loss"] for row in rows} == first["losses"]
