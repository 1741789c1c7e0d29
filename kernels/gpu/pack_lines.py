"""Lines as `schedule` writes them, with a flag in each field, to lines as `run_lines` reads them; see `lines`."""

import numpy as np
from numpy.typing import NDArray

from eric_fast.kernels.gpu.lines import ACC_START, ADDERS, FLAG, NO_SLOT, NODES, TARGET, TERMS_BY_2, TERMS_BY_6


def pack_lines(fields: NDArray[np.int32], phases: NDArray[np.int32]) -> NDArray[np.int32]:
    """int32 `[n_lines + 2, n_workers, FIELDS]`: two lines of zeros follow the last, for loops that read a step ahead.

    fields: int32 `[n_lines, n_workers, FIELDS]`: see `schedule`. phases: int32 `[n_phases, N_COLUMNS, 2]`.
    """
    packed = np.zeros((len(fields) + 2, *fields.shape[1:]), np.int32)
    slots, flags = fields & ~FLAG, fields < 0
    for column in range(NODES, TERMS_BY_6 + 1):
        step = 1 if column <= TERMS_BY_2 else 2
        for start, stop in phases[:, column].tolist():
            first, last = slice(start, stop, step), slice(start + step - 1, stop, step)
            packed[start:stop] = slots[start:stop]
            packed[first, :, 0] ^= -flags[first, :, 0].astype(np.int32)  # negated where the flag is set
            if column in (NODES, ADDERS):
                works = fields[first].any(axis=-1)
                runs = np.flip(np.logical_or.accumulate(np.flip(works, axis=0)), axis=0)  # until its last line
                does = np.stack([runs, flags[first, :, ACC_START], flags[first, :, TARGET]], axis=-1)
                packed[first, :, 1:] = np.where(does, slots[first, :, 1:], NO_SLOT)
            else:
                packed[first, :, 1] ^= -flags[last, :, TARGET].astype(np.int32)
    return packed
