from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import make_adapter, quiet
from deltas import LINEAR, READ, TASK, merged_changes, open_adapter, train
from tiny import make_checkpoint

from degen.delta.adapter_updates import AdapterUpdates
from degen.delta.measure import measure_updates
from degen.delta.spectra import decompose
from degen.delta.update import taxonomy_of
from degen.errors import CheckpointError

ADDED = {
    "prefix_tuning": ("PrefixTuning", {"num_virtual_tokens": 3}),
    "prompt_tuning": ("PromptTuning", {"num_virtual_tokens": 4}),
    "p_tuning": ("PromptEncoder", {"num_virtual_tokens": 5, "encoder_hidden_size": 8}),
}


def adapted(base: Path, adapter: Path) -> Any:
    """The model that PEFT makes of both, not merged; its modules by the names of the base."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with quiet():
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    return model.base_model.model.eval()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("delta") / "base", "llama")


@pytest.mark.parametrize(("kind", "config"), READ.values(), ids=READ)
def test_updates_are_those_that_peft_merges_and_spectra_those_of_the_matrix_formed(
    base: Path, tmp_path: Path, kind: str, config: Callable[[], Any]
) -> None:
    adapter = make_adapter(tmp_path / "adapter", base, config())
    updates, changes = open_adapter(adapter, base), merged_changes(base, adapter)
    assert isinstance(updates, AdapterUpdates)
    assert updates.kind == kind
    assert set(updates.names) == {name for name, change in changes.items() if change.any()}
    for name in updates.names:
        matrix = updates.update(name).matrix
        assert matrix is not None
        whole, expected = matrix.whole(), changes[name]
        assert (whole - expected).abs().max() <= 1e-6 * max(1.0, float(expected.abs().max()))
        values = torch.linalg.svdvals(whole)
        found = torch.tensor(decompose(matrix).values)
        short = min(len(values), len(found))
        assert (values[:short] - found[:short]).abs().max() <= 1e-10 * float(values[0])
        assert all(value <= 1e-10 * float(values[0]) for value in values[short:])


@pytest.mark.parametrize(
    "name", ["lora", "dora", "adalora", "ia3", "loha, thin", "lokr", "vera", "oft", "modules_to_save"]
)
def test_adapters_that_peft_has_trained_are_read_from_disk(base: Path, tmp_path: Path, name: str) -> None:
    kind, config = READ[name]
    made = config()
    adapter = train(tmp_path / "trained", base, made)
    updates, changes = open_adapter(adapter, base), merged_changes(base, adapter)
    assert updates.kind == kind
    for parameter in updates.names:
        matrix = updates.update(parameter).matrix
        assert matrix is not None
        assert (matrix.whole() - changes[parameter]).abs().max() <= 1e-6
    assert any(changes[parameter].any() for parameter in updates.names)


@pytest.mark.parametrize("kind", ADDED)
def test_virtual_tokens_are_an_addition_with_a_spectrum_of_their_own(base: Path, tmp_path: Path, kind: str) -> None:
    import peft

    name, options = ADDED[kind]
    adapter = train(tmp_path / "trained", base, getattr(peft, f"{name}Config")(**TASK, **options))
    measured = measure_updates(open_adapter(adapter, base))
    (row,) = measured.rows
    assert (row["kind"], row["taxonomy"], row["module"]) == (kind, "addition", "prompt_embeddings")
    assert row["rows"] == options["num_virtual_tokens"]
    assert 0 < row["rank"] <= row["rows"]
    assert row["trained"] == row["rows"] * row["columns"]
    assert row["relative_norm"] is None
    assert not row["head_touched"]
    assert bool(measured.notes) == (kind == "p_tuning")  # its network is not stored


def test_prompts_of_layers_are_a_matrix_each(base: Path, tmp_path: Path) -> None:
    import peft

    adapter = train(tmp_path / "trained", base, peft.AdaptionPromptConfig(adapter_len=4, adapter_layers=2, **TASK))
    updates = open_adapter(adapter, base)
    rows = measure_updates(updates).rows
    assert [row["module"] for row in rows] == [f"model.layers.{i}.self_attn.adaption_prompt" for i in (0, 1)]
    assert {(row["kind"], row["taxonomy"], row["rows"], row["block"]) for row in rows} == {
        ("adaption_prompt", "addition", 4, i) for i in (0, 1)
    }
    assert sum(row["trained"] for row in rows) == updates.trained == 2 * (4 * 32 + 1)  # with the gate of each


@pytest.mark.parametrize(("name", "options"), [
    ("Cartridge", {"num_virtual_tokens": 4}),
    ("MultitaskPromptTuning", {"num_virtual_tokens": 4, "num_tasks": 2, "num_ranks": 2}),
    ("CPT", {"cpt_token_ids": [1, 2, 3], "cpt_mask": [1, 1, 1], "cpt_tokens_type_mask": [1, 2, 3]}),
])  # fmt: skip
def test_every_table_of_virtual_tokens_is_an_addition(
    base: Path, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    import peft

    adapter = make_adapter(tmp_path / "adapter", base, getattr(peft, f"{name}Config")(**TASK, **options))
    updates = open_adapter(adapter, base)
    rows = measure_updates(updates).rows
    assert "prompt_embeddings" in {row["module"] for row in rows}
    assert all(row["taxonomy"] == "addition" and row["rank"] >= 1 and row["reason"] is None for row in rows)
    assert sum(row["trained"] for row in rows) == updates.trained


@pytest.mark.parametrize("splits", [1, 2])
def test_the_one_task_of_poly_has_the_update_that_peft_runs(base: Path, tmp_path: Path, splits: int) -> None:
    import peft

    config = peft.PolyConfig(r=4, n_tasks=1, n_skills=3, n_splits=splits, target_modules=LINEAR, **TASK)
    adapter = make_adapter(tmp_path / "adapter", base, config)
    updates = open_adapter(adapter, base)
    model = adapted(base, adapter)
    assert updates.names
    for name in updates.names:
        layer = model.get_submodule(name.removesuffix(".weight"))
        inputs = torch.eye(layer.in_features)
        with torch.no_grad():
            moved = layer(inputs[None], task_ids=torch.zeros(1, dtype=torch.long))[0] - layer.base_layer(inputs)
        update = updates.update(name)
        assert update.matrix is not None
        assert (update.matrix.whole() - moved.T).abs().max() <= 1e-6
        values = torch.linalg.svdvals(update.matrix.whole())
        assert (values[:4] - torch.tensor(decompose(update.matrix).values)).abs().max() <= 1e-10 * float(values[0])
    assert {(row["kind"], row["rank_given"]) for row in measure_updates(updates).rows} == {("poly", 4)}


@pytest.mark.parametrize(("family", "target"), [("llama", "v_proj"), ("gpt_neox", "query_key_value")])
def test_a_bias_is_added_whether_or_not_there_was_one(tmp_path: Path, family: str, target: str) -> None:
    import peft

    base = make_checkpoint(tmp_path / "base", family)
    adapter = make_adapter(tmp_path / "adapter", base, peft.BeftConfig(target_modules=[target], **TASK))
    updates = open_adapter(adapter, base)
    model = adapted(base, adapter)
    assert updates.names
    for name in updates.names:
        layer = model.get_submodule(name.removesuffix(".bias"))
        with torch.no_grad():
            inputs = torch.randn(3, layer.in_features)
            moved = layer(inputs) - layer.base_layer(inputs)
        update = updates.update(name)
        assert update.matrix is not None
        assert (update.matrix.whole()[:, 0] - moved).abs().max() <= 1e-6
    rows = measure_updates(updates).rows
    assert {(row["kind"], row["taxonomy"], row["reason"]) for row in rows} == {("beft", "specification", None)}
    assert all(row["norm"] > 0 for row in rows)
    assert {row["relative_norm"] is None for row in rows} == {family == "llama"}  # no bias to compare with


def test_gpt2_stores_input_by_output_and_is_put_right(tmp_path: Path) -> None:
    from peft import LoraConfig

    base = make_checkpoint(tmp_path / "base", "gpt2")
    adapter = make_adapter(
        tmp_path / "adapter", base, LoraConfig(r=3, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True, **TASK)
    )
    updates, changes = open_adapter(adapter, base), merged_changes(base, adapter)
    assert len(updates.names) == 6
    for name in updates.names:
        update = updates.update(name)
        assert update.matrix is not None
        assert (update.matrix.whole() - changes[name].T).abs().max() <= 1e-6
        assert update.base is not None
        assert update.base.shape == update.matrix.shape


def test_biases_beside_lora_are_a_kind_of_their_own(tmp_path: Path) -> None:
    from peft import LoraConfig

    base = make_checkpoint(tmp_path / "base", "gpt_neox")
    config = LoraConfig(r=3, target_modules=["query_key_value"], bias="lora_only", **TASK)
    adapter = make_adapter(tmp_path / "adapter", base, config)
    updates, changes = open_adapter(adapter, base), merged_changes(base, adapter)
    kinds = {name: updates.update(name).kind for name in updates.names}
    assert set(kinds.values()) == {"lora", "bias"}
    assert {name for name, kind in kinds.items() if kind == "bias"} == {
        n for n in changes if n.endswith("query_key_value.bias")
    }
    for name in updates.names:
        matrix = updates.update(name).matrix
        assert matrix is not None
        assert (matrix.whole() - changes[name]).abs().max() <= 1e-6


def test_ia3_scales_the_bias_of_its_rows_too(tmp_path: Path) -> None:
    from peft import IA3Config

    base = make_checkpoint(tmp_path / "base", "gpt_neox")
    config = IA3Config(target_modules=["query_key_value"], feedforward_modules=[], **TASK)
    adapter = make_adapter(tmp_path / "adapter", base, config)
    changes, updates = merged_changes(base, adapter), open_adapter(adapter, base)
    assert {name for name, change in changes.items() if change.any()} == set(updates.names)
    for name in updates.names:
        matrix = updates.update(name).matrix
        assert matrix is not None
        assert (matrix.whole() - changes[name]).abs().max() <= 1e-6


def test_lora_bias_is_scaled_as_its_product(tmp_path: Path) -> None:
    from peft import LoraConfig

    base = make_checkpoint(tmp_path / "base", "gpt_neox")
    config = LoraConfig(r=3, lora_alpha=5, lora_bias=True, target_modules=["dense"], **TASK)
    adapter = make_adapter(tmp_path / "adapter", base, config)
    updates, changes = open_adapter(adapter, base), merged_changes(base, adapter)
    biases = [name for name in updates.names if name.endswith(".bias")]
    assert len(biases) == 2
    for name in updates.names:
        matrix = updates.update(name).matrix
        assert matrix is not None
        assert (matrix.whole() - changes[name]).abs().max() <= 1e-6


def test_without_a_base_spectra_of_products_are_there_and_the_rest_says_why(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", base, READ["lora"][1]())
    alone, beside = measure_updates(open_adapter(adapter, None)), measure_updates(open_adapter(adapter, base))
    for row, other in zip(alone.rows, beside.rows, strict=True):
        assert row["rank"] == other["rank"]
        assert row["norm"] == pytest.approx(other["norm"])
        assert other["reason"] is None
        if row["module"] == "lm_head":  # of which PEFT stores the base's own weight as well
            assert row["relative_norm"] == pytest.approx(other["relative_norm"])
        else:
            assert row["relative_norm"] is None
            assert row["reason"] == "its base is not known"
    dora = make_adapter(tmp_path / "dora", base, READ["dora"][1]())
    for row in measure_updates(open_adapter(dora, None)).rows:
        assert row["rank"] is None
        assert row["reason"] == "its base is not known"
        assert row["trained"] > 0


def test_a_planted_rank_is_found(base: Path, tmp_path: Path) -> None:
    """An update of rank 3 in an adapter of rank 16, its factors rounded to float32."""
    from peft import LoraConfig
    from safetensors.torch import load_file, save_file

    adapter = make_adapter(tmp_path / "adapter", base, LoraConfig(r=16, target_modules=LINEAR, **TASK))
    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    for key in [key for key in tensors if "lora_B" in key]:
        mix = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
        tensors[key] = tensors[key][:, :3].contiguous() @ mix
    save_file(tensors, file, metadata={"format": "pt"})
    for row in measure_updates(open_adapter(adapter, base)).rows:
        assert (row["rank_given"], row["rank"]) == (16, 3)
        assert row["effective_rank"] < 3 + 1e-3
        assert row["k90"] <= 3


@pytest.mark.parametrize(
    ("family", "targets", "saved", "touched"),
    [
        ("llama", ["q_proj", "lm_head"], None, (True, False)),
        ("llama", ["q_proj"], ["lm_head"], (True, False)),
        ("llama", ["q_proj", "embed_tokens"], None, (False, True)),
        ("llama", ["q_proj"], None, (False, False)),
        ("gemma", ["q_proj"], None, (False, False)),
        ("gemma", ["q_proj", "embed_tokens"], None, (True, True)),  # tied
    ],
)
def test_a_touched_head_is_found(
    tmp_path: Path, family: str, targets: list[str], saved: list[str] | None, touched: tuple[bool, bool]
) -> None:
    from peft import LoraConfig

    base = make_checkpoint(tmp_path / "base", family)
    adapter = make_adapter(
        tmp_path / "adapter", base, LoraConfig(r=2, target_modules=targets, modules_to_save=saved, **TASK)
    )
    rows = measure_updates(open_adapter(adapter, base)).rows
    assert {(row["head_touched"], row["embedding_touched"]) for row in rows} == {touched}


def test_figures_of_an_adapter_add_up(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", base, READ["modules_to_save"][1]())
    updates = open_adapter(adapter, base)
    rows = measure_updates(updates).rows
    assert sum(row["trained"] for row in rows) == updates.trained == rows[0]["total_trained"]
    assert updates.parameters is not None
    assert rows[0]["total_share"] == pytest.approx(updates.trained / updates.parameters)
    kinds = {row["module"]: (row["kind"], row["taxonomy"], row["part"], row["block"]) for row in rows}
    assert kinds["lm_head"] == ("modules_to_save", "specification", "head", None)
    assert kinds["model.layers.1.mlp.down_proj"] == ("lora", "reparameterization", "block", 1)
    assert all(math.isfinite(row["amplification"]) for row in rows if row["amplification"] is not None)


def test_every_kind_is_in_the_taxonomy() -> None:
    families = {
        "addition": ("prefix_tuning", "prompt_tuning", "p_tuning", "ia3"),
        "specification": ("bias", "partial", "modules_to_save", "trainable_tokens", "ln_tuning"),
        "reparameterization": ("lora", "rslora", "dora", "adalora", "loha", "lokr", "vera", "oft"),
        "full": ("full",),
    }
    assert {kind: taxonomy_of(kind) for kinds in families.values() for kind in kinds} == {
        kind: family for family, kinds in families.items() for kind in kinds
    }


def test_a_base_of_another_shape_is_named(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", base, READ["lora"][1]())
    other = make_checkpoint(tmp_path / "other", "llama", hidden_size=64)
    with pytest.raises(CheckpointError, match="is it the base that the adapter was trained on"):
        measure_updates(open_adapter(adapter, other))
