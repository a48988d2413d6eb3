"""Every `degen …` of the shell blocks runs on small files, in this process; what needs the hub is parsed alone."""

from __future__ import annotations

import gzip
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from adapters import make_adapter
from documents import DOCS, blocks, commands, parse_degen, read, run_degen
from result_files import lm_eval_04, save

from degen.demo import corpus_path, series_paths

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{page.name}" for page in DOCS.glob("*.md"))]
PAGES += ["examples/README.md", "examples/pythia_figures.sh"]
HUB = re.compile(r"pythia:|pythia\b|olmo|\b(EleutherAI|allenai|google|org)/|\bpile$|^pile\b|hf://|wandb|trackio|mlflow")
OTHERS = re.compile(r"lightning_logs|base\+|my-fine-tune|config\.json|probes outliers|\$run")  # not made here
WORKED = re.compile(r"scaling fit|--at tokens")  # needs sizes and tokens; test_documents runs the worked examples
PARSED = re.compile(f"{HUB.pattern}|{OTHERS.pattern}|{WORKED.pattern}")
LONG = re.compile(r"--train-tokens|scan runs/my-model --probes loss,rank|scan --probes loss,states")  # much text
TEXTS = 12  # documents of the demo's text that a scan of these tests reads
STORED = "s3://bucket/runs"
FAILS = {"gate": (0, 1, 3), "audit": (0, 1)}  # exit codes of commands that judge: the values are not those of the pages


def shell_lines(page: str) -> list[str]:
    """Return the commands of a page's shell blocks, or of a script; marked scripts are run by test_gate_documents."""
    text = re.sub(r"<!-- a (script|workflow|pipeline).*?```.*?```", "", read(page), flags=re.DOTALL)
    scripts = [text] if page.endswith(".sh") else blocks("sh", text)
    named = {"$SMALL": "pythia:14m,31m", "$DRY": "--dry-run"}
    return [shlex.join(named.get(word, word) for word in words) for s in scripts for words in commands(s)]


LINES = [(page, line) for page in PAGES for line in shell_lines(page)]
FIRST = {line: page for page, line in reversed(LINES)}  # a line that stands on several pages runs once
RUN = [
    (page, line)
    for line, page in FIRST.items()
    if not PARSED.search(line.replace("-o pythia", "")) and not LONG.search(line) and line != "scan"
]


@pytest.fixture(scope="module")
def folder(demo: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a folder with all that the pages name: series, texts, runs, tables, results."""
    made = tmp_path_factory.mktemp("pages")
    (healthy, *_) = series_paths()
    kept = ("step2000", "step2500", "step3000")
    few = shutil.ignore_patterns(*(path.name for path in healthy.glob("step*") if path.name not in kept))
    for name in ("runs/my-model", "runs/70m", "runs/410m", "runs/wide", "runs/main", "my-series"):
        shutil.copytree(healthy, made / name, ignore=few)
    documents = gzip.decompress(corpus_path().read_bytes()).splitlines(keepends=True)[:TEXTS]
    (made / "texts").mkdir()
    (made / "bucket").mkdir()
    for name in ("val.jsonl", "code.jsonl", "pile-val.jsonl", "texts/a.jsonl"):
        (made / name).write_bytes(b"".join(documents))
    import zstandard

    for name in ("pile-val.jsonl.zst", "bucket/val.jsonl.zst"):
        (made / name).write_bytes(zstandard.compress(b"".join(documents)))
    probes = "loss,anisotropy,spectrum,weights,states,rank"
    scan = ["scan", "runs/my-model", "--corpus", "val.jsonl", "-o", "small", "--probes", probes]
    done = run_degen([*scan, "--probe-option", "rank.ranks=4,16"], made)
    assert done.exit_code == 0, done.stderr
    for name in ("my-run", "run", "before"):
        shutil.copytree(made / "small", made / name)
    assert run_degen(shlex.split("scan runs/wide --sample before/sample.parquet -o after"), made).exit_code == 0
    shutil.rmtree(made / "runs" / "main")
    shutil.copytree(made / "small", made / "runs" / "main")
    shutil.copytree(demo[0] / "degen-run", made / "degen-run")
    steps = range(1000, 9000, 1000)
    rows = [f"m,{step},{0.5 - 0.01 * i},{20 + i},lambada_openai\n" for i, step in enumerate(steps)]
    (made / "evals.csv").write_text("model,step,acc,ppl,task\n" + "".join(rows))
    (made / "losses.csv").write_text("model,step,loss\n" + "".join(f"m,{s},{4 - s / 1e4}\n" for s in steps))
    log = [{"step": s, "eval_loss": 4 - s / 1e4, "loss": 4 - s / 1e4} for s in steps]
    save(made / "out" / "checkpoint-5000" / "trainer_state.json", {"log_history": log, "global_step": 8000})
    for step in steps:
        accuracies = {task: {"acc,none": 0.5 - step / 1e6} for task in ("arc_easy", "piqa")}
        values = accuracies | {"lambada_openai": {"perplexity,none": 20 + step / 1e3}}
        save(made / "lm-eval-results" / f"results_{step}.json", lm_eval_04(values, f"ckpts/m/step{step}"))
    (made / "runs.csv").write_text(table_of_runs())
    make_adapter(made / "my-adapter", made / "runs" / "my-model" / "step3000")
    for step in (100, 200):
        make_adapter(made / "runs" / "lora" / f"checkpoint-{step}", made / "runs" / "my-model" / "step3000", seed=step)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEGEN_CACHE", str(made / "cache"))
        yield made


def in_bucket(words: list[str], folder: Path) -> list[str]:
    """Return a command with a folder of this machine, by its URL, in the place of a bucket."""
    return [word.replace("s3://bucket", f"file://{folder}/bucket") for word in words]


def table_of_runs() -> str:
    """Return a table of models of two families over sizes and tokens, which follow a law."""
    lines = ["model,family,dataset,params,size,tokens,loss,nats,glue,seconds,depth,width,heads,feed_forward"]
    for family, edge in (("a", 0.0), ("b", 0.1)):
        for i, params in enumerate((1e7, 3e7, 1e8, 3e8, 1e9)):
            for tokens in (1e9, 4e9, 1.6e10):
                loss = 1.7 + 400 / params**0.34 + 410 / tokens**0.28 + edge + 0.002 * ((i * 7 + int(tokens / 1e9)) % 5)
                fields = [f"{family}{i}", family, f"text-{family}", params, params, tokens, loss, loss, 90 - 10 * loss,
                          params / 1e7, 4 + i, 128 * (i + 1), 4, 512 * (i + 1)]  # fmt: skip
                lines.append(",".join(map(str, fields)))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(("page", "line"), LINES)
def test_a_command_of_a_page_is_one(page: str, line: str) -> None:
    parse_degen(shlex.split(line))


@pytest.mark.parametrize(("page", "line"), RUN)
def test_a_command_of_a_page_runs(folder: Path, page: str, line: str) -> None:
    words = shlex.split(line)
    if STORED in line and words[0] != "scan" and not (folder / "bucket" / "runs").is_dir():
        scan = ["scan", "my-series", "--corpus", "s3://bucket/val.jsonl.zst", "-o", f"{STORED}/mine"]
        assert run_degen(in_bucket(scan, folder), folder).exit_code == 0
    done = run_degen(in_bucket(words, folder), folder)
    assert done.exit_code in FAILS.get(words[0], (0,)), (done.exit_code, done.stderr)


def test_most_commands_that_need_no_network_run() -> None:
    here = [line for line in FIRST if not HUB.search(line.replace("-o pythia", ""))]
    assert len(RUN) > 0.7 * len(here)
