"""What a plan is asked, and what a device needs to answer: made and sent there at the first call, then kept."""

from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from eric_fast.kernels.gpu.decide import FIRST_ANSWERS, FIRST_RULES, VOTE, VOTE_RULES
from eric_fast.kernels.gpu.devices import count_multiprocessors
from eric_fast.kernels.gpu.lower import GpuCode, Wanted, count_parts, lower_plan, may_split
from eric_fast.kernels.liveness import ResultKinds, find_result_kinds
from eric_fast.kernels.outcome import Request, check_wanted
from eric_fast.kernels.streams import keep_for_stream
from eric_fast.plan import Plan

MOST_KEPT = 64  # questions of a plan and a device


class _Lowered:
    """The code of a plan for a question, and the rows that it stores; used on the streams that `streams` names."""

    def __init__(self, code: GpuCode, wanted: Wanted) -> None:
        self.operands = code, wanted
        self.tensors = (*code.tables, *wanted)
        self.streams: set[int] = set()


@dataclass(frozen=True, eq=False)
class Question:
    """What a plan is asked, without the truths: checked once, and what a device needs for it is sent there once.

    Attributes:
        kinds: what the plan is lowered for. splits: whether the program may be split over the grid.
        decision: what the kernel decides. votes: whether it adds sums up for scores.
        base: float64 `[n_classes]`, on the device: the scores of a program that adds no votes.
        lowered: number of parts -> the code.
    """

    device: torch.device
    request: Request
    kinds: ResultKinds
    splits: bool
    decision: int
    votes: bool
    n_rules: int
    n_trees: int
    base: Tensor
    lowered: dict[int, _Lowered] = field(default_factory=dict)

    def lower(self, plan: Plan, n_groups: int) -> tuple[GpuCode, Wanted]:
        """The code for so many groups of words, and the rows that it stores."""
        n_parts = count_parts(plan, n_groups, count_multiprocessors(self.device)) if self.splits else 1
        lowered = self.lowered.get(n_parts)
        if lowered is None:
            code = lower_plan(plan, self.device, self.kinds, counts=self.request.counts, n_parts=n_parts)
            lowered = self.lowered[n_parts] = _Lowered(code, code.list_wanted(list(self.request.rows or ())))
        keep_for_stream(lowered.tensors, lowered.streams)
        return lowered.operands


_questions: WeakKeyDictionary[Plan, dict[tuple[Any, ...], Question]] = WeakKeyDictionary()


def prepare_question(plan: Plan, device: torch.device, request: Request) -> Question:
    """The question of this request, kept from an earlier call if there was one."""
    questions = _questions.setdefault(plan, {})
    key = (
        device,
        request.classes,
        request.rules,
        request.scores,
        request.counts,
        request.rows if isinstance(request.rows, range) or request.rows is None else tuple(request.rows),
        request.leaves,
        request.covered,
        request.class_dtype,
        request.truths is None,
    )
    question = questions.get(key)
    if question is None:
        check_wanted(plan, request)
        kinds = find_result_kinds(plan, request)
        while len(questions) >= MOST_KEPT:
            questions.pop(list(questions)[0], None)  # noqa: RUF015  other threads may add and remove meanwhile
        question = questions[key] = Question(
            device=device,
            request=replace(request, truths=None),
            kinds=kinds,
            splits=may_split(plan, kinds, counts=request.counts),
            decision=pick_decision(plan, kinds),
            votes=plan.votes,
            n_rules=plan.n_rules,
            n_trees=len(plan.trees),
            base=plan.base.to(device),
        )
    return question


def pick_decision(plan: Plan, kinds: ResultKinds) -> int:
    """Return what the kernel decides, see `decide`; 0 for nothing."""
    if not kinds.decision:
        return 0
    answers, rules = (VOTE, VOTE_RULES) if plan.votes and kinds.sums else (FIRST_ANSWERS, FIRST_RULES)
    return int((rules if kinds.rules else answers).value)
