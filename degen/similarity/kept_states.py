"""What the probe `states` kept of a checkpoint, read from the parts of its run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats
from degen.runs.parts import read_part
from degen.stats.similarity import leading_directions
from degen.tables import HEAD_ROWS, STATES, file_name

if TYPE_CHECKING:
    import pyarrow as pa

Site = tuple[int, str]  # layer and name of the site
HEAD = "head"
DIRECTIONS = 16


@dataclass(frozen=True)
class SiteVectors:
    """The vectors of one site.

    Attributes:
        vectors: n × d, float64.
        inputs: what each is of: window and token, or the id of a row of the head.
    """

    vectors: Floats
    inputs: np.ndarray

    @cached_property
    def directions(self) -> Floats:
        """The leading principal directions, d × k, k ≤ 16 and at most half of d: all of them span all there is."""
        return leading_directions(self.vectors, min(DIRECTIONS, self.vectors.shape[1] // 2))


def read_states(folder: Path, model: str, revision: str) -> dict[Site, SiteVectors]:
    """Return the vectors of every site of a checkpoint, and those of its head; empty where none were kept.

    Args:
        folder: of the run.
        model: label of the series.
        revision: name of the checkpoint.

    Raises:
        DegenError: a part is damaged.
    """
    found: dict[Site, SiteVectors] = {}
    for table, inputs in ((STATES, ("window", "token")), (HEAD_ROWS, ("token_id",))):
        file = folder / table / file_name(model) / f"{file_name(revision)}.parquet"
        if file.is_file() and len(part := read_part(file)):
            found |= _by_site(part, inputs)
    return found


def _by_site(part: pa.Table, inputs: tuple[str, ...]) -> dict[Site, SiteVectors]:
    """Return the vectors of each site of a part, in the order of their inputs."""
    layers, sites = (part[name].to_numpy(zero_copy_only=False) for name in ("layer", "site"))
    values = part["state"].combine_chunks()
    found = {}
    for layer, site in dict.fromkeys(zip(layers.tolist(), sites.tolist(), strict=True)):
        chosen = np.flatnonzero((layers == layer) & (sites == site))
        keys = np.stack([part[name].to_numpy()[chosen] for name in inputs], axis=1)
        order = np.lexsort(keys.T[::-1])
        flat = values.take(_indices(chosen[order])).flatten().to_numpy(zero_copy_only=False)
        found[int(layer), str(site)] = SiteVectors(flat.astype(np.float64).reshape(len(chosen), -1), keys[order])
    return found


def _indices(chosen: np.ndarray) -> pa.Array:
    import pyarrow as pa

    return pa.array(chosen, type=pa.int64())
