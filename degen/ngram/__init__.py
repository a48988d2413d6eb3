"""How many dimensions the next-token distributions of a corpus need: n-grams counted, their matrix, its W-error.

from degen.ngram import measure_ngrams
result = measure_ngrams(["texts/"], ["org/model"])
result.table()      # a pyarrow table

Imports scanning and what lies below it.
"""

from .measure import measure_ngrams
from .result import NgramResult
from .settings import NgramSettings

__all__ = ["NgramResult", "NgramSettings", "measure_ngrams"]
