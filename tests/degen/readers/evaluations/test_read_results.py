from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from no_warning import no_warning
from result_files import save

from degen import DegenError
from degen.readers.evaluations.name_parts import split_name
from degen.readers.evaluations.read_results import read_results
from degen.readers.evaluations.result_files import has_results


def old(
    ppl: float = 24.8, arguments: str | None = "pretrained=EleutherAI/pythia-160m,revision=step1000"
) -> dict[str, Any]:
    """Make a result file as versions up to 0.3 wrote it."""
    figures = {"ppl": ppl, "ppl_stderr": 0.9, "acc": 0.35, "acc_stderr": 0.01}
    config = {"model": "hf-causal", "model_args": arguments, "num_fewshot": 0}
    return {"results": {"lambada_openai": figures}, "versions": {"lambada_openai": 0}, "config": config}


def new(**changes: Any) -> dict[str, Any]:
    """Make a result file as versions from 0.4 on write it."""
    lambada = {
        "alias": "lambada_openai", "perplexity,none": 5.1, "perplexity_stderr,none": 0.1, "acc,none": 0.6,
        "acc_stderr,none": 0.007, "sample_len": 5153,
    }  # fmt: skip
    gsm8k = {
        "alias": "gsm8k", "exact_match,strict-match": 0.02, "exact_match_stderr,strict-match": 0.004,
        "exact_match,flexible-extract": 0.03, "exact_match_stderr,flexible-extract": "N/A",
    }  # fmt: skip
    return {
        "results": {"lambada_openai": lambada, "gsm8k": gsm8k},
        "config": {"model": "hf", "model_args": {"pretrained": "EleutherAI/pythia-160m", "revision": "step2000"}},
        "model_name": "EleutherAI/pythia-160m",
        "date": 1714564800.0,
    } | changes


def rows(folder: Path, *columns: str) -> list[tuple[Any, ...]]:
    table = read_results(folder, no_warning).table.to_pylist()
    return [tuple(row[c] for c in columns or row) for row in table]


def test_lm_eval_results_of_both_formats_make_one_table(tmp_path: Path) -> None:
    save(tmp_path / "a.json", old())
    save(tmp_path / "EleutherAI__pythia-160m" / "results_2024-05-01T12-00-00.123456.json", new())
    assert has_results(tmp_path)
    m = "pythia-160m"
    assert rows(tmp_path) == [
        (m, 2000, "gsm8k", "exact_match,flexible-extract", 0.03, None),
        (m, 2000, "gsm8k", "exact_match,strict-match", 0.02, 0.004),
        (m, 1000, "lambada_openai", "acc", 0.35, 0.01),
        (m, 2000, "lambada_openai", "acc", 0.6, 0.007),
        (m, 2000, "lambada_openai", "perplexity", 5.1, 0.1),
        (m, 1000, "lambada_openai", "ppl", 24.8, 0.9),
    ]


@pytest.mark.parametrize(
    ("file", "evaluated", "model", "step"),
    [
        ("pythia-160m-step1000.json", None, "pythia-160m", 1000),
        ("160m_step143000.json", None, "160m", 143_000),
        ("160m_step143000.json", "pretrained=EleutherAI/pythia-160m-deduped", "pythia-160m-deduped", 143_000),
        ("checkpoint-500/results_2024-05-01T12-00-00.json", "pretrained=out/checkpoint-500", "out", 500),
        ("mine/checkpoint-500/results_2024-05-01T12-00-00.json", None, "mine", 500),
        ("mine/step1000-tokens4B/results.json", "pretrained=/data/mine/step1000-tokens4B/,dtype=float32", "mine", 1000),
        ("a.json", "use_cache=False, pretrained=EleutherAI/pythia-70m, revision=step512", "pythia-70m", 512),
        ("a.json", "pretrained=org/tiny-step300", "tiny", 300),
        ("a.json", "pretrained=org/base,peft=lora/checkpoint-30", "lora", 30),
        ("tiny-global_step40.json", "pretrained=org/tiny,revision=main", "tiny", 40),
        ("stage2-step10-tokens1B/tiny.json", None, "tiny", 10),
    ],
)
def test_model_and_step_are_read_from_settings_folders_and_file_names(
    file: str, evaluated: str | None, model: str, step: int, tmp_path: Path
) -> None:
    save(tmp_path / "evals" / file, old(arguments=evaluated))
    assert set(rows(tmp_path / "evals", "model", "step")) == {(model, step)}


def test_the_revision_of_a_new_file_is_read_wherever_it_stands(tmp_path: Path) -> None:
    changed = {"model": "hf", "model_args": "pretrained=org/tiny", "model_revision": "step77"}
    save(tmp_path / "evals" / "results_2024.json", new(config=changed, model_name="org/tiny"))
    assert set(rows(tmp_path / "evals", "model", "step")) == {("tiny", 77)}


def test_the_newest_of_repeated_values_counts_with_a_warning(tmp_path: Path) -> None:
    for day, ppl in (("02", 20.0), ("01", 30.0), ("03", 25.0)):
        save(tmp_path / "evals" / f"results_2024-05-{day}T00-00-00.json", old(ppl))
    warnings: list[str] = []
    opened = read_results(tmp_path / "evals", warnings.append)
    table = opened.table.to_pydict()
    assert table["value"] == [0.35, 25.0]
    assert len(warnings) == 1
    assert "1 value evaluated twice with another result; the newer file counts" in warnings[0]
    assert "(step 1000: results_2024-05-03T00-00-00.json, not results_2024-05-02T00-00-00.json)" in warnings[0]
    assert opened.left_out == (
        "2 values (step 1000 evaluated again, with another result)",
        "2 values (step 1000 evaluated again, with the same result)",
    )


def test_other_files_are_ignored_and_damaged_ones_give_a_warning(tmp_path: Path) -> None:
    folder = tmp_path / "evals"
    save(folder / "step1.json", old())
    save(folder / "config.json", {"vocab_size": 5})
    save(folder / "tokenizer.json", "{ no JSON")
    save(folder / "list.json", '["results"]')
    save(folder / "other.json", {"results": [1, 2]})
    save(folder / "texts.json", {"results": {"piqa": "fine"}})
    cut = save(folder / "step2.json", json.dumps(old())[:60])
    warnings: list[str] = []
    opened = read_results(folder, warnings.append)
    assert (len(opened.table), opened.left_out) == (2, ("1 file (not valid JSON)",))
    assert len(warnings) == 1
    assert f"{cut}: this file is left out, because it is not valid JSON" in warnings[0]
    cut.unlink()
    assert len(read_results(folder, no_warning).table) == 2


def spoilt(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield folders that give no table, and the message of each."""
    (folder / "empty").mkdir()
    yield (
        folder / "empty",
        r"empty: this folder has no results of lm-evaluation-harness, lighteval or OLMES; name the folder",
    )
    save(folder / "other" / "config.json", {"vocab_size": 5})
    yield folder / "other", "other: this folder has no results of lm-evaluation-harness"
    save(folder / "texts" / "step1.json", {"results": {"piqa": {"acc": "N/A", "alias": "piqa", "ok": True}}})
    yield folder / "texts", "texts: the results of lm-evaluation-harness in this folder hold no number"
    save(folder / "stepless" / "results_2024-05-01.json", old(arguments="pretrained=org/tiny,revision=main"))
    yield (
        folder / "stepless",
        r"stepless/results_2024-05-01\.json: the step is unknown: .*rename the file, as in step1000\.json",
    )
    save(folder / "bare" / "results.json", {"results": {"piqa": {"acc": 0.5}}})
    yield folder / "bare", r"bare/results\.json: the step is unknown"
    save(folder / "odd" / "results.json", {"results": {"piqa": {"acc": 0.5}}, "config": [1], "model_name": 5})
    yield folder / "odd", r"odd/results\.json: the step is unknown"


def test_folders_without_results_are_refused(tmp_path: Path) -> None:
    for folder, message in spoilt(tmp_path):
        with pytest.raises(DegenError, match=message):
            read_results(folder, no_warning)


@pytest.mark.parametrize(
    ("name", "step", "rest"),
    [
        ("step1000", 1000, ""),
        ("pythia-160m-step1000", 1000, "pythia-160m"),
        ("step1000-tokens2.5B_tiny", 1000, "tiny"),
        ("tiny_global_step40", 40, "tiny"),
        ("iter3-tiny-step7", 7, "iter3-tiny"),
        ("a-checkpoint-500-b", 500, "a-b"),
    ],
)
def test_a_step_is_found_in_a_longer_name(name: str, step: int, rest: str) -> None:
    parts = split_name(name)
    assert (parts.step.step, parts.model) == (step, rest)


@pytest.mark.parametrize("name", ["main", "results_2024-05-01T12-00-00", "mystep10", "footstep", "step", "step10b", ""])
def test_names_without_a_step_mark_have_no_step(name: str) -> None:
    assert split_name(name).step is None
