"""Numbers that decide how a tree grows, as integers: `n * log2(n)` in fixed point, the same on every machine."""

import numpy as np
from numpy.typing import NDArray

# One bit of entropy of one image is 2**30. Sums over a node of MAX_WEIGHT then stay below 2**63.
SCALE_BITS = 30
# The most that the images of a tree may weigh: counts then fit in 32 bits, squares of counts in 64.
MAX_WEIGHT = 2**27
_CHUNK = 2**11
TWO_BY_LN2 = 2.8853900817779268


def make_entropy_table(most: int) -> NDArray[np.int64]:
    """int64 `[most + 1]`: `n * log2(n)` for n from 0 to `most`, in units of 2**-30, rounded.

    The logarithm is a series of IEEE additions, multiplications and divisions, which every machine rounds alike; `log2`
    may differ between machines in the last bit.
    """
    table = np.empty(most + 1, np.int64)
    for first in range(0, len(table), _CHUNK):  # intermediate arrays are many times as large as the table
        n = np.arange(first, min(first + _CHUNK, len(table)), dtype=np.float64)
        fraction, exponent = np.frexp(np.maximum(n, 1))  # n = fraction * 2**exponent, fraction in [0.5, 1)
        small = fraction < np.sqrt(0.5)
        fraction = np.where(small, fraction * 2, fraction)  # in [0.707, 1.414): the series converges fast
        x = (fraction - 1) / (fraction + 1)  # ln(fraction) = 2 * (x + x**3 / 3 + x**5 / 5 + ...), |x| < 0.172
        square = x * x
        series = np.zeros_like(x)
        for power in range(25, 0, -2):
            series = series * square + 1 / power
        log2 = (exponent - small) + series * x * TWO_BY_LN2
        table[first : first + _CHUNK] = np.rint(n * log2 * 2.0**SCALE_BITS)
    return table
