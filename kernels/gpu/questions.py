"""What a plan is asked, and what a device needs to answer: made and sent there at the first call, then kept."""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from eric_fast.kernels.devices import count_multiprocessors, keep_for_stream
from eric_fast.kernels.gpu.lower import GpuCode, Wanted, count_parts, lower_plan, may_split
from eric_fast.kernels.liveness import ResultKinds, choose_decision, find_result_kinds
from eric_fast.kernels.outcome import Request, check_wanted
from eric_fast.plan import Plan

MOST_KEPT = 64  # questions of a plan and a device


class LoweredQuestion(NamedTuple):
    """The code of a plan for a question, and the rows that it stores; used on the streams that `streams` names."""

    code: GpuCode
    wanted: Wanted
    tensors: tuple[Tensor, ...]
    streams: set[int]


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
    lowered: dict[int, LoweredQuestion] = field(default_factory=dict)

    def lower(self, plan: Plan, n_groups: int) -> LoweredQuestion:
        """The code for so many groups of words, and the rows that it stores."""
        n_parts = count_parts(plan, n_groups, count_multiprocessors(self.device)) if self.splits else 1
        lowered = self.lowered.get(n_parts)
        if lowered is None:
            code = lower_plan(plan, self.device, self.kinds, counts=self.request.counts, n_parts=n_parts)
            wanted = code.list_wanted(list(self.request.rows or ()))
            lowered = self.lowered[n_parts] = LoweredQuestion(code, wanted, (*code.tables, *wanted), set())
        keep_for_stream(lowered.tensors, lowered.streams)
        return lowered


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
            decision=choose_decision(plan, kinds),
            votes=plan.votes,
            n_rules=plan.n_rules,
            n_trees=len(plan.trees),
            base=plan.base.to(device),
        )
    return question
