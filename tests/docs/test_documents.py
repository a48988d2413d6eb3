"""The documents say what the code does: their commands run, their output is real, the reference is fresh."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from documents import DOCS, PAGES, ROOT, blocks, commands, marked, read, run_degen, run_python
from faults.command import options_of
from not_run import BLOCKS_NOT_RUN
from page_files import add_series, demo_text, install

import degen
from degen.saturation import find_saturation

START, READING = read("docs/start.md"), read("docs/reading.md")
RUN_PAGES = ("README.md", "docs/start.md", "docs/reading.md")
PYTHON = list(dict.fromkeys(code for page in RUN_PAGES for code in blocks("python", read(page))))  # one is on two pages
REPORT, PROBE = read("docs/report.md"), read("docs/write_a_probe.md")


def assert_same(expected: str, printed: str) -> None:
    """Check that a table is printed as it is shown; another machine's arithmetic may differ in the last digit."""
    number = r"-?\d[\d.]*(?:e[+-]\d+)?"

    def cells(text: str) -> list[list[str]]:
        return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.strip() and "──" not in line]

    rows, real_rows = cells(expected), cells(printed)
    assert len(rows) == len(real_rows) > 10
    for promised, real in zip(rows, real_rows, strict=True):
        assert len(promised) == len(real)
        for a, b in zip(promised, real, strict=True):
            if not a or set(a) <= set("▁▂▃▄▅▆▇█"):
                continue
            assert re.sub(number, "#", a) == re.sub(number, "#", b)
            values, real_values = ([float(x) for x in re.findall(number, cell)] for cell in (a, b))
            assert real_values == pytest.approx(values, rel=2e-3)


@pytest.mark.parametrize("number", range(len(blocks("console", START))))
def test_the_output_on_the_first_page_is_what_the_commands_print(demo: tuple[Path, list[str]], number: int) -> None:
    assert_same(blocks("text", START)[number], demo[1][number])


def test_the_rules_of_the_readme_fail_and_pass_on_the_demo(demo: tuple[Path, list[str]]) -> None:
    rules = [words for block in blocks("sh", read("README.md")) for words in commands(block) if words[1] == "degen-run"]
    gates = [words for words in rules if words[0] == "gate"]
    assert [run_degen(words, demo[0]).exit_code for words in gates] == [1, 0]


def test_loss_perplexity_and_bits_per_byte_of_the_demo_have_one_verdict(demo: tuple[Path, list[str]]) -> None:
    metrics = ("loss", "perplexity", "bits_per_byte")
    verdicts = find_saturation(demo[0] / "degen-run", metrics=metrics).verdicts
    assert len(verdicts) == 9
    assert len({(v.curve.model, v.verdict, v.onset) for v in verdicts}) == 3


def test_pandas_recipe_gives_the_loss_over_tokens(demo: tuple[Path, list[str]]) -> None:
    recipe = next(block for block in blocks("python", READING) if "pandas" in block)
    code = recipe.replace('"domain"', '"revision"') + "\nprint((sums.nats / sums.tokens).to_json())"
    losses = json.loads(run_python(code, demo[0]).splitlines()[-1])
    rows = degen.read_run(demo[0] / "degen-run").checkpoints()
    assert len(losses) == len(rows)
    assert sorted(losses.values()) == pytest.approx(sorted(row["loss"] for row in rows))


def test_the_worked_examples_of_scaling_print_what_is_shown(tmp_path: Path) -> None:
    page = read("docs/scaling.md")
    files = re.findall(r"<!-- file: (\S+) -->\n```csv\n(.*?)```", page, re.DOTALL)
    pattern = r"```console\n\$ degen (.*?)\n```\n\n<!-- output of .*? -->\n```text\n(.*?)```"
    examples = re.findall(pattern, page, re.DOTALL)
    for name, text in files:
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert (len(examples), len(files)) == (len(blocks("console", page)), 4) == (5, 4)
    for command, expected in examples:
        assert_same(expected, run_degen(shlex.split(command), tmp_path).stdout)


@pytest.mark.parametrize("code", PYTHON)
def test_python_of_the_pages_runs(demo: tuple[Path, list[str]], code: str) -> None:
    assert run_python(code.replace("tokens=5_000", "tokens=500"), demo[0]).strip()


def test_the_section_of_a_report_that_a_page_shows_is_drawn(demo: tuple[Path, list[str]]) -> None:
    from collections.abc import Sequence

    from degen.figures.depth_curves import depth_curves
    from degen.report.content import Block, Drawing, Paragraph, Section
    from degen.report.run_data import ReportData

    def my_figure(rows: list[dict[str, Any]]) -> Any:
        points = [{**row, "value": row["anisotropy"], "depth": row["layer"]} for row in rows]
        return depth_curves("mine", "Mine", "value", points, [points[0]["model"]], "Mine.")

    names = {"Sequence": Sequence, "Block": Block, "Drawing": Drawing, "Paragraph": Paragraph, "Section": Section}
    (code,) = blocks("python", REPORT)
    namespace: dict[str, Any] = names | {"ReportData": ReportData, "my_figure": my_figure}
    exec(code, namespace)
    data = ReportData([degen.read_run(demo[0] / "degen-run")])
    assert namespace["SECTION"].build(data) == []  # no run has this table
    exec(code.replace("my_table", "layers").replace('"my_value"', '"anisotropy"'), namespace)
    paragraph, drawing = namespace["SECTION"].build(data)
    assert paragraph.text == "What it is."
    assert len(drawing.figure.tables["values"]) == 24 * 5


def test_the_settings_that_the_page_of_the_gate_shows_are_read(tmp_path: Path) -> None:
    add_series(tmp_path)
    (tmp_path / "val.jsonl").write_bytes(demo_text())
    scan = "scan runs/my-model --corpus val.jsonl --tokens 500 -o runs/main"
    assert run_degen(shlex.split(scan), tmp_path).exit_code == 0
    (settings,) = blocks("toml", read("docs/gate.md"))
    (tmp_path / "degen.toml").write_text(settings.replace("tokens = 20000", "tokens = 500"))
    done = run_degen(["gate"], tmp_path)
    assert done.exit_code in (0, 1), done.stderr
    for rule in ("anisotropy[layer=last] < 0.6", "loss.rise < max(0.02, 1%)", "singular_entropy"):
        assert rule in done.stdout


def test_commands_and_options_in_sentences_are_there() -> None:
    import typer
    from degen.cli.main import app

    there: Any = typer.main.get_command(app)
    sentences = [words.split()[1:] for page in PAGES for words in re.findall(r"`(degen [a-z][^`\n]*)`", read(page))]
    assert len(sentences) > 100
    assert {words[0] for words in sentences} <= set(there.commands)
    for words in sentences:
        assert {word for word in words if re.fullmatch(r"--[a-z-]+", word)} <= options_of(tuple(words)), words


def test_every_block_of_code_is_run_by_a_test_or_has_a_reason() -> None:
    python = [code for page in PAGES for code in blocks("python", read(page))]
    run = [*PYTHON, *blocks("python", REPORT), *blocks("python", PROBE), *marked(read("docs/training.md"), "run by")]
    assert set(python) == set(run)
    known = {
        "sh", "bash",  # test_commands
        "python", "console",  # this file and test_gate_documents
        "toml", "yaml",  # this file and test_gate_documents
        "text", "csv", "",  # no code: output, read by tests, and tables that the examples read
    }  # fmt: skip
    others = {
        (page, language)
        for page in PAGES
        for language in re.findall(r"^```(\w*)\n.*?^```$", read(page), re.DOTALL | re.MULTILINE)
        if language not in known
    }
    assert others == set(BLOCKS_NOT_RUN)
    consoles = {page for page in PAGES if blocks("console", read(page))}
    assert consoles == {"docs/start.md", "docs/scaling.md"}
    assert {page for page in PAGES if blocks("toml", read(page))} == {"docs/gate.md", "docs/write_a_probe.md"}
    assert {page for page in PAGES if blocks("yaml", read(page))} == {"docs/gate.md"}


def test_the_probe_that_a_page_shows_is_found_and_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(ROOT / "examples" / "probe_package", tmp_path)  # test_examples: the very probe of the page
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    run = degen.scan(tokens=1000, steps="3000", probes=["outliers"], out=tmp_path / "run", threads=1)
    shares = run.table("layers")["outlier_share"].to_pylist()
    assert len(shares) == 3 * 5
    assert all(1 / 48 <= share <= 1 for share in shares)
    sys.modules.pop("my_package.outliers")
    sys.modules.pop("my_package")


@pytest.fixture
def generate(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(DOCS))
    import generate

    return generate


@pytest.mark.parametrize("page", ["commands", "tables", "probes", "suites", "names", "saturation", "performance"])
def test_the_generated_reference_is_up_to_date(page: str, generate: Any) -> None:
    assert read(f"docs/{page}.md") == getattr(generate, page)()


@pytest.mark.parametrize("page", ["docs/start.md", "degen/demo/README.md", "docs/scaling.md", "docs/families.md"])
def test_counts_of_what_ships_are_up_to_date(page: str, generate: Any) -> None:
    assert page in generate.COUNTED
    assert (ROOT / page).read_text(encoding="utf-8") == generate.counts(page)
