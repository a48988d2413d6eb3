"""The documents say what the code does: their commands run, their output is real, the reference is fresh."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import degen
from degen.saturation import find_saturation

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


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


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Run the README's console commands; return their folder and what the last one of each block printed."""
    folder = tmp_path_factory.mktemp("readme")
    printed = []
    for block in blocks("console"):
        output = ""
        for line in block.splitlines():
            words = shlex.split(line.removeprefix("$ "))
            output = run([str(BIN / words[0]), *words[1:]], folder)
        printed.append(output)
    return folder, printed


@pytest.mark.parametrize("number", range(len(blocks("console"))))
def test_the_output_in_the_readme_is_what_the_commands_print(demo: tuple[Path, list[str]], number: int) -> None:
    assert_same(blocks("text")[number], demo[1][number])


def test_loss_perplexity_and_bits_per_byte_of_the_demo_have_one_verdict(demo: tuple[Path, list[str]]) -> None:
    metrics = ("loss", "perplexity", "bits_per_byte")
    verdicts = find_saturation(demo[0] / "degen-run", metrics=metrics).verdicts
    assert len(verdicts) == 9
    assert len({(v.curve.model, v.verdict, v.onset) for v in verdicts}) == 3


def test_pandas_recipe_gives_the_loss_over_tokens(demo: tuple[Path, list[str]]) -> None:
    recipe = next(block for block in blocks("python") if "pandas" in block)
    code = recipe.replace('"domain"', '"revision"') + "\nprint((sums.nats / sums.tokens).to_json())"
    losses = json.loads(run([sys.executable, "-c", code], demo[0]).splitlines()[-1])
    rows = degen.read_run(demo[0] / "degen-run").checkpoints()
    assert len(losses) == len(rows)
    assert sorted(losses.values()) == pytest.approx(sorted(row["loss"] for row in rows))


def test_the_worked_examples_of_scaling_print_what_is_shown(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    files = re.findall(r"<!-- file: (\S+) -->\n```csv\n(.*?)```", page, re.DOTALL)
    pattern = r"```console\n\$ degen (.*?)\n```\n\n<!-- output of .*? -->\n```text\n(.*?)```"
    examples = re.findall(pattern, page, re.DOTALL)
    for name, text in files:
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert (len(examples), len(files)) == (len(blocks("console", page)), 4) == (5, 4)
    for command, expected in examples:
        assert_same(expected, run([str(BIN / "degen"), *shlex.split(command)], tmp_path))


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_of_the_readme_runs(demo: tuple[Path, list[str]], number: int) -> None:
    assert run([sys.executable, "-c", blocks("python")[number]], demo[0]).strip()


def test_the_probe_of_contributing_is_found_and_measures(demo: tuple[Path, list[str]], tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "outliers.py").write_text(blocks("python", text)[0], encoding="utf-8")
    info = tmp_path / "my_package-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    entry = blocks("toml", text)[0].splitlines()
    (info / "entry_points.txt").write_text(f"[degen.probes]\n{entry[1].replace(chr(34), '')}\n")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import degen\n"
        "run = degen.scan(tokens=1000, steps='3000', probes=['outliers'], out='outliers')\n"
        "shares = run.table('layers')['outlier_share'].to_pylist()\n"
        "assert len(shares) == 3 * 5 and all(1 / 48 <= s <= 1 for s in shares), shares\n"
        "print(run.tables)\n"
    )
    assert "layers" in run([sys.executable, "-c", script], tmp_path)


@pytest.fixture
def generate(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import generate

    return generate


@pytest.mark.parametrize("page", ["commands", "tables", "probes", "saturation", "performance"])
def test_the_generated_reference_is_up_to_date(page: str, generate: Any) -> None:
    assert (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8") == getattr(generate, page)()


@pytest.mark.parametrize("page", ["README.md", "degen/demo/README.md", "docs/scaling.md", "docs/families.md"])
def test_counts_of_what_ships_are_up_to_date(page: str, generate: Any) -> None:
    assert page in generate.COUNTED
    assert (ROOT / page).read_text(encoding="utf-8") == generate.counts(page)


def test_links_in_the_documents_lead_to_existing_files() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
