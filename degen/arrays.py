"""Names for the types of NumPy arrays, of any shape."""

from __future__ import annotations

from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Tokens = np.ndarray[Any, np.dtype[np.int32]]
