"""`python -m bench.predict [--json FILE]`: how long a program would take on one H200, predicted, not measured.

The lines that a plan is lowered to are counted, and what a line becomes is read from its SASS for sm_90. A block runs
a line with 32 warps; a multiprocessor has one block, issues four warps' instructions a clock, two of the ALU (logic,
selections, comparisons, integer sums), and moves 128 bytes a clock between registers and its first cache, where all
rows are assumed to be. The largest of the three binds. Left out: barriers, latency, a launch, votes and what is stored.
"""

import argparse
import os
from pathlib import Path
from typing import Any, NamedTuple

os.environ.pop("TRITON_INTERPRET", None)

import torch

from bench.harness import describe_machine, write_rows
from bench.programs import make_random_case
from bench.sass import ALU, ALU_PER_CLOCK, ISSUES_PER_CLOCK
from eric_fast.kernels.gpu.evaluate import GROUP_SAMPLES, N_WARPS
from eric_fast.kernels.gpu.lines import NODES, TERMS_BY_2, TERMS_BY_4, TERMS_BY_6
from eric_fast.kernels.gpu.lower import lower_plan
from eric_fast.kernels.gpu.questions import pick_decision
from eric_fast.kernels.liveness import find_result_kinds
from eric_fast.kernels.outcome import Request
from eric_fast.plan import Plan
from eric_fast.show.console import stdout
from tests.read_sass import read_variant

N_SAMPLES, MULTIPROCESSORS, CLOCK = 1_281_167, 132, 1.98e9
LOOPS = {
    "nodes": (NODES, 1),
    "terms by 2": (TERMS_BY_2, 1),
    "terms by 4": (TERMS_BY_4, 2),
    "terms by 6": (TERMS_BY_6, 2),
}
ROW_CLOCKS = 4  # of a warp's 128-bit load or store: 512 bytes


class Prediction(NamedTuple):
    """Of one program and a number of samples.

    steps: of each loop, in which all workers take one line, or two. clocks: of a block, by what could bind.
    """

    program: str
    n_samples: int
    steps: dict[str, int]
    clocks: dict[str, float]
    binds: str
    predicted_ms: float


def predict(name: str, plan: Plan, n_samples: int, **wanted: Any) -> Prediction:
    """wanted: fields of `Request`."""
    kinds = find_result_kinds(plan, Request(**wanted))
    code = lower_plan(plan, torch.device("cpu"), kinds, counts=False)
    reading = read_variant(pick_decision(plan, kinds), by_sample=code.by_sample)
    lengths = (code.rules.phases[:, :, 1] - code.rules.phases[:, :, 0]).sum(dim=0).tolist()
    steps = {loop: lengths[column] // n_lines for loop, (column, n_lines) in LOOPS.items()}
    clocks = {"issue": 0.0, "ALU": 0.0, "cache": 0.0}
    for loop, n_steps in steps.items():
        counts = reading.loops[loop]
        clocks["issue"] += n_steps * N_WARPS * counts["all"] / ISSUES_PER_CLOCK
        clocks["ALU"] += n_steps * N_WARPS * sum(n for key, n in counts.items() if key in ALU) / ALU_PER_CLOCK
        clocks["cache"] += n_steps * N_WARPS * (counts["LDG.128"] + counts["STG.128"]) * ROW_CLOCKS
    n_groups = -(-n_samples // GROUP_SAMPLES)
    binds = max(clocks, key=lambda kind: clocks[kind])
    predicted = -(-n_groups // MULTIPROCESSORS) * clocks[binds] / CLOCK
    return Prediction(name, n_samples, steps, clocks, binds, 1000 * predicted)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.predict", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the predictions, apart from measurements")
    arguments = parser.parse_args()
    case = make_random_case()
    found = [predict(case.name, case.plan, N_SAMPLES, **case.wanted)]
    for row in found:
        stdout.print(
            f"predicted, not measured: {row.program}: {row.predicted_ms:.2f} ms for {row.n_samples:,} samples on one "
            f"H200; {row.binds} binds; clocks of a block: {row.clocks}; steps: {row.steps}",
            markup=False,
        )
    if arguments.json:
        note = "Predicted from SASS for sm_90; nothing here was measured on a GPU. " + " ".join(
            str(__doc__).split()[4:]
        )
        rows = [row._asdict() for row in found]
        write_rows(arguments.json, {"predicted": note, "machine": describe_machine(), "rows": rows})


if __name__ == "__main__":
    main()
