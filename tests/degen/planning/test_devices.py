"""Times by hand from the table's rates, what --for refuses, and plans put together by model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from degen.errors import DegenError
from degen.planning.devices import parse_devices, rate_table
from degen.planning.work import Work
from degen.scanning.plan_summary import summarize_plan

WORK = Work(
    flops=1e15, value=2, parameters=10**9, width=1500, layers=24, vocab=50_000, head_width=1500, tokens=50_000,
    stored=2 * 10**9, batches=4,
)  # fmt: skip


def row(model: str, seconds: float, memory: float, **more: Any) -> dict[str, Any]:
    """Return a row of a planned checkpoint."""
    return {
        "model": model, "parameters": 10, "bytes": 1000, "flops": 1.0, "memory": memory, "seconds": seconds,
        "longest": "pass", "fits": True, "reason": None,
    } | more  # fmt: skip


def test_seconds_are_those_of_the_formulas() -> None:
    seconds = parse_devices("h100").rates.seconds(WORK)
    assert seconds["reading"] == pytest.approx(2.0)
    assert seconds["pass"] == pytest.approx(1e15 / (989e12 * 0.75 / 2))
    assert seconds["head"] == pytest.approx(4 * 50_000 * 1500**2 / (67e12 * 0.05))
    in_float32 = parse_devices("h100").rates.seconds(replace(WORK, value=4))
    assert in_float32["pass"] == pytest.approx(1e15 / (67e12 * 0.75 / 2))


def test_a_pass_takes_at_least_the_reads_of_its_weights() -> None:
    few = replace(WORK, flops=1.0)
    assert parse_devices("t4").rates.seconds(few)["pass"] == pytest.approx(4 * 1e9 * 2 / 320e9)


@pytest.mark.parametrize("field", ["flops", "stored", "parameters", "vocab", "batches"])
@pytest.mark.parametrize("device", ["h100", "here"])
def test_more_work_never_takes_less(device: str, field: str) -> None:
    rates = parse_devices(device).rates
    more = replace(WORK, **{field: 3 * getattr(WORK, field)})
    assert sum(rates.seconds(more).values()) >= sum(rates.seconds(WORK).values()) > 0


def test_every_device_of_the_table_has_sound_rates_and_a_source() -> None:
    for name, rates in rate_table()["devices"].items():
        assert rates["bf16"] > rates["fp32"] >= rates["fp64"] > 0 or name == "mi300x", name
        assert rates["memory"] < rates["bandwidth"]
        assert "data sheet" in rates["source"] or "white paper" in rates["source"]
        assert parse_devices(f"{name}:2").count == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("h1000", "--for h1000: no such device in the table; did you mean 'h100'"),
        ("h100:0", "the number of devices must be a whole number from 1 on, as in h100:8"),
        ("h100:", "must be a whole number"),
        ("h100:two", "must be a whole number"),
        ("here:2", "this machine is one"),
    ],
)
def test_what_names_no_device_is_refused(text: str, message: str) -> None:
    with pytest.raises(DegenError, match=message):
        parse_devices(text)


def test_hours_are_shared_by_the_devices_that_a_model_does_not_need() -> None:
    devices = parse_devices("h100:4")  # 80 GB each
    rows = [row("small", 3600, 1e9), row("small", 3600, 1e9), row("large", 7200, 100e9)]
    summary = summarize_plan(rows, devices)
    assert [(m["model"], m["checkpoints"], m["devices"], m["hours"]) for m in summary.models] == [
        ("small", 2, 1, 2.0),
        ("large", 1, 2, 2.0),
    ]
    assert summary.hours == pytest.approx(2 + 8 / 3600)  # of the longest checkpoint; (2 · 1 + 2 · 2) / 4 is less
    assert summarize_plan(rows * 3, devices).hours == pytest.approx(3 * 1.5 + 8 / 3600)
    assert summary.breaks[0].startswith("memory of one device: large does not fit")


def test_a_model_that_all_devices_do_not_hold_has_no_time_and_breaks_first() -> None:
    summary = summarize_plan([row("a", 60, 1e9), row("b", 60, 900e9)], parse_devices("h100:8"))
    assert summary.hours is None
    assert summary.breaks[0].startswith("memory: b takes 900 GB, more than 8 × h100; plan for 12 of them")


def test_bytes_that_take_longer_over_a_network_than_all_else_are_said() -> None:
    summary = summarize_plan([row("a", 10, 1e9, bytes=125 * 10**9)], parse_devices("h100"))
    assert summary.breaks == [summary.breaks[0]]
    assert summary.breaks[0].startswith("reading: 0.125 TB come over a network of 1 Gbit/s in 0.278 h")


def test_what_cannot_be_measured_is_in_the_plan_without_figures() -> None:
    broken = dict.fromkeys(("parameters", "bytes", "flops", "memory", "seconds", "longest", "fits"))
    summary = summarize_plan([{"model": "a", "reason": "no configuration", **broken}], parse_devices("h100"))
    assert summary.models[0]["hours"] is None
    assert (summary.hours, summary.breaks) == (None, [])
