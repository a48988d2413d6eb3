"""Find metrics that got worse late in training: since when, and by how much.

from degen.saturation import find_saturation
result = find_saturation("degen-run")
result.table()      # a pyarrow table

Imports metrics and what lies below it.
"""

from .result import Larger, SaturationResult, find_saturation, write_result

__all__ = ["Larger", "SaturationResult", "find_saturation", "write_result"]
