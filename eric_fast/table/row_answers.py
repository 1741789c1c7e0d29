"""`RowAnswers`: what a program says of the rows of a table, as arrays."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class RowAnswers(NamedTuple):
    """As in `kernels.Outcome`; None where a result wasn't asked for."""

    classes: NDArray[np.int32] | None
    scores: NDArray[np.float64] | None
    leaves: NDArray[np.int32] | None
