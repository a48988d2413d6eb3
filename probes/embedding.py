"""Embedding: the figures that probes of the LM head give, of an input embedding that is not the head."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from degen.probes.head_frequency import HeadFrequency
from degen.probes.head_spectra import MORE, HeadSpectra
from degen.probes.head_tail import HeadTail
from degen.probes.isotropy import Isotropy
from degen.probes.spectrum import Spectrum

from degen.checkpoints.adapter_source import AdapterSource
from degen.checkpoints.source import Source
from degen.delta.base_weights import open_by_ranges
from degen.errors import CheckpointError, FormatError, one_line
from degen.model.architecture import describe, scale_block
from degen.model.configuration import read_config
from degen.model.lm_head import Head, dequantised, used_rows
from degen.probe import HeadProbe, SourceProbe
from degen.tables import CHECKPOINTS, Column, Metric, Row, Rows
from degen.weights.open_weights import LoadedTensors
from degen.weights.stored_tensors import StoredTensors

TABLE = "embedding"
VARIANTS = ("raw", "centred")  # no norm can be folded in, see docs/metrics.md
OF_WHOLE: tuple[type[HeadProbe], ...] = (HeadTail, HeadFrequency, Isotropy)


def _own_name(column: str) -> str:
    """Return the name here of a column that a probe of the head fills: `tail_exponent` for `head_tail_exponent`."""
    return column.removeprefix("head_")


def _metrics() -> tuple[Metric, ...]:
    """Return what the probes of the head say of their figures, under the names of the columns here."""
    probes: tuple[type[HeadProbe], ...] = (HeadSpectra, *OF_WHOLE)
    of_head = [metric for probe in probes for metric in probe.metrics]
    return tuple(replace(metric, columns=tuple(map(_own_name, metric.columns))) for metric in of_head)


def _columns() -> tuple[Column, ...]:
    """Return the columns of table `embedding`: those of spectra, then those of the row `raw` alone."""
    of_whole = [column for probe in OF_WHOLE for column in probe.columns[CHECKPOINTS]]
    return (
        Column("variant", "string", "", "raw, or centred: rows less their mean", key=True),
        Column("tensor", "string", "", "name of the input embedding's tensor"),
        *(replace(column, summary=False) for column in (*Spectrum.columns[CHECKPOINTS], *MORE)),
        *(
            Column(_own_name(c.name), c.type, c.unit, c.definition.replace("the head", "the embedding"))
            for c in of_whole
            if not c.name.endswith("_reason")
        ),
        Column("reason", "string", "", "why figures are missing or rough; null where none is"),
    )


class Embedding(SourceProbe):
    """Spectra, tail, mean row and isotropy of the input embedding of a checkpoint whose head is another matrix."""

    measures = "spectra, tail, isotropy and mean row of an untied input embedding, as the probes of the head give them"
    needs = frozenset({"tensors", "counts"})
    cost = "the tensor read once, by byte ranges; then as the probes of the head; memory: the tensor as it is stored"
    metrics = _metrics()
    columns = {TABLE: _columns()}

    def measure(self, source: Source, first: Source) -> Rows:
        """Return rows by table: in `embedding` one for every variant; of a tied embedding the reason alone.

        Formulas: those of the probes `head_spectra`, `head_tail`, `head_frequency` and `isotropy`, with the rows of the
        embedding, of ids that the tokenizer has, in place of those of the head.
        """
        if isinstance(source, AdapterSource):
            return _unmeasured("an adapter has no input embedding of its own")
        tensors = open_by_ranges(source)
        key = tensors.embedding_key()
        if key is None:
            return _unmeasured("no tensor of a known name is an input embedding")
        if _is_head(source, tensors, key):
            reason = "the input embedding is the LM head (tied): the probes of the head have its figures"
            return _unmeasured(reason, key)
        rows = tensors.shape(key)[0]
        try:
            own = dequantised(tensors, key, scale_block(_config(source)), name="input embedding")
        except FormatError as error:
            return _unmeasured(one_line(error), key)
        values = own.rows(key, 0, rows)
        held = LoadedTensors({key: values if values.element_size() > 1 else values.float()})
        matrix = Head(held, key, used_rows(self.ids, rows), name="input embedding")
        return {TABLE: [{"tensor": key} | row for row in self._rows(matrix)]}

    def _rows(self, matrix: Head) -> list[Row]:
        """Return the rows of both variants; the first has what is of the matrix as it is, too."""
        spectra = {row["variant"]: row for row in HeadSpectra().measure(matrix)["head_spectra"]}
        raw, centred = (dict(spectra[variant]) for variant in VARIANTS)
        reasons = [raw.pop("reason", None)]
        for kind in OF_WHOLE:
            probe = kind()
            if "counts" in kind.needs and self.counts_of is not None:
                probe.counts = self.counts_of(matrix.shape[0])
            (row,) = probe.measure(matrix)[CHECKPOINTS]
            for name, value in row.items():
                if name.endswith("reason"):
                    reasons.append(value and value.replace("LM head", "input embedding"))
                else:
                    raw[_own_name(name)] = value
        return [raw | {"reason": "; ".join(reason for reason in reasons if reason) or None}, centred]


def _is_head(source: Source, tensors: StoredTensors, key: str) -> bool:
    """Return whether the input embedding is the head: by the files, whatever the configuration says.

    Two tensors are one where the configuration ties them and their bytes are equal.
    """
    config = _config(source)
    try:
        shape = describe(config) if config is not None else None
    except CheckpointError:
        shape = None
    if shape is None:
        head = tensors.head_key(False, tensors.shape(key))  # type: ignore[arg-type]  # a matrix
        return head is None
    wanted = shape.vocab_size, shape.head_size
    head = tensors.head_key(False, wanted)
    if head is None or head == key:
        return shape.tied
    return shape.tied and tensors.shape(key) == wanted and tensors.sha256(key) == tensors.sha256(head)


def _config(source: Source) -> Any:
    """Return the configuration of a checkpoint; None where it cannot be read."""
    try:
        return read_config(source.config())
    except CheckpointError:
        return None


def _unmeasured(reason: str, key: str | None = None) -> Rows:
    return {TABLE: [{"variant": "raw", "tensor": key, "reason": reason}]}
