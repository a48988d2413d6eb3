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
from documents import DOCS, ROOT, blocks, commands, read, run_degen, run_python

import degen
from degen.saturation import find_saturation

START, READING = read("docs/start.md"), read("docs/reading.md")
PYTHON = [code for text in (read("README.md"), START, READING) for code in blocks("python", text)]


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


@pytest.mark.parametrize(
    "code", [*blocks("python", read("README.md")), *blocks("python", START), *blocks("python", READING)]
)
def test_python_of_the_pages_runs(demo: tuple[Path, list[str]], code: str) -> None:
    assert run_python(code, demo[0]).strip()


def test_the_probe_that_a_page_shows_is_found_and_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = read("docs/write_a_probe.md")
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "outliers.py").write_text(blocks("python", text)[0], encoding="utf-8")
    info = tmp_path / "my_package-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    entry = blocks("toml", text)[0].splitlines()
    (info / "entry_points.txt").write_text(f"[degen.probes]\n{entry[1].replace(chr(34), '')}\n")
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
