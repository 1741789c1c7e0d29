"""Packed words on the CPU: Numba, one thread a core, a block of words through all steps of a plan at a time."""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from eric_fast.bits import ROW_WORDS
from eric_fast.kernels.cpu_code import CpuCode, lower_plan
from eric_fast.kernels.cpu_decide import BLOCK_SAMPLES, GROUP_TREES
from eric_fast.kernels.cpu_run import FIRST_ANSWERS, FIRST_RULES, NOTHING, VOTE, VOTE_RULES, run_blocks
from eric_fast.kernels.needs import Needs, find_needs, runs_alone
from eric_fast.kernels.outcome import Outcome, Request, check_request
from eric_fast.kernels.tables import Tables, allocate_aligned, make_tables
from eric_fast.kernels.vectors import VECTOR_BYTES, VECTOR_WORDS
from eric_fast.plan import Plan

assert ROW_WORDS == 2 * VECTOR_WORDS  # a block is one unit of a row's padding, so every block is whole
SLOT_WORDS = VECTOR_BYTES // 4  # of 32 bits
SPACING = 16  # between the numbers of trees, so that they don't share the sets of a cache
CHUNK_BLOCKS = 16  # what a thread takes at a time: small enough that none waits long for another


def evaluate(plan: Plan, words: Tensor, n_samples: int, request: Request) -> Outcome:
    """As `reference.evaluate`, to the bit."""
    check_request(plan, words, n_samples, request)
    if not words.is_contiguous():
        words = words.contiguous()
    inputs = words.numpy().view(np.uint64)  # [n_inputs, n_words]
    n_blocks = inputs.shape[1] // VECTOR_WORDS
    n_threads = max(1, min(len(os.sched_getaffinity(0)), -(-n_blocks // CHUNK_BLOCKS)))

    classes = np.empty(n_samples if request.classes else 0, np.int32)
    rules = np.empty(n_samples if request.rules else 0, np.int32)
    scores = np.empty((n_samples if request.scores else 0, plan.n_classes), np.float64)
    leaves = np.empty((n_samples if request.leaves else 0, len(plan.trees)), np.int32)
    wanted_rows = np.array(request.rows or (), np.int64)
    rows = np.empty((len(wanted_rows), inputs.shape[1]), np.uint64)
    truths = np.zeros((0, n_samples), np.int64) if request.truths is None else request.truths.contiguous().numpy()
    counts = np.zeros((n_threads, plan.n_rules if request.counts else 0), np.int64)
    if request.scores and not plan.votes:
        scores[:] = plan.base.numpy()
    confusion = np.zeros((n_threads, len(truths), plan.n_classes, plan.n_classes + 1), np.int64)

    needs = find_needs(plan, request)
    tables = make_tables(plan)
    n_slots, instructions, decision = _prepare(plan, needs, tables)
    with_rules = needs.rules and needs.decides
    chunks = count()

    def run(thread: int) -> None:
        scratch = allocate_aligned((n_slots * VECTOR_WORDS,), np.uint64)
        memory = _allocate_memory(plan.n_classes, tables, votes=plan.votes and needs.decides, with_rules=with_rules)
        of_thread = (counts[thread], truths, confusion[thread], n_samples)
        out = (classes, rules, scores, leaves, wanted_rows, rows, *of_thread)
        while (first := CHUNK_BLOCKS * next(chunks)) < n_blocks:
            last = min(first + CHUNK_BLOCKS, n_blocks)
            run_blocks(first, last, inputs, scratch, instructions, decision, memory, out)

    if n_threads == 1:
        run(0)
    else:
        with ThreadPoolExecutor(n_threads - 1) as pool:
            others = pool.map(run, range(1, n_threads))
            run(0)
            list(others)
    return Outcome(
        torch.from_numpy(classes) if request.classes else None,
        torch.from_numpy(rules) if request.rules else None,
        torch.from_numpy(scores) if request.scores else None,
        torch.from_numpy(counts.sum(axis=0)) if request.counts else None,
        torch.from_numpy(rows.view(np.int32)) if request.rows is not None else None,
        None if request.truths is None else torch.from_numpy(confusion.sum(axis=0)),
        torch.from_numpy(leaves) if request.leaves else None,
    )


_prepared: WeakKeyDictionary[Plan, dict[Needs, tuple[int, tuple[Any, ...], tuple[Any, ...]]]] = WeakKeyDictionary()


def _prepare(plan: Plan, needs: Needs, tables: Tables) -> tuple[int, tuple[Any, ...], tuple[Any, ...]]:
    """Slots of scratch memory, and `code` and `decision` as `run_blocks` takes them, made once."""
    prepared = _prepared.setdefault(plan, {})
    if needs not in prepared:
        code = lower_plan(plan, needs)
        prepared[needs] = code.n_slots, _list_instructions(plan, code), _list_decision(plan, needs, code, tables)
    return prepared[needs]


def _list_instructions(plan: Plan, code: CpuCode) -> tuple[Any, ...]:
    """What is run: nodes, terms, segments, batches, sections; slots of inputs and rows; bodies, to count rules by."""
    values = plan.steps.values.numpy()
    slots = code.slots[np.where(values >= 0, values, ~values)]
    return (
        code.nodes,
        code.terms,
        code.segments,
        plan.steps.batches.numpy(),
        code.sections,
        code.slots[: plan.n_inputs],
        np.where(values >= 0, slots, ~slots),
        (plan.literals.numpy(), plan.offsets.numpy()),
    )


def _list_decision(plan: Plan, needs: Needs, code: CpuCode, tables: Tables) -> tuple[Any, ...]:
    """What `run_blocks` decides, and `numbers`, `rule_parts` and `votes` as `cpu_vote` takes them."""
    steps = plan.steps
    kind = NOTHING
    if needs.decides and plan.votes:
        kind = VOTE_RULES if needs.rules else VOTE
    elif needs.decides:
        kind = FIRST_RULES if needs.rules else FIRST_ANSWERS
    of_votes = (plan.base, plan.vote_offsets, plan.vote_classes, plan.vote_weights)
    numbers = (
        steps.indexes.numpy(),
        steps.codes.numpy(),
        code.slots[steps.planes.numpy()] * SLOT_WORDS,
        code.slots[steps.answers.numpy()] * SLOT_WORDS,
        tables.class_of_code,
    )
    rule_parts = (
        runs_alone(plan, needs),
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


def _allocate_memory(n_classes: int, tables: Tables, *, votes: bool, with_rules: bool) -> tuple[Any, ...]:
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
