"""Anisotropy: the mean cosine between hidden states, at every layer."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from degen.arrays import Floats, Ints
from degen.device import as_float64, product_in_float32
from degen.probe import Batch, Site, StreamProbe
from degen.stats.document_interval import jackknife_range
from degen.stats.jackknife import jackknife_error
from degen.tables import DOMAINS, Column, Metric, Row, Rows
from degen.text.domains import documents_by_domain
from degen.text.windows import Sample

if TYPE_CHECKING:
    import torch


SHORTEST = 1e-18  # of vectors of 16 bits that have a direction: the square of a shorter one is no float32

_EXTREMES = (
    Column("anisotropy_jackknife_min", "float64", "cosine", "least anisotropy with one document left out"),
    Column("anisotropy_jackknife_max", "float64", "cosine", "largest anisotropy with one document left out"),
)
METRICS = (
    Metric(
        ("anisotropy", "anisotropy_se", "anisotropy_jackknife_min", "anisotropy_jackknife_max", "zero_vectors"),
        formula="(‖S‖² − n)/(n(n − 1)), S = Σ h/‖h‖: the mean of cos(hᵢ, hⱼ) over all i ≠ j",
        source="Ethayarajh 2019 (arXiv 1909.00512); Godey et al. 2024 (arXiv 2404.07647)",
        range="−1/(n − 1) to 1",
        high="states point one way: they share a direction, or have collapsed onto it",
        low="states point every way, or cancel out",
        clashes="1 − representation dispersion (arXiv 2506.24106, mean cosine distance); other papers call the share "
        "σ₁²/Σσ² of the first direction anisotropy, or 1 − I(W)",
    ),
    Metric(
        ("anisotropy_within",),
        formula="Σ(‖s_w‖² − n_w)/Σ n_w(n_w − 1), s_w the sum of the unit vectors of document w, n_w their number",
        source="degen; the parts add up to anisotropy",
        range="−1 to 1",
        high="states of one document are alike",
        low="states of one document are as unlike as any",
        clashes="intra-sentence similarity (Ethayarajh 2019), which is with the mean of the sentence",
    ),
    Metric(
        ("anisotropy_across",),
        formula="(‖S‖² − Σ‖s_w‖²)/(n² − Σ n_w²)",
        source="degen; the parts add up to anisotropy",
        range="−1 to 1",
        high="states are alike whatever the text",
        low="states of different documents have nothing in common",
        clashes="none known",
    ),
    Metric(
        ("mean_norm",),
        formula="(1/n) Σ‖h‖",
        source="degen",
        range="0 to infinity",
        high="long states; of the residual stream they grow with depth",
        low="short states",
        clashes="the norm of the mean state, ‖Σh‖/n",
    ),
)
OF_CHECKPOINT = ("anisotropy", "anisotropy_se", "anisotropy_across", *(column.name for column in _EXTREMES))


def mean_cosine(square: Floats | float, count: Floats | float) -> Any:
    """Return mean cosine over all ordered pairs i ≠ j of n unit vectors: (‖S‖² − n) / (n(n − 1)).

    Args:
        square: ‖S‖², the squared length of the vectors' sum S.
        count: n.

    Returns:
        In [−1/(n − 1), 1]; NaN for fewer than two vectors.

    Source: Ethayarajh 2019 (arXiv 1909.00512), as Godey et al. 2024 (arXiv 2404.07647) measure it.
    """
    pairs = np.asarray(count * (count - 1), dtype=np.float64)
    return np.divide(square - count, pairs, out=np.full_like(pairs, np.nan), where=pairs > 0)


def sums_in_float32(states: torch.Tensor) -> bool:
    """Return whether unit vectors are summed in float32 within a window: those of 16 bits, on an accelerator."""
    return states.device.type != "cpu" and states.dtype.itemsize == 2


def window_sums(states: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sum of a window's unit vectors, and the length of each vector, read twice and never copied whole.

    Args:
        states: B × T × d, of 16 bits.
        mask: B × T, true where there is a token; None where there is one everywhere.

    Returns:
        B × d and B × T, float32; a vector behind the end of a window has length zero.
    """
    import torch

    if mask is not None:  # states behind the end of a window may be NaN
        states = states.masked_fill(~mask.unsqueeze(-1), 0.0)
    norms = torch.linalg.vector_norm(states, dim=-1, dtype=torch.float32)
    return weighted_sums(norms.clamp(min=SHORTEST).reciprocal_(), states), norms


def weighted_sums(weights: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """Return Σ_t w_t h_t for every row, B × d float32.

    Where a product of bfloat16 may be summed in float32, w goes in as two numbers of bfloat16 that add up to it but for
    2⁻¹⁷ of it, and the states go in as they are; anywhere else they are copied to float32.

    Args:
        weights: w, B × T float32.
        states: h, B × T × d, of 16 bits.
    """
    import torch

    if states.dtype != torch.bfloat16:
        return torch.bmm(weights.unsqueeze(1), states.float()).squeeze(1)
    halves = states.new_empty(len(weights), 2, weights.shape[1])
    halves[:, 0] = weights
    torch.sub(weights, halves[:, 0], out=halves[:, 1])
    return product_in_float32(halves, states).sum(dim=1)


def _add_windows(sums: _Sums, batch: Batch, unit: Any, norms: Any) -> None:
    """Add the sums of windows of a batch, as `window_sums` gives them."""
    unit[~np.isfinite(norms).all(axis=1)] = np.nan  # a length of infinity would have dropped its vector
    sums.add_batch(batch, unit, (norms >= SHORTEST).sum(axis=1), norms.sum(axis=1, dtype=np.float64))


class _Sums:
    """The sums of one site: for every document the sum of its unit vectors and their count."""

    def __init__(self, documents: int, width: int) -> None:
        self.unit = np.zeros((documents, width))  # s_w
        self.count = np.zeros(documents)  # n_w
        self.norm = np.zeros(documents)  # Σ‖h‖
        self.zeros = np.zeros(documents, dtype=np.int64)  # vectors without a direction

    def touch(self, batch: Batch) -> None:
        """Have the system give the memory that a batch will be added to, which may take longer than to add it."""
        self.unit[batch.documents] += 0.0

    def add_batch(self, batch: Batch, unit: Floats, counted: Floats, norm: Floats) -> None:
        """Add a batch: the sum of unit vectors, their count and Σ‖h‖ for each row."""
        if len(set(batch.documents.tolist())) == len(batch.documents):
            self.unit[batch.documents] += unit
        else:
            np.add.at(self.unit, batch.documents, unit)
        np.add.at(self.count, batch.documents, counted)
        np.add.at(self.norm, batch.documents, norm)
        np.add.at(self.zeros, batch.documents, batch.row_lengths - counted.astype(np.int64))

    def add(self, other: _Sums) -> None:
        self.unit += other.unit
        self.count += other.count
        self.norm += other.norm
        self.zeros += other.zeros


class Anisotropy(StreamProbe):
    """Mean cosine between states of the same layer, over all pairs of tokens, within and across documents."""

    measures = "mean cosine between hidden states at every layer, within and across documents"
    needs = frozenset({"states"})
    default = True
    few_documents: ClassVar[tuple[int, str]] = (
        20,
        "pairs within a document raise anisotropy; compare anisotropy_across between runs",
    )
    cost = "one reading of the states at every site; memory: documents × d numbers a site"
    metrics = METRICS
    columns = {
        "checkpoints": (
            Column("anisotropy", "float64", "cosine", "mean cosine of the states the head receives", summary=True),
            Column("anisotropy_se", "float64", "cosine", "its delete-one-document jackknife standard error"),
            Column("anisotropy_across", "float64", "cosine",
                   "mean cosine over pairs of different documents, which few documents do not raise"),
            *_EXTREMES,
        ),
        "layers": (
            Column("anisotropy", "float64", "cosine", "mean cos(hᵢ, hⱼ) over all i ≠ j"),
            Column("anisotropy_se", "float64", "cosine", "its delete-one-document jackknife standard error"),
            *_EXTREMES,
            Column("anisotropy_within", "float64", "cosine", "mean cosine over pairs of the same document"),
            Column("anisotropy_across", "float64", "cosine",
                   "mean cosine over pairs of different documents; null for one document"),
            Column("mean_norm", "float64", "", "mean length ‖h‖"),
            Column("zero_vectors", "int64", "vectors", "vectors of length zero, left out of the cosines"),
        ),
        DOMAINS: (
            Column("anisotropy", "float64", "cosine",
                   "mean cos(hᵢ, hⱼ) over all i ≠ j of the domain; without a layer, of what the head receives"),
            Column("anisotropy_se", "float64", "cosine", "its delete-one-document jackknife standard error"),
            *_EXTREMES,
            Column("anisotropy_within", "float64", "cosine", "mean cosine over pairs of the same document"),
            Column("anisotropy_across", "float64", "cosine",
                   "mean cosine over pairs of different documents of the domain; null for one document"),
            Column("mean_norm", "float64", "", "mean length ‖h‖"),
        ),
    }  # fmt: skip

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample)
        self._sums: dict[Site, _Sums] = {}

    def update_states(self, batch: Batch, site: Site, states: torch.Tensor) -> None:
        """Add the unit vector ĥ = h/‖h‖ of every token to the sum of its document, in float64.

        On an accelerator that would take longer than a layer. So states of 16 bits are summed in float32 within a
        window there, and the sums of windows in float64.
        """
        if (sums := self._sums.get(site)) is None:
            sums = self._sums[site] = _Sums(self.sample.documents, states.shape[-1])
        if sums_in_float32(states):
            batch.read(partial(_add_windows, sums, batch), *window_sums(states, batch.mask))
            batch.meanwhile(partial(sums.touch, batch))
            return
        upcast = as_float64(states)
        if batch.mask is not None:  # states behind the end of a window may be NaN
            upcast.masked_fill_(~batch.mask.to(upcast.device).unsqueeze(-1), 0.0)
        norms = upcast.norm(dim=-1)
        inverse = norms.reciprocal().masked_fill(norms == 0, 0.0)
        unit = (inverse.unsqueeze(1) @ upcast).squeeze(1)
        batch.read(partial(sums.add_batch, batch), unit, (norms != 0).sum(dim=1), norms.sum(dim=1))

    def merge(self, other: Self) -> None:
        """Add another instance's sums."""
        for site, sums in other._sums.items():
            self._sums.setdefault(site, _Sums(*sums.unit.shape)).add(sums)

    def finish(self) -> Rows:
        """Return rows by table: in `layers` one for every layer and site, in `checkpoints` one for the head's input.

        In `domains` is the same of the documents of every domain.
        """
        layers: list[Row] = []
        of_head_input: Row = {}
        for site in sorted(self._sums, key=lambda s: (s.layer, s.name == "head_input")):
            row = _layer_row(self._sums[site])
            layers.append({"layer": site.layer, "site": site.name, **row})
            if site.name == "head_input":
                of_head_input = {name: row[name] for name in OF_CHECKPOINT}
                if row["anisotropy"] is None:
                    count = "all" if row["zero_vectors"] else "none"
                    of_head_input["reason"] = f"no anisotropy: {count} of the vectors that the head receives are zero"
        return {"checkpoints": [of_head_input], "layers": layers, DOMAINS: self._domain_rows()}

    def _domain_rows(self) -> list[Row]:
        """Return the rows of table `domains`: of every site, and of the head's input once more without a layer."""
        rows: list[Row] = []
        few, why = self.few_documents
        for domain, documents in documents_by_domain(self.sample).items():
            reason = f"{len(documents)} document{'s' * (len(documents) > 1)}, below {few}: {why}"
            for site, sums in self._sums.items():
                found = _document_row(sums, documents)
                row = {
                    "domain": domain,
                    "documents": len(documents),
                    "reason": reason if len(documents) < few else None,
                }
                rows.append(row | {"layer": site.layer, "site": site.name} | found)
                if site.name == "head_input":
                    rows.append(row | {"layer": None, "site": None} | {name: found[name] for name in OF_CHECKPOINT})
        return rows


def _document_row(sums: _Sums, documents: Ints | slice) -> Row:
    """Return the figures of some documents of a site, from its sums."""
    unit, count = sums.unit[documents], sums.count[documents]
    measured, vectors = count > 0, float(count.sum() + sums.zeros[documents].sum())
    figures = document_figures(unit[measured], count[measured])
    return {**figures, "mean_norm": float(sums.norm[documents].sum()) / vectors if vectors else None}


def _layer_row(sums: _Sums) -> Row:
    """Return the columns of table `layers` for one site, from its sums."""
    return {**_document_row(sums, slice(None)), "zero_vectors": int(sums.zeros.sum())}


def document_figures(s: Floats, n: Floats) -> Row:
    """Return the anisotropy of documents, its error and what belongs to it, by the names of their columns.

    Formulas, with S and N the sums over all documents: anisotropy (‖S‖² − N)/(N(N − 1)); within
    Σ(‖s_w‖² − n_w)/Σ n_w(n_w − 1); across (‖S‖² − Σ‖s_w‖²)/(N² − Σ n_w²); the jackknife leaves out one document's s_w
    and n_w at a time.

    Args:
        s: s_w, the sum of each document's unit vectors, W × d.
        n: n_w, how many vectors each has, 1 or more.
    """
    S, N = s.sum(axis=0), float(n.sum())
    pairs_within, pairs_across = float((n * (n - 1)).sum()), N**2 - float((n**2).sum())
    s_squared, S_squared = (s**2).sum(axis=1), float(S @ S)  # ‖s_w‖², ‖S‖²
    left_out = mean_cosine(S_squared - 2 * (s @ S) + s_squared, N - n)  # of ‖S − s_w‖² and N − n_w
    anisotropy = float(mean_cosine(S_squared, N))
    spread = jackknife_range(left_out)
    return {
        "anisotropy": None if math.isnan(anisotropy) else anisotropy,
        "anisotropy_se": jackknife_error(left_out),
        "anisotropy_jackknife_min": None if spread is None else spread.lowest,
        "anisotropy_jackknife_max": None if spread is None else spread.highest,
        "anisotropy_within": float((s_squared - n).sum()) / pairs_within if pairs_within else None,
        "anisotropy_across": (S_squared - float(s_squared.sum())) / pairs_across if pairs_across else None,
    }
