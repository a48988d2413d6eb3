"""Trees of result files drawn at random, with what they hold."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from result_files import Values, lighteval, lm_eval_03, lm_eval_04, olmes_task, save, save_olmes

RUNS = ("baseline-lr3e-4", "new_lr1e-3", "pythia-70m", "tiny.v2", "OLMo-2-1B", "exp7-hf", "run3")
STEP_NAMES = ("iter_{:07d}_hf", "step{}", "checkpoint-{}", "global_step{}", "step-{}", "step{}-unsharded", "ckpt_{}")
SUFFIXES = ("", "", "", "_hf", "-converted", "_bf16", "-safetensors", "-merged")
STAMPS = ("%Y-%m-%dT%H-%M-%S.123456", "%Y-%m-%dT%H-%M-%S", "%m-%d-%Y-%H-%M-%S", "%Y%m%d_%H%M%S", "%Y-%m-%d_%H-%M-%S")
LIMITS = (None, 20, 0.25, 500)


class Cell(NamedTuple):
    """What one value is of."""

    model: str
    step: int
    task: str
    metric: str
    num_fewshot: int | None
    limit: float | None


class Setting(NamedTuple):
    """How tasks are evaluated."""

    num_fewshot: int
    limit: float | None


@dataclass
class Tree:
    """A folder of result files and what it holds: the newest value of each cell.

    Attributes:
        folder: the folder.
        values: cell -> its newest value.
        changed: the cells that were evaluated again with another value.
    """

    folder: Path
    values: dict[Cell, float] = field(default_factory=dict)
    changed: set[Cell] = field(default_factory=set)


def draw_tree(folder: Path, draw: random.Random) -> Tree:
    """Write a tree of result files, and return it with what it holds."""
    tree = Tree(folder)
    write = draw.choice((_write_lm_eval_03, _write_lm_eval_04, _write_lighteval, _write_olmes))
    runs = draw.sample(RUNS, draw.randint(1, 3))
    nested = draw.random() < 0.2 and write is not _write_olmes
    steps = sorted(draw.sample(range(1, 10_000), draw.randint(1, 4)))
    settings = [Setting(shots, limit) for shots in (0, 5, 25) for limit in LIMITS]
    settings = draw.sample(settings, draw.choice((1, 1, 2, 3)))
    if draw.random() < 0.5:
        settings = [Setting(shots, None) for shots in dict.fromkeys(s.num_fewshot for s in settings)]
    clock = datetime(2024, 12, 1, 10, 59, 58, tzinfo=UTC)
    files = [(run, step, setting, again) for run in runs for step in steps for setting in settings for again in (0, 1)]
    draw.shuffle(files)  # the order of evaluation is not that of names
    naming = _Naming(draw, nested, write is _write_lm_eval_03)
    for run, step, setting, again in files:
        if again and draw.random() < 0.7:
            continue
        clock += timedelta(hours=draw.randint(1, 200), seconds=draw.randint(0, 59))
        model = run if not nested else f"{run}/sft" if len(runs) > 1 else "sft"
        file = _File(naming, run, step, setting, clock)
        for (task, metric), value in write(tree, file, draw).items():
            cell = Cell(model, step, task, metric, setting.num_fewshot, setting.limit)
            if tree.values.get(cell, value) != value:
                tree.changed.add(cell)
            tree.values[cell] = value
    _write_others(folder, draw)
    return tree


class _Naming:
    """How files, folders and checkpoints of one tree are called."""

    def __init__(self, draw: random.Random, nested: bool, may_be_silent: bool) -> None:
        self.step = draw.choice(STEP_NAMES)
        self.suffix = draw.choice(SUFFIXES)
        self.stamp = draw.choice(STAMPS)
        self.nested = nested
        self.says = draw.choice(("path", "path", "hub", "nothing")) if may_be_silent and not nested else "path"
        self.storage = draw.choice(("", "", "/hf", "/model"))
        self.layout = draw.choice(("sanitised", "run", "run and step", "flat"))


@dataclass(frozen=True)
class _File:
    """One evaluation: of what, how, and when."""

    naming: _Naming
    run: str
    step: int
    setting: Setting
    time: datetime

    @property
    def checkpoint(self) -> str:
        return self.naming.step.format(self.step) + self.naming.suffix

    @property
    def evaluated(self) -> str:
        inner = f"{self.run}/sft" if self.naming.nested else self.run
        if self.naming.says == "hub":
            return f"org/{self.run}"
        return f"/mnt/exp/{inner}/{self.checkpoint}{self.naming.storage}" if self.naming.says == "path" else ""

    @property
    def folder(self) -> str:
        return f"{self.run}/{self.stamp}"

    @property
    def stamp(self) -> str:
        return self.time.strftime(self.naming.stamp)

    def path(self, folder: Path) -> Path:
        """Return the path of the file; where its content is silent, the names say run and step."""
        return {
            "sanitised": folder / f"__ckpts__{self.run}__{self.checkpoint}" / f"results_{self.stamp}.json",
            "run": folder / self.run / f"results_{self.checkpoint}_{self.stamp}.json",
            "run and step": folder / self.run / self.checkpoint / f"results_{self.stamp}.json",
            "flat": folder / f"{self.run}-{self.checkpoint}_eval_results_{self.stamp}.json",
        }[self.naming.layout]


Found = dict[tuple[str, str], float]  # (task, metric) as they are read -> value


def _values(tree: Tree, draw: random.Random, tasks: Mapping[str, tuple[str, ...]]) -> Values:
    """Draw a value for some of the metrics of each task; rarely one that another file has, too."""
    return {
        task: {m: round(draw.random(), 6) if draw.random() < 0.7 else 0.5 for m in metrics}
        for task, metrics in tasks.items()
        if draw.random() < 0.8 or task == next(iter(tasks))
    }


def _write_lm_eval_03(tree: Tree, file: _File, draw: random.Random) -> Found:
    values = _values(tree, draw, {"lambada_openai": ("ppl", "acc"), "arc": ("acc", "acc_norm")})
    revision = f",revision={file.checkpoint}" if file.naming.says == "hub" else ""
    given = f"pretrained={file.evaluated}{revision},dtype=float16" if file.evaluated else None
    content = lm_eval_03(values, given, num_fewshot=file.setting.num_fewshot, limit=file.setting.limit)
    save(file.path(tree.folder), content)
    return {(task, metric): value for task, metrics in values.items() for metric, value in metrics.items()}


def _write_lm_eval_04(tree: Tree, file: _File, draw: random.Random) -> Found:
    filters = ("exact_match,strict-match", "exact_match,flexible-extract")
    values = _values(
        tree, draw, {"mmlu": ("acc,none",), "mmlu_law": ("acc,none",), "gsm8k": filters, "piqa": ("acc,none",)}
    )
    shots = {task: file.setting.num_fewshot for task in (*values, "mmlu_law") if task != "mmlu"}
    groups = {"mmlu": ["mmlu_law"], "all_law": ["mmlu_law", "mmlu"]}
    samples = dict.fromkeys(values, (900, 20)) if draw.random() < 0.5 and file.setting.limit == 20 else {}
    content = lm_eval_04(values, file.evaluated, shots, groups, samples, limit=file.setting.limit)
    save(file.path(tree.folder), content)
    if draw.random() < 0.3:
        save(file.path(tree.folder).with_name(f"samples_mmlu_{file.stamp}.jsonl"), '{"doc_id": 0, "acc": 1.0}\n')
    return {(task, m.removesuffix(",none")): value for task, ms in values.items() for m, value in ms.items()}


def _write_lighteval(tree: Tree, file: _File, draw: random.Random) -> Found:
    form = draw.choice(("lighteval|{}|{}", "lighteval|{}|{}|0", "{}|{}"))
    values = _values(tree, draw, {"arc:easy": ("acc", "acc_norm"), "gsm8k": ("qem",)})
    keyed = {form.format(task, file.setting.num_fewshot): metrics for task, metrics in values.items()}
    content: dict[str, Any] = lighteval(keyed, file.evaluated, max_samples=file.setting.limit)  # type: ignore[arg-type]
    del content["results"]["all"]  # its tasks would differ between files
    save(file.path(tree.folder), content)
    return {(task, metric): value for task, metrics in values.items() for metric, value in metrics.items()}


def _write_olmes(tree: Tree, file: _File, draw: random.Random) -> Found:
    values = _values(tree, draw, {"arc_easy": ("acc_raw", "primary_score"), "arc_easy:mc": ("acc_raw",)})
    settings = {"num_shots": file.setting.num_fewshot, "limit": file.setting.limit}
    tasks = []
    for alias, metrics in values.items():
        task = olmes_task("arc_easy", metrics, {"model_path": file.evaluated}, alias=f"{alias}::olmes", **settings)
        tasks.append(task | {"current_date": file.time.strftime("%Y-%m-%d %H:%M:%S UTC")})
    save_olmes(tree.folder / file.folder, tasks)
    return {(f"{task}::olmes", metric): value for task, metrics in values.items() for metric, value in metrics.items()}


def _write_others(folder: Path, draw: random.Random) -> None:
    """Write files that are no results beside them."""
    others = {"config.json": '{"model_type": "llama"}', "notes.json": '{"results": "fine"}', "tokenizer.json": "[1, 2]"}
    for name, content in others.items():
        if draw.random() < 0.3:
            save(folder / name, content)
