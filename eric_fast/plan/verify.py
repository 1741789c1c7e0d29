"""`check_steps`: whether the steps of a plan hold together."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eric_fast.errors import EricError
from eric_fast.plan import steps as s
from eric_fast.plan.negation import strip_negation
from eric_fast.plan.plan import Plan

TABLES = {  # dtypes, and how many columns: 0 for a table of one dimension
    "nodes": (torch.int32, len(s.Node._fields)),
    "kinds": (torch.int8, 0),
    "terms": (torch.int32, 0),
    "segments": (torch.int32, len(s.Segment._fields)),
    "batches": (torch.int64, len(s.Batch._fields)),
    "sections": (torch.int64, len(s.Section._fields)),
    "values": (torch.int32, 0),
    "fires": (torch.int32, 0),
    "is_counted": (torch.bool, 0),
    "indexes": (torch.int64, len(s.Index._fields)),
    "planes": (torch.int32, 0),
    "codes": (torch.int32, 0),
    "answers": (torch.int32, 0),
    "counters": (torch.int64, len(s.Counter._fields)),
    "units": (torch.float64, 0),
}
NOT_MADE = "reads a value that is not made yet"


def check_steps(plan: Plan) -> None:
    """Check that the steps of a plan can be run, and that its tables are consistent.

    Every index is in range; every value is made before it is read; sections cover nodes, batches, class rules and
    trees in order; each number of an index stands for a rule of its own. Whether the steps mean what the rules mean
    is not checked: `interpret_steps` shows what they mean.

    Compiling doesn't call this: it would take 9 % longer (44,557 nodes: 4.3 ms of 50). Tests do, and
    `python -m eric_fast.plan`; call it for plans whose steps come from elsewhere.

    Raises:
        EricError: names a table, its first wrong entry, and what is wrong there.
    """
    tables = _read_tables(plan)
    _check_sections(plan, tables)
    ready = _check_order(plan, tables)
    _check_rows(plan, tables, ready)
    _check_indexes(plan, tables)
    _check_class_rules(plan, tables, ready)
    _check_answers(plan, tables)


def _read_tables(plan: Plan) -> Any:
    """The tables as arrays, of the right dtypes and shapes."""
    lengths = {"values": plan.n_rows, "fires": plan.n_class_rules, "is_counted": plan.n_class_rules}
    lengths["kinds"], lengths["units"] = len(plan.steps.nodes), len(plan.steps.counters)
    for name, (dtype, n_columns) in TABLES.items():
        table = getattr(plan.steps, name)
        n = lengths.get(name, len(table) if table.ndim else 0)
        shape = (n, n_columns) if n_columns else (n,)
        if table.dtype != dtype or table.device.type != "cpu" or table.shape != shape:
            raise EricError(
                f"a plan's steps.{name} must be {dtype} {list(shape)} on the CPU, "
                f"not {table.dtype} {list(table.shape)} on {table.device}"
            )
    return SimpleNamespace(**{name: getattr(plan.steps, name).numpy() for name in TABLES})


def _check_sections(plan: Plan, tables: Any) -> None:
    """Sections, batches and segments cover what they divide, in order."""
    sections, batches, n_terms = tables.sections, tables.batches, tables.segments[:, s.SEGMENT.n_terms]
    _check_cover("sections", sections, s.SECTION.node_start, len(tables.nodes), "nodes")
    _check_cover("sections", sections, s.SECTION.batch_start, len(batches), "batches")
    _check_cover("batches", batches, s.BATCH.segment_start, len(n_terms), "segments")
    n_rows = plan.n_row_sections
    if len(sections) < n_rows:
        raise EricError(f"a plan whose rows need {n_rows} sections has only {len(sections)} in its steps")
    _check("sections", (sections[:n_rows, s.SECTION.rule_start :] == 0).all(axis=1), "decides before the rows exist")
    widths = batches[:, s.BATCH.width]
    _check("batches", (widths >= 2) & (widths % 2 == 0), "has terms that are not pairs of values")
    _check("segments", n_terms >= 1, "has no terms")
    n_values = np.repeat(widths, _count(batches, s.BATCH.segment_start)) * n_terms
    starts = np.append(0, np.cumsum(n_values))  # of each segment's terms
    is_place = batches[:, s.BATCH.term_start] == starts[batches[:, s.BATCH.segment_start]]
    _check("batches", is_place, "doesn't start where the terms of the entry before end")
    if starts[-1] != len(tables.terms):
        raise EricError(f"a plan's steps.terms has {len(tables.terms)} entries, but its batches read {starts[-1]}")


def _check_order(plan: Plan, tables: Any) -> NDArray[np.int32]:
    """Every value is made before nodes and terms read it.

    Returns:
        int32 `[n_values]`: the section after which each value is complete; -1 for inputs and constants.
    """
    nodes, sections, batches, targets = (
        tables.nodes,
        tables.sections,
        tables.batches,
        tables.segments[:, s.SEGMENT.target],
    )
    first_node = plan.n_inputs + 2
    n_values = first_node + len(nodes)
    numbers = np.arange(len(sections), dtype=np.int32)
    of_nodes = np.repeat(numbers, _count(sections, s.SECTION.node_start))
    of_batches = np.repeat(numbers, _count(sections, s.SECTION.batch_start))
    n_segments = _count(batches, s.BATCH.segment_start)
    of_segments = np.repeat(of_batches, n_segments)
    n_read = np.repeat(batches[:, s.BATCH.width], n_segments) * tables.segments[:, s.SEGMENT.n_terms]

    made = np.arange(first_node, n_values, dtype=np.int32)
    _check("nodes", (nodes.min(axis=1, initial=0) >= 0) & (nodes.max(axis=1, initial=0) < made), NOT_MADE)
    _check("segments", (targets >= first_node) & (targets < n_values), "has a target that is no node")
    _check_values("terms", tables.terms, n_values)
    is_target = np.zeros(n_values, bool)
    is_target[targets] = True
    kinds = tables.kinds
    _check("kinds", (kinds >= s.KIND_SELECT) & (kinds <= s.KIND_CARRY), "is no kind of node")
    is_false = (nodes == plan.n_inputs).all(axis=1) & (kinds == s.KIND_SELECT)
    _check("nodes", is_false == is_target[first_node:], "must be false if it is a target of terms, and only then")
    ready = np.full(n_values, -1, np.int32)
    ready[first_node:] = of_nodes
    _check("segments", ready[targets] == of_segments, "has a target of another section")
    # A section's nodes run first, then its terms: nodes and terms read targets of earlier sections only.
    readable = ready + is_target
    _check("nodes", readable[nodes].max(axis=1, initial=-1) <= of_nodes, "reads a value whose terms have not run")
    _check("terms", readable[tables.terms] <= np.repeat(of_segments, n_read), NOT_MADE)
    return ready


def _check_rows(plan: Plan, tables: Any, ready: NDArray[np.int32]) -> None:
    """Each row is complete after the section of its stratum, of sums the first that reads it; others are constant."""
    strata = np.full(plan.n_rows, -1, np.int64)
    strata[plan.heads[: plan.n_kernel_rules].numpy()] = np.repeat(
        np.arange(len(plan.strata) - 1), plan.strata.diff().numpy()
    )
    n_sums = len(plan.sums.bounds)
    strata[plan.n_rows - n_sums :] = np.repeat(np.arange(len(plan.strata)), plan.sums.strata.diff().numpy())
    is_input = tables.values[: plan.n_inputs] == np.arange(plan.n_inputs)
    _check("values", is_input, "is not the input itself")
    values = strip_negation(tables.values)
    _check_values("values", values, len(ready))
    _check("values", ready[values] <= strata, NOT_MADE)


def _check_indexes(plan: Plan, tables: Any) -> None:
    """Indexes divide planes and codes in order, and each of their class rules has one code."""
    indexes, codes, n_rules = tables.indexes, tables.codes, plan.n_class_rules
    if not plan.votes and not len(indexes):
        raise EricError("under 'first', a plan's steps.indexes must end with an index of all class rules")
    n_planes = int(tables.counters[0, s.COUNTER.plane_start]) if len(tables.counters) else len(tables.planes)
    _check_cover("indexes", indexes, s.INDEX.plane_start, n_planes, "planes")
    _check_cover("indexes", indexes, s.INDEX.code_start, len(codes), "codes")
    n_digits, n_codes = _count(indexes, s.INDEX.plane_start), _count(indexes, s.INDEX.code_start)
    _check("indexes", n_digits <= s.MOST_PLANES, f"has more than {s.MOST_PLANES} planes")
    _check("indexes", n_codes == 1 << n_digits, "doesn't have one code for each number that its planes can hold")
    starts, sizes = indexes[:, s.INDEX.rule_start], _count(indexes, s.INDEX.rule_start)
    trees = indexes[: len(plan.trees), s.INDEX.rule_start :]
    edges = np.concatenate([[0], trees.ravel(), [n_rules]])
    if (np.diff(edges) < 0).any() or (trees[:, 0] == trees[:, 1]).any():
        raise EricError(f"a plan's trees must divide its {n_rules} class rules in order, at least one rule to a tree")
    if not plan.votes and (starts[-1], sizes[-1]) != (0, n_rules):
        raise EricError(f"the last entry of a plan's steps.indexes must be of all {n_rules} class rules under 'first'")
    # Sorted, the codes of an index that are rules are the rules of the index, each once.
    of_codes = np.repeat(np.arange(len(indexes)), n_codes)
    is_rule = codes != -1
    counts = np.bincount(of_codes[is_rule], minlength=len(indexes))
    _check("indexes", counts == sizes, "doesn't have one code for each of its class rules")
    found = codes[is_rule][np.lexsort((codes[is_rule], of_codes[is_rule]))]
    _check("codes", found == _list_ranges(starts, sizes), "is not a class rule of its index, or occurs twice")


def _check_class_rules(plan: Plan, tables: Any, ready: NDArray[np.int32]) -> None:
    """Each class rule and each tree takes part in the decision once, after its values are made."""
    sections, fires, trees = tables.sections, tables.fires, plan.trees.numpy()
    numbers = np.arange(len(sections))
    in_tree = np.zeros(plan.n_class_rules, bool)
    in_tree[_list_ranges(trees[:, 0], trees[:, 1] - trees[:, 0])] = True
    alone = np.flatnonzero(~in_tree)
    _check("fires", (fires == -1) == in_tree, "must be -1 if the rule is a leaf of a tree, and only then")
    _check_values("fires", fires[alone], len(ready))
    _check("is_counted", ~tables.is_counted | (~in_tree & plan.votes), "only a rule of no tree can be, under 'vote'")
    for column, n, what in (
        (s.SECTION.rule_start, plan.n_class_rules, "class rules"),
        (s.SECTION.index_start, len(tables.indexes), "indexes"),
    ):
        starts, stops = sections[:, column], sections[:, column + 1]
        _check("sections", (starts >= 0) & (starts <= stops) & (stops <= n), f"has {what} that do not exist")
    n_rules, n_trees = _count(sections, s.SECTION.rule_start), _count(sections, s.SECTION.index_start)
    rules = _list_ranges(sections[:, s.SECTION.rule_start], n_rules)
    if not np.array_equal(rules, alone if plan.votes else alone[:0]):
        raise EricError("a plan's steps.sections must list the class rules of no tree, in order, and only under 'vote'")
    if not np.array_equal(_list_ranges(sections[:, s.SECTION.index_start], n_trees), np.arange(len(trees))):
        raise EricError(f"a plan's steps.sections must list its {len(trees)} trees in order")
    if plan.votes:
        _check("fires", ready[fires[alone]] <= np.repeat(numbers, n_rules), NOT_MADE)
    n_planes = _count(tables.indexes[: len(trees)], s.INDEX.plane_start)
    of_planes = np.repeat(np.repeat(numbers, n_trees), n_planes)
    _check_values("planes", tables.planes, len(ready))
    _check("planes", ready[tables.planes[: len(of_planes)]] <= of_planes, NOT_MADE)


def _check_answers(plan: Plan, tables: Any) -> None:
    """What decides after the last section: answers, and counters under `vote`."""
    counters, answers, n_values = tables.counters, tables.answers, plan.n_inputs + 2 + len(tables.nodes)
    n_digits = max(plan.n_classes - 1, 0).bit_length()
    if len(answers) not in (0, n_digits + 1):
        raise EricError(f"a plan's steps.answers must have no entries or {n_digits + 1}, not {len(answers)}")
    _check_values("answers", answers, n_values)
    _check_values("covered", np.array([plan.steps.covered]), n_values if plan.votes else plan.n_inputs + 1)
    if not plan.votes and len(counters):
        raise EricError("a plan's steps.counters must be empty under 'first'")
    outputs, units = counters[:, s.COUNTER.output], tables.units
    is_new = np.diff(outputs, prepend=-1) > 0
    _check("counters", is_new & (outputs < plan.n_classes), "has no class of its own, in order")
    if len(counters):
        start = int(counters[0, s.COUNTER.plane_start])
        planes = counters[:, s.COUNTER.plane_start : s.COUNTER.plane_stop + 1] - start
        _check_cover("counters", planes, 0, len(tables.planes) - start, "planes")
        _check("counters", _count(planes, 0) <= s.MOST_PLANES, f"has more than {s.MOST_PLANES} planes")
    _check("counters", counters[:, s.COUNTER.offset] <= 0, "has an offset above 0")
    _check("units", (units > 0) & (np.frexp(units)[0] == 0.5), "is not a power of two")


def _check(name: str, holds: NDArray[np.bool_], fault: str) -> None:
    """Name the first entry of a table for which this does not hold."""
    if not holds.all():
        raise EricError(f"a plan's steps.{name}[{int(np.argmin(holds))}] {fault}")


def _check_values(name: str, values: NDArray[Any], n_values: int) -> None:
    if len(values) and not 0 <= values.min() <= values.max() < n_values:
        _check(name, (values >= 0) & (values < n_values), f"is no value: they are numbered 0 to {n_values - 1}")


def _check_cover(name: str, table: NDArray[np.int64], column: int, n: int, what: str) -> None:
    """The ranges in this column and the next follow one another from 0 to `n`."""
    starts, stops = table[:, column], table[:, column + 1]
    edges = np.append(0, stops)
    _check(name, (starts == edges[:-1]) & (starts <= stops), f"has {what} that don't follow those of the entry before")
    if edges[-1] != n:
        raise EricError(f"a plan's steps.{name} must cover {n} {what}, not {edges[-1]}")


def _count(table: NDArray[np.int64], column: int) -> NDArray[np.int64]:
    """int64 `[n]`: the sizes of the ranges in this column and the next."""
    sizes: NDArray[np.int64] = table[:, column + 1] - table[:, column]
    return sizes


def _list_ranges(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """All numbers of ranges, one range after another."""
    numbers: NDArray[np.int64] = np.arange(sizes.sum()) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    return numbers
