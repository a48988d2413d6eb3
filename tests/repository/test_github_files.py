"""The files for GitHub: valid by their published schemas, and true of this repository."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from degen.version import __version__

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(file for file in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if file.name != "config.yml")
# file -> the schemas that `check-jsonschema` carries with it
SCHEMAS = {
    **dict.fromkeys(WORKFLOWS, ("vendor.github-workflows", "custom.github-workflows-require-timeout")),
    **dict.fromkeys(FORMS, ("vendor.github-issue-forms",)),
    GITHUB / "ISSUE_TEMPLATE" / "config.yml": ("vendor.github-issue-config",),
    GITHUB / "dependabot.yml": ("vendor.dependabot",),
    ROOT / "action.yml": ("vendor.github-actions",),
    ROOT / "CITATION.cff": ("vendor.citation-file-format",),
}


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


@pytest.mark.extras
@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.name)
def test_each_file_is_valid_by_its_published_schema(file: Path) -> None:
    for schema in SCHEMAS[file]:
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.extras
def test_a_wrong_file_is_not_valid(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "run-on:"))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(wrong)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_every_yaml_file_is_checked_against_a_schema() -> None:
    assert set(GITHUB.rglob("*.yml")) <= set(SCHEMAS)
    assert {file.stem for file in WORKFLOWS} == {"tests", "docs", "release", "action", "audit"}


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_may_only_read_and_run_targets_of_make_that_exist(file: Path) -> None:
    workflow = load(file)
    assert workflow["permissions"] == {"contents": "read"}
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 60
        rights = {right for right, level in job.get("permissions", {}).items() if level == "write"}
        assert rights <= ({"id-token", "pages"} if name == "publish" else set())
        for step in job["steps"]:
            assert set(re.findall(r"make (\w+)", step.get("run", ""))) <= targets
            assert re.fullmatch(r"\./|[\w/-]+@(v\d+|release/v1)", step.get("uses", "./"))
            assert step.get("with", {}).get("persist-credentials", False) is False


def test_the_matrix_has_every_python_that_is_promised() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert load(GITHUB / "workflows" / "tests.yml")["jobs"]["tests"]["strategy"]["matrix"]["python"] == promised
    assert project["requires-python"] == f">={promised[0]}"


def test_a_release_is_published_without_a_stored_token() -> None:
    text = (GITHUB / "workflows" / "release.yml").read_text()
    publish = load(GITHUB / "workflows" / "release.yml")["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert "secrets." not in text
    assert "password" not in text


def test_the_action_is_tried_on_series_of_the_demo_with_its_own_inputs() -> None:
    inputs = load(ROOT / "action.yml")["inputs"]
    steps = [s for s in load(GITHUB / "workflows" / "action.yml")["jobs"]["action"]["steps"] if s.get("uses") == "./"]
    assert len(steps) == 2
    for step in steps:
        assert set(step["with"]) <= set(inputs)
        assert (ROOT / step["with"]["target"]).is_dir()


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.name)
def test_issue_forms_ask_for_degen_doctor(file: Path) -> None:
    labels = [field["attributes"]["label"] for field in load(file)["body"] if "label" in field["attributes"]]
    assert any("degen doctor" in label for label in labels)


def test_the_citation_is_of_this_version_and_its_date_is_that_of_the_changelog() -> None:
    citation = load(ROOT / "CITATION.cff")
    assert citation["version"] == __version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {__version__} ({citation['date-released']})" in changelog
    assert changelog.index("## Unreleased") < changelog.index(f"## {__version__} (")
