"""Compile the evaluator and print what it became for sm_90, or `--target 80`: `python -m tests.read_sass`.

A row of words is loaded and combined by four threads, four words of each of its two stripes: an instruction of a warp
is one of eight workers. A literal is one load of a row; a node or an adder is two, or three where it starts. A
multiprocessor issues four instructions a clock and takes one row a clock from its first cache. Instructions of a step
are counted for four words, so that what both stripes share counts half.

What spills on sm_90, 1,024 threads having 64 registers each, outside of the loops over lines: with Triton 3.9 a pointer
of "vote with rules, by sample"; with 3.6 both votes with rules, and a little of "vote, by sample". In blocks of few
words "vote with rules, by sample" spills more, outside of these loops too, and "vote, by sample" nothing.
"""

import argparse
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.pop("TRITON_INTERPRET", None)

import triton

from bench.compile_sass import ARCHITECTURE, compile_kernel, find_inner_loops, list_instructions
from bench.harness import write_rows
from eric_fast.bits import ROW_WORDS
from eric_fast.kernels.gpu import evaluate as gpu
from eric_fast.kernels.gpu import lower as gpu_lower
from eric_fast.kernels.gpu.run import evaluate_kernel

LONGS = (
    *("p_vote_starts", "p_count_starts", "p_counts"),
    *("p_add_starts", "p_adds", "p_tree_starts"),
)
DOUBLES = ("p_base", "p_vote_weights", "p_tree_weights", "p_units", "p_sums", "p_most", "p_scores")
DECISIONS = ("no decision", "first, answers", "first, rules", "vote", "vote with rules")
VARIANTS = [*((decision, False) for decision in range(5)), (3, True), (4, True)]  # decision, whether by sample
FEW_VARIANTS = [(1, False), (4, False), (3, True), (4, True)]  # that are read of blocks of few words, too
# Loads of a row for each store of one in a loop -> what the loop runs; what a step of it runs for a worker
# Adders load as many rows as nodes; their loop comes after, and has more LOP3.
ADDERS = "adders"
DIGITS, VOTES = "digits", "votes"  # a digit of a tree's number for 32 samples; a tree's weights for 8, 16 columns each
LOOPS = {2: ("terms by 2", 2), 3: ("nodes", 1), 4: ("terms by 4", 4), 6: ("terms by 6", 6)}

POINTER_STEPS = "addptr|splat|broadcast|expand_dims|bitcast|convert_layout"  # of pointers from a pointer


@dataclass(frozen=True)
class Reading:
    """What a variant of the kernel became.

    loops: what a loop runs -> its instructions, by name and width, for one step; the longest unrolled one of a kind.
    """

    name: str
    registers: int
    local: int
    ttgir: str = field(repr=False)
    instructions: Counter[str] = field(repr=False)
    loops: dict[str, dict[str, float]]


def read_variant(
    decision: int,
    *,
    by_sample: bool,
    has_adders: bool = False,
    block_words: int = ROW_WORDS,
    architecture: int = ARCHITECTURE,
) -> Reading:
    constants = gpu.pick_constants(
        gpu_lower.N_WORKERS, has_adders=has_adders, decision=decision, by_sample=by_sample, block_words=block_words
    )
    arguments = {name: choose_type(name) for name in evaluate_kernel.arg_names}
    compiled = compile_kernel(evaluate_kernel, arguments, constants, architecture=architecture)
    instructions, loops = read_loops(compiled.sass)
    local = compiled.stack + compiled.local + instructions["LDL"] + instructions["STL"]
    few = ", few words" * (block_words != ROW_WORDS)
    name = f"{DECISIONS[decision]}{', by sample' * by_sample}{', with adders' * has_adders}{few}"
    return Reading(name, compiled.registers, local, compiled.ttgir, instructions, loops)


def find_layouts(ttgir: str) -> dict[tuple[str, str], set[str]]:
    """(`p_sums`, `32x32`) -> the layouts in which tiles of this shape are loaded from there and stored to there.

    ttgir: Triton's own code. A name may mean something else in another region, so each is looked up in order.
    """
    arguments = set(re.findall(r"%(p_\w+): !tt.ptr", ttgir))
    made_from: dict[str, str] = {}
    layouts: dict[tuple[str, str], set[str]] = {}
    for line in ttgir.splitlines():
        if access := re.search(r"tt\.(?:load|store) %(\w+).*tensor<([\dx]+)x!tt\.ptr<\w+>, (#\w+)>", line):
            name = access[1]
            while name not in arguments:
                name = made_from[name]
            layouts.setdefault((name, access[2]), set()).add(access[3])
        if made := re.match(rf"\s*%(\w+) = (?:tt|ttg)\.(?:{POINTER_STEPS}) %(\w+)", line):
            made_from[made[1]] = made[2]
    return layouts


def choose_type(name: str) -> str:
    """What a launch gives the kernel as this argument; of numbers Triton is told nothing."""
    if not name.startswith("p_"):
        return "i32"
    return "*i64" if name in LONGS else "*fp64" if name in DOUBLES else "*i32"


def read_loops(sass: str) -> tuple[Counter[str], dict[str, dict[str, float]]]:
    """Instructions of the whole by name, and of the innermost loops that `LOOPS` names."""
    lines = list_instructions(sass)
    loops: dict[str, dict[str, float]] = {}
    for loop in find_inner_loops(lines):
        counts = Counter(map(name_instruction, loop))
        rows, stores = counts["LDG.128"], counts["STG.128"]
        if name := _name_vote_loop(counts):
            steps = counts["DADD"] / 4 if name == VOTES else counts["SHF"] / 2
            if name not in loops or steps > loops[name]["steps"]:
                loops[name] = {key: n / steps for key, n in counts.items()} | {"steps": steps}
                loops[name]["all"] = counts.total() / steps
            continue
        if not counts["LOP3"] or not stores or rows % stores or rows // stores not in LOOPS:
            continue
        name, _ = LOOPS[rows // stores]
        if name == "nodes" and "nodes" in loops and counts["LOP3"] / stores > loops["nodes"]["LOP3"] + 2:
            name = ADDERS
        if name not in loops or stores > loops[name]["steps"]:
            loops[name] = {key: n / stores for key, n in counts.items()} | {"steps": stores}
            loops[name]["all"] = counts.total() / stores
    return Counter(name_instruction(code) for _, code in lines if code), loops


def _name_vote_loop(counts: Counter[str]) -> str:
    """`DIGITS` loads a slot and two words, `VOTES` numbers and rows of weights, which are 16 columns of 8 samples."""
    if any(name.startswith("STG") for name in counts):
        return ""
    if counts["DADD"] and counts["LDG.128"] == counts["DADD"] / 2 and not counts["LDG.64"]:
        return VOTES
    is_digits = (
        counts["LDG.32"] and 3 * counts["SHF"] == 4 * counts["LDG.32"] and not counts["DADD"] + counts["LDG.128"]
    )
    return DIGITS if is_digits else ""


def name_instruction(code: str) -> str:
    """`LDG.E.128.CONSTANT R4, ...` -> `LDG.128`; only loads and stores keep their width."""
    name, *parts = code.split()[0].split(".")
    if name in ("LDG", "STG"):
        return f"{name}.{next((part for part in parts if part in ('64', '128')), '32')}"
    return name


def read_all(architecture: int) -> list[Reading]:
    found = [read_variant(decision, by_sample=by_sample, architecture=architecture) for decision, by_sample in VARIANTS]
    found.append(read_variant(3, by_sample=False, has_adders=True, architecture=architecture))
    for decision, by_sample in FEW_VARIANTS:
        found.append(read_variant(decision, by_sample=by_sample, block_words=gpu.FEW_WORDS, architecture=architecture))
    return found


def to_row(reading: Reading) -> dict[str, Any]:
    """Of a table of results: barriers are instructions of the whole kernel, instructions those of one step."""
    steps = {
        name: {key: round(n, 2) for key, n in loop.items() if key != "steps"} for name, loop in reading.loops.items()
    }
    row = {"variant": reading.name, "registers": reading.registers, "local_memory": reading.local}
    return {**row, "barriers": reading.instructions["BAR"], "instructions_of_a_step": steps}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.read_sass", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was read")
    parser.add_argument("--target", type=int, default=ARCHITECTURE, help="80, 90 or 100")
    arguments = parser.parse_args()
    readings = read_all(arguments.target)
    if arguments.json:
        note = (
            f"Counted in the SASS for sm_{arguments.target}, Triton {triton.__version__}, "
            "by `python -m tests.read_sass --json FILE`."
        )
        write_rows(arguments.json, {"counted": note, "rows": [to_row(reading) for reading in readings]})
    for reading in readings:
        print(f"evaluate, {reading.name}: {reading.registers} registers, local memory: {reading.local}")
        for name, units in [*LOOPS.values(), (ADDERS, 1), (DIGITS, 1), (VOTES, 1)]:
            if name not in reading.loops:
                continue
            counts = Counter(reading.loops[name])
            unit = "literal" if units > 1 else name.removesuffix("s")
            loads = ", ".join(f"{counts[key]:.4g} {key}" for key in sorted(counts) if key.startswith("LDG"))
            print(
                f"    {name}: {counts['all']:.4g} instructions a step, {counts['all'] / units:.1f} a "
                f"{unit} and 4 words; {counts['LOP3']:.4g} LOP3, {loads}, {counts['STG.128']:.4g} STG.128"
            )


if __name__ == "__main__":
    main()
