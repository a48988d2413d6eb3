"""The named suites: the file that holds them, what a user may say of them, and a scan of one."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from fnmatch import fnmatchcase
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
from faults.command import degen as command
from hub_scans import Scans, revisions

from degen import DegenError
from degen.checkpoints.find_series import find_series, from_suite
from degen.checkpoints.series import Grammar
from degen.checkpoints.steps import parse_revision, parse_steps
from degen.checkpoints.suites import Suite, expected_steps, is_suite, suites, tokens_per_step

REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
UNITS = {"m": 1e6, "b": 1e9}


def parameters(model: str) -> float:
    """Return how many parameters the name of a model promises; 0 where it gives none, as that of a seed."""
    match = re.search(r"(\d+(?:\.\d+)?)([mb])(\d?)(?:-|$)", model)
    return float(f"{match[1]}.{match[3]}" if match[3] else match[1]) * UNITS[match[2]] if match is not None else 0


@pytest.mark.parametrize("suite", suites().values(), ids=list(suites()))
def test_every_suite_names_models_and_a_pattern_that_fits(suite: Suite) -> None:
    assert suite.name == suite.name.lower()
    assert REPO.fullmatch(f"a/{suite.name}")
    assert 10 < len(suite.about) < 110
    assert suite.models
    for name, repo in suite.models.items():
        assert REPO.fullmatch(repo), repo
        assert ".." not in repo
        assert "--" not in repo
        assert not set(name) & set(":,=@+/ ")
    sizes = [parameters(name) for name in suite.models]
    generations = [name.partition("-")[0] if "-" in name else "" for name in suite.models]
    assert all(a <= b for (a, b), (g, h) in zip(pairwise(sizes), pairwise(generations), strict=True) if g == h)
    for name, repo in suite.models.items():  # its size or name stands in the repository's, but for GPT-2's
        assert suite.name == "gpt2" or re.search(
            rf"[-/]{re.escape(name.rpartition('-')[2])}(-|$)", repo, re.IGNORECASE
        ), repo
    if suite.steps is not None:
        assert suite.revisions == "step*"
        steps = parse_steps(suite.steps)
        assert steps == sorted(set(steps))
    assert bool(suite.names) == (suite.revisions != "main")
    for name in suite.names:
        assert any(fnmatchcase(name, glob) for glob in suite.revisions.split(",")), name
        assert parse_revision(name) is not None, name
    assert set(suite.tokens_per_step_by_model) | set(suite.tokenizers) <= set(suite.models)
    stages = {parsed.stage for name in suite.names if (parsed := parse_revision(name)) is not None}
    assert set(suite.tokens_per_step_by_stage) <= stages


def test_every_repository_is_named_once() -> None:
    repos = [repo for suite in suites().values() for repo in suite.models.values()]
    assert len(repos) == len(set(repos))
    names = (
        "pythia pythia-deduped polypythias olmo olmo2 olmo3 smollm2 smollm3 datadecide apertus amber bloom crfm-gpt2"
    )
    assert {*names.split(), "gpt2", "opt", "gemma"} == set(suites())


def test_the_file_holds_suites_and_nothing_else() -> None:
    tables = tomllib.loads(files("degen.checkpoints").joinpath("suites.toml").read_text(encoding="utf-8"))
    for table in tables.values():
        assert set(table) <= {f.name for f in fields(Suite)} - {"name"}


def test_the_suite_of_pythia_has_the_published_models_and_steps() -> None:
    for name in ("pythia", "pythia-deduped"):
        suite = suites()[name]
        for repo in suite.models.values():
            steps = expected_steps(repo)
            assert steps is not None
            assert (len(steps), steps[:12], steps[-1]) == (154, [0, *(2**i for i in range(10)), 1000], 143_000)
            assert tokens_per_step(repo) == 1024 * 2048  # batches of 1,024 windows of 2,048 tokens
    assert tokens_per_step("openai-community/gpt2") is expected_steps("openai-community/gpt2") is None
    assert tokens_per_step("stranger/pythia-70m") is expected_steps("stranger/pythia-70m") is None


@pytest.mark.parametrize(
    ("repo", "expected"),
    [
        ("EleutherAI/pythia-410m-seed9", 2_097_152),
        ("EleutherAI/pythia-160m-weight-seed3", 2_097_152),
        ("HuggingFaceTB/SmolLM2-135M-intermediate-checkpoints", 1_048_576),
        ("HuggingFaceTB/SmolLM2-360M-intermediate-checkpoints", None),
        ("HuggingFaceTB/SmolLM2-1.7B-intermediate-checkpoints", 2_097_152),
        ("HuggingFaceTB/SmolLM3-3B-checkpoints", 2_359_296),
        ("allenai/Olmo-3-1025-7B", None),  # by stage
    ],
)
def test_tokens_of_a_step_are_those_of_the_model_cards(repo: str, expected: int | None) -> None:
    assert tokens_per_step(repo) == expected


def test_intermediate_checkpoints_of_bloom_take_the_tokenizer_of_the_final_model(
    scans: Scans, series: Path, corpus: Path
) -> None:
    files = revisions(series)["step1000"]
    weights = {name: content for name, content in files.items() if "token" not in name}
    scans.add("bigscience/bloom-560m-intermediate", {"global_step1000": weights, "main": {"README.md": b""}})
    scans.add("bigscience/bloom-560m", {"main": {n: c for n, c in files.items() if not n.endswith(".safetensors")}})
    (row,) = scans.scan("bloom:560m", corpus=corpus).checkpoints()
    assert (row["model"], row["step"], row["status"]) == ("bloom-560m-intermediate", 1000, "ok")
    assert row["loss"] is not None


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("pythia:70n", ("the suite pythia has no model '70n'; did you mean '70m'?",)),
        ("pythia:70m,9z", ("the suite pythia has no model '9z'; there are 14m, 31m",)),
        ("pythia:", ("the suite pythia has no model ''; there are 14m",)),
        ("pythia:70m@step1000", ("the suite pythia has no model '70m@step1000'",)),
        ("pythai", ("pythai: no such folder or file; did you mean the suite 'pythia'?",)),
        ("pythia-dedupd:70m", ("did you mean the suite 'pythia-deduped'?",)),
        ("mine=pythia:70m,160m", ("mine=pythia:70m,160m: a label names one series, and pythia:70m,160m is 2",)),
        ("xyzzy", ("xyzzy: no such folder or file",)),
        ("pythia:70m", ("EleutherAI/pythia-70m: no such repository on the hub",)),
    ],
)
def test_an_unknown_suite_or_model_gives_one_message(
    scans: Scans, tmp_path: Path, spec: str, words: tuple[str, ...]
) -> None:
    if spec.startswith("mine"):
        for name in ("70m", "160m"):
            scans.add(f"EleutherAI/pythia-{name}", {"step0": {"config.json": name.encode()}})
    result = command("scan", spec, "-o", tmp_path / "run")
    assert result.code == 2
    for word in words:
        assert word in result.message


def test_an_unknown_model_of_a_suite_sends_no_request_to_the_hub(scans: Scans) -> None:
    with pytest.raises(DegenError, match="no model"):
        from_suite("pythia:70m,9z", Grammar())
    assert not scans.hub.requests


def test_models_are_named_once_and_in_any_order(scans: Scans) -> None:
    for name in ("70m", "160m"):
        scans.add(f"EleutherAI/pythia-{name}", {"step5": {"config.json": b"5"}, "main": {"config.json": b"main"}})
    series = find_series(["pythia:160m,70m,160m"])
    assert [(s.model, [c.revision for c in s.checkpoints]) for s in series] == [
        ("pythia-160m", ["step5"]), ("pythia-70m", ["step5"]),
    ]  # fmt: skip
    (labelled,) = find_series(["small=pythia:70m"])
    assert (labelled.model, labelled.checkpoints[0].tokens_seen) == ("small", 5 * 2_097_152)
    with pytest.raises(DegenError, match="would both be called"):
        find_series(["pythia:70m", "EleutherAI/pythia-70m@step5"])
    assert is_suite("pythia:nosuch")
    assert not is_suite("pythia-70m")


def test_every_model_of_a_suite_is_scanned(scans: Scans, series: Path, corpus: Path, tmp_path: Path) -> None:
    named = revisions(series)
    for name in ("14m", "31m"):
        scans.add(f"EleutherAI/pythia-{name}", named | {"main": named["step1000"] | {"README.md": name.encode()}})
    run = scans.scan("pythia:14m,31m", steps="0,1000", corpus=corpus)
    rows = [(r["model"], r["revision"], r["status"], r["tokens_seen"]) for r in run.checkpoints()]
    assert rows == [
        (model, revision, "ok", tokens)
        for model in ("pythia-14m", "pythia-31m")
        for revision, tokens in (("step0", 0), ("step1000", 1000 * 2_097_152))
    ]
    result = command("scan", "pythia:14m", "--probes", "spectrum", "--json", "-o", tmp_path / "heads")
    assert (result.code, [row["revision"] for row in result.json()["rows"]]) == (0, ["step0", "step100", "step1000"])


def test_a_suite_of_final_weights_is_their_main_branches(scans: Scans, series: Path) -> None:
    named = revisions(series)
    models = suites()["gpt2"].models
    for i, repo in enumerate(models.values()):
        scans.add(repo, {"main": named["step0"] | {"README.md": bytes([i])}, "step7": named["step100"]})
    rows = scans.heads("gpt2").checkpoints()
    assert [(r["model"], r["revision"], r["step"], r["status"]) for r in rows] == [
        (repo.rpartition("/")[2], "main", None, "ok") for repo in models.values()
    ]
