"""The files that the documents name: series, texts, runs, tables, results, logs; small, and none of them empty."""

from __future__ import annotations

import gzip
import shutil
import tomllib
from pathlib import Path

import zstandard
from adapters import make_adapter
from documents import ROOT, run_degen
from result_files import lm_eval_04, save

from degen.demo import corpus_path, series_paths

KEPT = ("step2000", "step2500", "step3000")  # checkpoints of the demo's healthy series
TEXTS = 12  # documents of the demo's text
TOKENS = "1000"
DEMO_STEPS = "500,2000,3000"
PROBES = "loss,anisotropy,spectrum,weights,states,rank"


def demo_text() -> bytes:
    """Return the first documents of the demo's text, as JSON Lines."""
    return b"".join(gzip.decompress(corpus_path().read_bytes()).splitlines(keepends=True)[:TEXTS])


def make_page_files(folder: Path) -> None:
    """Make what the documents name; `link_page_files` gives a page its own."""
    add_series(folder)
    for name in ("val.jsonl", "code.jsonl", "pile-val.jsonl", "texts/a.jsonl"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(demo_text())
    for name in ("pile-val.jsonl.zst", "bucket/val.jsonl.zst"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(zstandard.compress(demo_text()))
    add_runs(folder)
    add_tables(folder)
    add_adapters(folder)
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "degen" / "demo").mkdir(parents=True)
    (folder / "degen" / "demo" / "series").symlink_to(ROOT / "degen" / "demo" / "series")


def add_series(folder: Path) -> None:
    """Make series, one of them as Lightning leaves it."""
    import torch
    from safetensors.torch import load_file

    (healthy, *_) = series_paths()
    few = shutil.ignore_patterns(*(path.name for path in healthy.glob("step*") if path.name not in KEPT))
    for name in ("runs/my-model", "runs/70m", "runs/410m", "my-series"):
        shutil.copytree(healthy, folder / name, ignore=few)
    for name in ("runs/base", "runs/wide"):
        shutil.copytree(healthy, folder / name, ignore=few)
        for i, step in enumerate(KEPT):
            (folder / name / step).rename(folder / name / f"{step}-tokens{i + 1}B")
    for name in ("base", "my-fine-tune"):
        shutil.copytree(healthy / ("step2500" if name == "base" else "step3000"), folder / name)
        shutil.copy(healthy / "tokenizer.json", folder / name)
    saved = folder / "lightning_logs" / "version_0" / "checkpoints"
    saved.mkdir(parents=True)
    for step in KEPT[1:]:
        weights = {f"model.{name}": tensor for name, tensor in load_file(healthy / step / "model.safetensors").items()}
        stored = {"state_dict": weights, "global_step": int(step[4:]), "epoch": 0, "pytorch-lightning_version": "2.5.0"}
        torch.save(stored, saved / f"epoch=0-step={step[4:]}.ckpt")


def add_runs(folder: Path) -> None:
    """Make runs of them, and one of the demo."""

    def scan(*words: str) -> None:
        done = run_degen(["scan", *words, "--tokens", TOKENS], folder)
        assert done.exit_code == 0, done.stderr

    scan("runs/my-model", "--corpus", "val.jsonl", "-o", "my-run", "--probes", PROBES, "--probe-option", "rank.ranks=4")
    for name in ("run", "runs/main", "pythia-run"):
        shutil.copytree(folder / "my-run", folder / name)
    scan("base=runs/base", "--corpus", "val.jsonl", "-o", "before")
    scan("-o", "degen-run", "--steps", DEMO_STEPS)


def add_tables(folder: Path) -> None:
    """Make a table of runs that follow a law, tables over training, a log of the Trainer, results of lm-eval."""
    (folder / "runs.csv").write_text(table_of_runs())
    steps = range(1000, 9000, 1000)
    rows = [f"m,{step},{0.5 - 0.01 * i},{20 + i},lambada_openai\n" for i, step in enumerate(steps)]
    (folder / "evals.csv").write_text("model,step,acc,ppl,task\n" + "".join(rows))
    (folder / "losses.csv").write_text("model,step,loss\n" + "".join(f"m,{s},{4 - s / 1e4}\n" for s in steps))
    log = [{"step": s, "eval_loss": 4 - s / 1e4, "loss": 4 - s / 1e4} for s in steps]
    save(folder / "out" / "checkpoint-5000" / "trainer_state.json", {"log_history": log, "global_step": 8000})
    for step in steps:
        accuracies = {task: {"acc,none": 0.5 - step / 1e6} for task in ("arc_easy", "piqa")}
        values = accuracies | {"lambada_openai": {"perplexity,none": 20 + step / 1e3}}
        save(folder / "lm-eval-results" / f"results_{step}.json", lm_eval_04(values, f"ckpts/m/step{step}"))


def add_adapters(folder: Path) -> None:
    """Make adapters, single ones and a series, that name their base."""
    names = ("my-adapter", "adapter", "adapter2", "runs/lora/checkpoint-100", "runs/lora/checkpoint-200")
    for i, name in enumerate(names):
        make_adapter(folder / name, folder / "base", seed=i)


def table_of_runs() -> str:
    """Return a table of models of two families over sizes and tokens, with equal compute, which follow a law."""
    lines = ["model,family,dataset,params,size,tokens,loss,nats,glue,seconds,depth,width,heads,feed_forward"]
    for family, edge in (("a", 0.0), ("b", 0.1)):
        for i, params in enumerate((1e7, 3e7, 1e8, 3e8, 1e9)):
            for k, flops in enumerate((1e18, 4e18, 1.6e19)):
                tokens = flops / (6 * params)
                loss = 1.7 + 400 / params**0.34 + 410 / tokens**0.28 + edge + 0.002 * ((i * 7 + 3 * k) % 5)
                fields = [f"{family}{i}", family, f"text-{family}", params, params, tokens, loss, loss, 90 - 10 * loss,
                          params / 1e7, 4 + i, 128 * (i + 1), 4, 512 * (i + 1)]  # fmt: skip
                lines.append(",".join(map(str, fields)))
    return "\n".join(lines) + "\n"


def link_page_files(source: Path, folder: Path) -> None:
    """Give a folder what another one holds, to be written to; weights are links, as nothing writes them."""

    def place(file: str, to: str) -> None:
        if file.endswith((".safetensors", ".ckpt")):
            Path(to).hardlink_to(file)
        else:
            shutil.copyfile(file, to)

    shutil.copytree(source, folder, copy_function=place, symlinks=True)


def install(package: Path, to: Path) -> None:
    """Write what pip writes of a package whose modules lie below `src`: them, and a record of its entry points."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    shutil.copytree(package / "src", to, dirs_exist_ok=True)
    info = to / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("".join(groups))
