"""`Evaluator`: a compiled program that answers by the program's own names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import BitMatrix
from eric_fast.compile.program import compile_part, compile_program
from eric_fast.errors import ProgramError
from eric_fast.evaluator.match import check_capture
from eric_fast.evaluator.predictions import NO_RULE, Predictions
from eric_fast.kernels import expect
from eric_fast.plan import Plan
from eric_fast.processes.pickling import PickledByFields
from eric_fast.program import Program
from eric_fast.program.confidence import Confidences, list_confidences, list_probabilities
from eric_fast.program.layer_graph import StartLayers
from eric_fast.program.simplify import find_mentioned
from eric_fast.quantise import quantise_activations
from eric_fast.results.described import Described
from eric_fast.store import Source


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Evaluator(Described, PickledByFields):
    """A program, compiled once, that answers for any number of samples by the program's own names.

    Every method takes `data`: a `BitMatrix` that holds the inputs at least, whose rows are found by name; activations;
    or a capture, read a part at a time. `RuleModel.pack` makes a `BitMatrix` of a table. Results are on the device of
    the bits.

        evaluator = Evaluator(program, start="features.16")
        evaluator.predict(activations).classes          # int32 [n_images]
        evaluator.truth(activations, ["features.19:7"])  # BitMatrix of one row
        evaluator.fires(activations, [0, 1])             # BitMatrix: where the first two class rules fire

    Attributes:
        program: the whole program.
        plan: what the engines run.
        engine: `reference`, `cpu`, `gpu`, or `auto` (where the bits are).

    Raises:
        EricError: from every method, if the bits lack an input.
        CaptureError: from every method, if activations or a capture don't fit the program; see `check_capture`.
        SettingError: from every method, if the engine can't take bits on their device.

    Examples:
        >>> evaluator = ef.Evaluator(ef.parse_program(PETS))
        >>> bits = ef.BitMatrix.from_bools(torch.tensor([[True, False], [True, True]]), evaluator.inputs)
        >>> evaluator.fires(bits).to_bools()
        tensor([[ True, False],
                [False,  True]])
    """

    program: Program
    plan: Plan
    engine: str

    def list_facts(self) -> Iterator[str]:
        yield from self.program.list_facts()
        yield f"engine {self.engine}"

    def __init__(
        self,
        program: Program,
        start: StartLayers = None,
        *,
        given: Sequence[str] | None = None,
        wanted: Sequence[str] = (),
        engine: str = "auto",
        generate: bool = False,
    ) -> None:
        """Compile.

        Args:
            program: any program.
            start: the layer whose bits are the inputs, with what runs beside it; or several; the lowest by default. See
                `Program.layer_to_start`.
            given: names of atoms that are the inputs instead of a layer's; what the class rules build on follows from
                them.
            wanted: with `given`: names of atoms that follow from them too, with all that these build on.
            engine: see the class.
            generate: see `compile_program`.

        Raises:
            ProgramError: no such layer or atom, or a rule mentions an atom that doesn't follow from the inputs.
            EricError: `generate`, for a program that adds up votes, or one that is too large.
        """
        if given is None:
            plan = compile_program(program, start, generate=generate)
        else:
            plan = _compile_above(program, given, wanted, generate)
        for name, value in (("program", program), ("plan", plan), ("engine", engine)):
            object.__setattr__(self, name, value)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the atoms whose truth is the input, in the order of the plan's first rows."""
        return tuple(self.program.atoms[atom].name for atom in self.plan.atoms[: self.plan.n_inputs].tolist())

    @cached_property
    def atoms(self) -> tuple[str, ...]:
        """Names of the inputs and of all atoms that follow from them, in the program's order."""
        return tuple(self.program.atoms[atom].name for atom in np.flatnonzero(self.row_of_atom >= 0).tolist())

    @cached_property
    def row_of_atom(self) -> NDArray[np.int64]:
        """int64 `[n_atoms]`: the plan's row of each atom of the program; -1 where it doesn't follow from the inputs."""
        rows = np.full(len(self.program.atoms), -1)
        rows[self.plan.atoms.numpy()] = np.arange(len(self.plan.atoms))
        return rows

    def predict(self, data: BitMatrix | Source, *, with_scores: bool = False, with_bits: bool = False) -> Predictions:
        """The class of each sample and the rule that decided.

        Args:
            data: see the class.
            with_scores: fill `Predictions.scores`.
            with_bits: fill `Predictions.bits`.
        """
        bits, rows = self._read(data), self._find_rows(self.atoms) if with_bits else None
        if self.program.decision.gives_labels:
            wanted: dict[str, Any] = {"scores": True}
        else:
            wanted = {"classes": True, "rules": True, "scores": with_scores}
        outcome = self._evaluate(bits, rows=rows, **wanted)
        truth = None if outcome.rows is None else BitMatrix(outcome.rows, bits.n_samples, self.atoms)
        if outcome.classes is not None:
            return Predictions(outcome.classes, expect(outcome.rules), outcome.scores, truth)
        sums = expect(outcome.scores)
        nothing = torch.full((len(sums),), NO_RULE, dtype=torch.int32, device=sums.device)
        best = sums.argmax(dim=1).int() if sums.shape[1] else nothing
        return Predictions(best, nothing, sums if with_scores else None, truth, sums > 0)

    def classes(self, data: BitMatrix | Source) -> Tensor:
        """As `predict(data).classes`, without looking for the rule that decided, which takes longer under `vote`."""
        return expect(self._evaluate(self._read(data), classes=True).classes)

    def scores(self, data: BitMatrix | Source) -> Tensor:
        """Under `vote`, `sum` and `labels`: the sums, float64 `[n_samples, n_classes]`.

        Raises:
            ProgramError: the program adds up no weights.
        """
        if not self.program.decision.adds_weights:
            raise ProgramError(f"a program whose decision is '{self.program.decision}' has no scores")
        return expect(self._evaluate(self._read(data), scores=True).scores)

    def labels(self, data: BitMatrix | Source) -> Tensor:
        """Under `labels`: which labels are true, those whose sum is above 0, bool `[n_samples, n_labels]`.

        Raises:
            ProgramError: the program answers with something else.
        """
        if not self.program.decision.gives_labels:
            raise ProgramError(f"a program whose decision is '{self.program.decision}' has no labels")
        return self.scores(data) > 0

    def confidences(self, data: BitMatrix | Source) -> Confidences:
        """How sure the class rule is that decides each sample, with its 95 % interval (Wilson), `[n_samples]`.

        Raises:
            ProgramError: votes decide, or a class rule's confidence is not known.
        """
        return list_confidences(self.program).take(self.predict(data).rules.cpu().numpy())

    def probabilities(self, data: BitMatrix | Source) -> NDArray[np.float64]:
        """Probabilities of classes by the confidence of the deciding rule, float64 `[n_samples, n_classes]`.

        See `list_probabilities` for what the other classes get.

        Raises:
            ProgramError: votes decide, or a class rule's confidence is not known.
        """
        found: NDArray[np.float64] = list_probabilities(self.program)[self.predict(data).rules.cpu().numpy()]
        return found

    def truth(self, data: BitMatrix | Source, atoms: Sequence[str] | None = None) -> BitMatrix:
        """The truth of these atoms, all of `self.atoms` by default, as the program has them.

        Raises:
            ProgramError: no such atom, or one below the start layer.
        """
        bits, names = self._read(data), self.atoms if atoms is None else tuple(atoms)
        rows = expect(self._evaluate(bits, rows=self._find_rows(names)).rows)
        return BitMatrix(rows, bits.n_samples, names)

    def fires(self, data: BitMatrix | Source, rules: Sequence[int] | None = None) -> BitMatrix:
        """Where each of these class rules fires, all by default; rows are named `rule 7`, counted from 1.

        Args:
            data: see the class.
            rules: indices of class rules, from 0.

        Raises:
            ProgramError: no such rule.
        """
        n_rules = len(self.program.class_rules)
        rules = range(n_rules) if rules is None else rules
        strange = next((rule for rule in rules if not 0 <= rule < n_rules), None)
        if strange is not None:
            raise ProgramError(f"there is no class rule with index {strange}; the program has {n_rules}")
        bits, (plan, row_of_rule) = self._read(data), self._fires
        rows = expect(self._evaluate(bits, plan, rows=tuple(row_of_rule[rule] for rule in rules)).rows)
        return BitMatrix(rows, bits.n_samples, tuple(f"rule {rule + 1}" for rule in rules))

    def counts(self, data: BitMatrix | Source) -> Tensor:
        """On how many samples each rule fires: int64 `[n_kernel_rules + n_class_rules]`, on the CPU.

        Rules are in the program's order, those for kernels first. Rules for inputs and for atoms below them don't run:
        their count is 0.
        """
        found = expect(self._evaluate(self._read(data), counts=True).counts).cpu()
        places = self.row_of_atom[self.program.kernel_arrays.heads]
        # Kernel rules stand in the plan by their head's row.
        run = np.argsort(places, kind="stable")[np.count_nonzero(places < self.plan.n_inputs) :]
        counts = torch.zeros(len(places) + self.plan.n_class_rules, dtype=torch.int64)
        counts[torch.from_numpy(run)] = found[: len(run)]
        counts[len(places) :] = found[len(run) :]
        return counts

    def _read(self, data: BitMatrix | Source) -> BitMatrix:
        """The bits of the inputs."""
        if not isinstance(data, BitMatrix):
            atoms = self.plan.atoms[: self.plan.n_inputs].tolist()
            layers = list(dict.fromkeys(self.program.atoms[atom].layer for atom in atoms))
            check_capture(self.program, data, layers)
            data = quantise_activations(data, self.program.network_quantiser, layers)
        return data.select_atoms(self.inputs)

    def _evaluate(self, inputs: BitMatrix, plan: Plan | None = None, **wanted: Any) -> kernels.Outcome:
        wanted = {"classes": False, "rules": False, **wanted}
        return kernels.evaluate(plan or self.plan, inputs.words, inputs.n_samples, engine=self.engine, **wanted)

    @cached_property
    def _fires(self) -> tuple[Plan, list[int]]:
        """A plan that has a row for each class rule, and these rows."""
        atoms = self.plan.atoms.tolist()
        given, derived = atoms[: self.plan.n_inputs], set(atoms[self.plan.n_inputs :])
        plan = compile_part(self.program, given, derived, with_fires=True)
        return plan, plan.atoms.argsort()[len(self.plan.atoms) :].tolist()  # numbered after all atoms

    def _find_rows(self, names: Sequence[str]) -> tuple[int, ...]:
        atoms = _find_atoms(self.program, names)
        rows = tuple(self.row_of_atom[atoms].tolist())
        if -1 in rows:
            name = self.program.atoms[atoms[rows.index(-1)]].name
            raise ProgramError(f"{name} doesn't follow from this evaluator's inputs, which begin with {self.inputs[0]}")
        return rows


def _compile_above(program: Program, given: Sequence[str], wanted: Sequence[str], generate: bool) -> Plan:
    """What class rules, outputs and wanted atoms build on, with the truth of the given ones as input."""
    inputs, own = _find_atoms(program, given), _find_atoms(program, wanted)
    derived = find_mentioned(program, set(inputs), own).difference(inputs)
    unknown = next((atom for atom in sorted(derived.difference(own)) if atom not in program.rules_of_atom), None)
    if unknown is not None:
        raise ProgramError(f"the program builds on {program.atoms[unknown].name}, which is not given and has no rules")
    return compile_part(program, inputs, derived, generate=generate)


def _find_atoms(program: Program, names: Sequence[str]) -> list[int]:
    """The indices of atoms, by the names that `Program.atom_named` takes."""
    atom_of_name = {atom.name: index for index, atom in enumerate(program.atoms)}
    return [atom_of_name[name] if name in atom_of_name else program.atom_named(name) for name in names]
