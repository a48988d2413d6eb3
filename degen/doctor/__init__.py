"""`degen doctor`: does this installation work, and what to do where it does not.

No large package is imported before the check that is about it.

Imports scanning and what lies below it.
"""

from .check import CheckResult
from .examine import examine

__all__ = ["CheckResult", "examine"]
