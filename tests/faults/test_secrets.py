"""The user's token goes to the hub and nowhere else, whatever the hub sends back: no output, no file, no message."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.command import degen
from hub_scans import Scans, revisions
from hub_traffic import Fault

SECRET = "hf_" + "PLANTED" * 5  # made up


@pytest.mark.parametrize("code", [None, "GatedRepo", "RepoNotFound", "EntryNotFound"])
@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_a_hub_that_repeats_the_token_in_its_errors_does_not_spread_it(
    status: int, code: str | None, scans: Scans, series: Path, tmp_path: Path
) -> None:
    scans.add("org/tiny", revisions(series), token=SECRET)
    scans.token(SECRET)
    message = f"the token {SECRET} is not good for this"
    for request in ("/refs", "/tree/", "config.json", "model.safetensors"):
        fault = Fault(request, status=status, code=code, message=message, times=None)
        scans.hub.faults[:] = [fault]
        run = tmp_path / f"run-{request.strip('/').replace('/', '-')}"
        result = degen("scan", "org/tiny@step*", "--probes", "spectrum", "--threads", "1", "-o", run, "--json")
        assert result.code in (2, 4)
        assert "Traceback" not in result.err
        assert "PLANTED" not in result.out + result.err
    assert SECRET in {request.token for request in scans.hub.requests}
    written = [file for file in tmp_path.rglob("*") if file.is_file() and b"PLANTED" in file.read_bytes()]
    assert written == []


def test_a_scan_that_succeeds_writes_no_token(scans: Scans, series: Path, tmp_path: Path) -> None:
    scans.add("org/tiny", revisions(series), token=SECRET)
    scans.token(SECRET)
    scans.heads("org/tiny@step*")
    assert SECRET in {request.token for request in scans.hub.requests}
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"PLANTED" in file.read_bytes()]
