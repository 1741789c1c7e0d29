"""`python -m tests.check_programs N [SEED [FIRST]]`: random programs, every engine against clingo and the interpreter.

Programs are numbered from 0, and each follows from its number and the seed alone: FIRST goes on where a run ended.
"""

import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.errors import ProgramError
from eric_fast.program import Program
from eric_fast.runs import predict_bits
from eric_fast.text import parse_program, print_program
from tests.make_programs import SIZES, count_inputs, make_bits, make_program
from tests.oracles import interpret, run_clingo


def check_program(program: Program, bits: Tensor, engines: Sequence[str] = ("reference", "cpu")) -> None:
    """bits: bool `[n_samples, n_inputs]`. Raises AssertionError where any two answers differ."""
    assert parse_program(print_program(program)) == program
    samples = [set(row.nonzero().flatten().tolist()) for row in bits]
    expected = [interpret(program, given) for given in samples]
    for (answer, fired, true), (classes, clingo_fired, clingo_true) in zip(
        expected, run_clingo(program, samples), strict=True
    ):
        assert fired == clingo_fired
        assert true == clingo_true
        if program.decision == "first" or (program.decision == "vote" and program.has_integer_weights):
            assert classes == ({program.classes[answer]} if answer >= 0 else set())
    names = [atom.name for atom in program.atoms]
    for engine in engines:
        inputs = BitMatrix.from_bools(bits, names[: bits.shape[1]])
        predictions = predict_bits(program, inputs, engine=engine, with_bits=True)
        assert predictions.classes.tolist() == [answer for answer, _, _ in expected]
        assert predictions.bits is not None
        truth = predictions.bits.select_atoms(names).to_bools()
        assert [set(row.nonzero().flatten().tolist()) for row in truth] == [true for _, _, true in expected]
        for rule, (answer, fired, _) in zip(predictions.rules.tolist(), expected, strict=True):
            assert rule == pick_deciding_rule(program, answer, fired)


def pick_deciding_rule(program: Program, answer: int, fired: list[int]) -> int:
    """Index of the class rule that decides among those that fire (numbers from 1), or -1."""
    if not fired:
        return -1
    if program.decision == "first":
        return fired[0] - 1
    adds = dict.fromkeys(fired, 0.0)
    for number in fired:
        rule = program.class_rules[number - 1]
        adds[number] = dict(((rule.head, rule.weight), *rule.also)).get(answer, 0)
    return max(fired, key=lambda number: (adds[number], -number)) - 1


def iterate_starts(program: Program) -> Iterator[Program]:
    """The program from each of its starts above the lowest, where the rules that stay allow it."""
    for (layer,) in program.starts[1:]:
        try:
            yield program.start_at(layer)
        except ProgramError:  # a rule mentions a lower layer
            continue


def check_number(seed: int, number: int) -> list[str]:
    """Check a program from each of its starts; say what it has."""
    rng = random.Random(f"{seed}/{number}")
    program = make_program(rng.randint, with_sums=True)
    n_samples = rng.choice(SIZES)
    parts = [program, *iterate_starts(program)]
    for part in parts:
        bits = make_bits(rng.randint, n_samples, count_inputs(part))
        try:
            check_program(part, bits)
        except BaseException:
            print(f"program {number} of seed {seed}:\n{print_program(part)}\nbits: {bits.int().tolist()}")
            raise
    found = ["weight bodies"] * program.has_weight_bodies + ["class rules for starts"] * bool(program.starts)
    return [*found, *["another start"] * (len(parts) - 1)]


def main() -> None:
    n_programs, seed, first = (*map(int, sys.argv[1:]), *(0, 0)[len(sys.argv) - 2 :])
    torch.set_num_threads(1)
    tally: Counter[str] = Counter()
    for number in range(first, n_programs):
        tally.update(check_number(seed, number))
        if (number + 1) % 10_000 == 0 or number + 1 == n_programs:
            counts = ", ".join(f"{count:,} with {what}" for what, count in sorted(tally.items()))
            print(f"programs {first:,} to {number:,} agree with clingo and the interpreter: {counts}", flush=True)


if __name__ == "__main__":
    main()
