"""The format of the GPU's code: lines of four fields for each worker, and phases, which are ranges of lines.

`schedule` says what they do; it writes them, and `run` reads them.
"""

FALSE_SLOT, TRUE_SLOT = 0, 1
FLAG = -(2**31)  # the highest bit of a field, whose other bits are a slot
FIELDS = 4

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
