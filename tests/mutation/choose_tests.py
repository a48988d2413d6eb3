"""Which tests could notice a fault in a file, the nearest first."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

NOT_MIRRORS = ("mutation", "faults", "docs", "browser", "repository", "bench", "real", "families")


def choose_tests(root: Path, file: str) -> list[list[str]]:
    """Return files of tests in levels, each run only where no earlier one noticed.

    First the file of the same name in the mirrored folder; then those that import the module, or that lie in that
    folder and name it; then the tests that mirror a module which imports this one, and the rest of that folder.

    Args:
        root: of the repository.
        file: of the package, as `degen/stats/jackknife.py`.
    """
    module, stem = module_of(file), Path(file).stem
    folder = root / "tests" / Path(file).parent
    mirrored = sorted(folder.rglob("test_*.py")) if folder.is_dir() else []
    same = [test for test in mirrored if test == folder / f"test_{stem}.py"]
    named = re.compile(rf"\b{stem}\b")
    naming = [test for test in mirrored if named.search(test.read_text(encoding="utf-8"))]
    importing = [test for test in all_tests(root) if module in imports_of(test)]
    near = [test for test in dict.fromkeys([*naming, *importing]) if test not in same]
    far = [t for t in dict.fromkeys([*_tests_of_importers(root, module), *mirrored]) if t not in same and t not in near]
    levels = [same, near, far]
    return [[str(test.relative_to(root)) for test in level] for level in levels if level]


def module_of(file: str) -> str:
    """Return the dotted name of a file's module: `probes/loss.py` is `degen.probes.loss`."""
    name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return name if name.startswith("degen") else f"degen.{name}"


@cache
def all_tests(root: Path) -> tuple[Path, ...]:
    """Return all files of tests but those that start whole commands, build the site, or read real weights."""
    tests = (root / "tests").rglob("test_*.py")
    return tuple(sorted(t for t in tests if t.relative_to(root / "tests").parts[0] not in NOT_MIRRORS))


@cache
def imports_of(file: Path) -> frozenset[str]:
    """Return the dotted names that a file imports, and those of the modules that they are in."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level <= 1:
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def _tests_of_importers(root: Path, module: str) -> list[Path]:
    """Return the tests of the same name as a module that imports this one, and those that import such a one."""
    package, _, stem = module.rpartition(".")
    face = root / package.removeprefix("degen.").replace(".", "/") / "__init__.py"
    face = face if face.is_file() else root / package.replace(".", "/") / "__init__.py"
    exported = face.is_file() and stem in imports_of(face)
    importers = set()
    for source in [*(root / "degen").rglob("*.py"), *(root / "probes").glob("*.py"), *(root / "cli").glob("*.py")]:
        own = module_of(str(source.relative_to(root)))
        names = imports_of(source)
        if module in names or (exported and package in names) or (stem in names and own.rpartition(".")[0] == package):
            importers.add(own)
    stems = {name.rpartition(".")[2] for name in importers}
    return [t for t in all_tests(root) if t.stem.removeprefix("test_") in stems or imports_of(t) & importers]
