"""The check `packages`: which versions are installed, whether degen allows them, and whether they can be imported."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TYPE_CHECKING

from degen.errors import one_line
from degen.version import __version__

from .check import CheckResult

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

DISTRIBUTION = "degen-lm"
# distribution -> the module that is imported of it, where the names differ
MODULES = {"huggingface-hub": "huggingface_hub"}
# each after those that it imports
IMPORTED = ("numpy", "pyarrow", "scipy", "safetensors", "huggingface-hub", "torch", "transformers")
INSTALL_TORCH = "https://pytorch.org/get-started/locally"


def check_python() -> CheckResult:
    """Return the versions of degen, of Python and of the system."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    facts = {
        "degen": __version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": system,
        "prefix": sys.prefix,
    }
    finding = f"degen {__version__}, {facts['implementation']} {facts['python']}, {system}"
    return CheckResult("python", "ok", finding, facts=facts)


def check_packages() -> CheckResult:
    """Return the versions of the packages that degen needs, failed where one is absent or not of an allowed version."""
    versions: dict[str, str | None] = {}
    wrong: list[str] = []
    for name, allowed in _requirements():
        try:
            number = versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
            wrong.append(f"{name} is not installed")
            continue
        if not allowed.contains(number, prereleases=True):
            wrong.append(f"{name} is {number}, and degen needs {allowed}")
    listed = ", ".join(f"{name} {number}" for name, number in versions.items() if number is not None)
    if not wrong:
        return CheckResult("packages", "ok", listed, facts=versions)
    advice = f"install them anew, as in: {sys.executable} -m pip install --upgrade {DISTRIBUTION}"
    return CheckResult("packages", "failed", "; ".join(wrong), advice, versions)


def _requirements() -> Iterator[tuple[str, SpecifierSet]]:
    """Yield name and allowed versions of each package that degen cannot do without.

    Raises:
        PackageNotFoundError: degen is not installed, but run from a copy of its files.
    """
    from packaging.requirements import Requirement

    for text in requires(DISTRIBUTION) or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name.lower().replace("_", "-"), requirement.specifier


def check_imports() -> CheckResult:
    """Return whether the large packages can be imported, failed with the reason of each that cannot."""
    reasons: dict[str, str] = {}
    for name in IMPORTED:
        try:
            import_module(MODULES.get(name, name))
        except (Exception, SystemExit) as error:
            reasons[name] = one_line(error)
    if not reasons:
        return CheckResult("imports", "ok", ", ".join(IMPORTED), facts={"failed": {}})
    finding = "; ".join(f"{name} cannot be imported ({reason})" for name, reason in reasons.items())
    # those that import another one fail for its reason; the list begins with those that import no other
    causes = list({reason: name for name, reason in reversed(reasons.items())}.values())[::-1]
    advice = f"install again what is broken: {sys.executable} -m pip install --force-reinstall {' '.join(causes)}"
    if "torch" in causes:
        advice += f"; the torch that suits your machine is named on {INSTALL_TORCH}"
    return CheckResult("imports", "failed", finding, advice, {"failed": reasons})
