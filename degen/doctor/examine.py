"""Every check of `degen doctor`: each outcome is there as soon as it is known, and no error stops the rest."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from .check import CheckResult, run_check
from .devices import check_devices
from .hub import check_hub
from .packages import DISTRIBUTION, check_imports, check_packages, check_python
from .redact import redact
from .self_test import check_self_test
from .storage import check_cache, check_temporary, check_working_folder


class Check(NamedTuple):
    """A check before it is run.

    Attributes:
        name: of the check.
        run: the check itself.
        advice: what to do where it raises an error.
        needs: checks that must not have failed.
    """

    name: str
    run: Callable[[], CheckResult]
    advice: str
    needs: tuple[str, ...] = ()


_REINSTALL = f"install degen again: pip install --force-reinstall --no-deps {DISTRIBUTION}"
_REPORT = "please report it with this output; DEGEN_DEBUG=1 degen scan --tokens 1000 -o /tmp/degen-test shows more"
CHECKS = (
    Check("python", check_python, _REINSTALL),
    Check("packages", check_packages, _REINSTALL),
    Check("imports", check_imports, _REINSTALL),
    Check("working folder", check_working_folder, "change to a folder that exists and can be read"),
    Check("temporary files", check_temporary, "name another folder in TMPDIR"),
    Check("cache", check_cache, "check the folder that HF_HOME or HF_HUB_CACHE names, and its permissions"),
    Check("hub", check_hub, "check the variables HF_ENDPOINT and HF_HOME, and the file of the token"),
    Check("devices", check_devices, "install torch again, as it suits your machine", ("imports",)),
    Check("self-test", check_self_test, _REPORT, ("imports", "temporary files", "devices")),
)


def examine(self_test: bool = True) -> Iterator[CheckResult]:
    """Yield the outcome of each check, without secrets.

    Args:
        self_test: whether the demo is scanned, which takes some seconds.
    """
    failed: set[str] = set()
    for check in CHECKS:
        if check.name == "self-test" and not self_test:
            continue
        missing = [name for name in check.needs if name in failed]
        if missing:
            result = CheckResult(check.name, "skipped", f"not run, as {' and '.join(missing)} failed")
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of other packages; a report is not the place for them
                result = run_check(check.name, check.run, check.advice)
        if result.status in ("failed", "skipped"):
            failed.add(check.name)
        yield replace(result, finding=redact(result.finding), advice=redact(result.advice), facts=redact(result.facts))
