"""Options that several commands share; those of a scan take their help and defaults from `Settings`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from degen.scanning.settings import CONTEXT, RUN_FOLDER, Settings, make_settings, meanings

from . import output, parsing
from .completion import complete_corpus, complete_probes, complete_series, complete_tracker
from .option_groups import OptionGroup
from .option_panels import PASS, RUN, SERIES, TEXT

if TYPE_CHECKING:
    from degen.scanning.config_file import ConfigFile

RunFolder = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run folder that `degen scan` wrote, or its URL: s3://bucket/run, hf://datasets/ORG/NAME[@REVISION].",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table; its list is `rows`.")]

SeriesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SERIES]...",
        help="A checkpoint folder, a folder of checkpoints (step1000, checkpoint-1000, …), a file (.gguf, .ckpt, .pt), "
        "base+adapter, a suite (pythia:70m,160m; see `degen suites`), revisions on the hub (org/name, "
        "org/name@step*, org/name@step0,step512) or folders of one (org/name@main:checkpoint-*), or a manifest: a "
        "table with a column path or repo; label=SERIES names the model in the tables. None: the series "
        "of the configuration file, else the bundled demo.",
        show_default=False,
        autocompletion=complete_series,
    ),
]
SeriesRequired = Annotated[
    list[str],
    typer.Argument(
        metavar="SERIES...", help="As `degen scan` takes them.", show_default=False, autocompletion=complete_series
    ),
]


def setting(panel: str, name: str, *flags: str, **more: Any) -> Any:
    """Return the option of a field of `Settings`, whose meaning is its help.

    Args:
        panel: the subject under which the help shows it.
        name: of the field.
        flags: names of the option, if they do not follow from the parameter's name.
        more: further arguments of `typer.Option`.
    """
    return typer.Option(*flags, help=meanings()[name], rich_help_panel=panel, **more)


Steps = Annotated[str, setting(SERIES, "steps")]
RevisionPattern = Annotated[str | None, setting(SERIES, "revision_pattern", show_default=False)]
TokensPerStep = Annotated[int | None, setting(SERIES, "tokens_per_step", show_default="known for Pythia")]
TrustRemoteCode = Annotated[bool, setting(PASS, "trust_remote_code", "--trust-remote-code")]
Rules = Annotated[
    list[str] | None,
    typer.Option(
        help="What must hold: 'anisotropy[layer=last] < 0.6', 'loss.rise < max(0.02, 1%)', 'loss[domain=Github, "
        "step=all] < 3'; again for more, in addition to those of degen.toml.",
        show_default=False,
    ),
]
ResultFile = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="Write the rows to this file: .parquet, .csv, .json or .duckdb.", show_default=False
    ),
]
Better = Annotated[
    list[str] | None,
    typer.Option(
        "--better",
        help="Which way a metric is better: min or max, of one as in score=max; again for more.",
        show_default="as the metric's name says, else min with a warning",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done and what it costs, and do nothing.")]

PlannedFor = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="DEVICE[:COUNT]",
        help="With --dry-run: plan for these devices, as h100:8, by a table of rates, or for the CPU of this machine, "
        "`here`, measured in seconds: hours, what does not fit, what breaks first.",
        show_default=False,
    ),
]


def former(flag: str, now: str) -> Any:
    """Return the hidden option of a name that an option had before, which goes on working.

    Args:
        flag: the former name.
        now: the name that the help shows.
    """
    return typer.Option(flag, help=f"The former name of {now}.", hidden=True)


TRACKERS = "wandb:project=x, trackio:project=x, mlflow:experiment=x or tensorboard:DIR"
OUT = typer.Option(
    "--out",
    "-o",
    rich_help_panel=RUN,
    help="The run folder, or its URL (s3://bucket/run); a run that stopped is resumed.",
)


def _apply_config(ctx: typer.Context, value: Path | None) -> Path | None:
    """Take the options of the configuration file as defaults, and return its path; None where there is none.

    Raises:
        DegenError: the file cannot be read, is not TOML, or has an unknown key or a wrong value.
    """
    from degen.scanning.config_file import config_above, find_config, read_config

    if ctx.resilient_parsing:
        return value
    config = read_config(value) if value is not None else find_config(Path.cwd())
    if config is None:
        if (above := config_above(Path.cwd())) is not None:
            output.warn(f"{above} is not read, as this folder is in no repository with it; --config {above} reads it")
        return None
    ctx.default_map = {**(ctx.default_map or {}), **config.scan_options()}
    return config.file


CONFIG = typer.Option(
    help="Series, corpus, run folder and rules as a file; options of the command line win.",
    show_default="the nearest degen.toml or [tool.degen] of pyproject.toml, up to the root of the repository",
    rich_help_panel=RUN,
    callback=_apply_config,
    is_eager=True,  # before the options whose defaults it sets
)


class ScanOptions(OptionGroup):
    """The options of every command that scans, in the order of the help."""

    corpus: Annotated[str, setting(TEXT, "corpus", autocompletion=complete_corpus)] = Settings.corpus
    tokens: Annotated[int, setting(TEXT, "tokens")] = Settings.tokens
    target_se: Annotated[str | None, setting(TEXT, "target_se", show_default="all of --tokens")] = None
    context: Annotated[
        int | None,
        setting(TEXT, "context", show_default=f"{CONTEXT}, or the learned positions of a model that has fewer"),
    ] = Settings.context
    seed: Annotated[int, setting(TEXT, "seed")] = Settings.seed
    skip_first: Annotated[int, setting(TEXT, "skip_first")] = Settings.skip_first
    sample: Annotated[Path | None, setting(TEXT, "sample", show_default=False)] = None
    tokenizer: Annotated[str | None, setting(TEXT, "tokenizer", show_default=False)] = Settings.tokenizer
    model_config: Annotated[str | None, setting(SERIES, "model_config", show_default=False)] = Settings.model_config
    steps: Steps = Settings.steps
    probes: Annotated[
        str | None,
        typer.Option(
            help="Comma list of probes; `degen probes` lists them.",
            show_default="the default ones",
            rich_help_panel=PASS,
            autocompletion=complete_probes,
        ),
    ] = None
    revision_pattern: RevisionPattern = Settings.revision_pattern
    tokens_per_step: TokensPerStep = Settings.tokens_per_step
    device: Annotated[str, setting(PASS, "device")] = Settings.device
    device_map: Annotated[str | None, setting(PASS, "device_map", show_default=False)] = Settings.device_map
    dtype: Annotated[str, setting(PASS, "dtype")] = Settings.dtype
    batch_size: Annotated[str, typer.Option(help="Full windows in a batch, or auto.", rich_help_panel=PASS)] = "auto"
    threads: Annotated[int | None, setting(PASS, "threads", show_default="torch's own choice")] = Settings.threads
    out: Annotated[Path, OUT] = Path(RUN_FOLDER)
    track: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Also send the run to a tracker: {TRACKERS}; again for more.",
            show_default=False,
            rich_help_panel=RUN,
            autocompletion=complete_tracker,
        ),
    ] = None
    fresh: Annotated[
        bool, typer.Option("--fresh", rich_help_panel=RUN, help="Start over in a folder that holds a run.")
    ] = False
    keep: Annotated[
        str,
        typer.Option(
            help="Weights of the hub: all leaves them in its cache; none deletes those that this command downloaded, "
            "and no others.",
            rich_help_panel=RUN,
        ),
    ] = "none"
    shard: Annotated[
        str | None,
        typer.Option(
            help="Measure one part of the checkpoints, as 3/16 the third of 16, into a run folder that the others write"
            " to as well, at the same time or later, from this machine or another.",
            show_default="all checkpoints",
            rich_help_panel=RUN,
        ),
    ] = None
    engine: Annotated[
        str,
        typer.Option(
            help="What measures: local, this process; or ray, several on cards or machines.", rich_help_panel=RUN
        ),
    ] = "local"
    ray_address: Annotated[
        str | None,
        typer.Option(
            help="A cluster of Ray, as auto or 10.0.0.1:6379.",
            show_default="workers on this machine, while the scan lasts",
            rich_help_panel=RUN,
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            help="How many checkpoints Ray measures at once.",
            show_default="one for each card, one on a CPU, as many as a cluster has room for",
            rich_help_panel=RUN,
        ),
    ] = None
    config: Annotated[Path | None, CONFIG] = None

    def files(self) -> list[str | Path | None]:
        """Return what these options read, which no result may replace."""
        return [self.config, self.corpus, self.sample, self.tokenizer]

    def config_file(self) -> ConfigFile | None:
        """Return what the configuration file says; None where there is none.

        Raises:
            DegenError: it cannot be read, or has an unknown key or a wrong value.
        """
        from degen.scanning.config_file import read_config

        return read_config(self.config) if self.config is not None else None

    def settings(self, series: Sequence[str] | None, *, trust_remote_code: bool) -> Settings:
        """Return the settings of a scan of `series` with these options.

        Args:
            series: None or empty for those of the configuration file.
            trust_remote_code: whether code of checkpoints is run.

        Raises:
            DegenError: an option cannot be parsed, or its value is out of range.
        """
        config = self.config_file()
        if not series and config is not None and config.series:
            series = config.series
            output.note(f"{config.file}: series {', '.join(series)}")
        # of the run folder, on which no result depends, and what has been applied already
        folder_options = {"out", "track", "fresh", "keep", "shard", "engine", "ray_address", "workers", "config"}
        values: dict[str, Any] = {name: getattr(self, name) for name in self.options() if name not in folder_options}
        values["batch_size"] = parsing.parse_batch_size(self.batch_size)
        if self.target_se is not None:
            targets = parsing.parse_floats("--target-se", self.target_se.split(","), "anisotropy=0.005,loss=0.01")
            values["target_se"] = targets
        if trust_remote_code:
            output.warn(
                "--trust-remote-code: Python code of these checkpoints runs on this machine with your permissions"
            )
        return make_settings(series, trust_remote_code=trust_remote_code, **values)
