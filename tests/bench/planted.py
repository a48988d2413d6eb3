"""Run `bench/accelerator.py --tiny` again and again in one process, each time with another fault in what it checks.

python planted.py SCRIPT FOLDER
"""

from __future__ import annotations

import contextlib
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from degen.probes.anisotropy import Anisotropy
from degen.probes.loss import Loss

import degen
from degen.callbacks import Monitor
from degen.forward.cross_entropy import nested_token_losses, token_losses
from degen.model.logit_transform import LogitTransform
from degen.probe import Batch

Fault = Callable[[], Any]

GPT2 = ["--only", "right.models", "--models", "gpt2", "--dtypes", "float32"]


@contextlib.contextmanager
def all_of(*patches: Any) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        yield


def losses_too_high() -> Any:
    return mock.patch("degen.forward.run_pass.token_losses", lambda *args: token_losses(*args) + 1e-4)


def padding_is_counted() -> Any:
    update = Anisotropy.update_states

    def wrong(self: Any, batch: Any, site: Any, states: Any) -> None:
        update(self, Batch(batch.ids, None, batch.windows, batch.documents), site, states)

    return mock.patch.object(Anisotropy, "update_states", wrong)


def gram_matrix() -> Any:
    """Compute the singular values from WᵀW in float32, which loses the small ones."""

    def wrong(blocks: Any) -> Any:
        return torch.linalg.cholesky(sum(block.float().T @ block.float() for block in blocks), upper=True).double()

    return mock.patch("degen.probes.spectrum.head_triangle", wrong)


def head_without_its_scale() -> Any:
    return mock.patch("degen.forward.fit_transform.fit_transform", return_value=(LogitTransform(), False))


def large_batches_count_twice() -> Any:
    """Add to losses in batches of more than two windows alone: those of the device."""
    update = Loss.update_losses

    def wrong(self: Any, batch: Any, losses: Any, scored: Any) -> None:
        update(self, batch, losses + (1e-3 if len(batch.windows) > 2 else 0.0), scored)

    return mock.patch.object(Loss, "update_losses", wrong)


def every_call_differs() -> Any:
    """Make figures depend on how much was measured before them."""
    calls = iter(range(10**9))

    def wrong(*args: Any) -> Any:
        return token_losses(*args) + 1e-9 * next(calls) * torch.ones(())

    return mock.patch("degen.forward.run_pass.token_losses", wrong)


def many_tokens_differ() -> Any:
    """Make restricted heads wrong in large batches."""

    def wrong(c: Any, *args: Any) -> Any:
        return nested_token_losses(c, *args) + (1e-3 if len(c) > 256 else 0.0)

    return all_of(
        mock.patch("degen.rank.closed_form.nested_token_losses", wrong),
        mock.patch("degen.rank.trained_head.nested_token_losses", wrong),
    )


def measuring_draws() -> Any:
    measure = Monitor.measure

    def wrong(self: Any, model: Any) -> Any:
        torch.rand(1)
        return measure(self, model)

    return mock.patch.object(Monitor, "measure", wrong)


def out_of_memory_is_not_recognised() -> Any:
    """Take a failed allocation for any other error."""
    return mock.patch("degen.device.is_out_of_memory", return_value=False)


def nothing_scans() -> Any:
    return mock.patch.object(degen, "scan", mock.Mock(side_effect=RuntimeError("planted")))


FAULTS: dict[str, tuple[Fault, list[str]]] = {
    "loss": (losses_too_high, GPT2),
    "anisotropy": (padding_is_counted, GPT2),
    "singular values": (gram_matrix, GPT2),
    "head": (head_without_its_scale, ["--only", "right.models", "--models", "granite,llama", "--dtypes", "float32"]),
    "demo": (large_batches_count_twice, ["--only", "right.demo"]),
    "continued": (every_call_differs, ["--only", "right.continued"]),
    "rank": (many_tokens_differ, ["--only", "right.rank"]),
    "callback": (measuring_draws, ["--only", "right.callback"]),
    "memory": (out_of_memory_is_not_recognised, ["--only", "memory.halving"]),
    "scan": (nothing_scans, ["--only", "right.demo,head"]),
    "time": (contextlib.nullcontext, ["--seconds", "0"]),
}


def main() -> None:
    script, folder = Path(sys.argv[1]), Path(sys.argv[2])
    sys.path.insert(0, str(script.parent))
    for name, (fault, arguments) in FAULTS.items():
        sys.argv = [str(script), "--tiny", "--seconds", "3000", *arguments, "-o", str(folder / f"{name}.json")]
        code: Any = None
        with fault():
            try:
                runpy.run_path(str(script), run_name="__main__")
            except SystemExit as stop:
                code = stop.code
        (folder / f"{name}.exit").write_text(str(code))


if __name__ == "__main__":
    main()
