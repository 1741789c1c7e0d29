"""Numbers as integers that stand in the same order, so that a comparison of any kind is one of integers."""

import numpy as np
from numpy.typing import NDArray

SIGN = np.int64(0x7FFFFFFFFFFFFFFF)  # all bits but the sign's
NEVER = np.int64(0x7FFFFFFFFFFFFFFF)  # above the key of any value
MISSING_HIGH = np.int64(0x7FFFFFFFFFFFFFFE)  # of a missing value, above infinity
MISSING_LOW = np.int64(-0x7FFFFFFFFFFFFFFF)  # of a missing value, below minus infinity


def make_keys(numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """int64, ascending as the numbers do; the key of the next larger number is one more. -0.0 has the key of 0.0."""
    bits = (numbers + 0.0).view(np.int64)
    keys: NDArray[np.int64] = bits ^ ((bits >> 63) & SIGN)
    return keys
