"""Stages, ingredients and seeds: tokens that add up over stages, and runs that become models of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_scans import Scans, marked

from degen.checkpoints.find_series import find_series
from degen.checkpoints.series import Grammar, Series

B = 10**9


def found(scans: Scans, spec: str, *names: str) -> dict[str, list[tuple[str, int | None]]]:
    """Serve a repository and return its series: label -> revision and tokens of each checkpoint."""
    repo = spec.partition("@")[0]
    if repo not in scans.hub.repos:
        scans.add(repo, {name: marked(name) for name in (*names, "main")})
    return {s.model: [(c.revision, c.tokens_seen) for c in s.checkpoints] for s in find_series([spec])}


def folders(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).mkdir(parents=True)
        (path / name / "config.json").write_text("{}")
    return path


OLMO2 = (
    "stage1-step150-tokens1B", "stage1-step1000-tokens4B", "stage1-step928646-tokens3896B",
    "stage2-ingredient1-step1000-tokens3B", "stage2-ingredient1-step11931-tokens50B",
    "stage2-ingredient2-step1000-tokens3B",
)  # fmt: skip


def test_ingredients_are_models_of_their_own_that_go_on_from_stage_1(scans: Scans) -> None:
    assert found(scans, "allenai/OLMo-2-1124-7B@stage*", *OLMO2) == {
        "OLMo-2-1124-7B": [(OLMO2[0], B), (OLMO2[1], 4 * B), (OLMO2[2], 3896 * B)],
        "OLMo-2-1124-7B/ingredient1": [(OLMO2[3], 3899 * B), (OLMO2[4], 3946 * B)],
        "OLMo-2-1124-7B/ingredient2": [(OLMO2[5], 3899 * B)],
    }
    # stage 1 is known from the names on the hub, named or not
    one = found(scans, f"allenai/OLMo-2-1124-7B@{OLMO2[4]}")
    assert one == {"OLMo-2-1124-7B/ingredient1": [(OLMO2[4], 3946 * B)]}
    assert list(found(scans, "mine=allenai/OLMo-2-1124-7B@stage*")) == ["mine", "mine/ingredient1", "mine/ingredient2"]


def test_tokens_of_a_step_differ_by_stage_and_add_up(scans: Scans) -> None:
    names = ("stage1-step100", "stage1-step200", "stage2-step50", "stage2-step100", "stage3-step10")
    one, two = 4_194_304, 2_097_152
    total = [100 * one, 200 * one, 200 * one + 50 * two, 200 * one + 100 * two, 200 * one + 100 * two + 10 * one]
    scans.add("allenai/Olmo-3-1025-7B", {name: marked(name) for name in (*names, "main")})
    (series,) = find_series(["olmo3:7b"])
    assert [c.tokens_seen for c in series.checkpoints] == total
    assert [c.stage for c in series.checkpoints] == ["stage1", "stage1", "stage2", "stage2", "stage3"]
    (series,) = find_series(["olmo3:7b"], grammar=Grammar(tokens_per_step=10))  # what the user says holds
    assert [c.tokens_seen for c in series.checkpoints] == [1000, 2000, 2500, 3000, 3100]


def test_stages_that_count_on_and_stages_that_count_anew(scans: Scans) -> None:
    names = {
        "stage1-step-40000": 40_000,
        "stage1-step-3440000": 3_440_000,
        "stage2-step-3480000": 3_480_000,
        "stage3-step-4720000": 4_720_000,
        "lc-4k-to-32k-step-4000": 4_724_000,
        "lc-4k-to-32k-step-20000": 4_740_000,
        "lc-32k-to-64k-step-4000": 4_744_000,
    }
    scans.add("HuggingFaceTB/SmolLM3-3B-checkpoints", {name: marked(name) for name in names})
    (series,) = find_series(["smollm3"])
    assert {c.revision: c.tokens_seen for c in series.checkpoints} == {n: s * 2_359_296 for n, s in names.items()}
    assert [c.revision for c in series.checkpoints] == list(names)


def test_seeds_are_models_of_their_own(scans: Scans) -> None:
    names = ("step1250-seed-default", "step0-seed-default", "step1250-seed-small-aux-2")
    scans.add("allenai/DataDecide-dolma1_7-4M", {name: marked(name) for name in names})
    series = find_series(["datadecide:4m"])
    assert [(s.model, [(c.revision, c.step, c.seed) for c in s.checkpoints]) for s in series] == [
        ("DataDecide-dolma1_7-4M/seed-default", [(names[1], 0, "default"), (names[0], 1250, "default")]),
        ("DataDecide-dolma1_7-4M/seed-small-aux-2", [(names[2], 1250, "small-aux-2")]),
    ]


def test_folders_are_told_apart_as_branches_are(tmp_path: Path) -> None:
    path = folders(tmp_path / "mine", "step10-seed1", "step20-seed1", "step10-seed2")
    assert [(s.model, [c.step for c in s.checkpoints]) for s in find_series([str(path)])] == [
        ("mine/seed-1", [10, 20]), ("mine/seed-2", [10]),
    ]  # fmt: skip
    (one,) = find_series([str(path / "step10-seed2")])
    assert one.model == "mine/seed-2"


@pytest.mark.parametrize(
    ("names", "tokens"),
    [
        (("step1000", "step2000", "extension_step500"), [10_000, 20_000, 25_000]),  # Lucie
        (("stage2-step10-tokens1B", "stage2-step20-tokens2B"), [B, 2 * B]),  # no stage 1 to add
        (("step150-tokens1B", "stage1-step100-tokens1B"), [B, B]),  # a stray name adds nothing
        (("step50000-tokens210B", "longctx-step1000"), [210 * B, 210 * B + 10_000]),  # Apertus, with --tokens-per-step
    ],
)
def test_tokens_of_other_forms_of_names(tmp_path: Path, names: tuple[str, ...], tokens: list[int]) -> None:
    (series,) = find_series([str(folders(tmp_path / "m", *names))], grammar=Grammar(tokens_per_step=10))
    assert [c.tokens_seen for c in series.checkpoints] == tokens


def test_without_the_tokens_of_a_step_those_of_a_later_stage_are_unknown(tmp_path: Path) -> None:
    series: Series
    (series,) = find_series([str(folders(tmp_path / "m", "step1000-tokens4B", "step2000", "longctx-step500-tokens1B"))])
    assert [c.tokens_seen for c in series.checkpoints] == [4 * B, None, None]
