"""Judge rules on the metrics of a run or a table.

from degen.gate import judge, parse_rule
verdicts = judge([parse_rule("anisotropy[layer=last] < 0.6")], "degen-run")
verdicts.exit_code      # 0, or 1, 3, 4

Imports metrics and what lies below it.
"""

from .judge import Outcome, Verdicts, judge
from .parser import parse_rule
from .rule import Rule

__all__ = ["Outcome", "Rule", "Verdicts", "judge", "parse_rule"]
