"""States handed to probes as a pass hands them over: padded batches in any order, at one site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from hypothesis import strategies as st

from degen.probe import Batch, Site, StreamProbe
from degen.states.shared_states import SharedStates, StateProbe
from degen.text.windows import Sample, Window

SITE = Site(3, "block")
seeds = st.integers(0, 2**32 - 1)
P = TypeVar("P", bound=StreamProbe)


def sample_of(lengths: Sequence[int], vocabulary: int = 7) -> Sample:
    """Return windows of these lengths, each of its own document, with random tokens."""
    draw = np.random.default_rng(len(lengths))
    tokens = [draw.integers(vocabulary, size=n, dtype=np.int32) for n in lengths]
    return Sample("t", tuple(Window(i, i, None, 0, len(t), t) for i, t in enumerate(tokens)))


def split(values: np.ndarray, lengths: Sequence[int]) -> list[np.ndarray]:
    """Return rows as the states of windows of these lengths."""
    return np.split(values, np.cumsum(lengths)[:-1])


def feed(
    probe: StreamProbe, states: Sequence[np.ndarray], rows: Sequence[int], dtype: torch.dtype = torch.float64
) -> None:
    """Feed the windows `rows` as one padded batch, with NaN behind the end of short ones."""
    feed_all([probe], states, rows, dtype)


def feed_all(
    probes: Sequence[StreamProbe],
    states: Sequence[np.ndarray],
    rows: Sequence[int],
    dtype: torch.dtype = torch.float64,
) -> None:
    """Feed one padded batch to several probes."""
    sample = probes[0].sample
    longest = max(len(states[i]) for i in rows)
    padded = np.full((len(rows), longest, states[0].shape[1]), np.nan)
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=bool)
    for row, i in enumerate(rows):
        padded[row, : len(states[i])] = states[i]
        ids[row, : len(states[i])] = sample.windows[i].tokens
        mask[row, : len(states[i])] = True
    windows = np.asarray(rows, dtype=np.int64)
    documents = sample.document_slots[windows]
    batch = Batch(torch.from_numpy(ids), None if mask.all() else torch.from_numpy(mask), windows, documents)
    for probe in probes:
        probe.update_states(batch, SITE, torch.from_numpy(padded).to(dtype))


def measure(
    kind: type[StreamProbe],
    values: np.ndarray,
    lengths: Sequence[int] | None = None,
    batches: Sequence[Sequence[int]] | None = None,
    dtype: torch.dtype = torch.float64,
    **sampled: Any,
) -> dict[str, Any]:
    """Return the row of `layers` for states n × d, in windows of some lengths and some batches; by default in one."""
    lengths = lengths if lengths is not None else [len(values)]
    probe = kind(sample_of(lengths, **sampled))
    for rows in batches if batches is not None else [range(len(lengths))]:
        feed(probe, split(values, lengths), rows, dtype)
    (row,) = probe.finish()["layers"]
    return row


def shared_probes(kinds: Sequence[type[StateProbe]], sample: Sample) -> list[StateProbe]:
    """Return probes that share their accumulators."""
    shared = SharedStates(sample)
    probes = [kind(sample) for kind in kinds]
    for probe in probes:
        probe.share(shared)
    return probes


def cloud(seed: int, count: int, width: int, offset: float = 1.0) -> np.ndarray:
    """Return a Gaussian cloud with unequal variances around a mean."""
    draw = np.random.default_rng(seed)
    return draw.normal(size=(count, width)) * draw.uniform(0.2, 3, size=width) + offset * draw.normal(size=width)


def rotation(seed: int, width: int) -> np.ndarray:
    """Return a random orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


def alike(row: dict[str, Any], expected: dict[str, Any], relative: float = 1e-8) -> None:
    """Check columns of a row against values, to 1e-8 of each."""
    for name, value in expected.items():
        if value is None or isinstance(value, str):
            assert row.get(name) == value, name
        else:
            assert row[name] is not None, (name, row.get("reason"))
            assert abs(row[name] - value) <= relative * max(1.0, abs(value)), (name, row[name], value)


def without_reason(row: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a row."""
    return {name: value for name, value in row.items() if name not in ("reason", "layer", "site")}
