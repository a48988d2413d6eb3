"""Two runs side by side: differences at equal steps or tokens, and where their verdicts differ.

from degen.run_comparison import compare_runs
compare_runs(read_run("before"), read_run("after")).rows

Imports saturation and what lies below it.
"""

from .compare import Comparison, compare_runs

__all__ = ["Comparison", "compare_runs"]
