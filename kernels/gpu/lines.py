"""The format of the GPU's code: lines of four fields for each worker, and phases, which are ranges of lines.

`schedule` says what they do and writes them with flags, `pack_lines` packs them, and `run_lines` reads them. Packed, a
field is a slot, negated (`~slot`) where its flag is set; what isn't needed is `NO_SLOT`:

    node     ~select: acc is low | other | start, or nothing | target, or nothing
    adder    ~second: the sum is stored | third | start, or nothing | target, or nothing
    terms    ~value: the term ends | ~value: acc is stored | value or nothing | target;
             of two lines the first has four values, the second none or two, and the target
    literals four of a rule that is counted: ~slot: negated

A worker that does nothing has a node or an adder of a first field 0 and else nothing, or terms of zeros.
"""

import numpy as np
from numpy.typing import NDArray

FALSE_SLOT, TRUE_SLOT = 0, 1
FLAG = -(2**31)  # the highest bit of a field, whose other bits are a slot
FIELDS = 4

NO_SLOT = -1

# The fields of a node. In a step of terms the last of two lines has the target too, other fields are values.
SELECT, OTHER, ACC_START, TARGET = range(FIELDS)

# Of an adder; the last two are as a node's.
SECOND, THIRD = SELECT, OTHER

# The columns of a phase, each a start and a stop: of lines, class rules or indexes.
NODES, ADDERS, TERMS_BY_2, TERMS_BY_4, TERMS_BY_6, RULES, INDEXES = range(7)
N_COLUMNS = 7
LINE_COLUMNS = slice(NODES, TERMS_BY_6 + 1)
TERM_WIDTHS = (2, 4, 6)  # how many values a step of `TERMS_BY_2 + kind` takes

WANTED_SLOT, WANTED_PLACE = 0, 1  # the columns of `lower.Wanted`
ADD_NUMBER, ADD_START = 0, 1  # the columns of `VoteTables.adds`
SUM_TILE = 16  # a sample's row of weights is padded to a multiple: so many float64 are a line of the cache


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
