"""`python -m bench sass`: what Triton's kernels become on an H100 or H200, read without one.

A row for each kernel and variant: registers, spills, local memory, how wide its loads are, and, where a loop holds
them all, how many bytes an instruction of that loop loads. A multiprocessor issues four instructions a clock (128
threads) and takes about 16.5 bytes a clock from memory, so 4 times the bytes of a warp's instruction must be more.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from bench.harness import ROOT, describe_machine
from eric_fast.show.console import stdout

if TYPE_CHECKING:
    from bench.sass_variants import Variant  # loads Triton

ARCHITECTURE = 90
SCRIPTS = ("read_sass", "read_count_sass")  # the evaluator, and counting
ISSUES_PER_CLOCK, BYTES_PER_CLOCK = 4, 16.5  # of one multiprocessor: warps' instructions; 4.3 TB/s of memory


@dataclass(frozen=True)
class Reading:
    """What one variant became.

    Attributes:
        loads: instruction -> how often: `LDG.E.128`, in the innermost loop that loads most, else in the whole.
        n_instructions: of that loop. bytes_per_issue: that it loads, for one thread, per instruction.
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

    def to_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "loads": dict(self.loads), "instructions": dict(self.instructions)}


def run_case(full: bool = False) -> dict[str, Any]:
    """Compile and print every variant, in a process of its own where this one interprets Triton's kernels."""
    os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")  # Triton warns where it is left open
    from bench.sass_variants import list_variants

    readings = [read_variant(variant) for variant in list_variants()]
    table = Table(title=f"sm_{ARCHITECTURE}; loads and instructions of the innermost loop that loads most")
    table.add_column("kernel")
    for name in ("registers", "spills", "local", "instructions", "loads", "bytes/clock"):
        table.add_column(name, justify="right")
    for reading in readings:
        loads = " ".join(f"{count} {name.removeprefix('LDG.E')}" for name, count in reading.loads.items())
        ceiling = reading.bytes_per_issue * 32 * ISSUES_PER_CLOCK
        numbers = (reading.registers, reading.spills, reading.local, reading.n_instructions, loads, f"{ceiling:.0f}")
        table.add_row(reading.name, *map(str, numbers))
    stdout.print(table)
    stdout.print(f"bytes/clock: a multiprocessor's ceiling by issue alone; its share of memory is {BYTES_PER_CLOCK}")
    others = [line for script in SCRIPTS for line in _run_script(script)]
    for line in others:
        stdout.print(line, markup=False)
    return {"machine": describe_machine(), "readings": [reading.to_dict() for reading in readings], "others": others}


def _run_script(name: str) -> list[str]:
    """What a script of the tests prints, which read other kernels' SASS in other ways."""
    done = subprocess.run([sys.executable, "-m", f"tests.{name}"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def read_variant(variant: "Variant") -> Reading:
    """Compile for sm_90 as Triton's launcher would and read the result."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    if os.environ.get("TRITON_INTERPRET") == "1":
        raise SystemExit("TRITON_INTERPRET is set: kernels are interpreted, not compiled; unset it")
    options = {name: value for name, value in variant.constants.items() if name == "num_warps"}
    fixed = {name: value for name, value in variant.constants.items() if name != "num_warps"}
    names = variant.kernel.arg_names
    signature, attributes, constants = {}, {}, {}
    for i, name in enumerate(names):
        value = fixed[name] if name in fixed else variant.arguments[name]
        if name in fixed or value is None or value == 1:  # the launcher makes a constant of these
            signature[name] = "constexpr"
            constants[i,] = value
        elif isinstance(value, str):
            signature[name] = value
            attributes[i,] = [["tt.divisibility", 16]]
        else:
            signature[name] = "i32" if abs(value) < 2**31 else "i64"
            if value % 16 == 0:
                attributes[i,] = [["tt.divisibility", 16]]
    source = ASTSource(variant.kernel, signature, constants, attributes)
    compiled = triton.compile(source, target=GPUTarget("cuda", ARCHITECTURE, 32), options=options)
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
        cubin.write(compiled.asm["cubin"])
        cubin.flush()
        text = _run(tools / "nvdisasm", "-c", cubin.name)
        usage = _run(tools / "cuobjdump", "-res-usage", cubin.name)
    return _read_sass(variant, text, usage)


def _run(*command: object) -> str:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout


def _read_sass(variant: "Variant", text: str, usage: str) -> Reading:
    lines = []  # (label, instruction): one of the two
    for line in text.splitlines():
        if label := re.match(r"(\.L_x_\d+):", line.strip()):
            lines.append((label[1], ""))
        elif found := re.search(r"/\*[0-9a-f]{4,}\*/\s+(.*?);", line):
            lines.append(("", found[1]))
    instructions = [_name(code) for _, code in lines if code]
    body = _find_loop(lines)
    loads = Counter(name for name in body if name.startswith("LDG"))
    size = sum(_count_bytes(load) * count for load, count in loads.items())
    resources = {key: int(value) for key, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", usage)}
    counts = Counter(instruction.split(".")[0] for instruction in instructions)
    return Reading(
        variant.name,
        resources["REG"],
        resources["STACK"],
        counts["LDL"] + counts["STL"] + resources["LOCAL"],
        len([i for i in instructions if i != "NOP"]),
        len(body),
        dict(loads.most_common()),
        dict(counts.most_common()),
        size / len(body) * variant.used,
    )


def _find_loop(lines: list[tuple[str, str]]) -> list[str]:
    """Instructions of the innermost loop that loads the most bytes; of the whole where no loop loads."""
    place = {label: i for i, (label, _) in enumerate(lines) if label}
    loops = []
    for end, (_, code) in enumerate(lines):
        target = re.search(r"BRA.*`\((\.L_x_\d+)\)", code)
        if target and place.get(target[1], end) < end:
            loops.append((place[target[1]], end))
    inner = [(a, b) for a, b in loops if not any(a <= c and d <= b and (a, b) != (c, d) for c, d in loops)]
    bodies = [[_name(code) for _, code in lines[a : b + 1] if code] for a, b in inner]
    bodies = [body for body in bodies if any(name.startswith("LDG") for name in body)]
    whole = [_name(code) for _, code in lines if code]
    return max(bodies, key=lambda body: sum(map(_count_bytes, body)), default=whole)


def _name(code: str) -> str:
    """`@!P0 LDG.E.128 R4, desc[UR4][R2.64]` -> `LDG.E.128`"""
    return re.sub(r"^@!?U?P\w+\s+", "", code.strip()).split()[0]


def _count_bytes(name: str) -> int:
    """What one thread loads by a global load; 0 for any other instruction."""
    if not name.startswith("LDG"):
        return 0
    width = re.search(r"\.(?:U|S)?(8|16|64|128)\b", name)
    return int(width[1]) // 8 if width else 4
