"""What the doctor tells of a device that says less of itself than a CUDA card."""

from __future__ import annotations

import torch

from degen.doctor.devices import _name_and_memory


def test_a_device_that_tells_nothing_of_itself_goes_by_its_kind() -> None:
    assert _name_and_memory(torch.device("mps")) == ("mps", None)


def test_a_cpu_is_named_by_its_cores() -> None:
    name, memory = _name_and_memory(torch.device("cpu"))
    assert name.endswith(" CPU cores")
    assert int(name.split()[0]) > 0
    assert memory is None
