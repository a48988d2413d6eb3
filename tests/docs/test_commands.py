"""Every command of every shell block runs: as a shell expands it, page by page, on small files and a hub on loopback.

What cannot run is in tests/not_run.py with its reason, and so is what runs on something nearer or smaller.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from documents import PAGES, ROOT, blocks, read, run_degen
from faults.command import degen_process, options_of
from hub_repo import Repo
from hub_scans import Scans, packed, scanned_hub
from made_runs import run_of_a_law
from named_repositories import add_corpora, add_model, add_models, datasets_sent_to
from not_run import NOT_RUN, SENTENCES_NOT_RUN, STAND_INS
from page_files import DEMO_STEPS, TOKENS, demo_text, install, link_page_files, make_page_files
from recorded_shell import Call, record

MARKED = re.compile(r"<!-- a (script|workflow|pipeline).*?```.*?```", re.DOTALL)  # test_gate_documents runs them
SLURM = "#!/bin/bash\n#SBATCH"  # test_scale_out runs it, with a stand-in for sbatch
APART = ("docs/scale_out.md", "docs/series.md")  # their blocks are several ways to one run

# A page -> what its reader did before, where that is more than the files that all pages name.
BEFORE = {
    "docs/questions.md": "degen scan runs/my-model --corpus val.jsonl --probes loss,head_tail -o my-run",
    "docs/report.md": "degen scan runs/wide --sample before/sample.parquet -o after",
}
JUDGES = {"gate": (0, 1, 3), "audit": (0, 1)}  # their exit codes: the values are not those of the pages
SECRET = "hf_" + "PLANTED" * 5  # made up


def scripts(page: str) -> list[str]:
    """Return the shell blocks of a page as scripts, or a script; of questions, the commands in its sentences."""
    text = MARKED.sub("", read(page))
    if page.endswith(".sh"):
        return [text]
    if page == "docs/questions.md":
        return ["\n".join(re.findall(r"`(degen \w+ [^`]+)`", text))]
    return [script for script in blocks("(?:sh|bash)", text) if not script.startswith(SLURM)]


def stories() -> dict[str, list[str]]:
    """Return by name the scripts that are run in one folder: the blocks of a page, or one where they stand apart."""
    found = {page: scripts(page) for page in PAGES if page not in APART and scripts(page)}
    found |= {f"{page}#{i + 1}": [script] for page in APART for i, script in enumerate(scripts(page))}
    return found | {"examples/pythia_figures.sh, for good": scripts("examples/pythia_figures.sh")}


STORIES = stories()


def reason(call: Call) -> str | None:
    """Return the pattern under which a command is not run; None where it is."""
    return next((pattern for pattern in NOT_RUN if re.fullmatch(pattern, str(call))), None)


def on_little_text(words: Sequence[str]) -> list[str]:
    """Return the words of a command, with fewer tokens, checkpoints of the demo, or bootstrap draws than by default."""
    short: list[str] = []
    if words[0] in ("scan", "rank", "fetch") and not {"--sample", "--tokens"} & set(words):
        short += ["--tokens", TOKENS]
    if words[0] == "scan" and words[1].startswith("-"):  # the demo
        short += ["--steps", DEMO_STEPS]
    if words[0] == "scaling" and "--bootstrap" in options_of(tuple(words)):
        short += ["--bootstrap", "20"]
    return [*words, *short]


@dataclass(frozen=True)
class Place:
    """Where commands run: a folder with all that pages name, and a hub."""

    folder: Path
    scans: Scans

    def run(self, call: Call, own: Path) -> None:
        """Run a command of degen in a folder, on little text; see that it ends as it should."""
        line = shlex.join(call.words)
        for long, short in STAND_INS.items():
            line = line.replace(long, short.format(folder=own))
        words = on_little_text(shlex.split(line))
        with pytest.MonkeyPatch.context() as patch:
            if call.offline:
                from huggingface_hub import constants

                patch.setattr(constants, "HF_HUB_OFFLINE", True)
            done = run_degen(words, own)
        assert done.exit_code in JUDGES.get(words[0], (0,)), (str(call), done.exit_code, done.stderr, done.exception)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Call]]:
    """Return what a shell starts in each story."""
    folder = tmp_path_factory.mktemp("shell")
    return {
        story: [
            call
            for i, script in enumerate(scripts)
            for call in record(script, folder / f"{story}-{i}", **{"DRY": ""} if story.endswith("for good") else {})
        ]
        for story, scripts in STORIES.items()
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Yield a folder with all that the pages name, and a hub with the repositories that they name."""
    folder = tmp_path_factory.mktemp("pages")
    with scanned_hub(folder / "hub") as scans, datasets_sent_to(scans, folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEGEN_CACHE", str(folder / "cache"))
        make_page_files(folder / "files")
        add_models(scans, folder / "models")
        add_corpora(scans, demo_text())
        add_model(scans, "org/model", folder / "files" / "base", folder / "files" / "runs" / "my-model")
        scans.hub.uploads.token = SECRET
        scans.token(SECRET)
        yield Place(folder, scans)


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of httpx, about the hub's client
@pytest.mark.parametrize("story", STORIES)
def test_the_commands_of_a_page_run(
    place: Place, told: dict[str, list[Call]], story: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "files"
    link_page_files(place.folder / "files", own)
    before = record(BEFORE[story], tmp_path / "before") if story in BEFORE else []
    run = [*before, *(call for call in told[story] if reason(call) is None)]
    drop_what_is_made(run, own)
    if story == "examples/README.md":  # has pip install it
        install(ROOT / "examples" / "probe_package", tmp_path / "installed")
        monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    if story == "docs/scaling.md":  # losses that a law can be fitted to
        shutil.rmtree(own / "my-run")
        run_of_a_law(own / "my-run", checkpoints=6)
    if story == "docs/object_stores.md":
        tables = packed(own / "my-run")
        monkeypatch.setitem(place.scans.hub.repos, "org/name", Repo({"main": tables, "v2": tables}, kind="dataset"))
    for call in run:
        assert call.program == "degen", f"{call}: neither run nor in not_run.py"
        place.run(call, own)


@pytest.mark.extras
@pytest.mark.parametrize("extra", ["--track wandb:", "--engine ray"])
def test_the_commands_that_need_an_extra_run(
    place: Place, told: dict[str, list[Call]], extra: str, tmp_path: Path
) -> None:
    calls = [call for story in told.values() for call in story if extra in str(call) and "ray-address" not in str(call)]
    assert calls
    for i, call in enumerate(calls):
        own = tmp_path / str(i)
        link_page_files(place.folder / "files", own)
        drop_what_is_made([call], own)
        done = degen_process(
            *on_little_text(call.words), cwd=own, HF_ENDPOINT=place.scans.hub.endpoint, HF_HUB_OFFLINE="0",
            HF_HOME=str(own / "home"), WANDB_MODE="offline", WANDB_DIR=str(own), RAY_USAGE_STATS_ENABLED="0",
        )  # fmt: skip
        assert done.code == 0, done.err
        assert list(own.glob("wandb/offline-run-*")) if "wandb" in extra else list(own.glob("pythia-1b/checkpoints"))


def drop_what_is_made(run: list[Call], folder: Path) -> None:
    """Take away the runs that commands make themselves."""
    for call in run:
        if call.words[0] == "scan":
            out = call.words[call.words.index("-o") + 1] if "-o" in call.words else "degen-run"
            shutil.rmtree(folder / out, ignore_errors=True)


def test_what_is_not_run_stands_on_a_page_and_is_little(told: dict[str, list[Call]]) -> None:
    calls = [call for story in told.values() for call in story]
    assert {reason(call) for call in calls} - {None} == set(NOT_RUN)
    assert sum(call.program == "degen" and reason(call) is not None for call in calls) == 3
    everything = "\n".join(map(str, calls))
    assert [words for words in STAND_INS if words not in everything] == []


def test_each_target_of_make_that_a_page_names_is_there(told: dict[str, list[Call]]) -> None:
    named = {word for story in told.values() for call in story if call.program == "make" for word in call.words}
    named |= {target for page in PAGES for target in re.findall(r"`make (\w+)", read(page))}
    assert {"demo", "test", "docs", "extras"} <= named
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}  # make may run these tests
    done = subprocess.run(["make", "-n", *sorted(named)], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_pip_installs_is_there(told: dict[str, list[Call]]) -> None:
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    installs = [call.words for story in told.values() for call in story if " install " in str(call)]
    assert len(installs) == 5
    for words in installs:
        (named,) = [word for word in words if re.match(r"degen-lm|examples/|\.$", word)]
        match = re.fullmatch(r"degen-lm\[(\w+)\]", named)
        assert match[1] in extras if match else (ROOT / named / "pyproject.toml").is_file(), named


def test_scripts_that_are_called_are_there(told: dict[str, list[Call]]) -> None:
    called = {call.words[0] for story in told.values() for call in story if call.program == "python"}
    assert called == {"-m", "examples/paper_figures.py", "bench/rank_intervals.py", "bench/accelerator.py"}
    assert all((ROOT / script).is_file() for script in called - {"-m"})


def test_no_shell_block_and_no_other_program_is_overlooked() -> None:
    assert len([block for page in PAGES for block in MARKED.findall(read(page))]) == 3
    told = [script for scripts in STORIES.values() for script in scripts]
    for page in PAGES:
        for script in blocks("(?:sh|bash|shell|zsh)", read(page)):
            assert script in told or script.startswith("#!/bin/"), page
    sentences = [words for page in PAGES for words in re.findall(r"`((?:docker|sbatch|parallel) [^`]+)`", read(page))]
    assert sorted(sentences) == sorted(SENTENCES_NOT_RUN)
