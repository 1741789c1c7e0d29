"""`python -m bench.generated [--full] [--json FILE]`: kernels written for one plan, compiled for sm_90, no GPU needed.

A row for each size: some rows of `cifar10_vgg`'s program, whole strata first; with --full larger sizes, what its
classes need, and all of its rows. Seconds are the CPU's, and by the clock Triton's own for each stage, without its
cache. Times of a call on one H200 are predicted, not measured: a warp has 1,024 samples, a quarter of a multiprocessor
as many warps at once as its 16,384 registers hold. What takes longest binds: issue, a clock and quarter for a warp's
instruction; ALU, two; cache, 128 bytes a clock and multiprocessor for loads and stores; memory, 16.5 bytes; L2, 38.8,
of what registers don't hold: all stores, and loads but for the share that a first cache of 248 KB holds; fetch, the
code once for each wave of warps, through L2 too. `kept_stores` are issued but never run (see `write_source`).

Assumptions, of which NVIDIA publishes nothing for an H200: L2 gives 5,120 bytes a clock in all, as it says of an A100
(whitepaper, 2020); a multiprocessor's instruction cache holds 128 KB, and longer code comes from L2 again for each
wave; it is fetched ahead, as straight code can be (Huerta et al. 2025, arXiv 2503.20481, find that a stream buffer is
likely, of Ampere). Were nothing fetched ahead, each 128 bytes would wait for L2, say 270 clocks: `unhidden_fetch_ms` is
how long in all, and isn't in the predicted time. Left out: two launches, which take some 5 us each.
"""

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.pop("TRITON_INTERPRET", None)

from triton import knobs

from bench.compile_sass import compile_kernel, list_instructions
from bench.harness import describe_machine, write_rows
from bench.programs import load_cifar_program
from bench.sass import ALU, BYTES_PER_CLOCK
from bench.tables import capture_cifar
from eric_fast.bits import ROW_WORDS, WORD_BITS
from eric_fast.compile.program import compile_program
from eric_fast.kernels.gpu.generated import CONSTANTS, load_kernel
from eric_fast.kernels.gpu.pipeline import compile_quickly
from eric_fast.kernels.gpu.write_source import write_source
from eric_fast.plan import Plan
from eric_fast.progress import ignore_progress
from eric_fast.show.console import stdout

SIZES, LARGE_SIZES = (500, 1000, 2000), (4000, 8000)
N_SAMPLES, MULTIPROCESSORS, QUARTERS, CLOCK = 1_281_167, 132, 4, 1.98e9
REGISTERS, LINE_BYTES, INSTRUCTION_BYTES = 16_384, 128, 16
CACHE_BYTES, L2_BYTES, L2_WAIT, CACHED_CODE, FIRST_CACHE = 128, 38.8, 270, 2**17, 248 * 1024
POINTERS = {"p_words": "*i32", "p_digits": "*i32", "p_rows": "*i32", "n_groups": "i32"}


class Built(NamedTuple):
    """A kernel. nodes: that it makes. cpu_s: to compile. seconds: of each stage of Triton. instructions: by name.

    kept_stores: of these, that never run. local: bytes of a thread's own memory.
    """

    nodes: int
    cpu_s: float
    seconds: dict[str, float]
    registers: int
    local: int
    kept_stores: int
    instructions: dict[str, int]

    @property
    def code_bytes(self) -> int:
        return INSTRUCTION_BYTES * sum(self.instructions.values())


def build(plan: Plan, digits: Sequence[int], rows: Sequence[int]) -> Built:
    """Compile the kernel of these values for sm_90, without Triton's cache."""
    source = write_source(plan.steps, plan.n_inputs, digits, rows)
    times: list[Any] = []
    started = sum(os.times()[:4])
    with tempfile.TemporaryDirectory() as folder, knobs.cache.scope(), knobs.compilation.scope(), compile_quickly():
        knobs.cache.dir = folder
        knobs.compilation.listener = lambda **found: times.append(found["times"])
        compiled = compile_kernel(load_kernel(source), POINTERS, CONSTANTS)
    cpu_s = sum(os.times()[:4]) - started
    seconds = {"source": times[0].ir_initialization / 1e6} | {name: us / 1e6 for name, us in times[0].lowering_stages}
    names = Counter(code.split()[0].split(".")[0] for _, code in list_instructions(compiled.sass) if code)
    del names["NOP"]
    return Built(
        count_nodes(plan, source),
        cpu_s,
        seconds,
        compiled.registers,
        compiled.stack + compiled.local,
        source.count("mask=never"),
        dict(names.most_common()),
    )


def count_nodes(plan: Plan, source: str) -> int:
    """How many nodes a source makes."""
    made = {line.split()[0] for line in source.splitlines() if line.startswith("    v")}
    return sum(int(name[1:]) >= plan.n_inputs + 2 for name in made)


def choose_rows(plan: Plan, n_nodes: int) -> list[int]:
    """The values of the first derived rows that need so many nodes, about."""
    values: list[int] = plan.steps.values[plan.n_inputs :].tolist()
    low, high = 1, len(values)
    while low < high:
        middle = (low + high) // 2
        if count_nodes(plan, write_source(plan.steps, plan.n_inputs, [], values[:middle])) < n_nodes:
            low = middle + 1
        else:
            high = middle
    return values[:low]


def predict(built: Built) -> dict[str, Any]:
    """What binds, and for how long, of `N_SAMPLES` samples."""
    n_warps = -(-N_SAMPLES // (WORD_BITS * ROW_WORDS))
    resident = REGISTERS // (-(-built.registers // 8) * 8 * 32)
    of_quarter = -(-n_warps // (MULTIPROCESSORS * QUARTERS))
    waves, of_multiprocessor = -(-of_quarter // resident), -(-n_warps // MULTIPROCESSORS)
    counts = Counter(built.instructions)
    streamed = counts["LDG"] + counts["STG"] - built.kept_stores
    accesses = streamed + counts["LDL"] + counts["STL"]
    held = min(1.0, FIRST_CACHE / max(1, built.local * 32 * of_multiprocessor))
    spilled = counts["STL"] + counts["LDL"] * (1 - held)
    fetches = waves if built.code_bytes > CACHED_CODE else 1
    clocks = {
        "issue": of_quarter * counts.total(),
        "ALU": 2 * of_quarter * sum(n for name, n in counts.items() if name in ALU),
        "cache": of_multiprocessor * accesses * LINE_BYTES // CACHE_BYTES,
        "memory": round(of_multiprocessor * streamed * LINE_BYTES / BYTES_PER_CLOCK),
        "L2": round(of_multiprocessor * spilled * LINE_BYTES / L2_BYTES),
        "fetch": round(fetches * built.code_bytes / L2_BYTES),
    }
    binds = max(clocks, key=lambda name: clocks[name])
    return {
        "waves": waves,
        "clocks": clocks,
        "binds": binds,
        "predicted_ms": round(1000 * clocks[binds] / CLOCK, 3),
        "unhidden_fetch_ms": round(1000 * fetches * built.code_bytes / LINE_BYTES * L2_WAIT / CLOCK, 3),
    }


def describe(name: str, built: Built) -> dict[str, Any]:
    """A row of results."""
    counts = Counter(built.instructions)
    return {
        "kernel": name,
        "nodes": built.nodes,
        "compile_cpu_s": round(built.cpu_s, 1),
        "compile_s": round(sum(built.seconds.values()), 1),
        "stages_s": {stage: round(s, 2) for stage, s in built.seconds.items()},
        "registers": built.registers,
        "local_bytes": built.local,
        "kept_stores": built.kept_stores,
        "lop3_a_node": round(counts["LOP3"] / built.nodes, 3),
        "instructions_a_node": round(counts.total() / built.nodes, 3),
        "instructions": built.instructions,
        "code_kb": round(built.code_bytes / 1000),
        **predict(built),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.generated", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows, apart from measurements")
    parser.add_argument("--full", action="store_true", help="minutes: larger sizes, and the whole program")
    options = parser.parse_args()
    program = load_cifar_program(capture_cifar("train", ignore_progress), ignore_progress)
    plan = compile_program(program)
    sizes = (*SIZES, *LARGE_SIZES) if options.full else SIZES
    kernels: list[tuple[str, list[int], list[int]]] = [
        (f"rows of {n:,} nodes", [], choose_rows(plan, n)) for n in sizes
    ]
    if options.full:
        kernels += [("b, classes", plan.steps.answers.tolist(), []), ("b, all rows", [], choose_rows(plan, 10**9))]
    rows = []
    for name, digits, values in kernels:
        rows.append(describe(name, build(plan, digits, values)))
        stdout.print(f"generated: {rows[-1]}", markup=False)
    if options.json:
        note = "Compiled for sm_90; no time of a call was measured on a GPU. " + " ".join(
            str(__doc__).partition("\n\n")[2].split()
        )
        write_rows(options.json, {"predicted": note, "machine": describe_machine(), "rows": rows})


if __name__ == "__main__":
    main()
