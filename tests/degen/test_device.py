"""Floats of a device: TF32 is off while a model is measured, and as it was afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from degen.probes.anisotropy import Anisotropy

import degen
from degen.device import (
    as_float64,
    copied_ahead,
    count_cards,
    exact_float32,
    factor_device,
    has_float64,
    product_in_float32,
)


def allowed() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(params=[(False, True), (True, True), (False, False)])
def before(request: pytest.FixtureRequest) -> Iterator[tuple[bool, bool]]:
    """Yield the switches as they were set before a measurement, by a user or by torch."""
    default = allowed()
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = request.param
    yield request.param
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = default


def test_tf32_is_off_inside_and_as_it_was_afterwards(before: tuple[bool, bool]) -> None:
    with exact_float32():
        assert allowed() == (False, False)
    assert allowed() == before


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="a torch without precision by operation")
def test_precision_that_was_set_by_operation_is_kept() -> None:
    """The older switches cannot be read then, and a training that set it so must go on."""
    kinds: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    default = [kind.fp32_precision for kind in kinds]
    try:
        for kind, precision in zip(kinds, ("tf32", "ieee", "tf32"), strict=True):
            kind.fp32_precision = precision
        with pytest.raises(RuntimeError):
            allowed()
        with exact_float32():
            assert [kind.fp32_precision for kind in kinds] == ["ieee"] * 3
        assert [kind.fp32_precision for kind in kinds] == ["tf32", "ieee", "tf32"]
    finally:
        for kind, precision in zip(kinds, default, strict=True):
            kind.fp32_precision = precision


def test_tf32_is_as_it_was_after_an_error(before: tuple[bool, bool]) -> None:
    with pytest.raises(ValueError, match="planted"), exact_float32():
        raise ValueError("planted")
    assert allowed() == before


def test_a_scan_runs_models_without_tf32(before: tuple[bool, bool], series: Path, corpus: Path, tmp_path: Path) -> None:
    seen = set()

    def update(*_: object) -> None:
        seen.add(allowed())

    with (
        mock.patch.object(Anisotropy, "update_states", update),
        mock.patch.object(Anisotropy, "finish", return_value={}),
    ):
        degen.scan(series / "step0", corpus=corpus, tokens=300, context=64, probes="anisotropy", out=tmp_path / "run")
    assert seen == {(False, False)}
    assert allowed() == before


def test_matrices_are_factored_on_accelerators_that_have_float64() -> None:
    cpu, cuda, mps = (torch.device(name) for name in ("cpu", "cuda", "mps"))
    assert [has_float64(device) for device in (cpu, cuda, mps)] == [True, True, False]
    assert [factor_device(device) for device in (cpu, cuda, mps)] == [None, cuda, None]


def test_a_cpu_is_no_card_and_other_devices_are_counted_as_torch_does() -> None:
    assert count_cards(torch.device("cpu")) == 0
    assert count_cards(torch.device("cuda", 1)) == torch.cuda.device_count()


def test_products_of_bfloat16_are_summed_and_kept_in_float32() -> None:
    A, B = torch.randn(3, 2, 50).bfloat16(), torch.randn(3, 50, 7).bfloat16()
    product = product_in_float32(A, B)
    assert product.dtype == torch.float32
    assert torch.allclose(product.double(), A.double() @ B.double(), rtol=0, atol=1e-5)


def test_copies_are_what_they_are_copies_of() -> None:
    tensor = torch.arange(6).view(2, 3)
    assert torch.equal(copied_ahead(tensor, torch.device("cpu")), tensor)
    wide = as_float64(tensor)
    assert (wide.dtype, wide.tolist()) == (torch.float64, tensor.tolist())
