"""The sampler of mutants tells which of them tests notice: by failing, by hanging, and only where they pass without."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "mutation" / "mutants.py"

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
tree, copy = Path(sys.argv[2]), Path(sys.argv[3])
copy.mkdir()
script["copy_repository"](tree, copy)
import pytest
runner = script["Runner"](copy, copy / "log")
_, seconds = runner.run(["tests/test_far.py", "tests/test_near.py"], 60.0)
script["Runner"].judge.__globals__["LIMIT"] = 10 * seconds
found = {}
for mutant in script["Faults"]("degen/a.py", (tree / "degen/a.py").read_text()).collect():
    noticed, _ = runner.judge(mutant, [["tests/test_far.py"], ["tests/test_near.py"]])
    found[f"{mutant.line}: {mutant.old} {mutant.new}"] = noticed
print(json.dumps([found, sorted(runner.unsound)]))
"""


@pytest.mark.faults
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
