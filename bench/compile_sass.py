"""Compile a Triton kernel for an H100 or H200 (sm_90) and disassemble it: no GPU is needed.

Triton's interpreter must be off: `TRITON_INTERPRET` must not be set when this is imported.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")  # Triton warns where it is left open

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

ARCHITECTURE = 90


@dataclass(frozen=True)
class CompiledKernel:
    """What a kernel became.

    Attributes:
        ttgir: Triton's own code for a GPU, in which layouts are seen.
        sass: the disassembly.
        registers: of a thread. stack, local: bytes of a thread's memory off the chip.
    """

    ttgir: str
    sass: str
    registers: int
    stack: int
    local: int


def compile_kernel(
    kernel: Any, arguments: Mapping[str, Any], constants: Mapping[str, Any], *, architecture: int = ARCHITECTURE
) -> CompiledKernel:
    """Compile a kernel as Triton's launcher would.

    Args:
        kernel: a function under `triton.jit`.
        arguments: a pointer's type (`*fp32`), aligned to 16 bytes; None; an int, as it would be passed; or an integer's
            type (`i32`), of which nothing is known.
        constants: the launch's keyword arguments, `num_warps` among them.
        architecture: 80, 90 or 100.
    """
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise SystemExit("TRITON_INTERPRET is set, so kernels are interpreted, not compiled; unset it")
    options = {name: constants[name] for name in ("num_warps", "maxnreg") if name in constants}
    signature, attributes, fixed = {}, {}, {}
    for i, name in enumerate(kernel.arg_names):
        value = constants[name] if name in constants else arguments[name]
        if name in constants or value is None or value == 1:  # the launcher makes a constant of these
            signature[name], fixed[i,] = "constexpr", value
            continue
        signature[name] = value if isinstance(value, str) else "i32" if abs(value) < 2**31 else "i64"
        if value.startswith("*") if isinstance(value, str) else value % 16 == 0:
            attributes[i,] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, fixed, attributes)
    compiled = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
        cubin.write(compiled.asm["cubin"])
        cubin.flush()
        sass = _run(tools / "nvdisasm", "-c", cubin.name)
        usage = _run(tools / "cuobjdump", "-res-usage", cubin.name)
    resources = {key: int(value) for key, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", usage)}
    return CompiledKernel(compiled.asm["ttgir"], sass, resources["REG"], resources["STACK"], resources["LOCAL"])


def _run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def list_instructions(sass: str) -> list[tuple[str, str]]:
    """Lines of a disassembly, each (label, ""), or ("", instruction) without its predicate: `LDG.E.128 R4, ...`."""
    lines = []
    for line in sass.splitlines():
        if label := re.match(r"\s*(\.L_x_\d+):", line):
            lines.append((label[1], ""))
        elif found := re.search(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?(.*?);", line):
            lines.append(("", found[1].strip()))
    return lines


def find_inner_loops(lines: list[tuple[str, str]]) -> list[list[str]]:
    """The instructions of each loop that holds no other."""
    places = {label: i for i, (label, _) in enumerate(lines) if label}
    loops = []
    for end, (_, code) in enumerate(lines):
        target = re.search(r"BRA.*`\((\.L_x_\d+)\)", code)
        if target and places.get(target[1], end) < end:
            loops.append((places[target[1]], end))
    inner = [(a, b) for a, b in loops if not any(a <= c and d <= b and (a, b) != (c, d) for c, d in loops)]
    return [[code for _, code in lines[a : b + 1] if code] for a, b in inner]
