"""`interpret_steps`: what the steps of a plan mean, one value at a time in plain NumPy."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.plan.negation import is_negated, strip_negation
from eric_fast.plan.plan import Plan
from eric_fast.plan.steps import KIND_SELECT, KIND_SUM, Batch, Counter, Index, Section, Segment


class Interpretation(NamedTuple):
    """What the steps of a plan say about samples.

    Attributes:
        rows: bool `[n_samples, n_rows]`.
        leaves: int64 `[n_samples, n_trees]`: the class rule of each tree that fires, or -1.
        fires: bool `[n_samples, n_class_rules]`.
        classes: int64 `[n_samples]`: the default, or -1, where no class rule fires.
        rules: int64 `[n_samples]`: under `first`, the class rule that decides, or -1; None under `vote`.
        scores: float64 `[n_samples, n_classes]`: the base, and under `vote` what was added to it.
    """

    rows: NDArray[np.bool_]
    leaves: NDArray[np.int64]
    fires: NDArray[np.bool_]
    classes: NDArray[np.int64]
    rules: NDArray[np.int64] | None
    scores: NDArray[np.float64]


def interpret_steps(plan: Plan, bits: NDArray[np.bool_]) -> Interpretation:
    """What the steps of a plan say about samples, slowly; its rules and masks are not looked at.

    Args:
        bits: bool `[n_samples, n_inputs]`.
    """
    values = _run_sections(plan, bits)
    steps = plan.steps
    of_rows = steps.values.numpy()
    rows = values[strip_negation(of_rows)] ^ is_negated(of_rows)[:, None]
    numbers = [_read_index(values, plan, Index(*index)) for index in steps.indexes.tolist()]
    leaves = np.array(numbers[: len(plan.trees)], np.int64).reshape(len(plan.trees), len(bits))
    fires = values[np.maximum(steps.fires.numpy(), 0)]
    for leaf, (first, last) in zip(leaves, plan.trees.tolist(), strict=True):
        fires[first:last] = leaf == np.arange(first, last)[:, None]
    scores = np.tile(plan.base.numpy(), (len(bits), 1))
    if plan.votes:
        _add_votes(plan, values, fires, scores)
        covered = values[steps.covered] | fires[~steps.is_counted.numpy()].any(axis=0)
        classes = np.where(covered, scores.argmax(axis=1), plan.default) if plan.n_class_rules else None
    else:
        of_rules = np.append(plan.heads[plan.n_kernel_rules :].numpy(), plan.default)
        classes = of_rules[numbers[-1]]
    if len(steps.answers):
        *digits, none = steps.answers.tolist()
        classes = np.where(values[none], -1, _read_number(values, digits))
    if classes is None:
        classes = np.full(len(bits), plan.default)
    return Interpretation(
        rows.T, leaves.T, fires.T, classes.astype(np.int64), None if plan.votes else numbers[-1], scores
    )


def _run_sections(plan: Plan, bits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """bool `[n_values, n_samples]`."""
    steps, first_node = plan.steps, plan.n_inputs + 2
    values = np.zeros((first_node + len(steps.nodes), len(bits)), bool)
    values[: plan.n_inputs], values[plan.n_inputs + 1] = bits.T, True
    nodes, kinds, terms = steps.nodes.tolist(), steps.kinds.tolist(), steps.terms.numpy()
    batches = [Batch(*batch) for batch in steps.batches.tolist()]
    segments = [Segment(*segment) for segment in steps.segments.tolist()]
    for section in (Section(*row) for row in steps.sections.tolist()):
        for node in range(section.node_start, section.node_stop):
            select, high, low = values[nodes[node]]
            if kinds[node] == KIND_SELECT:
                values[first_node + node] = np.where(select, high, low)
            else:
                n_true = select.astype(np.int8) + high + low
                values[first_node + node] = n_true % 2 if kinds[node] == KIND_SUM else n_true >= 2
        for batch in batches[section.batch_start : section.batch_stop]:
            place = batch.term_start
            for segment in segments[batch.segment_start : batch.segment_stop]:
                for _ in range(segment.n_terms):
                    pairs = terms[place : place + batch.width].reshape(-1, 2)
                    values[segment.target] |= (values[pairs[:, 0]] & ~values[pairs[:, 1]]).all(axis=0)
                    place += batch.width
    return values


def _read_index(values: NDArray[np.bool_], plan: Plan, index: Index) -> NDArray[np.int64]:
    """The class rule that an index stands for, or -1: int64 `[n_samples]`."""
    planes = plan.steps.planes[index.plane_start : index.plane_stop].tolist()
    codes: NDArray[Any] = plan.steps.codes.numpy()[index.code_start : index.code_stop]
    return codes[_read_number(values, planes)].astype(np.int64)


def _read_number(values: NDArray[np.bool_], planes: Sequence[int]) -> NDArray[np.int64]:
    """int64 `[n_samples]` from its digits, the lowest first."""
    number = np.zeros(values.shape[1], np.int64)
    for digit, plane in enumerate(planes):
        number += values[plane].astype(np.int64) << digit
    return number


def _add_votes(plan: Plan, values: NDArray[np.bool_], fires: NDArray[np.bool_], scores: NDArray[np.float64]) -> None:
    """Add what rules that are not counted add, in their order, and then the counters."""
    steps, offsets = plan.steps, plan.vote_offsets.tolist()
    for rule in np.flatnonzero(~steps.is_counted.numpy()).tolist():
        for vote in range(offsets[rule], offsets[rule + 1]):
            scores[:, plan.vote_classes[vote]] += fires[rule] * float(plan.vote_weights[vote])
    for row, unit in zip(steps.counters.tolist(), steps.units.tolist(), strict=True):
        counter = Counter(*row)
        planes = steps.planes[counter.plane_start : counter.plane_stop].tolist()
        scores[:, counter.output] += (_read_number(values, planes) + counter.offset) * unit
