"""`--track` and `export --to`: a run in a tracker; a tracker that fails loses nothing."""

from __future__ import annotations

from pathlib import Path

from faults.command import SMALL, degen, python_process

from degen import read_run
from degen.scanning.plan import make_plan
from degen.scanning.settings import make_settings
from degen.scanning.shards import Shard


def test_a_scan_is_sent_to_its_trackers(series: Path, corpus: Path, tmp_path: Path) -> None:
    run, folder = tmp_path / "run", tmp_path / "tb"
    (tmp_path / "file").write_text("")
    tracks = ("--track", f"tensorboard:{folder}", "--track", f"tensorboard:{tmp_path / 'file'}")
    result = degen("scan", series, "--corpus", corpus, *SMALL, "-o", run, *tracks)
    assert result.code == 0
    assert f"tensorboard: tiny: 3 rows in {folder / 'tiny'}" in result.err
    (warning,) = [line for line in result.err.splitlines() if line.startswith("warning: tensorboard: ")]
    assert f"cannot be written (Not a directory); the run is kept in {run}" in warning
    assert len(read_run(run).checkpoints()) == 3
    assert len(list((folder / "tiny").iterdir())) == 1
    again = degen("export", run, "--to", f"tensorboard:{folder}")
    assert (again.code, again.out) == (0, f"tensorboard: tiny: 3 rows in {folder / 'tiny'}\n")
    assert len(list((folder / "tiny").iterdir())) == 1


def test_a_tracker_that_cannot_be_is_refused_before_anything_is_measured(series: Path, tmp_path: Path) -> None:
    for destination in ("comet:x", "tensorboard:", "wandb:team=y"):
        assert "--track" in degen("scan", series, "-o", tmp_path / "run", "--track", destination).message
        assert not (tmp_path / "run").exists()


def test_a_tracker_that_is_not_installed_names_the_extra(series: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom importlib.machinery import PathFinder\n"
        "class Hidden:\n    def find_spec(self, name, *more):\n"
        "        return None if name == 'mlflow' else PathFinder.find_spec(name, *more)\n"
        "sys.meta_path = [f for f in sys.meta_path if f is not PathFinder] + [Hidden()]\n"
        "from degen.cli.main import main\n"
        f"sys.argv = ['degen', 'scan', {str(series)!r}, '-o', {str(tmp_path / 'run')!r}, '--track', 'mlflow:x']\n"
        "main()\n"
    )
    result = python_process(code)
    assert result.code == 2
    assert result.message == "mlflow: it needs an extra: pip install 'degen-lm[mlflow]'"
    assert not (tmp_path / "run").exists()


def test_shards_send_their_run_when_it_is_whole(series: Path, corpus: Path, tmp_path: Path) -> None:
    words = (
        "scan",
        series,
        "--corpus",
        corpus,
        *SMALL,
        "-o",
        tmp_path / "run",
        "--track",
        f"tensorboard:{tmp_path}/tb",
    )
    checkpoints = make_plan(make_settings(series)).checkpoints
    shards = [shard for i in range(1, 65) if (shard := Shard(i, 64)).members(checkpoints, trust=False)]
    results = [degen(*words, "--shard", str(shard)) for shard in shards]
    waits = "not sent to a tracker yet, as checkpoints are missing: the last shard sends the run"
    assert [waits in result.err for result in results] == [True] * (len(shards) - 1) + [False]
    assert "tensorboard: tiny: 3 rows in" in results[-1].err
    assert len(list((tmp_path / "tb" / "tiny").iterdir())) == 1
