"""What the compiled functions of an evaluation share: instructions, decision, workspace and results, by name.

A *block* is the `BLOCK_SAMPLES` samples of one vector of words. A *slot* is the number of a vector in a thread's
scratch memory, a *place* the number of a 32-bit word in it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.kernels.cpu.lower import CpuCode
from eric_fast.kernels.cpu.simd_words import BLOCK_SAMPLES, VECTOR_BYTES, VECTOR_WORDS
from eric_fast.kernels.decision_tables import DecisionTables
from eric_fast.kernels.liveness import VOTE, VOTE_RULES, ResultKinds, find_lone_rules
from eric_fast.kernels.memory import allocate_aligned
from eric_fast.plan import Plan
from eric_fast.plan.negation import is_negated, negate, strip_negation

SLOT_WORDS = VECTOR_BYTES // 4  # 32-bit words of a slot
GROUP_TREES = 8  # trees whose rows of weights are added to a sample's sums while these are in registers
SPACING = 16  # between the codes of neighbouring trees, so that they don't share the sets of a cache


class Instructions(NamedTuple):
    """What a block runs through.

    Attributes:
        nodes: uint64 `[n_nodes, 2]`: `CpuCode.nodes`, two offsets in a word: one load reads both.
        terms: uint64 `[n_pairs]`: `CpuCode.terms`, likewise.
        adders: uint32 `[n_adder_offsets]`, runs: int64 `[n_runs, 5]`, segments: uint32 `[n_segments, 3]`, sections:
            int64 `[n_sections, 10]`: as in `CpuCode`.
        batches: int64 `[n_batches, 4]`: as in `Steps`.
        input_slots: int64 `[n_inputs]`: the slot of each input, -1 where nothing reads it.
        row_slots: int64 `[n_rows]`: the slot of each row of the plan, `~slot` where the row is its negation.
        literals: int32 `[n_literals]`, offsets: int64 `[n_rules + 1]`: the rules' bodies as in `Plan`, to count by.
    """

    nodes: NDArray[np.uint64]
    adders: NDArray[np.uint32]
    runs: NDArray[np.int64]
    terms: NDArray[np.uint64]
    segments: NDArray[np.uint32]
    batches: NDArray[np.int64]
    sections: NDArray[np.int64]
    input_slots: NDArray[np.int64]
    row_slots: NDArray[np.int64]
    literals: NDArray[np.int32]
    offsets: NDArray[np.int64]


class Codes(NamedTuple):
    """Numbers that a block holds in binary, a vector for each digit, and what they stand for.

    Attributes:
        indexes: int64 `[n_indexes, 6]`, rules: int32 `[n_codes]` (`Steps.codes`): as in `Steps`.
        planes: int64 `[n_planes]`: the place of each digit of `Steps.planes`.
        answers: int64 `[n_answers]`: the place of each digit of `Steps.answers`.
        classes: int32 `[n_codes_of_last_index]`: `DecisionTables.class_of_code`.
    """

    indexes: NDArray[np.int64]
    rules: NDArray[np.int32]
    planes: NDArray[np.int64]
    answers: NDArray[np.int64]
    classes: NDArray[np.int32]


class Votes(NamedTuple):
    """What class rules add to the outputs under `vote`.

    Attributes:
        default: the class where no rule fires, or -1.
        covered: the slot of `Steps.covered`.
        is_lone: bool `[n_class_rules]`: which rules add by themselves; see `find_lone_rules`.
        rule_slots: int64 `[n_class_rules]`: where those say on which samples they fire.
        base: float64 `[n_classes]`, offsets: int64 `[n_class_rules + 1]`, classes: int32 `[n_votes]`,
            weights: float64 `[n_votes]`: `base` and `vote_*` of the plan.
        counters: int64 `[n_counters, 4]`, units: float64 `[n_counters]`: as in `Steps`.
        by_sample, n_columns, table_weights, adds, add_starts: as in `DecisionTables`.
    """

    default: int
    covered: int
    is_lone: NDArray[np.bool_]
    rule_slots: NDArray[np.int64]
    base: NDArray[np.float64]
    offsets: NDArray[np.int64]
    classes: NDArray[np.int32]
    weights: NDArray[np.float64]
    counters: NDArray[np.int64]
    units: NDArray[np.float64]
    by_sample: bool
    n_columns: int
    table_weights: NDArray[np.float64]
    adds: NDArray[np.int64]
    add_starts: NDArray[np.int64]


class Workspace(NamedTuple):
    """What a thread works in besides its scratch memory. Nothing is known of it between blocks, but `vote_row` is 0.

    Attributes:
        bits: uint64 `[VECTOR_WORDS]`: samples: those that no rule has decided yet, then those that are there at all.
        tree_codes: uint32 `[GROUP_TREES, BLOCK_SAMPLES + SPACING]`: codes of several trees.
        codes, high_codes: uint32 `[BLOCK_SAMPLES]`: codes of one tree; their higher digits.
        classes, rules: int32 `[BLOCK_SAMPLES]`: what was decided; of `rules` before, the first lone rule that fired.
        sums: float64 `[BLOCK_SAMPLES, n_columns]` by sample, else `[n_classes, BLOCK_SAMPLES]`; empty without votes.
        most, most_rules: float64 and int32 `[BLOCK_SAMPLES, n_classes]`: the most that a lone rule added to each
            output, and the rule, where one fired; empty where nobody asks for rules.
        vote_row: float64 `[n_columns or n_classes]`: what one rule adds to each output.
        best: float64 `[BLOCK_SAMPLES]`: the highest sums.
    """

    bits: NDArray[np.uint64]
    tree_codes: NDArray[np.uint32]
    codes: NDArray[np.uint32]
    high_codes: NDArray[np.uint32]
    classes: NDArray[np.int32]
    rules: NDArray[np.int32]
    sums: NDArray[np.float64]
    most: NDArray[np.float64]
    most_rules: NDArray[np.int32]
    vote_row: NDArray[np.float64]
    best: NDArray[np.float64]


class Results(NamedTuple):
    """Where results go; an array has no length where its result isn't wanted.

    Attributes:
        classes: int32, narrow_classes: int16, rules: int32 `[n_samples]`; scores: float64 `[n_samples, n_classes]`;
            leaves: int32 `[n_samples, n_trees]`: as in `Outcome`.
        wanted_rows: int64 `[n_wanted]`: rows of the plan. rows: uint64 `[n_wanted, n_words]`, aligned.
        truths: int64 `[n_truths, n_samples]`: as in `Request`.
        counts: int64 `[n_threads, n_rules]`, confusion: int64 `[n_threads, n_truths, n_classes, n_classes + 1]`: what
            each thread counts.
    """

    classes: NDArray[np.int32]
    narrow_classes: NDArray[np.int16]
    rules: NDArray[np.int32]
    scores: NDArray[np.float64]
    leaves: NDArray[np.int32]
    wanted_rows: NDArray[np.int64]
    rows: NDArray[np.uint64]
    truths: NDArray[np.int64]
    counts: NDArray[np.int64]
    confusion: NDArray[np.int64]


def make_instructions(plan: Plan, code: CpuCode) -> Instructions:
    values = plan.steps.values.numpy()
    slots = code.slots[strip_negation(values)]
    return Instructions(
        nodes=code.nodes.view(np.uint64),
        adders=code.adders,
        runs=code.runs,
        terms=code.terms.view(np.uint64),
        segments=code.segments,
        batches=plan.steps.batches.numpy(),
        sections=code.sections,
        input_slots=code.slots[: plan.n_inputs],
        row_slots=np.where(is_negated(values), negate(slots), slots),
        literals=plan.literals.numpy(),
        offsets=plan.offsets.numpy(),
    )


def make_codes(plan: Plan, code: CpuCode, tables: DecisionTables) -> Codes:
    steps = plan.steps
    return Codes(
        indexes=steps.indexes.numpy(),
        rules=steps.codes.numpy(),
        planes=code.slots[steps.planes.numpy()] * SLOT_WORDS,
        answers=code.slots[steps.answers.numpy()] * SLOT_WORDS,
        classes=tables.class_of_code,
    )


def make_votes(plan: Plan, kinds: ResultKinds, code: CpuCode, tables: DecisionTables) -> Votes:
    steps = plan.steps
    return Votes(
        default=plan.default,
        covered=int(code.slots[steps.covered]),
        is_lone=find_lone_rules(plan, kinds),
        rule_slots=code.slots[steps.fires.numpy()],
        base=plan.base.numpy(),
        offsets=plan.vote_offsets.numpy(),
        classes=plan.vote_classes.numpy(),
        weights=plan.vote_weights.numpy(),
        counters=steps.counters.numpy(),
        units=steps.units.numpy(),
        by_sample=tables.by_sample,
        n_columns=tables.n_columns,
        table_weights=tables.weights,
        adds=tables.adds,
        add_starts=tables.add_starts,
    )


def count_workspace_bytes(n_classes: int, kind: int, tables: DecisionTables) -> int:
    """Bytes of `sums`, `most` and `most_rules`, which grow with the classes."""
    n_sums = tables.n_columns if tables.by_sample else n_classes
    return BLOCK_SAMPLES * (8 * n_sums * (kind >= VOTE) + 12 * n_classes * (kind == VOTE_RULES))


def allocate_workspace(n_classes: int, kind: int, tables: DecisionTables) -> Workspace:
    """A workspace for decisions of this kind."""
    n = BLOCK_SAMPLES if kind >= VOTE else 0
    n_with_rules = BLOCK_SAMPLES if kind == VOTE_RULES else 0
    return Workspace(
        bits=np.empty(VECTOR_WORDS, np.uint64),
        tree_codes=np.empty((GROUP_TREES, BLOCK_SAMPLES + SPACING), np.uint32),
        codes=np.empty(BLOCK_SAMPLES, np.uint32),
        high_codes=np.empty(BLOCK_SAMPLES, np.uint32),
        classes=np.empty(BLOCK_SAMPLES, np.int32),
        rules=np.empty(BLOCK_SAMPLES, np.int32),
        sums=allocate_aligned((n, tables.n_columns) if tables.by_sample else (n_classes, n), np.float64),
        most=np.empty((n_with_rules, n_classes), np.float64),
        most_rules=np.empty((n_with_rules, n_classes), np.int32),
        vote_row=np.zeros(max(n_classes, tables.n_columns), np.float64),
        best=np.empty(BLOCK_SAMPLES, np.float64),
    )
