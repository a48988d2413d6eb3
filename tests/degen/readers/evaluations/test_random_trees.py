"""Trees of result files drawn at random: every value is read, of its model, step, task and setting, and no other."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from no_warning import no_warning
from result_trees import Tree, draw_tree

from degen.errors import DegenError
from degen.metrics.find_curves import find_curves
from degen.readers.evaluations.read_results import read_results

TREES = 100


@pytest.mark.parametrize("seed", range(TREES))
def test_a_tree_of_results_is_read_as_it_was_made(seed: int, tmp_path: Path) -> None:
    tree = draw_tree(tmp_path / "evals", random.Random(seed))
    warnings: list[str] = []
    table = read_results(tree.folder, warnings.append).table
    differ = settings_that_differ(tree)
    assert [name for name in ("num_fewshot", "limit") if name in table.column_names] == differ
    columns = ("model", "step", "task", "metric", *differ)
    rows = [(*(row[c] for c in columns), row["value"]) for row in table.to_pylist()]
    assert sorted(rows, key=repr) == sorted(expected_rows(tree, columns), key=repr)
    assert [line.partition(": ")[2].partition(" value")[0] for line in warnings] == (
        [str(len(tree.changed))] if tree.changed else []
    )


@pytest.mark.parametrize("seed", range(0, TREES, 4))
def test_each_curve_of_a_tree_holds_one_task_in_one_setting(seed: int, tmp_path: Path) -> None:
    tree = draw_tree(tmp_path / "evals", random.Random(seed))
    curves: dict[tuple[str, ...], list[tuple[int, float]]] = defaultdict(list)
    for cell, value in sorted(tree.values.items(), key=lambda item: item[0].step):
        kind = (cell.model, cell.task, cell.metric, str(cell.num_fewshot), str(cell.limit))
        curves[kind].append((cell.step, value))
    read = find_curves(tree.folder, warn=lambda line: None)
    assert sorted((c.model, list(zip(c.steps.tolist(), c.values.tolist(), strict=True))) for c in read) == sorted(
        (kind[0], points) for kind, points in curves.items()
    )
    assert len({(c.model, c.metric) for c in read}) == len(read)


@pytest.mark.parametrize("seed", range(0, TREES, 4))
def test_damaged_trees_are_read_or_refused_with_a_message(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    tree = draw_tree(tmp_path / "evals", draw)
    for file in sorted(tree.folder.rglob("*.json")):
        file.write_text(json.dumps(damaged(json.loads(file.read_text()), draw)))
    for file in sorted(tree.folder.rglob("*.jsonl")):
        file.write_bytes(file.read_bytes()[: draw.randint(0, 400)])
    message = ""
    try:
        curves = find_curves(tree.folder, warn=lambda line: None)
    except DegenError as error:
        curves, message = [], str(error)
    assert all(len(curve.steps) for curve in curves)
    assert bool(curves) != message.startswith(str(tree.folder))


def test_trees_hold_what_can_go_wrong(tmp_path: Path) -> None:
    trees = [draw_tree(tmp_path / str(seed), random.Random(seed)) for seed in range(TREES)]
    models = [{cell.model for cell in tree.values} for tree in trees]
    assert sum(len(names) > 1 for names in models) > 20
    assert sum(any("/" in name for name in names) for names in models) > 2
    assert sum(bool(tree.changed) for tree in trees) > 20
    for setting in ("num_fewshot", "limit"):
        assert sum(setting in settings_that_differ(tree) for tree in trees) > 10
    read_results(trees[0].folder, no_warning if not trees[0].changed else lambda line: None)


WRONG = (None, [], {}, "x", -1, 1e300, 10**400, float("nan"), float("inf"), True, [1, {"a": 2}], {"a": {"b": 1}}, 3.5)


def damaged(node: Any, draw: random.Random) -> Any:
    """Return a copy of a JSON document in which some values have another type and some names are others."""
    if draw.random() < 0.05:
        return draw.choice(WRONG)
    if isinstance(node, dict):
        names = ("results", "groups", "x", " ", "acc")
        return {k if draw.random() > 0.03 else draw.choice(names): damaged(v, draw) for k, v in node.items()}
    return [damaged(value, draw) for value in node] if isinstance(node, list) else node


def settings_that_differ(tree: Tree) -> list[str]:
    """Return the settings in which some metric of a task was evaluated with several."""
    differ = []
    for setting in ("num_fewshot", "limit"):
        values = defaultdict(set)
        for cell in tree.values:
            values[cell.task, cell.metric].add(getattr(cell, setting))
        if any(len(known) > 1 for known in values.values()):
            differ.append(setting)
    return differ


def expected_rows(tree: Tree, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Return the rows of the table that holds a tree's values."""
    return [(*(getattr(cell, c) for c in columns), value) for cell, value in tree.values.items()]
