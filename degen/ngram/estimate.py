"""W-error of a large matrix, estimated by stochastic Lanczos quadrature behind its largest singular values.

Let A be W·Wᵀ or Wᵀ·W, whichever is smaller, of n rows. Subspace iteration gives its k largest eigenvalues and a basis Q
of their vectors. Of the rest, C = (1 − QQᵀ)·A·(1 − QQᵀ), random directions z orthogonal to Q are taken. m steps of
Lanczos from z give m nodes with weights of sum 1; in the mean over z they are distributed as the eigenvalues of C, each
with weight 1/(n − k). How much all eigenvalues of C add up to is known exactly: ‖W‖_F² less the k largest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from degen.arrays import Floats
from degen.stats.quantiles import two_sided

from .matrix import Parts
from .w_error import WErrorCurve, singular_values

CONFIDENCE = 0.95
MAX_COUPLING = 1e-4  # of ‖W‖_F², the most that the error of the largest eigenvalues may add up to


@dataclass(frozen=True)
class Effort:
    """How much work the estimate takes; more of each narrows the interval or lowers the bias.

    Attributes:
        probes: random directions, over which the interval is taken.
        steps: of Lanczos, from each of them.
        largest: eigenvalues that subspace iteration looks for; fewer are used where fewer are accurate.
        iterations: of the subspace, twice as wide; an even number.
    """

    probes: int = 20
    steps: int = 120
    largest: int = 384
    iterations: int = 8


@dataclass(frozen=True)
class Nodes:
    """Nodes that stand for eigenvalues.

    Attributes:
        values: of each probe, probes × m.
        counts: of eigenvalues that each node stands for; those of a probe add up to the number of all.
    """

    values: Floats
    counts: Floats


@dataclass(frozen=True)
class Spectrum:
    """The eigenvalues of one block, the largest exact and the others as nodes.

    Attributes:
        exact: the k largest eigenvalues.
        coupling: by how much the sum of the first i of them may be too small, for i from 1 to k.
        nodes: for the others.
        coarse: the same from half the steps, to show what the number of steps does.
        rest: the sum of the others, known exactly.
    """

    exact: Floats
    coupling: Floats
    nodes: Nodes
    coarse: Nodes
    rest: float


def estimated_curve(parts: Parts, most_exact: int, seed: int, effort: Effort | None = None) -> WErrorCurve:
    """Return the curve of a matrix with a block too large for all of its singular values, with a 95 % interval.

    The interval covers the chance of the random directions, by Student's t with the jackknife over them; what half the
    steps of Lanczos would have changed; and at its lower end what the largest eigenvalues may be too small by.

    Args:
        parts: of the matrix.
        most_exact: the smaller side up to which all singular values of a block are computed.
        seed: of the random directions.
        effort: how much work it takes.
    """
    effort = effort or Effort()
    small = [singular_values(block) for block in parts.blocks if min(block.shape) <= most_exact]
    large = [block for block in parts.blocks if min(block.shape) > most_exact]
    exact = np.concatenate([parts.singular_values, *small]) ** 2
    spectra = [spectrum_of(block, effort, np.random.default_rng([seed, i])) for i, block in enumerate(large)]
    number = len(exact) + sum(min(block.shape) for block in large)
    total = float(exact.sum()) + sum(float(spectrum.exact.sum()) + spectrum.rest for spectrum in spectra)
    probes = range(effort.probes)
    whole = _tails(exact, spectra, [spectrum.nodes for spectrum in spectra], [*probes], number)
    coarse = _tails(exact, spectra, [spectrum.coarse for spectrum in spectra], [*probes], number)
    each = np.asarray([
        _tails(exact, spectra, [spectrum.nodes for spectrum in spectra], [i for i in probes if i != left_out], number)
        for left_out in probes
    ])  # fmt: skip
    spread = np.sqrt((effort.probes - 1) / effort.probes * np.sum((each - each.mean(axis=0)) ** 2, axis=0))
    margin = two_sided(CONFIDENCE, effort.probes - 1) * spread
    low = whole - margin - np.maximum(coarse - whole, 0) - _coupling(spectra, number)
    high = whole + margin + np.maximum(whole - coarse, 0)
    curves = [np.minimum.accumulate(np.sqrt(np.clip(tail / total, 0, 1))) for tail in (whole, low, high)]
    for curve in curves:
        curve[-1] = 0.0  # all dimensions leave nothing
    return WErrorCurve(*curves)


def _tails(exact: Floats, spectra: list[Spectrum], nodes: list[Nodes], probes: list[int], number: int) -> Floats:
    """Return Σ_{i>d} σᵢ² for d from 0 to `number`, on lines between eigenvalues and nodes.

    Args:
        exact: eigenvalues of blocks of which all are known.
        spectra: of the other blocks.
        nodes: of these.
        probes: those to use.
        number: of all eigenvalues.
    """
    values, counts = [exact], [np.ones(len(exact))]
    for spectrum, of_block in zip(spectra, nodes, strict=True):
        node, count = of_block.values[probes].ravel(), of_block.counts[probes].ravel() / len(probes)
        total = max(float(node @ count), np.finfo(float).tiny)
        values += [spectrum.exact, node * (spectrum.rest / total)]
        counts += [np.ones(len(spectrum.exact)), count]
    value, count = np.concatenate(values), np.concatenate(counts)
    order = np.argsort(value)
    below = np.concatenate([[0.0], np.cumsum((value * count)[order])])[::-1]
    above = np.concatenate([[0.0], np.cumsum(count[order][::-1])])
    tails: Floats = np.interp(np.arange(number + 1), above, below)
    return tails


def _coupling(spectra: list[Spectrum], number: int) -> Floats:
    """Return by how much the sum of the d largest eigenvalues may be too small, for d from 0 to `number`."""
    most = np.zeros(number + 1)
    for spectrum in spectra:
        of_block = np.concatenate([[0.0], spectrum.coupling])
        most += of_block[np.minimum(np.arange(number + 1), len(of_block) - 1)]
    return most


def spectrum_of(block: Any, effort: Effort, rng: np.random.Generator) -> Spectrum:
    """Return the eigenvalues of W·Wᵀ of a sparse block, or of Wᵀ·W if that is smaller."""
    block = (block if block.shape[0] <= block.shape[1] else block.T).tocsr()
    turned = block.T.tocsr()
    total, side = float(block.data @ block.data), block.shape[0]

    def apply(vectors: Floats) -> Floats:
        product: Floats = block @ (turned @ vectors)
        return product

    exact, basis, coupling = _largest(apply, side, total, effort, rng)
    steps = min(effort.steps, side - len(exact))
    fine, coarse = [], []
    for _ in range(effort.probes):
        diagonal, beside = _lanczos(apply, basis, rng.standard_normal(side), steps)
        fine.append(_quadrature(diagonal, beside))
        half = (len(diagonal) + 1) // 2
        coarse.append(_quadrature(diagonal[:half], beside[: half - 1]))
    rest = max(total - float(exact.sum()), 0.0)
    others = side - len(exact)
    return Spectrum(exact, coupling, _stacked(fine, others), _stacked(coarse, others), rest)


def _quadrature(diagonal: Floats, beside: Floats) -> tuple[Floats, Floats]:
    """Return the nodes and weights of a tridiagonal matrix of Lanczos."""
    from scipy.linalg import eigh_tridiagonal

    nodes, vectors = eigh_tridiagonal(diagonal, beside)
    return np.maximum(nodes, 0.0), vectors[0] ** 2


def _stacked(of_probes: list[tuple[Floats, Floats]], eigenvalues: int) -> Nodes:
    """Return nodes of several probes; one whose Lanczos ended early gets nodes that stand for nothing."""
    longest = max(len(nodes) for nodes, _ in of_probes)
    values, weights = (
        np.stack([np.pad(row, (0, longest - len(row))) for row in rows]) for rows in zip(*of_probes, strict=True)
    )
    return Nodes(values, weights * eigenvalues)


def _largest(
    apply: Any, side: int, total: float, effort: Effort, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Return the largest eigenvalues, their vectors, and how much too small the sums of the first of them may be.

    The true sum of the i largest exceeds that of the Ritz values and of the rest apart by no more than the sum of the
    singular values of A·Q − Q·Θ (Ky Fan), which is no more than the sum of the norms of its columns.
    """
    width = min(2 * effort.largest, side)
    basis = np.linalg.qr(rng.standard_normal((side, width)))[0]
    for _ in range(effort.iterations // 2):
        basis = np.linalg.qr(apply(apply(basis)))[0]
    images = apply(basis)
    values, rotation = np.linalg.eigh(basis.T @ images)
    first = np.argsort(-values)[: min(effort.largest, side - 1)]
    values, rotation = values[first], rotation[:, first]
    basis = basis @ rotation
    coupling = np.cumsum(np.linalg.norm(images @ rotation - basis * values, axis=0))
    accurate = int(np.searchsorted(coupling, MAX_COUPLING * total, side="right"))
    return values[:accurate], basis[:, :accurate], coupling[:accurate]


def _lanczos(apply: Any, basis: Floats, start: Floats, steps: int) -> tuple[Floats, Floats]:
    """Return diagonal and side of the matrix of Lanczos from a vector, all vectors orthogonal, to a basis too."""

    def project(vector: Floats) -> Floats:
        projected: Floats = vector - basis @ (basis.T @ vector)
        return projected

    vector = project(start)
    kept = np.empty((steps, len(start)))
    diagonal, beside = [], []
    kept[0] = vector / np.linalg.norm(vector)
    for step in range(steps):
        image = project(apply(kept[step]))
        diagonal.append(float(image @ kept[step]))
        for _ in range(2):  # twice is enough
            image = image - kept[: step + 1].T @ (kept[: step + 1] @ image)
        norm = float(np.linalg.norm(image))
        if step + 1 == steps or norm <= 1e-10 * max(diagonal):
            break
        beside.append(norm)
        kept[step + 1] = image / norm
    return np.asarray(diagonal), np.asarray(beside)
