"""The sampler of mutants: which faults it plants, which tests it chooses, and that it tells which of them notice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mutation.choose_tests import choose_tests
from mutation.operators import Faults, is_python

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "mutation" / "mutants.py"

FAULTS = {
    "a < b": ["a <= b", "a >= b"],
    "a is not b": ["a is b"],
    "a not in b": ["a in b"],
    "0 <= a < b": ["0 < a < b", "0 <= a <= b", "0 <= a >= b", "0 > a < b", "1 <= a < b"],
    "a + b": ["a - b"],
    "a ** 2": ["a * 2", "a ** 3"],
    "(a) / (b)": ["(a) * (b)"],
    "a and b": ["a or b"],
    "not a": ["a"],
    "-1.5": ["-2.5", "1.5"],
    "True": ["False"],
    "min(a, b)": ["max(a, b)"],
    "np.sqrt(a)": ["(a)"],
    "a if b else c": ["a if not (b) else c"],
    '"é" in a': ['"é" not in a'],
    '"text" + a': [],
    'f"{a + 1}"': [],
}


def faults_of(source: str) -> list[str]:
    """Return the sources that a source becomes with each fault."""
    return sorted(mutant.apply(source) for mutant in Faults("a.py", source).collect())


@pytest.mark.parametrize("code", FAULTS)
def test_each_expression_has_its_faults(code: str) -> None:
    assert faults_of(f"x = {code}\n") == sorted(f"x = {fault}\n" for fault in FAULTS[code])


def test_statements_are_left_out_conditions_negated_and_results_lost() -> None:
    source = "def f(a):\n    a.sort()\n    if a:\n        raise ValueError(1)\n    a[0] += 1\n    return a\n"
    changes = [
        ("a.sort()", "pass"), ("if a:", "if not (a):"), ("raise ValueError(1)", "pass"), ("a[0]", "a[1]"), ("+=", "-="),
        ("= 1", "= 2"), ("return a", "return None"),
    ]  # fmt: skip
    assert faults_of(source) == sorted(source.replace(old, new) for old, new in changes)


def test_types_texts_and_declarations_have_none() -> None:
    source = '''"""Text, 1 < 2."""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    N = 1
columns = {"a": Column("a", summary=True, size=3)}
def f(a: int | None) -> int | None:
    """Text, 1 < 2."""
    return None
'''
    assert faults_of(source) == []


def test_tests_are_chosen_from_the_nearest_on() -> None:
    first, second, *_ = choose_tests(ROOT, "degen/stats/jackknife.py")
    assert first == ["tests/degen/stats/test_jackknife.py"]
    assert second
    for file in ("probes/rankme.py", "degen/readers/evaluations/olmes.py", "degen/stats/entropy.py"):
        chosen = [test for level in choose_tests(ROOT, file) for test in level]
        assert chosen
        assert len(chosen) == len(set(chosen))
        assert not any(test.startswith(("tests/faults", "tests/mutation")) for test in chosen)
    assert "tests/probes/test_moment_probes.py" in choose_tests(ROOT, "probes/rankme.py")[0]


def test_a_seed_draws_the_same_hundred_from_all_kinds() -> None:
    drawn = [subprocess.run([sys.executable, SCRIPT, "--list"], capture_output=True, text=True) for _ in range(2)]
    lines = drawn[0].stdout.splitlines()
    assert drawn[1].stdout.splitlines() == lines
    assert len(set(lines)) == 100
    for folder, count in (("degen/gate/", 20), ("degen/saturation/", 20), ("degen/readers/", 15), ("probes/", 1)):
        assert len([line for line in lines if line.startswith(folder)]) >= count


TREE = {
    "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['.']\naddopts = '--import-mode=importlib'\n",
    "degen/__init__.py": "",
    "degen/a.py": "def half(n):\n    while n > 9:\n        n -= 1\n    return n // 2\n",
    "probes/__init__.py": "",
    "cli/__init__.py": "",
    "tests/test_far.py": "from degen.a import half\n\ndef test_nothing():\n    assert half\n",
    "tests/test_near.py": (
        "from degen.a import half\n\ndef test_broken():\n    assert False\n"
        "\ndef test_half():\n    assert half(6) == 3\n\ndef test_large():\n    assert half(20) == 4\n"
    ),
}
JUDGE = """
import json, sys
sys.argv[0] = sys.path[0] = sys.argv[1]
import runpy
from pathlib import Path
script = runpy.run_path(sys.argv[1])
script["Runner"].judge.__globals__["LIMIT"] = 4.0
tree, copy = Path(sys.argv[2]), Path(sys.argv[3])
copy.mkdir()
script["copy_repository"](tree, copy)
import pytest
runner = script["Runner"](copy, copy / "log")
found = {}
for mutant in script["Faults"]("degen/a.py", (tree / "degen/a.py").read_text()).collect():
    noticed, _ = runner.judge(mutant, [["tests/test_far.py"], ["tests/test_near.py"]])
    found[f"{mutant.line}: {mutant.old} {mutant.new}"] = noticed
print(json.dumps([found, sorted(runner.unsound)]))
"""


def test_faults_are_noticed_by_the_tests_that_fail_with_them_alone(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name, content in TREE.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(content)
    subprocess.run(["git", "init", "--quiet", tree], check=True)
    done = subprocess.run(
        [sys.executable, "-c", JUDGE, SCRIPT, tree, tmp_path / "copy"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found, unsound = json.loads(done.stdout.splitlines()[-1])
    assert unsound == ["tests/test_near.py::test_broken"]
    half, large = "tests/test_near.py::test_half", "tests/test_near.py::test_large"
    assert found == {
        "2: 9 10": large,  # 10 // 2
        "2: > <=": "hangs",  # below 9 it falls for ever
        "2: > >=": "",  # 8 // 2 is 9 // 2
        "3: - +": "hangs",
        "3: 1 2": "",
        "4: // *": half,
        "4: 2 3": half,
        "4: n // 2 None": half,
    }
    assert (tree / "degen/a.py").read_text() == (tmp_path / "copy/degen/a.py").read_text() == TREE["degen/a.py"]


def test_what_is_no_python_is_known() -> None:
    assert is_python("a = 1\n")
    assert not is_python("a = = 1\n")


def test_mutants_called_equivalent_are_mutants_of_files_that_are_there() -> None:
    import tomllib

    for mutant in tomllib.loads((SCRIPT.parent / "equivalent.toml").read_text(encoding="utf-8"))["mutant"]:
        source = (ROOT / mutant["file"]).read_text(encoding="utf-8")
        changes = {str(found).partition(": ")[2] for found in Faults(mutant["file"], source).collect()}
        assert mutant["change"] in changes
        assert mutant["why"]
