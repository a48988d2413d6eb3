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
    from degen.scanning.plan import Plan
    from degen.scanning.settings import Settings


class RuleOptions(OptionGroup):
    """The rules, and how they are judged."""

    panel = "Rules"

    rule: Annotated[
        list[str] | None,
        typer.Option(
            help="What must hold: 'anisotropy[layer=last] < 0.6', 'loss.rise < max(0.02, 1%)', 'loss[domain=Github, "
            "step=all] < 3'; again for more, in addition to those of degen.toml.",
            show_default=False,
        ),
    ] = None
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
            help="What .rise and .drop compare with, at the same step or else at its latest; a run may lie on the hub, "
            "as hf://datasets/ORG/NAME.",
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
    config: Annotated[
        Path | None,
        typer.Option(
            help="Rules and options as a file.",
            show_default="the nearest degen.toml or [tool.degen] of pyproject.toml, up to the root of the repository",
        ),
    ] = None

    def settings(self) -> GateSettings:
        """Return the settings of the file, overridden by these options.

        Raises:
            DegenError: a rule or a file that cannot be parsed.
        """
        from degen.gate import parse_rule
        from degen.gate.settings import SHORTCUTS, GateSettings, find_settings, read_settings

        bounds = {name: getattr(self, name) for name in SHORTCUTS}
        options = GateSettings(
            rules=tuple(parse_rule(text) for text in self.rule or ()),
            shortcuts={name: bound for name, bound in bounds.items() if bound is not None},
            baseline=self.baseline,
            confidence=self.certainty,
            strict=self.strict,
            family_wise=self.family_wise,
        )
        file = read_settings(self.config) if self.config is not None else find_settings(Path.cwd())
        return options if file is None else file.under(options)


class GateScanOptions(options.ScanOptions):
    """The options of a scan, into a run folder of its own."""

    out: Annotated[Path, options.OUT] = Path("degen-gate")


@expand_groups
def gate(
    *,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="A run folder; a CSV or Parquet table with model, step and values; a log of training (state of "
            "a Trainer, TensorBoard events, wandb, trackio, JSON lines, CSVLogger); results of "
            "lm-evaluation-harness, lighteval or OLMES, a file or a folder; or a series as `degen scan` takes it, "
            "which is scanned first.",
            show_default=False,
        ),
    ],
    rule_options: RuleOptions,
    report_options: ReportOptions,
    scan_options: Annotated[GateScanOptions, Without("tokens_per_step", "shard")],
    dry_run: options.DryRun = False,
    trust_remote_code: options.TrustRemoteCode = False,
    json: options.Json = False,
) -> None:
    """Check measurements against rules.

    Exit codes: 0 all rules hold; 1 a rule failed; 3 undecidable: a metric is unmeasured or NaN, or there are too few
    checkpoints; 4 incomplete: some checkpoints failed, but no rule did; 2 wrong usage, an unknown metric. The options
    from --corpus on are for a series that is scanned first.
    """
    from degen.errors import DegenError
    from degen.gate import judge
    from degen.gate.open_target import is_measured, open_source

    gate_settings = rule_options.settings()
    rules = _checked_rules(gate_settings)
    read = (target, gate_settings.baseline, rule_options.config, scan_options.corpus, scan_options.sample)
    report_options.check(*read, scan_options.tokenizer)
    source, revisions = target, None
    if not is_measured(target):
        if gate_settings.baseline is not None:
            open_source(gate_settings.baseline, output.warn)  # a bad one is refused before anything is scanned
        settings = scan_options.settings([target], trust_remote_code=trust_remote_code)
        if dry_run:
            scan.print_costs(settings, scan_options, json)
            return
        source, revisions = _scan(settings, scan_options, rules)
    elif dry_run:
        raise DegenError(f"--dry-run: {target} holds measurements, so nothing would be scanned; leave --dry-run out")
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
    print_verdicts(verdicts, target, json)
    report_options.write(verdicts)
    if verdicts.exit_code:
        raise typer.Exit(verdicts.exit_code)


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
            "rules = [...] under [gate]"
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
