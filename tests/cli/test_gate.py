"""`degen gate` as a user runs it: exit codes, reports, rules from files, and a series that is scanned first."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from faults.command import SMALL, CommandResult, degen, degen_imports, degen_process, full_disk
from run_parts import change


@pytest.fixture(scope="module")
def run(series: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three checkpoints; not to be written to."""
    out = tmp_path_factory.mktemp("gate") / "run"
    assert degen("scan", series, "--corpus", corpus, "--out", out, *SMALL).code == 0
    return out


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """The same run, to be written to."""
    return Path(shutil.copytree(run, tmp_path / "run"))


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory without settings, and no GitHub around."""
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def gate(*args: object) -> CommandResult:
    result = degen("gate", *args)
    result.assert_no_fault()
    return result


PASSES, FAILS, UNKNOWN = "loss < 99", "loss < 0", "bottleneck_rank < 99"


def test_exit_codes_follow_their_precedence(run: Path, copy: Path) -> None:
    change(copy, "checkpoints", "step100", status="failed", reason="torn")  # incomplete
    for target, rules, code, verdict in [
        (run, [PASSES], 0, "passed"),
        (run, [PASSES, FAILS], 1, "failed"),
        (run, [PASSES, UNKNOWN], 3, "undecidable"),
        (run, [FAILS, UNKNOWN], 1, "failed"),
        (copy, [PASSES], 4, "incomplete"),
        (copy, [PASSES, FAILS], 1, "failed"),
        (copy, [PASSES, UNKNOWN], 3, "undecidable"),
        (copy, [FAILS, UNKNOWN], 1, "failed"),
    ]:
        result = gate(target, *(word for rule in rules for word in ("--rule", rule)))
        assert (result.code, result.out.split()[-1], result.err) == (code, verdict, "")
        document = gate(target, "--json", *(word for rule in rules for word in ("--rule", rule)))
        assert document.code == code
        assert (document.json()["target"], document.json()["verdict"]) == (str(target), verdict)
        assert len(document.json()["rows"]) == len(rules)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no rule to judge by"),
        (("--rule", "los < 3"), "did you mean 'loss'?"),
        (
            ("--rule", "loss.rize < 3"),
            "rule \"loss.rize < 3\": character 6: rise or drop must follow the dot, not 'rize'; did you mean 'rise'?",
        ),
        (("--rule", PASSES, "--confidence", 2), "--confidence 2: must be at least 0.5"),
        (("--rule", PASSES, "--strict"), "--strict needs --confidence"),
        (("--max-anisotropy", "nan"), "--max-anisotropy nan: must be a finite number"),
        (("--max-anisotropy", "much"), "Invalid value for '--max-anisotropy'"),
        (("--rule", PASSES, "--baseline", "nowhere.csv"), "nowhere.csv: no such file"),
        (("--rule", PASSES, "--config", "nowhere.toml"), "nowhere.toml: the settings cannot be read"),
        (("--rule", PASSES, "--junit", "no/such/folder.xml"), "--junit no/such/folder.xml: cannot be written"),
    ],
)
def test_wrong_usage_of_gate_is_an_error_of_one_line(words: tuple[object, ...], message: str, run: Path) -> None:
    result = gate(run, *words)
    assert result.code == 2
    assert message in result.message


def test_missing_target_is_refused(tmp_path: Path) -> None:
    assert "no such file or folder" in gate("nowhere.csv", "--rule", PASSES).message
    assert "no such folder or file" in gate("./nowhere", "--rule", PASSES).message
    (tmp_path / "empty").mkdir()
    assert gate("empty", "--rule", PASSES).code == 2


def test_nan_and_failed_latest_checkpoint_never_pass_a_rule(copy: Path) -> None:
    change(copy, "checkpoints", "step1000", anisotropy=float("nan"))
    result = gate(copy, "--max-anisotropy", 2)
    assert result.code == 3
    assert "is NaN" in result.out
    change(copy, "checkpoints", "step1000", status="failed", reason="torn file")
    result = gate(copy, "--max-anisotropy", 2, "--max-singular-entropy", 99, "--max-loss-rise", 99)
    assert result.code == 3
    assert result.out.count("the checkpoint failed: torn file") == 3
    assert "not measured: tiny@step1000" in result.out


def test_shortcut_options_equal_rules(run: Path) -> None:
    rows = gate(run, "--max-anisotropy", 0.5, "--max-singular-entropy", 3, "--max-loss-rise", 0.1, "--json").json()[
        "rows"
    ]
    assert {row["rule"] for row in rows} == {"anisotropy < 0.5", "singular_entropy < 3", "loss.rise < 0.1"}
    rise = next(row for row in rows if row["rule"] == "loss.rise < 0.1")
    assert rise["difference"] == pytest.approx(rise["value"] - rise["reference"])
    assert {"model", "revision", "step", "place", "error", "bound", "margin", "low", "high", "reason"} <= set(rise)


def test_confidence_and_strict_judge_by_the_standard_error(run: Path) -> None:
    (row,) = gate(run, "--rule", PASSES, "--json").json()["rows"]
    rule = f"loss < {row['value'] - 0.5 * row['error']}"  # breaks it by half a standard error
    assert gate(run, "--rule", rule).code == 1
    assert gate(run, "--rule", rule, "--confidence", 0.95).code == 0
    assert gate(run, "--rule", rule, "--confidence", 0.95, "--strict").code == 3
    far = f"loss < {row['value'] - 5 * row['error']}"
    assert gate(run, "--rule", far, "--confidence", 0.6, "--strict").code == 1


def test_rules_of_a_file_and_of_the_command_line_add_up(run: Path, tmp_path: Path) -> None:
    (tmp_path / "degen.toml").write_text(f"[gate]\nrules = ['{FAILS}']\nmax_anisotropy = 2\nconfidence = 0.9")
    rows = gate(run, "--rule", PASSES, "--max-anisotropy", 3, "--json").json()["rows"]
    assert {row["rule"]: row["verdict"] for row in rows} == {
        "anisotropy < 3": "passed", FAILS: "failed", PASSES: "passed",
    }  # fmt: skip
    assert all(row["low"] is not None for row in rows)
    (tmp_path / "other.toml").write_text(f"rules = ['{PASSES}']")
    assert gate(run, "--config", "other.toml").code == 0
    (tmp_path / "degen.toml").write_text("[gat]")
    assert "degen.toml: the file has an unknown key 'gat'; did you mean 'gate'?" in gate(run).message


def test_rise_is_relative_to_a_baseline(run: Path, copy: Path) -> None:
    change(copy, "checkpoints", "step1000", loss=0.5)
    assert gate(run, "--max-loss-rise", 0.1, "--baseline", copy).code == 1
    assert gate(run, "--rule", "loss.rise <= 0", "--baseline", run).code == 0
    result = gate(run, "--rule", PASSES, "--baseline", run)
    assert result.err.startswith("warning: the baseline")


def test_table_is_judged_with_its_standard_errors(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("model,step,acc,acc_se\nm,1,.5,.1\nm,2,.4,.1\n")
    assert gate("t.csv", "--rule", "acc.drop < 0.05").code == 1
    assert gate("t.csv", "--rule", "acc.drop < 0.05", "--confidence", 0.95).code == 0


def test_junit_file_is_written_for_every_verdict(run: Path, tmp_path: Path) -> None:
    assert gate(run, "--rule", FAILS, "--rule", PASSES, "--rule", UNKNOWN, "--junit", "gate.xml").code == 1
    suite = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert [suite.get(name) for name in ("tests", "failures", "errors")] == ["3", "1", "1"]


def test_github_report_has_annotations_and_a_summary(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert gate(run, "--rule", FAILS).err == ""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert gate(run, "--rule", FAILS, "--no-github").err == ""
    assert summary.read_text() == "before\n"
    result = gate(run, "--rule", FAILS, "--json")
    assert result.code == 1
    (line,) = result.err.splitlines()
    assert line.startswith("::error title=degen gate%3A failed::loss < 0 at tiny step 1000: ")
    assert result.json()["verdict"] == "failed"
    assert summary.read_text().startswith("before\n### degen gate: failed\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "no" / "summary.md"))
    assert "warning: GITHUB_STEP_SUMMARY" in gate(run, "--rule", PASSES).err
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    monkeypatch.delenv("GITHUB_ACTIONS")
    assert gate(run, "--rule", FAILS, "--github").err.startswith("::error ")


def test_series_is_scanned_before_it_is_judged(series: Path, corpus: Path, tmp_path: Path) -> None:
    options = ("--corpus", corpus, "--out", "scanned", *SMALL)
    result = gate(series, "--rule", "loss[step=all] < 99", "--json", *options)
    assert result.code == 0
    assert sorted(row["step"] for row in result.json()["rows"]) == [0, 100, 1000]
    assert result.json()["target"] == str(series)
    assert (tmp_path / "scanned" / "run.json").is_file()
    assert gate("scanned", "--rule", "loss < 99").code == 0
    single = gate(series / "step100", "--max-loss-rise", 1, "--out", "single", "--corpus", corpus, *SMALL)
    assert single.code == 3
    assert "too few checkpoints" in single.out


def test_series_is_judged_by_the_checkpoints_it_has_now(series: Path, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(series, tmp_path / "s")
    options = ("--corpus", corpus, "--out", "again", *SMALL)
    assert gate("s", "--rule", "loss < 99", *options).code == 0
    (tmp_path / "s" / "step1000").rename(tmp_path / "away")
    shutil.copytree(tmp_path / "s" / "step0", tmp_path / "s" / "step200")  # a training that was undone goes another way
    result = gate("s", "--rule", "loss < 99", "--json", *options)
    assert [row["step"] for row in result.json()["rows"]] == [200]
    assert "checkpoints left out, because the series no longer has them: s@step1000" in result.err
    (tmp_path / "away").rename(tmp_path / "s" / "step1000")
    (tmp_path / "s" / "step0").rename(tmp_path / "away")  # old ones are cleared away, and stay the run's past
    result = gate("s", "--rule", "loss[step=all] < 99", "--json", *options)
    assert sorted(row["step"] for row in result.json()["rows"]) == [0, 100, 200, 1000]
    assert "left out" not in result.err


def test_dry_run_of_gate_prints_costs_and_scans_nothing(series: Path, corpus: Path, run: Path, tmp_path: Path) -> None:
    result = gate(series, "--rule", PASSES, "--dry-run", "--corpus", corpus, "--out", "dry", *SMALL)
    assert result.code == 0
    assert "3 checkpoints" in result.out
    assert not (tmp_path / "dry").exists()
    assert gate(run, "--rule", PASSES, "--dry-run").code == 2


def test_failed_verdict_keeps_its_exit_code_when_the_report_cannot_be_written(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.xml"
    with full_disk(20):
        failed = gate(run, "--rule", FAILS, "--junit", file)
        passed = gate(run, "--rule", PASSES, "--junit", file)
    assert failed.code == 1
    assert failed.out.rstrip().endswith("failed")
    assert f"--junit {file}: cannot be written" in failed.err
    assert passed.code == 2


def test_series_with_a_damaged_checkpoint_is_incomplete(series: Path, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(series, tmp_path / "s")
    weights = tmp_path / "s" / "step100" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    options = ("--corpus", corpus, "--out", "torn", *SMALL)
    assert gate("s", "--rule", PASSES, *options).code == 4
    assert gate("torn", "--rule", FAILS).code == 1


def test_wrong_usage_of_gate_is_refused_before_a_scan(series: Path, tmp_path: Path) -> None:
    for words in (("--rule", "loss < nan"), ("--rule", PASSES, "--strict"), ("--rule", PASSES, "--baseline", "no.csv"),
                  ("--rule", PASSES, "--junit", "no/x.xml"), ("--rule", PASSES, "--junit", "."),
                  ("--rule", "anisotropi[layer=last] < 1"), ("--rule", "lss < 1"),
                  ("--rule", "loss[model=tinny] < 1")):  # fmt: skip
        assert gate(series, *words, "--out", "early").code == 2
    assert not (tmp_path / "early").exists()


def test_gate_on_a_run_imports_no_torch_or_pandas(run: Path) -> None:
    rules = ("--max-loss-rise", 99, "--rule", "anisotropy[layer=last] < 99", "--rule", "loss[domain=Github] < 99")
    result = degen_imports(
        "gate",
        run,
        *rules,
        "--confidence",
        "0.9",
        "--baseline",
        run,
        packages="torch transformers tokenizers datasets safetensors pandas",
    )
    assert (result.code, result.err) == (0, "imported:\n")


def test_installed_gate_command_annotates_and_exits_with_1(run: Path, tmp_path: Path) -> None:
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "s.md"), "LC_ALL": "C"}
    result = degen_process("gate", run, "--rule", FAILS, cwd=tmp_path, **environment)
    assert result.code == 1
    assert result.err.startswith("::error ")
    assert os.path.getsize(tmp_path / "s.md")
