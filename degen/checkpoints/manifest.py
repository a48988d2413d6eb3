"""Manifests: tables whose rows are checkpoints, each in a folder of its own or in a repository on the hub."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from degen.bounds import check_parquet, check_regular
from degen.errors import DegenError, one_line
from degen.paths import expand_user

from .hub_series import find_revision
from .local import LocalSource
from .series import Checkpoint, Grammar, Series
from .source import Source
from .stages import tokens_over_stages
from .steps import MAX_STEP, RevisionStep, TrainingPoint, order_of_training

SOURCES = ("path", "repo")
COLUMNS = (*SOURCES, "model", "revision", "subfolder", "step", "tokens_seen", "stage", "seed")
FORMATS = (".csv", ".parquet", ".toml")
_ARRAYS = ("checkpoint", "checkpoints")  # names of the array of tables in a .toml

Cells = Mapping[str, str]


@dataclass(frozen=True)
class _Entry:
    """A row of a manifest, read.

    Attributes:
        cells: column -> text, of the cells that hold any.
        model: the label in the tables.
        source: where the files are.
        parsed: step, stage and seed, by the columns or else by the names.
        names: texts that may tell it apart from the others of its model, the shortest first.
        location: the file and row, for messages.
    """

    cells: Cells
    model: str
    source: Source
    parsed: RevisionStep
    names: tuple[str, ...]
    location: str


def is_manifest(path: Path) -> bool:
    """Return whether a path is a table with a column `path` or `repo`; False where it cannot be read as a table."""
    if path.suffix.lower() not in FORMATS or not path.is_file():
        return False
    try:
        return not {*SOURCES}.isdisjoint(_columns(path))
    except Exception:  # whoever wants it as a table reports what is wrong with it
        return False


def from_manifest(path: Path, grammar: Grammar, trust: bool = False) -> list[Series]:
    """Return the series that a manifest lists, one for each of its models, in the order of their first rows.

    Columns: `path` (relative to the manifest) or `repo`, and where there are any `model` (else the manifest's name),
    `revision` and `subfolder` of a repository, `step`, `tokens_seen` so far, `stage` and `seed` (else by the names).

    Args:
        path: the manifest.
        grammar: how names are read where the columns say nothing.
        trust: whether Python code of a repository may run.

    Raises:
        DegenError: the manifest cannot be read, or a row names nothing, what does not exist, or what another row does.
    """
    models: dict[str, list[_Entry]] = {}
    for number, cells in enumerate(_read(path), 1):
        entry = _entry(path, number, cells, grammar, trust)
        models.setdefault(entry.model, []).append(entry)
    if not models:
        raise DegenError(f"{path}: the manifest has no rows; write one for each checkpoint")
    return [_series(model, entries, grammar) for model, entries in models.items()]


def _entry(path: Path, number: int, cells: Cells, grammar: Grammar, trust: bool) -> _Entry:
    location = f"{path}, row {number}"
    given = [column for column in SOURCES if column in cells]
    if len(given) != 1:
        problem = "both path and repo" if given else "neither path nor repo"
        raise DegenError(f"{location}: has {problem}; a row names one checkpoint, by its path or by its repo")
    source = _source(path, location, cells, grammar, trust)
    place = cells.get("repo") or str(expand_user(cells["path"]))
    base, folder = place.rstrip("/").rpartition("/")[2], cells.get("subfolder", "").rstrip("/")
    revision = cells.get("revision", "")
    texts = [text for text in (revision, folder.rpartition("/")[2], base) if text]
    parsed = next((p for p in map(grammar.parse, texts) if p is not None), RevisionStep())
    stem = path.name.removesuffix(path.suffix)
    names = (revision, folder.rpartition("/")[2], base, "@".join(filter(None, [base, revision])), str(source))
    return _Entry(
        cells,
        cells.get("model", stem),
        source,
        RevisionStep(
            _number(location, cells, "step", parsed.step),
            parsed.tokens_seen,
            cells.get("stage", parsed.stage),
            cells.get("seed", parsed.seed),
            None if "model" in cells else parsed.run,
        ),
        names,
        location,
    )


def _source(path: Path, location: str, cells: Cells, grammar: Grammar, trust: bool) -> Source:
    """Return the source that a row names.

    Raises:
        DegenError: there is no such folder, repository or revision.
    """
    if "repo" in cells:
        return find_revision(cells["repo"], cells.get("revision", "main"), cells.get("subfolder", ""), grammar, trust)
    folder = path.parent / expand_user(f"{cells['path']}/{cells.get('subfolder', '')}")
    if not folder.exists():
        raise DegenError(f"{location}: {folder}: no such folder or file; paths are relative to the manifest's folder")
    return LocalSource(folder)


def _number(location: str, cells: Cells, column: str, default: int | None) -> int | None:
    """Return the whole number in a cell, the default where it is empty."""
    if column not in cells:
        return default
    try:
        value = float(cells[column])
        number = int(cells[column]) if cells[column].isdecimal() else int(value)
        if number != value or not 0 <= number <= MAX_STEP:
            raise ValueError
    except (ValueError, OverflowError):
        raise DegenError(f"{location}: {column} is {cells[column]!r}; it must be a whole number, 0 or more") from None
    return number


def _series(model: str, entries: Sequence[_Entry], grammar: Grammar) -> Series:
    """Return the series of one model."""
    revisions = _revisions(entries)
    tokens = tokens_over_stages(
        {name: e.parsed for name, e in zip(revisions, entries, strict=True)}, grammar.tokens_per_step_in
    )
    checkpoints, first = [], dict[TrainingPoint, _Entry]()
    for name, e in zip(revisions, entries, strict=True):
        p = e.parsed
        seen = _number(e.location, e.cells, "tokens_seen", tokens[name])
        run = None if "model" in e.cells else p.run_name
        point = TrainingPoint(p.stage, p.step, seen, run or "")
        twin = first.setdefault(point, e)
        if twin is not e and (p.step is not None or seen is not None):
            raise DegenError(f"{e.location}: is the same point of the training of {model} as {twin.location}")
        checkpoints.append(Checkpoint(model, name, p.step, seen, e.source, p.stage, p.seed, run))
    points = [TrainingPoint(c.stage, c.step, c.tokens_seen, c.revision) for c in checkpoints]
    return Series(model, tuple(checkpoints[i] for i in order_of_training(points)), None)


def _revisions(entries: Sequence[_Entry]) -> list[str]:
    """Return a name for each checkpoint of a model: the shortest kind of name that tells all of them apart.

    Raises:
        DegenError: two rows name the same files.
    """
    for names in zip(*(entry.names for entry in entries), strict=True):
        if all(names) and len(set(names)) == len(names):
            return list(names)
    seen: dict[str, _Entry] = {}
    for entry in entries:
        if (twin := seen.setdefault(str(entry.source), entry)) is not entry:
            raise DegenError(f"{entry.location}: names the same files as {twin.location}; leave one of them out")
    raise AssertionError("sources are told apart by their names")


def _read(path: Path) -> list[Cells]:
    """Return the rows of a manifest, as a dict each: column -> text; empty cells are left out.

    Raises:
        DegenError: the file is no table of its format.
    """
    try:
        rows = _READERS[path.suffix.lower()](path)
    except DegenError:
        raise
    except Exception as error:  # the readers raise errors of many classes
        raise DegenError(f"{path}: the manifest cannot be read ({one_line(error)}); save it again") from error
    read = [{str(key).strip(): _text(value) for key, value in row.items() if key is not None} for row in rows]
    return [{key: text for key, text in row.items() if key in COLUMNS and text} for row in read]


def _text(value: Any) -> str:
    """Return a cell as text, empty where it is missing; a whole number without a decimal point."""
    if value is None or value != value:  # NaN
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _columns(path: Path) -> list[str]:
    """Return the names of the columns of a table."""
    if path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [name.strip() for name in next(csv.reader(file), [])]
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        return list(pq.read_schema(path).names)
    return [key for row in _toml_rows(path) for key in row]


def _csv_rows(path: Path) -> list[Mapping[str, Any]]:
    check_regular(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _parquet_rows(path: Path) -> list[Mapping[str, Any]]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    check_parquet(path, file.metadata, path.stat().st_size)
    rows: list[Mapping[str, Any]] = file.read([name for name in COLUMNS if name in file.schema_arrow.names]).to_pylist()
    return rows


def _toml_rows(path: Path) -> list[Mapping[str, Any]]:
    check_regular(path)
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    arrays = (document[name] for name in _ARRAYS if isinstance(document.get(name), list))
    return [row for rows in arrays for row in rows if isinstance(row, dict)]


_READERS: dict[str, Callable[[Path], list[Mapping[str, Any]]]] = {
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
    ".toml": _toml_rows,
}
