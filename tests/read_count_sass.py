"""Compile the counting kernel for sm_90, without a GPU, and print what it became: `python -m tests.read_count_sass`."""

import os
from collections import Counter

os.environ.pop("TRITON_INTERPRET", None)

from bench.compile_sass import compile_kernel, list_instructions
from eric_fast.kernels.gpu import count as gpu_count

SHOWN = ("LDG", "LDS", "POPC", "LOP3", "IADD3", "SHF", "RED", "BAR")


def main() -> None:
    # Strides are multiples of whole tiles; of the other numbers Triton is told nothing.
    arguments: dict[str, str | int] = dict.fromkeys(("p_masks", "p_atoms", "p_counts"), "*i32")
    arguments |= {"mask_stride": gpu_count.TILE_MASKS, "atom_stride": gpu_count.TILE_ATOMS}
    arguments |= dict.fromkeys(("n_masks", "n_atoms", "n_words"), "i32")
    tile = {
        "MASKS": gpu_count.TILE_MASKS,
        "ATOMS": gpu_count.TILE_ATOMS,
        "WORDS": gpu_count.BLOCK_WORDS,
        "num_warps": gpu_count.WARPS,
    }
    compiled = compile_kernel(gpu_count.count_kernel, arguments, tile)
    counts = Counter(code.split()[0].split(".")[0] for _, code in list_instructions(compiled.sass) if code)
    shown = ", ".join(f"{name} {counts[name]}" for name in SHOWN)
    local = counts["LDL"] + counts["STL"]
    print(f"count: {compiled.registers} registers, {counts.total()} instructions, {shown}, local memory: {local}")


if __name__ == "__main__":
    main()
