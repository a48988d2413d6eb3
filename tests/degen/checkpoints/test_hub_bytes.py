"""What goes over the line and what stays on disk: heads alone, nothing twice, two checkpoints at most, no traces."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub import Fault
from hub_scans import Scans, file_states, revisions, sharded
from huggingface_hub import hf_hub_download
from tiny import make_series
from waiting import finish_fetching

import degen
from degen.checkpoints.downloads import Downloads

VOCABULARY, WIDTH = 16_384, 64
HEAD = VOCABULARY * WIDTH * 4
SHARES = 1.02, 300_000  # of the bytes of a head, and bytes more, that a new checkpoint may cost


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a series whose heads have 4 MB of 13: one whole, two in shards."""
    series = make_series(
        tmp_path_factory.mktemp("large") / "large", steps=(1, 2, 3), vocab_size=VOCABULARY, hidden_size=WIDTH,
        intermediate_size=8192,
    )  # fmt: skip
    for name in ("step2", "step3"):
        sharded(series / name)
    return series


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many downloads lay on disk each time one more began."""
    counts: list[int] = []
    make_folder = Downloads.folder

    def folder(self: Downloads, key: str) -> Path:
        path = make_folder(self, key)
        counts.append(sum(1 for _ in self.path.iterdir()))
        return path

    monkeypatch.setattr(Downloads, "folder", folder)
    return counts


@pytest.mark.parametrize("tied", [False, True])
def test_a_scan_of_heads_costs_heads(scans: Scans, large: Path, tmp_path: Path, counts: list[int], tied: bool) -> None:
    if tied:
        large = make_series(
            tmp_path / "tied", steps=(1, 2), vocab_size=VOCABULARY, hidden_size=WIDTH, tie_word_embeddings=True
        )
        sharded(large / "step2")
    branches = revisions(large)
    scans.add("org/large", branches | {"step4": branches["step2"]})
    run = scans.heads("org/large@step*")
    assert [row["status"] for row in run.checkpoints()] == ["ok"] * len(branches) + ["duplicate"]
    assert scans.hub.served() <= len(branches) * (SHARES[0] * HEAD + SHARES[1])
    assert scans.hub.served() >= len(branches) * HEAD
    assert 1 <= max(counts) <= 2  # whether the next download begins before this one is deleted is a race
    assert not scans.weights(scans.cache, scans.folder / "run")
    before = scans.hub.served()
    repo = scans.hub.repos["org/large"]
    repo.push("step5", branches["step1"] | {"README.md": b"copied"})
    assert scans.heads("org/large@step*", out="more").checkpoints()[-1]["status"] == "duplicate"
    one_more = scans.hub.served() - before
    assert one_more <= len(branches) * (SHARES[0] * HEAD + SHARES[1])


def test_a_head_of_an_unknown_name_costs_the_headers_and_itself(scans: Scans, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    series = make_series(tmp_path / "odd", steps=(1,), vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=8192)
    file = series / "step1" / "model.safetensors"
    tensors = load_file(file)
    tensors["projection"] = tensors.pop("embed_out.weight")
    save_file(tensors, file, metadata={"format": "pt"})
    scans.add("org/odd", revisions(series))
    (row,) = scans.heads("org/odd@step1").checkpoints()
    assert row["status"] == "ok", row["reason"]
    assert scans.hub.served() <= SHARES[0] * HEAD + SHARES[1]


def test_a_copy_costs_no_tensor_and_small_files_come_once_a_series(scans: Scans, series: Path, corpus: Path) -> None:
    branches = revisions(series)
    scans.add("org/tiny", branches | {"step2": branches["step100"], "step3": branches["step0"] | {"notes": b"copied"}})
    scans.scan("org/tiny@step*", corpus=corpus)
    weights = sum(len(branches[name]["model.safetensors"]) for name in branches)
    assert scans.hub.served(r"\.safetensors") == weights
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        assert len(scans.hub.requests_for(f"/{name}$", "GET")) == 1
    assert len(scans.hub.requests_for("/refs")) == 1
    assert len(scans.hub.requests_for("/tree/")) == 5


def test_weights_are_deleted_after_a_scan_and_those_of_two_checkpoints_at_most_are_on_disk_meanwhile(
    scans: Scans, series: Path, corpus: Path, counts: list[int]
) -> None:
    branches = revisions(series)
    scans.add(
        "org/tiny", branches | {f"step{i}": branches["step0"] | {"model.safetensors": b"damaged"} for i in (1, 2)}
    )
    repo = scans.hub.repos["org/tiny"]
    scans.hub.faults.append(Fault(f"{repo.commit('step100')}/model.safetensors", status=500, times=None))
    run = scans.scan("org/tiny@step*", corpus=corpus)
    status = ["ok", "failed", "duplicate", "failed", "ok"]
    assert [row["status"] for row in run.checkpoints()] == [s if s != "duplicate" else "failed" for s in status]
    assert 1 <= max(counts) <= 2  # whether the next download begins before this one is deleted is a race
    assert not scans.weights()
    assert not (scans.folder / "run" / ".downloads").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_scan_that_ends_badly_leaves_no_weights(
    scans: Scans, series: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    from degen.runs.run_writer import RunWriter

    def fail(*_: object) -> None:
        raise error

    scans.add("org/tiny", revisions(series))
    scans.hub.bytes_per_second = 100_000
    monkeypatch.setattr(RunWriter, "write", fail)
    with pytest.raises((KeyboardInterrupt, degen.DegenError)):
        scans.scan("org/tiny@step*", corpus=corpus)
    scans.hub.bytes_per_second = None
    finish_fetching()
    assert not scans.weights()
    assert not (scans.folder / "run" / ".downloads").exists()


@pytest.mark.parametrize("probes", [["spectrum"], None])
def test_the_users_cache_is_used_and_left_as_it_was(
    scans: Scans, series: Path, corpus: Path, probes: list[str] | None
) -> None:
    repo = scans.add("org/tiny", revisions(series))
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        hf_hub_download("org/tiny", name, revision="step100")
    before, commit = file_states(scans.cache), repo.commit("step100")
    scans.forget()
    run = scans.scan("org/tiny@step*", corpus=corpus, probes=probes)
    assert [row["status"] for row in run.checkpoints()] == ["ok"] * 3
    assert not scans.hub.requests_for(f"{commit}/")
    assert file_states(scans.cache).items() >= before.items()
    assert {f.resolve() for f in scans.weights()} == {
        (scans.cache / name).resolve() for name in before if "model.s" in name
    }
    local = scans.scan(series, corpus=corpus, probes=probes, out="local")
    for table in set(run.tables) - {"timing"}:
        assert run.table(table).equals(local.table(table))
