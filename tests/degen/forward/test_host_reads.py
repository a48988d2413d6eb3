"""Results that are read later, as on an accelerator, with a CPU in its place: no streams, the same order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from degen.errors import CheckpointError
from degen.forward import host_reads
from degen.forward.host_reads import HostReads

CPU = torch.device("cpu")


def test_results_come_in_order_and_behind_later_batches_with_their_shapes_and_dtypes() -> None:
    reads, seen = HostReads(CPU, later=True), []
    for batch in range(5):
        reads.add(lambda a, b, n=batch: seen.append((n, a, b)), [torch.full((2, 3), batch), torch.tensor(batch / 4)])
        reads.add(lambda a, n=batch: seen.append((n, a, None)), [torch.tensor([[True, False]])])
        assert len(seen) == 2 * max(batch - host_reads.BATCHES_AHEAD, 0)
        reads.end_batch()
    assert len(seen) == 2 * (5 - host_reads.BATCHES_AHEAD)
    reads.finish()
    assert [n for n, _, _ in seen] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    for n, a, b in seen:
        if b is None:
            np.testing.assert_array_equal(a, [[True, False]])
        else:
            np.testing.assert_array_equal(a, np.full((2, 3), n))
            assert (a.dtype, b.dtype, b.shape, float(b)) == (np.int64, np.float32, (), n / 4)


def test_results_of_a_cpu_come_at_once() -> None:
    reads, seen = HostReads(CPU), []
    reads.add(seen.append, [torch.arange(3)])
    assert [x.tolist() for x in seen] == [[0, 1, 2]]
    reads.meanwhile(lambda: seen.append("meanwhile"))
    reads.finish()
    assert len(seen) == 1


def test_a_result_is_what_it_was_when_it_was_asked_for_although_its_batch_goes_on() -> None:
    reads, seen, states = HostReads(CPU, later=True), [], torch.zeros(2)
    reads.add(seen.append, [states.clone()])
    states += 1
    reads.finish()
    assert seen[0].tolist() == [0, 0]


def test_what_is_done_meanwhile_is_done_once_and_before_the_results_are_read() -> None:
    reads, seen = HostReads(CPU, later=True), []
    reads.add(lambda *_: seen.append("read"), [torch.zeros(1)])
    reads.meanwhile(lambda: seen.append("meanwhile"))
    reads.end_batch()
    assert seen == ["meanwhile"]
    reads.finish()
    assert seen == ["meanwhile", "read"]


@pytest.mark.parametrize(("owner", "error", "message"), [
    ("mine", CheckpointError, "probe mine: ValueError: planted"), (None, ValueError, "planted"),
])  # fmt: skip
def test_an_error_in_a_read_names_the_probe_that_asked(owner: str | None, error: Any, message: str) -> None:
    def fail(_: Any) -> None:
        raise ValueError("planted")

    reads = HostReads(CPU, later=True)
    reads.owner = owner
    reads.add(fail, [torch.zeros(1)])
    reads.owner = "another"
    with pytest.raises(error, match=f"^{message}$"):
        reads.finish()
