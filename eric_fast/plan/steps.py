"""`Steps`: the rules of a plan as an instruction stream, and the names of its tables' columns.

A table's columns are the fields of a `NamedTuple`, which one row in Python is. Their numbers have the same names, for
arrays and for code that Numba compiles: `sections[:, SECTION.node_start]`. A range is half open, like a slice: from its
start up to, but not including, its stop.
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from eric_fast.processes.pickling import PickledByFields

MOST_PLANES = 31  # of an index or a counter


class Node(NamedTuple):
    """`select ? high : low`, of values; for a sum or a carry, the three values that are added."""

    select: int
    high: int
    low: int


class Segment(NamedTuple):
    """The next `n_terms` terms, OR-ed into the value `target`."""

    target: int
    n_terms: int


class Batch(NamedTuple):
    """Segments whose terms have `width` values each (two a pair); their values start at `term_start` in `terms`."""

    width: int
    segment_start: int
    segment_stop: int
    term_start: int


class Section(NamedTuple):
    """What runs together: nodes, then batches; then these class rules and indexes take part in the decision."""

    node_start: int
    node_stop: int
    batch_start: int
    batch_stop: int
    rule_start: int
    rule_stop: int
    index_start: int
    index_stop: int


class Index(NamedTuple):
    """A number for each sample: its digits are `planes`, `codes` says which of these class rules it stands for."""

    plane_start: int
    plane_stop: int
    code_start: int
    code_stop: int
    rule_start: int
    rule_stop: int


class Counter(NamedTuple):
    """`(number + offset) * unit` is added to the sum of class `output`; the number's digits are `planes`."""

    output: int
    plane_start: int
    plane_stop: int
    offset: int


NODE, SEGMENT, BATCH = Node(*range(3)), Segment(*range(2)), Batch(*range(4))
SECTION, INDEX, COUNTER = Section(*range(8)), Index(*range(6)), Counter(*range(4))
KIND_SELECT, KIND_SUM, KIND_CARRY = range(3)  # of nodes


@dataclass(frozen=True, eq=False)
class Steps(PickledByFields):
    """How an engine runs a plan's rules: the same truth by less work, as an instruction stream.

    A *value* is truth over samples. Values `0 .. n_inputs - 1` are the plan's inputs, `n_inputs` is false,
    `n_inputs + 1` is true, and value `n_inputs + 2 + i` is what node `i` makes of three values that come before it. A
    node `select ? high : low` is all that a branch of a tree, a shared body or a negation needs. What counts is made of
    full adders: the *sum* of three values is true where one or all of them are, the *carry* where two or more are.
    Rules that share nothing stay *terms*, conjunctions of pairs that are OR-ed into a value whose node made it false;
    a pair is true where its first value is true and its second is false.

    Attributes:
        nodes: int32 `[n_nodes, 3]`: see `Node`.
        kinds: int8 `[n_nodes]`: `KIND_SELECT`, `KIND_SUM` or `KIND_CARRY`.
        terms: int32 `[n_term_values]`: the pairs of values of one term after another.
        segments: int32 `[n_segments, 2]`: see `Segment`.
        batches: int64 `[n_batches, 4]`: see `Batch`.
        sections: int64 `[n_sections, 8]`: see `Section`. They run in turn. The first of them, one for each stratum,
            have neither rules nor indexes; what decides comes after.
        values: int32 `[n_rows]`: the value of each row of the plan, `~value` where it is the negation.
        fires: int32 `[n_class_rules]`: the value that says where a class rule fires; -1 for the leaves of trees.
        is_counted: bool `[n_class_rules]`: under `vote`, whether what a rule adds is in `counters`.
        indexes: int64 `[n_indexes, 6]`: see `Index`. One for each tree: which of its class rules fires; under `first`
            one more, the last: which of all class rules fires first.
        planes: int32 `[n_planes]`: the values of numbers' digits, the lowest first.
        codes: int32 `[n_codes]`: the class rule that each number stands for, or -1: none fires.
        answers: int32 `[n_answers]`: the digits of the class (or of the default), and last where there is neither.
            Empty unless that is less work than the last index (`first`), or all class rules are counted (`vote`).
        counters: int64 `[n_counters, 4]`: see `Counter`. Under `vote`, sums of whole numbers that float64 holds
            exactly, so that they may be added last.
        units: float64 `[n_counters]`: the power of two that a counter's sum is to be multiplied with.
        covered: a value: under `vote`, where some class rule fires that is counted or in a tree.
    """

    nodes: Tensor
    kinds: Tensor
    terms: Tensor
    segments: Tensor
    batches: Tensor
    sections: Tensor
    values: Tensor
    fires: Tensor
    is_counted: Tensor
    indexes: Tensor
    planes: Tensor
    codes: Tensor
    answers: Tensor
    counters: Tensor
    units: Tensor
    covered: int
