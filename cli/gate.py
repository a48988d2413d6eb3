"""`degen gate`: whether what was measured keeps rules."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options, output, scan

if TYPE_CHECKING:
    from degen.gate import Verdicts
    from degen.gate.settings import GateSettings
    from degen.scanning.plan import Plan


def gate(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="A run folder; a CSV or Parquet table with model, step and values; a folder of results of "
            "lm-evaluation-harness; or a series as `degen scan` takes it, which is scanned first.",
            show_default=False,
        ),
    ],
    rule: Annotated[
        list[str] | None,
        typer.Option(
            help="What must hold: 'anisotropy[layer=last] < 0.6', 'loss.rise < max(0.02, 1%)', 'loss[domain=Github, "
            "step=all] < 3'; again for more, in addition to those of degen.toml.",
            show_default=False,
        ),
    ] = None,
    max_anisotropy: Annotated[
        float | None, typer.Option(help="Short for --rule 'anisotropy < X'.", show_default=False)
    ] = None,
    max_singular_entropy: Annotated[
        float | None, typer.Option(help="Short for --rule 'singular_entropy < X'.", show_default=False)
    ] = None,
    max_loss_rise: Annotated[
        float | None,
        typer.Option(help="Short for --rule 'loss.rise < X': against the best so far.", show_default=False),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN|TABLE",
            help="What .rise and .drop compare with, at the same step or else at its latest.",
            show_default="the best so far of the same series",
        ),
    ] = None,
    # Not `confidence`, which is another option of `degen saturation`: always on there, two-sided, and 0.9.
    certainty: Annotated[
        float | None,
        typer.Option(
            "--confidence",
            help="Fail a rule only where the interval of this one-sided confidence lies beyond the bound, as in 0.95.",
            show_default="values as they are",
        ),
    ] = None,
    strict: Annotated[
        bool | None,
        typer.Option(
            "--strict/--no-strict",
            help="Call undecidable (exit code 3) what the interval cannot tell.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Rules and options as a file.",
            show_default="the nearest degen.toml or [tool.degen] of pyproject.toml, up to the root of the repository",
        ),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(help="Write the outcomes to a file as JUnit XML, too.", show_default=False)
    ] = None,
    github: Annotated[
        bool | None,
        typer.Option(
            "--github/--no-github",
            help="Annotate a job of GitHub Actions on stderr, and append a table to its summary.",
            show_default="where GITHUB_ACTIONS is true",
        ),
    ] = None,
    corpus: options.CorpusOption = "demo",
    tokens: options.Tokens = 50_000,
    context: options.Context = 512,
    seed: options.Seed = 0,
    sample: options.SampleOption = None,
    tokenizer: options.TokenizerOption = None,
    steps: options.Steps = "all",
    probes: options.Probes = None,
    revision_pattern: options.RevisionPattern = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    batch_size: options.BatchSize = "auto",
    threads: options.Threads = None,
    out: options.Out = Path("degen-run"),
    fresh: options.Fresh = False,
    keep: options.Keep = "none",
    dry_run: options.DryRun = False,
    trust_remote_code: options.TrustRemoteCode = False,
    json: options.Json = False,
) -> None:
    """Hold what was measured against rules.

    Exit codes: 0 all hold; 1 a rule failed; 3 undecidable: a metric is unmeasured or NaN, or there are too few
    checkpoints; 4 incomplete: some checkpoints failed, and no rule did; 2 wrong usage, an unknown metric. The options
    from --corpus on are for a series that is scanned first.
    """
    from degen.errors import DegenError
    from degen.gate import judge, parse_rule
    from degen.gate.judge import check_confidence
    from degen.gate.metric_checks import check_rules
    from degen.gate.open_target import is_measured, open_source
    from degen.gate.settings import SHORTCUTS, GateSettings

    bounds = dict(zip(SHORTCUTS, (max_anisotropy, max_singular_entropy, max_loss_rise), strict=True))
    said = GateSettings(
        rules=tuple(parse_rule(text) for text in rule or ()),
        shortcuts={name: bound for name, bound in bounds.items() if bound is not None},
        baseline=baseline,
        confidence=certainty,
        strict=strict,
    )
    chosen = _settings(said, config)
    rules = chosen.all_rules()
    if not rules:
        raise DegenError(
            "no rule to judge by; give one, as in --rule 'anisotropy[layer=last] < 0.6', or write a degen.toml with "
            "rules = [...] under [gate]"
        )
    check_confidence(chosen.confidence, bool(chosen.strict))  # what is wrong is said before anything is scanned
    if junit is not None:
        _check_junit(junit)
    measured, series = target, None
    if is_measured(target):
        if dry_run:
            raise DegenError(f"--dry-run: {target} is measured, so nothing is to be scanned; leave --dry-run out")
    else:
        if chosen.baseline is not None:
            open_source(chosen.baseline, output.warn)
        settings = scan.settings(
            [target], corpus, tokens, context, seed, sample, tokenizer, steps, probes, revision_pattern, None, device,
            dtype, batch_size, threads, trust_remote_code,
        )  # fmt: skip
        if dry_run:
            scan.print_plan(settings, json)
            return
        series = {}

        def look(plan: Plan) -> None:
            check_rules(rules, plan)
            series.update({s.model: [c.revision for c in s.checkpoints] for s in plan.series})

        measured = str(scan.run_scan(settings, out, fresh, keep, look).path)
    verdicts = judge(rules, measured, chosen.baseline, chosen.confidence, bool(chosen.strict), output.warn, series)
    if json:
        rows = [outcome.row() for outcome in verdicts.outcomes]
        output.result_json(
            {"target": target, "verdict": verdicts.verdict, "rows": rows, "incomplete": verdicts.incomplete}
        )
    else:
        _print(verdicts)
    _report(verdicts, junit, github)
    if verdicts.exit_code:
        raise typer.Exit(verdicts.exit_code)


def _check_junit(file: Path) -> None:
    """Refuse a file that cannot be written, before anything is scanned."""
    from degen.errors import DegenError

    place = file.expanduser().absolute()
    if place.is_dir() or not place.parent.is_dir():
        what = "is a folder; name a file" if place.is_dir() else "no such folder; make it first"
        raise DegenError(f"--junit {file}: cannot be written ({what})")


def _settings(said: GateSettings, config: Path | None) -> GateSettings:
    """What was said on the command line, above what a file says."""
    from degen.gate.settings import find_settings, read_settings

    below = read_settings(config) if config is not None else find_settings(Path.cwd())
    return said if below is None else below.under(said)


def _report(verdicts: Verdicts, junit: Path | None, github: bool | None) -> None:
    """Write the outcomes where others look for them."""
    from degen.errors import DegenError
    from degen.gate.github import annotations, in_github, step_summary
    from degen.gate.junit import junit_xml

    if junit is not None:
        try:
            junit.expanduser().write_text(junit_xml(verdicts), encoding="utf-8")
        except OSError as error:
            # the verdict counts for more, unless it is that all is well
            code = verdicts.exit_code or None
            raise DegenError(f"--junit {junit}: cannot be written ({error.strerror or error})", code) from error
    if not (in_github(os.environ) if github is None else github):
        return
    for line in annotations(verdicts):
        typer.echo(line, err=True)  # GitHub reads commands from either stream, and stdout is the result's
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(summary).open("a", encoding="utf-8", errors="replace") as file:
                file.write(step_summary(verdicts))
        except OSError as error:
            output.warn(f"GITHUB_STEP_SUMMARY {summary}: cannot be written ({error.strerror or error})")


def _print(verdicts: Verdicts) -> None:
    from degen.gate.format import format_reference, format_value

    rows = []
    for outcome in verdicts.outcomes:
        figure = outcome.figure
        at = figure.step if figure.step is not None else figure.revision
        bound = f"{outcome.rule.comparison} {outcome.bound:.6g}" if outcome.bound is not None else None
        what = [format_value(outcome), format_reference(figure), bound]
        rows.append([str(outcome.rule), figure.model, at, figure.place, *what, outcome.verdict, outcome.reason])
    heads = ["rule", "model", "step", "place", "value", "against", "bound", "verdict", "reason"]
    kept = [i for i, name in enumerate(heads) if name not in ("place", "against", "reason") or any(r[i] for r in rows)]
    output.result_table([heads[i] for i in kept], [[row[i] for i in kept] for row in rows])
    if verdicts.incomplete:
        output.result(f"not measured: {', '.join(verdicts.incomplete)}")
    output.result(verdicts.verdict)
