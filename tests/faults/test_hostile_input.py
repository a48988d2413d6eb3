"""Hostile input, a table: how it is made and what is typed, how it must end, and the words of the message."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faults.command import SMALL, degen
from faults.privileges import without_privileges
from faults.spoil import Args, Workspace

import degen as degen_package
from degen import read_run

LONG, LONGER = "9" * 400, "9" * 5000  # Python reads no number of more than 4,300 digits


@dataclass(frozen=True)
class Hostile:
    """An input, how the command ends, and words that its messages hold."""

    make: Callable[[Place], Args]
    words: tuple[str, ...] = ()
    code: int = 2


class Place(Workspace):
    """A workspace with a run that was measured, and a table."""

    measured_run: Path

    @property
    def ready(self) -> Path:
        """A copy of a run that was measured, windows and all."""
        copy = self.folder / "ready"
        return copy if copy.exists() else Path(shutil.copytree(self.measured_run, copy))

    def info(self, **changes: object) -> Path:
        """A run with other entries in its run.json."""
        file = self.ready / "run.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
        return self.ready

    def text(self, text: str) -> Path:
        """A run with another run.json."""
        (self.ready / "run.json").write_text(text)
        return self.ready

    def part(self, table: str, change: Callable[[pa.Table], pa.Table]) -> Path:
        """A run in which a part of a table holds something else."""
        file = self.ready / table / "tiny" / "step100.parquet"
        pq.write_table(change(pq.ParquetFile(file).read()), file)
        return self.ready

    def table(self, value: str = "3", step: str = "7") -> Path:
        """A table of losses with one odd value and one odd step."""
        rows = [f"m{i % 3},{step if i == 7 else i},{value if i == 5 else 4 - 0.1 * i},{10**6 * (1 + i % 3)},{10**9 + i}"
                for i in range(24)]  # fmt: skip
        return self.file("table.csv", "model,step,loss,params,tokens\n" + "\n".join(rows) + "\n")


def without(column: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.drop_columns(column)


def of_texts(table: pa.Table) -> pa.Table:
    return pa.table({name: [str(v) for v in table[name].to_pylist()] for name in table.column_names})


def of_nulls(table: pa.Table) -> pa.Table:
    nulls = {f.name: pa.array([None] * len(table), f.type) for f in table.schema}
    return pa.table(nulls).replace_schema_metadata(table.schema.metadata)


def of_values(value: float) -> Callable[[pa.Table], pa.Table]:
    """Every measured number another."""

    def change(table: pa.Table) -> pa.Table:
        columns = {
            f.name: np.full(len(table), value) if f.type == pa.float64() else table[f.name] for f in table.schema
        }
        return pa.table(columns).replace_schema_metadata(table.schema.metadata)

    return change


RISE = ("--rule", "loss.rise[step=all] < 3")
LAYERS = ("--rule", "anisotropy[layer=all, step=all] < 3")
ANEW = ("`degen scan`", "anew")

KINDS: dict[str, Hostile] = {
    # whose home is meant
    "~nouser, scanned": Hostile(lambda p: p.scan("~nouser/x"), ("~nouser/x", "no such")),
    "~nouser, scanned with a label": Hostile(lambda p: p.scan("a=~nouser/x"), ("~nouser/x", "no such")),
    "~nouser, shown": Hostile(lambda p: ("show", "~nouser/x"), ("~nouser/x", "no such")),
    "~nouser, saturation": Hostile(lambda p: ("saturation", "~nouser/x"), ("~nouser/x", "no such")),
    "~nouser, gate": Hostile(lambda p: ("gate", "~nouser/x", *RISE), ("~nouser/x", "no such")),
    "~nouser, baseline": Hostile(lambda p: ("gate", p.ready, *RISE, "--baseline", "~nouser/x"), ("~nouser/x",)),
    "~nouser, config": Hostile(lambda p: ("gate", p.ready, "--config", "~nouser/x.toml"), ("~nouser/x",)),
    "~nouser, junit": Hostile(lambda p: ("gate", p.ready, *RISE, "--junit", "~nouser/x"), ("~nouser/x",)),
    "~nouser, corpus": Hostile(lambda p: p.scan("--corpus", "~nouser/x"), ("~nouser/x", "no such")),
    "~nouser, sample": Hostile(lambda p: p.scan("--sample", "~nouser/x"), ("~nouser/x", "no such")),
    "~nouser, tokenizer": Hostile(lambda p: p.scan("--tokenizer", "~nouser/x"), ("~nouser/x", "no such")),
    "~nouser, exported": Hostile(
        lambda p: ("export", p.ready, "--table", "layers", "--to", "~nouser/x.csv"), ("~nouser/x.csv", "no such")
    ),
    "~nouser, scaling": Hostile(lambda p: ("scaling", "fit", "~nouser/x"), ("~nouser/x", "no such")),
    "~nouser, audit": Hostile(lambda p: ("audit", "~nouser/x"), ("~nouser/x", "no such")),
    # whole numbers that nobody means
    "--tokens of 400 digits": Hostile(lambda p: p.scan("--tokens", LONG), ("--tokens 9999", "…", "at most")),
    "--context of 400 digits": Hostile(lambda p: p.scan("--context", LONG), ("--context 9999", "…", "at most")),
    "--seed of 400 digits": Hostile(lambda p: p.scan("--seed", LONG), ("--seed 9999", "…", "at most")),
    "--threads of 400 digits": Hostile(lambda p: p.scan("--threads", LONG), ("--threads 9999", "…", "at most 65536")),
    "--threads of 19 digits": Hostile(lambda p: p.scan("--threads", 2**63 - 1), ("--threads", "at most 65536")),
    "--batch-size of 400 digits": Hostile(lambda p: p.scan("--batch-size", LONG), ("--batch-size", "number")),
    "--batch-size of 5,000 digits": Hostile(lambda p: p.scan("--batch-size", LONGER), ("--batch-size", "number")),
    "--tokens-per-step of 400 digits": Hostile(lambda p: p.scan("--tokens-per-step", LONG), ("--tokens-per-step 9",)),
    "--tokens-per-step of 19 digits": Hostile(
        lambda p: p.scan("--tokens-per-step", 2**63 - 1), ("--tokens-per-step", "step100", "64 bits")
    ),
    "--steps of 400 digits": Hostile(lambda p: p.scan("--steps", LONG), ("--steps 9999", "too large")),
    "--steps of 5,000 digits": Hostile(lambda p: p.scan("--steps", LONGER), ("--steps 9999", "too large")),
    "--steps, a range of 400 digits": Hostile(lambda p: p.scan("--steps", f"0:{LONG}:1"), ("--steps", "too large")),
    "--steps, log of 400 digits": Hostile(lambda p: p.scan("--steps", f"log:{LONG}"), ("--steps", "too large")),
    "--steps, log of 18 digits": Hostile(lambda p: p.scan("--steps", f"log:{10**17}"), ("--steps", "1,000,000")),
    "--steps log:200000000": Hostile(lambda p: p.scan("--steps", "log:200000000"), ("--steps", "more than 1,000,000")),
    "--steps, many ranges": Hostile(
        lambda p: p.scan("--steps", ",".join(["0:900000:1"] * 9)), ("--steps 0:900000:1", "more than 1,000,000")
    ),
    "--steps, a million against a series": Hostile(lambda p: p.spectra("--steps", "0:999999:1"), code=0),
    "--read of 5,000 digits": Hostile(lambda p: ("audit", p.series, "--read", LONGER), ("--read", "number of values")),
    "--ranks of 5,000 digits": Hostile(
        lambda p: ("rank", *p.scan("--ranks", LONGER)[1:]), ("--ranks", "whole numbers of at least 1")
    ),
    "--regions of 5,000 digits": Hostile(
        lambda p: ("scaling", "slopes", p.table(), "--regions", LONGER), ("--regions inf", "edges")
    ),
    "--floor of 5,000 digits": Hostile(lambda p: ("saturation", p.table(), "--floor", LONGER), ("--floor 9999",)),
    "--bootstrap below none": Hostile(lambda p: ("scaling", "fit", p.table(), "--bootstrap", "-9"), ("draws",)),
    # run.json
    "run.json of a tracker, shown": Hostile(
        lambda p: ("show", p.text('{"id": "7f3", "status": "finished"}')), ("run.json", "another program")
    ),
    "run.json of a tracker, scanned into": Hostile(
        lambda p: p.scan("--out", p.text('{"schema_version": 2}'), "--fresh"), ("run.json", "another program", "--out")
    ),
    "run.json nested too deep": Hostile(
        lambda p: ("show", p.text('{"asked":' * 100_000)), ("run.json", "damaged", "`degen scan --fresh`")
    ),
    "run.json of a list of models": Hostile(lambda p: ("show", p.info(models={"a": 1})), ("run.json", "'models'")),
    "run.json of numbers for models": Hostile(lambda p: ("gate", p.info(models=[1]), *RISE), ("run.json", "'models'")),
    "run.json of a text for settings": Hostile(lambda p: ("show", p.info(asked="x")), ("run.json", "another program")),
    "run.json of a text for the sample": Hostile(
        lambda p: ("gate", p.info(sample="x"), *RISE), ("run.json", "'sample'", "damaged")
    ),
    "run.json of a text for documents": Hostile(
        lambda p: ("gate", p.info(sample={"windows": {"a": {"documents": "x"}}}), *RISE), ("run.json", "'sample'")
    ),
    "run.json of a text for threads": Hostile(lambda p: ("show", p.info(threads="many")), ("run.json", "'threads'")),
    "run.json of a list of batches": Hostile(lambda p: ("show", p.info(batch_tokens=[1])), ("run.json", "damaged")),
    "run.json of a version of words": Hostile(lambda p: ("show", p.info(schema_version="2")), ("another program",)),
    # parts
    "a checkpoint without its status": Hostile(lambda p: ("show", p.part("checkpoints", without("status"))), ANEW),
    "a checkpoint without a model": Hostile(lambda p: ("gate", p.part("checkpoints", without("model")), *RISE), ANEW),
    "a checkpoint of nulls": Hostile(lambda p: ("show", p.part("checkpoints", of_nulls)), ANEW),
    "a checkpoint of nulls, gated": Hostile(lambda p: ("gate", p.part("checkpoints", of_nulls), *RISE), ANEW),
    "a checkpoint of texts": Hostile(lambda p: ("saturation", p.part("checkpoints", of_texts)), ANEW),
    "layers without a layer": Hostile(lambda p: ("gate", p.part("layers", without("layer")), *LAYERS), ANEW),
    "layers of texts": Hostile(lambda p: ("gate", p.part("layers", of_texts), *LAYERS), ANEW),
    "layers of nulls": Hostile(lambda p: ("gate", p.part("layers", of_nulls), *LAYERS), ANEW),
    "windows without domains": Hostile(
        lambda p: ("gate", p.part("windows", without("domain")), "--rule", "loss[domain=Github, step=all] < 9"), ANEW
    ),
    "windows of texts": Hostile(lambda p: ("saturation", p.part("windows", of_texts)), ANEW),
    "spectrum of other columns": Hostile(
        lambda p: ("export", p.part("spectrum", without("index")), "--table", "spectrum", "--to", "a.csv"), ANEW
    ),
    # values
    "a loss of 1e308 in a part, gated": Hostile(
        lambda p: ("gate", p.part("checkpoints", of_values(1e308)), "--rule", "loss[step=all] < 9"), code=1
    ),
    "a loss of 1e308 in a part": Hostile(lambda p: ("saturation", p.part("checkpoints", of_values(1e308))), code=0),
    "losses of 1e308 in windows": Hostile(lambda p: ("saturation", p.part("windows", of_values(1e308))), code=0),
    "losses of -1e308 in windows": Hostile(lambda p: ("gate", p.part("windows", of_values(-1e308)), *RISE), code=0),
    "infinite losses in windows": Hostile(lambda p: ("gate", p.part("windows", of_values(np.inf)), *RISE), code=0),
    "a loss of 1e308 in a table": Hostile(lambda p: ("saturation", p.table("1e308")), code=0),
    "a loss of −1e308 in a table": Hostile(lambda p: ("saturation", p.table("-1e308")), code=0),
    "a loss of 1e308 in a table, gated": Hostile(lambda p: ("gate", p.table("1e308"), *RISE), ("rise",), code=1),
    "a loss of 1e-308 in a table": Hostile(lambda p: ("saturation", p.table("1e-308")), code=0),
    "a loss of 1e308 in a table, compared": Hostile(lambda p: ("scaling", "pareto", p.table("1e308")), code=0),
    "a step of 400 digits in a table": Hostile(lambda p: ("saturation", p.table(step=LONG)), ("step",)),
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, series: Path, corpus: Path, run: degen_package.Run, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    made = Place(tmp_path, series, corpus)
    made.measured_run = run.path
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_input_ends_as_it_must(kind: str, place: Place) -> None:
    hostile = KINDS[kind]
    args = hostile.make(place)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*torch.jit.*", DeprecationWarning)
        result = degen(*args)
    assert result.code == hostile.code, result.err
    result.assert_no_fault()
    result.assert_options_exist()
    text = result.message if hostile.code == 2 else result.out + result.err
    missing = [word for word in hostile.words if word not in text]
    assert not missing, text
    assert len(text) < 1100 or hostile.code != 2


def test_a_name_of_too_many_digits_is_no_step_and_the_others_are_measured(place: Place) -> None:
    series = place.series
    (series / "step1000").rename(series / f"step{'9' * 200}")
    shutil.copytree(series / "step0", series / f"step7-tokens{'9' * 200}T")
    assert degen(*place.spectra()).code == 0
    rows = {row["revision"]: row for row in read_run(place.run).checkpoints()}
    assert [row["step"] for row in rows.values()] == [0, 100, None, None]
    assert rows[f"step{'9' * 200}"]["status"] == "ok"
    for command in ("show", "saturation"):
        result = degen(command, place.run, *(("--metric", "singular_entropy") if command == "saturation" else ()))
        assert result.code == 0


@pytest.mark.parametrize("unreadable", ["folder", "config.json", "model.safetensors"])
def test_what_may_not_be_read_ends_one_checkpoint_and_not_the_scan(unreadable: str, place: Place) -> None:
    series = place.series
    path = series / "step100" if unreadable == "folder" else series / "step100" / unreadable
    path.chmod(0)
    try:
        with without_privileges():
            result = degen("scan", series, "--corpus", place.corpus, *SMALL, "--out", place.run)
            dry = degen("scan", series, "--dry-run")
            audit = degen("audit", series, "--json")
    finally:
        path.chmod(0o755)
    for ended, code in ((result, 4), (dry, 4), (audit, 1)):
        assert ended.code == code, ended.err
        ended.assert_no_fault()
    rows = read_run(place.run).checkpoints()
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert "Permission denied" in rows[1]["reason"]
    assert [row["verdict"] for row in audit.json()["rows"]].count("unreadable") == 1
    assert degen("scan", series, "--corpus", place.corpus, *SMALL, "--out", place.run).code == 0


def test_a_folder_that_may_not_be_read_is_named(place: Place) -> None:
    series = place.series
    series.chmod(0)
    try:
        with without_privileges():
            for command in (("scan",), ("audit",), ("saturation",), ("gate", *RISE), ("scaling", "fit"), ("show",)):
                result = degen(*command, series)
                assert result.code == 2
                assert f"{series}: cannot be read" in result.message or "Permission denied" in result.message
    finally:
        series.chmod(0o755)


def test_the_table_is_as_long_as_it_is_said_to_be() -> None:
    assert len(KINDS) >= 60
    assert replace(KINDS["~nouser, shown"]).code == 2
