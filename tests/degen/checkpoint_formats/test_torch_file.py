"""Files of `torch.save` give the tables of the same model saved by `save_pretrained`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from faults.command import degen as command
from faults.spoil import Hostile
from tiny import make_checkpoint, make_model, make_tokenizer
from trained_files import NanoGpt, as_transformers_gpt2, pieces, train_like_nanogpt, train_with_lightning

import degen
from degen.checkpoint_formats.module_names import model_names
from degen.checkpoint_formats.registry import find_format, open_tensors
from degen.checkpoint_formats.torch_file import TorchFile, is_torch_file
from degen.checkpoints.find_series import find_series
from degen.errors import CheckpointError
from degen.weights.checkpoint_files import CheckpointFiles

Tables = dict[str, list[dict[str, Any]]]
Measure = Callable[..., Tables]
NAMES = {"model", "revision", "step", "tokens_seen"}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def measure(corpus: Path, tokenizer: Path, tmp_path: Path) -> Measure:
    """Return a scan of one checkpoint: every table but for what differs between equal runs, names left out."""

    def scan(path: Path, **options: Any) -> Tables:
        out = tmp_path / f"run-{path.name}-{len(list(tmp_path.iterdir()))}"
        run = degen.scan(path, corpus=corpus, tokens=256, context=32, tokenizer=tokenizer, out=out, **options)
        (row,) = run.checkpoints()
        assert row["status"] == "ok", row["reason"]
        tables = ("checkpoints", "layers", "windows", "spectrum")
        return {
            t: [{k: v for k, v in r.items() if k not in NAMES} for r in run.table(t).to_pylist()]
            for t in tables
            if (run.path / t).exists()
        }

    return scan


def saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def test_lightning_gives_the_tables_of_save_pretrained(measure: Measure, tmp_path: Path) -> None:
    model = train_with_lightning(tmp_path / "lightning")
    reference = saved(model, tmp_path / "reference")
    file = tmp_path / "lightning" / "epoch=0-step=2.ckpt"
    assert measure(file, model_config=reference) == measure(reference)


def test_a_folder_of_lightning_is_a_series(corpus: Path, tokenizer: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lightning"
    model = train_with_lightning(folder, steps=2)
    make_tokenizer(folder)
    reference = saved(model, tmp_path / "reference")
    notes: list[str] = []
    find_series([str(folder)], note=notes.append)
    assert [note for note in notes if "last.ckpt" in note and "gives no step" in note]
    run = degen.scan(
        folder, model_config=reference, corpus=corpus, tokens=128, context=32, out=tmp_path / "run", probes=["loss"]
    )
    assert [(r["revision"], r["step"], r["status"]) for r in run.checkpoints()] == [
        ("epoch=0-step=1", 1, "ok"), ("epoch=0-step=2", 2, "ok")
    ]  # fmt: skip


@pytest.mark.parametrize("bias", [False, True])
def test_nanogpt_gives_the_tables_of_gpt2(bias: bool, measure: Measure, tmp_path: Path) -> None:
    file = tmp_path / "out" / "ckpt.pt"
    model = train_like_nanogpt(file, bias, compiled=bias)
    reference = as_transformers_gpt2(model)
    with torch.inference_mode():  # the reference itself is right
        torch.testing.assert_close(reference(pieces()).logits, model(pieces()), atol=1e-5, rtol=1e-5)
    expected = measure(saved(reference, tmp_path / "reference"))
    assert measure(file) == expected  # its configuration is in it
    assert measure(file.parent) == expected  # so does the folder


def test_a_configuration_beside_nanogpt_goes_before_its_own(tmp_path: Path) -> None:
    train_like_nanogpt(tmp_path / "out" / "ckpt.pt")
    other = saved(make_model("gpt2", n_layer=1), tmp_path / "other")
    row = command("scan", tmp_path / "out" / "ckpt.pt", "--model-config", other, "--probes", "spectrum", "--json",
                  "--out", tmp_path / "run").json()["rows"][0]  # fmt: skip
    assert row["layers"] == 1


@pytest.mark.parametrize(
    "prefix", ["", "_orig_mod.", "module.", "model.", "_forward_module.", "module._orig_mod.model."]
)
@pytest.mark.parametrize("family", ["gpt_neox", "opt"])
def test_prefixes_of_wrappers_are_taken_off(family: str, prefix: str, measure: Measure, tmp_path: Path) -> None:
    reference = make_checkpoint(tmp_path / "reference", family)
    state = {prefix + key: value for key, value in make_model(family).state_dict().items()}
    file = tmp_path / "final.pth"
    torch.save({"model_state_dict": state, "epoch": 3} if prefix else state, file)
    probes = ["loss", "spectrum"]
    tables = [measure(path, model_config=reference, probes=probes) for path in (file, reference)]
    assert tables[0] == tables[1]


def test_only_the_weights_of_a_file_are_read(tmp_path: Path) -> None:
    train_like_nanogpt(tmp_path / "ckpt.pt")
    tensors = open_tensors(CheckpointFiles(tmp_path / "ckpt.pt"))
    state = NanoGpt().state_dict()
    assert {key for key in tensors.keys if not key.endswith("bias")} == set(state)
    assert tensors.shape("transformer.h.0.attn.c_attn.weight") == (32, 96)
    assert tensors.shard("lm_head.weight") == "ckpt.pt"


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the system does not say which pages were read")
def test_a_head_costs_its_bytes(tmp_path: Path) -> None:
    """At most 1.02 × the head's bytes and 300 KB of the mapped file are in memory, of a file that holds far more."""
    changes = {"vocab_size": 20_000, "hidden_size": 64, "num_hidden_layers": 4, "intermediate_size": 2048}
    reference = make_checkpoint(tmp_path / "reference", "llama", **changes)
    file = tmp_path / "step100.ckpt"
    torch.save({"state_dict": make_model("llama", **changes).state_dict()}, file)
    run = degen.scan(file, model_config=reference, probes=["spectrum"], out=tmp_path / "run")
    assert run.checkpoints()[0]["status"] == "ok", run.checkpoints()[0]["reason"]
    head = 20_000 * 64 * 4
    assert head <= bytes_in_memory(file) <= 1.02 * head + 300_000
    assert file.stat().st_size > 2 * head


def bytes_in_memory(file: Path) -> int:
    """Return how many bytes of a file this process has read through maps of it, by what the kernel counts."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    found = 0
    for line in lines:
        if line.endswith(str(file)):
            found += 1024 * int(next(row for row in lines if row.startswith("Rss:")).split()[1])
    return found


def test_names_of_two_models_are_refused_with_both(tmp_path: Path) -> None:
    keys = [f"{who}.lm_head.weight" for who in ("model", "net")] + [
        f"{who}.model.embed_tokens.weight" for who in ("model", "net")
    ]
    with pytest.raises(CheckpointError, match=r"several models in it, under model\., net\."):
        model_names("x.pt", keys)
    with pytest.raises(CheckpointError, match="are one tensor"):
        model_names("x.pt", ["_orig_mod.wte.weight", "wte.weight"])


def test_states_beside_the_model_are_left_out() -> None:
    keys = ["model.transformer.wte.weight", "model.lm_head.weight", "metric.total", "optimizer.transformer.wte.weight"]
    assert model_names("x.ckpt", keys) == {"transformer.wte.weight": keys[0], "lm_head.weight": keys[1]}
    text_and_images = ["language_model.model.embed_tokens.weight", "vision_tower.patch.weight"]
    assert model_names("x", text_and_images) == {key: key for key in text_and_images}


@pytest.mark.parametrize(
    "name", ["optimizer.pt", "scheduler.pt", "rng_state_0.pth", "rng_state.pth", "optim_001000_rank0.pt", "scaler.pt"]
)
def test_what_lies_beside_weights_is_no_checkpoint(name: str, tmp_path: Path) -> None:
    torch.save({"state": {}}, tmp_path / name)
    assert not is_torch_file(tmp_path / name)
    assert find_format(tmp_path) is None


def test_a_folder_of_trainer_is_read_as_before(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint-100")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"state": {}}, folder / name)
    assert not isinstance(find_format(folder), TorchFile)
    row = command("scan", tmp_path, "--dry-run", "--json").json()["rows"]
    assert [r["revision"] for r in row] == ["checkpoint-100"]


def without_configuration(file: Path) -> None:
    torch.save(make_model().state_dict(), file)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (without_configuration, "--model-config"),
        (lambda file: file.write_bytes(b"\0"), "not readable as weights alone"),
        (lambda file: torch.save({"a": 1}, file), "no state dict in it (a)"),
        (lambda file: torch.save([torch.ones(2)], file), "holds a list"),
        (lambda file: torch.save(make_model(), file), "not readable as weights alone"),
    ],
    ids=["no configuration", "no zip", "no tensors", "a list", "a whole module"],
)
def test_what_cannot_be_read_is_a_message(make: Callable[[Path], object], says: str, tmp_path: Path) -> None:
    make(tmp_path / "final.pt")
    result = command("scan", tmp_path / "final.pt", "--probes", "spectrum", "--out", tmp_path / "run", "--json")
    assert says in result.json()["rows"][0]["reason"]


def test_safetensors_without_a_configuration(measure: Measure, tmp_path: Path) -> None:
    reference = make_checkpoint(tmp_path / "reference")
    folder = tmp_path / "step100"
    folder.mkdir()
    shutil.copy(reference / "model.safetensors", folder)
    assert measure(folder, model_config=reference) == measure(reference)
    bare = tmp_path / "bare"
    folder.rename(bare)
    assert measure(bare, model_config=reference) == measure(reference)
    result = command("scan", bare, "--probes", "spectrum", "--out", tmp_path / "run", "--json")
    assert "--model-config" in result.json()["rows"][0]["reason"]


@pytest.mark.parametrize("name", ["nowhere/at/all", "empty"])
def test_a_configuration_that_is_not_there(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    without_configuration(tmp_path / "final.pt")
    message = command("scan", tmp_path / "final.pt", "--model-config", tmp_path / name, "--dry-run").message
    assert "--model-config" in message
    assert name in message


def payloads(mark: Path) -> Iterable[Any]:
    yield {"state_dict": {"lm_head.weight": torch.ones(4, 2)}, "x": Hostile(mark)}
    yield Hostile(mark)


def test_a_payload_is_not_run(tmp_path: Path) -> None:
    reference = make_checkpoint(tmp_path / "reference")
    for i, payload in enumerate(payloads(tmp_path / "ran")):
        torch.save(payload, tmp_path / f"x{i}.ckpt")
        result = command("scan", tmp_path / f"x{i}.ckpt", "--model-config", reference, "--probes", "spectrum", "--json",
                         "--out", tmp_path / f"run{i}")  # fmt: skip
        assert "not readable as weights alone" in result.json()["rows"][0]["reason"]
    assert not (tmp_path / "ran").exists()
