"""`degen push`: a run's tables as a dataset of the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import options, output

if TYPE_CHECKING:
    from degen.publishing.push import Push


def push(
    run: options.RunFolder,
    dataset: Annotated[
        str, typer.Argument(metavar="ORG/DATASET", help="The dataset on the hub; made if it is not there.")
    ],
    revision: Annotated[str, typer.Option(help="The branch; made if it is not there.")] = "main",
    public: Annotated[
        bool,
        typer.Option("--public/--private", help="Who sees a new dataset; one that is there stays as it is."),
    ] = False,
    licence: Annotated[
        str | None,
        typer.Option("--license", help="For the card, as the hub names it: cc-by-4.0, mit.", show_default=False),
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="A tag for the card; again for more.", show_default=False)
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a run of other settings that the dataset holds.")
    ] = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
) -> None:
    """Send a run's tables to the hub, as a dataset whose viewer shows each table.

    Tables and run.json go, without folders of this machine, and a card; no text and no weights. Sent again after more
    checkpoints, only new and changed parts go. `hf auth login` logs in.
    """
    from degen.publishing.card import CardOptions
    from degen.publishing.push import plan_push, send
    from degen.runs.run import read_run

    planned = plan_push(read_run(run), dataset, revision, CardOptions(licence, tag or ()), replace)
    address = send(planned, private=not public) if not dry_run else None
    sizes = planned.sizes
    if json:
        rows = [{"file": name, "bytes": size} for name, size in sizes.items()]
        facts = {"unchanged": planned.unchanged, "deleted": planned.deleted, "is_new": planned.is_new}
        output.result_json({"dataset": dataset, "revision": revision, "url": address, **facts, "rows": rows})
        return
    if dry_run:
        output.result_table(["file", "bytes"], [[name, size] for name, size in sizes.items()])
    _print_summary(planned, address, public)


def _print_summary(planned: Push, address: str | None, public: bool) -> None:
    """Print what was sent, or would be."""
    of = f"{output.count(len(planned.files), 'file')}, {sum(planned.sizes.values()) / 1e6:.3g} MB"
    others = [f"{planned.unchanged} there already"] if planned.unchanged else []
    others += [f"{len(planned.deleted)} deleted"] if planned.deleted else []
    beside = f" ({', '.join(others)})" if others else ""
    if address is None:
        output.result(f"would be sent to {planned.repo}@{planned.revision}: {of}{beside}")
    else:
        output.result(f"{address}: {of} sent{beside}")
    if planned.is_new and not public:
        output.note("the dataset is private; --public, or its settings on the hub, shows it to everyone")
