"""The documents say what the code does: their commands run, their output is real, the reference is fresh."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder in which the README's console commands were run, and what the last one of each block printed."""
    folder = tmp_path_factory.mktemp("readme")
    printed = []
    for block in blocks("console"):
        said = ""
        for line in block.splitlines():
            words = shlex.split(line.removeprefix("$ "))
            said = run([str(BIN / words[0]), *words[1:]], folder)
        printed.append(said)
    return folder, printed


@pytest.mark.parametrize("number", range(len(blocks("console"))))
def test_the_output_in_the_readme_is_what_the_commands_print(demo: tuple[Path, list[str]], number: int) -> None:
    def cells(text: str) -> list[list[str]]:
        return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.strip() and "──" not in line]

    shown, printed = cells(blocks("text")[number]), cells(demo[1][number])
    assert len(shown) == len(printed) > 10
    for promised, real in zip(shown, printed, strict=True):
        assert len(promised) == len(real)
        for a, b in zip(promised, real, strict=True):
            if re.fullmatch(r"[\d.e+-]+", a):  # another machine's arithmetic may differ in the last digit shown
                assert float(b) == pytest.approx(float(a), rel=2e-3)
            elif not set(a) <= set("▁▂▃▄▅▆▇█"):
                assert a == b


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


@pytest.mark.parametrize("page", ["commands", "tables"])
def test_the_reference_is_fresh(page: str) -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import generate
    finally:
        sys.path.pop(0)
    assert (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8") == getattr(generate, page)()


def test_links_in_the_documents_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
