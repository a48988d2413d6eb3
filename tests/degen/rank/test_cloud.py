"""The rows nearest to the mean and those furthest in a direction, against all of them in float64."""

from __future__ import annotations

import numpy as np
import pytest
from head_matrices import head_of, normal

from degen.arrays import Floats
from degen.rank.cloud import Block, Cloud, best_others, cloud_of, nearest

ROWS = 9000  # three blocks


def heads() -> dict[str, tuple[Floats, Floats | None]]:
    """Return rows and biases: some that float32 tells apart, and some that it does not."""
    rng, plain = np.random.default_rng(0), normal((ROWS, 12), 0, 3.0)
    shell = plain / np.linalg.norm(plain, axis=1, keepdims=True)
    return {
        "plain": (plain, None),
        "with a bias": (plain, 5 * rng.normal(size=ROWS)),
        "lengths equal but for the twelfth digit": (shell * (1 + 1e-12 * rng.normal(size=(ROWS, 1))), None),
        "few rows of different numbers": (plain[rng.integers(40, size=ROWS)], None),
        "one direction of a millionth of the others": (plain * ([1.0] * 11 + [1e-6]), None),
        "a mean a million times as long": (plain + 1e6, None),
        "as long as no square in float32": (1e25 * plain, None),
        "as short as no square in float32": (1e-30 * plain, None),
        "longer than float32": (1e60 * plain, None),
        "zeros behind the first rows": (np.where(np.arange(ROWS)[:, None] < 300, plain, 0.0), None),
    }


def of(name: str) -> tuple[Cloud, Floats, Floats]:
    """Return a cloud, all its a, and all its z."""
    W, bias = heads()[name]
    cloud = cloud_of(head_of(W, bias))
    assert cloud is not None
    a = W if bias is None else np.concatenate([W, bias[:, None]], axis=1)
    return cloud, a, (a - cloud.mean) @ cloud.whiten


@pytest.mark.parametrize("name", heads())
@pytest.mark.parametrize("count", [1, 256, 5000, 20_000])
def test_the_nearest_rows_are_those_of_all_distances_in_float64(name: str, count: int) -> None:
    cloud, a, z = of(name)
    W, _ = heads()[name]
    centred = W - W.mean(axis=0)
    kept = cloud.whiten.shape[1] - cloud.bias
    distances = np.linalg.norm(z[:, :kept], axis=1)
    if name in ("plain", "with a bias"):
        expected = np.einsum(
            "nk,nk->n",
            centred
            @ np.linalg.pinv(
                centred.T @ centred / ROWS,
            ),
            centred,
        )
        np.testing.assert_allclose(distances**2, expected, rtol=1e-9)
    found = nearest(cloud, count)
    assert len(found.rows) == len(set(found.rows.tolist())) == min(count, ROWS)
    np.testing.assert_array_equal(found.stored, a[found.rows])
    np.testing.assert_allclose(found.points, z[found.rows], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.distances, np.sort(distances)[:count], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.distances, distances[found.rows], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", heads())
def test_the_furthest_other_row_of_a_direction_is_that_of_all_products_in_float64(name: str) -> None:
    cloud, a, z = of(name)
    rng = np.random.default_rng(1)
    rows = np.concatenate([np.arange(20), rng.integers(ROWS, size=60)])
    directions = np.concatenate([z[rows[:40]], rng.normal(size=(40, z.shape[1]))])
    directions[0] = 1e-12 * directions[0]
    scores = a @ (cloud.whiten @ directions.T)
    scores[rows, np.arange(len(rows))] = -np.inf
    found = best_others(cloud, rows, directions)
    reached = np.einsum("nk,nk->n", found @ cloud.whiten, directions)
    best = scores.max(axis=0)
    np.testing.assert_allclose(reached, best, rtol=1e-11, atol=1e-11 * np.abs(a).max())
    assert all((a == row).all(axis=1).any() for row in found)


def test_rows_that_differ_in_the_tenth_digit_are_told_apart() -> None:
    """In one direction all lie equally far by float32; which is the furthest is drawn."""
    rng = np.random.default_rng(3)
    W = normal((ROWS, 4), 5)
    W[:, 0] = 3 + 1e-10 * rng.permutation(ROWS)
    cloud = cloud_of(head_of(W))
    assert cloud is not None
    x = np.linalg.lstsq(cloud.whiten, np.eye(4)[0], rcond=None)[0]
    order = np.argsort(-W[:, 0])
    found = best_others(cloud, np.array([order[0], order[5]]), np.stack([x, x]))
    np.testing.assert_array_equal(found, W[[order[1], order[0]]])


class Counted(Block):
    """A block that counts the rows that are looked at in float64."""

    looked_at = 0

    def exact(self, at: np.ndarray | None = None) -> Floats:
        Counted.looked_at += len(self) if at is None else len(at)
        return super().exact(at)


class CountedCloud(Cloud):
    def blocks(self):  # type: ignore[no-untyped-def]
        return (Counted(block.first, block.stored, block.bias) for block in super().blocks())


def test_few_rows_of_a_plain_head_are_looked_at_in_float64() -> None:
    cloud, _, z = of("plain")
    counted = CountedCloud(cloud.head, cloud.mean, cloud.whiten, cloud.biases)
    Counted.looked_at = 0
    nearest(counted, 50)
    assert Counted.looked_at < 300
    Counted.looked_at = 0
    best_others(counted, np.arange(50), z[:50])
    assert Counted.looked_at < 300
