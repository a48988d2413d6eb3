"""How the packages hang together: imports point downwards, nothing is circular, files and functions fit a screen."""

from __future__ import annotations

import ast
import functools
import graphlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"degen": "degen", "cli": "degen.cli", "probes": "degen.probes"}

# Every package, and every module that stands alone, from the ground up: each imports what stands before it, and nothing
# behind it. `degen` itself is the public face, `import degen`. A probe sees no more than LAST_FOR_PROBES.
ORDER = (
    "printable", "errors", "version", "hints", "arrays", "paths", "bounds", "hashing", "device",
    "demo", "published",
    "tables",
    "stores",
    "weights", "text", "checkpoint_formats", "stats", "model", "placement", "planning", "laws", "checkpoints",
    "readers",
    "probe", "model_probe", "probe_registry", "states", "forward", "rank", "delta", "weight_spectra", "runs",
    "trackers", "scanning", "doctor", "publishing", "ngram", "metrics", "similarity", "saturation", "scaling", "gate",
    "audit", "callbacks", "run_comparison", "figures", "report", "", "cli", "__main__", "probes",
)  # fmt: skip
LAST_FOR_PROBES = "weight_spectra"

MOST_LINES, MOST_LINES_OF_A_FUNCTION, MOST_FLAT_FILES = 350, 60, 15


def modules(root: Path) -> dict[str, Path]:
    """Return the file of every module by its dotted name."""
    files = {}
    for folder, package in FOLDERS.items():
        for file in sorted((root / folder).rglob("*.py")):
            parts = [p for p in file.relative_to(root / folder).with_suffix("").parts if p != "__init__"]
            files[".".join([package, *parts])] = file
    return files


def imported_names(module: str, file: Path) -> Iterator[tuple[str, int]]:
    """Yield every dotted name that a file imports and its line: at the top, in functions, and for type checkers."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def import_graph(files: Mapping[str, Path]) -> dict[str, dict[str, int]]:
    """Return for every module the modules it imports, each with the first line that does."""
    graph: dict[str, dict[str, int]] = {module: {} for module in files}
    for module, file in files.items():
        for name, line in imported_names(module, file):
            while name and name not in files:
                name = name.rpartition(".")[0]
            if name and name != module:
                graph[module].setdefault(name, line)
    return graph


def entry_of(module: str) -> str:
    """Return the entry of ORDER that a module belongs to."""
    return module.removeprefix("degen").removeprefix(".").split(".")[0]


def upward_imports(graph: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return every import that does not point downwards, as a line to be read."""
    wrong = []
    for module, targets in graph.items():
        index = ORDER.index(entry_of(module))
        for target, line in targets.items():
            other = ORDER.index(entry_of(target))
            too_high = other > (ORDER.index(LAST_FOR_PROBES) if ORDER[index] == "probes" else index)
            if too_high and ORDER[index] != ORDER[other]:
                wrong.append(f"{module}:{line} imports {target}, which stands above it")
    return wrong


def circle(graph: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the modules of one circle, the first one again at its end; nothing where there is none."""
    try:
        graphlib.TopologicalSorter({module: list(targets) for module, targets in graph.items()}).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


@functools.cache
def own_graph() -> dict[str, dict[str, int]]:
    """Return the graph of this repository."""
    return import_graph(modules(ROOT))


def test_imports_point_downwards() -> None:
    assert upward_imports(own_graph()) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle(own_graph()) == []


def test_the_order_names_every_package_once() -> None:
    assert sorted(ORDER) == sorted({entry_of(module) for module in own_graph()})


def test_the_drawing_of_the_packages_shows_this_order() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawing = text.partition("checked by tests/test_structure.py -->")[2].partition("    tests/")[0]
    names: list[str] = []
    for words in (line.split() for line in drawing.splitlines()):
        if words and words != ["degen/"]:
            names += [word.rstrip(",/") for word in (words if words[0].endswith(",") else words[:1])]
    assert names == [entry or "degen/__init__.py" for entry in reversed(ORDER)]


def test_the_picture_and_its_page_name_packages_that_exist() -> None:
    pages = ("images/architecture.svg", "architecture.md")
    texts = [(ROOT / "docs" / page).read_text(encoding="utf-8") for page in pages]
    named = {name for text in texts for name in re.findall(r"\b([a-z_]+)/(?!\w)", text)}
    assert named - set(ORDER) <= {"degen"}
    assert {"checkpoints", "text", "forward", "probes", "runs", "saturation"} <= named


PLANTED = {
    "at the top": "from degen.runs import run\n",
    "in a function": "def read():\n    from degen.runs.run import read_run\n",
    "for type checkers": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import degen.runs.run\n",
    "by a relative name": "from .a import x\n",
}


@pytest.mark.parametrize("code", PLANTED.values(), ids=PLANTED)
def test_planted_circles_are_named(tmp_path: Path, code: str) -> None:
    for folder in ("degen/runs", "degen/text"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "degen/runs/run.py").write_text("from degen.text.b import y\n")
    (tmp_path / "degen/text/a.py").write_text("from .b import y\n")
    (tmp_path / "degen/text/b.py").write_text(code)
    graph = import_graph(modules(tmp_path))
    assert set(circle(graph)) in ({"degen.runs.run", "degen.text.b"}, {"degen.text.a", "degen.text.b"})
    upward = [w for w in upward_imports(graph) if w.startswith("degen.text.b:")]
    assert [w.partition(" ")[2] for w in upward] == (
        [] if "relative" in code or ".a" in code else ["imports degen.runs.run, which stands above it"]
    )


@pytest.mark.parametrize(
    ("importer", "target"), [("probes/own.py", "degen.scanning.scan"), ("cli/x.py", "degen.probes.own")]
)
def test_probes_and_commands_keep_apart(tmp_path: Path, importer: str, target: str) -> None:
    for file in ("degen/scanning/scan.py", "degen/rank/a.py", "probes/own.py", "cli/x.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("import degen.rank.a\n" if file.startswith(("probes", "cli")) else "")
    assert upward_imports(import_graph(modules(tmp_path))) == []
    (tmp_path / importer).write_text(f"import {target}\n")
    assert len(upward_imports(import_graph(modules(tmp_path)))) == 1


def test_packages_hold_their_files() -> None:
    flat = [file.name for file in (ROOT / "degen").glob("*.py")]
    assert len(flat) <= MOST_FLAT_FILES, flat


def test_files_are_short() -> None:
    lengths = {module: len(file.read_text(encoding="utf-8").splitlines()) for module, file in modules(ROOT).items()}
    assert {module: n for module, n in lengths.items() if n > MOST_LINES} == {}


def test_functions_fit_a_screen() -> None:
    long = []
    for module, file in modules(ROOT).items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MOST_LINES_OF_A_FUNCTION:
                    long.append(f"{module}:{node.lineno} {node.name} has {lines} lines")
    assert long == []


def test_packages_say_what_they_are_for_and_what_they_import() -> None:
    imports = own_graph()
    for module, file in modules(ROOT).items():
        if file.name != "__init__.py" or module in ("degen", "degen.scaling.architectures"):
            continue
        lines = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").splitlines()
        assert lines, module
        assert lines[0].endswith("."), module
        entry = entry_of(module)
        others = {entry_of(target) for name in imports if entry_of(name) == entry for target in imports[name]}
        others -= {entry, ""}
        highest = max(others, key=ORDER.index, default="errors")
        alone = ORDER.index(highest) <= ORDER.index("tables")
        sentence = "Imports the ground files alone." if alone else f"Imports {highest} and what lies below it."
        assert lines[-1] == sentence, module
