"""Kernels broken on purpose: does the runner see it?"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from tests.ptx.cases import Case
from tests.ptx.launch import Runner
from tests.ptx.memory import FaultError
from tests.ptx.operands import NUMPY_KINDS
from tests.ptx.text import Instruction, Routine

KINDS = ("barrier away", "store shifted")


@dataclass(frozen=True)
class Mutation:
    """One instruction changed: its line, and one of `KINDS`."""

    kernel: str
    line: int
    kind: str


class Verdict(NamedTuple):
    """What came of a mutation.

    how: `report`, `fault`, `other answer`, `missed`; or `not run`, where no thread came to the instruction.
    """

    mutation: Mutation
    how: str
    detail: str


Choice = Callable[[list[Mutation]], list[Mutation]]


def list_mutations(routine: Routine) -> list[Mutation]:
    """Every barrier taken away, and every store shifted by one place."""
    found = []
    for block in routine.blocks:
        for instruction in block:
            if instruction.opcode in ("bar.sync", "bar.warp.sync"):
                found.append(Mutation(routine.name, instruction.line, "barrier away"))
            if instruction.parts[0] == "st":
                found.append(Mutation(routine.name, instruction.line, "store shifted"))
    return found


def apply_mutation(routine: Routine, mutation: Mutation) -> Routine:
    """The kernel so changed; another kernel as it is."""
    if routine.name != mutation.kernel:
        return routine
    change = {"barrier away": _take_away, "store shifted": _shift}[mutation.kind]
    blocks = [
        [new for old in block for new in (change(old) if old.line == mutation.line else (old,))]
        for block in routine.blocks
    ]
    return replace(routine, blocks=tuple(map(tuple, blocks)))


def _take_away(instruction: Instruction) -> tuple[Instruction, ...]:
    return ()


def _shift(instruction: Instruction) -> tuple[Instruction, ...]:
    """By as many bytes as it stores, so that it is aligned as before."""
    vectors = [int(part[1:]) for part in instruction.parts if part in ("v2", "v4", "v8")]
    size = np.dtype(NUMPY_KINDS[instruction.parts[-1]]).itemsize * (vectors or [1])[0]
    address, *values = instruction.operands
    base, _, offset = address.strip("[] ").partition("+")
    return (replace(instruction, operands=(f"[{base.strip()}+{int(offset or '0', 0) + size}]", *values)),)


def try_mutations(runner: Runner, chosen: Sequence[Case], choose: Choice) -> Iterator[Verdict]:
    """Run cases with one mutation after another of each kernel that they launch, until one of them sees it.

    choose: takes all mutations of a kernel, returns those to try.
    """
    launched: dict[str, list[Case]] = {}
    for case in chosen:
        runner.clear()
        with runner.take_launches():
            case.run()
        for variant in dict.fromkeys(map(str, runner.used)):
            launched.setdefault(variant, []).append(case)
    for variant, using in launched.items():
        for mutation in choose(list_mutations(runner.compiled[variant].routine)):
            verdict = Verdict(mutation, "not run", "")
            for case in using:
                found = _try_mutation(runner, case, mutation)
                verdict = verdict if found.how == "not run" else found
                if found.how not in ("not run", "missed"):
                    break
            yield verdict


def _try_mutation(runner: Runner, case: Case, mutation: Mutation) -> Verdict:
    runner.clear()
    runner.edit = lambda routine: apply_mutation(routine, mutation)
    fault, differs = "", ""
    try:
        with runner.take_launches():
            case.run()
    except FaultError as error:
        fault = str(error)
    except AssertionError as error:
        differs = str(error).partition("\n")[0] or "differs"
    finally:
        runner.edit = None
    if mutation.line not in runner.lines:
        return Verdict(mutation, "not run", "")
    if runner.reports:
        return Verdict(mutation, "report", runner.reports[0])
    how = "fault" if fault else "other answer" if differs else "missed"
    return Verdict(mutation, how, fault or differs)
