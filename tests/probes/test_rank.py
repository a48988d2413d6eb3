from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from degen.probes.rank import Rank

import degen
from degen.errors import CheckpointError, DegenError
from degen.text.windows import Sample, Window


def make_sample(documents: list[int]) -> Sample:
    windows = [Window(i, d, None, 0, 30, np.arange(16, dtype=np.int32)) for i, d in enumerate(documents)]
    return Sample("t", tuple(windows))


def test_halves_are_of_whole_documents_and_nearly_equal() -> None:
    sample = make_sample([5, 5, 7, 1, 1, 1, 9, 2])
    first = sample.in_fit_half
    assert len({(w.document, bool(f)) for w, f in zip(sample.windows, first, strict=True)}) == 5
    assert 3 <= first.sum() <= 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ("magic",)}, "--method magic"),
        ({"ranks": ()}, "--ranks"),
        ({"ranks": (0, 3)}, "--ranks"),
        ({"ranks": "64"}, "--ranks"),
        ({"ranks": [8.5]}, "--ranks"),
        ({"training": {"init": "zeros"}}, "--init zeros"),
        ({"training": {"windows": 0}}, "windows must be 1 or more, not 0"),
        ({"training": {"window": 3}}, "no option 'window'"),
        ({"methods": ()}, "--method"),
        ({"within": 0.0}, "--within 0"),
        ({"within": "little"}, "--within little"),
        ({"training": 5}, "training of probe rank: 5"),
        ({"methods": "magic"}, "--method magic"),
        ({"ranks": 0}, "--ranks"),
        ({"colour": "blue"}, "no option 'colour'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DegenError, match=message):
        Rank.check(options)


def test_one_rank_and_one_method_are_lists_of_one() -> None:
    Rank.check({"ranks": 64, "methods": "svd"})
    one, list_of_one = (Rank(make_sample([1, 2]), **options) for options in (
        {"ranks": 64, "methods": "svd"}, {"ranks": [64], "methods": ["svd"]},
    ))  # fmt: skip
    assert (one._options_ranks, one._methods) == (list_of_one._options_ranks, list_of_one._methods) == ([64], ("svd",))


def test_one_document_cannot_be_halved() -> None:
    with pytest.raises(CheckpointError, match="two documents"):
        Rank(make_sample([3, 3]))


def test_each_of_two_methods_has_the_losses_that_it_has_alone(series: Path, corpus: Path, tmp_path: Path) -> None:
    def losses(*methods: str) -> dict[tuple[str, int], float]:
        run = degen.scan(
            series / "step100", corpus=corpus, out=tmp_path / "-".join(methods), tokens=512, context=32, threads=1,
            probes=("loss", "rank"), options={"rank": {"ranks": [2, 8], "methods": list(methods)}},
        )  # fmt: skip
        return {(row["method"], row["rank"]): row["loss"] for row in run.table("ranks").to_pylist()}

    both = losses("svd", "whitened")
    assert both == pytest.approx(losses("svd") | losses("whitened"), rel=1e-12)
    assert len(set(both.values())) == 4
