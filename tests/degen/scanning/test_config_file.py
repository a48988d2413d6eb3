"""What a repository's configuration file says, and what is refused in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from degen.errors import DegenError
from degen.gate.new_config import NewConfig, write_config
from degen.gate.settings import read_settings
from degen.paths import resolve_spec
from degen.scanning.config_file import config_above, find_config, read_config

EVERYTHING = """
series = ["runs/m", "big=runs/m", "pythia:70m", "base/a+adapters/b", "./later"]
corpus = "val.jsonl"
out = "measured"
steps = "log:3"
tokens = 400
probes = ["loss", "spectrum"]
rules = ["loss < 3"]
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("r/.git", "r/runs/m", "r/sub", "r/base/a", "r/adapters/b"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "r" / "val.jsonl").touch()
    return tmp_path / "r"


@pytest.mark.parametrize("project", [False, True])
def test_every_key_is_read_and_paths_are_relative_to_the_file(project: bool, repository: Path) -> None:
    file = repository / ("pyproject.toml" if project else "degen.toml")
    file.write_text(f"[project]\nname = 'x'\n[tool.degen]\n{EVERYTHING}" if project else EVERYTHING)
    config = find_config(repository / "sub")
    assert config == read_config(file)
    assert config is not None
    m = str(repository / "runs" / "m")
    adapter = f"{repository / 'base' / 'a'}+{repository / 'adapters' / 'b'}"
    assert config.series == (m, f"big={m}", "pythia:70m", adapter, str(repository / "later"))
    assert config.scan_options() == {
        "corpus": str(repository / "val.jsonl"), "out": str(repository / "measured"), "steps": "log:3", "tokens": 400,
        "probes": "loss,spectrum",
    }  # fmt: skip
    assert config.rules == ("loss < 3",)
    assert [str(rule) for rule in read_settings(file).all_rules()] == ["loss < 3"]


def test_urls_stay_as_they_are(repository: Path) -> None:
    (repository / "2024").mkdir()
    (repository / "degen.toml").write_text('out = "s3://bucket/runs/mine"\ncorpus = "s3://bucket/year=2024"\n')
    found = find_config(repository)
    assert found is not None
    assert found.scan_options() == {"corpus": "s3://bucket/year=2024", "out": "s3://bucket/runs/mine"}


def test_a_name_that_is_no_path_stays_as_it_is(tmp_path: Path) -> None:
    for name in ("pile", "hf://org/data:train", "org/name@step*", "label=org/name", "demo"):
        assert resolve_spec(name, tmp_path) == name
    (tmp_path / "demo").mkdir()
    assert resolve_spec("demo", tmp_path) == str(tmp_path / "demo")  # an existing path wins


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("serie = 'x'", "the file has an unknown key 'serie'; did you mean 'series'?"),
        ("corpora = 'x'", "unknown key 'corpora'; did you mean 'corpus'?"),
        ("outt = 'x'", "did you mean 'out'?"),
        ("series = 3", 'series = 3: must be a list of texts, as in series = ["runs/my-model"]'),
        ("series = ['']", "series = ['']: must be a list of texts"),
        ("corpus = 3", 'corpus = 3: must be a path or a name, as in "val.jsonl"'),
        ("out = ['a']", "out = ['a']: must be a path"),
        ("tokens = '4'", "tokens = '4': must be a whole number, as in tokens = 20000"),
        ("tokens = true", "tokens = True: must be a whole number"),
        ("steps = 3", 'steps = 3: must be a text, as in "log:20"'),
        ("probes = [1]", "probes = [1]: must be a list of texts"),
        ("rules = 'x'", "rules must be a list of texts"),
        ("gate = 3", "[gate] = 3: must be a table"),
    ],
)
def test_wrong_keys_and_values_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "degen.toml").write_text(text)
    with pytest.raises(DegenError) as error:
        find_config(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'degen.toml'}: ")
    assert message in str(error.value)


def test_unknown_keys_of_pyproject_are_named_with_their_table(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.degen]\nserie = 'x'")
    with pytest.raises(DegenError, match=r"\[tool.degen\] has an unknown key 'serie'; did you mean 'series'"):
        find_config(tmp_path)


QUOTES = NewConfig(['a "b" \\ é\x7f\n', "c"], "x.jsonl", "o", ['loss[domain="A B"] < 3', "anisotropy < 0.6"])


@pytest.mark.parametrize("name", ["degen.toml", "pyproject.toml"])
@pytest.mark.parametrize("before", ["", "[project]\nname = 'x'  # kept", "[tool.ruff]\nline-length = 3\n"])
@pytest.mark.parametrize("config", [QUOTES, NewConfig(["a"]), NewConfig(["a"], rules=["loss < 3"])])
def test_a_written_file_reads_back_as_it_was_given(config: NewConfig, before: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if before and name == "pyproject.toml":
        file.write_text(before)
    write_config(config, file)
    read = read_config(file)
    assert (read.series, read.corpus, read.rules) == (tuple(config.series), config.corpus, tuple(config.rules))
    assert read.out == (str(tmp_path / config.out) if config.out is not None else None)
    if name == "pyproject.toml":
        assert file.read_text().startswith(before)


def test_a_file_that_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    file, project = tmp_path / "degen.toml", tmp_path / "pyproject.toml"
    file.write_text("mine")
    with pytest.raises(DegenError, match=r"degen.toml: is there already; edit it, or replace it with --force"):
        write_config(NewConfig(["a"]), file)
    assert file.read_text() == "mine"
    write_config(NewConfig(["a"]), file, overwrite=True)
    assert read_config(file).series == ("a",)
    for text, message in (
        ("[tool.degen]\nrules = []", "has a .tool.degen. already; edit it there"),
        ("tool = {ruff = {}}", "cannot be added to it"),
        ("[tool", "cannot be added to it"),
    ):
        project.write_text(text)
        for overwrite in (False, True):
            with pytest.raises(DegenError, match=message):
                write_config(NewConfig(["a"]), project, overwrite=overwrite)
        assert project.read_text() == text


def test_what_a_new_file_cannot_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DegenError, match="no series is named; give --series"):
        NewConfig([])
    with pytest.raises(DegenError, match=r'rule "loss <": character'):
        NewConfig(["a"], rules=["loss <"])
    (tmp_path / "file").touch()
    with pytest.raises(DegenError, match=r"degen.toml: cannot be written \((Not a directory|File exists)\)"):
        write_config(NewConfig(["a"]), tmp_path / "file" / "degen.toml")


def test_a_file_above_that_is_not_read_is_named(repository: Path) -> None:
    (repository / "degen.toml").write_text('series = "runs/m"\n')
    assert config_above(repository / "sub") is None  # it is read
    (repository / ".git").rmdir()
    assert find_config(repository / "sub") is None
    assert config_above(repository / "sub") == repository / "degen.toml"
    assert config_above(repository) is None
