"""`python -m eric_fast.plan FILE.lp`: the plan of a program, and how the CPU and the GPU run it."""

import argparse
import sys
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from eric_fast.compile.program import compile_program
from eric_fast.errors import EricError
from eric_fast.kernels import Request
from eric_fast.kernels.cpu import lower as cpu
from eric_fast.kernels.cpu.lower import ADDER_WIDTH, PAIR_WIDTH, RUN_START, RUN_STOP
from eric_fast.kernels.cpu.simd_words import VECTOR_BYTES
from eric_fast.kernels.gpu import lower as gpu
from eric_fast.kernels.gpu.lines import (
    ACC_START,
    ADDERS,
    NO_SLOT,
    NODES,
    OTHER,
    SECOND,
    SELECT,
    TARGET,
    TERM_WIDTHS,
    TERMS_BY_2,
    TERMS_BY_4,
    TERMS_BY_6,
    THIRD,
)
from eric_fast.kernels.liveness import ResultKinds, find_result_kinds
from eric_fast.plan.listing import print_plan
from eric_fast.plan.negation import is_negated, strip_negation
from eric_fast.plan.plan import Plan
from eric_fast.plan.steps import SEGMENT, Batch, Section
from eric_fast.plan.verify import check_steps
from eric_fast.text import load_program


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m eric_fast.plan", description=__doc__)
    parser.add_argument("file", metavar="FILE.lp", help="a program")
    parser.add_argument("--start", metavar="L", help="the layer whose bits are given (default: the lowest)")
    options = parser.parse_args(arguments)
    try:
        program = load_program(options.file)
        plan = compile_program(program, options.start)
    except (EricError, OSError) as error:
        sys.exit(f"error: {error}")
    check_steps(plan)
    names = [program.atoms[atom].name for atom in plan.atoms.tolist()]
    names += [f"sum {number}" for number in range(len(plan.sums.bounds))]
    rows = None if plan.n_class_rules else range(plan.n_inputs, plan.n_rows)
    kinds = find_result_kinds(plan, Request(classes=rows is None, rules=False, rows=rows))
    print(print_plan(plan, names))
    print("\n".join([*list_cpu_code(plan, kinds, names), "", *list_gpu_code(plan, kinds, names)]))


def list_cpu_code(plan: Plan, kinds: ResultKinds, names: list[str]) -> Iterator[str]:
    """What a core runs for each block of samples, for results of these kinds; `s4` is a slot of scratch memory."""
    code = cpu.lower_plan(plan, kinds)
    nodes, adders, terms = (offsets // VECTOR_BYTES for offsets in (code.nodes, code.adders, code.terms))
    n_terms = int(code.segments[:, SEGMENT.n_terms].sum())
    yield f"CPU code of slots: {code.n_slots}, nodes: {len(nodes)}, terms: {n_terms}"
    yield from _list_inputs(code.slots[: plan.n_inputs].tolist(), names)
    for number, section_row in enumerate(code.sections.tolist()):
        section = Section(*section_row[:RUN_START])
        yield f"section {number}:"
        for target, select, high, low in nodes[section.node_start : section.node_stop].tolist():
            yield f"  s{target} = s{select} ? s{high} : s{low}"
        for run in code.runs[section_row[RUN_START] : section_row[RUN_STOP]].tolist():
            yield from _list_units(adders, run)
        for batch in (Batch(*row) for row in plan.steps.batches[section.batch_start : section.batch_stop].tolist()):
            place = batch.term_start
            for target, n_of_target, source in code.segments[batch.segment_start : batch.segment_stop].tolist():
                pairs = terms[place : place + n_of_target * batch.width].reshape(n_of_target, -1, 2).tolist()
                place += n_of_target * batch.width
                bodies = [" & ".join(f"s{holds} & ~s{fails}" for holds, fails in term) for term in pairs]
                yield f"  s{target // VECTOR_BYTES} = {' | '.join([f's{source // VECTOR_BYTES}', *bodies])}"


def _list_units(adders: NDArray[np.uint32], run: list[int]) -> Iterator[str]:
    """The chains of a run; `acc` is the sum so far, `upper` that of the chain which adds `low` and `high`."""
    n_pairs, n_adders, has_sum, n_units, place = run
    for _ in range(n_units):
        yield f"  acc = s{adders[place]}"
        place += 1
        if n_pairs:
            yield f"  upper = s{adders[place]}"
            place += 1
        for _ in range(n_pairs):
            a, b, c, d, carry = adders[place : place + PAIR_WIDTH]
            place += PAIR_WIDTH
            yield f"  low = carry(acc, s{a}, s{b}); acc = sum(acc, s{a}, s{b})"
            yield f"  high = carry(acc, s{c}, s{d}); acc = sum(acc, s{c}, s{d})"
            yield f"  s{carry} = carry(upper, low, high); upper = sum(upper, low, high)"
        if n_pairs:
            yield f"  s{adders[place]} = upper"
            place += 1
        for _ in range(n_adders):
            second, third, carry = adders[place : place + ADDER_WIDTH]
            place += ADDER_WIDTH
            yield f"  s{carry} = carry(acc, s{second}, s{third}); acc = sum(acc, s{second}, s{third})"
        if has_sum:
            yield f"  s{adders[place]} = acc"
            place += 1


def list_gpu_code(plan: Plan, kinds: ResultKinds, names: list[str]) -> Iterator[str]:
    """What a block of threads runs, phase by phase, for results of these kinds; `acc` is a register of each worker."""
    code = gpu.lower_plan(plan, torch.device("cpu"), kinds, counts=False)
    fields, phases = code.rules.lines.numpy(), code.rules.phases.tolist()
    n_lines = len(fields) - 2  # two of zeros are there for loops that read ahead
    yield f"GPU code of slots: {code.n_slots}, phases: {len(phases)}, lines: {n_lines}, workers: {code.sizes.n_workers}"
    yield from _list_inputs(code.rules.input_slots[0].tolist(), names)
    for number, phase in enumerate(phases):
        yield f"phase {number}:"
        for kind in (NODES, ADDERS, TERMS_BY_2, TERMS_BY_4, TERMS_BY_6):
            start, stop = phase[kind]
            step = 1 if kind in (NODES, ADDERS, TERMS_BY_2) else 2
            for worker in range(code.sizes.n_workers):
                for line in range(start, stop, step):
                    found = fields[line : line + step, worker].reshape(-1).tolist()
                    if any(found) and found[1:] != [NO_SLOT] * 3:
                        yield f"  worker {worker}: {_name_line(kind, found)}"


def _list_inputs(slots: list[int], names: list[str]) -> Iterator[str]:
    for slot, name in zip(slots, names, strict=False):
        if slot >= 0:
            yield f"  s{slot} = {name}"


def _name_line(kind: int, fields: list[int]) -> str:
    """fields: see `lines`."""
    if kind == ADDERS:
        return _name_adder(fields)
    if kind == NODES:
        return _name_node(fields) + (f"; s{fields[TARGET]} = acc" if fields[TARGET] != NO_SLOT else "")
    work = _name_terms(fields[: TERM_WIDTHS[kind - TERMS_BY_2]])
    return f"{work}; s{fields[-1]} = acc" if is_negated(fields[1]) else work


def _name_acc(fields: list[int]) -> str:
    return f"s{fields[ACC_START]}" if fields[ACC_START] != NO_SLOT else "acc"


def _name_adder(fields: list[int]) -> str:
    values = f"{_name_acc(fields)}, s{strip_negation(fields[SECOND])}, s{fields[THIRD]}"
    if is_negated(fields[SECOND]):
        return f"acc = s{fields[TARGET]} = sum({values})"
    return f"{f's{fields[TARGET]} = carry({values}); ' if fields[TARGET] != NO_SLOT else ''}acc = sum({values})"


def _name_node(fields: list[int]) -> str:
    sides = (_name_acc(fields), f"s{fields[OTHER]}")
    high, low = sides[::-1] if is_negated(fields[SELECT]) else sides
    return f"acc = s{strip_negation(fields[SELECT])} ? {high} : {low}"


def _name_terms(fields: list[int]) -> str:
    slots = [strip_negation(field) for field in fields]
    pairs = [f"s{holds} & ~s{fails}" for holds, fails in zip(slots[::2], slots[1::2], strict=True)]
    return f"term &= {' & '.join(pairs)}{'; acc |= term' if is_negated(fields[0]) else ''}"


if __name__ == "__main__":
    main()
