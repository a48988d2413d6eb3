"""Hints for names that are not there."""

from __future__ import annotations

from degen.hints import closest, did_you_mean


def test_the_closest_name_is_suggested_whatever_its_case() -> None:
    assert did_you_mean("LOS", ["Loss", "acc"]) == "did you mean 'Loss'?"
    assert closest("LOS", ["acc", "Loss"]) == "Loss"
    assert closest("~", ["acc", "Loss"]) is None


def test_a_hint_lists_up_to_twelve_names() -> None:
    assert did_you_mean("x", []) == "there are none"
    assert did_you_mean("~", ["a", "b", "a"]) == "there are a, b"
    assert did_you_mean("~", [f"name{i}" for i in range(20)]).endswith("name11 and 8 more")
