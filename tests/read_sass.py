"""Compile the evaluator for sm_90 and print what it became: `python tests/read_sass.py`. No GPU is needed."""

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
from eric_fast.bits import ROW_WORDS
from eric_fast.kernels import gpu

POINTERS = {"p_rows": "*i32", "p_fires": "*i32", "p_rules": "*i32", "p_literals": "*i32", "p_offsets": "*i64"}
SIGNATURE = {**POINTERS, "p_heads": "*i32", "n_kernel_rules": "i32", "n_rules": "i32", "stride": "i32"}


def read_instructions(*, votes: bool) -> Counter[str]:
    signature = {**SIGNATURE, "VOTES": "constexpr", "BLOCK": "constexpr"}
    place = {name: (i,) for i, name in enumerate(signature)}
    source = ASTSource(gpu.evaluate_kernel, signature, {place["VOTES"]: votes, place["BLOCK"]: ROW_WORDS})
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 1})
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
        cubin.write(compiled.asm["cubin"])
        cubin.flush()
        text = subprocess.run([tools / "nvdisasm", "-c", cubin.name], capture_output=True, text=True, check=True).stdout
    return Counter(re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][A-Z0-9_]*)", text))


for votes in (False, True):
    counts = read_instructions(votes=votes)
    shown = ", ".join(f"{name} {counts[name]}" for name in ("LDG", "STG", "LOP3", "BAR"))
    local = counts["LDL"] + counts["STL"]
    print(f"evaluate, {'vote' if votes else 'first'}: {counts.total()} instructions, {shown}, local memory: {local}")
