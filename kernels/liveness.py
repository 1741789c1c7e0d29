"""Which values of a plan's steps a request reads, and when. Engines don't make values that nothing reads."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.kernels.outcome import Request
from eric_fast.plan import Plan
from eric_fast.plan.negation import strip_negation
from eric_fast.plan.steps import Counter, Index, Section

NOTHING, FIRST_ANSWERS, FIRST_RULES, VOTE, VOTE_RULES = range(5)  # what is decided; see `choose_decision`


@dataclass(frozen=True)
class ResultKinds:
    """The kinds of results that are wanted of a plan: it is lowered once for each combination.

    Attributes:
        rows: the truth of rows, at the end.
        decision: what the class rules decide.
        sums: under `vote`, the sums of the outputs: scores, and what decides where the plan has no `answers`.
        rules: the rule that decides.
        leaves: the leaf of each tree.
    """

    rows: bool
    decision: bool
    sums: bool
    rules: bool
    leaves: bool


def find_result_kinds(plan: Plan, request: Request) -> ResultKinds:
    """The kinds that a request needs.

    Where the plan has no `answers`, classes need rules under `first` and sums under `vote`. Rules under `vote` do, too;
    and so does, of both, whether any rule fires.
    """
    without_answers = request.decides and not len(plan.steps.answers)
    return ResultKinds(
        rows=bool(request.rows) or request.counts,
        decision=request.decides,
        sums=plan.votes and (without_answers or request.rules or request.scores or request.covered),
        rules=request.rules or (not plan.votes and (without_answers or request.covered)),
        leaves=request.leaves,
    )


def choose_decision(plan: Plan, kinds: ResultKinds) -> int:
    """What the class rules are to decide: `NOTHING`, or a class, with the rule that decided or without."""
    if not kinds.decision:
        return NOTHING
    if plan.votes and kinds.sums:
        return VOTE_RULES if kinds.rules else VOTE
    return FIRST_RULES if kinds.rules else FIRST_ANSWERS


class StepArrays(NamedTuple):
    """The tables of `Steps` that an engine lowers, as NumPy arrays for Numba; see there."""

    nodes: Any
    kinds: Any
    terms: Any
    segments: Any
    batches: Any
    sections: Any


def take_steps(plan: Plan, kinds: ResultKinds) -> StepArrays:
    """The steps of a plan; sections that only decide are empty where nothing is decided."""
    steps = plan.steps
    sections = steps.sections.numpy().copy()
    if not kinds.decision and not kinds.leaves:
        sections[plan.n_row_sections :] = 0
    return StepArrays(
        steps.nodes.numpy(),
        steps.kinds.numpy(),
        steps.terms.numpy(),
        steps.segments.numpy(),
        steps.batches.numpy(),
        sections,
    )


class Reads(NamedTuple):
    """Which values results read, and when.

    Attributes:
        values: int32 `[n_reads]`, perhaps some of them twice.
        sections: int64 `[n_reads]`: the section after which each is read; the number of sections for the end.
    """

    values: NDArray[np.int32]
    sections: NDArray[np.int64]


def list_reads(plan: Plan, kinds: ResultKinds, rows: NDArray[np.bool_] | slice = slice(None)) -> Reads:
    """List the values that results of these kinds read.

    Args:
        rows: bool `[n_rows]` or a slice: the rows of the plan that are read, where rows are wanted.
    """
    steps = plan.steps
    n_sections = len(steps.sections)
    values, sections = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]

    def read(of: NDArray[np.int32], section: int) -> None:
        values.append(of)
        sections.append(np.full(len(of), section))

    planes = steps.planes.numpy()
    with_sums = plan.votes and kinds.sums
    with_trees = kinds.leaves or with_sums
    is_lone, fires = find_lone_rules(plan, kinds), steps.fires.numpy()
    indexes = [Index(*index) for index in steps.indexes.tolist()]
    for number, section in enumerate(Section(*section) for section in steps.sections.tolist()):
        if with_trees and section.index_start < section.index_stop:
            start, stop = indexes[section.index_start].plane_start, indexes[section.index_stop - 1].plane_stop
            again = with_sums and kinds.rules  # to see which tree added most
            read(planes[start:stop], n_sections if again else number)
        if kinds.decision:
            rules = slice(section.rule_start, section.rule_stop)
            read(fires[rules][is_lone[rules]], number)
    if with_sums:
        read(np.array([steps.covered], np.int32), n_sections)
        if not kinds.rules:
            for counter in (Counter(*counter) for counter in steps.counters.tolist()):
                read(planes[counter.plane_start : counter.plane_stop], n_sections)
    elif kinds.decision and kinds.rules:
        read(planes[indexes[-1].plane_start : indexes[-1].plane_stop], n_sections)
    elif kinds.decision:
        read(steps.answers.numpy(), n_sections)
    if kinds.rows:
        read(strip_negation(steps.values.numpy()[rows]), n_sections)
    return Reads(np.concatenate(values).astype(np.int32), np.concatenate(sections))


def find_lone_rules(plan: Plan, kinds: ResultKinds) -> NDArray[np.bool_]:
    """bool `[n_class_rules]`: the class rules that vote by themselves, not as a leaf of a tree or in a counter."""
    steps = plan.steps
    alone = (steps.fires >= 0) & (~steps.is_counted | kinds.rules)
    return (alone & plan.votes).numpy()
