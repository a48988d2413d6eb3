"""How many dimensions an update of a model uses, where it lies, and what it costs: adapters and fine-tunes.

from degen.delta import measure_deltas
result = measure_deltas(["my-adapter"])
result.table()      # a pyarrow table

Imports rank and what lies below it.
"""

from .result import DeltaResult, measure_deltas

__all__ = ["DeltaResult", "measure_deltas"]
