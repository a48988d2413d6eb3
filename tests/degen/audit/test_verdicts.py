from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from degen.audit.evidence import Facts
from degen.audit.thresholds import MAX_RATIO
from degen.audit.verdicts import RevisionVerdict, judge

Floats = np.ndarray[Any, np.dtype[np.float64]]
PYTHIA = [0, *(2**i for i in range(10)), *range(1000, 143_001, 1000)]
SERIES = Path(__file__).parents[3] / "degen" / "demo" / "series"
LATE = 141_500  # between two steps of the grid: weights that no revision owns
KINDS = {  # drift, noise and pull towards a minimum
    "walk": (0.3, 1.0, 0.02),
    "valley": (0.0, 0.2, 1.0),
    "drift": (3.0, 0.3, 0.1),
    "noise": (0.0, 2.0, 1.0),
}


def training(seed: int, kind: str, steps: Sequence[int] = PYTHIA, width: int = 512) -> dict[int, Floats]:
    """Return weights of a run: descent with noise and drift, warm-up and cosine, tensors of unlike scales."""
    drift, noise, pull = KINDS[kind]
    rng = np.random.default_rng(seed)
    scale = 0.02 * np.exp(rng.normal(0, 0.5, width))
    goal, along = scale * rng.normal(size=(2, width)) * [[rng.uniform(0.5, 3)], [1]]
    curvature = pull * 10 ** rng.uniform(-2, 1, width)
    peak = 10 ** rng.uniform(-4.5, -3)
    weights = scale * rng.normal(size=width)
    path, moment = {0: weights}, 0
    for step in steps[1:]:
        while moment < step:
            for_steps = min(step - moment, moment // 4 + 1)
            rate = peak * min(1.0, moment / 1430) * (0.55 + 0.45 * np.cos(np.pi * moment / 143_000)) + 1e-9
            shrunk = np.exp(-curvature * rate * for_steps)
            variance = 50 * (noise * rate * scale) ** 2 * (1 - shrunk**2) / (2 * curvature * rate)
            weights = goal + (weights - goal) * shrunk + 0.1 * drift * rate * for_steps * along
            weights = weights + np.sqrt(variance) * rng.normal(size=width)
            moment += for_steps
        path[step] = weights
    return path


def facts(path: Mapping[int, Floats] | Mapping[int, Mapping[str, Floats]], **known: Any) -> list[Facts]:
    """Return facts of revisions step0, step1, … that hold these weights, in one file or in shards."""
    return [holding(step, at if isinstance(at, Mapping) else {"model": at}, **known) for step, at in path.items()]


def holding(step: int, shards: Mapping[str, Floats], **known: Any) -> Facts:
    hashes = {name: hashlib.sha256(values.tobytes()).hexdigest() for name, values in shards.items()}
    return Facts(f"step{step}", step, hashes=hashes, samples=shards, **known)


def unread(all_facts: Sequence[Facts]) -> list[Facts]:
    return [replace(f, samples={}) for f in all_facts]


def sharded(seed: int, kind: str, shards: int = 2, steps: Sequence[int] = PYTHIA) -> dict[int, dict[str, Floats]]:
    runs = {f"shard{k}": training(1000 * k + seed, kind, steps) for k in range(shards)}
    return {step: {name: run[step] for name, run in runs.items()} for step in steps}


def main(of: Facts) -> Facts:
    return replace(of, revision="main", step=None)


def faults(verdicts: Sequence[RevisionVerdict]) -> dict[int | None, str]:
    return {v.step: v.verdict for v in verdicts if v.verdict != "ok"}


def reason(verdicts: Sequence[RevisionVerdict], step: int) -> str:
    [verdict] = [v for v in verdicts if v.step == step]
    return verdict.reason or ""


def walk(steps: int, seed: int = 0, width: int = 100) -> dict[int, Floats]:
    moves = np.random.default_rng(seed).normal(size=(steps, width))
    return dict(enumerate(np.cumsum(moves, axis=0)))


# Genuine series: nothing is accused


@pytest.mark.parametrize("kind", KINDS)
def test_genuine_training_has_no_fault(kind: str) -> None:
    for seed in range(55):
        path = training(seed, kind, width=(64, 128, 192)[seed % 3])
        assert faults(judge(facts(path))) == {}, seed


@pytest.mark.parametrize("kind", KINDS)
def test_any_few_steps_of_genuine_training_have_no_fault(kind: str) -> None:
    for seed in range(25):
        rng = np.random.default_rng(seed)
        chosen = sorted(rng.choice(PYTHIA, rng.integers(2, 16), replace=False).tolist())
        path = training(seed, kind, sorted({0, *chosen}))
        verdicts = judge(facts({s: path[s] for s in chosen}), expected=chosen)
        assert faults(verdicts) == {}, (seed, chosen)


def test_weights_whose_moves_half_precision_hides_have_no_fault() -> None:
    for seed in range(10):
        exact = training(seed, "valley")
        rounded = [replace(f, samples={"model": f.samples["model"].astype(np.float16)}) for f in facts(exact)]
        assert faults(judge(rounded)) == {}


@pytest.mark.parametrize("positions", [1, 2, 3, 12, 48, 200])
@pytest.mark.parametrize("freedom", [1, 3, 100])
def test_pure_noise_has_no_fault(positions: int, freedom: int) -> None:
    for seed in range(6):
        noise = np.random.default_rng(seed).standard_t(freedom, size=(40, positions))
        assert faults(judge(facts(dict(enumerate(noise))))) == {}


@pytest.mark.parametrize("model", ["healthy", "broken", "overfit"])
@pytest.mark.parametrize("shards", [1, 2, 5])
def test_the_bundled_series_have_no_fault(model: str, shards: int) -> None:
    verdicts = judge(facts(bundled(model, shards)))
    assert len(verdicts) == len(list((SERIES / model).glob("step*")))
    assert faults(verdicts) == {}


def bundled(model: str, shards: int) -> dict[int, dict[str, Floats]]:
    path = {}
    for folder in (SERIES / model).glob("step*"):
        tensors = load_file(folder / "model.safetensors")
        read = {name: t.ravel()[:: max(1, t.size // 256)].astype(np.float64) for name, t in sorted(tensors.items())}
        parts = np.array_split(np.array(list(read)), shards)
        path[int(folder.name[4:])] = {f"shard{k}": np.concatenate([read[n] for n in p]) for k, p in enumerate(parts)}
    return path


def test_a_shard_of_another_real_run_is_found() -> None:
    path, other = bundled("healthy", 2), bundled("overfit", 2)
    path[2500]["shard0"] = other[2000]["shard0"]
    assert faults(judge(facts(path))) == {2500: "wrong_shard"}


def test_a_second_stage_may_go_on_from_any_point_of_the_first() -> None:
    first = walk(30)
    second = {step: first[12] + values for step, values in walk(12, seed=1).items()}
    later = [replace(f, revision=f"stage2-{f.revision}", stage="stage2") for f in facts(second)]
    assert faults(judge([*facts(first), *later])) == {}


def test_a_training_that_jumps_for_good_has_no_fault() -> None:
    path = walk(40)
    for step in range(20, 40):
        path[step] = path[step] + 500
    assert faults(judge(facts(path))) == {}


# What was published: plants in series like Pythia


@pytest.mark.parametrize("kind", KINDS)
def test_86_of_154_steps_with_the_weights_of_two_late_steps_are_found(kind: str) -> None:
    for seed in range(4):
        path = training(seed, kind, sorted([*PYTHIA, LATE]))
        late, final = path.pop(LATE), path[143_000]
        chosen = np.random.default_rng(seed).permutation(PYTHIA[:115])[:86].tolist()
        dirty = {**path, **dict.fromkeys(chosen[:43], final), **dict.fromkeys(chosen[43:], late)}
        expected = {**dict.fromkeys(chosen[:43], "equals_final"), **dict.fromkeys(chosen[43:], "duplicate")}
        read = facts(dirty)
        for verdicts in (judge(read), judge([*read, main(read[-1])], final=main(read[-1]))):
            assert faults(verdicts) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_86_of_154_steps_are_found_where_one_of_each_group_is_genuine(kind: str) -> None:
    for seed in range(4):
        path = training(seed, kind)
        chosen = np.random.default_rng(seed).permutation(PYTHIA[:115])[:85].tolist()
        dirty = {**path, **dict.fromkeys(chosen[:43], path[143_000]), **dict.fromkeys(chosen[43:], path[135_000])}
        verdicts = judge(facts(dirty))
        expected = {**dict.fromkeys(chosen[:43], "equals_final"), **dict.fromkeys(chosen[43:], "duplicate")}
        assert faults(verdicts) == expected
        assert all(reason(verdicts, step).startswith("identical to step135000, and ") for step in chosen[43:])


@pytest.mark.parametrize("kind", ["walk", "drift", "noise"])
@pytest.mark.parametrize("shards_of", [(120_000, 20_000), (120_000, 120_000), (143_000, 143_000), (LATE, LATE)])
def test_a_wrong_first_shard_at_two_steps_is_found(kind: str, shards_of: tuple[int, int]) -> None:
    for seed in range(2):
        path = sharded(seed, kind, steps=sorted([*PYTHIA, LATE]))
        for step, other in zip((50_000, 58_000), shards_of, strict=True):
            path[step]["shard0"] = path[other]["shard0"]
        del path[LATE]
        verdicts = judge(facts(path))
        assert faults(verdicts) == {50_000: "wrong_shard", 58_000: "wrong_shard"}
        assert reason(verdicts, 50_000).startswith("shard0 is identical to that of step")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [4, 512, 70_000])
def test_late_weights_at_an_early_step_are_found_though_no_hash_tells(kind: str, step: int) -> None:
    for seed in range(2):
        path = training(seed, kind, sorted([*PYTHIA, LATE]))
        path[step] = path.pop(LATE)
        assert faults(judge(facts(path))) == {step: "discontinuous"}


@pytest.mark.parametrize("kind", ["walk", "drift", "noise"])
def test_faults_of_every_kind_at_once_are_each_found(kind: str) -> None:
    for seed in range(3):
        path = sharded(seed, kind, steps=sorted([*PYTHIA, LATE]))
        path[2] = path[0]
        path[50_000] = path[50_000] | {"shard0": path[LATE]["shard0"]}
        path[58_000] = path[58_000] | {"shard0": path[LATE]["shard0"] * 1.001}
        path[97_000] = path[97_000] | {"shard1": np.where(np.arange(512) == 7, np.nan, path[97_000]["shard1"])}
        del path[LATE], path[120_000]
        judged = faults(judge(facts(path)))
        planted = {50_000: "wrong_shard", 58_000: "wrong_shard"}
        assert judged == {2: "duplicate", 97_000: "not_finite", 120_000: "missing", **planted}


# Identity


def test_step_2_that_equals_step_0_is_the_copy() -> None:
    path = walk(10)
    path[2] = path[0]
    verdicts = judge(facts(path))
    assert faults(verdicts) == {2: "duplicate"}
    assert reason(verdicts, 2) == "identical to step0, where the weights fit no worse"
    assert verdicts[0] == RevisionVerdict("step0", 0, "ok", None, "identical to step2")


def test_without_values_the_earliest_copy_is_taken_for_the_owner_and_no_other_verdict_is_given() -> None:
    path = walk(10)
    path[3] = path[6] = path[8]
    verdicts = judge(unread(facts(path)))
    assert faults(verdicts) == {6: "duplicate", 8: "duplicate"}
    assert reason(verdicts, 8) == "identical to step3"


def test_with_values_the_copy_that_lies_on_the_path_is_the_owner_whether_early_or_late() -> None:
    for owner, copy in ((3, 20), (20, 3)):
        path = walk(24)
        path[copy] = path[owner]
        verdicts = judge(facts(path))
        assert faults(verdicts) == {copy: "duplicate"}
        assert reason(verdicts, copy).startswith(f"identical to step{owner}, and ")
        assert "as far from" in reason(verdicts, copy)


def test_copies_need_be_read_only_once() -> None:
    path = walk(24)
    path[3] = path[20]
    read = [replace(f, samples={}) if f.step == 3 else f for f in facts(path)]
    assert faults(judge(read)) == {3: "duplicate"}


def test_copies_that_are_in_place_nowhere_have_no_owner() -> None:
    path = walk(24) | dict.fromkeys((4, 9), walk(1, seed=5)[0] * 20)
    verdicts = judge(facts(path))
    assert faults(verdicts) == {4: "duplicate", 9: "duplicate"}
    assert reason(verdicts, 4).startswith("identical to step9, and ")


def test_main_equal_to_the_last_step_puts_neither_at_fault() -> None:
    read = facts(walk(10))
    for given_facts in ([*read, main(read[-1])], unread([*read, main(read[-1])])):
        verdicts = judge(given_facts, final=main(read[-1]))
        assert faults(verdicts) == {}
        assert verdicts[-1] == RevisionVerdict("main", None, "ok", None, "identical to step9")
        assert verdicts[-2].note == "identical to main"


@pytest.mark.parametrize("with_values", [True, False])
def test_the_final_weights_belong_to_the_last_step(with_values: bool) -> None:
    path = walk(24)
    path[5] = path[11] = path[23]
    read = facts(path) if with_values else unread(facts(path))
    verdicts = judge(read, final=main(read[-1]))
    assert faults(verdicts) == {5: "equals_final", 11: "equals_final"}
    assert reason(verdicts, 5).startswith("identical to step23, the final one")


def test_the_final_weights_belong_to_an_earlier_step_where_they_lie_on_the_path_there_alone() -> None:
    path = walk(24)
    path[23] = path[8]
    verdicts = judge(facts(path))
    assert faults(verdicts) == {23: "duplicate"}
    assert reason(verdicts, 23).startswith("identical to step8, and ")


def test_an_early_step_may_be_the_final_one_only_where_it_is_in_place() -> None:
    path = walk(24)
    assert faults(judge(facts(path), final=main(facts(path)[9]))) == {}
    path[9] = path[23] + 1e-3
    verdicts = judge(facts(path), final=main(facts(path)[9]))
    assert faults(verdicts) == {9: "equals_final"}
    assert reason(verdicts, 9).startswith("identical to main, the final one, and ")


def test_copies_of_revisions_that_are_not_finite_or_at_fault_are_no_copies() -> None:
    path = walk(10)
    path[3] = path[7] = np.full(100, np.nan)
    assert faults(judge(facts(path))) == {3: "not_finite", 7: "not_finite"}
    read = facts(walk(10) | {3: walk(10)[7]})
    read[3] = replace(read[3], fault=("unreadable", "cut off"))
    assert faults(judge(read)) == {3: "unreadable"}


# Shards


def two_shards(steps: int = 24) -> dict[int, dict[str, Floats]]:
    a, b = walk(steps), walk(steps, seed=1)
    return {step: {"a": a[step], "b": b[step]} for step in range(steps)}


@pytest.mark.parametrize(("wrong", "owner"), [(6, 18), (18, 6)])
def test_a_shard_of_another_step_is_wrong_where_it_is_not_in_place(wrong: int, owner: int) -> None:
    path = two_shards()
    path[wrong]["a"] = path[owner]["a"]
    verdicts = judge(facts(path))
    assert faults(verdicts) == {wrong: "wrong_shard"}
    assert reason(verdicts, wrong).startswith(f"a is identical to that of step{owner} and ")
    assert faults(judge(unread(facts(path)))) == {max(wrong, owner): "wrong_shard"}  # the earliest is taken for genuine


def test_a_foreign_shard_that_two_steps_share_belongs_to_neither() -> None:
    path = two_shards()
    path[6]["a"] = path[15]["a"] = walk(1, seed=9)[0] * 20
    assert faults(judge(facts(path))) == {6: "wrong_shard", 15: "wrong_shard"}


def test_a_frozen_shard_is_not_wrong_and_one_that_breaks_out_of_it_is() -> None:
    path = two_shards()
    for step in path:
        path[step]["a"] = path[0]["a"]
    assert faults(judge(facts(path))) == faults(judge(unread(facts(path)))) == {}
    path[7]["a"] = walk(24)[9]
    verdicts = judge(facts(path))
    assert faults(verdicts) == {7: "wrong_shard"}
    assert reason(verdicts, 7) == "a is far from step6 and step8, which are equal"


@pytest.mark.parametrize("phase", [range(0, 8), range(9, 14), range(18, 24)])
def test_a_shard_may_be_frozen_for_a_phase_of_training(phase: range) -> None:
    path = two_shards()
    for step in phase:
        path[step]["a"] = path[phase[0]]["a"]
    for later in range(phase[-1] + 1, 24):
        path[later]["a"] = path[later]["a"] - walk(24)[phase[-1]] + walk(24)[phase[0]]
    assert faults(judge(facts(path))) == faults(judge(unread(facts(path)))) == {}


def test_all_shards_out_of_place_are_a_jump_and_all_but_one_are_wrong_shards() -> None:
    path = {step: {name: walk(24, seed)[step] for seed, name in enumerate("abc")} for step in range(24)}
    foreign = walk(3, seed=9)
    path[8] |= {"a": foreign[0] * 20, "b": foreign[1] * 20}
    verdicts = judge(facts(path))
    assert faults(verdicts) == {8: "wrong_shard"}
    assert reason(verdicts, 8).endswith("; 1 more shard out of place")
    path[8]["c"] = foreign[2] * 20
    verdicts = judge(facts(path))
    assert faults(verdicts) == {8: "discontinuous"}
    assert reason(verdicts, 8).endswith("no other shard is in place for certain")


def test_steps_that_are_laid_out_in_other_files_are_left_alone() -> None:
    path = two_shards()
    read = [*facts({s: v for s, v in path.items() if s % 2}), *facts({s: v["a"] for s, v in path.items() if not s % 2})]
    read[3] = replace(read[3], samples={"a": np.arange(7.0), "b": np.arange(0.0)})
    assert faults(judge(read)) == {}


# Continuity


@pytest.mark.parametrize(("ratio", "expected"), [(MAX_RATIO - 0.01, {}), (MAX_RATIO + 0.01, {4: "discontinuous"})])
def test_a_path_ratio_above_the_threshold_is_discontinuous(ratio: float, expected: dict[int, str]) -> None:
    # The others lie √2 from each other, and step 4 lies ratio · √2 from each.
    blocks = np.kron(np.eye(9), np.full(30, 30**-0.5))
    blocks[4] *= np.sqrt(2 * ratio**2 - 1)
    verdicts = judge(facts(dict(enumerate(blocks))))
    assert faults(verdicts) == expected
    if expected:
        assert reason(verdicts, 4) == "model is 2.0 times as far from step3 and step5 as these are from each other"


@pytest.mark.parametrize("wrong", [[9], [9, 10], [9, 11], [9, 10, 11], [9, 11, 13], [4, 9, 14, 19]])
def test_wrong_neighbours_are_all_found_and_right_ones_are_not_accused(wrong: list[int]) -> None:
    for seed in range(10):
        path = walk(24, seed)
        foreign = 20 * walk(1, seed=99)[0] + np.stack(list(walk(24, seed + 50).values()))
        assert faults(judge(facts(path | {s: foreign[s] for s in wrong}))) == dict.fromkeys(wrong, "discontinuous")


@pytest.mark.parametrize(("wrong", "like"), [(0, 23), (23, 0), (1, 23), (22, 0), (0, 12), (23, 11)])
def test_weights_of_a_distant_step_are_found_near_an_end(wrong: int, like: int) -> None:
    path = walk(24, width=400)
    path[wrong] = path[like] + 1e-3  # no copy by its hash, and within what bfloat16 rounds
    verdicts = judge(facts(path))
    assert faults(verdicts) == {wrong: "discontinuous"}


def test_a_far_first_or_last_step_may_be_training() -> None:
    path = walk(24)
    path[0], path[23] = path[0] - 500, path[23] + 500
    assert faults(judge(facts(path))) == {}


def test_too_little_evidence_gives_no_fault() -> None:
    too_few = {0: np.zeros(100), 1: np.full(100, 9.0), 2: np.zeros(100) + 1e-9}
    assert faults(judge(facts(too_few))) == {}  # of three, 0 may be the wrong one
    one_value = walk(24) | {9: walk(24)[9] + np.eye(100)[3] * 1e4}
    assert faults(judge(facts(one_value))) == {}
    assert judge([]) == []
    assert faults(judge([Facts(f"step{s}", s) for s in range(9)])) == {}
    assert faults(judge([Facts(f"step{s}", s, samples={"model": np.zeros(0)}) for s in range(9)])) == {}
    assert faults(judge([Facts(f"step{s}", s, samples={"model": np.zeros(50)}) for s in range(9)])) == {}


def test_equal_neighbours_accuse_what_differs_by_more_than_storage() -> None:
    still = {step: np.full(100, 1.0) * (1 + step * 2.0**-40) for step in range(12)}
    assert faults(judge(facts(still | {5: still[5] * (1 + 2.0**-9)}))) == {}
    assert faults(judge(facts(still | {5: still[5] * 1.5}))) == {5: "discontinuous"}


@pytest.mark.parametrize("width", ["<u2", "<u4"])
def test_garbage_is_found_though_its_largest_values_drown_the_others(width: str) -> None:
    bits = np.random.default_rng(0).integers(0, 2**16, 4000).astype(np.uint32) << 16  # any bfloat16
    garbage = bits.view(np.float32)[np.isfinite(bits.view(np.float32))][:200].astype(np.float64)
    path = walk(24, width=200)
    assert faults(judge(facts(path | {9: garbage}))) == {9: "discontinuous"}


# One revision by itself


def test_not_finite_values_are_reported_as_given_or_as_counted() -> None:
    read = facts(walk(10))
    read[3] = replace(read[3], not_finite="lm_head.weight holds NaN or infinity in 3 of 512 values read")
    read[6] = replace(read[6], samples={"model": np.array([1.0, np.inf, np.nan])})
    verdicts = judge(read)
    assert faults(verdicts) == {3: "not_finite", 6: "not_finite"}
    assert reason(verdicts, 3) == "lm_head.weight holds NaN or infinity in 3 of 512 values read"
    assert reason(verdicts, 6) == "model holds NaN or infinity in 2 of 3 values read"


def test_faults_and_notes_of_facts_become_those_of_the_verdict() -> None:
    read = facts(walk(10))
    read[3] = replace(read[3], fault=("missing_file", "model-2.bin is not there"), notes=("of 2021",))
    verdicts = judge(read)
    assert verdicts[3] == RevisionVerdict("step3", 3, "missing_file", "model-2.bin is not there", "of 2021")
    assert verdicts[4].verdict == "ok"


def test_shapes_unlike_those_of_most_revisions_are_faults() -> None:
    usual: dict[str, tuple[int, ...]] = {"head": (512, 8), "norm": (8,)}
    read = facts(walk(10), shapes=usual)
    assert faults(judge(read)) == {}
    read[2] = replace(read[2], shapes=usual | {"head": (500, 8)})
    read[4] = replace(read[4], shapes={"head": (512, 8)})
    read[6] = replace(read[6], shapes=usual | {"bias": (), "more": (2,)})
    read[8] = replace(read[8], shapes=None)
    verdicts = judge(read)
    assert faults(verdicts) == dict.fromkeys((2, 4, 6), "different_shape")
    assert reason(verdicts, 2) == "head is 500 × 8, in most revisions 512 × 8"
    assert reason(verdicts, 4) == "norm is missing; most revisions have it"
    assert reason(verdicts, 6) == "bias is there; most revisions lack it; 1 more tensor differs"


def test_without_a_majority_no_shape_is_the_usual_one() -> None:
    shapes: list[dict[str, tuple[int, ...]]] = [{"head": (512 + step // 5, 8)} for step in range(10)]
    read = [replace(f, shapes=s) for f, s in zip(facts(walk(10)), shapes, strict=True)]
    assert faults(judge(read)) == {}


# The grid


def at(names: Sequence[str], steps: Sequence[int], stage: str | None = None) -> list[Facts]:
    return [Facts(name, step, stage) for name, step in zip(names, steps, strict=True)]


def plain(steps: Sequence[int]) -> list[Facts]:
    return at([f"step{s}" for s in steps], steps)


@pytest.mark.parametrize(
    ("gone", "missing"),
    [
        ([66_000], [66_000]),
        ([66_000, 67_000], [66_000, 67_000]),
        ([66_000, 68_000], [66_000, 68_000]),
        ([4000], [4000]),  # two strides after the change from doubling
        ([3000], []),
        ([140_000], [140_000]),
        ([141_000], []),  # one stride after it: it may have changed
        ([143_000], []),
        ([256], []),
        ([0], []),
        ([*range(20_000, 60_000, 2000)], []),  # a stride of its own
        ([*range(10_000, 120_000)], []),  # left out on purpose
    ],
)
def test_a_step_absent_from_evenly_spaced_ones_is_missing(gone: list[int], missing: list[int]) -> None:
    verdicts = judge(plain([s for s in PYTHIA if s not in gone]))
    assert faults(verdicts) == dict.fromkeys(missing, "missing")
    assert [v.step for v in verdicts] == sorted({*PYTHIA} - {*gone} | {*missing})


@pytest.mark.parametrize("steps", [PYTHIA, [0, 30, 125, 500, 1000, 2000, 2500, 3000], [5], [], [0, 7, 8, 30, 31, 32]])
def test_uneven_steps_are_no_fault(steps: list[int]) -> None:
    assert faults(judge(plain(steps))) == {}


def test_a_wide_gap_between_steps_gives_a_note() -> None:
    verdicts = judge(plain([0, 1, 2, 3, 70, 71, 72, 73]))
    assert [v.note for v in verdicts if v.note] == ["67 steps after step3, between gaps of 1 and 1"]
    assert all(v.note is None for v in judge(plain(PYTHIA)))


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("checkpoint-{}", "checkpoint-500"),
        ("global_step{}", "global_step500"),
        ("step{:06d}", "step000500"),
        ("step{}-hf", "step500-hf"),
        ("stage1-step{0}-tokens{0}B", "stage1-step500"),
        ("step{}-seed100", "step500"),
    ],
)
def test_a_missing_revision_is_named_after_the_others(pattern: str, name: str) -> None:
    steps = [0, 100, 200, 300, 400, 600, 700, 800]
    read = at([pattern.format(s) for s in steps], steps, stage="stage1")
    [missing] = [v for v in judge(read) if v.verdict == "missing"]
    assert (missing.revision, missing.step) == (name, 500)
    assert missing.reason == (
        f"there is no revision of this step, between {pattern.format(400)} and {pattern.format(600)}, where there is "
        "one every 100 steps"
    )


def test_stages_of_training_have_steps_of_their_own() -> None:
    first = at([f"stage1-step{s}" for s in range(0, 900, 100)], range(0, 900, 100), "stage1")
    second = at([f"stage2-step{s}" for s in (0, 10, 20, 40, 50, 60)], (0, 10, 20, 40, 50, 60), "stage2")
    verdicts = judge([*second, *first])
    assert [v.revision for v in verdicts if v.verdict == "missing"] == ["stage2-step30"]
    assert [v.revision for v in verdicts][8:13] == [
        "stage1-step800",
        "stage2-step0",
        "stage2-step10",
        "stage2-step20",
        "stage2-step30",
    ]


def test_expected_steps_are_missing_exactly_where_they_are_absent() -> None:
    read = plain([0, 100, 200, 300, 500, 600, 700])
    assert faults(judge(read, expected=[0, 100, 250, 900])) == {250: "missing", 900: "missing"}
    assert faults(judge(read, expected=[])) == {}
    assert [v.revision for v in judge([], expected=[5])] == ["step5"]
    assert [v.revision for v in judge(at(["ckpt_007"], [7]), expected=[7, 12])] == ["ckpt_007", "ckpt_012"]


def test_a_revision_at_fault_is_not_missing() -> None:
    read = plain(range(0, 1000, 100))
    read[5] = replace(read[5], fault=("unreadable", "cut off"))
    assert faults(judge(read)) == {500: "unreadable"}


# Whatever the series


@st.composite
def dirty(draw: st.DrawFn) -> list[Facts]:
    """Return a random walk in two shards in which anything may be wrong."""
    path = two_shards(16)
    steps = st.integers(0, 15)
    for _ in range(draw(st.integers(0, 5))):
        target, source, shard = draw(steps), draw(steps), draw(st.sampled_from(["a", "b", "ab"]))
        path[target] = path[target] | {s: path[source][s] + draw(st.sampled_from([0.0, 1e-3, 30.0])) for s in shard}
    read = facts(path)
    for step in draw(st.sets(steps, max_size=3)):
        changes: list[dict[str, Any]] = [{"samples": {}}, {"not_finite": "NaN"}, {"step": None}]
        read[step] = replace(read[step], **draw(st.sampled_from(changes)))
    gone = draw(st.sets(steps, max_size=2))
    return [f for k, f in enumerate(read) if k not in gone]


@settings(max_examples=30, deadline=None)
@given(dirty(), st.randoms(use_true_random=False))
def test_the_order_of_the_facts_does_not_matter(read: list[Facts], random: Any) -> None:
    shuffled = random.sample(read, len(read))
    assert judge(shuffled) == judge(read)


@settings(max_examples=30, deadline=None)
@given(dirty(), st.integers(-60, 60), st.integers(0, 2**32 - 1))
def test_neither_the_scale_nor_the_order_of_the_values_matters(read: list[Facts], power: int, seed: int) -> None:
    positions = np.random.default_rng(seed).permutation(100)
    other = [replace(f, samples={s: v[positions] * 3.7**power for s, v in f.samples.items()}) for f in read]
    assert faults(judge(other)) == faults(judge(read))


@settings(max_examples=30, deadline=None)
@given(dirty())
def test_every_revision_gets_one_verdict_and_a_reason_where_it_is_not_ok(read: list[Facts]) -> None:
    verdicts = judge(read, expected=range(16))
    assert sorted(v.revision for v in verdicts if v.verdict != "missing") == sorted(f.revision for f in read)
    assert {v.step for v in verdicts} >= set(range(16)) - {None}
    for v in verdicts:
        assert (v.reason is None) == (v.verdict == "ok")
        assert v.reason is None or (v.reason[-1] != " " and "  " not in v.reason and "None" not in v.reason)
