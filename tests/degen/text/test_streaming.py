"""A corpus of the hub, streamed by the real client from a server on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from faults.command import degen as command
from faults.command import degen_process
from hub import Hub, Repo, hub
from hub_scans import scanned_hub
from named_repositories import datasets_sent_to
from tiny import pile

from degen.errors import DegenError
from degen.text.named_corpora import NamedCorpus, named_corpora
from degen.text.open_corpus import open_corpus


def shards() -> dict[str, bytes]:
    documents = pile(30)
    return {
        f"train-{i:05d}-of-00003.jsonl": "".join(json.dumps(d) + "\n" for d in documents[i::3]).encode()
        for i in range(3)
    }


def lines(documents: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(d) + "\n" for d in documents).encode()


def parquet_shards(field: str = "text") -> dict[str, bytes]:
    documents = pile(30)
    files = {}
    for i in range(3):
        sink = pa.BufferOutputStream()
        rows = [{field: d["text"], "meta": d["meta"]} for d in documents[i::3]]
        pq.write_table(pa.Table.from_pylist(rows), sink)
        files[f"data/train-{i:05d}-of-00003.parquet"] = sink.getvalue().to_pybytes()
    return files


def words(series: Path, corpus: str, out: Path, *options: str) -> tuple[object, ...]:
    return ("scan", series, "--corpus", corpus, "--tokens", "600", "--context", "64", "-o", out, *options)


@contextmanager
def datasets_hub(repos: dict[str, Repo], folder: Path) -> Iterator[Hub]:
    """Yield a hub that this process, and the package `datasets` in it, is sent to."""
    with scanned_hub(folder) as scans, datasets_sent_to(scans, folder):
        scans.hub.repos |= repos
        yield scans.hub


def test_a_dataset_is_streamed_in_an_order_the_seed_fixes(series: Path, tmp_path: Path) -> None:
    samples = []
    with datasets_hub({"org/pile": Repo({"main": shards()}, kind="dataset")}, tmp_path) as server:
        for out in (tmp_path / "one", tmp_path / "two"):
            done = command(*words(series, "hf://org/pile:train", out))
            assert done.code == 0, done.err
            samples.append(pq.read_table(out / "sample.parquet").to_pylist())
        assert {request.path.rsplit("/", 1)[-1] for request in server.requests_for("/resolve/")} >= set(shards())
    assert samples[0] == samples[1]
    assert sum(len(w["tokens"]) for w in samples[0]) == 600
    assert len({w["document"] for w in samples[0]}) == len(samples[0])  # without replacement
    assert {w["domain"] for w in samples[0]} <= {d["meta"]["pile_set_name"] for d in pile(30)}
    sample = json.loads((tmp_path / "one" / "run.json").read_text())["sample"]
    assert (sample["dataset"], sample["split"], sample["shuffle_buffer"]) == ("org/pile", "train", 10_000)


def test_a_missing_dataset_gives_one_message(series: Path, tmp_path: Path) -> None:
    with datasets_hub({}, tmp_path):
        done = command(*words(series, "hf://org/nothing", tmp_path / "run"))
    assert done.code == 2
    (line,) = done.err.strip().splitlines()
    assert line.startswith("error: hf://org/nothing: the dataset cannot be streamed")


def test_parquet_shards_give_the_same_windows_for_a_seed_and_others_for_another(series: Path, tmp_path: Path) -> None:
    samples = {}
    repo = Repo({"main": parquet_shards()}, kind="dataset")
    with datasets_hub({"org/parquet": repo}, tmp_path):
        for name, seed in (("one", "0"), ("two", "0"), ("other", "1")):
            done = command(*words(series, "hf://org/parquet", tmp_path / name, "--seed", seed))
            assert done.code == 0, done.err
            samples[name] = pq.read_table(tmp_path / name / "sample.parquet").to_pylist()
    assert samples["one"] == samples["two"]
    assert [w["tokens"] for w in samples["one"]] != [w["tokens"] for w in samples["other"]]
    sample = json.loads((tmp_path / "other" / "run.json").read_text())["sample"]
    commit = repo.find("main")
    assert commit is not None
    assert (sample["revision"], sample["seed"]) == (commit.commit, 1)


def test_a_named_corpus_is_streamed_and_said_in_one_line(series: Path, tmp_path: Path) -> None:
    known = named_corpora()["pile"]
    files = {known.file: zstandard.compress(lines(pile(30)))}
    files |= {name: zstandard.compress(lines(pile(3))) for name in ("train/00.jsonl.zst", "test.jsonl.zst")}
    with hub({known.dataset: Repo({"main": files}, kind="dataset")}) as server:
        environment = {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
        done = degen_process(*words(series, "pile", tmp_path / "run"), **environment)
        assert done.code == 0, done.err
        assert not server.requests_for("train/00")  # its validation split alone
    (line,) = [line for line in done.err.splitlines() if known.dataset in line]
    assert "licence other" in line
    sample = json.loads((tmp_path / "run" / "run.json").read_text())["sample"]
    assert (sample["corpus"], sample["dataset"], sample["split"]) == ("pile", known.dataset, "validation")
    assert sample["licence"] == "other"


def test_a_configuration_of_a_named_corpus_is_the_one_that_is_streamed(series: Path, tmp_path: Path) -> None:
    known = named_corpora()["wikitext"]
    card = (
        f"---\nconfigs:\n- config_name: {known.config}\n  data_files:\n  - split: validation\n    path: {known.file}\n"
    )
    files = {"README.md": f"{card}---\n".encode(), known.file: parquet_shards()["data/train-00000-of-00003.parquet"]}
    with datasets_hub({known.dataset: Repo({"main": files}, kind="dataset")}, tmp_path):
        done = command(*words(series, "wikitext", tmp_path / "run"))
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["sample"]["config"] == known.config


def test_without_network_the_file_to_fetch_is_named(series: Path, tmp_path: Path) -> None:
    result = command("scan", series, "--corpus", "pile", "-o", tmp_path / "run")  # conftest.py sets HF_HUB_OFFLINE
    assert result.code == 2
    assert "hf download monology/pile-uncopyrighted val.jsonl.zst --repo-type dataset" in result.message
    assert "renamed to c4-validation.00000-of-00008.jsonl.gz," in named_corpora()["c4"].download_hint


def test_an_existing_path_wins_over_a_named_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pile").mkdir()
    (tmp_path / "pile" / "a.txt").write_text("of one's own")
    (document,) = open_corpus("pile").draw(0, 1)
    assert document.text == "of one's own"
    with pytest.raises(DegenError, match="did you mean the corpus 'wikitext'"):
        open_corpus("wikitxt")


@pytest.mark.parametrize("corpus", named_corpora().values(), ids=list(named_corpora()))
def test_every_named_corpus_says_where_it_lies(corpus: NamedCorpus) -> None:
    assert corpus.dataset.count("/") == 1
    assert corpus.licence
    assert corpus.file.endswith((".jsonl.zst", ".parquet", ".json.gz"))
    assert 10 < len(corpus.about) < 120
    assert open_corpus(f"{corpus.name}:other").provenance["split"] == "other"
