"""Audit the pins of constraints.txt: each known vulnerability is a line, and exit code 1.

Where the service of vulnerabilities cannot be reached, a line says so, and nothing fails. Further words go to
pip-audit:

python .ci/audit.py [FILE] [--ignore-vuln ID] [--vulnerability-service osv]
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# how pip-audit ends without a service: refused, not resolved, too slow, out of order, or behind a proxy that forbids it
UNREACHABLE = re.compile(
    r"^.*(Could not connect to|exceptions\.(?:ConnectionError|ConnectTimeout|ReadTimeout|SSLError|ProxyError)|"
    r"HTTPError: (?:5\d\d|40[137]|429)|is not redirecting).*$",
    re.MULTILINE,
)


def audit(pins: Path, words: Sequence[str] = ()) -> int:
    """Audit a file of pins, print what was found, and return the exit code.

    Args:
        pins: requirements, each with its one version.
        words: options of pip-audit.
    """
    command = [
        sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--no-deps", "--disable-pip", "--format=json",
        "--progress-spinner=off", "--timeout=30", *words,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        if reason := UNREACHABLE.search(done.stderr):
            print(f"audit: skipped, the service of vulnerabilities cannot be reached ({reason[0].strip()[:200]})")
            return 0
        print(f"audit: pip-audit ends with {done.returncode}\n{done.stderr}", file=sys.stderr)
        return 2
    return report(packages)


def report(packages: Sequence[Mapping[str, Any]]) -> int:
    """Print what the service knows of some packages, and return the exit code.

    Args:
        packages: as pip-audit gives them, each with its vulnerabilities, or with the reason why it was skipped.
    """
    found = [(package, known) for package in packages for known in package.get("vulns", ())]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if packages and len(unknown) == len(packages):  # as a mirror does that has packages alone
        print(f"audit: skipped, the service knows none of the {len(packages)} packages")
        return 0
    for package, known in found:
        fixed = ", ".join(known["fix_versions"]) or "no version"
        print(f"audit: {package['name']} {package['version']}: {known['id']}, fixed by {fixed}")
    print(f"audit: {len(packages) - len(unknown)} packages, {len(found)} known vulnerabilities")
    if unknown:
        print(f"audit: the service does not know {', '.join(unknown)}")
    return 1 if found else 0


if __name__ == "__main__":
    named = [word for word in sys.argv[1:2] if not word.startswith("-")]
    sys.exit(audit(Path(named[0]) if named else ROOT / "constraints.txt", sys.argv[1 + len(named) :]))
