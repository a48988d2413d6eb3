"""`degen push`: what arrives at the hub, what is not sent twice, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faults.command import CommandResult, degen
from hub_repo import Repo
from hub_scans import Scans
from hub_traffic import Fault
from huggingface_hub import DatasetCard

import degen as package
from degen.errors import DegenError
from degen.publishing.push import plan_push, send
from degen.runs.run_file import read_info

SECRET = "hf_" + "PLANTED" * 5  # made up
NAME = "org/measured"

# of httpx, about how the hub's client sends a large file
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def logged_in(scans: Scans) -> Iterator[Scans]:
    """Yield an empty hub whose only user this is."""
    scans.hub.uploads.token = SECRET
    scans.token(SECRET)
    return scans


def push(run: Path, *options: object) -> CommandResult:
    return degen("push", run, NAME, *options)


def files_of(scans: Scans, branch: str = "main") -> dict[str, bytes]:
    return dict(scans.hub.repos[NAME].branches[branch])


def parts(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.glob("*/**/*.parquet")}


def sent_bytes(scans: Scans) -> int:
    return sum(r.received for r in scans.hub.requests if r.method == "PUT")


def card_of(files: dict[str, bytes]) -> DatasetCard:
    return DatasetCard(files["README.md"].decode())


def test_tables_arrive_byte_for_byte_with_run_json_and_a_card_and_nothing_else(
    logged_in: Scans, run: package.Run
) -> None:
    result = push(run.path, "--license", "cc-by-4.0", "--tag", "pythia")
    assert result.code == 0, result.err
    files = files_of(logged_in)
    assert {name: content for name, content in files.items() if name.endswith(".parquet")} == parts(run.path)
    assert files.keys() - parts(run.path).keys() == {".gitattributes", "README.md", "run.json"}
    card = card_of(files)
    assert card.data.license == "cc-by-4.0"
    assert card.data.tags == ["degen", "representation-degeneration", "language-models", "pythia"]
    configs = card.data.to_dict()["configs"]
    assert [config["config_name"] for config in configs] == run.tables
    assert [config["config_name"] for config in configs if config.get("default")] == ["checkpoints"]
    assert f"schema version {run.info['schema_version']}" in card.text
    assert f"degen show hf://datasets/{NAME}\n" in card.text
    assert "| tiny | 3 | 0 … 1000 |" in card.text
    assert result.out.startswith(f"{logged_in.hub.endpoint}/datasets/{NAME}: ")


def test_the_viewer_of_the_hub_finds_every_table(logged_in: Scans, run: package.Run, tmp_path: Path) -> None:
    from datasets import load_dataset

    push(run.path)
    for name, content in files_of(logged_in).items():
        file = tmp_path / "clone" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    for table in ("checkpoints", "layers"):
        loaded = load_dataset(str(tmp_path / "clone"), table, split="train", cache_dir=str(tmp_path / "datasets"))
        assert loaded.num_rows == run.table(table).num_rows
        assert loaded.column_names == run.table(table).column_names


def test_it_is_private_unless_public_is_asked_for(logged_in: Scans, run: package.Run) -> None:
    assert "--public" in push(run.path).err
    assert logged_in.hub.repos[NAME].token == SECRET  # which only its owner knows
    del logged_in.hub.repos[NAME]
    result = push(run.path, "--public")
    assert (result.code, result.err) == (0, "")
    assert logged_in.hub.repos[NAME].token is None


def test_only_new_parts_are_sent_after_more_checkpoints(logged_in: Scans, run: package.Run, tmp_path: Path) -> None:
    grown = tmp_path / "grown"
    later = list(run.path.glob("*/*/step1000.parquet"))
    shutil.copytree(run.path, grown)
    for file in later:
        (grown / file.relative_to(run.path)).unlink()
    push(grown)
    first = sent_bytes(logged_in)
    assert first == sum(map(len, parts(grown).values()))
    for file in later:
        shutil.copy(file, grown / file.relative_to(run.path))
    result = push(grown)
    assert sent_bytes(logged_in) - first == sum(f.stat().st_size for f in later)
    assert f"{len(later) + 1} files" in result.out  # and the card
    logged_in.hub.requests.clear()
    assert "0 files" in push(grown).out
    assert not logged_in.hub.requests_for("/commit/|/preupload/|batch")


def test_parts_that_the_run_has_no_longer_are_deleted(logged_in: Scans, run_copy: Path) -> None:
    push(run_copy)
    for file in run_copy.glob("*/*/step100.parquet"):
        file.unlink()
    assert "deleted" in push(run_copy).out
    assert {n: c for n, c in files_of(logged_in).items() if n.endswith(".parquet")} == parts(run_copy)


def test_a_dry_run_lists_the_files_and_sends_nothing(logged_in: Scans, run: package.Run) -> None:
    result = push(run.path, "--dry-run", "--json")
    rows = {row["file"]: row["bytes"] for row in result.json()["rows"]}
    assert rows.keys() == {"README.md", "run.json", *parts(run.path)}
    assert {name: rows[name] for name in parts(run.path)} == {n: len(c) for n, c in parts(run.path).items()}
    assert logged_in.hub.repos == {}
    assert not [request for request in logged_in.hub.requests if request.method != "GET"]


def test_a_branch_is_made(logged_in: Scans, run: package.Run) -> None:
    result = push(run.path, "--revision", "v2")
    assert result.out.startswith(f"{logged_in.hub.endpoint}/datasets/{NAME}/tree/v2: ")
    assert list(files_of(logged_in)) == [".gitattributes"]
    assert f"degen show hf://datasets/{NAME}@v2" in card_of(files_of(logged_in, "v2")).text


def test_what_an_owner_wrote_on_the_card_stays(logged_in: Scans, run: package.Run) -> None:
    push(run.path)
    repo = logged_in.hub.repos[NAME]
    text = files_of(logged_in)["README.md"].decode()
    edited = text.replace("tags:", "license: mit\nlanguage: en\ntags:\n- mine", 1) + "\n## Thanks\n\nTo all.\n"
    repo.push("main", {**files_of(logged_in), "README.md": edited.encode()})
    assert push(run.path).code == 0
    card = card_of(files_of(logged_in))
    assert (card.data.license, card.data.to_dict()["language"]) == ("mit", "en")
    assert card.data.tags == ["mine", "degen", "representation-degeneration", "language-models"]
    assert card.text.endswith("## Thanks\n\nTo all.\n")
    assert card.text.count("degen show hf://") == 1
    assert "0 files" in push(run.path).out


def _spoil(run: Path, **texts: Any) -> None:
    """Write paths of this machine into run.json and a part, as scans of such paths do."""
    info = json.loads((run / "run.json").read_text())
    info["asked"] |= texts
    (run / "run.json").write_text(json.dumps(info))
    part = next(run.glob("checkpoints/*/step100.parquet"))
    table = pq.read_table(part)
    reason = "/home/alice/my models/step100/model.safetensors: damaged (see /var/log/x/y)"
    i = table.schema.get_field_index("reason")
    pq.write_table(table.set_column(i, table.schema.field(i), [[reason]]), part)


def test_no_folder_of_this_machine_and_no_password_is_sent(logged_in: Scans, run_copy: Path) -> None:
    _spoil(
        run_copy,
        series=["/home/alice/my models/series", "x=/home/alice/my models/series+/data/private/adapter"],
        corpus="https://bob:hunter2@host/val.jsonl?X-Amz-Signature=abc",
        tokenizer="EleutherAI/pythia-70m",
    )
    assert push(run_copy).code == 0
    files = files_of(logged_in)
    asked = json.loads(files["run.json"])["asked"]
    assert asked["series"] == ["…/series", "x=…/series+…/adapter"]
    assert (asked["corpus"], asked["tokenizer"]) == ("https://host/val.jsonl", "EleutherAI/pythia-70m")
    everything = b"\n".join(files.values())
    secrets = ("alice", "my models", "private", "hunter2", "Signature", str(run_copy.parent), SECRET)
    assert [text for text in secrets if text.encode() in everything] == []
    stored = pq.read_table(run_copy / "checkpoints/tiny/step100.parquet")
    sent = pq.read_table(pa.BufferReader(files["checkpoints/tiny/step100.parquet"]))
    assert sent["reason"].to_pylist() == ["…/step100/model.safetensors: damaged (see …/y)"]
    assert sent.drop_columns("reason").equals(stored.drop_columns("reason"))
    assert sent.schema.metadata == stored.schema.metadata
    assert "0 files" in push(run_copy).out  # the same bytes every time


def test_a_dataset_that_holds_something_else_is_refused(logged_in: Scans, run: package.Run) -> None:
    logged_in.hub.repos[NAME] = Repo({"main": {"data.csv": b"x\n1\n"}}, kind="dataset")
    message = push(run.path).message
    assert f"datasets/{NAME}: holds data.csv and no run of degen" in message
    assert files_of(logged_in) == {"data.csv": b"x\n1\n"}


def test_another_run_is_replaced_only_where_that_is_asked_for(logged_in: Scans, run_copy: Path) -> None:
    push(run_copy)
    info = read_info(run_copy / "run.json") or {}
    (run_copy / "run.json").write_text(json.dumps(info | {"config_hash": "another"}))
    assert "add --replace" in push(run_copy).message
    assert push(run_copy, "--replace").code == 0
    assert json.loads(files_of(logged_in)["run.json"])["config_hash"] == "another"


def test_a_push_that_another_one_overtook_is_refused(logged_in: Scans, run_copy: Path) -> None:
    run = package.read_run(run_copy)
    send(plan_push(run, NAME), private=True)
    next(run_copy.glob("layers/*/step100.parquet")).unlink()
    planned = plan_push(run, NAME)
    logged_in.hub.repos[NAME].push("main", {**files_of(logged_in), "LICENSE": b"MIT"})
    with pytest.raises(DegenError, match="was changed meanwhile; run the same command again"):
        send(planned, private=True)


def test_without_a_login_the_message_says_so_and_no_message_holds_a_token(scans: Scans, run: package.Run) -> None:
    scans.hub.uploads.token = SECRET
    assert "hf auth login" in push(run.path).message
    assert scans.hub.repos == {}
    scans.token("hf_" + "READONLY" * 4)
    message = push(run.path).message
    assert "hf auth login" in message
    assert "READONLY" not in message
    scans.token(SECRET)
    for request in ("/api/repos/create", "/preupload/", "/commit/"):
        fault = Fault(request, status=400, message=f"the token {SECRET} is not good", times=None)
        scans.hub.faults[:] = [fault]
        result = push(run.path)
        assert result.code in (2, 4)
        assert "PLANTED" not in result.out + result.err


@pytest.mark.parametrize("name", ["measured", "a/b/c", "../x", "org/"])
def test_names_that_are_none_of_the_hub_are_refused(logged_in: Scans, run: package.Run, name: str) -> None:
    assert "write org/dataset" in degen("push", run.path, name).message


def test_offline_nothing_is_asked(logged_in: Scans, run: package.Run) -> None:
    logged_in.offline()
    assert "HF_HUB_OFFLINE" in push(run.path).message
    assert logged_in.hub.requests == []
