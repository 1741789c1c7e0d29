"""`RuleModel`: a program behind the interface of the model that it came from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast import kernels
from eric_fast.bits import unpack_words
from eric_fast.compile import compile_program
from eric_fast.plan import Plan
from eric_fast.predictions import NO_RULE
from eric_fast.program import Program
from eric_fast.tables import TablePacker

LINKS = ("identity", "sigmoid", "softmax")


@dataclass(frozen=True, eq=False)
class RuleModel:
    """A program over a table, compiled, with the names and numbers of its source.

    Attributes:
        program: what is evaluated.
        source: what it was made from, for a person: `scikit-learn RandomForestClassifier`.
        labels: the source's class labels, in the order of the program's classes; its class names by default.
        scale: what sums are multiplied by before the link: 1 / number of trees for an average.
        link: how sums become probabilities, one of `LINKS`.
        engine: see `predict_bits`.
    """

    program: Program
    source: str
    labels: Sequence[Any] | None = None
    scale: float = 1.0
    link: str = "identity"
    engine: str = field(default="auto", kw_only=True)

    @cached_property
    def plan(self) -> Plan:
        """The program, compiled; made when it is first used."""
        return compile_program(self.program)

    @cached_property
    def packer(self) -> TablePacker:
        return TablePacker(self.program.quantiser)

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, `[n_classes]`."""
        if self.program.decision in ("sum", "bits"):
            raise AttributeError(f"{self.source} has no classes")
        return np.asarray(self.program.classes if self.labels is None else self.labels)

    @property
    def n_features_in_(self) -> int:
        return len(self.program.quantiser.columns)

    @property
    def feature_names_in_(self) -> NDArray[Any]:
        return np.array([column.name for column in self.program.quantiser.columns], object)

    def predict(self, data: Any) -> NDArray[Any]:
        """What the source's own `predict` answers, `[n_rows]` (`[n_rows, n_outputs]` of several outputs).

        Classes as the source spells them, an object array with None where no rule fires; sums for a regression; bool
        `[n_rows, n_outputs]` for a circuit.
        """
        if self.program.decision == "bits":
            return self.predict_bits(data)
        if self.program.decision == "sum":
            sums = self.decision_function(data)
            return sums[:, 0] if sums.shape[1] == 1 else sums
        outcome = self._evaluate(data, classes=True)
        assert outcome.classes is not None
        answers = outcome.classes.cpu().numpy()
        if not (answers == NO_RULE).any():
            labels: NDArray[Any] = self.classes_[answers]
        else:
            labels = np.array([*self.classes_.tolist(), None], object)[answers]  # -1 is the last
        return labels

    def decision_function(self, data: Any) -> NDArray[np.float64]:
        """float64 `[n_rows, n_classes]`: the sums, scaled, before the link."""
        if not self.program.has_sums:
            raise AttributeError(f"{self.source} adds up no scores")
        outcome = self._evaluate(data, scores=True)
        assert outcome.scores is not None
        return outcome.scores.cpu().numpy() * self.scale

    def predict_bits(self, data: Any) -> NDArray[np.bool_]:
        """bool `[n_rows, n_outputs]`: the truth of the program's outputs."""
        if self.program.decision != "bits":
            raise AttributeError(f"{self.source} has no outputs that are bits")
        row_of_atom = {atom: row for row, atom in enumerate(self.plan.atoms.tolist())}
        words, n_rows = self.packer.pack(data, engine=self.engine)
        rows = tuple(row_of_atom[atom] for _, atom in self.program.outputs)
        outcome = kernels.evaluate(self.plan, words, n_rows, engine=self.engine, classes=False, rules=False, rows=rows)
        assert outcome.rows is not None
        return unpack_words(outcome.rows, n_rows).cpu().numpy()

    def _evaluate(self, data: Any, **wanted: bool) -> kernels.Outcome:
        words, n_rows = self.packer.pack(data, engine=self.engine)
        wanted = {"classes": False, "rules": False, **wanted}
        return kernels.evaluate(self.plan, words, n_rows, engine=self.engine, **wanted)
