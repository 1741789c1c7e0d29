"""What tests of engines share: plans, wishes, and the comparison with the reference."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import triton
from torch import Tensor

from eric_fast.bits import pack_bits, unpack_words
from eric_fast.compile.program import compile_program
from eric_fast.kernels import Request
from eric_fast.kernels.outcome import Outcome, expect
from eric_fast.kernels.reference import evaluate as reference
from eric_fast.plan import Plan, check_steps, interpret_steps
from eric_fast.program import ClassRule, Program
from eric_fast.program.atoms import InputAtom, Quantiser

Evaluate = Callable[[Plan, Tensor, int, Request], Outcome]

POISON = -0x5A5A5A5B  # 0xA5A5A5A5 as int32
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Triton's interpreter takes range(tensor) with NumPy 2.5 only since it squeezes the tensor first.
BROKEN = DEVICE == "cpu" and triton.__version__ < "3.9" and np.lib.NumpyVersion(np.__version__) >= "2.5.0"
needs_triton = pytest.mark.skipif(BROKEN, reason="this Triton's interpreter fails with NumPy 2.5: install Triton 3.9")


def make_plan(bodies: Sequence[tuple[int, ...]], n_inputs: int = 3, **settings: Any) -> Plan:
    atoms = tuple(InputAtom("f", k, ">", 0.0) for k in range(n_inputs))
    rules = tuple(ClassRule(i % 2, body) for i, body in enumerate(bodies))
    return compile_program(Program(Quantiser(atoms), ("a", "b"), rules, **settings))


def ask_everything(plan: Plan, n_samples: int) -> Request:
    generator = torch.Generator().manual_seed(n_samples)
    truths = torch.randint(-1, max(plan.n_classes, 1), (2, n_samples), generator=generator)
    truths = truths if plan.n_classes else torch.full((2, n_samples), -1)
    return Request(scores=True, counts=True, rows=range(plan.n_rows), truths=truths, leaves=True, covered=True)


def assert_equal_outcomes(found: Outcome, expected: Outcome) -> None:
    for name in expected._fields:
        ours, theirs = getattr(found, name), getattr(expected, name)
        if theirs is None:
            assert ours is None, name
            continue
        assert ours.dtype == theirs.dtype, name
        assert torch.equal(ours.cpu(), theirs), name


def check_plan(evaluate: Evaluate, plan: Plan, words: Tensor, n_samples: int, device: str = "cpu") -> None:
    """Everything at once, and the plain question alone, whose code may share memory that the other keeps; classes of 16
    bits for odd numbers of samples.

    evaluate: a function of a plan, words, a number of samples and a request, words and truths on `device`.
    """
    everything = ask_everything(plan, n_samples)
    expected = reference.evaluate(plan, words, n_samples, everything)
    there = replace(everything, truths=expect(everything.truths).to(device))
    assert_equal_outcomes(evaluate(plan, words.to(device), n_samples, there), expected)
    dtype = torch.int16 if n_samples % 2 else torch.int32
    plain = evaluate(plan, words.to(device), n_samples, Request(class_dtype=dtype))
    classes = expect(expected.classes).to(dtype)
    nothing = dict.fromkeys(("scores", "counts", "rows", "confusion", "leaves", "covered"))
    assert_equal_outcomes(plain, expected._replace(classes=classes, **nothing))


def check_steps_mean_rules(program: Program, bits: Tensor) -> Plan:
    """That the steps of a program's plan are sound and mean what its rules do, to the bit; gives the plan.

    bits: bool `[n_samples, n_inputs]`.
    """
    plan = compile_program(program)
    check_steps(plan)
    found = interpret_steps(plan, bits.numpy())
    truth = reference.evaluate(plan, pack_bits(bits), len(bits), ask_everything(plan, len(bits)))
    assert np.array_equal(found.rows, unpack_words(expect(truth.rows), len(bits)))
    assert np.array_equal(found.fires.sum(axis=0), expect(truth.counts)[plan.n_kernel_rules :])
    for name in ("leaves", "classes", "scores", *(() if plan.votes else ("rules",))):
        assert np.array_equal(getattr(found, name), getattr(truth, name)), name
    return plan


def check_program(evaluate: Evaluate, program: Program, bits: Tensor, device: str = "cpu") -> None:
    """The same for a program and bool `[n_samples, n_inputs]`."""
    check_plan(evaluate, compile_program(program), pack_bits(bits), len(bits), device)
