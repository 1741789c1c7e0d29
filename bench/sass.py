"""`python -m bench sass`: what Triton's kernels become on an H100 or H200, read without one.

A row for each kernel and variant: registers, spills, local memory, how wide its loads are, and, where a loop holds
them all, how many bytes an instruction of that loop loads. A multiprocessor issues four instructions a clock (128
threads) and takes about 16.5 bytes a clock from memory, so 4 times the bytes of a warp's instruction must be more.
Logic, selections, comparisons and integer sums go through one unit of half that width, 64 lanes a clock, so that twice
the bytes of such an instruction must be more, too. The smaller of the two ceilings is shown, and what makes it.
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.harness import ROOT, describe_machine
from bench.screen import make_table
from eric_fast.show.console import stdout

if TYPE_CHECKING:
    from bench.sass_variants import Variant

# The evaluator, counting, a program's own kernels; `bench.predict` takes minutes
SCRIPTS = ("tests.read_sass", "tests.read_count_sass", "bench.generated")
ISSUES_PER_CLOCK, BYTES_PER_CLOCK = 4, 16.5  # of one multiprocessor: warps' instructions; 4.3 TB/s of memory


ALU_PER_CLOCK = 2  # warps' instructions of this unit: 64 lanes a clock
ALU = frozenset(
    [
        "LOP3", "SEL", "ISETP", "LEA", "SHF", "IADD3", "IADD", "VIADD", "PLOP3",
        "IMNMX", "VIMNMX", "PRMT", "FSETP", "FSEL", "FMNMX", "BMSK", "SGXT", "IABS",
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """What one variant became.

    Attributes:
        loads: instruction -> how often: `LDG.E.128`, in the innermost loop that loads most, else in the whole.
        n_instructions: of that loop. bytes_per_issue: that it loads, for one thread, per instruction.
        n_alu: its instructions of the unit of 64 lanes. bytes_per_alu: that it loads, for each of those.
    """

    name: str
    registers: int
    spills: int
    local: int
    n_total: int
    n_instructions: int
    loads: Mapping[str, int]
    instructions: Mapping[str, int]
    bytes_per_issue: float
    n_alu: int
    bytes_per_alu: float

    @property
    def ceiling(self) -> float:
        """Bytes a clock of one multiprocessor, whatever memory gives."""
        return 32 * min(ISSUES_PER_CLOCK * self.bytes_per_issue, ALU_PER_CLOCK * self.bytes_per_alu)

    @property
    def binds(self) -> str:
        return "ALU" if ALU_PER_CLOCK * self.bytes_per_alu < ISSUES_PER_CLOCK * self.bytes_per_issue else "issue"

    def to_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "loads": dict(self.loads), "instructions": dict(self.instructions)}


def run_case(full: bool = False) -> dict[str, Any]:
    """Compile and print every variant. Run it where `TRITON_INTERPRET` isn't set."""
    from bench.compile_sass import ARCHITECTURE  # Triton loads when it is needed
    from bench.sass_variants import list_variants

    readings = [read_variant(variant) for variant in list_variants()]
    table = make_table(
        f"sm_{ARCHITECTURE}; loads and instructions of the innermost loop that loads most",
        "kernel",
        ("registers", "spills", "local", "instructions", "ALU", "loads", "bytes/clock", "binds"),
    )
    for reading in readings:
        loads = " ".join(f"{count} {name.removeprefix('LDG.E')}" for name, count in reading.loads.items())
        numbers = (reading.registers, reading.spills, reading.local, reading.n_instructions, reading.n_alu, loads)
        table.add_row(reading.name, *map(str, numbers), f"{reading.ceiling:.0f}", reading.binds)
    stdout.print(table)
    stdout.print(
        f"bytes/clock: a multiprocessor's ceiling by issue and ALU alone; its share of memory is {BYTES_PER_CLOCK}"
    )
    others = [line for script in SCRIPTS for line in _run_script(script)]
    for line in others:
        stdout.print(line, markup=False)
    return {"machine": describe_machine(), "readings": [reading.to_dict() for reading in readings], "others": others}


def _run_script(name: str) -> list[str]:
    """The lines that a script prints: it reads another kernel in its own way."""
    done = subprocess.run([sys.executable, "-m", name], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def read_variant(variant: "Variant") -> Reading:
    """Compile for sm_90 as Triton's launcher would and read the result."""
    from bench.compile_sass import compile_kernel, find_inner_loops, list_instructions

    compiled = compile_kernel(variant.kernel, variant.arguments, variant.constants)
    lines = list_instructions(compiled.sass)
    instructions = [_name(code) for _, code in lines if code]
    loops = [[_name(code) for code in loop] for loop in find_inner_loops(lines)]
    loops = [loop for loop in loops if any(name.startswith("LDG") for name in loop)]
    # Of equals the shorter: the other is for programs of which samples are missing.
    body = max(loops, key=lambda loop: (sum(map(_count_bytes, loop)), -len(loop)), default=instructions)
    loads = Counter(name for name in body if name.startswith("LDG"))
    size = sum(_count_bytes(load) * count for load, count in loads.items())
    n_alu = sum(name.split(".")[0] in ALU for name in body)
    counts = Counter(instruction.split(".")[0] for instruction in instructions)
    return Reading(
        name=variant.name,
        registers=compiled.registers,
        spills=compiled.stack,
        local=counts["LDL"] + counts["STL"] + compiled.local,
        n_total=len([i for i in instructions if i != "NOP"]),
        n_instructions=len(body),
        loads=dict(loads.most_common()),
        instructions=dict(counts.most_common()),
        bytes_per_issue=size / len(body) * variant.used,
        n_alu=n_alu,
        bytes_per_alu=size / max(1, n_alu) * variant.used,
    )


def _name(code: str) -> str:
    """`LDG.E.128 R4, desc[UR4][R2.64]` -> `LDG.E.128`"""
    return code.split()[0]


def _count_bytes(name: str) -> int:
    """What one thread loads by a global load; 0 for any other instruction."""
    if not name.startswith("LDG"):
        return 0
    width = re.search(r"\.(?:U|S)?(8|16|64|128)\b", name)
    return int(width[1]) // 8 if width else 4
