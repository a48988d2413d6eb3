"""Manifests: a row a checkpoint, in a folder or in a repository of its own; and folders of one revision on the hub."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faults.command import degen as command
from hub_scans import WEIGHTS, Scans, marked, packed, revisions

import degen
from degen import DegenError
from degen.checkpoints.find_series import find_series
from degen.checkpoints.hub_source import HubSource
from degen.checkpoints.local import LocalSource
from degen.checkpoints.manifest import is_manifest

VALUES = ("loss", "anisotropy", "singular_entropy", "head_sha256", "parameters", "tokens_scored", "status")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def folders(path: Path, *names: str) -> None:
    for name in names:
        (path / name).mkdir(parents=True)
        (path / name / "config.json").write_text("{}")


def points(manifest: Path) -> list[tuple[str, list[tuple[str, int | None, int | None, str | None]]]]:
    return [
        (s.model, [(c.revision, c.step, c.tokens_seen, c.stage) for c in s.checkpoints])
        for s in find_series([str(manifest)])
    ]


def test_a_manifest_of_folders_has_what_its_columns_say_and_else_what_the_names_say(tmp_path: Path) -> None:
    folders(tmp_path, "a/final", "a/early", "b/step7")
    rows = "path,model,step,tokens_seen,stage\na/final,one,200,,late\nb/step7,two,,3000,\na/early,one,100,50.0,\n"
    expected = [("one", [("early", 100, 50, None), ("final", 200, None, "late")]), ("two", [("step7", 7, 3000, None)])]
    assert points(write(tmp_path / "m.csv", "\ufeff" + rows)) == expected
    table = {"path": ["a/final", "b/step7", "a/early"], "model": ["one", "two", "one"], "step": [200.0, None, 100.0],
             "tokens_seen": [None, 3000, 50], "stage": ["late", None, None]}  # fmt: skip
    pq.write_table(pa.table(table), tmp_path / "m.parquet")
    assert points(tmp_path / "m.parquet") == expected
    toml = "".join(
        f"[[checkpoint]]\n{line}\n"
        for line in (
            'path = "a/final"\nmodel = "one"\nstep = 200\nstage = "late"',
            'path = "b/step7"\nmodel = "two"\ntokens_seen = 3000',
            'path = "a/early"\nmodel = "one"\nstep = 100\ntokens_seen = 50',
        )
    )
    assert points(write(tmp_path / "m.toml", toml)) == expected
    (series, _) = find_series([str(tmp_path / "m.csv")])
    assert series.checkpoints[0].source == LocalSource(tmp_path / "a" / "early")


def test_steps_that_begin_anew_without_a_stage_are_ordered_by_tokens(tmp_path: Path) -> None:
    folders(tmp_path, *"abcd")
    text = "path,step,tokens_seen\nc,100,30\na,100,10\nd,200,40\nb,200,20\n"
    ((model, found),) = points(write(tmp_path / "run.csv", text))
    assert (model, [(name, tokens) for name, _, tokens, _ in found]) == (
        "run", [("a", 10), ("b", 20), ("c", 30), ("d", 40)],
    )  # fmt: skip


def test_a_repository_a_checkpoint_is_named_by_what_tells_it_apart(scans: Scans, tmp_path: Path) -> None:
    names = [
        f"TinyLlama-1.1B-intermediate-step-{step}-{tokens}" for step, tokens in (("955k", "token-2T"), ("50k", "105b"))
    ]
    for name in names:
        scans.add(f"org/{name}", {"main": marked(name), "v2": marked(f"{name} v2")})
    text = "repo,model\n" + "".join(f"org/{name},TinyLlama\n" for name in names)
    assert points(write(tmp_path / "m.csv", text)) == [
        ("TinyLlama", [(names[1], 50_000, 105 * 10**9, None), (names[0], 955_000, 2 * 10**12, None)])
    ]
    text = f"repo,revision,step\norg/{names[0]},main,1\norg/{names[0]},v2,2\n"
    (series,) = find_series([str(write(tmp_path / "m.csv", text))])
    assert [(c.revision, c.step) for c in series.checkpoints] == [("main", 1), ("v2", 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,step\nnowhere,1\n", r"row 1: .*nowhere: no such folder"),
        ("path,repo\na,org/m\n", r"row 1: has both path and repo"),
        ("path,step\na,1\n,2\n", r"row 2: has neither path nor repo"),
        ("path,step\na,-3\n", r"row 1: step is '-3'; it must be a whole number"),
        ("path,step\na,1\nb,1\n", r"row 2: is the same point of the training of m as .*row 1"),
        ("path,step\na,1\na,2\n", r"row 2: names the same files as .*row 1"),
        ("path,step\n", r"the manifest has no rows"),
        ("repo\norg/nothing\n", r"org/nothing: no such repository"),
        ("repo\nnothing\n", r"nothing: not the name of a repository"),
        ("repo,revision\norg/m,nothing\n", r"org/m has no revision 'nothing'"),
    ],
)
def test_a_row_that_is_wrong_is_named(scans: Scans, tmp_path: Path, text: str, message: str) -> None:
    scans.add("org/m", {"main": marked(1)})
    folders(tmp_path, "a", "b")
    with pytest.raises(DegenError, match=message):
        find_series([str(write(tmp_path / "m.csv", text))])


def test_a_table_without_path_and_repo_is_no_manifest(tmp_path: Path) -> None:
    for name, text in (("t.csv", "step,loss\n1,2\n"), ("t.toml", "tokens = 3\n"), ("t.parquet", "no parquet")):
        assert not is_manifest(write(tmp_path / name, text))
    assert not is_manifest(tmp_path)


def test_a_manifest_of_four_repositories_equals_the_scans_of_each_alone(
    scans: Scans, series: Path, corpus: Path, tmp_path: Path
) -> None:
    branches = revisions(series)
    contents = [
        branches["step0"],
        branches["step100"],
        branches["step1000"],
        branches["step100"] | {"README.md": b"again"},
    ]
    for i, files in enumerate(contents):
        scans.add(f"org/part-{i}", {"main": files})
    text = "repo,step\n" + "".join(f"org/part-{i},{i}\n" for i in range(4))
    manifest = write(tmp_path / "whole.csv", text)
    rows = scans.scan(manifest, corpus=corpus, probes=["loss", "anisotropy", "spectrum"]).checkpoints()
    assert [(r["model"], r["revision"], r["step"]) for r in rows] == [("whole", f"part-{i}", i) for i in range(4)]
    for i, row in enumerate(rows):
        run = scans.scan(f"org/part-{i}", out=f"alone-{i}", corpus=corpus, probes=["loss", "anisotropy", "spectrum"])
        (alone,) = run.checkpoints()
        same = VALUES[:-1] if i == 3 else VALUES  # a copy of part-1, whose values it has
        assert {name: row[name] for name in same} == {name: alone[name] for name in same}
    assert (rows[3]["status"], rows[3]["duplicate_of"]) == ("duplicate", "part-1")

    # an audit of the manifest is that of one repository with the same four as branches
    scans.add("org/one", {f"step{i}": files for i, files in enumerate(contents)})
    audits = [command("audit", target, "--json").json()["rows"] for target in (manifest, "org/one@step*")]
    assert [r["verdict"] for r in audits[0]] == [r["verdict"] for r in audits[1]]
    assert "ok" in {r["verdict"] for r in audits[0]} != {"ok"}
    gate = command(
        "gate", manifest, "--rule", "effective_rank > 0", "--probes", "spectrum", "--json", "-o", tmp_path / "g"
    )
    assert gate.code == 0
    assert gate.json()["rows"][0]["step"] == 3


def test_folders_of_one_revision_are_a_series(scans: Scans, series: Path, corpus: Path, tmp_path: Path) -> None:
    files = {
        f"checkpoint-{step}/{name}": content
        for step in (0, 100, 1000)
        for name, content in packed(series / f"step{step}").items()
    }
    beside = {f.name: f.read_bytes() for f in series.iterdir() if f.is_file()}
    scans.add("org/trainer", {"main": files | beside | {"logs/config.txt": b""}})
    found = scans.find("org/trainer@main:checkpoint-*")
    assert [(c.revision, c.step) for c in found.checkpoints] == [(f"checkpoint-{n}", n) for n in (0, 100, 1000)]
    first = found.checkpoints[0].source
    assert isinstance(first, HubSource)
    assert str(first) == "org/trainer@main:checkpoint-0"

    run = scans.scan("org/trainer@main:checkpoint-*", corpus=corpus)
    local = degen.scan(series, corpus=corpus, out=tmp_path / "local", tokens=128, context=32, threads=1)
    for row, same in zip(run.checkpoints(), local.checkpoints(), strict=True):
        assert {name: row[name] for name in VALUES} == {name: same[name] for name in VALUES}

    scans.hub.requests.clear()
    shutil.rmtree(scans.cache)
    scans.heads("org/trainer@main:checkpoint-*", out="heads")
    served = sum(r.served for r in scans.hub.requests if r.path.partition("?")[0].endswith(WEIGHTS))
    weights = sum(len(content) for name, content in files.items() if name.endswith(WEIGHTS))
    assert 0 < served < 0.7 * weights  # the heads and headers alone, and not the blocks
    result = command("audit", "org/trainer@main:checkpoint-*", "--json")
    assert [row["revision"] for row in result.json()["rows"]][:3] == [
        "checkpoint-0",
        "checkpoint-100",
        "checkpoint-1000",
    ]

    with pytest.raises(DegenError, match=r"has no folder with a model in it that matches step-\*"):
        scans.find("org/trainer@main:step-*")
    manifest = write(tmp_path / "m.csv", "repo,subfolder\norg/trainer,checkpoint-100\norg/trainer,checkpoint-0/\n")
    assert [(c.revision, c.step) for c in find_series([str(manifest)])[0].checkpoints] == [
        ("checkpoint-0", 0), ("checkpoint-100", 100),
    ]  # fmt: skip
