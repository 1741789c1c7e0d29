"""Compile the counting kernel for sm_90, without a GPU, and print what it became: `python tests/read_count_sass.py`."""

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

os.environ.pop("TRITON_INTERPRET", None)
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from eric_fast.kernels.gpu import count as gpu_count

NUMBERS = ("mask_stride", "atom_stride", "n_masks", "n_atoms", "n_words")
COUNT = {"p_masks": "*i32", "p_atoms": "*i32", "p_counts": "*i32", **dict.fromkeys(NUMBERS, "i32")}
DIVISIBLE = ("p_masks", "p_atoms", "p_counts", "mask_stride", "atom_stride")  # by 16, as at a launch


def read_instructions(kernel, signature, constants, warps, divisible=()):
    """How often each instruction stands in the compiled kernel."""
    signature = {**signature, **dict.fromkeys(constants, "constexpr")}
    place = {name: (i,) for i, name in enumerate(signature)}
    source = ASTSource(
        kernel,
        signature,
        {place[name]: value for name, value in constants.items()},
        {place[name]: [["tt.divisibility", 16]] for name in divisible},
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps})
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
        cubin.write(compiled.asm["cubin"])
        cubin.flush()
        text = subprocess.run([tools / "nvdisasm", "-c", cubin.name], capture_output=True, text=True, check=True).stdout
    return Counter(re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][A-Z0-9_]*)", text))


def show(title, counts, names):
    shown = ", ".join(f"{name} {counts[name]}" for name in names)
    local = counts["LDL"] + counts["STL"]
    print(f"{title}: {counts.total()} instructions, {shown}, local memory: {local}")


constants = {"MASKS": gpu_count.MASKS, "ATOMS": gpu_count.ATOMS, "WORDS": gpu_count.WORDS}
counts = read_instructions(gpu_count.count_kernel, COUNT, constants, gpu_count.WARPS, DIVISIBLE)
show("count", counts, ("LDG", "LDS", "POPC", "LOP3", "IADD3", "SHF", "RED", "BAR"))
