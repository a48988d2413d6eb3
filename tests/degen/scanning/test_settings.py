"""Settings as Python callers give them and as the command line does."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import degen
from degen import DegenError
from degen.scanning.settings import make_settings


@pytest.mark.parametrize(
    ("probes", "names"),
    [
        ("loss", ("loss",)), ("loss,spectrum", ("loss", "spectrum")), (" loss , spectrum ", ("loss", "spectrum")),
        (["loss", "spectrum"], ("loss", "spectrum")), (("loss", " spectrum"), ("loss", "spectrum")), (None, None),
    ],
)  # fmt: skip
def test_probes_are_named_one_by_one_or_in_one_text(
    probes: str | Sequence[str] | None, names: tuple[str, ...] | None
) -> None:
    assert make_settings("m", probes=probes).probes == names


@pytest.mark.parametrize(("probes", "name"), [("loss,", ""), ("los,spectrum", "los"), ("", "")])
def test_a_name_in_such_a_text_that_is_none_is_refused(probes: str, name: str) -> None:
    with pytest.raises(DegenError, match=f"^no probe is called '{name}'; "):
        degen.scan(probes=probes)
