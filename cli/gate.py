"""`degen gate`: check measurements against rules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options, output, scan
from .gate_report import ReportOptions, print_verdicts
from .option_groups import OptionGroup, Without, expand_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from degen.gate import Rule
    from degen.gate.settings import GateSettings
    from degen.scanning.config_file import ConfigFile
    from degen.scanning.plan import Plan
    from degen.scanning.settings import Settings


class RuleOptions(OptionGroup):
    """The rules, and how they are judged."""

    panel = "Rules"

    rule: options.Rules = None
    max_anisotropy: Annotated[
        float | None, typer.Option(help="Short for --rule 'anisotropy < X'.", show_default=False)
    ] = None
    max_singular_entropy: Annotated[
        float | None, typer.Option(help="Short for --rule 'singular_entropy < X'.", show_default=False)
    ] = None
    max_loss_rise: Annotated[
        float | None,
        typer.Option(help="Short for --rule 'loss.rise < X': against the best so far.", show_default=False),
    ] = None
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN|TABLE",
            help="What .rise and .drop compare with, at the same step or else at its latest; a run may be a URL, as "
            "hf://datasets/ORG/NAME.",
            show_default="the best so far of the same series",
        ),
    ] = None
    # Not `confidence`, which is another option of `degen saturation`: always on there, two-sided, and 0.9.
    certainty: Annotated[
        float | None,
        typer.Option(
            "--confidence",
            help="Fail a rule only where the interval of this one-sided confidence lies beyond the bound, as in 0.95.",
            show_default="values as they are",
        ),
    ] = None
    strict: Annotated[
        bool | None,
        typer.Option(
            "--strict/--no-strict",
            help="Call undecidable (exit code 3) what the interval cannot tell.",
            show_default=False,
        ),
    ] = None
    family_wise: Annotated[
        bool | None,
        typer.Option(
            "--family-wise/--no-family-wise",
            help="Let the confidence be that of all values of a rule together, as of all layers, not of each.",
            show_default=False,
        ),
    ] = None

    def settings(self, config: ConfigFile | None) -> GateSettings:
        """Return the settings of the configuration file, overridden by these options.

        Args:
            config: the file; None for none.

        Raises:
            DegenError: a rule or a file that cannot be parsed.
        """
        from degen.gate import parse_rule
        from degen.gate.settings import SHORTCUTS, GateSettings, gate_settings

        bounds = {name: getattr(self, name) for name in SHORTCUTS}
        options = GateSettings(
            rules=tuple(parse_rule(text) for text in self.rule or ()),
            shortcuts={name: bound for name, bound in bounds.items() if bound is not None},
            baseline=self.baseline,
            confidence=self.certainty,
            strict=self.strict,
            family_wise=self.family_wise,
        )
        return options if config is None else gate_settings(config).under(options)


class GateScanOptions(options.ScanOptions):
    """The options of a scan, into a run folder of its own."""

    out: Annotated[Path, options.OUT] = Path("degen-gate")


@expand_groups
def gate(
    *,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="A run folder or its URL; a CSV or Parquet table with model, step and values; a log of training "
            "(state of a Trainer, TensorBoard events, wandb, trackio, JSON lines, CSVLogger); results of "
            "lm-evaluation-harness, lighteval or OLMES, a file or a folder; or a series as `degen scan` takes it, "
            "which is scanned first. None: the series of the configuration file.",
            show_default=False,
        ),
    ] = None,
    rule_options: RuleOptions,
    report_options: ReportOptions,
    scan_options: Annotated[GateScanOptions, Without("tokens_per_step", "shard")],
    dry_run: options.DryRun = False,
    trust_remote_code: options.TrustRemoteCode = False,
    json: options.Json = False,
) -> None:
    """Check measurements against rules.

    What is not given is taken from degen.toml or pyproject.toml, which `degen init` writes. Exit codes: 0 all rules
    hold; 1 a rule failed; 3 undecidable: a metric is unmeasured or NaN, or too few checkpoints; 4 incomplete:
    checkpoints failed, but no rule; 2 wrong usage. Options from --corpus on are for a series that is scanned first.
    """
    from degen.errors import DegenError
    from degen.gate import judge
    from degen.gate.open_target import is_measured, open_source

    config = scan_options.config_file()
    targets = _targets(target, config)
    gate_settings = rule_options.settings(config)
    rules = _checked_rules(gate_settings)
    report_options.check(*targets, gate_settings.baseline, *scan_options.files())
    source, revisions = targets[0], None
    if not is_measured(source) or len(targets) > 1:
        if gate_settings.baseline is not None:
            open_source(gate_settings.baseline, output.warn)  # a bad one is refused before anything is scanned
        settings = scan_options.settings(targets, trust_remote_code=trust_remote_code)
        if dry_run:
            scan.print_costs(settings, scan_options, json)
            return
        source, revisions = _scan(settings, scan_options, rules)
    elif dry_run:
        raise DegenError(f"--dry-run: {source} holds measurements, so nothing would be scanned; leave --dry-run out")
    verdicts = judge(
        rules,
        source,
        baseline=gate_settings.baseline,
        confidence=gate_settings.confidence,
        strict=bool(gate_settings.strict),
        family_wise=bool(gate_settings.family_wise),
        warn=output.warn,
        series=revisions,
    )
    print_verdicts(verdicts, ", ".join(targets), json)
    report_options.write(verdicts)
    if verdicts.exit_code:
        raise typer.Exit(verdicts.exit_code)


def _targets(target: str | None, config: ConfigFile | None) -> list[str]:
    """Return what is judged: the target, or the series of the configuration file.

    Raises:
        DegenError: there is neither.
    """
    from degen.errors import DegenError

    if target is not None:
        return [target]
    if config is None or not config.series:
        where = "and there is no degen.toml" if config is None else f"and {config.file} names no series"
        raise DegenError(f"no TARGET is given, {where}; give one, or write such a file with `degen init`")
    output.note(f"{config.file}: series {', '.join(config.series)}")
    return list(config.series)


def _checked_rules(settings: GateSettings) -> list[Rule]:
    """Return the rules to judge by, before anything is scanned.

    Raises:
        DegenError: there is no rule, or the confidence is out of range.
    """
    from degen.errors import DegenError
    from degen.gate.judge import check_confidence

    rules = settings.all_rules()
    if not rules:
        raise DegenError(
            "no rule to judge by; give one, as in --rule 'anisotropy[layer=last] < 0.6', or write a degen.toml with "
            "rules = [...], as `degen init` does"
        )
    check_confidence(settings.confidence, bool(settings.strict), bool(settings.family_wise))
    return rules


def _scan(
    settings: Settings, scan_options: options.ScanOptions, rules: Sequence[Rule]
) -> tuple[str, dict[str, list[str]]]:
    """Scan the series, and return the path of the run and the revisions of each model in it.

    Raises:
        DegenError: the scan is refused, or a rule needs a metric that it would not measure.
    """
    from degen.gate.metric_checks import check_rules

    revisions: dict[str, list[str]] = {}

    def check_plan(plan: Plan) -> None:
        check_rules(rules, plan)
        revisions.update({series.model: [c.revision for c in series.checkpoints] for series in plan.series})

    run = scan.run_scan(settings, scan_options, check_plan)
    return str(run.path), revisions
