"""The audit of the pins: what the service knows fails it, and a service that is not there does not."""

from __future__ import annotations

import json
import runpy
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".ci" / "audit.py"
KNOWN = {
    "id": "GHSA-aaaa-bbbb-cccc", "summary": "a fault", "aliases": [], "modified": "2026-01-01T00:00:00Z",
    "affected": [{
        "package": {"name": "numpy", "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
    }],
}  # fmt: skip


@contextmanager
def service(status: int = 200) -> Iterator[str]:
    """Yield the URL of a service in the protocol of OSV that knows of one vulnerability, in NumPy."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked: Any = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps({"vulns": [KNOWN]} if asked["package"]["name"] == "numpy" else {}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def audit(pins: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Audit pins with the service at a URL."""
    asked = ("--vulnerability-service", "osv", "--osv-url", url, "--cache-dir", str(pins.parent / "cache"))
    return subprocess.run([sys.executable, SCRIPT, pins, *asked, *words], capture_output=True, text=True, check=False)


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    """Return pins of two packages."""
    (tmp_path / "pins.txt").write_text("numpy==2.0.0\nrich==14.0.0\n")
    return tmp_path / "pins.txt"


@pytest.mark.extras
def test_a_known_vulnerability_is_named_and_fails(pins: Path) -> None:
    with service() as url:
        done = audit(pins, url)
        assert done.returncode == 1, done.stderr
        assert done.stdout.splitlines() == [
            "audit: numpy 2.0.0: GHSA-aaaa-bbbb-cccc, fixed by 99.0", "audit: 2 packages, 1 known vulnerabilities"
        ]  # fmt: skip
        assert audit(pins, url, "--ignore-vuln", KNOWN["id"]).returncode == 0


@pytest.mark.extras
def test_pins_without_one_pass(tmp_path: Path) -> None:
    (tmp_path / "pins.txt").write_text("rich==14.0.0\n")
    with service() as url:
        done = audit(tmp_path / "pins.txt", url)
    assert (done.returncode, done.stdout) == (0, "audit: 1 packages, 0 known vulnerabilities\n"), done.stderr


@pytest.mark.extras
@pytest.mark.parametrize("fault", ["refused", "out of order"])
def test_a_service_that_cannot_be_reached_is_said_and_fails_nothing(pins: Path, fault: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        if fault == "refused":
            done = audit(pins, f"http://127.0.0.1:{taken.getsockname()[1]}/")
        else:
            with service(503) as url:
                done = audit(pins, url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("audit: skipped, the service of vulnerabilities cannot be reached (")
    assert done.stdout.count("\n") == 1


@pytest.mark.extras
def test_pins_that_are_none_are_an_error_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "pins.txt").write_text("numpy>=2\n")
    with service() as url:
        done = audit(tmp_path / "pins.txt", url)
    assert done.returncode == 2
    assert "numpy" in done.stderr


@pytest.mark.parametrize(
    ("line", "skipped"),
    [
        ("ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed", True),
        ("requests.exceptions.ConnectionError: HTTPSConnectionPool(host='pypi.org', port=443): Max retries", True),
        ("requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: https://pypi.org", True),
        ("requests.exceptions.HTTPError: 403 Client Error: Forbidden for url: https://pypi.org", True),
        ("requests.exceptions.HTTPError: 400 Client Error: Bad Request for url: https://api.osv.dev", False),
        ("ModuleNotFoundError: No module named 'pip_audit'", False),
    ],
)
def test_what_counts_as_out_of_reach(line: str, skipped: bool) -> None:
    pattern = runpy.run_path(str(SCRIPT))["UNREACHABLE"]
    assert bool(pattern.search(f"Traceback (most recent call last):\n{line}\n")) == skipped


def test_a_service_that_knows_no_package_has_audited_none(capsys: pytest.CaptureFixture[str]) -> None:
    report = runpy.run_path(str(SCRIPT))["report"]
    unknown = [{"name": name, "skip_reason": "not found"} for name in ("a", "b")]
    known = {"name": "c", "version": "1.0", "vulns": [{"id": "GHSA-x", "fix_versions": []}]}
    sound = {"name": "d", "version": "1.0", "vulns": []}
    assert [report(packages) for packages in (unknown, [*unknown, sound], [known, sound])] == [0, 0, 1]
    assert capsys.readouterr().out.splitlines() == [
        "audit: skipped, the service knows none of the 2 packages",
        "audit: 1 packages, 0 known vulnerabilities",
        "audit: the service does not know a, b",
        "audit: c 1.0: GHSA-x, fixed by no version",
        "audit: 2 packages, 1 known vulnerabilities",
    ]
