"""When a metric of a model got worse late in training, since when, and by how much.

from degen.saturation import find_saturation
answer = find_saturation("degen-run")
answer.table()      # a pyarrow table
"""

from .result import Answer, Larger, find_saturation, write_answer

__all__ = ["Answer", "Larger", "find_saturation", "write_answer"]
