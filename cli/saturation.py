"""`degen saturation`: find out when each model saturated, or that it did not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options, output, parsing
from .completion import complete_metric
from .option_groups import OptionGroup, expand_groups
from .saturation_tables import print_saturation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from degen.metrics.curve import Curve
    from degen.saturation import Larger, SaturationResult


class SaturationOptions(OptionGroup):
    """The curves to judge, and how they are judged."""

    panel = "Curves"

    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="A column, or a value of the column metric; again for more.",
            show_default="loss, anisotropy and singular entropy, or all",
            autocompletion=complete_metric,
        ),
    ] = None
    where: Annotated[
        list[str] | None,
        typer.Option(help="Rows to take, as in task=lambada_openai; again for more.", show_default=False),
    ] = None
    better: options.Better = None
    floor: Annotated[
        list[str] | None,
        typer.Option(
            help="The least change that matters, of all metrics or of one: 0.02, 0.5% (of the best), 0.1lnd "
            "(times ln of the head's width), ppl=1%; again for more.",
            show_default="0.5 % for a loss, 0.1 for anisotropy, 0.1lnd for singular entropy, else 0",
        ),
    ] = None
    level: Annotated[float, typer.Option(help="How often a curve that never gets worse may be called saturated.")] = (
        0.05
    )
    confidence: Annotated[float, typer.Option(help="Confidence of the intervals.")] = 0.9
    after: Annotated[
        float,
        typer.Option(
            help="The share of all steps that is the beginning of training. Its checkpoints are left out: a model that "
            "has learnt nothing yet has the best geometry."
        ),
    ] = 0.05
    sort: Annotated[
        bool, typer.Option("--sort", help="Put the rows of a table in the order of their steps; they are one run.")
    ] = False

    def find_saturation(self, target: Path, law_options: LossLawOptions) -> SaturationResult:
        """Return the verdicts on the curves of a target.

        Args:
            target: a run or table.
            law_options: how the loss law is fitted.

        Raises:
            DegenError: an option cannot be parsed, or the target cannot be used.
        """
        from degen.metrics.metric_kinds import parse_floors
        from degen.saturation import find_saturation

        return find_saturation(
            target,
            metrics=self.metric or (),
            where=parsing.parse_pairs("--where", self.where, "task=lambada_openai"),
            better=parsing.parse_better("--better", self.better),
            floors=parse_floors(self.floor or ()),
            sort=self.sort,
            level=self.level,
            confidence=self.confidence,
            after=self.after,
            larger=law_options.parse(),
            warn=output.warn,
            track=_track,
        )


class LossLawOptions(OptionGroup):
    """The models on whose final losses a loss law L(N, D) is fitted, to predict the others, and how it is fitted."""

    panel = "Loss law"

    larger: Annotated[
        str | None,
        typer.Option(
            help="Comma list of the models that the loss law is fitted on, to predict the others.",
            show_default="those that did not saturate and are larger than all that did",
        ),
    ] = None
    fix: Annotated[
        list[str] | None,
        typer.Option(
            help="A parameter of L = A/N^alpha + B/D^beta + E that is not fitted, as in B=410.7, or none; "
            "again for more.",
            show_default="B=410.7, beta=0.28, E=1.69, as Hoffmann et al.",
        ),
    ] = None
    objective: Annotated[
        str,
        typer.Option(
            help="What the fit minimises: log (squares of log loss), linear (of loss), or huber (1e-3, of log loss)."
        ),
    ] = "log"
    tokens_per_step: options.TokensPerStep = None

    def parse(self) -> Larger:
        """Return the models that the law is fitted to, and how it is fitted.

        Raises:
            DegenError: an option cannot be parsed.
        """
        from degen.saturation import Larger

        return Larger(
            models=parsing.parse_names("--larger", self.larger) if self.larger is not None else None,
            fixed=_parse_fixed(self.fix),
            objective=parsing.parse_choice("--objective", self.objective, ("log", "linear", "huber")),
            tokens_per_step=self.tokens_per_step,
        )


@expand_groups
def saturation(
    *,
    target: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|TABLE",
            help="A run folder; a CSV or Parquet table with model, step and values; a log of training (state of "
            "a Trainer, TensorBoard events, wandb, trackio, JSON lines, CSVLogger); or results of "
            "lm-evaluation-harness, lighteval or OLMES, a file or a folder.",
            show_default=False,
        ),
    ],
    saturation_options: SaturationOptions,
    law_options: LossLawOptions,
    out_file: options.ResultFile = None,
    to: Annotated[Path | None, options.former("--to", "--out")] = None,
    json: options.Json = False,
) -> None:
    """Find out when each model saturated, with an interval, or that it did not.

    For every model and metric: whether it got worse late in training, since when and by how much; which metrics turned
    together; and how far the losses lie above the prediction of the larger models. The verdicts of a run are kept in
    it, as table saturation.
    """
    from degen.runs.export import check_result_file

    option, file = ("--out", out_file) if out_file is not None else ("--to", to)
    if file is not None:
        check_result_file(file, target, option=option)
    result = saturation_options.find_saturation(target, law_options)
    if json:
        output.result_json(_document(target, result))
    else:
        if result.source is not None:
            output.note_source(result.source)
        print_saturation(result)
    _keep(result, target)
    if file is not None:
        output.write_rows(result.table(), "saturation", file)


def _keep(result: SaturationResult, target: Path) -> None:
    """Write the verdicts into the run that they are about, if it is one; warn where it cannot be written."""
    from degen.errors import DegenError, RunFolderError
    from degen.paths import expand_user
    from degen.runs.run import read_run
    from degen.runs.run_file import is_run
    from degen.saturation import write_result

    folder = expand_user(target)
    if not is_run(folder):
        return
    try:
        write_result(result, read_run(folder))
    except DegenError as error:
        problem = error.problem if isinstance(error, RunFolderError) else str(error)
        output.warn(f"{problem}; these verdicts are not kept in the run")


def _track(curves: list[Curve]) -> Iterator[Curve]:
    """Yield curves while a bar on a terminal shows how many are judged."""
    from .progress import bar_of

    yield from bar_of(curves, "curves")


def _parse_fixed(fix: list[str] | None) -> dict[str, float] | None:
    """Return the fixed parameters of the law by name, None for the usual ones."""
    if fix == ["none"]:
        return {}
    return parsing.parse_floats("--fix", fix, "B=410.7") if fix else None


def _document(target: Path, result: SaturationResult) -> dict[str, Any]:
    """Return the JSON document."""
    law = result.extrapolation
    source = result.source.as_dict() if result.source is not None else None
    document: dict[str, Any] = {"target": str(target), "source": source, "rows": result.rows()}
    if law is not None:
        document["parameters"] = law.parameters
        document["extrapolation"] = {
            "objective": law.fit.objective,
            "confidence": law.confidence,
            "mean_final_gap": law.mean_final_gap,
            "mean_best_gap": law.mean_best_gap,
            "models": [asdict(row) for row in law.rows],
        }
    return document
