"""Each option of a scan reaches its own setting, and no other, from every command and from Python."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import pytest
import typer
from degen.cli.main import app
from degen.cli.option_groups import OptionGroup, Without, expand_groups
from faults.command import degen
from typer.testing import CliRunner

import degen as package
from degen import read_run
from degen.errors import DegenError
from degen.scanning.progress import Progress
from degen.scanning.settings import MeasureKeywords, ScanKeywords, Settings, make_settings, meanings

PATTERN = r"v(?P<step>\d+)"
# setting: the words of the command line, what Python may pass, and the value of the field
SETTINGS: dict[str, tuple[tuple[str, ...], Any, Any]] = {
    "steps": (("--steps", "log:3"), "log:3", "log:3"),
    "corpus": (("--corpus", "a.txt"), Path("a.txt"), "a.txt"),
    "tokens": (("--tokens", "4321"), 4321, 4321),
    "target_se": (
        ("--target-se", "loss=0.01, anisotropy=0.5"),
        {"loss": 0.01, "anisotropy": 0.5},
        {"loss": 0.01, "anisotropy": 0.5},
    ),
    "context": (("--context", "77"), 77, 77),
    "seed": (("--seed", "5"), 5, 5),
    "skip_first": (("--skip-first", "11"), 11, 11),
    "sample": (("--sample", "s.parquet"), Path("s.parquet"), "s.parquet"),
    "tokenizer": (("--tokenizer", "tok"), Path("tok"), "tok"),
    "model_config": (("--model-config", "org/model"), Path("org/model"), "org/model"),
    "device": (("--device", "meta"), "meta", "meta"),
    "device_map": (("--device-map", "map.json"), Path("map.json"), "map.json"),
    "dtype": (("--dtype", "float16"), "float16", "float16"),
    "batch_size": (("--batch-size", "6"), 6, 6),
    "threads": (("--threads", "3"), 3, 3),
    "probes": (("--probes", "loss, spectrum"), ["loss", "spectrum"], ("loss", "spectrum")),
    "revision_pattern": (("--revision-pattern", PATTERN), PATTERN, PATTERN),
    "tokens_per_step": (("--tokens-per-step", "99"), 99, 99),
    "trust_remote_code": (("--trust-remote-code",), True, True),
}
# options of the run folder: the words, and what the scan gets
FOLDER_OPTIONS: dict[str, tuple[tuple[str, ...], Any]] = {
    "out": (("--out", "elsewhere"), Path("elsewhere")),
    "fresh": (("--fresh",), True),
    "keep": (("--keep", "all"), "all"),
    "shard": (("--shard", "3/16"), "3/16"),
    "engine": (("--engine", "ray"), "ray"),
    "ray_address": (("--ray-address", "10.0.0.1:6379"), "10.0.0.1:6379"),
    "workers": (("--workers", "8"), 8),
}
FOLDER_DEFAULTS = {"out": Path("degen-run"), "fresh": False, "keep": "none", "shard": None, "engine": "local"}
FOLDER_DEFAULTS |= {"ray_address": None, "workers": None}
NOT_OF_GATE = {"shard"}  # which judges a run that is whole


def folder_of(command: str) -> dict[str, Any]:
    """Where the run of a command goes by default: each into a folder of its own."""
    return FOLDER_DEFAULTS | ({} if command == "scan" else {"out": Path(f"degen-{command}")})


# command: its words, the settings it has no option for, and how the settings of its scan differ from the defaults
COMMANDS: dict[str, tuple[tuple[str, ...], set[str]]] = {
    "scan": (("scan", "org/name"), set()),
    "rank": (("rank", "org/name"), {"probes"}),
    "gate": (("gate", "org/name", "--rule", "loss < 9"), {"tokens_per_step"}),
}
OFFERED = [(command, name) for command, (_, without) in COMMANDS.items() for name in SETTINGS if name not in without]


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Settings, dict[str, Any]]]:
    """The scans that commands start; they are recorded and not run."""
    recorded: list[tuple[Settings, dict[str, Any]]] = []

    def record(settings: Settings, *, progress: Progress, on_plan: Any = None, **folder: Any) -> None:
        recorded.append((settings, folder))
        raise DegenError("recorded")

    monkeypatch.setattr("degen.scanning.scan.scan_with_settings", record)
    monkeypatch.chdir(tmp_path)
    return recorded


def default_of(command: str, seed: int = 0) -> Settings:
    """The settings of a command without options."""
    if command != "rank":
        return Settings(("org/name",))
    training = {"tokens": None, "windows": None, "init": "whitened", "cache": 0, "seed": seed}
    options = {"ranks": None, "methods": ["whitened"], "within": 0.05, "training": training, "gradient": False}
    return Settings(("org/name",), probes=("loss", "rank"), options={"rank": options})


def test_this_module_has_a_distinct_value_for_every_setting() -> None:
    names = {f.name for f in fields(Settings)}
    assert names == {"series", "options", *SETTINGS}  # options of single probes have options of their own
    assert names - {"series"} == set(get_type_hints(ScanKeywords))
    assert set(meanings()) == names
    for name, (_, _, value) in SETTINGS.items():
        assert value != getattr(Settings(()), name)
    values = [value for _, _, value in SETTINGS.values()]
    assert all(values.count(value) == 1 for value in values)


@pytest.mark.parametrize(("command", "name"), OFFERED)
def test_scan_option_changes_only_its_setting(command: str, name: str, scans: list[Any]) -> None:
    words, _, value = SETTINGS[name]
    assert degen(*COMMANDS[command][0], *words).message == "recorded"
    expected = default_of(command, seed=value if name == "seed" else 0)
    assert scans == [(replace(expected, **{name: value}), folder_of(command))]


@pytest.mark.parametrize("name", FOLDER_OPTIONS)
@pytest.mark.parametrize("command", COMMANDS)
def test_folder_option_changes_no_setting(command: str, name: str, scans: list[Any]) -> None:
    words, value = FOLDER_OPTIONS[name]
    if command == "gate" and name in NOT_OF_GATE:
        assert "No such option" in degen(*COMMANDS[command][0], *words).message
        return
    assert degen(*COMMANDS[command][0], *words).message == "recorded"
    assert scans == [(default_of(command), folder_of(command) | {name: value})]


@pytest.mark.parametrize("command", COMMANDS)
def test_all_scan_options_together_reach_their_settings(command: str, scans: list[Any]) -> None:
    named, without = COMMANDS[command]
    offered = {name: value for name, value in SETTINGS.items() if name not in without}
    folder = {k: v for k, v in FOLDER_OPTIONS.items() if command != "gate" or k not in NOT_OF_GATE}
    words = [word for option, *_ in (*offered.values(), *folder.values()) for word in option]
    assert degen(*named, *words).message == "recorded"
    values = {name: value for name, (_, _, value) in offered.items()}
    expected = replace(default_of(command, seed=5), **values)
    assert scans == [(expected, folder_of(command) | {name: value for name, (_, value) in folder.items()})]


@pytest.mark.parametrize("command", COMMANDS)
def test_option_that_a_command_leaves_out_is_wrong_usage(command: str, scans: list[Any]) -> None:
    named, without = COMMANDS[command]
    for name in without:
        assert "No such option" in degen(*named, *SETTINGS[name][0]).message
    assert scans == []


@pytest.mark.parametrize(
    ("words", "where", "value"),
    [
        (("--ranks", "3,5"), ("ranks",), [3, 5]),
        (("--method", "svd, trained"), ("methods",), ["svd", "trained"]),
        (("--within", "0.3"), ("within",), 0.3),
        (("--init", "normal"), ("training", "init"), "normal"),
        (("--train-tokens", "81"), ("training", "tokens"), 81),
        (("--train-windows", "82"), ("training", "windows"), 82),
        (("--cache", "83"), ("training", "cache"), 83),
        (("--gradient",), ("gradient",), True),
    ],
)
def test_option_of_rank_reaches_its_probe(
    words: tuple[str, ...], where: tuple[str, ...], value: Any, scans: list[Any]
) -> None:
    assert degen("rank", "org/name", *words).message == "recorded"
    expected = default_of("rank")
    inner: Any = expected.options["rank"]
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    assert scans == [(expected, folder_of("rank"))]


def scan(*args: Any, **keywords: Any) -> None:
    with pytest.raises(DegenError, match="recorded"):
        package.scan(*args, **keywords)


@pytest.mark.parametrize("name", SETTINGS)
def test_keyword_of_scan_changes_only_its_setting(name: str, scans: list[Any]) -> None:
    _, keyword, value = SETTINGS[name]
    scan("org/name", **{name: keyword})
    assert scans == [(Settings(("org/name",), **{name: value}), FOLDER_DEFAULTS)]


def test_keywords_of_scan_set_folder_and_probe_options(scans: list[Any]) -> None:
    scan([Path("a"), "b"], options={"rank": {"ranks": (3,)}}, probes="rank", out="o", fresh=True, keep="all")
    assert scans == [
        (
            Settings(("a", "b"), options={"rank": {"ranks": (3,)}}, probes=("rank",)),
            FOLDER_DEFAULTS | {"out": Path("o"), "fresh": True, "keep": "all"},
        )
    ]


def test_none_means_the_default_and_unknown_keywords_are_refused() -> None:
    assert make_settings() == make_settings(None, corpus=None, options=None, probes=None) == Settings(())
    with pytest.raises(TypeError, match="tokns"):
        package.scan("a", tokns=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        Settings(("a",), "all")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("target", "keywords", "corpus"),
    [
        ("scan", ScanKeywords, "demo"),
        ("Monitor", MeasureKeywords, None),
        ("measure_model", MeasureKeywords, None),
        ("DegenerationCallback", MeasureKeywords, None),
        ("LightningDegenerationCallback", MeasureKeywords, None),
    ],
)
def test_signatures_and_docstrings_list_every_setting(target: str, keywords: Any, corpus: str | None) -> None:
    from degen import callbacks

    target = package.scan if target == "scan" else getattr(callbacks, target)
    parameters = inspect.signature(target).parameters
    text = " ".join(target.__doc__.split())
    defaults = {f.name: getattr(Settings(()), f.name) for f in fields(Settings)} | {"options": None, "corpus": corpus}
    for name, kind in get_type_hints(keywords).items():
        parameter = parameters[name]
        assert (parameter.kind, parameter.default) == (parameter.KEYWORD_ONLY, defaults[name])
        assert parameter.annotation == kind
        assert f" {name}: {meanings()[name]}" in text
    assert all(p.kind is not p.VAR_KEYWORD for p in parameters.values())


def test_help_shows_the_meanings_and_defaults_of_settings() -> None:
    group: Any = typer.main.get_command(app)
    as_text = {"probes", "batch_size"}  # on the command line a list is text, and automatic is a word
    for command, (_, without) in COMMANDS.items():
        options = {parameter.name: parameter for parameter in group.commands[command].params}
        for name in SETTINGS.keys() - without - as_text:
            assert options[name].help == meanings()[name]
            assert options[name].default == getattr(Settings(()), name)


class Two(OptionGroup):
    one: Annotated[int, typer.Option(help="The one.")] = 1
    other: Annotated[int, typer.Option(help="The other.")] = 2


class Needed(OptionGroup):
    needed: Annotated[int, typer.Option(help="Must be given.")]


def test_option_group_expands_to_its_options_in_order() -> None:
    seen: list[Any] = []

    @expand_groups
    def command(
        *, first: Annotated[int, typer.Option()] = 0, two: Two, last: Annotated[int, typer.Option()] = 9
    ) -> None:
        """Do."""
        seen.append((first, two.one, two.other, last))

    assert list(inspect.signature(command).parameters) == ["first", "one", "other", "last"]
    small = typer.Typer()
    small.command()(command)
    assert CliRunner().invoke(small, ["--other", "5", "--last", "3"]).exit_code == 0
    assert seen == [(0, 1, 5, 3)]


def test_option_left_out_of_a_group_keeps_its_default() -> None:
    seen: list[Any] = []

    @expand_groups
    def command(*, two: Annotated[Two, Without("one")]) -> None:
        """Do."""
        seen.append((two.one, two.other))

    assert list(inspect.signature(command).parameters) == ["other"]
    command(other=7)
    assert seen == [(1, 7)]


def test_two_options_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="duplicate parameter name"):

        @expand_groups
        def command(*, one: Annotated[int, typer.Option()] = 0, two: Two) -> None:
            """Do."""


def test_option_group_refuses_unknown_and_missing_options() -> None:
    with pytest.raises(TypeError, match="Two has no option three"):
        Two(three=3)  # type: ignore[call-arg]
    with pytest.raises(AttributeError, match="needed"):
        Needed()  # type: ignore[call-arg]


def test_options_of_probes_reach_them_and_are_refused_by_them(series: Path, corpus: Path, tmp_path: Path) -> None:
    command = (
        "scan",
        series,
        "--corpus",
        corpus,
        "--tokens",
        "256",
        "--context",
        "32",
        "-o",
        tmp_path / "run",
        "--fresh",
    )
    probes = ("--probes", "unargmaxable,fragility")
    given = ("--exact", "--probe-option", "fragility.shares=0.01,0.1", "--probe-option", "unargmaxable.checked=5")
    result = degen(*command, *probes, *given)
    assert result.code == 0, result.err
    run = read_run(tmp_path / "run")
    assert {row["unargmaxable_checked"] for row in run.checkpoints()} == {5}
    assert {row["noise_share"] for row in run.table("fragility").to_pylist()} == {0.01, 0.1}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["asked"]["options"] == {
        "fragility": {"shares": [0.01, 0.1]}, "unargmaxable": {"checked": 5, "exact": True},
    }  # fmt: skip
    for wrong, message in (
        ("two_nn=3", "must be PROBE.OPTION=VALUE"),
        ("two_nn.positions=300", "not asked for; name it among the probes"),
        ("fragility.shares=0.1", "of one write 0.1,"),
        ("unargmaxable.checked=many", "must be a number of tokens"),
    ):
        refused = degen(*command, *probes, "--probe-option", wrong)
        assert refused.code == 2
        assert message in refused.message
