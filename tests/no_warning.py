"""A receiver of warnings for code that must not warn."""

from __future__ import annotations


def no_warning(line: str) -> None:
    """Fail a test that expects no warning."""
    raise AssertionError(f"an unexpected warning: {line}")
