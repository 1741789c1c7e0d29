"""`python -m bench.predict [--parts a,b] [--json FILE]`: times on one H200, predicted, not measured.

What a plan is lowered to is counted line by line, and what a line becomes is read from its SASS for sm_90. A
multiprocessor has one block of 16 warps, which takes a group of 1,024 samples at a time through stages: inputs are
copied, lines run, digits become trees' numbers, weights are added, the highest sum is found. A stage takes as long as
what binds it of: issue, four instructions of a warp a clock; ALU (logic, selections, comparisons, integer sums), two;
cache, 128 bytes a clock between registers and the first cache, where a load of all lanes has as many bytes as
registers; L2, 38.8 bytes a clock, which for all 132 are the 5,120 that NVIDIA's whitepaper of 2020 says of an A100 (of
an H200 nothing is published); memory, 16.5. What the first cache holds is followed, 248 KB of least recently used
lines, all stores going through to L2; of a tree's weights each row is taken from L2 once for a group of samples, as
many rows as samples of the benchmark were seen to use. Waits aren't in the times: 600 clocks a phase (a barrier, and
loads one after another) are shown apart. Left out: a launch, which takes some 5 us.
"""

import argparse
import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

os.environ.pop("TRITON_INTERPRET", None)

import numpy as np
import torch

from bench.harness import ROOT, describe_machine, write_rows
from bench.programs import Case, make_cases
from bench.sass import ALU, ALU_PER_CLOCK, BYTES_PER_CLOCK, ISSUES_PER_CLOCK
from eric_fast import kernels
from eric_fast.bits import ROW_WORDS
from eric_fast.kernels.gpu.evaluate import GROUP_SAMPLES, N_STRIPES, pick_constants
from eric_fast.kernels.gpu.lines import (
    ADDERS,
    LINE_COLUMNS,
    NODES,
    OTHER,
    SUM_TILE,
    TARGET,
    TERMS_BY_2,
    TERMS_BY_4,
    TERMS_BY_6,
)
from eric_fast.kernels.gpu.lower import N_WORKERS, GpuCode, count_parts, lower_plan, may_split
from eric_fast.kernels.gpu.vote_tables import GROUP_TREES
from eric_fast.kernels.liveness import choose_decision, find_result_kinds
from eric_fast.kernels.outcome import Request, expect
from eric_fast.plan import Plan
from eric_fast.plan.negation import strip_negation
from eric_fast.progress import ignore_progress
from eric_fast.show.console import stdout
from tests.read_sass import read_variant

N_SAMPLES, MULTIPROCESSORS, CLOCK = 1_281_167, 132, 1.98e9
CACHED_LINES, L2_BYTES, LINE_BYTES, CACHE_BYTES = 1984, 38.8, 128, 128
PHASE_WAIT = 600  # clocks
SHAPE = pick_constants(N_WORKERS, has_adders=False, decision=0, by_sample=False, block_words=ROW_WORDS)
N_WARPS = SHAPE["num_warps"]
LOOPS = {NODES: "nodes", ADDERS: "adders", TERMS_BY_2: "terms by 2", TERMS_BY_4: "terms by 4", TERMS_BY_6: "terms by 6"}
SEEN_SAMPLES = 50 * GROUP_SAMPLES


class Stage(NamedTuple):
    """Clocks of a block and a group of samples, by what could bind."""

    issue: float = 0.0
    ALU: float = 0.0
    cache: float = 0.0
    L2: float = 0.0
    memory: float = 0.0

    @property
    def binds(self) -> str:
        return max(self._fields, key=lambda name: getattr(self, name))


class Prediction(NamedTuple):
    """Of one program and a number of samples. n_parts: over the grid. waits_ms: not in predicted_ms."""

    program: str
    n_samples: int
    n_parts: int
    phases: int
    steps: dict[str, int]
    stages: dict[str, dict[str, float]]
    binds: dict[str, str]
    waits_ms: float
    predicted_ms: float


class Traffic(NamedTuple):
    """Of a block: rows of 128 bytes of scratch memory, read and stored; loads of fields by warps; lines through L2."""

    rows: int
    fields: int
    through_l2: int


def _follow_cache(code: GpuCode) -> Traffic:
    """Run through the lines twice, and count what the second time finds."""
    lines, phases = code.rules.lines.numpy(), code.rules.phases.numpy()
    held: OrderedDict[Any, None] = OrderedDict()
    rows = loads = through_l2 = 0

    def touch(key: Any) -> int:
        missing = key not in held
        held[key] = None
        held.move_to_end(key)
        return int(missing)

    for is_counted in (False, True):
        for column, phase in ((c, p) for p in phases for c in LOOPS):
            step = 1 if column in (NODES, ADDERS, TERMS_BY_2) else 2
            first, last = phase[column].tolist()
            for line in range(first, last, step):
                fields = lines[line : line + step].transpose(1, 0, 2).reshape(lines.shape[1], -1)  # [n_workers, ...]
                n_loads = 4 * N_WARPS  # of fields, each by a load of 32 bits
                if column in (NODES, ADDERS):
                    runs = fields[:, OTHER] >= 0
                    reads = [strip_negation(fields[runs, 0]), fields[runs, 1], fields[fields[:, 2] >= 0, 2]]
                    stores = fields[fields[:, TARGET] >= 0, TARGET]
                else:
                    width = {TERMS_BY_2: 2, TERMS_BY_4: 4, TERMS_BY_6: 6}[column]
                    reads, stores = [strip_negation(fields[:, :width]).ravel()], fields[fields[:, 1] < 0, -1]
                    if column != TERMS_BY_2:  # of the second line the target is loaded where it is stored to
                        n_loads += (width - 4) * N_WARPS + int(
                            (fields[:, 1] < 0).reshape(N_WARPS, -1).any(axis=1).sum()
                        )
                    else:
                        n_loads -= N_WARPS
                read = np.concatenate(reads).tolist()
                missed = sum(touch(("code", line, k)) for k in range(16 * step)) + sum(map(touch, read))
                for slot in stores.tolist():
                    touch(slot)
                rows += is_counted * (len(read) + len(stores))
                loads += is_counted * n_loads
                through_l2 += is_counted * (missed + len(stores))
                while len(held) > CACHED_LINES:
                    held.popitem(last=False)
    return Traffic(rows, loads, through_l2)


def _price(counts: dict[str, float], n: float) -> tuple[float, float]:
    """Clocks of issue and of the ALU, of a loop whose step every warp of a block runs so many times, for a stripe."""
    alu = sum(k for key, k in counts.items() if key in ALU)
    return n * N_WARPS * counts["all"] / ISSUES_PER_CLOCK, n * N_WARPS * alu / ALU_PER_CLOCK


def _price_lines(code: GpuCode, loops: dict[str, dict[str, float]], steps: dict[str, int]) -> Stage:
    traffic = _follow_cache(code)
    priced = [_price(loops[name], n * N_STRIPES) for name, n in steps.items()]
    issue, alu = (sum(parts) for parts in zip(*priced, strict=True))
    return Stage(issue, alu, traffic.rows + traffic.fields, traffic.through_l2 * LINE_BYTES / L2_BYTES)


def _price_votes(plan: Plan, code: GpuCode, loops: dict[str, dict[str, float]], n_used: float) -> dict[str, Stage]:
    """n_used: rows of a tree's weights that a group of samples uses."""
    n_trees, n_tiles = len(plan.trees), code.n_columns // SUM_TILE
    n_digits = len(plan.steps.planes) * GROUP_SAMPLES / 32 / N_WARPS  # of a thread's samples
    per_tree = GROUP_SAMPLES / 8 / N_WARPS * n_tiles  # steps of a warp: 8 samples, 16 columns
    sums = 2 * -(-n_trees // GROUP_TREES) * GROUP_SAMPLES * n_tiles  # rows of 128 bytes, loaded and stored
    weights = n_trees * N_WARPS * per_tree * (4 * loops["votes"]["LDG.128"] + loops["votes"].get("LDG.32", 0.0))
    through_l2 = (sums + n_trees * n_used * n_tiles) * LINE_BYTES / L2_BYTES
    return {
        "numbers": Stage(*_price(loops["digits"], n_digits), n_digits * N_WARPS * loops["digits"]["LDG.32"]),
        "weights": Stage(*_price(loops["votes"], n_trees * per_tree), weights + sums, through_l2),
        "highest": Stage(cache=plan.n_classes * 2 * GROUP_SAMPLES),  # each lane its own line: begun, then compared
    }


def _count_used(case: Case) -> float:
    """Rows of a tree's weights that 1,024 samples use."""
    words = case.make_words(SEEN_SAMPLES)
    leaves = expect(kernels.evaluate(case.plan, words, SEEN_SAMPLES, classes=False, rules=False, leaves=True).leaves)
    groups = leaves.view(-1, GROUP_SAMPLES, leaves.shape[1]).sort(dim=1).values
    return float((1 + (groups.diff(dim=1) != 0).sum(dim=1)).double().mean())


def predict(case: Case, n_samples: int) -> Prediction:
    """What a call for `case.wanted` takes. n_samples: not few, which smaller blocks would run."""
    plan, request = case.plan, Request(**case.wanted)
    kinds = find_result_kinds(plan, request)
    n_groups = -(-n_samples // GROUP_SAMPLES)
    n_parts = count_parts(plan, n_groups, MULTIPROCESSORS) if may_split(plan, kinds, counts=False) else 1
    code = lower_plan(plan, torch.device("cpu"), kinds, counts=False, n_parts=n_parts)
    reading = read_variant(choose_decision(plan, kinds), by_sample=code.by_sample, has_adders=code.has_adders)
    lengths = code.rules.phases.diff(dim=2)[:, LINE_COLUMNS, 0].sum(dim=0).tolist()
    steps = {LOOPS[c]: n // (1 if c <= TERMS_BY_2 else 2) for c, n in enumerate(lengths) if n}
    read = int((code.rules.input_slots >= 0).sum())
    stages = {
        "inputs": Stage(cache=2 * read, memory=read * LINE_BYTES / BYTES_PER_CLOCK),
        "lines": _price_lines(code, reading.loops, steps) if steps else Stage(),
    }
    if code.by_sample:
        stages |= _price_votes(plan, code, reading.loops, _count_used(case))
    clocks = sum(max(stage) for stage in stages.values()) / n_parts  # of a part
    works = -(-n_groups * n_parts // MULTIPROCESSORS)
    return Prediction(
        program=case.name,
        n_samples=n_samples,
        n_parts=n_parts,
        phases=len(code.rules.phases),
        steps=steps,
        stages={name: {key: round(n) for key, n in stage._asdict().items()} for name, stage in stages.items()},
        binds={name: stage.binds for name, stage in stages.items()},
        waits_ms=round(1000 * works * PHASE_WAIT * (1 + len(code.rules.phases) / n_parts) / CLOCK, 3),
        predicted_ms=round(1000 * works * clocks / CLOCK, 3),
    )


def describe_generated() -> str:
    """A line for `b` by a kernel of its own, from what `python -m bench.generated --full --json` wrote."""
    rows = json.loads((ROOT / "bench/results/generated.json").read_text())["rows"]
    row = next(row for row in rows if row["kernel"] == "b, classes")
    return (
        f"predicted, not measured: b, by a kernel of its own: {row['predicted_ms']:.2f} ms, and "
        f"{row['unhidden_fetch_ms']:.2f} ms if no code is fetched ahead; binds: {row['binds']}; clocks: {row['clocks']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.predict", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the predictions, apart from measurements")
    parser.add_argument("--parts", default="", help="programs, by commas: `a,d nursery`")
    arguments = parser.parse_args()
    found = []
    for case in make_cases(ignore_progress, arguments.parts.split(",") if arguments.parts else ()):
        row = predict(case, N_SAMPLES)
        found.append(row)
        stdout.print(
            f"predicted, not measured: {row.program}: {row.predicted_ms:.2f} ms for {row.n_samples:,} samples on one "
            f"H200, and {row.waits_ms:.2f} ms of waits; binds: {row.binds}; steps: {row.steps}; clocks: {row.stages}",
            markup=False,
        )
        if case.name == "b":
            stdout.print(describe_generated(), markup=False)
    if arguments.json:
        note = "Nothing here was measured on a GPU. " + " ".join(str(__doc__).partition("\n\n")[2].split())
        rows = [row._asdict() for row in found]
        write_rows(arguments.json, {"predicted": note, "machine": describe_machine(), "rows": rows})


if __name__ == "__main__":
    main()
