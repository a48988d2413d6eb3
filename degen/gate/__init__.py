"""Rules on the figures of a run or a table, and whether they hold.

from degen.gate import judge, parse_rule
verdicts = judge([parse_rule("anisotropy[layer=last] < 0.6")], "degen-run")
verdicts.exit_code      # 0, or 1, 3, 4
"""

from .judge import Outcome, Verdicts, judge
from .rule import Rule, parse_rule

__all__ = ["Outcome", "Rule", "Verdicts", "judge", "parse_rule"]
