"""`Plan`: a program from one start layer as flat arrays, for kernels; nothing in it needs names."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from eric_fast.errors import EricError
from eric_fast.plan.steps import INDEX, Steps
from eric_fast.processes.pickling import PickledByFields
from eric_fast.results.described import Described

MOST_GENERATED = 50_000  # nodes and values of terms; Triton takes about 1.5 ms for each


class Sums(NamedTuple):
    """The weight bodies of a plan: each makes a row of its own, which the bodies of rules mention.

    Attributes:
        literals: int32 `[n_sum_literals]`: row `r`, or `~r` for its negation.
        weights: int32 `[n_sum_literals]`, from 1.
        offsets: int64 `[n_sums + 1]`: the literals of sum `i` are `literals[offsets[i]:offsets[i + 1]]`.
        bounds: int32 `[n_sums]`: row `n_rows - n_sums + i` is true where the weights of the true literals of sum `i`
            reach `bounds[i]`, which is from 1 to the sum of its weights. No sum passes 2^31 - 1.
        strata: int64 `[n_strata + 2]`: sums `strata[s]:strata[s + 1]` mention only rows of earlier strata, and are
            first read in stratum `s`; the last are those that only class rules read.
    """

    literals: Tensor
    weights: Tensor
    offsets: Tensor
    bounds: Tensor
    strata: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Plan(Described, PickledByFields):
    """Rows are truth values over samples: the inputs, then the derived atoms, stratum by stratum, then the sums.

    Rules and masks are what a program means; `steps` are how it is run.

    Attributes:
        n_inputs: rows that are given: the start layer's atoms, in the quantiser's order.
        n_rows: inputs, derived atoms and sums.
        atoms: int64 `[n_rows - n_sums]`: which atom of the program a row is.
        literals: int32 `[n_literals]`: row `r`, or `~r` for its negation.
        offsets: int64 `[n_rules + 1]`: the body of rule `i` is `literals[offsets[i]:offsets[i + 1]]`.
        heads: int32 `[n_rules]`: the row a kernel rule makes true; the class of a class rule.
        strata: int64 `[n_strata + 1]`: kernel rules `strata[s]:strata[s + 1]` mention only rows of earlier strata.
            The rules from `strata[-1]` on are class rules, in the program's order.
        negated: bool `[n_rows]`: a derived row that is true where no rule of it fires.
        n_classes: classes of the program.
        votes: whether the decision is `vote`.
        default: the class where no class rule fires, or -1.
        base: float64 `[n_classes]`: where the sums start.
        vote_offsets: int64 `[n_class_rules + 1]`, into the two that follow.
        vote_classes: int32 `[n_votes]`: the classes that a class rule adds to, its own first.
        vote_weights: float64 `[n_votes]`: what it adds.
        sums: the weight bodies.
        steps: the rules as an instruction stream.
        generate: whether a GPU runs a kernel written for this plan alone; see `compile_program`.

    Examples:
        >>> plan = ef.compile_program(ef.parse_program(PETS))
        >>> plan.n_rules, plan.heads.tolist(), plan.offsets.tolist()
        (2, [0, 1], [0, 2, 3])
    """

    n_inputs: int
    n_rows: int
    atoms: Tensor
    literals: Tensor
    offsets: Tensor
    heads: Tensor
    strata: Tensor
    negated: Tensor
    n_classes: int
    votes: bool
    default: int
    base: Tensor
    vote_offsets: Tensor
    vote_classes: Tensor
    vote_weights: Tensor
    sums: Sums
    steps: Steps
    generate: bool = False

    def list_facts(self) -> Iterator[str]:
        yield f"{self.n_inputs:,} inputs"
        yield f"{self.n_rows:,} rows"
        yield f"{self.n_class_rules:,} class rules"

    def __post_init__(self) -> None:
        self.validate()

    @property
    def n_rules(self) -> int:
        return len(self.heads)

    @property
    def n_kernel_rules(self) -> int:
        return int(self.strata[-1])

    @property
    def n_class_rules(self) -> int:
        return self.n_rules - self.n_kernel_rules

    @property
    def n_row_sections(self) -> int:
        """How many sections make the rows: one for each stratum, and one for sums that only class rules read."""
        return len(self.strata) - 1 + bool(self.sums.strata[-2] < self.sums.strata[-1])

    @property
    def trees(self) -> Tensor:
        """int64 `[n_trees, 2]`: first and last of the class rules that are the leaves of one decision tree.

        At most one of them fires on a sample. The trees are in the order of their rules; rules of none lie between.
        """
        return self.steps.indexes[: len(self.steps.indexes) - (not self.votes), INDEX.rule_start :]

    def rule_masks(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """bool `[last - first, n_rows]` twice: the atoms that a rule needs true, and those it needs false.

        This is what a rule means: it fires where every `positive` atom is true and no `negative` one is.
        """
        start, stop = int(self.offsets[first]), int(self.offsets[last])
        literals = self.literals[start:stop].long()
        rules = torch.repeat_interleave(torch.arange(last - first), self.offsets[first : last + 1].diff())
        positive = torch.zeros(last - first, self.n_rows, dtype=torch.bool)
        negative = torch.zeros_like(positive)
        holds = literals >= 0
        positive[rules[holds], literals[holds]] = True
        negative[rules[~holds], ~literals[~holds]] = True
        return positive, negative

    def validate(self) -> None:
        """Check all but the steps; see `check_steps`."""
        n_literals = len(self.literals)
        expected = {
            "atoms": torch.int64,
            "literals": torch.int32,
            "offsets": torch.int64,
            "heads": torch.int32,
            "strata": torch.int64,
            "negated": torch.bool,
            "base": torch.float64,
            "vote_offsets": torch.int64,
            "vote_classes": torch.int32,
            "vote_weights": torch.float64,
        }
        for name, dtype in expected.items():
            if getattr(self, name).dtype != dtype or getattr(self, name).device.type != "cpu":
                raise EricError(f"a plan's {name} must be {dtype} on the CPU")
        n_atoms = self.n_rows - len(self.sums.bounds)
        if len(self.atoms) != n_atoms or len(self.negated) != self.n_rows or not 0 <= self.n_inputs <= n_atoms:
            raise EricError(
                f"a plan of {n_atoms} inputs and derived rows, {self.n_inputs} of them inputs, needs an atom for each, "
                "and every row a polarity"
            )
        self._check_sums(n_atoms)
        for name, offsets, n_parts, n_values in (
            ("offsets", self.offsets, self.n_rules, n_literals),
            ("vote_offsets", self.vote_offsets, self.n_class_rules, len(self.vote_classes)),
        ):
            if len(offsets) != n_parts + 1 or offsets[0] != 0 or offsets[-1] != n_values or (offsets.diff() < 0).any():
                raise EricError(f"a plan's {name} must rise from 0 to {n_values} in {n_parts} steps")
        if self.strata[0] != 0 or self.n_class_rules < 0 or (self.strata.diff() < 0).any():
            raise EricError("a plan's strata must rise from 0 to at most the number of rules")
        if n_literals and not -self.n_rows <= int(self.literals.min()) <= int(self.literals.max()) < self.n_rows:
            raise EricError("a plan's literal is about a row that there is not")
        heads = self.heads[: self.n_kernel_rules]
        if len(heads) and not self.n_inputs <= int(heads.min()) <= int(heads.max()) < n_atoms:
            raise EricError("a plan's kernel rule has a head that is not a derived row")
        outputs = torch.cat([self.heads[self.n_kernel_rules :], self.vote_classes])
        if len(outputs) and not 0 <= int(outputs.min()) <= int(outputs.max()) < self.n_classes:
            raise EricError("a plan's class rule is for a class that there is not")
        if len(self.base) != self.n_classes or not -1 <= self.default < self.n_classes:
            raise EricError("a plan's base or default doesn't fit its classes")
        if self.generate:
            self._check_generated()

    def _check_generated(self) -> None:
        if self.votes and not len(self.steps.answers):
            raise EricError(
                "votes that are added up have no generated kernel; compile the program without generate=True"
            )
        n_steps = len(self.steps.nodes) + len(self.steps.terms)
        if n_steps > MOST_GENERATED:
            raise EricError(
                f"the program has {n_steps:,} nodes and literals, more than the {MOST_GENERATED:,} of a generated "
                "kernel; compile it without generate=True"
            )

    def _check_sums(self, n_atoms: int) -> None:
        sums = self.sums
        dtypes = [table.dtype for table in sums]
        if dtypes != [torch.int32, torch.int32, torch.int64, torch.int32, torch.int64]:
            raise EricError(f"a plan's sums must have the dtypes that `Sums` says, not {dtypes}")
        for name, offsets, n_parts, n_values in (
            ("offsets", sums.offsets, len(sums.bounds), len(sums.literals)),
            ("strata", sums.strata, len(self.strata), len(sums.bounds)),
        ):
            if len(offsets) != n_parts + 1 or offsets[0] != 0 or offsets[-1] != n_values or (offsets.diff() < 0).any():
                raise EricError(f"a plan's sums.{name} must rise from 0 to {n_values} in {n_parts} steps")
        if len(sums.weights) != len(sums.literals):
            raise EricError("a plan's sums need a weight for each literal")
        if len(sums.literals) and not -n_atoms <= int(sums.literals.min()) <= int(sums.literals.max()) < n_atoms:
            raise EricError("a plan's sum has a literal about a row that there is not")
        if (sums.weights < 1).any() or (sums.bounds < 1).any():
            raise EricError("a plan's sums need weights and bounds from 1")
