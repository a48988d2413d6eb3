"""The card of a run on the hub: README.md, whose metadata make the viewer show each table as a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from degen.printable import printable
from degen.runs.run import Run
from degen.scanning.run_command import run_command
from degen.tables import CHECKPOINTS, Row
from degen.version import __version__

CARD = "README.md"
BEGIN, END = "<!-- written by degen push; it is replaced by the next one -->", "<!-- end of what degen push writes -->"
TAGS = ("degen", "representation-degeneration", "language-models")
METRICS = ("loss", "anisotropy", "singular_entropy", "effective_rank")  # shown of the last checkpoint


@dataclass(frozen=True)
class CardOptions:
    """What a user says of the dataset.

    Attributes:
        licence: as the hub names it, such as cc-by-4.0; None leaves the field as it is, or out.
        tags: beside those that every card of a run has.
    """

    licence: str | None = None
    tags: Sequence[str] = ()


def write_card(
    run: Run, info: Mapping[str, Any], repo: str, revision: str, options: CardOptions, before: str | None
) -> str:
    """Return the card of a run, as Markdown with metadata in YAML in front.

    Args:
        run: the run.
        info: its run.json, fit to be shown to others.
        repo: `org/name` of the dataset.
        revision: the branch that it is pushed to.
        options: what the user says of it.
        before: the card that is there; its other metadata, and its text before and behind what degen wrote, stay.
    """
    from huggingface_hub import DatasetCard

    card = DatasetCard(before or "---\n{}\n---\n", ignore_metadata_errors=True)
    metadata = card.data.to_dict()
    metadata.setdefault("pretty_name", repo.partition("/")[2])
    metadata |= {"license": options.licence} if options.licence is not None else {}
    known = [metadata["tags"]] if isinstance(metadata.get("tags"), str) else metadata.get("tags") or []
    metadata["tags"] = list(dict.fromkeys([*known, *TAGS, *options.tags]))
    metadata["configs"] = [
        {"config_name": name, "data_files": f"{name}/**/*.parquet"} | ({"default": True} if name == CHECKPOINTS else {})
        for name in run.tables
    ]
    first, _, rest = card.text.partition(BEGIN)
    last = rest.partition(END)[2]
    body = "\n".join([BEGIN, *_body(run, info, repo, revision), END])
    card.data = type(card.data)(ignore_metadata_errors=True, **metadata)
    card._original_order = list(metadata)
    card.text = f"{first.strip()}\n\n{body}\n\n{last.strip()}".strip() + "\n"
    return f"---\n{card.data.to_yaml(original_order=list(metadata)).strip()}\n---\n\n{card.text}"


def _body(run: Run, info: Mapping[str, Any], repo: str, revision: str) -> list[str]:
    """Return the lines of the text."""
    at = "" if revision == "main" else f"@{revision}"
    code = "" if revision == "main" else f', revision="{revision}"'
    checkpoints = run.checkpoints()
    counts = {name: run.table(name, ["model"]).num_rows for name in run.tables}
    series = printable(", ".join(dict.fromkeys(row["model"] for row in checkpoints)))
    return [
        f"# Degeneration over training: {series}",
        "",
        f"Measured by [degen](https://pypi.org/project/degen-lm/) {info.get('degen_version', __version__)}, whose "
        f"tables have schema version {info.get('schema_version')}. Each table is a configuration of this dataset, "
        "with one Parquet file a checkpoint; unit and definition of every column are metadata of its Parquet field.",
        "",
        *_markdown(_summary(checkpoints)),
        "",
        "Loss in nats a token, anisotropy as the mean cosine of the last hidden states, singular entropy of the LM "
        "head (0: flat), all of the last checkpoint measured.",
        "",
        *_markdown([{"table": name, "rows": f"{count:,}"} for name, count in counts.items()]),
        "",
        "## Measured by",
        "",
        "```sh",
        run_command(info, "my-run"),
        "```",
        "",
        "`…/` stands for folders of the machine it was measured on. The windows of text themselves are not part of "
        "this dataset; `run.json` holds their hash, settings and versions.",
        "",
        "## Read it",
        "",
        "```sh",
        f"degen show hf://datasets/{repo}{at}",
        f"degen gate my-run --rule 'loss.rise < 2%' --baseline hf://datasets/{repo}{at}",
        "```",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        f'load_dataset("{repo}", "{CHECKPOINTS}", split="train"{code}).to_pandas()',
        "```",
    ]


def _summary(checkpoints: Sequence[Row]) -> list[dict[str, str]]:
    """Return a row for each model: its checkpoints and steps, and what was measured of the last one."""
    rows = []
    for model in dict.fromkeys(row["model"] for row in checkpoints):
        own = [row for row in checkpoints if row["model"] == model]
        sound = [row for row in own if row["status"] != "failed"]
        steps = [row["step"] for row in own if row["step"] is not None]
        failed = f" ({len(own) - len(sound)} failed)" if len(sound) < len(own) else ""
        figures = {name: _number(sound[-1].get(name)) if sound else "" for name in METRICS}
        shown = f"{min(steps)} … {max(steps)}" if steps else "unknown"
        rows.append({"model": model, "checkpoints": f"{len(own)}{failed}", "steps": shown, **figures})
    measured = [name for name in METRICS if any(row[name] for row in rows)]
    return [{name: text for name, text in row.items() if name in measured or name not in METRICS} for row in rows]


def _number(value: float | None) -> str:
    return f"{value:.4g}" if value is not None else ""


def _markdown(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return rows as the lines of a table of Markdown."""
    if not rows:
        return []
    heads = list(rows[0])
    cells = [[printable(row[name]).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for name in heads]
             for row in rows]  # fmt: skip
    return ["| " + " | ".join(line) + " |" for line in (heads, ["---"] * len(heads), *cells)]
