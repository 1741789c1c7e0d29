"""The table of what ran: a line for each kind of kernel, a column for each target."""

import re
from collections import Counter, defaultdict
from pathlib import Path

from eric_fast.kernels.gpu.evaluate import FEW_WORDS
from eric_fast.kernels.gpu.write_source import KERNEL_PREFIX
from tests.ptx.launch import Runner, Variant
from tests.ptx.mutate import Verdict

RESULTS = Path(__file__).with_name("RESULTS.md")
DECISIONS = ("rows alone", "first", "first with rules", "vote", "vote with rules")
HEAD = """# The GPU's kernels, run from their PTX

`make ptx` writes this page: a section for each version of Triton, or, with `--target`, for each version and target.
With `--few` it runs the tests' cases and mutations alone. Every run gave what the reference gives, with no race, no
stray access and no read of what nobody wrote, unless it says otherwise. A variant is what Triton compiles once; runs
are launches of it.
"""


class Table:
    """Launches by kind of kernel and target, and what failed."""

    def __init__(self) -> None:
        self.runs: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self.variants: defaultdict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.failures: list[str] = []

    def count(self, runner: Runner) -> None:
        """Add what a runner launched since it was cleared."""
        for variant in runner.used:
            kind = name_kind(variant)
            self.runs[kind][runner.architecture] += 1
            self.variants[kind][runner.architecture].add(str(variant))

    def list_kinds(self) -> list[str]:
        """Which kinds of kernels ran."""
        return [f"kind: {kind}" for kind in sorted(self.runs)]

    def format(self, title: str, command: str, verdicts: list[Verdict]) -> str:
        """A section of the page, and the command that it comes from."""
        targets = sorted({target for runs in self.runs.values() for target in runs})
        lines = [f"## {title}", "", f"By `{command}`. Variants / runs:", ""]
        lines += [f"| kernel | {' | '.join(f'sm_{target}' for target in targets)} |", f"|---|{'---|' * len(targets)}"]
        for kind in sorted(self.runs):
            cells = [f"{len(self.variants[kind][target])} / {self.runs[kind][target]}" for target in targets]
            lines.append(f"| {kind} | {' | '.join(cells)} |")
        lines += ["", f"Failures: {len(self.failures)}.", *(f"- {failure}" for failure in self.failures), ""]
        return "\n".join([*lines, *format_verdicts(verdicts)]) + "\n"


def name_kind(variant: Variant) -> str:
    """`evaluate: vote with rules, by sample, wide`; `pack_short fp16 max`."""
    constants, types = variant.signature.constants, variant.signature.types
    if variant.kernel == "evaluate_kernel":
        names = {"BY_SAMPLE": ", by sample", "WITH_ADDERS": ", adders"}
        few = ", few words" if constants["BLOCK"] == FEW_WORDS else ""
        return f"evaluate: {DECISIONS[constants['DECISION']]}" + "".join(names[n] for n in names if constants[n]) + few
    dtype = next((types[name][1:] for name in ("p_maps", "p_columns") if name in types), "")
    kernel = re.sub(f"(?<=^{KERNEL_PREFIX.rstrip('_')})_.*|_kernel$", "", variant.kernel)
    return " ".join(filter(None, (kernel, dtype, constants.get("NORM", ""))))


def format_verdicts(verdicts: list[Verdict]) -> list[str]:
    """How many mutations were seen, and those that weren't."""
    if not verdicts:
        return []
    lines = ["| mutation | made | reported | fault | other answer | missed |", "|---|---|---|---|---|---|"]
    for kind in sorted({verdict.mutation.kind for verdict in verdicts}):
        found = Counter(verdict.how for verdict in verdicts if verdict.mutation.kind == kind)
        shown = (found["report"], found["fault"], found["other answer"], found["missed"])
        lines.append(f"| {kind} | {sum(shown)} | {' | '.join(map(str, shown))} |")
    return lines


def write_section(section: str) -> None:
    """Put a section into the page, in place of that of the same title."""
    title = section.partition("\n")[0]
    old = RESULTS.read_text() if RESULTS.exists() else HEAD
    others = [part for part in re.split(r"\n(?=## )", old) if part.partition("\n")[0] != title]
    RESULTS.write_text("\n".join([*others, section]))
