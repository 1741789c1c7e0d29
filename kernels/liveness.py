"""Which values of a plan's steps a request reads, and when: what nothing reads, no engine makes."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.kernels.outcome import Request
from eric_fast.plan import Plan


@dataclass(frozen=True)
class ResultKinds:
    """What of a plan is to be run: plans are lowered once for each.

    Attributes:
        rows: truth of the plan's rows, at the end.
        decision: what the class rules decide.
        rules: which rule decides, too.
        leaves: which leaf of each tree.
    """

    rows: bool
    decision: bool
    rules: bool
    leaves: bool


def find_result_kinds(plan: Plan, request: Request) -> ResultKinds:
    """Under `first`, where there are no answers without rules, rules are needed for classes."""
    rules = request.rules or (not plan.votes and request.decides and not len(plan.steps.answers))
    return ResultKinds(bool(request.rows) or request.counts, request.decides, rules, request.leaves)


class StepArrays(NamedTuple):
    """The tables of `Steps` that an engine lowers, as NumPy arrays for Numba; see there."""

    nodes: Any
    terms: Any
    segments: Any
    batches: Any
    sections: Any


def take_steps(plan: Plan, kinds: ResultKinds) -> StepArrays:
    """The steps of a plan; sections that only decide are empty where nothing is decided."""
    steps = plan.steps
    sections = steps.sections.numpy().copy()
    if not kinds.decision and not kinds.leaves:
        sections[len(plan.strata) - 1 :] = 0
    return StepArrays(steps.nodes.numpy(), steps.terms.numpy(), steps.segments.numpy(), steps.batches.numpy(), sections)


def list_reads(
    plan: Plan, kinds: ResultKinds, rows: NDArray[np.bool_] | slice = slice(None)
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Values, and after which section each is read; the number of sections: at the end. A value may occur twice.

    rows: of the plan's rows, those that are read where rows are: bool `[n_rows]`, or a slice.
    """
    steps = plan.steps
    n_sections = len(steps.sections)
    values, sections = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]

    def read(of: NDArray[np.int32], section: int) -> None:
        values.append(of)
        sections.append(np.full(len(of), section))

    planes = steps.planes.numpy()
    with_trees = kinds.leaves or (kinds.decision and plan.votes)
    for number, section in enumerate(steps.sections.tolist()):
        first, last = section[6:]
        if with_trees and first < last:
            begin, end = int(steps.indexes[first, 0]), int(steps.indexes[last - 1, 1])
            again = kinds.decision and plan.votes and kinds.rules  # to see which tree added most
            read(planes[begin:end], n_sections if again else number)
        if kinds.decision:
            read(steps.fires.numpy()[slice(*section[4:6])][find_lone_rules(plan, kinds)[slice(*section[4:6])]], number)
    if kinds.decision and plan.votes:
        read(np.array([steps.covered], np.int32), n_sections)
        if not kinds.rules:
            for _, begin, end, _ in steps.counters.tolist():
                read(planes[begin:end], n_sections)
    elif kinds.decision and kinds.rules:
        read(planes[slice(*steps.indexes[-1, :2].tolist())], n_sections)
    elif kinds.decision:
        read(steps.answers.numpy(), n_sections)
    if kinds.rows:
        of_rows = steps.values.numpy()[rows]
        read(np.where(of_rows >= 0, of_rows, ~of_rows), n_sections)
    return np.concatenate(values).astype(np.int32), np.concatenate(sections)


def find_lone_rules(plan: Plan, kinds: ResultKinds) -> NDArray[np.bool_]:
    """bool `[n_class_rules]`: which class rules vote by themselves, rather than as a leaf of a tree or in a count."""
    steps = plan.steps
    alone = (steps.fires >= 0) & (~steps.is_counted | kinds.rules)
    return (alone & plan.votes).numpy()
