"""A plan as the source of one Triton kernel: values in registers, nothing looked up, and no barrier.

A thread has one word: 32 samples. An input is loaded where it is first read; a node is an expression of words, which
becomes one LOP3, or less where two nodes of two values each are joined; a value that is wanted is stored. Values that
are read once come right before what reads them, so that few are alive at once; what registers can't hold, `ptxas` keeps
in a thread's own memory. Compilers would change this order, and then three times as much doesn't fit; but they keep
that of stores. So each value that a later section reads has a store, which never runs.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eric_fast.bits import ROW_WORDS
from eric_fast.plan import Steps
from eric_fast.plan.negation import is_negated, strip_negation
from eric_fast.plan.steps import KIND_SELECT, KIND_SUM, SECTION, Batch, Node, Segment

_Term = tuple[int, ...]  # pairs of values
HEAD = f"""import triton
import triton.language as tl


@triton.jit(do_not_specialize=["p_words", "p_digits", "p_rows", "n_groups"])
def %s(p_words, p_digits, p_rows, n_groups):
    i_group = tl.program_id(0).to(tl.int64)
    i_words = tl.arange(0, {ROW_WORDS})
    n_words = n_groups.to(tl.int64) * {ROW_WORDS}
    never = i_words < -n_words
    p_words += i_group * {ROW_WORDS} + i_words
    p_rows += i_group * {ROW_WORDS} + i_words
    p_digits += i_group * %d + i_words
"""
KEEP = "    tl.store(p_rows, v%d, mask=never)"
KERNEL_PREFIX = "generated_"  # of a kernel, and after it what its source hashes to


class _Nodes(NamedTuple):
    """The nodes of a plan as Python's own numbers.

    false: the value that is false; `false + 1` is true. terms: of the values that terms are OR-ed into.
    """

    nodes: list[Node]
    kinds: list[int]
    terms: dict[int, list[_Term]]
    false: int

    def list_sources(self, value: int) -> list[int]:
        """What a value is made of."""
        if value <= self.false + 1:
            return []
        if value in self.terms:
            return [source for term in self.terms[value] for source in term]
        return list(self.nodes[value - self.false - 2])


def write_source(steps: Steps, n_inputs: int, digits: Sequence[int], rows: Sequence[int]) -> str:
    """The source of a kernel for blocks of one warp; a block has a group of `ROW_WORDS` words.

    Its arguments are p_words: int32 [n_inputs, n_words]; p_digits: int32 [n_groups, n_digits, ROW_WORDS], the values of
    `digits`; p_rows: int32 [n_rows, n_words], those of `rows`, whose tail is not masked; and n_groups, also the grid.

    Args:
        digits: values. rows: values, `~value` for a negation.
    """
    made = _take_nodes(steps, n_inputs)
    wanted = [*digits, *(strip_negation(row) for row in rows)]
    places: dict[int, list[str]] = {}
    for number, value in enumerate(digits):
        places.setdefault(value, []).append(f"    tl.store(p_digits + {number * ROW_WORDS}, v{value})")
    for number, row in enumerate(rows):
        sign = "~" if is_negated(row) else ""
        place = f"    tl.store(p_rows + n_words * {number}, {sign}v{strip_negation(row)})"
        places.setdefault(strip_negation(row), []).append(place)
    lines = []
    order = _order_values(steps, made, wanted)
    for value in order.values:
        lines += _write_value(made, value)
        lines += places.get(value, [KEEP % value] if value in order.kept else [])
    body = "\n".join(lines)
    name = find_name(f"{len(digits)}{body}")
    return f"{HEAD % (name, ROW_WORDS * len(digits))}{body}\n"


def find_name(body: str) -> str:
    """The name of the kernel with this body."""
    return KERNEL_PREFIX + hashlib.sha256(body.encode()).hexdigest()[:16]


def _take_nodes(steps: Steps, n_inputs: int) -> _Nodes:
    terms: dict[int, list[_Term]] = {}
    values = steps.terms.tolist()
    segments = [Segment(*segment) for segment in steps.segments.tolist()]
    for batch in (Batch(*row) for row in steps.batches.tolist()):
        place = batch.term_start
        for segment in segments[batch.segment_start : batch.segment_stop]:
            for _ in range(segment.n_terms):
                terms.setdefault(segment.target, []).append(tuple(values[place : place + batch.width]))
                place += batch.width
    return _Nodes([Node(*node) for node in steps.nodes.tolist()], steps.kinds.tolist(), terms, n_inputs)


class _Order(NamedTuple):
    """Values in the order in which they are made. kept: those that a later section reads, and those that are wanted."""

    values: list[int]
    kept: set[int]


def _order_values(steps: Steps, made: _Nodes, wanted: Sequence[int]) -> _Order:
    """All values that the wanted ones need, each after what it is made of: section by section, depth first.

    Inputs come right before what reads them first.
    """
    starts = made.false + 2 + steps.sections[:, SECTION.node_start].numpy()
    n_sections = len(starts)

    def find_section(value: int) -> int:
        return int(np.searchsorted(starts, value, "right")) - 1 if value > made.false + 1 else -1

    roots: list[set[int]] = [set() for _ in range(n_sections + 1)]  # the last are inputs and constants
    for value in wanted:
        roots[find_section(value)].add(value)
    found: set[int] = set()
    orders: list[list[int]] = []
    for section in reversed(range(n_sections)):
        first = int(starts[section])
        order: list[int] = []
        for root in sorted(roots[section]):
            stack = [(root, False)]
            while stack:
                value, is_ready = stack.pop()
                if is_ready:
                    order.append(value)
                    continue
                if value in found:
                    continue
                found.add(value)
                stack.append((value, True))
                for source in made.list_sources(value):
                    if source >= first:
                        stack.append((source, False))
                    else:
                        roots[find_section(source)].add(source)
        orders.append(order)
    placed: set[int] = set()
    ordered: list[int] = []
    for value in (value for order in reversed(orders) for value in order):
        for source in made.list_sources(value):
            if source <= made.false + 1 and source not in placed:
                placed.add(source)
                ordered.append(source)
        ordered.append(value)
    ordered += sorted(value for value in roots[-1] if value not in placed)
    return _Order(ordered, set().union(*roots[:-1]))


def _write_value(made: _Nodes, value: int) -> list[str]:
    """The lines that make a value."""
    false = made.false
    if value < false:
        return [f"    v{value} = tl.load(p_words + n_words * {value})"]
    if value <= false + 1:
        return [f"    v{value} = tl.full([{ROW_WORDS}], {false - value}, tl.int32)"]
    if value in made.terms:
        return _write_terms(made, value)
    a, b, c = (f"v{source}" for source in made.nodes[value - false - 2])
    kind = made.kinds[value - false - 2]
    if kind == KIND_SELECT:
        return [f"    v{value} = {_write_select(made, made.nodes[value - false - 2])}"]
    return [f"    v{value} = {f'{a} ^ {b} ^ {c}' if kind == KIND_SUM else f'({a} & {b}) | ({c} & ({a} | {b}))'}"]


def _write_select(made: _Nodes, node: Node) -> str:
    false, true = made.false, made.false + 1
    select, high, low = (f"v{source}" for source in node)
    if (node.high, node.low) == (false, true):
        return f"~{select}"
    if node.high in (false, true):
        return f"~{select} & {low}" if node.high == false else f"{select} | {low}"
    if node.low in (false, true):
        return f"{select} & {high}" if node.low == false else f"~{select} | {high}"
    return f"({select} & {high}) | (~{select} & {low})"


def _write_terms(made: _Nodes, value: int) -> list[str]:
    """A line for each term, which are OR-ed one after another."""
    lines = []
    for number, term in enumerate(made.terms[value]):
        pairs = zip(term[::2], term[1::2], strict=True)
        factors = [
            text
            for holds, fails in pairs
            for text in (
                *((f"v{holds}",) if holds != made.false + 1 else ()),
                *((f"~v{fails}",) if fails != made.false else ()),
            )
        ]
        body = " & ".join(dict.fromkeys(factors)) or f"v{made.false + 1}"
        lines.append(f"    v{value} = {f'v{value} | ({body})' if number else body}")
    return lines
