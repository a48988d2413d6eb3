"""Figures of an adapter on its base: those of the model that PEFT makes of the two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from adapters import adapted, load_base, loss_of, make_adapter, quiet, save_merged, singular_entropy_of
from faults.spoil import make_gguf
from tiny import PADDED, WIDTH, make_checkpoint, make_tokenizer

import degen
from degen.scanning import measure

SMALL: dict[str, Any] = {"tokens": 400, "context": 48, "threads": 1}
FIGURES = ("loss", "anisotropy", "singular_entropy", "effective_rank")
CAUSAL: dict[str, Any] = {"task_type": "CAUSAL_LM"}


def make_base(folder: Path, family: str = "llama", **changes: Any) -> Path:
    return make_tokenizer(make_checkpoint(folder, family, **changes))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("adapted") / "base")


def figures(run: degen.Run) -> dict[str, dict[str, Any]]:
    assert [row["reason"] for row in run.failed] == []
    return {row["model"]: row for row in run.checkpoints()}


@pytest.mark.parametrize(
    ("family", "targets"),
    [("gpt_neox", None), ("gpt2", ["c_attn", "c_proj"]), ("llama", "all-linear"), ("gemma", None), ("mistral", None)],
)
def test_lora_has_the_figures_of_the_merged_model(family: str, targets: Any, corpus: Path, tmp_path: Path) -> None:
    from peft import LoraConfig

    base = make_base(tmp_path / "base", family)
    make_adapter(tmp_path / "lora", base, LoraConfig(target_modules=targets, fan_in_fan_out=family == "gpt2", **CAUSAL))
    save_merged(tmp_path / "merged", base, tmp_path / "lora")
    run = degen.scan(
        [base, f"{base}+{tmp_path / 'lora'}", tmp_path / "merged"], corpus=corpus, out=tmp_path / "run", **SMALL
    )
    rows = figures(run)
    assert abs(rows["lora"]["loss"] - rows["base"]["loss"]) > 1e-3
    for name in (
        "architecture",
        "parameters",
        "parameters_non_embedding",
        "layers",
        "vocab_size",
        "vocab_used",
        "tied",
    ):
        assert rows["lora"][name] == rows["merged"][name] == rows["base"][name]
    assert {name: rows["lora"][name] for name in FIGURES} == pytest.approx(
        {name: rows["merged"][name] for name in FIGURES}
    )
    assert rows["lora"]["head_sha256"] == rows["base"]["head_sha256"]
    assert rows["lora"]["loss"] == pytest.approx(loss_of(adapted(base, tmp_path / "lora"), run.path / "sample.parquet"))


def kinds() -> dict[str, Any]:
    """Return ways to adapt a Llama that leave its head alone."""
    import peft

    return {
        "dora": peft.LoraConfig(use_dora=True, **CAUSAL),
        "rslora": peft.LoraConfig(use_rslora=True, r=4, lora_alpha=16, **CAUSAL),
        "patterns": peft.LoraConfig(
            r=2, rank_pattern={"q_proj": 5}, alpha_pattern={"layers.1.*v_proj": 32}, lora_dropout=0.5, **CAUSAL
        ),
        "bias": peft.LoraConfig(bias="lora_only", lora_bias=False, layers_to_transform=[1], **CAUSAL),
        "norms": peft.LoraConfig(modules_to_save=["input_layernorm"], **CAUSAL),
        "ia3": peft.IA3Config(**CAUSAL),
        "loha": peft.LoHaConfig(target_modules=["q_proj", "down_proj"], **CAUSAL),
        "lokr": peft.LoKrConfig(r=10_000, target_modules=["q_proj", "down_proj"], **CAUSAL),
        "oft": peft.OFTConfig(oft_block_size=4, **CAUSAL),
        "vera": peft.VeraConfig(r=16, save_projection=False, **CAUSAL),
        "adalora": peft.AdaLoraConfig(total_step=10, **CAUSAL),
        "norm tuning": peft.LNTuningConfig(target_modules=["input_layernorm"], **CAUSAL),
        "no task": peft.LoraConfig(target_modules=["q_proj", "v_proj"]),
    }


def test_every_mergeable_kind_has_the_figures_of_the_merged_model(llama: Path, corpus: Path, tmp_path: Path) -> None:
    series = []
    with quiet():
        configs = kinds()
    for seed, (name, config) in enumerate(configs.items()):
        make_adapter(tmp_path / name, llama, config, seed)
        series += [f"{llama}+{tmp_path / name}", save_merged(tmp_path / f"{name} merged", llama, tmp_path / name)]
    rows = figures(degen.scan(series, corpus=corpus, out=tmp_path / "run", **SMALL))
    assert len({rows[name]["loss"] for name in configs}) == len(configs)
    for name in configs:
        assert {f: rows[name][f] for f in FIGURES} == pytest.approx({f: rows[f"{name} merged"][f] for f in FIGURES}), (
            name
        )


def changes_of_the_head() -> dict[str, tuple[str, int | None, Any]]:
    """Return the family, the size of the vocabulary where it is not the base's, and the adapter."""
    from peft import LoraConfig, TrainableTokensConfig

    def lora(*targets: str, **more: Any) -> Any:
        return LoraConfig(target_modules=["q_proj", *targets], **CAUSAL, **more)

    return {
        "head trained": ("llama", None, lora(modules_to_save=["lm_head"])),
        "head adapted": ("llama", None, lora("lm_head")),
        "both trained": ("llama", None, lora(modules_to_save=["lm_head", "embed_tokens"])),
        "bias of the head": ("phi", None, lora("lm_head", bias="all")),
        "tied head trained": ("gemma", None, lora(modules_to_save=["lm_head"])),
        "tied head adapted": ("gemma", None, lora("lm_head")),
        "tied embedding trained": ("gemma", None, lora(modules_to_save=["embed_tokens"])),
        "tied embedding adapted": ("gemma", None, lora("embed_tokens")),
        "both adapted and still tied": ("gemma", None, lora("embed_tokens", ensure_weight_tying=True)),
        "both trained and still tied": (
            "gemma",
            None,
            lora(modules_to_save=["embed_tokens"], ensure_weight_tying=True),
        ),
        "tokens of a tied head": ("gemma", None, lora(trainable_token_indices=[3, 5, 390])),
        "tokens": ("llama", None, TrainableTokensConfig(token_indices=[3, 5, 390], **CAUSAL)),
        "more tokens": ("llama", 420, lora()),
        "fewer tokens, tied": ("gemma", 404, lora()),
        "more tokens, trained": ("llama", 420, lora(modules_to_save=["lm_head", "embed_tokens"])),
        "more tokens, tied and adapted": ("gemma", 420, lora("embed_tokens")),
    }


@pytest.mark.parametrize("name", changes_of_the_head())
def test_an_adapter_that_changes_the_head_has_the_figures_of_the_changed_one(
    name: str, corpus: Path, tmp_path: Path
) -> None:
    family, rows, config = changes_of_the_head()[name]
    base = make_base(tmp_path / "base", family)
    make_adapter(tmp_path / "lora", base, config, rows=rows)
    twin = adapted(base, tmp_path / "lora", rows)
    run = degen.scan(f"{base}+{tmp_path / 'lora'}", corpus=corpus, out=tmp_path / "run", **SMALL)
    row = figures(run)["lora"]
    assert row["loss"] == pytest.approx(loss_of(twin, run.path / "sample.parquet"), rel=1e-6)
    assert row["singular_entropy"] == pytest.approx(singular_entropy_of(twin, WIDTH), rel=1e-5)
    assert row["vocab_size"] == (rows or PADDED)
    apart = family == "gemma" and name in (
        "tied head trained", "tied head adapted", "tied embedding trained", "tied embedding adapted",
        "more tokens, tied and adapted",
    )  # fmt: skip
    assert row["tied"] == (family == "gemma" and not apart)
    plain = sum(parameter.numel() for parameter in load_base(base, rows).parameters())
    assert row["parameters"] == plain + apart * (rows or PADDED) * WIDTH


def test_heads_alone_are_read_from_the_base_where_the_adapter_leaves_them(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import LoraConfig

    loaded: list[Path] = []
    load: Callable[..., Any] = measure.load_model

    def recorded(files: Any, *rest: Any) -> Any:
        loaded.append(files.adapter)
        return load(files, *rest)

    monkeypatch.setattr(measure, "load_model", recorded)
    make_adapter(tmp_path / "body", llama)
    make_adapter(tmp_path / "head", llama, LoraConfig(target_modules=["lm_head"], **CAUSAL))
    series = [llama, f"{llama}+{tmp_path / 'body'}", f"{llama}+{tmp_path / 'head'}"]
    rows = figures(degen.scan(series, probes="spectrum", out=tmp_path / "run"))
    assert loaded == [tmp_path / "head"]
    assert rows["body"]["singular_entropy"] == rows["base"]["singular_entropy"] != rows["head"]["singular_entropy"]


@pytest.mark.filterwarnings(
    "ignore:The given NumPy array is not writable"
)  # of the file that is mapped, F32 as it lies
def test_an_adapter_on_a_gguf_file_has_the_figures_of_the_merged_model(corpus: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    file, plain = make_gguf(tmp_path / "model.gguf"), tmp_path / "plain"
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=file.name)
        model.hf_quantizer = None  # its tensors are floats by now
        del model.config.quantization_config
        model.save_pretrained(plain)
    make_adapter(tmp_path / "lora", plain)
    series = [f"gguf={file}+{tmp_path / 'lora'}", f"plain={plain}+{tmp_path / 'lora'}", f"base={file}"]
    rows = figures(degen.scan(series, tokenizer=file, corpus=corpus, out=tmp_path / "run", **SMALL))
    assert {f: rows["gguf"][f] for f in FIGURES} == pytest.approx({f: rows["plain"][f] for f in FIGURES})
    assert rows["gguf"]["loss"] != rows["base"]["loss"]


def test_a_legacy_file_is_read_as_weights_alone(llama: Path, corpus: Path, tmp_path: Path) -> None:
    make_adapter(tmp_path / "new", llama)
    make_adapter(tmp_path / "old", llama, legacy=True)
    assert [f.name for f in (tmp_path / "old").glob("adapter_model.*")] == ["adapter_model.bin"]
    series = [f"{llama}+{tmp_path / name}" for name in ("new", "old")]
    rows = figures(degen.scan(series, corpus=corpus, out=tmp_path / "run", **SMALL))
    assert rows["old"]["loss"] == rows["new"]["loss"]


def test_half_precision_is_merged_and_measured(llama: Path, corpus: Path, tmp_path: Path) -> None:
    from peft import LoraConfig

    make_adapter(tmp_path / "lora", llama, LoraConfig(target_modules=["q_proj"], modules_to_save=["lm_head"], **CAUSAL))
    series = f"{llama}+{tmp_path / 'lora'}"
    exact = figures(degen.scan(series, corpus=corpus, out=tmp_path / "run", **SMALL))["lora"]
    half = figures(degen.scan(series, corpus=corpus, dtype="bfloat16", out=tmp_path / "half", **SMALL))["lora"]
    assert half["loss"] == pytest.approx(exact["loss"], rel=1e-2)


def test_an_adapter_beside_a_whole_model_is_not_put_on_it(llama: Path, corpus: Path, tmp_path: Path) -> None:
    make_base(tmp_path / "both")
    make_adapter(tmp_path / "both", llama)
    series = [llama, tmp_path / "both", f"applied={tmp_path / 'both'}+{tmp_path / 'both'}"]
    rows = figures(degen.scan(series, corpus=corpus, out=tmp_path / "run", **SMALL))
    assert rows["both"]["loss"] == rows["base"]["loss"] != rows["applied"]["loss"]
