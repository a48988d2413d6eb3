"""The sampler of mutants: which faults it plants, and which tests it chooses."""

from __future__ import annotations

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


def test_what_is_no_python_is_known() -> None:
    assert is_python("a = 1\n")
    assert not is_python("a = = 1\n")


def test_mutants_called_equivalent_are_mutants_of_files_that_are_there() -> None:
    import tomllib

    for mutant in tomllib.loads((SCRIPT.parent / "equivalent.toml").read_text(encoding="utf-8"))["mutant"]:
        source = (ROOT / mutant["file"]).read_text(encoding="utf-8")
        lines = source.splitlines()
        changes = {(lines[m.line - 1].strip(), m.change) for m in Faults(mutant["file"], source).collect()}
        assert (mutant["code"], mutant["change"]) in changes
        assert mutant["why"]
