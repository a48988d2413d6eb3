"""The check `self-test`: the last checkpoints of the demo are scanned, and their figures compared with stored ones.

`store_figures` stores them anew, where a formula or the demo has changed on purpose.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .check import CheckResult, worst

if TYPE_CHECKING:
    import torch

FIGURES = "figures.json"
SETTINGS: dict[str, Any] = {"steps": "3000", "tokens": 4096, "context": 128, "seed": 0, "dtype": "float32"}
# Relative differences allowed. Losses and states pass through float32, whose sums depend on the order in which a
# processor adds; singular values are of the stored weights, in float64.
TOLERANCES = {
    "loss": 1e-5,
    "bits_per_byte": 1e-5,
    "anisotropy": 1e-4,
    "singular_entropy": 1e-9,
    "effective_rank": 1e-9,
    "top_singular_share": 1e-9,
    "tokens_scored": 0.0,
}
KEYS = ("model", "step")


def check_self_test() -> CheckResult:
    """Return whether the demo's figures are as stored: on the CPU, and on the accelerator where there is one."""
    import torch

    from degen.model.loading import choose_device

    devices = list(dict.fromkeys((torch.device("cpu"), choose_device("auto"))))
    stored = stored_figures()
    results = [_on_device(device, stored) for device in devices]
    statuses = [result.status for result in results]
    advice = next((result.advice for result in results if result.advice), "")
    facts = {"settings": SETTINGS, "devices": [result.facts for result in results]}
    finding = "; ".join(result.finding for result in results)
    return CheckResult("self-test", worst(statuses), finding, advice, facts)


def _on_device(device: torch.device, stored: Sequence[Mapping[str, Any]]) -> CheckResult:
    start = time.perf_counter()
    rows = measure(device.type)
    seconds = time.perf_counter() - start
    wrong, largest = compare(rows, stored)
    facts = {"device": device.type, "largest_difference": largest, "wrong": wrong, "seconds": round(seconds, 1)}
    count = len(stored) * len(TOLERANCES)
    if not wrong:
        finding = f"{device.type}: {count} figures of the demo as stored, within {largest:.0e}, in {seconds:.0f} s"
        return CheckResult("self-test", "ok", finding, facts=facts)
    shown = "; ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
    advice = "report it with this output; until it is mended, trust no figure that is measured on this device"
    finding = f"{device.type}: {len(wrong)} of {count} figures of the demo differ from those stored: {shown}"
    return CheckResult("self-test", "failed", finding, advice, facts)


def measure(device: str) -> list[dict[str, Any]]:
    """Return the figures of the last checkpoint of each series of the demo, measured into a temporary folder.

    Args:
        device: as torch names it.

    Raises:
        DegenError: the demo cannot be scanned.
    """
    from degen.errors import DegenError
    from degen.scanning.scan import scan

    with tempfile.TemporaryDirectory(prefix="degen-self-test-") as folder:
        run = scan(out=Path(folder) / "run", device=device, threads=1, **SETTINGS)
        for row in run.failed:
            raise DegenError(f"{row['model']} {row['revision']}: {row['reason']}")
        return [{name: row[name] for name in (*KEYS, *TOLERANCES)} for row in run.checkpoints()]


def compare(rows: Sequence[Mapping[str, Any]], stored: Sequence[Mapping[str, Any]]) -> tuple[list[str], float]:
    """Return the figures that differ by more than is allowed, as texts, and the largest relative difference.

    Args:
        rows: as measured.
        stored: as they should be.
    """
    measured = {tuple(row[key] for key in KEYS): row for row in rows}
    wrong, largest = [], 0.0
    for right in stored:
        row = measured.get(tuple(right[key] for key in KEYS), {})
        for name, tolerance in TOLERANCES.items():
            value = row.get(name)
            difference = abs(value - right[name]) / abs(right[name]) if value is not None else float("inf")
            largest = max(largest, difference)
            if not difference <= tolerance:  # NaN, too, is wrong
                wrong.append(f"{right['model']}, step {right['step']}: {name} is {value}, not {right[name]}")
    return wrong, largest


def stored_figures() -> list[dict[str, Any]]:
    """Return the figures that ship with the package: rows with model, step and the metrics of `TOLERANCES`."""
    rows: list[dict[str, Any]] = json.loads(files("degen.doctor").joinpath(FIGURES).read_text(encoding="utf-8"))
    return rows


def store_figures() -> None:
    """Measure the figures on the CPU, and store them in place of those that ship with the package."""
    Path(__file__).with_name(FIGURES).write_text(json.dumps(measure("cpu"), indent=1) + "\n", encoding="utf-8")
