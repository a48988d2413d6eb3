"""What the documents show of the gate: its scripts run as they stand, its workflows are what the action takes."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from documents import marked, read
from junitparser import Error, Failure, JUnitXml
from safetensors.torch import load_file, save_file
from trainings import load_tokenizer, make_examples, make_trainee, module_class
from warm_shell import warm_programs

from degen.demo import corpus_path, series_paths
from degen.gate import rule

PAGE, TRAINING, README = read("docs/gate.md"), read("docs/training.md"), read("README.md")
ACTION = yaml.safe_load(read("action.yml"))
(HEALTHY, *_) = series_paths()
INSTALLED = Path(sys.executable).parent
DOCUMENTS = 30  # of the demo's text, enough for an interval; the figures of the gate's pages are of all


def text(file: Path) -> Path:
    """Write the first documents of the demo's text into a file."""
    lines = gzip.decompress(corpus_path().read_bytes()).splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:DOCUMENTS]))
    return file


def series(folder: Path, spoil: bool = False) -> Path:
    """Copy the last two checkpoints of the demo's healthy series; the last perhaps with NaN in its head."""
    made = folder / "runs" / "my-model"
    others = [path.name for path in HEALTHY.glob("step*") if path.name not in ("step2500", "step3000")]
    shutil.copytree(HEALTHY, made, ignore=shutil.ignore_patterns(*others))
    if spoil:
        file = made / "step3000" / "model.safetensors"
        tensors = load_file(file)
        tensors["embed_out.weight"][7, 7] = float("nan")
        save_file(tensors, file, metadata={"format": "pt"})
    return made


def shell(script: str, folder: Path, programs: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a job does, with the degen of a folder of programs."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GITHUB_")}
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], cwd=folder, text=True, capture_output=True,
        check=False, env={**clean, "PATH": path, **environment},
    )  # fmt: skip


def junit(file: Path) -> Any:
    (suite,) = JUnitXml.fromfile(str(file))
    return suite


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a folder of programs with a degen that starts at once."""
    with warm_programs(tmp_path_factory.mktemp("warm")) as folder:
        yield folder


def test_the_script_of_the_readme_passes_fails_and_is_undecidable(warm: Path, tmp_path: Path) -> None:
    (script,) = marked(README, "a script")
    made = series(tmp_path)
    corpus = str(text(tmp_path / "val.jsonl"))
    done = shell(script, tmp_path, INSTALLED, SERIES=str(made), CORPUS=corpus)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("passed")
    suite = junit(tmp_path / "degen.xml")
    assert (suite.tests, suite.failures, suite.errors) == (2, 0, 0)
    done = shell(script, tmp_path, warm, SERIES=str(made), CORPUS=corpus, MAX_ANISOTROPY="0.1")
    assert done.returncode == 1, done.stderr
    assert not done.stdout.startswith("::")
    suite = junit(tmp_path / "degen.xml")
    assert (suite.tests, suite.failures, suite.errors) == (2, 1, 0)
    (failed,) = [element for element in suite if element.result]
    assert failed.name == "anisotropy[layer=last] < 0.1 at my-model step 3000, layer 3 head_input"
    assert isinstance(failed.result[0], Failure)
    shutil.rmtree(tmp_path / "runs")
    shutil.rmtree(tmp_path / "gated")
    done = shell(script, tmp_path, warm, SERIES=str(series(tmp_path, spoil=True)), CORPUS=corpus)
    assert done.returncode == 3, done.stderr
    suite = junit(tmp_path / "degen.xml")
    assert (suite.tests, suite.failures, suite.errors) == (3, 0, 3)
    *rules, checkpoint = suite
    assert all(isinstance(element.result[0], Error) and "NaN" in element.result[0].message for element in rules)
    assert checkpoint.name == "my-model@step3000 is measured"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the folder of a project as the workflows assume it."""
    folder = tmp_path_factory.mktemp("project")
    series(folder)
    text(folder / "val.jsonl")
    return folder


def test_the_pipeline_for_gitlab_runs(project: Path, warm: Path) -> None:
    (pipeline,) = marked(PAGE, "a pipeline")
    job = yaml.safe_load(pipeline)["degeneration"]
    install, script = job["script"]
    assert install.startswith("pip install ")
    done = shell(script, project, warm)
    assert done.returncode == 0, done.stderr
    assert (project / job["artifacts"]["paths"][0] / "run.json").is_file()
    assert junit(project / job["artifacts"]["reports"]["junit"]).tests == 2


def action(folder: Path, programs: Path, inputs: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the action's last step, with inputs and GitHub's environment."""
    all_inputs = {name: str(definition.get("default", "")) for name, definition in ACTION["inputs"].items()} | inputs
    step = ACTION["runs"]["steps"][-1]
    values = {
        name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: all_inputs[match[1]], text)
        for name, text in step["env"].items()
    }
    assert "${{" not in step["run"] + "".join(values.values())
    summary = str(folder / "summary.md")
    return shell(step["run"], folder, programs, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=summary, **values)


def test_the_workflow_for_github_runs(project: Path, warm: Path) -> None:
    (written,) = marked(PAGE, "a workflow")
    workflow = yaml.safe_load(written)
    (step,) = [s for s in workflow["jobs"]["gate"]["steps"] if "degen@" in s.get("uses", "")]
    assert set(step["with"]) <= set(ACTION["inputs"])
    assert {name for name, definition in ACTION["inputs"].items() if definition.get("required")} <= set(step["with"])
    done = action(project, warm, step["with"])
    assert (done.returncode, done.stderr.count("::error")) == (0, 0), done.stderr
    assert (project / "summary.md").read_text().startswith("### degen gate: passed\n")
    assert junit(project / step["with"]["junit"]).tests == 2
    done = action(project, warm, {**step["with"], "rules": "\n  anisotropy < 0.01\n\nloss < 1\n"})
    assert done.returncode == 1
    assert done.stderr.count("::error title=degen gate%3A failed::") == 2


@pytest.mark.parametrize("name", ["target", "rules", "baseline", "confidence", "junit", "arguments"])
def test_no_input_of_the_action_is_a_script(project: Path, warm: Path, name: str) -> None:
    inputs = {"target": "my-run", "rules": "loss < 99"} | {name: "'\"; touch forged; $(touch forged) `touch forged` #"}
    assert action(project, warm, inputs).returncode == 2 or name == "junit"
    assert not (project / "forged").exists()


@pytest.mark.parametrize(("strict", "code"), [("true", 3), ("True", 3), ("false", 0), ("", 0), ("yes", 2)])
def test_the_input_strict_of_the_action_is_true_or_false(project: Path, warm: Path, strict: str, code: int) -> None:
    (project / "t.csv").write_text("model,step,acc,acc_se\nm,1,.5,.1\n")
    inputs = {"target": "t.csv", "rules": "acc > 0.45", "confidence": "0.95", "strict": strict}
    assert action(project, warm, inputs).returncode == code


def test_the_grammar_of_rules_on_the_page_is_that_of_the_code() -> None:
    (grammar,) = marked(PAGE, "the grammar")
    assert textwrap.indent(grammar, "    ", lambda line: True).rstrip() in str(rule.__doc__)


TRAINER, LIGHTNING, OWN = marked(TRAINING, "run by")


@pytest.fixture
def names(series: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the names that the examples for training assume, and make a working directory with the text they read."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(corpus, tmp_path / "val.jsonl")
    return {"tokenizer": load_tokenizer(series), "model": make_trainee()}


def often(example: str) -> str:
    """Return an example changed to measure at every step, with less text, and to train for three."""
    for long, short in [("500", "1"), ("tokens=20_000", "tokens=2_000"), ("max_steps=1_000", "max_steps=3")]:
        example = example.replace(long, short)
    return example


def test_the_example_for_the_trainer_runs(names: dict[str, Any], tmp_path: Path) -> None:
    from transformers import TrainingArguments

    names["tokenizer"].pad_token = names["tokenizer"].convert_ids_to_tokens(0)  # the Trainer's own collator wants one
    dataset = make_examples(names["tokenizer"], 12)
    arguments = TrainingArguments(
        str(tmp_path / "saved"), max_steps=3, per_device_train_batch_size=4, use_cpu=True, report_to=[],
        dataloader_pin_memory=False, save_strategy="no",
    )  # fmt: skip
    namespace = {**names, "arguments": arguments, "dataset": dataset}
    exec(often(TRAINER), namespace)
    assert [logs["step"] for logs in namespace["trainer"].state.log_history if "degen/loss" in logs] == [1, 2, 3]
    assert (tmp_path / "my-run" / "run.json").is_file()


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:(lightning|lightning_utilities|torchmetrics).*",
    "ignore:.*(does not have many workers|number of training batches|tensorboardX|val_dataloader).*",
    "ignore:.*(LeafSpec|isinstance.treespec).*",
)
def test_the_example_for_lightning_runs(names: dict[str, Any]) -> None:
    module = module_class("lightning.pytorch", names["tokenizer"])()
    namespace = {**names, "module": module, "batches": module.loader(True)}
    exec(often(LIGHTNING), namespace)
    assert module.trainer.global_step == 3


def test_the_example_for_a_loop_runs(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    model = names["model"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def train_on(batch: Any) -> None:
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    batches = torch.tensor([e["input_ids"] for e in make_examples(names["tokenizer"], 12)]).split(4)
    exec(often(OWN), {**names, "batches": batches, "train_on": train_on})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert all("'loss': " in line for line in lines)
