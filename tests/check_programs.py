"""`python -m tests.check_programs N [SEED]`: N random programs, every engine against clingo and the interpreter."""

import random
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from eric_fast.bits import BitMatrix
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


def main() -> None:
    n_programs = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    torch.set_num_threads(1)
    for i in range(n_programs):
        rng = random.Random(f"{seed}/{i}")
        program = make_program(rng.randint)
        bits = make_bits(rng.randint, rng.choice(SIZES), count_inputs(program))
        try:
            check_program(program, bits)
        except BaseException:
            print(f"program {i} of seed {seed}:\n{print_program(program)}\nbits: {bits.int().tolist()}")
            raise
        if (i + 1) % 10_000 == 0 or i + 1 == n_programs:
            print(f"{i + 1:,} programs agree with clingo and the interpreter", flush=True)


if __name__ == "__main__":
    main()
