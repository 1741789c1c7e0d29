"""Packed words on the CPU: Numba, one thread a core, a block of words through all steps of a plan at a time."""

from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.bits import ROW_WORDS, count_words
from eric_fast.kernels.cpu.decide import BLOCK_SAMPLES, GROUP_TREES
from eric_fast.kernels.cpu.lower import CpuCode, lower_plan
from eric_fast.kernels.cpu.run import FIRST_ANSWERS, FIRST_RULES, NOTHING, VOTE, VOTE_RULES, run_blocks
from eric_fast.kernels.cpu.simd_words import VECTOR_BYTES, VECTOR_WORDS
from eric_fast.kernels.cpu.threads import count_cores, run_workers
from eric_fast.kernels.decision_tables import DecisionTables, make_decision_tables
from eric_fast.kernels.liveness import ResultKinds, find_lone_rules, find_result_kinds
from eric_fast.kernels.memory import allocate_aligned, allocate_result
from eric_fast.kernels.outcome import Outcome, Pack, Request, check_request
from eric_fast.plan import Plan

assert ROW_WORDS % (2 * VECTOR_WORDS) == 0  # a row is padded to whole blocks
SLOT_WORDS = VECTOR_BYTES // 4  # of 32 bits
SPACING = 16  # between the numbers of trees, so that they don't share the sets of a cache
CHUNK_BLOCKS = 16  # that a thread takes at a time at most: few enough that none waits long for another
SCRATCH_BYTES = 2**27  # of all threads together, if more than one
KEPT_BYTES = 2**24  # of a plan's scratch memory, from one call to the next
FIRST_INPUT = 2  # the slot of the first input; the rest follow


def evaluate(plan: Plan, words: Tensor, n_samples: int, request: Request) -> Outcome:
    """As `reference.evaluate`, to the bit."""
    check_request(plan, words, n_samples, request)
    if not words.is_contiguous():
        words = words.contiguous()
    return _evaluate(plan, words.numpy().view(np.uint64), None, n_samples, request)


def evaluate_packed(plan: Plan, pack: Pack, n_samples: int, request: Request) -> Outcome:
    """The same on words that `pack` makes, a block at a time, where they are evaluated: they never leave the cache."""
    return _evaluate(plan, np.empty((0, count_words(n_samples) // 2), np.uint64), pack, n_samples, request)


def _evaluate(plan: Plan, inputs: NDArray[np.uint64], pack: Pack | None, n_samples: int, request: Request) -> Outcome:
    """inputs: `[n_inputs, n_words]`; none of them where `pack` makes them."""
    ready = _prepare(plan, find_result_kinds(plan, request))
    n_blocks = inputs.shape[1] // VECTOR_WORDS
    chunk_blocks = 1 if pack else CHUNK_BLOCKS
    n_threads = min(count_cores(), -(-n_blocks // chunk_blocks))
    n_threads = max(1, min(n_threads, SCRATCH_BYTES // ready.scratch_bytes))
    n_chunks = min(n_blocks, n_threads * -(-n_blocks // (n_threads * chunk_blocks)))  # as many for each thread

    is_narrow = request.class_dtype == torch.int16
    classes = np.empty(n_samples if request.classes and not is_narrow else 0, np.int32)
    narrow_classes = np.empty(n_samples if request.classes and is_narrow else 0, np.int16)
    rules = np.empty(n_samples if request.rules else 0, np.int32)
    scores = np.empty((n_samples if request.scores else 0, plan.n_classes), np.float64)
    leaves = np.empty((n_samples if request.leaves else 0, len(plan.trees)), np.int32)
    wanted_rows = np.array(request.rows or (), np.int64)
    rows = allocate_result((len(wanted_rows), inputs.shape[1]), np.uint64)
    truths = np.zeros((0, n_samples), np.int64) if request.truths is None else request.truths.contiguous().numpy()
    counts = np.zeros((n_threads, plan.n_rules if request.counts else 0), np.int64)
    if request.scores and not plan.votes:
        scores[:] = plan.base.numpy()
    confusion = np.zeros((n_threads, len(truths), plan.n_classes, plan.n_classes + 1), np.int64)

    chunks = count()

    def run(thread: int) -> None:
        scratch, memory = ready.take_memory()
        of_thread = (counts[thread], truths, confusion[thread], n_samples)
        out = (classes, narrow_classes, rules, scores, leaves, wanted_rows, rows, *of_thread)
        packed = torch.from_numpy(scratch.view(np.int32)).view(-1, 2 * VECTOR_WORDS)[FIRST_INPUT:][: plan.n_inputs]
        while (chunk := next(chunks)) < n_chunks:
            first, last = (n_blocks * edge // n_chunks for edge in (chunk, chunk + 1))
            if pack:
                pack(first * BLOCK_SAMPLES, min(last * BLOCK_SAMPLES, n_samples), packed)
            run_blocks(first, last, inputs, scratch, ready.instructions, ready.decision, memory, out)
        ready.keep_memory(scratch, memory)

    run_workers(run, n_threads)
    return Outcome(
        torch.from_numpy(narrow_classes if is_narrow else classes) if request.classes else None,
        torch.from_numpy(rules) if request.rules else None,
        torch.from_numpy(scores) if request.scores else None,
        torch.from_numpy(counts.sum(axis=0)) if request.counts else None,
        torch.from_numpy(rows.view(np.int32)) if request.rows is not None else None,
        None if request.truths is None else torch.from_numpy(confusion.sum(axis=0)),
        torch.from_numpy(leaves) if request.leaves else None,
    )


class _Ready:
    """A plan as `run_blocks` takes it, and memory of threads that are done: new pages take longer than a row."""

    def __init__(self, plan: Plan, kinds: ResultKinds) -> None:
        code, self._tables = lower_plan(plan, kinds), make_decision_tables(plan)
        self.instructions = _list_instructions(plan, code)
        self.decision = _list_decision(plan, kinds, code, self._tables)
        self.scratch_bytes = code.n_slots * VECTOR_BYTES
        self._n_classes = plan.n_classes
        self._votes, self._with_rules = plan.votes and kinds.decision, kinds.rules and kinds.decision
        self._kept: list[tuple[NDArray[np.uint64], tuple[Any, ...]]] = []

    def take_memory(self) -> tuple[NDArray[np.uint64], tuple[Any, ...]]:
        """Scratch memory, and what `_allocate_memory` makes; nothing in them is known."""
        try:
            return self._kept.pop()
        except IndexError:
            scratch = allocate_aligned((self.scratch_bytes // 8,), np.uint64)
            sizes = {"votes": self._votes, "with_rules": self._with_rules}
            return scratch, _allocate_memory(self._n_classes, self._tables, **sizes)

    def keep_memory(self, scratch: NDArray[np.uint64], memory: tuple[Any, ...]) -> None:
        """For another call, if it is little."""
        if (1 + len(self._kept)) * self.scratch_bytes <= KEPT_BYTES:
            self._kept.append((scratch, memory))


_ready: WeakKeyDictionary[Plan, dict[ResultKinds, _Ready]] = WeakKeyDictionary()


def _prepare(plan: Plan, kinds: ResultKinds) -> _Ready:
    """Made once."""
    of_plan = _ready.setdefault(plan, {})
    if kinds not in of_plan:
        of_plan[kinds] = _Ready(plan, kinds)
    return of_plan[kinds]


def _list_instructions(plan: Plan, code: CpuCode) -> tuple[Any, ...]:
    """What is run: nodes, terms, segments, batches, sections; slots of inputs and rows; bodies, to count rules by."""
    values = plan.steps.values.numpy()
    slots = code.slots[np.where(values >= 0, values, ~values)]
    return (
        code.nodes.view(np.uint64),
        code.terms.view(np.uint64),
        code.segments,
        plan.steps.batches.numpy(),
        code.sections,
        code.slots[: plan.n_inputs],
        np.where(values >= 0, slots, ~slots),
        (plan.literals.numpy(), plan.offsets.numpy()),
    )


def _list_decision(plan: Plan, kinds: ResultKinds, code: CpuCode, tables: DecisionTables) -> tuple[Any, ...]:
    """What `run_blocks` decides, and `numbers`, `rule_parts` and `votes` as `cpu_vote` takes them."""
    steps = plan.steps
    kind = NOTHING
    if kinds.decision and plan.votes:
        kind = VOTE_RULES if kinds.rules else VOTE
    elif kinds.decision:
        kind = FIRST_RULES if kinds.rules else FIRST_ANSWERS
    of_votes = (plan.base, plan.vote_offsets, plan.vote_classes, plan.vote_weights)
    numbers = (
        steps.indexes.numpy(),
        steps.codes.numpy(),
        code.slots[steps.planes.numpy()] * SLOT_WORDS,
        code.slots[steps.answers.numpy()] * SLOT_WORDS,
        tables.class_of_code,
    )
    rule_parts = (
        find_lone_rules(plan, kinds),
        code.slots[steps.fires.numpy()],
        plan.default,
        steps.counters.numpy(),
        steps.units.numpy(),
        code.slots[steps.covered],
    )
    votes = (
        *(array.numpy() for array in of_votes),
        tables.by_sample,
        tables.n_columns,
        tables.weights,
        tables.adds,
        tables.add_starts,
    )
    return kind, numbers, rule_parts, votes


def _allocate_memory(n_classes: int, tables: DecisionTables, *, votes: bool, with_rules: bool) -> tuple[Any, ...]:
    """What a thread works in: samples that are undecided; numbers of several trees; numbers of one, and parts of them;
    classes; rules; sums; what each output was given most, and by which rule; a row of weights; the highest sums."""
    n = BLOCK_SAMPLES if votes else 0
    return (
        np.empty(VECTOR_WORDS, np.uint64),
        np.empty((GROUP_TREES, BLOCK_SAMPLES + SPACING), np.uint32),
        np.empty(BLOCK_SAMPLES, np.uint32),
        np.empty(BLOCK_SAMPLES, np.uint32),
        np.empty(BLOCK_SAMPLES, np.int32),
        np.empty(BLOCK_SAMPLES, np.int32),
        allocate_aligned((n, tables.n_columns) if tables.by_sample else (n_classes, n), np.float64),
        np.empty((n if with_rules else 0, n_classes), np.float64),
        np.empty((n if with_rules else 0, n_classes), np.int32),
        np.zeros(max(n_classes, tables.n_columns), np.float64),
        np.empty(BLOCK_SAMPLES, np.float64),
    )
