"""`evaluate_generated`: as the GPU's `evaluate`, by a kernel of a plan's own where there can be one.

`write_source` writes it, Triton compiles it at the first call of a plan and request, and keeps it in its cache, by what
is in it. A second kernel makes classes of the digits that the first stores. Calls after the first copy nothing to the
device and don't wait for it.
"""

import linecache
import logging
import time
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
import triton
import triton.language as tl
from torch import Tensor

from eric_fast.bits import ROW_WORDS, mask_tail
from eric_fast.kernels.decision_tables import make_decision_tables
from eric_fast.kernels.devices import keep_for_stream, launch_on
from eric_fast.kernels.gpu.decide import BITS, decode, decode_answers
from eric_fast.kernels.gpu.evaluate import GROUP_SAMPLES, evaluate
from eric_fast.kernels.gpu.pipeline import compile_quickly
from eric_fast.kernels.gpu.questions import Question, prepare_question
from eric_fast.kernels.gpu.write_source import write_source
from eric_fast.kernels.outcome import Outcome, Request, check_inputs, check_truths
from eric_fast.kernels.reference.evaluate import count_confusion
from eric_fast.plan import Plan

logger = logging.getLogger(__name__)
# 168 registers leave room for three warps on each quarter of a multiprocessor: 12 of 1,024 samples on each
CONSTANTS = {"num_warps": 1, "maxnreg": 168}
DECODE_WARPS = 32  # a thread for each sample, as of `evaluate`


class DigitTables(NamedTuple):
    """What makes classes of the digits of a number, on a device: arguments of `decode_kernel`.

    slots: int32 `[n_digits]`: their numbers. indexes: int32 `[1, 6]`: see `plan.steps.Index`.
    class_of_code, codes: int32: the class and the class rule of each number; empty where digits are those of a class.
    """

    slots: Tensor
    indexes: Tensor
    class_of_code: Tensor
    codes: Tensor


class GeneratedCode:
    """The kernels of a plan for a question, on its device.

    compiled: what the first launch of `kernel` returned; None before, and always by Triton's interpreter.
    is_new: whether it was never launched.
    """

    def __init__(self, plan: Plan, question: Question) -> None:
        steps, device = plan.steps, question.device
        digits, with_rules = list_digits(plan, question)
        self.rows = list(question.request.rows or ())
        values = steps.values[self.rows].tolist()
        self.kernel = load_kernel(write_source(steps, plan.n_inputs, digits, values))
        self.with_rules = with_rules
        empty = torch.zeros(1, dtype=torch.int32)
        classes, codes = empty, empty
        if with_rules:
            start, stop = steps.indexes[-1, 2:4].tolist()
            classes, codes = torch.from_numpy(make_decision_tables(plan).class_of_code), steps.codes[start:stop]
        index = torch.tensor([[0, len(digits), 0, len(codes), 0, 0]], dtype=torch.int32)
        slots = torch.arange(len(digits), dtype=torch.int32)
        self.digits = DigitTables(*(table.to(device) for table in (slots, index, classes, codes)))
        self.n_steps = len(steps.nodes)
        self.compiled: Any = None
        self.is_new, self.streams = True, set[int]()


def can_generate(plan: Plan, question: Question) -> bool:
    """Whether a plan's own kernel answers a question: classes, or rules under `first`, and rows."""
    kinds = question.kinds
    return plan.generate and not (kinds.sums or kinds.leaves or question.request.counts)


def list_digits(plan: Plan, question: Question) -> tuple[list[int], bool]:
    """The values that decide, and whether their number stands for a class rule, not for a class."""
    if not question.kinds.decision:
        return [], False
    if not question.kinds.rules:
        return plan.steps.answers.tolist(), False
    start, stop = plan.steps.indexes[-1, :2].tolist()
    return plan.steps.planes[start:stop].tolist(), True


def load_kernel(source: str) -> Any:
    """The kernel of a source that `write_source` wrote; Python and Triton look its lines up by the name given here."""
    name = source.partition("\ndef ")[2].partition("(")[0]
    file = f"<eric_fast {name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(source, file, "exec"), names)
    return names[name]


@triton.jit
def decode_kernel(
    p_digits, p_slots, p_index, p_class_of_code, p_codes, p_classes, p_rules, n_digits,
    WITH_RULES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Classes, and rules, of a group of words; see `DigitTables` and `evaluate.Outputs`.

    p_digits: int32 [n_groups, n_digits, BLOCK].
    """
    i_group = tl.program_id(0).to(tl.int64)
    p_group = p_digits + i_group * n_digits * BLOCK
    o_samples = (i_group * BLOCK + tl.arange(0, BLOCK)[:, None]) * BITS + tl.arange(0, BITS)[None, :]
    if WITH_RULES:
        b_number = decode(p_group, p_slots, p_index, 0, BLOCK)
        tl.store(p_classes + o_samples, tl.load(p_class_of_code + b_number))
        tl.store(p_rules + o_samples, tl.load(p_codes + b_number))
    else:
        tl.store(p_classes + o_samples, decode_answers(p_group, p_slots, n_digits, BLOCK))


_codes: WeakKeyDictionary[Question, GeneratedCode] = WeakKeyDictionary()


def evaluate_generated(plan: Plan, words: Tensor, n_samples: int, request: Request) -> Outcome:
    """As `reference.evaluate`, to the bit, on the device of `words` and its current stream."""
    check_inputs(plan, words, n_samples)
    check_truths(plan, words, n_samples, request.truths)
    question = prepare_question(plan, words.device, request)
    if not can_generate(plan, question):
        return evaluate(plan, words, n_samples, request)
    code = _codes.get(question)
    if code is None:
        code = _codes[question] = GeneratedCode(plan, question)
    keep_for_stream(code.digits, code.streams)
    device, n_groups, n_digits = words.device, words.shape[1] // ROW_WORDS, len(code.digits.slots)
    decides = question.kinds.decision
    digits = torch.empty(n_groups, n_digits, ROW_WORDS, dtype=torch.int32, device=device)
    rows = torch.empty(len(code.rows), words.shape[1], dtype=torch.int32, device=device)
    classes = torch.empty(n_groups * GROUP_SAMPLES if decides else 0, dtype=request.class_dtype, device=device)
    rules = torch.empty(len(classes) if code.with_rules else 0, dtype=torch.int32, device=device)
    if n_groups:
        launch_generated(code, words.contiguous(), digits, rows)
        if decides:
            with launch_on(device):
                decode_kernel[n_groups,](
                    digits, *code.digits, classes, rules, n_digits,
                    WITH_RULES=code.with_rules, BLOCK=ROW_WORDS, num_warps=DECODE_WARPS,
                )  # fmt: skip
    classes, rules = classes[:n_samples], rules[:n_samples]
    return Outcome(
        classes=classes if request.classes else None,
        rules=rules if request.rules else None,
        scores=question.base.repeat(n_samples, 1) if request.scores else None,
        counts=None,
        rows=None if request.rows is None else mask_tail(rows, n_samples),
        confusion=None if request.truths is None else count_confusion(plan, request.truths, classes),
        leaves=None,
        covered=rules >= 0 if request.covered else None,
    )


def launch_generated(code: GeneratedCode, words: Tensor, digits: Tensor, rows: Tensor) -> None:
    """Run a plan's own kernel; the first launch compiles it, and logs how long that takes.

    Later launches go straight to what it returned, so that none waits for a kernel that another thread compiles.
    """
    n_groups = words.shape[1] // ROW_WORDS
    arguments = words, digits, rows, n_groups
    with launch_on(words.device):
        if code.compiled is not None:
            code.compiled[n_groups, 1, 1](*arguments)
            return
        started = time.monotonic()
        with compile_quickly():
            code.compiled = code.kernel[n_groups,](*arguments, **CONSTANTS)
    if code.is_new:
        code.is_new = False
        logger.info("a kernel of %s nodes: compiled in %.1f s", f"{code.n_steps:,}", time.monotonic() - started)
