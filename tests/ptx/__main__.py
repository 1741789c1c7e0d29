"""Run the GPU's kernels from their PTX, without a GPU: `python -m tests.ptx [SECONDS]`.

Every case on each target, then random programs for so many seconds, then every mutation; the table is written to
tests/ptx/RESULTS.md. The tests run parts on sm_90 alone: `--only evaluate`, `--only pack`, `--only mutations`.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

os.environ.pop("TRITON_INTERPRET", None)

import triton

from tests.ptx import cases
from tests.ptx.broken import BROKEN, run_broken
from tests.ptx.cases import MAKERS, QUESTIONS, Case
from tests.ptx.launch import Runner
from tests.ptx.memory import FaultError
from tests.ptx.mutate import KINDS, Choice, Mutation, Verdict, try_mutations
from tests.ptx.table import Table, format_verdicts, write_section

TARGETS = (80, 90, 100)
DRAWN = 5  # mutations of a kind, of each kernel, that the tests try


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.ptx", description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=60.0, help="of random programs, on each target")
    parser.add_argument("--only", choices=("evaluate", "pack", "mutations"), help="a part, on sm_90 alone")
    parser.add_argument("--target", type=int, action="append", help="80, 90 or 100; all three unless given")
    parser.add_argument("--few", action="store_true", help="the tests' cases and mutations alone, on all targets")
    options = parser.parse_args()
    table = Table()
    verdicts: list[Verdict] = []
    if options.only in ("evaluate", "pack"):
        run_cases(Runner(90), cases.list_evaluations() if options.only == "evaluate" else cases.list_packing(), table)
    elif options.only:
        runner = Runner(90)
        for name, kernel in BROKEN.items():
            print(f"broken: {name}: {run_broken(runner, kernel) or 'missed'}")
        verdicts += run_mutations(runner, cases.list_mutated(), draw_mutations)
    else:
        for target in options.target or TARGETS:
            runner, few = Runner(target), [*cases.list_evaluations(), *cases.list_packing()]
            run_cases(runner, few if options.few else [*few, *cases.list_more()], table)
            run_cases(runner, draw_cases(options.seconds), table)
            mutated = cases.list_mutated() if options.few else [*few, *cases.list_repeats()]
            verdicts += run_mutations(runner, mutated, draw_mutations if options.few else list)
        targets = "".join(f", sm_{target}" for target in options.target or ())
        command = " ".join(["python -m tests.ptx", *sys.argv[1:]])
        write_section(table.format(f"Triton {triton.__version__}{targets}", command, verdicts))
    print("\n".join([*table.list_kinds(), *format_verdicts(verdicts), *table.failures]))
    return int(bool(table.failures))


def run_cases(runner: Runner, chosen: Iterable[Case], table: Table) -> None:
    """Run cases; print each, and note what fails."""
    for case in chosen:
        start = time.monotonic()
        found = run_case(runner, case)
        table.count(runner)
        place = f"sm_{runner.architecture} {case.name}"
        print(f"{place}: {found or 'the same'}, {time.monotonic() - start:.1f} s", flush=True)
        if found:
            table.failures.append(f"{place}: {found}")


def run_case(runner: Runner, case: Case) -> str:
    """What is wrong, or nothing."""
    runner.clear()
    try:
        with runner.take_launches():
            case.run()
    except (AssertionError, FaultError) as error:
        return f"{type(error).__name__}: {error}"
    return runner.reports[0] if runner.reports else ""


def draw_cases(seconds: float) -> Iterator[Case]:
    """Random programs, for so long."""
    end, seed = time.monotonic() + seconds, 1000
    while time.monotonic() < end:
        for kind in MAKERS:
            question = random.Random(seed).choice(list(QUESTIONS))
            yield cases.make_evaluation(kind, seed, question)
        seed += 1


def draw_mutations(mutations: list[Mutation]) -> list[Mutation]:
    """A few of each kind."""
    drawn = random.Random(0).sample(mutations, len(mutations))
    return [mutation for kind in KINDS for mutation in [one for one in drawn if one.kind == kind][:DRAWN]]


def run_mutations(runner: Runner, chosen: Sequence[Case], choose: Choice) -> list[Verdict]:
    """Try mutations; print what nothing showed."""
    verdicts = []
    for verdict in try_mutations(runner, chosen, choose):
        verdicts.append(verdict)
        if verdict.how == "missed":
            print(f"sm_{runner.architecture}: missed {verdict.mutation}", flush=True)
    return verdicts


if __name__ == "__main__":
    sys.exit(main())
