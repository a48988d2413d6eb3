"""The tables of a run: typed columns with unit and definition, and parts that are written atomically."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from .errors import DegenError, ProbeError
from .paths import atomic
from .printable import printable
from .version import __version__

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 6  # since `layers` has massive activations, and there is a table `domains`
READABLE = (1, 2, 3, 4, 5, 6)  # versions of which every column means what it means now; those of later ones are missing
MAX_SHOWN = 80  # characters of a value in a message

Row = dict[str, Any]
Rows = dict[str, list[Row]]  # table -> its rows
Type = Literal["float64", "int64", "string", "bool", "list<float32>"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: the column's name, the field's standard term.
        type: `float64`, `int64`, `string`, `bool`, or `list<float32>` for a vector.
        unit: the unit of the value, empty where it has none.
        definition: what the value is, in a phrase.
        key: whether the column tells the rows of a checkpoint apart.
        summary: whether `degen scan` and `degen show` show it on the terminal.
    """

    name: str
    type: Type
    unit: str
    definition: str
    key: bool = False
    summary: bool = False


@dataclass(frozen=True)
class Metric:
    """What the values of some columns are and mean, as `degen probes` and docs/probes.md show it.

    Attributes:
        columns: names of the columns, of whichever table: the value itself, then its errors, intervals and counts.
        formula: in a line.
        source: the paper that defined it, or `degen` where it is our own.
        range: the values that it can take, as `0 to ln d`.
        high: what a high value means.
        low: what a low value means.
        clashes: other quantities that go by this name, or other names that this one goes by; `none known`.
    """

    columns: tuple[str, ...]
    formula: str
    source: str
    range: str
    high: str
    low: str
    clashes: str


KEYS = (
    Column("model", "string", "", "label of the series"),
    Column("revision", "string", "", "name of the checkpoint within its series"),
    Column("step", "int64", "steps", "optimiser steps so far; null if unknown"),
)

CHECKPOINTS = "checkpoints"
TIMING = "timing"
DOMAINS = "domains"  # what `checkpoints` and `layers` have, of the documents of one domain
SATURATION = "saturation"  # one file a model, of all checkpoints scanned so far
SIMILARITY = "similarity"  # one file a model, its checkpoints compared with one another
STATES, HEAD_ROWS = "states", "head_rows"  # of the probe states
NGRAM = "ngram"  # one file a model, its head compared with the corpora measured last

# Columns that the engine fills. Probes add columns, and tables of their own.
ENGINE_TABLES: dict[str, tuple[Column, ...]] = {
    CHECKPOINTS: (
        Column("stage", "string", "", "training stage that the name gives; null where it gives none"),
        Column("seed", "string", "", "seed that the name gives; null where it gives none"),
        Column("tokens_seen", "int64", "tokens", "training tokens so far, over all stages; null if unknown"),
        Column("status", "string", "", "ok, failed or duplicate"),
        Column("reason", "string", "", "why it failed, or what could not be measured; null if nothing"),
        Column("duplicate_of", "string", "", "revision whose head and body bytes are equal; metrics copied"),
        Column("architecture", "string", "", "model class of the configuration"),
        Column("parameters", "int64", "parameters", "all parameters, tied ones once"),
        Column(
            "parameters_non_embedding",
            "int64",
            "parameters",
            "parameters without input embeddings, untied head and learned positions",
        ),
        Column("layers", "int64", "blocks", "number of transformer blocks"),
        Column("hidden_size", "int64", "dimensions", "width of the residual stream"),
        Column("head_size", "int64", "dimensions", "width the LM head sees"),
        Column("vocab_size", "int64", "rows", "rows of the LM head"),
        Column("vocab_used", "int64", "rows", "rows whose id the tokenizer has; all, without a tokenizer"),
        Column("tied", "bool", "", "whether the head is the input embedding"),
        Column(
            "flops_per_token",
            "float64",
            "FLOPs",
            "of training, forward and backward: 6·(N + V·d_head), N non-embedding, without experts that a token is not "
            "sent to",
        ),
        Column("training_flops", "float64", "FLOPs", "flops_per_token times tokens_seen; null if those are unknown"),
        Column("head_sha256", "string", "", "SHA-256 of the stored bytes of the head tensor"),
    ),
    "layers": (
        Column("layer", "int64", "", "0 for the embedding, 1 to L for the blocks", key=True),
        Column("site", "string", "", "embedding, block or head_input", key=True),
        Column(
            "reason",
            "string",
            "",
            "why its states could not be read, or a figure is missing or biased; null if nothing",
        ),
    ),
    "windows": (
        Column("window", "int64", "", "window of sample.parquet", key=True),
        Column("document", "int64", "", "document of the corpus, counted from 0"),
        Column("domain", "string", "", "domain of the document; null if unknown"),
    ),
    DOMAINS: (
        Column("domain", "string", "", "domain of the documents; null for those of unknown domain", key=True),
        Column("layer", "int64", "", "0 for the embedding, 1 to L for the blocks; null for the whole model", key=True),
        Column("site", "string", "", "embedding, block or head_input; null for the whole model", key=True),
        Column("documents", "int64", "documents", "documents of the domain"),
        Column("reason", "string", "", "why a figure is missing or rough; null where none is"),
    ),
    TIMING: (
        Column("phase", "string", "", "fetch, load, forward, a probe's name, or total", key=True),
        Column("seconds", "float64", "s", "wall time of the phase"),
        Column("peak_rss", "int64", "bytes", "largest resident memory of the process so far"),
        Column("device", "string", "", "device of the pass"),
        Column("dtype", "string", "", "dtype of the pass"),
        Column("source_version", "string", "", "commit of the hub, or newest modification time of the files in ns"),
    ),
}


class Tables:
    """The columns of a run's tables: the engine's, and those of the probes in use.

    Args:
        added: columns by table, for every probe by name.

    Raises:
        DegenError: two probes fill the same column.
    """

    def __init__(self, added: Mapping[str, Mapping[str, Sequence[Column]]]) -> None:
        self._columns: dict[str, list[Column]] = {CHECKPOINTS: list(ENGINE_TABLES[CHECKPOINTS])}
        self._owner: dict[tuple[str, str], str] = {}
        for probe, tables in added.items():
            for table, columns in tables.items():
                self._add(probe, table, columns)
        self._columns[TIMING] = list(ENGINE_TABLES[TIMING])

    def _add(self, probe: str, table: str, columns: Sequence[Column]) -> None:
        declared = self._columns.setdefault(table, list(ENGINE_TABLES.get(table, ())))
        names = {c.name for c in (*KEYS, *declared)}
        for column in columns:
            if column.name in names:
                owner = self._owner.get((table, column.name), "degen itself")
                raise DegenError(f"probe {probe}: column {table}.{column.name} is already filled by {owner}")
            self._owner[table, column.name] = f"probe {probe}"
            names.add(column.name)
            declared.append(column)

    @property
    def names(self) -> list[str]:
        """Names of the tables, in the order they were declared."""
        return list(self._columns)

    def columns(self, table: str) -> tuple[Column, ...]:
        """Return all columns of a table, key columns first."""
        return (*KEYS, *self._columns[table])

    def schema(self, table: str) -> pa.Schema:
        """Return the schema of a table, with unit and definition on every field."""
        return schema_of(self.columns(table))

    def check_values(self, probe: str, rows: Rows) -> None:
        """Check that the values of a probe are of the types of their columns, before a part is written of them.

        Args:
            probe: its name.
            rows: by table.

        Raises:
            ProbeError: one is of another type.
        """
        for table in (name for name in rows if name in self._columns):
            for column in self.columns(table):
                values = [row[column.name] for row in rows[table] if column.name in row]
                for value in _misfits(values, column.type):
                    shown = printable(f"{' '.join(repr(value).split()):.{MAX_SHOWN}}")
                    raise ProbeError(f"probe {probe}: column {table}.{column.name} is of {column.type}, not {shown}")

    def merge(self, contributions: Iterable[tuple[str, Rows]]) -> Rows:
        """Return the rows of several probes by table, joined on the key columns of each table.

        A probe that cannot measure a column gives null, and says why in `reason` of `checkpoints`; reasons are joined.

        Args:
            contributions: name and rows by table of every probe.

        Raises:
            DegenError: a probe fills a column it has not declared.
        """
        merged: dict[str, dict[tuple[Any, ...], Row]] = {name: {} for name in self._columns}
        for probe, rows in contributions:
            for table, table_rows in rows.items():
                if table not in merged:
                    raise DegenError(f"probe {probe}: table {table!r} is not among the columns it declares")
                keys = [c.name for c in self._columns[table] if c.key]
                known = {c.name for c in self.columns(table)}
                for row in table_rows:
                    if stray := sorted(set(row) - known):
                        raise DegenError(f"probe {probe}: column {table}.{stray[0]} is not declared")
                    joined = merged[table].setdefault(tuple(row.get(k) for k in keys), {})
                    reason = _join_reasons(joined.get("reason"), row.get("reason"))
                    joined.update(row | ({"reason": reason} if reason else {}))
        return {name: list(rows.values()) for name, rows in merged.items()}


def _join_reasons(*reasons: str | None) -> str:
    """Return reasons in one text, each once, though several probes give it beside others of their own."""
    return "; ".join(dict.fromkeys(part for reason in reasons if reason for part in reason.split("; ")))


def schema_of(columns: Iterable[Column]) -> pa.Schema:
    """Return the schema of a table with these columns, with unit and definition on every field."""
    import pyarrow as pa

    fields = []
    for column in columns:
        notes = {"unit": column.unit, "definition": column.definition}
        if column.summary:
            notes["glance"] = "1"
        fields.append(pa.field(column.name, _arrow_type(column.type), metadata=notes))
    return pa.schema(fields)


def _arrow_type(name: Type) -> pa.DataType:
    """Return the Arrow type of a column."""
    import pyarrow as pa

    return pa.list_(pa.float32()) if name == "list<float32>" else pa.type_for_alias(name)


def _misfits(values: Sequence[Any], column_type: Type) -> list[Any]:
    """Return the first value that cannot be stored as a type; none where all can."""
    if column_type == "list<float32>":  # arrays of floats can; they may be large
        values = [v for v in values if getattr(getattr(v, "dtype", None), "kind", "") != "f" or v.ndim != 1]
    if _can_store(values, column_type):
        return []
    return [next((value for value in values if not _can_store([value], column_type)), values)]


def _can_store(values: Sequence[Any], column_type: Type) -> bool:
    import pyarrow as pa

    if column_type == "int64" and any(isinstance(v, Real) and v % 1 != 0 for v in values):
        return False  # Arrow would cut its decimals off
    try:
        pa.array(values, type=_arrow_type(column_type))
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return False
    return True


def write_part(path: Path, schema: pa.Schema, rows: Sequence[Row], notes: Mapping[str, str]) -> None:
    """Write one part of a table; where writing fails, there is no file rather than half of one.

    Args:
        path: `RUN/<table>/<model>/<revision>.parquet`.
        schema: of the whole table; a column that a row lacks is null.
        rows: of the part.
        notes: provenance for the file's metadata; versions of schema and package are added.
    """
    import pyarrow as pa

    metadata = {"degen.schema_version": str(SCHEMA_VERSION), "degen.version": __version__, **notes}
    columns = [pa.array([row.get(field.name) for row in rows], type=field.type) for field in schema]
    write_parquet(pa.Table.from_arrays(columns, schema=schema.with_metadata(metadata)), path)


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table to a Parquet file, whole or not at all."""
    import pyarrow.parquet as pq

    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def file_name(name: str) -> str:
    """Return a model's or revision's name as a file's name that is safe in every folder and for every reader.

    All but letters, digits and `.+@,-_` is percent-encoded: a slash would leave the folder, an equals sign look like a
    partition. So is a leading dot or underscore, which would hide the file. A long name is cut and gets a hash.
    """
    escaped = quote(name, safe="+@,")
    escaped = re.sub(r"^[._]", lambda m: f"%{ord(m[0]):02X}", escaped).replace("~", "%7E")
    if len(escaped) > 120:
        escaped = f"{escaped[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return escaped or "%"
