"""Rules and options of degen.toml and pyproject.toml, and what the command line does to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from degen import DegenError
from degen.gate.parser import parse_rule
from degen.gate.settings import GateSettings, find_settings, read_settings

EVERYTHING = """
rules = ["acc > 0.1"]
[gate]
rules = ["loss.rise < max(0.02, 1%)", "anisotropy[layer=last] < 0.6"]
baseline = "runs/main"
confidence = 0.95
strict = true
max_anisotropy = 0.7
max_singular_entropy = 3
max_loss_rise = 0.5
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    (root / "a" / "b").mkdir(parents=True)
    return root


def test_every_setting_is_read_from_a_file(repository: Path) -> None:
    (repository / "degen.toml").write_text(EVERYTHING)
    settings = find_settings(repository)
    assert [str(rule) for rule in settings.all_rules()] == [
        "anisotropy < 0.7", "singular_entropy < 3", "loss.rise < 0.5", "acc > 0.1", "loss.rise < max(0.02, 1%)",
        "anisotropy[layer=last] < 0.6",
    ]  # fmt: skip
    assert (settings.confidence, settings.strict) == (0.95, True)
    assert settings.baseline == repository / "runs" / "main"
    assert settings.file == repository / "degen.toml"
    head, gate = EVERYTHING.split("[gate]")
    (repository / "pyproject.toml").write_text(f"[tool.degen]{head}\n[tool.degen.gate]{gate}")
    assert read_settings(repository / "pyproject.toml").all_rules() == settings.all_rules()


def test_the_nearest_file_counts_up_to_the_root_of_the_repository(repository: Path) -> None:
    inner = repository / "a" / "b"
    (repository.parent / "degen.toml").write_text('[gate]\nrules = ["outside < 1"]')
    assert find_settings(inner) is None
    (repository / "degen.toml").write_text('[gate]\nrules = ["root < 1"]')
    (repository / "a" / "pyproject.toml").write_text("[tool.ruff]\nline-length = 100")
    settings = find_settings(inner)
    assert settings.rules == (parse_rule("root < 1"),)
    (repository / "a" / "pyproject.toml").write_text('[tool.degen]\nrules = ["project < 1"]')
    settings = find_settings(inner)
    assert settings.rules == (parse_rule("project < 1"),)
    (repository / "a" / "degen.toml").write_text('rules = ["own < 1"]')
    settings = find_settings(inner)
    assert settings.rules == (parse_rule("own < 1"),)


def test_outside_of_a_repository_only_the_folder_itself_is_searched(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "degen.toml").write_text('rules = ["x < 1"]')
    assert find_settings(tmp_path / "in") is None
    assert find_settings(tmp_path) is not None


def test_the_command_line_adds_rules_and_overrides_options(repository: Path) -> None:
    (repository / "degen.toml").write_text(EVERYTHING)
    below = read_settings(repository / "degen.toml")
    options = GateSettings((parse_rule("x < 1"),), {"max_anisotropy": 0.1}, Path("other"), 0.9, False)
    both = below.under(options)
    rules = [str(rule) for rule in both.all_rules()]
    assert rules[:3] == ["anisotropy < 0.1", "singular_entropy < 3", "loss.rise < 0.5"]
    assert rules[-1] == "x < 1"
    assert len(rules) == 7
    assert (both.baseline, both.confidence, both.strict) == (Path("other"), 0.9, False)
    with pytest.raises(DegenError, match=r"degen.toml: the baseline \S+runs/main does not exist; correct the path"):
        below.under(GateSettings())
    (repository / "runs" / "main").mkdir(parents=True)
    alone = below.under(GateSettings())
    assert alone.all_rules() == below.all_rules()
    assert (alone.baseline, alone.confidence, alone.strict) == (below.baseline, 0.95, True)
    assert both.under(options).all_rules() == both.all_rules()  # each rule once


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[gate", r"degen.toml: the file is not valid TOML \("),
        ("[gat]", "the file has an unknown key 'gat'; did you mean 'gate'?"),
        ("[gate]\nrule = []", r"\[gate\] has an unknown key 'rule'; did you mean 'rules'\?"),
        ("[gate]\nmax_anisotrpy = 1", "did you mean 'max_anisotropy'?"),
        ("[gate]\nxyzzy = 1", "there are rules, baseline, confidence, strict"),
        ("[gate]\nrules = 'loss < 1'", "rules must be a list of texts"),
        ("[gate]\nrules = [1]", "rules must be a list of texts"),
        (
            "[gate]\nrules = ['loss.rize < 1']",
            "degen.toml: rule \"loss.rize < 1\": character 6: rise or drop must follow the dot, not 'rize'",
        ),
        ("[gate]\nconfidence = 'high'", "confidence = 'high': must be a finite number"),
        ("[gate]\nconfidence = true", "confidence = True: must be a finite number"),
        ("[gate]\nmax_anisotropy = nan", "max_anisotropy = nan: must be a finite number"),
        ("[gate]\nmax_loss_rise = inf", "max_loss_rise = inf: must be a finite number"),
        ("[gate]\nconfidence = 95", "confidence = 95: must be at least 0.5 and below 1"),
        ("[gate]\nstrict = 1", "strict = 1: must be true or false"),
        ("[gate]\nbaseline = 3", "baseline = 3: must be a path"),
        ("gate = 3", r"\[gate\] = 3: must be a table"),
    ],
)
def test_wrong_settings_in_a_file_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "degen.toml").write_text(text)
    with pytest.raises(DegenError, match=message.replace("?", r"\?") if "\\" not in message else message) as error:
        find_settings(tmp_path)
    assert str(error.value).startswith(str(tmp_path / "degen.toml"))
    assert len(str(error.value).splitlines()) == 1


def test_a_settings_file_without_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DegenError, match=r"no.toml: the settings cannot be read \(No such file"):
        read_settings(tmp_path / "no.toml")
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'")
    with pytest.raises(DegenError, match=r"this file has no settings of degen; add \[tool.degen.gate\]"):
        read_settings(tmp_path / "pyproject.toml")
    (tmp_path / "pyproject.toml").write_text("tool = 3")
    assert find_settings(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text("[tool]\ndegen = 3")
    with pytest.raises(DegenError, match=r"\[tool.degen\] = 3: must be a table"):
        find_settings(tmp_path)
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DegenError, match="the file is not valid TOML"):
        read_settings(tmp_path / "mine.toml")


def test_an_empty_settings_file_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "degen.toml").write_text("# nothing yet\n")
    (tmp_path / "pyproject.toml").write_text("[tool.degen.gate]\nmax_anisotropy = 0.5\n")
    settings = find_settings(tmp_path)
    assert settings.file == tmp_path / "pyproject.toml"


def test_family_wise_is_read_and_needs_a_confidence(tmp_path: Path) -> None:
    file = tmp_path / "degen.toml"
    file.write_text("[gate]\nconfidence = 0.95\nfamily_wise = true\n")
    below = read_settings(file)
    assert below.under(GateSettings()).family_wise is True
    assert below.under(GateSettings(family_wise=False)).family_wise is False
    file.write_text("[gate]\nfamily_wise = true\n")
    with pytest.raises(DegenError, match=r"degen.toml: family_wise = true needs a confidence"):
        read_settings(file).under(GateSettings())


def test_strict_in_a_settings_file_needs_a_confidence(tmp_path: Path) -> None:
    (tmp_path / "degen.toml").write_text("[gate]\nstrict = true\n")
    below = read_settings(tmp_path / "degen.toml")
    with pytest.raises(DegenError, match=r"degen.toml: strict = true needs a confidence"):
        below.under(GateSettings())
    assert below.under(GateSettings(confidence=0.9)).strict
    assert below.under(GateSettings(strict=False)).strict is False


def test_a_shortcut_needs_a_finite_bound() -> None:
    with pytest.raises(DegenError, match="--max-anisotropy nan: must be a finite number"):
        GateSettings(shortcuts={"max_anisotropy": float("nan")}).all_rules()
