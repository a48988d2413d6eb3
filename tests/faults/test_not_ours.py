"""A user's own files: no command, with no option, changes or deletes one that degen did not write."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faults.command import SMALL, degen, full_disk
from tiny import make_corpus

import degen as degen_package

Snapshot = dict[str, bytes | str]
ENDINGS = (".csv", ".json", ".parquet", ".duckdb")


def snapshot(folder: Path) -> Snapshot:
    """Every file, link and folder below a folder, byte for byte."""
    return {
        str(p.relative_to(folder)): os.readlink(p) if p.is_symlink() else p.read_bytes() if p.is_file() else "folder"
        for p in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory, series: Path) -> Path:
    """What a training left: a tracker's run.json, weights under `checkpoints`, tables under `layers`, and more."""
    folder = tmp_path_factory.mktemp("training") / "mine"
    shutil.copytree(series, folder / "checkpoints")
    pq.write_table(pa.table({"text": ["my own words"]}), folder / "sample.parquet")
    for table in ("layers", "windows", "checkpoints", "saturation"):
        (folder / table / "tiny").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"model": ["tiny"], "value": [1.0]}), folder / table / "tiny" / "step0.parquet")
    (folder / "layers" / "head.bin").write_bytes(b"\0" * 999)
    (folder / "run.json").write_text(json.dumps({"id": "7f3", "status": "finished", "config": {"lr": 1e-3}}))
    for name in (".downloads/keep", ".training/keep", ".lock", "notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    (folder / ".downloads" / "shared-whole").symlink_to(folder / "checkpoints")
    return folder


def commands() -> list[tuple[str, ...]]:
    """Every command with each of its options."""
    from degen.cli.main import app
    from typer.main import get_command

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                yield from walk(inner, (*path, name))
            return
        yield path
        for parameter in command.params:
            for flag in parameter.opts:
                if flag.startswith("--") and flag != "--help":
                    yield (*path, flag) if parameter.is_flag else (*path, flag, VALUES.get(flag, "1"))

    return list(walk(get_command(app), ()))


VALUES = {
    "--out": "MINE", "--to": "MINE/run.json", "--junit": "MINE/run.json", "--plot": "MINE/layers/head.png",
    "--table": "checkpoints", "--rule": "loss < 3", "--corpus": "MINE/sample.parquet",
    "--sample": "MINE/sample.parquet", "--tokenizer": "MINE/checkpoints", "--baseline": "MINE",
    "--config": "MINE/run.json", "--steps": "0", "--keep": "all", "--probes": "spectrum", "--device": "cpu",
    "--dtype": "float32", "--tokens": "128", "--context": "32",
    "--revision-pattern": r"(?P<step>\d+)", "--metric": "loss", "--method": "svd", "--law": "hoffmann",
}  # fmt: skip
TARGETS = ("MINE", "MINE/checkpoints", "MINE/checkpoints/step0", "MINE/layers", "MINE/sample.parquet")


@pytest.mark.parametrize("target", TARGETS)
def test_every_command_with_every_option_leaves_a_folder_of_others_as_it_was(
    target: str, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = snapshot(mine)
    ran = 0
    for command in commands():
        words = [*command, *([] if command[0] in ("probes", "suites", "corpora") else [target])]
        if command[0] == "export":
            words += ["--table", "checkpoints", "--to", "MINE/sample.parquet"]
        if command[0] == "gate":
            words += ["--rule", "loss < 9", "--junit", "MINE/layers/tiny/step0.parquet"]
        if command[0] in ("scan", "rank", "gate") and "--dry-run" not in command:
            words += [*SMALL, "--out", "MINE", "--fresh"]
        result = degen(*(word.replace("MINE", str(mine)) for word in words))
        result.assert_no_fault()
        if command[:2] == ("scaling", "cost") and (mine / "layers" / "head.png").exists():
            (mine / "layers" / "head.png").unlink()  # a new figure, which the user wants there
        assert snapshot(mine) == before, words
        ran += 1
    assert ran >= 140


MIXED = {
    "weights in checkpoints": "checkpoints/model.safetensors",
    "weights where parts are": "checkpoints/tiny/model.safetensors",
    "a table of one's own in layers": "layers/mine.parquet",
    "a table of one's own where parts are": "layers/tiny/mine.parquet",
    "a table of one's own in a table of probes": "spectrum/tiny/mine.parquet",
    "notes among verdicts": "saturation/notes.txt",
    "the sample replaced": "sample.parquet",
    "a part replaced": "checkpoints/tiny/step0.parquet",
    "run.json replaced": "run.json",
}


@pytest.mark.parametrize("kind", MIXED)
def test_fresh_refuses_a_run_with_files_of_others_among_its_own(
    kind: str, run_copy: Path, series: Path, corpus: Path
) -> None:
    file = run_copy / MIXED[kind]
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        pq.write_table(pa.table({"mine": [1]}), file)
    else:
        file.write_text('{"mine": 1}')
    before = snapshot(run_copy)
    for more in (("--fresh",), ("--fresh", "--seed", "7"), ()):
        result = degen("scan", series, "--corpus", corpus, *SMALL, "--out", run_copy, *more)
        assert result.code == 2 or (not more and kind not in ("a part replaced", "run.json replaced"))
        if more:
            assert str(file) in result.message or "run.json" in result.message
            assert "--out" in result.message
            assert snapshot(run_copy) == before


def test_fresh_keeps_what_lies_beside_the_tables(run_copy: Path, series: Path, corpus: Path) -> None:
    kept = ("notes.txt", "data/mine.parquet", "data/model.safetensors", ".git/config", "checkpoints/.DS_Store")
    for name in kept:
        (run_copy / name).parent.mkdir(exist_ok=True)
        (run_copy / name).write_text("mine")
    (run_copy / ".downloads" / "mine").mkdir(parents=True)
    args = ("scan", series, "--corpus", corpus, *SMALL, "--probes", "spectrum", "--out", run_copy, "--fresh")
    assert degen(*args).code == 0
    for name in kept:
        assert (run_copy / name).read_text() == "mine"
    assert (run_copy / ".downloads" / "mine").is_dir()
    assert not (run_copy / "layers").exists()
    assert degen("show", run_copy).code == 0


def test_a_new_run_takes_over_no_sample_and_no_downloads_of_others(tmp_path: Path, series: Path, corpus: Path) -> None:
    for name in ("sample.parquet", ".downloads/mine", ".lock", ".0123456789abcdef.partial/mine"):
        folder = tmp_path / name.replace("/", "-").replace(".", "")
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("mine")
        before = snapshot(folder)
        result = degen("scan", series, "--corpus", corpus, *SMALL, "--out", folder)
        assert result.code == 2
        assert "holds files" in result.message
        assert snapshot(folder) == before


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table that is read."""
    sizes = [(i, 10.0 ** (6 + i % 5), 10.0 ** (9 + i // 5)) for i in range(20)]
    rows = [f"m{i % 5},{i // 5},{1.7 + 406 * N**-0.34 + 410 * D**-0.28},{N},{D}" for i, N, D in sizes]
    file = tmp_path / "table.csv"
    file.write_text("model,step,loss,params,tokens\n" + "\n".join(rows) + "\n")
    return file


WRITERS: dict[str, tuple[str, ...]] = {
    "export over run.json": ("export", "RUN", "--table", "layers", "--to", "RUN/run.json"),
    "export over another run.json": ("export", "RUN", "--table", "layers", "--to", "HERE/run.json"),
    "export over the sample": ("export", "RUN", "--table", "layers", "--to", "RUN/sample.parquet"),
    "export into a table": ("export", "RUN", "--table", "layers", "--to", "RUN/layers/all.csv"),
    "export over a part": ("export", "RUN", "--table", "layers", "--to", "RUN/layers/tiny/step0.parquet"),
    "export into a table to be": ("export", "RUN", "--table", "layers", "--to", "RUN/saturation/all.parquet"),
    "export into a run by a link": ("export", "RUN", "--table", "layers", "--to", "HERE/link.parquet"),
    "export over a folder": ("export", "RUN", "--table", "layers", "--to", "HERE/folder.csv"),
    "saturation over its table": ("saturation", "TABLE", "--to", "TABLE"),
    "saturation over its table by a hard link": ("saturation", "TABLE", "--to", "HERE/same.csv"),
    "saturation into its run": ("saturation", "RUN", "--to", "RUN/checkpoints/verdicts.csv"),
    "saturation into its folder of parts": ("saturation", "RUN/checkpoints", "--to", "RUN/checkpoints/v.parquet"),
    "scaling fit over its table": ("scaling", "fit", "TABLE", "--out", "TABLE"),
    "scaling fit drawn into a run": ("scaling", "fit", "TABLE", "--plot", "RUN/layers/fit.png"),
    "slopes over its table": ("scaling", "slopes", "TABLE", "--out", "TABLE"),
    "pareto over its table": ("scaling", "pareto", "TABLE", "--out", "TABLE"),
    "rank drawn into a run": ("rank", "SERIES", "--plot", "RUN/layers/ranks.png", "--out", "HERE/new"),
    "junit over its table": ("gate", "TABLE", "--rule", "loss < 3", "--junit", "TABLE"),
    "junit over its run": ("gate", "RUN", "--rule", "loss < 3", "--junit", "RUN/run.json"),
    "junit over a part": ("gate", "RUN", "--rule", "loss < 3", "--junit", "RUN/checkpoints/tiny/step0.parquet"),
    "junit over the baseline": ("gate", "RUN", "--rule", "loss.rise < 3", "--baseline", "TABLE", "--junit", "TABLE"),
    "junit over the rules": ("gate", "RUN", "--config", "HERE/degen.toml", "--junit", "HERE/degen.toml"),
    "junit over the corpus": ("gate", "SERIES", "--rule", "loss < 3", "--corpus", "CORPUS", "--junit", "CORPUS"),
    "junit over weights": ("gate", "SERIES", "--rule", "loss < 3", "--junit", "SERIES/step0/model.safetensors"),
    "junit over a device": ("gate", "TABLE", "--rule", "loss < 3", "--junit", "/dev/null"),
    "junit into a pipe": ("gate", "TABLE", "--rule", "loss < 3", "--junit", "HERE/pipe"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
def test_no_writer_replaces_what_is_read_or_kept(
    kind: str, run_copy: Path, series: Path, table: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(series, tmp_path / "tiny"))
    text = make_corpus(tmp_path / "corpus.jsonl")
    (tmp_path / "run.json").write_text('{"mine": 1}')
    (tmp_path / "degen.toml").write_text('[gate]\nrules = ["loss < 3"]\n')
    (tmp_path / "link.parquet").symlink_to(run_copy / "sample.parquet")
    (tmp_path / "folder.csv").mkdir()
    os.link(table, tmp_path / "same.csv")
    os.mkfifo(tmp_path / "pipe")
    places = {"RUN": run_copy, "TABLE": table, "HERE": tmp_path, "SERIES": own, "CORPUS": text}
    words = list(WRITERS[kind])
    for name, path in places.items():
        words = [word.replace(name, str(path)) for word in words]
    before = snapshot(tmp_path)
    result = degen(*words)
    assert result.code == 2
    assert "name a" in result.message
    assert result.out == ""
    assert snapshot(tmp_path) == before
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize("ending", [*ENDINGS, ".xml", ".png"])
@pytest.mark.parametrize("there", [False, True])
def test_a_file_is_whole_or_not_there_on_a_full_disk(
    ending: str, there: bool, run_copy: Path, table: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    to = folder / f"file{ending}"
    args: dict[str, tuple[object, ...]] = {
        ".xml": ("gate", run_copy, "--rule", "anisotropy[layer=all, step=all] < 3", "--junit", to),
        ".png": ("scaling", "fit", table, "--plot", to, "--bootstrap", 0),
    }
    command = args.get(ending, ("export", run_copy, "--table", "windows", "--to", to))
    if there:
        assert degen(*command).code == 0
    before = snapshot(folder)
    with full_disk(1000):
        result = degen(*command)
    assert result.code == 2
    assert str(to) in result.message
    assert snapshot(folder) == before


def test_a_temporary_file_has_a_name_that_nobody_can_plant_a_link_at(tmp_path: Path) -> None:
    from degen.paths import atomic

    target = tmp_path / "result.csv"
    names = set()
    for _ in range(3):
        with atomic(target) as temporary:
            assert temporary.is_file()
            assert not temporary.is_symlink()
            names.add(temporary.name)
            temporary.write_text("whole")
    assert len(names) == 3
    assert target.read_text() == "whole"
    assert os.listdir(tmp_path) == ["result.csv"]


def test_a_link_to_a_file_stays_a_link(tmp_path: Path, run: degen_package.Run) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "latest.csv").symlink_to(tmp_path / "kept" / "one.csv")
    assert degen("export", run.path, "--table", "checkpoints", "--to", tmp_path / "latest.csv").code == 0
    assert (tmp_path / "latest.csv").is_symlink()
    assert (tmp_path / "kept" / "one.csv").read_text().startswith('"model"')


def test_duckdb_keeps_the_other_tables_of_a_file(tmp_path: Path, run: degen_package.Run) -> None:
    import duckdb

    file = tmp_path / "all.duckdb"
    for name in ("checkpoints", "layers", "checkpoints"):
        assert degen("export", run.path, "--table", name, "--to", file).code == 0
    with duckdb.connect(str(file), read_only=True) as connection:
        assert {row[0] for row in connection.execute("SHOW TABLES").fetchall()} == {"checkpoints", "layers"}


def test_a_table_for_a_spreadsheet_holds_no_formula(run_copy: Path, tmp_path: Path) -> None:
    from run_parts import change

    for revision, name in (("step0", "=cmd|' /C calc'!A0"), ("step100", "@SUM(A1)"), ("step1000", "-1+2")):
        change(run_copy, "checkpoints", revision, architecture=name, reason="plain")
    assert degen("export", run_copy, "--table", "checkpoints", "--to", tmp_path / "a.csv").code == 0
    text = (tmp_path / "a.csv").read_text()
    for name in ("=cmd|' /C calc'!A0", "@SUM(A1)", "-1+2"):
        assert f'"\'{name}"' in text
    assert '"plain"' in text
    assert degen("export", run_copy, "--table", "checkpoints", "--to", tmp_path / "a.parquet").code == 0
    assert pq.read_table(tmp_path / "a.parquet")["architecture"].to_pylist()[1] == "@SUM(A1)"


def test_fresh_refuses_files_of_others_in_a_table_that_is_new(run_copy: Path, series: Path, corpus: Path) -> None:
    (run_copy / "ranks").mkdir()
    (run_copy / "ranks" / "mine.bin").write_text("mine")
    before = snapshot(run_copy)
    result = degen("rank", series, "--corpus", corpus, *SMALL, "--ranks", 4, "--out", run_copy, "--fresh")
    assert result.code == 2
    assert str(run_copy / "ranks" / "mine.bin") in result.message
    assert snapshot(run_copy) == before
